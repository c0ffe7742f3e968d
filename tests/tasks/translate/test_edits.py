"""Distances between sequences, beside the tables that they are usually counted by."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

import pytest

from recur.tasks.translate.edits import common_length, edit_distance


def distance_by_table(own: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    row = list(range(len(other) + 1))
    for number, token in enumerate(own, 1):
        below = [number]
        for place, one in enumerate(other, 1):
            below.append(min(row[place] + 1, below[-1] + 1, row[place - 1] + (token != one)))
        row = below
    return row[-1]


def common_by_table(own: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    row = [0] * (len(other) + 1)
    for token in own:
        below = [0]
        for place, one in enumerate(other):
            below.append(row[place] + 1 if token == one else max(row[place + 1], below[-1]))
        row = below
    return row[-1]


@pytest.mark.parametrize(
    ("own", "other", "edits", "common"),
    [
        ("", "", 0, 0),
        ("", "ab", 2, 0),
        ("ab", "", 2, 0),
        ("a", "b", 1, 0),
        ("saturday", "sunday", 3, 5),
        ("ab" * 40, "ba" * 40, 2, 79),
        ("für", "fur", 1, 2),
        ("\U0001f600a", "a", 1, 1),
    ],
)
def test_known_distances(own: str, other: str, edits: int, common: int) -> None:
    assert edit_distance(own, other) == edit_distance(other, own) == edits
    assert common_length(own, other) == common_length(other, own) == common


def test_random_sequences_are_as_far_apart_as_the_tables_say() -> None:
    drawn = random.Random(0)
    for _ in range(400):
        kinds = drawn.randrange(1, 5)
        # Longer than a machine word too.
        own, other = ([drawn.randrange(kinds) for _ in range(drawn.randrange(0, 90))] for _ in range(2))
        assert edit_distance(own, other) == distance_by_table(own, other)
        assert common_length(own, other) == common_by_table(own, other)
