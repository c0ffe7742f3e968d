"""What counts as a number, where Python counts True and False too; and what JSON has no kind for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, SupportsFloat, TypeGuard


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether `value` is an int or a float, and no bool.

    Example:
        >>> is_number(0.5), is_number(True)
        (True, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[int | float]:
    """Return whether `value` is a number, no bool, and one that a float can hold.

    Example:
        >>> is_finite(0.5), is_finite(float("nan")), is_finite(10**400)
        (True, False, False)
    """
    try:
        return is_number(value) and math.isfinite(value)
    except OverflowError:
        return False


def is_whole(value: object, least: int | None = None) -> TypeGuard[int]:
    """Return whether `value` is an int, no bool, and, where that is given, at least `least`.

    Example:
        >>> is_whole(3, 1), is_whole(3.0), is_whole(0, 1)
        (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def json_number(value: SupportsFloat) -> float | None:
    """Return a measured number as JSON has it, in nine digits; None for what is not finite.

    Example:
        >>> json_number(2 / 3), json_number(float("inf"))
        (0.666666667, None)
    """
    # More digits than float32 has would only make the file larger.
    number = float(value)
    return float(f"{number:.9g}") if math.isfinite(number) else None


def with_tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was read from JSON, which has lists alone, with tuples in their place.

    Example:
        >>> with_tuples({"levels": [0.1, 0.9], "seed": 3})
        {'levels': (0.1, 0.9), 'seed': 3}
    """
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
