"""What training asks of any network for series."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from recur.data.series import Panel, Part, SeriesBatch, Windows
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_classifier import SeriesClassifierNetwork
from recur.models.series_options import SeriesClassifierOptions
from recur.models.series_shape import SeriesShape
from recur.tasks.examples_task import ExamplesTask


class Mean(nn.Module):
    """Tells the next value from the mean of the last ones."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(1, 3)
        self.head = nn.Linear(3, 1)

    def loss(self, batch: SeriesBatch) -> Tensor:
        told = self.head(self.body(batch.x.mean(1)))
        return ((told - batch.target[:, 0]) ** 2).mean()


@pytest.fixture
def batch() -> SeriesBatch:
    panel = Panel.of_rows(["a"], [5], [[0.0], [1.0], [4.0], [9.0], [16.0]])
    return next(iter(Windows(Part.whole(panel), history=2, horizon=1, batch_size=8)))


def test_a_step_minimises_the_loss_of_the_network(batch: SeriesBatch) -> None:
    network = Mean()
    task = ExamplesTask(network, learning_rate=0.1)
    minimised = task.training_step(batch, 0)
    expected = network.loss(batch)
    assert torch.equal(minimised, expected)
    assert task.loss == float(expected.detach())
    minimised.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("spoilt", [torch.inf, torch.nan])
def test_a_loss_that_is_not_finite_has_no_finite_gradient(
    spoilt: float, batch: SeriesBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Mean.loss
    monkeypatch.setattr(Mean, "loss", lambda network, batch: loss(network, batch) + spoilt)
    task = ExamplesTask(Mean(), learning_rate=0.1)
    task.training_step(batch, 0).backward()
    assert not any(bool(torch.isfinite(parameter.grad).any()) for parameter in task.parameters())


def test_the_output_layer_is_not_bounded() -> None:
    shape = SeriesShape(num_features=1, num_targets=1, horizon=2)
    for kind in ("encoder-decoder", "autoregressive"):
        options = ForecasterOptions(kind=kind, history=4, hidden_size=3, head="gaussian", normalize="last", level=False)
        forecaster = ForecastNetwork(options, shape)
        told = {name for name, value in forecaster.named_parameters() if is_among(value, unbounded(forecaster))}
        layers = ("gate", "head.projection")
        assert told == {f"body.output.{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    classifier = SeriesClassifierNetwork(SeriesClassifierOptions(hidden_size=3), SeriesShape(num_features=1), 2)
    told = {name for name, value in classifier.named_parameters() if is_among(value, unbounded(classifier))}
    assert told == {"output.weight", "output.bias"}
    assert unbounded(Mean()) == []


def unbounded(network: nn.Module) -> list[nn.Parameter]:
    return list(ExamplesTask(network, learning_rate=0.1).unbounded())


def is_among(parameter: nn.Parameter, parameters: list[nn.Parameter]) -> bool:
    return any(parameter is one for one in parameters)


def test_a_network_that_does_not_say_its_loss_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^ExamplesTask: Linear has no method loss\(batch\); give a network that"):
        ExamplesTask(nn.Linear(1, 1), learning_rate=0.1)


def test_averaged_weights_move_as_they_should_and_are_what_is_kept() -> None:
    network = Mean()
    task = ExamplesTask(network, learning_rate=0.1, averaging=0.5)
    assert task.averaged is not None
    mean: float | None = None
    for number in range(12):
        with torch.no_grad():
            network.body.weight.copy_(torch.full((3, 1), float(number**2)))
        task.averaged.update_parameters(network)
        # The first weights are taken as they are.
        kept = 0.0 if mean is None else min(0.5, (1 + number) / (10 + number))
        mean = kept * (mean or 0.0) + (1 - kept) * number**2
        found = task.kept.state_dict()["body.weight"]
        torch.testing.assert_close(found, torch.full((3, 1), mean))
    assert list(task.kept.state_dict()) == list(network.state_dict())
    assert not any(parameter.requires_grad for parameter in task.averaged.parameters())
    assert ExamplesTask(network, learning_rate=0.1).kept is network


def test_the_second_moment_is_the_optimisers() -> None:
    optimizer = ExamplesTask(Mean(), learning_rate=0.1, second_moment=0.9).configure_optimizers()
    assert [group["betas"] for group in optimizer.param_groups] == [(0.9, 0.9)] * 2
