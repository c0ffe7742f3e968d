"""The inspection of a network that reads numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recur.errors import DataError
from recur.nn import GRU, LSTM, RNN
from recur.tasks.series_inspection import inspect_series


class Forecaster(nn.Module):
    """A layer, and the next values from its output."""

    def __init__(self, channels: int = 2, out: int | None = None) -> None:
        super().__init__()
        self.rnn = LSTM(channels, 6, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(6, channels if out is None else out)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        y, state = self.rnn(x, state)
        return self.output(self.dropout(y)), state


def series(num_steps: int = 600) -> Any:
    draw = np.random.default_rng(0)
    return np.stack([np.sin(np.arange(num_steps) / 5), draw.standard_normal(num_steps)], 1)


def test_it_is_what_the_network_gives_for_the_whole() -> None:
    model, values = Forecaster(), series()
    found = inspect_series(model, values, channels=["wave", "noise"], title="own")
    assert model.training
    with torch.no_grad():
        model.eval()
        x = torch.from_numpy(values).float().unsqueeze(0)
        _, _, (steps,) = model.rnn(x, return_all=True)
        said = model(x)[0][0]
    content = json.loads(json.dumps(found.content, allow_nan=False))
    layer = content["layers"][0]
    for part in ("h", "c", "i", "f", "g", "o"):
        back = found.tensors[f"layers.0.{part}"].numpy() * (layer["scales"][part] / 127)
        assert np.abs(back - steps.values[part][0].numpy()).max() <= layer["scales"][part] / 250
    predictions = found.tensors["predictions"]
    assert bool(predictions[0].isnan().all())
    torch.testing.assert_close(predictions[1:], said[:-1], rtol=0, atol=1e-5)
    expected = (said[:-1].numpy() - values[1:]) ** 2
    assert content["losses"][0] is None
    assert content["losses"][1:] == pytest.approx(expected.mean(1).tolist(), abs=1e-4)
    torch.testing.assert_close(found.tensors["values"], x[0])
    assert (content["kind"], content["unit"], content["title"], content["cut"]) == ("series", "step", "own", "")
    assert content["series"] == {"channels": ["wave", "noise"], "times": list(range(600))}
    assert (layer["name"], layer["cell"], layer["states"]) == ("rnn", "lstm", ["h", "c"])
    assert content["model"]["name"] == "Forecaster"
    assert content["attribution"]["methods"] == []
    assert [each["name"] for each in content["properties"]] == ["value of wave", "value of noise"]


def test_a_unit_that_is_a_channel_is_found() -> None:
    model = Forecaster()
    with torch.no_grad():
        for parameter in model.rnn.parameters():
            parameter[[1, 7, 13, 19]] = 0
        # Unit 1: in and out gates open, nothing kept, so that c = sigmoid(9) tanh(x_0 / 2) in the order of x_0.
        model.rnn.bias_ih_l0[[1, 19]] = 9.0
        model.rnn.bias_ih_l0[7] = -99.0
        model.rnn.weight_ih_l0[13, 0] = 0.5
    noise = np.random.default_rng(1).standard_normal((600, 2))
    found = inspect_series(model, noise, labels=noise[:, 1] > 0.5).content["properties"]
    best = found[0]["units"][0]
    assert (best["unit"], best["sign"], best["verdict"]) == (1, 1, "holds")
    # Its parts h, c and g all follow; float32 makes ties of a few of 300 neighbours.
    assert best["score"] == pytest.approx(1, abs=1e-3)
    assert best["held_out"] == pytest.approx(1, abs=1e-3)
    assert found[2]["key"] == "label"


def test_one_channel_float64_and_a_stack() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stack = GRU(1, 1, num_layers=2, dtype=torch.float64)

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            y, state = self.stack(x.transpose(0, 1), state)
            return y.transpose(0, 1), state

    found = inspect_series(Stack(), torch.sin(torch.arange(50.0)))
    assert [layer["name"] for layer in found.content["layers"]] == ["stack.l0", "stack.l1"]
    assert found.content["series"]["channels"] == ["channel 0"]
    assert found.tensors["layers.1.z"].shape == (50, 1)


def test_a_long_series_is_cut() -> None:
    found = inspect_series(Forecaster(1), np.sin(np.arange(5003)), times=[f"t{n}" for n in range(5003)])
    assert found.content["cut"] == "the first 5,000 of 5,003 steps"
    assert found.tensors["values"].shape == (5000, 1)
    assert found.content["series"]["times"][-1] == "t4999"
    labels = np.random.default_rng(0).random(5003)
    labelled = inspect_series(Forecaster(1), np.sin(np.arange(5003)), labels=labels)
    np.testing.assert_array_equal(labelled.tensors["property.label"], np.float32(labels[:5000]))


def test_the_same_seed_gives_the_same() -> None:
    model, values = Forecaster(), series(200)
    first, again, other = (inspect_series(model, values, seed=seed).content for seed in (0, 0, 1))
    assert first == again
    assert first["properties"] != other["properties"]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((0, 2)), {}, r"^own: must be finite numbers of shape \(N, C\) or \(N,\), but is \(0, 2\)\.$"),
        (np.zeros((3, 2, 2)), {}, r"^own: must be finite numbers of shape \(N, C\) or \(N,\), but is \(3, 2, 2\)\.$"),
        (np.full((3, 2), np.nan), {}, r"^own: must be finite numbers"),
        (np.zeros((3, 2)), {"channels": ["a"]}, r"^own: there are 1 channels, expected 2\.$"),
        (np.zeros((3, 2)), {"times": [1, 2]}, r"^own: there are 2 times, expected 3\.$"),
        (np.zeros((3, 2)), {"labels": [1, 2]}, r"^own: there are 2 labels for 3 steps\.$"),
    ],
)
def test_series_that_cannot_be_shown(values: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inspect_series(Forecaster(), values, title="own", **options)


def test_networks_that_cannot_be_shown() -> None:
    message = r"^inspect_series: the model must return the values that follow each step, \(1, 9, 2\), but ret"
    with pytest.raises(ValueError, match=message):
        inspect_series(Forecaster(out=3), series(9))

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Linear(2, 2)

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            return self.output(x), state

    with pytest.raises(
        ValueError, match=r"^inspect_series: Plain has no recurrent layer, of recur\.nn or torch\.nn, that"
    ):
        inspect_series(Plain(), series(9))


def test_states_that_are_not_finite() -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = RNN(1, 1, nonlinearity="relu", batch_first=True)

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            y, state = self.rnn(x, state)
            return torch.zeros_like(y), state

    model = Growing()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e4)
    with pytest.raises(ValueError, match=r"^inspect_series: h of rnn is not finite; the weights are too large\.$"):
        inspect_series(model, np.ones(40))


def test_torchs_own_layers_show_what_is_inside_and_stay_torchs() -> None:
    model, ours, values = Forecaster(), Forecaster(), series(40)
    model.rnn = nn.LSTM(2, 6, batch_first=True)
    ours.load_state_dict(model.state_dict())
    found, expected = inspect_series(model, values), inspect_series(ours, values)
    assert found.content == expected.content
    assert torch.equal(found.tensors["layers.0.f"], expected.tensors["layers.0.f"])
    assert type(model.rnn) is nn.LSTM
    assert model.rnn.training
