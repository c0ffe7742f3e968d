"""What layers and single cells that run an op have in common: the form of the op, its options, its noise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from recur.nn import initialization
from recur.nn import options as checks
from recur.nn.options import GatedOptions, Initializer, StackOptions
from recur.ops import _dispatch
from recur.ops._call import SILENCE, Noise, Options, State
from recur.ops._forms import form, takers
from recur.ops._random import bernoulli, dropout_mask, lasting_mask

OWN = (
    "recurrent_dropout",
    "recurrent_dropout_kind",
    "weight_dropout",
    "init",
    "chrono_steps",
    "forget_bias",
    "recompute",
    "backend",
)
"""Options of gated layers that are neither of the stack nor of the op's form."""


class Checked:
    """An option that may be set at any time, and is checked whenever it is; until then it has its default."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        return self if module is None else module.__dict__.get(f"_{self.name}", checks.DEFAULTS[self.name])

    def __set__(self, module: Any, value: Any) -> None:
        # The options come before the module knows its name.
        owner = module.__dict__.get("_owner", type(module).__name__)
        if self.name not in module._options_type.__annotations__:
            raise AttributeError(f"{owner}: there is no {self.name} here.")
        checks.check_option(owner, self.name, value)
        module.__dict__[f"_{self.name}"] = value


class _Fixed:
    """An attribute that reads a field of the form, which is chosen once, when the module is made."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        if module is None:
            return self
        # A nonlinearity may be a module, and such a one may be replaced.
        registered = module.__dict__["_modules"]
        return registered[self.name] if self.name in registered else getattr(module._form, self.name)

    def __set__(self, module: Any, value: Any) -> None:
        if value != getattr(module._form, self.name):
            raise AttributeError(
                f"{module._owner}: {self.name} is chosen when the module is made. Make another one with "
                f"{self.name}={value!r} and load this one's state_dict."
            )


class WithZoneout:
    """A module with a probability of zoneout for each part of its state."""

    _owner: str
    _state_names: tuple[str, ...]
    # Parts of the state that begin with zeros whatever `initial_state` says, and that zoneout leaves alone, such as
    # a clock.
    _fixed_states: tuple[str, ...] = ()

    @property
    def zoneout(self) -> tuple[float, ...]:
        """The probability for each part of the state; set one for all, or one for each but for clocks and the like."""
        return self._zoneout

    @zoneout.setter
    def zoneout(self, given: Any) -> None:
        free = tuple(name for name in self._state_names if name not in self._fixed_states)
        values = tuple(given) if isinstance(given, list | tuple) else (given,) * len(free)
        if len(values) != len(free):
            raise ValueError(
                f"{self._owner}: zoneout has {len(values)} values, but the state has {len(free)} parts "
                f"({', '.join(free)})."
            )
        for value in values:
            checks.check_share(self._owner, "zoneout", value)
        shares = dict(zip(free, values, strict=True))
        self._zoneout = tuple(shares.get(name, 0.0) for name in self._state_names)


class GatedForm(WithZoneout):
    """A module that runs the op `_op` in one form; what `GatedLayer` and `GatedCell` are both made of."""

    _op: ClassVar[str]
    _options_type: ClassVar[type[StackOptions]] = GatedOptions

    nonlinearity: Any = _Fixed()
    reset_after: Any = _Fixed()
    coupled: Any = _Fixed()
    peephole: Any = _Fixed()
    layer_norm: Any = _Fixed()
    cell_clip: Any = _Fixed()
    output_clip: Any = _Fixed()
    gradient_clip: Any = _Fixed()

    recurrent_dropout: Any = Checked()

    # Set from the options.
    recurrent_dropout_kind: str
    init: str | Mapping[str, Initializer]
    chrono_steps: int | None
    forget_bias: float | None
    backend: str

    # A module's.
    training: bool

    def _choose_form(
        self, bias: bool, proj_size: int, form_options: Mapping[str, Any], given: Mapping[str, Any]
    ) -> None:
        """Check and keep what makes the form of the op.

        Args:
            bias: Whether there are bias_ih and bias_hh.
            proj_size: Width of the output when it is projected, 0 for none.
            form_options: Fields of `recur.ops.Options` that the kind of module sets.
            given: Options, complete.
        """
        owner = type(self).__name__
        if not isinstance(bias, bool):
            raise TypeError(f"{owner}: bias must be a bool, but is {type(bias).__name__}.")
        checks.check_size(owner, "proj_size", proj_size, 0)
        fields = {name: given[name] for name in Options._fields if name in given} | {"projected": proj_size > 0}
        chosen = Options(**{**fields, **form_options})
        for field, value in zip(Options._fields, chosen, strict=True):
            if value != Options._field_defaults[field] and self._op not in takers(field):
                known = ", ".join(takers(field))
                shown = "proj_size" if field == "projected" else field
                raise ValueError(f"{owner}: {shown} is not for this layer, but for {known}. Leave it out.")
        self._cell = cell = form(self._op, chosen, owner)
        self._form = chosen
        self._state_names = cell.states
        self.proj_size = proj_size
        for name in OWN:
            if name in given:
                setattr(self, name, given[name])
        if self.recurrent_dropout_kind == "candidate":
            if len(cell.gates) == 1:
                raise ValueError(f"{owner}: recurrent_dropout_kind='candidate' needs gates; pass 'state'.")
            if self.recurrent_dropout == 0:
                raise ValueError(f"{owner}: recurrent_dropout_kind is given, but recurrent_dropout is 0; give both.")
        _dispatch.check_name(owner, [each.name for each in cell.backends], self.backend)
        names = tuple(cell.shapes(1, 1, proj_size, bias))
        initialization.check(owner, self.init, self.chrono_steps, self.forget_bias, cell, names)

    @property
    def cell_options(self) -> dict[str, Any]:
        """The options of the cell's equations that this kind of module takes, by their names in `recur.ops.Options`."""
        fields = self._form_now()._asdict()
        return {name: value for name, value in fields.items() if self._op in takers(name)}

    def _form_now(self) -> Options:
        """Return the form, with the nonlinearity that is registered by now where that is a module."""
        registered = self.__dict__["_modules"]
        if "nonlinearity" not in registered:
            return self._form
        if registered["nonlinearity"] is None:
            raise TypeError(f"{self._owner}: nonlinearity was a module and is None now; set another module.")
        return self._form._replace(nonlinearity=registered["nonlinearity"])

    def _noise(self, x_TBI: Tensor, state: State, dilation: int = 1, is_drawn: bool = True) -> Noise:
        """Return the masks of one layer and direction, whose rows are `dilation` to a sequence.

        Without `is_drawn` they only look like it, and no random number is spent.
        """
        is_dropping = self.training and self.recurrent_dropout > 0
        if not is_dropping and not any(self._zoneout):
            return SILENCE
        num_steps, on_state, on_candidate = x_TBI.shape[0], None, None
        if is_dropping and self.recurrent_dropout_kind == "state":
            on_state = state_mask(state[0], self.recurrent_dropout, dilation, is_drawn)
        elif is_dropping:
            shape = (num_steps, *state[-1].shape)
            on_candidate = _dropout_mask(shape, self.recurrent_dropout, state[-1], is_drawn, dropout_mask)
        kept = tuple(
            [
                zoneout_mask(part, share, num_steps, self.training and is_drawn)
                for part, share in zip(state, self.zoneout, strict=True)
            ]
        )
        return Noise(on_state, on_candidate, kept if any(self.zoneout) else ())


def state_mask(h: Tensor, share: float, dilation: int = 1, is_drawn: bool = True) -> Tensor:
    """Return the factor of h (B, H, ...) that drops units before the recurrent product, (B, H, 1, ...).

    Args:
        h: The output part of the state, whose rows are `dilation` to a sequence.
        share: Probability with which a unit is dropped.
        dilation: The steps between those that it connects are of the same sequence: one mask for them all.
        is_drawn: Whether a mask is drawn; else it only looks like one.
    """
    shape = (h.shape[0] // dilation, h.shape[1], *[1] * (h.dim() - 2))
    return _dropout_mask(shape, share, h, is_drawn, lasting_mask).repeat(dilation, *[1] * (h.dim() - 1))


def zoneout_mask(part: Tensor, share: float, num_steps: int, is_training: bool) -> Tensor | None:
    """Return for a part of the state (B, ...) what each step keeps of its old value; see `recur.ops.Noise`."""
    if share == 0:
        return None
    if not is_training:
        return part.new_full((1, *[1] * part.dim()), share)
    return bernoulli((num_steps, *part.shape), share, part)


def _dropout_mask(
    shape: tuple[int, ...], share: float, like: Tensor, is_drawn: bool, draw: Callable[..., Tensor]
) -> Tensor:
    return draw(shape, share, like) if is_drawn else torch.ones(shape, dtype=like.dtype, device=like.device)


def changed_arguments(module: Any) -> list[str]:
    """Return each argument of a module's constructor that is not at its default, as it is written."""
    arguments = inspect.signature(type(module).__init__).parameters
    defaults = {name: each.default for name, each in arguments.items() if each.default is not each.empty}
    defaults |= {**checks.DEFAULTS, "zoneout": (0.0,) * len(module._state_names)}
    values = {name: getattr(module, name, default) for name, default in defaults.items()}
    return [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
