"""The simple recurrent network as a function."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from recur.ops._call import Call, Weights
from recur.ops._checks import check_call
from recur.ops._dispatch import Backend, run
from recur.ops._library import Library
from recur.ops._scan import Reference
from recur.ops.rnn import library, reference

BACKENDS: Mapping[str, tuple[Backend, ...]] = MappingProxyType(
    {
        "tanh": (Library(library.sequence_tanh, library.step_tanh), Reference(reference.step_tanh)),
        "relu": (
            Library(library.sequence_relu, library.step_relu, library.freeze_relu),
            Reference(reference.step_relu),
        ),
    }
)


def rnn(
    x: Tensor,
    h0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reset_state: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Return the outputs and the final state of one simple recurrent layer in one direction.

    Differentiable in every float argument. Equations and sources in the README beside this file.

    Args:
        x: Inputs, (T, B, I). All float arguments have one dtype and device.
        h0: Initial state, (B, H).
        weight_ih: (H, I).
        weight_hh: (H, H).
        bias_ih: (H,), or None; both biases or neither.
        bias_hh: (H,), or None.
        nonlinearity: "tanh" or "relu".
        lengths: True steps of each row, (B,) int64 on x's device, zeros allowed. Past them the output and the
            gradient of x are zero, and x may hold anything; the final state is the one after the last true step.
        reset: (T, B) bool. Where true, the state is replaced by `reset_state` before that step is processed, in either
            direction.
        reset_state: State, shaped as the initial state; the initial state itself by default. It differs where the
            initial state is carried on from an earlier part of the stream.
        reverse: Whether the steps run from each row's last true step to its first.
        backend: "auto" for the first that can, "torch" or "reference".

    Returns:
        Outputs (T, B, H) and the final state (B, H).

    Raises:
        TypeError: Something is no tensor or has the wrong dtype.
        ValueError: A shape, a device, the nonlinearity or a value of `lengths` is wrong, or no back end has that name.
        BackendError: The back end asked for cannot run this call.
    """
    if nonlinearity not in BACKENDS:
        raise ValueError(f"rnn: nonlinearity is {nonlinearity!r}, but must be 'tanh' or 'relu'.")
    weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh)
    anew = None if reset_state is None else (reset_state,)
    call = Call("rnn", x, (h0,), weights, lengths, reset, reverse, anew)
    check_call(call, num_gates=1, state_names=("h0",))
    output, (h,) = run(BACKENDS[nonlinearity], call, backend)
    return output, h
