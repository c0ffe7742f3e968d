"""Forecasts that any model has to beat: naive, seasonal naive, drift, mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from recur.kinds import is_whole
from recur.score.counting import floating, present


class Baseline(ABC):
    """A rule that forecasts many series at once, from the values so far or from one value at a time.

    `fit` reads whole histories, `update` one more value of each series in O(1); both lead to the same forecasts. A
    value that is NaN, or False in the mask, is missing: time goes on, and the rule does without it.

    Source: Hyndman & Athanasopoulos (2021), section 5.2.
    """

    def __init__(self) -> None:
        self._state: dict[str, Tensor] = {}

    def fit(self, history: Tensor, *, mask: Tensor | None = None) -> Self:
        """Start anew with the values so far, and return the rule.

        Args:
            history: Values of each series, (..., T), floating, the oldest first.
            mask: (..., T) bool, where a value is there; None is everywhere but at NaN.

        Raises:
            TypeError: `history` is no floating tensor, or `mask` no bool tensor.
            ValueError: `history` has no dimension, or `mask` another shape.
        """
        name = type(self).__name__
        if floating(name, "history", history).dim() == 0:
            raise ValueError(f"{name}: history must have shape (..., T), but has no dimension.")
        self._state = self._fitted(history, present(name, history, mask))
        return self

    def update(self, values: Tensor, *, mask: Tensor | None = None) -> None:
        """Take the next value of each series.

        Args:
            values: (...), floating, as `history` without its last dimension; any shape if nothing came before.
            mask: (...) bool, where a value is there; None is everywhere but at NaN.

        Raises:
            TypeError: `values` is no floating tensor, or `mask` no bool tensor.
            ValueError: A shape is another than before.
        """
        name = type(self).__name__
        there = present(name, floating(name, "values", values), mask)
        if not self._state:
            self.fit(values.new_empty(*values.shape, 0))
        if values.shape != self._shape:
            raise ValueError(f"{name}: values have shape {tuple(values.shape)}, but before {tuple(self._shape)}.")
        self._take(self._state, values, there)
        self._state["seen"] += there
        self._state["steps"] += 1

    def forecast(self, horizon: int) -> Tensor:
        """Return what comes after the values so far.

        Args:
            horizon: Steps ahead, at least 1.

        Returns:
            (..., horizon), in the dtype of the history; NaN for a series of which too little has been seen.

        Raises:
            TypeError: `horizon` is no whole number.
            ValueError: It is below 1, or no value has come yet.
        """
        name = type(self).__name__
        if not is_whole(horizon):
            raise TypeError(f"{name}: horizon must be an int, but is {type(horizon).__name__}.")
        if horizon < 1:
            raise ValueError(f"{name}: horizon is {horizon}, but must be at least 1.")
        if not self._state:
            raise ValueError(f"{name}: nothing has been seen yet. Call fit or update first.")
        return self._ahead(self._state, horizon)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the rule knows, as tensors of its own."""
        return {name: value.clone() for name, value in self._state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: It comes from another rule.
        """
        expected = self._fitted(torch.zeros(0), torch.ones(0, dtype=torch.bool))
        if state_dict and set(state_dict) != set(expected):
            raise ValueError(
                f"{type(self).__name__}: the state holds {', '.join(sorted(state_dict))}, but must hold "
                f"{', '.join(sorted(expected))}."
            )
        self._state = {name: value.clone() for name, value in state_dict.items()}

    @property
    def _shape(self) -> torch.Size:
        return self._state["seen"].shape

    def _fitted(self, history: Tensor, there: Tensor) -> dict[str, Tensor]:
        """Return the state after `history`, with "seen" (...), how many values were there, and "steps" ()."""
        return {"seen": there.sum(-1), "steps": torch.tensor(history.shape[-1])} | self._summary(history, there)

    @abstractmethod
    def _summary(self, history: Tensor, there: Tensor) -> dict[str, Tensor]:
        """Return what the rule has to know beside the counts."""

    @abstractmethod
    def _take(self, state: dict[str, Tensor], values: Tensor, there: Tensor) -> None:
        """Put one more value into the state, but for the counts."""

    @abstractmethod
    def _ahead(self, state: dict[str, Tensor], horizon: int) -> Tensor:
        """Return the forecasts, (..., horizon)."""


class Naive(Baseline):
    """Forecasts the last value that was seen.

    Example:
        >>> rule = Naive().fit(torch.tensor([[1.0, 2.0], [3.0, torch.nan]]))
        >>> rule.forecast(2).tolist()
        [[2.0, 2.0], [3.0, 3.0]]
    """

    def _summary(self, history: Tensor, there: Tensor) -> dict[str, Tensor]:
        return {"last": _last(history, there)[0]}

    def _take(self, state: dict[str, Tensor], values: Tensor, there: Tensor) -> None:
        state["last"] = torch.where(there, values, state["last"])

    def _ahead(self, state: dict[str, Tensor], horizon: int) -> Tensor:
        return state["last"].unsqueeze(-1).expand(*self._shape, horizon).clone()


class SeasonalNaive(Baseline):
    """Forecasts the last value that was seen at the same place of the season.

    Args:
        season: Steps after which the series repeats, at least 1; such as `find_season` of the training part.

    Raises:
        TypeError: `season` is no whole number.
        ValueError: It is below 1.

    Example:
        >>> SeasonalNaive(3).fit(torch.tensor([1.0, 2.0, 3.0, 4.0])).forecast(4).tolist()
        [2.0, 3.0, 4.0, 2.0]
    """

    def __init__(self, season: int) -> None:
        super().__init__()
        if not is_whole(season):
            raise TypeError(f"SeasonalNaive: season must be an int, but is {type(season).__name__}.")
        if season < 1:
            raise ValueError(f"SeasonalNaive: season is {season}, but must be at least 1.")
        self.season = season

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: It comes from another rule, or one with another season.
        """
        places = state_dict.get("places")
        if places is not None and places.shape[-1] != self.season:
            raise ValueError(
                f"SeasonalNaive: the state has a season of {places.shape[-1]}, but this one's is {self.season}."
            )
        super().load_state_dict(state_dict)

    def _summary(self, history: Tensor, there: Tensor) -> dict[str, Tensor]:
        # One row for each place of the season, in which the last value counts.
        missing = -history.shape[-1] % self.season
        shape = (*history.shape[:-1], (history.shape[-1] + missing) // self.season, self.season)
        padded = torch.nn.functional.pad(history, (0, missing), value=torch.nan)
        seasons = padded.view(*shape).transpose(-1, -2)
        is_there = torch.nn.functional.pad(there, (0, missing), value=False)
        return {"places": _last(seasons, is_there.view(*shape).transpose(-1, -2))[0]}

    def _take(self, state: dict[str, Tensor], values: Tensor, there: Tensor) -> None:
        place = int(state["steps"]) % self.season
        state["places"][..., place] = torch.where(there, values, state["places"][..., place])

    def _ahead(self, state: dict[str, Tensor], horizon: int) -> Tensor:
        places = (torch.arange(horizon) + int(state["steps"])) % self.season
        return state["places"][..., places.to(state["places"].device)]


class Drift(Baseline):
    """Goes on along the line from the first value that was seen to the last.

    Example:
        >>> Drift().fit(torch.tensor([1.0, 9.0, 5.0])).forecast(2).tolist()
        [7.0, 9.0]
    """

    def _summary(self, history: Tensor, there: Tensor) -> dict[str, Tensor]:
        last, last_step = _last(history, there)
        first, from_end = _last(history.flip(-1), there.flip(-1))
        first_step = torch.where(from_end >= 0, history.shape[-1] - 1 - from_end, -1)
        return {"first": first, "first_step": first_step, "last": last, "last_step": last_step}

    def _take(self, state: dict[str, Tensor], values: Tensor, there: Tensor) -> None:
        is_first = there & (state["seen"] == 0)
        for end, is_taken in (("first", is_first), ("last", there)):
            state[end] = torch.where(is_taken, values, state[end])
            state[f"{end}_step"] = torch.where(is_taken, state["steps"], state[f"{end}_step"])

    def _ahead(self, state: dict[str, Tensor], horizon: int) -> Tensor:
        # One value alone gives no slope; it is repeated.
        span = (state["last_step"] - state["first_step"]).clamp(min=1)
        slope = (state["last"] - state["first"]) / span
        ahead = torch.arange(horizon, device=span.device) + state["steps"].to(span.device)
        distance = (ahead - state["last_step"].unsqueeze(-1)).to(slope.dtype)
        return state["last"].unsqueeze(-1) + slope.unsqueeze(-1) * distance


class Mean(Baseline):
    """Forecasts the mean of all values that were seen.

    Example:
        >>> Mean().fit(torch.tensor([1.0, torch.nan, 4.0])).forecast(2).tolist()
        [2.5, 2.5]
    """

    def _summary(self, history: Tensor, there: Tensor) -> dict[str, Tensor]:
        return {"mean": torch.where(there, history, 0).sum(-1) / there.sum(-1)}

    def _take(self, state: dict[str, Tensor], values: Tensor, there: Tensor) -> None:
        # NaN before the first value.
        before = torch.where(state["seen"] > 0, state["mean"], values)
        moved = before + (values - before) / (state["seen"] + 1)
        state["mean"] = torch.where(there, moved, state["mean"])

    def _ahead(self, state: dict[str, Tensor], horizon: int) -> Tensor:
        return state["mean"].unsqueeze(-1).expand(*self._shape, horizon).clone()


def _last(values: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last value that is there along the last dimension, and its place; NaN and -1 where none is."""
    if not values.shape[-1]:
        empty = values.new_full(values.shape[:-1], torch.nan)
        return empty, torch.full_like(empty, -1, dtype=torch.int64)
    steps = torch.arange(values.shape[-1], device=values.device)
    place = torch.where(there, steps, -1).amax(-1)
    value = values.gather(-1, place.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where(place >= 0, value, torch.nan), place
