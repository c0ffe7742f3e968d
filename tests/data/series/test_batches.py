"""Batches that several processes share."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Panel, Part, Windows
from recur.errors import OptionError


def windows(num_windows: int, batch_size: int, seed: int | None = None) -> Windows:
    """Windows of one step to read and one to tell, whose row tells which one each is."""
    panel = Panel.of_rows(["a"], [num_windows + 1], np.arange(num_windows + 1.0)[:, None])
    return Windows(Part.whole(panel), history=1, horizon=1, batch_size=batch_size, seed=seed)


def rows(batches: Windows) -> list[list[int]]:
    return [batch.row.tolist() for batch in batches]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_processes_share_each_batch(count: int) -> None:
    whole, shares = windows(24, 6, seed=3), [windows(24, 6, seed=3).shared(rank, count) for rank in range(count)]
    for _ in range(2):
        expected, found = rows(whole), [rows(share) for share in shares]
        for number, batch in enumerate(expected):
            assert sorted(row for each in found for row in each[number]) == sorted(batch)
            assert {len(each[number]) for each in found} == {6 // count}
    assert expected != rows(windows(24, 6, seed=3)), "the second epoch has an order of its own"


def test_the_last_batch_is_filled_up_from_the_beginning() -> None:
    found = [rows(windows(7, 6).shared(rank, 3)) for rank in range(3)]
    assert found == [[[1, 4], [7]], [[2, 5], [1]], [[3, 6], [2]]]
    # Even where there are fewer windows than processes.
    assert [rows(windows(1, 4).shared(rank, 4)) for rank in range(4)] == [[[1]]] * 4


def test_a_share_begins_anywhere_and_leaves_the_whole_alone() -> None:
    whole = windows(24, 6, seed=3)
    share = whole.shared(1, 2)
    expected = rows(share)
    share.load_state_dict({**share.state_dict(), "epoch": 0, "position": 2})
    assert rows(share) == expected[2:]
    assert whole.state_dict() == {"epoch": 0, "position": 0, "items": 24, "batch_size": 6, "seed": 3}


def test_one_process_has_all() -> None:
    assert rows(windows(7, 3).shared(0, 1)) == rows(windows(7, 3)) == [[1, 2, 3], [4, 5, 6], [7]]


def test_what_cannot_be_shared() -> None:
    with pytest.raises(
        OptionError, match=r"^batch_size: 6 cannot be shared equally by 4 processes; give a multiple of"
    ):
        windows(24, 6).shared(0, 4)
    with pytest.raises(OptionError, match=r"^rank: expected a number from 0 to below count, 2, got 2\.$"):
        windows(24, 6).shared(2, 2)
