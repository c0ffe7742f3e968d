"""What is known of data before they are read, such as how those of a trained model were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recur.data.series.delimited import SEPARATORS
from recur.data.texts.files import DataFile, start_of
from recur.data.texts.folders import PLAIN
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

    def are_lines(self, files: Sequence[DataFile], options: TextOptions) -> bool:
        """Return whether files have a text to be read alone on each line, not the columns that the model's data had.

        Args:
            files: The files.
            options: How cells are written; where nothing is said there are tabs between them, or the first line has a
                name of those columns.

        Raises:
            DataError: A file is missing or damaged.
        """
        if self.has_answers or any(file.kind not in PLAIN for file in files):
            return False
        return self.roles is None or not all(self._has_columns(file, options) for file in files)

    def _has_columns(self, file: DataFile, options: TextOptions) -> bool:
        lines = start_of(file.path, 1 << 16).decode(options.codec, "ignore").splitlines()
        lines = [line for line in lines if line.strip()]
        separator = options.cell_separator or "\t"
        # Some line of a table may lack a cell, and some text may have a tab.
        if 2 * sum(separator in line for line in lines) > len(lines):
            return True
        first = lines[0] if lines else ""
        names = {cell.strip(' "') for cell in re.split(f"[{re.escape(options.cell_separator or SEPARATORS)}]", first)}
        return len(names) > 1 and not names.isdisjoint(self.expected)

    def check_none_ignored(self, options: TextOptions, what: str, names: Sequence[str]) -> None:
        """Raise where an option is given that says nothing of such data; see `options.check_none_ignored`.

        Raises:
            OptionError: One is, and the data are for no trained model.
        """
        if not self.is_of_model:
            check_none_ignored(options, what, names)
