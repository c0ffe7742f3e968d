"""What detectors reach on the Numenta Anomaly Benchmark; its series come from the folder that RECUR_DATA names.

`python benchmarks/anomalies.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

import nab
import table
from recur import engine
from recur.data.series import Frequency, Panel, Schema
from recur.data.series.rows import Rows
from recur.measure.layers import threads
from recur.models.detector_options import DetectorOptions
from recur.tasks.detect.alarms import alarm_begins
from recur.tasks.detect.trained import Scored, TrainedDetector
from recur.train.detect import train_detector
from recur.train.options import SeriesTrainingOptions

SEEDS = (0, 1, 2)
ARCHIVE = "nab/nab_data_labels.tar.gz"
FALSE_ALARMS = (0.01, 0.001, 0.0001)
"""Stated rates, the last the default, whose thresholds are scored as they are."""
PUBLISHED = {"windowed Gaussian": (39.6, 20.9, 47.4), "HTM": (70.5, 62.6, 75.2)}
"""By profile, from the benchmark's own table."""


def numenta() -> Iterator[dict[str, Any]]:
    """Score the windowed Gaussian, and for each seed a detector, its network alone, and the seasonal rule alone."""
    data = nab.read(Path(os.environ["RECUR_DATA"]) / ARCHIVE)
    begin = time.perf_counter()
    gaussian = {name: nab.windowed_gaussian(series.values) for name, series in data.items()}
    yield _row("windowed Gaussian", gaussian, data, seed=None, minutes=(time.perf_counter() - begin) / 60, steps=0)
    for seed in SEEDS:
        yield from detectors(data, seed)


def detectors(data: dict[str, nab.Series], seed: int, model: DetectorOptions | None = None) -> Iterator[dict[str, Any]]:
    """Train one detector on the probation of all series, and score it, its network alone, and the rule alone.

    The benchmark chooses the best threshold by the labels, and of scores that are `rising`. Other rows have the
    threshold that a user gets, by the false alarms that are stated, from the probation, and the alarms that `begun`
    there.

    Each row is scored from the rows of its series before it. The network is trained once, on what the benchmark gives
    to learn from, and knows nothing of what follows; what errors are ordinary it goes on learning.
    """
    panel = panel_of(data)
    with tempfile.TemporaryDirectory() as folder, threads(engine.num_threads()):
        begin = time.perf_counter()
        run = train_detector(
            panel,
            out=Path(folder) / "run",
            model=model or DetectorOptions(),
            training=SeriesTrainingOptions(seed=seed, no_report=True),
            console=Console(stderr=True),
        )
        trained = TrainedDetector.load(run)
        steps, used = max(row["step"] for row in run.metrics()), torch.get_num_threads()
        minutes = (time.perf_counter() - begin) / 60
        for what, is_network, is_rule in (
            ("both", True, True),
            ("network alone", True, False),
            ("rule alone", False, True),
        ):
            begin = time.perf_counter()
            own = replace(trained.options, no_rules=not is_rule)
            detector = TrainedDetector(trained.network, trained.setup, own, has_network=is_network)
            found = detector.scored(panel, is_fresh=True)
            more = {
                "seed": seed,
                "minutes": minutes + (time.perf_counter() - begin) / 60,
                "steps": steps,
                "threads": used,
                "model": run.config()["model"],
                "training": run.config()["training"],
            }
            yield _row(f"recur, {what}", _of_series(panel, rising(found)), data, **more)
            if is_network and is_rule:
                for rate in FALSE_ALARMS:
                    detector = TrainedDetector(
                        trained.network,
                        trained.setup,
                        replace(trained.options, false_alarms=rate),
                        ordinary=trained.ordinary,
                    )
                    stated, threshold = f"recur, both, false_alarms={rate:g}", detector.threshold
                    yield _row(stated, _of_series(panel, begun(found, threshold)), data, threshold=threshold, **more)


def panel_of(data: dict[str, nab.Series]) -> Panel:
    """Return the series as a panel, the probation its training and validation part.

    Times count from the first in steps of the median one, for some come twice.
    """
    ids = list(data)
    times, parts, frequencies = [], [], []
    for series in data.values():
        count = len(series.values)
        step = np.median(np.diff(series.times).astype(np.int64))
        frequencies.append(Frequency(int(step) // 60_000, "min"))
        times.append(series.times[0] + np.arange(count) * np.timedelta64(int(step), "ms"))
        valid = series.probation - series.probation // 6
        parts.append(np.repeat([0, 1, 2], [valid, series.probation - valid, count - series.probation]))
    values = np.concatenate([series.values for series in data.values()])
    lengths = [len(series.values) for series in data.values()]
    return Panel(
        ids=tuple(ids),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        rows=Rows(
            times=np.concatenate(times),
            values=values[:, None].astype(np.float32),
            codes=np.zeros((len(values), 0), np.int32),
            part=np.concatenate(parts).astype(np.int8),
        ),
        static=np.zeros((len(ids), 0), np.float32),
        static_codes=np.zeros((len(ids), 0), np.int32),
        frequencies=tuple(frequencies),
        schema=Schema(targets=("value",)),
    )


def rising(found: Scored) -> NDArray[np.float64]:
    """Return the scores that are higher than all of the last `quiet` steps, 0 elsewhere, (R,).

    What can be counted at every threshold at once, as the benchmark does that looks for the best: each of them is an
    alarm at all thresholds below. At one threshold some more are counted than alarms begin: a higher score soon after
    an alarm begins none.
    """
    return np.asarray(np.where(found.score > found.highest, np.nan_to_num(found.score), 0.0))


def begun(found: Scored, threshold: float) -> NDArray[np.float64]:
    """Return the scores of steps where an alarm begins, as `TrainedDetector.predict` tells it, 0 elsewhere, (R,)."""
    begins = alarm_begins(found.score, found.highest, threshold)
    return np.asarray(np.where(begins, np.nan_to_num(found.score), 0.0))


def _of_series(panel: Panel, scores: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {name: scores[slice(*panel.offsets[number : number + 2].tolist())] for number, name in enumerate(panel.ids)}


def _row(
    what: str,
    scores: dict[str, NDArray[np.float64]],
    data: dict[str, nab.Series],
    *,
    seed: int | None,
    minutes: float,
    steps: int,
    threshold: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    found = {profile: nab.score(scores, data, profile, threshold) for profile in nab.PROFILES}
    return {
        "what": what if seed is None else f"{what}, seed {seed}",
        "detector": what,
        "seed": seed,
        "steps": steps,
        "minutes": minutes,
        "threshold": threshold,
        "measure": "standard score",
        "figure": found["standard"],
        "scores": found,
        **more,
    }


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("anomalies")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [f"| detector | {' | '.join(nab.PROFILES)} | minutes |", "| --- | --- | --- | --- | --- |"]
    for name in dict.fromkeys(row["detector"] for row in rows):
        own = [row for row in rows if row["detector"] == name]
        cells = [", ".join(f"{row['scores'][profile]:.1f}" for row in own) for profile in nab.PROFILES]
        lines.append(f"| {name} | {' | '.join(cells)} | {max(row['minutes'] for row in own):.1f} |")
    for name, published in PUBLISHED.items():
        lines.append(f"| {name}, as published | {' | '.join(f'{value:.1f}' for value in published)} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
