"""Random lengths of windows, so that each step is sometimes far from the beginning of one."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from recur.kinds import is_number, is_whole

_SHARE_OF_DEVIATION = 14
"""Merity et al. take a standard deviation, and a least length, of 5 where the typical length is 70."""


_MOST_DEVIATION = 1e15
"""Above it, lengths are no longer whole numbers that a float64 or an int64 holds."""


@dataclass(frozen=True)
class WindowLengths:
    """The law of random window lengths (Merity et al. 2018, section 4.1).

    With windows of one length the same steps are the first ones of a window each time that the sequence is read, and
    never have anything to propagate back to. Here a length is drawn from a normal distribution around `typical`, or
    now and then around half of it, rounded and brought between `least` and `most`.

    Args:
        typical: Length around which most windows are drawn.
        deviation: Standard deviation in steps; a 14th of `typical` by default, the paper's 5 for 70.
        half_probability: Probability that a window is drawn around typical / 2.
        least: Shortest length; a 14th of `typical` by default, at least 1.
        most: Longest length; `typical` and 4 deviations by default.

    Raises:
        ValueError: A value is out of range.

    Example:
        >>> lengths = WindowLengths(70).partition(1000, torch.Generator().manual_seed(0))
        >>> len(lengths), sum(lengths)
        (15, 1000)
    """

    typical: int
    _: KW_ONLY
    deviation: float | None = None
    half_probability: float = 0.05
    least: int | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        for name in ("typical", "least", "most"):
            value = getattr(self, name)
            if not is_whole(value, 1) and (name == "typical" or value is not None):
                raise ValueError(f"WindowLengths: {name} must be a whole number from 1 on, not {value!r}.")
        if self.deviation is not None and not (is_number(self.deviation) and 0 <= self.deviation <= _MOST_DEVIATION):
            raise ValueError(
                f"WindowLengths: deviation must be a number of steps from 0 to {_MOST_DEVIATION:g}, not "
                f"{self.deviation!r}."
            )
        if not (is_number(self.half_probability) and 0 <= self.half_probability <= 1):
            raise ValueError(
                f"WindowLengths: half_probability must be a number from 0 to 1, not {self.half_probability!r}."
            )
        if not self.shortest <= self.typical <= self.longest:
            raise ValueError(
                f"WindowLengths: typical is {self.typical}, but must be from least to most, {self.shortest} to "
                f"{self.longest}."
            )

    @property
    def spread(self) -> float:
        """Standard deviation of the lengths around what they are drawn around, in steps."""
        return self.typical / _SHARE_OF_DEVIATION if self.deviation is None else float(self.deviation)

    @property
    def shortest(self) -> int:
        """Length that no drawn one is below."""
        return max(self.typical // _SHARE_OF_DEVIATION, 1) if self.least is None else self.least

    @property
    def longest(self) -> int:
        """Length that no window is above."""
        return round(self.typical + 4 * self.spread) if self.most is None else self.most

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return `count` lengths, each drawn by itself, (count,) int64.

        Args:
            count: How many, from 0 on.
            generator: On the CPU; torch's own when it is None.

        Raises:
            ValueError: `count` is below 0, or no whole number.
        """
        if not is_whole(count, 0):
            raise ValueError(f"WindowLengths: count must be a whole number from 0 on, not {count!r}.")
        is_half = torch.rand(count, generator=generator, dtype=torch.float64) < self.half_probability
        center = torch.where(is_half, self.typical / 2, float(self.typical))
        drawn = center + self.spread * torch.randn(count, generator=generator, dtype=torch.float64)
        return drawn.round().to(torch.int64).clamp(self.shortest, self.longest)

    def count(self, num_steps: int) -> int:
        """Return into how many windows `partition` cuts `num_steps` steps, whatever is drawn."""
        mean = self.typical * (1 - self.half_probability / 2)
        # Where the bounds contradict each other, no window is too long, and the last ones are too short.
        return max(min(round(num_steps / mean), num_steps // self.shortest), -(-num_steps // self.longest))

    def partition(self, num_steps: int, generator: torch.Generator | None = None) -> list[int]:
        """Return lengths of windows that together have `num_steps` steps; none is longer than `most`.

        So many lengths are drawn as have `num_steps` steps in the mean. What they have too many or too few is taken
        from, or given to, randomly chosen ones, a step at a time.

        Args:
            num_steps: Steps to cut, at least 1.
            generator: On the CPU; torch's own when it is None.

        Raises:
            ValueError: There are no steps.
        """
        if not is_whole(num_steps, 1):
            raise ValueError(f"WindowLengths: num_steps must be a whole number from 1 on, not {num_steps!r}.")
        count = self.count(num_steps)
        lengths = self.draw(count, generator)
        # A short sequence may be shorter than the shortest window.
        shortest = min(self.shortest, num_steps // count)
        while missing := num_steps - int(lengths.sum()):
            is_open = lengths < self.longest if missing > 0 else lengths > shortest
            places = is_open.nonzero().flatten()
            chosen = places[torch.randperm(len(places), generator=generator)[: abs(missing)]]
            lengths[chosen] += 1 if missing > 0 else -1
        found: list[int] = lengths.tolist()
        return found
