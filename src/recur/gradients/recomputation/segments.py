"""One call of a layer, cut in time: any segment of its steps can be run by itself, and again."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from recur.gradients.randomness import Randomness
from recur.nn import nest
from recur.nn.contract import check_output, output_and_state, state_tensors
from recur.ops._random import lasting

T = TypeVar("T")


class Start(NamedTuple):
    """What a segment begins with, detached.

    Attributes:
        state: As the layer takes it; None for its own initial state.
        random: The state of torch's generators.
    """

    state: Any
    random: Randomness


class Parts(NamedTuple, Generic[T]):
    """The tensors of a call, or one thing for each of them, in the order in which autograd is given them.

    Attributes:
        x: The input.
        more: What goes beside it by keyword.
        state: The leaves of the initial state, none where the layer has its own.
        weights: The parameters that are trained.
    """

    x: T
    more: tuple[T, ...]
    state: tuple[T, ...]
    weights: tuple[T, ...]

    def flat(self) -> tuple[T, ...]:
        """Return them one after the other."""
        return (self.x, *self.more, *self.state, *self.weights)


Given: TypeAlias = Parts[Tensor]


class Segments:
    """One call of a layer (x, state, ...) -> (output, state), without its tensors, to be run in parts.

    Args:
        owner: Who complains.
        layer: What is called.
        axis: Where x and the output have their time.
        timed: Names of the inputs by keyword that have a time where x has it.
    """

    def __init__(self, owner: str, layer: nn.Module, axis: int, timed: Sequence[str]) -> None:
        self.owner, self.layer, self.axis, self._timed = owner, layer, axis, timed
        # Of each tensor among the inputs by keyword.
        self.is_cut: list[bool] = []
        self._is_length: list[bool] = []
        self._places: list[tuple[nn.Module, str, int]] = []
        self._masks: list[Tensor] = []

    def take(self, x: Tensor, state: Any, inputs: Mapping[str, Any]) -> Given:
        """Look at what the layer is given, and return the tensors in it.

        Args:
            x: The input.
            state: The initial state, or None.
            inputs: What else the layer gets by keyword; `lengths` as a tensor.

        Raises:
            TypeError: Something in the state is no tensor.
        """
        more: list[Tensor] = []
        for name, value in inputs.items():
            for leaf in (leaf for _, leaf in nest.leaves(value) if isinstance(leaf, Tensor)):
                more.append(leaf)
                self.is_cut.append(name in self._timed)
                self._is_length.append(name == "lengths")
        self._inputs = nest.mapped(lambda leaf: _TENSOR if isinstance(leaf, Tensor) else leaf, dict(inputs))
        self._state = None if state is None else nest.structure(state)
        self.num_steps = x.shape[self.axis]
        weights: dict[int, tuple[int, Tensor]] = {}
        for module in self.layer.modules():
            for name, weight in module._parameters.items():
                if weight is not None and weight.requires_grad:
                    # One that is shared counts once.
                    number, _ = weights.setdefault(id(weight), (len(weights), weight))
                    self._places.append((module, name, number))
        self._num_weights = len(weights)
        kind = x.device.type
        self._precision = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        leaves = () if state is None else state_tensors(self.owner, state)
        return Given(x, tuple(more), leaves, tuple([weight for _, weight in weights.values()]))

    def gathered(self, flat: Sequence[T]) -> Parts[T]:
        """Return tensors, or one thing for each, that lie in the order of autograd as what they are."""
        num_more, end = len(self.is_cut), len(flat) - self._num_weights
        return Parts(flat[0], tuple(flat[1 : 1 + num_more]), tuple(flat[1 + num_more : end]), tuple(flat[end:]))

    def key(self, given: Given) -> tuple[Any, ...]:
        """Return what calls have in common that differ in their number of steps alone."""
        forms = []
        for tensor, is_cut in zip_longest(given.flat(), (True, *self.is_cut), fillvalue=False):
            assert isinstance(tensor, Tensor)
            shape = list(tensor.shape)
            if is_cut:
                shape[self.axis] = -1
            forms.append((tuple(shape), tensor.dtype, tensor.device, tensor.requires_grad))
        return (*forms, self._precision, self._state is None)

    def start(self, given: Given) -> Start:
        """Return what the first segment begins with."""
        return Start(self.state([leaf.detach() for leaf in given.state]), Randomness.now(given.x))

    def state(self, leaves: Sequence[Tensor]) -> Any:
        """Return the initial state made of other tensors; None where the layer has its own."""
        return None if self._state is None else nest.rebuilt(self._state, leaves)

    def cut(self, value: Tensor, begin: int, end: int) -> Tensor:
        """Return the steps of a tensor that has its time where x has it."""
        return value.narrow(self.axis, begin, end - begin)

    def run(self, begin: int, end: int, given: Given, state: Any) -> tuple[Tensor, Any]:
        """Run the layer from one step to another and return output and state.

        Args:
            begin: The first step.
            end: The step behind the last.
            given: What the whole call was given; of x, and of what else has a time, the segment's steps alone.
            state: What the segment begins with.

        Raises:
            TypeError: The layer returns something else.
            ValueError: The output has not the segment's steps where x has them.
        """
        more = [
            (leaf - begin).clamp(0, end - begin) if is_length else leaf
            for leaf, is_length in zip(given.more, self._is_length, strict=True)
        ]
        left = iter(more)
        inputs = nest.mapped(lambda leaf: next(left) if leaf is _TENSOR else leaf, self._inputs)
        with lasting(self._masks, is_first=begin == 0):
            found = self.layer(given.x, state, **inputs)
        output, state = output_and_state(self.owner, self.layer, found)
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{self.owner}: {type(self.layer).__name__} must return one tensor as output, but returned "
                f"{type(output).__name__}."
            )
        check_output(self.owner, self.layer, output, axis=self.axis, num_steps=end - begin)
        state_tensors(self.owner, state)
        return output, state

    def segment(self, given: Given, begin: int, end: int) -> Given:
        """Return what a segment is given of a whole call."""
        more = [
            self.cut(leaf, begin, end) if is_cut else leaf for leaf, is_cut in zip(given.more, self.is_cut, strict=True)
        ]
        return given._replace(x=self.cut(given.x, begin, end), more=tuple(more))

    def advance(self, begin: int, end: int, given: Given, start: Start) -> tuple[Tensor, Start]:
        """Run a segment for its results alone, and return its output and what the next one begins with."""
        with torch.no_grad():
            start.random.restore()
            output, state = self.run(begin, end, self.segment(given, begin, end), start.state)
            now = Randomness.now(given.x)
        # One that nobody drew from need not be kept once for each segment.
        random = start.random if start.random.is_same(now) else now
        return output, Start(nest.mapped(_alone, state), random)

    @contextmanager
    def weighted(self, weights: Sequence[Tensor], *, is_again: bool) -> Iterator[None]:
        """Let the layer have other tensors in place of its trained parameters.

        Args:
            weights: The tensors, as in `Given`.
            is_again: Whether what was run before is run again: in the precision of then, with no trace in buffers.
        """
        if is_again:
            kind, dtype, is_enabled = self._precision
            with torch.autocast(kind, dtype, is_enabled), self._changed(weights, are_buffers_spared=True):
                yield
            if is_enabled:
                # Autocast keeps what it made of weights, which here are others each time.
                torch.clear_autocast_cache()
        else:
            with self._changed(weights, are_buffers_spared=False):
                yield

    @contextmanager
    def _changed(self, weights: Sequence[Tensor], *, are_buffers_spared: bool) -> Iterator[None]:
        changed: list[tuple[dict[str, Any], str, Any]] = []

        def change(holder: dict[str, Any], name: str, value: Any) -> None:
            changed.append((holder, name, holder[name]))
            holder[name] = value

        try:
            for module, name, number in self._places:
                change(module._parameters, name, weights[number])
            for module in self.layer.modules():
                if isinstance(module, nn.RNNBase) and "_flat_weights" in module.__dict__:
                    # Torch's layers have a list of their parameters, and on CUDA lay others out anew in each call.
                    flat = [getattr(module, name, None) for name in module._flat_weights_names]
                    change(module.__dict__, "_flat_weights", flat)
                    refs = [None if weight is None else weakref.ref(weight) for weight in flat]
                    change(module.__dict__, "_flat_weight_refs", refs)
                for name, buffer in module._buffers.items() if are_buffers_spared else ():
                    if buffer is not None:
                        change(module._buffers, name, buffer.clone())
            yield
        finally:
            for holder, name, value in reversed(changed):
                holder[name] = value


_TENSOR = object()


def _alone(leaf: Tensor) -> Tensor:
    """Return a tensor that keeps no more memory alive than its own."""
    leaf = leaf.detach()
    return leaf.clone() if leaf.untyped_storage().nbytes() > leaf.nbytes else leaf
