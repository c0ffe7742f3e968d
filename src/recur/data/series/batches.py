"""Batches of series, whatever their items are."""

from __future__ import annotations

from recur.data.epochs import EpochBatches
from recur.data.series.batch import SeriesBatch


class SeriesBatches(EpochBatches[SeriesBatch]):
    """The base of batches of windows and of whole series; see `EpochBatches`."""
