"""The kernels for the CPU as two operators of torch, for calls that are compiled, transformed or exported.

`recur::recurrence` gives the outputs, the final state and what the backward pass needs; `recur::recurrence_backward`
gives the gradients. Derivatives of derivatives go through the reference.

What a call has not is None among the arguments, and an empty tensor of one dimension among the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recur.errors import BackendError
from recur.ops._call import SILENCE, TORCH_WEIGHTS, Call, Noise, Options, Weights
from recur.ops._checks import check_call
from recur.ops._frame import Frame
from recur.ops._kernels import DTYPES, MORE, Given, Saved, forward_pass, saved_widths


class _Form(NamedTuple):
    """What a call has beside its tensors."""

    kind: str
    nonlinearity: str
    layer_norm: bool
    reverse: bool
    bfloat16: bool
    cell_clip: float | None
    output_clip: float | None
    gradient_clip: float | None


_GIVEN = ("x", "h0", "c0", "h_anew", "c_anew", *TORCH_WEIGHTS, *MORE)
_MASKS = ("lengths", "reset", "state_mask", "candidate_mask", "zoneout_h", "zoneout_c")
_GRADS = ("dy", "dh_n", "dc_n", "dgates", "dcells")
_NUM_STATES = 5
"""Of those given, how many are no weights: x and the states."""

_ALWAYS = {"x", "h0", "weight_ih", "weight_hh"}
_TENSORS = ", ".join(f"Tensor{'' if name in _ALWAYS else '?'} {name}" for name in (*_GIVEN, *_MASKS))
_PLAIN = (
    "str kind, str nonlinearity, bool layer_norm, bool reverse, bool bfloat16, "
    "float? cell_clip, float? output_clip, float? gradient_clip"
)
_FORWARD = f"({_TENSORS}, {_PLAIN}, bool saves) -> ({', '.join(['Tensor'] * (3 + len(Saved._fields)))})"
_SAVED = ", ".join(f"Tensor {name}" for name in ("output", *Saved._fields))
_BACKWARD = (
    f"({', '.join(f'Tensor? {name}' for name in _GRADS)}, {_SAVED}, {_TENSORS}, {_PLAIN}, bool[] wanted) "
    f"-> ({', '.join(['Tensor'] * len(_GIVEN))})"
)

# Which dimension of each argument and result is the batch.
_GIVEN_AXES = (1, 0, 0, 0, 0, *[None] * (len(_GIVEN) - _NUM_STATES))
_MASKS_AXES = (0, 1, 0, 1, 1, 1)
_GRADS_AXES = (1, 0, 0, 1, 1)
_SAVED_AXES = (1,) * len(Saved._fields)


def run(frame: Frame, given: Given, is_learning: bool) -> tuple[Tensor, ...]:
    """Return the outputs, the final state and the record of a call, as `Frame.forward` does."""
    call = frame.rest
    options, noise = call.options, call.noise
    assert isinstance(options.nonlinearity, str)
    form = _Form(frame.kind, options.nonlinearity, options.layer_norm, call.reverse, call.bfloat16, *options[-3:])
    masks = (call.lengths, call.reset, noise.state, noise.candidate, *(*noise.zoneout, None, None)[:2])
    saves = is_learning or call.records
    more = [None] * (len(_GIVEN) - len(given))
    output, h_n, c_n, *rest = _operator("recurrence")(*given, *more, *masks, *form, saves)
    found = (output, h_n, c_n)[: 1 + frame.num_states]
    return (*found, *frame.recorded(_saved(rest), output)) if call.records else found


def _frame(given: Given, masks: Sequence[Tensor | None], form: _Form, is_checked: bool = False) -> Frame:
    """Return the call that the operator was given; with `is_checked` after a look at every tensor."""
    from recur.ops._forms import form as form_of

    x, h, c, h_anew, c_anew, weight_ih, weight_hh, bias_ih, bias_hh, *rest = given
    assert x is not None
    assert h is not None
    assert weight_ih is not None
    assert weight_hh is not None
    more = {name: weight for name, weight in zip(MORE, rest, strict=True) if weight is not None}
    lengths, reset, on_state, on_candidate, *kept = masks
    has_noise = any(mask is not None for mask in masks[2:])
    is_kept = any(mask is not None for mask in kept)
    num_states = 1 if c is None else 2
    name = form.kind.partition("_")[0]
    options = Options(
        nonlinearity="relu" if form.nonlinearity == "relu" else "tanh",
        reset_after=form.kind != "gru_reset_before",
        coupled=form.kind == "lstm_coupled",
        peephole="weight_ch" in more,
        layer_norm=form.layer_norm,
        projected="weight_hr" in more,
        cell_clip=form.cell_clip,
        output_clip=form.output_clip,
        gradient_clip=form.gradient_clip,
    )
    call = Call(
        name,
        x,
        tuple([part for part in (h, c) if part is not None]),
        Weights(weight_ih, weight_hh, bias_ih, bias_hh, more),
        lengths,
        reset,
        form.reverse,
        None if h_anew is None else tuple([part for part in (h_anew, c_anew) if part is not None]),
        options,
        Noise(on_state, on_candidate, tuple(kept[:num_states]) if is_kept else ()) if has_noise else SILENCE,
        bfloat16=form.bfloat16,
    )
    cell = form_of(name, options)
    if is_checked:
        if x.dtype not in DTYPES:
            raise TypeError(f"{name}: x is {x.dtype}, but the operator computes in torch.float32 and torch.float64.")
        # Under autocast other dtypes would do; not for the kernels.
        with torch.autocast("cpu", enabled=False):
            check_call(call, cell)
    reference: Any = cell.backends[-1]
    return Frame(form.kind, reference, call)


def _saved(tensors: Sequence[Tensor]) -> Saved:
    return Saved(*[tensor if tensor.dim() > 1 else None for tensor in tensors])


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if tensor is None else tensor


# --- forward ----------------------------------------------------------------------------------------------------------


def _split(args: Sequence[Any]) -> tuple[Given, Sequence[Tensor | None], _Form, Any]:
    """Return what is given, masks, form, and what comes last."""
    ends = len(_GIVEN), len(_GIVEN) + len(_MASKS)
    return args[: ends[0]], args[ends[0] : ends[1]], _Form(*args[ends[1] : -1]), args[-1]


def _widths(given: Given, form: _Form) -> tuple[int | None, ...]:
    return saved_widths(form.kind, given, form.layer_norm, form.output_clip is not None)


def _recurrence(*args: Any) -> tuple[Tensor, ...]:
    given, masks, form, saves = _split(args)
    # Values that were not there while the call was traced, such as lengths, are looked at here.
    frame = _frame(given, masks, form, is_checked=True)
    x = args[0]
    ready = forward_pass(form.kind, frame.rest, given, is_saving=saves)
    output, *state = ready.run()
    pairs = zip(ready.saved, _widths(given, form), strict=True)
    saved = [None if each is None or width is None else each.view(*x.shape[:2], width) for each, width in pairs]
    return (output, *[_or_empty(each, x) for each in (*state, None)[:2]], *[_or_empty(each, x) for each in saved])


def _recurrence_fake(*args: Any) -> tuple[Tensor, ...]:
    given, _, form, saves = _split(args)
    x, h, c = args[:3]
    widths = _widths(given, form) if saves else Saved()
    rows = x.shape[:2]
    saved = [x.new_empty(0) if width is None else x.new_empty((*rows, width)) for width in widths]
    return (x.new_empty((*rows, h.shape[1])), h.new_empty(h.shape), x.new_empty(0 if c is None else c.shape), *saved)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    given, masks, ctx.form, ctx.saves = _split(inputs)
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[5:])
    ctx.save_for_backward(output[0], *output[3:], *given, *masks)


def _differentiate(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    if not ctx.saves:
        raise BackendError("recur::recurrence kept nothing for a backward pass; call it with saves=True.")
    if any(ctx.needs_input_grad[len(_GIVEN) :]):
        raise BackendError(
            "recur::recurrence takes no gradient of a mask; pass backend='reference' to the layer or op."
        )
    wanted = ctx.needs_input_grad[: len(_GIVEN)]
    found = _operator("recurrence_backward")(*grads[: len(_GRADS)], *ctx.saved_tensors, *ctx.form, list(wanted))
    wished = [each if is_wanted else None for each, is_wanted in zip(found, wanted, strict=True)]
    return (*wished, *[None] * (len(ctx.needs_input_grad) - len(wished)))


# --- backward ---------------------------------------------------------------------------------------------------------

_ENDS = (len(_GRADS), len(_GRADS) + 1 + len(Saved._fields))


def _grads_of(frame: Frame, grads: Sequence[Tensor | None]) -> tuple[Frame, list[Tensor | None]]:
    """Return the call, with a record where it has gradients, and the gradients as `Frame.backward` takes them."""
    dgates, dcells = grads[3:]
    found = list(grads[: 1 + frame.num_states])
    if dgates is not None or dcells is not None:
        frame.rest = frame.rest._replace(records=True)
        found += [None] * len(frame.gates) if dgates is None else frame.in_slots(dgates, dgates.shape[0])
        found += [dcells] if frame.num_states == 2 else []
    return frame, found


def _recurrence_backward(*args: Any) -> tuple[Tensor, ...]:
    given, masks, form, wanted = _split(args[_ENDS[1] :])
    frame, grads = _grads_of(_frame(given, masks, form), args[: _ENDS[0]])
    # A sample of many that vmap maps lies among the others.
    output, *saved = [each.contiguous() for each in args[_ENDS[0] : _ENDS[1]]]
    found = frame.backward_pass(given, output, _saved(saved), grads, wanted).run()
    return tuple([_or_empty(each, output) for each in found])


def _recurrence_backward_fake(*args: Any) -> tuple[Tensor, ...]:
    given, _, _, wanted = _split(args[_ENDS[1] :])
    pairs = zip(given, wanted, strict=True)
    return tuple(
        [args[_ENDS[1]].new_empty(0 if each is None or not is_wanted else each.shape) for each, is_wanted in pairs]
    )


def _remember_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    given, masks, ctx.form, ctx.wanted = _split(inputs[_ENDS[1] :])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[: _ENDS[0]], *given, *masks)


def _differentiate_backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
    num_grads, num_given = len(_GRADS), len(_GIVEN)
    # Once: a checkpoint computes them anew for it and lets them go.
    kept = ctx.saved_tensors
    tensors, masks = kept[: num_grads + num_given], kept[num_grads + num_given :]
    every = [*range(num_grads), *range(_ENDS[1], _ENDS[1] + num_given)]
    asked = [k for k, place in enumerate(every) if ctx.needs_input_grad[place]]
    wished = [k for k, is_wanted in enumerate(ctx.wanted) if is_wanted and upstream[k] is not None]

    def backward(*some: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients that `upstream` weighs, of gradients and given tensors, by the reference."""
        now = _with(tensors, asked, some)
        frame, grads = _grads_of(_frame(now[num_grads:], masks, ctx.form), now[:num_grads])

        def forward(*some: Tensor) -> tuple[Tensor, ...]:
            outputs = frame.equations(_with(now[num_grads:], wished, some))
            return tuple([output for output, grad in zip(outputs, grads, strict=True) if grad is not None])

        pull: Any = torch.func.vjp(forward, *[now[num_grads + k] for k in wished])[1]
        found: tuple[Tensor, ...] = pull(tuple([grad for grad in grads if grad is not None]))
        return found

    found: list[Tensor | None] = [None] * len(ctx.needs_input_grad)
    if asked and wished:
        # Unlike torch.autograd.grad it may itself be mapped by vmap.
        pull: Any = torch.func.vjp(backward, *[tensors[k] for k in asked])[1]
        # What the forward pass saved is a function of what was given, which the reference computes anew.
        for k, value in zip(asked, pull(tuple([upstream[k] for k in wished])), strict=True):
            found[every[k]] = value
    return tuple(found)


def _with(tensors: Sequence[Tensor | None], places: Sequence[int], values: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the tensors with others in these places."""
    found = list(tensors)
    for place, value in zip(places, values, strict=True):
        found[place] = value
    return found


# --- vmap -------------------------------------------------------------------------------------------------------------


class _Mapped:
    """One of the operators under vmap: more rows of the batch, or one call after the other where it must be."""

    def __init__(self, name: str, axes: Sequence[int | None], result_axes: Sequence[int | None]) -> None:
        self._name = name
        self._axes = axes
        self._result_axes = result_axes
        first = len(axes) - len(_GIVEN) - len(_MASKS)
        self._weights = range(first + _NUM_STATES, first + len(_GIVEN))
        self._zoneout = range(len(axes) - 2, len(axes))

    def __call__(self, info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        """Return the results, and which dimension of each is the mapped one."""
        operator, count = _operator(self._name), info.batch_size
        tensors, rest = args[: len(self._axes)], args[len(self._axes) :]
        dims, axes = in_dims[: len(tensors)], list(self._axes)
        has_own = any(dims[k] is not None for k in self._weights) or (
            # The gradient of a weight is the sum over the rows.
            isinstance(rest[-1], Sequence) and any(rest[-1][_NUM_STATES:])
        )
        for k in self._zoneout:
            if tensors[k] is not None and tensors[k].numel() == (1 if dims[k] is None else count):
                # One number for all rows has no batch.
                axes[k] = None
                has_own = has_own or dims[k] is not None
        found: Sequence[Tensor]
        if has_own:
            parts = [
                [each] * count if dim is None else each.unbind(dim) for each, dim in zip(tensors, dims, strict=True)
            ]
            rows = [operator(*row, *rest) for row in zip(*parts, strict=True)]
            found = [row[0] if row[0].shape == (0,) else torch.stack(row) for row in zip(*rows, strict=True)]
            return tuple(found), tuple([None if each.shape == (0,) else 0 for each in found])
        merged = [_merged(each, dim, axis, count) for each, dim, axis in zip(tensors, dims, axes, strict=True)]
        found = operator(*merged, *rest)
        out_dims = [None if each.shape == (0,) else axis for each, axis in zip(found, self._result_axes, strict=True)]
        pairs = zip(found, out_dims, strict=True)
        found = [each if dim is None else torch.unflatten(each, dim, (count, -1)) for each, dim in pairs]
        return tuple(found), tuple(out_dims)


def _merged(tensor: Tensor | None, mapped: int | None, axis: int | None, count: int) -> Tensor | None:
    """Return the tensor with `count` times as many rows."""
    if tensor is None or axis is None or tensor.shape == (0,):
        return tensor
    if mapped is None:
        shape = [*tensor.shape[:axis], count, *tensor.shape[axis:]]
        return tensor.unsqueeze(axis).expand(shape).flatten(axis, axis + 1)
    return tensor.movedim(mapped, axis).flatten(axis, axis + 1)


# --- registration -----------------------------------------------------------------------------------------------------


def _operator(name: str) -> Any:
    """Return the operator; for torch.func its function, since `register_autograd` knows no transform in another."""
    is_transformed = torch._C._are_functorch_transforms_active()
    return _FUNCTIONS[name].apply if is_transformed else getattr(torch.ops.recur, name)


class _Recurrence(torch.autograd.Function):
    forward = staticmethod(lambda *args: torch.ops.recur.recurrence(*args))
    setup_context = staticmethod(_remember)
    backward = staticmethod(_differentiate)
    vmap = staticmethod(_Mapped("recurrence", (*_GIVEN_AXES, *_MASKS_AXES), (1, 0, 0, *_SAVED_AXES)))


class _RecurrenceBackward(torch.autograd.Function):
    forward = staticmethod(lambda *args: torch.ops.recur.recurrence_backward(*args))
    setup_context = staticmethod(_remember_backward)
    backward = staticmethod(_differentiate_backward)
    vmap = staticmethod(
        _Mapped("recurrence_backward", (*_GRADS_AXES, 1, *_SAVED_AXES, *_GIVEN_AXES, *_MASKS_AXES), _GIVEN_AXES)
    )


_FUNCTIONS: Mapping[str, Any] = MappingProxyType(
    {"recurrence": _Recurrence, "recurrence_backward": _RecurrenceBackward}
)


def _register(name: str, schema: str, kernel: Any, fake: Any) -> None:
    function = _FUNCTIONS[name]
    made = torch.library.custom_op(f"recur::{name}", kernel, mutates_args=(), device_types="cpu", schema=schema)
    made.register_fake(fake)
    made.register_autograd(function.backward, setup_context=function.setup_context)
    made.register_vmap(function.vmap)
    # The kernels know no narrower numbers; float64 stays.
    made.register_autocast("cpu", torch.float32)


_register("recurrence", _FORWARD, _recurrence, _recurrence_fake)
_register("recurrence_backward", _BACKWARD, _recurrence_backward, _recurrence_backward_fake)
