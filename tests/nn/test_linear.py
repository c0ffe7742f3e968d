"""The linear layer takes the place of torch's: parameters, results, and everything that torch does with a module."""

import copy
import inspect
import io
import pickle
import warnings

import pytest
import torch
from torch import nn

from recur.errors import BackendError
from recur.nn import Linear
from recur.ops.linear import cpu

INPUTS, OUTPUTS = 65, 100


@pytest.fixture(autouse=True)
def anything_is_worth_it(monkeypatch):
    """The engine runs whatever it can, however small and whatever the processor, as far as there are kernels."""
    monkeypatch.setattr(cpu, "_is_measured", lambda isa: True)
    monkeypatch.setattr(cpu, "LEAST_ROWS", 0)
    monkeypatch.setattr(cpu, "LEAST_WORK", 0)
    monkeypatch.setattr(cpu, "LEAST_WORK_LEARNING", 0)


def pair(**more):
    """Return our layer and torch's with the same weights."""
    ours, theirs = Linear(INPUTS, OUTPUTS, **more), nn.Linear(INPUTS, OUTPUTS, **more)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_arguments_and_parameters_are_torchs():
    theirs = inspect.signature(nn.Linear).parameters
    ours = inspect.signature(Linear).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert {name: ours[name].default for name in theirs} == {name: each.default for name, each in theirs.items()}
    for bias in (True, False):
        torch.manual_seed(3)
        mine = Linear(INPUTS, OUTPUTS, bias, dtype=torch.float64).state_dict()
        torch.manual_seed(3)
        expected = nn.Linear(INPUTS, OUTPUTS, bias, dtype=torch.float64).state_dict()
        assert list(mine) == list(expected)
        assert all(torch.equal(mine[name], expected[name]) for name in expected)
    assert isinstance(Linear(2, 3), nn.Linear)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
def test_results_and_gradients(bias, dtype):
    ours, theirs = pair(bias=bias, dtype=dtype)
    x = torch.randn(4, 33, INPUTS, dtype=dtype, requires_grad=True)
    upstream = torch.randn(4, 33, OUTPUTS, dtype=dtype)
    y, expected = ours(x), theirs(x)
    torch.testing.assert_close(y, expected)
    found = torch.autograd.grad(y, [x, *ours.parameters()], upstream)
    torch.testing.assert_close(found, torch.autograd.grad(expected, [x, *theirs.parameters()], upstream))


def test_state_dicts_both_ways():
    ours, theirs = Linear(INPUTS, OUTPUTS), nn.Linear(INPUTS, OUTPUTS)
    x = torch.randn(3, INPUTS)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    theirs.reset_parameters()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    nn.Linear(INPUTS, OUTPUTS).load_state_dict(torch.load(file, weights_only=True))


@pytest.mark.parametrize("way", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(way):
    ours = Linear(INPUTS, OUTPUTS, backend="torch")
    other = way(ours)
    x = torch.randn(3, INPUTS)
    assert torch.equal(other(x), ours(x))
    assert other.backend == "torch"
    assert other.weight is not ours.weight


def test_it_is_printed_as_written():
    assert repr(Linear(2, 3)) == "Linear(in_features=2, out_features=3, bias=True)"
    assert repr(Linear(2, 3, False, backend="cpu")) == (
        "Linear(in_features=2, out_features=3, bias=False, backend='cpu')"
    )


# Torch's own formulas for forward mode are written in TorchScript.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torch_func():
    ours, theirs = pair(dtype=torch.float64)
    x = torch.randn(5, 2, INPUTS, dtype=torch.float64)
    weights = dict(ours.named_parameters())

    def loss(weights, x):
        return torch.func.functional_call(ours, weights, (x,)).square().sum()

    torch.testing.assert_close(torch.func.vmap(ours)(x), theirs(x))
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)
    for n in range(len(x)):
        torch.testing.assert_close(torch.func.grad(loss)(weights, x[n]), {name: g[n] for name, g in each.items()})
    _, slope = torch.func.jvp(ours, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(slope, (ours.weight.sum(1)).expand(5, 2, OUTPUTS))


def test_compiled_and_exported():
    ours, theirs = pair()
    compiled = torch.compile(ours, backend="eager", fullgraph=True)
    for rows in (3, 7):
        x = torch.randn(rows, INPUTS)
        torch.testing.assert_close(compiled(x), theirs(x))
    program = torch.export.export(ours, (torch.randn(4, INPUTS),), dynamic_shapes=({0: torch.export.Dim("N")},))
    x = torch.randn(9, INPUTS)
    torch.testing.assert_close(program.module()(x), theirs(x))
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert names == ["aten.linear.default"]


def test_traced():
    ours, theirs = pair()
    with warnings.catch_warnings():
        # That torch.jit is on its way out.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(ours, torch.randn(4, INPUTS))
    x = torch.randn(9, INPUTS)
    torch.testing.assert_close(traced(x), theirs(x))


def test_autocast():
    ours, theirs = pair()
    x = torch.randn(4, INPUTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = ours(x)
        assert torch.equal(y, theirs(x))
        assert torch.equal(ours(x.bfloat16()), y)
    assert y.dtype == torch.bfloat16


def test_parametrized_weights():
    ours, theirs = pair()
    for layer in (ours, theirs):
        nn.utils.parametrizations.weight_norm(layer)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, INPUTS)
    torch.testing.assert_close(ours(x), theirs(x))
    ours(x).sum().backward()
    theirs(x).sum().backward()
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, theirs.get_parameter(name).grad)


def test_on_the_device_meta():
    assert Linear(INPUTS, OUTPUTS, device="meta")(torch.empty(3, INPUTS, device="meta")).shape == (3, OUTPUTS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_cuda():
    ours, theirs = (layer.cuda() for layer in pair())
    x = torch.randn(4, INPUTS, device="cuda")
    assert torch.equal(ours(x), theirs(x))
    with pytest.raises(ValueError, match=r"^Linear: x is on cpu, but weight is on cuda:0\. Move it with"):
        ours(x.cpu())


def test_explain():
    layer = Linear(INPUTS, OUTPUTS, backend="torch")
    assert str(layer.explain(torch.zeros(3, INPUTS))).endswith("torch  runs\n  cpu    not asked for: backend='torch'")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0], TypeError, r"^Linear: x must be a torch\.Tensor, but is list\.$"),
        (
            torch.tensor(1.0),
            ValueError,
            r"^Linear: x must have at least 1 dimension, but has none\. Give it 3 features\.$",
        ),
        (
            torch.zeros(2, 4),
            ValueError,
            r"^Linear: x has 4 features but in_features is 3\. Pass in_features=4, or give x of shape \(\.\.\., 3\)\.$",
        ),
        (
            torch.zeros(2, 3, dtype=torch.float64),
            TypeError,
            r"^Linear: x is torch\.float64, but weight is torch\.float32\. Convert it with x\.to\(torch\.float32\), "
            r"or the layer with layer\.to\(torch\.float64\)\.$",
        ),
        (
            torch.zeros(2, 3, device="meta"),
            ValueError,
            r"^Linear: x is on meta, but weight is on cpu\. Move it with x\.to\('cpu'\)\.$",
        ),
    ],
)
def test_bad_input(x, error, message):
    with pytest.raises(error, match=message):
        Linear(3, 2)(x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_features": 3.0}, ValueError, r"^Linear: in_features must be a whole number of 0 or more, but is 3\.0\.$"),
        ({"out_features": -1}, ValueError, r"^Linear: out_features must be a whole number of 0 or more, but is -1\.$"),
        ({"bias": 1}, TypeError, r"^Linear: bias must be a bool, but is int\.$"),
        (
            {"backend": "mkl"},
            ValueError,
            r"^Linear: there is no back end 'mkl'\. Choose one of 'auto', 'cpu', 't",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Linear(**{"in_features": 3, "out_features": 2} | arguments)


def test_a_back_end_that_is_named_runs_or_raises():
    layer = Linear(3, 2, backend="cpu").half()
    with pytest.raises(BackendError, match=r"^Linear: 'cpu' refused: .*\. Choose another back end, or"):
        layer(torch.zeros(4, 3).half())


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: setattr(layer, "bias", nn.Parameter(torch.ones(1))),
        lambda layer: setattr(layer, "weight", nn.Parameter(layer.weight.detach().to_sparse_csr(), False)),
    ],
    ids=["one_bias", "sparse"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_parameters_that_torch_takes_too(change):
    layer = Linear(256, 512)
    change(layer)
    x = torch.randn(256, 256)
    with torch.no_grad():
        want = nn.functional.linear(x, layer.weight, layer.bias)
        torch.testing.assert_close(layer(x), want, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [torch.zeros(3), torch.zeros(512, dtype=torch.float64)])
def test_a_bias_that_does_not_fit(bias):
    layer = Linear(256, 512)
    layer.bias = nn.Parameter(bias)
    with pytest.raises(RuntimeError):
        layer(torch.randn(256, 256))
    layer.backend = "cpu"
    with pytest.raises(BackendError, match=r"its kernels take a bias of shape \(512,\) in x's dtype"):
        layer(torch.randn(256, 256))
