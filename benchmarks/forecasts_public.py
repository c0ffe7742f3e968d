"""What forecasters reach with the defaults on the series that ship with statsmodels; scikit-learn ships none.

`python benchmarks/forecasts_public.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import peers
import table
from recur.measure.layers import threads
from recur.train.forecast import train_forecaster
from recur.train.options import SeriesTrainingOptions

SEED = 0

Frame = Any
"""A dataframe of pandas."""


def public() -> Iterator[dict[str, Any]]:
    """Forecast each of them, with no option given."""
    absent = peers.missing("statsmodels")
    if absent:
        yield {"what": "public series", "missing": absent}
        return
    for name, read in SERIES.items():
        yield forecast(name, read())


def forecast(name: str, frame: Frame) -> dict[str, Any]:
    """Train a forecaster and return what it reached on the test part, beside the naive rules."""
    with tempfile.TemporaryDirectory() as folder, threads(1):
        begin = time.perf_counter()
        run = train_forecaster(
            frame,
            out=Path(folder) / "run",
            training=SeriesTrainingOptions(seed=SEED, no_report=True),
            console=Console(stderr=True),
        )
        minutes = (time.perf_counter() - begin) / 60
        found, config = run.read_json("forecast_evaluation.json"), run.config()
        steps = max(row["step"] for row in run.metrics())
    figures = found["figures"]
    return {
        "what": f"{name}, {found['horizon']} ahead, defaults, seed {SEED}",
        "data": name,
        "rows": len(frame),
        "targets": found["targets"],
        "horizon": found["horizon"],
        "seed": SEED,
        "model": config["model"],
        "training": config["training"],
        "steps": steps,
        "minutes": minutes,
        "threads": 1,
        "measure": "MAE",
        "figure": figures["model"]["mae"],
        "figures": figures["model"],
        "rules": {rule: own["mae"] for rule, own in figures.items() if rule != "model"},
        "verdict": found["verdict"]["text"],
        "is_better": found["verdict"]["is_better"],
    }


# --- the series -------------------------------------------------------------------------------------------------------


def _data(name: str) -> Frame:
    from statsmodels import datasets

    return getattr(datasets, name).load_pandas().data


def _years(name: str, year: str) -> Frame:
    frame = _data(name).rename(columns={year: "year"})
    return frame.astype({"year": int})


def _quarters(name: str) -> Frame:
    frame = _data(name)
    months = (frame["year"].astype(int) - 1970) * 12 + (frame["quarter"].astype(int) - 1) * 3
    begins = np.datetime64("1970-01", "M") + months.to_numpy()
    frame = frame.drop(columns=["year", "quarter"])
    frame.insert(0, "quarter", begins.astype("datetime64[ms]"))
    return frame


def _weeks() -> Frame:
    return _data("co2").rename_axis("week").reset_index()


def _months() -> Frame:
    frame = _data("elnino")
    months = np.datetime64(f"{int(frame['YEAR'].iloc[0])}-01", "M") + np.arange(12 * len(frame))
    cells = {"month": months.astype("datetime64[ms]"), "temperature": frame.drop(columns="YEAR").to_numpy().reshape(-1)}
    return type(frame)(cells)


SERIES: dict[str, Callable[[], Frame]] = {
    "sunspots": lambda: _years("sunspots", "YEAR"),
    "nile": lambda: _years("nile", "year"),
    "co2": _weeks,
    "elnino": _months,
    "macrodata": lambda: _quarters("macrodata"),
    "interest_inflation": lambda: _quarters("interest_inflation"),
}
"""Each as statsmodels calls it: years of sunspots and of the Nile's volume, weeks of CO2, months of a sea's
temperature, and quarters of two economies, whose first column is told with the help of the others."""


# --- the table --------------------------------------------------------------------------------------------------------


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("forecasts_public")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [
        "| data | rows | steps ahead | MAE | seasonal naive | best rule | beats it | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        best = min(row["rules"], key=row["rules"].get)
        cells = [
            f"`{row['data']}`",
            f"{row['rows']:,}",
            str(row["horizon"]),
            f"{row['figure']:.3g}",
            f"{row['rules']['seasonal naive']:.3g}" if "seasonal naive" in row["rules"] else "no season",
            f"{row['rules'][best]:.3g} ({best})",
            "yes" if row["is_better"] else "not shown" if row["figure"] < row["rules"][best] else "no",
            f"{row['minutes']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
