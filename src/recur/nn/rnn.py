"""The layer of simple recurrent units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recur.nn.layer import Lengths, RecurrentLayer
from recur.ops._dispatch import Backend
from recur.ops.rnn.op import BACKENDS


class RNN(RecurrentLayer):
    """The simple recurrent network (Elman 1990), with the arguments, parameters and results of `torch.nn.RNN`.

    ```text
    h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)
    ```

    or, with `nonlinearity="relu"`, the rectifier in place of tanh (Le, Jaitly and Hinton 2015).

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H.
        num_layers: Layers, each on the outputs of the one below.
        nonlinearity: "tanh" or "relu".
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
        >>> output, h_n = RNN(8, 16, bidirectional=True)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 32]), torch.Size([2, 2, 16]))
    """

    _num_gates: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
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
        if nonlinearity not in BACKENDS:
            raise ValueError(f"RNN: nonlinearity is {nonlinearity!r}, but must be 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
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
        return BACKENDS[self.nonlinearity]

    @property
    def _mode(self) -> str:
        return f"RNN_{self.nonlinearity.upper()}"

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
