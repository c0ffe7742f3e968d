"""What the tests of gradients share: the list of layers of `tests/nn`, the comparison of `tests/ops`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _load(part: str, stem: str) -> Any:
    """Load a file beside the tests of another part, which pytest imports by path and so cannot import by name."""
    path = Path(__file__).parents[1] / part / f"{stem}.py"
    name = f"recur_tests_{part}_{stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        # A dataclass looks its module up.
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


KINDS = _load("nn", "layers").KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each kind of layer in each of its forms."""
    return KINDS[request.param]


def _has_kernels(kind: Any) -> bool:
    return bool(kind.draws) and not callable(kind.options.get("nonlinearity"))


_PAIRS = [
    (name, backend)
    for name, kind in KINDS.items()
    for backend in (["reference", "cpu"] if _has_kernels(kind) else [None])
]


@pytest.fixture(params=_PAIRS, ids=lambda pair: "-".join(filter(None, pair)))
def kind_on(request: pytest.FixtureRequest) -> Any:
    """Each kind of layer in each of its forms, and the options that force each back end of ours that it can run on."""
    name, backend = request.param
    return KINDS[name], {} if backend is None else {"backend": backend}


@pytest.fixture(scope="session")
def kinds() -> dict[str, Any]:
    found: dict[str, Any] = KINDS
    return found


@pytest.fixture(scope="session")
def compare() -> Callable[..., None]:
    found: Callable[..., None] = _load("ops", "compare").compare
    return found
