"""Models that are tables of random numbers, and what is said of their sequences without any search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from recur.decode import Hypothesis


class Tables:
    """A model whose next token depends on all tokens before it, by the row of a table that they lead to.

    Its state is (N,) int64, the number of that row.
    """

    def __init__(self, seed: int, vocabulary: int = 4, *, sharpness: float = 1.5, size: int = 1009) -> None:
        draw = torch.Generator().manual_seed(seed)
        logits = torch.randn(size, vocabulary, generator=draw, dtype=torch.float64) * sharpness
        self.table = logits.log_softmax(dim=1)
        self.size = size
        self.rows_computed = 0

    def start(self, num: int) -> Tensor:
        return torch.arange(num) * 389 % self.size

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        assert tokens.shape == state.shape
        self.rows_computed += len(tokens)
        after = (state * 31 + tokens * 17 + 5) % self.size
        return self.table[after], after

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


class AttentiveTables(Tables):
    """Which also looks at a source of S places, of which each row of a batch has one less than the row before it."""

    def __init__(self, seed: int, vocabulary: int = 4, *, places: int = 4, **options: Any) -> None:
        super().__init__(seed, vocabulary, **options)
        self.logits = torch.randn(self.size, places, generator=torch.Generator().manual_seed(seed + 1)).double() * 2
        self.places = places

    def attention(self, state: Tensor) -> Tensor:
        return self.logits[state].softmax(dim=1)


def forced(model: Any, state: Any, start: int, tokens: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Return what the model says after each beginning of the tokens, (V,) each, and where it looked, (S,) each."""
    said, looked = [], []
    for token in (start, *tokens):
        log_probs, state = model.step(torch.tensor([token]), state)
        said.append(log_probs[0])
        if hasattr(model, "attention"):
            looked.append(model.attention(state)[0])
    return said, looked


def log_prob_of(said: Sequence[Tensor], tokens: Sequence[int], end: int | None) -> float:
    """Return the log-probability of tokens, and of the end after them if there is one."""
    wanted = [*tokens, *([] if end is None else [end])]
    return math.fsum(float(log_probs[token]) for log_probs, token in zip(said, wanted, strict=False))


def score_of(
    log_prob: float,
    length: int,
    penalty: str,
    exponent: float = 0.6,
    beta: float = 0.0,
    coverage: Sequence[float] = (),
) -> float:
    """Return the score by the formulas as they stand in the paper."""
    divisor = {"none": 1.0, "mean": float(length), "gnmt": ((5 + length) / (5 + 1)) ** exponent}[penalty]
    return log_prob / divisor + beta * math.fsum(math.log(max(min(share, 1.0), 1e-6)) for share in coverage)


def all_sequences(vocabulary: int, end: int, most: int) -> Iterator[tuple[int, ...]]:
    """Return every sequence of up to so many tokens other than the end."""
    others = [token for token in range(vocabulary) if token != end]
    for length in range(most + 1):
        yield from itertools.product(others, repeat=length)


def greedy(model: Any, state: Any, start: int, end: int | None, most: int) -> tuple[int, ...]:
    """Return what is said when the likeliest token is taken, one after the other."""
    tokens: list[int] = []
    newest = start
    while len(tokens) < most:
        log_probs, state = model.step(torch.tensor([newest]), state)
        newest = int(log_probs[0].argmax())
        if newest == end:
            break
        tokens.append(newest)
    return tuple(tokens)


def brief(hypotheses: Sequence[Hypothesis]) -> list[tuple[tuple[int, ...], float, str]]:
    """Return what hypotheses say, for comparison."""
    return [(one.tokens, round(one.score, 10), one.ended) for one in hypotheses]
