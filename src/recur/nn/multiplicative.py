"""The multiplicative LSTM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from recur.nn.cell_layer import CellLayer
from recur.nn.module_cell import ModuleCell, StepNoise, lstm_update
from recur.nn.options import LibraryOptions
from recur.ops._call import State


class MultiplicativeLSTMCell(ModuleCell):
    """One step of a multiplicative LSTM; the equations are at `MultiplicativeLSTM`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (4H, I), the gates in the order i, f, g, o.
        weight_mh: (4H, H), on the intermediate state m.
        weight_im: (H, I).
        weight_hm: (H, H).
        bias: (4H,).

    Example:
        >>> h, c = MultiplicativeLSTMCell(8, 16)(torch.randn(3, 8))
        >>> h.shape, c.shape
        (torch.Size([3, 16]), torch.Size([3, 16]))
    """

    state_names = ("h", "c")
    recurrent_weights = ("weight_hm", "weight_mh")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        shapes = {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_mh": (4 * hidden_size, hidden_size),
            "weight_im": (hidden_size, input_size),
            "weight_hm": (hidden_size, hidden_size),
            "bias": (4 * hidden_size,),
        }
        self._make(shapes, device, dtype)

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        h, c = state
        m = linear(x, self._weight("weight_im")) * linear(noise.on(h), self._weight("weight_hm", noise))
        a = linear(x, self._weight("weight_ih"), self._weight("bias")) + linear(m, self._weight("weight_mh", noise))
        new, gates = lstm_update(a, c)
        return new, gates | {"m": m}


class MultiplicativeLSTM(CellLayer):
    """The multiplicative LSTM (Krause et al. 2016): the input chooses the matrix that acts on the state.

    Gates in the order i, f, g, o.

    ```text
    m_t = (W_im x_t) ⊙ (W_hm h_{t-1})
    i_t = σ(W_ii x_t + W_mi m_t + b_i)
    f_t = σ(W_if x_t + W_mf m_t + b_f)
    g_t = tanh(W_ig x_t + W_mg m_t + b_g)
    o_t = σ(W_io x_t + W_mo m_t + b_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)
    ```

    The paper's mLSTM: the intermediate state of a multiplicative RNN (Sutskever et al. 2011) takes the place of the
    state in an LSTM.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `MultiplicativeLSTMCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, (h_n, c_n) = MultiplicativeLSTM(8, 16)(torch.randn(5, 3, 8), lengths=[5, 0, 2])
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]))
    """

    _state_names = ("h", "c")
    _state_nest = ("*", "*")

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LibraryOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            return MultiplicativeLSTMCell(size, self.hidden_sizes[layer], device=device, dtype=dtype)

        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        return values["f"]
