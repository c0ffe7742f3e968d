"""Arrays as a page carries them: a byte or two a number, deflated, in base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.report.inspection import Part

MISSING = -32_768
"""What stands in a packed array for a number that is unknown."""


def packed(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return an array of whole numbers as JSON: type, shape, and its bytes, lowest first, deflated, in base64.

    Raises:
        ValueError: Its numbers are not whole.
    """
    if array.dtype.kind not in "iu":
        raise ValueError(f"packed: the array is of {array.dtype}, expected whole numbers. Use `packed_numbers`.")
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    deflated = base64.b64encode(zlib.compress(plain.tobytes(), 9)).decode("ascii")
    return {"type": array.dtype.name, "shape": list(array.shape), "data": deflated}


def packed_numbers(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return an array of any numbers as JSON, to a hundred thousandth of its range; what is not finite is missing."""
    numbers = np.asarray(array, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    step = (high - low) / 65_534 or 1.0
    with np.errstate(invalid="ignore"):
        whole = np.where(np.isfinite(numbers), np.round((numbers - low) / step) - 32_767, MISSING)
    return packed(whole.astype(np.int16)) | {"low": low, "step": step}


def similar(part: Part) -> list[int]:
    """Return the units in an order in which neighbours move alike.

    The order is that of their angles in the plane of the two strongest common movements (Friendly, Corrgrams, 2002).
    """
    if part.width < 3:
        return list(range(part.width))
    values = part.values.astype(np.float64)
    spread = values.std(axis=0)
    moves = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    # Subspace iteration: all eigenvectors of a wide layer would take minutes.
    basis = np.random.default_rng(0).normal(size=(part.width, min(6, part.width)))
    for _ in range(40):
        basis = np.linalg.qr(moves.T @ (moves @ basis))[0]
    common = moves @ basis
    strongest = basis @ np.linalg.eigh(common.T @ common)[1][:, -1:-3:-1]
    # An eigenvector's sign is anybody's choice; the largest element decides, so that a page is the same every time.
    largest = strongest[np.argmax(np.abs(strongest), axis=0), [0, 1]]
    first, second = (strongest * np.where(largest < 0, -1.0, 1.0)).T
    angles: NDArray[np.float64] = np.arctan2(second, first)
    order = np.argsort(angles, kind="stable")
    # Where the circle is cut: at its widest gap.
    gaps = np.diff(angles[order], append=angles[order][0] + 2 * np.pi)
    return [int(unit) for unit in np.roll(order, -int(np.argmax(gaps)) - 1)]
