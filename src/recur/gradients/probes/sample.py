"""The rows of a batch that a probe looks at, and the loss of their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recur.gradients.probes.sequence_model import SequenceModel
from recur.gradients.probes.state_vector import StateVector, vector_of
from recur.nn import nest
from recur.nn.sequences import lengths_of
from recur.ops._checks import check_reset
from recur.ops._scan import mask_of

Loss = Callable[[Any, Any], Tensor]
"""Output and target to the loss of each step, (B, T) or (T, B) as x, or of the last step alone, (B,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Rows that are looked at together.

    Attributes:
        model: Runs them, with what goes along.
        x: (B, T, ...) or (T, B, ...).
        target: One for each step, as x, or one for each row, (B, ...).
        is_for_last: Whether there is one target for each row.
        loss: What the user gave, or None.
        weight: What the loss of each step counts for, as x, or None.
        lengths: True steps of each row, (B,) int64 on the CPU; None when all have T.
        state: State before the first step, or None.
    """

    model: SequenceModel
    x: Tensor
    target: Tensor
    is_for_last: bool
    loss: Loss | None
    weight: Tensor | None
    lengths: Tensor | None
    state: Any = None

    @property
    def num_steps(self) -> int:
        """Number of steps T."""
        return self.x.shape[self.model.axis]

    def longest(self, count: int, state: Any) -> tuple[Sample, StateVector]:
        """Return the longest rows, those of the same length in their order, and how the model's state is laid out.

        Raises:
            ValueError: No row has a step.
        """
        lengths = self._all_lengths()
        order = lengths.argsort(descending=True, stable=True)[:count]
        order = order[lengths[order] > 0]
        if not len(order):
            raise ValueError("probe: no step counts; every row has length 0.")
        chosen = self._rows(order, int(lengths[order[0]]))
        vector = vector_of(chosen.model, chosen.x, state)
        if state is not None:
            chosen = replace(chosen, state=_rows_of(nest.mapped(Tensor.detach, state), vector, order))
        return chosen, vector

    def by_end(self, vector: StateVector) -> list[Sample]:
        """Return samples whose targets can be asked together: for targets of whole rows, one for each length."""
        if not self.is_for_last or self.lengths is None:
            return [self]
        found = []
        for length in sorted(set(self.lengths.tolist())):
            rows = (self.lengths == length).nonzero().flatten()
            state = None if self.state is None else _rows_of(self.state, vector, rows)
            found.append(replace(self._rows(rows, length), state=state))
        return found

    def _all_lengths(self) -> Tensor:
        num_rows = self.x.shape[1 - self.model.axis]
        return torch.full((num_rows,), self.num_steps) if self.lengths is None else self.lengths

    def _rows(self, rows: Tensor, num_steps: int) -> Sample:
        """Return some rows cut to some steps; one that has ended repeats its last step, whatever the padding holds."""
        lengths = self._all_lengths()[rows]
        step = torch.arange(num_steps).minimum(lengths[:, None] - 1)
        row = rows[:, None].expand_as(step)
        places = (row, step) if self.model.batch_first else (step.T, row.T)

        def of(value: Tensor) -> Tensor:
            return value.detach()[tuple(place.to(value.device) for place in places)]

        return Sample(
            model=self.model.beside({name: of(value) for name, value in self.model.along.items()}),
            x=of(self.x),
            target=self.target[rows.to(self.target.device)] if self.is_for_last else of(self.target),
            is_for_last=self.is_for_last,
            loss=self.loss,
            weight=None if self.weight is None or self.is_for_last else of(self.weight),
            lengths=None if bool((lengths == num_steps).all()) else lengths,
        )

    def losses(self, output: Any, begin: int, end: int) -> Tensor | None:
        """Return the loss of each step of a piece, (B, T) or (T, B) as x, zero past a row's end, or of the last, (B,).

        Args:
            output: Of the steps from `begin` to `end`.
            begin: The first step.
            end: The one behind the last.

        Returns:
            None where nothing is asked: before the last piece, when there is one target for each row.

        Raises:
            ValueError: The user's loss has another shape, or none fits output and target.
        """
        model, has_steps = self.model, not self.is_for_last
        if not has_steps and end < self.num_steps:
            return None
        own = model.piece(self.target, begin, end) if has_steps else self.target
        found = _default_loss(model, output, own, has_steps) if self.loss is None else self.loss(output, own)
        if not isinstance(found, Tensor) or found.dim() not in (1, 2):
            raise ValueError(
                "probe: loss must return the loss of each step, (B, T) or (T, B) as x, or of the last one, (B,), but "
                f"returned {tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__}. Leave its mean "
                "or sum out."
            )
        if found.dim() == 1:
            return found
        if found.shape[model.axis] != end - begin:
            raise ValueError(
                f"probe: loss returned {tuple(found.shape)} for a piece of {end - begin} steps; it must have the steps "
                "of the output that it is given."
            )
        if self.weight is not None:
            found = found * model.piece(self.weight, begin, end)
        if self.lengths is not None:
            alive_TB = mask_of(self.lengths - begin, end - begin).to(found.device)
            found = found.masked_fill(~(alive_TB.t() if model.batch_first else alive_TB), 0.0)
        return found


def sample_of(
    model: Any, batch: Any, *, loss: Loss | None, batch_first: bool | None, along: Mapping[str, Any]
) -> Sample:
    """Return a batch in whatever form it came, checked.

    Args:
        model: What reads it.
        batch: As of `probe`.
        loss: As of `probe`.
        batch_first: As of `probe`.
        along: What else the model is given.

    Raises:
        TypeError: It is no batch, or something is of the wrong kind.
        ValueError: A shape or a length does not fit.
    """
    if isinstance(batch, tuple) and len(batch) == 2:
        x, target = batch
        lengths = reset = weight = None
    else:
        x, target = getattr(batch, "x", None), getattr(batch, "target", None)
        lengths, reset, weight = (getattr(batch, name, None) for name in ("lengths", "reset", "weight"))
    if not isinstance(x, Tensor) or not isinstance(target, Tensor):
        raise TypeError(
            "probe: batch must be a Batch, an object with tensors x and target, or a pair (x, target), but is "
            f"{type(batch).__name__}."
        )
    if x.dim() < 2 or 0 in x.shape[:2]:
        raise ValueError(f"probe: x must have rows and steps, but has shape {tuple(x.shape)}.")
    given = {name: value for name, value in along.items() if value is not None}
    if reset is not None:
        if "reset" in given:
            raise ValueError("probe: reset is given beside a batch that has one. Leave it out.")
        given["reset"] = reset
    sequence = SequenceModel("probe", model, batch_first=batch_first, along=given)
    letters = "(B, T)" if sequence.batch_first else "(T, B)"
    for name, value in given.items():
        if name == "reset":
            check_reset("probe", value, tuple(x.shape[:2]), letters)
        elif not isinstance(value, Tensor):
            raise TypeError(f"probe: {name} must be a torch.Tensor, but is {type(value).__name__}.")
        elif value.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"probe: {name} must have the rows and steps of x, {tuple(x.shape[:2])}, but has shape "
                f"{tuple(value.shape)}. Lengths belong into the batch."
            )
    num_rows, num_steps = x.shape[1 - sequence.axis], x.shape[sequence.axis]
    # Of rows that are cut, a target of several numbers may come to look like one for each step.
    is_for_last = target.shape[:2] != x.shape[:2]
    if is_for_last and target.shape[:1] != (num_rows,):
        raise ValueError(
            f"probe: target has shape {tuple(target.shape)}, but x {tuple(x.shape)}; give a target for each step, "
            "or one for each row."
        )
    if lengths is not None:
        lengths = lengths_of("probe", lengths, num_steps, num_rows).cpu()
    return Sample(
        model=sequence, x=x, target=target, is_for_last=is_for_last, loss=loss, weight=weight, lengths=lengths
    )


def _rows_of(state: Any, vector: StateVector, rows: Tensor) -> Any:
    vectors = vector.of(state)
    return vector.state(vectors[rows.to(vectors.device)])


def _default_loss(model: SequenceModel, output: Any, target: Tensor, has_steps: bool) -> Tensor:
    if isinstance(output, Tensor):
        if not has_steps and output.dim() > 2:
            output = output.select(model.axis, -1)
        if not target.is_floating_point() and output.shape[:-1] == target.shape:
            found = functional.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none")
            return found.view_as(target)
        if target.is_floating_point() and output.shape == target.shape:
            squares: Tensor = (output - target).square()
            features = 2 if has_steps else 1
            return squares.flatten(features).sum(-1) if squares.dim() > features else squares
        if target.is_floating_point() and output.shape == (*target.shape, 1):
            return functional.mse_loss(output.squeeze(-1), target, reduction="none")
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(
        f"probe: there is no loss for an output {shape} and a target {tuple(target.shape)} {target.dtype}. Pass "
        "loss=, a function of output and target that returns the loss of each step."
    )
