"""What the columns of a table were taken for, from `schema.json`. What is missing or damaged is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from recur.report.passage import visible
from recur.report.values import as_list, as_object, as_text
from recur.wording import enumerated

_MOST_NAMES = 12
"""Columns of one role for one reason that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class ColumnRole:
    """What columns were taken for."""

    names: str
    """Those columns."""
    role: str
    """What they are for."""
    why: str
    """What told it; empty when unknown."""


def column_roles(schema: Mapping[str, Any]) -> tuple[ColumnRole, ...]:
    """Return what each column of a run's table was taken for, as was said when it was read; nothing of other data."""
    told: dict[tuple[str, str], list[str]] = {}
    for role, name, why in _told(schema):
        told.setdefault((role, why), []).append(name)
    found = []
    for (role, why), names in told.items():
        said = ", ".join(map(visible, names[:_MOST_NAMES]))
        more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
        found.append(ColumnRole(names=said + more, role=visible(role), why=visible(why)))
    return tuple(found)


def rows_ahead(schema: Mapping[str, Any]) -> str:
    """Return what rows for the steps to come a forecaster of a run needs, as "with a row for ..."; empty for none."""
    series = as_object(schema.get("schema"))
    ahead = [*_names(series, "known_future"), *_names(series, "known_categorical")]
    if not ahead:
        return ""
    verb = "is" if len(ahead) == 1 else "are"
    filled = enumerated([repr(visible(name)) for name in ahead])
    empty = enumerated([repr(visible(name)) for name in _names(series, "targets")])
    return f"with a row for each step to come, in which {filled} {verb} filled in and {empty} left empty"


def _told(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield a role, a column, and why it has it."""
    of_texts, of_series = as_object(schema.get("roles")), as_object(as_object(schema.get("schema")).get("roles"))
    reasons = as_object((of_texts or of_series).get("reasons"))
    for role, name in as_object(of_texts.get("columns")).items():
        if as_text(name):
            yield role, name, as_text(reasons.get(name))
    for name in _names(of_texts, "ignored"):
        yield "ignored", name, as_text(reasons.get(name))
    # Where nothing is forecast, it says nothing to the reader whether a column is known ahead.
    channels = () if _names(of_series, "targets") else ("known_future", "past_only")
    for role in of_series:
        if role not in ("reasons", "categorical"):
            for name in _names(of_series, role):
                yield "channel" if role in channels else role.replace("_", " "), name, as_text(reasons.get(name))


def _names(group: Mapping[str, Any], role: str) -> list[str]:
    return [name for name in as_list(group.get(role)) if as_text(name)]
