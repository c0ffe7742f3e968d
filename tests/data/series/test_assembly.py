"""Tables to panels: order, duplicates, gaps, frequencies, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from recur.data.series import Assembly, Columns, Panel, Schema, read_series
from recur.errors import DataError, OptionError

HOURS = [f"2024-01-01 0{hour}:00" for hour in range(6)]


def read(columns: dict, given: Columns | None = None, **options: Any) -> Panel:
    return read_series(columns, given, assembly=Assembly(**options) if options else None)


def values(panel: Panel, channel: int = 0) -> list[float | None]:
    return [None if np.isnan(value) else value for value in panel.values[:, channel].tolist()]


def test_sales_become_a_panel(panel: Panel) -> None:
    assert panel.ids == ("b", "a")
    assert str(panel.frequency) == "1d"
    assert panel.series("a").values[:, 0].tolist() == [10, 20, 30, 40, 50]
    assert panel.schema.channels == ("sales", "visitors")
    assert panel.schema.known_categorical == ("holiday",)
    assert panel.schema.categories == {"holiday": ("easter",)}
    assert panel.rows.codes[:, 0].tolist() == [0, 1, 0, 0, 0] * 2
    assert panel.static.tolist() == [[3], [7]]
    assert panel.notes == ()


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_in_any_order_give_the_same_series(sales: pl.DataFrame, panel: Panel, seed: int) -> None:
    shuffled = read_series(sales.sample(fraction=1, shuffle=True, seed=seed))
    assert len(shuffled.notes) == 1
    assert re.fullmatch(r"rows were out of the order of time \(\d went back\), and were sorted", shuffled.notes[0])
    for name in panel.ids:
        one, other = panel.series(name), shuffled.series(name)
        assert one.times.tolist() == other.times.tolist()
        np.testing.assert_array_equal(one.values, other.values)
        assert one.codes.tolist() == other.codes.tolist()
        assert panel.static[panel.number_of(name)] == shuffled.static[shuffled.number_of(name)]


def test_unsorted_rows_are_an_error_when_asked_for() -> None:
    with pytest.raises(
        DataError, match=r"^the data, row 3: series 'series' goes back from 2 to 1; sort the rows by time"
    ):
        read({"t": [0, 2, 1], "y": [1, 2, 3]}, sort=False)


def test_series_side_by_side_are_not_unsorted() -> None:
    panel = read({"t": [0, 0, 1, 1], "id": ["a", "b", "a", "b"], "y": [1, 2, 3, 4]}, sort=False)
    assert values(panel) == [1, 3, 2, 4]
    assert panel.notes == ()


@pytest.mark.parametrize(("duplicates", "expected"), [("mean", [1, 3, 7]), ("last", [1, 4, 7]), ("first", [1, 2, 7])])
def test_duplicates_become_one_row(duplicates: str, expected: list[float]) -> None:
    # The second row of time 1 has no value, which does not count.
    panel = read({"t": [0, 1, 1, 1, 2], "y": [1.0, 2.0, None, 4.0, 7.0]}, duplicates=duplicates)
    assert values(panel) == expected
    assert panel.times.tolist() == [0, 1, 2]
    assert panel.notes == (f"2 rows repeated a time; duplicates={duplicates!r}",)


def test_duplicates_are_an_error_by_default() -> None:
    message = (
        "the data, row 3: series 'a' has the time 1 already at the data, row 2; say what becomes of them with "
        "duplicates='mean', last or first."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read({"t": [0, 1, 1], "id": ["a", "a", "a"], "y": [1, 2, 3]}, Columns(series_id="id"))
    with pytest.raises(DataError, match="name the column that tells series apart with series_id=, or say what becomes"):
        read({"t": [0, 1, 1], "y": [1, 2, 3]})


# Two rows come twice, one of them with other sales.
SHOPS = {
    "t": [*(day for day in range(20) for _ in range(3)), 4, 5],
    "kind": ["a", "b", "c"] * 20 + ["b", "b"],
    "y": [float(number) for number in range(60)] + [13.0, 99.0],
}


def test_whole_rows_that_come_twice_leave_the_series_apart() -> None:
    whole = {name: column[:-1] for name, column in SHOPS.items()}
    panel = read(whole, duplicates="last")
    assert panel.ids == ("a", "b", "c")
    assert panel.notes[1:] == ("1 row repeated a time; duplicates='last'",)
    assert panel.schema.roles is not None
    reason = "with it every time comes once, but for rows that are repeated whole"
    assert panel.schema.roles.reasons["kind"] == reason
    with pytest.raises(
        DataError, match=r"^the data, row 61: series 'b' has the time 4 already at the data, row 14; say"
    ):
        read(whole)


def test_series_are_not_merged_without_a_word() -> None:
    with pytest.raises(DataError, match="where 'kind' tells series apart, say series_id='kind', else say what becomes"):
        read(SHOPS)
    message = (
        "the data: duplicates='last' would merge 42 of 62 rows with others, most of which differ in 'kind'; if that "
        "tells series apart, say series_id='kind', else series_id=() so that they are merged."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read(SHOPS, duplicates="last")
    assert read(SHOPS, Columns(series_id="kind"), duplicates="last").ids == ("a", "b", "c")
    assert read(SHOPS, Columns(series_id=()), duplicates="last").offsets.tolist() == [0, 20]
    # Readings of which several are of one time are not of several series where no column tells them apart.
    assert read({"t": SHOPS["t"], "y": SHOPS["y"]}, duplicates="mean").offsets.tolist() == [0, 20]
    counted = {"t": SHOPS["t"], "visitors": [number // 2 for number in range(62)], "y": SHOPS["y"]}
    assert read(counted, Columns(targets="y"), duplicates="mean").offsets.tolist() == [0, 20]
    two = {"t": [0, 1] * 40, "item": [0] * 40 + [1] * 40, "store": [n // 2 % 20 for n in range(80)], "y": range(80)}
    with pytest.raises(
        DataError,
        match=r"differ in 'store'; if that tells series apart, say series_id=\('item', 'store'\), else series_id='ite",
    ):
        read(two, duplicates="mean")


def test_gaps_get_rows_or_are_kept() -> None:
    columns = {"t": [HOURS[0], HOURS[1], HOURS[4]], "y": [1, 2, 3], "c": ["u", "v", "u"]}
    filled = read(columns)
    assert values(filled) == [1, 2, None, None, 3]
    assert filled.rows.codes[:, 0].tolist() == [1, 2, 0, 0, 1]
    assert filled.notes == ("2 steps that the table lacks got rows without values",)
    kept = read(columns, gaps="keep")
    assert values(kept) == [1, 2, 3]
    assert str(kept.frequency) == "1h"


def test_mixed_frequencies_are_refused_kept_or_named() -> None:
    columns = {
        "t": ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01", "2024-01-02", "2024-01-03"],
        "id": ["h", "h", "h", "d", "d", "d"],
        "y": [1, 2, 3, 4, 5, 6],
    }
    columns["t"] = [text if " " in text else f"{text} 00:00" for text in columns["t"]]
    with pytest.raises(
        DataError, match=r"^the data: series 'h' has a step of 1h, but 'd' one of 1d; read them apart, say f"
    ):
        read(columns)
    mixed = read(columns, frequency="mixed")
    assert [str(frequency) for frequency in mixed.frequencies] == ["1h", "1d"]
    assert mixed.frequency is None
    named = read(columns, frequency="1h")
    assert named.lengths.tolist() == [3, 49]
    irregular = read(columns, frequency="irregular")
    assert irregular.frequencies == (None, None)


def test_a_frequency_that_does_not_fit_is_refused() -> None:
    columns = {"t": ["2024-01-01 00:00", "2024-01-01 00:20"], "y": [1, 2]}
    with pytest.raises(
        DataError, match=r"^the data: the times of series 'series' are not all steps of 1h; say frequency="
    ):
        read(columns, frequency="1h")
    with pytest.raises(OptionError, match=r"^frequency: 3 is no step for times that are dates\.$"):
        read(columns, frequency=3)


def test_one_irregular_series_makes_all_irregular() -> None:
    panel = read({"t": [0, 1, 2, 0, 1, 90.5], "id": [*"aaabbb"], "y": [1, 2, 3, 4, 5, 6]})
    assert panel.frequencies == (None, None)
    assert panel.notes == ("series 'b' is irregular, so all are taken as irregular",)


def test_days_of_23_hours_are_days() -> None:
    times = pl.datetime_range(
        pl.datetime(2024, 3, 29), pl.datetime(2024, 4, 2), "1d", time_zone="Europe/Paris", eager=True
    )
    panel = read_series(pl.DataFrame({"t": times, "y": [1, 2, 3, 4, 5]}).filter(pl.col("y") != 3))
    assert str(panel.frequency) == "1d"
    assert values(panel) == [1, 2, None, 4, 5]
    assert [time.hour for time in panel.clock.tolist()] == [0] * 5
    assert [time.hour for time in panel.extended(2).clock.tolist()] == [0] * 7


def test_hours_go_on_when_the_clocks_change() -> None:
    times = pl.datetime_range(
        pl.datetime(2024, 10, 26, 22), pl.datetime(2024, 10, 27, 6), "1h", time_zone="Europe/Paris", eager=True
    )
    panel = read_series(pl.DataFrame({"t": times, "y": np.arange(len(times)) + 0.0}))
    assert str(panel.frequency) == "1h"
    assert values(panel) == list(range(len(times)))


def test_missing_targets_are_noted() -> None:
    columns = {"t": [0, 1, 3, 4] * 2, "id": [*"aaaabbbb"], "x": [None, 2, 3, 4, 5, 6, 7, 8]}
    panel = read(columns | {"y": [None, 2.5, None, 4.5, 5.5, None, 7.5, 8.5]}, Columns(targets=("x", "y")))
    assert panel.notes == (
        "y is missing in 3 of 8 rows (37.5%), and 1 other target in no more",
        "2 steps that the table lacks got rows without values",
    )
    one = read(columns | {"y": [1.5] * 8}, Columns(targets="x", past_only="y"))
    assert one.notes[0] == "x is missing in 1 of 8 rows (12.5%)"


def test_series_that_say_little_are_noted() -> None:
    panel = read({"t": [0, 1, 2] * 2, "id": [*"aaabbb"], "y": [5.0, 5, 5, None, None, None]})
    assert panel.notes == ("y has no value in series 'b'", "y is constant in series 'a'")


def test_several_columns_name_a_series() -> None:
    columns = {"t": [0, 0, 1, 1], "shop": ["x", "x", "x", "x"], "item": [1, 2, 1, 2], "y": [1, 2, 3, 4]}
    assert read(columns, Columns(series_id=["shop", "item"])).ids == ("x/1", "x/2")
    with pytest.raises(
        DataError, match="two series get the same name when 'a', 'b' are joined by '/'; rename one of them"
    ):
        read({"t": [0, 0], "a": ["x/y", "x"], "b": ["z", "y/z"], "y": [1, 2]}, Columns(series_id=["a", "b"]))


def test_labels_of_series_and_of_steps() -> None:
    columns = {"t": [0, 1, 0, 1], "id": [*"aabb"], "y": [1, 2, 3, 4], "label": ["u", "u", "v", "v"]}
    panel = read(columns)
    assert panel.labels is not None
    assert panel.labels.tolist() == [0, 1]
    assert panel.rows.labels is None
    assert panel.schema.classes == ("u", "v")
    steps = read(columns | {"label": [2.5, 1.5, None, 0.5]})
    assert steps.labels is None
    np.testing.assert_array_equal(steps.rows.labels, np.float32([2.5, 1.5, np.nan, 0.5]))
    assert steps.schema.classes is None


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        ({"y": [1, float("inf")]}, None, "the data, column 'y', row 2: is infinite; mend the cell, or leave it empty"),
        ({"y": [1, 1e39]}, None, "the data, column 'y', row 2: is 1e+39, which float32 cannot hold; mend the cell"),
        (
            {"y": ["1", "2", "x"]},
            None,
            "the data, column 'y', row 3: 'x' is no number, but the column is in targets; mend",
        ),
        ({"y": [1.0, 2], "a": ["u", "v"]}, Columns(targets="a"), "the data, column 'a', row 1: 'u' is no number, but"),
        (
            {"y": [None, None], "a": [1, 2]},
            Columns(targets="y"),
            "the data, column 'y': is a target, but every value is",
        ),
        (
            {"y": [1.5, 2.0], "z": [1.5, 2.0]},
            Columns(targets="y", known_future="z"),
            "the data, column 'z': is in known_f",
        ),
        (
            {"y": [1, 2], "id": ["a", None]},
            Columns(series_id="id"),
            "the data, column 'id', row 2: the name of the series",
        ),
        (
            {"y": [1, 2], "weight": [1, -1]},
            None,
            "the data, column 'weight', row 2: a weight must be a number from 0 on",
        ),
        (
            {"y": [1, 2], "p": ["train", "tset"]},
            Columns(part="p"),
            "the data, column 'p', row 2: 'tset' is none of train",
        ),
        (
            {"y": [1, 2, 3], "id": [*"aab"], "s": [1, 2, 3]},
            Columns(series_id="id", static="s"),
            "the data, column 's', row 2: changes within series 'a', but is static; put the column into past_only",
        ),
        ({"y": []}, None, "the data: has no rows; give a table with some."),
    ],
)
def test_bad_data_names_the_cell(columns: dict, given: Columns | None, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        read(columns, given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duplicates": "sum"}, r"^duplicates: expected one of error, mean, last, first, got 'sum'\.$"),
        ({"gaps": "fill"}, r"^gaps: expected 'grid' or 'keep', got 'fill'\.$"),
        ({"labels": "text"}, r"^labels: expected 'auto', 'class', 'number' or 'mark', got 'text'\.$"),
    ],
)
def test_unknown_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read({"y": [1, 2], "label": [1, 0]}, **options)


# --- the schema of a trained model ----------------------------------------------------------------------------------


def test_a_schema_reads_other_data_alike(sales: pl.DataFrame, panel: Panel) -> None:
    later = sales.with_columns(pl.lit("pentecost").alias("holiday")).drop("sales")
    found = read_series(later, schema=Schema.from_json(panel.schema.to_json()))
    assert found.schema == panel.schema
    assert np.isnan(found.values[:, 0]).all()
    # A holiday that training did not know.
    assert not found.rows.codes.any()


def test_a_column_that_the_model_needs_must_be_there(sales: pl.DataFrame, panel: Panel) -> None:
    with pytest.raises(
        DataError, match=r"^the data: has no column 'visitors', in past_only when the model was trained\.$"
    ):
        read_series(sales.drop("visitors"), schema=panel.schema)
    with pytest.raises(DataError, match=r"has no column 'visitors', .*; is it 'Visitors'\?$"):
        read_series(sales.rename({"visitors": "Visitors"}), schema=panel.schema)
    with pytest.raises(
        OptionError, match=r"^columns: the schema already says what the columns are for; give one of the two"
    ):
        read_series(sales, Columns(targets="sales"), schema=panel.schema)


def test_a_schema_of_arrays_reads_no_table(sales: pl.DataFrame) -> None:
    with pytest.raises(
        DataError, match=r"^the data: is a table, but the model was trained on arrays or a \.ts file; give"
    ):
        read_series(sales, schema=Schema(targets=("y",)))


def test_a_schema_reads_by_the_clock_of_training() -> None:
    columns = {"t": ["2024-01-01 00:00", "2024-01-01 01:00"], "y": [1, 2]}
    trained = read(columns, zone="Europe/Paris")
    later = read_series(columns, schema=trained.schema)
    assert later.schema.zone == "Europe/Paris"
    assert later.times.tolist() == trained.times.tolist()


def test_a_class_that_the_model_does_not_know_is_named() -> None:
    schema = read({"t": [0, 0], "id": ["a", "b"], "y": [1, 2], "label": ["u", "v"]}, Columns(series_id="id")).schema
    other = {"t": [0, 0], "id": ["a", "b"], "y": [1, 2], "label": ["v", "w"]}
    with pytest.raises(DataError, match=r"^the data, column 'label', row 2: 'w' is none of the classes .*, u, v\.$"):
        read_series(other, schema=schema)


# --- other forms ----------------------------------------------------------------------------------------------------


def test_a_column_for_each_series() -> None:
    panel = read_series({"day": ["2024-01-01", "2024-01-02"], "x": [1, 2], "z": [3.5, None]}, form="wide")
    assert panel.ids == ("x", "z")
    assert values(panel) == [1, 2, 3.5, None]
    with pytest.raises(DataError, match=r"^the data, column 'x', row 2: 'oops' is no number"):
        read_series({"day": ["2024-01-01", "2024-01-02"], "x": ["1", "oops"]}, Columns(targets="x"), form="wide")
    with pytest.raises(OptionError, match=r"^static: a table in the form 'wide' has no such columns; leave it out\.$"):
        read_series({"x": [1, 2]}, Columns(static="x"), form="wide")


def test_a_row_for_each_series() -> None:
    columns = {"label": ["u", "v"], "0": [1.0, 4.0], "1": [2.0, 5.0], "2": [3.0, None]}
    panel = read_series(columns, form="rows")
    assert panel.lengths.tolist() == [3, 2]
    assert values(panel) == [1, 2, 3, 4, 5]
    assert panel.labels.tolist() == [0, 1]
    assert panel.ids == ("1", "2")


# --- the panel itself -----------------------------------------------------------------------------------------------


def test_dataframes_out_are_dataframes_in(sales: pl.DataFrame, panel: Panel) -> None:
    frame = panel.to_polars()
    assert frame.columns == ["series_id", "time", "sales", "visitors", "holiday"]
    assert frame["sales"].to_list() == sales["sales"].to_list()
    assert frame["holiday"].to_list() == [text or None for text in sales["holiday"]]
    assert frame["time"].to_list() == sales["day"].cast(pl.Datetime("us")).to_list()


def test_series_are_selected_in_any_order(panel: Panel) -> None:
    other = panel.select([1, 0])
    assert other.ids == ("a", "b")
    assert values(other) == [10, 20, 30, 40, 50, 1, 2, 3, 4, 5]
    assert other.static.tolist() == [[7], [3]]
    with pytest.raises(DataError, match=r"^there is no series 'c' among the 2 here\.$"):
        panel.series("c")


def test_extending_goes_on_in_time_without_values(panel: Panel) -> None:
    longer = panel.extended(2)
    assert longer.lengths.tolist() == [7, 7]
    assert longer.series("a").times.astype("M8[D]").astype(str).tolist()[-2:] == ["2024-03-06", "2024-03-07"]
    assert values(longer) == [1, 2, 3, 4, 5, None, None, 10, 20, 30, 40, 50, None, None]
    months = read({"t": ["2024-01-31", "2024-02-29", "2024-03-31"], "y": [1, 2, 3]}).extended(2)
    assert months.times.astype("M8[D]").astype(str).tolist()[-2:] == ["2024-04-30", "2024-05-31"]
    with pytest.raises(DataError, match=r"^series 'series' has no frequency, so the times after its end are unknown"):
        read({"t": [0, 1, 90], "y": [1, 2, 3]}).extended(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 2])}, "a label is neither one of the schema's classes, a finite number, nor missing."),
        ({"labels": np.array([0, np.inf])}, "a label is neither one of the schema's classes, a finite number"),
        ({"ids": ("a", "a")}, "two series are called 'a'; give each a name of its own."),
        ({"offsets": np.array([0, 6, 5])}, "the series' offsets must go up from 0 to the 10 rows."),
        ({"static": np.zeros((2, 2), np.float32)}, "the series' static have the shape (2, 2), but must have (2, 1)."),
        ({"static": np.full((2, 1), np.inf, np.float32)}, "a value of the series is infinite; mend it, or make it NaN"),
        (
            {"offsets": np.array([0, 7, 10])},
            "series 'b': its time goes from 2024-03-05T00:00:00.000000 to 2024-03-01T0",
        ),
    ],
)
def test_a_panel_checks_itself(panel: Panel, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(message)}"):
        replace(panel, **change)


def test_nan_in_a_dataframe_is_missing() -> None:
    panel = read_series({"t": [0, 1, 2], "y": [1.0, float("nan"), 3.0]})
    np.testing.assert_array_equal(panel.values[:, 0], np.float32([1, np.nan, 3]))
