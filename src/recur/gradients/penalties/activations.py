"""Penalties on what a recurrent layer puts out: its activations, and their changes from step to step."""

from __future__ import annotations

import torch
from torch import Tensor

from recur.nn.sequences import Lengths, lengths_of
from recur.ops._scan import mask_of


def activation_penalty(h: Tensor, *, lengths: Lengths | None = None, batch_first: bool = False) -> Tensor:
    """Return the mean square of activations, to be added to the loss with a factor alpha (AR).

    Source: Merity, McCann & Socher (2017), section 3.1: the outputs of the last layer after dropout, alpha from 1 to 9.
    Their L2 norm is, as in their program, the mean over all elements.

    Args:
        h: Outputs, (T, B, ...), or (B, T, ...) with `batch_first`; floating.
        lengths: True steps of each row, a tensor or a list of B whole numbers. What lies past them does not count.
        batch_first: Whether rows come first.

    Returns:
        (), in the dtype of `h`; 0 where no step counts.

    Raises:
        TypeError: `h` is no floating tensor, or `lengths` are no whole numbers.
        ValueError: `h` has fewer than 3 dimensions, or `lengths` do not fit.

    Example:
        >>> h = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
        >>> activation_penalty(h), activation_penalty(h, lengths=[1])
        (tensor(7.5000), tensor(2.5000))
    """
    h_TB = _outputs("activation_penalty", h, batch_first)
    if lengths is None:
        return h_TB.square().mean()
    return _mean_square(h_TB, _steps_before("activation_penalty", lengths, h_TB))


def temporal_penalty(
    h: Tensor, *, lengths: Lengths | None = None, reset: Tensor | None = None, batch_first: bool = False
) -> Tensor:
    """Return the mean square of changes from step to step, to be added to the loss with a factor beta (TAR).

    Source: Merity, McCann & Socher (2017), section 3.2: the outputs of the last layer before dropout, beta from 1 to 9,
    and, as in their program, the mean over all elements.

    Args:
        h: Outputs, (T, B, ...), or (B, T, ...) with `batch_first`; floating.
        lengths: True steps of each row, a tensor or a list of B whole numbers. What lies past them does not count.
        reset: (T, B) bool, as `h`: where a sequence begins, so that its change from the step before does not count.
        batch_first: Whether rows come first.

    Returns:
        (), in the dtype of `h`; 0 where no two steps follow each other.

    Raises:
        TypeError: `h` is no floating tensor, `lengths` are no whole numbers, or `reset` is no bool tensor.
        ValueError: `h` has fewer than 3 dimensions, or `lengths` or `reset` do not fit.

    Example:
        >>> h = torch.tensor([1.0, 3.0, 4.0]).view(3, 1, 1)
        >>> temporal_penalty(h), temporal_penalty(h, reset=torch.tensor([[False], [True], [False]]))
        (tensor(2.5000), tensor(1.))
    """
    owner = "temporal_penalty"
    h_TB = _outputs(owner, h, batch_first)
    counted_TB = torch.ones(h_TB.shape[:2], dtype=torch.bool, device=h.device)
    if lengths is not None:
        counted_TB = _steps_before(owner, lengths, h_TB)
    if reset is not None:
        if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
            found = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
            raise TypeError(f"{owner}: reset must be a torch.bool tensor, but is {found}.")
        if reset.shape != h.shape[:2]:
            raise ValueError(f"{owner}: reset must have shape {tuple(h.shape[:2])}, but has {tuple(reset.shape)}.")
        counted_TB = counted_TB & ~(reset.t() if batch_first else reset).to(h.device)
    if lengths is None and reset is None and len(h_TB) > 1:
        return (h_TB[1:] - h_TB[:-1]).square().mean()
    return _mean_square(h_TB[1:] - h_TB[:-1], counted_TB[1:])


def _outputs(owner: str, h: Tensor, batch_first: bool) -> Tensor:
    """Return checked outputs as (T, B, ...)."""
    if not isinstance(h, Tensor) or not h.is_floating_point():
        found = h.dtype if isinstance(h, Tensor) else type(h).__name__
        raise TypeError(f"{owner}: h must be a floating torch.Tensor, but is {found}.")
    if h.dim() < 3:
        letters = "(B, T, H)" if batch_first else "(T, B, H)"
        raise ValueError(f"{owner}: h must have shape {letters}, but has {tuple(h.shape)}.")
    return h.transpose(0, 1) if batch_first else h


def _steps_before(owner: str, lengths: Lengths, h_TB: Tensor) -> Tensor:
    """Return which steps lie before each row's end, (T, B) bool."""
    num_steps, batch = h_TB.shape[:2]
    return mask_of(lengths_of(owner, lengths, num_steps, batch).to(h_TB.device), num_steps)


def _mean_square(values: Tensor, counted_TB: Tensor) -> Tensor:
    """Return the mean over the elements of the steps that count; 0 if none does."""
    # Whatever lies past the ends, NaN too, reaches neither the sum nor the gradient.
    counted = values[counted_TB]
    return counted.square().mean() if counted.numel() else values.new_zeros(())
