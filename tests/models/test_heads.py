"""Heads: the distributions they give, and that training with each loss finds the true ones."""

from __future__ import annotations

import pytest
import torch

from recur.models.distributions import NegativeBinomial, StudentT
from recur.models.heads import (
    GaussianHead,
    MixtureHead,
    NegativeBinomialHead,
    PointHead,
    QuantileHead,
    StudentTHead,
)

HEADS = [PointHead, GaussianHead, StudentTHead, NegativeBinomialHead, MixtureHead, QuantileHead]


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize(("size", "shape"), [(4, (4,)), ((4, 2), (4, 2))])
def test_shapes_and_gradients(kind, size, shape) -> None:
    head = kind(8, size)
    x = torch.randn(3, 5, 8, requires_grad=True)
    forecast = head(x)
    assert forecast.shape == (3, 5, *shape)
    assert forecast.sample(7).shape == (7, 3, 5, *shape)
    target = torch.randint(0, 5, (3, 5, *shape)).float()
    weight = torch.ones(3, 5, *shape)
    weight[1] = 0
    head.loss(forecast, target, weight=weight).backward()
    assert x.grad is not None
    assert bool((x.grad[1] == 0).all())
    assert bool((x.grad[[0, 2]].abs().sum(-1) > 0).all())
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in head.parameters())


@pytest.mark.parametrize("kind", HEADS)
def test_extreme_features_give_proper_distributions(kind) -> None:
    head = kind(1, 3)
    forecast = head(torch.tensor([[-1e4], [0.0], [1e4]]))
    assert bool(forecast.mean.isfinite().all())
    for name, value in forecast._parameters().items():
        assert bool(value.isfinite().all()), name
        if name in ("scale", "df", "total_count", "rate"):
            assert bool((value > 0).all()), name


@pytest.mark.parametrize("num_levels", [2, 3, 8])
def test_quantiles_never_cross(num_levels) -> None:
    levels = [(k + 1) / (num_levels + 1) for k in range(num_levels)]
    values = QuantileHead(1, 50, levels=levels)(torch.linspace(-30, 30, 9)[:, None]).values
    assert bool((values.diff(dim=-1) >= 0).all())
    assert bool((values[..., -1] > values[..., 0]).all())


def trained(head, target, num_steps=400):
    """The head's distribution for a constant feature, trained on all of `target`."""
    x = torch.ones(1, 1, dtype=torch.float64)
    head = head.double()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=num_steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = head.loss(head(x.expand(len(target), 1)), target[:, None])
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return head(x)


@pytest.mark.parametrize("loss", ["nll", "crps"])
def test_a_gaussian_head_finds_mean_and_deviation(loss) -> None:
    target = 3 + 2 * torch.randn(2000, dtype=torch.float64)
    forecast = trained(GaussianHead(1, 1, loss=loss), target)
    # Standard errors of the two estimates are 2 / sqrt(2000) = 0.045 and below; the score's are hardly larger.
    assert abs(forecast.loc.item() - 3) < 5 * 0.045
    assert abs(forecast.scale.item() - 2) < 5 * 0.045


def test_a_quantile_head_finds_the_quantiles_of_the_sample() -> None:
    target = torch.distributions.Exponential(1.0).sample((999,)).double()
    forecast = trained(QuantileHead(1, 1, levels=(0.1, 0.5, 0.9)), target)
    reached = (target[:, None] <= forecast.values[0, 0]).double().mean(0)
    # The minimum lies at a value of the sample; the line search stops near it.
    torch.testing.assert_close(reached, torch.tensor([0.1, 0.5, 0.9]).double(), rtol=0, atol=0.01)


@pytest.mark.parametrize("loss", ["nll", "crps"])
def test_a_t_head_finds_the_tails(loss) -> None:
    true = StudentT(df=torch.tensor(4.0).double(), loc=torch.tensor(-1.0).double(), scale=torch.tensor(0.5).double())
    forecast = trained(StudentTHead(1, 1, loss=loss), true.sample(1500))
    # Five standard errors of a sample quantile, sqrt(q (1 - q) / n) / density.
    for level in (0.05, 0.5, 0.95):
        value = true.quantile(level)
        bound = 5 * (level * (1 - level) / 1500) ** 0.5 / true.log_prob(value).exp()
        assert (forecast.quantile(level) - value).abs().item() < bound


@pytest.mark.parametrize("loss", ["nll", "crps"])
def test_a_count_head_finds_mean_and_variance(loss) -> None:
    true = NegativeBinomial(rate=torch.tensor(6.0).double(), total_count=torch.tensor(2.0).double())
    target = true.sample(1500)
    forecast = trained(NegativeBinomialHead(1, 1, loss=loss), target)
    # The deviation of a count is sqrt(6 + 18) = 4.9, of the mean of 1500 0.13; the shape is known to about a tenth.
    assert abs(forecast.mean.item() - 6) < 5 * 0.13
    assert abs(forecast.total_count.item() - 2) < 0.6


def test_a_mixture_head_finds_both_peaks() -> None:
    side = torch.randint(0, 2, (1500,)).double()
    target = torch.where(side > 0, 4 + 0.5 * torch.randn(1500).double(), -2 + torch.randn(1500).double())
    forecast = trained(MixtureHead(1, 1, num_components=2), target)
    order = forecast.loc[0, 0].argsort()
    # Standard errors are below 1 / sqrt(750) = 0.037.
    torch.testing.assert_close(forecast.loc[0, 0][order], torch.tensor([-2.0, 4.0]).double(), rtol=0, atol=0.2)
    torch.testing.assert_close(forecast.scale[0, 0][order], torch.tensor([1.0, 0.5]).double(), rtol=0, atol=0.2)


def test_a_point_head_aims_at_mean_or_median() -> None:
    target = torch.distributions.Exponential(1.0).sample((1001,)).double()
    mean = trained(PointHead(1, 1), target).mean
    median = trained(PointHead(1, 1, loss="crps"), target).mean
    torch.testing.assert_close(mean[0, 0], target.mean(), rtol=1e-4, atol=0)
    torch.testing.assert_close(median[0, 0], target.median(), rtol=0, atol=0.02)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^GaussianHead: x must have shape \(\.\.\., 8\), but has \(3, 7\)\.$"):
        GaussianHead(8, 2)(torch.randn(3, 7))
    with pytest.raises(TypeError, match=r"^GaussianHead: in_features must be whole numbers, but one is 8\.0\.$"):
        GaussianHead(8.0, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^PointHead: output_size must be at least 1, but is 0\.$"):
        PointHead(8, (3, 0))
    with pytest.raises(
        ValueError, match=r"^StudentTHead: a loss is one of nll, crps, pinball, squared, but is 'mse'\.$"
    ):
        StudentTHead(8, 2, loss="mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^PointHead: loss is 'nll', but a point has no likelihood\."):
        PointHead(8, 2, loss="nll")
    with pytest.raises(ValueError, match=r"^NegativeBinomialHead: loss is 'pinball', but quantiles of counts"):
        NegativeBinomialHead(8, 2, loss="pinball")
    with pytest.raises(ValueError, match=r"^QuantileHead: levels must be at least two, but there is 1\."):
        QuantileHead(8, 2, levels=[0.5])
    with pytest.raises(ValueError, match=r"^QuantileHead: levels must be at least one number between 0 and 1, growing"):
        QuantileHead(8, 2, levels=[0.9, 0.5])
    with pytest.raises(ValueError, match=r"^MixtureHead: num_components is 0, but must be at least 1\.$"):
        MixtureHead(8, 2, num_components=0)
    with pytest.raises(TypeError, match=r"^MixtureHead: num_components must be an int, but is float\.$"):
        MixtureHead(8, 2, num_components=2.0)  # type: ignore[arg-type]
