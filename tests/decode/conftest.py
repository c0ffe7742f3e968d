"""What the tests of decoding share: small models whose every sequence can be looked through."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# pytest imports tests by path, so that a file beside them cannot be imported by name.
_NAME = "recur_tests_decode_models"
if _NAME not in sys.modules:
    _spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("models.py"))
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[_NAME] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_NAME])
