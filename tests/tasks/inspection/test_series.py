"""The inspection of a network that reads numbers."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recur.errors import DataError
from recur.gradients import Training
from recur.nn import GRU, LSTM, RNN
from recur.run import RunFolder
from recur.tasks.inspection.series import inspect_series


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

    found = inspect_series(Stack(), torch.sin(torch.arange(50.0)), batch_first=True)
    assert [layer["name"] for layer in found.content["layers"]] == ["stack.l0", "stack.l1"]
    assert found.content["series"]["channels"] == ["channel 0"]
    assert found.tensors["layers.1.z"].shape == (50, 1)


class TimeFirst(nn.Module):
    """A network of torch's own layer that reads (T, B, C)."""

    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__()
        self.rnn, self.output = nn.GRU(2, 3, batch_first=batch_first), nn.Linear(3, 2)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        y, state = self.rnn(x, state)
        return self.output(y), state


def own_loss(output: Tensor, target: Tensor) -> Tensor:
    # What the first channel says counts more, and each step of a row more than the one before.
    return ((output - target).abs() * torch.tensor([3.0, 1.0])).sum(2) * torch.arange(output.shape[1])


def rounded(content: Any) -> Any:
    return json.loads(json.dumps(content), parse_float=lambda digits: round(float(digits), 10))


@pytest.mark.parametrize("options", [{}, {"loss": own_loss}])
def test_steps_may_come_first(options: Any) -> None:
    """All is as of the same network that reads (B, T, C), but for the last digits of float64."""
    first, second = TimeFirst().double(), TimeFirst(batch_first=True).double()
    second.load_state_dict(first.state_dict())
    found, expected = (
        inspect_series(model, series(300), training=Training(window=32), **options) for model in (first, second)
    )
    assert rounded(found.content) == rounded(expected.content)
    assert found.content["probe"]["truncated"] > 0
    assert found.tensors.keys() == expected.tensors.keys()
    for name, values in expected.tensors.items():
        torch.testing.assert_close(found.tensors[name], values, equal_nan=True)


@pytest.mark.parametrize("kind", [GRU, nn.GRU])
def test_a_layer_alone_whose_steps_come_first(kind: Any) -> None:
    layer, values = kind(2, 2), series(40)
    found = inspect_series(layer, values)
    with torch.no_grad():
        expected, _ = layer(torch.from_numpy(values).float().unsqueeze(1))
    torch.testing.assert_close(found.tensors["predictions"][1:], expected[:-1, 0])
    assert found.tensors["layers.0.h"].shape == (40, 2)


def test_a_layer_of_two_directions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^inspect_series: GRU reads in both directions, and the backward one begi"):
        inspect_series(nn.GRU(2, 1, bidirectional=True), series(9))


def test_a_long_series_is_cut() -> None:
    labels, times = np.random.default_rng(0).random(5003), [f"t{n}" for n in range(5003)]
    found = inspect_series(Forecaster(1), np.sin(np.arange(5003)), times=times, labels=labels)
    assert found.content["cut"] == "the first 5,000 of 5,003 steps"
    assert found.tensors["values"].shape == (5000, 1)
    assert found.content["series"]["times"][-1] == "t4999"
    np.testing.assert_array_equal(found.tensors["property.label"], np.float32(labels[:5000]))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (np.arange(3), [0, 1, 2]),
        (torch.arange(3), [0, 1, 2]),
        (torch.tensor([0.5, 1, 2], dtype=torch.bfloat16), [0.5, 1.0, 2.0]),
        ([np.int64(3), np.float32(0.5), np.str_("noon")], [3, 0.5, "noon"]),
        (np.arange("2020-01-31", "2020-02-03", dtype="datetime64[D]"), ["2020-01-31", "2020-02-01", "2020-02-02"]),
        (
            np.arange(3).astype("datetime64[ns]"),
            [f"1970-01-01T00:00:00.00000000{n}" for n in range(3)],
        ),
        ([date(2020, 1, 31), datetime(2020, 1, 31, 12), "end"], ["2020-01-31", "2020-01-31 12:00:00", "end"]),
    ],
)
def test_times_of_every_kind(tmp_path: Path, times: Any, expected: list[str | float]) -> None:
    run = RunFolder.create(tmp_path / "run")
    inspect_series(Forecaster(), series(3), times=times).write(run)
    found = run.read_json("inspect.json")["series"]["times"]
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


def test_the_same_seed_gives_the_same() -> None:
    model, values = Forecaster(), series(80)
    first, again, other = (inspect_series(model, values, seed=seed).content for seed in (0, 0, 1))
    assert first == again
    assert first["properties"] != other["properties"]


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((0, 2)), {}, r"^own: must be numbers of shape \(N, C\) or \(N,\), at least one, but is \(0, 2\)\.$"),
        (
            np.zeros((3, 2, 2)),
            {},
            r"^own: must be numbers of shape \(N, C\) or \(N,\), at least one, but is \(3, 2, 2\)\.$",
        ),
        (
            [[0, 1], [2, np.nan], [np.inf, 3]],
            {"channels": ["a", "b"]},
            r"^own, row 1, b: is nan, expected a finite number \(1 more\)\.$",
        ),
        ([0.0, None], {}, r"^own, row 1, channel 0: is nan, expected a finite number\.$"),
        ([0.0, -1e39], {}, r"^own, row 1, channel 0: is -1e\+39, which float32 cannot hold; scale the series\.$"),
        ([[1, 2], [3]], {}, r"^own: must be numbers of shape \(N, C\) or \(N,\), all rows as long: "),
        (["1", "x"], {}, r"^own: must be numbers of shape \(N, C\) or \(N,\), all rows as long: could not convert"),
        ([1j, 2], {}, r"^own: must be numbers of shape \(N, C\) or \(N,\), all rows as long: complex numbers\.$"),
        (np.zeros((3, 2)), {"channels": ["a"]}, r"^own: there are 1 channels, expected 2\.$"),
        (np.zeros((3, 2)), {"times": [1, 2]}, r"^own: there are 2 times, expected 3\.$"),
        (
            np.zeros((3, 2)),
            {"times": [1, np.nan, 2]},
            r"^own, row 1: its time is nan, expected a finite number, a date or text\.$",
        ),
        (
            np.zeros((3, 2)),
            {"times": [1, 2, 10**400]},
            r"^own, row 2: its time is 10{30,}\.\.\., expected a finite number, a date or text\.$",
        ),
        (np.zeros((3, 2)), {"times": [None, 1, 2]}, r"^own, row 0: its time is None, expected a finite number, a date"),
        (np.zeros((3, 2)), {"times": [1, True, 2]}, r"^own, row 1: its time is True, expected a finite number, a date"),
        (
            np.zeros((1, 2)),
            {"times": np.array(["NaT"], dtype="datetime64[D]")},
            r"^own, row 0: its time is .*'NaT'.*, expected a finite number, a date or text\.$",
        ),
        (np.zeros((3, 2)), {"channels": np.arange(2)}, r"^own, channel 0: its name is .*0.*, expected text\.$"),
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
        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            return 2 * x, x[:, -1]

    with pytest.raises(
        ValueError, match=r"^inspect_series: Plain has no recurrent layer, of recur\.nn or torch\.nn, that"
    ):
        inspect_series(Plain(), series(9))


class Answering(Forecaster):
    """A network that gives back what it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.answer(*super().forward(x, state))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda y, state: y, "but returned Tensor. Return the state after the last step too."),
        (lambda y, state: (y, 0, 0), "but returned (Tensor, int, int). Return the state after the last step too."),
        (
            lambda y, state: (y, None),
            "but returned None as the state; return the one after the last step, from which it goes on.",
        ),
    ],
)
def test_networks_that_do_not_hand_their_state_on(answer: Any, message: str) -> None:
    expected = f"inspect_series: Answering must return (output, state), {message}"
    with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
        inspect_series(Answering(answer), series(9))


def test_a_network_that_takes_no_state() -> None:
    class Stateless(Forecaster):
        def forward(self, x: Tensor) -> Any:  # type: ignore[override]
            return super().forward(x)

    expected = r"forward\(x, state\) -> \(output, state\), but takes \(x: .*; let it take the state, None at first\.$"
    with pytest.raises(TypeError, match=expected):
        inspect_series(Stateless(), series(9))


def test_losses_that_cannot_be_used() -> None:
    with pytest.raises(
        ValueError, match=r"^inspect_series: loss must return that of each step, \(B, T\) = \(1, 8\), bu"
    ):
        inspect_series(Forecaster(), series(9), loss=nn.functional.mse_loss)
    with pytest.raises(
        ValueError, match=r"^inspect_series: the loss of step 3 is inf; scale the series, or look at the"
    ):
        inspect_series(Forecaster(1), [0, 0, 0, 1e30, 1, 1e30, 0])


def test_a_loss_of_ones_own_is_what_everything_is_about() -> None:
    model, values = Forecaster(), series(120)
    found = inspect_series(model, values, loss=lambda output, target: (output - target).abs().sum(2))
    error = np.abs(found.tensors["predictions"][1:].numpy() - np.float32(values[1:])).sum(1)
    assert found.content["losses"][1:] == pytest.approx(error.tolist(), abs=1e-5)
    assert "less the loss" in found.content["attribution"]["note"]
    assert found.content["attribution"]["unit"] == "units of the loss"
    changed, row = replaced(model, values, found, 5)
    position = int(found.tensors["attribution.positions"][row])
    loss = np.abs(changed - np.float32(values[position + 1])).sum()
    assert float(found.tensors["attribution.occlusion"][row, 63 - 5]) == pytest.approx(loss - error[position], abs=1e-5)


def replaced(model: nn.Module, values: Any, found: Any, back: int) -> tuple[Any, int]:
    """Return what is said at an explained position, and its row, when the step so far back is the mean."""
    row = 20
    position = int(found.tensors["attribution.positions"][row])
    x = torch.from_numpy(values).float()
    x[position - back] = x.mean(0)
    model.eval()
    with torch.no_grad():
        return model(x[None, : position + 1])[0][0, -1].numpy(), row


def test_shares_are_of_the_density_of_what_came() -> None:
    model, values = Forecaster(), series()
    found = inspect_series(model, values)
    losses = np.array(found.content["losses"][1:])
    for back in (0, 3):
        changed, row = replaced(model, values, found, back)
        position = int(found.tensors["attribution.positions"][row])
        fall = ((changed - values[position + 1]) ** 2).mean() - losses[position]
        # The logarithm of the density of two normal variables of the same variance, but for what cancels.
        expected = 2 * fall / (2 * losses.mean())
        assert float(found.tensors["attribution.occlusion"][row, 63 - back]) == pytest.approx(expected, abs=1e-5)
    methods = found.content["attribution"]["methods"]
    assert [method["key"] for method in methods] == ["gradient_input", "integrated_gradients", "occlusion"]
    assert all(len(method["deletion"]["chosen"]) == 4 for method in methods)


def test_the_gradient_is_looked_at_from_the_states_that_it_had() -> None:
    """The pieces of 4 x 96 + 2 steps are all but the first and the last, so their gates are those of the series."""
    values = series(4 * 96 + 2)
    found = inspect_series(Forecaster(), values, training=Training(window=32, clipped=1.0))
    probed, layer = found.content["probe"], found.content["layers"][0]
    for name, gate in probed["layers"][0]["gates"].items():
        whole = found.tensors[f"layers.0.{name}"][1:-1].numpy() * (layer["scales"][name] / 127)
        # Each is rounded to a 127th of its scale, and rounding errors cancel but for a share.
        assert gate["mean"] == pytest.approx(float(whole.mean()), abs=1e-3)
    assert (probed["num_steps"], len(probed["reach"])) == (96, 64)
    assert probed["truncated"] > 0
    frozen = inspect_series(Forecaster().requires_grad_(False), values, training=Training(window=32))
    assert frozen.content["probe"]["truncated"] is None
    assert "clipping always active" in [each["name"] for each in found.content["diagnosis"]]


def test_a_state_with_parts_without_a_gradient() -> None:
    class Counting(Forecaster):
        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            inner, count = (None, 0) if state is None else state
            y, inner = super().forward(x, inner)
            return y, (inner, count + x.shape[1])

    found = inspect_series(Counting(), series(200)).content
    assert (found["probe"], found["diagnosis"], found["attribution"]["methods"]) == (None, [], [])
    assert found["attribution"]["note"] == "Nothing was explained: the model's state has parts without a gradient."


@pytest.mark.parametrize("num_steps", [1, 2, 3, 20])
def test_short_series(num_steps: int) -> None:
    found = inspect_series(Forecaster(), series(num_steps))
    assert len(found.content["losses"]) == num_steps
    assert (found.content["probe"] is None) == (num_steps < 18)
    assert ("attribution.positions" in found.tensors) == (num_steps > 2)


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
