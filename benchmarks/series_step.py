"""A training step of a small network for series: through the loop of `recur train`, and through a plain one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from recur.data.series import Panel, Part, SeriesBatch, Windows
from recur.measure.timing import compared, in_turns, seconds, spread
from recur.nn import GRU
from recur.run import FORMAT, RunFolder
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import EndlessBatches, Judged
from recur.train.loop import run_job
from recur.train.options import SeriesTrainingOptions

WARM = 50


@dataclass(frozen=True)
class Work:
    """What is trained."""

    hidden_size: int = 64
    batch_size: int = 32
    history: int = 48
    horizon: int = 24


class Network(nn.Module):
    """A GRU whose last state tells the next steps."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.layer = GRU(1, work.hidden_size, batch_first=True)
        self.head = nn.Linear(work.hidden_size, work.horizon)

    def loss(self, batch: SeriesBatch) -> Tensor:
        output, _ = self.layer(batch.x)
        told = self.head(output[:, -1])[..., None]
        return (batch.weight * (told - batch.target) ** 2).mean()


def step(*, blocks: int, steps: int) -> Iterator[dict[str, Any]]:
    """Time a step, everything that happens between two batches counted in, and the making of a batch alone."""
    work = Work()
    checked = verify(work)
    windows = batches(work)

    def ours() -> float:
        times = trained(work, windows, WARM + steps)[1][WARM:]
        return (times[-1] - times[0]) / (len(times) - 1) * 1e3

    def peer() -> float:
        loop = plain(work, windows)
        for _ in range(WARM):
            next(loop)
        return seconds(lambda: [next(loop) for _ in range(steps)]) / steps * 1e3

    figures = compared(*in_turns(ours, peer, repeats=blocks), "ms per step")
    common = {"work": asdict(work), "checked": checked}
    yield {"what": "training step of series", **common, "peer_name": "plain PyTorch, same batches", **figures}
    endless = iter(EndlessBatches(batches(work), 0))
    made = [seconds(lambda: list(islice(endless, steps))) / steps * 1e3 for _ in range(blocks)]
    yield {"what": "making a batch of series", **common, "unit": "ms", "ours": spread(made)}


def batches(work: Work) -> Windows:
    """Return shuffled windows of eight noisy sines."""
    draw = np.random.default_rng(0)
    rows = 2000
    values = np.sin(np.arange(8 * rows) / 7) + 0.1 * draw.standard_normal(8 * rows)
    part = Part.whole(Panel.of_rows([str(number) for number in range(8)], [rows] * 8, values[:, None]))
    return Windows(part, history=work.history, horizon=work.horizon, batch_size=work.batch_size, seed=0)


def verify(work: Work) -> dict[str, Any]:
    """Check that both loops come to the same weights, and return which back end ran."""
    found, _ = trained(work, batches(work), 10)
    torch.manual_seed(0)
    network = Network(work)
    for _ in islice(plain(work, batches(work), network), 10):
        pass
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5, msg=name)
    x = torch.zeros(work.batch_size, work.history, 1)
    return {"weights": "equal to 1e-5 after ten steps", "backend": network.layer.explain(x).backend}


def trained(work: Work, windows: Windows, steps: int) -> tuple[dict[str, Tensor], list[float]]:
    """Train by the loop of recur, and return the weights and the times in seconds at which batches were asked for."""
    times: list[float] = []
    training = SeriesTrainingOptions(
        max_steps=steps,
        batch_size=work.batch_size,
        learning_rate=1e-3,
        warmup_steps=0,
        final_learning_rate=1.0,
        clip_norm=1.0,
        validate_every=10**9,
        no_report=True,
    )
    run = RunFolder.create(Path(tempfile.mkdtemp()) / "run")
    run.write_json("config.json", {"format": FORMAT, "task": "series", "training": asdict(training)})
    job = ExamplesJob(
        run=run,
        training=training,
        build=lambda: Network(work),
        batches=windows,
        judge=lambda network: Judged(loss=0.0),
        judge_best=lambda display: None,
    )
    with stamped(times):
        run_job(job, Display(Console(quiet=True)), resume=False)
    return run.load_weights(), times


@contextmanager
def stamped(times: list[float], clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """Note the time at which each batch is asked for."""
    hand_out: Callable[[EndlessBatches], Iterator[Any]] = EndlessBatches.__iter__

    def noted(self: EndlessBatches) -> Iterator[Any]:
        for batch in hand_out(self):
            times.append(clock())
            yield batch

    EndlessBatches.__iter__ = noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        EndlessBatches.__iter__ = hand_out  # type: ignore[method-assign]


def plain(work: Work, windows: Windows, network: Network | None = None) -> Iterator[float]:
    """Train by a loop as one would write it, a step each time that its loss is asked for."""
    network = network or Network(work)
    matrices = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
    for batch in EndlessBatches(windows, 0):
        loss = network.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        yield float(loss.detach())
