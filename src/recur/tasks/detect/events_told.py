"""How alarms go with true events, and whether those of one contestant do so better than those of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recur.data.series import Panel
from recur.tasks.detect.truth import events
from recur.tasks.noise import exchange_test

Bools = NDArray[np.bool_]
Runs = list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True, eq=False)
class EventsTold:
    """Alarms beside the true events, each a run of rows with its first one and the one after its last.

    Attributes:
        there: The true events, E of them.
        is_found: Of which a step raises an alarm, (E,) bool.
        alarms: Runs of steps that raise one, A of them.
        is_right: Which of them touch an event, (A,) bool.
    """

    there: Runs
    is_found: Bools
    alarms: Runs
    is_right: Bools

    @property
    def f1(self) -> dict[str, float | None]:
        """Precision, recall and F1 by event."""
        found, right = int(self.is_found.sum()), int(self.is_right.sum())
        return f1_of(right, len(self.alarms), found, len(self.there))


def events_told(panel: Panel, is_alarm: Bools, is_anomaly: Bools, judged: Bools) -> EventsTold:
    """Return how alarms go with the true events.

    Args:
        panel: The series, R rows.
        is_alarm: Which rows raise an alarm, (R,).
        is_anomaly: Which rows are anomalies, (R,).
        judged: Which rows count, (R,); events go on over others between them.
    """
    series = panel.series_of_rows
    there = [one for one in events(is_anomaly & rows_between(panel, judged), series) if judged[slice(*one)].any()]
    alarms = events(is_alarm & judged, series)
    return EventsTold(
        there=there,
        is_found=np.array([bool((is_alarm & judged)[slice(*one)].any()) for one in there], np.bool_),
        alarms=alarms,
        is_right=np.array([bool(is_anomaly[slice(*one)].any()) for one in alarms], np.bool_),
    )


def p_of_f1(panel: Panel, quiet: NDArray[np.int64], own: EventsTold, other: EventsTold) -> float | None:
    """Return how likely so large a difference of F1 by event is where one contestant is as good as the other.

    Events and alarms that no more than `quiet` steps lie between hang together, so stretches of them are exchanged.

    Args:
        panel: The series.
        quiet: Steps of each series without an alarm before one is a new one, (N,).
        own: What one contestant told, of the same events as the other.
        other: What the other one told.

    Returns:
        The p-value of `exchange_test`; None where they differ in too few stretches.
    """
    runs = np.array([*own.there, *own.alarms, *other.alarms], np.int64).reshape(-1, 2)
    stretch = _stretches(panel, quiet, runs)
    num_events, num_own = len(own.there), len(own.alarms)
    of_events, of_own, of_other = np.split(stretch, [num_events, num_events + num_own])
    count = int(stretch.max(initial=-1)) + 1

    def counts(told: EventsTold, of_alarms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return found events, alarms, and those that are right, of each stretch, (stretches, 3)."""
        found = np.bincount(of_events, told.is_found.astype(np.float64), count)
        right = np.bincount(of_alarms, told.is_right.astype(np.float64), count)
        return np.stack([found, np.bincount(of_alarms, minlength=count), right], 1)

    def f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        found, alarms, right = sums.T
        recall, precision = found / max(num_events, 1), right / np.maximum(alarms, 1)
        both = recall + precision
        return np.asarray(np.where(both > 0, 2 * recall * precision / np.where(both > 0, both, 1), 0.0))

    return exchange_test(counts(own, of_own), counts(other, of_other), f1)


def rows_between(panel: Panel, judged: Bools) -> Bools:
    """Return the rows from the first that is judged in each series to the last, (R,)."""
    series = panel.series_of_rows
    rows = np.flatnonzero(judged)
    first = np.full(len(panel), len(judged))
    last = np.full(len(panel), -1)
    np.minimum.at(first, series[rows], rows)
    np.maximum.at(last, series[rows], rows)
    place = np.arange(len(judged))
    return np.asarray((place >= first[series]) & (place <= last[series]))


def f1_of(right: int, said: int, found: int, there: int) -> dict[str, float | None]:
    """Return precision, recall and F1, None where there was nothing that could be right, or be found.

    Args:
        right: Of what was said, how much is true.
        said: How much was said.
        found: Of what is true, how much was said.
        there: How much is true.
    """
    precision = right / said if said else None
    recall = found / there if there else None
    both = None if precision is None or recall is None else precision + recall
    if recall is not None and precision is None:
        return {"precision": None, "recall": recall, "f1": 0.0}
    f1 = None if both is None or precision is None or recall is None else 2 * precision * recall / both if both else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def _stretches(panel: Panel, quiet: NDArray[np.int64], runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the stretch that each run is in, (M,)."""
    order = np.argsort(runs[:, 0], kind="stable")
    begin, stop = runs[order].T
    series = panel.series_of_rows[begin]
    # No run goes over two series, so those before in another one end before this begins.
    reached = np.maximum.accumulate(stop) if len(stop) else stop
    is_new = np.ones(len(runs), np.bool_)
    is_new[1:] = (series[1:] != series[:-1]) | (begin[1:] > reached[:-1] + quiet[series[1:]])
    found = np.empty(len(runs), np.int64)
    found[order] = np.cumsum(is_new) - 1
    return found
