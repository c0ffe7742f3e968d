"""From errors to scores, with errors that are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recur.calibration.surprise import SurpriseScale
from recur.data.series import SeriesBatch
from recur.tasks.detect.alarms import highest_lately
from recur.tasks.detect.scoring import Scoring
from recur.tasks.detect.seasonal_rule import begin_season, seasonal_errors


class Given(nn.Module):
    """A network whose errors are the values."""

    views = ("given",)

    def begin(self, count: int) -> Any:
        return torch.zeros(count)

    def errors(self, batch: SeriesBatch, state: Any = None) -> tuple[Tensor, Any]:
        return batch.x[..., None].abs(), torch.zeros(len(batch.x)) if state is None else state


def batch_of(x: Tensor) -> SeriesBatch:
    count, length, num_targets = x.shape
    nothing = torch.zeros(count, 0, num_targets)
    return SeriesBatch(
        x=x,
        lengths=torch.full((count,), length),
        target=nothing,
        weight=nothing,
        observed=torch.ones(count, length, num_targets, dtype=torch.bool),
        times=torch.arange(length).expand(count, -1),
        centre=torch.zeros(count, num_targets),
        scale=torch.ones(count, num_targets),
        index=torch.arange(count),
        row=torch.zeros(count, dtype=torch.int64),
    )


def test_what_is_a_little_strange_for_long_is_strange() -> None:
    x = torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(0))
    # One in twenty is as large.
    x[0, 3500:3520] = 2.0
    scoring = Scoring(Given(), 1, memory=1e6, quiet=10, has_rules=False)
    scores, _ = scoring.advance(batch_of(x), scoring.begin(torch.tensor([1])))
    score = scores.score[0]
    assert score[3500] < score[200:3500].quantile(0.99)
    assert score[3519] > score[200:3500].quantile(0.999)


def test_quiet_goes_by_the_season_of_each_series() -> None:
    scoring = Scoring(Given(), 1, memory=1e6, quiet=None, has_rules=False)
    state = scoring.begin(torch.tensor([24, 1, 3, 2]))
    assert state.quiet.tolist() == [12, 100, 1, 1]
    assert state.recent.shape == (4, 100)
    assert Scoring(Given(), 1, memory=1e6, quiet=7).begin(torch.tensor([24, 1])).quiet.tolist() == [7, 7]


def surprises(errors: Tensor, memory: float) -> Tensor:
    """What errors of one series say, (T, C), NaN where there are none."""
    scale = SurpriseScale(memory)
    return scale.advance(errors, scale.begin(errors.shape[1]))[0]


def test_parts_are_what_they_say_and_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 900, 2, generator=generator)
    x[0, 700:720, 1] += 3
    batch = batch_of(x)
    batch.observed[0, 650, 0] = False
    errors = x[0].abs().double()
    usual = begin_season(torch.tensor([6]), 2)
    values = torch.where(batch.observed[0], x[0].double(), torch.nan)
    seasonal, _ = seasonal_errors(values[None], torch.ones(1, 900, dtype=torch.bool), usual)
    for has_rules, has_network in ((True, True), (True, False), (False, True)):
        scoring = Scoring(Given(), 2, memory=1e4, quiet=10, has_rules=has_rules, has_network=has_network)
        scores, _ = scoring.advance(batch, scoring.begin(torch.tensor([6])))
        network, season, lasting = scores.parts[0].unbind(-1)
        is_known = ~scores.score[0].isnan()
        assert torch.equal(scores.parts[0].isnan().any(-1).any(-1), ~is_known)
        torch.testing.assert_close(network + season + lasting, scores.channels[0], equal_nan=True, rtol=1e-13, atol=0)
        for found, there, expected in (
            (network, has_network, surprises(errors, 1e4)),
            (season, has_rules, surprises(seasonal[0], 1e4)),
        ):
            wanted = expected.nan_to_num(0) if there else torch.zeros_like(expected)
            torch.testing.assert_close(found[is_known], wanted[is_known], rtol=1e-12, atol=1e-12)
        assert float(lasting[719, 1]) > float(lasting[200:650, 1].quantile(0.99))


def test_quiet_steps_of_each_series_in_pieces() -> None:
    x = torch.randn(3, 400, 1, generator=torch.Generator().manual_seed(2))
    quiet, seasons = torch.tensor([12, 1, 100]), torch.tensor([24, 2, 1])
    scoring = Scoring(Given(), 1, memory=1e4, quiet=None)
    whole, _ = scoring.advance(batch_of(x), scoring.begin(seasons))
    state, found = scoring.begin(seasons), []
    for piece in torch.split(x, [1, 7, 0, 150, 242], 1):
        scores, state = scoring.advance(batch_of(piece), state)
        found.append(scores.highest)
    expected = highest_lately(whole.score.flatten().numpy(), np.repeat(np.arange(3), 400), quiet.numpy())
    # Surprises in pieces are sums in another order.
    np.testing.assert_allclose(torch.cat(found, 1).flatten(), expected, rtol=1e-10)
    assert len({tuple(row) for row in whole.highest.tolist()}) == 3
