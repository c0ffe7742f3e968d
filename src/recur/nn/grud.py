"""The GRU-D, for sequences with missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch
from torch import Size, Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from recur.nn import options as checks
from recur.nn.module_cell import ModuleCell, StepNoise
from recur.nn.options import LibraryOptions
from recur.nn.sequences import Lengths, Sequences
from recur.nn.timed import TimedLayer, elapsed, pairs_beside
from recur.ops._call import State
from recur.ops._checks import has_values, shape_of


class GRUDCell(ModuleCell):
    """One step of a GRU-D; the equations are at `GRUD`.

    NaN in the input is a missing value. The input may have a time stamp as its last feature, (B, I + 1); without, (B,
    I), a step comes a unit of time after the one before.

    Args:
        input_size: Features of the input without the time stamp, I.
        hidden_size: Units, H.
        means: As of `GRUD`.
        num_missing: How many of the features, the first ones, may have missing values; all by default. In the others
            NaN is NaN, and m_t is one.
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        weight_ih: (3H, I), the gates in the order r, z, n.
        weight_mh: (3H, I), V in the paper.
        weight_hh: (3H, H).
        bias: (3H,).
        decay_x: (I,), of the input's decay; decay_x_bias (I,).
        decay_h: (H, I), of the state's decay; decay_h_bias (H,).
        means: Buffer (I,).

    Example:
        >>> x = torch.tensor([[1.0, torch.nan]])
        >>> h, seen, age, clock = GRUDCell(2, 4)(x)
        >>> h.shape, seen, age
        (torch.Size([1, 4]), tensor([[1., 0.]]), tensor([[0., 0.]]))
    """

    state_names = ("h", "seen", "age", "clock")
    fixed_states = ("seen", "age", "clock")
    is_timed = True

    means: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        means: Tensor | Sequence[float] | None = None,
        *,
        num_missing: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.num_missing = input_size if num_missing is None else num_missing
        checks.check_size(self._owner, "num_missing", self.num_missing, 0)
        if self.num_missing > input_size:
            raise ValueError(f"{self._owner}: num_missing is {num_missing}, but input_size is only {input_size}.")
        rows = 3 * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_mh": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "bias": (rows,),
            "decay_x": (input_size,),
            "decay_x_bias": (input_size,),
            "decay_h": (hidden_size, input_size),
            "decay_h_bias": (hidden_size,),
        }
        self._make(shapes, device, dtype)
        given = torch.zeros(input_size) if means is None else _read_means(self._owner, means, input_size)
        self.register_buffer("means", torch.empty(input_size, device=device, dtype=dtype).copy_(given))

    def _state_sizes(self) -> tuple[Size, ...]:
        return (Size((self.hidden_size,)), Size((self.input_size,)), Size((self.input_size,)), Size((2,)))

    def _draw(self, weights: Mapping[str, Tensor]) -> None:
        # Nothing decays at first faster than time says.
        for name in ("decay_x_bias", "decay_h_bias"):
            weights[name].zero_()

    def _step(self, x: Tensor, state: State, noise: StepNoise) -> tuple[State, dict[str, Tensor]]:
        h, seen, age, clock = state
        x, time = (x, None) if x.shape[1] == self.input_size else (x[:, :-1], x[:, -1:])
        since, clock = elapsed(clock, time)
        delta = age + since
        is_there = self._is_there(x)
        decay_x = _decay(delta * self._weight("decay_x") + self._weight("decay_x_bias"))
        decay_h = _decay(linear(delta, self._weight("decay_h"), self._weight("decay_h_bias")))
        # The value seen last is kept as its distance from the mean, so that zero, before any, stands for the mean.
        seen = torch.where(is_there, x - self.means, seen)
        x = torch.where(is_there, x, self.means + decay_x * seen)
        h = decay_h * h
        m = is_there.to(x.dtype)
        sizes = [2 * self.hidden_size, self.hidden_size]
        weight_rz, weight_n = self._weight("weight_hh", noise).split_with_sizes(sizes)
        a_rz, a_n = (
            linear(x, self._weight("weight_ih"), self._weight("bias")) + linear(m, self._weight("weight_mh"))
        ).split_with_sizes(sizes, 1)
        r, z = torch.sigmoid(a_rz + linear(noise.on(h), weight_rz)).chunk(2, 1)
        n = torch.tanh(a_n + linear(r * noise.on(h), weight_n))
        h = (1 - z) * n + z * h
        gates = {"r": r, "z": z, "n": n, "decay_x": decay_x, "decay_h": decay_h}
        return (h, seen, torch.where(is_there, 0, delta), clock), gates

    def _is_there(self, x: Tensor) -> Tensor:
        if self.num_missing == self.input_size:
            return ~x.isnan()
        first, rest = x.split_with_sizes([self.num_missing, self.input_size - self.num_missing], 1)
        return torch.cat([~first.isnan(), torch.ones_like(rest, dtype=torch.bool)], 1)


class GRUD(TimedLayer):
    """The GRU-D (Che et al. 2018), for missing values: what was seen last decays towards the mean, and so does h.

    Gates in the order r, z, n. m_t is one where a value is there and zero where it is missing, δ_t the time since the
    value was last there (since the first step, if it never was), x̃ the means.

    ```text
    γ_t = exp(-max(0, W_γ δ_t + b_γ))           one for x, with a diagonal W, and one for h
    x̂_t = m_t ⊙ x_t + (1 - m_t) ⊙ (γx_t ⊙ x_last + (1 - γx_t) ⊙ x̃)
    ĥ_{t-1} = γh_t ⊙ h_{t-1}
    r_t = σ(W_r x̂_t + U_r ĥ_{t-1} + V_r m_t + b_r)
    z_t = σ(W_z x̂_t + U_z ĥ_{t-1} + V_z m_t + b_z)
    n_t = tanh(W_n x̂_t + U_n (r_t ⊙ ĥ_{t-1}) + V_n m_t + b_n)
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ ĥ_{t-1}
    ```

    As in `GRU`, z keeps the old state; the paper's z is 1 - z. Before a
    value was ever there, its mean takes its place. The layers above the first see all of their inputs; their states
    decay with the time between steps.

    The state has four parts, all of which a sequence given in pieces needs: h (L*D, B, H); seen (L*D, B, I), the last
    value's distance from the mean; age (L*D, B, I), how long ago that was; and clock (L*D, B, 2), the time of the last
    step, and whether there was one. With several layers each is a list, since only the first has I features. All but
    h begin with zeros, whatever `initial_state` says.

    Args:
        input_size: Features of the input, I.
        hidden_size: Units of each layer and direction, H; one number, or one for each layer.
        num_layers: Layers, each on the outputs of the one below.
        batch_first: Whether input, output and `reset` are (B, T, ...) instead of (T, B, ...).
        dropout: Probability with which outputs between layers are dropped in training.
        bidirectional: Whether a second direction reads from the end.
        device: Where the parameters lie.
        dtype: Their dtype.
        means: Mean of each input over the training data, (I,); zeros by default, right for inputs that are
            standardised. See `fit_means`.
        options: `LibraryOptions`, by keyword; docs/layers.md has the table.

    Attributes:
        cells: A `GRUDCell` for each layer and direction; the means are a buffer of those that see the input.

    Raises:
        TypeError: An argument is of the wrong kind, or an option is not known.
        ValueError: An argument has a value that makes no sense, or two do not go together.

    Example:
        >>> x = torch.randn(5, 3, 8)
        >>> x[torch.rand(5, 3, 8) < 0.5] = torch.nan
        >>> output, (h_n, seen, age, clock) = GRUD(8, 16)(x, times=torch.rand(5, 3).cumsum(0))
        >>> output.shape, h_n.shape, bool(output.isfinite().all())
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]), True)
    """

    _state_names = GRUDCell.state_names
    _fixed_states = GRUDCell.fixed_states
    _state_nest = ("*", "*", "*", "*")

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
        means: Tensor | Sequence[float] | None = None,
        **options: Unpack[LibraryOptions],
    ) -> None:
        def make(layer: int, size: int) -> nn.Module:
            # Dense skips hand the stack's input on to every layer, before the outputs of the layers below.
            num_missing = input_size if layer == 0 or self.skip == "dense" else 0
            given = torch.zeros(size, dtype=torch.float64)
            if num_missing and means is not None:
                given[:num_missing] = _read_means(self._owner, means, num_missing)
            form: dict[str, Any] = {"num_missing": num_missing, "device": device, "dtype": dtype}
            return GRUDCell(size, self.hidden_sizes[layer], given, **form)

        super().__init__(make, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, options)

    def _share_kept(self, values: Mapping[str, Tensor]) -> Tensor | None:
        # The state decays with time before the gate sees it.
        return values["z"] * values["decay_h"]

    def forward(
        self,
        x: Sequences,
        hx: Any = None,
        *,
        mask: Sequences | None = None,
        times: Sequences | None = None,
        lengths: Lengths | None = None,
        reset: Tensor | None = None,
        context: Tensor | None = None,
        return_all: bool = False,
    ) -> Any:
        """Return the outputs of the last layer and the final state of every layer.

        Args:
            x: As of `RecurrentLayer.forward`; NaN is a missing value.
            hx: As of `TimedLayer.forward`: the tuple (h_0, seen_0, age_0, clock_0).
            mask: bool, in the form and shape of x: true where the value is there. Where it is false x may hold
                anything. A NaN in x is missing in any case.
            times: As of `TimedLayer.forward`.
            lengths: As of `RecurrentLayer.forward`.
            reset: As of `RecurrentLayer.forward`.
            context: As of `RecurrentLayer.forward`.
            return_all: As of `RecurrentLayer.forward`.

        Returns:
            As `RecurrentLayer.forward`.

        Raises:
            TypeError: An argument is of the wrong kind or dtype.
            ValueError: A shape, a device, or a value of `lengths` or `times` is wrong.
        """
        if mask is not None:
            x = self._masked(x, mask)
        return super().forward(x, hx, times=times, lengths=lengths, reset=reset, context=context, return_all=return_all)

    def _masked(self, x: Sequences, mask: Sequences) -> Sequences:
        """Return x with NaN where the mask says that a value is missing."""
        masked = []
        for one, there in pairs_beside(self._owner, "mask", x, mask, has_features=True):
            if there.dtype != torch.bool:
                raise TypeError(f"{self._owner}: mask must be torch.bool, but is {there.dtype}.")
            if there.device != one.device:
                raise ValueError(f"{self._owner}: mask is on {there.device}, but x is on {one.device}. Move it there.")
            masked.append(torch.where(there, one, torch.nan))
        if isinstance(x, PackedSequence):
            return PackedSequence(masked[0], x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return masked[0] if isinstance(x, Tensor) else masked

    @torch.no_grad()
    def fit_means(self, x: Tensor, mask: Tensor | None = None) -> None:
        """Set the means to those of the values that are there.

        Args:
            x: Any shape with I features last, such as the training part (N, T, I); NaN is a missing value.
            mask: bool, shaped as x: true where the value is there, or None.

        Raises:
            TypeError: An argument is of the wrong kind.
            ValueError: A shape is wrong, or a feature is never there.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"{self._owner}: x must be a torch.Tensor, but is {type(x).__name__}.")
        if x.dim() == 0 or x.shape[-1] != self.input_size:
            raise ValueError(f"{self._owner}: x has shape {shape_of(x)}, but must end with {self.input_size} features.")
        if mask is not None:
            x = self._masked(x, mask)  # type: ignore[assignment]
        rows = x.reshape(-1, self.input_size)
        absent = rows.isnan().all(0).nonzero()[:, 0].tolist()
        if absent:
            raise ValueError(f"{self._owner}: there is no value of the features {absent}; give them in means.")
        means = rows.double().nanmean(0)
        for cell in self.cells:
            assert isinstance(cell, GRUDCell)
            if cell.num_missing:
                cell.means[: self.input_size].copy_(means)


def _read_means(owner: str, means: Tensor | Sequence[float], size: int) -> Tensor:
    """Return the means as a tensor (size,), or raise where they are none."""
    try:
        found = torch.as_tensor(means, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{owner}: means must be a tensor or a list of {size} numbers, one for each feature, but is {means!r}: "
            f"{error}."
        ) from None
    if found.shape != (size,):
        raise ValueError(f"{owner}: means must have shape ({size},), one for each feature, but has {shape_of(found)}.")
    if has_values(found) and not bool(found.isfinite().all()):
        raise ValueError(f"{owner}: means has values that are not finite. Take them over those that are there.")
    return found


def _decay(a: Tensor) -> Tensor:
    """Return exp(-max(0, a)), the paper's decay rate."""
    return torch.exp(-torch.relu(a))
