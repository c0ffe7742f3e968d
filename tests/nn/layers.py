"""The layers under test: one list that drives every suite, so that a new layer joins all of them by one line.

Loaded by conftest.py, which hands it to the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recur import nn as recur_nn


@dataclass(frozen=True)
class Kind:
    """One kind of layer in one form: how to make it, how to feed it.

    Attributes:
        name: Of the class in `recur.nn`.
        options: What makes the form.
        is_torchs: Whether torch has it too.
        build: Makes the layer from sizes and options; by default the class does.
        spatial: Dimensions of one step of one row behind its features.
        state_rank: Dimensions of a state of one row.
        timed: Further arguments of `forward` by name, from the number of steps and rows, each (T, B, ...).
        draws: Options that the property tests may draw beside those of every stack: "gated", "lstm", or nothing.
        cannot: Options of every stack that the kind does not take.
        input_size: Features, where the form is made for so many.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_torchs: bool = False
    build: Callable[..., Any] | None = None
    spatial: tuple[int, ...] = ()
    state_rank: int = 1
    timed: Callable[[int, int], dict[str, Tensor]] | None = None
    draws: str = ""
    cannot: tuple[str, ...] = ()
    input_size: int | None = None

    @property
    def has_cell(self) -> bool:
        return self.name == "LSTM"

    def make(self, *sizes: Any, **options: Any) -> Any:
        """The layer, float64 unless told otherwise."""
        options = {"dtype": torch.float64, **self.options, **options}
        return (self.build or getattr(recur_nn, self.name))(*sizes, **options)

    def pair(self, *sizes: int, **options: Any) -> tuple[Any, Any]:
        """The layer and torch's with the weights of the layer."""
        ours = self.make(*sizes, **options)
        options = {"dtype": torch.float64, **self.options, **options}
        theirs = getattr(torch.nn, self.name)(*sizes, **options)
        theirs.load_state_dict(ours.state_dict())
        return ours, theirs

    def states(self, layer: Any, batch: int | None) -> Any:
        """A random initial state of a layer that torch has; for one sequence without a batch, `batch` is None."""
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        shape = (rows,) if batch is None else (rows, batch)
        h = torch.randn(*shape, layer.proj_size or layer.hidden_size, dtype=torch.float64)
        return (h, torch.randn(*shape, layer.hidden_size, dtype=torch.float64)) if self.has_cell else h


class Leaky(torch.nn.Module):
    """A cell of one's own with a state of two parts and an output that is neither."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = {"slow": hidden_size, "fast": hidden_size}
        self.output_size = hidden_size
        self.both = torch.nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        fast = torch.tanh(self.both(torch.cat([x, state["fast"]], 1)))
        slow = 0.9 * state["slow"] + 0.1 * fast
        return fast - slow, {"slow": slow, "fast": fast}


def _leaky(input_size: int, hidden_size: int, num_layers: int = 1, *, dtype: torch.dtype, **options: Any) -> Any:
    def cell(size: int) -> Leaky:
        return Leaky(size, hidden_size)

    return recur_nn.Recurrent(cell, input_size, num_layers, **options).to(dtype)


def _times(num_steps: int, batch: int) -> dict[str, Tensor]:
    return {"times": torch.rand(num_steps, batch, dtype=torch.float64).cumsum(0)}


def _times_and_mask(num_steps: int, batch: int) -> dict[str, Tensor]:
    return _times(num_steps, batch) | {"mask": torch.rand(num_steps, batch, 3) < 0.6}


def _gated(name: str, *, is_torchs: bool = False, **options: Any) -> Kind:
    return Kind(name, options, is_torchs, draws="lstm" if name == "LSTM" else "gated")


KINDS: dict[str, Kind] = {
    "RNN": _gated("RNN", is_torchs=True),
    "RNN_relu": _gated("RNN", is_torchs=True, nonlinearity="relu"),
    "GRU": _gated("GRU", is_torchs=True),
    "LSTM": _gated("LSTM", is_torchs=True),
    "LSTM_proj": _gated("LSTM", is_torchs=True, proj_size=3),
    "RNN_function": _gated("RNN", nonlinearity=torch.nn.functional.softsign, proj_size=6, output_clip=0.6),
    "RNN_norm": _gated("RNN", layer_norm=True),
    "GRU_before": _gated("GRU", reset_after=False),
    "GRU_before_norm": _gated("GRU", reset_after=False, layer_norm=True),
    "GRU_norm_proj": _gated("GRU", layer_norm=True, proj_size=6),
    "LSTM_peephole": _gated("LSTM", peephole=True),
    "LSTM_coupled": _gated("LSTM", coupled=True),
    "LSTM_all": _gated("LSTM", coupled=True, peephole=True, layer_norm=True, cell_clip=0.4, proj_size=6),
    "IndRNN": _gated("IndRNN"),
    "IndRNN_norm": _gated("IndRNN", layer_norm=True, nonlinearity="tanh"),
    "MGU": _gated("MGU"),
    "MGU_norm": _gated("MGU", layer_norm=True, output_clip=0.6),
    "LiGRU": _gated("LiGRU"),
    "LiGRU_norm_proj": _gated("LiGRU", layer_norm=True, proj_size=6),
    "Recurrent": Kind("Recurrent", build=_leaky),
    "RHN": Kind("RHN", {"depth": 2}),
    "RHN_uncoupled": Kind("RHN", {"depth": 3, "coupled": False}),
    "MogrifierLSTM": Kind("MogrifierLSTM"),
    "MogrifierLSTM_rank": Kind("MogrifierLSTM", {"rounds": 4, "rank": 2}),
    "MultiplicativeLSTM": Kind("MultiplicativeLSTM"),
    "ConvLSTM": Kind("ConvLSTM", {"peephole": True}, spatial=(3, 2), state_rank=3),
    "ConvLSTM_signal": Kind("ConvLSTM", {"num_dims": 1, "layer_norm": True}, spatial=(4,), state_rank=2),
    "ConvGRU": Kind("ConvGRU", {"kernel_size": (1, 3)}, spatial=(2, 3), state_rank=3),
    "ConvGRU_signal": Kind("ConvGRU", {"num_dims": 1, "layer_norm": True}, spatial=(4,), state_rank=2),
    "PhasedLSTM": Kind("PhasedLSTM", {"open_ratio": 0.8}, timed=_times),
    "PhasedLSTM_steps": Kind("PhasedLSTM", {"open_ratio": 0.8}),
    "CfC": Kind("CfC", {"backbone_size": 7}, timed=_times),
    "CfC_steps": Kind("CfC", {"backbone_size": 7}),
    "GRUD": Kind("GRUD", {"means": [0.3, -0.2, 0.1]}, timed=_times_and_mask, input_size=3),
    "GRUD_steps": Kind("GRUD"),
}
