"""The MGU layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch

from recur.nn.gated import GatedLayer
from recur.nn.options import GatedOptions


class MGU(GatedLayer):
    """The minimal gated unit (Zhou et al. 2016): one gate that both forgets and lets in.

    Gates in the order f, n.

    ```text
    f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)
    n_t = tanh(W_in x_t + b_in + W_hn (f_t ⊙ h_{t-1}) + b_hn)
    h_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ n_t
    ```

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        bias: Whether there are bias_ih and bias_hh.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        options: `GatedOptions`, by keyword; docs/layers.md has the table.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, h_n = MGU(8, 16, bidirectional=True)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 32]), torch.Size([2, 2, 16]))
    """

    _op: ClassVar[str] = "mgu"

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
            0,
            device,
            dtype,
            {},
            options,
        )
