"""The `.ts` files of the UEA and UCR archives, univariate and multivariate, of equal and unequal length.

The format is that of the archive's own description (Bagnall et al. 2018, "The UEA multivariate time series
classification archive"): a header of lines that begin with `@`, then one line a case, its channels between colons and
the class or the target value last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.series.files import files_in
from recur.data.series.panel import Panel
from recur.data.series.rows import PARTS
from recur.data.series.schema import Schema
from recur.data.text import TextFile, bytes_of
from recur.errors import DataError

ARCHIVES = (".ts",)
"""Suffixes of the archives' files; .gz may follow."""

_FLAGS = ("timestamps", "missing", "univariate", "equallength", "targetlabel", "classlabel")
_PAIR = re.compile(r"\(([^()]*)\)")
_LARGEST = float(np.finfo(np.float32).max)


@dataclass
class ArchiveHeader:
    """What the lines above @data of a `.ts` file say."""

    is_timed: bool = False
    is_univariate: bool | None = None
    dimensions: int | None = None
    length: int | None = None
    classes: tuple[str, ...] | None = None
    has_target: bool = False


def read_archive(path: str | Path) -> Panel:
    """Return the cases of a `.ts` file, or those of a folder with the two files of a data set, one a series.

    The channels are the schema's `past_only`, called channel_1, channel_2 and so on; the label is called label, the
    classes are in the order of the header. `?` and NaN are missing values. Time stamps are kept where the file has
    some, and all channels of a case have the same; else steps are counted from 0 on.

    Of a folder with NAME_TRAIN.ts and NAME_TEST.ts the series are called train_1, …, test_1, … and `Rows.part` tells
    which is which, so that `Split.by_column` gives the archive's own parts. A folder with one file is read as that.

    Args:
        path: The file, also `.ts.gz`, or the folder.

    Raises:
        DataError: The file is missing, or a line is not as the format or the header says, and is named; or the files
            of a folder are others, or differ in channels or classes.
    """
    if Path(path).is_dir():
        return _read_folder(Path(path))
    return _read_file(Path(path))


def _read_folder(folder: Path) -> Panel:
    paths = files_in(folder, ARCHIVES)
    if len(paths) == 1:
        return _read_file(paths[0])
    ends = {path.name.lower().split(".ts")[0].rpartition("_")[2]: path for path in paths}
    if len(paths) != 2 or set(ends) != {"train", "test"}:
        names = ", ".join(path.name for path in paths[:4]) or "none"
        raise DataError(f"{folder}: expected one .ts file, or NAME_TRAIN.ts and NAME_TEST.ts, but there is {names}.")
    train, test = _read_file(ends["train"]), _read_file(ends["test"])
    for what, one, other in (
        ("channels", len(train.schema.channels), len(test.schema.channels)),
        ("classes", sorted(train.schema.classes or ()), sorted(test.schema.classes or ())),
        ("label", train.schema.label, test.schema.label),
        ("time stamps", train.times.dtype, test.times.dtype),
        ("time stamps", train.frequency, test.frequency),
    ):
        if one != other:
            raise DataError(f"{folder}: the two files differ in their {what}, {one} and {other}; read them apart.")
    labels = None
    if train.labels is not None and test.labels is not None:
        # The other header may have the classes in another order; -1, a missing one, is last.
        classes = train.schema.classes
        place = [classes.index(name) for name in test.schema.classes or ()] if classes is not None else []
        own = test.labels if classes is None else np.array([*place, -1])[test.labels]
        labels = np.concatenate([train.labels, own])
    joined = Panel.of_rows(
        [f"{part}_{case}" for part, panel in (("train", train), ("test", test)) for case in range(1, len(panel) + 1)],
        np.concatenate([train.lengths, test.lengths]),
        np.concatenate([train.values, test.values]),
        times=None if train.frequency is not None else np.concatenate([train.times, test.times]),
        schema=train.schema,
        labels=labels,
    )
    codes = np.array([PARTS.index("train"), PARTS.index("test")], np.int8)
    return replace(joined, rows=replace(joined.rows, part=np.repeat(codes, [len(train.rows), len(test.rows)])))


def _read_file(path: Path) -> Panel:
    name = str(path)
    try:
        text = b"".join(bytes_of([TextFile.at(path)])).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not UTF-8 text: byte {error.start} cannot be read; is it a .ts file?") from None
    lines = text.splitlines()
    header, first = read_header(name, lines)
    cases = _Cases(name, header)
    for number, line in enumerate(lines[first:], first + 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            cases.read(number, stripped)
    return cases.panel()


def read_header(name: str, lines: list[str]) -> tuple[ArchiveHeader, int]:
    """Return what the header says, and the index of the line after @data."""
    header = ArchiveHeader()
    for number, line in enumerate(lines, 1):
        words = line.strip().split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0].lower()
        if not key.startswith("@"):
            raise DataError(
                f"{name}, line {number}: expected a line that begins with @ or # before @data, got {words[0]!r}."
            )
        if key == "@data":
            return header, number
        key, values = key[1:], words[1:]
        if key in _FLAGS and (not values or values[0].lower() not in ("true", "false")):
            raise DataError(
                f"{name}, line {number}: @{key} must be true or false, got {' '.join(values) or 'nothing'!r}."
            )
        is_true = bool(values) and values[0].lower() == "true"
        if key == "timestamps":
            header.is_timed = is_true
        elif key == "univariate":
            header.is_univariate = is_true
        elif key in ("dimension", "dimensions"):
            header.dimensions = _whole(name, number, key, values)
        elif key == "serieslength":
            header.length = _whole(name, number, key, values)
        elif key == "targetlabel":
            header.has_target = is_true
        elif key == "classlabel" and is_true:
            if len(values) < 2:
                raise DataError(f"{name}, line {number}: @classLabel true must be followed by the classes.")
            header.classes = tuple(values[1:])
    raise DataError(f"{name}: has no line @data; is it a .ts file of the UEA and UCR archives?")


def _whole(name: str, number: int, key: str, values: list[str]) -> int:
    if not values or not values[0].isdecimal() or int(values[0]) == 0:
        raise DataError(
            f"{name}, line {number}: @{key} must be a number from 1 on, got {' '.join(values) or 'nothing'!r}."
        )
    return int(values[0])


class _Cases:
    def __init__(self, name: str, header: ArchiveHeader) -> None:
        self.name, self.header = name, header
        self.dimensions = 1 if header.is_univariate else header.dimensions
        self.values: list[NDArray[np.float32]] = []
        self.times: list[NDArray[Any]] = []
        self.labels: list[float] = []
        self.codes = {label: code for code, label in enumerate(header.classes or ())}

    def read(self, number: int, line: str) -> None:
        where = f"{self.name}, line {number}"
        has_label = self.header.classes is not None or self.header.has_target
        # A clock time inside the brackets of a time stamp has colons too.
        fields = re.split(r":(?![^(]*\))", line) if self.header.is_timed else line.split(":")
        label = fields.pop().strip() if has_label else None
        if has_label and not fields:
            raise DataError(f"{where}: has no label after a colon, but the header says that there is one.")
        if self.dimensions is None:
            self.dimensions = len(fields)
        if len(fields) != self.dimensions:
            raise DataError(f"{where}: has {len(fields)} channels, but {self.dimensions} were expected.")
        if label is not None:
            self.labels.append(self._label(where, label))
        channels, times = [], None
        for channel, field in enumerate(fields, 1):
            here = f"{where}, channel {channel}"
            cells, own = self._timed(here, field) if self.header.is_timed else (field.split(","), None)
            if own is not None and times is not None and not np.array_equal(own, times):
                raise DataError(f"{here}: has other time stamps than channel 1; give the channels of a case the same.")
            times = own
            channels.append(_numbers(here, cells))
            if len(channels[-1]) != len(channels[0]):
                raise DataError(
                    f"{here}: has {len(channels[-1])} values, but channel 1 has {len(channels[0])}; write ? where a "
                    "value is missing."
                )
        values = np.stack(channels, axis=1)
        if self.header.length is not None and len(values) != self.header.length:
            raise DataError(f"{where}: has {len(values)} steps, but @seriesLength says {self.header.length}.")
        self.values.append(values)
        self.times.append(np.arange(len(values)) if times is None else times)

    def _label(self, where: str, label: str) -> float:
        if self.header.classes is None:
            return float(_numbers(f"{where}, target", [label])[0])
        if label == "?":
            return -1
        if label not in self.codes:
            raise DataError(f"{where}: the class {label!r} is none of those in the header, {', '.join(self.codes)}.")
        return self.codes[label]

    def _timed(self, where: str, field: str) -> tuple[list[str], NDArray[Any]]:
        pairs = [pair.rpartition(",") for pair in _PAIR.findall(field)]
        if not pairs or _PAIR.sub("", field).strip(", "):
            raise DataError(f"{where}: expected pairs such as (time,value), got {field[:40]!r}.")
        stamps = [stamp.strip() for stamp, _, _ in pairs]
        try:
            times = np.array(stamps, np.float64)
        except ValueError:
            try:
                times = np.array([stamp.replace(" ", "T") for stamp in stamps], "datetime64[us]")
            except ValueError:
                raise DataError(
                    f"{where}: {stamps[0]!r} is no time stamp; write a number or 2017-12-20 15:30:05."
                ) from None
        else:
            times = times.astype(np.int64) if bool((times % 1 == 0).all()) else times
        if bool((np.diff(times) <= np.zeros(1, np.diff(times[:1]).dtype)).any()):
            raise DataError(f"{where}: the time stamps do not ascend.")
        return [value for _, _, value in pairs], times

    def panel(self) -> Panel:
        if not self.values:
            raise DataError(f"{self.name}: has no case after @data.")
        kinds = {times.dtype.kind for times in self.times}
        if "M" in kinds and len(kinds) > 1:
            raise DataError(f"{self.name}: some cases have dates as time stamps, others numbers.")
        assert self.dimensions is not None
        names = tuple(f"channel_{channel}" for channel in range(1, self.dimensions + 1))
        has_labels = bool(self.labels)
        schema = Schema(
            past_only=names, label="label" if has_labels else None, classes=self.header.classes if has_labels else None
        )
        dtype = np.float32 if self.header.classes is None else np.int64
        return Panel.of_rows(
            [f"case_{case}" for case in range(1, len(self.values) + 1)],
            [len(values) for values in self.values],
            np.concatenate(self.values),
            times=np.concatenate(self.times) if self.header.is_timed else None,
            schema=schema,
            labels=np.array(self.labels, dtype) if has_labels else None,
        )


def _numbers(where: str, cells: list[str]) -> NDArray[np.float32]:
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        found = []
        for position, cell in enumerate(cells, 1):
            text = cell.strip()
            try:
                found.append(np.nan if text == "?" else float(text))
            except ValueError:
                raise DataError(
                    f"{where}: value {position}, {text!r}, is no number; write ? if it is missing."
                ) from None
        values = np.array(found)
    wrong = np.flatnonzero(np.abs(values) > _LARGEST)
    if len(wrong):
        raise DataError(f"{where}: value {wrong[0] + 1} is infinite or beyond float32; write ? if it is missing.")
    return values.astype(np.float32)
