"""What every test starts from: the same seeds and one thread; and what tests of several parts share."""

from __future__ import annotations

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"
# Else gloo listens on the interface that the machine's name belongs to, which may be none.
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")

import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor, nn

MEETING = """
import os, sys, torch, torch.distributed as dist
port, rank = sys.argv[1:]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
ones = torch.ones(3)
dist.all_reduce(ones)
assert ones.sum() == 6
"""
"""What two processes of plain torch do to find out whether they can train together here."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Make what a folder of some name holds once for all processes that run tests, and return the folder."""
    base = tmp_path_factory.getbasetemp()
    run_of_tests = os.environ.get("PYTEST_XDIST_TESTRUNUID")

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder = base / name if run_of_tests is None else base.parent / f"{name}_{run_of_tests}"
        done = folder.with_suffix(".done")
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are taken in the same order whatever the machine, and tests side by side do not fight for its cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def gloo() -> None:
    """Skip where the machine does not let two processes of torch talk with each other."""
    port = str(_free_port())
    pair = [subprocess.Popen([sys.executable, "-c", MEETING, port, rank], stderr=subprocess.PIPE) for rank in "01"]
    try:
        told = [process.communicate(timeout=120)[1].decode() for process in pair]
    except subprocess.TimeoutExpired:
        pytest.skip("gloo: two processes on this machine did not meet within 120 s")
    finally:
        for process in pair:
            process.kill()
    if any(process.returncode for process in pair):
        pytest.skip(f"gloo: two processes on this machine cannot meet: {told[0] or told[1]}")


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """A context in which permissions bind, which they do not for the superuser."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_nobody


class LinearForecaster(nn.Module):
    """The smallest network that forecasts: a linear map of the last targets, and a spread for each step."""

    def __init__(self, history: int, horizon: int, num_targets: int) -> None:
        super().__init__()
        self.shape = (horizon, num_targets)
        self.history = history
        self.map = nn.Linear(history * num_targets, horizon * num_targets)
        self.log_scale = nn.Parameter(torch.zeros(horizon, num_targets))

    def inputs(self, batch: Any) -> Tensor:
        """Return the targets of the last steps, the newest last, (B, T C), 0 before the first."""
        steps = batch.lengths[:, None] - self.history + torch.arange(self.history)
        past = batch.x[..., : self.shape[1]]
        taken = past.gather(1, steps.clamp(min=0)[..., None].expand(-1, -1, self.shape[1]))
        return torch.where((steps >= 0)[..., None], taken, 0).flatten(1)

    def forward(self, batch: Any, state: None = None) -> tuple[Any, None]:
        from recur.models.distributions import Gaussian

        loc = self.map(self.inputs(batch)).unflatten(1, self.shape)
        return Gaussian(loc=loc, scale=self.log_scale.exp().expand_as(loc)), state

    def sample(self, batch: Any, num_paths: int, generator: torch.Generator | None = None) -> Tensor:
        drawn: Tensor = self(batch)[0].sample(num_paths, generator=generator)
        return drawn

    @torch.no_grad()
    def fit(self, batch: Any) -> None:
        """Set the weights by least squares, and the spreads by what is left, over windows without gaps."""
        inputs = torch.cat([self.inputs(batch), torch.ones(len(batch.row), 1)], dim=1)
        # In float64 and without the directions that are only rounding.
        found = (torch.linalg.pinv(inputs.double(), rcond=1e-5) @ batch.target.flatten(1).double()).float()
        self.map.weight.copy_(found[:-1].T)
        self.map.bias.copy_(found[-1])
        left = (batch.target.flatten(1) - inputs @ found).unflatten(1, self.shape)
        self.log_scale.copy_(left.std(0).clamp(min=1e-6).log())


def linear_network(options: Any, setup: Any) -> nn.Module:
    """Return the network of a saved linear forecaster, as `TrainedForecaster.load` takes it."""
    return LinearForecaster(options["history"], setup.horizon, len(setup.schema.targets))


@pytest.fixture(scope="session")
def build_linear() -> Callable[..., nn.Module]:
    return linear_network


@pytest.fixture(scope="session")
def linear_forecaster() -> Callable[..., tuple[Any, Any]]:
    """A maker of linear forecasters, fitted to the training part of a panel; returned with the panel's parts."""
    from recur.tasks.forecast.setup import ForecastSetup
    from recur.tasks.forecast.trained import TrainedForecaster

    def make(panel: Any, *, history: int = 8, horizon: int = 3, **options: Any) -> tuple[Any, Any]:
        setup, split = ForecastSetup.fit(panel, history=history, horizon=horizon, **options)
        torch.manual_seed(0)
        network = LinearForecaster(history, horizon, len(setup.schema.targets))
        network.fit(next(iter(setup.windows(split.train, batch_size=10**6))))
        return TrainedForecaster(network, setup, options={"history": history}), split

    return make


@pytest.fixture(scope="session")
def seasonal_table() -> Callable[..., Any]:
    """A maker of tables of hourly series with a season of a day and noise, as dataframes of polars."""
    import polars as pl

    def make(
        steps: int = 400, *, series: int = 1, noise: float = 0.3, seed: int = 0, first: str = "2024-01-01"
    ) -> pl.DataFrame:
        draw = np.random.default_rng(seed)
        time = np.arange(steps)
        parts = [
            pl.DataFrame(
                {
                    "meter": [f"m{number}"] * steps,
                    "hour": np.datetime64(first, "us") + time * np.timedelta64(1, "h"),
                    "load": (number + 1)
                    * (10 + 3 * np.sin(2 * np.pi * time / 24) + noise * draw.standard_normal(steps)),
                }
            )
            for number in range(series)
        ]
        table = pl.concat(parts)
        return table.drop("meter") if series == 1 else table

    return make
