"""What is kept between windows: states before a step, and what the model was given since the first of these steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.gradients.truncation.windows import joined_resets
from recur.nn.nest import leaves, mapped, rebuilt, shown, structure


@dataclass(frozen=True, eq=False)
class Piece:
    """Some steps in a row of what the model is given.

    Attributes:
        begin: The first step, counted from the beginning of the sequences.
        x: (T, B, ...), or (B, T, ...) where rows come first.
        reset: bool, (T, B) as x, or None.
        sequences: What else the model is given step by step, by name, (T, B, ...) as x.
        lengths: True steps of each row in this piece, (B,) int64, or None: all.
        goes_on: Whether it can be given together with the piece before it: no row that ended there has steps here.
        time: Dimension of the steps.
    """

    begin: int
    x: Tensor
    reset: Tensor | None
    sequences: dict[str, Tensor]
    lengths: Tensor | None
    goes_on: bool
    time: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.x.shape[self.time]

    @property
    def end(self) -> int:
        """The step behind the last."""
        return self.begin + self.steps

    def between(self, begin: int, end: int) -> Piece:
        """Return the steps from `begin` to `end`, as many of them as there are here."""
        begin, end = max(begin, self.begin), min(end, self.end)
        if (begin, end) == (self.begin, self.end):
            return self
        first, count = begin - self.begin, end - begin
        return replace(
            self,
            begin=begin,
            x=self.x.narrow(self.time, first, count),
            reset=None if self.reset is None else self.reset.narrow(self.time, first, count),
            sequences={name: value.narrow(self.time, first, count) for name, value in self.sequences.items()},
            lengths=None if self.lengths is None else (self.lengths - first).clamp(0, count),
        )

    def detached(self) -> Piece:
        """Return the same without the graph that made it."""
        sequences = {name: value.detach() for name, value in self.sequences.items()}
        return replace(self, x=self.x.detach(), sequences=sequences)

    def saved(self) -> dict[str, Any]:
        """Return it as plain values and copies of tensors."""
        return {field.name: on_tensors(_copy, getattr(self, field.name)) for field in fields(self)}

    def to(self, device: torch.device | str) -> Piece:
        """Return the same on `device`."""
        moved = on_tensors(lambda value: value.to(device), [getattr(self, field.name) for field in fields(self)])
        return Piece(*moved)

    def given(self) -> dict[str, Any]:
        """Return what the model is given beside x and the state, by name."""
        given: dict[str, Any] = dict(self.sequences)
        if self.reset is not None:
            given["reset"] = self.reset
        if self.lengths is not None:
            given["lengths"] = self.lengths
        return given


def goes_on(before: Tensor | None, num_steps: int, lengths: Tensor | None) -> bool:
    """Return whether no row that ended in a window has steps in the next one.

    Args:
        before: Lengths in the window before, (B,), or None: all steps.
        num_steps: Steps of that window.
        lengths: Lengths in the next one, (B,), or None: all steps.
    """
    if before is None:
        return True
    has_ended = before < num_steps
    return not bool((has_ended if lengths is None else has_ended & (lengths > 0)).any())


def segments(pieces: Sequence[Piece], begin: int, end: int) -> Iterator[Piece]:
    """Yield the steps from `begin` to `end` in as few pieces as a model can be given them.

    A row that ended and goes on in a later window cannot be told to a model in one call.
    """
    group: list[Piece] = []
    for piece in pieces:
        if piece.end <= begin or piece.begin >= end:
            continue
        if group and not piece.goes_on:
            yield _joined(group)
            group = []
        group.append(piece.between(begin, end))
    if group:
        yield _joined(group)


def _joined(group: Sequence[Piece]) -> Piece:
    first = group[0]
    if len(group) == 1:
        return first
    inputs = [piece.x for piece in group]
    lengths: Any = None
    if any(piece.lengths is not None for piece in group):
        lengths = sum(piece.steps if piece.lengths is None else piece.lengths for piece in group)
    return replace(
        first,
        x=torch.cat(inputs, first.time),
        reset=joined_resets([piece.reset for piece in group], inputs, first.time),
        sequences={n: torch.cat([piece.sequences[n] for piece in group], first.time) for n in first.sequences},
        lengths=lengths,
    )


def joined_outputs(outputs: Sequence[Any], time: int) -> Any:
    """Return the outputs of steps in a row, each a tensor or a nest of them, as that of all."""
    if len(outputs) == 1:
        return outputs[0]
    parts = zip(*([leaf for _, leaf in leaves(output)] for output in outputs), strict=True)
    return rebuilt(outputs[0], [torch.cat(part, time) for part in parts])


class Snapshot(NamedTuple):
    """The state before a step.

    Attributes:
        at: The step.
        state: A nest of tensors, or None for the model's initial state.
    """

    at: int
    state: Any

    def saved(self) -> dict[str, Any]:
        """Return it as plain values and copies of tensors; named tuples become plain ones."""
        return {"at": self.at, "state": _plain(self.state), "structure": _described(self.state)}

    @classmethod
    def restored(cls, saved: dict[str, Any], like: Any) -> Snapshot:
        """Return what was saved, in the structure of `like` where plain values do not tell it.

        Raises:
            ValueError: There are named tuples, and `like` is not of the same structure; or it is damaged.
        """
        at, state, wanted = saved["at"], saved["state"], saved["structure"]
        if _described(state) == wanted:
            return cls(at, state)
        if _described(like) != wanted:
            got = "not given" if like is None else _described(like)
            raise ValueError(
                f"TruncatedBPTT: the saved state is {wanted}, but like is {got}. Pass like=, a state of the model."
            )
        values = [leaf for _, leaf in leaves(state)]
        if len(values) != len(list(leaves(like))):
            raise ValueError(f"TruncatedBPTT: the saved state is damaged: it should be {wanted}.")
        return cls(at, rebuilt(like, values))

    def to(self, device: torch.device | str) -> Snapshot:
        """Return the same on `device`."""
        return Snapshot(self.at, on_tensors(lambda value: value.to(device), self.state))


def on_tensors(function: Callable[[Tensor], Any], nest: Any) -> Any:
    """Return a nest with `function` of each tensor; other leaves stay as they are."""
    return mapped(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, nest)


def detached(state: Any) -> Any:
    """Return a nest of tensors, such as a state, cut off from the graph that made it."""
    return on_tensors(Tensor.detach, state)


def _copy(value: Tensor) -> Tensor:
    # A view would be saved with all that it is a view of.
    return value.detach().clone()


def _plain(nest: Any) -> Any:
    """Return a copy of a nest in tuples, lists and dictionaries only."""
    if isinstance(nest, dict):
        return {name: _plain(value) for name, value in nest.items()}
    if isinstance(nest, tuple | list) and not isinstance(nest, torch.Size):
        values = [_plain(value) for value in nest]
        return values if isinstance(nest, list) else tuple(values)
    return on_tensors(_copy, nest)


def _described(nest: Any) -> str:
    return shown(structure(nest))
