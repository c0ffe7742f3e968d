"""How far a value is from what was usual at its place in the season, on streams."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NEWEST = 0.3
"""Share of the newest season in what is usual: the last three seasons make up two thirds of it."""


class SeasonalState(NamedTuple):
    """What was seen.

    Attributes:
        usual: (B, longest season, C) float64, NaN where nothing was seen.
        place: (B,) int64, the place in the season of the next step.
        seasons: (B,) int64, steps of each series' season; 1 where it has none.
    """

    usual: Tensor
    place: Tensor
    seasons: Tensor


def begin_season(seasons: Tensor, num_targets: int) -> SeasonalState:
    """Return the state of series of which nothing was seen.

    Args:
        seasons: As of `SeasonalState`.
        num_targets: C.
    """
    longest = int(seasons.max()) if len(seasons) else 1
    return SeasonalState(
        usual=torch.full((len(seasons), longest, num_targets), torch.nan, dtype=torch.float64),
        place=torch.zeros_like(seasons),
        seasons=seasons,
    )


def seasonal_errors(values: Tensor, is_step: Tensor, state: SeasonalState) -> tuple[Tensor, SeasonalState]:
    """Return how far values are from the mean of those at the same place of earlier seasons, newer ones counting more.

    Args:
        values: (B, T, C) float64, NaN where missing.
        is_step: (B, T) bool, false past a row's end.
        state: After the steps before.

    Returns:
        (B, T, C), from 0 on; NaN where the value is missing, nothing was seen at its place, or there is no
        season; and the state.
    """
    usual, place, seasons = state
    found = []
    # Within the shortest season no place comes twice.
    shortest = int(torch.where(seasons > 1, seasons, torch.iinfo(torch.int64).max).min()) if len(seasons) else 1
    for piece, steps in zip(torch.split(values, shortest, 1), torch.split(is_step, shortest, 1), strict=True):
        order = torch.arange(piece.shape[1], device=piece.device)
        where = (place[:, None] + order) % seasons[:, None]
        slot = where[..., None].expand_as(piece)
        before = usual.gather(1, slot)
        is_new = steps[..., None] & ~piece.isnan() & (seasons > 1)[:, None, None]
        found.append(torch.where(is_new, (piece - before).abs(), torch.nan))
        after = torch.where(before.isnan(), piece, torch.lerp(before, piece, _NEWEST))
        rows = torch.nonzero(is_new, as_tuple=True)
        usual = usual.index_put((rows[0], where[rows[0], rows[1]], rows[2]), after[rows])
        place = (place + steps.sum(1)) % seasons
    return torch.cat(found, 1) if found else values, SeasonalState(usual, place, seasons)
