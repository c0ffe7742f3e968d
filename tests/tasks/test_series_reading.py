"""New data read as those of a run were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.data.series import Assembly, Columns, Delimited, Panel, panel_of_array
from recur.errors import DataError
from recur.tasks.series_reading import SeriesReading, fingerprint

SALES = {
    "shop": ["a"] * 4 + ["b"] * 4,
    "day": np.tile(np.arange("2024-03-01", "2024-03-05", dtype="datetime64[D]"), 2),
    "sales": np.arange(8.0),
    "weather": ["sun", "rain"] * 4,
}


def first(reading: SeriesReading | None = None, data: object = None) -> tuple[SeriesReading, Panel]:
    reading = reading or SeriesReading()
    return reading, reading.first(SALES if data is None else data)


def test_new_rows_are_read_under_the_same_schema() -> None:
    reading, panel = first()
    new = pl.DataFrame(SALES).with_columns(pl.lit("snow").alias("weather"), pl.lit("c").alias("shop")).head(4)
    found = reading.again(new, panel.schema, panel.frequency)
    assert found.schema == panel.schema
    assert found.ids == ("c",)
    # A category that nobody has seen is none of them.
    assert found.rows.codes[:, 0].tolist() == [0] * 4
    assert panel.rows.codes[:, 0].max() == 2


def test_targets_may_be_missing_and_other_columns_not() -> None:
    reading, panel = first()
    found = reading.again(pl.DataFrame(SALES).drop("sales"), panel.schema, panel.frequency)
    assert np.isnan(found.values[:, 0]).all()
    with pytest.raises(DataError, match=r"has no column 'weather', in past_only when the model was trained"):
        reading.again(pl.DataFrame(SALES).drop("weather"), panel.schema, panel.frequency)


def test_a_few_rows_are_on_the_grid_of_the_training() -> None:
    reading, panel = first()
    # The step of a single row nobody can tell; two that lie apart have a step in between.
    found = reading.again(pl.DataFrame(SALES)[[0, 2]], panel.schema, panel.frequency)
    assert str(found.frequency) == "1d"
    assert found.values[:, 0].tolist()[::2] == [0, 2]
    assert np.isnan(found.values[1, 0])
    halves = (
        pl.DataFrame(SALES)
        .head(4)
        .with_columns(pl.Series("day", np.datetime64("2024-03-01", "us") + np.arange(4) * np.timedelta64(12, "h")))
    )
    with pytest.raises(DataError, match=r"the times of series 'a' are not all steps of 1d"):
        reading.again(halves, panel.schema, panel.frequency)


def test_steps_that_are_numbers() -> None:
    reading, panel = first(data={"step": [0, 5, 10], "y": [1.0, 2.0, 3.0]})
    assert reading.again({"step": [15], "y": [4.0]}, panel.schema, panel.frequency).frequency == panel.frequency


def test_options_of_text_and_form_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "wide.txt"
    path.write_text("t;a;b\n0;1,5;2,5\n1;3,5;4,5\n2;5,5;6,5\n")
    reading = SeriesReading(
        form="wide", columns=Columns(time="t"), text=Delimited(separator=";", decimal_comma=True), assembly=Assembly()
    )
    reading = SeriesReading.from_json(reading.to_json())
    panel = reading.first(path)
    assert panel.ids == ("a", "b")
    again = reading.again(path, panel.schema, panel.frequency)
    assert np.array_equal(again.values, panel.values)
    # What comes as a dataframe is not cut into cells.
    table = pl.DataFrame({"t": [3], "a": [7.5], "b": [8.5]})
    assert reading.again(table, panel.schema, panel.frequency).values[:, 0].tolist() == [7.5, 8.5]


def test_it_can_be_saved() -> None:
    reading = SeriesReading(
        columns=Columns(targets=("a", "b"), label=(), ignored="c"),
        text=Delimited(missing=("x",)),
        assembly=Assembly(duplicates="mean", zone="Europe/Paris"),
    )
    again = SeriesReading.from_json(json.loads(json.dumps(reading.to_json())))
    assert again == reading


def test_arrays_and_tables_are_not_mixed() -> None:
    reading, panel = first()
    with pytest.raises(DataError, match=r"trained on a table, so an array cannot be read; give a table with 'shop', "):
        reading.again(np.zeros((3, 1)), panel.schema, panel.frequency)
    with pytest.raises(DataError, match=r"so an array cannot be read"):
        reading.again("new.npz", panel.schema, panel.frequency)
    array_reading, of_array = first(data=np.zeros((5, 2)))
    with pytest.raises(DataError, match=r"is a table, but the model was trained on arrays"):
        array_reading.again({"y": [1.0]}, of_array.schema, of_array.frequency)
    assert len(array_reading.again(np.ones((3, 2)), of_array.schema, of_array.frequency).rows) == 3


def test_a_panel_must_have_the_same_channels() -> None:
    reading, panel = first()
    kept = reading.again(panel, panel.schema, panel.frequency)
    assert np.array_equal(kept.rows.codes, panel.rows.codes)
    fewer = panel.recoded({"weather": ("rain",)})
    assert reading.again(panel, fewer.schema, panel.frequency).rows.codes[:, 0].tolist() == [0, 1] * 4
    other = Panel.of_rows(["a"], [2], [[1.0], [2.0]])
    with pytest.raises(DataError, match=r"the series have the channels y, but the model was trained on sales"):
        reading.again(other, panel.schema, other.frequency)
    with pytest.raises(DataError, match=r"trained on series with a step of 1d, but these have one of 1; resample them"):
        reading.again(other, panel.schema, panel.frequency)


def test_the_fingerprint_tells_changed_data() -> None:
    _, panel = first()
    _, same = first()
    assert fingerprint(panel) == fingerprint(same)
    changed = pl.DataFrame(SALES).with_columns(pl.Series("sales", [*np.arange(7.0), 7.5]))
    for table in (changed, pl.DataFrame(SALES)[::-1].head(7), pl.DataFrame(SALES).rename({"sales": "y"})):
        assert fingerprint(first(data=table)[1]) != fingerprint(panel)
    renamed = panel.schema.categories | {"weather": ("sleet", *panel.schema.categories["weather"][1:])}
    weighted = replace(panel.rows, weight=np.ones(len(panel.rows), np.float32))
    parted = replace(panel.rows, part=np.zeros(len(panel.rows), np.int8))
    assert fingerprint(replace(panel, schema=replace(panel.schema, categories=renamed))) != fingerprint(panel)
    assert len({fingerprint(replace(panel, rows=rows)) for rows in (panel.rows, weighted, parted)}) == 3


def test_a_folder_of_arrays_takes_no_options_of_tables(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.arange(5.0))
    assert SeriesReading().first(tmp_path).values.shape == (10, 1)


def test_classes_of_a_panel_go_by_their_names() -> None:
    values = np.arange(12.0).reshape(3, 4, 1)
    own = panel_of_array(values, ["a", "b", "c"])
    some = SeriesReading().again(panel_of_array(values[:2], ["c", "b"]), own.schema, own.frequency)
    assert some.schema == own.schema
    assert some.labels is not None
    assert [own.schema.classes[code] for code in some.labels] == ["c", "b"]  # type: ignore[index]
    with pytest.raises(DataError, match=r"^the class 'd' is none of those of the model, a, b, c\.$"):
        SeriesReading().again(panel_of_array(values[:1], ["d"]), own.schema, own.frequency)


def test_marks_may_be_in_the_data_to_judge_on_alone() -> None:
    reading = SeriesReading(assembly=Assembly(labels="mark"))
    table = {"step": [0, 1, 2, 3, 4, 5], "load": [1.0, 2.5, 3.0, 2.0, 1.0, 2.0]}
    own = reading.first(table)
    marks = [0, 0, 1, None, 0, 0]

    def read(name: str, reading: SeriesReading = reading, **options: bool) -> Panel:
        return reading.again(table | {name: marks}, own.schema, own.frequency, **options)

    assert own.schema.label is None
    for name in ("is_anomaly", "Anomaly", "label"):
        panel = read(name)
        assert (panel.schema.label, panel.schema.classes) == (name, ("0", "1"))
        assert panel.rows.labels is not None
        assert panel.rows.labels.tolist() == [0, 0, 1, -1, 0, 0]
        assert panel.schema.channels == own.schema.channels
    assert read("is_anomaly", with_labels=False).schema.label is None
    # What marks nothing by its name, what was said to be no label, and what a column of the model's own is.
    assert read("remark").schema.label is None
    assert read("label", replace(reading, columns=Columns(label=()))).schema.label is None
    aside = replace(reading, columns=Columns(ignored="label"))
    schema = aside.first(table | {"label": marks}).schema
    assert aside.again(table | {"label": marks}, schema, own.frequency).schema.label is None
    # Labels that are trained on are another thing.
    assert read("label", SeriesReading()).schema.label is None
