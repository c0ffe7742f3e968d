"""NumPy arrays to panels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from recur.data.series import panel_of_array, read_series
from recur.errors import DataError


@pytest.mark.parametrize(("shape", "lengths", "channels"), [((4,), [4], 1), ((4, 3), [4], 3), ((2, 4, 3), [4, 4], 3)])
def test_shapes(tmp_path: Path, shape: tuple[int, ...], lengths: list[int], channels: int) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "a.npy", values)
    for panel in (panel_of_array(values), read_series(values), read_series(tmp_path / "a.npy")):
        assert panel.lengths.tolist() == lengths
        np.testing.assert_array_equal(panel.values, values.reshape(-1, channels).astype(np.float32))


def test_missing_steps_at_the_end_are_padding_and_others_are_not() -> None:
    nan = np.nan
    panel = panel_of_array(np.array([[[1], [nan], [3], [nan]], [[nan], [nan], [nan], [nan]]]))
    assert panel.lengths.tolist() == [3, 0]
    np.testing.assert_array_equal(panel.values[:, 0], np.float32([1, nan, 3]))


def test_labels_of_series_and_of_steps(tmp_path: Path) -> None:
    x = np.zeros((2, 3, 1))
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["u", "t"]))
    panel = read_series(tmp_path / "a.npz")
    assert panel.labels.tolist() == [1, 0]
    assert panel.schema.classes == ("t", "u")
    steps = panel_of_array(x, np.arange(6.0).reshape(2, 3))
    assert steps.rows.labels.tolist() == [0, 1, 2, 3, 4, 5]


def test_each_file_of_a_folder_is_a_series(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", np.array([1.0, 2.0]))
    np.save(tmp_path / "a.npy", np.array([3.0]))
    panel = read_series(tmp_path)
    assert panel.ids == ("a", "b")
    assert panel.values[:, 0].tolist() == [3, 1, 2]
    np.save(tmp_path / "c.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"c\.npy: has the channels y_1, y_2, y_3, but a\.npy has y"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.zeros((1, 1, 1, 1)), None, "expected numbers of shape (T,), (T, C) or (N, T, C), got float64 of shape"),
        (np.array(["x"]), None, "expected numbers of shape (T,), (T, C) or (N, T, C), got <U1 of shape (1,)."),
        (np.zeros((0, 2)), None, "is empty, of shape (0, 2)."),
        (np.array([0, 1, np.inf]), None, "series 0, step 2, channel 0 is infinite or beyond float32"),
        (np.array([0, 1e39]), None, "series 0, step 1, channel 0 is infinite or beyond float32"),
        (np.zeros((2, 3, 1)), [1, 2, 3], "labels must have the shape (2,) or (2, 3), got (3,)."),
        (np.zeros((2, 3, 1)), [1.0, np.inf], "a label is infinite; make it NaN if it is missing."),
    ],
)
def test_arrays_that_are_no_series(values: np.ndarray, labels: object, message: str) -> None:
    with pytest.raises(DataError, match=f"^the array: {re.escape(message)}"):
        panel_of_array(values, labels)


def test_files_with_objects_are_refused_unread(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy: is no sound NumPy file of numbers \("):
        read_series(tmp_path / "a.npy")
    (tmp_path / "b.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"b\.npz: is no sound NumPy file of numbers \("):
        read_series(tmp_path / "b.npz")
