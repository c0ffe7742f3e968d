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


def leaves_above(nest: Any, other: Any, error: Callable[[], Exception]) -> tuple[Any, ...]:
    """Return what `other` has where `nest` has its leaves; below them there may be more.

    Raises:
        Exception: What `error` returns, when `other` branches otherwise above them.

    Example:
        >>> leaves_above({"a": "*", "b": "*"}, {"b": (1, 2), "a": 3}, ValueError)
        (3, (1, 2))
    """
    if not _is_branch(nest):
        return (other,)
    if not _is_branch(other) or isinstance(other, dict) != isinstance(nest, dict) or len(other) != len(nest):
        raise error()
    if isinstance(nest, dict):
        if other.keys() != nest.keys():
            raise error()
        other = {name: other[name] for name in nest}
    pairs = zip(_children(nest), _children(other), strict=True)
    return tuple(leaf for (_, mine), (_, theirs) in pairs for leaf in leaves_above(mine, theirs, error))


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


def shown(nest: Any) -> str:
    """Return a nest of words as it is printed in messages.

    Example:
        >>> shown({"h": "*", "memory": ("*", "*")})
        '{h: *, memory: (*, *)}'
    """
    if not _is_branch(nest):
        return str(nest)
    if isinstance(nest, dict) or hasattr(nest, "_fields"):
        inside = ", ".join(f"{name}: {shown(value)}" for name, value in _children(nest))
        return f"{{{inside}}}" if isinstance(nest, dict) else f"{type(nest).__name__}({inside})"
    inside = ", ".join(shown(value) for _, value in _children(nest))
    return f"[{inside}]" if isinstance(nest, list) else f"({inside})"


def _is_branch(nest: Any) -> bool:
    return isinstance(nest, tuple | list | dict) and not isinstance(nest, Size)


def _children(nest: Any) -> Sequence[tuple[str, Any]]:
    if not _is_branch(nest):
        return ()
    if isinstance(nest, dict):
        return [(str(name), value) for name, value in nest.items()]
    names = getattr(nest, "_fields", None) or [str(number) for number in range(len(nest))]
    return list(zip(names, nest, strict=True))
