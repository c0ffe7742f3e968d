"""From what was read to features of each step to come, all steps at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recur.models.cells import CELLS
from recur.models.forecaster_options import ForecasterOptions
from recur.nn import Linear


class OnceDecoder(nn.Module):
    """One step of a recurrent layer, which begins with a linear map of what was read, for all steps to come together.

    What it reads is all that is known of them, so that the cell's gates weigh that against what was read. Where nothing
    is known the features are what was read. Beside a `StepDecoder` it takes a fraction of the time.

    Args:
        options: Complete.
        num_known: K', features known of a step.
        horizon: P.
    """

    def __init__(self, options: ForecasterOptions, num_known: int, horizon: int) -> None:
        super().__init__()
        assert options.hidden_size is not None
        self.steps_per_output = horizon
        hidden = options.hidden_size
        self.layer: nn.Module | None = None
        if num_known:
            self.layer = CELLS[options.cell](horizon * num_known, hidden, initial_state="context", context_size=hidden)

    def forward(self, read: Tensor, known: Tensor) -> Tensor:
        """Return features of all steps together, (1, N, H).

        Args:
            read: What was read, (N, H).
            known: What is known of the steps, (P, N, K').
        """
        if self.layer is None:
            return read[None]
        output: Tensor = self.layer(known.transpose(0, 1).flatten(1)[None], context=read)[0]
        return output


class StepDecoder(nn.Module):
    """A recurrent layer over the steps to come, which begins with a linear map of what was read.

    It reads at each step what is known of it and how far ahead it is, (p + 1) / P (Cho et al. 2014, with the covariates
    of Wen et al. 2017 in place of the outputs so far, so that no error is fed back).

    Args:
        options: Complete.
        num_known: K', features known of a step.
        horizon: P.
    """

    steps_per_output = 1

    def __init__(self, options: ForecasterOptions, num_known: int, horizon: int) -> None:
        super().__init__()
        assert options.hidden_size is not None
        self.horizon = horizon
        self.layer = CELLS[options.cell](
            num_known + 1, options.hidden_size, initial_state="context", context_size=options.hidden_size
        )

    def forward(self, read: Tensor, known: Tensor) -> Tensor:
        """Return features of each step, (P, N, H).

        Args:
            read: What was read, (N, H).
            known: What is known of the steps, (P, N, K').
        """
        ahead = torch.arange(1, self.horizon + 1, dtype=read.dtype, device=read.device) / self.horizon
        x_PNK = torch.cat([known, ahead.view(-1, 1, 1).expand(*known.shape[:2], 1)], 2)
        output: Tensor = self.layer(x_PNK, context=read)[0]
        return output


class SegmentDecoder(nn.Module):
    """One step of a recurrent layer for each segment to come, all from the same state (Lin et al. 2023, section 3.2).

    What it reads of a segment is a learned vector for its place, and a linear map of what is known of its W steps. The
    paper's decoder shares the encoder's weights; this one has its own, since it reads other things.

    Args:
        options: Complete.
        num_known: K', features known of a step.
        horizon: P.
    """

    def __init__(self, options: ForecasterOptions, num_known: int, horizon: int) -> None:
        super().__init__()
        assert options.hidden_size is not None
        assert options.segment is not None
        hidden = options.hidden_size
        self.horizon = horizon
        self.steps_per_output = options.segment
        self.num_segments = -(-horizon // options.segment)
        self.place = nn.Parameter(torch.randn(self.num_segments, hidden) * hidden**-0.5)
        self.known = Linear(options.segment * num_known, hidden) if num_known else None
        self.layer = CELLS[options.cell](hidden, hidden, initial_state="context", context_size=hidden)

    def forward(self, read: Tensor, known: Tensor) -> Tensor:
        """Return features of each segment, (M, N, H).

        Args:
            read: What was read, (N, H).
            known: What is known of the steps, (P, N, K').
        """
        rows = len(read)
        x_MNH = self.place[:, None].expand(self.num_segments, rows, -1)
        if self.known is not None:
            # Past the horizon the last segment has zeros.
            padded = nn.functional.pad(known, (0, 0, 0, 0, 0, self.num_segments * self.steps_per_output - self.horizon))
            segments = torch.unflatten(padded, 0, (self.num_segments, self.steps_per_output)).transpose(1, 2).flatten(2)
            x_MNH = x_MNH + self.known(segments)
        x_1RH = x_MNH.reshape(1, self.num_segments * rows, -1)
        output: Tensor = self.layer(x_1RH, context=read.repeat(self.num_segments, 1))[0]
        return output.view(self.num_segments, rows, -1)
