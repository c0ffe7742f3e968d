"""Which steps are anomalies, where a column says so, and the runs that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel
from recur.data.series.labels import holds_marks
from recur.errors import DataError, OptionError
from recur.tasks.forecast.setup import ForecastSetup
from recur.wording import option, percentage

_ORDINARY_WORDS = {"false", "no", "n", "normal", "ordinary", "ok", "okay", "good", "healthy", "fine", "inlier"}
_STRANGE_WORDS = {
    *("true", "yes", "y", "anomaly", "anomalous", "abnormal", "outlier", "failure", "failed", "fault", "faulty"),
    *("error", "defect", "defective", "broken", "bad", "attack"),
}
_ORDINARY = {"0", "0.0", *_ORDINARY_WORDS}
_STRANGE = {"1", "1.0", *_STRANGE_WORDS}
_OUTLIER, _INLIER = {"-1", "-1.0"}, {"1", "1.0"}
"""As scikit-learn's detectors of outliers say it."""
_FEW = 0.2
"""A channel of 0 and 1 with less of these may say which steps are anomalies."""
_MOST_NAMED = 3


def true_anomalies(panel: Panel) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return which rows are anomalies, and of which that is known, (R,) each; None where no column says.

    Of 0 and 1, false and true, normal and anomaly, ok and failure the latter are anomalies; of 1 and -1 it is -1. Of
    two words one of which is known as such, the other is the contrary.

    Raises:
        DataError: The label is something else, or knows of no ordinary step.
    """
    labels, schema = panel.rows.labels, panel.schema
    if labels is None and panel.labels is not None:
        labels = panel.labels[panel.series_of_rows]
    if schema.label is None or labels is None:
        return None
    if schema.classes is None:
        is_known = ~np.isnan(labels)
        numbers, codes = np.unique(labels[is_known], return_inverse=True)
        is_strange = _is_strange(schema.label, [f"{number:g}" for number in numbers.tolist()])
        is_anomaly = np.zeros_like(is_known)
        is_anomaly[is_known] = is_strange[codes]
        return is_anomaly, is_known
    is_known = labels >= 0
    if not schema.classes:
        # A column without any value.
        return is_known, is_known
    is_strange = _is_strange(schema.label, schema.classes)
    return is_known & is_strange[np.where(is_known, labels, 0)], is_known


def judged_by(setup: ForecastSetup, label: str) -> ForecastSetup:
    """Return a setup that reads other data with a column of theirs for what says which steps are anomalies.

    Args:
        setup: Of the run, whose own data need not have that column: nothing is learned from it.
        label: The column.

    Raises:
        OptionError: The run's data were no table, or the detector reads the column.
    """
    roles, reading = setup.schema.roles, setup.reading
    if roles is None:
        raise OptionError("label: the run's data were no table; leave it out.")
    for role, names in roles.by_role().items():
        if label in names and role not in ("label", "ignored"):
            raise OptionError(
                f"label: the detector reads {label!r}, in {role} when it was trained; name another, or train one with "
                f"{option('label', label)}."
            )
    ignored = tuple(name for name in roles.ignored if name != label)
    schema = replace(setup.schema, label=label, classes=None, roles=replace(roles, label=(label,), ignored=ignored))
    if reading.columns is not None:
        reading = replace(reading, columns=replace(reading.columns, label=label))
    return replace(setup, schema=schema, reading=reading)


def check_label(panel: Panel, label: str) -> None:
    """Raise where data to judge on do not have the label that was named.

    Raises:
        DataError: They do not, or no row has a value.
    """
    truth = true_anomalies(panel)
    if panel.schema.label != label or truth is None or not truth[1].any():
        raise DataError(
            f"the data have no column {label!r} with a value in it, which {option('label')} names; name the one that "
            "says which steps are anomalies."
        )


def check_truth(panel: Panel) -> None:
    """Raise where a label does not say which steps are anomalies.

    Raises:
        DataError: It does not.
    """
    true_anomalies(panel)


def marks_among_channels(panel: Panel) -> dict[str, float]:
    """Return the channels that may say which steps are anomalies: of 0 and few 1 alone, and the share of these."""
    values = panel.values[:, : len(panel.schema.targets)]
    columns = dict(zip(panel.schema.targets, values.T, strict=True))
    return {name: float(np.nanmean(column)) for name, column in columns.items() if holds_marks(column, most=_FEW)}


def unnamed_marks_note(panel: Panel) -> list[str]:
    """Return a note on channels that may be the label; nothing where there is a label, or no such channel."""
    if panel.schema.label is not None:
        return []
    return [
        f"{name!r} is looked at as a channel, but holds 0 and 1 alone, 1 in {percentage(share)} of the rows; if it "
        f"says which steps are anomalies, name it with {option('label', name)}"
        for name, share in list(marks_among_channels(panel).items())[:_MOST_NAMED]
    ]


def _is_strange(label: str, values: Sequence[str]) -> NDArray[np.bool_]:
    """Return which values of a label say that a step is an anomaly."""
    names = [name.strip().lower() for name in values]
    has_outliers = not _OUTLIER.isdisjoint(names)
    strange = _OUTLIER if has_outliers else _STRANGE
    known = _OUTLIER | _INLIER if has_outliers else _ORDINARY | _STRANGE
    words = sorted(set(names))
    if len(words) == 2:
        for name, other in (words, words[::-1]):
            if name not in known and other in _ORDINARY_WORDS | _STRANGE_WORDS:
                known = known | {name}
                strange = strange | {name} if other in _ORDINARY_WORDS else strange
    if has_outliers and not _INLIER.isdisjoint(names) and not _ORDINARY.isdisjoint(names):
        raise DataError(_wrong(label, "0, 1 and -1"))
    for name, value in zip(names, values, strict=True):
        if name not in known:
            raise DataError(_wrong(label, repr(value)))
    if names and strange.issuperset(names):
        raise DataError(_wrong(label, f"{' and '.join(map(repr, values))} alone, so that no step were ordinary"))
    return np.array([name in strange for name in names], np.bool_)


def _wrong(label: str, found: str) -> str:
    return (
        f"column {label!r} is taken to say which steps are anomalies, with 0 or 1, false or true, 1 for ordinary steps "
        "and -1 for others, or two words of which one is such as 'ok' or 'normal', or such as 'failure' or 'anomaly', "
        f"but it holds {found}; write it so, or if it says something else, give it another name, or leave it out with "
        f"{option('ignored')}."
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
