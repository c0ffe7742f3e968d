"""Single cells by kind: one step of a recurrent layer, with the arguments, parameters and results of torch's cells."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import torch

from recur.nn.gated_cell import CellOptions, GatedCell, LSTMCellOptions
from recur.ops._call import Nonlinearity


class RNNCell(GatedCell):
    """One step of the simple recurrent network, as `torch.nn.RNNCell`; equations in `recur.nn.RNN`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        nonlinearity: "tanh", "relu", or an elementwise function.
        device: Where the parameters lie.
        dtype: Their dtype.
        proj_size: Width of the output when it is projected, 0 for none.
        options: `CellOptions`, by keyword.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known or is for whole layers.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> cell, x = RNNCell(8, 16), torch.randn(5, 2, 8)
        >>> h = None
        >>> for x_t in x:
        ...     h = cell(x_t, h)
        >>> h.shape
        torch.Size([2, 16])
    """

    _op: ClassVar[str] = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        **options: Unpack[CellOptions],
    ) -> None:
        chosen = {"nonlinearity": nonlinearity}
        super().__init__(input_size, hidden_size, bias, proj_size, device, dtype, chosen, options)


class GRUCell(GatedCell):
    """One step of the gated recurrent unit, as `torch.nn.GRUCell`; equations in `recur.nn.GRU`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        device: Where the parameters lie.
        dtype: Their dtype.
        reset_after: Whether the reset gate acts after the recurrent product.
        proj_size: Width of the output when it is projected, 0 for none.
        options: `CellOptions`, by keyword.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known or is for whole layers.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> GRUCell(8, 16)(torch.randn(2, 8)).shape
        torch.Size([2, 16])
    """

    _op: ClassVar[str] = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset_after: bool = True,
        proj_size: int = 0,
        **options: Unpack[CellOptions],
    ) -> None:
        chosen = {"reset_after": reset_after}
        super().__init__(input_size, hidden_size, bias, proj_size, device, dtype, chosen, options)


class LSTMCell(GatedCell):
    """One step of long short-term memory, as `torch.nn.LSTMCell`; equations in `recur.nn.LSTM`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        device: Where the parameters lie.
        dtype: Their dtype.
        proj_size: Width of the output when it is projected, 0 for none.
        options: `LSTMCellOptions`, by keyword.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known or is for whole layers.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> h, c = LSTMCell(8, 16, layer_norm=True)(torch.randn(2, 8))
        >>> h.shape
        torch.Size([2, 16])
        >>> LSTMCell(8, 16, proj_size=4).state_size
        LSTMState(h=4, c=16)
    """

    _op: ClassVar[str] = "lstm"
    _options_type: ClassVar[Any] = LSTMCellOptions

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        **options: Unpack[LSTMCellOptions],
    ) -> None:
        super().__init__(input_size, hidden_size, bias, proj_size, device, dtype, {}, options)


class IndRNNCell(GatedCell):
    """One step of the independently recurrent network; equations in `recur.nn.IndRNN`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        nonlinearity: "relu", "tanh", or an elementwise function.
        device: Where the parameters lie.
        dtype: Their dtype.
        options: `CellOptions`, by keyword.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known or is for whole layers.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> IndRNNCell(8, 16)(torch.randn(2, 8)).shape
        torch.Size([2, 16])
    """

    _op: ClassVar[str] = "indrnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "relu",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[CellOptions],
    ) -> None:
        chosen = {"nonlinearity": nonlinearity}
        super().__init__(input_size, hidden_size, bias, 0, device, dtype, chosen, options)


class MGUCell(GatedCell):
    """One step of the minimal gated unit; equations in `recur.nn.MGU`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        device: Where the parameters lie.
        dtype: Their dtype.
        options: `CellOptions`, by keyword.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known or is for whole layers.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> MGUCell(8, 16)(torch.randn(2, 8)).shape
        torch.Size([2, 16])
    """

    _op: ClassVar[str] = "mgu"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 0, device, dtype, {}, options)


class LiGRUCell(GatedCell):
    """One step of the light gated recurrent unit; equations in `recur.nn.LiGRU`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        bias: Whether there are bias_ih and bias_hh.
        nonlinearity: "relu", "tanh", or an elementwise function.
        device: Where the parameters lie.
        dtype: Their dtype.
        proj_size: Width of the output when it is projected, 0 for none.
        options: `CellOptions`, by keyword.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known or is for whole layers.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> LiGRUCell(8, 16)(torch.randn(2, 8)).shape
        torch.Size([2, 16])
    """

    _op: ClassVar[str] = "ligru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "relu",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        **options: Unpack[CellOptions],
    ) -> None:
        chosen = {"nonlinearity": nonlinearity}
        super().__init__(input_size, hidden_size, bias, proj_size, device, dtype, chosen, options)


CELLS: dict[str, type[GatedCell]] = {
    cell._op: cell for cell in (RNNCell, GRUCell, LSTMCell, IndRNNCell, MGUCell, LiGRUCell)
}
"""The kind of cell of each op."""
