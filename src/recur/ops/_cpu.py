"""The back end of compiled kernels for the CPU: forward and backward through time in one call each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recur import engine
from recur.ops._call import PLAIN, SILENCE, Call, Noise, Result, Weights
from recur.ops._checks import has_values
from recur.ops._scan import Reference, mask_of

_MORE = ("weight_hr", "weight_ch", "norm_ih", "norm_hh", "norm_c", "norm_c_bias", "norm")
_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", *_MORE[:-1], "norm_ih")
"""What the kernels call the weights, in the order in which they are handed on; one gain alone is norm_ih to them."""

_FAR = float("inf")

_Given: TypeAlias = tuple[Tensor | None, ...]


class Cpu:
    """Kernels for float32 and float64, for every option but nonlinearities that are functions of Python.

    Bit for bit the same result for the same number of threads.
    """

    name = "cpu"

    def __init__(self, kind: str, reference: Reference) -> None:
        """Make the back end of one form of an op.

        Args:
            kind: The cell, as the kernels call it.
            reference: The op's reference, which computes derivatives of derivatives.
        """
        self._kind = kind
        self._reference = reference

    def accepts(self, call: Call) -> str | None:
        """Refuse what the kernels cannot do, see `Backend.accepts`."""
        x = call.x_TBI
        if x.device.type != "cpu":
            return f"its kernels run on a CPU, and x is on {x.device}"
        if x.dtype not in _KINDS_OF_NUMBER:
            return f"its kernels compute in float32 and float64, and x is {x.dtype}"
        reason = engine.missing_kernels()
        if reason is not None:
            return reason
        if torch.compiler.is_compiling() or torch._C._is_tracing():
            return "its kernels are not traced"
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return "its kernels do not run under torch.func transforms such as vmap"
        if forward_ad._current_level >= 0:
            return "its kernels have no forward-mode derivative"
        if not has_values(x):
            return "its kernels need the values of x"
        if not isinstance(call.options.nonlinearity, str):
            return "its kernels know tanh and relu only, not a function as nonlinearity"
        masks = (call.noise.state, call.noise.candidate, *call.noise.zoneout)
        if any(mask is not None and mask.requires_grad for mask in masks):
            return "its kernels take no gradient of a mask"
        return None

    def run(self, call: Call) -> Result:
        """Run the call, see `Backend.run`."""
        given = _given(call)
        is_learning = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in given)
        if not is_learning and not call.records:
            output, *final = _forward(self._kind, call, given)
            return Result(output, tuple(final))
        frame = _Frame(self._kind, self._reference, call)
        if is_learning:
            found: tuple[Tensor, ...] = _Through.apply(frame, *given)  # type: ignore[no-untyped-call]
        else:
            found = frame.forward(given)[0]
        output, *rest = found
        final, rest = rest[: len(call.state)], rest[len(call.state) :]
        return Result(output, tuple(final), frame.record(output, rest) if call.records else {})


_NO_ANEW: _Given = (None, None)
_NO_MORE: _Given = (None,) * len(_MORE)


def stepping(backend: Cpu, calls: Sequence[Call], outputs: Sequence[Tensor]) -> tuple[Any, list[Any]]:
    """Return layers that take steps in place, one upon the other, and the tensors whose memory they use.

    Args:
        backend: Of all of them.
        calls: One step of each layer, whose dense states are brought on.
        outputs: Where each layer writes its output, (B, H or P).
    """
    kernels = _kernels()
    made = (kernels.Stepping32 if outputs[0].dtype is torch.float32 else kernels.Stepping64)()
    kept: list[Any] = []
    for call, output in zip(calls, outputs, strict=True):
        given = _given(call)
        kernel, dense, alive = _kernel(backend._kind, call, given)
        h, c = dense[1:3]
        kernel.set_outputs(output.data_ptr(), 0, output.stride(0), h.data_ptr(), 0 if c is None else c.data_ptr())
        made.add(kernel)
        kept += [dense, alive, output]
    return made, kept


def _given(call: Call) -> _Given:
    """Return the differentiable tensors of a call in the order of the kernels."""
    state, weights = call.state, call.weights
    two = state if len(state) == 2 else (state[0], None)
    anew = _NO_ANEW if call.reset_state is None else (*call.reset_state, None)[:2]
    more = _NO_MORE if not weights.more else [weights.more.get(name) for name in _MORE]
    return (call.x_TBI, *two, *anew, *weights[:4], *more)


class _Saved(NamedTuple):
    """What a forward pass leaves for the backward pass, by the names that the kernels have for it."""

    gates: Tensor | None = None
    cells: Tensor | None = None
    input_hat: Tensor | None = None
    hidden_hat: Tensor | None = None
    scales: Tensor | None = None
    raw_output: Tensor | None = None


class _Frame:
    """One call without its differentiable tensors, which autograd wants one by one."""

    def __init__(self, kind: str, reference: Reference, call: Call) -> None:
        self.kind = kind
        self.reference = reference
        self.num_states = len(call.state)
        self.hidden_size = call.weights.weight_ih.shape[0] // _NUM_GATES[kind]
        self.gates = _GATES[kind]
        nothing: Any = None
        self.rest = call._replace(x_TBI=nothing, state=(), weights=nothing, reset_state=None)

    def call(self, given: Sequence[Tensor | None]) -> Call:
        """Return the call again, with these tensors in it."""
        x, h, c, h_anew, c_anew, weight_ih, weight_hh, bias_ih, bias_hh, *rest = given
        more = {name: weight for name, weight in zip(_MORE, rest, strict=True) if weight is not None}
        assert x is not None
        assert weight_ih is not None
        assert weight_hh is not None
        return self.rest._replace(
            x_TBI=x,
            state=tuple([part for part in (h, c) if part is not None]),
            weights=Weights(weight_ih, weight_hh, bias_ih, bias_hh, more),
            reset_state=None if h_anew is None else tuple([part for part in (h_anew, c_anew) if part is not None]),
        )

    def forward(self, given: Sequence[Tensor | None]) -> tuple[tuple[Tensor, ...], _Saved]:
        """Return the outputs, the final state and the record, and what the backward pass needs."""
        saved: list[_Saved] = []
        found = _forward(self.kind, self.rest, given, saved)
        if self.rest.records:
            found = (*found, *self._recorded(saved[0], found[0]))
        return found, saved[0]

    def _recorded(self, saved: _Saved, output: Tensor) -> list[Tensor]:
        """Return the value of each gate, then a cell state if there is one, (T, B, H) each, zero past the end."""
        assert saved.gates is not None
        num_steps, batch, _ = output.shape
        padded_size = -(-self.hidden_size * output.itemsize // _UNIT_BYTES) * _UNIT_BYTES // output.itemsize
        slots = saved.gates.view(num_steps, batch, -1, padded_size)
        found = [slots[:, :, slot, : self.hidden_size] for slot in _SLOTS.get(self.kind, range(len(self.gates)))]
        if saved.cells is not None:
            found.append(saved.cells.view(num_steps, batch, self.hidden_size))
        if self.rest.lengths is None:
            return [each.clone(memory_format=torch.contiguous_format) for each in found]
        alive = mask_of(self.rest.lengths, num_steps)[..., None]
        return [torch.where(alive, each, 0) for each in found]

    def record(self, output: Tensor, recorded: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the record by name, in the order of the reference."""
        gates, cells = recorded[: len(self.gates)], recorded[len(self.gates) :]
        named = {"h": output} | ({"c": cells[0]} if cells else {})
        for name, value in zip(self.gates, gates, strict=True):
            if self.kind == "lstm_coupled" and name == "f":
                lengths = self.rest.lengths
                alive = 1 if lengths is None else mask_of(lengths, len(output))[..., None]
                named["i"] = (1 - value) * alive
            named[name] = value
        return named

    def backward(
        self,
        given: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        saved: _Saved,
        grads: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> list[Tensor | None]:
        """Return the gradient of each given tensor that is wanted."""
        kernel, dense, alive = _kernel(self.kind, self.rest, given)
        step, row, _ = outputs[0].stride()
        kernel.set_outputs(outputs[0].data_ptr(), step, row, 0, 0)
        _set_saved(kernel, saved)
        dy, *dstate = grads[: 1 + self.num_states]
        if dy is not None:
            alive.append(_with_features_together(dy))
            _set_sequence(kernel.set_dy, alive[-1])
        for put, grad in zip((kernel.set_dhn, kernel.set_dcn), dstate, strict=False):
            _set(put, grad, alive)
        recorded = grads[1 + self.num_states :]
        for gate, grad in enumerate(recorded[: len(self.gates)]):
            _set(lambda address, gate=gate: kernel.set_dgate(gate, address), grad, alive)
        for grad in recorded[len(self.gates) :]:
            _set(kernel.set_dcells, grad, alive)
        found: list[Tensor | None] = [None] * len(given)
        for number, (tensor, is_wanted) in enumerate(zip(dense, wanted, strict=True)):
            if tensor is not None and is_wanted:
                found[number] = _empty(tensor, tuple(tensor.shape))
        if found[0] is not None:
            _set_sequence(kernel.set_dx, found[0])
        names = ("dh0", "dc0", "dh_anew", "dc_anew", *[f"d{name}" for name in _WEIGHTS])
        for name, grad in zip(names, found[1:], strict=True):
            if grad is not None:
                getattr(kernel, f"set_{name}")(grad.data_ptr())
        if self.rest.reset is not None and given[3] is None:
            # A reset goes back to the initial state itself.
            for put, grad in zip((kernel.set_dh_anew, kernel.set_dc_anew), found[1:3], strict=True):
                if grad is not None:
                    put(grad.data_ptr())
        kernel.backward(torch.get_num_threads())
        return found


def _forward(
    kind: str, call: Call, given: Sequence[Tensor | None], saved: list[_Saved] | None = None
) -> tuple[Tensor, ...]:
    """Return the outputs and the final state; what the backward pass needs is added to `saved`."""
    kernel, (x, h, c, *_), _alive = _kernel(kind, call, given)
    y = _empty(x, (*x.shape[:2], h.shape[1]))
    h_n, c_n = torch.empty_like(h), None if c is None else torch.empty_like(c)
    kernel.set_outputs(y.data_ptr(), *y.stride()[:2], h_n.data_ptr(), 0 if c_n is None else c_n.data_ptr())
    if saved is not None:
        sizes = kernel.saved_sizes()
        counts = {name: getattr(sizes, name) for name in _Saved._fields}
        saved.append(_Saved(**{name: _empty(x, (count,)) for name, count in counts.items() if count}))
        _set_saved(kernel, saved[0])
    kernel.forward(torch.get_num_threads())
    return (y, h_n) if c_n is None else (y, h_n, c_n)


def _kernel(kind: str, call: Call, given: Sequence[Tensor | None]) -> tuple[Any, list[Any], list[Tensor]]:
    """Return the kernels' description of the call, the given tensors, dense, and what else its pointers point to.

    Of `call` the differentiable tensors are not looked at.
    """
    x = given[0]
    assert x is not None
    others = [None if each is None else each.contiguous() for each in given[1:]]
    dense: list[Any] = [_with_features_together(x), *others]
    x, h, c, h_anew, c_anew, weight_ih, weight_hh, bias_ih, bias_hh, *more = dense
    options, noise = call.options, call.noise
    kernels = _kernels()
    num_steps, batch, input_size = x.shape
    kernel = (kernels.Recurrence32 if x.dtype is torch.float32 else kernels.Recurrence64)(
        _cell_kinds(kind),
        options.nonlinearity == "relu",
        options.layer_norm,
        call.reverse,
        num_steps,
        batch,
        input_size,
        weight_ih.shape[0] // _NUM_GATES[kind],
        h.shape[1],
    )
    kernel.set_inputs(
        x.data_ptr(),
        *x.stride()[:2],
        h.data_ptr(),
        0 if c is None else c.data_ptr(),
        weight_ih.data_ptr(),
        weight_hh.data_ptr(),
        *((0, 0) if bias_ih is None else (bias_ih.data_ptr(), bias_hh.data_ptr())),
    )
    alive: list[Tensor] = []
    if options is not PLAIN:
        clips = (options.cell_clip, options.output_clip, options.gradient_clip)
        kernel.set_clips(*[_FAR if clip is None else clip for clip in clips])
        for name, weight in zip(_WEIGHTS[4:], more, strict=True):
            if weight is not None:
                getattr(kernel, f"set_{name}")(weight.data_ptr())
    if call.lengths is not None:
        alive.append(call.lengths.contiguous())
        kernel.set_lengths(alive[-1].data_ptr())
    if call.reset is not None:
        kernel.set_reset(call.reset.data_ptr(), *call.reset.stride())
        places = (h, c) if h_anew is None else (h_anew, c_anew)
        for put, part in zip((kernel.set_h_anew, kernel.set_c_anew), places, strict=True):
            if part is not None:
                put(part.data_ptr())
    if noise is not SILENCE:
        _set_noise(kernel, noise, alive)
    return kernel, dense, alive


def _set_noise(kernel: Any, noise: Noise, alive: list[Tensor]) -> None:
    if noise.state is not None:
        alive.append(noise.state.contiguous())
        kernel.set_state_mask(alive[-1].data_ptr())
    if noise.candidate is not None:
        alive.append(_with_features_together(noise.candidate))
        step, row, _ = _steps_between(alive[-1])
        kernel.set_candidate_mask(alive[-1].data_ptr(), step, row)
    for put, keep in zip((kernel.set_zoneout_h, kernel.set_zoneout_c), noise.zoneout, strict=False):
        if keep is not None:
            alive.append(_with_features_together(keep))
            put(alive[-1].data_ptr(), *_steps_between(alive[-1]))


def _steps_between(tensor: Tensor) -> list[int]:
    """Return the strides, 0 along what has one element for all."""
    return [stride if size > 1 else 0 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)]


class _Through(torch.autograd.Function):
    """The kernels in autograd; derivatives of derivatives go through the reference."""

    @staticmethod
    def forward(ctx: Any, frame: _Frame, *given: Tensor | None) -> tuple[Tensor, ...]:
        found, saved = frame.forward(given)
        ctx.frame = frame
        ctx.num_given = len(given)
        # Those that have no gradient too, so that one which is written over in between is an error.
        noise = frame.rest.noise
        others = (frame.rest.lengths, frame.rest.reset, noise.state, noise.candidate, *noise.zoneout)
        ctx.save_for_backward(*given, found[0], *saved, *others)
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        frame: _Frame = ctx.frame
        # Once: a checkpoint computes them anew for it and lets them go.
        kept = ctx.saved_tensors
        given, (output, *saved) = kept[: ctx.num_given], kept[ctx.num_given : ctx.num_given + 1 + len(_Saved._fields)]
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            return (None, *_through_reference(frame, given, grads, wanted))
        return (None, *frame.backward(given, [output], _Saved(*saved), grads, wanted))


def _through_reference(
    frame: _Frame, given: Sequence[Tensor | None], grads: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients as functions that can be differentiated again."""
    # A tensor may have been made of another one; of a view of each, the gradient is that of this call alone.
    views = [None if each is None else each.view_as(each) for each in given]
    result = frame.reference.run(frame.call(views))
    outputs = [result.output, *result.state]
    if frame.rest.records:
        outputs += [result.record[name] for name in frame.gates]
        outputs += [result.record["c"]] if "c" in result.record else []
    pairs = [(output, grad) for output, grad in zip(outputs, grads, strict=True) if grad is not None]
    asked = [view for view, is_wanted in zip(views, wanted, strict=True) if is_wanted and view is not None]
    if not pairs or not asked:
        return [None] * len(given)
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs], asked, [grad for _, grad in pairs], create_graph=True, allow_unused=True
        )
    )
    return [
        next(found) if is_wanted and view is not None else None for view, is_wanted in zip(views, wanted, strict=True)
    ]


_KINDS_OF_NUMBER = (torch.float32, torch.float64)

_GATES = {
    "rnn": (),
    "indrnn": (),
    "gru": ("r", "z", "n"),
    "gru_reset_before": ("r", "z", "n"),
    "lstm": ("i", "f", "g", "o"),
    "lstm_coupled": ("f", "g", "o"),
    "mgu": ("f", "n"),
    "ligru": ("z", "n"),
}
"""The gates that each kind of cell records, in the order of its weights."""

_SLOTS = {"gru": (1, 2, 0)}
"""Where among the saved slots each of these gates lies, where not in their order."""

_UNIT_BYTES = 64
"""Slots are whole pieces of so many bytes."""

_NUM_GATES = {kind: len(gates) or 1 for kind, gates in _GATES.items()}


@cache
def _kernels() -> ModuleType:
    from recur import _engine

    return _engine


@cache
def _cell_kinds(kind: str) -> Any:
    return getattr(_kernels().CellKind, kind)


def _with_features_together(tensor: Tensor) -> Tensor:
    # A copy also of the imaginary part of a conjugate, whose memory has the other sign.
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a dense tensor whose values the kernels will write."""
    made = like.new_empty(shape)
    if made.nbytes >= _LARGE:
        _kernels().advise_large_pages(made.data_ptr(), made.nbytes)
    return made


_LARGE = 4 << 20


def _set_sequence(put: Any, tensor: Tensor) -> None:
    put(tensor.data_ptr(), tensor.stride(0), tensor.stride(1))


def _set(put: Any, tensor: Tensor | None, alive: list[Tensor]) -> None:
    if tensor is not None:
        alive.append(tensor.contiguous())
        put(alive[-1].data_ptr())


def _set_saved(kernel: Any, saved: _Saved) -> None:
    for name, tensor in zip(_Saved._fields, saved, strict=True):
        if tensor is not None:
            getattr(kernel, f"set_{name}")(tensor.data_ptr())
