"""Intervals of forecasts, moved until they hold the share of held-out targets that they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.calibration.conformal import conformal_quantile
from recur.data.series import SeriesBatch
from recur.errors import DataError
from recur.models.distributions import Distribution
from recur.score.quantiles import growing_levels

Forecasts = Callable[[SeriesBatch], Distribution]
"""What says distributions of shape (B, P, C) of the targets of a batch, on their scaled values."""

COVERAGES = (0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95, 0.98)
"""Shares of targets that intervals are calibrated for; between them margins are interpolated."""

_MOST_SCORES = 1 << 25
"""Numbers that fitting keeps."""


def original_scale(batch: SeriesBatch) -> tuple[Tensor, Tensor]:
    """Return what turns scaled targets of windows back, value = scaled * size + loc, (B, 1, C) float64 each."""
    assert batch.centre is not None
    assert batch.scale is not None
    return batch.centre[:, None].double(), batch.scale[:, None].double()


def ends(coverage: float) -> tuple[float, float]:
    """Return the levels of the quantiles at both ends of a central interval.

    Example:
        >>> ends(0.5)
        (0.25, 0.75)
    """
    return (1 - coverage) / 2, (1 + coverage) / 2


LEVELS = tuple(sorted({0.5, *(level for coverage in COVERAGES for level in ends(coverage))}))
"""The median, and the ends of all intervals that are calibrated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastCalibration:
    """How far the ends of central intervals move outwards, for each coverage, step of the horizon and target.

    Conformalised quantile regression (Romano et al. 2019, algorithm 1), one margin for each step: it is the quantile of
    max(lower - y, y - upper) over the targets of the validation part, on the scale of the series, so that a margin
    means the same for large series and small ones. For point forecasts both ends are the point, and it is split
    conformal prediction. The promise, at least the share asked for, holds if what is to be told can be exchanged for
    the validation part; where series change it may not, so coverage is also measured on the test part.

    A quantile at level q is the end of the interval of coverage |2 q - 1|; the median stays. Between the coverages
    margins are interpolated, beyond the last one they stay the same. Where the validation part has too few targets for
    a coverage, the margin of the largest one that it has enough for is taken. No quantile moves beyond the median;
    those that cross are sorted, which makes none worse (Chernozhukov et al. 2010).

    Attributes:
        coverages: K shares, growing.
        margin: (K, P, C) float64, in units of the scaling; below 0 where intervals were too wide.
        reach: The largest coverage that had enough targets at every step; 0 if none had.

    Raises:
        ValueError: The shapes do not agree.
    """

    coverages: tuple[float, ...]
    margin: Tensor
    reach: float

    def __post_init__(self) -> None:
        if self.margin.dim() != 3 or len(self.margin) != len(growing_levels("ForecastCalibration", self.coverages)):
            raise ValueError(
                f"ForecastCalibration: margin must have shape (K, P, C) for {len(self.coverages)} coverages, but has "
                f"{tuple(self.margin.shape)}."
            )

    @classmethod
    def fit(cls, forecasts: Forecasts, batches: Iterable[SeriesBatch]) -> ForecastCalibration:
        """Return the calibration of forecasts on windows that they were not trained on.

        Args:
            forecasts: What says distributions.
            batches: Windows of the validation part; all their scores are in memory at once.

        Raises:
            DataError: There is no batch.
        """
        scores: list[list[Tensor]] = [[] for _ in COVERAGES]
        counts: list[Tensor] = []
        with torch.inference_mode():
            for batch in batches:
                loc, size = original_scale(batch)
                # Counts have quantiles of their own on each scale.
                original = forecasts(batch).rescaled(loc, size).quantile(LEVELS).double()
                said = (original - loc[..., None]) / size[..., None]
                target = batch.target.double()
                for own, coverage in zip(scores, COVERAGES, strict=True):
                    lower, upper = (said[..., LEVELS.index(level)] for level in ends(coverage))
                    own.append(torch.maximum(lower - target, target - upper).cpu())
                counts.append(((batch.weight > 0) & said.isfinite().all(-1)).cpu())
        if not counts:
            raise DataError("there is no window to calibrate intervals on.")
        is_counted = torch.cat(counts)
        margins = [
            conformal_quantile(torch.cat(own), is_counted, coverage)
            for own, coverage in zip(scores, COVERAGES, strict=True)
        ]
        # One target is enough for a coverage of a half or less; a step without any stays as it is.
        is_known = [bool((margin.isfinite() | (is_counted.sum(0) == 0)).all()) for margin in margins]
        reach = max((c for c, known in zip(COVERAGES, is_known, strict=True) if known), default=0.0)
        filled = [margins[0].nan_to_num(posinf=0.0)]
        for margin in margins[1:]:
            filled.append(torch.where(margin.isfinite(), margin, filled[-1]))
        return cls(coverages=COVERAGES, margin=torch.stack(filled), reach=reach)

    def quantiles(self, forecast: Distribution, levels: Sequence[float], size: Tensor) -> Tensor:
        """Return calibrated quantiles, (B, P, C, Q) float64, on the original scale.

        Args:
            forecast: Distributions (B, P, C) on the original scale.
            levels: Q probabilities, growing.
            size: What the targets were scaled by, as `original_scale` tells it.
        """
        said = forecast.quantile(levels).double()
        side = torch.sign(torch.tensor(levels, dtype=torch.float64) - 0.5)
        moved = said + side * self._margins([abs(2 * level - 1) for level in levels]) * size[..., None]
        median = forecast.quantile(0.5).double()[..., None]
        moved = torch.where(side < 0, torch.minimum(moved, median), torch.maximum(moved, median))
        return moved.sort(dim=-1).values

    def _margins(self, coverages: Sequence[float]) -> Tensor:
        """Return the margins for any coverages, (P, C, Q)."""
        known = torch.tensor((0.0, *self.coverages), dtype=torch.float64)
        margin = torch.cat([torch.zeros_like(self.margin[:1]), self.margin])
        asked = torch.tensor(coverages, dtype=torch.float64).clamp(max=float(known[-1]))
        above = torch.bucketize(asked, known).clamp(1, len(known) - 1)
        share = ((asked - known[above - 1]) / (known[above] - known[above - 1]))[:, None, None]
        return (margin[above - 1] + share * (margin[above] - margin[above - 1])).movedim(0, -1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all of it as tensors, as safetensors can hold them."""
        return {
            "coverages": torch.tensor(self.coverages, dtype=torch.float64),
            "margin": self.margin.contiguous(),
            "reach": torch.tensor(self.reach, dtype=torch.float64),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> ForecastCalibration:
        """Return the calibration that `state_dict` told.

        Raises:
            DataError: It did not tell this.
        """
        try:
            coverages, margin, reach = state["coverages"], state["margin"], state["reach"]
            if not bool(margin.isfinite().all()):
                raise ValueError("a margin is not finite")
            return cls(coverages=tuple(coverages.tolist()), margin=margin.double(), reach=float(reach))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"the saved calibration is damaged: {str(error).rstrip('.')}.") from None


def calibration_stride(num_windows: int, horizon: int, num_targets: int) -> int:
    """Return which of so many windows are kept in fitting, every k-th one, so that memory is bounded."""
    most = max(1, _MOST_SCORES // (horizon * num_targets * len(COVERAGES)))
    return -(-num_windows // most)
