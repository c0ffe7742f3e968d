"""The mogrifier LSTM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from recur.nn import options as checks
from recur.nn.cell_layer import CellLayer
from recur.nn.module_cell import ModuleCell, StepNoise, lstm_update
from recur.nn.options import LibraryOptions
from recur.ops._call import State


class MogrifierLSTMCell(ModuleCell):
    """One step of a mogrifier LSTM; the equations are at `MogrifierLSTM`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        rounds: As of `MogrifierLSTM`.
        rank: As of `MogrifierLSTM`.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (4H, I), the gates in the order i, f, g, o.
        weight_hh: (4H, H).
        bias: (4H,).
        weight_q: The matrices Q of the odd rounds, (ceil(rounds / 2), I, H). With a rank k, weight_q_left (..., I, k)
            and weight_q_right (..., k, H), whose product is Q.
        weight_r: The matrices R of the even rounds, (floor(rounds / 2), H, I), or its factors likewise.

    Example:
        >>> h, c = MogrifierLSTMCell(8, 16, rounds=4, rank=5)(torch.randn(3, 8))
        >>> h.shape, c.shape
        (torch.Size([3, 16]), torch.Size([3, 16]))
    """

    state_names = ("h", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rounds: int = 5,
        rank: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        checks.check_size(self._owner, "rounds", rounds, 0)
        if rank is not None:
            checks.check_size(self._owner, "rank", rank, 1)
            if rounds == 0:
                raise ValueError(f"{self._owner}: rank is {rank}, but there are no rounds. Leave it out.")
        self.rounds = rounds
        self.rank = rank
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_hh": (4 * hidden_size, hidden_size),
            "bias": (4 * hidden_size,),
        }
        for name, count, rows, columns in (
            ("weight_q", (rounds + 1) // 2, input_size, hidden_size),
            ("weight_r", rounds // 2, hidden_size, input_size),
        ):
            if count and rank is None:
                shapes[name] = (count, rows, columns)
            elif count and rank is not None:
                shapes |= {f"{name}_left": (count, rows, rank), f"{name}_right": (count, rank, columns)}
        self._make(shapes, device, dtype)

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        h, c = noise.on(state[0]), state[1]
        for number in range(self.rounds):
            if number % 2 == 0:
                x = 2 * torch.sigmoid(self._product("weight_q", number // 2, h)) * x
            else:
                h = 2 * torch.sigmoid(self._product("weight_r", number // 2, x)) * h
        a = linear(x, self._weight("weight_ih"), self._weight("bias")) + linear(h, self._weight("weight_hh", noise))
        return lstm_update(a, c)

    def _product(self, name: str, number: int, value: Tensor) -> Tensor:
        if self.rank is None:
            return linear(value, self._weight(name)[number])
        inner = linear(value, self._weight(f"{name}_right")[number])
        return linear(inner, self._weight(f"{name}_left")[number])

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{super().extra_repr()}, rounds={self.rounds}, rank={self.rank}"


class MogrifierLSTM(CellLayer):
    """The mogrifier LSTM (Melis et al. 2020): input and state gate each other in turn before an LSTM's step.

    With x^{-1} = x_t and h^0 = h_{t-1}, in rounds i = 1 ... rounds:

    ```text
    x^i = 2 σ(Q^i h^{i-1}) ⊙ x^{i-2}    for odd i
    h^i = 2 σ(R^i x^{i-1}) ⊙ h^{i-2}    for even i
    ```

    The last x and h then go into an LSTM, gates in the order i, f, g, o; without
    rounds it is one. A rank k makes each Q and R the product of two matrices with k columns and rows.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        rounds: How many times one gates the other.
        rank: k; None for full matrices.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `MogrifierLSTMCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, (h_n, c_n) = MogrifierLSTM(8, 16, num_layers=2)(torch.randn(5, 3, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 16]), torch.Size([2, 3, 16]))
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
        rounds: int = 5,
        rank: int | None = None,
        **options: Unpack[LibraryOptions],
    ) -> None:
        form: dict[str, Any] = {"rounds": rounds, "rank": rank, "device": device, "dtype": dtype}

        def make(layer: int, size: int) -> nn.Module:
            return MogrifierLSTMCell(size, self.hidden_sizes[layer], **form)

        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        return values["f"]
