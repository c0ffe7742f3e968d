"""Random numbers that are drawn again, on the processor and on devices."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recur.gradients import randomness
from recur.gradients.randomness import Randomness


def test_numbers_are_drawn_again() -> None:
    before = Randomness.now(torch.zeros(1))
    first = torch.rand(5)
    assert not before.is_same(Randomness.now(torch.zeros(1)))
    before.restore()
    assert before.is_same(Randomness.now())
    assert torch.equal(torch.rand(5), first)


def test_what_is_drawn_inside_leaves_no_trace_also_after_an_error() -> None:
    before = Randomness.now()
    with Randomness.kept(torch.zeros(1)):
        torch.rand(1)
    with pytest.raises(ZeroDivisionError), Randomness.kept():
        torch.rand(1 // int(torch.rand(1) > 2))
    assert before.is_same(Randomness.now())


def test_each_device_but_the_processor_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def states(*tensors: Any) -> tuple[list[int], list[Any]]:
        asked.extend(str(tensor.device) for tensor in tensors)
        return [], []

    monkeypatch.setattr(randomness, "get_device_states", states)
    Randomness.now(torch.zeros(1), torch.zeros(1, device="meta"), torch.ones(2), torch.ones(2, device="meta"))
    assert asked == ["meta"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_of_a_device_are_drawn_again() -> None:
    x = torch.ones(100, device="cuda")
    before = Randomness.now(x)
    first = torch.nn.functional.dropout(x)
    assert not before.is_same(Randomness.now(x))
    before.restore()
    assert torch.equal(torch.nn.functional.dropout(x), first)
