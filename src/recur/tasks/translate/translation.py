"""What a translator wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A text that was written from another.

    Attributes:
        text: What was written.
        tokens: Its tokens.
        source_tokens: Those of what was read.
        score: What it was ranked by.
        log_prob: The model's log-probability of the tokens and the end, in nats.
        ended: As of `recur.decode.Hypothesis`; "length" where it was cut off.
        attention: Where each token looked, (tokens, source_tokens); None where the model does not look.
    """

    text: str
    tokens: tuple[str, ...]
    source_tokens: tuple[str, ...]
    score: float
    log_prob: float
    ended: Literal["end", "length", "stuck"]
    attention: Tensor | None = field(default=None, compare=False, repr=False)
