"""The LiGRU layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch

from recur.nn.gated import GatedLayer
from recur.nn.options import GatedOptions
from recur.ops._call import Nonlinearity


class LiGRU(GatedLayer):
    """The light gated recurrent unit (Ravanelli et al. 2018): a GRU without reset gate, with the rectifier.

    Gates in the order z, n. The rectifier has no bound, so use `layer_norm`; the paper normalises the input part over
    the batch.

    ```text
    z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
    n_t = relu(W_in x_t + b_in + W_hn h_{t-1} + b_hn)
    h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ n_t
    ```

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        nonlinearity: "relu", "tanh", or an elementwise function.
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
        >>> output, h_n = LiGRU(8, 16, bidirectional=True)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 32]), torch.Size([2, 2, 16]))
    """

    _op: ClassVar[str] = "ligru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        nonlinearity: Nonlinearity = "relu",
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
            {"nonlinearity": nonlinearity},
            options,
        )
