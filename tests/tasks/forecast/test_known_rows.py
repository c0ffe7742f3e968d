"""The last rows of each series that a run knows: which they are, what they become, and what is new beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.data.series import Columns, Panel
from recur.errors import RunError
from recur.run import RunFolder
from recur.tasks.forecast.known_rows import KNOWN_ROWS, KnownRows
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.series_reading import SeriesReading


def setup_of(panel: Panel) -> ForecastSetup:
    return ForecastSetup.fit(panel, history=3, horizon=1, reading=SeriesReading())[0]


def weekly(first: int, count: int, **more: list[float]) -> dict[str, list[float]]:
    """Two series of daily rows from day `first` on."""
    days = list(range(first, first + count))
    return {
        "shop": ["a"] * count + ["b"] * count,  # type: ignore[list-item]
        "day": [*days, *days],
        "sales": [float(day) for day in days] + [100.0 + day for day in days],
        **more,
    }


def test_known_rows_are_the_last_ones_up_to_the_last_target(tmp_path: Path) -> None:
    table = weekly(0, 30)
    table["sales"][28:30] = [float("nan")] * 2
    panel = SeriesReading().first(table)
    setup = setup_of(panel)
    known = KnownRows.of_panel(panel, setup)
    assert known.until == {"a": 27, "b": 29}
    assert known.panel.values[:, 0].tolist() == [25, 26, 27, 127, 128, 129]
    run = RunFolder.create(tmp_path / "run")
    known.save(run)
    again = KnownRows.load(run, setup)
    assert again is not None
    assert again.until == known.until
    assert again.panel.times.dtype == panel.times.dtype
    np.testing.assert_array_equal(again.panel.values, known.panel.values)
    # Those of a are new from 28 on, with what is known before; of b nothing is new.
    newest = known.newest(setup.read(weekly(28, 2)), setup)
    assert newest.panel.values[:5, 0].tolist() == [25, 26, 27, 28, 29]
    assert (newest.start - newest.panel.offsets[:-1]).tolist() == [3, 2]
    assert (newest.stop - newest.start).tolist() == [2, 0]
    both = known.with_newer(KnownRows.of_panel(newest.panel.select([0]), setup), setup)
    assert both.until == {"b": 29, "a": 29}
    assert both.panel.series("a").values[:, 0].tolist() == [27, 28, 29]
    (run.path / KNOWN_ROWS).write_bytes((run.path / KNOWN_ROWS).read_bytes()[:-8])
    with pytest.raises(RunError, match=r"known_rows\.safetensors: damaged: "):
        KnownRows.load(run, setup)


def known_of(first: int, count: int, setup: ForecastSetup) -> KnownRows:
    return KnownRows.of_panel(setup.read(weekly(first, count)), setup)


@pytest.mark.parametrize("first", [20, 24, 26, 27, 29, 30])
def test_of_each_series_those_known_until_later_stay(first: int) -> None:
    """With the rows before them, wherever these come from, as far as a window reads."""
    setup = setup_of(SeriesReading().first(weekly(0, 30)))
    known, other = known_of(0, 27, setup), known_of(first, 2, setup)
    # Of b the others know nothing.
    found = known.with_newer(KnownRows(other.panel.select([0])), setup)
    last = max(26, first + 1)
    assert found.until == {"a": last, "b": 26}
    a = found.panel.series("a")
    assert a.times.tolist() == [last - 2, last - 1, last]
    lies_between = (a.times > 26) & (a.times < first)
    np.testing.assert_array_equal(a.values[:, 0], np.where(lies_between, np.nan, a.times))
    assert found.panel.series("b").values[:, 0].tolist() == [124, 125, 126]
    assert KnownRows(known.panel.select([])).with_newer(other, setup).until == other.until


def test_rows_after_too_long_a_gap_have_nothing_before_them() -> None:
    setup = setup_of(SeriesReading().first(weekly(0, 30)))
    found = known_of(0, 27, setup).with_newer(known_of(31, 2, setup), setup)
    assert found.panel.series("a").times.tolist() == [31, 32]


def test_weights_of_new_rows_stay(tmp_path: Path) -> None:
    rising = [float(number) for number in range(1, 9)]
    setup = setup_of(SeriesReading().first(weekly(0, 30, weight=[1.0] * 60)))
    known = KnownRows.of_panel(setup.read(weekly(0, 30, weight=[1.0] * 60)), setup)
    newest = known.newest(setup.read(weekly(30, 4, weight=rising)), setup)
    assert newest.panel.rows.weight is not None
    assert newest.panel.rows.weight[newest.has_row].tolist() == rising


def test_series_without_times_are_all_new() -> None:
    panel = SeriesReading().first(np.arange(40.0))
    setup = setup_of(panel)
    known = KnownRows.of_panel(panel, setup)
    assert len(known) == 0
    assert len(known.newest(panel, setup)) == 40


def test_categories_of_known_rows_are_those_of_the_training(tmp_path: Path) -> None:
    """The first one by its name came after the training part, so that of all rows the others have other codes."""
    winds = [*("W" if day % 3 else "S" for day in range(28)), "N", "S"]
    table = pl.DataFrame({"day": range(30), "sales": [float(day) for day in range(30)], "wind": winds})
    table.write_csv(tmp_path / "table.csv")
    reading = SeriesReading(columns=Columns(targets="sales", past_only="wind"))
    panel = reading.first(tmp_path / "table.csv")
    setup, _ = ForecastSetup.fit(panel, history=3, horizon=1, reading=reading, path=str(tmp_path / "table.csv"))
    assert panel.rows.codes[-3:, 0].tolist() == [2, 1, 2]
    known = KnownRows.of_own_data(setup)
    assert known.panel.rows.codes[:, 0].tolist() == setup.read(table).rows.codes[-3:, 0].tolist() == [1, 0, 1]
