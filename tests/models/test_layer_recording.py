"""What a recorder notes of the layers of a network: every state and gate, once, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recur.models.layer_recording import LayerRecorder, LayerRecording
from recur.nn import GRU, LSTM, RNN, ConvLSTM, IndRNN, LiGRU, MogrifierLSTM, PhasedLSTM


class Two(nn.Module):
    """Two layers of different kinds, one batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.below = LSTM(3, 5, batch_first=True)
        self.above = nn.ModuleDict({"a": GRU(5, 4)})

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        first, second = (None, None) if state is None else state
        y, first = self.below(x, first)
        y, second = self.above["a"](y.transpose(0, 1), second)
        return y, (first, second)


def recorded(network: nn.Module, *windows: Tensor, **given: Any) -> list[LayerRecording]:
    network.eval()
    state = None
    with torch.no_grad(), LayerRecorder(network) as recorder:
        for window in windows:
            _, state = network(window, state, **given)
    return recorder.recordings()


def test_windows_of_a_network_give_what_the_layers_tell_of_the_whole() -> None:
    network, x = Two(), torch.randn(1, 11, 3)
    below, above = recorded(network, x[:, :4], x[:, 4:5], x[:, 5:])
    with torch.no_grad():
        y, _, (first,) = network.below(x, return_all=True)
        _, _, (second,) = network.above["a"](y.transpose(0, 1), return_all=True)
    for found, kind, values, batch in ((below, "LSTM", first.values, 0), (above, "GRU", second.values, 1)):
        assert found.kind == kind
        assert (*found.states, *found.gates) == tuple(values)
        for name, value in values.items():
            # The same steps in other calls: sums in the same order, so a rounding error of each step at most.
            np.testing.assert_allclose(found.parts[name], value.squeeze(batch).numpy(), rtol=0, atol=1e-6)
    assert (below.name, below.states, below.gates) == ("below", ("h", "c"), ("i", "f", "g", "o"))
    assert (above.name, above.states, above.gates) == ("above.a", ("h",), ("r", "z", "n"))
    assert (above.input_size, above.hidden_size) == (5, 4)
    assert below.weights == {
        "weight_ih_l0": (20, 3),
        "weight_hh_l0": (20, 5),
        "bias_ih_l0": (20,),
        "bias_hh_l0": (20,),
    }


def test_recording_changes_nothing_and_ends() -> None:
    network, x = Two().eval(), torch.randn(1, 6, 3)
    expected, _ = network(x)
    with LayerRecorder(network) as recorder:
        found, _ = network(x)
    assert torch.equal(found, expected)
    network(x)
    assert {len(one.parts["h"]) for one in recorder.recordings()} == {6}
    assert not any(module._forward_hooks for module in network.modules())


def test_each_layer_and_direction_of_a_stack() -> None:
    stack, x = RNN(3, 4, num_layers=2, bidirectional=True).eval(), torch.randn(7, 1, 3)
    found = recorded(stack, x)
    assert [one.name for one in found] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert [one.input_size for one in found] == [3, 3, 8, 8]
    assert [sorted(one.weights)[-1] for one in found] == [f"weight_ih_{one.name}" for one in found]
    with torch.no_grad():
        steps = stack(x, return_all=True).steps
    for one, step in zip(found, steps, strict=True):
        assert np.array_equal(one.parts["h"], step.values["h"][:, 0].numpy())


@pytest.mark.parametrize("layer", [IndRNN(3, 4), LiGRU(3, 4), LSTM(3, 4, proj_size=2)])
def test_other_layers_and_a_single_sequence(layer: nn.Module) -> None:
    (found,) = recorded(layer, torch.randn(5, 3))
    assert found.name == ""
    assert found.parts["h"].shape == (5, 2 if isinstance(layer, LSTM) else 4)
    assert found.parts["h"].dtype == np.float32


def test_a_layer_with_more_arguments() -> None:
    (found,) = recorded(PhasedLSTM(3, 4), torch.randn(5, 1, 3), times=torch.arange(5.0)[:, None])
    assert found.states[:2] == ("h", "c")
    assert len(found.parts["c"]) == 5


class Mine(LSTM):
    """A subclass is what its base is."""


class Halves(MogrifierLSTM):
    """Of a layer whose cell is a module too."""


PLAIN: dict[str, Any] = {
    "dilation": 1,
    "skip": None,
    "zoneout": [0.0],
    "output_clip": None,
    "gradient_clip": None,
}


@pytest.mark.parametrize(
    ("layer", "cell", "options"),
    [
        (
            Mine(3, 4, bias=False, proj_size=2, coupled=True, layer_norm=True, zoneout=(0.1, 0.2)),
            "lstm",
            {
                "bias": False,
                "projected": True,
                "coupled": True,
                "peephole": False,
                "layer_norm": True,
                **PLAIN,
                "zoneout": [0.1, 0.2],
                "cell_clip": None,
            },
        ),
        (
            GRU(3, 4, reset_after=False, output_clip=0.5),
            "gru",
            {
                "bias": True,
                "reset_after": False,
                "layer_norm": False,
                "projected": False,
                **PLAIN,
                "output_clip": 0.5,
            },
        ),
        (
            RNN(3, 4, nonlinearity=torch.sin),
            "rnn",
            {
                "bias": True,
                "nonlinearity": "sin",
                "layer_norm": False,
                "projected": False,
                **PLAIN,
            },
        ),
        (Halves(3, 4), "mogrifierlstm", {"dilation": 1, "skip": None, "zoneout": [0.0, 0.0]}),
    ],
)
def test_what_changes_the_equations_is_told(layer: nn.Module, cell: str, options: Any) -> None:
    (found,) = recorded(layer, torch.randn(5, 1, 3))
    assert (found.cell, found.options) == (cell, options)
    assert (found.kind, found.initial, found.initial_state) == (type(layer).__name__, "zero", {})


def test_dilation_skips_and_a_module_for_a_nonlinearity() -> None:
    stack = IndRNN(3, 3, num_layers=2, nonlinearity=nn.SiLU(), skip="residual", dilation=[1, 2])
    options = [one.options for one in recorded(stack, torch.randn(5, 1, 3))]
    assert [(each["nonlinearity"], each["skip"], each["dilation"]) for each in options] == [
        ("SiLU", "residual", 1),
        ("SiLU", "residual", 2),
    ]


@pytest.mark.parametrize("hidden_size", [4, [4, 5]])
def test_a_learned_initial_state(hidden_size: Any) -> None:
    stack = LSTM(3, hidden_size, num_layers=2, bidirectional=True, initial_state="learned", output_clip=2.0)
    with torch.no_grad():
        for name, parameter in stack.named_parameters():
            if "_0" in name:
                parameter.normal_()
    found = recorded(stack, torch.randn(5, 1, 3))
    with torch.no_grad():
        # Rows without a step end as they began.
        _, (h, c) = stack(torch.zeros(5, 1, 3), lengths=[0])
    for part, begun in (("h", h), ("c", c)):
        expected = list(begun) if isinstance(begun, Tensor) else [own[0] for own in begun]
        for place, one in enumerate(found):
            assert one.initial == "learned"
            np.testing.assert_array_equal(one.initial_state[part], expected[place].reshape(-1).numpy())


def test_an_initial_state_from_a_context() -> None:
    layer = GRU(3, 4, initial_state="context", context_size=2)
    (found,) = recorded(layer, torch.randn(5, 1, 3), context=torch.randn(1, 2))
    assert (found.initial, found.initial_state) == ("computed", {})


def test_float64_becomes_float32() -> None:
    (found,) = recorded(GRU(3, 4, dtype=torch.float64), torch.randn(5, 1, 3, dtype=torch.float64))
    assert found.parts["h"].dtype == np.float32


def test_images_several_rows_and_layers_that_did_not_run_are_left_out() -> None:
    assert recorded(ConvLSTM(2, 3, kernel_size=3), torch.randn(4, 1, 2, 6, 6)) == []
    assert recorded(GRU(3, 4), torch.randn(5, 2, 3)) == []
    with LayerRecorder(nn.ModuleList([GRU(3, 4)])) as recorder:
        pass
    assert recorder.recordings() == []


def recording(**parts: Any) -> LayerRecording:
    values: Mapping[str, Any] = {name: np.asarray(value, dtype=np.float32) for name, value in parts.items()}
    return LayerRecording(
        name="own",
        kind="GRU",
        cell="gru",
        options={},
        initial="zero",
        initial_state={},
        input_size=1,
        hidden_size=1,
        states=("h",),
        gates=(),
        weights={},
        parts=values,
    )


def test_quantised_values_come_back_within_half_a_step() -> None:
    draw = np.random.default_rng(0)
    values = {"h": draw.standard_normal((50, 6)) * 7, "c": np.zeros((50, 2)), "i": draw.random((50, 6)) / 3}
    found, scales = recording(**values).quantised()
    assert scales["c"] == 1
    for name, own in values.items():
        back = found[name].numpy() / 127 * scales[name]
        assert found[name].dtype == torch.int8
        # The float32 value, and the half of a 127th of the largest.
        assert np.abs(back - own).max() <= scales[name] * (0.5 / 127 + 1e-6)
    assert int(found["h"].abs().max()) == 127


def test_the_trajectory_is_that_of_the_largest_singular_values() -> None:
    h = np.random.default_rng(1).standard_normal((40, 6)) * np.array([5, 3, 1, 1, 1, 1])
    points, explained = recording(h=h).trajectory()
    centred = np.float32(h).astype(np.float64)
    centred -= centred.mean(0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    for component in range(2):
        sign = np.sign(vt[component][np.abs(vt[component]).argmax()])
        np.testing.assert_allclose(points[:, component], sign * u[:, component] * s[component], rtol=0, atol=1e-5)
    assert explained == pytest.approx((s[:2] ** 2 / (s**2).sum()).tolist(), abs=1e-12)


def test_a_trajectory_without_two_directions() -> None:
    line = np.arange(5.0)[:, None]
    points, explained = recording(h=line).trajectory()
    assert points.tolist() == [[value - 2, 0] for value in range(5)]
    assert explained == [1, 0]
    points, explained = recording(h=np.ones((5, 3))).trajectory()
    assert not points.any()
    assert explained == [0, 0]
    points, explained = recording(h=np.ones((1, 3))).trajectory()
    assert points.tolist() == [[0, 0]]
