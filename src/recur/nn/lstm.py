"""The LSTM layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recur.nn.layer import Lengths, RecurrentLayer
from recur.ops._dispatch import Backend
from recur.ops.lstm.op import BACKENDS


class LSTM(RecurrentLayer):
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
        hidden_size: Units of each layer and direction, H.
        num_layers: Layers, each on the outputs of the one below.
        bias: Whether there are bias_ih and bias_hh.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...). States never are.
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end; its outputs come behind the first one's.
        proj_size: Width of the output when it is projected, 0 for none.
        device: Where the parameters lie.
        dtype: Their dtype.
        initial_state: The state before the first step when no `hx` is given: "zeros", or "learned", which adds the
            parameters h_0 and c_0, one row for each layer and direction, zero at first.
        locked_dropout: Whether `dropout` keeps one mask over all steps, as `LockedDropout` does.
        backend: "auto" for the fastest that can, or the name of one; see `explain`.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: An argument has a value that makes no sense.

    Example:
        >>> import torch
        >>> layer = LSTM(8, 16, batch_first=True)
        >>> output, (h_n, c_n) = layer(torch.randn(2, 5, 8), lengths=[5, 3])
        >>> output.shape, h_n.shape
        (torch.Size([2, 5, 16]), torch.Size([1, 2, 16]))
        >>> print(layer.explain())
        LSTM (cpu, float32):
          torch      runs
          reference  not needed: 'torch' comes first
    """

    _num_gates: ClassVar[int] = 4
    _state_names: ClassVar[tuple[str, ...]] = ("h", "c")

    @property
    def _backends(self) -> Sequence[Backend]:
        return BACKENDS

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, Tensor]]:
        """Return the outputs of the last layer and the final state of every layer.

        Args:
            x: (T, B, I); (B, T, I) with `batch_first`; (T, I) for one sequence; or a PackedSequence. In the layer's
                dtype.
            hx: Initial (h_0, c_0), (L*D, B, H) each, h_0 (L*D, B, P) with a projection, (L*D, H) for one sequence. It
                wins over `initial_state`.
            lengths: True steps of each row, a tensor or a list of B whole numbers, any device, any order, zeros
                allowed. Past them the output and the gradient are zero, and x may hold anything; the final state is
                the one after the last true step; the reverse direction begins there.
            reset: bool, (T, B) as x. Where true, a sequence begins: the state of either direction is replaced, between
                the step before and this one, by what `initial_state` says, not by `hx`, which may come from before.

        Returns:
            Outputs, as x with D*H (with a projection D*P) features, and (h_n, c_n) in the shapes of `hx`.

        Raises:
            TypeError: x, hx, lengths or reset is of the wrong kind or dtype.
            ValueError: A shape, a device or a value of `lengths` is wrong.
            BackendError: The back end asked for cannot run this call.
        """
        output, (h_n, c_n) = self._forward(x, hx, lengths, reset)
        return output, (h_n, c_n)
