"""The decision whether a step is taken: not while the loss or the gradient is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from recur.errors import TrainingError
from recur.gradients.updates.place import NonFinite
from recur.kinds import is_whole
from recur.wording import quantity


class FiniteGuard:
    """Lets a step be taken only where loss and gradient are finite, and ends a training in which they no longer are.

    Asked between the backward pass and the optimiser's step. A step that is left out changes neither weights nor the
    optimiser. If the batch was to blame, training goes on with the next; after some such steps in a row it raises, and
    at once where a weight itself is found not to be finite, which no batch can mend. A state that is carried on from
    the bad batch may be bad too, and must be dropped.

    With several processes ask after the gradients are averaged: then all of them see the same norm and decide alike,
    as long as a loss that is not finite makes the gradient so.

    With a `torch.amp.GradScaler`, call its `unscale_` before clipping, `step` only when allowed, and `update` always:
    it lowers its scale after a gradient that overflowed. It begins with a scale of 65,536 and halves it each time, so
    set `limit` to 16 or so.

    Args:
        limit: How many steps in a row may be left out; one more raises. 0 raises at the first.

    Attributes:
        limit: As given.
        in_a_row: Steps left out since the last one that was allowed.
        skipped: Steps left out so far, of all.
        reason: Why the newest step was not allowed, in one or two sentences; empty when it was.
        found: What was bad first in it, if that was searched and found.

    Raises:
        TypeError: `limit` is no whole number.
        ValueError: It is below 0.

    Example:
        >>> import torch
        >>> from recur.gradients import clip_gradients, find_nonfinite
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> guard = FiniteGuard(limit=2)
        >>> for x in (torch.ones(3, 2), torch.full((3, 2), torch.inf)):
        ...     optimizer.zero_grad()
        ...     loss = model(x).square().mean()
        ...     loss.backward()
        ...     norm = clip_gradients(model, max_norm=1.0).before
        ...     if guard.allows(loss, norm, lambda: find_nonfinite(model, lambda: model(x).square().mean())):
        ...         optimizer.step()
        >>> guard.skipped, str(guard.found)
        (1, 'the input is inf at index (0, 0)')
    """

    def __init__(self, *, limit: int = 3) -> None:
        if not is_whole(limit):
            raise TypeError(f"FiniteGuard: limit must be an int, but is {type(limit).__name__}.")
        if limit < 0:
            raise ValueError(f"FiniteGuard: limit is {limit}, but must be at least 0.")
        self.limit = limit
        self.in_a_row = 0
        self.skipped = 0
        self.reason = ""
        self.found: NonFinite | None = None

    def allows(
        self, loss: Tensor | float, norm: Tensor | float, search: Callable[[], NonFinite | None] | None = None
    ) -> bool:
        """Return whether the step may be taken, and note why not.

        Args:
            loss: Of the step, ().
            norm: Of its whole gradient, (), such as `clip_gradients(...).before`.
            search: Called for a bad step, to find out what went wrong first: `lambda: find_nonfinite(model, run)`.

        Raises:
            TrainingError: More than `limit` steps in a row were not finite, or a weight is not.
        """
        loss = float(loss.detach()) if isinstance(loss, Tensor) else loss
        norm = float(norm.detach()) if isinstance(norm, Tensor) else norm
        if math.isfinite(loss) and math.isfinite(norm):
            self.in_a_row, self.reason, self.found = 0, "", None
            return True
        self.in_a_row += 1
        self.skipped += 1
        self.found = None if search is None else search()
        before = self.in_a_row - 1
        which = f"this step and the {quantity(before, 'step')} before it were" if before else "this step was"
        self.reason = (
            f"the loss is {loss:.4g} and the gradient's norm {norm:.4g}, not finite; {which} not taken and the last "
            "good weights are kept."
        )
        if self.found is not None:
            self.reason += f" What went wrong first: {self.found}."
        elif search is not None:
            self.reason += " When it was run again, everything in it was finite."
        if self.in_a_row > self.limit or (self.found is not None and self.found.is_parameter):
            raise TrainingError(self.reason)
        return False

    def state_dict(self) -> dict[str, int]:
        """Return what a training that goes on has to know: the counts."""
        return {"in_a_row": self.in_a_row, "skipped": self.skipped}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Take the counts."""
        self.in_a_row = int(state_dict["in_a_row"])
        self.skipped = int(state_dict["skipped"])
