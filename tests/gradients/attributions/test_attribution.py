"""Attributions against what is known by hand: linear scores, products, sums that must come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.gradients.attributions.attribution import METHODS, attribute
from recur.nn import LSTM

FLOAT32 = torch.finfo(torch.float32).eps


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def linear(weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A score with weights (B, T, F) of each row's own, and a constant of its own."""
    return lambda x, rows: (x * weights[rows]).sum((1, 2)) + rows


@pytest.mark.parametrize("batch_size", [1, 3, 256])
@pytest.mark.parametrize("method", METHODS)
def test_a_linear_score_is_told_exactly_by_all(method: Any, batch_size: int) -> None:
    weights, inputs, baseline = drawn(4, 5, 3), drawn(4, 5, 3), drawn(4, 5, 3)
    found = attribute(linear(weights), inputs, baseline, method=method, batch_size=batch_size)
    expected = (weights * (inputs - baseline)).sum(2)
    # Captum has the weights of the integral in float32, and with one step in each place they add up to 1.
    limit = 32 * FLOAT32 * 10 if method == "integrated_gradients" else 1e-12
    assert found.dtype == torch.float64
    assert not found.requires_grad
    assert float((found - expected).abs().max()) < limit


@pytest.mark.parametrize("batch_size", [2, 256])
@pytest.mark.parametrize("method", METHODS)
def test_features_have_shares_of_their_own(method: Any, batch_size: int) -> None:
    weights, inputs, baseline = drawn(4, 5, 3), drawn(4, 5, 3), drawn(3)
    found = attribute(linear(weights), inputs, baseline, method=method, batch_size=batch_size, per_feature=True)
    limit = 32 * FLOAT32 * 10 if method == "integrated_gradients" else 1e-12
    torch.testing.assert_close(found, weights * (inputs - baseline), rtol=0, atol=limit)
    assert attribute(linear(weights), inputs[:0], method=method, per_feature=True).shape == (0, 5, 3)


def test_occlusion_of_features_that_speak_together() -> None:
    """S = x_00 x_01: without either nothing is left, so each of them gets all of it."""
    inputs = torch.tensor([[[2.0, 3.0]]], dtype=torch.float64)
    found = attribute(lambda x, rows: x.prod(2).squeeze(1), inputs, method="occlusion", per_feature=True)
    assert found.tolist() == [[[6.0, 6.0]]]


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (5, 3), (5, 1), (4, 5, 3)])
def test_a_baseline_expands(shape: tuple[int, ...]) -> None:
    weights, inputs, baseline = drawn(4, 5, 3), drawn(4, 5, 3), drawn(*shape)
    found = attribute(linear(weights), inputs, baseline, method="gradient_input")
    torch.testing.assert_close(found, (weights * (inputs - baseline)).sum(2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_baseline_it_is_zero(method: Any) -> None:
    weights, inputs = drawn(2, 3, 2), drawn(2, 3, 2)
    zeros = attribute(linear(weights), inputs, torch.zeros(2, dtype=torch.float64), method=method)
    assert torch.equal(attribute(linear(weights), inputs, method=method), zeros)


def test_a_product_by_hand() -> None:
    """S = x_0 x_1 at (2, 3) from (0, 0): all of the gradient counts twice, half of it is the integral."""
    inputs = torch.tensor([[[2.0], [3.0]]], dtype=torch.float64)

    def product(x: Tensor, rows: Tensor) -> Tensor:
        return x.prod(1).squeeze(1)

    found = {method: attribute(product, inputs, method=method).flatten().tolist() for method in METHODS}
    assert found["gradient_input"] == [6.0, 6.0]
    assert found["occlusion"] == [6.0, 6.0]
    assert found["integrated_gradients"] == pytest.approx([3.0, 3.0], abs=32 * FLOAT32 * 6)


def lstm_score(num_steps: int) -> Callable[[Tensor, Tensor], Tensor]:
    layer = LSTM(3, 7, batch_first=True, dtype=torch.float64).requires_grad_(False)
    lengths = torch.tensor([num_steps, 2, num_steps - 1])
    weights, before = drawn(7), (drawn(1, 3, 7), drawn(1, 3, 7))

    def score(x: Tensor, rows: Tensor) -> Tensor:
        state = (before[0][:, rows], before[1][:, rows])
        _, (h_n, _) = layer(x, state, lengths=lengths[rows])
        return (h_n[0] * weights).sum(1)

    return score


def test_integrated_gradients_of_a_network_are_complete() -> None:
    score, inputs, baseline = lstm_score(6), drawn(3, 6, 3), drawn(3)
    found = attribute(score, inputs, baseline, method="integrated_gradients", num_steps=64)
    rows = torch.arange(3)
    expected = score(inputs, rows) - score(baseline.expand(inputs.shape), rows)
    assert float((found.sum(1) - expected).abs().max()) < 64 * FLOAT32 * float(found.abs().sum(1).max())


@pytest.mark.parametrize("method", METHODS)
def test_steps_past_a_rows_end_get_nothing(method: Any) -> None:
    found = attribute(lstm_score(6), drawn(3, 6, 3), method=method)
    assert bool((found[1, 2:] == 0).all())
    assert float(found[2, 5]) == 0
    assert bool((found[0] != 0).all())


def test_occlusion_of_a_network_by_hand() -> None:
    score, inputs, baseline = lstm_score(4), drawn(3, 4, 3), drawn(3)
    found = attribute(score, inputs, baseline, method="occlusion", batch_size=5)
    for row in range(3):
        for step in range(4):
            without = inputs[row : row + 1].clone()
            without[0, step] = baseline
            rows = torch.tensor([row])
            expected = score(inputs[row : row + 1], rows) - score(without, rows)
            assert float(found[row, step]) == pytest.approx(float(expected), abs=1e-12)


def test_gradient_x_input_of_a_network_is_the_derivative_by_a_factor() -> None:
    """The shares add up to dS/da at x + a (x - b)."""
    score, inputs, baseline = lstm_score(5), drawn(3, 5, 3), drawn(3)
    found = attribute(score, inputs, baseline, method="gradient_input").sum(1)
    step, rows = 1e-5, torch.arange(3)
    there, back = (score(inputs + sign * step * (inputs - baseline), rows) for sign in (1, -1))
    # Central differences err by step^2 S'''/6, and by rounding / step.
    assert float((found - (there - back) / (2 * step)).abs().max()) < 1e-8


def test_the_parameters_get_no_gradient() -> None:
    weights = drawn(2, 3, 2).requires_grad_()
    for method in METHODS:
        attribute(lambda x, rows: (x * weights[rows]).sum((1, 2)).tanh(), drawn(2, 3, 2), method=method)
    assert weights.grad is None


def test_inputs_that_need_a_gradient_and_a_caller_without() -> None:
    weights, inputs = drawn(2, 3, 2), drawn(2, 3, 2)
    for method in METHODS:
        expected = attribute(linear(weights), inputs, method=method)
        with torch.no_grad():
            found = attribute(linear(weights), inputs.clone().requires_grad_(), method=method)
        assert torch.equal(found, expected)
        assert not found.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_no_rows(method: Any) -> None:
    assert attribute(linear(drawn(1, 3, 2)), drawn(0, 3, 2), method=method).shape == (0, 3)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        (
            {"inputs": torch.zeros(2, 3, 2, dtype=torch.int64)},
            TypeError,
            r"^attribute: inputs must be a float tensor, but is torch\.int64; embed tokens first\.$",
        ),
        ({"baseline": 3.0}, TypeError, r"^attribute: baseline must be a float tensor, but is float; embed "),
        (
            {"inputs": torch.zeros(3, 2)},
            ValueError,
            r"^attribute: inputs must be of shape \(B, T, F\), but is \(3, 2\)",
        ),
        (
            {"baseline": torch.zeros(4)},
            ValueError,
            r"^attribute: baseline of shape \(4,\) does not expand to that of inputs, \(2, 3, 2\); give \(F,\), \(T, F",
        ),
        (
            {"method": "magic"},
            ValueError,
            r"^attribute: method must be one of gradient_input, integrated_gradients, ",
        ),
        ({"num_steps": 0}, ValueError, r"^attribute: num_steps must be a whole number from 1 on, but is 0\.$"),
        ({"batch_size": 1.5}, ValueError, r"^attribute: batch_size must be a whole number from 1 on, but is 1\.5\.$"),
    ],
)
def test_bad_arguments(changed: dict[str, Any], kind: type[Exception], message: str) -> None:
    given = {"inputs": torch.zeros(2, 3, 2)} | changed
    with pytest.raises(kind, match=message):
        attribute(lambda x, rows: x.sum((1, 2)), **given)


@pytest.mark.parametrize("method", METHODS)
def test_a_score_of_another_shape(method: Any) -> None:
    message = r"^attribute: score must return one score a row, \(2,\), but returned \(2, 3\)\.$"
    with pytest.raises(ValueError, match=message):
        attribute(lambda x, rows: x.sum(2), torch.zeros(2, 3, 2), method=method, batch_size=2)


@pytest.mark.parametrize(
    "score",
    [
        lambda x, rows: torch.zeros(len(x)),
        lambda x, rows: x.detach().sum((1, 2)),
        # A gradient, but of something else.
        lambda x, rows: (x.detach() * torch.ones(1, requires_grad=True)).sum((1, 2)),
    ],
)
@pytest.mark.parametrize("method", ["gradient_input", "integrated_gradients"])
def test_a_score_without_a_gradient(method: Any, score: Any) -> None:
    inputs = torch.randn(2, 3, 1)
    message = (
        r"^attribute: the score has no gradient with respect to its inputs\. Do not detach them in score, or take "
    )
    with pytest.raises(ValueError, match=message):
        attribute(score, inputs, method=method)
    attribute(score, inputs, method="occlusion")
