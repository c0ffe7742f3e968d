"""One attention of each kind, small and in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from recur.nn import Attention, attention_of

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "additive": ("additive", {"attention_size": 5}),
    "dot": ("dot", {}),
    "general": ("general", {}),
    "concat": ("concat", {"attention_size": 5}),
    "multi-head": ("multi-head", {"num_heads": 2}),
    "monotonic": ("monotonic", {"attention_size": 5}),
    "monotonic soft": ("monotonic", {"attention_size": 5, "hard": False}),
    "location": ("location", {"attention_size": 5, "kernel_size": 3, "num_filters": 4}),
    "cumulative": ("location", {"attention_size": 5, "kernel_size": 3, "num_filters": 4, "cumulative": True}),
}
STEPPED = ("monotonic", "monotonic soft", "location", "cumulative")


def make(label: str, query_size: int = 6, memory_size: int = 8, **more: Any) -> Attention:
    kind, options = KINDS[label]
    memory_size = query_size if kind == "dot" else memory_size
    attention = attention_of(kind, query_size, memory_size, **options, **more).double().eval()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_(0, 0.5)
    return attention


@pytest.fixture(params=list(KINDS))
def label(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_attention() -> Callable[..., Attention]:
    return make


@pytest.fixture
def is_stepped(label: str) -> bool:
    return label in STEPPED
