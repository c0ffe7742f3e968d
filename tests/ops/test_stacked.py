"""The layers of a stack on the CPU kernels in one function: the same results as one layer after the other."""

import copy
from unittest import mock

import pytest
import torch

from recur import engine, nn
from recur.ops import _cpu, _several

pytestmark = pytest.mark.skipif(engine.missing_kernels() is not None, reason="there are no kernels")

T, B, INPUTS, H = 40, 2, 33, 64
KINDS = ["RNN", "GRU", "LSTM", "IndRNN", "MGU", "LiGRU"]


@pytest.fixture(autouse=True)
def two_threads(threads):
    """One alone takes one layer after the other."""
    threads(2)


@pytest.fixture
def stacked(monkeypatch):
    """How many stacks were handed to the kernels at once."""
    taken = []
    honest = _several.forward_stack

    def counting(passes):
        taken.append(len(passes))
        honest(passes)

    monkeypatch.setattr(_several, "forward_stack", counting)
    monkeypatch.setattr(_cpu, "forward_stack", counting)
    return taken


def one_by_one(layer, x, **keywords):
    """What the layer returns when each layer of the stack is a call of its own."""
    with mock.patch.object(_cpu.Cpu, "takes_stack", return_value=False):
        return layer(x, **keywords)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [2, 3, 5])
def test_the_same_as_one_by_one(kind, num_layers, any_threads, stacked, gradients, repeats):
    torch.manual_seed(0)
    layer = getattr(nn, kind)(INPUTS, H, num_layers, dtype=torch.float64)
    x = torch.randn(T, B, INPUTS, dtype=torch.float64, requires_grad=True)
    given = {"lengths": torch.tensor([T, T - 7]), "reset": torch.rand(T, B) < 0.1}
    found, expected = layer(x, **given), one_by_one(layer, x, **given)
    assert stacked == ([num_layers] if any_threads > 1 else [])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(layer, found, [x]), gradients(layer, expected, [x]))
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, **given), found)
    assert stacked == ([num_layers] * 2 if any_threads > 1 else [])
    repeats(layer, x, given, found)


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm": True},
        {"proj_size": 7},
        {"peephole": True, "coupled": True},
        {"cell_clip": 0.5, "output_clip": 0.3, "gradient_clip": 0.1},
        {"initial_state": "learned"},
        {"recompute": 8},
        {"batch_first": True},
        {"bias": False},
    ],
    ids=lambda options: "-".join(options),
)
def test_options(options, any_threads, stacked, gradients):
    torch.manual_seed(0)
    layer = nn.LSTM(INPUTS, H, 3, dtype=torch.float64, **options)
    x = torch.randn(B, T, INPUTS) if "batch_first" in options else torch.randn(T, B, INPUTS)
    x = x.double().requires_grad_()
    found, expected = layer(x), one_by_one(layer, x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(layer, found, [x]), gradients(layer, expected, [x]))
    assert len(stacked) == (any_threads > 1 and "recompute" not in options)


@pytest.mark.parametrize("options", [{"zoneout": 0.1}, {"dropout": 0.1}, {"skip": "residual"}, {"dilation": [1, 2]}])
def test_other_stacks_go_one_by_one(options, stacked):
    nn.GRU(H, H, 2, **options)(torch.randn(T, B, H))
    assert stacked == []


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_layers(frozen, stacked):
    torch.manual_seed(0)
    layer = nn.GRU(INPUTS, H, 3)
    for name, weight in layer.named_parameters():
        weight.requires_grad_(f"_l{frozen}" not in name)
    x = torch.randn(T, B, INPUTS)
    layer(x)[0].sum().backward()
    found = {name: weight.grad for name, weight in layer.named_parameters()}
    layer.zero_grad()
    one_by_one(layer, x)[0].sum().backward()
    # Where the lowest learns nothing it saves nothing, and what is above learns by itself.
    assert stacked == ([3] if frozen else [])
    for name, weight in layer.named_parameters():
        torch.testing.assert_close(found[name], weight.grad)


@pytest.mark.parametrize("layer_used", [0, 1, 2])
def test_a_final_state_may_be_all_that_is_used(layer_used):
    torch.manual_seed(0)
    layer = nn.LSTM(INPUTS, H, 3, dtype=torch.float64)
    x = torch.randn(T, B, INPUTS, dtype=torch.float64)
    found = []
    for run in (layer, lambda x: one_by_one(layer, x)):
        layer.zero_grad()
        run(x)[1][1][layer_used].sum().backward()
        found.append([torch.zeros_like(w) if w.grad is None else w.grad for w in layer.parameters()])
    torch.testing.assert_close(*found)


def test_derivatives_of_derivatives(stacked, gradients):
    torch.manual_seed(0)
    layer = nn.GRU(INPUTS, H, 2, dtype=torch.float64)
    x = torch.randn(20, 1, INPUTS, dtype=torch.float64, requires_grad=True)
    found = []
    for run in (layer, lambda x: one_by_one(layer, x)):
        slope = torch.autograd.grad(run(x)[0].square().sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(slope.square().sum(), [x, *layer.parameters()]))
        vectors = torch.eye(H, dtype=torch.float64)
        found[-1] += torch.autograd.grad(run(x)[0][7, 0], x, vectors, is_grads_batched=True)
    torch.testing.assert_close(*found)
    assert stacked == [2, 2]


@pytest.mark.parametrize("name", ["lengths", "reset", "x", "weight_hh_l0", "weight_ih_l1"])
def test_what_is_written_over_is_seen(name, stacked):
    layer = nn.GRU(INPUTS, H, 2)
    given = {"lengths": torch.tensor([T, T - 7]), "reset": torch.rand(T, B) < 0.1}
    x = torch.randn(T, B, INPUTS)
    output, _ = layer(x, **given)
    assert stacked == [2]
    with torch.no_grad():
        ({"x": x} | given | dict(layer.named_parameters()))[name].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_bfloat16_goes_one_by_one(stacked):
    """It is rounded between layers."""
    layer = nn.LSTM(INPUTS, H, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(T, B, INPUTS))[0].dtype == torch.bfloat16
    layer.bfloat16()(torch.randn(T, B, INPUTS, dtype=torch.bfloat16))
    assert stacked == []


@pytest.mark.parametrize(
    ("steps", "batch", "units", "count"), [(15, 2, 64, 2), (40, 7, 64, 2), (40, 2, 512, 2), (40, 2, 64, 1)]
)
def test_what_would_gain_nothing_goes_one_by_one(steps, batch, units, count, threads, stacked):
    """Few steps, many rows, large weights, one thread."""
    threads(count)
    nn.LSTM(INPUTS, units, 2)(torch.randn(steps, batch, INPUTS))
    assert stacked == []


def test_weights_that_are_kept_packed_are_those_of_now(stacked):
    torch.manual_seed(0)
    layer = nn.LSTM(INPUTS, H, 2).eval()
    x = torch.randn(T, B, INPUTS)
    with torch.no_grad():
        layer(x)
        for name, weight in layer.named_parameters():
            weight.add_(0.1)
            torch.testing.assert_close(layer(x), copy.deepcopy(layer)(x), rtol=0, atol=0, msg=name)
    assert len(stacked) == 17


def test_compiled_and_mapped_calls_go_one_by_one(stacked):
    layer = nn.LSTM(INPUTS, H, 2)
    x = torch.randn(T, B, INPUTS)
    expected = one_by_one(layer, x)[0]
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x)[0], expected)
    mapped = torch.func.vmap(lambda each: layer(each)[0], in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(mapped, expected)
    assert stacked == []
