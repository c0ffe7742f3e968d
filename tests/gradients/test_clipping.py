"""Clipping against torch's own, and the norm that is returned."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from recur.gradients.clipping import clip_gradients


def network(scale: float) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    unused = nn.Linear(2, 2)
    (layers(torch.randn(5, 3)).square().sum() * scale).backward()
    return nn.ModuleList([layers, unused])


def gradients(module: nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in module.parameters() if p.grad is not None]


def norm(module: nn.Module) -> float:
    return math.sqrt(math.fsum(float(g.double().square().sum()) for g in gradients(module)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("bound", [0.1, 1.0])
def test_by_norm_as_torch(scale: float, bound: float) -> None:
    ours = network(scale)
    theirs = copy.deepcopy(ours)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.grad = None if mine.grad is None else mine.grad.clone()
    before = norm(ours)
    found = clip_gradients(ours.parameters(), max_norm=bound)
    expected = nn.utils.clip_grad_norm_(theirs.parameters(), bound)
    assert found.shape == ()
    assert torch.equal(found, expected)
    assert float(found) == pytest.approx(before, rel=1e-5)
    for mine, other in zip(gradients(ours), gradients(theirs), strict=True):
        assert torch.equal(mine, other)
    assert norm(ours) == pytest.approx(min(before, bound), rel=1e-4)


@pytest.mark.parametrize("bound", [1e-3, 0.5, 1e6])
def test_by_value_as_torch_with_the_norm_before(bound: float) -> None:
    ours = network(1.0)
    before, expected = norm(ours), [g.clone().clamp(-bound, bound) for g in gradients(ours)]
    found = clip_gradients(iter(ours.parameters()), max_value=bound)
    assert float(found) == pytest.approx(before, rel=1e-5)
    for mine, other in zip(gradients(ours), expected, strict=True):
        assert torch.equal(mine, other)


def test_without_a_bound_only_the_norm_is_taken() -> None:
    ours = network(100.0)
    before = [g.clone() for g in gradients(ours)]
    assert float(clip_gradients(ours.parameters())) == pytest.approx(norm(ours), rel=1e-5)
    for mine, other in zip(gradients(ours), before, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bounds", [{"max_norm": 1.0}, {"max_value": 1.0}, {}])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad: float, bounds: dict[str, float]) -> None:
    ours = network(1.0)
    gradients(ours)[1][0] = bad
    assert not math.isfinite(float(clip_gradients(ours.parameters(), **bounds)))


def test_no_gradients_at_all() -> None:
    for bounds in ({"max_norm": 1.0}, {"max_value": 1.0}, {}):
        assert float(clip_gradients(nn.Linear(2, 2).parameters(), **bounds)) == 0


def test_both_bounds_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^clip_gradients: max_norm and max_value are both given\. Give one of them\.$"
    ):
        clip_gradients([], max_norm=1.0, max_value=1.0)


@pytest.mark.parametrize("name", ["max_norm", "max_value"])
@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_a_bound_that_is_not_above_zero_is_refused(name: str, bound: float) -> None:
    with pytest.raises(ValueError, match=rf"^clip_gradients: {name} is {bound}, but must be above 0\."):
        clip_gradients([], **{name: bound})
