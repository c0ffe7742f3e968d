"""The season that the rules are given."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Frequency, Panel, Part
from recur.tasks.forecast.season_choice import Season, choose_season

NOISE = np.random.default_rng(0).standard_normal(400)


def part(values: np.ndarray, frequency: str | None, lengths: list[int] | None = None) -> Part:
    lengths = lengths or [len(values)]
    times = np.concatenate([np.arange(n) for n in lengths])
    times = times if frequency is None else np.datetime64("2024-01-01", "us") + times * np.timedelta64(1, "s")
    step = Frequency(1, "") if frequency is None else Frequency.parse(frequency)
    panel = Panel.of_rows(
        [str(n) for n in range(len(lengths))], lengths, values[:, None], times=times, frequencies=[step] * len(lengths)
    )
    return Part.whole(panel)


def test_what_is_found_goes_first() -> None:
    values = np.sin(2 * np.pi * np.arange(400) / 7) + 0.1 * NOISE
    assert choose_season(part(values, "1h")) == Season(steps=7, why="found in the training part")


def test_several_series_are_looked_at_together() -> None:
    one = np.sin(2 * np.pi * np.arange(150) / 12)
    values = np.concatenate([one + NOISE[:150], 100 * (one + NOISE[150:300])])
    assert choose_season(part(values, None, [150, 150])).steps == 12


def test_only_the_part_is_looked_at() -> None:
    values = np.concatenate([NOISE[:100], 50 * np.sin(2 * np.pi * np.arange(300) / 7)])
    whole = part(values, None)
    first = Part(panel=whole.panel, start=np.array([0]), stop=np.array([100]), name="train")
    assert choose_season(first).steps == 1
    assert choose_season(whole).steps == 7


@pytest.mark.parametrize(
    ("frequency", "steps"),
    [
        *(("1min", 1), ("30min", 48), ("1h", 24), ("12h", 2), ("1d", 7), ("b", 5), ("1w", 52), ("1mo", 12), ("1q", 4)),
        *(("7s", 1), ("5h", 1), ("2d", 1), ("1y", 1)),
    ],
)
def test_that_of_the_calendar_where_none_is_found(frequency: str, steps: int) -> None:
    # A day of minutes does not fit in twice.
    found = choose_season(part(NOISE, frequency))
    assert found.steps == steps
    assert (f"that of the calendar for {Frequency.parse(frequency)}" in found.why) == (steps > 1)


def test_a_season_must_fit_in_twice() -> None:
    assert choose_season(part(NOISE[:47], "1h")).steps == 1
    assert choose_season(part(NOISE[:48], "1h")).steps == 24


def test_nothing_there() -> None:
    assert choose_season(part(np.full(30, np.nan), None)).steps == 1
