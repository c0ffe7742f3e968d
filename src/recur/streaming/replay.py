"""Windows of older data, a bounded number of them, against forgetting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from recur.data.series import Part, SeriesBatch
from recur.errors import DataError, RunError
from recur.run import RunFolder
from recur.tasks.forecast.setup import ForecastSetup

REPLAY = "replay.safetensors"
"""File of a run with its replay."""

_MOST_LOOKED_AT = 20_000
"""Windows of a part that a reservoir is drawn from."""


class Reservoir:
    """A random sample, of a fixed size, of all windows that were ever shown (Vitter 1985, algorithm R).

    Args:
        capacity: How many windows it keeps.
        seed: Of the sample.

    Attributes:
        windows: Those kept, scaled as they were read; None while there is none.
        seen: How many windows it was shown.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        self.capacity = capacity
        self.windows: SeriesBatch | None = None
        self.seen = 0
        self._random = torch.Generator().manual_seed(seed)

    def add(self, batches: Iterable[SeriesBatch]) -> None:
        """Show windows of one shape, of which some are kept."""
        for batch in batches:
            # Of windows that go to one place the last one stays.
            kept: dict[int, int] = {}
            for number in range(len(batch.row)):
                place = self.seen
                self.seen += 1
                if place >= self.capacity:
                    place = int(torch.randint(self.seen, (), generator=self._random))
                if place < self.capacity:
                    kept[place] = number
            if kept:
                self._put(chosen(batch, torch.tensor(list(kept.values()))), torch.tensor(list(kept)))

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

        if (own.history_weight is None) != (batch.history_weight is None):
            own, batch = _with_weight(own), _with_weight(batch)
        changed: dict[str, Any] = {
            one.name: put(getattr(own, one.name), getattr(batch, one.name)) for one in fields(own)
        }
        self.windows = replace(own, **changed)


class Replay:
    """Older windows to learn from beside new ones, and others, never learnt from, that tell what was forgotten.

    Args:
        seed: Of the samples.

    Attributes:
        learnt: Of the training part, and of what was learnt since: 256.
        held: Of the validation part, and of what was held back since: 128.
    """

    def __init__(self, seed: int = 0) -> None:
        self.learnt = Reservoir(256, seed)
        self.held = Reservoir(128, seed)

    @classmethod
    def of_run(cls, folder: RunFolder | None, setup: ForecastSetup, *, seed: int = 0) -> Replay:
        """Return the replay of a run; one of the parts that it was trained with where it has none yet.

        Raises:
            RunError: The run has none, and its data were not in a file or have changed; or the file is damaged.
            DataError: The run's data cannot be read any more.
        """
        made = cls(seed)
        if folder is not None and folder.has(REPLAY):
            made._load(folder)
            return made
        split = setup.own_data()
        for reservoir, part in ((made.learnt, split.train), (made.held, split.valid)):
            if _has_windows(setup, part):
                windows = setup.windows(part, batch_size=512)
                stride = -(-windows.num_windows // _MOST_LOOKED_AT)
                reservoir.add(windows if stride == 1 else setup.windows(part, batch_size=512, stride=stride))
        return made

    def save(self, folder: RunFolder) -> None:
        """Write the replay into a run.

        Raises:
            RunError: It cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        for name, reservoir in self._by_name().items():
            windows = reservoir.windows
            tensors[f"{name}.seen"] = torch.tensor(reservoir.seen)
            for one in fields(SeriesBatch) if windows is not None else ():
                tensor = getattr(windows, one.name)
                if tensor is not None:
                    tensors[f"{name}.{one.name}"] = tensor.contiguous().clone()
        folder.write_tensors(REPLAY, tensors)

    def _load(self, folder: RunFolder) -> None:
        tensors = folder.read_tensors(REPLAY)
        try:
            for name, reservoir in self._by_name().items():
                own = {n.removeprefix(f"{name}."): t for n, t in tensors.items() if n.startswith(f"{name}.")}
                reservoir.seen = int(own.pop("seen"))
                reservoir.windows = SeriesBatch(**own) if own else None
        except (TypeError, KeyError, ValueError) as error:
            raise RunError(f"{folder.path / REPLAY}: damaged: {error}.") from error

    def _by_name(self) -> dict[str, Reservoir]:
        return {"learnt": self.learnt, "held": self.held}


def _has_windows(setup: ForecastSetup, part: Part) -> bool:
    try:
        setup.windows(part, batch_size=1)
    except DataError:
        return False
    return True


def _with_weight(batch: SeriesBatch) -> SeriesBatch:
    """Return windows that say how much each step counts, where nothing was said all 1."""
    if batch.history_weight is not None:
        return batch
    return replace(batch, history_weight=batch.x.new_ones(batch.x.shape[:2]))


def chosen(batch: SeriesBatch, rows: Tensor) -> SeriesBatch:
    """Return some windows of a batch."""
    given = {one.name: getattr(batch, one.name) for one in fields(batch)}
    taken: dict[str, Any] = {name: None if tensor is None else tensor[rows] for name, tensor in given.items()}
    return SeriesBatch(**taken)
