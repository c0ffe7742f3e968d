"""What is told, of what, from what; and that other data are read in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recur.data.series import Columns, Panel, Part
from recur.data.series.partition import Partition
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.tasks.labels.setup import LabelSetup, Life, check_labels, has_labels, read_lives
from recur.tasks.series_reading import SeriesReading

SERIES = Partition(by="series", valid=1, test=1)


def of_steps(lengths: list[int]) -> Panel:
    """Series each step of which has a class."""
    total = sum(lengths)
    panel = Panel.of_rows([f"s{number}" for number in range(len(lengths))], lengths, np.ones((total, 1)))
    schema = replace(panel.schema, targets=(), past_only=("y",), label="state", classes=("off", "on"))
    return replace(panel, rows=replace(panel.rows, labels=np.arange(total) % 2), schema=schema)


@pytest.mark.parametrize(
    ("lengths", "by", "options", "way", "window"),
    [
        ([30] * 6, "series", {}, "steps", 0),
        ([30] * 6, "series", {"window": 7}, "windows", 7),
        ([30] * 6, "series", {"window": 70}, "windows", 30),
        ([1001] * 4, "series", {}, "windows", 100),
        ([1001] * 4, "series", {"per_step": True}, "steps", 0),
        ([300], "time", {}, "windows", 100),
    ],
)
def test_labels_of_steps(lengths: list[int], by: Any, options: Any, way: str, window: int) -> None:
    share = 0.2 if by == "time" else 1
    setup, parts = LabelSetup.fit(of_steps(lengths), partition=Partition(by=by, valid=share, test=share), **options)
    assert (setup.way, setup.window, setup.label) == (way, window, "state")
    batch = next(iter(setup.batches(parts.train, batch_size=3)))
    assert batch.target.dim() == (2 if way == "steps" else 1)
    assert setup.counts == pytest.approx([len(parts.train) / 2] * 2, abs=1)
    assert sum(setup.counts) == len(parts.train)


def test_labels_of_series_need_no_window(make_waves: Callable[..., Panel]) -> None:
    setup, parts = LabelSetup.fit(make_waves(), partition=Partition(by="label", valid=2, test=3))
    assert (setup.way, setup.classes, setup.counts) == ("series", ("down", "up"), (15.0, 15.0))
    assert [len(part.series) for part in (parts.train, parts.valid, parts.test)] == [30, 4, 6]
    # One scale for all, of the training part alone.
    rows = parts.train.has_row
    assert setup.scaler.centre[0] == pytest.approx(make_waves().values[rows].mean(0), abs=1e-6)
    for options in ({"window": 5}, {"per_step": True}):
        with pytest.raises(OptionError, match=r"is of labels of steps, but 'label' belongs to whole series\.$"):
            LabelSetup.fit(make_waves(), partition=SERIES, **options)


def test_a_given_test_part_leaves_some_to_choose_by(make_waves: Callable[..., Panel]) -> None:
    panel = make_waves()
    part = np.where(panel.series_of_rows < 30, 0, 2).astype(np.int8)
    given = replace(panel, rows=replace(panel.rows, part=part))
    _, parts = LabelSetup.fit(given, partition=Partition(by="column", valid=0.1))
    assert [len(one.series) for one in (parts.train, parts.valid, parts.test)] == [26, 4, 10]
    _, parts = LabelSetup.fit(given, partition=Partition(by="column", valid=0))
    assert [len(one.series) for one in (parts.train, parts.valid, parts.test)] == [30, 0, 10]
    with pytest.raises(
        OptionError, match=r"^valid: '2024' is a time, but the parts are named by a column; give a share"
    ):
        LabelSetup.fit(given, partition=Partition(by="column", valid="2024"))


def test_remaining_life_with_engines_of_which_it_is_known_what_was_left(
    make_engines: Callable[..., Any], tmp_path: Path
) -> None:
    reading = SeriesReading(columns=Columns(series_id="engine", time="cycle", targets=()))
    panel = reading.first(make_engines(4))
    stopped = make_engines(2, seed=1)
    (tmp_path / "left.txt").write_text("5\n9\n")
    setup, parts = LabelSetup.fit(
        panel,
        test=reading.again(stopped, panel.schema, panel.frequency),
        partition=Partition(by="series", valid=1, test=0),
        life=Life(cap=12, left_path=str(tmp_path / "left.txt")),
        reading=reading,
    )
    assert (setup.label, setup.way, setup.classes) == ("remaining_life", "steps", ())
    labels = parts.test.panel.rows.labels
    assert labels is not None
    assert labels[parts.test.stop - 1].tolist() == [5.0, 9.0]
    assert labels.max() == 12
    own = parts.train.panel.rows.labels
    assert own is not None
    assert own[parts.train.panel.offsets[1:] - 1].tolist() == [0.0] * 4


def test_files_give_back_what_was_saved(tmp_path: Path, regressor: Any) -> None:
    trained, parts, _ = regressor
    run = RunFolder.create(tmp_path / "run")
    trained.setup.save(run)
    loaded = LabelSetup.load(run)
    assert loaded.to_json() == trained.setup.to_json()
    again = loaded.own_parts()
    assert np.array_equal(again.test.start, parts.test.start)
    assert again.test.panel.rows.labels is not None
    assert np.array_equal(again.test.panel.rows.labels, parts.test.panel.rows.labels)
    other = replace(loaded, source=replace(loaded.source, fingerprint="0"))
    with pytest.raises(RunError, match=r"engines\.csv: is not what the model was trained on any more"):
        other.own_parts()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"way": "sideways"}, "way is 'sideways' and window 0, which do not go together"),
        ({"window": 3}, "way is 'steps' and window 3, which do not go together"),
        ({"window": -1}, "window must be a whole number from 0 on, got -1"),
        ({"counts": ["many"]}, "counts must be numbers from 0 on"),
        ({"life": {"cup": 3}}, "unexpected keyword argument 'cup'"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, regressor: Any, change: dict[str, Any], said: str) -> None:
    run = RunFolder.create(tmp_path / "run")
    regressor[0].setup.save(run)
    run.write_json("schema.json", run.read_json("schema.json") | change)
    with pytest.raises(RunError, match=rf"schema\.json: damaged: .*{said}"):
        LabelSetup.load(run)


def test_series_without_labels_and_files_of_other_numbers(make_engines: Callable[..., Any], tmp_path: Path) -> None:
    panel = SeriesReading(columns=Columns(series_id="engine", targets=())).first(make_engines(3))
    with pytest.raises(DataError, match=r"^no column was recognised as the label; name it with label=\.$"):
        LabelSetup.fit(panel, partition=SERIES)
    path = tmp_path / "left.txt"
    with pytest.raises(DataError, match=r"left\.txt: cannot be read"):
        read_lives(path, 2)
    path.write_text("3\nsoon\n")
    with pytest.raises(DataError, match=r"left\.txt: entry 2, 'soon', is no number; give a number a line\.$"):
        read_lives(path, 2)
    for life in ("nan", "-1", "inf"):
        path.write_text(f"3\n{life}\n")
        with pytest.raises(
            DataError, match=rf"left\.txt: entry 2, '{life}', is no life that is left; give numbers from 0"
        ):
            read_lives(path, 2)
    path.write_text("3\n")
    with pytest.raises(DataError, match=r"left\.txt: has 1 numbers, but there are 2 series; give one for each\.$"):
        read_lives(path, 2)


def test_labels_that_count(make_waves: Callable[..., Panel]) -> None:
    panel = make_waves(4)
    whole = Part.whole(panel)
    assert has_labels(whole)
    assert panel.labels is not None
    assert not has_labels(Part.whole(replace(panel, labels=np.full_like(panel.labels, -1))))
    weight = np.zeros(len(panel.rows), np.float32)
    assert not has_labels(Part.whole(replace(panel, rows=replace(panel.rows, weight=weight))))


def test_what_is_judged_has_labels_that_are_known(make_engines: Callable[..., Any]) -> None:
    reading = SeriesReading(columns=Columns(series_id="engine", time="cycle", targets=()))
    panel = reading.first(make_engines(12))
    still_runs = np.arange(12) % 4 > 0
    censored = np.isin(panel.series_of_rows, np.flatnonzero(still_runs))
    panel = replace(panel, rows=replace(panel.rows, censored=censored))
    for seed in range(4):
        _, parts = LabelSetup.fit(panel, partition=Partition(by="series", seed=seed), life=Life(), reading=reading)
        check_labels(parts)
        assert not still_runs[np.concatenate([parts.valid.series, parts.test.series])].any()
        assert [len(part.series) for part in (parts.train, parts.valid, parts.test)] == [10, 1, 1]
    with pytest.raises(DataError, match=r"^3 series whose labels are known cannot give 1 to valid, 2 to test and some"):
        LabelSetup.fit(panel, partition=Partition(by="series", valid=1, test=2), life=Life(), reading=reading)
    part = np.where(panel.series_of_rows == 0, 0, 2).astype(np.int8)
    bounds = replace(panel, rows=replace(panel.rows, part=part, censored=part == 2))
    _, parts = LabelSetup.fit(bounds, partition=Partition(by="column", valid=0), life=Life(), reading=reading)
    with pytest.raises(DataError, match=r"^no label of the part 'test' counts, so that there is nothing to judge by: "):
        check_labels(parts)


def test_no_step_is_scaled_by_later_ones(make_engines: Callable[..., Any]) -> None:
    reading = SeriesReading(columns=Columns(series_id="engine", time="cycle", targets=()))
    panel = reading.first(make_engines(6))
    options: dict[str, Any] = {"partition": SERIES, "life": Life(), "reading": reading, "per_series": True}
    with pytest.raises(OptionError, match=r"^scale_apart: a number is told of each step from its series so far, but a"):
        LabelSetup.fit(panel, **options)
    setup, _ = LabelSetup.fit(panel, window=8, **options)
    new = replace(panel, ids=tuple(f"new {name}" for name in panel.ids))
    changed = new.values.copy()
    changed[15:20] += 100
    told, other = (
        next(iter(setup.batches(Part.whole(one), batch_size=15, which="all"))).x
        for one in (new, replace(new, rows=replace(new.rows, values=changed)))
    )
    assert np.array_equal(told.numpy(), other.numpy())


def test_of_very_many_windows_those_of_all_hours_are_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a day between windows would come to two hours of the day alone."""
    times = np.datetime64("2024-01-01", "us") + np.arange(600) * np.timedelta64(1, "h")
    table = pl.DataFrame({"time": times, "y": np.arange(600.0), "label": ["a", "b"] * 300})
    panel = SeriesReading(columns=Columns(targets=(), label="label")).first(table)
    setup, parts = LabelSetup.fit(panel, partition=Partition(by="time"), window=4)
    count = setup.batches(parts.train, batch_size=8).num_items
    monkeypatch.setattr("recur.tasks.labels.setup.MOST_WINDOWS", -(-count // 12))
    found = setup.training_batches(parts.train, batch_size=8)
    last = np.concatenate([batch.row.numpy() for batch in found])
    assert set((last % 24).tolist()) == set(range(24))
