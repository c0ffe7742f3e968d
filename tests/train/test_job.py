"""What a job is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from recur.train.job import EndlessBatches, Throughput, given_or_default, gradient_options
from recur.train.options import LanguageTrainingOptions, SeriesTrainingOptions, TextTrainingOptions, TrainingOptions


class Numbers:
    """Epochs of three batches: (epoch, position)."""

    def __init__(self) -> None:
        self.epoch = self.position = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first, self.position = self.position, 0
        yield from ((self.epoch, number) for number in range(first, 3))
        self.epoch += 1

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position, "counted": "on"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["counted"] == "on"
        self.epoch, self.position = state["epoch"], state["position"]


def test_epochs_follow_each_other_from_any_step_on() -> None:
    whole = [(epoch, position) for epoch in range(4) for position in range(3)]
    for start in (0, 2, 3, 7):
        assert list(itertools.islice(EndlessBatches(Numbers(), start), 12 - start)) == whole[start:]


def test_speed_is_told_in_one_unit_or_two() -> None:
    windows = Throughput(unit="windows", count=len)
    assert windows.figures(1234.5) == {"windows_per_second": 1234.5}
    assert windows.shown(1234.5) == "1,234 windows/s"
    tokens = Throughput(unit="tokens", count=len, shown_unit="characters", shown_per_unit=2.5)
    assert tokens.figures(100.0) == {"tokens_per_second": 100.0, "characters_per_second": 250.0}
    assert tokens.shown(100.0) == "250 characters/s"


def test_options_of_another_kind_are_refused() -> None:
    given = LanguageTrainingOptions(window=3)
    assert given_or_default(given, LanguageTrainingOptions) is given
    assert given_or_default(None, LanguageTrainingOptions) == LanguageTrainingOptions()
    for other in (TrainingOptions(), SeriesTrainingOptions(), {"window": 3}):
        message = rf"^expected LanguageTrainingOptions, got {type(other).__name__}; give options of this kind"
        with pytest.raises(TypeError, match=message):
            given_or_default(other, LanguageTrainingOptions)
    # Its other fields would be written into a run, where nothing knows them.
    with pytest.raises(TypeError, match=r"^expected SeriesTrainingOptions, got TextTrainingOptions; give options of"):
        given_or_default(TextTrainingOptions(), SeriesTrainingOptions)


def test_options_of_the_task() -> None:
    training = SeriesTrainingOptions(learning_rate=0.5, weight_decay=0.25, clip_ratio=0.125, skip_nonfinite=7)
    assert gradient_options(training) == {
        "learning_rate": 0.5,
        "weight_decay": 0.25,
        "max_norm": None,
        "max_value": None,
        "max_layer_norm": None,
        "max_ratio": 0.125,
        "skip_nonfinite": 7,
    }
