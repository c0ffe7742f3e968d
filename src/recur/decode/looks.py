"""Where the steps of a search looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import torch
from torch import Tensor

from recur.decode.steps import State, Steps, attention_told
from recur.errors import OptionError


class Looks(Generic[State]):
    """The attention of every step of every open hypothesis, one after the other, as far as a model tells it.

    Args:
        steps: The model.
        are_needed: Whether the score counts it.
    """

    def __init__(self, steps: Steps[State], *, are_needed: bool) -> None:
        self._told = attention_told(steps)
        self._are_needed = are_needed
        self._steps: list[Tensor] = []

    def add(self, state: State) -> Tensor | None:
        """Return where the newest step looked, (N, S), and keep it; None without attention.

        Raises:
            OptionError: There is none, and the score counts it.
        """
        looked = None if self._told is None else self._told(state)
        if looked is not None:
            self._steps.append(looked)
            return looked
        if self._are_needed:
            raise OptionError(
                "coverage_penalty counts attention, and this model does not tell where it looked. Leave it at 0."
            )
        self._told = None
        return None

    def along(self, trails: Sequence[Sequence[int]]) -> list[Tensor | None]:
        """Return where each hypothesis looked, (T, S) by its T tokens; None without attention.

        Args:
            trails: Of each hypothesis its place among the open ones of each step that led to a token.
        """
        if not self._steps or not trails:
            return [None] * len(trails)
        longest = max(map(len, trails))
        found = self._steps[0].new_zeros(len(trails), longest, self._steps[0].shape[1])
        for number in range(longest):
            rows = [row for row, trail in enumerate(trails) if len(trail) > number]
            places = torch.tensor([trails[row][number] for row in rows], device=found.device)
            found[torch.tensor(rows, device=found.device), number] = self._steps[number][places]
        return [looked[: len(trail)] for looked, trail in zip(found, trails, strict=True)]
