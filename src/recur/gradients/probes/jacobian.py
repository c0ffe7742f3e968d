"""Products of the Jacobians of a state from step to step: how a perturbation, and so a gradient, grows or dies out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from recur.gradients.probes.sequence_model import SequenceModel, held_still
from recur.gradients.probes.state_vector import StateVector, vector_of
from recur.nn import RecurrentLayer, nest

_MOST_ROWS = 1024
"""Rows that are run at once."""
_LEAST_PIECES = 4
"""Pieces that a row needs for its exponents: a quarter of them does not count."""


class Trajectory:
    """The states that a model goes through, and the derivatives between them, for each row.

    Args:
        model: Held still, see `held_still`.
        x: Inputs, (B, T, ...) or (T, B, ...).
        state: State before the first step; None for the model's own.
        vector: How the state is laid out, where that is known.

    Attributes:
        num_steps: T.
        size: Number of elements n of the state that count: those of a layer's clocks do not, which follow no weights.
    """

    def __init__(
        self, model: SequenceModel, x: Tensor, state: Any = None, *, vector: StateVector | None = None
    ) -> None:
        self._model, self._x = model, x
        self._vector = vector or vector_of(model, x, state)
        self._moving = _moving(model.model, self._vector.parts)
        self.num_steps = x.shape[model.axis]
        self.size = len(self._moving)
        if state is None:
            # The state before the first step is the model's own affair, so the first step is left out.
            with torch.no_grad():
                state = model.run(x, 0, 1, None)[1]
            self.first = 1
        else:
            self.first = 0
        self._states: dict[int, Tensor] = {self.first: self._vector.of(state).detach()}
        if self.num_steps <= self.first:
            raise ValueError(f"{model.owner}: a sequence of {self.num_steps} steps is too short for a Jacobian.")

    def advance(self, steps: Sequence[int]) -> None:
        """Note the states before these steps, ascending."""
        at = self.first
        state = self._states[at]
        with torch.no_grad():
            for step in steps:
                if step > at:
                    state = self._vector.of(self._model.run(self._x, at, step, self._vector.state(state))[1])
                    at = step
                self._states[at] = state

    def pulled_back(self, vectors_BKN: Tensor, begin: int, end: int) -> Tensor:
        """Return v^T dh_end/dh_begin for each vector v, (B, K, n): h_s is the state before step s, which is known.

        Raises:
            KeyError: The state at `begin` was not noted.
        """
        batch, count, size = vectors_BKN.shape
        most = max(_MOST_ROWS // batch, 1)
        if count > most:
            pieces = [self.pulled_back(part, begin, end) for part in torch.split(vectors_BKN, most, 1)]
            return torch.cat(pieces, 1)
        model, rows = self._model, 1 - self._model.axis
        start = self._states[begin].repeat_interleave(count, 0).requires_grad_()
        many = model.beside({name: value.repeat_interleave(count, rows) for name, value in model.along.items()})
        with torch.enable_grad():
            x = self._x.repeat_interleave(count, rows)
            final = self._vector.of(many.run(x, begin, end, self._vector.state(start))[1])
            upstream = torch.zeros_like(final)
            upstream[:, self._moving] = vectors_BKN.reshape(batch * count, size).to(final.dtype)
            if not final.requires_grad:
                raise ValueError(
                    f"{model.owner}: the state after the last step has no gradient with respect to the one before "
                    "the first. A model that detaches its state cannot be probed."
                )
            (found,) = torch.autograd.grad(final, start, upstream)
        return found[:, self._moving].reshape(batch, count, size)

    def jacobian(self, begin: int, end: int) -> Tensor:
        """Return dh_end/dh_begin for each row, (B, n, n): i, j is that of element i by element j."""
        like = self._states[self.first]
        eye = torch.eye(self.size, dtype=like.dtype, device=like.device)
        return self.pulled_back(eye.expand(len(like), -1, -1), begin, end)

    def singular_values(self, begin: int, end: int) -> Tensor:
        """Return the singular values of dh_end/dh_begin, (B, n) float64, largest first; NaN where it is not finite."""
        jacobian = self.jacobian(begin, end).double()
        is_bad = ~jacobian.isfinite().flatten(1).all(1)
        values: Tensor = torch.linalg.svdvals(jacobian.masked_fill(is_bad[:, None, None], 0.0))
        return values.masked_fill(is_bad[:, None], torch.nan)

    def lyapunov_exponents(
        self, count: int, *, every: int, generator: torch.Generator, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the leading Lyapunov exponents along each row, in nats per step, and the steps that they are of.

        `count` vectors are pulled back through the sequence, from its last step to its first, and made orthonormal
        again every few steps by a QR decomposition (Benettin et al. 1980); the transposed product has the singular
        values of the product itself. In each row the steps between two decompositions are left out where it has ended
        or is reset: a reset tells nothing of how the network forgets. Of the pieces that are left the first quarter, in
        which the vectors turn towards the leading directions, does not count.

        Args:
            count: Number of exponents, at most n.
            every: Steps between two decompositions.
            generator: Draws the vectors to begin with.
            lengths: True steps of each row, (B,); None when all have T.

        Returns:
            The exponents, (B, count) float64: minus infinity where so many directions of the state were lost
            altogether, as where all units of a rectifier were at zero, and NaN in a row of which fewer than four pieces
            are left. And the number of steps that count in each row, (B,) int64.
        """
        bounds = [*range(self.first, self.num_steps, every), self.num_steps]
        self.advance(bounds[:-1])
        like = self._states[self.first]
        drawn = torch.randn(len(like), self.size, count, generator=generator, dtype=torch.float64)
        q_BNK = torch.linalg.qr(drawn.to(like.device))[0]
        pieces = list(pairwise(bounds))[::-1]
        is_whole_PB = torch.stack([self._is_whole(begin, end, lengths) for begin, end in pieces]).to(like.device)
        num_whole_B = is_whole_PB.sum(0)
        # Where all is left out, the division below has no result.
        warm_up_B = (num_whole_B // 4).where(num_whole_B >= _LEAST_PIECES, num_whole_B)
        counts_PB = is_whole_PB & (is_whole_PB.cumsum(0) > warm_up_B)
        total = torch.zeros(len(like), count, dtype=torch.float64, device=like.device)
        for (begin, end), is_whole_B, counts_B in zip(pieces, is_whole_PB, counts_PB, strict=True):
            if not bool(is_whole_B.any()):
                continue
            pulled = self.pulled_back(q_BNK.transpose(1, 2), begin, end)
            turned_BNK, r_BKK = torch.linalg.qr(pulled.transpose(1, 2).double())
            q_BNK = torch.where(is_whole_B[:, None, None], turned_BNK, q_BNK)
            total += r_BKK.diagonal(dim1=1, dim2=2).abs().log().where(counts_B[:, None], 0.0)
        steps_P = torch.tensor([end - begin for begin, end in pieces], device=like.device)
        steps_B = (counts_PB * steps_P[:, None]).sum(0)
        return (total / steps_B[:, None]).sort(1, descending=True)[0].cpu(), steps_B.cpu()

    def _is_whole(self, begin: int, end: int, lengths: Tensor | None) -> Tensor:
        """Return in which rows these steps hang together, (B,): they are neither past the end nor reset."""
        batch = len(self._states[self.first])
        is_whole = torch.ones(batch, dtype=torch.bool) if lengths is None else lengths.cpu() >= end
        reset = self._model.along.get("reset")
        if reset is None:
            return is_whole
        return is_whole & ~self._model.piece(reset, begin, end).any(self._model.axis).cpu()


def _moving(model: Any, parts: dict[str, slice]) -> Tensor:
    """Return the places in the vector of a state that count."""
    fixed: set[str] = set()
    if isinstance(model, RecurrentLayer):
        names = model._state_names
        fixed = {str(k) for k, name in enumerate(names) if name in model._fixed_states}
    chosen = [range(place.start, place.stop) for name, place in parts.items() if name.split(".")[0] not in fixed]
    return torch.tensor([index for each in chosen for index in each])


def state_jacobian(
    model: Any, x: Tensor, state: Any = None, *, batch_first: bool | None = None, **along: Tensor | None
) -> Tensor:
    """Return dh_T/dh_0, the derivative of the state after the last step by that before the first, exactly.

    By vector-Jacobian products: one backward pass over n copies of each row, by whatever back end runs the model.

    Args:
        model: `(x, state, ...) -> (output, state)`: a layer of this library or of torch, a network.
        x: Inputs, (B, T, ...) or (T, B, ...), T at least 1; without a state at least 2.
        state: h_0, as the model takes it. Without one, h_0 is the state after the first step.
        batch_first: Whether x is (B, T, ...); None for what `recur.gradients.probe` takes.
        along: What else the model takes with the rows and steps of x, such as `reset`.

    Returns:
        (B, n, n), n elements of the state of a row in the order of its leaves (for an LSTM h, then c, the layers one
        after the other), float64 or as the state.

    Raises:
        TypeError: The model returns no state.
        ValueError: The state has no gradient, the sequence is too short, or a layer reads in both directions.

    Example:
        >>> layer = torch.nn.RNN(1, 2, nonlinearity="relu", bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight_hh_l0, 0.5)
        >>> state_jacobian(layer, torch.ones(3, 1, 1), torch.ones(1, 1, 2)).shape
        torch.Size([1, 2, 2])
    """
    with held_still(model):
        sequence = SequenceModel("state_jacobian", model, batch_first=batch_first, along=along)
        trajectory = Trajectory(sequence, x.detach(), None if state is None else nest.mapped(Tensor.detach, state))
        return trajectory.jacobian(trajectory.first, trajectory.num_steps)
