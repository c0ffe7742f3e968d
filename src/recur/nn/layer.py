"""What every recurrent layer has in common: stacking, directions, padding, resets, states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recur.nn.asked import Asked
from recur.nn.dilation import run_dilated
from recur.nn.dropout import drop_locked
from recur.nn.sequences import Form, Lengths, Sequences, lengths_of, time_first
from recur.nn.stack import Stack
from recur.nn.states import Directions, StateForm
from recur.ops._call import Result, State
from recur.ops._checks import check_like, check_reset, check_steps, has_values, shape_of
from recur.ops._random import dropout
from recur.ops._scan import mask_of


class Steps(NamedTuple):
    """What one layer did in one direction at every step.

    Attributes:
        layer: Its number, from 0.
        direction: "forward" or "backward".
        values: Each part of the state after the step, and each gate in it, by name: (T, B, H), or as the layer's input
            with the batch first, or (T, H) for one sequence; zero past a row's end. Differentiable.
    """

    layer: int
    direction: str
    values: Mapping[str, Tensor]


class Everything(NamedTuple):
    """What a layer returns with `return_all`.

    Attributes:
        output: As without it.
        state: As without it.
        steps: One entry for each layer and direction, in torch's order.
    """

    output: Any
    state: Any
    steps: tuple[Steps, ...]


class RecurrentLayer(Stack):
    """A stack of recurrent layers of one kind, in one or two directions; the base of all of them.

    A kind of layer says in `_state_names`, `_state_shapes` and `_num_features` what its input, states and outputs look
    like, and computes one layer in one direction in `_run_one`. The arguments are those of `Stack`.
    """

    # --- what a kind of layer says -----------------------------------------------------------------------------

    # What drops outputs between layers with a probability.
    _drop: Callable[[Tensor, float], Tensor] = staticmethod(dropout)

    def _run_one(self, x_TBI: Tensor, asked: Asked) -> Result:
        """Run one layer in one direction, one step back."""
        raise NotImplementedError

    def _run_directions(self, x_TBI: Tensor, asked: Sequence[Asked], are_apart: bool) -> list[Result]:
        """Run the directions of one layer.

        Args:
            x_TBI: The input of each.
            asked: Of each direction.
            are_apart: Whether two outputs go on as two, each of which may be differentiated by itself.
        """
        return [self._run_dilated(x_TBI, each) for each in asked]

    def _state_form_for(self, x_TBI: Tensor) -> StateForm:
        """Return what the states look like for this input."""
        return self._state_form

    def _check_extras(self, extras: Tensor, first: State, lengths: Tensor | None, reset: Tensor | None) -> None:
        """Raise where the `extras` of `_forward` make no sense beside the initial state of the first layer."""

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        """Return how much of its state each unit keeps in a step beside what its weights make of it.

        Args:
            values: States and gates, as of `Steps`.

        Returns:
            As the values, from 0 to 1; None for a kind without gates that tell.
        """
        return None

    # --- running ------------------------------------------------------------------------------------------------

    def forward(
        self,
        x: Sequences,
        hx: Any = None,
        *,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
        context: Tensor | None = None,
        return_all: bool = False,
    ) -> Any:
        """Return the outputs of the last layer and the final state of every layer.

        Args:
            x: (T, B, I); (B, T, I) with `batch_first`; (T, I) for one sequence; a PackedSequence; or a list of B
                tensors (T_k, I). In the layer's dtype.
            hx: Initial state: h_0, for an LSTM the pair (h_0, c_0), each (L*D, B, H), with `state_batch_first`
                (B, L*D, H), (L*D, H) for one sequence. h_0 has P instead of H features with a projection. Where layers
                differ in size, or have a dilation d above 1, each is a list of L*D tensors (B, H_k) or (d, B, H_k), the
                oldest first. It wins over `initial_state`.
            lengths: True steps of each row, a tensor or a list of B whole numbers, any device, any order, zeros
                allowed. Past them the output and the gradient are zero, and x may hold anything; the final state is
                the one after the last true step; the reverse direction begins there.
            reset: bool, (T, B) as x. Where true, a sequence begins: the state of either direction is replaced, between
                the step before and this one, by what `initial_state` says, not by `hx`, which may come from before.
            context: What the initial state is computed from, (B, C), with initial_state="context".
            return_all: Whether to return every state and gate of every step too.

        Returns:
            Outputs, as x with D*H (with a projection D*P) features, H where the directions are merged, a pair of
            outputs where merge is None; and the final state in the shapes of `hx`. With `return_all` a named tuple
            `Everything` of these two and of `steps`, one entry for each layer and direction.

        Raises:
            TypeError: x, hx, lengths, reset or context is of the wrong kind or dtype.
            ValueError: A shape, a device or a value of `lengths` is wrong.
            BackendError: The back end asked for cannot run this call.
        """
        return self._forward(x, hx, lengths, reset, context, return_all)

    def _forward(
        self,
        x: Sequences,
        hx: Any,
        lengths: Lengths | None,
        reset: Tensor | None,
        context: Tensor | None,
        return_all: bool,
        extras: Tensor | None = None,
    ) -> Any:
        """Run the stack; `extras` are features, padded and time first, that every layer gets behind its input."""
        if not isinstance(return_all, bool):
            raise TypeError(f"{self._owner}: return_all must be a bool, but is {type(return_all).__name__}.")
        x_TBI, lengths, reset, form = self._prepare(x, lengths, reset)
        state_form = self._state_form_for(x_TBI)
        is_own_needed = hx is None or reset is not None or context is not None
        own = self._own_states(x_TBI, context, form, state_form) if is_own_needed else None
        states = own if hx is None else self._given(hx, x_TBI.shape[1], form, state_form)
        assert states is not None
        if extras is not None:
            self._check_extras(extras, states[0], lengths, reset)
        # A given state may be carried on from before; a sequence that begins here knows nothing of it.
        anew = None if hx is None or reset is None else own
        y, finals, results = self._stack(x_TBI, states, lengths, reset, anew, return_all, extras)
        state = self._outer(state_form.joined(finals, is_batched=form.is_batched))
        output = form.restore(y) if isinstance(y, Tensor) else tuple([form.restore(each) for each in y])
        if not return_all:
            return output, state
        return Everything(output, state, tuple([self._steps(k, result, form) for k, result in enumerate(results)]))

    def _steps(self, k: int, result: Result, form: Form) -> Steps:
        layer, direction = divmod(k, self._num_directions)
        padded = Form(form.batch_first, form.is_batched)
        values = {name: padded.restore(value) for name, value in result.record.items()}
        return Steps(layer, "backward" if direction else "forward", values)  # type: ignore[arg-type]

    def _stack(
        self,
        x_TBI: Tensor,
        states: list[State],
        lengths: Tensor | None,
        reset: Tensor | None,
        anew: list[State] | None,
        records: bool,
        extras: Tensor | None,
    ) -> tuple[Tensor | tuple[Tensor, Tensor], list[State], list[Result]]:
        results: list[Result] = []
        turned = _turn_reset(reset, lengths) if self.bidirectional else None
        below: list[Tensor] = [x_TBI] if self.skip == "dense" else []
        for layer in range(self.num_layers):
            seen_TBI = x_TBI if extras is None else torch.cat([x_TBI, extras], 2)
            first = layer * self._num_directions
            asked = []
            for k in range(first, first + self._num_directions):
                begin, is_reverse = None if anew is None else anew[k], k > first
                own_reset = turned if is_reverse else reset
                asked.append(Asked(k, states[k], lengths, own_reset, begin, is_reverse, records))
            is_last = layer == self.num_layers - 1
            are_apart = is_last and self.bidirectional and self.merge is None
            found = self._run_directions(seen_TBI, asked, are_apart)
            results += found
            outputs = [result.output for result in found]
            if are_apart:
                return (outputs[0], outputs[1]), [result.state for result in results], results
            y_TBO = outputs[0] if len(outputs) == 1 else self._merged(outputs[0], outputs[1])
            if layer > 0 and self.skip in ("residual", "highway"):
                y_TBO = self._skipped(layer, x_TBI, y_TBO)
            if not is_last:
                if self.training and self.dropout > 0:
                    y_TBO = (drop_locked if self.locked_dropout else self._drop)(y_TBO, self.dropout)
                if self.skip == "dense":
                    below.append(y_TBO)
                    y_TBO = torch.cat(below, 2)
            x_TBI = y_TBO
        return x_TBI, [result.state for result in results], results

    def _run_dilated(self, x_TBI: Tensor, asked: Asked) -> Result:
        dilation = self.dilations[asked.k // self._num_directions]
        return self._run_one(x_TBI, asked) if dilation == 1 else run_dilated(self._run_one, x_TBI, asked, dilation)

    def _merged(self, one: Tensor, other: Tensor) -> Tensor:
        if self.merge in ("concat", None):
            return torch.cat([one, other], dim=2)
        if self.merge == "product":
            return one * other
        both = one + other
        return both / 2 if self.merge == "mean" else both

    def _skipped(self, layer: int, x_TBO: Tensor, y_TBO: Tensor) -> Tensor:
        """Return a layer's output with what passes it by; both are zero past the end, so this is."""
        if self.skip == "residual":
            return y_TBO + x_TBO
        gate = nn.functional.linear(
            x_TBO, getattr(self, f"weight_skip_l{layer}"), getattr(self, f"bias_skip_l{layer}")
        ).sigmoid()
        return gate * y_TBO + (1 - gate) * x_TBO

    def final_states(self, state: Any) -> Directions:
        """Return a final state (or an initial one) of `forward` by direction: `.forward` and `.backward`.

        Args:
            state: h_n, or the pair (h_n, c_n), as `forward` returns it.

        Returns:
            In the same structure the states of the layers that read from the first step, (L, B, H), and of those that
            read from the last; the latter None when there is one direction.
        """
        parts = self._inner(state, self._state_form)
        forward, *backward = self._state_form.by_direction(parts, self._num_directions)
        return Directions(self._outer(forward), self._outer(backward[0]) if backward else None)

    # --- checking -----------------------------------------------------------------------------------------------

    @property
    def _step_shape(self) -> str:
        return str(self.input_size)

    def _prepare(
        self, x: Sequences, lengths: Lengths | None, reset: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Form]:
        """Check the input and bring it to time first."""
        x_TBI, lengths, form = time_first(
            self._owner,
            x,
            lengths,
            batch_first=self.batch_first,
            num_features=self._num_features,
            wanted=self._step_shape,
        )
        num_steps, batch, features, *_ = x_TBI.shape
        if features != self.input_size:
            letters = "B, T" if self.batch_first else "T, B"
            raise ValueError(
                f"{self._owner}: x has {features} features but input_size is {self.input_size}. "
                f"Pass input_size={features}, or give x of shape ({letters}, {self._step_shape})."
            )
        check_like(self._owner, "x", x_TBI, self._sample_weight(), "the layer")
        check_steps(self._owner, x_TBI)
        if lengths is not None:
            lengths = self._lengths(lengths, num_steps, batch, x_TBI.device)
        if reset is not None:
            reset = self._reset(reset, num_steps, batch, form).to(x_TBI.device)
        return x_TBI, lengths, reset, form

    def _reset(self, reset: Tensor, num_steps: int, batch: int, form: Form) -> Tensor:
        """Return `reset` as (T, B)."""
        if not form.is_batched:
            check_reset(self._owner, reset, (num_steps,), "(T,)")
            return reset[:, None]
        if form.batch_first:
            check_reset(self._owner, reset, (batch, num_steps), "(B, T)")
            return reset.T
        check_reset(self._owner, reset, (num_steps, batch), "(T, B)")
        return reset

    def _lengths(self, lengths: Lengths, num_steps: int, batch: int, device: torch.device) -> Tensor | None:
        lengths = lengths_of(self._owner, lengths, num_steps, batch)
        if has_values(lengths) and bool((lengths == num_steps).all()):
            return None
        return lengths.to(device, torch.int64)

    def _own_states(self, x_TBI: Tensor, context: Tensor | None, form: Form, state_form: StateForm) -> list[State]:
        """Return the initial states that `initial_state` says."""
        batch, dtype = x_TBI.shape[1], self._sample_weight().dtype
        shapes, copies = state_form.shapes, state_form.copies
        if self.initial_state == "context":
            return self._from_context(batch, context, form, state_form)
        if context is not None:
            raise ValueError(f"{self._owner}: context is given, but initial_state is {self.initial_state!r}.")
        if self.initial_state == "zeros":
            if state_form.is_stacked:
                zeros = tuple([x_TBI.new_zeros(batch, *shape, dtype=dtype) for shape in shapes[0]])
                return [zeros] * self._num_states
            return [
                tuple([x_TBI.new_zeros(*_kept(n), batch, *shape, dtype=dtype) for shape in parts])
                for parts, n in zip(shapes, copies, strict=True)
            ]
        states = []
        for k, (parts, n) in enumerate(zip(shapes, copies, strict=True)):
            rows = []
            for name, shape in zip(self._state_names, parts, strict=True):
                if name in self._fixed_states:
                    rows.append(x_TBI.new_zeros(*_kept(n), batch, *shape, dtype=dtype))
                    continue
                learned = self._learned_name(name)
                stacked = state_form.is_stacked
                start = getattr(self, learned)[k] if stacked else getattr(self, f"{learned}_{self._suffix(k)}")
                rows.append(start.expand(*_kept(n), batch, *shape))
            states.append(tuple(rows))
        return states

    def _from_context(self, batch: int, context: Tensor | None, form: Form, state_form: StateForm) -> list[State]:
        expected = (batch, self.context_size) if form.is_batched else (self.context_size,)
        if not isinstance(context, Tensor):
            raise TypeError(f"{self._owner}: context must be a torch.Tensor, but is {type(context).__name__}.")
        if context.shape != expected:
            letters = "(B, C)" if form.is_batched else "(C,)"
            raise ValueError(
                f"{self._owner}: context must have shape {letters} = {expected}, but has {shape_of(context)}."
            )
        check_like(self._owner, "context", context, self.context_to_state.weight, "the layer")
        rest: Tensor = self.context_to_state(context if form.is_batched else context[None])
        states = []
        own_shapes = self._state_form.shapes
        for parts, actual, n in zip(own_shapes, state_form.shapes, state_form.copies, strict=True):
            rows = []
            for name, shape, wanted in zip(self._state_names, parts, actual, strict=True):
                if name in self._fixed_states:
                    rows.append(rest.new_zeros(*_kept(n), batch, *wanted))
                    continue
                part, rest = rest.tensor_split([torch.Size(shape).numel()], dim=1)
                rows.append(part.reshape(batch, *shape).expand(*_kept(n), batch, *wanted))
            states.append(tuple(rows))
        return states

    def _given(self, hx: Any, batch: int, form: Form, state_form: StateForm) -> list[State]:
        """Check a given initial state and return it for each layer and direction."""
        parts = self._inner(hx, state_form)
        return state_form.split(parts, batch, self._sample_weight(), is_batched=form.is_batched)

    def _inner(self, hx: Any, state_form: StateForm) -> Sequence[Any]:
        """Return the parts of a state as the user has it."""
        names = self._state_names
        if len(names) == 1:
            if state_form.is_stacked and not isinstance(hx, Tensor):
                raise TypeError(f"{self._owner}: hx must be the tensor {names[0]}_0, but is {type(hx).__name__}.")
            return (hx,)
        if not isinstance(hx, tuple | list) or len(hx) != len(names):
            pair = ", ".join(f"{n}_0" for n in names)
            raise TypeError(f"{self._owner}: hx must be the pair ({pair}), but is {type(hx).__name__}.")
        return hx

    def _outer(self, parts: tuple[Any, ...]) -> Any:
        """Return the parts of a state as the user sees it."""
        return parts[0] if len(parts) == 1 else parts


def _kept(copies: int) -> tuple[int, ...]:
    """Return the dimension of a state that a dilation adds in front."""
    return () if copies == 1 else (copies,)


def _turn_reset(reset: Tensor | None, lengths: Tensor | None) -> Tensor | None:
    """Return where the reverse direction is reset, (T, B): between the same two steps as the forward one."""
    if reset is None:
        return None
    if lengths is not None:
        # Else one just past a row's end would reset the reverse direction before its first step.
        reset = reset & mask_of(lengths, reset.shape[0])
    # A slice of T - 1 steps would bar T = 2 from a program exported for any T.
    return nn.functional.pad(reset, (0, 0, 0, 1))[1:]
