"""The GRU layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recur.nn.layer import Lengths, RecurrentLayer
from recur.ops._dispatch import Backend
from recur.ops.gru.op import BACKENDS


class GRU(RecurrentLayer):
    """The gated recurrent unit, with the arguments, parameters and results of `torch.nn.GRU`.

    ```text
    r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
    z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
    n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
    ```

    Gates in the order r, z, n. Cho et al. (2014), in the form of cuDNN and torch: the reset gate acts after the
    recurrent product.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H.
        num_layers: Layers, each on the outputs of the one below.
        bias: Whether there are bias_ih and bias_hh.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...). States never are.
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end; its outputs come behind the first one's.
        device: Where the parameters lie.
        dtype: Their dtype.
        initial_state: "zeros", or "learned", which adds the parameter h_0; see `LSTM`.
        locked_dropout: Whether `dropout` keeps one mask over all steps, as `LockedDropout` does.
        backend: "auto" for the fastest that can, or the name of one; see `explain`.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: An argument has a value that makes no sense.

    Example:
        >>> output, h_n = GRU(8, 16, num_layers=2)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 16]), torch.Size([2, 2, 16]))
    """

    _num_gates: ClassVar[int] = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        initial_state: Literal["zeros", "learned"] = "zeros",
        locked_dropout: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            initial_state=initial_state,
            locked_dropout=locked_dropout,
            backend=backend,
        )

    @property
    def _backends(self) -> Sequence[Backend]:
        return BACKENDS

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Return the outputs of the last layer and the final state of every layer, (L*D, B, H).

        Arguments, errors and shapes as of `LSTM.forward`, but that `hx` and the final state are one tensor.
        """
        output, (h_n,) = self._forward(x, hx, lengths, reset)
        return output, h_n
