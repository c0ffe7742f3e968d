"""Sums of losses, against the scores of everything at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recur import score
from recur.data.series import Panel, Part
from recur.tasks.forecast.scores import ForecastScores, Judged, naive_scales

B, P, C, N, M = 50, 4, 2, 3, 5


def drawn() -> tuple[Judged, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    intervals = {"0.8": (-draw(B, P, C).abs(), draw(B, P, C).abs())}
    judged = Judged(mean=draw(B, P, C), median=draw(B, P, C), crps=draw(B, P, C).abs(), intervals=intervals)
    weight = torch.randint(0, 3, (B, P, C), generator=generator).double()
    target = torch.where(weight > 0, draw(B, P, C), torch.nan)
    scale = draw(N, C).abs()
    # A constant series has no scale.
    scale[1, 0] = 0
    series, time = (torch.randint(0, size, (B,), generator=generator) for size in (N, M))
    return judged, {"target": target, "weight": weight, "scale": scale, "series": series, "time": time}


def added(parts: int = 1) -> tuple[ForecastScores, list[dict[str, torch.Tensor]], Judged, dict[str, torch.Tensor]]:
    judged, data = drawn()
    scores, sums = ForecastScores(P, C, N, M), []
    for own in torch.arange(B).chunk(parts):
        some = Judged(
            mean=judged.mean[own],
            median=judged.median[own],
            crps=judged.crps[own],
            intervals={name: (low[own], high[own]) for name, (low, high) in judged.intervals.items()},
        )
        series, time = data["series"][own], data["time"][own]
        losses = some.losses(data["target"][own], data["weight"][own], data["scale"][series])
        sums.append(scores.add(losses, data["weight"][own], series, time))
    return scores, sums, judged, data


def expected(judged: Judged, data: dict[str, torch.Tensor], rows: Any, keep: tuple[int, ...] = ()) -> dict[str, Any]:
    target, weight = data["target"][rows], data["weight"][rows]
    scale = data["scale"][data["series"]][rows][:, None]
    low, high = (end[rows] for end in judged.intervals["0.8"])
    options: dict[str, Any] = {"weight": weight, "keep": keep}
    mean, median = judged.mean[rows], judged.median[rows]
    return {
        "mae": score.mae(target, median, **options),
        "rmse": score.rmse(target, mean, **options),
        "smape": score.smape(target, median, **options),
        "mase": score.mase(target, median, scale.expand_as(target), **options),
        "coverage 0.8": score.coverage(target, low, high, **options),
        "width 0.8": score.width(target, low, high, **options),
        # Every score is an error of 0 when it is measured from itself.
        "crps": score.mae(torch.where(target.isnan(), torch.nan, 0.0), judged.crps[rows], **options),
    }


@pytest.mark.parametrize("parts", [1, 7])
def test_means_are_the_scores_of_all(parts: int) -> None:
    scores, _, judged, data = added(parts)
    everything = torch.arange(B)
    for by, keep in (("all", ()), ("step", (1,)), ("target", (2,))):
        for name, value in expected(judged, data, everything, keep).items():
            np.testing.assert_allclose(scores.mean(name, by), value.numpy(), rtol=1e-12, err_msg=f"{name} by {by}")
    for by, size in (("series", N), ("time", M)):
        for group in range(size):
            rows = (data[by] == group).nonzero()[:, 0]
            for name, value in expected(judged, data, rows).items():
                np.testing.assert_allclose(scores.mean(name, by)[group], value.numpy(), rtol=1e-12, err_msg=name)


def test_sums_of_windows_make_the_mean() -> None:
    scores, sums, *_ = added(3)
    for name in ("mae", "mse", "mase"):
        total = sum(float(one[name].sum()) for one in sums)
        assert total / scores.weight(name) == pytest.approx(float(scores.mean(name)), rel=1e-12)


def test_what_does_not_count_reaches_nothing() -> None:
    judged, data = drawn()
    is_counted = data["weight"] > 0
    mean, median, crps = (torch.where(is_counted, one, torch.nan) for one in (judged.mean, judged.median, judged.crps))
    low, high = (torch.where(is_counted, end, torch.inf) for end in judged.intervals["0.8"])
    spoiled = Judged(mean=mean, median=median, crps=crps, intervals={"0.8": (low, high)})
    scale = data["scale"][data["series"]]
    for name, loss in spoiled.losses(data["target"], data["weight"], scale).items():
        assert torch.equal(
            loss.nan_to_num(-1), judged.losses(data["target"], data["weight"], scale)[name].nan_to_num(-1)
        )
        assert bool(loss[~is_counted].isnan().all()), name


def test_groups_without_a_target_have_no_mean() -> None:
    judged, data = drawn()
    scores = ForecastScores(P, C, N + 1, M)
    losses = judged.losses(data["target"], data["weight"], data["scale"][data["series"]])
    scores.add(losses, data["weight"], data["series"], data["time"])
    assert np.isnan(scores.mean("rmse", "series")[N])
    assert scores.weight("mae", "series")[N] == 0


@pytest.mark.parametrize("season", [1, 3])
def test_scales_are_of_the_training_part(season: int) -> None:
    draw = np.random.default_rng(0)
    panel = Panel.of_rows(["a", "b", "c"], [10, 6, 3], draw.standard_normal((19, 2)))
    train = Part(panel=panel, start=np.array([0, 10, 16]), stop=np.array([7, 14, 17]), name="train")
    found = naive_scales(train, season)
    for number, rows in enumerate((slice(0, 7), slice(10, 14))):
        values = panel.values[rows].astype(np.float64)
        np.testing.assert_allclose(found[number], np.abs(values[season:] - values[:-season]).mean(0), rtol=1e-12)
    assert np.isnan(found[2]).all()
