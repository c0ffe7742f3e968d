"""The references: against numbers worked out by hand, against torch in float64, and their derivatives."""

import math

import pytest
import torch

from recur.ops import Noise


def _sigmoid(v):
    return 1 / (1 + math.exp(-v))


def test_lstm_by_hand(ops, compare):
    """One unit, two steps, every number different, so that no two gates and no two biases can be exchanged."""
    w_ih, w_hh = [0.5, -0.3, 0.8, 0.2], [0.1, 0.7, -0.4, 0.6]
    b_ih, b_hh = [0.01, 0.02, 0.03, 0.04], [0.1, -0.2, 0.3, -0.4]
    xs, h, c = [1.5, -0.5], 0.25, -0.75
    hs = []
    for x in xs:
        i, f, g, o = (w_ih[k] * x + b_ih[k] + w_hh[k] * h + b_hh[k] for k in range(4))
        c = _sigmoid(f) * c + _sigmoid(i) * math.tanh(g)
        h = _sigmoid(o) * math.tanh(c)
        hs.append(h)
    column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None]  # noqa: E731
    got = ops["lstm"](
        {
            "x": column(xs)[..., None],
            "h0": torch.tensor([[0.25]], dtype=torch.float64),
            "c0": torch.tensor([[-0.75]], dtype=torch.float64),
            "weight_ih": column(w_ih),
            "weight_hh": column(w_hh),
            "bias_ih": column(b_ih)[:, 0],
            "bias_hh": column(b_hh)[:, 0],
        },
        backend="reference",
    )
    compare(got, {"output": column(hs)[..., None], "h": column([h]), "c": column([c])})


def test_gru_by_hand(ops, compare):
    w_ih, w_hh = [0.5, -0.3, 0.8], [0.1, 0.7, -0.4]
    b_ih, b_hh = [0.01, 0.02, 0.03], [0.1, -0.2, 0.3]
    xs, h = [1.5, -0.5], 0.25
    hs = []
    for x in xs:
        xr, xz, xn = (w_ih[k] * x + b_ih[k] for k in range(3))
        hr, hz, hn = (w_hh[k] * h + b_hh[k] for k in range(3))
        r, z = _sigmoid(xr + hr), _sigmoid(xz + hz)
        h = (1 - z) * math.tanh(xn + r * hn) + z * h
        hs.append(h)
    column = lambda values: torch.tensor(values, dtype=torch.float64)[:, None]  # noqa: E731
    got = ops["gru"](
        {
            "x": column(xs)[..., None],
            "h0": torch.tensor([[0.25]], dtype=torch.float64),
            "weight_ih": column(w_ih),
            "weight_hh": column(w_hh),
            "bias_ih": column(b_ih)[:, 0],
            "bias_hh": column(b_hh)[:, 0],
        },
        backend="reference",
    )
    compare(got, {"output": column(hs)[..., None], "h": column([h])})


@pytest.mark.parametrize(("name", "f"), [("rnn_tanh", math.tanh), ("rnn_relu", lambda v: max(v, 0.0))])
def test_rnn_by_hand(ops, compare, name, f):
    first = f(0.5 * 1.5 + 0.1 - 0.7 * 0.25 + 0.03)
    second = f(0.5 * -0.5 + 0.1 - 0.7 * first + 0.03)
    scalar = lambda v: torch.tensor([[v]], dtype=torch.float64)  # noqa: E731
    got = ops[name](
        {
            "x": torch.tensor([1.5, -0.5], dtype=torch.float64)[:, None, None],
            "h0": scalar(0.25),
            "weight_ih": scalar(0.5),
            "weight_hh": scalar(-0.7),
            "bias_ih": scalar(0.1)[0],
            "bias_hh": scalar(0.03)[0],
        },
        backend="reference",
    )
    compare(got, {"output": torch.cat([scalar(first), scalar(second)])[..., None], "h": scalar(second)})


def _torch_results(op, arguments, upstream):
    """The same op by torch.nn's module, named as `with_gradients` names it."""
    kind = op.kind.upper()
    H, R = arguments["weight_ih"].shape[0] // op.num_gates, arguments["weight_hh"].shape[1]
    extra = {"nonlinearity": "relu"} if op.name == "rnn_relu" else {"proj_size": R} if op.proj else {}
    module = getattr(torch.nn, kind)(
        arguments["x"].shape[2], H, bias="bias_ih" in arguments, dtype=torch.float64, **extra
    )
    weights = {n: a for n, a in arguments.items() if n.startswith(("weight", "bias"))}
    module.load_state_dict({f"{n}_l0": a for n, a in weights.items()})
    x = arguments["x"].clone().requires_grad_()
    states = {n: arguments[n].clone().requires_grad_() for n in op.state_names}
    hx = tuple(s[None] for s in states.values())
    output, final = module(x, hx if len(hx) > 1 else hx[0])
    parts = final if isinstance(final, tuple) else (final,)
    outputs = {"output": output, **{n: p[0] for n, p in zip(("h", "c"), parts, strict=False)}}
    sum((outputs[n] * u).sum() for n, u in upstream.items()).backward()
    leaves = {"x": x, **states, **{n: getattr(module, f"{n}_l0") for n in weights}}
    grads = {f"d{n}": torch.zeros_like(v) if v.grad is None else v.grad for n, v in leaves.items()}
    return {n: o.detach() for n, o in outputs.items()} | grads


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("which", ["output", "final", "both"])
@pytest.mark.parametrize(("T", "B", "H"), [(1, 1, 4), (2, 5, 7), (9, 2, 16)])
def test_values_and_all_gradients_are_those_of_torch(op, compare, T, B, H, which, bias):
    arguments = op.arguments(T, B, 3, H, bias=bias)
    plain = op(arguments, backend="reference")
    chosen = {"output": ["output"], "final": [n for n in plain if n != "output"], "both": list(plain)}[which]
    upstream = {n: torch.randn_like(plain[n]) for n in chosen}
    compare(op.with_gradients(arguments, upstream, backend="reference"), _torch_results(op, arguments, upstream))


@pytest.mark.parametrize("second", [False, True])
def test_derivatives(any_op, second):
    op = any_op
    arguments = {n: a.requires_grad_() for n, a in op.arguments(3, 3, 2, 4).items()}
    lengths = torch.tensor([3, 0, 2])
    reset = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.bool)

    def run(*values):
        found = op(
            dict(zip(arguments, values, strict=True)), lengths=lengths, reset=reset, reverse=True, backend="reference"
        )
        return tuple(found.values())

    check = torch.autograd.gradgradcheck if second else torch.autograd.gradcheck
    # Second derivatives in a random direction rather than each by itself, which takes seconds.
    assert check(run, tuple(arguments.values()), fast_mode=second)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["rnn_tanh", "indrnn_norm", "gru", "gru_before", "mgu", "ligru_norm_proj", "lstm_all"])
def test_derivatives_with_noise(ops, name, reverse, second):
    op = ops[name]
    arguments = {n: a.requires_grad_() for n, a in op.arguments(2, 2, 2, 3).items()}
    sizes = op.cell.state_sizes(3, min(op.proj, 3))
    noise = Noise(
        2.0 * torch.eye(2, sizes[0], dtype=torch.float64),
        None if len(op.cell.gates) == 1 else torch.rand(2, 2, 3, dtype=torch.float64),
        tuple(torch.rand(2, 2, size, dtype=torch.float64) for size in sizes),
    )

    def run(*values):
        return tuple(op(dict(zip(arguments, values, strict=True)), noise=noise, reverse=reverse).values())

    check = torch.autograd.gradgradcheck if second else torch.autograd.gradcheck
    assert check(run, tuple(arguments.values()), fast_mode=True)
