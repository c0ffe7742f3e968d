"""What is chosen for series where the user says nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.train.options import BOUNDS, SeriesTrainingOptions
from recur.train.series_choice import DEFAULT_MINUTES, FEW_PASSES, choose


def chosen(num_items: int, has_gpu: bool = False, **given: Any) -> SeriesTrainingOptions:
    return choose(SeriesTrainingOptions(**given), num_items=num_items, has_gpu=has_gpu)


def test_batches_grow_with_the_data() -> None:
    assert [chosen(n).batch_size for n in (1, 50, 511, 512, 1024, 4096, 10**6)] == [8, 8, 8, 16, 32, 128, 128]
    assert chosen(10**6, has_gpu=True).batch_size == 512


def test_the_rate_grows_with_the_root_of_the_batch() -> None:
    rates = [chosen(100, batch_size=size).learning_rate for size in (8, 32, 128, 4096)]
    assert rates == pytest.approx([1e-3, 2e-3, 4e-3, 4e-3])


def test_small_data_are_seen_often_and_large_ones_for_five_minutes() -> None:
    found = [chosen(n) for n in (50, 2000, 35_000, 10**6)]
    # 7, 63, 274 and 7,813 steps an epoch.
    assert [options.max_epochs for options in found] == [715, 32, 8, 3]
    assert {options.max_minutes for options in found} == {DEFAULT_MINUTES}


def test_forecasters_see_few_windows_less_often_and_average_their_weights() -> None:
    def brief(num_items: int, **given: Any) -> SeriesTrainingOptions:
        return choose(SeriesTrainingOptions(**given), num_items=num_items, has_gpu=False, most_passes=FEW_PASSES)

    # 500 steps of 7 and of 16 an epoch, and 32 epochs; from 2,000 windows on as often as any training.
    assert [brief(n).max_epochs for n in (50, 125, 400, 1999)] == [72, 32, 32, 32]
    assert [brief(n).averaging for n in (50, 1999, 2000, 35_000)] == [0.98, 0.98, 0.0, 0.0]
    assert [brief(n) for n in (2000, 35_000)] == [chosen(n) for n in (2000, 35_000)]
    assert chosen(50).averaging == 0.0
    assert brief(50, averaging=0.0).averaging == 0.0
    assert brief(50, max_steps=7).averaging == 0.98


@pytest.mark.parametrize("bound", [{"max_steps": 5}, {"max_epochs": 2}, {"max_minutes": 3}])
def test_a_bound_that_is_given_is_the_only_one(bound: dict[str, Any]) -> None:
    options = asdict(chosen(5000, **bound))
    assert {name: options[name] for name in BOUNDS if options[name] is not None} == bound


def test_validation_about_every_epoch() -> None:
    # Whole epochs of 7 steps; one of 32; a sixteenth of 7,813.
    assert [chosen(n).validate_every for n in (50, 512, 10**6)] == [28, 32, 489]


def test_patience_is_a_third_of_the_validations() -> None:
    # 715 epochs of 7 steps, 28 of which lie between two; 3 of 7,813, and 489 of them.
    assert [chosen(n).patience for n in (50, 10**6)] == [60, 16]
    assert chosen(50, max_steps=28 * 90).patience == 30
    assert chosen(50, max_steps=28).patience == chosen(50, max_minutes=1).patience == 10
    assert chosen(50, patience=0).patience == 0


GIVEN = {"batch_size": 6, "learning_rate": 0.5, "clip_value": 2.0, "validate_every": 11, "max_steps": 7, "patience": 0}


@given(
    st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in GIVEN.items()}),
    st.integers(1, 10**9),
    st.integers(1, 8),
    st.booleans(),
)
def test_what_is_given_stays_and_the_rest_is_complete(
    given: dict[str, Any], num_items: int, devices: int, has_gpu: bool
) -> None:
    found = chosen(num_items, has_gpu, devices=devices, **given)
    assert asdict(found).items() >= given.items()
    assert None not in (found.batch_size, found.learning_rate, found.validate_every, found.patience, found.averaging)
    assert any(getattr(found, name) is not None for name in BOUNDS)
    assert (found.clip_norm is None) != (found.clip_value is None)
    assert found.batch_size is not None
    assert "batch_size" in given or found.batch_size % devices == 0
    assert choose(found, num_items=num_items, has_gpu=has_gpu) == found, "settled"
