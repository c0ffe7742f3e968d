"""What is known of data before they are read, such as how those of a trained model were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recur.data.texts.options import TextOptions, check_none_ignored
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TextTable

_ANSWERS = ("label", "target", "tags")
"""Roles of what is to be told."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of data before they are read.

    Attributes:
        roles: What the columns of a trained model's data were for; None where there is no model, or were no columns.
        has_answers: Whether what is to be told is read too: classes, targets or tags.
    """

    roles: TextRoles | None
    has_answers: bool

    @property
    def is_of_model(self) -> bool:
        """Whether the data are for a trained model, whose options may say more than these data need."""
        return self.roles is not None or not self.has_answers

    @property
    def expected(self) -> tuple[str, ...]:
        """The names that columns have in the model's data, where a file had any."""
        names = () if self.roles is None else tuple(self.roles.columns.values())
        return tuple(name for name in names if not re.fullmatch(r"column_\d+", name))

    def columns(self, table: TextTable, **given: str | None) -> dict[str, str | None]:
        """Return the column of each role that need not be guessed: as given, or else as in the model's data.

        Args:
            table: The table.
            given: What is said of each role. What is to be told need not be there where it is not read.
        """
        names = table.frame.columns
        own = {} if self.roles is None else self.roles.columns
        found = {role: name or (own[role] if own.get(role) in names else None) for role, name in given.items()}
        if self.has_answers:
            return found
        return {role: None if role in _ANSWERS and name not in names else name for role, name in found.items()}

    def check_none_ignored(self, options: TextOptions, what: str, names: Sequence[str]) -> None:
        """Raise where an option is given that says nothing of such data; see `options.check_none_ignored`.

        Raises:
            OptionError: One is, and the data are for no trained model.
        """
        if not self.is_of_model:
            check_none_ignored(options, what, names)
