"""Reversible instance normalisation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from recur.kinds import is_number, is_whole
from recur.nn.sequences import Lengths, lengths_of


class Scale(NamedTuple):
    """What a normalised value has to be put through to be on its old scale: loc + scale * value.

    Attributes:
        loc: (B, 1, F), or (1, B, F) with time first.
        scale: The same shape; above 0.
    """

    loc: Tensor
    scale: Tensor


class ReversibleInstanceNorm(nn.Module):
    """Takes mean and spread of each series out of a network's input, and puts them back into its output.

    y = weight (x - mean) / sqrt(variance + eps) + bias, over the steps of each feature of each row that are there; so a
    model does not have to know the level at which a series happens to be. What `forward` took out is returned beside it
    and belongs to `inverse`; the module keeps nothing.

    Source: Kim et al. (2022), equations 1 to 3. There the weight may have any sign and be zero; here it is exp of a
    parameter, so that the inverse exists and larger stays larger.

    Args:
        num_features: F.
        eps: Added to the variance, above 0.
        affine: Whether weight and bias are learned, for each feature.
        batch_first: Whether rows come first.

    Attributes:
        log_weight: (F,), zero at first; or None.
        bias: (F,), zero at first; or None.

    Raises:
        TypeError: `num_features` is no whole number or `eps` no number.
        ValueError: One is out of range.

    Example:
        >>> norm = ReversibleInstanceNorm(1, batch_first=True)
        >>> y, scale = norm(torch.tensor([[[10.0], [20.0], [30.0]]]))
        >>> y.flatten(), norm.inverse(y, scale).flatten()
        (tensor([-1.2247,  0.0000,  1.2247], grad_fn=<ViewBackward0>), tensor([10., 20., 30.], grad_fn=<ViewBackward0>))
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = True, batch_first: bool = False) -> None:
        super().__init__()
        if not is_whole(num_features):
            found = type(num_features).__name__
            raise TypeError(f"ReversibleInstanceNorm: num_features must be an int, but is {found}.")
        if not is_number(eps):
            raise TypeError(f"ReversibleInstanceNorm: eps must be a number, but is {type(eps).__name__}.")
        if num_features < 1 or not 0 < eps < float("inf"):
            raise ValueError(
                f"ReversibleInstanceNorm: num_features must be at least 1 and eps above 0, not {num_features}, {eps}."
            )
        self.num_features = num_features
        self.eps = eps
        self.batch_first = batch_first
        self.log_weight = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor, *, lengths: Lengths | None = None, mask: Tensor | None = None) -> tuple[Tensor, Scale]:
        """Return `x` normalised, and what takes it back.

        Args:
            x: (T, B, F), or (B, T, F) with `batch_first`; floating. NaN is missing.
            lengths: True steps of each row, a tensor or a list of B whole numbers; None is all.
            mask: Where a value is there, bool, the shape of `x`; None is everywhere but at NaN and past `lengths`.

        Returns:
            The same shape, zero where nothing is there; and the scale. Where a feature of a row has no value at all,
            mean is 0 and spread 1.

        Raises:
            TypeError: `x` is no floating tensor, or `mask` no bool tensor.
            ValueError: A shape does not fit.
        """
        there = self._there(x, lengths, mask)
        time = 1 if self.batch_first else 0
        count = there.sum(time, keepdim=True)
        divisor = count.clamp(min=1)
        values = torch.where(there, x, 0)
        mean = values.sum(time, keepdim=True) / divisor
        centred = torch.where(there, values - mean, 0)
        variance = centred.square().sum(time, keepdim=True) / divisor
        deviation = torch.where(count > 0, (variance + self.eps).sqrt(), 1)
        if self.log_weight is None or self.bias is None:
            return centred / deviation, Scale(mean, deviation)
        y = torch.where(there, centred / deviation * self.log_weight.exp() + self.bias, 0)
        scale = deviation * torch.exp(-self.log_weight)
        return y, Scale(mean - scale * self.bias, scale)

    def inverse(self, y: Tensor, scale: Scale) -> Tensor:
        """Return `y` on the scale of the input.

        A forecast that is a distribution goes back by `rescaled(*scale)`.

        Args:
            y: (O, B, F), or (B, O, F) with `batch_first`; any number of steps, such as a horizon.
            scale: Of the input that `y` was computed from.

        Returns:
            The same shape.

        Raises:
            ValueError: `y` has another number of rows or features.
        """
        rows = 0 if self.batch_first else 1
        if y.dim() != 3 or (y.shape[rows], y.shape[2]) != (scale.loc.shape[rows], self.num_features):
            raise ValueError(
                f"ReversibleInstanceNorm: y has shape {tuple(y.shape)}, which does not fit an input with "
                f"{scale.loc.shape[rows]} rows and {self.num_features} features."
            )
        return scale.loc + scale.scale * y

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        affine = self.log_weight is not None
        return f"{self.num_features}, eps={self.eps}, affine={affine}, batch_first={self.batch_first}"

    def _there(self, x: Tensor, lengths: Lengths | None, mask: Tensor | None) -> Tensor:
        """Return which values count, after checks."""
        owner = "ReversibleInstanceNorm"
        if not isinstance(x, Tensor) or not x.is_floating_point():
            found = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"{owner}: x must be a floating torch.Tensor, but is {found}.")
        if x.dim() != 3 or x.shape[2] != self.num_features:
            letters = "(B, T" if self.batch_first else "(T, B"
            raise ValueError(f"{owner}: x must have shape {letters}, {self.num_features}), but has {tuple(x.shape)}.")
        there = ~x.isnan()
        if mask is not None:
            if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
                found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
                raise TypeError(f"{owner}: mask must be a torch.bool tensor, but is {found}.")
            if mask.shape != x.shape:
                raise ValueError(f"{owner}: mask has shape {tuple(mask.shape)}, but x has {tuple(x.shape)}.")
            there = there & mask
        if lengths is not None:
            num_rows, num_steps = x.shape[:2] if self.batch_first else x.shape[1::-1]
            before = torch.arange(num_steps, device=x.device)
            lengths_B = lengths_of(owner, lengths, num_steps, num_rows).to(x.device)
            is_step = before < lengths_B[:, None] if self.batch_first else before[:, None] < lengths_B
            there = there & is_step.unsqueeze(-1)
        return there
