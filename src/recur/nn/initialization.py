"""How the weights of gated layers are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from recur.ops._cell import Cell

SCHEMES = ("torch", "orthogonal", "identity", "chrono")

HOLDS = {"lstm": ("f", 1), "gru": ("z", 1), "ligru": ("z", 1), "mgu": ("f", -1)}
"""The gate that holds the old state, by op, and the sign of its bias: the forget gate of an LSTM, and its like. That of
an MGU holds the state where it is closed."""


def check(
    owner: str, init: Any, chrono_steps: int | None, forget_bias: float | None, cell: Cell, names: Sequence[str]
) -> None:
    """Raise unless the options of initialisation go together.

    Raises:
        TypeError: `init` is neither a name nor a mapping of functions.
        ValueError: The name is unknown, a tensor is, or the cell has no gate that holds the state.
    """
    if isinstance(init, Mapping):
        if not init:
            raise ValueError(f"{owner}: init names no tensor; leave it out.")
        known = [name for name in names if not name.startswith("norm")]
        for name, function in init.items():
            if name not in known:
                raise ValueError(f"{owner}: init names {name!r}, but the tensors are {', '.join(known)} here.")
            if not callable(function):
                raise TypeError(f"{owner}: init[{name!r}] must be a function, but is {type(function).__name__}.")
    elif init not in SCHEMES:
        raise ValueError(
            f"{owner}: init is {init!r}, but must be one of {', '.join(map(repr, SCHEMES))}, or a mapping of functions."
        )
    if (init == "chrono") != (chrono_steps is not None):
        raise ValueError(f"{owner}: init='chrono' and chrono_steps go together; give both or neither.")
    for name, value in (("init='chrono'", init == "chrono" or None), ("forget_bias", forget_bias)):
        if value is not None and cell.name not in HOLDS:
            raise ValueError(f"{owner}: {name} is for layers with a forget or update gate: LSTM, GRU, MGU, LiGRU.")
        if value is not None and "bias_ih" not in names:
            raise ValueError(f"{owner}: {name} sets biases, but there are none; pass bias=True.")
    if init == "chrono" and forget_bias is not None:
        raise ValueError(f"{owner}: init='chrono' draws the forget gate's bias itself; leave forget_bias out.")
    if init in ("identity", "orthogonal") and cell.is_independent:
        raise ValueError(f"{owner}: init={init!r} is for recurrent matrices; here is one recurrent weight a unit.")


@contextmanager
def drawing(module: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Give weights of a module by name, all of which are to be filled in place.

    A parametrized weight is computed from others, so what was drawn for it is put back through its parametrizations,
    as an assignment to it is.

    Raises:
        NotImplementedError: A parametrization cannot be assigned to.
    """
    own: Any = module._parameters
    weights = {name: own[name] if name in own else getattr(module, name).detach().clone() for name in names}
    yield weights
    for name in weights.keys() - own.keys():
        try:
            setattr(module, name, weights[name])
        except RuntimeError as error:
            raise NotImplementedError(
                f"{module._owner}: {name} cannot be drawn, because it is parametrized by what cannot be "
                f"assigned to: {error} Remove the parametrization before, with "
                "torch.nn.utils.parametrize.remove_parametrizations."
            ) from error


def draw(
    weights: Mapping[str, Tensor],
    cell: Cell,
    hidden_size: int,
    init: Any,
    chrono_steps: int | None,
    forget_bias: float | None,
) -> None:
    """Fill the weights of one layer and direction.

    Args:
        weights: By name.
        cell: Whose they are.
        hidden_size: H.
        init: "torch", uniform within 1 / sqrt(H); "orthogonal", each gate's recurrent block orthogonal and weight_ih by
            Glorot's rule, biases zero; "identity", the recurrent blocks the identity and biases zero (Le et al. 2015);
            "chrono", as torch with the biases of Tallec and Ollivier (2018), equation 16; or a mapping from names to
            functions, each called with every gate's block of that tensor, the others as torch.
        chrono_steps: The longest dependency, T_max.
        forget_bias: What the biases of the gate that holds the state add up to, in an MGU minus that, or None.
    """
    bound = 1 / math.sqrt(hidden_size)
    for name, weight in weights.items():
        if name.startswith("norm"):
            nn.init.zeros_(weight) if name.endswith("bias") else nn.init.ones_(weight)
        else:
            nn.init.uniform_(weight, -bound, bound)
    if cell.is_independent:
        # At most 1, so that no gradient grows over the steps; near 1 some units remember long (Li et al. 2018, 4.1).
        nn.init.uniform_(weights["weight_hh"], 0.0, 1.0)
    with torch.no_grad():
        if init in ("orthogonal", "identity"):
            _draw_recurrent(weights, init, hidden_size)
        elif isinstance(init, Mapping):
            for name, function in init.items():
                # A projection is one block, whatever its size.
                for block in (weights[name],) if name == "weight_hr" else _blocks(weights[name], hidden_size):
                    function(block)
        if init == "chrono":
            _draw_chrono(weights, cell, hidden_size, chrono_steps or 2)
        if forget_bias is not None:
            gate, sign = HOLDS[cell.name]
            index = cell.gates.index(gate)
            _blocks(weights["bias_ih"], hidden_size)[index].fill_(sign * forget_bias)
            _blocks(weights["bias_hh"], hidden_size)[index].zero_()


def _blocks(weight: Tensor, hidden_size: int) -> tuple[Tensor, ...]:
    """Return each gate's rows, as views."""
    return weight.chunk(len(weight) // hidden_size)


def _draw_recurrent(weights: Mapping[str, Tensor], init: str, hidden_size: int) -> None:
    for block in _blocks(weights["weight_hh"], hidden_size):
        (nn.init.orthogonal_ if init == "orthogonal" else nn.init.eye_)(block)
    if init == "orthogonal":
        for block in _blocks(weights["weight_ih"], hidden_size):
            nn.init.xavier_uniform_(block)
    for name in ("bias_ih", "bias_hh"):
        if name in weights:
            nn.init.zeros_(weights[name])


def _draw_chrono(weights: Mapping[str, Tensor], cell: Cell, hidden_size: int, steps: int) -> None:
    """Fill the biases so that units forget over 1 to `steps` steps: b_f = log(U[1, T - 1]), b_i = -b_f."""
    nn.init.zeros_(weights["bias_ih"])
    nn.init.zeros_(weights["bias_hh"])
    blocks = dict(zip(cell.gates, _blocks(weights["bias_ih"], hidden_size), strict=True))
    gate, sign = HOLDS[cell.name]
    holds = blocks[gate]
    holds.uniform_(1, max(steps - 1, 1)).log_().mul_(sign)
    if "i" in blocks:
        blocks["i"].copy_(-holds)
