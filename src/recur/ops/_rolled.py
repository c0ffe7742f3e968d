"""The loop over the steps as one operator, for programs that are exported for any number of steps.

`torch.export` unrolls a Python loop, and torch's own recurrent functions with it, so that the number of steps is fixed
in the program. Torch's operator `scan` is a loop in the program itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from recur.ops._call import Result, State

Advance: TypeAlias = Callable[
    [int, Tensor, State, Tensor | None, Tensor | None], tuple[Tensor, State, dict[str, Tensor]]
]
"""Number of the step, input (B, ...), state, which rows go on (B,) and which begin anew (B,), to output, next state and
record."""


def is_rolled(x_TBI: Tensor) -> bool:
    """Return whether a program is being exported in which the number of steps of `x_TBI` is open."""
    if not torch.compiler.is_exporting():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return not has_static_value(x_TBI.shape[0])


def rolled_scan(
    advance: Advance, x_TBI: Tensor, state: State, alive_TB: Tensor | None, reset_TB: Tensor | None, reverse: bool
) -> Result:
    """Return what `advance` gives, step after step.

    Args:
        advance: One step. It is traced once, so it must not look at the number of the step.
        x_TBI: Inputs, (T, B, ...).
        state: Before the first step, each (B, ...).
        alive_TB: Which rows go on, or None.
        reset_TB: Which rows begin anew, or None.
        reverse: Whether the steps run from the last to the first.
    """
    from torch._higher_order_ops.scan import scan

    # The operator takes no None among its inputs.
    steps = {"x": x_TBI, "alive": alive_TB, "reset": reset_TB}
    given = {name: value for name, value in steps.items() if value is not None}

    def combine(before: list[Tensor], now: dict[str, Tensor]) -> tuple[list[Tensor], dict[str, Any]]:
        output, after, record = advance(0, now["x"], tuple(before), now.get("alive"), now.get("reset"))
        # What goes out must be neither what came in nor come out twice.
        return [_copy(part) for part in after], {
            "output": _copy(output),
            "record": {name: _copy(value) for name, value in record.items()},
        }

    # What the step reads from outside, such as the state that a reset puts in place, must not be what it starts with:
    # where both are the same tensor, the operator takes the one for the other.
    final, found = scan(combine, [_copy(part) for part in state], given, dim=0, reverse=reverse)
    return Result(found["output"], tuple(final), found["record"])


def _copy(value: Tensor) -> Tensor:
    return value.clone(memory_format=torch.contiguous_format)
