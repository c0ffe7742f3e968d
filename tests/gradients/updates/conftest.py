"""Networks that are broken on purpose, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recur.nn
from recur.gradients import find_nonfinite

T, B = 6, 4


class Network(nn.Module):
    """A linear layer, two recurrent ones, a linear one; time first."""

    def __init__(self, first: nn.Module, second: nn.Module | None = None) -> None:
        super().__init__()
        self.read = nn.Linear(3, 3)
        self.layers = nn.ModuleList([first] if second is None else [first, second])
        self.write = nn.LazyLinear(2)

    def forward(self, x: Tensor, **more: Any) -> Tensor:
        x = self.read(x)
        for layer in self.layers:
            x = layer(x, **more)[0]
        found: Tensor = self.write(x)
        return found


def network(make: Callable[..., nn.Module] = recur.nn.LSTM, **options: Any) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    model = Network(make(3, 4, **options), make(4, 4))
    x = torch.randn(T, B, 3)
    model(x)
    return model, x


def told(model: nn.Module, run: Callable[[], Tensor], **more: Any) -> str:
    found = find_nonfinite(model, run, **more)
    assert found is not None
    assert json.loads(json.dumps(found.to_json()))["tensor"] == found.tensor
    return str(found)


def spoil(tensor: Tensor, value: float = torch.inf, index: tuple[int, ...] = (0, 0)) -> None:
    with torch.no_grad():
        tensor[index] = value


class Overflow(nn.Module):
    """An identity that makes chosen places too large to go on with."""

    def __init__(self, *places: tuple[int, ...], value: float = torch.inf) -> None:
        super().__init__()
        self.places, self.value = places, value

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        for place in self.places:
            x[place] = self.value
        return x


@pytest.fixture(name="network")
def _network() -> Callable[..., tuple[Network, Tensor]]:
    return network


@pytest.fixture(name="network_of")
def _network_of() -> type[Network]:
    return Network


@pytest.fixture(name="told")
def _told() -> Callable[..., str]:
    return told


@pytest.fixture(name="spoil")
def _spoil() -> Callable[..., None]:
    return spoil


@pytest.fixture(name="overflow")
def _overflow() -> type[Overflow]:
    return Overflow
