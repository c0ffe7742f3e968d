"""Nests of tensors: tuples, named tuples, lists and dictionaries of them, or one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Size


def leaves(nest: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each leaf; what is no tuple, list or dictionary is one.

    Example:
        >>> list(leaves({"h": 1, "memory": (2, 3)}))
        [('h', 1), ('memory.0', 2), ('memory.1', 3)]
    """
    for name, value in _children(nest):
        yield from leaves(value, f"{path}.{name}" if path else name)
    if not _is_branch(nest):
        yield path, nest


def rebuilt(nest: Any, values: Sequence[Any]) -> Any:
    """Return a nest of the same structure with other leaves, in the order of `leaves`."""
    remaining = iter(values)
    return mapped(lambda _: next(remaining), nest)


def mapped(function: Callable[[Any], Any], nest: Any) -> Any:
    """Return a nest of the same structure with `function` of each leaf."""
    if not _is_branch(nest):
        return function(nest)
    values = [mapped(function, value) for _, value in _children(nest)]
    if isinstance(nest, dict):
        return type(nest)(zip(nest, values, strict=True))
    return type(nest)(*values) if hasattr(nest, "_fields") else type(nest)(values)


def structure(nest: Any) -> Any:
    """Return what two nests of the same structure have in common, comparable with ==."""
    return mapped(lambda _: "*", nest)


def _is_branch(nest: Any) -> bool:
    return isinstance(nest, tuple | list | dict) and not isinstance(nest, Size)


def _children(nest: Any) -> Sequence[tuple[str, Any]]:
    if not _is_branch(nest):
        return ()
    if isinstance(nest, dict):
        return [(str(name), value) for name, value in nest.items()]
    names = getattr(nest, "_fields", None) or [str(number) for number in range(len(nest))]
    return list(zip(names, nest, strict=True))
