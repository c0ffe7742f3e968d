"""Dropout for sequences."""

from __future__ import annotations

from torch import Tensor, nn

from recur.nn.options import check_share
from recur.ops._random import lasting_mask


class LockedDropout(nn.Module):
    """Dropout whose mask stays the same over all steps of a sequence.

    In training, each unit of each row is dropped for the whole sequence with probability `p`, and the others are
    multiplied by 1 / (1 - p). In evaluation the input comes back as it is.

    Args:
        p: Probability that a unit is dropped, from 0 to 1.
        batch_first: Whether inputs are (B, T, F) instead of (T, B, F).

    Source: Gal and Ghahramani (2016), who call it variational; "locked" is the name of Merity et al. (2018).

    Example:
        >>> import torch
        >>> y = LockedDropout(0.5)(torch.ones(3, 1, 100))
        >>> torch.equal(y[0], y[1]), y.unique().tolist()
        (True, [0.0, 2.0])
    """

    def __init__(self, p: float = 0.5, *, batch_first: bool = False) -> None:
        super().__init__()
        check_share("LockedDropout", "p", p)
        self.p = float(p)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with units dropped.

        Args:
            x: (T, B, F), or (B, T, F) with `batch_first`, or (T, F) for one sequence; floating.

        Returns:
            The same shape and dtype.

        Raises:
            ValueError: `x` has another number of dimensions.
        """
        if x.dim() not in (2, 3):
            raise ValueError(f"LockedDropout: x must have 2 or 3 dimensions, but has shape {tuple(x.shape)}.")
        if not self.training or self.p == 0:
            return x
        return drop_locked(x, self.p, time_axis=1 if self.batch_first and x.dim() == 3 else 0)

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        return f"p={self.p}, batch_first={self.batch_first}"


def drop_locked(x: Tensor, p: float, time_axis: int = 0) -> Tensor:
    """Return `x` times one dropout mask for all steps; `x` has any shape, time lies on `time_axis`."""
    shape = list(x.shape)
    shape[time_axis] = 1
    return x * lasting_mask(shape, p, x)
