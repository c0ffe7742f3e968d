"""How far a loss's gradient reaches back: the norm of dE_t/dh_s for pairs of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recur.gradients.probes.sample import Sample
from recur.gradients.probes.sequence_model import SequenceModel
from recur.gradients.probes.state_vector import StateVector
from recur.nn import RecurrentLayer


@dataclass(frozen=True)
class Reach:
    """The norm of dE_t/dh_s, E_t being the loss of step t and h_s the whole state after step s.

    The state is all that a later step knows of what came before, of all layers together; a path through a layer above
    counts there, not below. The norm of a row's gradient is its L2 norm; of several rows it is the root of the mean
    square. A row that has ended by step t, or that is reset between s and t, does not count.

    Attributes:
        targets: Steps t, ascending.
        sources: Steps s, ascending.
        norms: (targets, sources) float64; NaN where s > t, where s = t in a model whose output is not its state, and
            where no row counts.
        parts: The same of each part of the state alone, by its name.
    """

    targets: tuple[int, ...]
    sources: tuple[int, ...]
    norms: Tensor
    parts: dict[str, Tensor]

    def by_lag(self) -> tuple[tuple[int, ...], Tensor]:
        """Return the lags t - s that were seen, ascending, and the mean of the norm for each, (lags,) float64."""
        lags = torch.tensor(self.targets)[:, None] - torch.tensor(self.sources)
        seen = ~self.norms.isnan()
        if not bool(seen.any()):
            return (), self.norms.new_zeros(0)
        found, place = torch.unique(lags[seen], return_inverse=True)
        sums = torch.zeros(len(found), dtype=torch.float64).index_add_(0, place, self.norms[seen])
        return tuple(found.tolist()), sums / torch.bincount(place, minlength=len(found))

    def memory_length(self, share: float = 0.1) -> int | None:
        """Return the lag from which on the norm stays below a share of that at the smallest lag.

        Args:
            share: Below what share; a tenth by default.

        Returns:
            The lag in steps; None when the norm has not fallen so far at the largest lag, or is zero or not finite.
        """
        lags, norms = self.by_lag()
        if len(lags) < 2 or not bool(torch.isfinite(norms).all()) or not norms[0] > 0:
            return None
        above = torch.nonzero(norms >= share * norms[0]).flatten()
        last = int(above[-1])
        return None if last == len(lags) - 1 else lags[last + 1]


def joined(found: Sequence[Reach]) -> Reach:
    """Return as one what was found for some rows at some steps, and for others at others."""
    if len(found) == 1:
        return found[0]
    targets = sorted(target for reach in found for target in reach.targets)
    sources = sorted({source for reach in found for source in reach.sources})

    def laid_out(pieces: Sequence[Tensor]) -> Tensor:
        norms = torch.full((len(targets), len(sources)), torch.nan, dtype=torch.float64)
        for reach, piece in zip(found, pieces, strict=True):
            rows = torch.tensor([targets.index(target) for target in reach.targets])
            columns = torch.tensor([sources.index(source) for source in reach.sources])
            norms[rows[:, None], columns] = piece
        return norms

    parts = {name: laid_out([reach.parts[name] for reach in found]) for name in found[0].parts}
    return Reach(tuple(targets), tuple(sources), laid_out([reach.norms for reach in found]), parts)


def gradient_reach(sample: Sample, vector: StateVector, *, targets: Sequence[int], sources: Sequence[int]) -> Reach:
    """Return the norms of dE_t/dh_s, exactly, by vector-Jacobian products.

    The sequence is run in pieces that end at the sources; from each target one backward pass goes to the states between
    them.

    Args:
        sample: The rows, of a model that is held still, see `held_still`.
        vector: How the model's state is laid out.
        targets: Steps t whose loss is asked, at least one.
        sources: Steps s whose state is asked, at least one.

    Raises:
        ValueError: The loss has no gradient with respect to the state.
    """
    model, state = sample.model, sample.state
    targets, sources = sorted(set(targets)), sorted(set(sources))
    rows = _Rows(model, sample.lengths)
    norms = torch.full((len(targets), len(sources)), torch.nan, dtype=torch.float64)
    parts = {name: norms.clone() for name in vector.parts}
    passed: list[Tensor] = []
    ends = sorted({*[source + 1 for source in sources], targets[-1] + 1})
    with torch.enable_grad(), _tops(model) as tops:
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            tops.clear()
            output, state = model.run(sample.x, begin, end, state)
            here = vector.of(state)
            # From the first source on; before it, nothing is asked.
            here = here if passed else here.detach().requires_grad_()
            state = vector.state(here)
            at_source = end - 1 in sources
            top = _output_that_is_state(tops, here, vector) if at_source else None
            loss = sample.losses(output, begin, end)
            for row, target in enumerate(targets):
                if loss is None or not begin <= target < end or (loss.dim() == 1 and target != sample.num_steps - 1):
                    continue
                own = loss if loss.dim() == 1 else loss.select(model.axis, target - begin)
                top_here = [top] if top is not None and target == end - 1 else []
                asked = [*passed, *top_here]
                if not asked:
                    continue
                if not own.requires_grad:
                    raise ValueError(
                        f"{model.owner}: the loss of step {target} has no gradient with respect to the state. Compute "
                        "it from the model's output, with torch functions that have gradients."
                    )
                found = torch.autograd.grad(own.sum(), asked, retain_graph=True, allow_unused=True)
                for column, gradient in enumerate(found):
                    counting = rows.counting(target, sources[column], own.device)
                    if column == len(passed):
                        gradient = None if gradient is None else gradient.select(tops[-1].axis, end - begin - 1)
                    norms[row, column] = _norm(gradient, counting)
                    for name, place in vector.parts.items() if column < len(passed) else ():
                        parts[name][row, column] = _norm(None if gradient is None else gradient[:, place], counting)
            if at_source:
                passed.append(here)
    return Reach(tuple(targets), tuple(sources), norms, parts)


class _Rows:
    """Which rows count for a pair of steps."""

    def __init__(self, model: SequenceModel, lengths: Tensor | None) -> None:
        self._lengths = None if lengths is None else lengths.cpu()
        reset = model.along.get("reset")
        self._resets_BT = None
        if reset is not None and bool(reset.any()):
            resets = reset.cpu().cumsum(model.axis)
            self._resets_BT = resets if model.batch_first else resets.T

    def counting(self, target: int, source: int, device: torch.device) -> Tensor | None:
        """Return the rows, (B,) bool, that have not ended by `target` nor been reset since `source`; None for all."""
        counting = None if self._lengths is None else self._lengths > target
        if self._resets_BT is not None:
            unbroken = self._resets_BT[:, target] == self._resets_BT[:, source]
            counting = unbroken if counting is None else counting & unbroken
        return None if counting is None else counting.to(device)


class _Top:
    """What a recurrent layer gave in one call, and which of its dimensions counts the steps."""

    def __init__(self, output: Tensor, axis: int) -> None:
        self.output, self.axis = output, axis


@contextmanager
def _tops(model: SequenceModel) -> Iterator[list[_Top]]:
    """Note what the recurrent layers inside give, the newest last, with a gradient."""
    found: list[_Top] = []

    def note(layer: torch.nn.Module, _: Any, result: Any) -> None:
        output = result[0]
        assert isinstance(layer, RecurrentLayer)
        if isinstance(output, Tensor) and output.dim() > 2:
            if not output.requires_grad:
                output.requires_grad_()
            found.append(_Top(output, 1 if layer.batch_first else 0))

    layers = model.model.modules() if isinstance(model.model, torch.nn.Module) else ()
    hooks = [layer.register_forward_hook(note) for layer in layers if isinstance(layer, RecurrentLayer)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _output_that_is_state(tops: list[_Top], vectors: Tensor, vector: StateVector) -> Tensor | None:
    """Return what the last layer gave, where its last step is a part of the state."""
    if not tops:
        return None
    top = tops[-1]
    last = top.output.detach().select(top.axis, -1).flatten(1)
    if len(last) != len(vectors):
        return None
    width = last.shape[1]
    ends = [place.stop for place in vector.parts.values() if place.stop - place.start >= width]
    is_state = any(torch.equal(vectors.detach()[:, end - width : end], last) for end in ends)
    return top.output if is_state else None


def _norm(gradient_BN: Tensor | None, counting_B: Tensor | None) -> float:
    """Return the root of the mean square of the rows' norms; NaN where no row counts."""
    if counting_B is not None and not bool(counting_B.any()):
        return float("nan")
    if gradient_BN is None:
        return 0.0
    squares = gradient_BN.detach().double().flatten(1).square().sum(1)
    return float((squares if counting_B is None else squares[counting_B]).mean().sqrt())
