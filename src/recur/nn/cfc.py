"""The closed-form continuous-time network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Size, Tensor, nn
from torch.nn.functional import linear

from recur.nn import options as checks
from recur.nn.module_cell import ModuleCell, StepNoise
from recur.nn.options import LibraryOptions
from recur.nn.timed import TimedLayer, elapsed
from recur.ops._call import State


class CfCCell(ModuleCell):
    """One step of a closed-form continuous-time network; the equations are at `CfC`.

    The input may have the time stamp as its last feature, (B, I + 1); without, (B, I), a step comes a unit of time
    after the one before.

    Args:
        input_size: Features of the input without the time stamp, I.
        hidden_size: Units, H.
        backbone_size: As of `CfC`.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (K, I), of the backbone of K = backbone_size units.
        weight_hh: (K, H).
        bias: (K,).
        weight_heads: (4H, K), of a, b, g and n, in this order.
        bias_heads: (4H,).

    Example:
        >>> h, clock = CfCCell(8, 16)(torch.cat([torch.randn(3, 8), torch.full((3, 1), 2.5)], 1))
        >>> h.shape, clock[0]
        (torch.Size([3, 16]), tensor([2.5000, 1.0000]))
    """

    state_names = ("h", "clock")
    fixed_states = ("clock",)
    is_timed = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        backbone_size: int = 128,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        checks.check_size(self._owner, "backbone_size", backbone_size, 1)
        self.backbone_size = backbone_size
        shapes = {
            "weight_ih": (backbone_size, input_size),
            "weight_hh": (backbone_size, hidden_size),
            "bias": (backbone_size,),
            "weight_heads": (4 * hidden_size, backbone_size),
            "bias_heads": (4 * hidden_size,),
        }
        self._make(shapes, device, dtype)

    def _state_sizes(self) -> tuple[Size, ...]:
        return (Size((self.hidden_size,)), Size((2,)))

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        h, clock = state
        x, time = (x, None) if x.shape[1] == self.input_size else (x[:, :-1], x[:, -1:])
        since, clock = elapsed(clock, time)
        z = torch.tanh(
            linear(x, self._weight("weight_ih"), self._weight("bias"))
            + linear(noise.on(h), self._weight("weight_hh", noise))
        )
        a, b, a_g, a_n = linear(z, self._weight("weight_heads"), self._weight("bias_heads")).chunk(4, 1)
        f, g, n = torch.sigmoid(-(a * since + b)), torch.tanh(a_g), torch.tanh(a_n)
        return (f * g + (1 - f) * n, clock), {"f": f, "g": g, "n": n}

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{super().extra_repr()}, backbone_size={self.backbone_size}"


class CfC(TimedLayer):
    """The closed-form continuous-time network (Hasani et al. 2022), for irregular times.

    With δ_t the time since the step before, zero at the first:

    ```text
    z_t = tanh(W_iz x_t + W_hz h_{t-1} + b_z)                    the backbone
    a_t, b_t = W_a z_t + b_a, W_b z_t + b_b
    f_t = σ(-(a_t ⊙ δ_t + b_t))
    g_t, n_t = tanh(W_g z_t + b_g), tanh(W_n z_t + b_n)
    h_t = f_t ⊙ g_t + (1 - f_t) ⊙ n_t
    ```

    The paper's closed form, whose f, g and h are the heads a, g and n on one backbone; b_t, of which it knows nothing,
    is the offset that the authors' own networks add to the time. The time is `times` in `forward`; without it the steps
    are a unit apart. The state has two parts: h (L*D, B, H), and clock (L*D, B, 2), the time of the last step and
    whether there was one, zeros at first.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        backbone_size: Units of the backbone.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `CfCCell` for each layer and direction.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> output, (h_n, clock) = CfC(8, 16)(torch.randn(5, 3, 8), times=torch.rand(5, 3).cumsum(0))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]))
    """

    _state_names = CfCCell.state_names
    _fixed_states = CfCCell.fixed_states
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
        backbone_size: int = 128,
        **options: Unpack[LibraryOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            return CfCCell(size, self.hidden_sizes[layer], backbone_size, device=device, dtype=dtype)

        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)
