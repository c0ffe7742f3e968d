"""What holds for every distribution: density, quantiles, samples and score belong to one another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from recur.models.distributions import (
    Gaussian,
    GaussianMixture,
    NegativeBinomial,
    Point,
    Quantiles,
    StudentT,
)
from recur.score import sample_crps

F64 = {"dtype": torch.float64}
LOC = torch.tensor([0.3, -2.0, 5.0], **F64)
SCALE = torch.tensor([1.0, 0.2, 3.0], **F64)
DF = torch.tensor([2.1, 5.0, 300.0], **F64)
RATE = torch.tensor([0.4, 7.0, 90.0], **F64)
COUNT = torch.tensor([0.3, 4.0, 1000.0], **F64)
MIX = {
    "logits": torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]], **F64),
    "loc": torch.tensor([[-3.0, 2.0], [0.0, 0.1], [4.0, 40.0]], **F64),
    "scale": torch.tensor([[1.0, 0.3], [2.0, 0.01], [3.0, 7.0]], **F64),
}
LEVELS = (0.05, 0.3, 0.6, 0.9)
VALUES = torch.tensor([[-1.0, 0.0, 0.5, 4.0], [2.0, 2.1, 2.2, 2.3], [-50.0, -3.0, 0.0, 100.0]], **F64)

CONTINUOUS = {
    "gaussian": Gaussian(loc=LOC, scale=SCALE),
    "student": StudentT(df=DF, loc=LOC, scale=SCALE),
    "mixture": GaussianMixture(**MIX),
    "quantiles": Quantiles(values=VALUES, levels=LEVELS),
}
COUNTS = {"negative binomial": NegativeBinomial(rate=RATE, total_count=COUNT)}
ALL = CONTINUOUS | COUNTS | {"point": Point(value=LOC)}


def mixture_cdf(index, x):
    share = MIX["logits"].softmax(-1)[index].numpy()
    return sum(
        w * scipy.stats.norm.cdf(x, m, s)
        for w, m, s in zip(share, MIX["loc"][index].numpy(), MIX["scale"][index].numpy(), strict=True)
    )


def own_quantile_cdf(index, x):
    """Written out again with numpy: straight between the quantiles, exponential through the last two beyond."""
    values, q = VALUES[index].numpy(), np.array(LEVELS)
    inside = np.interp(x, values, q)
    low = (values[1] - values[0]) / np.log(q[1] / q[0])
    high = (values[-1] - values[-2]) / np.log((1 - q[-2]) / (1 - q[-1]))
    below = q[0] * np.exp((np.minimum(x, values[0]) - values[0]) / low)
    above = 1 - (1 - q[-1]) * np.exp(-(np.maximum(x, values[-1]) - values[-1]) / high)
    return np.where(x < values[0], below, np.where(x > values[-1], above, inside))


CDFS = {
    "gaussian": lambda i, x: scipy.stats.norm.cdf(x, LOC[i], SCALE[i]),
    "student": lambda i, x: scipy.stats.t.cdf(x, DF[i].item(), LOC[i], SCALE[i]),
    "mixture": mixture_cdf,
    "quantiles": own_quantile_cdf,
    "negative binomial": lambda i, x: scipy.stats.nbinom.cdf(x, COUNT[i].item(), (COUNT / (COUNT + RATE))[i].item()),
}


def targets(name):
    """Five targets for each distribution, (5, 3), in its middle and its tails."""
    forecast = ALL[name]
    return forecast.quantile([0.001, 0.2, 0.5, 0.85, 0.9999]).movedim(-1, 0) + (0 if name in COUNTS else 0.01)


@pytest.mark.parametrize("name", CDFS)
def test_distribution_functions_and_quantiles(name) -> None:
    forecast = ALL[name]
    for y in targets(name):
        wanted = [CDFS[name](i, y[i].item()) for i in range(3)]
        np.testing.assert_allclose(forecast.cdf(y), wanted, rtol=0, atol=1e-12)
    levels = [1e-9, 0.01, 0.5, 0.77, 1 - 1e-9]
    found = forecast.quantile(levels)
    assert found.shape == (3, 5)
    assert torch.equal(found[:, 3], forecast.quantile(0.77))
    for k, level in enumerate(levels):
        reached = forecast.cdf(found[:, k])
        if name in COUNTS:
            assert bool((reached >= level - 1e-13).all())
            assert bool((forecast.cdf(found[:, k] - 1) < level + 1e-13).all())
        else:
            # torch's normal distribution function is exact to a rounding of 1, not of itself.
            np.testing.assert_allclose(reached, level, rtol=1e-13, atol=2.0**-52)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_density_is_the_slope_of_the_distribution_function(name) -> None:
    forecast = ALL[name]
    for y in targets(name):
        y = y.clone().requires_grad_()
        (slope,) = torch.autograd.grad(forecast.cdf(y).sum(), y)
        np.testing.assert_allclose(forecast.log_prob(y).exp().detach(), slope, rtol=1e-8, atol=1e-14)


def test_the_probability_of_counts() -> None:
    for y in targets("negative binomial"):
        wanted = scipy.stats.nbinom.logpmf(y.numpy(), COUNT.numpy(), (COUNT / (COUNT + RATE)).numpy())
        np.testing.assert_allclose(COUNTS["negative binomial"].log_prob(y), wanted, rtol=1e-10)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_score_is_the_integral_of_its_definition(name) -> None:
    forecast = ALL[name]
    for y in targets(name):
        found = forecast.crps(y)
        for i in range(3):
            target, cdf = y[i].item(), CDFS[name]
            knots = [target, *(VALUES[i].tolist() if name == "quantiles" else []), forecast.mean[i].item()]
            if name == "mixture":
                knots += [c + k * s for c, s in zip(MIX["loc"][i], MIX["scale"][i], strict=True) for k in (-5, 0, 5)]
            places = sorted({float(knot) for knot in knots})
            # Heavy tails: the squared tail is integrated to infinity.
            pieces = [(-np.inf, places[0]), *itertools.pairwise(places), (places[-1], np.inf)]
            wanted = sum(
                scipy.integrate.quad(lambda x: (cdf(i, x) - (x >= target)) ** 2, *piece, epsabs=1e-11, limit=200)[0]  # noqa: B023
                for piece in pieces
            )
            np.testing.assert_allclose(found[i], wanted, rtol=1e-6)


def test_the_score_of_counts_is_the_sum_of_its_definition() -> None:
    forecast = COUNTS["negative binomial"]
    k = np.arange(30_000)
    for y in targets("negative binomial"):
        wanted = [((CDFS["negative binomial"](i, k) - (k >= y[i].item())) ** 2).sum() for i in range(3)]
        np.testing.assert_allclose(forecast.crps(y), wanted, rtol=1e-9)


def test_the_score_of_huge_counts_is_finite_and_near_that_of_the_gamma_distribution() -> None:
    # With a mean of 1e7 and 2 degrees of freedom the rate's gamma distribution is all; CRPS by its quantile integral.
    forecast = NegativeBinomial(rate=torch.tensor([1e7], **F64), total_count=torch.tensor([2.0], **F64))
    y = 1.5e7
    levels = (np.arange(200_000) + 0.5) / 200_000
    gap = y - scipy.stats.gamma.ppf(levels, 2.0, scale=5e6)
    wanted = 2 * np.maximum(levels * gap, (levels - 1) * gap).mean()
    np.testing.assert_allclose(forecast.crps(torch.tensor([y], **F64)), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_samples_have_the_distribution(name) -> None:
    forecast = ALL[name]
    generator = torch.Generator().manual_seed(3)
    drawn = forecast.sample(20_000, generator=generator)
    assert drawn.shape == (20_000, 3)
    again = forecast.sample(20_000, generator=torch.Generator().manual_seed(3))
    assert torch.equal(drawn, again)
    assert forecast.sample(generator=generator).shape == (3,)
    for level in (0.1, 0.5, 0.95):
        value = forecast.quantile(level)
        # The share of samples up to a place is binomial; five standard deviations.
        probability = forecast.cdf(value)
        share = (drawn <= value).double().mean(0)
        bound = 5 * (probability * (1 - probability) / 20_000).sqrt() + 1e-12
        assert bool(((share - probability).abs() <= bound).all())


@pytest.mark.parametrize("name", ALL)
def test_the_score_agrees_with_that_of_samples(name) -> None:
    forecast = ALL[name]
    drawn = forecast.sample(40_000, generator=torch.Generator().manual_seed(1))
    y = targets(name)[3]
    found = sample_crps(y, drawn, is_fair=True, keep=0)
    # |X - y| has at most the spread of X; the interquartile range stands for it where the variance is huge.
    spread = torch.minimum(drawn.std(0), 5 * (forecast.quantile(0.9) - forecast.quantile(0.1)))
    assert bool(((found - forecast.crps(y)).abs() <= 5 * spread / 200 + 1e-12).all())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_means(name) -> None:
    forecast = ALL[name]
    levels = [(k + 0.5) / 4000 for k in range(4000)]
    # What the outermost of 4000 quantiles miss of the heavy tails is a small share of the spread.
    spread = forecast.quantile(0.9) - forecast.quantile(0.1)
    assert bool(((forecast.quantile(levels).mean(-1) - forecast.mean).abs() < 0.02 * spread).all())


@pytest.mark.parametrize("name", [*CONTINUOUS, "point"])
def test_rescaling_moves_and_stretches_everything(name) -> None:
    forecast = ALL[name]
    loc, scale = torch.tensor([1.0, -4.0, 100.0], **F64), torch.tensor([2.0, 0.1, 50.0], **F64)
    moved = forecast.rescaled(loc, scale)
    y = targets(name)[1]
    torch.testing.assert_close(moved.mean, loc + scale * forecast.mean)
    torch.testing.assert_close(moved.crps(loc + scale * y), scale * forecast.crps(y), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(moved.quantile(0.3), loc + scale * forecast.quantile(0.3), rtol=1e-12, atol=1e-12)
    if name != "point":
        torch.testing.assert_close(moved.log_prob(loc + scale * y), forecast.log_prob(y) - scale.log())
    torch.testing.assert_close(forecast.rescaled(3.0, 2.0).mean, 3 + 2 * forecast.mean)


def test_counts_are_scaled_by_their_rate() -> None:
    forecast = COUNTS["negative binomial"]
    bigger = forecast.rescaled(0, SCALE)
    assert torch.equal(bigger.mean, SCALE * RATE)
    assert torch.equal(bigger.total_count, COUNT)
    with pytest.raises(ValueError, match=r"^NegativeBinomial: loc must be 0, because counts cannot be moved\."):
        forecast.rescaled(1.0, 2.0)


@pytest.mark.parametrize("name", ALL)
def test_an_index_takes_distributions(name) -> None:
    forecast = ALL[name]
    mask = torch.tensor([True, False, True])
    assert forecast[mask].shape == (2,)
    torch.testing.assert_close(forecast[mask].quantile(0.4), forecast.quantile(0.4)[mask])
    torch.testing.assert_close(forecast[..., 1].quantile(0.4), forecast.quantile(0.4)[1])
    assert forecast[None].shape == (1, 3)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_quantiles_pass_a_gradient_to_the_parameters(name) -> None:
    parameters = {key: value.clone().requires_grad_() for key, value in ALL[name]._parameters().items()}
    fixed = {"levels": LEVELS} if name == "quantiles" else {}

    def quantiles(*values):
        forecast = type(ALL[name])(**dict(zip(parameters, values, strict=True)), **fixed)
        return forecast.quantile([0.02, 0.45, 0.93])

    assert torch.autograd.gradcheck(quantiles, tuple(parameters.values()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*CONTINUOUS, *COUNTS])
@pytest.mark.parametrize("measure", ["crps", "log_prob"])
def test_scores_pass_a_gradient_to_the_parameters(name, measure) -> None:
    parameters = {key: value.clone().requires_grad_() for key, value in ALL[name]._parameters().items()}
    fixed = {"levels": LEVELS} if name == "quantiles" else {}
    y = targets(name)[3]

    def scores(*values):
        return getattr(type(ALL[name])(**dict(zip(parameters, values, strict=True)), **fixed), measure)(y)

    assert torch.autograd.gradcheck(scores, tuple(parameters.values()), atol=1e-5, rtol=1e-4)


def test_the_gradient_at_the_centre_of_a_t_distribution_is_finite() -> None:
    df, loc, scale = (torch.ones(1, **F64).mul_(value).requires_grad_() for value in (4.0, 2.0, 1.5))
    StudentT(df=df, loc=loc, scale=scale).crps(torch.tensor([2.0], **F64)).backward()
    assert loc.grad == 0
    assert bool(scale.grad.isfinite())
    assert bool(df.grad.isfinite())


def test_quantiles_that_coincide_are_an_atom() -> None:
    values = torch.tensor([1.0, 1.0, 3.0, 3.0], **F64, requires_grad=True)
    forecast = Quantiles(values=values, levels=(0.2, 0.4, 0.6, 0.8))
    assert forecast.cdf(torch.tensor(0.999, **F64)) == 0
    torch.testing.assert_close(forecast.cdf(torch.tensor(1.0, **F64)), torch.tensor(0.4, **F64))
    torch.testing.assert_close(forecast.cdf(torch.tensor(2.0, **F64)), torch.tensor(0.5, **F64))
    # 40 % at 1, 40 % at 3, the rest even between: the integrals of F^2 below the target and (1 - F)^2 above it.
    score = forecast.crps(torch.tensor(2.0, **F64))
    wanted = 2 * (0.5**3 - 0.4**3) / 3 / 0.1
    torch.testing.assert_close(score.item(), wanted, rtol=1e-12, atol=0)
    assert bool(torch.autograd.grad(score, values)[0].isfinite().all())


def test_float32_stays_float32_and_near_float64() -> None:
    for name, forecast in ALL.items():
        fixed = {"levels": LEVELS} if name == "quantiles" else {}
        small = type(forecast)(**{key: value.float() for key, value in forecast._parameters().items()}, **fixed)
        y = targets(name)[2]
        for found, wanted in (
            (small.crps(y.float()), forecast.crps(y)),
            (small.quantile(0.9), forecast.quantile(0.9)),
            (small.sample(generator=torch.Generator().manual_seed(0)), None),
        ):
            assert found.dtype == torch.float32
            if wanted is not None:
                # A few dozen roundings of values up to 100.
                torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_rows_drawn_alike_get_the_numbers_that_one_alone_gets(name) -> None:
    forecast = ALL[name]
    count = len(forecast.mean)
    rows = forecast[torch.arange(count).repeat(2).view(2, count).t()]
    drawn = rows.sample(50, generator=torch.Generator().manual_seed(1), alike=0)
    assert drawn.shape == (50, count, 2)
    for row in range(count):
        alone = rows[row : row + 1].sample(50, generator=torch.Generator().manual_seed(1))
        assert torch.equal(drawn[:, row], alone[:, 0])
    # Along the other dimension they are drawn each for itself.
    assert name == "point" or not torch.equal(drawn[..., 0], drawn[..., 1])
    again = rows.sample(alike=0)
    assert again.shape == (count, 2)
    same = rows[torch.zeros(4, dtype=torch.int64)].sample(alike=0)
    assert (same == same[0]).all()


def test_bad_input_is_named() -> None:
    forecast = CONTINUOUS["gaussian"]
    with pytest.raises(TypeError, match=r"^Gaussian: scale must be a floating torch.Tensor, but is torch.int64\.$"):
        Gaussian(loc=LOC, scale=torch.ones(3, dtype=torch.int64))
    with pytest.raises(
        ValueError, match=r"^Gaussian: parameters must share one shape \(\.\.\.\), but have \{'loc': \(3,\)"
    ):
        Gaussian(loc=LOC, scale=SCALE[:2])
    with pytest.raises(ValueError, match=r"^GaussianMixture: parameters must share one shape \(\.\.\., K\)"):
        GaussianMixture(logits=LOC[0], loc=LOC[0], scale=LOC[0])
    with pytest.raises(
        ValueError, match=r"^Quantiles: values have shape \(3, 4\), whose last dimension must be the number"
    ):
        Quantiles(values=VALUES, levels=(0.1, 0.9))
    for level in (0, 1, 1.5):
        with pytest.raises(ValueError, match=r"^Gaussian: a level must lie between 0 and 1, but is"):
            forecast.quantile(level)
    with pytest.raises(TypeError, match=r"^Gaussian: a level must be a number, but is 'a'\.$"):
        forecast.quantile(["a"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"^Gaussian: num_samples is 0, but must be at least 1\.$"):
        forecast.sample(0)
    with pytest.raises(TypeError, match=r"^Gaussian: num_samples must be an int, but is float\.$"):
        forecast.sample(2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Point: a point has no density\. Take by='crps'"):
        ALL["point"].log_prob(LOC)
    for wrong in (0.5, -1.0):
        with pytest.raises(ValueError, match=r"^NegativeBinomial: a target is negative or not whole, but counts are 0"):
            COUNTS["negative binomial"].log_prob(torch.full((3,), wrong))
