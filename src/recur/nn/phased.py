"""The phased LSTM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Size, Tensor, nn
from torch.nn.functional import linear

from recur.nn import options as checks
from recur.nn.module_cell import ModuleCell, StepNoise, lstm_update
from recur.nn.options import LibraryOptions
from recur.nn.timed import TimedLayer
from recur.ops._call import State


class PhasedLSTMCell(ModuleCell):
    """One step of a phased LSTM; the equations are at `PhasedLSTM`.

    The input has the time stamp as its last feature, (B, I + 1); without, (B, I), a step comes a unit of time after the
    one before.

    Args:
        input_size: Features of the input without the time stamp, I.
        hidden_size: Units, H.
        periods: As of `PhasedLSTM`.
        open_ratio: As of `PhasedLSTM`.
        leak: As of `PhasedLSTM`.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (4H, I), the gates in the order i, f, g, o.
        weight_hh: (4H, H).
        bias: (4H,).
        weight_ch: Peepholes of i, f and o, (3, H).
        period: (H,).
        shift: (H,).

    Example:
        >>> h, c, clock = PhasedLSTMCell(8, 16)(torch.cat([torch.randn(3, 8), torch.full((3, 1), 2.5)], 1))
        >>> h.shape, clock.shape
        (torch.Size([3, 16]), torch.Size([3, 1]))
    """

    state_names = ("h", "c", "clock")
    fixed_states = ("clock",)
    is_timed = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        periods: tuple[float, float] = (1.0, math.exp(3)),
        open_ratio: float = 0.05,
        leak: float = 0.001,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not isinstance(periods, list | tuple) or len(periods) != 2:
            raise TypeError(f"{self._owner}: periods must be the shortest and the longest, but is {periods!r}.")
        for bound in periods:
            checks.check_finite(self._owner, "periods", bound)
        if not 0 < periods[0] <= periods[1]:
            raise ValueError(f"{self._owner}: periods is {periods}, but must be above 0, the shortest first.")
        checks.check_share(self._owner, "open_ratio", open_ratio)
        if open_ratio == 0:
            raise ValueError(f"{self._owner}: open_ratio is 0, but must be above 0; else the gates never open.")
        checks.check_share(self._owner, "leak", leak)
        self.periods = (float(periods[0]), float(periods[1]))
        self.open_ratio = float(open_ratio)
        self.leak = float(leak)
        shapes = {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_hh": (4 * hidden_size, hidden_size),
            "bias": (4 * hidden_size,),
            "weight_ch": (3, hidden_size),
            "period": (hidden_size,),
            "shift": (hidden_size,),
        }
        self._make(shapes, device, dtype)

    def _state_sizes(self) -> tuple[Size, ...]:
        return (Size((self.hidden_size,)), Size((self.hidden_size,)), Size((1,)))

    def _draw(self, weights: Mapping[str, Tensor]) -> None:
        shortest, longest = self.periods
        period = weights["period"].uniform_(math.log(shortest), math.log(longest)).exp_()
        weights["shift"].uniform_(0, 1).mul_(period)

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        h, c, clock = state
        x, time = (x, clock) if x.shape[1] == self.input_size else (x[:, :-1], x[:, -1:])
        a = linear(x, self._weight("weight_ih"), self._weight("bias")) + linear(
            noise.on(h), self._weight("weight_hh", noise)
        )
        (h_new, c_new), gates = lstm_update(a, c, self._weight("weight_ch"))
        k = self._openness(time)
        # A step without time stamps comes a unit after this one.
        return (h + k * (h_new - h), c + k * (c_new - c), time + 1), gates | {"k": k}

    def _openness(self, time_B1: Tensor) -> Tensor:
        """Return how far the time gate of each unit is open, (B, H): the paper's time gate."""
        period, half = self._weight("period"), self.open_ratio / 2
        phase = torch.remainder(time_B1 - self._weight("shift"), period) / period
        closed = (self.leak if self.training else 0.0) * phase
        falling = torch.where(phase < self.open_ratio, 2 - phase / half, closed)
        return torch.where(phase < half, phase / half, falling)

    def extra_repr(self) -> str:
        """Return the sizes and the form of the time gate."""
        return f"{super().extra_repr()}, open_ratio={self.open_ratio}, leak={self.leak}"


class PhasedLSTM(TimedLayer):
    """The phased LSTM (Neil et al. 2016), for long sequences and irregular times: a clock opens each unit now and then.

    Gates in the order i, f, g, o, as of an LSTM with peepholes, whose step gives h' and c'. Each unit has a period τ
    and a shift s, both learned; r is the share of the period in which its time gate k is open, α the leak.

    ```text
    φ_t = ((t - s) mod τ) / τ
    k_t = 2 φ_t / r          if φ_t < r / 2
          2 - 2 φ_t / r      if r / 2 ≤ φ_t < r
          α φ_t              else; α is 0 in evaluation
    c_t = k_t ⊙ c' + (1 - k_t) ⊙ c_{t-1}
    h_t = k_t ⊙ h' + (1 - k_t) ⊙ h_{t-1}
    ```

    The time t is `times` in `forward`; without it the steps have the times 0, 1, 2, ...,
    counted by the clock in the state: h and c (L*D, B, H) each, and clock (L*D, B, 1), the time that the next step has
    when it has no time stamp. float32 tells 16 million steps apart, so let times begin near zero.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        periods: Shortest and longest period when drawn, in the unit of `times`; their logarithms are uniform.
        open_ratio: r, above 0 and at most 1.
        leak: α in training.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `PhasedLSTMCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> times = torch.rand(5, 3).cumsum(0)
        >>> output, (h_n, c_n, clock) = PhasedLSTM(8, 16)(torch.randn(5, 3, 8), times=times)
        >>> output.shape, h_n.shape, bool((clock[0, :, 0] == times[-1] + 1).all())
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]), True)
    """

    _state_names = PhasedLSTMCell.state_names
    _fixed_states = PhasedLSTMCell.fixed_states
    _state_nest = ("*", "*", "*")

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
        periods: tuple[float, float] = (1.0, math.exp(3)),
        open_ratio: float = 0.05,
        leak: float = 0.001,
        **options: Unpack[LibraryOptions],
    ) -> None:
        form: dict[str, Any] = {"periods": periods, "open_ratio": open_ratio, "leak": leak}

        def make(layer: int, size: int) -> nn.Module:
            return PhasedLSTMCell(size, self.hidden_sizes[layer], **form, device=device, dtype=dtype)

        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        # While the time gate is shut the cell state stays as it is.
        return 1 - values["k"] * (1 - values["f"])
