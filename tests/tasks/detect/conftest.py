"""A detector trained once on five channels that go by the day, and one of each series' own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from recur.data.series import Panel, Schema
from recur.data.series.options import DetectionOptions
from recur.models.detector_options import DetectorOptions
from recur.run import RunFolder
from recur.train.detect import train_detector
from recur.train.options import SeriesTrainingOptions

CHANNELS = ("one", "two", "three", "four", "five")
LENGTHS = (1500, 900)
PLANTED = 1400
"""A row of the first series, in its test part, where "three" is off."""


def days(seed: int = 0, lengths: tuple[int, ...] = LENGTHS) -> np.ndarray:
    """Return values that repeat after 24 steps, with noise, (R, 5)."""
    rng = np.random.default_rng(seed)
    step = np.concatenate([np.arange(length) for length in lengths])[:, None]
    values = np.sin(2 * np.pi * (step / 24 + np.arange(5) / 5)) + 0.3 * rng.standard_normal((len(step), 5))
    return values.astype(np.float32)


def panel_of(values: np.ndarray, lengths: tuple[int, ...] = LENGTHS, ids: tuple[str, ...] = ("a", "b")) -> Panel:
    return Panel.of_rows(ids, lengths, values, schema=Schema(targets=CHANNELS))


def planted() -> Panel:
    values = days()
    values[PLANTED, 2] += 6.0
    values[100, 0] = values[1300:1304] = np.nan
    return panel_of(values)


def train(out: Path, options: DetectorOptions, panel: Panel | None = None, steps: int = 40, **series: Any) -> RunFolder:
    return train_detector(
        planted() if panel is None else panel,
        out=out,
        series=DetectionOptions(**series),
        model=replace(options, hidden_size=16, history=48),
        training=SeriesTrainingOptions(max_steps=steps, batch_size=32, no_report=True),
        console=Console(quiet=True),
    )


@pytest.fixture(scope="session", params=["forecast", "autoencoder"])
def run(request: pytest.FixtureRequest, made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The run folder of a trained detector of each way."""
    options = DetectorOptions(way=request.param, false_alarms=0.001)

    def make(folder: Path) -> None:
        train(folder / "run", options)

    return made_once(f"detector_{request.param}", make) / "run"


@pytest.fixture
def five() -> Any:
    """Makers of series of five channels, and of runs of detectors."""
    return SimpleNamespace(
        channels=CHANNELS, lengths=LENGTHS, place=PLANTED, days=days, panel_of=panel_of, planted=planted, train=train
    )
