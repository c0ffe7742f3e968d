"""The CPU kernels as operators of torch: compiled, transformed, faked, and called by themselves."""

from contextlib import contextmanager

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.func import grad, jacrev, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from recur.errors import BackendError
from recur.ops import Noise, _cpu, recurrence

FORMS = [
    "rnn_relu_clip_proj",
    "gru_norm_proj",
    "gru_before",
    "lstm",
    "lstm_all_clip_proj",
    "indrnn",
    "mgu",
    "ligru_relu",
]
"""Every kind, and between them every option."""

FIRST = [("gru_before", "plain"), ("lstm_all_clip_proj", "all")]
"""What is compiled at once; the rest is left to the slow tests."""

EVERYTHING = {"lengths": True, "reset": "other", "noise": True, "records": True, "reverse": True}


@pytest.fixture
def make(drawing):
    def made(name, *, sizes=(5, 4, 3, 6), **situation):
        kind, options, proj = drawing.FORMS[name]
        return drawing.call(kind, options, (*sizes, proj), **situation)

    return made


@pytest.fixture
def by_operator(monkeypatch):
    """A context in which calls go the way of those that are traced."""

    @contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(_cpu, "has_values", lambda x: False)
            yield

    return context


def same(got, want):
    """The same bits: the kernels did it, and were told the same."""
    assert got.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=0, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}")


class Calls(TorchDispatchMode):
    """Remembers with what the operators were called."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "recur":
            self.seen[function] = args
        return function(*args, **(kwargs or {}))


# --- the operators ---------------------------------------------------------------------------------------------------


def test_they_give_what_the_kernels_give(drawing, by_operator):
    for number in range(150):
        drawn = drawing.draw(number)
        want = drawn.results("cpu")
        with by_operator(), Calls() as calls:
            got = drawn.results("cpu")
        same(got, want)
        assert torch.ops.recur.recurrence.default in calls.seen


@pytest.mark.parametrize("name", ["rnn_relu_clip_proj", pytest.param("lstm_peephole", marks=pytest.mark.slow)])
def test_torch_checks_them(make, by_operator, name):
    # Whole vectors, nothing past an end, no norm: what is kept beside may be anything, and torch compares it all.
    drawn = make(name, sizes=(3, 2, 2, 8), **EVERYTHING | {"lengths": False})
    with by_operator(), Calls() as calls:
        drawn.results("cpu")
    assert len(calls.seen) == 2
    for operator, args in calls.seen.items():
        args = [each.detach() if isinstance(each, torch.Tensor) else each for each in args]
        if operator is torch.ops.recur.recurrence.default:
            # The other one is differentiated in the tests below; what the first one kept has no gradient of its own.
            args[:5] = [None if each is None else each.requires_grad_() for each in args[:5]]
        torch.library.opcheck(operator, args)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("learns", [True, False])
def test_fake_tensors_have_the_shapes_of_real_ones(make, name, learns):
    drawn = make(name, **EVERYTHING)
    drawn.wanted = drawn.wanted if learns else ()
    want = drawn.results("cpu")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = drawn.converted(torch.float64)
        fake.leaves = {n: mode.from_tensor(v) for n, v in fake.leaves.items()}
        got = fake.results("cpu")
    assert {n: (v.shape, v.dtype, v.stride()) for n, v in got.items()} == {
        n: (v.shape, v.dtype, v.stride()) for n, v in want.items()
    }


def _arguments(by_operator, drawn):
    with by_operator(), Calls() as calls:
        drawn.results("cpu")
    return list(calls.seen[torch.ops.recur.recurrence.default])


def test_they_look_at_what_they_are_given(make, by_operator):
    args = _arguments(by_operator, make("lstm", lengths=True))
    number = [a is not None and getattr(a, "dtype", None) == torch.int64 for a in args].index(True)
    long = [*args[:number], args[number] + 5, *args[number + 1 :]]
    with pytest.raises(ValueError, match=r"^lstm: lengths has \d+, but x has 5 steps"):
        torch.ops.recur.recurrence(*long)
    with pytest.raises(ValueError, match=r"^lstm: h0 must have shape \(4, 6\)"):
        torch.ops.recur.recurrence(args[0], args[1][:, :5], *args[2:])
    with pytest.raises(TypeError, match=r"^lstm: x is torch.bfloat16, but the operator computes in torch.float32 and"):
        torch.ops.recur.recurrence(args[0].bfloat16(), *args[1:])


def test_without_what_was_saved_there_is_no_way_back(make, by_operator):
    *args, saves = _arguments(by_operator, make("gru"))
    assert saves is True
    # Of what is kept, gates and cell states may be recorded, and so differentiated; the rest has no gradient.
    assert [each.requires_grad for each in torch.ops.recur.recurrence(*args, True)] == [True] * 5 + [False] * 4
    output, *_ = torch.ops.recur.recurrence(*args, False)
    with pytest.raises(BackendError, match="kept nothing for a backward pass"):
        output.sum().backward()


def test_a_mask_that_is_differentiated_is_an_error(make, by_operator):
    """Where the back end sees that, it refuses; under vmap it cannot."""
    drawn = make("gru")
    drawn.keywords["noise"] = Noise(torch.ones(4, 6, dtype=torch.float64))
    args = _arguments(by_operator, drawn)
    number = [each is drawn.keywords["noise"].state for each in args].index(True)
    output, *_ = torch.ops.recur.recurrence(*args[:number], args[number].requires_grad_(), *args[number + 1 :])
    with pytest.raises(BackendError, match="takes no gradient of a mask"):
        output.sum().backward()


def test_under_autocast_they_compute_in_float32(make, by_operator):
    args = _arguments(by_operator, make("gru").converted(torch.float32))
    want = torch.ops.recur.recurrence(*args)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = [args[0].bfloat16(), *args[1:]]
        got = torch.ops.recur.recurrence(*narrow)
    assert got[0].dtype == torch.float32
    torch.testing.assert_close(got[0], want[0], rtol=0, atol=0.05)
    assert not torch.equal(got[0], want[0])


# --- torch.compile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "situation"),
    [
        pytest.param(
            name, key, marks=() if (name, key) in (("gru_before", "plain"), ("lstm", "all")) else pytest.mark.slow
        )
        for name in FORMS
        for key in ("plain", "all")
    ],
)
def test_a_compiled_call_is_the_same(make, name, situation):
    torch._dynamo.reset()
    drawn = make(name, **(EVERYTHING if situation == "all" else {}))
    want = drawn.results("cpu")
    honest, graphs = drawn.outputs, []

    def backend(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    drawn.outputs = lambda _, leaves: torch.compile(honest, backend=backend, fullgraph=True)("auto", leaves)
    same(drawn.results("auto"), want)
    drawn.wanted = ()
    found = drawn.results("auto")
    same(found, {n: want[n] for n in found})
    nodes = [node for graph in graphs for node in graph.graph.nodes if node.target is torch.ops.recur.recurrence]
    # In inference nothing is kept, but for the record.
    assert [node.args[-1] for node in nodes] == [True, situation == "all"]


def test_one_graph_for_any_number_of_steps(make):
    torch._dynamo.reset()
    drawn = make("lstm_peephole", lengths=True)
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    compiled = torch.compile(
        lambda leaves, lengths: recurrence(
            "lstm", leaves["x"], [leaves["h0"], leaves["c0"]], weights(leaves), options=drawn.options, lengths=lengths
        )[:2],
        backend=backend,
        fullgraph=True,
    )
    for num_steps in (5, 9, 2):
        now = make("lstm_peephole", sizes=(num_steps, 4, 3, 6), lengths=True)
        torch._dynamo.mark_dynamic(now.leaves["x"], 0)
        y, state = compiled(now.leaves, now.keywords["lengths"])
        same(dict(zip(("output", "h", "c"), (y, *state), strict=True)), now.outputs("cpu"))
    assert len(graphs) == 1
    with pytest.raises(ValueError, match=r"^lstm: lengths has 12, but x has 2 steps"):
        compiled(now.leaves, torch.full((4,), 12))


def weights(leaves):
    return {n: v for n, v in leaves.items() if n.startswith(("weight", "bias", "norm"))}


# --- torch.func ------------------------------------------------------------------------------------------------------


def flat(outputs):
    return torch.cat([v.flatten() for _, v in sorted(outputs.items())])


def stacked(value, dim=0):
    """Three of it, mapped along `dim`."""
    more = [value, value.flip(0), value.roll(1, 0)]
    return torch.stack(more, dim)


MAPPED = ["x", "h0", "c0", "reset h0", "reset c0", "weight_hh", "bias_ih", "lengths", "reset", "noise"]


@pytest.mark.parametrize("mapped", MAPPED)
def test_each_argument_mapped_alone(make, compare, mapped):
    """Values and per-sample gradients of everything else."""
    drawn = make("lstm_clip_proj", **EVERYTHING)
    # What lies past the end changes where lengths do.
    drawn.leaves["x"] = drawn.leaves["x"].nan_to_num()
    drawn.keywords["noise"] = Noise(
        torch.rand(4, 3).double(), torch.rand(5, 4, 6).double(), (None, torch.rand(5, 4, 6).double())
    )
    noise = drawn.keywords["noise"]
    value = drawn.leaves.get(mapped, drawn.keywords.get(mapped))
    rows = noise.zoneout[1] if mapped == "noise" else value
    dim = rows.dim() - 1 if mapped != "lengths" else 0

    def run(leaves, value):
        keywords = dict(drawn.keywords)
        if mapped == "noise":
            keywords["noise"] = noise._replace(zoneout=(None, value))
        elif mapped in keywords:
            keywords[mapped] = value
        else:
            leaves = leaves | {mapped: value}
        twin = type(drawn)(drawn.kind, drawn.options, leaves, keywords)
        return twin.outputs("cpu")

    many = stacked(rows, dim)
    others = {n: v for n, v in drawn.leaves.items() if n != mapped}
    values = vmap(run, in_dims=(None, dim))(others, many)
    loss = lambda leaves, value: flat(run(leaves, value)).sin().sum()  # noqa: E731
    gradients = vmap(grad(loss), in_dims=(None, dim))(others, many)
    for k, each in enumerate(many.unbind(dim)):
        compare({n: v[k] for n, v in values.items()}, run(others, each), terms=100)
        leaves = {n: v.detach().requires_grad_() for n, v in others.items()}
        want = torch.autograd.grad(loss(leaves, each), list(leaves.values()))
        compare({n: v[k] for n, v in gradients.items()}, dict(zip(leaves, want, strict=True)), terms=1000)


def test_mapped_twice_and_one_zoneout_for_all(make):
    drawn = make("gru")
    drawn.keywords["noise"] = Noise(zoneout=(torch.full((1, 1, 1), 0.2, dtype=torch.float64),))
    many = torch.randn(2, 3, *drawn.leaves["x"].shape, dtype=torch.float64)

    def run(x, keep):
        keywords = drawn.keywords | {"noise": Noise(zoneout=(keep,))}
        return type(drawn)(drawn.kind, drawn.options, drawn.leaves | {"x": x}, keywords).outputs("cpu")["output"]

    shared = drawn.keywords["noise"].zoneout[0]
    found = vmap(vmap(run, in_dims=(0, None)), in_dims=(0, None))(many, shared)
    keeps = torch.tensor([0.1, 0.9], dtype=torch.float64)[:, None, None, None]
    each = vmap(run)(many[:, 0], keeps)
    for k in range(2):
        torch.testing.assert_close(each[k], run(many[k, 0], keeps[k]), rtol=0, atol=0)
        for j in range(3):
            torch.testing.assert_close(found[k, j], run(many[k, j], shared), rtol=0, atol=0)


@pytest.mark.parametrize("name", FORMS)
def test_derivatives_of_derivatives(make, compare, name):
    """Through the operator's own backward pass, mapped by vmap as well, against the eager ones of the reference."""
    drawn = make(name, sizes=(3, 2, 2, 3), **EVERYTHING)
    # A clipped gradient is that of no function, so there is nothing that its derivative should be.
    drawn.options = drawn.options._replace(gradient_clip=None)
    drawn.leaves["x"] = drawn.leaves["x"].nan_to_num()

    def loss(leaves, backend):
        return flat(drawn.outputs(backend, leaves)).sin().sum()

    def steepness(leaves, backend):
        return flat(grad(loss)(leaves, backend)).pow(2).sum()

    want = grad(steepness)(drawn.leaves, "reference")
    compare(grad(steepness)(drawn.leaves, "cpu"), want, terms=1000)
    x = drawn.leaves["x"]
    hessians = [
        jacrev(jacrev(lambda x, b=backend: loss(drawn.leaves | {"x": x}, b)))(x) for backend in ("cpu", "reference")
    ]
    compare({"x": hessians[0]}, {"x": hessians[1]}, terms=1000)


def test_a_transform_that_is_compiled_is_left_to_the_reference(make):
    torch._dynamo.reset()
    drawn = make("gru")
    run = vmap(lambda x: drawn.outputs("auto", drawn.leaves | {"x": x})["output"])
    many = stacked(drawn.leaves["x"])
    torch.testing.assert_close(torch.compile(run, backend="eager", fullgraph=True)(many), run(many), rtol=0, atol=1e-12)
    with pytest.raises(Exception, match=r"its operator is not compiled within torch\.func transforms"):
        torch.compile(
            vmap(lambda x: drawn.outputs("cpu", drawn.leaves | {"x": x})["output"]), backend="eager", fullgraph=True
        )(many)
