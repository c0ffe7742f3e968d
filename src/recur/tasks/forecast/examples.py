"""A few forecasts to look at: the worst, ordinary ones, and the best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_WANTED = (("worst", 2), ("median", 2), ("best", 1))


class Example(NamedTuple):
    """A window that is worth a look, by the error of one target.

    Attributes:
        kind: worst, median or best.
        window: Its number.
        target: Which target.
        error: Mean absolute error, in units of the scaling.
    """

    kind: str
    window: int
    target: int
    error: float


def choose_examples(errors: NDArray[np.float64], row: NDArray[np.int64], horizon: int) -> list[Example]:
    """Return windows with the largest, the middle and the smallest errors, which do not overlap.

    Args:
        errors: Of each window and target, (W, C); NaN where nothing counted.
        row: Of the panel, of each window's first step, (W,).
        horizon: Steps that a window tells.

    Example:
        >>> errors = np.arange(10.0)[:, None]
        >>> [(kind, window) for kind, window, *_ in choose_examples(errors, np.arange(10), horizon=1)]
        [('worst', 9), ('worst', 8), ('median', 4), ('median', 5), ('best', 0)]
    """
    places = np.argwhere(np.isfinite(errors))
    found = errors[places[:, 0], places[:, 1]]
    order = places[np.argsort(found, kind="stable")]
    middle = np.argsort(np.abs(np.arange(len(order)) - (len(order) - 1) / 2), kind="stable")
    orders = {"worst": order[::-1], "median": order[middle], "best": order}
    chosen: list[Example] = []
    for kind, wanted in _WANTED:
        more = 0
        for window, target in orders[kind].tolist():
            if more == wanted:
                break
            is_near = any(abs(int(row[window] - row[one.window])) < horizon and target == one.target for one in chosen)
            if not is_near:
                chosen.append(Example(kind, window, target, float(errors[window, target])))
                more += 1
    return chosen
