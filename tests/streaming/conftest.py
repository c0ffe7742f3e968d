"""Forecasters with weights as they were drawn, of every kind, on tables with everything that a table can have."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recur.data.series import Columns, Panel, read_series
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.series_reading import SeriesReading

HISTORY, HORIZON = 12, 4

OPTIONS: dict[str, dict[str, Any]] = {
    "direct": {"kind": "direct", "head": "gaussian", "normalize": "last", "level": True},
    "encoder-decoder": {
        "kind": "encoder-decoder",
        "head": "gaussian",
        "normalize": "last",
        "level": True,
        "rules": True,
        "season": 5,
    },
    "window": {
        "kind": "encoder-decoder",
        "head": "student-t",
        "normalize": "window",
        "level": False,
        "cell": "lstm",
        "rules": True,
    },
    "segments": {"kind": "segments", "segment": 3, "head": "quantile", "normalize": "last", "level": False},
    "autoregressive": {
        "kind": "autoregressive",
        "head": "gaussian",
        "normalize": "series",
        "level": True,
        "num_paths": 5,
    },
    "one step": {"kind": "autoregressive", "head": "gaussian", "normalize": "last", "level": True, "rules": True},
    "counts": {"kind": "encoder-decoder", "head": "negative-binomial", "normalize": "series", "level": True},
}


@pytest.fixture(scope="session")
def table() -> pl.DataFrame:
    """Three series of 60 hours with numbers, categories, a mark of the series, and values that are missing."""
    draw = np.random.default_rng(0)
    parts = []
    for number, name in enumerate(("a", "b", "c")):
        load = np.round(20 * (number + 1) + 5 * np.sin(np.arange(60) / 4) + draw.standard_normal(60))
        load[draw.random(60) < 0.1] = np.nan
        load[-1] = 20.0
        parts.append(
            pl.DataFrame(
                {
                    "place": [name] * 60,
                    "hour": np.datetime64("2024-03-01T05", "us") + np.arange(60) * np.timedelta64(1, "h"),
                    "load": pl.Series(load, nan_to_null=True),
                    "heat": draw.standard_normal(60),
                    "wind": draw.choice(["N", "S", "W"], 60),
                    "size": [float(number)] * 60,
                    "kind": [f"k{number % 2}"] * 60,
                }
            )
        )
    return pl.concat(parts)


@pytest.fixture(scope="session")
def columns() -> Columns:
    return Columns(
        series_id="place", targets="load", past_only=("heat", "wind"), static=("size", "kind"), known_future=()
    )


@pytest.fixture(scope="session")
def make_forecaster(table: pl.DataFrame, columns: Columns) -> Callable[..., TrainedForecaster]:
    """A maker of calibrated forecasters of a kind."""

    def make(
        kind: str = "encoder-decoder",
        *,
        columns: Columns = columns,
        table: pl.DataFrame = table,
        double: bool = False,
        scaling: Any = None,
        members: int = 1,
    ) -> TrainedForecaster:
        reading = SeriesReading(columns=columns)
        panel: Panel = reading.first(table)
        scaling = scaling or ("mean_abs" if kind == "counts" else "standard")
        horizon = 1 if kind == "one step" else HORIZON
        setup, split = ForecastSetup.fit(panel, history=HISTORY, horizon=horizon, scaling=scaling, reading=reading)
        torch.manual_seed(1)
        options = ForecasterOptions(history=HISTORY, hidden_size=8, **OPTIONS[kind])
        networks = [ForecastNetwork(options, setup.shape) for _ in range(members)]
        network = networks[0] if members == 1 else ForecastEnsemble(networks)
        # Larger than as drawn, so that what is read shows in what is said.
        with torch.no_grad():
            for parameter in network.parameters():
                parameter *= 1.5
        said = {**OPTIONS[kind], "history": HISTORY, "hidden_size": 8, "members": members}
        made = TrainedForecaster(network.double() if double else network, setup, options=said)
        return made.calibrated(split.valid)

    return make


@pytest.fixture(scope="session")
def read() -> Callable[..., Panel]:
    return read_series


@pytest.fixture(scope="session")
def folder(made_once: Callable[..., Path], seasonal_table: Callable[..., pl.DataFrame]) -> Path:
    """A folder with old.csv, new.csv, in which the wave stands on its head, and `run`, trained on the old one."""
    from rich.console import Console

    from recur.train.forecast import train_forecaster
    from recur.train.options import SeriesTrainingOptions

    def make(path: Path) -> None:
        table = seasonal_table(900, noise=0.1)
        table[:500].write_csv(path / "old.csv")
        turned = table[500:].with_columns(load=20 - pl.col("load"))
        turned.write_csv(path / "new.csv")
        train_forecaster(
            path / "old.csv",
            out=path / "run",
            # The rules that others start from tell the turned wave as well as the old one.
            model=ForecasterOptions(
                history=24, hidden_size=16, head="gaussian", kind="encoder-decoder", normalize="series"
            ),
            training=SeriesTrainingOptions(max_steps=80, batch_size=32, learning_rate=1e-2, no_report=True),
            console=Console(file=io.StringIO()),
        )

    return made_once("learning_on", make)
