"""Layers that know when each step happened."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recur.nn.cell_layer import CellLayer
from recur.nn.sequences import Lengths, Sequences, time_first
from recur.ops._call import State
from recur.ops._checks import check_like, has_values, shape_of
from recur.ops._scan import mask_of


class TimedLayer(CellLayer):
    """A stack whose cells get the time stamp of each step; the base of `PhasedLSTM`, `CfC` and `GRUD`."""

    def forward(
        self,
        x: Sequences,
        hx: Any = None,
        *,
        times: Sequences | None = None,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
        context: Tensor | None = None,
        return_all: bool = False,
    ) -> Any:
        """Return the outputs of the last layer and the final state of every layer.

        Args:
            x: As of `RecurrentLayer.forward`.
            hx: Initial state, as of `RecurrentLayer.forward`, the parts as the layer's own page says. The clock is part
                of it, so that a sequence may be given in pieces.
            times: When each step happened, in any unit, in the layer's dtype: (T, B), (B, T) with `batch_first`, (T,)
                for one sequence, a PackedSequence or a list of tensors (T_k,) where x is one. Finite, and in the order
                of time within each row, but for steps where `reset` is true. Every layer of the stack and either
                direction gets them. Large ones, such as seconds since 1970, lose their differences in float32: take
                one start for the whole stream off them before they are converted. None for a clock that counts the
                steps as a layer takes them: the backward direction from the end of the row, and with a dilation the
                steps of each of its interleaved sequences, so give times where that matters.
            lengths: As of `RecurrentLayer.forward`; times past them may be anything.
            reset: As of `RecurrentLayer.forward`.
            context: As of `RecurrentLayer.forward`.
            return_all: As of `RecurrentLayer.forward`.

        Returns:
            As `RecurrentLayer.forward`.

        Raises:
            TypeError: An argument is of the wrong kind or dtype.
            ValueError: A shape, a device or a value of `lengths` is wrong; or `times` are not finite, or go back within
                a row or, in a `CfC` or `GRUD` without dilation, behind the clock of `hx`. Nobody looks at values while
                compiling or under vmap.
        """
        extras = None if times is None else self._time_stamps(x, times)
        return self._forward(x, hx, lengths, reset, context, return_all, extras)

    def _time_stamps(self, x: Sequences, times: Sequences) -> Tensor:
        """Return the time stamps as (T, B, 1)."""
        pairs_beside(self._owner, "times", x, times, has_features=False)
        times_TB, _, _ = time_first(
            self._owner, times, None, batch_first=self.batch_first, num_features=0, wanted="times"
        )
        try:
            check_like(self._owner, "times", times_TB, self._sample_weight(), "the layer")
        except TypeError as error:
            dtype = self._sample_weight().dtype
            if dtype == torch.float64:
                raise
            raise TypeError(
                f"{str(error).partition(' Convert ')[0]} Pass (times - start).to({dtype}) with one start for the whole "
                f"stream, such as its first time. As they are they would lose their differences: at 1.7e9, seconds "
                f"since 1970, {dtype} counts in steps of {2**30 * torch.finfo(dtype).eps:g}."
            ) from None
        return times_TB[..., None]

    def _check_extras(self, extras: Tensor, first: State, lengths: Tensor | None, reset: Tensor | None) -> None:
        # Where a dilation keeps several states there are several clocks, and one that counts steps has its next.
        clock = first[self._state_names.index("clock")]
        self._check_order(extras[..., 0], lengths, reset, clock if clock.shape[1:] == (2,) else None)

    def _check_order(
        self, times_TB: Tensor, lengths: Tensor | None, reset: Tensor | None, clock_B2: Tensor | None
    ) -> None:
        """Raise ValueError where times are not finite or go back, from one step of a row to the next or from its clock.

        Args:
            times_TB: The time stamps.
            lengths: Of the rows, (B,), past which times may be anything.
            reset: Where a sequence begins, (T, B), whose first time may be anything.
            clock_B2: As of `elapsed`, or None.
        """
        if not all(has_values(given) for given in (times_TB, lengths, reset, clock_B2) if given is not None):
            return
        times_TB = times_TB.detach()
        first_1B = times_TB[:1]
        if clock_B2 is not None:
            first_1B = torch.where(clock_B2[:, 1] == 1, clock_B2[:, 0].detach(), first_1B)
        before_TB = torch.cat([first_1B, times_TB[:-1]])
        is_back = times_TB < before_TB
        if reset is not None:
            is_back = is_back & ~reset
        is_wrong = is_back | ~times_TB.isfinite()
        if lengths is not None:
            is_wrong = is_wrong & mask_of(lengths, len(times_TB))
        if not bool(is_wrong.any()):
            return
        step, row = is_wrong.nonzero()[0].tolist()
        time, before = times_TB[step, row].item(), before_TB[step, row].item()
        where = f"{self._owner}: times of row {row}"
        if not math.isfinite(time):
            raise ValueError(f"{where} is {time} at step {step}, but must be finite. Leave such steps out.")
        source = "the clock in hx" if step == 0 else f"step {step - 1}"
        raise ValueError(
            f"{where} goes back from {before:.9g}, of {source}, to {time:.9g} at step {step}. Sort the steps of each "
            "row by time, or mark with reset where another sequence begins."
        )


def elapsed(clock_B2: Tensor, time_B1: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the time since the step before, (B, 1), and the clock after this step.

    Args:
        clock_B2: The time of the step before, and 1 if there was one, 0 if this is the first.
        time_B1: The time of this step, or None for a unit later than the one before.

    Returns:
        Zero at the first step; never negative, since the reverse direction goes back in time.
    """
    before_B1, begun_B1 = clock_B2.chunk(2, 1)
    if time_B1 is None:
        # Exactly one, also where the clock has come so far that its dtype cannot count on.
        return begun_B1, torch.cat([before_B1 + 1, torch.ones_like(before_B1)], 1)
    return (time_B1 - before_B1).abs() * begun_B1, torch.cat([time_B1, torch.ones_like(time_B1)], 1)


def pairs_beside(owner: str, name: str, x: Sequences, given: Any, *, has_features: bool) -> list[tuple[Tensor, Tensor]]:
    """Return x and what goes beside it as pairs of tensors, one for a batch, or one for each sequence of a list.

    Args:
        owner: Who complains.
        name: Of what goes beside x.
        x: The sequences; what is wrong with them alone is not told here.
        given: What goes beside, in the same form.
        has_features: Whether it has the features of x too, or one value for each step.

    Raises:
        TypeError: It comes in another form.
        ValueError: It has another shape.
    """
    if isinstance(x, PackedSequence):
        if not isinstance(given, PackedSequence):
            raise TypeError(f"{owner}: x is a PackedSequence, so {name} must be one, but is {type(given).__name__}.")
        if not _is_packed_alike(x, given):
            raise ValueError(f"{owner}: {name} and x are PackedSequences of other lengths, or in another order.")
        pairs: list[tuple[Any, Any]] = [(x.data, given.data)]
    elif isinstance(x, list | tuple):
        if not isinstance(given, list | tuple) or len(given) != len(x):
            what = f"{len(given)} entries" if isinstance(given, list | tuple) else type(given).__name__
            raise TypeError(f"{owner}: x is a list, so {name} must be one of {len(x)} tensors, but is {what}.")
        pairs = list(zip(x, given, strict=True))
    else:
        pairs = [(x, given)]
    for one, beside in pairs:
        for what, value in (("x", one), (name, beside)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{owner}: {what} must be of torch.Tensor, but is {type(value).__name__}.")
        wanted = tuple(one.shape if has_features else one.shape[:-1])
        if beside.shape != wanted:
            raise ValueError(
                f"{owner}: {name} must have shape {wanted} beside x of shape {shape_of(one)}, "
                f"but has {shape_of(beside)}."
            )
    return pairs


def _is_packed_alike(one: PackedSequence, other: PackedSequence) -> bool:
    if not torch.equal(one.batch_sizes, other.batch_sizes):
        return False
    orders = (one.sorted_indices, other.sorted_indices)
    return all(o is None for o in orders) or (all(o is not None for o in orders) and torch.equal(*orders))  # type: ignore[arg-type]
