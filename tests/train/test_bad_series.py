"""Series that cannot be forecast, or only with care: what is an error, what is said, and what just works.

Each is tried on `recur.train_forecaster`, or on the forecaster that it made.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st
from rich.console import Console

import recur
from recur.data.series.options import SeriesOptions
from recur.errors import DataError, OptionError, RecurError
from recur.models.forecaster_options import ForecasterOptions
from recur.run import RunFolder
from recur.train.options import SeriesTrainingOptions

ROWS = 120
HOURS = np.datetime64("2024-01-01", "ms") + np.arange(ROWS) * np.timedelta64(1, "h")
LOAD = 10 + 3 * np.sin(2 * np.pi * np.arange(ROWS) / 24) + np.random.default_rng(0).normal(0, 0.1, ROWS)
NEXT = np.append(LOAD[1:], 0)
BEFORE = np.append(0, LOAD[:-1])


def table(**columns: Any) -> dict[str, Any]:
    return {"time": HOURS, "load": LOAD} | columns


def two(**columns: Any) -> dict[str, Any]:
    """Two series of the same hours, "a" and "b"."""
    return {"id": np.repeat(["a", "b"], ROWS), "time": np.tile(HOURS, 2), "load": np.tile(LOAD, 2)} | columns


def train(data: Any, out: Path, **series: Any) -> tuple[RunFolder, list[str]]:
    """Return the run of a tiny training, and what was noted."""
    shown = io.StringIO()
    run = recur.train_forecaster(
        data,
        out=out,
        series=SeriesOptions(**({"horizon": 3} | series)),
        # In so few steps nothing would be learned that beats the rules.
        model=ForecasterOptions(hidden_size=2, history=8, rules=False),
        training=SeriesTrainingOptions(max_steps=2, no_report=True),
        console=Console(file=shown, width=400),
    )
    return run, [line for line in shown.getvalue().splitlines() if line.startswith("note")]


def numbers_of(value: Any) -> list[float]:
    """Return all numbers in what JSON has."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers_of(one)]
    if isinstance(value, list):
        return [number for one in value for number in numbers_of(one)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        # times
        (
            {name: np.append(values, values[:2]) for name, values in table().items()},
            {},
            r"^the data, row 121: the series has the time 2024-01-01T00\S* already at the data, row 1; name the column",
        ),
        (
            two(time=np.append(HOURS, HOURS[0] + np.arange(ROWS) * np.timedelta64(15, "m"))),
            {},
            r"^the data: series 'a' has a step of 1h, but 'b' one of 15min; read them apart, say frequency='mixed', or",
        ),
        (
            table(time=[f"{hour}" + ("+01:00" if number % 2 else "") for number, hour in enumerate(HOURS)]),
            {},
            r"^the data, column 'time', row 1: '2024-01-01T00:00:00\.000' says no time zone, but other rows do; write",
        ),
        (
            table(time=["soon" if number == 40 else str(hour) for number, hour in enumerate(HOURS)]),
            {},
            r"^the data, column 'time', row 41: 'soon' cannot be read as a time like the others; mend it, or name the",
        ),
        (
            table(time=[None, *map(str, HOURS[1:])]),
            {},
            r"^the data, column 'time', row 1: the time is missing; fill it in, or leave the row out\.$",
        ),
        # values
        (
            table(load=["broken" if number == 50 else str(value) for number, value in enumerate(LOAD)]),
            {},
            r"^the data, column 'load', row 51: 'broken' is no number, but the column is in targets; mend the cell, s",
        ),
        (
            table(load=np.full(ROWS, np.nan)),
            {},
            r"^the data, column 'load': is a target, but every value is missing; na",
        ),
        (
            table(load=np.where(HOURS[7] == HOURS, np.inf, LOAD)),
            {},
            r"^the data, column 'load', row 8: is infinite; mend the cell, or leave it empty if it is missing\.$",
        ),
        (
            table(other=np.where(HOURS[7] == HOURS, -np.inf, LOAD)),
            {"targets": "load"},
            r"^the data, column 'other', row 8: is infinite; ",
        ),
        (
            table(load=np.where(HOURS[7] == HOURS, 1e300, LOAD)),
            {},
            r"^the data, column 'load', row 8: is 1e\+300, which float32 cannot hold; mend the cell, or leave it empt",
        ),
        (table(w=-LOAD), {"weight": "w"}, r"^the data, column 'w', row 1: a weight must be a number from 0 on, got -"),
        # lengths
        ({n: v[:1] for n, v in table().items()}, {}, r"^series 'series' has 1 rows, too few for 1 of valid, 1 of test"),
        ({n: v[:0] for n, v in table().items()}, {}, r"^the data: has no rows; give a table with some\.$"),
        (
            {n: v[:9] for n, v in table().items()},
            {},
            r"^no window fits into the part 'valid': it needs 3 to read and 3 to tell, but the longest series has 7 s",
        ),
        (
            table(),
            {"horizon": 500},
            r"^the longest series of the training part has 84 steps, but the horizon is 500; cho",
        ),
        # columns
        (
            table(),
            {"targets": "load", "known_future": "load"},
            r"^known_future: 'load' is a target too, so the model would be told the answer; leave it out there\.$",
        ),
        (
            table(copy=LOAD),
            {"targets": "load", "known_future": "copy"},
            r"^the data, column 'copy': is in known_future, but is the same as the target 'load', so the model would ",
        ),
        # planted leaks
        (
            table(next=NEXT),
            {"targets": "load", "past_only": "next"},
            r"^column 'next': is in past_only, but is the target 'load' 1 step later, or is made of it, so the",
        ),
        (
            table(next=np.roll(LOAD, -3)),
            {"targets": "load", "known_future": "next"},
            r"^column 'next': is in known_future, but is the target 'load' 3 steps later, or is made of it, ",
        ),
        (
            table(before=BEFORE),
            {"targets": "load", "known_future": "before"},
            r"^column 'before': is in known_future, but is the target 'load' 1 step before, or is made of it, ",
        ),
    ],
)
def test_what_is_an_error(data: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "next" in data:
        # What a join by the wrong hour leaves at the end is nothing.
        data = data | {"next": [*data["next"][:-3], None, None, None]}
    if "before" in data:
        data = data | {"before": [None, *data["before"][1:]]}
    with pytest.raises((DataError, OptionError), match=message):
        train(data, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


SHUFFLED = np.random.default_rng(1).permutation(ROWS)


@pytest.mark.parametrize(
    ("data", "options", "note"),
    [
        (
            {n: v[SHUFFLED] for n, v in table().items()},
            {},
            r"rows were out of the order of time \(\d+ went back\), and wer",
        ),
        (
            {name: np.append(values, values[:2]) for name, values in table().items()},
            {"duplicates": "last"},
            "2 rows repeated a time; duplicates='last'",
        ),
        (two(time=np.append(HOURS, HOURS[0] + np.arange(ROWS) * np.timedelta64(15, "m"))), {"frequency": "mixed"}, ""),
        (
            {name: np.delete(values, 30) for name, values in table().items()},
            {},
            "1 step that the table lacks got rows wi",
        ),
        ({name: np.delete(values, 30) for name, values in table().items()}, {"gaps": "keep"}, ""),
        (table(load=np.full(ROWS, 5.0)), {}, "load is constant in series 'series'"),
        (two(load=np.append(LOAD, np.full(ROWS, 7.0))), {}, "load is constant in series 'b'"),
        (two(load=np.append(LOAD, np.full(ROWS, np.nan))), {}, "load has no value in series 'b'"),
        (table(load=LOAD * 1e36), {}, ""),
        (
            table(load=np.where(np.arange(ROWS) % 3 == 0, np.nan, LOAD)),
            {},
            r"load is missing in 40 of 120 rows \(33\.33%\)$",
        ),
        ({"load": LOAD}, {}, ""),
        # What was before is known of the past, and what repeats itself is known by itself.
        (table(before=BEFORE), {"targets": "load", "past_only": "before"}, ""),
        (
            table(load=np.arange(ROWS) % 6, same=(np.arange(ROWS) + 6) % 6),
            {"targets": "load", "past_only": "same", "horizon": 6},
            "",
        ),
    ],
)
def test_what_is_noted_or_just_works(data: Any, options: dict[str, Any], note: str, tmp_path: Path) -> None:
    run, notes = train(data, tmp_path / "run", **options)
    if note:
        assert any(re.search(note, said) for said in notes), notes
    else:
        assert notes == []
    found = run.read_json("forecast_evaluation.json")
    assert all(math.isfinite(number) for number in numbers_of(found))
    assert found["figures"]["model"]["mae"] is not None


@pytest.fixture
def forecaster(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Any:
    """A forecaster of two series that reads a price, known of the future, and a kind of day."""

    def make(folder: Path) -> None:
        train(known(), folder / "run", targets="load", known_future="price,day", categorical="day")

    return recur.load(made_once("bad_series", make) / "run")


def known(**columns: Any) -> dict[str, Any]:
    price = np.tile(np.arange(ROWS) % 7 + np.random.default_rng(2).random(ROWS), 2)
    return two(price=price, day=np.tile(np.where(np.arange(ROWS) % 48 < 24, "work", "free"), 2)) | columns


def ahead(**columns: Any) -> pl.DataFrame:
    """The table without the targets of the last three hours."""
    frame = pl.DataFrame(known(**columns))
    is_told = pl.int_range(pl.len()).over("id") >= ROWS - 3
    return frame.with_columns(load=pl.when(~is_told).then("load"))


def test_unseen_series_and_categories_are_told(forecaster: Any) -> None:
    told = forecaster.predict(ahead())
    new = forecaster.predict(ahead(id=np.repeat(["a", "new"], ROWS)))
    assert new.filter(pl.col("series_id") == "a")["mean"].to_list() == told["mean"][:3].to_list()
    assert new.filter(pl.col("series_id") == "new")["mean"].is_finite().all()
    unseen = forecaster.predict(ahead(day=np.full(2 * ROWS, "holiday")))
    assert unseen["mean"].is_finite().all()
    assert unseen["mean"].to_list() != told["mean"].to_list()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.filter(pl.col("load").is_not_null()),
            r"^series 'a' has 0 rows after its last target, but",
        ),
        (lambda frame: frame.drop("price"), r"has no column 'price', in known_future when the model was trained"),
        (
            lambda frame: frame.with_columns(price=pl.when(pl.col("load").is_not_null()).then("price")),
            r"^series 'a': 'price' is missing at 2024-01-05T21:00:00\S*, but is known of the future; fill it in\.$",
        ),
        (lambda frame: frame.with_columns(load=None), r"^series 'a' has no target to go on from; leave it out\.$"),
        (
            lambda frame: frame.with_columns(pl.lit("x").alias("price")),
            r"column 'price', row 1: 'x' is no number, but t",
        ),
        (
            lambda frame: frame.with_columns(price=pl.lit(float("inf"))),
            r"column 'price', row 1: is infinite; mend the ce",
        ),
        (
            lambda frame: frame.with_columns(pl.col("time") + pl.duration(minutes=pl.int_range(pl.len()) % 2)),
            r"the times of series 'a' are not all steps of 1h; give times on that grid",
        ),
    ],
)
def test_what_cannot_be_gone_on_from(
    forecaster: Any, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        forecaster.predict(change(ahead()))


def test_a_horizon_beyond_the_trained_one(forecaster: Any) -> None:
    with pytest.raises(
        OptionError, match=r"^horizon: the model was trained to tell 3 steps, not 4; train one with hor"
    ):
        forecaster.predict(ahead(), horizon=4)


def test_a_scaler_that_saw_the_test_part_is_found_out(forecaster: Any) -> None:
    setup = forecaster.setup
    panel = setup.reading.first(known())
    split = setup.parts(panel)
    for number, name in enumerate(setup.scaler.ids):
        rows = slice(int(split.train.start[number]), int(split.train.stop[number]))
        own = panel.series(name).values[: rows.stop - rows.start, 0].astype(np.float64)
        assert setup.scaler.centre[number, 0] == pytest.approx(own.mean(), rel=1e-12)
        assert setup.scaler.centre[number, 0] != pytest.approx(panel.series(name).values[:, 0].mean(), rel=1e-6)


CELLS = st.one_of(
    st.floats(width=32),
    st.floats(-50, 50),
    st.integers(-(10**12), 10**12),
    st.none(),
    st.sampled_from(["", "x", "1e5", "-3", "inf", "2024-01-01"]),
)


@st.composite
def tables(draw: Any) -> dict[str, list[Any]]:
    """Tables of a few columns, mostly of numbers, with and without times and names, all as a user may have them."""
    rows = draw(st.integers(1, 60))
    found: dict[str, list[Any]] = {}
    if draw(st.booleans()):
        step = draw(st.sampled_from([1, 3600, 86400]))
        times = [str(np.datetime64("2024-01-01", "s") + step * number) for number in range(rows)]
        for _ in range(draw(st.integers(0, 2))):
            times[draw(st.integers(0, rows - 1))] = draw(st.sampled_from(["", "soon", times[0]]))
        found["time"] = times
    if draw(st.booleans()):
        found["id"] = [draw(st.sampled_from("ab")) for _ in range(rows)]
    for name in draw(st.lists(st.sampled_from(["y", "z", "price", "split", "weight"]), min_size=1, unique=True)):
        base = np.random.default_rng(draw(st.integers(0, 99))).normal(size=rows).round(3).tolist()
        for _ in range(draw(st.integers(0, 2))):
            base[draw(st.integers(0, rows - 1))] = draw(CELLS)
        found[name] = base
    return found


@hypothesis.settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.given(data=tables(), horizon=st.sampled_from([None, 1, 2]), gaps=st.sampled_from(["grid", "keep"]))
def test_a_random_table_is_trained_on_or_a_clear_error(
    data: dict[str, list[Any]], horizon: int | None, gaps: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("random")
    rows = [["" if cell is None else str(cell) for cell in row] for row in zip(*data.values(), strict=True)]
    text = "".join(",".join(row) + "\n" for row in [list(data), *rows])
    (folder / "table.csv").write_text(text, encoding="utf-8")
    try:
        run, _ = train(folder / "table.csv", folder / "run", horizon=horizon, gaps=gaps)
    except RecurError:
        return
    content = json.loads((run.path / "forecast_evaluation.json").read_text())
    assert all(math.isfinite(number) for number in numbers_of(content))
