"""From errors to scores, with errors that are given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recur.data.series import SeriesBatch
from recur.tasks.detect.scoring import Scoring


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
