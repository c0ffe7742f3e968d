"""A convolution over the steps of sequences, whose memory can be carried on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StepConvolution(nn.Module):
    """ReLU(LayerNorm(convolution over time)), the same number of steps out as in; steps past a row's end count as zero.

    Args:
        in_features: Features of the input, I.
        out_features: Features of the output, O.
        width: Steps that each output sees.
        is_causal: Whether these are the step itself and those before it, so that pieces of a sequence with the memory
            carried on give what the whole does; else as many after it as before it (one less of an even width).

    Attributes:
        convolution: `torch.nn.Conv1d`.
        norm: `torch.nn.LayerNorm` over the features of each step, which needs no other steps or rows.
    """

    def __init__(self, in_features: int, out_features: int, width: int, *, is_causal: bool) -> None:
        super().__init__()
        self.width, self.is_causal = width, is_causal
        self.convolution = nn.Conv1d(in_features, out_features, width)
        self.norm = nn.LayerNorm(out_features)

    def forward(self, x: Tensor, is_step: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs, and the inputs that later steps will see.

        Args:
            x: (T, B, I), zero past each row's end.
            is_step: (T, B) bool, true for the first steps of each row, up to its length.
            before: The last `width` - 1 inputs of the steps before, (width - 1, B, I); None for zeros.

        Returns:
            (T, B, O), zero past each row's end; and `before` for the next steps, empty unless causal.
        """
        num_before = self.width - 1 if self.is_causal else (self.width - 1) // 2
        num_after = self.width - 1 - num_before
        if before is None or not self.is_causal:
            before = x.new_zeros(num_before, *x.shape[1:])
        seen_TBI = torch.cat([before, x, x.new_zeros(num_after, *x.shape[1:])])
        y_TBO = self.convolution(seen_TBI.permute(1, 2, 0)).permute(2, 0, 1)
        y_TBO = torch.where(is_step.unsqueeze(-1), torch.relu(self.norm(y_TBO)), 0)
        if not self.is_causal:
            return y_TBO, before[:0]
        place_WB1 = (torch.arange(num_before, device=x.device)[:, None] + is_step.sum(0)).unsqueeze(-1)
        return y_TBO, seen_TBI.gather(0, place_WB1.expand(-1, -1, x.shape[2]))
