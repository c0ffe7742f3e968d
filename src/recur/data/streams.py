"""Token ids to batches: contiguous streams whose state is carried from window to window.

For truncated backpropagation through time the text is cut into B equal streams that are read side by side, T steps at
a time. The caller passes the state of one window on to the next, so each row of a batch goes on where the same row of
the batch before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.batch import Batch
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_whole
from recur.wording import option, quantity


class TokenStreams:
    """Training windows: B streams of (N - 1) // B tokens each, T steps at a time, every target the next token.

    An iteration is one epoch. The last window of an epoch is shorter when T does not divide the length of the streams;
    the (N - 1) % B tokens after the last stream are left out. Nothing is shuffled: the order is the text's. Each epoch
    may be cut into windows of other lengths, but always into the same number of them.

    Of several processes each takes its own contiguous slice of the streams, so that all ranks together read what one
    process with the same `batch_size` would.

    Args:
        ids: Token ids, (N,) of any unsigned integer type; a memory-mapped file is read window by window.
        batch_size: Number of streams B over all ranks.
        window: Number of steps T; or a function that returns the lengths of the windows of an epoch, given the number
            of steps of the streams and that of the epoch, from 0.
        document_starts: Positions in `ids` of the first tokens of documents, (D,) int64 ascending, or None. With them
            every batch has `reset`, True where `x` is the first token of a document; without, `reset` is None.
        rank: Which process this is.
        world_size: How many there are.

    Raises:
        OptionError: `batch_size`, `window` or `rank` is out of range, or `world_size` does not divide `batch_size`.
        DataError: There are fewer than `batch_size` + 1 tokens.
        ValueError: The lengths of an epoch's windows do not add up to the streams' steps, or are more or fewer than
            those of the first epoch.

    Example:
        >>> streams = TokenStreams(np.arange(11, dtype=np.uint8), batch_size=2, window=3)
        >>> [batch.x.tolist() for batch in streams]
        [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]]]
        >>> next(iter(streams)).target.tolist()
        [[1, 2, 3], [6, 7, 8]]
    """

    def __init__(
        self,
        ids: NDArray[Any],
        *,
        batch_size: int,
        window: int | Callable[[int, int], Sequence[int]],
        document_starts: NDArray[np.int64] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check_at_least_one(batch_size=batch_size, world_size=world_size)
        if not callable(window):
            _check_at_least_one(window=window)
        if not 0 <= rank < world_size:
            raise OptionError(f"rank: expected 0 to {world_size - 1}, got {rank}.")
        if batch_size % world_size:
            raise OptionError(
                f"batch_size: {quantity(batch_size, 'stream')} cannot be shared equally by {world_size} processes; "
                f"give a multiple of {world_size}."
            )
        length = (len(ids) - 1) // batch_size
        if length < 1:
            raise DataError(
                f"the text has {quantity(len(ids), 'token')}, too few for {quantity(batch_size, 'stream')}; "
                f"give {option('batch_size', max(1, len(ids) - 1))} or less, or a longer text."
            )
        self.batch_size, self.length = batch_size, length
        self._window = window
        local = batch_size // world_size
        rows = slice(rank * local, (rank + 1) * local)
        # Views of the (mapped) ids without the memmap class, whose indexing costs more than the copy of a window.
        plain = np.asarray(ids)
        self._x = plain[: batch_size * length].reshape(batch_size, length)[rows]
        self._target = plain[1 : batch_size * length + 1].reshape(batch_size, length)[rows]
        self._index = torch.arange(rows.start, rows.stop)
        self._full: dict[int, _Full] = {}
        self._starts = None if document_starts is None else _Starts(document_starts, length, rows)
        self._num_windows = len(window(length, 0)) if callable(window) else -(-length // window)
        self._position = self._epoch = 0
        self._resume_at: int | None = None

    def __len__(self) -> int:
        """Number of windows of an epoch."""
        return self._num_windows

    def __iter__(self) -> Iterator[Batch]:
        """Yield the windows of an epoch, the first time after `load_state_dict` from where it stopped.

        `lengths`, `weight` and `index` are the same tensors in every batch: do not write into them.
        """
        first, self._resume_at = self._resume_at or 0, None
        self._position = first
        bounds = self._bounds()
        for number in range(first, len(self)):
            # Counted before it is handed out: a state saved while this window is trained on goes on after it.
            self._position = number + 1
            yield self._batch(bounds[number], min(bounds[number + 1], self.length))
        self._position, self._epoch = 0, self._epoch + 1

    def _bounds(self) -> Sequence[int]:
        """Return where the windows of this epoch begin, and where the last one ends at the latest."""
        if not callable(self._window):
            return range(0, (len(self) + 1) * self._window, self._window)
        lengths = np.asarray(self._window(self.length, self._epoch))
        if len(lengths) != len(self) or lengths.sum() != self.length or lengths.min() < 1:
            raise ValueError(
                f"TokenStreams: window must return {len(self)} lengths above 0 of together {self.length} steps for "
                f"epoch {self._epoch}, but returned {len(lengths)} of together {lengths.sum()}."
            )
        bounds: list[int] = [0, *lengths.cumsum().tolist()]
        return bounds

    def _batch(self, begin: int, end: int) -> Batch:
        full = self._full.get(end - begin)
        if full is None:
            full = self._full[end - begin] = _Full(len(self._x), end - begin)
        return Batch(
            x=torch.from_numpy(self._x[:, begin:end].astype(np.int64)),
            target=torch.from_numpy(self._target[:, begin:end].astype(np.int64)),
            lengths=full.lengths,
            weight=full.weight,
            index=self._index,
            reset=None if self._starts is None else self._starts.reset(begin, end),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the epoch and of the windows already handed out in it, and what they count on."""
        epochs, position = divmod(self._position, len(self))
        counted = {"windows": len(self), "batch_size": self.batch_size}
        return {"epoch": self._epoch + epochs, "position": position, **counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin after the windows that `state` says were handed out; later ones begin at 0.

        Raises:
            RunError: The state is of another text, window or batch size.
        """
        position, epoch = state.get("position"), state.get("epoch")
        expected = {"windows": len(self), "batch_size": self.batch_size}
        found = {name: state.get(name) for name in expected}
        if found != expected:
            raise RunError(
                f"the saved position is of {found['windows']} windows of {found['batch_size']} streams, but here are "
                f"{len(self)} windows of {self.batch_size}; resume with the same text, window and batch size."
            )
        if not isinstance(position, int) or not 0 <= position <= len(self):
            raise RunError(f"the saved position in the text is damaged: {position!r}; expected 0 to {len(self)}.")
        if not is_whole(epoch, 0):
            raise RunError(f"the saved epoch is damaged: {epoch!r}; expected a number from 0 on.")
        epochs, self._position = divmod(position, len(self))
        self._epoch, self._resume_at = epoch + epochs, self._position


class HeldOutStreams:
    """Windows for judging: every target from 1 to N - 1 has weight one exactly once.

    The targets are cut into contiguous parts, one per stream. Each stream but the first begins `burn_in` tokens before
    its part (or at the beginning of the text, if that is nearer) with weight zero, so that its state is warm when its
    first target counts. With one stream the loss is the definition itself: each token given all before it.

    Rows that end before the longest are padded on the right: `lengths` and `weight` say where, `x` and `target` are 0
    there. A row that has ended stays in the batch with length 0.

    Args:
        ids: Token ids, (N,) of any unsigned integer type, N at least 2.
        streams: Number of streams S; no more than N - 1 are made.
        window: Number of steps T of a batch; the last batch may be shorter.
        burn_in: Number of unscored tokens before each part.
        document_starts: Positions of the first tokens of documents, (D,) int64 ascending, or None; see `TokenStreams`.

    Raises:
        OptionError: A number is out of range.
        DataError: There are fewer than two tokens.

    Example:
        >>> held_out = HeldOutStreams(np.arange(6, dtype=np.uint8), streams=2, window=4, burn_in=1)
        >>> [(batch.target.tolist(), batch.weight.tolist()) for batch in held_out]
        [([[1, 2, 0, 0], [2, 3, 4, 5]], [[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])]
    """

    def __init__(
        self,
        ids: NDArray[Any],
        *,
        streams: int,
        window: int,
        burn_in: int,
        document_starts: NDArray[np.int64] | None = None,
    ) -> None:
        _check_at_least_one(streams=streams, window=window)
        if burn_in < 0:
            raise OptionError(f"burn_in: expected a number of tokens from 0 on, got {burn_in}.")
        num_targets = len(ids) - 1
        if num_targets < 1:
            raise DataError(f"the text has {quantity(len(ids), 'token')}, too few to judge on; at least 2 are needed.")
        self.streams, self.window = min(streams, num_targets), window
        self._ids = np.asarray(ids)
        bounds = np.arange(self.streams + 1, dtype=np.int64) * num_targets // self.streams
        self._first_scored = bounds[:-1]
        self._begin = np.maximum(bounds[:-1] - burn_in, 0)
        self._end = bounds[1:]
        self._longest = int((self._end - self._begin).max())
        self._starts = None if document_starts is None else np.asarray(document_starts, dtype=np.int64)

    def has_begun_late(self) -> NDArray[np.bool_]:
        """Return which streams begin after the beginning of the text, so that their burn-in may be too short, (S,)."""
        begun_late: NDArray[np.bool_] = self._begin > 0
        return begun_late

    def __len__(self) -> int:
        """Number of batches."""
        return -(-self._longest // self.window)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the windows from the beginning."""
        index = torch.arange(self.streams)
        for first in range(0, self._longest, self.window):
            steps = min(self.window, self._longest - first)
            # Positions in the text of x, (S, T); beyond a row's end they are padding.
            position = self._begin[:, None] + np.arange(first, first + steps)
            inside = position < self._end[:, None]
            scored = inside & (position >= self._first_scored[:, None])
            position = np.where(inside, position, 0)
            yield Batch(
                x=_padded(self._ids[position], inside),
                target=_padded(self._ids[position + 1], inside),
                lengths=torch.from_numpy(inside.sum(axis=1)),
                weight=torch.from_numpy(scored.astype(np.float32)),
                index=index,
                reset=None if self._starts is None else self._reset(position, inside),
            )

    def _reset(self, position: NDArray[np.int64], inside: NDArray[np.bool_]) -> Tensor:
        assert self._starts is not None
        nearest = np.searchsorted(self._starts, position)
        # A last entry that no position equals keeps the look-up in range.
        starts = np.append(self._starts, -1)
        return torch.from_numpy((starts[nearest] == position) & inside)


class _Full:
    """What all batches of the same length share."""

    def __init__(self, rows: int, steps: int) -> None:
        self.lengths = torch.full((rows,), steps, dtype=torch.int64)
        self.weight = torch.ones(rows, steps)


class _Starts:
    """Document starts by their place in the streams, so that a window's are found by bisection."""

    def __init__(self, document_starts: NDArray[np.int64], length: int, rows: slice) -> None:
        starts = np.asarray(document_starts, dtype=np.int64)
        row, step = starts // length - rows.start, starts % length
        ours = (row >= 0) & (row < rows.stop - rows.start)
        order = np.argsort(step[ours], kind="stable")
        self._row, self._step = row[ours][order], step[ours][order]
        self._num_rows = rows.stop - rows.start

    def reset(self, begin: int, end: int) -> Tensor:
        """Return where documents start in the steps from `begin` to `end`, (B, T) bool."""
        low, high = np.searchsorted(self._step, (begin, end))
        reset = np.zeros((self._num_rows, end - begin), dtype=np.bool_)
        reset[self._row[low:high], self._step[low:high] - begin] = True
        return torch.from_numpy(reset)


def _padded(ids: NDArray[Any], inside: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.where(inside, ids, 0).astype(np.int64))


def _check_at_least_one(**options: int) -> None:
    for name, value in options.items():
        if value < 1:
            raise OptionError(f"{name}: expected a number from 1 on, got {value}.")
