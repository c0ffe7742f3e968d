"""Live series: what a point costs that is pushed into a stream and answered, in batches and alone.

`python benchmarks/streams.py` prints the newest result as a table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

import table
from recur.data.series import read_series
from recur.measure.layers import threads
from recur.measure.timing import spread
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.streaming import stream
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster

_START = np.datetime64("2024-01-01T00", "us")
_HOUR = np.timedelta64(1, "h")
_TRAINED = 400
"""Hours that the setup is fitted to."""


@dataclass(frozen=True)
class Work:
    """What is streamed: hourly series with calendar features, a GRU, calibrated intervals."""

    num_series: int = 1000
    hidden_size: int = 64
    history: int = 48
    horizon: int = 1


def points(*, repeats: int, work: Work | None = None) -> Iterator[dict[str, Any]]:
    """Time pushes of a row for each series, of several, and of single rows, on one core."""
    for horizon in (1, 24) if work is None else (work.horizon,):
        own = work or Work(horizon=horizon)
        trained = forecaster(own)
        with threads(1):
            checked = verify(trained, own)
            for steps in (1, 20):
                live = stream(trained)
                live.push(rows(own, _TRAINED, 2))
                found = []
                for number in range(repeats + 3):
                    pushed = rows(own, _TRAINED + 2 + number * steps, steps)
                    begin = time.perf_counter()
                    live.push(pushed)
                    found.append((time.perf_counter() - begin) / len(pushed) * 1e6)
                yield _row(own, f"{steps} row{'s' if steps > 1 else ''} of each series a push", checked, found[3:])
            live = stream(trained)
            live.push(rows(own, _TRAINED, 2))
            single = rows(own, _TRAINED + 2, 4 * repeats + 10).filter(pl.col("id") == "s0")
            found = []
            for row in single.iter_rows(named=True):
                begin = time.perf_counter()
                live.push(row)
                found.append((time.perf_counter() - begin) * 1e6)
            yield _row(own, "one row a push", checked, found[10:])


def forecaster(work: Work) -> TrainedForecaster:
    """Return a calibrated forecaster with weights as they were drawn, which cost as much as trained ones."""
    panel = read_series(rows(work, 0, _TRAINED))
    setup, split = ForecastSetup.fit(panel, history=work.history, horizon=work.horizon)
    torch.manual_seed(0)
    options = ForecasterOptions(
        kind="direct",
        history=work.history,
        hidden_size=work.hidden_size,
        head="gaussian",
        normalize="last",
        level=True,
    )
    return TrainedForecaster(ForecastNetwork(options, setup.shape), setup).calibrated(split.valid)


def rows(work: Work, first: int, steps: int) -> pl.DataFrame:
    """Return the rows of some hours, of one hour after the other."""
    draw = np.random.default_rng(first)
    hours = _START + (first + np.arange(steps)) * _HOUR
    return pl.DataFrame(
        {
            "id": [f"s{number}" for number in range(work.num_series)] * steps,
            "hour": np.repeat(hours, work.num_series),
            "load": 5 + draw.standard_normal(steps * work.num_series),
        }
    )


def verify(trained: TrainedForecaster, work: Work) -> str:
    """Check that a stream says what a batch says, and return so."""
    pushed = rows(work, _TRAINED, 30)
    live = stream(trained)
    answers = [live.push(pushed[begin : begin + work.num_series]) for begin in range(0, len(pushed), work.num_series)]
    wanted = trained.predict(pushed, history="all")
    said = answers[-1].values[..., 0].reshape(-1)
    order = {name: number for number, name in enumerate(answers[-1].ids)}
    first = wanted["series_id"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    at = first * work.horizon + np.tile(np.arange(work.horizon), work.num_series)
    np.testing.assert_allclose(said[at], wanted["mean"].to_numpy(), rtol=1e-5, atol=1e-5)
    return "the answers after 30 rows are those of the batch, to 1e-5"


def _row(work: Work, what: str, checked: str, found: list[float]) -> dict[str, Any]:
    figures = spread(found)
    return {
        "what": f"stream, {what}, {work.horizon} ahead",
        "push": what,
        "work": asdict(work),
        "checked": checked,
        "threads": 1,
        "backend": "cpu",
        "unit": "µs a point",
        "ours": figures,
        "p99": float(np.percentile(found, 99)),
        "points_per_second": 1e6 / figures["median"],
    }


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("streams")
    assert path is not None
    lines = ["| push | steps told | µs a point | 99 of 100 pushes below | points a second |", "| --- " * 5 + "|"]
    for row in json.loads(path.read_text(encoding="utf-8"))["results"]:
        cells = [
            row["push"],
            str(row["work"]["horizon"]),
            f"{row['ours']['median']:,.1f}",
            f"{row['p99']:,.1f}",
            f"{row['points_per_second']:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
