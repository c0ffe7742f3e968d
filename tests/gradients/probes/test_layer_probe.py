"""How a layer forgets across resets and where rows die, what its gates keep, and which options it takes."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import probe
from recur.gradients.probes.layer_probe import LayerProbe


def probed(layer: Any, x: Tensor, **options: Any) -> LayerProbe:
    """The first layer in a batch (T, B, I)."""
    target = torch.zeros_like(layer(x)[0])
    options = {"targets": [len(x) - 1], "sources": [0], "exponents": 0, "lags": (), **options}
    return probe(layer, (x, target), **options).layers[0]


def scaling(weight: list[float]) -> recur_nn.RNN:
    """Rectifiers, each of which keeps a share of its own state, and never comes near zero."""
    layer = recur_nn.RNN(1, len(weight), nonlinearity="relu", dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.copy_(torch.diag(torch.tensor(weight, dtype=torch.float64)))
        layer.bias_ih_l0.fill_(1.0)
        layer.bias_hh_l0.zero_()
    return layer


def test_exponents_do_not_see_resets() -> None:
    layer = scaling([0.5])
    reset = torch.zeros(60, 2, dtype=torch.bool)
    reset[7::9, 0] = True
    reset[30, 1] = True
    found = probed(layer, torch.zeros(60, 2, 1, dtype=torch.float64), exponents=1, reset=reset)
    assert found.exponents == pytest.approx([math.log(0.5)], rel=1e-12)
    assert found.lost_rows == 0
    # Reset at every step, nothing is left to tell.
    found = probed(layer, torch.zeros(60, 2, 1, dtype=torch.float64), exponents=1, reset=torch.ones_like(reset))
    assert found.exponents == ()


def test_vectors_keep_their_direction_across_a_reset() -> None:
    """Only after turning for long do they show the leading exponent alone, that of the second unit."""
    layer = scaling([0.01, 0.9])
    reset = torch.zeros(40, 2, dtype=torch.bool)
    # In turns, so that one row goes on while the other does not.
    reset[5::8, 0] = reset[1::8, 1] = True
    found = probed(layer, torch.zeros(40, 2, 1, dtype=torch.float64), exponents=1, reset=reset)
    # In the four steps that do not count the vector turns by a ninetieth each, and its length is off by the square.
    assert found.exponents == pytest.approx([math.log(0.9)], rel=1e-9)


@pytest.mark.parametrize(
    ("steps", "lengths"), [(200, [200] * 4 + [20] * 12), (200, [200, 6, 6, 6]), (200, [200, 12, 12, 12]), (17, [17])]
)
@pytest.mark.parametrize("is_reset", [False, True])
def test_short_rows_do_not_spoil_the_exponents(steps: int, lengths: list[int], is_reset: bool) -> None:
    """From random vectors of 64 units it takes some steps until the leading one is all that is left."""
    layer = scaling([0.95, *[0.1] * 63])
    x, reset = torch.zeros(steps, len(lengths), 1, dtype=torch.float64), torch.zeros(steps, len(lengths)) > 0
    reset[steps // 2, 0] = is_reset
    batch = SimpleNamespace(x=x, target=torch.zeros_like(layer(x)[0]), lengths=lengths, reset=reset)
    options = {"targets": [steps - 1], "sources": [0], "exponents": 1, "lags": (), "rows": len(lengths)}
    found = probe(layer, batch, **options).layers[0]
    # Two steps at least do not count. The others, about 8 times the leading one to begin with, are 0.09 of it by then;
    # half the square of that is what the logarithm of a length is off, over 12 steps at least.
    assert found.exponents == pytest.approx([math.log(0.95)], abs=1e-3)


def test_exponents_weigh_rows_by_their_steps() -> None:
    layer = recur_nn.RNN(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for name, value in {"weight_ih_l0": 1.0, "weight_hh_l0": 0.5, "bias_ih_l0": 0.2, "bias_hh_l0": 0.0}.items():
            getattr(layer, name).fill_(value)
    x = torch.zeros(60, 2, 1, dtype=torch.float64)
    x[:, 1] = 0.4
    options: dict[str, Any] = {"targets": [19], "sources": [0], "exponents": 1, "lags": ()}
    target = torch.zeros(60, 2, 1, dtype=torch.float64)
    whole = SimpleNamespace(x=x, target=target, lengths=[60, 30])
    first, second, both = (
        probe(layer, batch, **options).layers[0].exponents[0]
        for batch in ((x[:, :1], target[:, :1]), (x[:30, 1:], target[:30, 1:]), whole)
    )
    # Pieces of 7 steps from the second on; of nine, the last of 3 steps, two do not count, and of four one.
    assert both == pytest.approx((49 * first + 21 * second) / 70, abs=0.01)
    assert abs(first - second) > 0.2


def test_a_row_that_dies_is_counted_and_does_not_spoil_the_others() -> None:
    layer = scaling([0.5, 0.05])
    x = torch.zeros(40, 3, 1, dtype=torch.float64)
    # All units of one row are at zero once.
    x[20, 1] = -9.0
    found = probed(layer, x, exponents=2)
    # The vectors turn by a tenth a step, for ten steps.
    assert found.exponents == pytest.approx([math.log(0.5), math.log(0.05)], rel=1e-9)
    assert found.lost_rows == 1
    x[20] = -9.0
    found = probed(layer, x, exponents=2)
    assert found.exponents == (-math.inf, -math.inf)
    assert found.lost_rows == 3
    figures = found.to_json()
    assert figures["lyapunov"] == [None, None]
    assert figures["lost_rows"] == 3


def silenced(layer: nn.Module) -> Any:
    """A layer whose every weight is zero."""
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    return layer


@pytest.mark.parametrize(("name", "place"), [("GRUD", 1), ("PhasedLSTM", 1), ("RHN", 2), ("MogrifierLSTM", 1)])
def test_what_other_cells_keep_is_what_is_left_of_their_state(name: str, place: int) -> None:
    """With inputs that write nothing, what is left of the state after a step is what was kept."""
    options = {"RHN": {"depth": 2, "coupled": False}, "PhasedLSTM": {"open_ratio": 1.0}}.get(name, {})
    layer = silenced(getattr(recur_nn, name)(1, 2, dtype=torch.float64, **options))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter, weight in layer.named_parameters():
            if parameter.endswith(".bias"):
                weight.view(-1, weight.shape[-1] // 2 if weight.dim() == 1 else 3, 2)[:, place] = 0.7
            if "period" in parameter:
                weight.fill_(5.0)
            if "decay_h_bias" in parameter:
                weight.fill_(0.3)
    x = torch.zeros(6, 1, 1, dtype=torch.float64)
    start = layer(x)[1]
    start = tuple(start) if isinstance(start, tuple) else (start,)
    held = 1 if len(start) > 1 and name != "GRUD" else 0
    begin = [torch.zeros_like(part) for part in start]
    begin[held] = torch.ones_like(begin[held])
    state = tuple(begin) if len(begin) > 1 else begin[0]
    found = probed(layer, x, state=state).activity
    left = layer(x, state)[1]
    left = left[held] if isinstance(left, tuple) else left
    assert left[0, 0].tolist() == pytest.approx(
        [math.exp(-6 / constant) for constant in found.time_constants], rel=1e-9
    )
    assert found.kept is not None
    assert 0 < found.kept.mean < 1


def test_cells_without_a_gate_that_keeps_have_no_time_constants() -> None:
    for name in ("CfC", "RNN", "IndRNN"):
        found = probed(getattr(recur_nn, name)(1, 3), torch.randn(6, 2, 1)).activity
        assert found.kept is None
        assert found.time_constants == ()


def test_what_a_layer_is_said_to_take_it_takes() -> None:
    ways: dict[str, dict[str, Any]] = {
        "gradient_clip": {"gradient_clip": 1.0},
        "init='chrono'": {"init": "chrono", "chrono_steps": 9},
        "forget_bias": {"forget_bias": 1.0},
        "init='orthogonal'": {"init": "orthogonal"},
        "layer_norm": {"layer_norm": True},
        "nonlinearity": {"nonlinearity": "tanh"},
    }
    for name in ("LSTM", "GRU", "RNN", "IndRNN", "MGU", "LiGRU", "RHN", "MogrifierLSTM", "CfC"):
        kind = getattr(recur_nn, name)
        takes = probed(kind(3, 4), torch.randn(3, 1, 3)).takes
        assert takes <= ways.keys()
        for option, given in ways.items():
            if option in takes:
                kind(3, 4, **given)
            else:
                with pytest.raises((TypeError, ValueError)):
                    kind(3, 4, **given)
    assert "init='chrono'" not in probed(recur_nn.LSTM(3, 4, bias=False), torch.randn(3, 1, 3)).takes
    assert "init='orthogonal'" in probed(nn.RNN(3, 4), torch.randn(3, 1, 3)).takes


def test_lengths_that_a_model_finds_itself_count_too() -> None:
    layer = recur_nn.GRU(2, 3, batch_first=True, dtype=torch.float64)

    class Packing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
            output, state = self.layer(x, state, lengths=x[:, :, 0].isfinite().sum(1))
            return output, state

    x = torch.randn(2, 8, 2, dtype=torch.float64)
    x[1, 4:] = torch.nan
    target = torch.randn(2, 8, 3, dtype=torch.float64)
    found = probe(Packing(), (x, target), targets=[3], sources=[0], exponents=1, lags=(2,)).layers[0]
    told = probe(
        layer, SimpleNamespace(x=x, target=target, lengths=[8, 4]), targets=[3], sources=[0], exponents=1, lags=(2,)
    )
    assert {**found.to_json(), "name": ""} == told.layers[0].to_json()
