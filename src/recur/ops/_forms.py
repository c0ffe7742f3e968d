"""The list of ops: every kind of cell by name, and the form of it that options choose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType, ModuleType

import torch

from recur.kinds import is_number
from recur.ops._call import PLAIN, Options
from recur.ops._cell import Cell
from recur.ops.gru import op as gru
from recur.ops.indrnn import op as indrnn
from recur.ops.ligru import op as ligru
from recur.ops.lstm import op as lstm
from recur.ops.mgu import op as mgu
from recur.ops.rnn import op as rnn

OPS: Mapping[str, ModuleType] = MappingProxyType(
    {"rnn": rnn, "gru": gru, "lstm": lstm, "indrnn": indrnn, "mgu": mgu, "ligru": ligru}
)
"""Each op's module, which has `TAKES` and `cell`."""

_ALL_TAKE = {"gradient_clip"}


def takers(option: str) -> tuple[str, ...]:
    """Return the names of the ops that know an option."""
    return tuple(name for name, op in OPS.items() if option in op.TAKES or option in _ALL_TAKE)


def form(name: str, options: Options = PLAIN, owner: str | None = None) -> Cell:
    """Return the cell `name` in the form that `options` say.

    Args:
        name: Of the op.
        options: Which form.
        owner: Who complains; the op by default.

    Raises:
        TypeError: A flag is no bool.
        ValueError: There is no such cell, it does not know an option, or a value makes no sense.
    """
    if not isinstance(name, str) or name not in OPS:
        raise ValueError(f"there is no cell {name!r}; choose one of {', '.join(OPS)}.")
    owner = owner or name
    for field, value in zip(Options._fields, options, strict=True):
        default = Options._field_defaults[field]
        # Before they are compared, for 1 is equal to True.
        if isinstance(default, bool) and not isinstance(value, bool):
            raise TypeError(f"{owner}: {field} must be a bool, but is {type(value).__name__}.")
        if value == default:
            continue
        if name not in takers(field):
            raise ValueError(
                f"{owner}: {field} is not for this cell, but for {', '.join(takers(field))}. Leave it out."
            )
        if field == "nonlinearity" and isinstance(value, type):
            called = value.__name__
            raise TypeError(f"{owner}: nonlinearity is the class {called}, but must be a function. Pass {called}().")
        if field == "nonlinearity" and not callable(value) and value not in ("tanh", "relu"):
            raise ValueError(f"{owner}: nonlinearity is {value!r}, but must be 'tanh', 'relu' or a function.")
        if field.endswith("_clip") and not (is_number(value) and value > 0):
            raise ValueError(f"{owner}: {field} is {value!r}, but must be a number above 0.")
    try:
        # A function may be anything: not hashable, or a module that a cache would keep alive.
        # Nor does torch.compile look into a cache.
        is_cached = isinstance(options.nonlinearity, str) and not torch.compiler.is_compiling()
        return _cached(name, options) if is_cached else _cell(name, options)
    except ValueError as error:
        raise ValueError(f"{owner}: {error}") from None


def _cell(name: str, options: Options) -> Cell:
    made: Cell = OPS[name].cell(options)
    return made


_cached = lru_cache(maxsize=256)(_cell)
