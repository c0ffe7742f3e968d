"""The IndRNN layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch

from recur.nn.gated import GatedLayer
from recur.nn.options import GatedOptions
from recur.ops._call import Nonlinearity


class IndRNN(GatedLayer):
    """The independently recurrent network (Li et al. 2018): each unit sees its own past alone.

    weight_hh is the vector u, (H,), drawn uniformly from 0 to 1. Stack several layers, so that units meet.

    ```text
    h_t = f(W_ih x_t + b_ih + u ⊙ h_{t-1} + b_hh)
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
        device: Where the parameters lie.
        dtype: Their dtype.
        options: `GatedOptions`, by keyword; docs/layers.md has the table.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, h_n = IndRNN(8, 16, bidirectional=True)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 32]), torch.Size([2, 2, 16]))
    """

    _op: ClassVar[str] = "indrnn"

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
            0,
            device,
            dtype,
            {"nonlinearity": nonlinearity},
            options,
        )
