"""Alarm thresholds on streams, by peaks over threshold that go on learning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from recur.calibration.tail import Tail, fit_pareto, fit_tail
from recur.kinds import is_whole
from recur.score.counting import floating, fraction

_TAIL = tuple(field.name for field in dataclasses.fields(Tail))


class Spot:
    """Alarms on values that an ordinary one exceeds with a stated probability, for many streams at once.

    A value above the threshold is an alarm and teaches nothing. One between the tail's level and the threshold is a
    peak, to which the tail is fitted anew; one below is counted. So the threshold sharpens as a stream goes on, at a
    cost that does not grow. For alarms below, give the values with the other sign.

    Source: SPOT, Siffer et al. (2017), algorithm 2, over the tails of `fit_tail`. There the threshold moves with peaks
    only; here also with the number of values, on which it depends as well. As there, ordinary values that raise an
    alarm are lost to the tail; so keep `rate` at a tenth of 1 - level or below, else up to half as many alarms again
    come.

    Args:
        rate: Share of ordinary values that may raise an alarm, between 0 and 1: their risk q.
        level: The quantile at which the tail begins, between 0 and 1.
        max_peaks: How many of the newest peaks of each stream the tail is fitted to.

    Attributes:
        tail: The present tails, (...); None before `fit`.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: One is out of range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> spot = Spot(rate=1e-4).fit(torch.randn(2, 2000, generator=generator))
        >>> spot.update(torch.tensor([0.5, 9.0]))
        tensor([False,  True])
    """

    def __init__(self, rate: float = 1e-4, *, level: float = 0.98, max_peaks: int = 1000) -> None:
        name = type(self).__name__
        self.rate = fraction(name, "rate", rate)
        self.level = fraction(name, "level", level)
        if self.rate >= 1 - self.level:
            raise ValueError(f"{name}: rate is {rate}, but must be below 1 - level, {1 - self.level:g}.")
        if not is_whole(max_peaks):
            raise TypeError(f"{name}: max_peaks must be an int, but is {type(max_peaks).__name__}.")
        if max_peaks < 1:
            raise ValueError(f"{name}: max_peaks is {max_peaks}, but must be at least 1.")
        self.max_peaks = max_peaks
        self.tail: Tail | None = None
        self._peaks = torch.zeros(0)
        self._next = torch.zeros(0, dtype=torch.int64)
        self._seen = torch.zeros(0, dtype=torch.int64)

    @property
    def threshold(self) -> Tensor:
        """The present thresholds, (...).

        Raises:
            ValueError: Nothing is fitted yet.
        """
        return self._fitted().threshold(self.rate)

    def fit(self, scores: Tensor) -> Self:
        """Start from ordinary values, and return the object.

        Args:
            scores: Of each stream, (..., T), floating; NaN is missing. A thousand or more make a good start.

        Raises:
            TypeError: `scores` is no floating tensor.
            ValueError: It has no dimension, or a stream has no value.
        """
        self.tail = fit_tail(scores, level=self.level)
        excess = scores - self.tail.level.unsqueeze(-1)
        is_peak = excess > 0
        # The newest peaks, the oldest of them first, and then free places.
        rank = is_peak.flip(-1).cumsum(-1).flip(-1)
        is_kept = is_peak & (rank <= self.max_peaks)
        place = torch.where(is_kept, is_kept.cumsum(-1) - 1, self.max_peaks)
        peaks = scores.new_zeros(*scores.shape[:-1], self.max_peaks + 1)
        self._peaks = peaks.scatter_(-1, place, torch.where(is_kept, excess, 0))[..., :-1].contiguous()
        self._seen = (~scores.isnan()).sum(-1)
        # Where more peaks were seen than are kept, the ring goes on at its beginning, with the oldest.
        self._next = is_kept.sum(-1) % self.max_peaks
        return self

    def update(self, values: Tensor) -> Tensor:
        """Take the next value of each stream, and return which are alarms.

        Args:
            values: (...), floating. NaN is missing: no alarm, and nothing learned.

        Returns:
            (...) bool.

        Raises:
            TypeError: `values` is no floating tensor.
            ValueError: It has another shape than the streams, or nothing is fitted yet.
        """
        tail = self._fitted()
        self._checked(values)
        is_alarm = values > tail.threshold(self.rate)
        is_ordinary = ~is_alarm & ~values.isnan()
        is_peak = is_ordinary & (values > tail.level)
        self._seen = self._seen + is_ordinary
        num_peaks = tail.num_excesses + is_peak
        shape, scale = tail.shape, tail.scale
        if bool(is_peak.any()):
            place = self._next[is_peak]
            rows = self._peaks[is_peak]
            rows.scatter_(-1, place.unsqueeze(-1), (values - tail.level)[is_peak].to(rows.dtype).unsqueeze(-1))
            self._peaks[is_peak] = rows
            self._next[is_peak] = (place + 1) % self.max_peaks
            shape, scale = shape.clone(), scale.clone()
            filled = int(num_peaks[is_peak].clamp(max=self.max_peaks).max())
            shape[is_peak], scale[is_peak] = fit_pareto(rows[:, :filled], rows[:, :filled] > 0)
        self.tail = Tail(
            level=tail.level,
            share=(num_peaks / self._seen).to(tail.share.dtype),
            shape=shape,
            scale=scale,
            num_excesses=num_peaks,
        )
        return is_alarm

    def probability(self, values: Tensor) -> Tensor:
        """Return how likely an ordinary value is to exceed each of `values`, (...), as `Tail.probability`.

        Raises:
            ValueError: Nothing is fitted yet.
        """
        return self._fitted().probability(values)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the streams have taught, as tensors of its own; nothing before `fit`."""
        if self.tail is None:
            return {}
        tail = {name: getattr(self.tail, name) for name in _TAIL}
        state = tail | {"peaks": self._peaks, "next": self._next, "seen": self._seen}
        return {name: value.clone() for name, value in state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: It keeps another number of peaks.
        """
        if not state_dict:
            self.tail = None
            return
        state = {name: value.clone() for name, value in state_dict.items()}
        if state["peaks"].shape[-1] != self.max_peaks:
            raise ValueError(
                f"{type(self).__name__}: the state keeps {state['peaks'].shape[-1]} peaks, but max_peaks is "
                f"{self.max_peaks}."
            )
        self._peaks, self._next, self._seen = state["peaks"], state["next"], state["seen"]
        self.tail = Tail(**{name: state[name] for name in _TAIL})

    def _fitted(self) -> Tail:
        if self.tail is None:
            raise ValueError(f"{type(self).__name__}: nothing is fitted yet. Call fit with ordinary values first.")
        return self.tail

    def _checked(self, values: Tensor) -> Tensor:
        """Return the values of the streams, if they are."""
        name = type(self).__name__
        if floating(name, "values", values).shape != self._fitted().level.shape:
            raise ValueError(
                f"{name}: values have shape {tuple(values.shape)}, but the streams {tuple(self._fitted().level.shape)}."
            )
        return values


class DriftSpot(Spot):
    """`Spot` on what values have beyond the mean of the last ordinary ones, so that it follows a level that moves.

    Source: DSPOT, Siffer et al. (2017), algorithm 3.

    Args:
        rate: Share of ordinary values that may raise an alarm, between 0 and 1.
        depth: How many of the last ordinary values the mean is taken of, at least 1.
        level: The quantile at which the tail begins, between 0 and 1.
        max_peaks: How many of the newest peaks of each stream the tail is fitted to.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: One is out of range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> level = torch.arange(4000) / 10
        >>> values = level + torch.randn(4000, generator=generator)
        >>> spot = DriftSpot(rate=1e-4, depth=20).fit(values[:2000])
        >>> sum(spot.update(value).item() for value in values[2000:]), spot.update(level[-1] + 12).item()
        (0, True)
    """

    def __init__(self, rate: float = 1e-4, *, depth: int = 20, level: float = 0.98, max_peaks: int = 1000) -> None:
        super().__init__(rate, level=level, max_peaks=max_peaks)
        if not is_whole(depth):
            raise TypeError(f"DriftSpot: depth must be an int, but is {type(depth).__name__}.")
        if depth < 1:
            raise ValueError(f"DriftSpot: depth is {depth}, but must be at least 1.")
        self.depth = depth
        self._window = torch.zeros(0)
        self._place = torch.zeros(0, dtype=torch.int64)

    def fit(self, scores: Tensor) -> Self:
        """Start from ordinary values, of which the first `depth` make the mean, and return the object.

        Args:
            scores: Of each stream, (..., T), floating; NaN is missing.

        Raises:
            TypeError: `scores` is no floating tensor.
            ValueError: It has no dimension, or a stream has no more than `depth` values.
        """
        if floating("DriftSpot", "scores", scores).dim() == 0:
            raise ValueError("DriftSpot: scores must have shape (..., T), but have no dimension.")
        there = ~scores.isnan()
        if bool((there.sum(-1) <= self.depth).any()):
            raise ValueError(f"DriftSpot: a stream has no more than depth = {self.depth} values to start from.")
        self._window = scores.new_zeros(*scores.shape[:-1], self.depth)
        self._place = torch.zeros(scores.shape[:-1], dtype=torch.int64, device=scores.device)
        rest = []
        for values, is_there in zip(scores.unbind(-1), there.unbind(-1), strict=True):
            rest.append(torch.where(self._place >= self.depth, values - self._window.mean(-1), torch.nan))
            self._push(values, is_there)
        super().fit(torch.stack(rest, dim=-1))
        return self

    def update(self, values: Tensor) -> Tensor:
        """Take the next value of each stream, and return which are alarms.

        Args:
            values: (...), floating. NaN is missing: no alarm, and nothing learned.

        Returns:
            (...) bool.

        Raises:
            TypeError: `values` is no floating tensor.
            ValueError: It has another shape than the streams, or nothing is fitted yet.
        """
        is_alarm = super().update(self._checked(values) - self._window.mean(-1))
        self._push(values, ~is_alarm & ~values.isnan())
        return is_alarm

    def probability(self, values: Tensor) -> Tensor:
        """Return how likely an ordinary next value is to exceed each of `values`, (...).

        Raises:
            ValueError: Nothing is fitted yet.
        """
        return super().probability(values - self._window.mean(-1))

    @property
    def threshold(self) -> Tensor:
        """The thresholds for the next values, (...).

        Raises:
            ValueError: Nothing is fitted yet.
        """
        return super().threshold + self._window.mean(-1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the streams have taught, as tensors of its own; nothing before `fit`."""
        state = super().state_dict()
        return state | {"window": self._window.clone(), "place": self._place.clone()} if state else state

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: It keeps another number of peaks or of values.
        """
        if state_dict and state_dict["window"].shape[-1] != self.depth:
            raise ValueError(
                f"DriftSpot: the state keeps {state_dict['window'].shape[-1]} values, but depth is {self.depth}."
            )
        super().load_state_dict(state_dict)
        if state_dict:
            self._window, self._place = state_dict["window"].clone(), state_dict["place"].clone()

    def _push(self, values: Tensor, is_taken: Tensor) -> None:
        """Let values take the place of the oldest."""
        place = (self._place % self.depth).unsqueeze(-1)
        kept = torch.where(is_taken.unsqueeze(-1), values.unsqueeze(-1), self._window.gather(-1, place))
        self._window.scatter_(-1, place, kept)
        self._place = self._place + is_taken
