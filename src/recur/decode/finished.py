"""The hypotheses that have ended, row by row: what the best of them score, and which are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recur.decode.constraints import Phrase
from recur.decode.phrases import holds


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A hypothesis that has ended."""

    group: int
    tokens: tuple[int, ...]
    log_prob: float
    score: float
    why: Literal["end", "length", "stuck"]
    trail: tuple[int, ...]
    missing: tuple[int, ...]

    @property
    def rank(self) -> tuple[bool, int, float]:
        """What it is sorted by, the best first: complete, holding what is required, score."""
        return self.why == "stuck", len(self.missing), -self.score


class Finished:
    """What has ended in each row.

    Args:
        required: The phrases that each row requires.
        groups: Groups of beams of a row; each has its own share of what is told.
        width: Slots of a group.
        num_best: Hypotheses told of each group.
        device: Where the search computes.
    """

    def __init__(
        self, required: Sequence[tuple[Phrase, ...]], groups: int, width: int, num_best: int, device: torch.device
    ) -> None:
        self._required = required
        self._rows: list[list[Ended]] = [[] for _ in required]
        num = len(required) * groups
        self.counts = torch.zeros(num, width, dtype=torch.int64, device=device)
        """How many ended at each slot of each group of each row, (B * groups, width) int64."""

        self.is_empty = True
        """Whether none has ended but those that were stuck."""

        self.best = torch.full((num, num_best), -torch.inf, dtype=torch.float64, device=device)
        """What the best complete ones score that hold all that is required, (B * groups, num_best), best first."""

    def add(
        self,
        why: Literal["end", "length", "stuck"],
        *,
        row: Tensor,
        group: Tensor,
        slot: Tensor,
        tokens: Tensor,
        trail: Tensor,
        log_prob: Tensor,
        score: Tensor,
    ) -> None:
        """Add E hypotheses that end at one step, for the same reason.

        Args:
            why: The reason.
            row: (E,) int64.
            group: Its group in the row, (E,) int64.
            slot: Its slot in the group, (E,) int64; no two of a group have the same.
            tokens: (E, T) int64.
            trail: (E, T) int64, as of `Beams`.
            log_prob: (E,) float64.
            score: (E,) float64.
        """
        is_complete = []
        told = zip(*(part.tolist() for part in (row, group, tokens, log_prob, score, trail)), strict=True)
        for at, of_group, said, how_likely, worth, way in told:
            missing = tuple(n for n, phrase in enumerate(self._required[at]) if not holds(said, phrase))
            is_complete.append(not missing)
            ended = Ended(
                group=of_group,
                tokens=tuple(said),
                log_prob=how_likely,
                score=worth,
                why=why,
                trail=tuple(way),
                missing=missing,
            )
            self._rows[at].append(ended)
        if why == "stuck":
            return
        self.is_empty = False
        unit = row * (len(self.counts) // len(self._rows)) + group
        self.counts[unit, slot] += 1
        new = torch.full_like(self.counts, -torch.inf, dtype=torch.float64)
        new[unit, slot] = score.masked_fill(~torch.tensor(is_complete, device=score.device), -torch.inf)
        self.best = torch.cat([self.best, new], dim=1).topk(self.best.shape[1], dim=1).values

    def leader(self, row: int) -> tuple[int, ...] | None:
        """Return the tokens of a row's best so far; None where nothing has ended."""
        ended = self._rows[row]
        return min(ended, key=lambda one: one.rank).tokens if ended else None

    def told(self, row: int) -> list[Ended]:
        """Return what is told of a row, best first."""
        ended = sorted(self._rows[row], key=lambda one: one.rank)
        chosen: list[Ended] = []
        for group in sorted({one.group for one in ended}):
            # Groups may come to the same.
            said = {one.tokens for one in chosen}
            new = [one for one in ended if one.group == group and one.tokens not in said]
            chosen += new[: self.best.shape[1]]
        chosen.sort(key=lambda one: one.rank)
        return [one for one in chosen if one.why != "stuck" or chosen[0].why == "stuck"]
