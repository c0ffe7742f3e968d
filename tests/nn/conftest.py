"""The layers under test, as one list that drives every suite, beside torch's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from recur import nn as recur_nn


@dataclass(frozen=True)
class Kind:
    """One kind of layer, and how to make it and torch's with the same weights."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def has_cell(self) -> bool:
        return self.name == "LSTM"

    def make(self, *sizes: int, **options: Any) -> Any:
        options = {"dtype": torch.float64, **dict(self.options), **options}
        return getattr(recur_nn, self.name)(*sizes, **options)

    def pair(self, *sizes: int, **options: Any) -> tuple[Any, Any]:
        """The layer and torch's with the weights of the layer."""
        ours = self.make(*sizes, **options)
        options = {"dtype": torch.float64, **dict(self.options), **options}
        theirs = getattr(torch.nn, self.name)(*sizes, **options)
        theirs.load_state_dict(ours.state_dict())
        return ours, theirs

    def states(self, layer: Any, batch: int | None) -> Any:
        """A random initial state; for one sequence without a batch, `batch` is None."""
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        shape = (rows,) if batch is None else (rows, batch)
        h = torch.randn(*shape, layer.proj_size or layer.hidden_size, dtype=torch.float64)
        return (h, torch.randn(*shape, layer.hidden_size, dtype=torch.float64)) if self.has_cell else h


KINDS = {
    "RNN": Kind("RNN"),
    "RNN_relu": Kind("RNN", (("nonlinearity", "relu"),)),
    "GRU": Kind("GRU"),
    "LSTM": Kind("LSTM"),
    "LSTM_proj": Kind("LSTM", (("proj_size", 3),)),
}


def flat(result: Any) -> dict[str, torch.Tensor]:
    """Return a layer's result by name."""
    output, final = result
    data = output.data if isinstance(output, torch.nn.utils.rnn.PackedSequence) else output
    parts = final if isinstance(final, tuple) else (final,)
    return {"output": data, **dict(zip(("h_n", "c_n"), parts, strict=False))}


@pytest.fixture(name="flat")
def _flat() -> Callable[..., dict[str, torch.Tensor]]:
    return flat


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="session")
def kinds() -> dict[str, Kind]:
    return KINDS


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    path = Path(__file__).parents[1] / "ops" / "compare.py"
    spec = importlib.util.spec_from_file_location("compare", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.compare
