"""Values of a run's files as the report shows them. Any may be missing and, where a file is damaged, be anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recur.kinds import is_number
from recur.report.passage import visible
from recur.wording import measured, sentence

NOTHING = "\N{EN DASH}"
"""What stands where there is no value."""

TIMES = "\N{MULTIPLICATION SIGN}"
"""What stands between sizes."""

# Beyond every float32, and with room below the largest float64 for the sums and margins of a chart.
_LARGEST = 1e40

DEEPEST = 20
"""Levels of lists in lists that are shown; nothing that recur writes comes near, and Python has a limit of its own."""


def number(value: object) -> float | None:
    """Return `value` as a float if it is a number that can have been measured, at most 1e40 in size, else None."""
    if not is_number(value):
        return None
    # Compared before it is converted, for an int may be too large for a float.
    return float(value) if -_LARGEST <= value <= _LARGEST else None


def share_of(text: str) -> float | None:
    """Return the number between 0 and 1 that a text writes, or None.

    Example:
        >>> share_of("0.8"), share_of("80 %")
        (0.8, None)
    """
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share < 1 else None


def as_object(value: object) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return `value` if it is text, else none."""
    return value if isinstance(value, str) else ""


def count(value: object) -> str:
    """Return a number without decimals, its digits in groups of three; nothing when it is none."""
    known = number(value)
    return "" if known is None else f"{known:,.0f}"


def in_form(value: object, form: str) -> str:
    """Return a number in a form that `format` knows; a dash when it is none.

    Example:
        >>> in_form(0.25, ".1%"), in_form(None, ".1%")
        ('25.0%', '–')
    """
    known = number(value)
    return NOTHING if known is None else f"{known:{form}}"


def shown(value: object) -> str:
    """Return a measured number, or a dash when it is none."""
    known = number(value)
    return NOTHING if known is None else measured(known)


def part_of(evaluation: Mapping[str, Any]) -> str:
    """Return what the part is called that a judgement is of."""
    return visible(as_text(evaluation.get("part"))) or "held-out"


def notes_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the notes of a judgement or of answers as sentences."""
    return tuple(sentence(visible(as_text(note))) for note in as_list(content.get("notes")) if as_text(note))


def written(value: object, depth: int = 0) -> str:
    """Return any JSON value in words; what lies deeper than twenty levels is left out.

    Example:
        >>> written({"cores": 2, "flags": ["avx", "fma"], "capped": False})
        'cores: 2; flags: avx, fma; capped: no'
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict) and depth >= DEEPEST:
        return "…"
    if isinstance(value, list):
        return ", ".join([written(item, depth + 1) for item in value]) or NOTHING
    if isinstance(value, dict):
        return "; ".join([f"{visible(str(key))}: {written(item, depth + 1)}" for key, item in value.items()]) or NOTHING
    return visible(str(value)) or NOTHING


def label(value: object) -> str:
    """Return what a step is called: text as it is, a number in the fewest digits that tell it from all others.

    Example:
        >>> label(1.7e9), label(0.1), label(-0.0), label("3 h")
        ('1700000000', '0.1', '0', '3 h')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return written(value)


def percent(share: float) -> str:
    """Return a share for a sentence.

    Example:
        >>> percent(0.5), percent(0.002), percent(0.0)
        ('50%', 'under 1%', '0%')
    """
    return f"{share:.0%}" if share >= 0.01 or share == 0 else "under 1%"


def duration(seconds: float) -> str:
    """Return a length of time in words.

    Example:
        >>> duration(9.4), duration(181), duration(7_260)
        ('9 s', '3 min 1 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def signed(value: float) -> str:
    """Return a number as short as it can be told from its neighbours, with a true minus sign.

    Example:
        >>> signed(-0.5), signed(12.345), signed(0.0)
        ('−0.50', '12.3', '0.00')
    """
    written = f"{value:.2f}" if abs(value) < 10 else f"{value:,.3g}" if abs(value) < 1000 else f"{value:.2g}"
    return written.replace("-", "\N{MINUS SIGN}")
