"""Convolutional recurrent layers: ConvLSTM and ConvGRU, for sequences of signals and of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from recur.nn import options as checks
from recur.nn.cell_layer import CellLayer
from recur.nn.module_cell import ModuleCell, lstm_update
from recur.nn.options import StackOptions
from recur.ops._call import State
from recur.ops._cell import normalised

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class ConvCell(ModuleCell):
    """One step of a convolutional layer; the base of `ConvLSTMCell` and `ConvGRUCell`.

    Args:
        input_size: Channels of the input, I.
        hidden_size: Channels of the state, H.
        kernel_size: Odd width of the kernels, one number or one for each dimension.
        num_dims: 1 for signals (I, L), 2 for images (I, H, W), 3 for volumes.
        gates: Number of gates, G.
        layer_norm: Whether the channels of the pre-activations are normalised at each place.
        more: Further parameters by name and shape.
        device: Where the parameters lie.
        dtype: Their dtype.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: int | Sequence[int],
        num_dims: int,
        gates: int,
        layer_norm: bool,
        more: dict[str, tuple[int, ...]],
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        owner = type(self).__name__
        super().__init__(input_size, hidden_size, _num_features(owner, num_dims))
        self.kernel_size = kernel = _kernel(owner, kernel_size, num_dims)
        if not isinstance(layer_norm, bool):
            raise TypeError(f"{owner}: layer_norm must be a bool, but is {type(layer_norm).__name__}.")
        self.layer_norm = layer_norm
        self._padding = tuple(width // 2 for width in kernel)
        rows = gates * hidden_size
        shapes = {"weight_ih": (rows, input_size, *kernel), "weight_hh": (rows, hidden_size, *kernel), "bias": (rows,)}
        if layer_norm:
            shapes |= {"norm_ih": (rows,), "norm_hh": (rows,)}
        self._make(shapes | more, device, dtype)

    def _convolved(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the convolution of (B, C, ...), of the same size in the last dimensions."""
        convolve: Callable[..., Tensor] = _CONVOLUTIONS[self.num_features - 1]
        return convolve(value, weight, bias, padding=self._padding)

    def _of_input(self, x: Tensor, blocks: Sequence[int] = ()) -> Tensor:
        """Return W_ih * x + b, normalised before the bias where the cell normalises."""
        if not self.layer_norm:
            return self._convolved(x, self._weight("weight_ih"), self._weight("bias"))
        return _normalised(
            self._convolved(x, self._weight("weight_ih")), self._weight("norm_ih"), self._weight("bias"), blocks
        )

    def _of_state(self, h: Tensor, rows: slice = slice(None)) -> Tensor:
        """Return rows of W_hh * h, normalised together where the cell normalises."""
        product = self._convolved(h, self._weight("weight_hh")[rows])
        return _normalised(product, self._weight("norm_hh")[rows], None) if self.layer_norm else product

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{super().extra_repr()}, kernel_size={self.kernel_size}"


class ConvLSTMCell(ConvCell):
    """One step of a ConvLSTM; the equations are at `ConvLSTM`.

    Args:
        input_size: Channels of the input, I.
        hidden_size: Channels of the state, H.
        kernel_size: Odd width of the kernels, one number or one for each dimension.
        num_dims: 1 for signals (I, L), 2 for images (I, H, W), 3 for volumes.
        peephole: As of `ConvLSTM`.
        layer_norm: As of `ConvLSTM`.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (4H, I, *kernel), the gates in the order i, f, g, o.
        weight_hh: (4H, H, *kernel).
        bias: (4H,).
        weight_ch: With peepholes (3, H, 1, ...), of i, f and o, or (3, H, *places).
        norm_ih: With layer_norm (4H,); likewise norm_hh (4H,), norm_c (H,) and norm_c_bias (H,).

    Example:
        >>> h, c = ConvLSTMCell(3, 8, kernel_size=3)(torch.randn(2, 3, 16, 16))
        >>> h.shape, c.shape
        (torch.Size([2, 8, 16, 16]), torch.Size([2, 8, 16, 16]))
    """

    state_names = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        *,
        peephole: bool | Sequence[int] = False,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._places = _places(type(self).__name__, peephole, num_dims)
        more: dict[str, tuple[int, ...]] = {}
        if self._places is not None:
            more["weight_ch"] = (3, hidden_size, *self._places)
        if layer_norm:
            more |= {"norm_c": (hidden_size,), "norm_c_bias": (hidden_size,)}
        super().__init__(input_size, hidden_size, kernel_size, num_dims, 4, layer_norm, more, device, dtype)

    def _step(self, x: Tensor, state: State) -> tuple[State, dict[str, Tensor]]:
        h, c = state
        peephole = None
        if self._places is not None:
            peephole = self._weight("weight_ch")
            if set(self._places) != {1} and x.shape[2:] != self._places:
                raise ValueError(
                    f"{self._owner}: x has places {tuple(x.shape[2:])}, but the peepholes are for {self._places}."
                )
        normalise = self._normalised_cell if self.layer_norm else None
        return lstm_update(self._of_input(x) + self._of_state(h), c, peephole, normalise)

    def _normalised_cell(self, c: Tensor) -> Tensor:
        return _normalised(c, self._weight("norm_c"), self._weight("norm_c_bias"))


class ConvGRUCell(ConvCell):
    """One step of a ConvGRU; the equations are at `ConvGRU`.

    Args:
        input_size: Channels of the input, I.
        hidden_size: Channels of the state, H.
        kernel_size: Odd width of the kernels, one number or one for each dimension.
        num_dims: 1 for signals (I, L), 2 for images (I, H, W), 3 for volumes.
        layer_norm: As of `ConvGRU`.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (3H, I, *kernel), the gates in the order r, z, n.
        weight_hh: (3H, H, *kernel).
        bias: (3H,).
        norm_ih: With layer_norm (3H,); likewise norm_hh.

    Example:
        >>> ConvGRUCell(3, 8, kernel_size=5, num_dims=1)(torch.randn(2, 3, 16)).shape
        torch.Size([2, 8, 16])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        *,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, kernel_size, num_dims, 3, layer_norm, {}, device, dtype)

    def _step(self, x: Tensor, state: State) -> tuple[State, dict[str, Tensor]]:
        (h,) = state
        both = slice(2 * self.hidden_size)
        rest = slice(2 * self.hidden_size, None)
        x_r, x_z, x_n = self._of_input(x, (2, 1)).chunk(3, 1)
        h_r, h_z = self._of_state(h, both).chunk(2, 1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + self._of_state(r * h, rest))
        return ((1 - z) * n + z * h,), {"r": r, "z": z, "n": n}


class ConvLSTM(CellLayer):
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

    Equation 3 of the paper; the terms with w only with `peephole`. Convolutions keep the size, with zeros around.
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
        options: `StackOptions`, by keyword; docs/layers.md has the table.

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
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        peephole: bool | Sequence[int] = False,
        layer_norm: bool = False,
        **options: Unpack[StackOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            form: dict[str, Any] = {"peephole": peephole, "layer_norm": layer_norm, "device": device, "dtype": dtype}
            return ConvLSTMCell(size, self.hidden_sizes[layer], kernel_size, num_dims, **form)

        self._num_features = _num_features(type(self).__name__, num_dims)
        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)


class ConvGRU(CellLayer):
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
        options: `StackOptions`, by keyword; docs/layers.md has the table.

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
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        layer_norm: bool = False,
        **options: Unpack[StackOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            form: dict[str, Any] = {"layer_norm": layer_norm, "device": device, "dtype": dtype}
            return ConvGRUCell(size, self.hidden_sizes[layer], kernel_size, num_dims, **form)

        self._num_features = _num_features(type(self).__name__, num_dims)
        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)


def _num_features(owner: str, num_dims: int) -> int:
    """Return how many dimensions a row has."""
    if isinstance(num_dims, bool) or num_dims not in _CONVOLUTIONS:
        raise ValueError(f"{owner}: num_dims is {num_dims!r}, but must be 1, 2 or 3.")
    return 1 + num_dims


def _kernel(owner: str, kernel_size: int | Sequence[int], num_dims: int) -> tuple[int, ...]:
    """Return one odd width for each dimension."""
    if isinstance(kernel_size, list | tuple) and len(kernel_size) != num_dims:
        raise ValueError(f"{owner}: kernel_size has {len(kernel_size)} widths, but num_dims is {num_dims}.")
    widths = checks.per_layer(owner, "kernel_size", kernel_size, num_dims)
    for width in widths:
        if width % 2 == 0:
            raise ValueError(
                f"{owner}: kernel_size is {kernel_size}, but each width must be odd, so that the size stays."
            )
    return widths


def _places(owner: str, peephole: bool | Sequence[int], num_dims: int) -> tuple[int, ...] | None:
    """Return for how many places in each dimension there are peepholes, 1 for all the same; None for none."""
    if isinstance(peephole, bool):
        return (1,) * num_dims if peephole else None
    if not isinstance(peephole, list | tuple) or len(peephole) != num_dims:
        raise ValueError(f"{owner}: peephole is {peephole!r}, but must be a bool, or {num_dims} sizes of the input.")
    for size in peephole:
        checks.check_size(owner, "peephole", size, 1)
    return tuple(peephole)


def _normalised(value: Tensor, gain: Tensor, bias: Tensor | None, blocks: Sequence[int] = ()) -> Tensor:
    """Return (B, C, ...) normalised over its channels at each place."""
    return normalised(value.movedim(1, -1), gain, bias, blocks).movedim(-1, 1)
