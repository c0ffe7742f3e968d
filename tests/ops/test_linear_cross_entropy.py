"""The cross-entropy of a linear layer's logits, some rows at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from recur.ops.linear_cross_entropy import chunked, reference
from recur.ops.linear_cross_entropy.op import linear_cross_entropy, linear_log_probs


def drawn(rows: int = 23, size: int = 7, inputs: int = 5, dtype: torch.dtype = torch.float64) -> list[Any]:
    draw = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=draw, dtype=dtype).requires_grad_()
        for shape in ((rows, inputs), (size, inputs), (size,))
    )
    return [x, weight, bias, torch.randint(size, (rows,), generator=draw)]


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows of seven at a time, the last three alone."""
    monkeypatch.setattr(chunked, "CHUNK", 28)


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    "needs", [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]
)
@pytest.mark.parametrize("has_bias", [True, False])
def test_it_is_that_of_the_reference(smoothing: float, needs: tuple[bool, ...], has_bias: bool) -> None:
    x, weight, bias, target = drawn()
    for one, needed in zip((x, weight, bias), needs, strict=True):
        one.requires_grad_(needed)
    leaves = [one for one in (x, weight, bias if has_bias else None) if one is not None and one.requires_grad]
    found, wanted = (
        way.linear_cross_entropy(x, weight, bias if has_bias else None, target, smoothing)
        for way in (chunked, reference)
    )
    torch.testing.assert_close(found, wanted)
    if leaves:
        upstream = torch.tensor(-1.7, dtype=torch.float64)
        for mine, theirs in zip(
            torch.autograd.grad(found, leaves, upstream), torch.autograd.grad(wanted, leaves, upstream), strict=True
        ):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.usefixtures("few_rows")
def test_gradients_of_gradients() -> None:
    x, weight, bias, target = drawn(rows=9)

    def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return chunked.linear_cross_entropy(x, weight, bias, target, 0.1)

    assert torch.autograd.gradcheck(loss, (x, weight, bias))
    assert torch.autograd.gradgradcheck(loss, (x, weight, bias))


@pytest.mark.usefixtures("few_rows")
def test_logits_of_any_size() -> None:
    """Far apart, and far from zero: nothing overflows, and nothing is 0 / 0."""
    x, weight, bias, target = drawn(dtype=torch.float32)
    with torch.no_grad():
        weight.mul_(1e4)
        bias.add_(1e6)
    found = chunked.linear_cross_entropy(x, weight, bias, target, 0.1)
    wanted = reference.linear_cross_entropy(*(one.double() for one in (x, weight, bias)), target, 0.1)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert all(bool(one.isfinite().all()) for one in torch.autograd.grad(found, (x, weight, bias)))


@pytest.mark.usefixtures("few_rows")
def test_log_probabilities_of_rows() -> None:
    x, weight, bias, target = drawn()
    found = linear_log_probs(x, weight, bias, target)
    assert found.shape == (23,)
    torch.testing.assert_close(-found.sum(), reference.linear_cross_entropy(x, weight, bias, target, 0.0))
    assert torch.autograd.gradcheck(lambda x: linear_log_probs(x, weight, bias, target), (x,))
    assert linear_log_probs(x[:0], weight, bias, target[:0]).shape == (0,)


def test_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias, target = drawn()
    assert chunked.refusal(x, weight) == "all logits fit the caches"
    monkeypatch.setattr(chunked, "LEAST_LOGITS", 1)
    assert chunked.refusal(x, weight) is None
    ran = []
    monkeypatch.setattr(chunked, "linear_cross_entropy", lambda *given: ran.append(given))
    linear_cross_entropy(x, weight, bias, target)
    assert len(ran) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert chunked.refusal(x, weight) == "under autocast the product is torch's, in autocast's dtype"
    told: list[str | None] = []
    torch.func.grad(lambda x: told.append(chunked.refusal(x, weight)) or x.sum())(x)  # type: ignore[func-returns-value]
    assert told == ["under torch.func the derivatives are torch's"]


def test_memory_of_all_logits_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 700)
    x, weight, bias, target = drawn(rows=5_000)
    with torch.profiler.profile(profile_memory=True) as seen:
        chunked.linear_cross_entropy(x, weight, bias, target, 0.1).backward()
    largest = max(event.self_cpu_memory_usage for event in seen.events())
    assert 0 < largest < 5_000 * 7 * 8
