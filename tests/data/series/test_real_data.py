"""Real files, where there are some: the numbers are those of their own descriptions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from recur.data.series import Columns, read_series


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


def test_utterances_of_nine_speakers(data: Path) -> None:
    panel = read_series(data / "uea-ucr" / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts")
    assert (len(panel), panel.values.shape) == (270, (4_274, 12))
    assert [int(panel.lengths.min()), int(panel.lengths.max())] == [7, 26]
    assert np.bincount(panel.labels).tolist() == [30] * 9
