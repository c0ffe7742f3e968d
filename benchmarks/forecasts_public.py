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
from recur.train.forecast_judge import kept_step
from recur.train.options import SeriesTrainingOptions

SEEDS = (0, 1, 2)

Frame = Any
"""A dataframe of pandas."""


def public() -> Iterator[dict[str, Any]]:
    """Forecast each of them, with no option given."""
    absent = peers.missing("statsmodels")
    if absent:
        yield {"what": "public series", "missing": absent}
        return
    for name, read in SERIES.items():
        for seed in SEEDS:
            yield forecast(name, read(), seed)


def forecast(name: str, frame: Frame, seed: int) -> dict[str, Any]:
    """Train a forecaster and return what it reached on the test part, beside the naive rules."""
    with tempfile.TemporaryDirectory() as folder, threads(1):
        begin = time.perf_counter()
        run = train_forecaster(
            frame,
            out=Path(folder) / "run",
            training=SeriesTrainingOptions(seed=seed, no_report=True),
            console=Console(stderr=True),
        )
        minutes = (time.perf_counter() - begin) / 60
        found, config = run.read_json("forecast_evaluation.json"), run.config()
        steps, kept = max(row["step"] for row in run.metrics()), kept_step(run)
    figures = found["figures"]
    # Series that differ in size have a mean of their own unit alone.
    measure = found["verdict"]["comparisons"][0]["measure"]
    return {
        "what": f"{name}, {found['horizon']} ahead, defaults, seed {seed}",
        "data": name,
        "rows": len(frame),
        "targets": found["targets"],
        "horizon": found["horizon"],
        "seed": seed,
        "model": config["model"],
        "training": config["training"],
        "steps": steps,
        "kept_step": kept,
        "minutes": minutes,
        "threads": 1,
        "measure": measure,
        "figure": figures["model"][measure.lower()],
        "figures": figures["model"],
        "rules": {rule: own[measure.lower()] for rule, own in figures.items() if rule != "model"},
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


def _danish() -> Frame:
    return _data("danish_data").rename_axis("quarter").reset_index()


def _countries() -> Frame:
    frame = _data("fertility").drop(columns=["Country Code", "Indicator Name", "Indicator Code"])
    long = frame.melt("Country Name", var_name="year", value_name="births").rename(columns={"Country Name": "country"})
    long = long.dropna().astype({"year": int})
    counts = long["country"].value_counts()
    return long[long["country"].isin(counts.index[counts >= 40])]


SERIES: dict[str, Callable[[], Frame]] = {
    "sunspots": lambda: _years("sunspots", "YEAR"),
    "nile": lambda: _years("nile", "year"),
    "co2": _weeks,
    "elnino": _months,
    "macrodata": lambda: _quarters("macrodata"),
    "interest_inflation": lambda: _quarters("interest_inflation"),
    "danish_data": _danish,
    "copper": lambda: _years("copper", "TIME"),
    "grunfeld": lambda: _years("grunfeld", "year")[["firm", "year", "invest", "value", "capital"]],
    "fertility": _countries,
}
"""Each as statsmodels calls it: years of sunspots and of the Nile's volume, weeks of CO2, months of a sea's
temperature, quarters of three economies and years of the market for copper, whose first column is told with the help of
the others, years of eleven firms, and of births in some two hundred countries. Those of less than twenty rows, and
tables that are no series, are left out."""


# --- the table --------------------------------------------------------------------------------------------------------


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("forecasts_public")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [
        "| data | rows | steps ahead | error, by seed | seasonal naive | best rule | beats it | learned | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        first = own[0]
        best = min(first["rules"], key=first["rules"].get)
        figures = [f"{row['figure']:.3g}" for row in own]
        told = [
            "yes" if row["is_better"] else "not shown" if row["figure"] < row["rules"][best] else "no" for row in own
        ]
        cells = [
            f"`{data}`",
            f"{first['rows']:,}",
            str(first["horizon"]),
            f"{first['measure']} {' / '.join(figures if len(set(figures)) > 1 else figures[:1])}",
            f"{first['rules']['seasonal naive']:.3g}" if "seasonal naive" in first["rules"] else "no season",
            f"{first['rules'][best]:.3g} ({best})",
            " / ".join(told if len(set(told)) > 1 else told[:1]),
            f"{sum(row['kept_step'] > 0 for row in own)} of {len(own)}",
            f"{max(row['minutes'] for row in own):.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
