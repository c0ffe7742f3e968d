"""Windows of older data, a bounded number of them, against forgetting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from recur.data.series import SeriesBatch
from recur.errors import RunError
from recur.run import RunFolder
from recur.tasks.forecast.setup import ForecastSetup

REPLAY = "replay.safetensors"
"""File of a run with its reservoir."""

_HELD_BACK = 4
"""Every so manieth window is not learnt from, and tells what was forgotten."""
_MOST_LOOKED_AT = 20_000
"""Windows of a training part that a reservoir is drawn from."""


class Replay:
    """A reservoir: a random sample of all windows that it was ever shown, of a fixed size (Vitter 1985, algorithm R).

    Args:
        capacity: How many windows it keeps.
        seed: Of the sample.

    Attributes:
        windows: Those kept, scaled as they were read; None while there is none.
        seen: How many windows it was shown.
    """

    def __init__(self, capacity: int = 256, seed: int = 0) -> None:
        self.capacity = capacity
        self.windows: SeriesBatch | None = None
        self.seen = 0
        self._random = torch.Generator().manual_seed(seed)

    @classmethod
    def of_run(cls, folder: RunFolder | None, setup: ForecastSetup, *, capacity: int = 256, seed: int = 0) -> Replay:
        """Return the reservoir of a run; one of the setup's training part where it has none yet.

        Raises:
            RunError: The run has none, and its data were not in a file or have changed; or the file is damaged.
            DataError: The run's data cannot be read any more.
        """
        made = cls(capacity, seed)
        if folder is not None and folder.has(REPLAY):
            made._load(folder)
            return made
        split = setup.own_data()
        windows = setup.windows(split.train, batch_size=512)
        stride = -(-windows.num_windows // _MOST_LOOKED_AT)
        made.add(windows if stride == 1 else setup.windows(split.train, batch_size=512, stride=stride))
        return made

    def add(self, batches: Iterable[SeriesBatch]) -> None:
        """Show windows of one shape, of which some are kept."""
        for batch in batches:
            kept: list[int] = []
            places: list[int] = []
            for number in range(len(batch.row)):
                place = self.seen
                self.seen += 1
                if place >= self.capacity:
                    place = int(torch.randint(self.seen, (), generator=self._random))
                    if place >= self.capacity:
                        continue
                if place in places:
                    kept.pop(places.index(place))
                    places.remove(place)
                kept.append(number)
                places.append(place)
            if places:
                self._put(chosen(batch, torch.tensor(kept)), torch.tensor(places))

    def parts(self) -> tuple[SeriesBatch | None, SeriesBatch | None]:
        """Return the windows to learn from, and those to judge by."""
        if self.windows is None or len(self.windows.row) < _HELD_BACK:
            return None, None
        number = torch.arange(len(self.windows.row))
        is_held = number % _HELD_BACK == _HELD_BACK - 1
        return chosen(self.windows, number[~is_held]), chosen(self.windows, number[is_held])

    def save(self, folder: RunFolder) -> None:
        """Write the reservoir into a run.

        Raises:
            RunError: It cannot be written.
        """
        if self.windows is None:
            return
        given = {one.name: getattr(self.windows, one.name) for one in fields(self.windows)}
        tensors = {name: tensor.contiguous().clone() for name, tensor in given.items() if tensor is not None}
        folder.write_tensors(REPLAY, tensors, metadata={"seen": str(self.seen)})

    def _load(self, folder: RunFolder) -> None:
        tensors, metadata = folder.read_tensors_and_metadata(REPLAY)
        try:
            self.windows = SeriesBatch(**tensors)
            self.seen = int(metadata["seen"])
        except (TypeError, KeyError, ValueError) as error:
            raise RunError(f"{folder.path / REPLAY}: damaged: {error}.") from error
        self.windows = chosen(self.windows, torch.arange(min(self.capacity, len(self.windows.row))))

    def _put(self, batch: SeriesBatch, places: Tensor) -> None:
        """Put windows at places, of which those past the end are the next ones."""
        own = self.windows
        if own is None:
            self.windows = batch
            return
        size = max(len(own.row), int(places.max()) + 1)

        def put(old: Tensor | None, new: Tensor | None) -> Tensor | None:
            if old is None or new is None:
                return None
            grown = torch.cat([old, old.new_zeros(size - len(old), *old.shape[1:])])
            grown[places] = new
            return grown

        changed: dict[str, Any] = {
            one.name: put(getattr(own, one.name), getattr(batch, one.name)) for one in fields(own)
        }
        self.windows = replace(own, **changed)


def chosen(batch: SeriesBatch, rows: Tensor) -> SeriesBatch:
    """Return some windows of a batch."""
    given = {one.name: getattr(batch, one.name) for one in fields(batch)}
    taken: dict[str, Any] = {name: None if tensor is None else tensor[rows] for name, tensor in given.items()}
    return SeriesBatch(**taken)
