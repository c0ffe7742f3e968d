"""One step of a convolutional layer: ConvLSTMCell and ConvGRUCell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Never

import torch
from torch import Tensor
from torch.nn import functional

from recur.kinds import is_whole
from recur.nn import options as checks
from recur.nn.module_cell import ModuleCell, StepNoise, lstm_update
from recur.ops._call import State
from recur.ops._cell import normalised
from recur.ops._checks import shape_of

_PLACES = {1: "L", 2: "H, W", 3: "D, H, W"}
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
        super().__init__(input_size, hidden_size, num_features(owner, num_dims))
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

    def _check_input(self, x: Tensor) -> bool:
        if isinstance(x, Tensor):
            check_places(self._owner, x, self.input_size, self.num_features - 1, "B, ")
        return super()._check_input(x)

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

    def _of_state(self, h: Tensor, noise: StepNoise, rows: slice = slice(None)) -> Tensor:
        """Return rows of W_hh * h, normalised together where the cell normalises."""
        product = self._convolved(noise.on(h), self._weight("weight_hh", noise)[rows])
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
        *more: Never,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        peephole: bool | Sequence[int] = False,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_names(type(self).__name__, more)
        self._places = _places(type(self).__name__, peephole, num_dims)
        further: dict[str, tuple[int, ...]] = {}
        if self._places is not None:
            further["weight_ch"] = (3, hidden_size, *self._places)
        if layer_norm:
            further |= {"norm_c": (hidden_size,), "norm_c_bias": (hidden_size,)}
        super().__init__(input_size, hidden_size, kernel_size, num_dims, 4, layer_norm, further, device, dtype)

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        h, c = state
        peephole = None
        if self._places is not None:
            peephole = self._weight("weight_ch")
            if set(self._places) != {1} and x.shape[2:] != self._places:
                raise ValueError(
                    f"{self._owner}: x has places {tuple(x.shape[2:])}, but the peepholes are for {self._places}."
                )
        normalise = self._normalised_cell if self.layer_norm else None
        return lstm_update(self._of_input(x) + self._of_state(h, noise), c, peephole, normalise)

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
        *more: Never,
        kernel_size: int | Sequence[int] = 3,
        num_dims: int = 2,
        layer_norm: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_names(type(self).__name__, more)
        super().__init__(input_size, hidden_size, kernel_size, num_dims, 3, layer_norm, {}, device, dtype)

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        (h,) = state
        both = slice(2 * self.hidden_size)
        rest = slice(2 * self.hidden_size, None)
        x_r, x_z, x_n = self._of_input(x, (2, 1)).chunk(3, 1)
        h_r, h_z = self._of_state(h, noise, both).chunk(2, 1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + self._of_state(r * h, noise, rest))
        return ((1 - z) * n + z * h,), {"r": r, "z": z, "n": n}


def check_names(owner: str, more: Sequence[object]) -> None:
    """Raise TypeError where arguments behind the sizes come without their names."""
    if more:
        raise TypeError(
            f"{owner}: {', '.join(map(repr, more))} behind input_size and hidden_size must have a name, such as "
            f"kernel_size={more[0]!r}."
        )


def check_places(owner: str, x: Tensor, input_size: int, num_dims: int, ahead: str) -> None:
    """Raise ValueError where a batch would fit with another `num_dims`; what fits with none is told elsewhere.

    Args:
        owner: Who complains.
        x: The input.
        input_size: Channels that there should be.
        num_dims: How many dimensions the places have.
        ahead: Letters of the dimensions that a batch has ahead of the channels, such as "T, B, ".
    """
    last = ahead.count(",")

    def fits(count: int, channels: int = last) -> bool:
        return x.dim() == channels + 1 + count and x.shape[channels] == input_size

    if fits(num_dims) or fits(num_dims, last - 1):
        return
    for other in filter(fits, _PLACES):
        raise ValueError(
            f"{owner}: x has shape {shape_of(x)}, but with num_dims={num_dims} must be ({ahead}{input_size}, "
            f"{_PLACES[num_dims]}). Pass num_dims={other} for ({ahead}{input_size}, {_PLACES[other]})."
        )


def num_features(owner: str, num_dims: int) -> int:
    """Return how many dimensions one step of a row has."""
    if not is_whole(num_dims) or num_dims not in _CONVOLUTIONS:
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
