"""NumPy arrays to panels."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.absent import no_file
from recur.data.series.files import files_in
from recur.data.series.panel import Panel
from recur.data.series.schema import Schema
from recur.errors import DataError

ARRAYS = (".npy", ".npz")
"""Suffixes of files with arrays."""

_LARGEST = float(np.finfo(np.float32).max)
_VALUES = ("x", "values", "data", "series", "arr_0")
_LABELS = ("y", "label", "labels", "target", "arr_1")


def panel_of_array(values: Any, labels: Any = None, *, name: str = "the array") -> Panel:
    """Return arrays as series whose steps are counted from 0 on.

    Args:
        values: One series (T,), one of several channels (T, C), or several series (N, T, C); numbers, NaN where
            missing. Steps after the last one at which any channel of a series has a value are taken as padding and left
            out.
        labels: One for each series, (N,), or for each step, (T,) or (N, T); whole numbers and text are classes. Without
            labels the channels are targets, with them they are `past_only`.
        name: What to call them in messages.

    Raises:
        DataError: A shape or a kind of number is wrong, or a value is infinite.

    Example:
        >>> panel_of_array([[[1.0], [2.0]], [[3.0], [float("nan")]]])
        Panel(2 series, 3 rows, target y)
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2, 3):
        raise DataError(
            f"{name}: expected numbers of shape (T,), (T, C) or (N, T, C), got {array.dtype} of shape {array.shape}."
        )
    if 0 in array.shape:
        raise DataError(f"{name}: is empty, of shape {array.shape}.")
    cube = array.reshape(1, -1, 1) if array.ndim == 1 else array.reshape(-1, *array.shape[-2:])
    wrong = np.argwhere(np.abs(cube.astype(np.float64)) > _LARGEST)
    if len(wrong):
        series, step, channel = wrong[0].tolist()
        raise DataError(
            f"{name}: series {series}, step {step}, channel {channel} is infinite or beyond float32; make it NaN if "
            "missing."
        )
    is_there = ~np.isnan(cube).all(axis=2)
    lengths = cube.shape[1] - np.argmax(is_there[:, ::-1], axis=1)
    lengths[~is_there.any(axis=1)] = 0
    kept = np.arange(cube.shape[1]) < lengths[:, None]
    of_series, of_steps, classes = _labels(labels, kept, name)
    names = ("y",) if cube.shape[2] == 1 else tuple(f"y_{channel}" for channel in range(1, cube.shape[2] + 1))
    schema = Schema(targets=names) if labels is None else Schema(past_only=names, label="label", classes=classes)
    panel = Panel.of_rows(
        [str(number) for number in range(len(cube))], lengths, cube[kept], schema=schema, labels=of_series
    )
    return panel if of_steps is None else replace(panel, rows=replace(panel.rows, labels=of_steps))


def read_arrays(path: str | Path) -> Panel:
    """Return the arrays in a `.npy` or `.npz` file, or those of a folder, as series; see `panel_of_array`.

    In a `.npz` the values are called x, values, data or series, the labels y, label, labels or target; without such
    names the first array holds the values. Each file of a folder is a series that is called as it is. Objects, for
    which Python code would have to be run, are refused.

    Raises:
        DataError: The file is missing or damaged, or an array is not as it should be.
    """
    name = str(path)
    if Path(path).is_dir():
        return _read_folder(Path(path))
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return panel_of_array(loaded, name=name)
        with loaded:
            arrays = {key: loaded[key] for key in loaded.files}
    except FileNotFoundError:
        raise no_file(name) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        said = (str(error).strip().splitlines() or ["empty"])[0]
        raise DataError(f"{name}: is no sound NumPy file of numbers ({said}).") from None
    if not arrays:
        raise DataError(f"{name}: holds no array.")
    by_name = {key.lower(): key for key in arrays}
    values = next((by_name[key] for key in _VALUES if key in by_name), next(iter(arrays)))
    labels = next((by_name[key] for key in _LABELS if key in by_name and by_name[key] != values), None)
    return panel_of_array(arrays[values], None if labels is None else arrays[labels], name=f"{name}, {values!r}")


def _read_folder(folder: Path) -> Panel:
    paths = files_in(folder, ARRAYS)
    panels = [read_arrays(path) for path in paths]
    for path, panel in zip(paths, panels, strict=True):
        if len(panel) > 1:
            raise DataError(
                f"{path}: holds {len(panel)} series, but each file of a folder must hold one; name it alone."
            )
        if panel.schema != panels[0].schema:
            raise DataError(
                f"{path}: has the channels {', '.join(panel.schema.channels)}, but {paths[0].name} has "
                f"{', '.join(panels[0].schema.channels)}, or only one of them has labels."
            )
    if panels[0].schema.label is not None:
        raise DataError(f"{folder}: files with labels cannot be put together; give one file with all series.")
    values = np.concatenate([panel.values for panel in panels])
    lengths = [len(panel.rows) for panel in panels]
    return Panel.of_rows([path.stem for path in paths], lengths, values, schema=panels[0].schema)


def _labels(
    labels: Any, kept: NDArray[np.bool_], name: str
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, tuple[str, ...] | None]:
    """Return the labels of series or those of steps, and the classes."""
    if labels is None:
        return None, None, None
    array = np.asarray(labels)
    num_series, num_steps = kept.shape
    is_steps = array.shape == kept.shape or (num_series == 1 and array.shape == (num_steps,))
    if not is_steps and array.shape != (num_series,):
        raise DataError(
            f"{name}: labels must have the shape ({num_series},) or ({num_series}, {num_steps}), got {array.shape}."
        )
    if array.dtype.kind == "f":
        found: NDArray[Any] = array.astype(np.float32)
        classes = None
        if np.isinf(found).any():
            raise DataError(f"{name}: a label is infinite; make it NaN if it is missing.")
    elif array.dtype.kind in "iubU":
        names, found = np.unique(array, return_inverse=True)
        found = found.reshape(array.shape).astype(np.int64)
        classes = tuple(str(one) for one in names.tolist())
    else:
        raise DataError(f"{name}: labels must be numbers or text, got {array.dtype}.")
    return (None, found.reshape(kept.shape)[kept], classes) if is_steps else (found, None, classes)
