"""Drawing tokens from logits: temperature, top-k, nucleus."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.errors import OptionError
from recur.kinds import is_number

_LOWEST_TEMPERATURE = 1e-30
"""Below it float32 has no inverse of a temperature."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn from a row of logits.

    Raises:
        OptionError: A value is out of range.
    """

    temperature: float = 1.0
    """Logits are divided by it; below 1 is more careful, above 1 more daring, 0 always takes the likeliest token."""

    top_k: int | None = None
    """Draw among the k likeliest tokens only (Fan et al. 2018)."""

    top_p: float | None = None
    """Draw among the likeliest tokens that together have this probability (nucleus; Holtzman et al. 2020)."""

    def __post_init__(self) -> None:
        if not (is_number(self.temperature) and 0 <= self.temperature < float("inf")):
            raise OptionError(f"temperature must be a number from 0 on, not {self.temperature!r}.")
        if self.top_k is not None and not (is_number(self.top_k) and self.top_k >= 1 and self.top_k % 1 == 0):
            raise OptionError(f"top_k must be a whole number from 1 on, not {self.top_k!r}.")
        if self.top_p is not None and not (is_number(self.top_p) and 0 < self.top_p <= 1):
            raise OptionError(f"top_p must be a number above 0 and at most 1, not {self.top_p!r}.")

    def draw(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one token for each row.

        Args:
            logits: (B, V) floating point; minus infinity forbids a token.
            generator: Where the random numbers come from; None is torch's own.

        Returns:
            Tokens, (B,) int64. Of equal logits the lower token counts as the likelier.
        """
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        # The random numbers of 16 bits include zero, and 0 / 0 would win every race.
        scores = logits.float() if logits.dtype.itemsize < 4 else logits
        if self.temperature != 1:
            # Relative to the largest, so that a tiny temperature leads to minus infinity, never to infinity or 0 / 0.
            scores = (scores - scores.amax(dim=-1, keepdim=True)) / max(self.temperature, _LOWEST_TEMPERATURE)
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            # Sorted and not compared with the k-th logit, which others may equal.
            others = scores.sort(dim=-1, descending=True, stable=True).indices[:, int(self.top_k) :]
            scores = scores.scatter(-1, others, -torch.inf)
        if self.top_p is not None and self.top_p < 1:
            scores = _nucleus(scores, self.top_p)
        # The exponential race: argmax of p_i / E_i with E_i ~ Exp(1) is a draw from p.
        noise = torch.empty_like(scores).exponential_(generator=generator)
        return (torch.softmax(scores, dim=-1) / noise).argmax(dim=-1)


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    probability = torch.softmax(ordered, dim=-1)
    # A token is kept while the mass before it is below top_p.
    dropped = probability.cumsum(dim=-1) - probability >= top_p
    # The likeliest always is, even where top_p rounds to zero.
    dropped[:, 0] = False
    return scores.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), -torch.inf)
