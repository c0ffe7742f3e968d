"""Batches of texts of about the same length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recur.data.texts.batches import TextBatches
from recur.errors import OptionError, RunError
from recur.token_ids import Ragged


def made(lengths: list[int], **options: Any) -> TextBatches:
    """Return batches of texts whose tokens say which text they are of, from 2 on."""
    texts = Ragged.of([[number + 2] * length for number, length in enumerate(lengths)])
    return TextBatches(texts, np.arange(len(lengths)), **{"batch_size": 4, **options})


LENGTHS = np.random.default_rng(0).integers(0, 60, 101).tolist()


@pytest.mark.parametrize("seed", [None, 3])
def test_each_text_comes_once_and_whole(seed: int | None) -> None:
    batches = made(LENGTHS, seed=seed)
    for _ in range(2):
        seen = []
        for batch in batches:
            for row, length, item, target in zip(batch.x, batch.lengths, batch.index, batch.target, strict=True):
                assert row[:length].tolist() == [int(item) + 2] * LENGTHS[int(item)]
                assert not row[length:].any()
                assert target == item
                seen.append(int(item))
        assert sorted(seen) == list(range(len(LENGTHS)))


def test_batches_stay_below_the_tokens_and_waste_little() -> None:
    batches = list(made(LENGTHS, batch_size=1000, max_tokens=300, seed=0))
    assert all(batch.x.numel() <= 300 for batch in batches)
    padded = sum(batch.x.numel() for batch in batches)
    assert padded < 1.3 * sum(LENGTHS)


def test_a_text_longer_than_a_batch_stays_whole() -> None:
    batches = list(made([5, 100_000, 3], max_tokens=1000, seed=0))
    assert [int(batch.lengths.max()) for batch in batches if batch.x.shape[1] > 5] == [100_000]


def test_epochs_differ_and_a_seed_repeats_them() -> None:
    def order(batches: TextBatches) -> list[list[int]]:
        return [batch.index.tolist() for batch in batches]

    one, other = made(LENGTHS, seed=5), made(LENGTHS, seed=5)
    first, second = order(one), order(one)
    assert first != second
    assert len(first) == len(second) == len(one)
    assert [order(other), order(other)] == [first, second]


@pytest.mark.parametrize("after", [1, 7])
def test_a_saved_position_goes_on_with_the_same_batches(after: int) -> None:
    whole = made(LENGTHS, seed=1)
    expected = [batch.index.tolist() for _ in range(2) for batch in whole]
    part = made(LENGTHS, seed=1)
    for number, _ in enumerate(part, 1):
        if number == after:
            state = part.state_dict()
            break
    resumed = made(LENGTHS, seed=1)
    resumed.load_state_dict(state)
    assert [batch.index.tolist() for _ in range(2) for batch in resumed] == expected[after:]
    with pytest.raises(RunError, match="counts on seed 1, but here it is 2"):
        made(LENGTHS, seed=2).load_state_dict(state)


def test_processes_share_each_batch() -> None:
    whole = list(made(LENGTHS, seed=1))
    shares = [list(made(LENGTHS, seed=1).shared(rank, 2)) for rank in range(2)]
    for batch, *own in zip(whole, *shares, strict=True):
        assert len(own[0].index) == len(own[1].index)
        assert set(batch.index.tolist()) <= {int(item) for one in own for item in one.index}


def test_what_is_not_known_does_not_count() -> None:
    texts = Ragged.of([[2], [3]])
    assert next(iter(TextBatches(texts, batch_size=2))).weight.tolist() == [0, 0]
    batch = next(iter(TextBatches(texts, np.array([0, 1]), np.array([1, 0], np.float32), batch_size=2)))
    assert batch.weight.tolist() == [1, 0]
    assert batch.to(torch.device("cpu")) is batch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a number from 1 on, got 0"),
        ({"max_tokens": 0}, "max_tokens: expected a number from 1 on, got 0"),
        ({"seed": -1}, "seed: expected a number from 0 on or None, got -1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made([1], **options)


def test_no_texts() -> None:
    assert list(made([])) == []
