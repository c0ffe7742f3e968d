"""The LSTM as a function."""

from __future__ import annotations

from torch import Tensor

from recur.ops._call import Call, Weights
from recur.ops._checks import check_call
from recur.ops._dispatch import Backend, run
from recur.ops._library import Library
from recur.ops._scan import Reference
from recur.ops.lstm import library, reference

BACKENDS: tuple[Backend, ...] = (Library(library.sequence, library.step, library.freeze), Reference(reference.step))


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    weight_hr: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reset_state: tuple[Tensor, Tensor] | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the outputs and the final state of one LSTM layer in one direction.

    Differentiable in every float argument. Gates in the order i, f, g, o; equations and sources in the README beside
    this file.

    Args:
        x: Inputs, (T, B, I). All float arguments have one dtype and device.
        h0: Initial output, (B, H), or (B, P) with a projection.
        c0: Initial cell state, (B, H).
        weight_ih: (4H, I).
        weight_hh: (4H, H), or (4H, P).
        bias_ih: (4H,), or None; both biases or neither.
        bias_hh: (4H,), or None.
        weight_hr: The projection (P, H), or None.
        lengths: True steps of each row, (B,) int64 on x's device, zeros allowed. Past them the output and the
            gradient of x are zero, and x may hold anything; the final state is the one after the last true step.
        reset: (T, B) bool. Where true, the state is replaced by `reset_state` before that step is processed, in either
            direction.
        reset_state: The pair (h, c), shaped as the initial state; the initial state itself by default. It differs where
            the initial state is carried on from an earlier part of the stream.
        reverse: Whether the steps run from each row's last true step to its first.
        backend: "auto" for the first that can, "torch" or "reference".

    Returns:
        Outputs (T, B, H or P) and the final state (h (B, H or P), c (B, H)).

    Raises:
        TypeError: Something is no tensor or has the wrong dtype.
        ValueError: A shape, a device or a value of `lengths` is wrong, or no back end has that name.
        BackendError: The back end asked for cannot run this call.
    """
    weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh, () if weight_hr is None else (weight_hr,))
    call = Call("lstm", x, (h0, c0), weights, lengths, reset, reverse, reset_state)
    check_call(call, num_gates=4, state_names=("h0", "c0"), names_of_more=("weight_hr",))
    output, (h, c) = run(BACKENDS, call, backend)
    return output, (h, c)
