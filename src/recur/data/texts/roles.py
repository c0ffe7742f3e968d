"""What each column of a table of texts is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recur.wording import in_columns


@dataclass(frozen=True, kw_only=True)
class TextRoles:
    """What each column is for, decided.

    Attributes:
        columns: The column of each role: of labelled texts `text` and `label`, of pairs `source` and `target`, of
            tagged sentences `tokens` and `tags`; with each `part`, where there is one.
        ignored: All others.
        reasons: Why each column has its role, by its name.

    Example:
        >>> roles = TextRoles(
        ...     columns={"text": "review", "label": "stars"},
        ...     reasons={"review": "named like a text", "stars": "given"},
        ... )
        >>> print(roles)
        text   review  named like a text
        label  stars   given
    """

    columns: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [*self.columns.items(), *(("ignored", name) for name in self.ignored)]
        return in_columns([(role, name, self.reasons.get(name, "")) for role, name in rows])

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {"columns": dict(self.columns), "ignored": list(self.ignored), "reasons": dict(self.reasons)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TextRoles:
        """Return the roles that `to_json` wrote."""
        return cls(columns=dict(data["columns"]), ignored=tuple(data["ignored"]), reasons=dict(data["reasons"]))
