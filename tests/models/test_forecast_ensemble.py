"""Several forecast networks as one: what they say together, and that they keep the contract of one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recur.data.series import Panel, Part, SeriesBatch, Windows
from recur.models.distributions import Gaussian, GaussianMixture, NegativeBinomial, Point, Quantiles, StudentT
from recur.models.forecast_ensemble import ForecastEnsemble, pooled
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.models.series_shape import SeriesShape

F64: dict[str, Any] = {"dtype": torch.float64}
LOC, SCALE = torch.tensor([[0.0, 4.0], [2.0, -1.0], [0.5, 9.0]], **F64), torch.tensor([[1.0, 2.0]] * 3, **F64)
LEVELS = (0.1, 0.5, 0.9)


def test_normal_distributions_are_mixed() -> None:
    members = [Gaussian(loc=loc, scale=scale) for loc, scale in zip(LOC, SCALE, strict=True)]
    for own in (members, [pooled(members), pooled(members)]):
        found = pooled(own)
        assert isinstance(found, GaussianMixture)
        torch.testing.assert_close(found.mean, LOC.mean(0))
        at = torch.tensor([0.7, 3.0], **F64)
        torch.testing.assert_close(found.cdf(at), torch.stack([one.cdf(at) for one in members]).mean(0))
    assert pooled(members[:1]) is members[0]


def test_points_quantiles_and_others_are_averaged() -> None:
    points = pooled([Point(value=value) for value in LOC])
    torch.testing.assert_close(points.mean, LOC.mean(0))
    values = torch.stack([LOC - 1, LOC, LOC + 2], -1)
    quantiles = pooled([Quantiles(values=each, levels=LEVELS) for each in values])
    torch.testing.assert_close(quantiles.quantile(LEVELS), values.mean(0))
    students = [StudentT(df=torch.full((2,), df, **F64), loc=LOC[0], scale=SCALE[0]) for df in (3.0, 30.0)]
    found = pooled(students)
    levels = (0.005, 0.05, 0.5, 0.95)
    expected = (students[0].quantile(levels) + students[1].quantile(levels)) / 2
    torch.testing.assert_close(found.quantile(levels), expected)


def test_counts_keep_the_moments_of_their_mixture() -> None:
    rate, count = torch.tensor([[3.0, 0.2], [5.0, 0.4]], **F64), torch.tensor([[2.0, 9.0], [1.0, 0.5]], **F64)
    members = [NegativeBinomial(rate=r, total_count=c) for r, c in zip(rate, count, strict=True)]
    found = pooled(members)
    assert isinstance(found, NegativeBinomial)
    torch.testing.assert_close(found.mean, rate.mean(0))
    numbers = torch.arange(400.0, **F64)[:, None].expand(-1, 2)
    mixed = torch.stack([_mass(one) for one in members])
    second = (mixed.mean(0) * (numbers * (numbers - 1))).sum(0)
    torch.testing.assert_close((_mass(found) * (numbers * (numbers - 1))).sum(0), second, rtol=1e-6, atol=0)
    # Scaled before or after, it is the same.
    scaled = pooled([one.rescaled(0, 7.0) for one in members])
    torch.testing.assert_close(scaled.mean, found.rescaled(0, 7.0).mean)
    torch.testing.assert_close(scaled.quantile(0.9), found.rescaled(0, 7.0).quantile(0.9))


def test_counts_near_poissons_and_near_nothing() -> None:
    poisson = NegativeBinomial(rate=torch.tensor([5.0]), total_count=torch.tensor([1e8]))
    assert pooled([poisson, poisson]).quantile((0.1, 0.5, 0.9)).tolist() == [[2.0, 5.0, 8.0]]
    nothing = NegativeBinomial(rate=torch.tensor([0.0]), total_count=torch.tensor([1.0]))
    assert pooled([nothing, nothing]).quantile((0.1, 0.9)).tolist() == [[0.0, 0.0]]


def _mass(counts: NegativeBinomial) -> torch.Tensor:
    """Return the probability of 0 to 399, (400, 2)."""
    wide = NegativeBinomial(rate=counts.rate.expand(400, 2), total_count=counts.total_count.expand(400, 2))
    return wide.log_prob(torch.arange(400.0, **F64)[:, None].expand(400, 2)).exp()


def made(kind: str, count: int = 3) -> tuple[ForecastEnsemble, SeriesBatch]:
    panel = Panel.of_rows(["a"], [60], torch.arange(60.0).sin()[:, None].numpy())
    windows = Windows(Part.whole(panel), history=8, horizon=3, batch_size=5)
    shape = SeriesShape.of(panel.schema, windows.channels, windows.future_channels, 3)
    options: dict[str, Any] = {"num_paths": 20} if kind == "autoregressive" else {}
    chosen = ForecasterOptions(
        kind=kind,  # type: ignore[arg-type]
        history=8,
        hidden_size=4,
        head="gaussian",
        normalize="last",
        level=False,
        **options,
    )
    torch.manual_seed(0)
    return ForecastEnsemble([ForecastNetwork(chosen, shape) for _ in range(count)]).eval(), next(iter(windows))


@pytest.mark.parametrize("kind", ["encoder-decoder", "autoregressive"])
def test_it_says_what_its_members_say_together(kind: str) -> None:
    ensemble, batch = made(kind)
    forecast, states = ensemble(batch)
    own = [member(batch) for member in ensemble.members]
    torch.testing.assert_close(forecast.mean, torch.stack([said.mean for said, _ in own]).mean(0))
    assert len(states) == 3
    # Going on from the states is going on with each.
    after, _ = ensemble(batch, states)
    expected = [member(batch, state)[0].mean for member, (_, state) in zip(ensemble.members, own, strict=True)]
    torch.testing.assert_close(after.mean, torch.stack(expected).mean(0))
    assert not torch.equal(after.mean, forecast.mean)


def test_paths_are_drawn_from_the_members_in_turn() -> None:
    ensemble, batch = made("encoder-decoder")
    # Far apart, so that a path tells whose it is.
    with torch.no_grad():
        for number, member in enumerate(ensemble.members):
            member.body.output.head.projection.bias[0] += 1000.0 * number
    paths = ensemble.sample(batch, 7, torch.Generator().manual_seed(0))
    assert paths.shape == (7, 5, 3, 1)
    assert (paths.mean((1, 2, 3)) / 1000).round().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert ensemble.sample(batch, 2).shape == (2, 5, 3, 1)
    again = ensemble.sample(batch, 7, torch.Generator().manual_seed(0))
    assert torch.equal(paths, again)
    with pytest.raises(ValueError, match=r"^ForecastNetwork: num_paths is 0, but must be at least 1\.$"):
        ensemble.sample(batch, 0)


def test_there_must_be_a_member() -> None:
    with pytest.raises(ValueError, match=r"^ForecastEnsemble: members is empty, but must have at least one network\.$"):
        ForecastEnsemble([])
