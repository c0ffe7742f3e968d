"""Whether a model is better than a rule by more than noise, and how that is said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from recur.models.distributions import StudentT
from recur.wording import enumerated, sentence

_CLEARLY_LESS = 0.05

SURE = 0.05
"""A difference with a smaller p-value is taken for more than noise."""

_FEWEST_SIGNS = 6
"""Of fewer signs that are all the same the p-value is not below `SURE`."""

COVERAGE = 0.95
"""How often the interval of a difference is to hold it."""

_NUM_ANEW = 1000
"""Times that units are drawn anew to see how far a figure is a matter of luck."""

_MOST_EXCHANGED = 12
_NUM_DRAWN = 2**13
"""Exchanges that are drawn where there are too many to go through all."""


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


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How far the figure of one contestant is above that of another.

    Attributes:
        value: The difference.
        lower: Where the interval begins that holds it with a probability of 95%.
        upper: Where it ends.
        p: Probability of so large a difference, of either sign, where there is none.
    """

    value: float
    lower: float
    upper: float
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
    if test is None or not math.isinf(test.statistic):
        return test
    return replace(test, p=sign_test(degrees, 0))


def grouped_test(differences: NDArray[np.float64], group: NDArray[np.int64]) -> MeanTest | None:
    """Return whether the mean of differences is told from zero where those of one group hang together.

    The variance of the mean is that of the sums over groups, which are independent of each other (Liang & Zeger 1986),
    and the statistic has Student's distribution with one degree of freedom less than there are groups; with groups of
    one it is the paired t test. Of fewer than six groups nobody knows whether their sums are normal, and two that
    happen to be nearly alike would seem to prove much; so there, as where all differences are alike, p is not below
    that of the sign test of the sums.

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
    if test is None or (num >= _FEWEST_SIGNS and not math.isinf(test.statistic)):
        return test
    plain = np.bincount(place, weights=differences, minlength=num)
    return replace(test, p=max(test.p, sign_test(int((plain > 0).sum()), int((plain < 0).sum()))))


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


def exchange_test(
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> float | None:
    """Return how likely so large a difference of a figure is where two contestants differ by chance alone.

    The figure, such as F1, is of sums over units that are independent of each other. If neither contestant is better,
    what they got in a unit could as well be exchanged, so the difference is compared with those after exchanges
    (approximate randomization, Noreen 1989; Yeh 2000, "More accurate tests for the statistical significance of result
    differences"): all of them where the contestants differ in twelve units at most, else 8,192, drawn by a fixed seed.

    Args:
        own: What one of them got in each unit, (N, K).
        other: What the other one got, (N, K).
        figure: Of sums over units, (S, K), the figure of each, (S,).

    Returns:
        The p-value, of either sign; None where they differ in fewer than six units, of which it could not be small.
    """
    is_other = (own != other).any(1)
    num = int(is_other.sum())
    if num < _FEWEST_SIGNS:
        return None
    if num <= _MOST_EXCHANGED:
        kept = (np.arange(2**num)[:, None] >> np.arange(num)) & 1
    else:
        kept = np.random.default_rng(0).integers(0, 2, (_NUM_DRAWN, num))
        # What came is one of them.
        kept[0] = 1
    same = own[~is_other].sum(0)
    ours, theirs = own[is_other], other[is_other]
    first, second = (same + some @ ours + (1 - some) @ theirs for some in (kept, 1 - kept))
    away = np.abs(figure(first) - figure(second))
    came = np.abs(figure(own.sum(0)[None]) - figure(other.sum(0)[None]))
    return float((away >= came - 1e-12).mean())


def bootstrap_gain(
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Gain:
    """Return how far a figure of one contestant is above that of another, and how sure that is: the bootstrap.

    The figure, such as F1 or BLEU, is of sums over units that are independent of each other. Units are drawn anew with
    replacement a thousand times, by a fixed seed, the same for both. The interval is between the percentiles of the
    differences so found (Koehn 2004, "Statistical significance tests for machine translation evaluation"); less their
    mean they are how it varies by luck alone (Efron & Tibshirani 1993, section 16.4). As drawing a few units anew says
    little, p is not below that of the sign test of all units in which the contestants differ, and the interval of what
    may be noise is widened to hold zero. Nor is p below twice the share of draws that are on the other side of zero,
    or on it, by which an interval between percentiles holds zero (section 15.4 of the same): of skewed differences one
    would say what the other denies.

    Args:
        own: What one of them got in each unit, (N, K).
        other: What the other one got, (N, K).
        figure: Of sums over units, (S, K), the figure of each, (S,).

    Example:
        >>> import numpy as np
        >>> right, wrong = np.ones((40, 1)), np.zeros((40, 1))
        >>> gain = bootstrap_gain(right, wrong, lambda sums: sums[:, 0] / 40)
        >>> gain.value, gain.lower, round(gain.p, 3)
        (1.0, 1.0, 0.001)
    """
    random = torch.Generator().manual_seed(0)
    num, width = own.shape
    columns = torch.from_numpy(np.concatenate([own, other], 1))
    drawn = []
    for first in range(0, _NUM_ANEW, 100):
        chosen = torch.randint(num, (min(100, _NUM_ANEW - first), num), generator=random)
        times = torch.zeros(len(chosen), num).scatter_add_(1, chosen, torch.ones(chosen.shape))
        drawn.append((times.double() @ columns).numpy())
    sums = np.concatenate(drawn)
    gains = figure(sums[:, :width]) - figure(sums[:, width:])
    value = float((figure(own.sum(0)[None]) - figure(other.sum(0)[None]))[0])
    lower, upper = np.quantile(gains, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]).tolist()
    by_luck = int((np.abs(gains - gains.mean()) >= abs(value)).sum())
    not_above, not_below = (int((side * gains <= 1e-12).sum()) for side in (1, -1))
    least = sign_test(int((own != other).any(1).sum()), 0)
    p = min(1.0, max((by_luck + 1) / (_NUM_ANEW + 1), 2 * min(not_above, not_below) / _NUM_ANEW, least))
    if p >= SURE:
        lower, upper = min(lower, 0.0), max(upper, 0.0)
    return Gain(value=value, lower=lower, upper=upper, p=p)


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


def verdict(said: str, gain: float, *, is_sure: bool, rule: str = "rule") -> str:
    """Return what was found as a sentence, which begins with it where the model does not beat the rule.

    Args:
        said: What was found, without a full stop.
        gain: How much better the model's figure is, in any unit; below 0 where it is worse.
        is_sure: Whether the difference is more than noise.
        rule: What the rule is called.
    """
    if gain == 0:
        return f"The model is NOT better than the {rule}, but as good: {said}."
    # Neither is a gain that is no number.
    if not gain > 0:
        return f"The model does NOT beat the {rule}: {said}."
    if not is_sure:
        return f"It is NOT shown that the model beats the {rule}: {said}."
    return sentence(f"{said}.")


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
