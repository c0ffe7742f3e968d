"""Convolutional recurrent layers: ConvLSTM and ConvGRU, for sequences of signals and of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Never, Unpack

import torch
from torch import Tensor, nn

from recur.nn.cell_layer import CellLayer
from recur.nn.conv_cell import ConvGRUCell, ConvLSTMCell, check_names, check_places, num_features
from recur.nn.options import LibraryOptions
from recur.nn.sequences import Form, Lengths, Sequences


class ConvLayer(CellLayer):
    """A stack whose input has places; the base of `ConvLSTM` and `ConvGRU`."""

    def _prepare(
        self, x: Sequences, lengths: Lengths | None, reset: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Form]:
        if isinstance(x, Tensor):
            ahead = "B, T, " if self.batch_first else "T, B, "
            check_places(self._owner, x, self.input_size, self._num_features - 1, ahead)
        return super()._prepare(x, lengths, reset)


class ConvLSTM(ConvLayer):
    """The convolutional LSTM (Shi et al. 2015): products with matrices become convolutions, the state an image.

    Gates in the order i, f, g, o; * is the convolution, ⊙ the product of elements.

    ```text
    i_t = σ(W_ii * x_t + W_hi * h_{t-1} + w_ci ⊙ c_{t-1} + b_i)
    f_t = σ(W_if * x_t + W_hf * h_{t-1} + w_cf ⊙ c_{t-1} + b_f)
    g_t = tanh(W_ig * x_t + W_hg * h_{t-1} + b_g)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    o_t = σ(W_io * x_t + W_ho * h_{t-1} + w_co ⊙ c_t + b_o)
    h_t = o_t ⊙ tanh(c_t)
    ```

    The terms with w only with `peephole`. Convolutions keep the size, with zeros around.
    The input is (T, B, I, H, W), the output (T, B, D*H, H, W), states are (L*D, B, H, H, W); with `num_dims` 1 it
    is (T, B, I, L) and so on. A learned initial state, and one from a context, has one number for each channel.

    Args:
        input_size: Channels of the input, I.
        hidden_size: Channels of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        kernel_size: Odd width of the kernels, one number or one for each dimension.
        num_dims: 1 for signals (I, L), 2 for images (I, H, W), 3 for volumes.
        peephole: Whether the gates see the cell state, through one weight a channel; or the size of the images, such as
            (64, 64), for one weight a channel and place, as in the paper.
        layer_norm: Normalise the channels of the pre-activations at each place, and those of the cell state on its way
            out, as in `LSTM`.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `ConvLSTMCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, (h_n, c_n) = ConvLSTM(3, 8, kernel_size=5, bidirectional=True)(torch.randn(4, 2, 3, 16, 16))
        >>> output.shape, h_n.shape
        (torch.Size([4, 2, 16, 16, 16]), torch.Size([2, 2, 8, 16, 16]))
    """

    _state_names = ("h", "c")
    _state_nest = ("*", "*")

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        *more: Never,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        peephole: bool | Sequence[int] = False,
        layer_norm: bool = False,
        **options: Unpack[LibraryOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            form: dict[str, Any] = {"peephole": peephole, "layer_norm": layer_norm, "device": device, "dtype": dtype}
            return ConvLSTMCell(size, self.hidden_sizes[layer], kernel_size=kernel_size, num_dims=num_dims, **form)

        check_names(type(self).__name__, more)
        self._num_features = num_features(type(self).__name__, num_dims)
        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        return values["f"]


class ConvGRU(ConvLayer):
    """The convolutional GRU (Ballas et al. 2016): products with matrices become convolutions, the state an image.

    Gates in the order r, z, n; * is the convolution, ⊙ the product of elements.

    ```text
    r_t = σ(W_ir * x_t + W_hr * h_{t-1} + b_r)
    z_t = σ(W_iz * x_t + W_hz * h_{t-1} + b_z)
    n_t = tanh(W_in * x_t + W_hn * (r_t ⊙ h_{t-1}) + b_n)
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
    ```

    As in `GRU`, z keeps the old state; the paper's z, which lets the new one in, is 1 - z. Shapes as in `ConvLSTM`.

    Args:
        input_size: Channels of the input, I.
        hidden_size: Channels of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        kernel_size: Odd width of the kernels, one number or one for each dimension.
        num_dims: 1 for signals (I, L), 2 for images (I, H, W), 3 for volumes.
        layer_norm: Normalise the channels of the pre-activations at each place, as in `GRU`.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `ConvGRUCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, h_n = ConvGRU(3, 8, num_dims=1)(torch.randn(4, 2, 3, 16), lengths=[4, 1])
        >>> output.shape, h_n.shape
        (torch.Size([4, 2, 8, 16]), torch.Size([1, 2, 8, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        *more: Never,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        layer_norm: bool = False,
        **options: Unpack[LibraryOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            form: dict[str, Any] = {"layer_norm": layer_norm, "device": device, "dtype": dtype}
            return ConvGRUCell(size, self.hidden_sizes[layer], kernel_size=kernel_size, num_dims=num_dims, **form)

        check_names(type(self).__name__, more)
        self._num_features = num_features(type(self).__name__, num_dims)
        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        return values["z"]
