"""The newest steps of many series, and those that are known ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

_LEAST_ROOM = 16
_NEVER = np.iinfo(np.int64).min


class StepBuffer:
    """A ring of steps for each series, in which each step has its place; what was not written is missing.

    Args:
        size: Steps of the ring, K: of a series no two that are further apart are in it.
        num_values: F.
        num_codes: Q.

    Attributes:
        size: As given.
        step: Which step is at each place, (S, K) int64.
        values: (S, K, F) float32, NaN where missing.
        codes: (S, K, Q) int32.
    """

    def __init__(self, size: int, num_values: int, num_codes: int) -> None:
        self.size = size
        self.step = np.full((0, size), _NEVER, np.int64)
        self.values = np.zeros((0, size, num_values), np.float32)
        self.codes = np.zeros((0, size, num_codes), np.int32)

    def grow(self, count: int) -> None:
        """Make room for so many series."""
        room = len(self.step)
        if count <= room:
            return
        more = max(count, 2 * room, _LEAST_ROOM) - room
        self.step = np.concatenate([self.step, np.full((more, self.size), _NEVER, np.int64)])
        # Of what was never written nothing is read, so that it takes no memory until then.
        self.values = np.concatenate([self.values, np.empty((more, *self.values.shape[1:]), np.float32)])
        self.codes = np.concatenate([self.codes, np.empty((more, *self.codes.shape[1:]), np.int32)])

    def write(self, series: Numbers, step: Numbers, values: NDArray[np.float32], codes: NDArray[np.int32]) -> None:
        """Keep steps, (R,) each, in place of those a ring before.

        What was known of a step before it came stays known where nothing is said of it any more: NaN, or code 0.
        """
        place = step % self.size
        is_known = self.step[series, place] == step
        values = np.where(is_known[:, None] & np.isnan(values), self.values[series, place], values)
        codes = np.where(is_known[:, None] & (codes == 0), self.codes[series, place], codes)
        self.step[series, place] = step
        self.values[series, place] = values
        self.codes[series, place] = codes

    def shift(self, series: Numbers, by: Numbers) -> None:
        """Count the steps of series, (N,), so many further, (N,)."""
        for number, more in zip(series.tolist(), by.tolist(), strict=True):
            step = self.step[number]
            step[step != _NEVER] += more
            for ring in (self.step, self.values, self.codes):
                ring[number] = np.roll(ring[number], more, axis=0)

    def read(
        self, series: Numbers, steps: Numbers, inside: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return numbers and codes of steps (B, T) of series (B,): NaN and 0 where they are not there or not inside."""
        place = steps % self.size
        at = series[:, None]
        is_there = self.step[at, place] == steps
        if inside is not None:
            is_there &= inside
        values = np.where(is_there[..., None], self.values[at, place], np.float32(np.nan))
        return values, np.where(is_there[..., None], self.codes[at, place], 0)
