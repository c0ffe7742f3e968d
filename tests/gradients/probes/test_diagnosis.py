"""Networks built to be ill in each way, and healthy ones."""

from __future__ import annotations

import re
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import Probe, Training, diagnose, probe
from recur.gradients.probes.activity import Activity
from recur.gradients.probes.layer_probe import LayerProbe
from recur.gradients.probes.reach import Reach
from recur.models.options import LanguageModelOptions
from recur.train.options import LanguageTrainingOptions

STEPS = 64


def names(layer: Any, training: Training | None = None, **options: Any) -> list[str]:
    """What is found wrong with a layer that reads noise and is asked for noise."""
    generator = torch.Generator().manual_seed(1)
    dtype = next(layer.parameters()).dtype
    x = torch.randn(STEPS, 4, layer.input_size, generator=generator, dtype=dtype)
    target = torch.randn(STEPS, 4, layer.hidden_size, generator=generator, dtype=dtype)
    found = diagnose(probe(layer, (x, target), lags=(), **options), training)
    for finding in found:
        assert finding.what.endswith(".")
        assert finding.evidence.endswith(".")
        assert finding.advice.endswith(".")
        assert str(finding).startswith(finding.name)
    return [finding.name for finding in found]


def made(by_lag: dict[int, float], *, truncated: float | None = None, **done: Any) -> Probe:
    """A probe that found so much at each lag before the last of 64 steps, in a layer that did what is given."""
    norms = torch.tensor([list(by_lag.values())[::-1]], dtype=torch.float64)
    reach = Reach((STEPS - 1,), tuple(STEPS - 1 - lag for lag in reversed(by_lag)), norms, {})
    activity = Activity(**{"gates": {}, "kept": None, "time_constants": (), "saturated": 0.0, "dead": 0.0, **done})
    layer = LayerProbe(
        name="",
        kind="RNN",
        units=100,
        takes=frozenset(),
        exponents=(),
        lost_rows=0,
        singular_values={},
        activity=activity,
    )
    return Probe(num_steps=STEPS, reach=reach, layers=(layer,), truncated=truncated)


@pytest.mark.parametrize(
    ("quiet", "loud", "name"),
    [
        ({"by_lag": {0: 1.0, 32: 9.9}}, {"by_lag": {0: 1.0, 32: 10.1}}, "exploding gradient"),
        ({"by_lag": {0: 1.0, 32: 1.1e-4}}, {"by_lag": {0: 1.0, 32: 0.9e-4}}, "vanishing gradient"),
        ({"by_lag": {0: 1.0, 63: 0.099}}, {"by_lag": {0: 1.0, 63: 0.101}}, "truncation too short"),
        ({"truncated": 0.19}, {"truncated": 0.21}, "truncation too short"),
        ({"saturated": 0.29}, {"saturated": 0.31}, "saturated units"),
        ({"dead": 0.24}, {"dead": 0.26}, "dead units"),
    ],
)
def test_where_a_finding_begins(quiet: dict[str, Any], loud: dict[str, Any], name: str) -> None:
    def found(given: dict[str, Any]) -> list[str]:
        probed = made(**{"by_lag": {0: 1.0, 32: 0.05}, **given})
        return [finding.name for finding in diagnose(probed, Training(window=STEPS))]

    assert found(quiet) == []
    assert found(loud) == [name]


def recalling(steps: int, batch: int, lag: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise, and what it was some steps before."""
    x = torch.randn(steps, batch, 1, generator=generator)
    return x, torch.cat([torch.zeros(lag, batch, 1), x[:-lag]])


def trained(layer: Any, lag: int, num_steps: int, rate: float = 0.01) -> tuple[nn.Module, Any]:
    """A network that has learned to say what it read `lag` steps before, and a batch of it."""
    generator = torch.Generator().manual_seed(0)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.output = layer, nn.Linear(layer.hidden_size, 1)

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            y, state = self.layer(x, state)
            return self.output(y), state

        batch_first = False

    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(num_steps):
        x, target = recalling(STEPS, 32, lag, generator)
        loss = (model(x)[0] - target)[lag:].square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert float(loss.detach()) < 0.5
    return model, recalling(STEPS, 4, lag, generator)


def test_a_plain_network_forgets_at_once() -> None:
    layer = nn.RNN(3, 32)
    assert names(layer) == ["vanishing gradient"]
    assert names(layer, Training(lag=50)) == ["vanishing gradient", "memory shorter than the task's lag"]
    (finding,) = diagnose(probe(layer, (torch.randn(64, 1, 3), torch.randn(64, 1, 32))))
    assert "A plain recurrent cell cannot hold on to it: use an LSTM" in finding.advice
    assert "init='chrono' and chrono_steps=64" in finding.advice


def test_advice_that_is_followed_ends_the_finding() -> None:
    irnn = recur_nn.RNN(3, 32, nonlinearity="relu", init="identity")
    chrono = recur_nn.LSTM(3, 32, init="chrono", chrono_steps=STEPS)
    indrnn = recur_nn.IndRNN(3, 32)
    for layer in (irnn, chrono, indrnn):
        assert "vanishing gradient" not in names(layer), layer


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_network_that_has_learned_its_task_is_healthy(kind: str) -> None:
    model, batch = trained(getattr(recur_nn, kind)(1, 24), lag=8, num_steps=500)
    healthy = Training(window=STEPS, lag=4, clipped=0.1, removed=0.01, update=1e-3, loss=1.0, best_loss=0.99)
    assert diagnose(probe(model, batch), healthy) == ()


def test_a_plain_network_that_needs_little_memory_is_healthy() -> None:
    model, batch = trained(recur_nn.RNN(1, 16), lag=2, num_steps=150)
    probed = probe(model, batch, lags=())
    assert diagnose(probed, Training(window=STEPS, lag=2)) == ()
    # It does forget what lies further back, which is no fault while nothing there is needed.
    assert [finding.name for finding in diagnose(probed, Training(lag=40))][-1] == "memory shorter than the task's lag"
    far = made({0: 1.0, 1: 0.5, 4: 0.01, 32: 1e-9})
    assert [finding.name for finding in diagnose(far)] == ["vanishing gradient"]
    assert diagnose(far, Training(lag=4)) == ()
    assert diagnose(far, Training(lag=5))[0].name == "vanishing gradient"


def test_a_batch_shorter_than_the_lag_is_named() -> None:
    lasting = made({0: 1.0, 1: 0.9, 4: 0.8, 32: 0.7})
    finding = diagnose(lasting, Training(lag=5000))[-1]
    assert finding.name == "batch too short to tell"
    assert finding.evidence == f"It has {lasting.num_steps} steps, over which the gradient stays above a tenth."
    assert diagnose(lasting, Training(lag=lasting.num_steps)) == ()


def test_patience_is_advised_only_where_no_lag_is_known() -> None:
    probed = probe(recur_nn.LSTM(3, 32), (torch.randn(64, 2, 3), torch.randn(64, 2, 32)), lags=())
    assert "Train on" in diagnose(probed)[0].advice
    assert "Train on" not in diagnose(probed, Training(lag=50))[0].advice


@pytest.mark.parametrize("every", [6, 12, 40])
def test_short_documents_are_no_illness(every: int) -> None:
    layer = recur_nn.LSTM(3, 8, batch_first=True, forget_bias=4.0)
    reset = torch.zeros(4, STEPS, dtype=torch.bool)
    reset[:, ::every] = True
    batch = SimpleNamespace(x=torch.randn(4, STEPS, 3), target=torch.randn(4, STEPS, 8), reset=reset)
    for targets in (None, [STEPS - 1]):
        assert diagnose(probe(layer, batch, targets=targets, exponents=1, lags=()), Training(window=STEPS)) == ()


def test_rows_of_unlike_lengths_are_no_illness() -> None:
    layer = recur_nn.LSTM(3, 8, batch_first=True, forget_bias=4.0)
    x, target = torch.randn(4, STEPS, 3), torch.randn(4, STEPS, 8)
    for given in (target, target[:, 0]):
        batch = SimpleNamespace(x=x, target=given, lengths=[STEPS - 1, 5, 20, 9])
        found = probe(layer, batch, exponents=1, lags=())
        assert found.reach.by_lag()[0][-1] >= STEPS - 3
        assert diagnose(found) == ()


def test_advice_names_what_can_be_chosen() -> None:
    """First options that `recur train` has too, then of layers in Python those that a layer at hand takes."""
    known = {field.name for options in (LanguageTrainingOptions, LanguageModelOptions) for field in fields(options)}
    ill = [
        *diagnose(made({0: 1.0, 32: 99.0}), Training(clipped=1.0, update=1.0)),
        *diagnose(made({0: 1.0, 32: 1e-9}, saturated=1.0, dead=1.0), Training(update=1e-9)),
        *diagnose(made({0: 1.0, 63: 1.0}), Training(window=STEPS)),
    ]
    assert len(ill) == 8
    for finding in ill:
        assert set(re.findall(r"(\w+)=", finding.advice.partition("n Python")[0])) <= known, finding.advice
    indrnn = recur_nn.IndRNN(1, 4, dtype=torch.float64)
    with torch.no_grad():
        indrnn.weight_hh_l0.fill_(1.5)
        indrnn.bias_ih_l0.fill_(1.0)
    x, target = torch.rand(STEPS, 1, 1, dtype=torch.float64), torch.zeros(STEPS, 1, 4, dtype=torch.float64)
    (finding,) = diagnose(probe(indrnn, (x, target), lags=()))
    assert finding.name == "exploding gradient"
    assert "gradient_clip" in finding.advice
    assert "orthogonal" not in finding.advice
    mogrifier = recur_nn.MogrifierLSTM(1, 4, dtype=torch.float64)
    with torch.no_grad():
        mogrifier.cells[0].bias.view(-1, 4)[1] = -9.0
    shut = next(each for each in diagnose(probe(mogrifier, (x, target), lags=())) if each.name == "shut gates")
    assert "Python" not in shut.advice


def test_bad_input_says_so() -> None:
    with pytest.raises(ValueError, match="Training: window must be a whole number from 1 on, not 0"):
        Training(window=0)
    with pytest.raises(ValueError, match="Training: lag must be a whole number from 0 on, not -3"):
        Training(lag=-3)
    with pytest.raises(ValueError, match=r"Training: lag must be a whole number from 0 on, not 1\.5"):
        Training(lag=1.5)  # type: ignore[arg-type]


def test_weights_above_one_explode() -> None:
    layer = recur_nn.RNN(3, 16, nonlinearity="relu", dtype=torch.float64)
    with torch.no_grad():
        nn.init.orthogonal_(layer.weight_hh_l0)
        layer.weight_hh_l0.mul_(1.6)
        layer.bias_ih_l0.fill_(1.0)
    assert names(layer) == ["exploding gradient"]
    # So far that it overflows.
    with torch.no_grad():
        layer.weight_hh_l0.mul_(1e6)
    assert names(layer)[0] == "exploding gradient"


def test_large_inputs_saturate() -> None:
    layer = recur_nn.RNN(3, 32)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.bias_ih_l0.fill_(8.0)
    assert set(names(layer)) == {"vanishing gradient", "saturated units", "dead units"}


@pytest.mark.parametrize(("kind", "place", "sign"), [("LSTM", 1, -1), ("GRU", 1, -1), ("LiGRU", 0, -1), ("MGU", 0, 1)])
def test_gates_that_keep_nothing_are_shut(kind: str, place: int, sign: int) -> None:
    layer = getattr(recur_nn, kind)(3, 16)
    assert "shut gates" not in names(layer)
    with torch.no_grad():
        layer.bias_ih_l0.view(-1, 16)[place] = sign * 9.0
    assert "shut gates" in names(layer)


def test_rectifiers_below_zero_are_dead() -> None:
    layer = recur_nn.RNN(3, 32, nonlinearity="relu", init="identity")
    with torch.no_grad():
        layer.bias_ih_l0[:16] = -20.0
    assert names(layer) == ["dead units"]


def test_a_window_shorter_than_the_memory_is_too_short() -> None:
    layer = recur_nn.LSTM(3, 16, init="chrono", chrono_steps=1000)
    assert names(layer, Training(window=STEPS)) == ["truncation too short"]
    assert names(nn.RNN(3, 32), Training(window=STEPS)) == ["vanishing gradient"]


def test_what_training_tells() -> None:
    healthy = made({0: 1.0, 32: 0.05})

    def found(**known: Any) -> list[str]:
        return [finding.name for finding in diagnose(healthy, Training(**known))]

    assert found() == []
    assert found(clipped=1.0, removed=0.6) == ["clipping always active"]
    assert found(clipped=0.99) == ["clipping always active"]
    assert found(clipped=1.0, removed=0.1) == []
    assert found(clipped=0.5, removed=0.6) == []
    assert found(update=0.8) == ["learning rate too high"]
    assert found(update=1e-7) == ["learning rate too low"]
    assert found(update=1e-3) == []
    assert found(loss=3.0, best_loss=2.0) == ["learning rate too high"]
    assert found(loss=float("nan"), best_loss=2.0) == ["learning rate too high"]
    assert found(loss=2.1, best_loss=2.0) == []
