"""Windows: sequences and streams cut into consecutive pieces, for truncated back-propagation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from recur.nn.sequences import Lengths, lengths_of
from recur.ops._checks import check_reset


@dataclass(frozen=True, eq=False)
class Window:
    """The steps of all rows from one place to another.

    Attributes:
        x: Inputs, (T, B, ...), or (B, T, ...) where rows come first.
        others: What has the same steps, such as the targets, each (T, B, ...) as x.
        reset: bool, (T, B) as x, true where a row begins anew before the step; or None.
        lengths: True steps of each row in this window, (B,) int64, 0 where it has ended before; None: all have T.
        is_first: Whether the sequences begin here.
    """

    x: Tensor
    others: tuple[Tensor, ...] = ()
    reset: Tensor | None = None
    lengths: Tensor | None = None
    is_first: bool = False

    def to(self, device: torch.device | str) -> Window:
        """Return the window on `device`, with which Lightning moves it there."""
        return Window(
            x=self.x.to(device),
            others=tuple([other.to(device) for other in self.others]),
            reset=None if self.reset is None else self.reset.to(device),
            lengths=None if self.lengths is None else self.lengths.to(device),
            is_first=self.is_first,
        )


Chunk: TypeAlias = Tensor | tuple[Tensor, ...] | Window
"""Some steps of a stream: x alone, x and what goes with it, or, with resets, a `Window`."""


def check_sequence(name: str, value: Tensor, x: Tensor, time: int) -> None:
    """Raise unless `value` has the steps and rows of `x`.

    Raises:
        TypeError: It is no tensor.
        ValueError: It has other steps or rows.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"TruncatedBPTT: {name} must be a torch.Tensor, but is {type(value).__name__}.")
    if value.shape[:2] != x.shape[:2]:
        raise ValueError(
            f"TruncatedBPTT: {name} must begin with ({_letters(time)}) = {tuple(x.shape[:2])} as x, but has shape "
            f"{tuple(value.shape)}."
        )


def check_input(x: Tensor, time: int) -> None:
    """Raise unless `x` is a batch of sequences of at least one step.

    Raises:
        TypeError: It is no tensor.
        ValueError: It has fewer than two dimensions, or no steps.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"TruncatedBPTT: x must be a torch.Tensor, but is {type(x).__name__}.")
    letters = _letters(time)
    if x.dim() < 2:
        raise ValueError(f"TruncatedBPTT: x has shape {tuple(x.shape)}. Give ({letters}, ...).")
    if x.shape[time] == 0:
        raise ValueError(f"TruncatedBPTT: x has no steps, ({letters}, ...) = {tuple(x.shape)}. Give at least one.")


def check_resets(reset: Tensor, x: Tensor, time: int) -> None:
    """Raise unless `reset` is a bool for each step of each row of `x`.

    Raises:
        TypeError: It is no tensor of bools.
        ValueError: It has another shape.
    """
    check_reset("TruncatedBPTT", reset, tuple(x.shape[:2]), f"({_letters(time)})")


def _letters(time: int) -> str:
    """Return the dimensions of rows and steps, where the steps are in dimension `time`."""
    return "B, T" if time else "T, B"


def cut_sequences(
    x: Tensor,
    others: Sequence[Tensor],
    reset: Tensor | None,
    lengths: Lengths | None,
    *,
    sizes: Callable[[int], Iterable[int]],
    time: int,
) -> Iterator[Window]:
    """Return the windows of sequences.

    Args:
        x: Inputs, (T, B, ...) or (B, T, ...).
        others: What has the same steps and rows.
        reset: bool, (T, B) as x, or None.
        lengths: True steps of each row, or None.
        sizes: Returns the steps of the windows for a number of steps that they add up to.
        time: Dimension of the steps.

    Raises:
        TypeError: Something is of the wrong kind.
        ValueError: A shape or a length does not fit.
    """
    check_input(x, time)
    for number, other in enumerate(others):
        check_sequence(f"others[{number}]", other, x, time)
    if reset is not None:
        check_resets(reset, x, time)
    num_steps = x.shape[time]
    if lengths is not None:
        lengths = lengths_of("TruncatedBPTT", lengths, num_steps, x.shape[1 - time])
    return _cut(Window(x, tuple(others), reset, lengths), sizes(num_steps), time)


def _cut(whole: Window, sizes: Iterable[int], time: int) -> Iterator[Window]:
    begin, lengths = 0, whole.lengths
    for size in sizes:
        yield Window(
            x=whole.x.narrow(time, begin, size),
            others=tuple([other.narrow(time, begin, size) for other in whole.others]),
            reset=None if whole.reset is None else whole.reset.narrow(time, begin, size),
            lengths=None if lengths is None else (lengths - begin).clamp(0, size),
            is_first=begin == 0,
        )
        begin += size


def cut_stream(chunks: Iterable[Chunk], *, sizes: Iterator[int], time: int) -> Iterator[Window]:
    """Yield windows of the steps of all chunks in a row; no more than a window and a chunk is held at once.

    Args:
        chunks: Of any number of steps each, also none.
        sizes: Steps of each window, without an end; where the chunks end, the last window may have fewer.
        time: Dimension of the steps.

    Raises:
        TypeError: A chunk is none of the kinds, or has something that is no tensor.
        ValueError: A chunk does not fit together, or does not fit the ones before it.
    """
    held: list[Window] = []
    num_held, wanted, is_first = 0, next(sizes), True
    like: Window | None = None
    for chunk in chunks:
        part = _checked(chunk, like, time)
        like = like or part
        held.append(part)
        num_held += part.x.shape[time]
        while num_held >= wanted:
            window, rest = _split(_joined(held, time), wanted, time)
            yield Window(window.x, window.others, window.reset, None, is_first)
            held, num_held, is_first, wanted = [rest], num_held - wanted, False, next(sizes)
    if num_held:
        window = _joined(held, time)
        yield Window(window.x, window.others, window.reset, None, is_first)


def _checked(chunk: Chunk, like: Window | None, time: int) -> Window:
    """Return a chunk as a window, after a look at whether it goes on from one `like` it."""
    if isinstance(chunk, Tensor):
        chunk = Window(chunk)
    elif isinstance(chunk, tuple) and chunk:
        chunk = Window(chunk[0], chunk[1:])
    elif not isinstance(chunk, Window):
        raise TypeError(
            f"TruncatedBPTT: a chunk must be a torch.Tensor, a tuple (x, ...) of them or a Window, but is "
            f"{type(chunk).__name__}."
        )
    if chunk.lengths is not None:
        raise ValueError("TruncatedBPTT: a chunk of a stream has lengths, but a stream does not end. Pass reset.")
    if not (isinstance(chunk.x, Tensor) and chunk.x.dim() >= 2 and chunk.x.shape[time] == 0):
        check_input(chunk.x, time)
    for number, other in enumerate(chunk.others):
        check_sequence(f"others[{number}]", other, chunk.x, time)
    if chunk.reset is not None:
        check_resets(chunk.reset, chunk.x, time)
    if like is not None:
        mine, theirs = ([_step_shape(t, time) for t in (w.x, *w.others)] for w in (chunk, like))
        if mine != theirs:
            raise ValueError(
                f"TruncatedBPTT: a step of a chunk has shapes {mine}, but a step of the first one has {theirs}."
            )
    return chunk


def _step_shape(value: Tensor, time: int) -> tuple[int, ...]:
    return (*value.shape[:time], *value.shape[time + 1 :])


def joined_resets(resets: Sequence[Tensor | None], inputs: Sequence[Tensor], time: int) -> Tensor | None:
    """Return the resets of pieces in a row as those of the whole; None where no piece has any."""
    if all(reset is None for reset in resets):
        return None
    full = [
        x.new_zeros(x.shape[:2], dtype=torch.bool) if reset is None else reset
        for reset, x in zip(resets, inputs, strict=True)
    ]
    return full[0] if len(full) == 1 else torch.cat(full, time)


def _joined(windows: Sequence[Window], time: int) -> Window:
    if len(windows) == 1:
        return windows[0]
    inputs = [window.x for window in windows]
    return Window(
        x=torch.cat(inputs, time),
        others=tuple([torch.cat(parts, time) for parts in zip(*(w.others for w in windows), strict=True)]),
        reset=joined_resets([window.reset for window in windows], inputs, time),
    )


def _split(window: Window, size: int, time: int) -> tuple[Window, Window]:
    steps = window.x.shape[time]
    first, rest = (
        Window(
            x=window.x.narrow(time, begin, count),
            others=tuple([other.narrow(time, begin, count) for other in window.others]),
            reset=None if window.reset is None else window.reset.narrow(time, begin, count),
        )
        for begin, count in ((0, size), (size, steps - size))
    )
    return first, rest
