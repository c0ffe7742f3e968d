"""Prediction intervals on streams, which learn from each miss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recur.calibration.conformal import conformal_rank
from recur.kinds import is_number, is_whole
from recur.score.counting import floating, fraction, present, same_shape


class AdaptiveConformal:
    """Intervals around the forecasts of many streams, which stay right when the streams change.

    The newest errors of each stream are kept, and the margin is their conformal quantile (as in `SplitConformal`) at 1
    - alpha. After each target, alpha moves by rate ((1 - coverage) - miss), where miss is 1 if the interval did not
    hold it, else 0. So over T steps the share of misses is within (max(alpha_1, 1 - alpha_1) + rate) / (rate T) of the
    share asked for, whatever the streams do. An interval is infinite while alpha is at or below 0, or errors are too
    few; while alpha is 1 or more it has no width and counts as a miss.

    A stream is an element of any shape: (S,) for S series, or (S, horizon) with a state for each step ahead. Updating
    and asking cost the same however long a stream has run.

    Source: Gibbs & Candes (2021), equation 2 and proposition 4.1.

    Args:
        shape: Of the streams.
        coverage: The share of targets that the intervals should hold, between 0 and 1.
        rate: gamma, how fast alpha moves, above 0; their choice is 0.005. Faster follows changes sooner and wavers
            more.
        window: How many of the newest errors of each stream are kept.

    Attributes:
        alpha: The present level of misses, of each stream, float64.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: One is out of range.

    Example:
        >>> conformal = AdaptiveConformal((), coverage=0.5)
        >>> for error in (1.0, -2.0, 3.0):
        ...     conformal.update(torch.tensor(10.0 + error), torch.tensor(10.0))
        >>> conformal.interval(torch.tensor(0.0))
        (tensor(-3.), tensor(3.))
    """

    def __init__(
        self, shape: int | tuple[int, ...], *, coverage: float = 0.9, rate: float = 0.005, window: int = 500
    ) -> None:
        name = "AdaptiveConformal"
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if not all(is_whole(size, 0) for size in sizes):
            raise ValueError(f"{name}: shape must be whole numbers from 0 on, but is {shape!r}.")
        if not is_number(rate):
            raise TypeError(f"{name}: rate must be a number, but is {type(rate).__name__}.")
        if not 0 < rate < float("inf"):
            raise ValueError(f"{name}: rate is {rate}, but must be above 0.")
        if not is_whole(window):
            raise TypeError(f"{name}: window must be an int, but is {type(window).__name__}.")
        if window < 1:
            raise ValueError(f"{name}: window is {window}, but must be at least 1.")
        self.coverage = fraction(name, "coverage", coverage)
        self.rate = rate
        self.window = window
        self.alpha = torch.full(sizes, 1 - self.coverage, dtype=torch.float64)
        # As they came, in a ring, and in order; infinite where none has come yet.
        self._errors = torch.full((*sizes, window), torch.inf)
        self._ordered = self._errors.clone()
        self._seen = torch.zeros(sizes, dtype=torch.int64)

    def interval(self, forecast: Tensor) -> tuple[Tensor, Tensor]:
        """Return lower and upper ends, each as `forecast`.

        Args:
            forecast: Of each stream, the shape of the streams, floating.

        Raises:
            TypeError: `forecast` is no floating tensor.
            ValueError: It has another shape.
        """
        margin = self._margin(self._checked("forecast", forecast))
        return forecast - margin, forecast + margin

    def update(self, target: Tensor, forecast: Tensor, *, mask: Tensor | None = None) -> None:
        """Learn from what came after a forecast, for each stream: whether its interval held it, and the error.

        Args:
            target: The shape of the streams, floating. NaN is missing, and leaves a stream as it is.
            forecast: What was said, the same shape.
            mask: Which streams have a target now, bool; None is all but NaN.

        Raises:
            TypeError: An argument is no floating tensor, or `mask` no bool tensor.
            ValueError: A shape is another than that of the streams.
        """
        self._checked("target", target)
        same_shape("AdaptiveConformal", "forecast", forecast, target)
        there = present("AdaptiveConformal", target, mask) & ~forecast.isnan()
        error = (target - forecast).abs()
        is_miss = (error > self._margin(forecast)) | (self.alpha >= 1)
        moved = self.alpha + self.rate * ((1 - self.coverage) - is_miss.double())
        self.alpha = torch.where(there, moved, self.alpha)
        self._keep(error, there)
        self._seen = self._seen + there

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the streams have taught, as tensors of its own."""
        return {"alpha": self.alpha.clone(), "errors": self._errors.clone(), "seen": self._seen.clone()}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            ValueError: It is of other streams or another window.
        """
        errors = state_dict["errors"]
        if errors.shape != self._errors.shape:
            raise ValueError(
                f"AdaptiveConformal: the state holds errors of shape {tuple(errors.shape)}, but this one "
                f"{tuple(self._errors.shape)}, the window last."
            )
        self.alpha, self._errors, self._seen = (state_dict[name].clone() for name in ("alpha", "errors", "seen"))
        self._ordered = self._errors.sort(-1).values

    def _checked(self, name: str, value: Tensor) -> Tensor:
        if floating("AdaptiveConformal", name, value).shape != self.alpha.shape:
            raise ValueError(
                f"AdaptiveConformal: {name} has shape {tuple(value.shape)}, but the streams {tuple(self.alpha.shape)}."
            )
        return value

    def _margin(self, like: Tensor) -> Tensor:
        """Return half the width of each stream's interval."""
        number = self._seen.clamp(max=self.window)
        rank = conformal_rank(number, (1 - self.alpha).clamp(0, 1))
        margin = self._ordered.gather(-1, (rank - 1).clamp(max=self.window - 1).unsqueeze(-1)).squeeze(-1)
        margin = torch.where((rank > number) | (self.alpha <= 0), torch.inf, margin)
        return torch.where(self.alpha >= 1, 0, margin).to(like.dtype)

    def _keep(self, error: Tensor, there: Tensor) -> None:
        """Put errors in the place of the oldest ones."""
        dtype = torch.promote_types(self._errors.dtype, error.dtype)
        self._errors, ordered = self._errors.to(dtype), self._ordered.to(dtype)
        place = (self._seen % self.window).unsqueeze(-1)
        old = self._errors.gather(-1, place)
        new = torch.where(there.unsqueeze(-1), error.unsqueeze(-1).to(dtype), old)
        self._errors.scatter_(-1, place, new)
        # In order they stay without sorting: those between the old and the new one move up by a place.
        index = torch.arange(self.window)
        taken = torch.searchsorted(ordered, old)
        ordered = ordered.gather(-1, (index + (index >= taken).long()).clamp(max=self.window - 1))
        ordered[..., -1] = torch.inf
        put = torch.searchsorted(ordered, new)
        shifted = ordered.gather(-1, (index - (index > put).long()).clamp(min=0))
        self._ordered = torch.where(index == put, new, shifted)
