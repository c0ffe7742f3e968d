"""What classifiers and regressors of series reach with the defaults on public data, from the folder RECUR_DATA names.

`python benchmarks/series_labels.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import table
from recur import engine
from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.measure.layers import threads
from recur.run import RunFolder
from recur.train.labels import train_classifier, train_regressor
from recur.train.options import LabelTrainingOptions

FEW, MANY = (0, 1, 2), (0, 1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Data, and what a user would have to say of them."""

    name: str
    """File or folder below RECUR_DATA."""
    train: Callable[..., RunFolder]
    """What trains."""
    series: LabelOptions = field(default_factory=LabelOptions)
    """What has to be said; files are below RECUR_DATA."""
    seeds: tuple[int, ...] = FEW
    """Of weights, and of what is drawn to choose by."""
    said: str = "the archive's own parts"
    """Of the parts and the label, for the table."""


ARCHIVES = ("JapaneseVowels", "BasicMotions", "ItalyPowerDemand", "GunPoint")
LETTERS = Job(
    name="char-trajectories/char_trajectories_1429.csv.gz",
    train=train_classifier,
    series=LabelOptions(series_id="seq", time="step", test=0.25),
    seeds=MANY,
    said="a quarter of each letter drawn by the seed",
)
ENGINES = Job(
    name="cmapss/train_FD001.txt.gz",
    train=train_regressor,
    series=NumberOptions(
        series_id="column_1",
        time="column_2",
        remaining_life=True,
        life_cap=125,
        test_data="cmapss/test_FD001.txt.gz",
        life_left="cmapss/RUL_FD001.txt",
    ),
    seeds=MANY,
    said="its own test engines, lives capped at 125",
)
JOBS = (*(Job(name=f"uea-ucr/{name}", train=train_classifier) for name in ARCHIVES), ENGINES, LETTERS)


def labels() -> Iterator[dict[str, Any]]:
    """Tell classes and remaining lives with the defaults, nothing but the roles of columns and the parts given."""
    for job in JOBS:
        for seed in job.seeds:
            yield told(job, seed)


def told(job: Job, seed: int) -> dict[str, Any]:
    """Train on a job and return what was reached on the test part, beside the naive rule."""
    data = Path(os.environ["RECUR_DATA"])
    files = {
        name: str(data / value)
        for name in ("test_data", "life_left")
        if (value := getattr(job.series, name, None)) is not None
    }
    series = type(job.series)(**{**vars(job.series), **files})
    with tempfile.TemporaryDirectory() as folder, threads(engine.num_threads()):
        begin = time.perf_counter()
        run = job.train(
            data / job.name,
            out=Path(folder) / "run",
            series=series,
            training=LabelTrainingOptions(seed=seed),
            console=Console(stderr=True),
        )
        minutes = (time.perf_counter() - begin) / 60
        found, config = run.read_json("label_evaluation.json"), run.config()
        steps = max(row["step"] for row in run.metrics())
        used = torch.get_num_threads()
    figures = found["figures"]
    is_class = found["task"] == "classify"
    measure, rule = ("accuracy", "baseline_accuracy") if is_class else ("rmse", "baseline_rmse")
    return {
        "what": f"{job.name}, {job.said}, defaults, seed {seed}",
        "data": job.name,
        "said": job.said,
        "seed": seed,
        "model": config["model"],
        "training": config["training"],
        "steps": steps,
        "minutes": minutes,
        "threads": used,
        "measure": "accuracy" if is_class else "RMSE",
        "figure": figures[measure],
        "rule": figures[rule],
        "figures": {name: value for name, value in figures.items() if name not in ("classes", "confusion")},
        "is_better": found["verdict"]["is_better"],
    }


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("series_labels")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [
        "| data | parts | measure | mean | by seed | naive rule | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        form = ".1%" if own[0]["measure"] == "accuracy" else ".2f"
        path = Path(name)
        cells = [
            f"`{path.name if path.parent.name == 'uea-ucr' else path.parent}`",
            own[0]["said"],
            own[0]["measure"],
            format(sum(row["figure"] for row in own) / len(own), form),
            ", ".join(format(row["figure"], form) for row in own),
            format(sum(row["rule"] for row in own) / len(own), form),
            " to ".join(f"{bound(row['minutes'] for row in own):.1f}" for bound in (min, max)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
