"""Whatever the table, there is a panel that keeps its promises, or an error of ours."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recur.data.series import (
    Assembly,
    Columns,
    LastWindows,
    Panel,
    Part,
    Scaler,
    Split,
    WholeSeries,
    Windows,
    on_grid,
    read_series,
)
from recur.data.series.batches import SeriesBatches
from recur.errors import RecurError

NAMES = [
    "t",
    "time",
    "year",
    "month",
    "id",
    "y",
    "value",
    "label",
    "weight",
    "split",
    "holiday",
    "No",
    "x",
    "",
    "série",
]
CELLS: list[st.SearchStrategy[Any]] = [
    st.floats(width=32),
    st.floats(-100, 100),
    st.sampled_from([0.0, 1e39, float("inf"), float("nan"), 5.0]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 3),
    st.sampled_from([1_700_000_000, 1_700_003_600, 1_700_007_200]),
    st.integers(1990, 2030),
    st.booleans(),
    st.text(max_size=3),
    st.sampled_from(["a", "b", "train", "valid", "test", "", "1.5", "NA", "?"]),
    st.sampled_from(["2024-01-01", "2024-01-02", "2024-01-03", "2024-02-30", "01/02/2024", "2024Q1"]),
    st.sampled_from(["2024-03-31 01:00", "2024-03-31 02:30", "2024-03-31T03:00+02:00", "2024-10-27T02:00Z"]),
    st.datetimes(),
    st.datetimes(datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 3)),
    st.datetimes(timezones=st.timezones()),
    st.dates(datetime.date(2024, 1, 1), datetime.date(2024, 1, 9)),
    st.timedeltas(),
    st.times(),
    st.binary(max_size=2),
    st.lists(st.integers(), max_size=2),
    st.just(None),
]


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Columns that may hold anything, a kind each but for missing cells, and now and then a stray one."""
    rows = draw(st.integers(0, 12))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    table = {}
    for name in names:
        cell = draw(st.sampled_from(CELLS))
        kinds = cell | st.none() if draw(st.booleans()) else cell
        column = draw(st.lists(kinds, min_size=rows, max_size=rows))
        if rows and draw(st.integers(0, 9)) == 0:
            column[draw(st.integers(0, rows - 1))] = draw(st.sampled_from(CELLS).flatmap(lambda other: other))
        table[name] = column
    return table


@st.composite
def likely_tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Series as users have them, and up to two columns of anything."""
    rows = draw(st.integers(1, 15))

    def column(cell: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(cell, min_size=rows, max_size=rows))

    number = st.none() | st.floats(-100, 100)
    day = datetime.datetime(2024, 3, 30)
    times = {
        "steps": list(range(rows)),
        "numbers": column(st.integers(0, 20)),
        "decimals": column(st.integers(0, 20).map(lambda step: step / 4)),
        "hours": column(st.integers(0, 60).map(lambda hours: day + datetime.timedelta(hours=hours))),
        "days": column(st.integers(0, 60).map(lambda days: (day + datetime.timedelta(days=days)).date())),
        "months": [f"{1990 + month // 12}-{month % 12 + 1:02}" for month in column(st.integers(0, 40))],
    }
    table = {
        "t": times[draw(st.sampled_from(sorted(times)))],
        "id": column(st.sampled_from("abc")),
        "y": column(number),
    }
    for name in draw(st.lists(st.sampled_from(["label", "holiday", "x", "weight", "split"]), unique=True, max_size=2)):
        table[name] = column(draw(st.sampled_from([*CELLS, number, number, st.sampled_from("uv")])))
    return table


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """A table, and how it is to be read; mostly as it comes."""
    table = draw(tables() | likely_tables())
    options: dict[str, Any] = {"form": draw(st.sampled_from(["long", "long", "long", "wide", "rows"]))}
    names = st.sampled_from([*table, "none such"])
    roles = st.sampled_from([None, None, ()]) | names | st.lists(names, max_size=2)
    if draw(st.integers(0, 3)) == 0:
        fields = ["series_id", "time", "targets", "known_future", "static", "categorical", "label"]
        options["columns"] = Columns(
            **{one: draw(roles) for one in draw(st.lists(st.sampled_from(fields), max_size=3))}
        )
    if draw(st.integers(0, 2)) > 0:
        options["assembly"] = Assembly(
            sort=draw(st.sampled_from([True, True, False])),
            duplicates=draw(st.sampled_from(["error", "mean", "last", "first"])),
            frequency=draw(
                st.sampled_from(["infer", "mixed", "irregular", "irregular", "1h", "1d", "1mo", "b", 1, 0.5])
            ),
            gaps=draw(st.sampled_from(["grid", "keep"])),
            zone=draw(st.sampled_from([None, None, None, "UTC", "Europe/Paris", "America/Lima"])),
            time_format=draw(st.sampled_from([None, None, None, None, "%Y-%m-%d", "s"])),
        )
    return table, options


def read_or_refuse(data: Any, **options: Any) -> Panel | str:
    """Return the panel, or what an error of ours says; any other error goes through."""
    try:
        return read_series(data, **options)
    except RecurError as error:
        return str(error)


def is_clear(message: str) -> bool:
    return len(message) > 20 and "\n" not in message


def use(panel: Panel) -> None:
    """Go all the way to batches, where that can be."""
    part = Part.whole(panel)

    def scaler() -> Scaler:
        return Scaler.fit(part)

    ways: list[Callable[[], SeriesBatches]] = [
        lambda: Windows(Split.by_time(panel, valid=0, test=1).test, history=2, horizon=1, batch_size=3, seed=0),
        lambda: Windows(part, history=3, horizon=2, batch_size=3, scaler=scaler()),
        lambda: WholeSeries(part, batch_size=3, scaler=scaler()),
        lambda: LastWindows(panel.extended(2), history=2, horizon=2, batch_size=3, scaler=scaler()),
        lambda: WholeSeries(Part.whole(on_grid(panel, "1d", by="last")), batch_size=3),
    ]
    refusals = []
    for way in ways:
        try:
            batches = way()
        except RecurError as error:
            refusals.append(str(error))
            continue
        for batch in batches:
            numbers = [batch.x, batch.target, batch.weight, batch.times, batch.future, batch.static]
            assert all(bool(tensor.isfinite().all()) for tensor in numbers if tensor is not None)
            assert (batch.lengths <= batch.x.shape[1]).all()
    assert all(is_clear(refusal) for refusal in refusals)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(questions())
def test_a_random_table_is_a_panel_or_a_clear_error(
    invariants: Callable[[Panel], None], question: tuple[dict[str, list[Any]], dict[str, Any]]
) -> None:
    table, options = question
    panel = read_or_refuse(table, **options)
    if isinstance(panel, Panel):
        invariants(panel)
        use(panel)
    else:
        assert is_clear(panel)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.none() | st.floats(-9, 9, width=32)),
        min_size=1,
        max_size=20,
    )
)
def test_random_series_keep_every_value_at_its_time(
    invariants: Callable[[Panel], None], rows: list[tuple[str, int, float | None]]
) -> None:
    unique = {(name, time): value for name, time, value in rows}
    frame = pl.DataFrame(
        [(name, time, value) for (name, time), value in unique.items()],
        schema={"id": pl.String, "t": pl.Int64, "y": pl.Float64},
        orient="row",
    )
    try:
        panel = read_series(frame, Columns(series_id="id", time="t", targets="y"), assembly=Assembly(frequency="mixed"))
    except RecurError:
        assert all(value is None for value in unique.values())
        return
    invariants(panel)
    found = {
        (name, time): None if np.isnan(value) else value
        for name in panel.ids
        for time, value in zip(panel.series(name).times.tolist(), panel.series(name).values[:, 0].tolist(), strict=True)
    }
    assert unique.items() <= found.items()
    assert all(value is None for key, value in found.items() if key not in unique)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="ab12.,;\t\n\"'-? é", max_size=60).map(str.encode))
def test_random_bytes_are_a_table_or_a_clear_error(
    invariants: Callable[[Panel], None], tmp_path_factory: Any, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.csv"
    path.write_bytes(data)
    panel = read_or_refuse(path)
    if isinstance(panel, Panel):
        invariants(panel)
    else:
        assert is_clear(panel)
