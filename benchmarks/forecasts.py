"""What forecasters reach with the defaults on public series; these come from the folder that RECUR_DATA names.

`python benchmarks/forecasts.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import table
from recur import engine
from recur.data.series.options import SeriesOptions
from recur.measure.layers import threads
from recur.train.forecast import train_forecaster
from recur.train.options import SeriesTrainingOptions

SEEDS = (0, 1, 2)
DUST = "beijing-pm25/pollution.csv.gz"
HORIZONS = (1, 24)
TEST = "2014-01-01"
"""Where the last year begins, on which is judged."""


def dust() -> Iterator[dict[str, Any]]:
    """Forecast the fine dust of Beijing one step and 24 hours ahead, nothing but horizon and test year given."""
    for horizon in HORIZONS:
        for seed in SEEDS:
            yield forecast(DUST, SeriesOptions(horizon=horizon, test=TEST), seed)


def forecast(name: str, series: SeriesOptions, seed: int) -> dict[str, Any]:
    """Train a forecaster and return what it reached on the test part, beside the naive rules."""
    source = Path(os.environ["RECUR_DATA"]) / name
    with tempfile.TemporaryDirectory() as folder, threads(engine.num_threads()):
        begin = time.perf_counter()
        run = train_forecaster(
            source,
            out=Path(folder) / "run",
            series=series,
            training=SeriesTrainingOptions(seed=seed),
            console=Console(stderr=True),
        )
        minutes = (time.perf_counter() - begin) / 60
        found, config = run.read_json("forecast_evaluation.json"), run.config()
        steps = max(row["step"] for row in run.metrics())
        used = torch.get_num_threads()
    figures = found["figures"]
    rules = {rule: own["rmse"] for rule, own in figures.items() if rule != "model"}
    return {
        "what": f"{name}, {series.horizon} ahead, defaults, seed {seed}",
        "data": name,
        "horizon": series.horizon,
        "seed": seed,
        "model": config["model"],
        "training": config["training"],
        "steps": steps,
        "minutes": minutes,
        "threads": used,
        "measure": "RMSE",
        "figure": figures["model"]["rmse"],
        "figures": figures["model"],
        "rules": rules,
        "is_better": found["verdict"]["is_better"],
    }


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("forecasts")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [
        "| data | steps ahead | RMSE by seed | naive | seasonal naive | MAE | CRPS | in 80% | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key in dict.fromkeys((row["data"], row["horizon"]) for row in rows):
        own = [row for row in rows if (row["data"], row["horizon"]) == key]
        mae, crps, held = (sum(_figure(row, name) for row in own) / len(own) for name in ("mae", "crps", "held"))
        cells = [
            f"`{Path(key[0]).parent}`",
            str(key[1]),
            ", ".join(f"{row['figure']:.2f}" for row in own),
            f"{own[0]['rules']['naive']:.2f}",
            f"{own[0]['rules']['seasonal naive']:.2f}",
            f"{mae:.2f}",
            f"{crps:.2f}",
            f"{held:.1%}",
            " to ".join(f"{bound(row['minutes'] for row in own):.1f}" for bound in (min, max)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(row: dict[str, Any], name: str) -> float:
    return float(row["figures"]["coverage"]["0.8"] if name == "held" else row["figures"][name])


if __name__ == "__main__":
    print(markdown())
