"""Whether a model is better than a rule by more than noise, and how that is said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from recur.models.distributions import StudentT
from recur.wording import enumerated

_CLEARLY_LESS = 0.05

SURE = 0.05
"""A difference with a smaller p-value is taken for more than noise."""


@dataclass(frozen=True, kw_only=True)
class MeanTest:
    """A test of whether a series of differences has the mean zero.

    Attributes:
        statistic: Student's t.
        degrees: Its degrees of freedom.
        p: Probability of so large a statistic, of either sign, where the mean is zero.
    """

    statistic: float
    degrees: int
    p: float


def mean_test(differences: NDArray[np.float64], overlap: int = 1) -> MeanTest | None:
    """Return whether the mean of differences in the order of time is told from zero.

    The test of Diebold & Mariano (1995) of equal accuracy. Forecasts of several steps overlap, so that neighbouring
    differences hang together; the variance of their mean is estimated from the cosines of lowest frequency, as many as
    0.4 n^(2/3) of n differences, and with it the statistic has Student's distribution with that number of degrees of
    freedom (Lazarus, Lewis, Stock & Watson 2018, "HAR inference: recommendations for practice", section 3). No cosine
    is taken whose half turn is shorter than an overlap, for it would not see how neighbours hang together. Differences
    that are all alike say nothing of how they differ: of these it is the sign test of as many as there are degrees.

    Args:
        differences: One for each origin, (n,).
        overlap: Neighbouring origins whose forecasts share a step.

    Returns:
        The test; None where the differences are too few to tell.
    """
    num = len(differences)
    degrees = min(math.floor(0.4 * num ** (2 / 3)), num // max(overlap, 1))
    if degrees < 1:
        return None
    mean = float(differences.mean())
    phase = math.pi * (np.arange(num) + 0.5) / num
    power = [float(np.cos(place * phase) @ (differences - mean)) ** 2 for place in range(1, degrees + 1)]
    test = _of_mean(mean, variance=2 / num**2 * sum(power) / degrees, degrees=degrees)
    return None if test is None else _by_sign_where_alike(test, degrees)


def grouped_test(differences: NDArray[np.float64], group: NDArray[np.int64]) -> MeanTest | None:
    """Return whether the mean of differences is told from zero where those of one group hang together.

    The variance of the mean is that of the sums over groups, which are independent of each other (Liang & Zeger 1986),
    and the statistic has Student's distribution with one degree of freedom less than there are groups; with groups of
    one it is the paired t test.

    Args:
        differences: (n,).
        group: Of each, such as its series, (n,).

    Returns:
        The test; None where there are fewer than two groups.
    """
    numbers, place = np.unique(group, return_inverse=True)
    num = len(numbers)
    if num < 2:
        return None
    mean = float(differences.mean())
    sums = np.bincount(place, weights=differences - mean, minlength=num)
    test = _of_mean(mean, variance=num / (num - 1) * float(sums @ sums) / len(differences) ** 2, degrees=num - 1)
    return None if test is None else _by_sign_where_alike(test, num)


def sign_test(better: int, worse: int) -> float:
    """Return how likely at least so uneven a count of two kinds is where both are as likely: the exact sign test.

    Of two classifiers, told by the labels that one alone has right, it is the test of McNemar (1947).

    Args:
        better: How many are of the one kind.
        worse: How many are of the other.

    Example:
        >>> round(sign_test(5, 0), 6), sign_test(2, 2)
        (0.0625, 1.0)
    """
    num, few = better + worse, min(better, worse)
    kinds = torch.arange(few + 1, dtype=torch.float64)
    whole = torch.tensor(num + 1, dtype=torch.float64)
    logs = whole.lgamma() - (kinds + 1).lgamma() - (num - kinds + 1).lgamma() - num * math.log(2)
    return min(1.0, 2 * float(logs.exp().sum()))


def doubt(p: float | None, few: str) -> str:
    """Return in words whether a difference is more than noise.

    Args:
        p: As of a test; None where there was too little to tell.
        few: Of what there was too little.
    """
    if p is None:
        return f"too few {few} to tell this from noise"
    said = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    return f"{'more' if p < SURE else 'no more'} than noise, {said}"


def short_intervals(held: Mapping[float, float | None], few: str) -> str | None:
    """Return a note where intervals held clearly less than they should, or None.

    Args:
        held: The share that those of each coverage held; None where there were none.
        few: Of what there may have been too little to calibrate them by.
    """
    short = {asked: found for asked, found in held.items() if found is not None and found < asked - _CLEARLY_LESS}
    if not short:
        return None
    said = enumerated([f"those of {asked:.0%} {found:.1%}" for asked, found in short.items()])
    return (
        f"the intervals hold clearly less than they say: {said}. The {few} that they were calibrated by were few, or "
        "the series have changed since."
    )


def _by_sign_where_alike(test: MeanTest, num_apart: int) -> MeanTest:
    """Return a test by the sign alone where differences are all alike, which say nothing of how they differ."""
    return replace(test, p=sign_test(num_apart, 0)) if math.isinf(test.statistic) else test


def _of_mean(mean: float, variance: float, degrees: int) -> MeanTest | None:
    """Return the test of a mean, by its variance."""
    if not math.isfinite(variance):
        return None
    # What is left of differences that are all alike is rounding.
    if variance <= (1e-12 * mean) ** 2:
        return MeanTest(statistic=math.copysign(math.inf, mean) if mean else 0.0, degrees=degrees, p=float(not mean))
    statistic = mean / math.sqrt(variance)
    standard = (torch.tensor([value], dtype=torch.float64) for value in (degrees, 0.0, 1.0))
    df, loc, scale = standard
    tail = StudentT(df=df, loc=loc, scale=scale).cdf(torch.tensor([-abs(statistic)], dtype=torch.float64))
    return MeanTest(statistic=statistic, degrees=degrees, p=2 * float(tail))
