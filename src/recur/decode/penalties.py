"""What makes a log-probability a score: penalties on length and on what was not looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recur.decode.options import DecodingOptions, LengthPenalty

_LEAST_COVERAGE = 1e-6


def length_divisor(length: Tensor, penalty: LengthPenalty, exponent: float = 0.6) -> Tensor:
    """Return what log-probabilities of so many tokens are divided by.

    Args:
        length: Any shape: tokens that the log-probability is of, the end among them.
        penalty: `"gnmt"` is ((5 + length) / 6) ** exponent (Wu et al. 2016, equation 14), `"mean"` the length, `"none"`
            one.
        exponent: Of the former.

    Returns:
        Of the shape of `length`, float64, 1 or more, and never less for more tokens.

    Example:
        >>> length_divisor(torch.tensor([1, 7]), "gnmt", 1.0).tolist()
        [1.0, 2.0]
    """
    counted = length.double()
    if penalty == "mean":
        return counted.clamp(min=1)
    return ((5 + counted) / 6) ** exponent if penalty == "gnmt" else torch.ones_like(counted)


def coverage_loss(coverage: Tensor, source_lengths: Tensor | None = None) -> Tensor:
    """Return how badly the source was covered: minus the sum of log(min(coverage, 1)) (Wu et al. 2016, equation 14).

    Args:
        coverage: Attention that each source position had, over all tokens; (N, S) floating point. Less
            than a millionth counts as that, so that a place that was never looked at is no infinite loss.
        source_lengths: (N,) int64; positions past them do not count.

    Returns:
        (N,) float64, 0 where every position had attention of 1 or more.

    Example:
        >>> coverage_loss(torch.tensor([[1.0, 0.5, 0.0], [2.0, 1.0, 1.0]]), torch.tensor([2, 3]))
        tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    loss = -coverage.double().clamp(_LEAST_COVERAGE, 1).log()
    if source_lengths is not None:
        past = torch.arange(coverage.shape[1], device=coverage.device) >= source_lengths[:, None]
        loss = loss.masked_fill(past, 0)
    # The negative of a log of 1 would print as -0.
    return loss.sum(dim=1) + 0.0


@dataclass(frozen=True)
class Scoring:
    """How hypotheses are ranked: log-probability over the length's divisor, less the coverage's loss."""

    options: DecodingOptions

    def of_length(self, log_prob: Tensor, length: Tensor) -> Tensor:
        """Return the score without regard to coverage, (N,) float64; which is also the best that is left.

        Log-probabilities only fall and divisors only grow with each token, and the loss of coverage is never negative.
        So a hypothesis with this log-probability can never score above what this says for the longest that it can get.
        """
        return log_prob / length_divisor(length, self.options.length_penalty, self.options.exponent)

    def __call__(
        self, log_prob: Tensor, length: Tensor, coverage: Tensor | None, source_lengths: Tensor | None
    ) -> Tensor:
        """Return the scores, (N,) float64; the arguments are those of `length_divisor` and `coverage_loss`."""
        score = self.of_length(log_prob, length)
        if self.options.coverage_penalty:
            assert coverage is not None
            score = score - self.options.coverage_penalty * coverage_loss(coverage, source_lengths)
        return score
