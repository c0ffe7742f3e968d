"""Series of any size and unit to numbers around zero, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series.panel import Panel
from recur.data.series.split import Part
from recur.errors import DataError, OptionError

Method = Literal["standard", "robust", "mean_abs", "none"]
_TENSORS = ("centre", "scale", "common_centre", "common_scale", "static_centre", "static_scale")
_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaler:
    """A centre and a scale for each channel of each series; scaled is (value - centre) / scale.

    | method | centre | scale |
    | --- | --- | --- |
    | standard | mean | standard deviation |
    | robust | median | distance between the quartiles over 1.349, that of a normal distribution's standard deviation |
    | mean_abs | 0 | mean of the absolute values (Salinas et al. 2020, "DeepAR", equation 3, without its added one) |
    | none | 0 | 1 |

    They are taken over the values of the training part that are there. A channel that is constant there has the scale
    one, or the size of the constant for mean_abs; a channel that differs by less than float32 can tell from its mean
    counts as constant. One without any value has the centre and the scale of the channel over all series.

    A series of which the training part had nothing is *unseen*. It is scaled by its own history: the statistics are
    those of the rows that a window reads before its forecast begins, so that nothing of what is to be told goes into
    them. For whole series these are all rows.

    Few rows say little of how much a series varies, and one row says nothing. With standard and robust the squared
    scale of n rows is therefore s² + u²/n, where s is their own and u is what is usual: the median of the scales of the
    series that were seen; where these go with the size of the series, that of their ratios to the centres, times the
    centre. If u is right, s² + u²/n is what s² of many rows would be in the mean. With mean_abs, whose scale is a size,
    rows that are all 0 are taken to have one of the usual size after them.

    Attributes:
        method: Which of the above.
        per_series: Whether each series has its own, or all have one.
        names: The channels, F.
        ids: The series that were seen, (N,); empty unless `per_series`.
        centre: (N, F) float64, of the series that were seen; (1, F) unless `per_series`.
        scale: Likewise, above zero.
        common_centre: (F,) float64, over all series.
        common_scale: Likewise.
        static_centre: (S,) float64, mean of each static number over the series of the training part.
        static_scale: Their standard deviation, above zero.

    Example:
        >>> panel = Panel.of_rows(["a", "b"], [2, 2], [[1.0], [3.0], [10.0], [10.0]])
        >>> scaler = Scaler.fit(Part.whole(panel))
        >>> scaler.scaled(panel)[:, 0]
        array([-1.,  1.,  0.,  0.], dtype=float32)
    """

    method: Method
    per_series: bool
    names: tuple[str, ...]
    ids: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    common_centre: NDArray[np.float64]
    common_scale: NDArray[np.float64]
    static_centre: NDArray[np.float64]
    static_scale: NDArray[np.float64]

    @classmethod
    def fit(cls, part: Part, method: Method = "standard", *, per_series: bool = True) -> Scaler:
        """Return the scaler of a part, which must be the training part, or what is judged on leaks.

        Args:
            part: Whose rows are looked at, and no others.
            method: As above.
            per_series: Whether each series gets its own; else all together have one for each channel.

        Raises:
            OptionError: The method is none.
            DataError: The part has no rows.
        """
        _check_method(method)
        panel = part.panel
        series = part.series
        if not len(series):
            raise DataError(f"the part {part.name!r} has no rows to fit a scaler to.")
        rows = part.has_row
        values = panel.values if rows.all() else panel.values[rows]
        groups = np.repeat(np.arange(len(series)), (part.stop - part.start)[series])
        common_centre, common_scale = _together(values, method)
        static_centre, static_scale = _together(panel.static[series], "none" if method == "none" else "standard")
        centre, scale = common_centre, common_scale
        if per_series:
            centre, scale = _statistics(values, groups, len(series), method)
            is_empty = np.isnan(centre)
            centre, scale = np.where(is_empty, common_centre, centre), np.where(is_empty, common_scale, scale)
        return cls(
            method=method,
            per_series=per_series,
            names=panel.schema.channels,
            ids=tuple(panel.ids[number] for number in series.tolist()) if per_series else (),
            centre=centre,
            scale=scale,
            common_centre=common_centre[0],
            common_scale=common_scale[0],
            static_centre=static_centre[0],
            static_scale=static_scale[0],
        )

    def of_panel(self, panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return centre and scale of each series of a panel, (N, F) each, and which were seen, (N,).

        Those of a series that was not are the common ones; `of_history` gives its own.

        Raises:
            DataError: The panel has other channels.
        """
        if panel.schema.channels != self.names:
            raise DataError(
                f"the scaler was fitted to the channels {', '.join(self.names)}, but the series have "
                f"{', '.join(panel.schema.channels)}."
            )
        if not self.per_series:
            shape = (len(panel), len(self.names))
            return (
                np.broadcast_to(self.centre, shape),
                np.broadcast_to(self.scale, shape),
                np.ones(len(panel), np.bool_),
            )
        place = {name: number for number, name in enumerate(self.ids)}
        number = np.array([place.get(name, -1) for name in panel.ids], np.int64)
        is_seen = number >= 0
        centre = np.where(is_seen[:, None], self.centre[number], self.common_centre)
        scale = np.where(is_seen[:, None], self.scale[number], self.common_scale)
        return centre, scale, is_seen

    def of_history(
        self, values: NDArray[np.float32], *, is_whole: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return centre and scale of series that were not seen, by what is known of them.

        Args:
            values: Their histories, (B, T, F), NaN where a value is missing or past the end.
            is_whole: Whether these are all their rows, as the training part's were, which then say all.

        Returns:
            (B, F) each; the common ones for a channel without a value.
        """
        groups = np.repeat(np.arange(len(values)), values.shape[1])
        flat, constant = values.reshape(-1, values.shape[2]), 1.0 if is_whole else 0.0
        centre, scale = _statistics(flat, groups, len(values), self.method, constant=constant)
        if not is_whole:
            count = np.maximum((~np.isnan(values)).sum(axis=1), 1)
            scale = self._with_usual(centre, scale, count)
        is_empty = np.isnan(centre)
        return np.where(is_empty, self.common_centre, centre), np.where(is_empty, self.common_scale, scale)

    def _with_usual(
        self, centre: NDArray[np.float64], scale: NDArray[np.float64], count: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the scales of few rows, (B, F), with what is usual beside their own, which are 0 where constant."""
        if self.method == "none":
            return np.ones_like(scale)
        spread, ratio = self._usual
        if self.method == "mean_abs":
            return np.where(scale == 0, spread / (count + 1), scale)
        size = np.abs(centre)
        # What is usual goes with the size, but of a series that has begun at 0 the size is not known.
        relative = np.where(size > 0, size * ratio, spread)
        usual = np.where(np.isnan(ratio), spread, relative)
        found = np.sqrt(scale**2 + usual**2 / count)
        return np.where(found <= _EPS * size, 1.0, found)

    @cached_property
    def _usual(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Usual scale of series seen, (F,), and its ratio to their size; NaN where they do not go together."""
        spread, ratio = self.common_scale.copy(), np.full(len(self.names), np.nan)
        for channel in range(len(self.names)):
            # Constant series have the scale 1, which is none.
            varies = self.scale[:, channel] != 1
            if not varies.any():
                continue
            own, size = self.scale[varies, channel], np.abs(self.centre[varies, channel])
            spread[channel] = np.median(own)
            if (size > 0).all() and np.median(size / own) > 1 and np.std(np.log(own / size)) <= np.std(np.log(own)):
                ratio[channel] = np.median(own / size)
        return spread, ratio

    def scaled(self, panel: Panel) -> NDArray[np.float32]:
        """Return all values of a panel scaled, (R, F) float32; series that were not seen by all their rows.

        Raises:
            DataError: The panel has other channels.
        """
        centre, scale = self._of_whole_series(panel)
        series = panel.series_of_rows
        return ((panel.values - centre[series]) / scale[series]).astype(np.float32)

    def unscaled(self, panel: Panel, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values of the shape of `panel.values` on the original scale: the inverse of `scaled`.

        Raises:
            DataError: The panel has other channels.
        """
        centre, scale = self._of_whole_series(panel)
        series = panel.series_of_rows
        return (values * scale[series] + centre[series]).astype(np.float32)

    def _of_whole_series(self, panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        centre, scale, is_seen = self.of_panel(panel)
        if is_seen.all():
            return centre, scale
        own_centre, own_scale = _statistics(panel.values, panel.series_of_rows, len(panel), self.method)
        is_own = ~is_seen[:, None] & ~np.isnan(own_centre)
        return np.where(is_own, own_centre, centre), np.where(is_own, own_scale, scale)

    def to_json(self) -> dict[str, Any]:
        """Return all but the numbers, as JSON can hold it."""
        return {
            "method": self.method,
            "per_series": self.per_series,
            "names": list(self.names),
            "ids": list(self.ids),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the numbers, as safetensors can hold them: float64, by name."""
        return {name: torch.from_numpy(np.array(getattr(self, name))) for name in _TENSORS}

    @classmethod
    def from_saved(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Scaler:
        """Return the scaler that `to_json` and `tensors` wrote.

        Raises:
            DataError: They did not write this.
        """
        try:
            method, per_series = config["method"], config["per_series"]
            names, ids = tuple(config["names"]), tuple(config["ids"])
            arrays = {name: tensors[name].numpy() for name in _TENSORS}
        except (KeyError, TypeError) as error:
            raise DataError(f"the saved scaler is damaged: it lacks {error}.") from None
        _check_method(method)
        wanted = {"centre": (len(ids) if per_series else 1, len(names)), "common_centre": (len(names),)}
        for name, array in arrays.items():
            partner = name.replace("scale", "centre")
            shape = wanted.get(partner, arrays[partner].shape)
            if array.shape != shape:
                raise DataError(f"the saved scaler is damaged: {name} must have the shape {shape}, got {array.shape}.")
            if name.endswith("scale") and not bool((array > 0).all()):
                raise DataError(f"the saved scaler is damaged: {name} is not above zero everywhere.")
        return cls(method=method, per_series=per_series, names=names, ids=ids, **arrays)


def _check_method(method: object) -> None:
    if method not in get_args(Method):
        raise OptionError(f"method: expected one of {', '.join(get_args(Method))}, got {method!r}.")


def _together(values: NDArray[np.float32], method: Method) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre and scale of each channel over all rows, (1, F); 0 and 1 where there is no value."""
    centre, scale = _statistics(values, np.zeros(len(values), np.int64), 1, method)
    return np.nan_to_num(centre), np.nan_to_num(scale, nan=1.0)


def _statistics(
    values: NDArray[np.float32], groups: NDArray[np.int64], num_groups: int, method: Method, constant: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre and scale of each channel in each group, (G, F); NaN where a group has no value.

    Args:
        values: (R, F).
        groups: (R,), ascending.
        num_groups: G.
        method: Which statistics.
        constant: The scale of values that do not differ.
    """
    centre = np.full((num_groups, values.shape[1]), np.nan)
    scale = np.full((num_groups, values.shape[1]), np.nan)
    # One channel after the other, so that the float64 copy is of one.
    for channel in range(values.shape[1]):
        is_there = ~np.isnan(values[:, channel])
        present, of = values[is_there, channel].astype(np.float64), groups[is_there]
        count = np.bincount(of, minlength=num_groups)
        has = count > 0
        starts = np.concatenate([[0], np.cumsum(count)[:-1]])[has]
        if not len(starts):
            continue
        low, high = np.minimum.reduceat(present, starts), np.maximum.reduceat(present, starts)
        own_centre, own_scale = _of_groups(present, of, starts, count[has], method)
        centre[has, channel] = np.where(low == high, low if method in ("standard", "robust") else 0.0, own_centre)
        scale[has, channel] = _safe(own_scale, np.maximum(np.abs(low), np.abs(high)), low == high, method, constant)
    return centre, scale


def _of_groups(
    present: NDArray[np.float64],
    of: NDArray[np.int64],
    starts: NDArray[np.int64],
    count: NDArray[np.int64],
    method: Method,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre and scale of values that are all there, by group."""
    if method == "none":
        return np.zeros(len(starts)), np.ones(len(starts))
    if method == "mean_abs":
        return np.zeros(len(starts)), np.add.reduceat(np.abs(present), starts) / count
    if method == "standard":
        mean = np.add.reduceat(present, starts) / count
        # The deviations first: a difference of squares would lose a small spread around a large mean.
        deviation = present - np.repeat(mean, count)
        return mean, np.sqrt(np.add.reduceat(deviation * deviation, starts) / count)
    present = present[np.lexsort((present, of))]
    quarter, median, three_quarters = (_quantile(present, starts, count, q) for q in (0.25, 0.5, 0.75))
    spread = (three_quarters - quarter) / 1.349
    # Where more than half of the values are one and the same, the quartiles say nothing of the others.
    away = np.sqrt(np.add.reduceat((present - np.repeat(median, count)) ** 2, starts) / count)
    return median, np.where(spread > 0, spread, away)


def _quantile(
    ordered: NDArray[np.float64], starts: NDArray[np.int64], count: NDArray[np.int64], q: float
) -> NDArray[np.float64]:
    """Return a quantile of each group, between two values in proportion."""
    place = q * (count - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, count - 1)
    low, high = ordered[starts + below], ordered[starts + above]
    return np.asarray(low + (place - below) * (high - low))


def _safe(
    scale: NDArray[np.float64],
    size: NDArray[np.float64],
    is_constant: NDArray[np.bool_],
    method: Method,
    constant: float,
) -> NDArray[np.float64]:
    """Return scales of which those that cannot be divided by are `constant`."""
    if method == "mean_abs":
        return np.where(scale > 0, scale, constant)
    # Of values around 10^6 float32 tells no differences below 0.1, so that a smaller spread is rounding.
    return np.where(is_constant | (scale <= _EPS * size), constant, scale)
