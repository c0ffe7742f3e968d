"""A first look at files: whether their series have labels, and of which kind."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.data.absent import ColumnError
from recur.data.series.label_glance import glance_at_labels

ROWS = 60
TABLE = pl.DataFrame(
    {
        "case": [f"c{number // 6}" for number in range(ROWS)],
        "step": [number % 6 for number in range(ROWS)],
        "force": np.linspace(0, 1, ROWS),
        "gesture": ["left" if number // 6 % 2 else "right" for number in range(ROWS)],
        "weight_in_kg": np.linspace(5, 6, ROWS),
    }
)


@pytest.mark.parametrize(
    ("rename", "column", "kind"),
    [
        ({}, None, None),
        ({"gesture": "label"}, None, "classes"),
        ({"gesture": "Activity"}, None, "classes"),
        ({"weight_in_kg": "target_class"}, None, None),
        ({"weight_in_kg": "label"}, None, "numbers"),
        ({}, "gesture", "classes"),
        ({}, "weight_in_kg", "numbers"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_tables(tmp_path: Path, rename: dict[str, str], column: str | None, kind: str | None, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    frame = TABLE.rename(rename)
    if suffix == ".parquet":
        frame.write_parquet(path)
    else:
        content = frame.write_csv().encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    seen = glance_at_labels(path, column)
    assert (None if seen is None else seen.kind) == kind
    if seen is not None:
        name = column or next(iter(rename.values()))
        assert seen.reason == f"the column of {kind} {name!r}"


def test_a_label_that_is_no_column_is_told_of(tmp_path: Path) -> None:
    TABLE.write_csv(tmp_path / "t.csv")
    with pytest.raises(ColumnError, match="has no column 'gestur', which label names; did you mean 'gesture'"):
        glance_at_labels(tmp_path / "t.csv", "gestur")


def test_marks_of_alarms_are_no_reason(tmp_path: Path) -> None:
    TABLE.with_columns(is_anomaly=pl.lit(0)).write_csv(tmp_path / "t.csv")
    assert glance_at_labels(tmp_path / "t.csv") is None
    seen = glance_at_labels(tmp_path / "t.csv", "is_anomaly")
    assert seen is not None
    assert seen.kind == "classes"


def test_a_row_for_each_series(tmp_path: Path) -> None:
    pl.DataFrame({"class": ["a", "b"], "t1": [1.0, 2.0], "t2": [3.0, 4.0]}).write_csv(tmp_path / "t.csv")
    seen = glance_at_labels(tmp_path / "t.csv", form="rows")
    assert seen is not None
    assert seen.kind == "classes"


def test_only_the_beginning_of_a_long_file_is_read(tmp_path: Path) -> None:
    content = TABLE.rename({"gesture": "label"}).write_csv().encode()
    body = content[content.index(b"\n") + 1 :]
    # What stands far behind is not looked at, though it could not be read.
    (tmp_path / "t.csv").write_bytes(content + body * (3_000_000 // len(body)) + b"1,2,3,4,5,6,7\n")
    seen = glance_at_labels(tmp_path / "t.csv")
    assert seen is not None
    assert seen.kind == "classes"


@pytest.mark.parametrize(("num_labels", "kind"), [(120, "numbers"), (50, "classes")])
def test_whole_numbers_of_long_series_are_counted_to_the_end(tmp_path: Path, num_labels: int, kind: str) -> None:
    number = np.repeat(np.arange(120), 1500)
    frame = pl.DataFrame(
        {"series": number, "time": np.tile(np.arange(1500), 120), "x": number / 7, "label": number % num_labels}
    )
    frame.write_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").stat().st_size > 3_000_000
    seen = glance_at_labels(tmp_path / "t.csv")
    assert seen is not None
    assert seen.kind == kind


@pytest.mark.parametrize(
    ("header", "kind"), [("@classLabel true a b", "classes"), ("@targetLabel true", "numbers"), ("", None)]
)
def test_archives(tmp_path: Path, header: str, kind: str | None) -> None:
    (tmp_path / "X_TRAIN.ts").write_text(f"@problemName X\n{header}\n@data\n1,2,3:a\n")
    for path in (tmp_path, tmp_path / "X_TRAIN.ts"):
        seen = glance_at_labels(path)
        assert (None if seen is None else seen.kind) == kind


def test_what_cannot_be_read_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "e.csv").touch()
    (tmp_path / "a.npz").touch()
    for name in ("t.csv.gz", "e.csv", "a.npz", "nowhere.csv"):
        assert glance_at_labels(tmp_path / name) is None
