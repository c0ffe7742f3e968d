"""The Numenta Anomaly Benchmark: its series, and its scoring, as its version 1.1 has them.

Source: Lavin and Ahmad (2015), and the rules of numenta/NAB. Our figures of the published scores of the windowed
Gaussian are those that were published.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROFILES = {
    "standard": (1.0, 0.11, 1.0),
    "low false positives": (1.0, 0.22, 1.0),
    "low false negatives": (1.0, 0.11, 2.0),
}
"""What a found anomaly, a false alarm and a missed anomaly count, by profile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One of the 58 series.

    Attributes:
        times: (T,) datetime64; a few come twice.
        values: (T,) float64.
        windows: First and last row of each window in which an alarm is right.
    """

    times: NDArray[Any]
    values: NDArray[np.float64]
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """How many rows there are to learn from, which are not scored."""
        return min(math.floor(0.15 * len(self.values)), 750)


def read(path: Path) -> dict[str, Series]:
    """Return the series of the archive with data and labels, by name."""
    with tarfile.open(path) as archive:
        files = {
            name[name.index("data/") + 5 :] if name.endswith(".csv") else name: member
            for member in archive.getmembers()
            if member.isfile() and (name := member.name).endswith((".csv", "labels/combined_windows.json"))
        }

        def text(member: tarfile.TarInfo) -> str:
            file = archive.extractfile(member)
            assert file is not None
            return file.read().decode()

        labels = json.loads(text(next(own for name, own in files.items() if name.endswith(".json"))))
        found = {}
        for name in sorted(labels):
            rows = list(csv.DictReader(io.StringIO(text(files[name]))))
            times = np.array([row["timestamp"] for row in rows], "datetime64[ms]")
            edges = [[np.datetime64(edge) for edge in window] for window in labels[name]]
            # The first row of a time that comes twice, as there.
            windows = tuple((int(np.argmax(times == first)), int(np.argmax(times == last))) for first, last in edges)
            values = np.array([float(row["value"]) for row in rows])
            found[name] = Series(times=times, values=values, windows=windows)
        return found


def score(
    scores: dict[str, NDArray[np.float64]], data: dict[str, Series], profile: str, threshold: float | None = None
) -> float:
    """Return the benchmark's score of a detector, 0 for one without an alarm and 100 for the perfect one.

    Args:
        scores: Of each row of each series; rows of the probation do not count.
        data: As of `read`.
        profile: One of `PROFILES`.
        threshold: Above which a score is an alarm, in all series; by default the best one, chosen by the labels as the
            benchmark does.
    """
    right, false, missed = PROFILES[profile]
    all_scores, worth, windows, num_windows = [], [], [], 0
    for name, series in data.items():
        value, window = _worth(series, right, false)
        kept = slice(series.probation, None)
        all_scores.append(scores[name][kept])
        worth.append(value[kept])
        windows.append(np.where(window[kept] >= 0, window[kept] + num_windows, -1))
        num_windows += len(series.windows)
    highest = np.concatenate(all_scores)
    order = np.argsort(-highest, kind="stable")
    highest, gains, place = highest[order], np.concatenate(worth)[order], np.concatenate(windows)[order]
    best_of = np.full(num_windows, -missed)
    total = best = float(best_of.sum())
    is_last = np.append(highest[1:] != highest[:-1], True)
    count = len(highest) if threshold is None else int((highest > threshold).sum())
    rows = zip(gains[:count].tolist(), place[:count].tolist(), is_last[:count].tolist(), strict=True)
    for gain, window, ends in rows:
        if window < 0:
            total += gain
        elif gain > best_of[window]:
            total += gain - best_of[window]
            best_of[window] = gain
        if ends and threshold is None:
            best = max(best, total)
    nothing = -missed * num_windows
    best = best if threshold is None else total
    return 100 * (best - nothing) / (right * num_windows - nothing)


def _worth(series: Series, right: float, false: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what an alarm at each row is worth, (T,), and which window it lies in, -1 for none."""
    count = len(series.values)
    worth, window = np.full(count, -false), np.full(count, -1)
    highest = _scaled_sigmoid(-1.0)
    ends = [first for first, _ in series.windows[1:]] + [count] * bool(series.windows)
    for number, ((first, last), end) in enumerate(zip(series.windows, ends, strict=True)):
        width = last - first + 1
        for row in range(first, last + 1):
            worth[row] = _scaled_sigmoid(-(last - row + 1) / width) * right / highest
            window[row] = number
        for row in range(last + 1, end):
            worth[row] = _scaled_sigmoid((row - last) / (width - 1)) * false
    return worth, window


def _scaled_sigmoid(place: float) -> float:
    return -1.0 if place > 3 else 2 / (1 + math.exp(5 * place)) - 1


def windowed_gaussian(values: NDArray[np.float64], *, size: int = 6400, step: int = 100) -> NDArray[np.float64]:
    """Return the scores of the benchmark's windowed Gaussian: one minus the tail of the last values' law, (T,)."""
    scores = np.zeros(len(values))
    window: list[float] = []
    waiting: list[float] = []
    mean, total, deviation = 0.0, 0.0, 1.0
    for row, value in enumerate(values.tolist()):
        if window:
            scores[row] = 1 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2))
        if len(window) < size:
            window.append(value)
            # Welford: the mean and the squares around it, of a window that grows.
            away = value - mean
            mean += away / len(window)
            total += away * (value - mean)
            deviation = math.sqrt(total / len(window)) or 1e-6
            continue
        waiting.append(value)
        if len(waiting) == step:
            window, waiting = window[step:] + waiting, []
            mean, deviation = float(np.mean(window)), float(np.std(window)) or 1e-6
    return scores
