"""Both directions of a layer on the CPU kernels at once: the same results as one direction after the other."""

import copy

import pytest
import torch

from recur import engine, nn
from recur.ops import _cpu, _dispatch, _several, fallbacks

pytestmark = pytest.mark.skipif(engine.missing_kernels() is not None, reason="there are no kernels")

T, B, INPUTS, H = 40, 2, 33, 64
# Enough work for two threads with every kind.
KINDS = ["RNN", "GRU", "LSTM", "IndRNN", "MGU", "LiGRU"]


@pytest.fixture
def at_once(monkeypatch):
    """How often two forward, and two backward, passes were handed to the kernels at once."""
    calls = {"forward": 0, "backward": 0}

    def counted(name, function):
        def counting(*passes):
            calls[name] += 1
            function(*passes)

        return counting

    for where in (_cpu, _several):
        monkeypatch.setattr(where, "forward_both", counted("forward", where.forward_both))
    monkeypatch.setattr(_several, "backward_both", counted("backward", _several.backward_both))
    return calls


def one_by_one(layer, x, hx=None, **keywords):
    """What the layer returns when each direction is a call of its own, with the gradients behind it."""
    run_both = _cpu.Cpu.run_both
    try:
        _cpu.Cpu.run_both = lambda self, one, other: (self.run(one), self.run(other))
        return layer(x, hx, **keywords)
    finally:
        _cpu.Cpu.run_both = run_both


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_as_one_by_one(kind, dtype, any_threads, at_once, gradients, repeats):
    torch.manual_seed(0)
    layer = getattr(nn, kind)(INPUTS, H, 2, bidirectional=True, dtype=dtype)
    x = torch.randn(T, B, INPUTS, dtype=dtype, requires_grad=True)
    lengths, reset = torch.tensor([T, T - 7]), torch.rand(T, B) < 0.1
    given = {"lengths": lengths, "reset": reset}
    found, expected = layer(x, **given), one_by_one(layer, x, **given)
    torch.testing.assert_close(found, expected)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {}
    torch.testing.assert_close(gradients(layer, found, [x]), gradients(layer, expected, [x]), **tolerance)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, **given), found)
    assert at_once == {"forward": 4, "backward": 2}
    repeats(layer, x, given, found)


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm": True},
        {"zoneout": 0.3},
        {"recurrent_dropout": 0.3},
        {"proj_size": 7},
        {"peephole": True, "coupled": True},
        {"cell_clip": 0.5, "output_clip": 0.3, "gradient_clip": 0.1},
        {"initial_state": "learned"},
        {"recompute": 8},
    ],
    ids=lambda options: "-".join(options),
)
def test_options(options, any_threads, at_once, gradients):
    torch.manual_seed(0)
    layer = nn.LSTM(INPUTS, H, bidirectional=True, dtype=torch.float64, **options)
    x = torch.randn(T, B, INPUTS, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    found = layer(x)
    torch.manual_seed(2)
    expected = one_by_one(layer, x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(layer, found, [x]), gradients(layer, expected, [x]))
    # What keeps only some states goes through its own segments.
    assert at_once["forward"] == ("recompute" not in options)


def test_directions_that_go_on_apart_are_differentiated_apart(at_once):
    layer = nn.LSTM(INPUTS, H, bidirectional=True, merge=None)
    x = torch.randn(T, B, INPUTS)
    (forward, backward), _ = layer(x)
    forward.sum().backward()
    assert all((weight.grad is None) == ("reverse" in name) for name, weight in layer.named_parameters())
    backward.sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())
    assert at_once == {"forward": 0, "backward": 0}
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], (forward, backward))
    assert at_once["forward"] == 1


def test_a_state_of_one_direction_may_be_all_that_is_used(at_once):
    torch.manual_seed(0)
    layer = nn.GRU(INPUTS, H, bidirectional=True, skip=None, merge="sum")
    single = nn.GRU(INPUTS, H)
    single.load_state_dict({name: value for name, value in layer.state_dict().items() if "reverse" not in name})
    x = torch.randn(T, B, INPUTS)
    _, state = layer(x)
    state[0].sum().backward()
    single(x)[1].sum().backward()
    assert at_once == {"forward": 1, "backward": 1}
    for name, weight in single.named_parameters():
        torch.testing.assert_close(layer.get_parameter(name).grad, weight.grad)


def test_a_frozen_direction_does_not_learn(at_once):
    layer = nn.GRU(INPUTS, H, bidirectional=True)
    frozen = [weight for name, weight in layer.named_parameters() if "reverse" in name]
    for weight in frozen:
        weight.requires_grad_(False)
    x = torch.randn(T, B, INPUTS)
    layer(x)[0].sum().backward()
    assert at_once == {"forward": 0, "backward": 0}
    assert all(weight.grad is None for weight in frozen)
    assert all(weight.grad is not None for weight in layer.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", ["lengths", "reset", "x"])
def test_what_is_written_over_is_seen(name, at_once):
    layer = nn.GRU(INPUTS, H, bidirectional=True)
    given = {"lengths": torch.tensor([T, T - 7]), "reset": torch.rand(T, B) < 0.1}
    x = torch.randn(T, B, INPUTS)
    output, _ = layer(x, **given)
    assert at_once["forward"] == 1
    ({"x": x} | given)[name].logical_not_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("part", [slice(0, 3), slice(3, 6), slice(0, 6)], ids=["forward", "backward", "both"])
def test_derivatives_of_derivatives(part, at_once):
    torch.manual_seed(0)
    layer = nn.GRU(2, 3, bidirectional=True, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0][..., part], (x,))
    assert at_once["forward"] > 0


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"recompute": 2}], ids=str)
def test_several_backward_passes_in_one(options):
    torch.manual_seed(0)
    layer = nn.GRU(2, 3, dtype=torch.float64, **options)
    x = torch.randn(3, 2, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian
    torch.testing.assert_close(jacobian(lambda x: layer(x)[0], x, vectorize=True), jacobian(lambda x: layer(x)[0], x))


def test_records_go_one_by_one(at_once):
    layer = nn.GRU(INPUTS, H, bidirectional=True)
    x = torch.randn(T, B, INPUTS)
    found = layer(x, return_all=True)
    torch.testing.assert_close(found.output, layer(x)[0])
    assert [steps.direction for steps in found.steps] == ["forward", "backward"]
    assert at_once["forward"] == 1


def test_bfloat16_under_autocast(at_once):
    torch.manual_seed(0)
    layer = nn.LSTM(INPUTS, H, bidirectional=True)
    x = torch.randn(T, B, INPUTS)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = layer(x)[0], one_by_one(layer, x)[0]
    assert found.dtype == torch.bfloat16
    assert at_once["forward"] == 1
    torch.testing.assert_close(found, expected)


def test_weights_that_are_kept_packed_are_those_of_now(at_once):
    torch.manual_seed(0)
    layer = nn.LSTM(INPUTS, H, bidirectional=True).eval()
    x = torch.randn(T, B, INPUTS)
    with torch.no_grad():
        layer(x)
        for name, weight in layer.named_parameters():
            weight.add_(0.1)
            anew = copy.deepcopy(layer)
            torch.testing.assert_close(layer(x), anew(x), rtol=0, atol=0, msg=name)
    assert at_once["forward"] == 17


def test_compiled_and_mapped_calls_go_one_by_one(at_once):
    layer = nn.LSTM(INPUTS, H, bidirectional=True)
    x = torch.randn(T, B, INPUTS)
    expected = one_by_one(layer, x)[0]
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x)[0], expected)
    mapped = torch.func.vmap(lambda each: layer(each)[0], in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(mapped, expected)
    assert at_once == {"forward": 0, "backward": 0}


def test_another_back_end_runs_one_by_one(at_once):
    layer = nn.LSTM(INPUTS, H, bidirectional=True)
    x = torch.randn(T, B, INPUTS)
    by_reference = copy.deepcopy(layer)
    by_reference.backend = "reference"
    torch.testing.assert_close(by_reference(x)[0], layer(x)[0])
    forced = copy.deepcopy(layer)
    forced.backend = "cpu"
    torch.testing.assert_close(forced(x)[0], layer(x)[0])
    assert at_once["forward"] == 3


def test_a_form_that_the_kernels_refuse_is_told_of(at_once, monkeypatch):
    monkeypatch.setattr(_dispatch, "_fallbacks", {})
    nn.RNN(INPUTS, H, bidirectional=True, nonlinearity=torch.sin)(torch.randn(T, B, INPUTS))
    assert at_once["forward"] == 0
    assert any("function as nonlinearity" in fallback.reason for fallback in fallbacks())


def test_dilated_layers_go_one_by_one(at_once):
    layer = nn.GRU(INPUTS, H, 2, bidirectional=True, dilation=[1, 2])
    x = torch.randn(T, B, INPUTS)
    torch.testing.assert_close(layer(x)[0], one_by_one(layer, x)[0])
    assert at_once["forward"] == 1
