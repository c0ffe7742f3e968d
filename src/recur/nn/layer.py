"""What every recurrent layer has in common: stacking, directions, padding, resets, states."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recur.nn import options as checks
from recur.nn.dilation import run_dilated
from recur.nn.dropout import drop_locked
from recur.nn.form import zoneout_shares
from recur.nn.options import StackOptions
from recur.nn.sequences import Form, Lengths, Sequences, lengths_of, time_first
from recur.nn.states import Directions, StateForm
from recur.ops._call import Result, State
from recur.ops._checks import check_like, check_reset, check_steps, has_values, shape_of
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


class RecurrentLayer(nn.Module):
    """A stack of recurrent layers of one kind, in one or two directions; the base of all of them.

    A kind of layer says in `_state_names`, `_state_shapes` and `_num_features` what its input, states and outputs look
    like, and computes one layer in one direction in `_run_one`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        options: `StackOptions`, complete.
    """

    _state_names: tuple[str, ...] = ("h",)
    _num_features = 1
    # Parts of the state that begin with zeros whatever `initial_state` says, and that zoneout leaves alone, such as
    # a clock.
    _fixed_states: tuple[str, ...] = ()

    # Set from the options.
    initial_state: str
    context_size: int | None
    locked_dropout: bool
    skip: str | None
    merge: str | None
    gradient_clip: float | None
    state_batch_first: bool

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._owner = owner = type(self).__name__
        checks.check_size(owner, "input_size", input_size, 1)
        checks.check_size(owner, "num_layers", num_layers, 1)
        if isinstance(hidden_size, list | tuple) and num_layers == 1:
            num_layers = max(len(hidden_size), 1)
        for name, flag in (("batch_first", batch_first), ("bidirectional", bidirectional)):
            if not isinstance(flag, bool):
                raise TypeError(f"{owner}: {name} must be a bool, but is {type(flag).__name__}.")
        checks.check_share(owner, "dropout", dropout)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{owner}: dropout={dropout} does nothing, because it acts between layers and num_layers is 1.",
                stacklevel=4,
            )
        self.input_size = input_size
        self.hidden_sizes = checks.per_layer(owner, "hidden_size", hidden_size, num_layers)
        self.hidden_size = hidden_size if isinstance(hidden_size, int) else self.hidden_sizes[-1]
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self._num_directions = 2 if bidirectional else 1
        self._num_states = num_layers * self._num_directions
        for name in StackOptions.__annotations__:
            setattr(self, name, options[name])
        free = tuple(name for name in self._state_names if name not in self._fixed_states)
        shares = dict(zip(free, zoneout_shares(owner, options["zoneout"], free), strict=True))
        self.zoneout = tuple(shares.get(name, 0.0) for name in self._state_names)
        self.dilations = checks.per_layer(owner, "dilation", options["dilation"], num_layers)
        if self.merge != "concat" and not bidirectional:
            raise ValueError(f"{owner}: merge is {self.merge!r}, but there is one direction; pass bidirectional=True.")
        if self.skip is not None and num_layers == 1:
            raise ValueError(f"{owner}: skip={self.skip!r} acts between layers, but num_layers is 1.")
        if self.locked_dropout and (dropout == 0 or num_layers == 1):
            raise ValueError(
                f"{owner}: locked_dropout says how dropout between layers acts, but dropout is {dropout} and "
                f"num_layers is {num_layers}. Raise them, or leave locked_dropout out."
            )
        if self.merge is None and self.skip in ("residual", "highway"):
            raise ValueError(f"{owner}: skip={self.skip!r} needs the two directions in one; choose a merge.")
        if (self.initial_state == "context") != (self.context_size is not None):
            raise ValueError(f"{owner}: initial_state='context' and context_size go together; give both or neither.")

    # --- what a kind of layer says -----------------------------------------------------------------------------

    def _state_shapes(self, layer: int) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each part of a layer's state, for one row."""
        raise NotImplementedError

    def _run_one(
        self,
        k: int,
        x_TBI: Tensor,
        state: State,
        *,
        lengths: Tensor | None,
        reset: Tensor | None,
        anew: State | None,
        reverse: bool,
        records: bool,
    ) -> Result:
        """Run layer and direction `k`; the arguments as of `recur.ops.recurrence`."""
        raise NotImplementedError

    def _state_form_for(self, x_TBI: Tensor) -> StateForm:
        """Return what the states look like for this input."""
        return self._state_form

    def _sample_weight(self) -> Tensor:
        """Return a parameter, which tells dtype and device."""
        return next(self.parameters())

    # --- making -------------------------------------------------------------------------------------------------

    def _out_size(self, layer: int) -> int:
        """Return the features that a layer gives to the next, before skips."""
        size = self._state_shapes(layer)[0][0]
        return size * 2 if self.bidirectional and self.merge in ("concat", None) else size

    def _in_size(self, layer: int) -> int:
        """Return the features that a layer gets."""
        if layer == 0:
            return self.input_size
        if self.skip == "dense":
            return self.input_size + sum(self._out_size(below) for below in range(layer))
        return self._out_size(layer - 1)

    def _make_stack_parameters(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Make the parameters that belong to the stack and not to the cells, after those."""
        shapes = [self._state_shapes(k // self._num_directions) for k in range(self._num_states)]
        copies = tuple(self.dilations[k // self._num_directions] for k in range(self._num_states))
        self._state_form = StateForm(self._owner, self._state_names, tuple(shapes), copies, self.state_batch_first)
        if self.skip in ("residual", "highway"):
            for layer in range(1, self.num_layers):
                if self._in_size(layer) != self._out_size(layer):
                    raise ValueError(
                        f"{self._owner}: skip={self.skip!r} needs layers of one size, but layer {layer} gets "
                        f"{self._in_size(layer)} features and gives {self._out_size(layer)}."
                    )
        if self.skip == "highway":
            for layer in range(1, self.num_layers):
                size = self._out_size(layer)
                for name, shape in ((f"weight_skip_l{layer}", (size, size)), (f"bias_skip_l{layer}", (size,))):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        if self.initial_state == "learned":
            for number, name in enumerate(self._state_names):
                if name in self._fixed_states:
                    continue
                parts = [shape[number] for shape in shapes]
                if self._state_form.is_stacked:
                    start = torch.empty(self._num_states, *parts[0], device=device, dtype=dtype)
                    self.register_parameter(self._learned_name(name), nn.Parameter(start))
                    continue
                for k, part in enumerate(parts):
                    start = torch.empty(part, device=device, dtype=dtype)
                    self.register_parameter(f"{self._learned_name(name)}_{self._suffix(k)}", nn.Parameter(start))
        if self.initial_state == "context":
            named = [pair for shape in shapes for pair in zip(self._state_names, shape, strict=True)]
            total = sum(torch.Size(part).numel() for name, part in named if name not in self._fixed_states)
            assert self.context_size is not None
            self.context_to_state = nn.Linear(self.context_size, total, device=device, dtype=dtype)

    def _learned_name(self, name: str) -> str:
        """Return the name of the parameter that a part of the state begins with; h_0 for h."""
        return f"{name.replace('.', '_')}_0"

    def _suffix(self, k: int) -> str:
        """Return what torch puts behind the names of the weights of layer and direction `k`."""
        layer, direction = divmod(k, self._num_directions)
        return f"l{layer}{'_reverse' if direction else ''}"

    def _reset_stack_parameters(self) -> None:
        """Draw the parameters of the stack: a learned initial state zero, highway gates half closed."""
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith(tuple(self._learned_name(part) for part in self._state_names)):
                nn.init.zeros_(parameter)
            elif name.startswith("weight_skip"):
                bound = parameter.shape[1] ** -0.5
                nn.init.uniform_(parameter, -bound, bound)
            elif name.startswith("bias_skip"):
                # At first the layer's input passes rather than its output (Srivastava et al. 2015, section 2.2).
                nn.init.constant_(parameter, -1.0)
        if self.initial_state == "context":
            self.context_to_state.reset_parameters()

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
            outputs = []
            seen_TBI = x_TBI if extras is None else torch.cat([x_TBI, extras], 2)
            for direction in range(self._num_directions):
                k = layer * self._num_directions + direction
                run = self._run_one if self.dilations[layer] == 1 else self._run_dilated
                result = run(
                    k,
                    seen_TBI,
                    states[k],
                    lengths=lengths,
                    reset=turned if direction else reset,
                    anew=None if anew is None else anew[k],
                    reverse=direction == 1,
                    records=records,
                )
                outputs.append(result.output)
                results.append(result)
            is_last = layer == self.num_layers - 1
            if is_last and self.bidirectional and self.merge is None:
                return (outputs[0], outputs[1]), [result.state for result in results], results
            y_TBO = outputs[0] if len(outputs) == 1 else self._merged(outputs[0], outputs[1])
            if self.skip in ("residual", "highway") and layer > 0:
                y_TBO = self._skipped(layer, x_TBI, y_TBO, lengths)
            if not is_last:
                if self.training and self.dropout > 0:
                    y_TBO = (drop_locked if self.locked_dropout else nn.functional.dropout)(y_TBO, self.dropout)
                if self.skip == "dense":
                    below.append(y_TBO)
                    y_TBO = torch.cat(below, 2)
            x_TBI = y_TBO
        return x_TBI, [result.state for result in results], results

    def _run_dilated(self, k: int, x_TBI: Tensor, state: State, **keywords: Any) -> Result:
        return run_dilated(self._run_one, k, x_TBI, state, self.dilations[k // self._num_directions], **keywords)

    def _merged(self, one: Tensor, other: Tensor) -> Tensor:
        if self.merge in ("concat", None):
            return torch.cat([one, other], dim=2)
        if self.merge == "product":
            return one * other
        both = one + other
        return both / 2 if self.merge == "mean" else both

    def _skipped(self, layer: int, x_TBO: Tensor, y_TBO: Tensor, lengths: Tensor | None) -> Tensor:
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
        if x_TBI.shape[2] != self.input_size:
            letters = "B, T" if self.batch_first else "T, B"
            raise ValueError(
                f"{self._owner}: x has {x_TBI.shape[2]} features but input_size is {self.input_size}. "
                f"Pass input_size={x_TBI.shape[2]}, or give x of shape ({letters}, {self._step_shape})."
            )
        check_like(self._owner, "x", x_TBI, self._sample_weight(), "the layer")
        check_steps(self._owner, x_TBI)
        num_steps, batch = x_TBI.shape[:2]
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
        reset = reset & mask_of(lengths, len(reset))
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])])
