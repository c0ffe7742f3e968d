"""The main job in plain PyTorch: what the library is compared with."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WARM = 5
"""Steps at the beginning of each block that are not counted."""


@dataclass(frozen=True)
class Job:
    """Shape of the main job."""

    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 2
    batch_size: int = 64
    window: int = 64
    learning_rate: float = 2e-3


class PlainModel(nn.Module):
    """Embedding, stacked recurrent layer, linear output, as one writes it by hand."""

    def __init__(self, vocabulary_size: int, job: Job) -> None:
        super().__init__()
        cell = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[job.cell]
        self.embedding = nn.Embedding(vocabulary_size, job.hidden_size)
        self.layers = cell(job.hidden_size, job.hidden_size, job.num_layers)
        self.output = nn.Linear(job.hidden_size, vocabulary_size)

    def forward(self, x_TB: Tensor, state: object) -> tuple[Tensor, object]:
        h_TBH, state = self.layers(self.embedding(x_TB), state)
        return self.output(h_TBH), state


class PlainLoop:
    """Truncated back-propagation through time over contiguous streams."""

    def __init__(self, ids: Tensor, vocabulary_size: int, job: Job, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.job = job
        self.model = PlainModel(vocabulary_size, job)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), job.learning_rate, weight_decay=0.01, fused=True)
        length = (len(ids) - 1) // job.batch_size
        used = job.batch_size * length
        self.x_TB = ids[:used].view(job.batch_size, length).t().contiguous()
        self.y_TB = ids[1 : used + 1].view(job.batch_size, length).t().contiguous()
        self.at = 0
        self.state: object = None

    def step(self) -> float:
        """Train on one window and return its loss."""
        if self.at >= len(self.x_TB):
            self.at, self.state = 0, None
        window = slice(self.at, self.at + self.job.window)
        self.at += self.job.window
        logits, state = self.model(self.x_TB[window], self.state)
        self.state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()  # type: ignore[attr-defined]
        loss = functional.cross_entropy(logits.flatten(0, 1), self.y_TB[window].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def encode(text: str) -> tuple[Tensor, int]:
    """Return the characters' numbers, (N,) int64, and how many symbols there are."""
    symbols, ids = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)
    return torch.from_numpy(ids.astype(np.int64)), len(symbols)


def main() -> None:
    """Train for so many steps, more than `WARM`: `python plain.py TEXT STEPS CELL`, what one would write instead."""
    path, steps, cell = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ids, size = encode(Path(path).read_text(encoding="utf-8"))
    cut = int(len(ids) * 0.9)
    loop = PlainLoop(ids[:cut], size, Job(cell=cell))
    stamps = [time.perf_counter()]
    for number in range(steps):
        loss = loop.step()
        stamps.append(time.perf_counter())
        if number % 100 == 0:
            print(number, loss, stamps[-1] - stamps[0], flush=True)
    torch.save(loop.model.state_dict(), "/dev/null")
    # The last line: a step after the first ones, in ms.
    print((stamps[-1] - stamps[WARM]) / (steps - WARM) * 1e3)


if __name__ == "__main__":
    main()
