"""Losses of distributions: their definitions, and what does not count."""

from __future__ import annotations

import pytest
import torch

from recur.models.distributions import Gaussian, GaussianMixture, Point, Quantiles, StudentT
from recur.score import pinball

F64 = {"dtype": torch.float64}


def parameters(count):
    generator = torch.Generator().manual_seed(count)
    loc, raw, df = (torch.randn(4, 3, generator=generator, **F64) for _ in range(3))
    return loc, raw.exp(), 3 + df.abs()


@pytest.mark.parametrize("by", ["nll", "crps", "pinball", "squared"])
def test_losses_are_weighted_means(by) -> None:
    loc, scale, df = parameters(1)
    forecast = StudentT(df=df, loc=loc, scale=scale)
    target, weight = torch.randn(4, 3, **F64), torch.rand(4, 3, **F64)
    each = {
        "nll": lambda: -forecast.log_prob(target),
        "crps": lambda: forecast.crps(target),
        "squared": lambda: (target - loc).square(),
        "pinball": lambda: torch.stack(
            [
                torch.where(target > q, level * (target - q), (1 - level) * (q - target))
                for level in (0.2, 0.7)
                for q in [forecast.quantile(level)]
            ]
        ).mean(0),
    }[by]()
    found = forecast.loss(target, by=by, weight=weight, levels=(0.2, 0.7))
    torch.testing.assert_close(found, (each * weight).sum() / weight.sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("by", ["nll", "crps", "pinball", "squared"])
def test_what_does_not_count_reaches_neither_loss_nor_gradient(by) -> None:
    loc, scale, _ = parameters(2)
    target, weight = torch.randn(4, 3, **F64), torch.ones(4, 3, dtype=torch.bool)
    target[0, 1], weight[2] = torch.nan, False
    loc[2], scale[2] = torch.nan, 0.0
    loc.requires_grad_()
    scale.requires_grad_()
    found = Gaussian(loc=loc, scale=scale).loss(target, by=by, weight=weight)
    found.backward()
    counts = weight & ~target.isnan()
    kept = [each.detach()[counts].requires_grad_() for each in (loc, scale)]
    wanted = Gaussian(loc=kept[0], scale=kept[1]).loss(target[counts], by=by)
    wanted.backward()
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=0)
    for given, chosen in zip((loc, scale), kept, strict=True):
        if by == "squared" and given is scale:
            continue
        torch.testing.assert_close(given.grad[counts], chosen.grad, rtol=1e-12, atol=0)
        assert bool((given.grad[~counts] == 0).all())


def test_nothing_that_counts_is_a_loss_of_zero_with_a_gradient_of_zero() -> None:
    loc = torch.tensor([1.0], requires_grad=True)
    loss = Gaussian(loc=loc, scale=torch.ones(1)).loss(torch.tensor([torch.nan]))
    loss.backward()
    assert loss == 0
    assert loc.grad == 0


def test_quantiles_score_themselves() -> None:
    values, target = torch.randn(4, 3, **F64).sort(-1).values, torch.randn(4, **F64)
    forecast = Quantiles(values=values, levels=(0.1, 0.5, 0.8))
    torch.testing.assert_close(forecast.loss(target), pinball(target, values, (0.1, 0.5, 0.8)).mean())


def test_a_mixture_of_one_is_a_normal_distribution() -> None:
    loc, scale, _ = parameters(3)
    mixture = GaussianMixture(logits=loc[..., None], loc=loc[..., None], scale=scale[..., None])
    target = torch.randn(4, 3, **F64)
    for by in ("nll", "crps", "pinball", "squared"):
        torch.testing.assert_close(mixture.loss(target, by=by), Gaussian(loc=loc, scale=scale).loss(target, by=by))


def test_bad_input_is_named() -> None:
    forecast = Gaussian(loc=torch.zeros(2), scale=torch.ones(2))
    with pytest.raises(
        ValueError, match=r"^Gaussian: a loss is one of nll, crps, pinball, squared, but by is 'mse'\.$"
    ):
        forecast.loss(torch.zeros(2), by="mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Gaussian: target has shape \(3,\), but must have \(2,\)\.$"):
        forecast.loss(torch.zeros(3))
    with pytest.raises(TypeError, match=r"^Gaussian: target must be a floating torch.Tensor, but is torch.int64\.$"):
        forecast.loss(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^Point: a point has no density\."):
        Point(value=torch.zeros(2)).loss(torch.zeros(2))
