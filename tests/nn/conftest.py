"""What the tests of the layers share: the list of layers, the laws, the comparison."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from recur.ops import _random


def _load(path: Path) -> ModuleType:
    """Load a file beside the tests, which pytest imports by path and so cannot import by name."""
    name = f"recur_tests_{path.parent.name}_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        # A dataclass looks its module up.
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_layers = _load(Path(__file__).with_name("layers.py"))
_cases = _load(Path(__file__).with_name("cases.py"))
_laws = _load(Path(__file__).with_name("laws.py"))
Kind = _layers.Kind
ALL = _layers.KINDS
KINDS = {label: kind for label, kind in ALL.items() if kind.is_torchs}


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
def kind(request: pytest.FixtureRequest) -> Any:
    """A kind that torch has too."""
    return KINDS[request.param]


@pytest.fixture(scope="session")
def kinds() -> dict[str, Any]:
    return KINDS


@pytest.fixture
def torchs_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch draw random masks, as it does where the engine is missing."""
    monkeypatch.setattr(_random, "_is_engines", lambda like: False)


@pytest.fixture(params=list(ALL))
def any_kind(request: pytest.FixtureRequest) -> Any:
    """A kind of layer in any form."""
    return ALL[request.param]


@pytest.fixture(scope="session")
def all_kinds() -> dict[str, Any]:
    return ALL


@pytest.fixture(scope="session")
def make_case() -> Callable[..., Any]:
    """See cases.py."""
    found: Callable[..., Any] = _cases.make_case
    return found


@pytest.fixture(scope="session")
def laws() -> dict[str, Callable[..., bool]]:
    """Each law by name, see laws.py."""
    found: dict[str, Callable[..., bool]] = _laws.LAWS
    return found


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    found: Callable[..., None] = _load(Path(__file__).parents[1] / "ops" / "compare.py").compare
    return found
