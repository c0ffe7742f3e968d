"""The GRU layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch

from recur.nn.gated import GatedLayer
from recur.nn.options import GatedOptions


class GRU(GatedLayer):
    """The gated recurrent unit, with the arguments, parameters and results of `torch.nn.GRU`.

    Gates in the order r, z, n. Cho et al. (2014) let the reset gate act before the recurrent product; cuDNN and torch
    after it.

    ```text
    r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
    z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
    n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))     reset_after
    n_t = tanh(W_in x_t + b_in + W_hn (r_t ⊙ h_{t-1}) + b_hn)     not reset_after
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
    ```

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        bias: Whether there are bias_ih and bias_hh.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        proj_size: Width of the output when it is projected, 0 for none; any size.
        device: Where the parameters lie.
        dtype: Their dtype.
        options: `GatedOptions`, by keyword; docs/layers.md has the table.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, h_n = GRU(8, 16, bidirectional=True)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 32]), torch.Size([2, 2, 16]))
    """

    _op: ClassVar[str] = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset_after: bool = True,
        proj_size: int = 0,
        **options: Unpack[GatedOptions],
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
            {"reset_after": reset_after},
            options,
        )

    @property
    def _cudnn_mode(self) -> str | None:
        return "GRU" if self._form.reset_after and not self._form.projected else None
