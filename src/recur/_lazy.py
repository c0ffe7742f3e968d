"""Names that are imported when first used.

`recur --help` must answer at once, so no package imports torch, Lightning or a plotting library before it is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, origins: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module `__getattr__` (PEP 562) that finds each name of `origins` in its module.

    Args:
        package: The package's `__name__`.
        origins: Public name to the module that defines it, relative to the package (`".language"`). A name that is
            itself a submodule maps to that submodule.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - PEP 562 names it so
        origin = origins.get(name)
        if origin is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(origin, package)
        return module if origin == f".{name}" else getattr(module, name)

    return __getattr__


def function_of(name: str) -> Callable[..., Any]:
    """Return the function that is called "module:function", or "module:Class.method"."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    named: Callable[..., Any] = found
    return named
