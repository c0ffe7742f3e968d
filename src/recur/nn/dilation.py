"""A recurrent layer whose state comes from several steps back (Chang et al. 2017), by any layer that looks one back.

With dilation d, steps t, t + d, t + 2d, ... have nothing to do with the steps between them: they are a sequence of
their own. So the d sequences run side by side as d * B rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recur.errors import BackendError
from recur.nn.asked import Asked
from recur.ops._call import Result
from recur.ops._library import turn
from recur.ops._rolled import is_rolled
from recur.ops._scan import beside


def run_dilated(run: Callable[[Tensor, Asked], Result], x_TBI: Tensor, asked: Asked, dilation: int) -> Result:
    """Return what `run` gives when each state comes from `dilation` steps back.

    Args:
        run: Runs a layer and direction with one step back.
        x_TBI: Inputs, (T, B, ...).
        asked: Its state is the last `dilation` ones, the oldest, which the first step takes, first; after a reset each
            of the d sequences starts anew at its first step.
        dilation: d.

    Returns:
        The same as `run`, the final state like `state`.

    Raises:
        BackendError: A program is being exported in which the number of steps is open.
    """
    _, state, lengths, reset, anew, reverse, _ = asked
    if is_rolled(x_TBI):
        raise BackendError(
            "a dilation above 1 folds the steps, which takes a known number of them, but this program is exported for "
            "any. Export it for a fixed number of steps, one program for each that is needed."
        )
    if reverse:
        x_TBI = turn_any(x_TBI, lengths)
        reset = None if reset is None else turn(reset[..., None], lengths)[..., 0]
    num_steps, batch = x_TBI.shape[:2]
    rounds = -(-num_steps // dilation)
    streams = torch.arange(dilation, device=x_TBI.device)[:, None]
    ends_B = x_TBI.new_full((batch,), num_steps, dtype=torch.int64) if lengths is None else lengths
    ends_dB = (ends_B - streams + dilation - 1).div(dilation, rounding_mode="floor").clamp(min=0)
    is_full = lengths is None and num_steps % dilation == 0
    first = state if anew is None else anew
    folded = asked._replace(
        state=tuple([part.flatten(0, 1) for part in state]),
        lengths=None if is_full else ends_dB.flatten(),
        reset=None if reset is None else _folded(_since_last_visit(reset, dilation), rounds, dilation),
        anew=None if reset is None else tuple([part.flatten(0, 1) for part in first]),
        reverse=False,
    )
    result = run(_folded(x_TBI, rounds, dilation), folded)
    final = tuple([torch.unflatten(part, 0, (dilation, batch)) for part in result.state])
    if reset is not None:
        pending = _pending(reset, ends_B, dilation)
        final = tuple([torch.where(beside(pending, part), new, part) for part, new in zip(final, first, strict=True)])
    # The oldest first: the step that would come next takes it.
    order_dB = (ends_B + streams) % dilation
    final = tuple([part.gather(0, beside(order_dB, part).expand_as(part)) for part in final])
    back = [_unfolded(value, num_steps, batch) for value in (result.output, *result.record.values())]
    if reverse:
        back = [turn_any(value, lengths) for value in back]
    return Result(back[0], final, dict(zip(result.record, back[1:], strict=True)))


def turn_any(value: Tensor, lengths: Tensor | None) -> Tensor:
    """Return (T, B, ...) turned around within each row's length."""
    return turn(value.flatten(2), lengths).reshape(value.shape)


def _folded(value: Tensor, rounds: int, dilation: int) -> Tensor:
    """Return (T, B, ...) as (rounds, d * B, ...), with zeros for the steps that are missing in the last round."""
    missing = rounds * dilation - value.shape[0]
    if missing:
        value = torch.cat([value, value.new_zeros(missing, *value.shape[1:])])
    return torch.unflatten(value, 0, (rounds, dilation)).flatten(1, 2)


def _unfolded(value: Tensor, num_steps: int, batch: int) -> Tensor:
    return torch.unflatten(value, 1, (-1, batch)).flatten(0, 1)[:num_steps]


def _since_last_visit(reset_TB: Tensor, dilation: int) -> Tensor:
    """Return where a reset happened at a step or at one of the `dilation` - 1 before it."""
    found = reset_TB
    for back in range(1, min(dilation, len(reset_TB))):
        found = found | torch.cat([torch.zeros_like(reset_TB[:back]), reset_TB[:-back]])
    return found


def _pending(reset_TB: Tensor, ends_B: Tensor, dilation: int) -> Tensor:
    """Return for each of the d sequences, (d, B), whether a reset came after its last step and before the row's end."""
    num_steps = len(reset_TB)
    steps_T1 = torch.arange(num_steps, device=reset_TB.device)[:, None]
    latest_B = torch.where(reset_TB & (steps_T1 < ends_B), steps_T1, -1).amax(0)
    streams = torch.arange(dilation, device=reset_TB.device)[:, None]
    visited_dB = streams + ((ends_B - 1 - streams).div(dilation, rounding_mode="floor")) * dilation
    return (latest_B >= 0) & (latest_B > visited_dB)
