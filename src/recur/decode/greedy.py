"""Greedy search: each row goes on by its likeliest token."""

from __future__ import annotations

from typing import Generic, Literal

import torch
from torch import Tensor

from recur.decode.bans import Bans
from recur.decode.beams import first_largest
from recur.decode.hypothesis import Hypothesis
from recur.decode.looks import Looks
from recur.decode.options import DecodingOptions
from recur.decode.penalties import Scoring
from recur.decode.steps import State, Steps, check_highest, check_shape


class GreedySearch(Generic[State]):
    """One hypothesis a row, which takes the likeliest token each time until it ends.

    It finds what a `Search` with one nested beam does, and as nothing changes places it keeps its books in Python.

    Args:
        steps: What decodes.
        state: Of all rows, before `start`.
        start: The token that each row begins with, (B,) int64.
        end: The token that ends, if one does.
        options: With one beam, and no more patience than 1.
        bans: What may not come next.
        limits: Tokens before the end, at most, of each row; (B,) int64.
        source_lengths: (B,) int64, if given.
        largest_token: Of those that were asked for.
    """

    def __init__(
        self,
        steps: Steps[State],
        state: State,
        start: Tensor,
        *,
        end: int | None,
        options: DecodingOptions,
        bans: Bans,
        limits: Tensor,
        source_lengths: Tensor | None,
        largest_token: int,
    ) -> None:
        self._steps, self._state, self._newest, self._end = steps, state, start, end
        self._options, self._bans, self._source_lengths = options, bans, source_lengths
        self._limits: list[int] = limits.tolist()
        self._largest_token = largest_token
        self._looks = Looks(steps, are_needed=bool(options.coverage_penalty))
        self._num_said = 0
        num = len(start)
        self._open = list(range(num))
        self._tokens: list[list[int]] = [[] for _ in range(num)]
        self._trails: list[list[int]] = [[] for _ in range(num)]
        self._log_probs = [0.0] * num
        self._why: list[Literal["end", "length", "stuck"]] = ["length"] * num

    @property
    def is_open(self) -> bool:
        """Whether a hypothesis is still open."""
        return bool(self._open)

    @torch.no_grad()
    def advance(self) -> None:
        """Take all open hypotheses a token further."""
        log_probs, state = self._steps.step(self._newest, self._state)
        check_shape(log_probs, len(self._open), self._largest_token)
        values, tokens = first_largest(log_probs)
        highest, said = values.tolist(), tokens.tolist()
        # What is no number is the largest of all.
        check_highest(max(highest, key=lambda value: (value != value, value)))
        self._looks.add(state)
        if not all(map(self._allows, self._open, said)):
            values, tokens = first_largest(self._allowed(log_probs))
            highest, said = values.tolist(), tokens.tolist()
        kept = self._go_on(highest, said)
        if 0 < len(kept) < len(tokens):
            chosen = torch.tensor(kept, device=tokens.device)
            tokens, state = tokens[chosen], self._steps.select(state, chosen)
        self._newest, self._state = tokens, state

    def settled(self, row: int) -> list[int]:
        """Return the tokens that a row's hypothesis will begin with, whatever comes."""
        return self._tokens[row]

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return for each row what was found."""
        num = len(self._tokens)
        lengths = [None] * num if self._source_lengths is None else self._source_lengths.tolist()
        device = self._newest.device
        attention = self._looks.along(self._trails)
        coverage = None
        if self._options.coverage_penalty:
            coverage = torch.stack([one.double().sum(0) for one in attention if one is not None])
        scores = Scoring(self._options)(
            torch.tensor(self._log_probs, dtype=torch.float64, device=device),
            torch.tensor([len(said) + (self._end is not None) for said in self._tokens], device=device),
            coverage,
            self._source_lengths,
        )
        return [
            [
                Hypothesis(
                    tokens=tuple(said),
                    log_prob=log_prob,
                    score=-torch.inf if why == "stuck" else score,
                    ended=why,
                    attention=None if looked is None else looked[:, :length],
                )
            ]
            for said, log_prob, score, why, looked, length in zip(
                self._tokens, self._log_probs, scores.tolist(), self._why, attention, lengths, strict=True
            )
        ]

    def _allows(self, row: int, token: int) -> bool:
        is_over = self._is_full(row) and token != self._end
        return not is_over and self._bans.allow(self._tokens[row], token)

    def _is_full(self, row: int) -> bool:
        """Whether a row can only end."""
        return self._end is not None and self._limits[row] == self._num_said

    def _allowed(self, log_probs: Tensor) -> Tensor:
        """Return the log-probabilities with minus infinity for what may not come next."""
        is_full = [self._is_full(row) for row in self._open]
        said = [self._tokens[row] for row in self._open]
        tokens = torch.tensor(said, dtype=torch.int64, device=log_probs.device)
        full = torch.tensor(is_full, device=log_probs.device) if any(is_full) else None
        return self._bans.apply(log_probs, tokens, full)

    def _go_on(self, values: list[float], tokens: list[int]) -> list[int]:
        """Set down what was said, by the open rows, and return the places of those that are still open."""
        kept = []
        num_said = self._num_said
        for place, (row, value, token) in enumerate(zip(self._open, values, tokens, strict=True)):
            if value == -torch.inf:
                self._why[row] = "stuck"
                continue
            self._log_probs[row] += value
            if token == self._end:
                self._why[row] = "length" if self._limits[row] == num_said else "end"
                continue
            self._tokens[row].append(token)
            self._trails[row].append(place)
            # Without an end to say, a row is over as soon as it is full.
            if self._end is not None or self._limits[row] > num_said + 1:
                kept.append(place)
        self._num_said += 1
        self._open = [self._open[place] for place in kept]
        return kept
