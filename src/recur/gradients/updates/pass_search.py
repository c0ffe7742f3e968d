"""Hooks that follow a network forward and backward until something is not finite."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from recur.gradients.randomness import Randomness
from recur.gradients.updates.place import NonFinite, at_index, at_row, at_step, is_finite
from recur.nn import nest
from recur.nn.gated_cell import GatedCell
from recur.nn.grud import GRUD
from recur.nn.layer import RecurrentLayer
from recur.nn.module_cell import ModuleCell
from recur.nn.sequences import Form, lengths_of, time_first
from recur.nn.twin import twin_of

_CELLS = (nn.RNNCellBase, GatedCell, ModuleCell)


class _End(NamedTuple):
    """Where a tensor enters or leaves a module.

    Attributes:
        name: Of the module.
        module: The module.
        tensor: Its name there.
        call: Which call of the module it was, from 0.
        is_input: Whether it enters.
    """

    name: str
    module: nn.Module
    tensor: str
    call: int
    is_input: bool = False


class PassSearch:
    """What hooks find while a network runs forward and backward.

    Args:
        model: The network.
        ignore: Names of modules that may return what is not finite.

    Attributes:
        found: What was found first, or None so far.
        suspect: The first thing that a module was given that is not finite, although what it returned is: an infinite
            input saturates a gate, and spoils the gradient of its weights.
    """

    def __init__(self, model: nn.Module, ignore: Collection[str]) -> None:
        self.found: NonFinite | None = None
        self.suspect: NonFinite | None = None
        self._model = model
        self._ignore = frozenset(ignore)
        self._calls: dict[nn.Module, int] = {}
        # By id; the tensors are kept, so that no id is given twice.
        self._tensors: dict[int, Tensor] = {}
        self._ends: dict[int, _End] = {}
        self._leaves: list[Tensor] = []
        self._random: Randomness | None = None

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Let every module tell what it is given and what it returns; a recurrent layer speaks for those inside it."""
        handles: list[Any] = []
        inside: set[nn.Module] = set()
        for name, module in self._model.named_modules():
            if module in inside:
                continue
            if _is_recurrent(module):
                inside.update(module.modules())
            handles.append(module.register_forward_pre_hook(partial(self._before, name), with_kwargs=True))
            handles.append(module.register_forward_hook(partial(self._after, name), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    # --- forward --------------------------------------------------------------------------------------------------

    def _before(self, name: str, module: nn.Module, args: Any, keywords: Any) -> tuple[Any, Any]:
        if _is_recurrent(module):
            self._random = Randomness.now(*module.parameters())
            args, keywords = self._with_gradient(args, keywords)
        # A tensor may have several readers. Each gets a view of its own, whose gradient is that reader's doing alone.
        args, keywords = _viewed((args, keywords))
        for tensor, value in _given(module, args, keywords):
            if value.requires_grad:
                self._tensors[id(value)] = value
                self._ends[id(value)] = _End(name, module, tensor, self._calls.get(module, 0), is_input=True)
        return args, keywords

    def _with_gradient(self, args: Any, keywords: Any) -> tuple[Any, Any]:
        """Let the gradient reach the input of a recurrent layer, where it can be seen how far back it is finite."""
        key = "x" if "x" in keywords else "input"
        x = args[0] if args else keywords.get(key)
        if not isinstance(x, Tensor) or x.requires_grad or not x.is_floating_point():
            return args, keywords
        leaf = x.detach().requires_grad_()
        self._leaves.append(leaf)
        return ((leaf, *args[1:]), keywords) if args else (args, {**keywords, key: leaf})

    def _after(self, name: str, module: nn.Module, args: Any, keywords: Any, output: Any) -> None:
        end = _End(name, module, "", self._calls.get(module, 0))
        self._calls[module] = end.call + 1
        if self.found is not None:
            return
        returned = _returned(module, output)
        if name not in self._ignore and not all(is_finite(value) for _, value in returned):
            self.found = self._blamed(end, args, keywords, output)
            return
        self.suspect = self.suspect or _spoilt_input(end, args, keywords)
        for tensor, value in returned:
            known = self._ends.get(id(value))
            # A container returns what a module inside it made; a module that does nothing returns what it was given.
            if value.requires_grad and (known is None or known.is_input):
                self._tensors[id(value)] = value
                self._ends[id(value)] = end._replace(tensor=tensor)

    def _blamed(self, end: _End, args: Any, keywords: Any, output: Any) -> NonFinite | None:
        """Return what was bad first of a module that returned something bad."""
        spoilt = _spoilt_input(end, args, keywords)
        if spoilt is not None:
            return spoilt
        for own, parameter in end.module.named_parameters(recurse=_is_recurrent(end.module)):
            spoilt = at_index(parameter, end.name, f"parameter {own}")
            if spoilt is not None:
                return spoilt
        spoilt = self._recorded(end.name, end.module, args, keywords) if _is_recurrent(end.module) else None
        if spoilt is not None:
            return spoilt
        places = (_located(end._replace(tensor=tensor), value) for tensor, value in _returned(end.module, output))
        return next((place for place in places if place is not None), None)

    @torch.no_grad()
    def _recorded(self, name: str, module: nn.Module, args: Any, keywords: Any) -> NonFinite | None:
        """Run a recurrent layer again and return which state of which of its layers is bad at which step."""
        twin, sequences = twin_of(module), _sequences(module, args, keywords)
        if twin is None:
            return None
        assert self._random is not None
        self._random.restore()
        # Not by a call, which the hooks would see.
        everything = twin.forward(*args, **{**keywords, "return_all": True})
        for steps in everything.steps:
            is_reverse = steps.direction == "backward"
            where = f" of layer {steps.layer}" if twin.num_layers > 1 else ""
            where += " in the reverse direction" if is_reverse else ""
            found = []
            for part in twin._state_names:
                values = sequences.time_first(steps.values[part])
                bad = sequences.first_bad(values, name, f"state {part}{where}", is_back=is_reverse)
                if bad is not None and bad.step is not None:
                    found.append((-bad.step if is_reverse else bad.step, bad))
            if found:
                return min(found, key=lambda pair: pair[0])[1]
        return None

    # --- backward -------------------------------------------------------------------------------------------------

    def backward(self, loss: Tensor) -> NonFinite | None:
        """Return the first bad gradient on the way back, after a forward pass in which all was finite."""
        named = [(name, each) for name, each in self._model.named_parameters() if each.requires_grad]
        targets = [*[parameter for _, parameter in named], *self._leaves]
        if not loss.requires_grad or not targets:
            return None
        handles = []
        for key, value in self._tensors.items():
            handles.append(value.register_hook(partial(self._passing, key)))  # type: ignore[no-untyped-call]
        try:
            gradients = torch.autograd.grad(loss.sum(), targets, allow_unused=True)
        finally:
            for handle in handles:
                handle.remove()
        if self.found is not None:
            return self.found
        for (name, _), gradient in zip(named, gradients, strict=False):
            module, _, own = name.rpartition(".")
            found = None if gradient is None else at_index(gradient, module, f"gradient of {own}")
            if found is not None:
                return found
        return None

    def _passing(self, key: int, gradient: Tensor) -> None:
        if self.found is not None or is_finite(gradient):
            return
        self.found = _located(self._ends[key], gradient, of="gradient of the ", is_back=True)


class _Sequences(NamedTuple):
    """What a recurrent layer read.

    Attributes:
        x: Its input, (T, B, ...), padded.
        lengths: Of the rows, (B,), or None.
        form: How the input came.
    """

    x: Tensor
    lengths: Tensor | None
    form: Form

    def time_first(self, value: Tensor) -> Tensor:
        """Return what the layer tells of each step as (T, B, ...)."""
        if not self.form.is_batched:
            return value[:, None]
        return value.transpose(0, 1) if self.form.batch_first else value

    def first_bad(
        self, value_TB: Tensor, name: str, tensor: str, *, is_back: bool = False, may_be_nan: bool = False
    ) -> NonFinite | None:
        """Return the first bad step within the lengths."""
        return at_step(
            value_TB,
            name,
            tensor,
            is_batched=self.form.is_batched,
            is_back=is_back,
            lengths=self.lengths,
            may_be_nan=may_be_nan,
        )


def _sequences(module: Any, args: Any, keywords: Any) -> _Sequences:
    x = args[0] if args else keywords["x"] if "x" in keywords else keywords["input"]
    x_TBI, lengths, form = time_first(
        type(module).__name__,
        x,
        keywords.get("lengths"),
        batch_first=module.batch_first,
        num_features=_num_features(module),
        wanted="I",
    )
    if lengths is not None:
        lengths = lengths_of(type(module).__name__, lengths, *x_TBI.shape[:2])
    return _Sequences(x_TBI, lengths, form)


def _spoilt_input(end: _End, args: Any, keywords: Any) -> NonFinite | None:
    """Return what was bad of what a module was given."""
    if _is_recurrent(end.module):
        sequences = _sequences(end.module, args, keywords)
        may_be_nan = isinstance(end.module, GRUD)
        spoilt = sequences.first_bad(sequences.x, end.name, "input", may_be_nan=may_be_nan)
        if spoilt is not None:
            return spoilt
    for tensor, value in _given(end.module, args, keywords):
        is_sequence = _is_recurrent(end.module) and tensor in ("input", "packed input")
        spoilt = None if is_sequence else _located(end._replace(tensor=tensor), value)
        if spoilt is not None:
            return spoilt
    return None


def _given(module: nn.Module, args: Any, keywords: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors that a module was given, and what they are."""
    if not _is_recurrent(module):
        return [("input", value) for _, value in _tensors((args, keywords))]
    named = dict(zip(("x", "hx"), args, strict=False)) | keywords
    found = []
    for name, value in named.items():
        known = {"x": "input", "input": "input", "hx": "initial state"}.get(name, name)
        found += [(f"packed {known}" if _is_packed(value) else known, each) for _, each in _tensors(value)]
    return found


def _returned(module: nn.Module, output: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors that a module returned, and what they are."""
    if _is_recurrent(module) and isinstance(output, tuple) and len(output) > 1:
        sequence = "packed output" if _is_packed(output[0]) else "output"
        return [(sequence, value) for _, value in _tensors(output[0])] + [
            ("final state", value) for _, value in _tensors(output[1])
        ]
    values = [value for _, value in _tensors(output)]
    if isinstance(module, _CELLS):
        names = ("h", "c") if isinstance(module, nn.LSTMCell) else ("h",)
        names = getattr(module, "_state_names", getattr(module, "state_names", names))
        if len(names) == len(values):
            return [(f"state {name}", value) for name, value in zip(names, values, strict=True)]
    return [("output", value) for value in values]


def _located(end: _End, value: Tensor, *, of: str = "", is_back: bool = False) -> NonFinite | None:
    """Return what is bad of a tensor at one end of a module, by step and row as far as these are known.

    Args:
        end: Which tensor it is.
        value: The tensor, or its gradient.
        of: What stands before its name.
        is_back: Whether to look from the last step back.
    """
    name, module, tensor, call, _ = end
    what = f"{of}{tensor}"
    if _is_recurrent(module) and tensor in ("input", "output"):
        is_batched = value.dim() > 1 + _num_features(module)
        form = Form(batch_first=bool(module.batch_first), is_batched=is_batched)
        sequences = _Sequences(value, None, form)
        return sequences.first_bad(sequences.time_first(value), name, what, is_back=is_back)
    if isinstance(module, _CELLS):
        is_batched = value.dim() > getattr(module, "num_features", 1)
        found = at_row(value if is_batched else value[None], name, what, step=call)
        return found if found is None or is_batched else replace(found, row=None)
    return at_index(value, name, what)


def _tensors(values: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors in a nest that may be not finite."""
    leaves = [(name, leaf) for name, leaf in nest.leaves(values) if isinstance(leaf, Tensor)]
    return [(name, leaf) for name, leaf in leaves if leaf.is_floating_point() or leaf.is_complex()]


def _is_recurrent(module: nn.Module) -> TypeGuard[RecurrentLayer | nn.RNNBase]:
    return isinstance(module, RecurrentLayer | nn.RNNBase)


def _is_packed(value: Any) -> bool:
    return isinstance(value, PackedSequence)


def _num_features(module: nn.Module) -> int:
    return int(getattr(module, "_num_features", 1))


def _viewed(values: Any) -> Any:
    """Return a nest with a view in place of each tensor that a gradient goes to, one view for the same tensor."""
    views: dict[int, Tensor] = {}

    def view(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.requires_grad:
            return value
        return views.setdefault(id(value), value.view_as(value))

    return nest.mapped(view, values)
