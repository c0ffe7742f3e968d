"""Series too short to be learnt from wait until they are long enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recur.errors import DataError
from recur.streaming import stream
from recur.streaming.continuation import continue_run
from recur.streaming.learning import LearningOptions
from recur.streaming.replay import Replay
from recur.tasks.forecast.known_rows import KnownRows
from recur.tasks.forecast.trained import TrainedForecaster

# Of a history of 12 and a horizon of 4, 22 rows are a window, and a quarter that is held back.
# Weights that stay as they are do not make the loss rise, and are kept.
STILL = LearningOptions(steps=2, learning_rate=1e-30)


def rows_of(table: pl.DataFrame, name: str, begin: int, end: int) -> pl.DataFrame:
    return table.filter(pl.col("place") == name)[begin:end]


def test_a_stream_learns_from_short_series_when_they_have_grown(
    make_forecaster: Callable[..., TrainedForecaster], table: pl.DataFrame
) -> None:
    live = stream(make_forecaster(), keep=60)
    live.push(rows_of(table, "a", 0, 50))
    live.push(rows_of(table, "b", 0, 21))
    record = live.learn(STILL)
    assert record.is_kept
    assert record.new_rows == 50
    live.push(rows_of(table, "a", 50, 60))
    with pytest.raises(DataError, match=r"too few new rows: series 'b' has 21 and needs 22 at least; wait"):
        live.learn(STILL)
    live.push(rows_of(table, "b", 21, 45))
    second = live.learn(STILL)
    assert second.is_kept
    # All of the one, and those of the other still wait.
    assert second.new_rows == 45
    with pytest.raises(
        DataError, match=r"too few new rows: series 'a' has 10, after 50 older ones, and needs 16 at least"
    ):
        live.learn(STILL)


def test_a_run_goes_on_with_short_series_when_they_have_grown(
    make_forecaster: Callable[..., TrainedForecaster], table: pl.DataFrame, tmp_path: Path
) -> None:
    trained = make_forecaster()
    # Of data that lie nowhere it knows nothing.
    trained.known = KnownRows(trained.setup.read(table).select([]))
    run = trained.save(tmp_path / "run")
    Replay().save(run)
    first = pl.concat([rows_of(table, "a", 0, 50), rows_of(table, "b", 0, 21)])
    made, record = continue_run(run, first, out=tmp_path / "next", options=STILL)
    assert record.is_kept
    assert record.new_rows == 50
    grown = pl.concat([rows_of(table, "a", 0, 60), rows_of(table, "b", 0, 45)])
    _, second = continue_run(made, grown, out=tmp_path / "third", options=STILL)
    assert second.new_rows == 45
