"""Torch's own functions against the reference: outputs, final states and all gradients, over every option."""

import dataclasses

import pytest
import torch

from recur.errors import BackendError
from recur.ops import Options, recurrence
from recur.ops._library import turn

# Torch says so, once, where it runs an LSTM with a projection in float32 on a CPU by its own loop.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")


def _case(op, T, B, H, dtype, *, lengths, reset, which, bias=True):
    arguments = op.arguments(T, B, 5, H, dtype, bias)
    keywords = {}
    if lengths:
        # Empty, one step, full, and random ones.
        keywords["lengths"] = torch.tensor([0, 1, T, *torch.randint(0, T + 1, (B,)).tolist()][-B:]).flip(0)
        keywords["lengths"][: min(B, 3)] = torch.tensor([T, 0, 1])[: min(B, 3)]
    if reset:
        keywords["reset"] = torch.rand(T, B) < 0.3
    plain = op(arguments, backend="reference", **keywords)
    chosen = {"output": ["output"], "final": [n for n in plain if n != "output"], "both": list(plain)}[which]
    upstream = {n: torch.randn_like(plain[n]) for n in chosen}
    return arguments, keywords, upstream


SHAPES = [(1, 1, 1), (1, 2, 7), (2, 1, 16), (2, 5, 1), (63, 1, 7), (63, 2, 16), (63, 5, 33)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("lengths", "reset"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("T", "B", "H"), SHAPES)
def test_it_is_the_reference(op, compare, T, B, H, lengths, reset, reverse, dtype):
    if op.proj >= H:
        H = op.proj + 1
    arguments, keywords, upstream = _case(op, T, B, H, dtype, lengths=lengths, reset=reset, which="both")
    keywords["reverse"] = reverse
    got = op.with_gradients(arguments, upstream, backend="torch", **keywords)
    want = op.with_gradients(arguments, upstream, backend="reference", **keywords)
    # The longest sum is that of a weight's gradient, T * B terms, each of which went through up to T steps.
    compare(got, want, terms=None if dtype == torch.float64 else T * B + op.num_gates * H + 5)


@pytest.mark.parametrize("which", ["output", "final"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_output_and_final_state_alone(op, compare, which, reverse, bias):
    arguments, keywords, upstream = _case(op, 6, 5, 7, torch.float64, lengths=True, reset=True, which=which, bias=bias)
    got = op.with_gradients(arguments, upstream, backend="torch", reverse=reverse, **keywords)
    compare(got, op.with_gradients(arguments, upstream, backend="reference", reverse=reverse, **keywords))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("T", [1, 6])
def test_inputs_that_are_not_contiguous(op, compare, T, dtype):
    arguments, keywords, upstream = _case(op, T, 5, 7, dtype, lengths=True, reset=True, which="both")
    strided = {n: a.repeat_interleave(2, -1)[..., ::2] for n, a in arguments.items()}
    strided["x"] = arguments["x"].transpose(0, 1).contiguous().transpose(0, 1)
    assert not any(a.is_contiguous() for n, a in strided.items() if a.numel() > 1 and n != "x")
    keywords["reset"] = keywords["reset"].T.contiguous().T
    got = op.with_gradients(strided, upstream, backend="torch", **keywords)
    want = op.with_gradients(arguments, upstream, backend="torch", **keywords)
    compare(got, want, terms=None if dtype == torch.float64 else T * 5 + 7)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_what_lies_past_the_end_is_never_seen(op, compare, backend, reverse, reset):
    """NaN there changes nothing, and no gradient comes back from there."""
    T, lengths = 6, torch.tensor([6, 0, 3, 1])
    arguments = op.arguments(T, 4, 5, 7)
    keywords = {"lengths": lengths, "reverse": reverse, "backend": backend}
    if reset:
        keywords["reset"] = torch.rand(T, 4) < 0.3
    over = torch.arange(T)[:, None] >= lengths
    upstream = {n: torch.randn_like(v) for n, v in op(arguments, **keywords).items()}
    want = op.with_gradients(arguments, upstream, **keywords)
    arguments["x"][over] = torch.nan
    got = op.with_gradients(arguments, upstream, **keywords)
    assert bool((got["output"][over] == 0).all())
    assert bool((got["dx"][over] == 0).all())
    compare(got, want)


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [(name, dtype) for name in ("cpu", "torch", "reference") for dtype in (torch.float64, torch.float32)]
    + [(name, torch.bfloat16) for name in ("torch", "reference")],
)
def test_a_state_without_a_bound_does_not_run_away_past_the_end(backend, dtype):
    """One that doubles with each step would be infinite long before the longest row ends, and its gradients NaN."""
    T = 20 + int(torch.log2(torch.tensor(torch.finfo(dtype).max, dtype=torch.float64)))
    x = torch.full((T, 2, 1), -1.0, dtype=dtype)
    x[0, 0] = 1
    weights = [torch.ones(1, 1, dtype=dtype).requires_grad_(), torch.full((1, 1), 2.0, dtype=dtype).requires_grad_()]
    output, (final,), _ = recurrence(
        "rnn",
        x,
        [torch.zeros(2, 1, dtype=dtype)],
        dict(zip(("weight_ih", "weight_hh"), weights, strict=True)),
        options=Options(nonlinearity="relu"),
        lengths=torch.tensor([2, T]),
        backend=backend,
    )
    (output.sum() + final.sum()).backward()
    assert output[:2, 0, 0].tolist() == [1, 1]
    # The second step has a gradient of 2, from the output and the final state; the first 1 + 2 * 2.
    assert [weight.grad.item() for weight in weights] == [5 * 1 + 2 * -1, 2 * 1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [1.0, 1e6])
def test_the_cell_state_stays_past_the_end_whatever_the_weights(ops, compare, dtype, size):
    arguments = ops["lstm"].arguments(9, 3, 5, 33, dtype)
    arguments |= {name: value * size for name, value in arguments.items() if "hh" in name or "bias" in name}
    lengths = torch.tensor([0, 4, 9])
    upstream = {"c": torch.randn(3, 33, dtype=dtype)}
    got = ops["lstm"].with_gradients(arguments, upstream, lengths=lengths, backend="torch")
    assert torch.equal(got["c"][0], arguments["c0"][0])
    assert torch.equal(got["dc0"][0], upstream["c"][0])
    alone = {name: value[1:2] if name in ("h0", "c0") else value for name, value in arguments.items()}
    alone["x"] = arguments["x"][:4, 1:2]
    want = ops["lstm"](alone, backend="torch")["c"][0]
    compare({"c": got["c"][1]}, {"c": want}, terms=None if dtype == torch.float64 else 33 + 5)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_row_alone_is_that_row_in_the_batch(op, compare, backend, reverse):
    T, lengths = 6, torch.tensor([6, 0, 3, 1])
    arguments = op.arguments(T, 4, 5, 7)
    reset = torch.rand(T, 4) < 0.3
    together = op(arguments, lengths=lengths, reset=reset, reverse=reverse, backend=backend)
    for row, length in enumerate(lengths.tolist()):
        alone = {n: a[row : row + 1] if n in op.state_names else a for n, a in arguments.items()}
        state = {n[0]: together[n[0]][row : row + 1] for n in op.state_names}
        if not length:
            compare(state, {n[0]: alone[n] for n in op.state_names})
            continue
        alone["x"] = arguments["x"][:length, row : row + 1]
        got = op(alone, reset=reset[:length, row : row + 1], reverse=reverse, backend=backend)
        compare({"output": together["output"][:length, row : row + 1], **state}, got)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_halves_with_the_state_carried_over_are_the_whole(op, compare, backend):
    arguments = op.arguments(7, 3, 5, 7)
    whole = op(arguments, backend=backend)
    for sizes in ([3, 4], [1] * 7):
        parts, state = [], {n: arguments[n] for n in op.state_names}
        for x in arguments["x"].split(sizes):
            found = op({**arguments, **state, "x": x}, backend=backend)
            state = {n: found[n[0]] for n in op.state_names}
            parts.append(found["output"])
        compare({"output": torch.cat(parts), **{n[0]: s for n, s in state.items()}}, whole)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_a_reset_starts_from_the_initial_state(op, compare, backend):
    arguments = op.arguments(7, 2, 5, 7)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[3, 1] = True
    whole = op(arguments, reset=reset, backend=backend)
    compare({"y": whole["output"][:, :1]}, {"y": op(arguments, backend=backend)["output"][:, :1]})
    late = op({**arguments, "x": arguments["x"][3:]}, backend=backend)
    compare({"y": whole["output"][3:, 1], "h": whole["h"][1]}, {"y": late["output"][:, 1], "h": late["h"][1]})


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_reset_goes_where_it_is_told_and_so_does_the_gradient(op, compare, backend, at):
    arguments, other = op.arguments(7, 2, 5, 7), op.arguments(7, 2, 5, 7)
    anew = tuple(other[name].requires_grad_() for name in op.state_names)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[at, 1] = True
    keywords = {"reset": reset, "reset_state": anew, "backend": backend}
    whole = op(arguments, **keywords)
    late = op({**arguments, **dict(zip(op.state_names, anew, strict=True)), "x": arguments["x"][at:]}, backend=backend)
    compare({"y": whole["output"][at:, 1], "h": whole["h"][1]}, {"y": late["output"][:, 1], "h": late["h"][1]})
    got = torch.autograd.grad(whole["output"][at:, 1].square().sum(), anew)
    want = torch.autograd.grad(late["output"][:, 1].square().sum(), anew)
    compare(dict(zip(op.state_names, got, strict=True)), dict(zip(op.state_names, want, strict=True)))
    assert all(bool((gradient[0] == 0).all()) for gradient in got)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_reverse_is_forward_on_the_turned_rows(op, compare, backend):
    arguments = op.arguments(6, 4, 5, 7)
    lengths = torch.tensor([6, 0, 3, 1])
    got = op(arguments, lengths=lengths, reverse=True, backend=backend)
    turned = {**arguments, "x": turn(arguments["x"], lengths)}
    want = op(turned, lengths=lengths, backend=backend)
    want["output"] = turn(want["output"], lengths)
    compare(got, want)


def test_turn():
    x = torch.arange(8).reshape(4, 2, 1)
    assert turn(x, torch.tensor([3, 0]))[..., 0].tolist() == [[4, 1], [2, 3], [0, 5], [6, 7]]
    assert turn(x, None)[..., 0].tolist() == [[6, 7], [4, 5], [2, 3], [0, 1]]


@pytest.mark.parametrize(("T", "lengths"), [(1, None), (5, None), (5, torch.tensor([2, 0, 5]))])
def test_second_derivatives_are_those_of_the_reference(op, compare, T, lengths):
    """In float32 as well, where an LSTM on a CPU is oneDNN's."""

    def second(backend):
        arguments = op.arguments(T, 3, 4, 5, torch.float32)
        leaves = {n: a.requires_grad_() for n, a in arguments.items()}
        output = op(leaves, lengths=lengths, backend=backend)["output"]
        (first,) = torch.autograd.grad(output.pow(2).sum(), leaves["x"], create_graph=True)
        grads = torch.autograd.grad(first.pow(2).sum(), list(leaves.values()), allow_unused=True)
        return {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in zip(leaves, grads, strict=True)}

    torch.manual_seed(1)
    got = second("torch")
    torch.manual_seed(1)
    compare(got, second("reference"), terms=T * 3 + 20)


@pytest.mark.parametrize("size", [5, 8])
def test_a_projection_that_does_not_narrow_is_left_to_the_reference(ops, compare, size):
    """Torch's function tells a projection by its width being another than the cell's."""
    op = dataclasses.replace(ops["lstm"], proj=size)
    wide = {"weight_hr": (size, 5), "weight_hh": (20, size), "h0": (2, size)}
    arguments = op.arguments(4, 2, 3, 5)
    arguments |= {name: torch.randn(shape, dtype=torch.float64) for name, shape in wide.items()}
    compare(op(arguments), op(arguments, backend="reference"))
    with pytest.raises(BackendError, match=r"'torch' refused: torch's own cell takes projections to fewer than"):
        op(arguments, backend="torch")


def test_it_is_compiled(op):
    """As one graph, which a transform alone forbids."""
    arguments = op.arguments(5, 2, 3, 7 + op.proj, torch.float64, True)

    def run(x):
        return op({**arguments, "x": x}, backend="torch")["output"]

    torch._dynamo.reset()
    x = arguments["x"]
    torch.testing.assert_close(torch.compile(run, backend="eager", fullgraph=True)(x), run(x))
    with pytest.raises(BackendError, match=r"torch's recurrent functions do not run under torch\.func"):
        torch.func.vmap(run)(x[None])
