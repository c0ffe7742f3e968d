"""Penalties on activations and their changes, against loops over every element."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recur.gradients import activation_penalty, temporal_penalty

LENGTHS = [5, 2, 0, 1]


def outputs() -> tuple[torch.Tensor, torch.Tensor]:
    """(T, B, H) and resets (T, B); the second row begins anew in its last step."""
    torch.manual_seed(0)
    h = torch.randn(5, 4, 3, dtype=torch.float64)
    reset = torch.zeros(5, 4, dtype=torch.bool)
    reset[0] = True
    reset[2, 0] = reset[1, 1] = reset[3, 3] = True
    return h, reset


def by_hand(h: torch.Tensor, ends: list[int], reset: torch.Tensor | None, *, is_change: bool) -> float:
    total, count = 0.0, 0
    for row, end in enumerate(ends):
        for step in range(end):
            if is_change and (step == 0 or (reset is not None and reset[step, row])):
                continue
            value = h[step, row] - h[step - 1, row] if is_change else h[step, row]
            total += float(value.square().sum())
            count += value.numel()
    return total / count


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS, torch.tensor(LENGTHS)])
def test_activations(lengths: Any, batch_first: bool) -> None:
    h, _ = outputs()
    given = h.transpose(0, 1) if batch_first else h
    found = activation_penalty(given, lengths=lengths, batch_first=batch_first)
    expected = by_hand(h, [5] * 4 if lengths is None else LENGTHS, None, is_change=False)
    assert float(found) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("has_reset", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_changes(lengths: Any, has_reset: bool, batch_first: bool) -> None:
    h, reset = outputs()
    turned = (h.transpose(0, 1), reset.T) if batch_first else (h, reset)
    found = temporal_penalty(
        turned[0], lengths=lengths, reset=turned[1] if has_reset else None, batch_first=batch_first
    )
    ends = [5] * 4 if lengths is None else LENGTHS
    expected = by_hand(h, ends, reset if has_reset else None, is_change=True)
    assert float(found) == pytest.approx(expected, rel=1e-14)


def test_images_count_each_element() -> None:
    h = torch.randn(4, 2, 3, 2, 2, dtype=torch.float64)
    assert float(activation_penalty(h, lengths=[4, 1])) == pytest.approx(
        by_hand(h, [4, 1], None, is_change=False), rel=1e-14
    )
    assert float(temporal_penalty(h, lengths=[4, 2])) == pytest.approx(
        by_hand(h, [4, 2], None, is_change=True), rel=1e-14
    )


def test_gradients() -> None:
    h, reset = outputs()
    h.requires_grad_()
    assert torch.autograd.gradcheck(lambda h: activation_penalty(h, lengths=LENGTHS), h)
    assert torch.autograd.gradcheck(lambda h: temporal_penalty(h, lengths=LENGTHS, reset=reset), h)
    assert torch.autograd.gradcheck(lambda h: temporal_penalty(h.transpose(0, 1), batch_first=True), h)


def test_what_lies_past_the_end_may_be_anything() -> None:
    h, reset = outputs()
    for row, end in enumerate(LENGTHS):
        h[end:, row] = torch.nan
    h.requires_grad_()
    total = activation_penalty(h, lengths=LENGTHS) + temporal_penalty(h, lengths=LENGTHS, reset=reset)
    total.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(total))
    assert h.grad is not None
    assert bool(torch.isfinite(h.grad).all())


def test_nothing_to_count_is_zero() -> None:
    h, reset = outputs()
    assert float(activation_penalty(h, lengths=[0] * 4)) == 0
    assert float(temporal_penalty(h, lengths=[1, 0, 1, 1])) == 0
    assert float(temporal_penalty(h[:1])) == 0
    assert float(temporal_penalty(h, reset=torch.ones_like(reset))) == 0


@pytest.mark.parametrize("penalty", [activation_penalty, temporal_penalty])
def test_bad_input(penalty: Any) -> None:
    name = penalty.__name__
    h, _ = outputs()
    with pytest.raises(TypeError, match=rf"^{name}: h must be a floating torch\.Tensor, but is torch\.int64\.$"):
        penalty(h.long())
    with pytest.raises(TypeError, match=rf"^{name}: h must be a floating torch\.Tensor, but is list\.$"):
        penalty([h])
    with pytest.raises(ValueError, match=rf"^{name}: h must have shape \(T, B, H\), but has \(5, 3\)\.$"):
        penalty(h[:, 0])
    with pytest.raises(ValueError, match=rf"^{name}: h must have shape \(B, T, H\), but has \(5, 3\)\.$"):
        penalty(h[:, 0], batch_first=True)
    with pytest.raises(ValueError, match=rf"^{name}: lengths must have shape \(4,\), one for each row, but has \(2,\)"):
        penalty(h, lengths=[1, 2])


def test_bad_resets() -> None:
    h, reset = outputs()
    with pytest.raises(TypeError, match=r"^temporal_penalty: reset must be a torch\.bool tensor, but is torch\.int64"):
        temporal_penalty(h, reset=reset.long())
    with pytest.raises(TypeError, match=r"^temporal_penalty: reset must be a torch\.bool tensor, but is list\.$"):
        temporal_penalty(h, reset=[])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^temporal_penalty: reset must have shape \(5, 4\), but has \(4, 5\)\.$"):
        temporal_penalty(h, reset=reset.T)
