"""Gradients over sequences too long to keep every step: what was not kept is computed again."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from recur.gradients.recomputation.batch_statistics import are_watched, check_statistics
from recur.gradients.recomputation.budget import Costs, Plan, fitted, measured, planned
from recur.gradients.recomputation.graph import leaves_of_graph
from recur.gradients.recomputation.reversal import Reversal
from recur.gradients.recomputation.segments import Given, Segments
from recur.kinds import is_number
from recur.nn import GatedLayer, RecurrentLayer, nest
from recur.nn.contract import batch_first_of, check_one_direction
from recur.nn.options import check_size
from recur.nn.sequences import lengths_of


class Checkpointed(nn.Module):
    """Runs a layer or a network with the same results and gradients, and keeps little for the backward pass.

    The sequence is cut into segments. Only states between segments are kept, and in the backward pass each segment is
    computed again when its turn comes. With `checkpoint_every` all states between segments are kept (Chen et al. 2016);
    with `memory` as many as a budget allows, by divide and conquer (Gruslys et al. 2016) with the schedule in closed
    form (Griewank and Walther 2000), see `recur.gradients.recomputation.schedule`. A gated layer on the CPU has the
    first within its kernels, as `recompute`.

    What is kept is what `plan` tells: the states in their slots, the one in hand, and one segment with all its steps.
    Not counted are the input, the output, their gradients, the parameters with theirs, masks for all steps, what the
    rest of the network keeps, and what computing a segment takes only for a while.

    Dropout and the like are the same when they are computed again, and masks for a whole sequence the same in all
    segments. Masks for each step are drawn a segment at a time, so there a seed gives others than without
    `Checkpointed`. Buffers, such as running averages, are written once a segment, in the forward pass. Random numbers
    must be drawn from torch's generators.

    What mixes steps that are not in its state, a convolution over time for instance, must be left outside. Batch
    normalisation by statistics over all steps, those of a segment being others, is an error.

    A second derivative (`create_graph=True`) keeps every step. Without gradients, and while a program is exported, the
    layer is called as it is; `torch.compile` leaves it out of its graphs.

    Args:
        layer: A module called as (x, state, ...) that returns output and state, where None is its initial state: a
            recurrent layer of `recur.nn` or `torch.nn` with one direction, or a network of such, like
            `recur.models.LanguageModel`. The output has the steps of x; the state is a nest of tensors.
        checkpoint_every: Steps of a segment; the state before each is kept. Above 0.
        memory: MiB that may be kept; above 0. Segments and slots are chosen for the least work. What a state and a step
            take is measured once for each shape, by running the first 48 steps.
        batch_first: Whether x, what has a time beside it, and the output are (B, T, ...) instead of (T, B, ...). By
            default as the layer says in its `batch_first`; where a network does not, as all recurrent layers inside
            say; and else True. One that turns x around for its layers must say it.
        timed: Names of the inputs by keyword that have a time where x has it. What else is given by keyword each
            segment gets as it is, but for `lengths`.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: Not one of `checkpoint_every` and `memory` is given, or it is not above 0; or a layer has two
            directions or recomputes by itself.

    Example:
        >>> from recur.nn import GRU
        >>> layer = GRU(4, 8)
        >>> x = torch.randn(1000, 2, 4)
        >>> little = Checkpointed(layer, memory=0.25)
        >>> little.plan(x).memory <= 0.25
        True
        >>> output, state = little(x)
        >>> output.square().sum().backward()
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        checkpoint_every: int | None = None,
        memory: float | None = None,
        batch_first: bool | None = None,
        timed: Sequence[str] = ("reset", "times", "mask"),
    ) -> None:
        super().__init__()
        if not isinstance(layer, nn.Module):
            raise TypeError(f"Checkpointed: layer must be a module, but is {type(layer).__name__}.")
        if (checkpoint_every is None) == (memory is None):
            both = "neither is" if memory is None else "both are"
            raise ValueError(f"Checkpointed: give checkpoint_every or memory, one of them; {both} given.")
        if checkpoint_every is not None:
            check_size("Checkpointed", "checkpoint_every", checkpoint_every, 1)
        if memory is not None:
            if not is_number(memory):
                raise TypeError(f"Checkpointed: memory must be a number of MiB, but is {type(memory).__name__}.")
            if not 0 < memory < math.inf:
                raise ValueError(f"Checkpointed: memory is {memory} MiB, but must be above 0 and finite.")
        if isinstance(timed, str) or not all(isinstance(name, str) for name in timed):
            raise TypeError(f"Checkpointed: timed must be a tuple of names, but is {timed!r}.")
        self.layer = layer
        self.checkpoint_every = checkpoint_every
        self.memory = memory
        self._batch_first = batch_first
        self.timed = tuple(timed)
        self._check_layer()
        self._costs: dict[Any, Costs] = {}
        self._is_checked = self._are_statistics_checked = False

    @property
    def batch_first(self) -> bool:
        """Whether x and the output are (B, T, ...)."""
        return batch_first_of("Checkpointed", self.layer, self._batch_first)

    # --- running ------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor, state: Any = None, **inputs: Any) -> tuple[Tensor, Any]:
        """Return what the layer returns for the same arguments.

        Args:
            x: As the layer takes it, one tensor: (T, B, ...), with `batch_first` (B, T, ...); for one sequence, where a
                layer of `recur.nn` or `torch.nn` takes it so, (T, ...).
            state: Before the first step, as the layer takes it; None for the layer's own. Also by the layer's own name
                for it, such as `hx`.
            inputs: What else the layer takes by keyword: `lengths`, `reset` and so on.

        Returns:
            The output and the final state.

        Raises:
            TypeError: x is no tensor, or the layer does not return a tensor and a nest of them.
            ValueError: An input with a time has other steps than x, `lengths` do not fit, the budget is too small,
                the layer uses a tensor with a gradient that is neither its parameter nor given to it, or it
                normalises by statistics over all steps.
            RuntimeError: It is called under a transform of `torch.func`.
        """
        if not torch.is_grad_enabled() or torch.compiler.is_exporting():
            return self._called(x, *self._arguments(state, inputs))
        return self._recomputed(x, *self._arguments(state, inputs))

    # Neither its tables nor its own autograd function are for a compiler.
    @torch._disable_dynamo  # type: ignore[attr-defined]
    def _recomputed(self, x: Tensor, state: Any, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
        """Return what the layer returns, recorded so that it can be computed again."""
        segments, given = self._segments(x, state, inputs)
        if not any(tensor.requires_grad for tensor in given.flat()):
            return self._called(x, state, inputs)
        length, slots = self._choice(segments, given)
        if length >= segments.num_steps:
            return self._called(x, state, inputs)
        self._check_weights(segments, given)
        if not self._are_statistics_checked and are_watched(self.layer):
            check_statistics(segments, given)
            self._are_statistics_checked = True
        return Reversal(segments, length, slots).run(given)

    def plan(self, x: Tensor, state: Any = None, **inputs: Any) -> Plan:
        """Return how a call with these arguments goes back through time, and what it keeps; print it to read it.

        Args:
            x: As of `forward`; values do not matter.
            state: As of `forward`.
            inputs: As of `forward`.

        Raises:
            TypeError: As of `forward`.
            ValueError: As of `forward`.
        """
        segments, given = self._segments(x, *self._arguments(state, inputs))
        length, slots = self._choice(segments, given)
        return planned(segments.num_steps, length, slots, self._costs_of(segments, given))

    def _called(self, x: Tensor, state: Any, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
        found: tuple[Tensor, Any] = self.layer(x, state, **inputs)
        return found

    def _choice(self, segments: Segments, given: Given) -> tuple[int, int]:
        """Return the steps of a segment, and the slots."""
        num_steps = segments.num_steps
        if self.memory is not None:
            plan = fitted("Checkpointed", num_steps, self._costs_of(segments, given), self.memory)
            return plan.segment_length, plan.slots
        assert self.checkpoint_every is not None
        length = min(self.checkpoint_every, num_steps)
        return length, -(-num_steps // length) - 1

    def _costs_of(self, segments: Segments, given: Given) -> Costs:
        """Return what is kept, measured once for each shape."""
        key = (segments.key(given), self.layer.training)
        if key not in self._costs:
            self._costs[key] = measured(segments, given)
        return self._costs[key]

    # --- checking -----------------------------------------------------------------------------------------------

    def _check_layer(self) -> None:
        """Raise where the layer cannot be cut; its options may have changed since it was wrapped."""
        check_one_direction(
            "Checkpointed",
            self.layer,
            "A gated layer of recur.nn computes segments again within its kernels, in both directions, with "
            "recompute=k.",
        )
        for module in self.layer.modules():
            name = type(module).__name__
            if isinstance(module, GatedLayer) and module.recompute is not None:
                raise ValueError(
                    f"Checkpointed: {name} has recompute={module.recompute} and computes its steps again itself. Set "
                    "it to None, or leave Checkpointed out."
                )
            if isinstance(module, Checkpointed):
                raise ValueError("Checkpointed: the layer has a Checkpointed within. Wrap only one of them.")
        batch_first_of("Checkpointed", self.layer, self._batch_first)

    def _arguments(self, state: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the state, by whatever name it came, and what is left."""
        if inputs.get("return_all"):
            raise ValueError(
                "Checkpointed: return_all keeps every state of every step, which is what is not to be kept. Call the "
                "layer itself."
            )
        names = list(inspect.signature(self.layer.forward).parameters)
        if len(names) > 1 and names[1] in inputs:
            if state is not None:
                raise TypeError(f"Checkpointed: state and {names[1]} are the same; give one of them.")
            inputs = dict(inputs)
            state = inputs.pop(names[1])
        return state, inputs

    def _segments(self, x: Any, state: Any, inputs: dict[str, Any]) -> tuple[Segments, Given]:
        """Check a call and return it in the form in which it can be cut."""
        self._check_layer()
        if torch._C._are_functorch_transforms_active():
            raise RuntimeError(
                "Checkpointed: transforms of torch.func do not go through a recomputation. Call the layer itself "
                "(.layer), which keeps every step."
            )
        if not isinstance(x, Tensor):
            hint = (
                ""
                if not isinstance(x, PackedSequence | list | tuple)
                else (
                    " Pad the sequences and give lengths; or take a gated layer of recur.nn with recompute=k, whose "
                    "kernels take them."
                )
            )
            raise TypeError(f"Checkpointed: x must be one tensor, but is {type(x).__name__}.{hint}")
        axis = self._axis(x)
        if x.dim() <= axis or x.shape[axis] == 0:
            raise ValueError(f"Checkpointed: x must have steps in dimension {axis}, but has shape {tuple(x.shape)}.")
        num_steps = x.shape[axis]
        if inputs.get("lengths") is not None:
            batch = x.shape[1 - axis] if self._is_batched(x) else 1
            inputs = {**inputs, "lengths": lengths_of("Checkpointed", inputs["lengths"], num_steps, batch)}
        for name in self.timed:
            for _, leaf in nest.leaves(inputs.get(name)):
                if isinstance(leaf, Tensor) and (leaf.dim() <= axis or leaf.shape[axis] != num_steps):
                    raise ValueError(
                        f"Checkpointed: {name} must have {num_steps} steps in dimension {axis}, as x, but has shape "
                        f"{tuple(leaf.shape)}."
                    )
        segments = Segments("Checkpointed", self.layer, axis, self.timed)
        given = segments.take(x, state, inputs)
        return segments, given

    def _is_batched(self, x: Tensor) -> bool:
        # A network takes batches.
        if not isinstance(self.layer, RecurrentLayer | nn.RNNBase):
            return True
        return x.dim() != 1 + getattr(self.layer, "_num_features", 1)

    def _axis(self, x: Tensor) -> int:
        """Return where x has its time."""
        return 1 if self.batch_first and self._is_batched(x) else 0

    def _check_weights(self, segments: Segments, given: Given) -> None:
        """Raise where gradients would be lost, because they go to what is neither a parameter nor given."""
        if parametrize._cache_enabled and any(map(parametrize.is_parametrized, self.layer.modules())):
            raise RuntimeError(
                "Checkpointed: a parametrized weight is kept by parametrize.cached(), so that what is computed again "
                "would not see its parameters. Call it outside; each segment computes the weight once."
            )
        if self._is_checked:
            return
        tape = Reversal(segments, min(2, segments.num_steps), 1).probed(given)
        known = {id(leaf) for leaf in tape.given.flat()}
        for leaf in leaves_of_graph(tape.results):
            if id(leaf) not in known:
                raise ValueError(
                    f"Checkpointed: {type(self.layer).__name__} uses a tensor of shape {tuple(leaf.shape)} that "
                    "requires a gradient and is neither its parameter nor given to it, so its gradient would be lost. "
                    "Register it as a parameter, or give it by keyword."
                )
        self._is_checked = True
