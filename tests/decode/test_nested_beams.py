"""Nested beams are chosen the same in lists, for few hypotheses, and in tensors, for many."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recur.decode.beams import Beams, Choice
from recur.decode.nested_beams import NestedBeams
from recur.decode.nested_lists import NestedLists
from recur.decode.nested_tensors import NestedTensors


def beams_at(places: Tensor, width: int, log_prob: Tensor) -> Beams:
    """Return open hypotheses at these places of rows of `width` slots, before the first token."""
    num = len(places)
    none = torch.zeros(num, 0, dtype=torch.int64)
    return Beams(
        row=places // width,
        slot=places % width,
        newest=torch.zeros(num, dtype=torch.int64),
        tokens=none,
        log_prob=log_prob.double(),
        trail=none,
        coverage=None,
        node=torch.zeros(num, dtype=torch.int64),
        met=torch.zeros(num, 0, dtype=torch.bool),
    )


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(1, 5),
    width=st.integers(1, 5),
    groups=st.integers(1, 3),
    size=st.integers(1, 7),
    end=st.sampled_from([None, 0, 2]),
    prune=st.sampled_from([None, 1.0]),
    diversity=st.sampled_from([0.0, 0.5]),
)
def test_lists_and_tensors_choose_the_same(
    seed: int,
    num_rows: int,
    width: int,
    groups: int,
    size: int,
    end: int | None,
    prune: float | None,
    diversity: float,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    beams, end = width * groups, end if end is None else min(end, size - 1)
    # Halves, so that many are equal; some slots are empty, some tokens forbidden.
    places = torch.arange(num_rows * beams)
    places = places[(torch.rand(len(places), generator=generator) < 0.7).index_fill(0, torch.tensor([0]), True)]
    allowed = -torch.randint(0, 8, (len(places), size), generator=generator).double() / 2
    allowed[torch.rand(allowed.shape, generator=generator) < 0.2] = -torch.inf
    before = beams_at(places, beams, -torch.randint(0, 4, (len(places),), generator=generator) / 2)
    of_lists = NestedLists(beams, groups, diversity, prune, end).choose(allowed.clone(), before)
    of_tensors = NestedTensors(beams, groups, diversity, prune, end).choose(allowed.clone(), before)
    for one in fields(Choice):
        assert getattr(of_lists, one.name).tolist() == getattr(of_tensors, one.name).tolist(), one.name


def test_many_hypotheses_are_chosen_in_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for one in (NestedLists, NestedTensors):

        def choose(self: object, allowed: Tensor, beams: Beams, name: str = one.__name__) -> None:
            asked.append(name)

        monkeypatch.setattr(one, "choose", choose)
    selection = NestedBeams(5, 1, 0.0, None, 0)
    for num_rows in (1, 64):
        num = num_rows * 5
        selection.choose(torch.zeros(num, 3), beams_at(torch.arange(num), 5, torch.zeros(num)))
    assert asked == ["NestedLists", "NestedTensors"]
