"""The classic tasks of memory: which cells, with the settings of their papers, carry something over many steps.

Each task gives batches of inputs (T, B, I) and judges outputs (T, B, O). A network is one recurrent layer and a linear
output. Training stops when the task is solved, or after `max_steps`.
"""

from __future__ import annotations

import gzip
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recur.nn import GRU, LSTM, RNN, IndRNN

# --- tasks ------------------------------------------------------------------------------------------------------------


class Task(Protocol):
    """One task."""

    name: str
    inputs: int
    outputs: int
    measure: str
    chance: float
    solved: float

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return inputs (T, B, I) and targets."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the training loss of outputs (T, B, O)."""

    def figure(self, output: Tensor, target: Tensor) -> float:
        """Return the figure that the task is judged by; see `measure`."""


@dataclass(frozen=True)
class Adding:
    """Two numbers of a sequence are marked; their sum is wanted at its end (Hochreiter and Schmidhuber 1997, 5.4)."""

    steps: int = 200
    name: str = "adding, 200 steps"
    inputs: int = 2
    outputs: int = 1
    measure: str = "mean squared error"
    chance: float = 1 / 6
    solved: float = 0.01

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return numbers and marks, one in each half, and the sums (B,)."""
        numbers = torch.rand(self.steps, size, generator=generator)
        marks = torch.zeros(self.steps, size)
        half = self.steps // 2
        for low, high in ((0, half), (half, self.steps)):
            marks[torch.randint(low, high, (size,), generator=generator), torch.arange(size)] = 1
        return torch.stack([numbers, marks], 2), (numbers * marks).sum(0)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the squared error at the last step."""
        return (output[-1, :, 0] - target).square().mean()

    def figure(self, output: Tensor, target: Tensor) -> float:
        """Return the same."""
        return float(self.loss(output, target))


@dataclass(frozen=True)
class Copying:
    """Ten symbols are to be said again after a delay (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016)."""

    delay: int = 100
    symbols: int = 8
    length: int = 10
    name: str = "copying, delay 100"
    inputs: int = 10
    outputs: int = 9
    measure: str = "wrong symbols"
    chance: float = 7 / 8
    solved: float = 0.01

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return one-hot inputs, blank 0 and the sign to speak 9, and the targets (T, B)."""
        said = torch.randint(1, self.symbols + 1, (self.length, size), generator=generator)
        total = self.delay + 2 * self.length
        x, y = torch.zeros(total, size, dtype=torch.int64), torch.zeros(total, size, dtype=torch.int64)
        x[: self.length], y[-self.length :] = said, said
        x[self.delay + self.length - 1] = self.symbols + 1
        return nn.functional.one_hot(x, self.inputs).float(), y

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy over all steps."""
        return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())

    def figure(self, output: Tensor, target: Tensor) -> float:
        """Return the share of the ten that is wrong."""
        return float((output[-self.length :].argmax(2) != target[-self.length :]).float().mean())


@dataclass(frozen=True)
class Parity:
    """After each bit, whether the ones so far are odd in number; judged on sequences four times as long."""

    steps: int = 50
    name: str = "parity, 50 steps, judged at 200"
    inputs: int = 1
    outputs: int = 1
    measure: str = "wrong at the last step"
    chance: float = 0.5
    solved: float = 0.01

    def batch(self, size: int, generator: torch.Generator, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """Return bits and their running parity (T, B)."""
        bits = torch.randint(0, 2, (steps or self.steps, size), generator=generator).float()
        return bits[..., None], bits.cumsum(0) % 2

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy over all steps."""
        return nn.functional.binary_cross_entropy_with_logits(output[..., 0], target)

    def figure(self, output: Tensor, target: Tensor) -> float:
        """Return the share that is wrong at the end."""
        return float(((output[-1, :, 0] > 0).float() != target[-1]).float().mean())


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, a row or a pixel a step (Le, Jaitly and Hinton 2015, 4.3); the class at the end."""

    width: int
    name: str
    solved: float
    measure: str = "wrong on the test part"
    outputs: int = 10
    chance: float = 0.9
    images: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def inputs(self) -> int:
        """Pixels of a step."""
        return self.width

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the images (N, 784), from 0 to 1, and the classes (N,) of "train" or "t10k"."""
        if name not in self.images:
            folder = Path(os.environ["RECUR_DATA"]) / "mnist"
            with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
                pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
            with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
                classes = np.frombuffer(file.read(), np.uint8, offset=8)
            self.images[name] = (torch.from_numpy(pixels / np.float32(255)), torch.from_numpy(classes.astype(np.int64)))
        images, labels = self.images[name]
        return images, labels

    def steps_of(self, images: Tensor) -> Tensor:
        """Return images (B, 784) as (T, B, I)."""
        return images.reshape(len(images), -1, self.width).transpose(0, 1).contiguous()

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return random images of the training part and their classes (B,)."""
        images, labels = self.part("train")
        chosen = torch.randint(0, len(images), (size,), generator=generator)
        return self.steps_of(images[chosen]), labels[chosen]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy at the last step."""
        return nn.functional.cross_entropy(output[-1], target)

    def figure(self, output: Tensor, target: Tensor) -> float:
        """Return the share of wrong classes."""
        return float((output[-1].argmax(1) != target).float().mean())


ROWS = Digits(28, "digits by rows", 0.02)
PIXELS = Digits(1, "digits by pixels", 0.04)


# --- networks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A layer and how it is trained."""

    name: str
    layer: Callable[[int], nn.Module]
    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    hidden_size: int = 128
    batch_size: int = 64
    max_steps: int = 4000
    checks: int = 40
    """How often the figure is looked at."""


class Network(nn.Module):
    """A recurrent layer and a linear output."""

    def __init__(self, layer: nn.Module, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.layer, self.output = layer, nn.Linear(hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (T, B, O)."""
        return self.output(self.layer(x)[0])


def _settings(steps: int, max_steps: int) -> list[Setting]:
    """Return the layers that every task is tried with; `steps` is how long something must be kept."""
    size = 128
    bound = 2 ** (1 / steps)

    def indrnn(inputs: int) -> nn.Module:
        layer = IndRNN(inputs, size, num_layers=2)
        # Li et al. 2018, 4.1: units that hold over the whole sequence, none that grows over it by more than 2.
        for name, weight in layer.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.uniform_(weight, 0 if name.endswith("l0") else 0.5 ** (1 / steps), bound)
        return layer

    return [
        Setting("vanilla RNN, tanh", lambda i: RNN(i, size), max_steps=max_steps),
        Setting(
            "IRNN (relu, identity)",
            lambda i: RNN(i, size, nonlinearity="relu", init="identity"),
            learning_rate=1e-4,
            max_steps=max_steps,
        ),
        Setting("IndRNN, 2 layers", indrnn, learning_rate=5e-4, max_steps=max_steps),
        Setting("GRU", lambda i: GRU(i, size), max_steps=max_steps),
        Setting("GRU, chrono", lambda i: GRU(i, size, init="chrono", chrono_steps=steps), max_steps=max_steps),
        Setting("LSTM, forget bias 1", lambda i: LSTM(i, size, forget_bias=1.0), max_steps=max_steps),
        Setting("LSTM, chrono", lambda i: LSTM(i, size, init="chrono", chrono_steps=steps), max_steps=max_steps),
    ]


# --- running ----------------------------------------------------------------------------------------------------------


def run(task: Task, setting: Setting, seed: int = 0) -> dict[str, Any]:
    """Train one network on one task and return what it reached."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network(setting.layer(task.inputs), setting.hidden_size, task.outputs)
    optimizer = torch.optim.Adam(network.parameters(), setting.learning_rate)
    started, figure, best, step = time.perf_counter(), math.nan, math.inf, 0
    every = max(setting.max_steps // setting.checks, 1)
    while step < setting.max_steps:
        x, target = task.batch(setting.batch_size, generator)
        loss = task.loss(network(x), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), setting.clip_norm)
        optimizer.step()
        step += 1
        if step % every == 0 or step == setting.max_steps:
            figure = judge(task, network)
            best = min(best, figure)
            if figure <= task.solved or not math.isfinite(loss.item()):
                break
    return {
        "what": f"{task.name}: {setting.name}",
        "task": task.name,
        "layer": setting.name,
        "repr": repr(network.layer),
        "backend": network.layer.explain(x).backend,  # type: ignore[operator]
        "learning_rate": setting.learning_rate,
        "batch_size": setting.batch_size,
        "measure": task.measure,
        "chance": task.chance,
        "solved_at": task.solved,
        "figure": figure,
        "best": best,
        "is_solved": figure <= task.solved,
        "steps": step,
        "seconds": time.perf_counter() - started,
    }


def judge(task: Task, network: Network) -> float:
    """Return the task's figure on data that was not trained on."""
    network.eval()
    with torch.no_grad():
        if isinstance(task, Digits):
            images, labels = task.part("t10k")
            parts = [(task.steps_of(images[k : k + 1000]), labels[k : k + 1000]) for k in range(0, 10_000, 1000)]
            figure = sum(task.figure(network(x), y) for x, y in parts) / len(parts)
        else:
            generator = torch.Generator().manual_seed(1)
            more = {"steps": 4 * task.steps} if isinstance(task, Parity) else {}
            figure = task.figure(*_answered(network, *task.batch(1000, generator, **more)))
    network.train()
    return figure


def _answered(network: Network, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return network(x), target


def adding() -> Iterator[dict[str, Any]]:
    """Run the adding problem."""
    return (run(Adding(), setting) for setting in _settings(200, 4000))


def copying() -> Iterator[dict[str, Any]]:
    """Run copying."""
    return (run(Copying(), setting) for setting in _settings(120, 6000))


def parity() -> Iterator[dict[str, Any]]:
    """Run parity."""
    return (run(Parity(), setting) for setting in _settings(50, 4000))


def rows() -> Iterator[dict[str, Any]]:
    """Run digits a row a step."""
    return (run(ROWS, setting) for setting in _settings(28, 4000))


def pixels() -> Iterator[dict[str, Any]]:
    """Run digits a pixel a step, which takes hours; what is not made for long memory comes last."""
    settings = {setting.name: setting for setting in _settings(784, 4000)}
    last = [settings.pop(name) for name in ("GRU", "LSTM, forget bias 1")]
    return (run(PIXELS, replace(setting, checks=8)) for setting in (*settings.values(), *last))


def dilated() -> Iterator[dict[str, Any]]:
    """Run the two tasks of Chang et al. (2017) with vanilla RNNs whose layers look back 1, 2, 4, ... steps."""
    for task, num_layers, max_steps, checks in ((Copying(), 8, 10_000, 40), (PIXELS, 9, 4000, 8)):
        dilation = [2**k for k in range(num_layers)]
        yield run(
            task,
            Setting(
                "vanilla RNN, dilated",
                lambda i, dilation=dilation: RNN(i, 32, num_layers=len(dilation), dilation=dilation),
                hidden_size=32,
                max_steps=max_steps,
                checks=checks,
            ),
        )
