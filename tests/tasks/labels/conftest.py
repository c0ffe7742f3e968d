"""Series with labels that can be told, and what was trained on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recur.data.series import Panel, panel_of_array
from recur.data.series.partition import Partition
from recur.models.series_options import SeriesClassifierOptions, SeriesRegressorOptions
from recur.tasks.labels.setup import LabelSetup, Life, Parts
from recur.tasks.labels.trained import TrainedClassifier, TrainedLabels, TrainedRegressor, build_network

SMALL: dict[str, Any] = {"hidden_size": 4, "members": 1, "dropout": 0.0}


def waves(num_series: int = 40, *, seed: int = 0) -> Panel:
    """Rising and falling ramps of two channels, of 8 to 12 steps."""
    draw = np.random.default_rng(seed)
    ramp = np.linspace(-1, 1, 12)
    values = np.stack([np.outer((-1) ** number * ramp, [1.0, 0.5]) for number in range(num_series)])
    values += 0.1 * draw.standard_normal(values.shape)
    for number in range(num_series):
        values[number, 8 + number % 5 :] = np.nan
    return panel_of_array(values, ["up" if number % 2 == 0 else "down" for number in range(num_series)])


def engines(num_series: int = 12, *, seed: int = 0) -> pl.DataFrame:
    """Runs to failure of 20 to 30 cycles, of which a sensor tells how far they are."""
    draw = np.random.default_rng(seed)
    frames = []
    for number in range(num_series):
        length = 20 + number % 11
        wear = np.arange(length) - length + 0.1 * draw.standard_normal(length)
        frames.append(pl.DataFrame({"engine": [f"e{number}"] * length, "cycle": np.arange(length), "wear": wear}))
    return pl.concat(frames)


def fitted(kind: type[TrainedLabels], setup: LabelSetup, parts: Parts, **options: Any) -> TrainedLabels:
    """Return a network of some steps of training."""
    torch.manual_seed(0)
    chosen: Any = {TrainedClassifier: SeriesClassifierOptions, TrainedRegressor: SeriesRegressorOptions}[kind]
    if kind is TrainedClassifier:
        options = {"convolutions": (), "jitter": 0.0, "resizing": 0.0, "warping": 0.0, **options}
    settings = chosen(**(SMALL | {"per_step": setup.way == "steps"} | options))
    network = build_network(settings, setup)
    batches = setup.training_batches(parts.train, batch_size=64)
    network.fit_statistics(batches)
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    for _ in range(40):
        for batch in batches:
            optimizer.zero_grad()
            network.loss(batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    found = kind(network, setup, settings)
    found.calibrate(found.outcomes(parts.valid))
    return found


@pytest.fixture(scope="session")
def classifier() -> tuple[TrainedClassifier, Parts]:
    """A classifier of ramps and its parts; tests only read it."""
    setup, parts = LabelSetup.fit(waves(), partition=Partition(by="label", valid=6, test=5))
    found = fitted(TrainedClassifier, setup, parts)
    assert isinstance(found, TrainedClassifier)
    return found, parts


@pytest.fixture(scope="session")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedRegressor, Parts, Path]:
    """A teller of remaining lives, its parts, and the table; tests only read them."""
    from recur.data.series import Columns
    from recur.tasks.series_reading import SeriesReading

    path = tmp_path_factory.mktemp("engines") / "engines.csv"
    engines().write_csv(path)
    reading = SeriesReading(columns=Columns(series_id="engine", time="cycle", targets=()))
    setup, parts = LabelSetup.fit(
        reading.first(path),
        partition=Partition(by="series", valid=3, test=3),
        life=Life(cap=15),
        reading=reading,
        path=str(path),
    )
    found = fitted(TrainedRegressor, setup, parts)
    assert isinstance(found, TrainedRegressor)
    return found, parts, path


@pytest.fixture(scope="session")
def make_engines() -> Callable[..., pl.DataFrame]:
    return engines


@pytest.fixture(scope="session")
def make_waves() -> Callable[..., Panel]:
    return waves
