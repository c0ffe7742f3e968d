"""Real files, where there are some: the numbers are those of their own descriptions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from recur.data.series import Columns, LabelWindows, Part, Split, read_series, remaining_life


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("RECUR_DATA")
    if not folder:
        pytest.skip("RECUR_DATA names no folder with real series")
    return Path(folder)


def test_hours_of_air_in_beijing(data: Path) -> None:
    panel = read_series(data / "beijing-pm25" / "pollution.csv.gz")
    assert len(panel.rows) == 43_824
    assert int(np.isnan(panel.values[:, 0]).sum()) == 2_067
    assert str(panel.frequency) == "1h"
    assert panel.schema.roles is not None
    assert panel.schema.roles.time == ("year", "month", "day", "hour")
    assert panel.schema.past_categorical == ("cbwd",)


def test_engines_that_run_to_failure(data: Path) -> None:
    columns = Columns(series_id="column_1", time="column_2", targets="column_6")
    panel = read_series(data / "cmapss" / "train_FD001.txt.gz", columns)
    assert (len(panel), len(panel.rows), panel.schema.roles is not None) == (100, 20_631, True)
    assert [int(panel.lengths.min()), int(panel.lengths.max())] == [128, 362]


def test_lives_of_engines_that_were_stopped(data: Path) -> None:
    columns = Columns(series_id="column_1", time="column_2", targets=())
    train = read_series(data / "cmapss" / "train_FD001.txt.gz", columns)
    test = read_series(data / "cmapss" / "test_FD001.txt.gz", schema=train.schema)
    truth = np.loadtxt(data / "cmapss" / "RUL_FD001.txt")
    labels = remaining_life(train, cap=125).rows.labels
    assert labels is not None
    assert (labels[train.offsets[1:] - 1] == 0).all()
    # The first engine ran 192 cycles: 67 of them at the cap, then from 124 down to 0.
    assert [int((labels == 125).sum()), int(labels[:192].sum())] == [8_131, 67 * 125 + 124 * 125 // 2]
    part = Part.whole(remaining_life(test, cap=125, at_end=truth))
    (last,) = LabelWindows(part, history=30, batch_size=100, which="last")
    assert last.target.tolist() == np.minimum(truth, 125).tolist()


def test_utterances_of_nine_speakers(data: Path) -> None:
    panel = read_series(data / "uea-ucr" / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts")
    assert (len(panel), panel.values.shape) == (270, (4_274, 12))
    assert [int(panel.lengths.min()), int(panel.lengths.max())] == [7, 26]
    assert np.bincount(panel.labels).tolist() == [30] * 9


def test_a_data_set_of_the_archive_with_its_parts(data: Path) -> None:
    panel = read_series(data / "uea-ucr" / "JapaneseVowels")
    split = Split.by_column(panel)
    assert [len(part.series) for part in (split.train, split.valid, split.test)] == [270, 0, 370]
    with_valid = split.with_valid(0.1)
    assert [len(part.series) for part in (with_valid.train, with_valid.valid, with_valid.test)] == [243, 27, 370]
