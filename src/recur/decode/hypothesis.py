"""An answer of the decoder: its tokens, what they score, where they looked, why they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One sequence that was decoded.

    Example:
        >>> Hypothesis(tokens=(5, 2), log_prob=-1.5, score=-0.5, ended="end").tokens
        (5, 2)
    """

    tokens: tuple[int, ...]
    """The tokens, without the start and without the end."""

    log_prob: float
    """The model's log-probability of the tokens, and of the end after them where it ended so."""

    score: float
    """What it was ranked by: the log-probability after the penalties on length and coverage. Minus infinity where it
    is stuck."""

    ended: Literal["end", "length", "stuck"]
    """`"end"`: the model said so. `"length"`: it had its maximum length, and only the end, where there is one, was left
    to say. `"stuck"`: all that could follow was forbidden or had no probability; told only where nothing better is."""

    attention: Tensor | None = field(default=None, compare=False)
    """Where each token looked, (T, S) with S the source's own length; None where the model does not tell."""

    missing: tuple[int, ...] = ()
    """Which of the row's required phrases, by their place in the list, it does not hold."""
