"""Reversible instance normalisation: by hand, there and back, and what is not there."""

from __future__ import annotations

import pytest
import torch

from recur.models.distributions import Gaussian
from recur.nn import ReversibleInstanceNorm


def made(features=3, **options):
    norm = ReversibleInstanceNorm(features, **options).double()
    if norm.bias is not None:
        with torch.no_grad():
            norm.log_weight.normal_()
            norm.bias.normal_()
    return norm


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_equations(batch_first) -> None:
    norm = made(batch_first=batch_first, eps=1e-3)
    x = 5 + 3 * torch.randn(4, 6, 3, dtype=torch.float64)
    time = 1 if batch_first else 0
    wanted = (x - x.mean(time, keepdim=True)) / (x.var(time, unbiased=False, keepdim=True) + 1e-3).sqrt()
    y, scale = norm(x)
    torch.testing.assert_close(y, wanted * norm.log_weight.exp() + norm.bias)
    torch.testing.assert_close(norm.inverse(y, scale), x)
    plain = made(batch_first=batch_first, eps=1e-3, affine=False)
    torch.testing.assert_close(plain(x)[0], wanted)
    torch.testing.assert_close(plain.inverse(*plain(x)), x)


def test_level_and_spread_of_a_row_do_not_matter() -> None:
    norm = made(eps=1e-12)
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(norm(x)[0], norm(1e4 + 50 * x)[0], rtol=1e-9, atol=1e-9)


def test_what_is_not_there_counts_for_nothing() -> None:
    norm = made(batch_first=True)
    x = torch.randn(3, 6, 3, dtype=torch.float64)
    mask = torch.rand(3, 6, 3) < 0.6
    lengths = [6, 4, 0]
    mask[0, 0], mask[1, 0] = True, True
    spoiled = torch.where(mask, x, torch.nan)
    spoiled[1, 4:], spoiled[2] = torch.inf, torch.nan
    spoiled.requires_grad_()
    y, scale = norm(spoiled, lengths=lengths)
    y_again, scale_again = norm(torch.where(mask, x, 1e9), lengths=lengths, mask=mask)
    torch.testing.assert_close(y, y_again)
    torch.testing.assert_close(scale.loc, scale_again.loc)
    there = mask & (torch.arange(6)[None, :, None] < torch.tensor(lengths)[:, None, None])
    for row in range(2):
        for feature in range(3):
            kept = x[row, there[row, :, feature], feature][None, :, None].expand(1, -1, 3)
            torch.testing.assert_close(y[row, there[row, :, feature], feature], norm(kept)[0][0, :, feature])
    assert bool((y[~there] == 0).all())
    y.backward(torch.randn_like(y))
    assert bool((spoiled.grad[~there] == 0).all())
    assert bool(spoiled.grad.isfinite().all())
    # A row without any value is neither moved nor stretched, but for weight and bias.
    torch.testing.assert_close(scale.scale[2, 0], torch.exp(-norm.log_weight))
    torch.testing.assert_close(scale.loc[2, 0], -norm.bias * torch.exp(-norm.log_weight))


def test_time_first_is_batch_first_turned() -> None:
    first, last = made(batch_first=True), made()
    last.load_state_dict(first.state_dict())
    x = torch.randn(3, 6, 3, dtype=torch.float64)
    y, scale = first(x, lengths=[2, 6, 3])
    turned, turned_scale = last(x.transpose(0, 1), lengths=[2, 6, 3])
    torch.testing.assert_close(y, turned.transpose(0, 1))
    torch.testing.assert_close(first.inverse(y, scale), last.inverse(turned, turned_scale).transpose(0, 1))


def test_gradients() -> None:
    norm = made()
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm.inverse(norm(x)[0].tanh()[:2], norm(x)[1]), (x,))
    y, scale = norm(x)
    (y.sin().sum() + norm.inverse(y.tanh(), scale).cos().sum()).backward()
    assert all(bool((parameter.grad != 0).all()) for parameter in norm.parameters())


def test_a_distribution_goes_back_too() -> None:
    norm = made(batch_first=True)
    x = 40 + torch.randn(5, 8, 3, dtype=torch.float64)
    _, scale = norm(x)
    loc, spread = torch.randn(5, 4, 3, dtype=torch.float64), torch.rand(5, 4, 3, dtype=torch.float64) + 0.1
    forecast = Gaussian(loc=loc, scale=spread).rescaled(*scale)
    torch.testing.assert_close(forecast.mean, norm.inverse(loc, scale))
    torch.testing.assert_close(forecast.quantile(0.9), norm.inverse(loc + 1.2815515655446004 * spread, scale))


def test_a_constant_row_is_zero_and_comes_back() -> None:
    norm = made(affine=False)
    x = torch.full((5, 1, 3), 7.0, dtype=torch.float64)
    y, scale = norm(x)
    assert bool((y == 0).all())
    torch.testing.assert_close(norm.inverse(y, scale), x)


def test_bad_input_is_named() -> None:
    norm = ReversibleInstanceNorm(3)
    with pytest.raises(
        ValueError, match=r"^ReversibleInstanceNorm: x must have shape \(T, B, 3\), but has \(4, 2, 2\)\.$"
    ):
        norm(torch.zeros(4, 2, 2))
    with pytest.raises(
        TypeError, match=r"^ReversibleInstanceNorm: x must be a floating torch.Tensor, but is torch.int64"
    ):
        norm(torch.zeros(4, 2, 3, dtype=torch.int64))
    with pytest.raises(
        TypeError, match=r"^ReversibleInstanceNorm: mask must be a torch.bool tensor, but is torch.float32"
    ):
        norm(torch.zeros(4, 2, 3), mask=torch.ones(4, 2, 3))
    with pytest.raises(ValueError, match=r"^ReversibleInstanceNorm: mask has shape \(4, 2\), but x has \(4, 2, 3\)\.$"):
        norm(torch.zeros(4, 2, 3), mask=torch.ones(4, 2, dtype=torch.bool))
    _, scale = norm(torch.zeros(4, 2, 3))
    with pytest.raises(
        ValueError, match=r"y has shape \(4, 5, 3\), which does not fit an input with 2 rows and 3 features"
    ):
        norm.inverse(torch.zeros(4, 5, 3), scale)
    with pytest.raises(ValueError, match=r"num_features must be at least 1 and eps above 0, not 3, 0\.$"):
        ReversibleInstanceNorm(3, eps=0)
    with pytest.raises(TypeError, match=r"^ReversibleInstanceNorm: num_features must be an int, but is float\.$"):
        ReversibleInstanceNorm(3.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^ReversibleInstanceNorm: eps must be a number, but is str\.$"):
        ReversibleInstanceNorm(3, eps="a")  # type: ignore[arg-type]
