"""The recurrent highway network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from recur.nn import options as checks
from recur.nn.cell_layer import CellLayer
from recur.nn.module_cell import ModuleCell, StepNoise
from recur.nn.options import LibraryOptions
from recur.ops._call import State


class RHNCell(ModuleCell):
    """One step of a recurrent highway network; the equations are at `RHN`.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units, H.
        depth: Highway layers within a step.
        coupled: As of `RHN`.
        transform_bias: As of `RHN`.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (2H, I), of n and t; (3H, I), of n, t and c, without `coupled`.
        weight_hh: (depth, 2H, H) or (depth, 3H, H).
        bias: (depth, 2H) or (depth, 3H).

    Example:
        >>> RHNCell(8, 16, depth=4)(torch.randn(3, 8)).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        depth: int = 3,
        *,
        coupled: bool = True,
        transform_bias: float = -2.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        checks.check_size(self._owner, "depth", depth, 1)
        checks.check_finite(self._owner, "transform_bias", transform_bias)
        if not isinstance(coupled, bool):
            raise TypeError(f"{self._owner}: coupled must be a bool, but is {type(coupled).__name__}.")
        self.depth = depth
        self.coupled = coupled
        self.transform_bias = float(transform_bias)
        rows = (2 if coupled else 3) * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (depth, rows, hidden_size),
            "bias": (depth, rows),
        }
        self._make(shapes, device, dtype)

    def _draw(self, weights: Mapping[str, Tensor]) -> None:
        bias = weights["bias"].view(self.depth, -1, self.hidden_size)
        bias.zero_()
        bias[:, 1] = self.transform_bias
        # Uncoupled, the carry gate begins as open as if it were coupled.
        bias[:, 2:] = -self.transform_bias

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        (s,) = state
        gates: dict[str, Tensor] = {}
        x_part = linear(x, self._weight("weight_ih"))
        layers = zip(self._weight("weight_hh", noise).unbind(0), self._weight("bias").unbind(0), strict=True)
        for number, (weight, bias) in enumerate(layers):
            a = linear(noise.on(s), weight, bias)
            a_n, a_t, *a_c = (a + x_part if number == 0 else a).chunk(2 if self.coupled else 3, 1)
            n, t = torch.tanh(a_n), torch.sigmoid(a_t)
            c = 1 - t if self.coupled else torch.sigmoid(a_c[0])
            s = n * t + s * c
            gates |= {f"n{number}": n, f"t{number}": t, f"c{number}": c}
        return (s,), gates

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{super().extra_repr()}, depth={self.depth}"


class RHN(CellLayer):
    """The recurrent highway network (Zilly et al. 2017): each step is a highway network of several layers.

    With s_0 = h_{t-1}, for l = 1 ... depth:

    ```text
    n_l = tanh(W_n x_t [l = 1] + R_nl s_{l-1} + b_nl)
    t_l = σ(W_t x_t [l = 1] + R_tl s_{l-1} + b_tl)
    c_l = 1 - t_l                                         coupled, or else
    c_l = σ(W_c x_t [l = 1] + R_cl s_{l-1} + b_cl)
    s_l = n_l ⊙ t_l + s_{l-1} ⊙ c_l
    ```

    and h_t = s_depth; the paper's h_l is n_l here. With `return_all` the gates of the first
    highway layer are n0, t0 and c0, and so on.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Recurrent layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        depth: Highway layers within a step.
        coupled: Whether the carry gate is one minus the transform gate, as in the paper's experiments.
        transform_bias: Bias of the transform gates when drawn; below zero, the state passes through at first.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: An `RHNCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, h_n = RHN(8, 16, depth=5, bidirectional=True)(torch.randn(5, 2, 8))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 32]), torch.Size([2, 2, 16]))
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
        depth: int = 3,
        coupled: bool = True,
        transform_bias: float = -2.0,
        **options: Unpack[LibraryOptions],
    ) -> None:
        form: dict[str, Any] = {"coupled": coupled, "transform_bias": transform_bias, "device": device, "dtype": dtype}

        def make(layer: int, size: int) -> nn.Module:
            return RHNCell(size, self.hidden_sizes[layer], depth, **form)

        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        # The carry gates of the highway layers of a step, one after the other.
        return torch.stack([value for name, value in values.items() if name.startswith("c")]).prod(0)
