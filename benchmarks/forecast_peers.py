"""The training of forecasters beside that of two well-known forecasting libraries, and of a loop in plain PyTorch.

All train a GRU of 64 units on the same windows, each by its own pipeline and loop: as many steps of the same batch.
Counted is the processor's time from one batch to the next, on one thread, which other programs change little.
`python benchmarks/forecast_peers.py` prints the newest result as a table.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from rich.console import Console

import peers
import table
from recur.data.series.options import SeriesOptions
from recur.measure.layers import threads
from recur.measure.timing import compared
from recur.models.forecaster_options import ForecasterOptions
from recur.tasks.forecast.calibration import original_scale
from recur.tasks.forecast.trained import TrainedForecaster
from recur.train.forecast import train_forecaster
from recur.train.options import SeriesTrainingOptions
from series_step import stamped

DUST = "beijing-pm25/pollution.csv.gz"
SEEDS = (0, 1, 2)
WARM = 30
"""Steps that are not counted."""

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Work:
    """What is trained: one series, its windows, a network and its steps."""

    horizon: int
    kind: str = "direct"
    normalize: str = "series"
    """What recur reads, beside the scaling that all have: the series alone, or the change since the last value too."""
    history: int = 48
    hidden_size: int = 64
    batch_size: int = 32
    learning_rate: float = 1e-3

    @property
    def steps(self) -> int:
        """About two passes over the training part."""
        return 600 * 128 // self.batch_size


@dataclass(frozen=True)
class Trained:
    """What a training came to: the processor's time in seconds when each batch was done, and forecasts."""

    times: list[float]
    seconds: float
    forecasts: Numbers
    """(days, steps), from each midnight on."""
    backend: str = "torch"
    """What ran its recurrent layers."""


Train = Callable[[Work, Numbers, int, int], Trained]
"""Trains on a series up to a row, with a seed, and forecasts each day of the rest."""


WORKS = tuple(
    Work(horizon=horizon, kind=kind, normalize=normalize, batch_size=batch_size)
    for horizon, kind, normalize in ((1, "autoregressive", "last"), (24, "direct", "series"))
    for batch_size in (32, 128)
)
"""32 windows are a batch of Darts by default. One step ahead all are a GRU and a linear map of its output. For 24 steps
the two libraries map the last 24 outputs, one to each step, so that the first is told from what was known a day before;
the plain loop and recur map the last output to all of them, and recur tells from two places of each window.
"""


def training() -> Iterator[dict[str, Any]]:
    """Train one step and 24 hours ahead with all of them, in turns."""
    others: dict[str, Train] = {"Darts": darts, "NeuralForecast": neuralforecast, "plain PyTorch": plain}
    absent = peers.missing("darts", "neuralforecast")
    if absent:
        yield {"what": "training of forecasts", "missing": absent}
        return
    values, first = dust()
    for work in WORKS:
        trained: dict[str, list[Trained]] = {"recur": [], **{name: [] for name in others}}
        with threads(1):
            for seed in SEEDS:
                trained["recur"].append(ours(work, values, first, seed))
                for name, train in others.items():
                    trained[name].append(train(work, values, first, seed))
        for name in others:
            yield _beside(name, work, trained["recur"], trained[name], values, first)


def _beside(
    name: str, work: Work, ours: list[Trained], others: list[Trained], values: Numbers, first: int
) -> dict[str, Any]:
    """Return times and accuracy of ours and of one other library, pair by pair."""
    days = _days(values, first, work)
    naive = np.repeat(values[[row - 1 for row in days], None], work.horizon, axis=1)
    both = (ours, others)
    times = [[float(np.median(np.diff(one.times[WARM:]))) * 1e3 for one in own] for own in both]
    return {
        "what": f"training of forecasts {work.horizon} ahead, batch {work.batch_size}",
        "peer_name": name,
        "work": {**asdict(work), "steps": work.steps},
        **compared(*times, "ms of a processor per step"),
        "seconds": [statistics.median(one.seconds for one in own) for own in both],
        "rmse": [[_rmse(one.forecasts, values, first, work) for one in own] for own in both],
        "naive": _rmse(naive, values, first, work),
        "threads": 1,
        "backend": ours[0].backend,
    }


def dust() -> tuple[Numbers, int]:
    """Return the hourly fine dust of Beijing, and where its last year begins.

    Gaps are filled by the value before, since the other libraries take none.
    """
    path = Path(os.environ["RECUR_DATA"]) / DUST
    read = pl.read_csv(path, columns=["pm2.5"], null_values="NA")["pm2.5"].forward_fill()
    first = int((datetime.date(2014, 1, 1) - datetime.date(2010, 1, 2)).days * 24)
    return read[24:].cast(pl.Float32).to_numpy(), first


def _days(values: Numbers, first: int, work: Work) -> range:
    """Return the rows from which on the last year is told, a day apart."""
    return range(first, len(values) - max(work.horizon, 24) + 1, 24)


def _rmse(forecasts: NDArray[Any], values: Numbers, first: int, work: Work) -> float:
    came = np.stack([values[row : row + work.horizon] for row in _days(values, first, work)])
    assert forecasts.shape == came.shape, (forecasts.shape, came.shape)
    return float(np.sqrt(np.mean((forecasts.astype(np.float64) - came) ** 2)))


# --- the four ---------------------------------------------------------------------------------------------------------


def ours(work: Work, values: Numbers, first: int, seed: int) -> Trained:
    """Train with recur, options of network and training as the others have them, all else by default."""
    frame = pl.DataFrame({"hour": _hours(len(values)), "dust": values})
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, stamped(times, time.process_time):
        begin = time.perf_counter()
        run = train_forecaster(
            frame,
            out=Path(folder) / "run",
            series=SeriesOptions(horizon=work.horizon, test=len(values) - first, valid=24 * 7, calendar=""),
            model=ForecasterOptions(
                kind=work.kind,
                normalize=work.normalize,
                history=work.history,
                hidden_size=work.hidden_size,
                head="point",
                loss="squared",
            ),
            training=SeriesTrainingOptions(
                max_steps=work.steps,
                batch_size=work.batch_size,
                learning_rate=work.learning_rate,
                validate_every=10**9,
                seed=seed,
                no_report=True,
            ),
            console=Console(quiet=True),
        )
        took = time.perf_counter() - begin
        trained = TrainedForecaster.load(run)
        backends = {layer["backend"] for layer in run.read_json("env.json")["backends"]}
    split = trained.setup.parts(trained.setup.read(frame))
    found = []
    for batch in trained.setup.windows(split.test, batch_size=512, stride=24):
        found.append(trained.scaled(batch).rescaled(*original_scale(batch)).mean[..., 0])
    told = torch.cat(found)[: len(_days(values, first, work))].numpy()
    return Trained(times, took, told.astype(np.float32), ", ".join(sorted(backends)))


def darts(work: Work, values: Numbers, first: int, seed: int) -> Trained:
    """Train Darts' block RNN, which tells each step from an output of its own; the series scaled before."""
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    loc, scale = values[:first].mean(), values[:first].std()
    series = TimeSeries.from_values((values - loc) / scale)
    with quiet_lightning() as (times, trainer):
        model = BlockRNNModel(
            input_chunk_length=work.history,
            output_chunk_length=work.horizon,
            model="GRU",
            hidden_dim=work.hidden_size,
            batch_size=work.batch_size,
            n_epochs=10**6,
            optimizer_kwargs={"lr": work.learning_rate},
            loss_fn=torch.nn.MSELoss(),
            random_state=seed,
            pl_trainer_kwargs={**trainer, "max_steps": work.steps},
        )
        begin = time.perf_counter()
        model.fit(series[:first])
        took = time.perf_counter() - begin
        days = _days(values, first, work)
        parts = model.predict(work.horizon, series=[series[row - work.history : row] for row in days], verbose=False)
    told = np.stack([part.values()[:, 0] for part in parts]) * scale + loc
    return Trained(times, took, told.astype(np.float32))


def neuralforecast(work: Work, values: Numbers, first: int, seed: int) -> Trained:
    """Train NeuralForecast's GRU, whose decoder tells each step from an output of its own; the series scaled before."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import GRU

    loc, scale = values[:first].mean(), values[:first].std()
    frame = pd.DataFrame({"unique_id": "dust", "ds": _hours(len(values)), "y": (values - loc) / scale})
    with quiet_lightning() as (times, trainer):
        model = GRU(
            h=work.horizon,
            input_size=work.history,
            encoder_n_layers=1,
            encoder_hidden_size=work.hidden_size,
            decoder_layers=1,
            loss=MSE(),
            max_steps=work.steps,
            learning_rate=work.learning_rate,
            windows_batch_size=work.batch_size,
            scaler_type="identity",
            random_seed=seed,
            **trainer,
        )
        library = NeuralForecast(models=[model], freq="h")
        begin = time.perf_counter()
        library.fit(frame[:first], val_size=0)
        took = time.perf_counter() - begin
        days = _days(values, first, work)
        asked = pd.concat(
            [frame[row - work.history : row].assign(unique_id=f"{number:04d}") for number, row in enumerate(days)]
        )
        found = library.predict(df=asked)
    told = found["GRU"].to_numpy().reshape(len(days), work.horizon) * scale + loc
    return Trained(times, took, told.astype(np.float32))


def plain(work: Work, values: Numbers, first: int, seed: int) -> Trained:
    """Train a GRU whose last output a linear map turns into all steps, as one would write it; the series scaled before.

    Each pass takes all windows once, in an order drawn anew.
    """
    torch.manual_seed(seed)
    loc, scale = values[:first].mean(), values[:first].std()
    scaled = torch.from_numpy((values - loc) / scale)
    windows = scaled[:first].unfold(0, work.history + work.horizon, 1)
    layer, output = torch.nn.GRU(1, work.hidden_size), torch.nn.Linear(work.hidden_size, work.horizon)

    def told(history: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = output(layer(history.t()[..., None])[0][-1])
        return found

    optimizer = torch.optim.Adam([*layer.parameters(), *output.parameters()], lr=work.learning_rate)
    times: list[float] = []
    begin = time.perf_counter()
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(work.steps):
        if len(order) < work.batch_size:
            order = torch.randperm(len(windows))
        chosen, order = windows[order[: work.batch_size]], order[work.batch_size :]
        loss = torch.nn.functional.mse_loss(told(chosen[:, : work.history]), chosen[:, work.history :])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.process_time())
    took = time.perf_counter() - begin
    days = _days(values, first, work)
    with torch.no_grad():
        found = told(torch.stack([scaled[row - work.history : row] for row in days]))
    return Trained(times, took, (found * float(scale) + float(loc)).numpy())


def _hours(count: int) -> NDArray[np.datetime64]:
    return np.datetime64("2010-01-02", "us") + np.arange(count) * np.timedelta64(1, "h")


@contextmanager
def quiet_lightning() -> Iterator[tuple[list[float], dict[str, Any]]]:
    """Yield a list that gets the times at which steps end, and arguments of a trainer that does nothing beside."""
    from pytorch_lightning import Callback

    times: list[float] = []

    class Stamps(Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            times.append(time.process_time())

    trainer = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "callbacks": [Stamps()],
    }
    loud = [
        logging.getLogger(name)
        for name in ("pytorch_lightning", "lightning_fabric", "darts", "pytorch_lightning.utilities.rank_zero")
    ]
    levels = [log.level for log in loud]
    for log in loud:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield times, trainer
    finally:
        for log, level in zip(loud, levels, strict=True):
            log.setLevel(level)


# --- the table --------------------------------------------------------------------------------------------------------


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("forecast_peers")
    assert path is not None
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    lines = [
        "| steps ahead | batch | beside | recur, ms a step | theirs | times as fast | recur, RMSE | theirs | naive |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        work, ratio = row["work"], row["ratio"]
        cells = [
            str(work["horizon"]),
            str(work["batch_size"]),
            row["peer_name"],
            f"{row['ours']['median']:.1f}",
            f"{row['peer']['median']:.1f}",
            f"{1 / ratio['median']:.2f} ({1 / ratio['upper']:.2f} to {1 / ratio['lower']:.2f})",
            *(" to ".join(f"{bound(own):.1f}" for bound in (min, max)) for own in row["rmse"]),
            f"{row['naive']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
