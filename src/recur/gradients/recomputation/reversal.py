"""Back-propagation through a long sequence, a segment at a time, each computed again when its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.gradients.randomness import Randomness
from recur.gradients.recomputation.schedule import split
from recur.gradients.recomputation.segments import Given, Segments, Start
from recur.nn import nest
from recur.nn.contract import state_tensors

Grads = Sequence[Tensor | None]


class Stretch(NamedTuple):
    """Segments in a row that have still to be gone back through.

    Attributes:
        first: Number of the first.
        size: How many.
        slots: How many states may be kept meanwhile, beside the one that they begin with.
        start: What the first begins with.
    """

    first: int
    size: int
    slots: int
    start: Start


class Tape(NamedTuple):
    """A segment that was run for its gradient.

    Attributes:
        given: What it was given, its own state too, cut off from what made it.
        results: Its output and the leaves of its final state.
        final: Its final state.
        is_random: Whether it drew random numbers.
    """

    given: Given
    results: tuple[Tensor, ...]
    final: Any
    is_random: bool


class Reversal:
    """How one call of a layer goes back through time.

    Args:
        segments: The call.
        length: Steps of a segment; the last may have fewer.
        slots: States that may be kept at the same time, beside the initial one.
    """

    def __init__(self, segments: Segments, length: int, slots: int) -> None:
        self.segments, self.length, self.slots = segments, length, slots
        self.num_segments = -(-segments.num_steps // length)
        # The structure of the final state, once it is known.
        self.final: Any = None

    def run(self, given: Given) -> tuple[Tensor, Any]:
        """Return output and final state, which autograd can go back through."""
        output, *final = _Reversed.apply(self, *given.flat())  # type: ignore[no-untyped-call]
        return output, nest.rebuilt(self.final, final)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the first step of a segment and the one behind its last."""
        return number * self.length, min((number + 1) * self.length, self.segments.num_steps)

    def sweep(self, pending: list[Stretch], given: Given, shelf: _Shelf, output: _Output | None = None) -> None:
        """Run forward to the last segment of the last stretch, which falls into several, that segment last.

        Args:
            pending: What is to be gone back through.
            given: What the whole call was given.
            shelf: Where the states lie that are kept.
            output: Where the output goes; None drops it.
        """
        with self.segments.weighted([weight.detach() for weight in given.weights], is_again=output is None):
            while pending[-1].size > 1:
                first, size, slots, start = pending.pop()
                before = split(size, slots)
                pending.append(Stretch(first, before, slots, start))
                for number in range(first, first + before):
                    begin, end = self.bounds(number)
                    part, start = self.segments.advance(begin, end, given, start)
                    if output is not None:
                        output.put(begin, part)
                    # Its place is for the next one.
                    del part
                start = shelf.put(len(pending) - 1, start)
                pending.append(Stretch(first + before, size - before, slots - 1, start))

    def taped(self, number: int, given: Given, start: Start, wanted: Sequence[bool], *, is_again: bool) -> Tape:
        """Run a segment for its gradient.

        Args:
            number: Of the segment.
            given: What the whole call was given.
            start: What the segment begins with.
            wanted: Of which of `given` gradients are wanted.
            is_again: Whether it has been run before.
        """
        begin, end = self.bounds(number)
        part = self.segments.segment(given, begin, end)
        leaves = () if start.state is None else state_tensors(self.segments.owner, start.state)
        # The gradient of a state in the middle goes on in any case.
        asked = self.segments.gathered(wanted)
        asked = asked if number == 0 else asked._replace(state=tuple([_is_smooth(leaf) for leaf in leaves]))
        free = [leaf.detach() for leaf in part._replace(state=leaves).flat()]
        for leaf, is_asked in zip(free, asked.flat(), strict=True):
            leaf.requires_grad_(is_asked)
        cut = self.segments.gathered(free)
        state = None if start.state is None else nest.rebuilt(start.state, cut.state)
        start.random.restore()
        with torch.enable_grad(), self.segments.weighted(cut.weights, is_again=is_again):
            output, final = self.segments.run(begin, end, cut, state)
        is_random = not start.random.is_same(Randomness.now(given.x))
        return Tape(cut, (output, *state_tensors(self.segments.owner, final)), final, is_random)

    def probed(self, given: Given) -> Tape:
        """Run the first segment for its gradient, beside the call itself, and leave no trace."""
        with Randomness.kept(given.x):
            wanted = [tensor.requires_grad for tensor in given.flat()]
            return self.taped(0, given, self.segments.start(given), wanted, is_again=True)

    def gradients(
        self,
        given: Given,
        pending: list[Stretch],
        tapes: list[Tape],
        shelf: _Shelf,
        grads: Grads,
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:
        """Return the gradient of each tensor of the call.

        Args:
            given: What the whole call was given.
            pending: What is to be gone back through, the last first; it is emptied.
            tapes: The last segment, if it has been run already, and nothing else; it is emptied.
            shelf: Where the states lie that are kept.
            grads: Of the output and of each leaf of the final state.
            wanted: Of which of `given` gradients are wanted.
        """
        segments = self.segments
        d_output, *d_state = grads
        beside: list[_Pieces | _Sum] = [_Pieces(given.x, segments)]
        beside += [
            _Pieces(leaf, segments) if is_cut else _Sum()
            for leaf, is_cut in zip(given.more, segments.is_cut, strict=True)
        ]
        weights = [_Sum() for _ in given.weights]
        while pending:
            if not tapes:
                self.sweep(pending, given, shelf)
                tapes.append(self.taped(pending[-1].first, given, pending[-1].start, wanted, is_again=True))
            begin, end = self.bounds(pending.pop().first)
            d_part = None if d_output is None else segments.cut(d_output, begin, end)
            # Nobody holds one when the next is made.
            found = segments.gathered(_gradients(tapes.pop(), (d_part, *d_state)))
            d_state = list(found.state)
            for total, grad in zip((*beside, *weights), (found.x, *found.more, *found.weights), strict=True):
                if grad is not None:
                    total.add(grad, begin, end)
        return [*[total.value() for total in beside], *d_state, *[total.value() for total in weights]]

    def differentiable(self, given: Given, start: Start, grads: Grads, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Return the gradients as functions that can be differentiated again; every step is kept for that.

        Args:
            given: What the whole call was given.
            start: What the first segment begins with.
            grads: Of the output and of each leaf of the final state.
            wanted: Of which of `given` gradients are wanted.
        """
        segments = self.segments
        # A tensor may have been made of another one; of a view of each, the gradient is that of this call alone.
        views = segments.gathered([tensor.view_as(tensor) for tensor in given.flat()])
        start.random.restore()
        outputs, state = [], segments.state(views.state)
        with segments.weighted(views.weights, is_again=True):
            for begin, end in map(self.bounds, range(self.num_segments)):
                output, state = segments.run(begin, end, segments.segment(views, begin, end), state)
                outputs.append(output)
        results = (torch.cat(outputs, segments.axis), *state_tensors(segments.owner, state))
        return _found(results, grads, views.flat(), wanted, is_differentiable=True)


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, reversal: Reversal, *flat: Tensor) -> tuple[Tensor, ...]:
        segments = reversal.segments
        given = segments.gathered(flat)
        start, output = segments.start(given), _Output(segments)
        shelf = _Shelf(reversal.slots, start)
        pending = [Stretch(0, reversal.num_segments, reversal.slots, start)]
        reversal.sweep(pending, given, shelf, output)
        # The last segment's turn comes first, so it is run for its gradient at once.
        last = pending[-1]
        tape = reversal.taped(last.first, given, last.start, ctx.needs_input_grad[1:], is_again=False)
        output.put(reversal.bounds(last.first)[0], tape.results[0].detach())
        results = (output.value(), *[result.detach() for result in tape.results[1:]])
        reversal.final = nest.structure(tape.final)
        ctx.reversal, ctx.start = reversal, start
        ctx.pending, ctx.tapes, ctx.shelf = pending, [tape], shelf
        ctx.save_for_backward(*flat)
        ctx.set_materialize_grads(False)
        made = zip(results, tape.results, strict=True)
        ctx.mark_non_differentiable(*[result for result, origin in made if not origin.requires_grad])
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        reversal: Reversal = ctx.reversal
        segments = reversal.segments
        # Once: what hooks have put away comes back at each look.
        flat = ctx.saved_tensors
        given, wanted = segments.gathered(flat), ctx.needs_input_grad[1:]
        with Randomness.kept(given.x):
            if torch.is_grad_enabled():
                return (None, *reversal.differentiable(given, ctx.start, grads, wanted))
            pending, tapes, shelf = ctx.pending, ctx.tapes, ctx.shelf
            ctx.pending, ctx.tapes, ctx.shelf = [], [], None
            if shelf is None:
                # A second time through a graph that was retained.
                pending.append(Stretch(0, reversal.num_segments, reversal.slots, ctx.start))
                shelf = _Shelf(reversal.slots, ctx.start)
            return (None, *reversal.gradients(given, pending, tapes, shelf, grads, wanted))


class _Shelf:
    """Room for the states that are kept, all in one piece.

    Each by itself they would lie between the large tensors of segments, and hold the memory that those leave apart.
    """

    def __init__(self, size: int, begin: Start) -> None:
        self._size, self._random = size, begin.random
        self._rows: dict[int, Tensor] = {}

    def put(self, place: int, start: Start) -> Start:
        """Return what a segment begins with, now lying in a place, from 0, whatever was there before."""
        leaves = [leaf for _, leaf in nest.leaves(start.state)]
        laid = [self._laid(number, place, leaf) for number, leaf in enumerate(leaves)]
        random = start.random
        # Where nothing was drawn, all have that of the beginning.
        if random is not self._random:
            random = random._replace(cpu=self._laid(len(leaves), place, random.cpu))
        return Start(nest.rebuilt(start.state, laid), random)

    def _laid(self, number: int, place: int, tensor: Tensor) -> Tensor:
        row = self._rows.get(number)
        if row is None:
            row = self._rows[number] = tensor.new_empty(self._size, *tensor.shape)
        # A state that changes its form as it goes has to lie by itself.
        is_alike = tensor.shape == row.shape[1:] and tensor.dtype == row.dtype
        return row[place].copy_(tensor) if is_alike else tensor


class _Output:
    """The output of a call, put together from those of its segments without holding them all."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._value: Tensor | None = None

    def put(self, begin: int, part: Tensor) -> None:
        """Put the output of the segment that begins there in its place."""
        axis = self._segments.axis
        if self._value is None:
            shape = list(part.shape)
            shape[axis] = self._segments.num_steps
            self._value = part.new_empty(shape)
        self._segments.cut(self._value, begin, begin + part.shape[axis]).copy_(part)

    def value(self) -> Tensor:
        """Return all of it."""
        assert self._value is not None
        return self._value


class _Pieces:
    """The gradient of a tensor of which each segment gets its own steps."""

    def __init__(self, like: Tensor, segments: Segments) -> None:
        self._like, self._segments = like, segments
        self._value: Tensor | None = None

    def add(self, grad: Tensor, begin: int, end: int) -> None:
        if self._value is None:
            self._value = torch.zeros_like(self._like)
        self._segments.cut(self._value, begin, end).copy_(grad)

    def value(self) -> Tensor | None:
        return self._value


class _Sum:
    """The gradient of a tensor that each segment gets."""

    def __init__(self) -> None:
        self._value: Tensor | None = None
        self._dtype: torch.dtype | None = None

    def add(self, grad: Tensor, begin: int, end: int) -> None:
        if self._value is None:
            self._dtype = grad.dtype
            # A small term of eight bits would be lost in a large total. It need not be this gradient's alone, either.
            self._value = grad.to(torch.promote_types(grad.dtype, torch.float32), copy=True)
        else:
            self._value += grad

    def value(self) -> Tensor | None:
        return None if self._value is None else self._value.to(self._dtype)


def _gradients(tape: Tape, grads: Grads) -> list[Tensor | None]:
    """Return the gradient of each tensor that a segment was given."""
    leaves = tape.given.flat()
    return _found(tape.results, grads, leaves, [leaf.requires_grad for leaf in leaves], is_differentiable=False)


def _found(
    results: Sequence[Tensor], grads: Grads, tensors: Sequence[Tensor], wanted: Sequence[bool], is_differentiable: bool
) -> list[Tensor | None]:
    pairs = [(made, g) for made, g in zip(results, grads, strict=True) if g is not None and made.requires_grad]
    asked = [tensor for tensor, is_wanted in zip(tensors, wanted, strict=True) if is_wanted]
    if not pairs or not asked:
        return [None] * len(tensors)
    made, upstream = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(made, asked, upstream, create_graph=is_differentiable, allow_unused=True))
    return [next(found) if is_wanted else None for is_wanted in wanted]


def _is_smooth(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
