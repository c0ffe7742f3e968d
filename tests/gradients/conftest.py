"""What the tests of gradients share: the list of layers of `tests/nn`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


def _layers() -> Any:
    """Load the list, which pytest imports by path and so cannot import by name."""
    path = Path(__file__).parents[1] / "nn" / "layers.py"
    name = "recur_tests_nn_layers"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        # A dataclass looks its module up.
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


KINDS = _layers().KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each kind of layer in each of its forms."""
    return KINDS[request.param]
