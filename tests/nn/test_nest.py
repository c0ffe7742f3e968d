"""Nests of tensors."""

from collections import namedtuple

import pytest
import torch

from recur.nn import nest

Pair = namedtuple("Pair", "h c")
NEST = {"a": Pair(1, [2, (3,)]), "b": torch.Size((4, 5))}


def test_leaves_and_back():
    assert list(nest.leaves(NEST)) == [("a.h", 1), ("a.c.0", 2), ("a.c.1.0", 3), ("b", torch.Size((4, 5)))]
    assert list(nest.leaves(7)) == [("", 7)]
    rebuilt = nest.rebuilt(NEST, [10, 20, 30, 40])
    assert rebuilt == {"a": Pair(10, [20, (30,)]), "b": 40}
    assert isinstance(rebuilt["a"], Pair)
    assert nest.structure(NEST) == {"a": Pair("*", ["*", ("*",)]), "b": "*"}


def test_what_is_above_the_leaves_of_another_nest():
    assert nest.leaves_above({"a": 0, "b": (0, 0)}, {"b": [[1, 2], 3], "a": 4}, ValueError) == (4, [1, 2], 3)
    assert nest.leaves_above(0, (1, 2), ValueError) == ((1, 2),)
    for other in ((1, 2), {"a": 1}, {"a": 1, "c": (1, 2)}, {"a": 1, "b": (1, 2, 3)}, {"a": 1, "b": 2}, None):
        with pytest.raises(ValueError, match=r"^wrong$"):
            nest.leaves_above({"a": 0, "b": (0, 0)}, other, lambda: ValueError("wrong"))


def test_shown():
    assert nest.shown(nest.structure(NEST)) == "{a: Pair(h: *, c: [*, (*)]), b: *}"
