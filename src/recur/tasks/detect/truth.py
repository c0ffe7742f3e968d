"""Which steps are anomalies, where a column says so, and the runs that they make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel
from recur.errors import DataError

_ORDINARY = {"0", "0.0", "false", "no", "n", "normal", "ordinary", "ok"}
_STRANGE = {"1", "1.0", "-1", "true", "yes", "y", "anomaly", "anomalous", "abnormal"}


def true_anomalies(panel: Panel) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return which rows are anomalies, and of which that is known, (R,) each; None where no column says.

    Raises:
        DataError: The label is something else.
    """
    labels, schema = panel.rows.labels, panel.schema
    if labels is None and panel.labels is not None:
        labels = panel.labels[panel.series_of_rows]
    if schema.label is None or labels is None:
        return None
    if schema.classes is None:
        is_known = ~np.isnan(labels)
        if not np.isin(labels[is_known], (0, 1)).all():
            raise DataError(_wrong(schema.label, f"{labels[is_known].max():g}"))
        return labels == 1, is_known
    names = [name.strip().lower() for name in schema.classes]
    strange = [name for name in names if name not in _ORDINARY | _STRANGE]
    if strange:
        raise DataError(_wrong(schema.label, repr(schema.classes[names.index(strange[0])])))
    is_strange = np.array([name in _STRANGE for name in names], np.bool_)
    is_known = labels >= 0
    return is_known & is_strange[np.where(is_known, labels, 0)], is_known


def check_truth(panel: Panel) -> None:
    """Raise where a label does not say which steps are anomalies.

    Raises:
        DataError: It does not.
    """
    true_anomalies(panel)


def _wrong(label: str, found: str) -> str:
    return (
        f"column {label!r} is taken to say which steps are anomalies, with 0 or 1, false or true, but it holds "
        f"{found}; if it says something else, leave it out with ignored."
    )


def events(is_true: NDArray[np.bool_], series: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the runs of true rows, each with its first row and the one after its last; none goes over two series.

    Args:
        is_true: (R,).
        series: Of each row, (R,).

    Example:
        >>> events(np.array([True, True, False, True, True]), np.array([0, 0, 0, 0, 1]))
        [(0, 2), (3, 4), (4, 5)]
    """
    if not len(is_true):
        return []
    is_other = np.concatenate([[True], series[1:] != series[:-1]])
    before = np.concatenate([[False], is_true[:-1]])
    after = np.concatenate([is_true[1:], [False]])
    ends_series = np.concatenate([is_other[1:], [True]])
    begins = np.flatnonzero(is_true & (~before | is_other))
    stops = np.flatnonzero(is_true & (~after | ends_series)) + 1
    return list(zip(begins.tolist(), stops.tolist(), strict=True))
