"""Let a model's own torch layers run on this library's ops, in place, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from recur.nn import cell as cells
from recur.nn.gru import GRU as OwnGRU  # noqa: N811 - an acronym
from recur.nn.lstm import LSTM as OwnLSTM  # noqa: N811 - an acronym
from recur.nn.rnn import RNN as OwnRNN  # noqa: N811 - an acronym


def accelerate(model: nn.Module) -> Acceleration:
    """Let every `torch.nn.RNN`, `GRU`, `LSTM` and their cells inside a model run on this library's ops, in place.

    Each of these modules stays the very object that it was; only its class changes, to one that is both torch's and
    this library's. So everything that hangs on it stays: parameters (optimisers, tied weights), shared modules, hooks,
    parametrizations, the training flag, whatever others hold a reference to; also when it is the model itself. It
    passes `isinstance(x, torch.nn.LSTM)`, because much code decides by that what a layer returns, and it has torch's
    methods and attributes, because much code reads them. Beside them it has what this library's layers have, such as
    `lengths` and `explain`.

    What it does not change: `type(x) is torch.nn.LSTM` is no longer true; `torch.compile` still breaks the graph at
    what passes for torch's recurrent layers, unless `torch._dynamo.config.allow_rnn` is set; for `torch.jit.script`
    and torch's quantisation, undo it first. Bad input raises this library's errors. In training, dropout between
    layers of a PackedSequence draws other random numbers than torch would.

    Args:
        model: Any module.

    Returns:
        What was replaced, what was left and why; print it to read it. Its `undo()` turns everything back.

    Raises:
        TypeError: `model` is no module.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.LSTM(8, 16, batch_first=True))
        >>> report = accelerate(model)
        >>> print(report)
        replaced 1 of 1 recurrent modules
          1  LSTM(8, 16, batch_first=True)  runs on 'cpu'
        >>> output, _ = model(torch.randn(2, 5, 4))
        >>> report.undo()
        >>> type(model[1])
        <class 'torch.nn.modules.rnn.LSTM'>
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"accelerate: model must be a torch.nn.Module, but is {type(model).__name__}.")
    report = Acceleration(model)
    for name, module in model.named_modules():
        reason = _reason_to_leave(module)
        if reason is not None:
            report.left.append(Left(name, _shown(module), reason))
        elif _plain_class(module) in _KINDS:
            kind = _KINDS[_plain_class(module)]
            try:
                template = _template(module, kind)
            except (TypeError, ValueError) as error:
                report.left.append(Left(name, _shown(module), f"this library has no such layer: {error}"))
                continue
            try:
                _swap(module, kind)
                _adopt(module, template)
                report.replaced.append(Replaced(name, _shown(module), module.explain().backend, module))
            except BaseException:
                _restore(module)
                report.undo()
                raise
    return report


def decelerate(model: nn.Module) -> None:
    """Turn every module inside a model that `accelerate` replaced back into torch's, with the parameters it has now.

    For models whose report is not at hand: a copy, an unpickled one. Where nothing was replaced, nothing happens.

    Args:
        model: Any module.

    Raises:
        TypeError: `model` is no module.

    Example:
        >>> import copy
        >>> model = nn.Sequential(nn.GRU(4, 8))
        >>> _ = accelerate(model)
        >>> twin = copy.deepcopy(model)
        >>> decelerate(twin)
        >>> type(twin[0])
        <class 'torch.nn.modules.rnn.GRU'>
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"decelerate: model must be a torch.nn.Module, but is {type(model).__name__}.")
    for module in model.modules():
        _restore(module)


@dataclass(frozen=True)
class Replaced:
    """A module that runs on this library's ops now.

    Attributes:
        name: As of `named_modules`; empty for the model itself.
        what: The module as it prints.
        backend: Which back end runs a plain call.
        module: The module.
    """

    name: str
    what: str
    backend: str | None
    module: nn.Module = field(repr=False)


@dataclass(frozen=True)
class Left:
    """A recurrent module of torch's that was left as it was.

    Attributes:
        name: As of `named_modules`; empty for the model itself.
        what: Its class.
        reason: Why.
    """

    name: str
    what: str
    reason: str


@dataclass
class Acceleration:
    """What `accelerate` did.

    Attributes:
        model: The model.
        replaced: Each module that runs on this library's ops.
        left: Each recurrent module that does not, and why.
    """

    model: nn.Module = field(repr=False)
    replaced: list[Replaced] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def undo(self) -> None:
        """Turn what this call replaced back into torch's, with the parameters that it has now; twice does no harm."""
        for entry in self.replaced:
            _restore(entry.module)

    def __str__(self) -> str:
        rows = [(entry.name, entry.what, f"runs on {entry.backend!r}") for entry in self.replaced]
        rows += [(entry.name, entry.what, f"left: {entry.reason}") for entry in self.left]
        rows = [(name or "(the model itself)", what, text) for name, what, text in rows]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [f"  {name:<{widths[0]}}  {what:<{widths[1]}}  {text}" for name, what, text in rows]
        return "\n".join([f"replaced {len(self.replaced)} of {len(rows)} recurrent modules", *lines])


class _Both:
    """What the classes that are torch's and this library's have in common."""

    _torchs: ClassVar[Any]
    _ours: ClassVar[Any]
    # Whether under autocast on a CPU torch's own returns a state of the dtype that it was given, or the input was.
    _keeps_dtype: ClassVar[bool] = False
    # A seed gives the training that it gave with torch's own layer.
    _drop = staticmethod(nn.functional.dropout)

    def __init__(self, *args: Any, **keywords: Any) -> None:
        """Make one as torch's own is made; code that copies layers calls `type(layer)(...)`."""
        self.__dict__.update(self._torchs(*args, **keywords).__dict__)
        _adopt(self, _template(self, type(self)))

    def forward(self, input: Tensor, hx: Any = None, **beyond: Any) -> Any:
        # Torch computes with batches of no rows, which no layer here does; what is wrong with no steps it tells.
        if not beyond and isinstance(input, Tensor) and input.numel() == 0:
            return self._torchs.forward(self, input, hx)
        result = super().forward(input, hx, **beyond)  # type: ignore[misc]
        if not self._keeps_dtype or beyond or not torch.is_autocast_enabled("cpu"):
            return result
        kept = _first(input if hx is None else hx)
        return _converted(result, kept.dtype) if kept.is_cpu else result

    def extra_repr(self) -> str:
        return str(self._torchs.extra_repr(self))


class RNN(_Both, OwnRNN, nn.RNN):  # type: ignore[misc]
    """A `torch.nn.RNN` that runs on this library's ops; made by `accelerate`."""

    _torchs, _ours = nn.RNN, OwnRNN


class GRU(_Both, OwnGRU, nn.GRU):  # type: ignore[misc]
    """A `torch.nn.GRU` that runs on this library's ops; made by `accelerate`."""

    _torchs, _ours = nn.GRU, OwnGRU
    _keeps_dtype = True


class LSTM(_Both, OwnLSTM, nn.LSTM):  # type: ignore[misc]
    """A `torch.nn.LSTM` that runs on this library's ops; made by `accelerate`."""

    _torchs, _ours = nn.LSTM, OwnLSTM


class RNNCell(_Both, cells.RNNCell, nn.RNNCell):  # type: ignore[misc]
    """A `torch.nn.RNNCell` that runs on this library's ops; made by `accelerate`."""

    _torchs, _ours = nn.RNNCell, cells.RNNCell


class GRUCell(_Both, cells.GRUCell, nn.GRUCell):  # type: ignore[misc]
    """A `torch.nn.GRUCell` that runs on this library's ops; made by `accelerate`."""

    _torchs, _ours = nn.GRUCell, cells.GRUCell
    _keeps_dtype = True


class LSTMCell(_Both, cells.LSTMCell, nn.LSTMCell):  # type: ignore[misc]
    """A `torch.nn.LSTMCell` that runs on this library's ops; made by `accelerate`."""

    _torchs, _ours = nn.LSTMCell, cells.LSTMCell
    _keeps_dtype = True


def _first(value: Any) -> Tensor:
    """Return the first tensor of a result or an argument."""
    return value if isinstance(value, Tensor) else _first(value[0])


def _converted(value: Any, dtype: torch.dtype) -> Any:
    """Return a result with its tensors in another dtype."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.to(dtype))
    return value.to(dtype) if isinstance(value, Tensor) else tuple([_converted(part, dtype) for part in value])


_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    kind._torchs: kind for kind in (RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell)
}
_NAMES = {kind.__name__ for kind in _KINDS}


def _reason_to_leave(module: nn.Module) -> str | None:
    """Return why a recurrent module is left; None for one to replace, and for what is not recurrent at all."""
    plain = _plain_class(module)
    if isinstance(module, _Both):
        return "it runs on this library's ops already"
    if isinstance(module, torch.jit.ScriptModule):
        return "it is scripted; accelerate before torch.jit.script" if module.original_name in _NAMES else None
    if plain.__name__ in _NAMES and plain.__module__.startswith(("torch.ao.", "torch.nn.quant")):
        return "it is one of torch's quantised modules, whose arithmetic is its own"
    if plain not in _KINDS:
        base = next((kind for kind in _KINDS if isinstance(module, kind)), None)
        if base is None:
            return None
        return f"{plain.__name__} is a subclass of torch.nn.{base.__name__}, which may compute something else"
    # A cell has no such list.
    missing = [name for name in getattr(module, "_flat_weights_names", ()) if not hasattr(module, name)]
    if missing:
        return f"it has no {missing[0]}, which others seem to compute; run it once before"
    if "forward" in module.__dict__:
        return "its forward was replaced on the instance"
    nonlinearity = getattr(module, "nonlinearity", "tanh")
    if nonlinearity not in ("tanh", "relu"):
        return f"its nonlinearity is {nonlinearity!r}, which torch cannot run either"
    return None


def _plain_class(module: nn.Module) -> type[nn.Module]:
    """Return a module's class below the one that torch's parametrizations put in its place."""
    found: type[nn.Module] = parametrize.type_before_parametrizations(module)
    return found


def _shown(module: nn.Module) -> str:
    name = module.original_name if isinstance(module, torch.jit.ScriptModule) else _plain_class(module).__name__
    return f"{name}({module.extra_repr()})"


def _swap(module: Any, plain: type[nn.Module]) -> None:
    """Give a module another class; where it is parametrized, below the class that holds its parametrizations."""
    if not parametrize.is_parametrized(module):
        module.__class__ = plain
        return
    above = type(module)
    members = {name: value for name, value in vars(above).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(above.__name__, (plain,), members)


def _template(module: Any, kind: Any) -> nn.Module:
    """Return a module of this library like one of torch's, without memory for its parameters.

    Raises:
        TypeError: Torch's has an argument of a kind that this library's does not take.
        ValueError: A value that it does not take.
    """
    sizes: dict[str, Any] = {"bias": bool(module.bias), "device": "meta"}
    if isinstance(module, nn.RNNBase):
        sizes |= {
            "num_layers": int(module.num_layers),
            "batch_first": bool(module.batch_first),
            "bidirectional": bool(module.bidirectional),
            "proj_size": int(module.proj_size),
        }
    if isinstance(module, nn.RNN | nn.RNNCell):
        # Of a class that is both torch's and this library's the attribute tells of what `_adopt` adds.
        sizes["nonlinearity"] = module.__dict__["nonlinearity"]
    with torch.no_grad():
        made: nn.Module = kind._ours(int(module.input_size), int(module.hidden_size), **sizes)
    return made


def _adopt(module: Any, template: nn.Module) -> None:
    """Give a module, which is of both classes by now, the attributes that this library's has beside torch's."""
    added = [name for name in template.__dict__ if name not in module.__dict__]
    for name in added:
        module.__dict__[name] = template.__dict__[name]
    module.__dict__["_adopted"] = added
    _flatten(module)


def _restore(module: Any) -> None:
    """Turn a module back into torch's."""
    if not isinstance(module, _Both):
        return
    for name in module.__dict__.pop("_adopted", ()):
        module.__dict__.pop(name, None)
    _swap(module, module._torchs)
    _flatten(module)


def _flatten(module: Any) -> None:
    """Lay the weights on CUDA out anew: torch runs a whole stack at once, this library a layer and direction."""
    if isinstance(module, nn.RNNBase):
        module.flatten_parameters()
