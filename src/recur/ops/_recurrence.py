"""Any recurrent op as a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from recur.ops._call import PLAIN, SILENCE, TORCH_WEIGHTS, Call, Noise, Options, Result, Weights
from recur.ops._checks import check_call, check_kinds
from recur.ops._dispatch import run
from recur.ops._forms import form


def recurrence(
    op: str,
    x: Tensor,
    state: Sequence[Tensor],
    weights: Mapping[str, Tensor],
    *,
    options: Options = PLAIN,
    noise: Noise = SILENCE,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reset_state: Sequence[Tensor] | None = None,
    reverse: bool = False,
    records: bool = False,
    backend: str = "auto",
) -> Result:
    """Return the outputs and the final state of one recurrent layer in one direction.

    Differentiable in every float argument. Equations, order of the gates and sources are in the README of each op.

    Args:
        op: "rnn", "gru", "lstm", "indrnn", "mgu" or "ligru".
        x: Inputs, (T, B, I). All float arguments have one dtype and device.
        state: Initial state: (h0 (B, H),), for an LSTM (h0, c0); h0 is (B, P) with a projection.
        weights: By name: weight_ih (G*H, I), weight_hh (G*H, H or P), bias_ih and bias_hh (G*H,) or neither, and what
            the options ask for; `form(op, options).shapes(I, H, P)` tells.
        options: The form of the cell. `projected` follows from the weights.
        noise: Random masks.
        lengths: True steps of each row, (B,) int64 on x's device, zeros allowed. Past them the output and the
            gradient of x are zero, and x may hold anything; the final state is the one after the last true step.
        reset: (T, B) bool. Where true, the state is replaced by `reset_state` before that step is processed, in either
            direction.
        reset_state: Shaped as the initial state; the initial state itself by default. It differs where the initial
            state is carried on from an earlier part of the stream.
        reverse: Whether the steps run from each row's last true step to its first.
        records: Whether states and gates of every step are wanted.
        backend: "auto" for the first that can, or its name.

    Returns:
        Outputs (T, B, H or P), the final state, and the record, which is empty unless `records`.

    Raises:
        TypeError: An argument is of the wrong kind, or a tensor has the wrong dtype.
        ValueError: A name, a shape, a device, an option or a value of `lengths` is wrong, or no back end has that name.
        BackendError: The back end asked for cannot run this call.
    """
    check_kinds(
        str(op),
        state=state,
        weights=weights,
        options=options,
        noise=noise,
        lengths=lengths,
        reset_state=reset_state,
        reverse=reverse,
        records=records,
    )
    options = options._replace(projected="weight_hr" in weights)
    cell = form(op, options)
    four = {name: weights.get(name) for name in TORCH_WEIGHTS}
    more = {name: weight for name, weight in weights.items() if name not in four}
    call = Call(
        op,
        x,
        tuple(state),
        Weights(**four, more=more),  # type: ignore[arg-type]
        lengths,
        reset,
        reverse,
        None if reset_state is None else tuple(reset_state),
        options,
        noise,
        records,
    )
    check_call(call, cell)
    return run(cell.backends, call, backend)
