"""The LSTM layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

import torch

from recur.nn.gated import GatedLayer
from recur.nn.options import LSTMOptions, StackOptions


class LSTM(GatedLayer):
    """Long short-term memory, with the arguments, parameters and results of `torch.nn.LSTM`.

    ```text
    i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)
    f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)
    g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)
    o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)
    ```

    Gates in the order i, f, g, o. With `proj_size`, h_t is then multiplied by weight_hr. Hochreiter and Schmidhuber
    (1997) with the forget gate of Gers et al. (2000); the projection is that of Sak et al. (2014).

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
        options: `LSTMOptions`, by keyword; docs/layers.md has the table.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> import torch
        >>> layer = LSTM(8, 16, batch_first=True)
        >>> output, (h_n, c_n) = layer(torch.randn(2, 5, 8), lengths=[5, 3])
        >>> output.shape, h_n.shape
        (torch.Size([2, 5, 16]), torch.Size([1, 2, 16]))
        >>> print(layer.explain())
        LSTM (cpu, float32):
          cpu        runs
          torch      not needed: 'cpu' comes first
          reference  not needed: 'cpu' comes first
        >>> LSTM(8, 16, layer_norm=True, zoneout=(0.1, 0.5), peephole=True)
        LSTM(8, 16, zoneout=(0.1, 0.5), layer_norm=True, peephole=True)
    """

    _op: ClassVar[str] = "lstm"
    _options_type: ClassVar[type[StackOptions]] = LSTMOptions

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
        **options: Unpack[LSTMOptions],
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
            {},
            options,
        )

    @property
    def _cudnn_mode(self) -> str | None:
        return None if self._form.coupled or self._form.peephole else "LSTM"
