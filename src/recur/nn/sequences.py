"""The forms in which sequences come and go: padded, packed, ragged, one alone; padded on the left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_sequence

from recur.ops._checks import check_lengths, shape_of

Lengths: TypeAlias = Tensor | Sequence[int]
Sequences: TypeAlias = Tensor | PackedSequence | Sequence[Tensor]
"""(T, B, ...), (B, T, ...), (T, ...) for one sequence, a PackedSequence, or a list of tensors (T_k, ...)."""


class Form(NamedTuple):
    """How a batch of sequences came, so that what is made of it can go the same way.

    Attributes:
        batch_first: Whether what is padded is (B, T, ...), whatever x came as.
        is_batched: Whether there is a batch at all.
        packed: The PackedSequence it came as, and of each row of its data the place among the T * B steps of the padded
            batch; or None.
        counts: The steps of each sequence when it came as a list, or None.
    """

    batch_first: bool = False
    is_batched: bool = True
    packed: tuple[PackedSequence, Tensor] | None = None
    counts: tuple[int, ...] | None = None

    def restore(self, y_TBO: Tensor) -> Tensor | PackedSequence | list[Tensor]:
        """Return (T, B, ...) in the form of the input."""
        if self.packed is not None:
            packed, places = self.packed
            return packed._replace(data=y_TBO.flatten(0, 1).index_select(0, places))
        if self.counts is not None:
            return [row[:count] for row, count in zip(y_TBO.unbind(1), self.counts, strict=True)]
        if not self.is_batched:
            return y_TBO[:, 0]
        return y_TBO.transpose(0, 1) if self.batch_first else y_TBO


_TIME_FIRST, _BATCH_FIRST = Form(), Form(batch_first=True)


def time_first(
    owner: str, x: Sequences, lengths: Lengths | None, *, batch_first: bool, num_features: int, wanted: str
) -> tuple[Tensor, Lengths | None, Form]:
    """Return the sequences as (T, B, ...), their lengths, and how they came.

    Args:
        owner: Who complains.
        x: The sequences.
        lengths: As the user gave them.
        batch_first: Whether a padded batch is (B, T, ...).
        num_features: How many dimensions one step of one sequence has.
        wanted: The shape a step should have, for messages, such as "8".

    Raises:
        TypeError: `x` is none of the forms.
        ValueError: It has the wrong number of dimensions, or lengths are given to what has its own.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ValueError(f"{owner}: a PackedSequence has its own lengths; leave lengths out.")
        padded, counts, places = _unpacked(owner, x)
        return padded, counts, Form(batch_first=batch_first, packed=(x, places))
    if isinstance(x, list | tuple):
        if lengths is not None:
            raise ValueError(f"{owner}: a list of sequences has its own lengths; leave lengths out.")
        return _padded(owner, x, 1 + num_features, wanted, batch_first)
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{owner}: x must be a torch.Tensor, a PackedSequence or a list of tensors, but is {type(x).__name__}."
        )
    if x.dim() == 2 + num_features:
        return (x.transpose(0, 1), lengths, _BATCH_FIRST) if batch_first else (x, lengths, _TIME_FIRST)
    if x.dim() == 1 + num_features:
        return x[:, None], lengths, Form(batch_first=batch_first, is_batched=False)
    letters = "B, T" if batch_first else "T, B"
    raise ValueError(
        f"{owner}: x has {x.dim()} dimensions, {shape_of(x)}. "
        f"Give ({letters}, {wanted}), or (T, {wanted}) for one sequence."
    )


def _padded(
    owner: str, rows: Sequence[Tensor], rank: int, wanted: str, batch_first: bool
) -> tuple[Tensor, Tensor, Form]:
    if not rows:
        raise ValueError(f"{owner}: x is an empty list; give at least one sequence.")
    for number, row in enumerate(rows):
        if not isinstance(row, Tensor):
            raise TypeError(f"{owner}: x[{number}] must be a torch.Tensor, but is {type(row).__name__}.")
        if row.dim() != rank or row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(f"{owner}: x[{number}] must have shape (T, {wanted}), but has {shape_of(row)}.")
        ours, first = f"{row.dtype} on {row.device}", f"{rows[0].dtype} on {rows[0].device}"
        if ours != first:
            raise TypeError(f"{owner}: x[{number}] is {ours}, but x[0] is {first}. Give all of one dtype and device.")
    counts = tuple(len(row) for row in rows)
    if max(counts) == 0:
        raise ValueError(f"{owner}: x has no steps; give at least one.")
    return pad_sequence(list(rows)), torch.tensor(counts), Form(batch_first=batch_first, counts=counts)


def _unpacked(owner: str, packed: PackedSequence) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sequences as (T, B, ...), zero past their ends, their lengths, and the place of each row of data.

    Torch's `pad_packed_sequence` copies step by step, which takes many times as long, above all with a gradient.
    """
    data, batch_sizes, order, _ = packed
    sizes = batch_sizes.tolist()
    is_list = batch_sizes.dim() == 1 and len(sizes) > 0 and not batch_sizes.is_floating_point()
    if not is_list or sorted(sizes, reverse=True) != sizes or sizes[-1] < 0:
        raise ValueError(
            f"{owner}: batch_sizes of the PackedSequence must be whole numbers that never grow, but are {sizes}."
        )
    num_steps, batch, count = len(sizes), sizes[0], sum(sizes)
    if count != len(data):
        raise ValueError(f"{owner}: the PackedSequence has {len(data)} rows, but its batch_sizes come to {count}.")
    if order is not None and sorted(order.tolist()) != list(range(batch)):
        raise ValueError(f"{owner}: sorted_indices of the PackedSequence must be the numbers from 0 to {batch - 1}.")
    steps = torch.arange(num_steps).repeat_interleave(batch_sizes, output_size=count)
    rows = torch.arange(count) - (batch_sizes.cumsum(0) - batch_sizes)[steps]
    lengths = torch.zeros(batch, dtype=torch.int64).index_add_(0, rows, torch.ones_like(rows))
    steps, rows = steps.to(data.device), rows.to(data.device)
    if order is not None:
        lengths = torch.zeros_like(lengths).index_copy_(0, order.to(lengths.device), lengths)
        rows = order[rows]
    places = steps * batch + rows
    padded = data.new_zeros(num_steps * batch, *data.shape[1:]).index_copy(0, places, data)
    return padded.view(num_steps, batch, *data.shape[1:]), lengths, places


def lengths_of(owner: str, lengths: Lengths, num_steps: int, batch: int, of: str = "x") -> Tensor:
    """Return `lengths` of what is named as a tensor, int64, checked.

    Raises:
        TypeError: It is no tensor of whole numbers, nor can be made one.
        ValueError: There is not one for each row, or one is below 0 or above `num_steps`.
    """
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{owner}: lengths must be a tensor or a list of whole numbers: {error}") from None
    check_lengths(owner, lengths, num_steps, batch, of)
    return lengths.to(torch.int64)


def left_to_right_padding(x: Tensor, lengths: Lengths, *, batch_first: bool = False) -> Tensor:
    """Return sequences that are padded at their beginning padded at their end, as layers want them.

    Args:
        x: (T, B, ...), or (B, T, ...) with `batch_first`; row k holds its steps in the last lengths[k] places.
        lengths: True steps of each row, a tensor or a list of B whole numbers.
        batch_first: Whether rows come first.

    Returns:
        The same shape: row k's steps in the first lengths[k] places, and what was before them behind.

    Example:
        >>> left_to_right_padding(torch.tensor([[0, 0, 5], [1, 2, 3]]), torch.tensor([1, 3]), batch_first=True)
        tensor([[5, 0, 0],
                [1, 2, 3]])
    """
    return _rolled("left_to_right_padding", x, lengths, batch_first, to_left=False)


def right_to_left_padding(x: Tensor, lengths: Lengths, *, batch_first: bool = False) -> Tensor:
    """Return sequences that are padded at their end padded at their beginning; `left_to_right_padding` undone.

    Args:
        x: (T, B, ...), or (B, T, ...) with `batch_first`; row k holds its steps in the first lengths[k] places.
        lengths: True steps of each row, a tensor or a list of B whole numbers.
        batch_first: Whether rows come first.

    Returns:
        The same shape.

    Raises:
        TypeError: `lengths` are no whole numbers.
        ValueError: A shape or a length does not fit.
    """
    return _rolled("right_to_left_padding", x, lengths, batch_first, to_left=True)


def _rolled(owner: str, x: Tensor, lengths: Lengths, batch_first: bool, *, to_left: bool) -> Tensor:
    axis = 1 if batch_first else 0
    if not isinstance(x, Tensor):
        raise TypeError(f"{owner}: x must be a torch.Tensor, but is {type(x).__name__}.")
    if x.dim() < 2:
        raise ValueError(f"{owner}: x must have at least 2 dimensions, but has shape {shape_of(x)}.")
    num_steps, batch = x.shape[axis], x.shape[1 - axis]
    lengths = lengths_of(owner, lengths, num_steps, batch)
    x_TB = x.transpose(0, 1) if batch_first else x
    shift_B = num_steps - lengths.to(x.device, torch.int64)
    steps_T1 = torch.arange(num_steps, device=x.device)[:, None]
    index_TB = (steps_T1 - shift_B if to_left else steps_T1 + shift_B) % num_steps
    index = index_TB.reshape(index_TB.shape + (1,) * (x.dim() - 2)).expand_as(x_TB)
    rolled = x_TB.gather(0, index)
    return rolled.transpose(0, 1) if batch_first else rolled
