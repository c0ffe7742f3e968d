"""What is known of data before they are read, such as how those of a trained model were."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from recur.data.series.delimited import SEPARATORS
from recur.data.series.files import COLUMNAR
from recur.data.texts.files import DataFile, lines_in, texts_on_lines
from recur.data.texts.folders import PLAIN
from recur.data.texts.guessing import name_one
from recur.data.texts.options import CELL_OPTIONS, TextOptions, check_none_ignored
from recur.data.texts.places import Places
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import RECORDS, TextTable, read_text_table
from recur.wording import enumerated, option, quantity

_TEXTS, _ANSWERS = ("text", "source", "tokens"), ("label", "target", "tags")
"""Roles of what is read, and of what is to be told."""
_NEARLY_ALL = 0.9
"""Share of the lines of plain text in columns that have all cells, at least; some row may lack one."""


@dataclass(frozen=True, kw_only=True)
class TextLines:
    """Texts on the lines of plain files.

    Attributes:
        texts: Of each line.
        places: Where each stood.
        notes: What the files were taken for.
    """

    texts: tuple[str, ...]
    places: Places
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of data before they are read.

    Attributes:
        roles: What the columns of a trained model's data were for; None where there is no model, or were no columns.
        has_answers: Whether what is to be told is read too: classes, targets or tags.
        given: Which options of cells are said of these data, not of those of the model.
        is_of_option: Whether the data are those that an option names, beside the first ones.
    """

    roles: TextRoles | None
    has_answers: bool
    given: Collection[str] = CELL_OPTIONS
    is_of_option: bool = False

    @property
    def is_of_model(self) -> bool:
        """Whether the data are for a trained model, whose options may say more than these data need."""
        return self.roles is not None or not self.has_answers

    @property
    def expected(self) -> tuple[str, ...]:
        """The names that columns have in the model's data, where a file had any."""
        names = () if self.roles is None else tuple(self.roles.columns.values())
        return tuple(name for name in names if not re.fullmatch(r"column_\d+", name))

    def of_others(self, roles: TextRoles | None) -> Self:
        """Return what is known of other data that are read with the first ones, whose columns had some roles."""
        return replace(self, roles=roles, given=(), is_of_option=True)

    def columns(self, table: TextTable, **given: str | None) -> dict[str, str | None]:
        """Return the column of each role that need not be guessed: as given, or else as in the model's data.

        Args:
            table: The table.
            given: What is said of each role. What is to be told need not be there where it is not read.
        """
        names = table.frame.columns
        own = self._own
        found = {role: name or (own[role] if own.get(role) in names else None) for role, name in given.items()}
        if self.has_answers:
            return found
        return {role: None if role in _ANSWERS and name not in names else name for role, name in found.items()}

    def way_out(self, role: str) -> str:
        """Return what to do where no column has a role; of other data than those learned from none can be named."""
        if not self.is_of_model and not self.is_of_option:
            return name_one(role)
        without = ", or use recur predict, which tells it" if role in _ANSWERS and not self.is_of_option else ""
        own = self._own.get(role)
        if own is None:
            return f"Give the column of the {role} the name {role!r}{without}."
        return f"In {self._others} the {role} is {own!r}; give the column that name{without}."

    def guessed_anew(self, table: TextTable, roles: TextRoles) -> tuple[str, ...]:
        """Return a note of each column that a model's data, or the first ones, did not tell, as none had its name.

        Args:
            table: The data that the model is given, or that an option names.
            roles: Which columns were found in them.
        """
        if not self.is_of_model and not self.is_of_option:
            return ()
        found = [(role, name) for role, name in roles.columns.items() if role in self._own or name != role]
        # Of several data, whose column it is.
        where = f"{table.name}: " if self.is_of_option else ""
        return tuple(
            f"{where}column {name!r} is taken for the {role} ({roles.reasons[name]})"
            + (f", as none is called {self._own[role]!r} as in {self._others}" if role in self._own else "")
            for role, name in found
            if role in (*_TEXTS, *(_ANSWERS if self.has_answers else ())) and roles.reasons[name] != "given"
        )

    @property
    def _own(self) -> Mapping[str, str]:
        """The columns of the other data, by their roles."""
        return {} if self.roles is None else self.roles.columns

    @property
    def _others(self) -> str:
        """What the other data are called."""
        return "DATA" if self.is_of_option else "the run's data"

    def read(
        self, files: Sequence[DataFile], options: TextOptions, plain: Collection[str] = PLAIN
    ) -> TextLines | TextTable:
        """Return the table in some files, or the texts on the lines of plain ones that a model is given.

        A plain file is a table where a separator is said of it, or it is said that its first line names columns, of
        which there are several; where its first line has the names of two columns of the model's data, one of them that
        of the texts; and where the columns of those data had no names, and nearly all lines have as many cells, with
        tabs between and a text. All others have a text on each line. Notes tell what each was taken for.

        Args:
            files: The files.
            options: How cells are written.
            plain: The suffixes of plain files.

        Raises:
            DataError: A file cannot be read.
            OptionError: An option says nothing of such files.
        """
        if self.has_answers or any(file.kind not in plain for file in files):
            return self.table(files, options)
        found = {self._cut(file, options) for file in files}
        separator, reason = found.pop() if len(found) == 1 else (None, "")
        name = f"{files[0].path}{' and others' if len(files) > 1 else ''}"
        if separator is None:
            is_below = "has_header" in self.given and options.has_header is True
            texts, places = texts_on_lines(files, options.codec, is_below_first=is_below)
            note = f"{name}: each line{' below the first' if is_below else ''} is taken for a text"
            way_out = f"; {option('separator')} says what stands between cells, if there are some"
            return TextLines(texts=texts, places=places, notes=(note + way_out,))
        table = self.table(files, replace(options, separator=separator))
        return replace(table, notes=(*table.notes, f"{name}: taken for a table, {reason}{self._lacking(table)}"))

    def table(self, files: Sequence[DataFile], options: TextOptions) -> TextTable:
        """Return the table in some files; see `read_text_table`.

        Raises:
            DataError: A file cannot be read.
            OptionError: An option says nothing of such files.
        """
        kinds = sorted({file.kind for file in files})
        if all(kind in (*RECORDS, *COLUMNAR) for kind in kinds):
            self.check_none_ignored(options, f"{enumerated(kinds)} files", CELL_OPTIONS)
        said = [name for role in (*_TEXTS, *_ANSWERS, "part") if (name := getattr(options, role, None))]
        return read_text_table(files, options, [*self.expected, *said])

    @property
    def _text(self) -> str | None:
        """The column of what is read in the model's data."""
        return next((self._own[role] for role in _TEXTS if role in self._own), None)

    def _cut(self, file: DataFile, options: TextOptions) -> tuple[str | None, str]:
        """Return what stands between the cells of a plain file, and why; None where each line is a text."""
        own = options.cell_separator
        if own is not None and "separator" in self.given:
            return own, f"as {option('separator', options.separator)} says"
        lines = [line for line in lines_in(file.path, options.codec) if line.strip()]
        is_said = options.has_header if "has_header" in self.given else None
        names = () if self.roles is None else (*self.roles.columns.values(), *self.roles.ignored)
        for separator in dict.fromkeys([own or "\t", *SEPARATORS]):
            first = [cell.strip(' "') for cell in lines[0].split(separator)]
            if is_said and len(first) > 1:
                return separator, f"whose first line names {quantity(len(first), 'column')}"
            if is_said is None and self._text in first and len({*first} & {*names}) > 1:
                return separator, "as its first line names columns of the run's data"
        number = re.fullmatch(r"column_(\d+)", self._text or "")
        if number is None or is_said or len(names) < 2:
            return None, ""
        rows = [line.split("\t") for line in lines]
        like = sum(len(row) == len(names) and bool(row[int(number[1]) - 1].strip()) for row in rows)
        if like < _NEARLY_ALL * len(rows):
            return None, ""
        return "\t", f"as nearly all lines have {len(names)} cells with tabs between, like the run's data"

    def _lacking(self, table: TextTable) -> str:
        """Return what a note says of rows of a plain file that have no text."""
        column = self._text
        if column is None or column not in table.frame.columns:
            return ""
        is_empty = (table.frame[column].str.strip_chars().fill_null("") == "").to_numpy()
        if not is_empty.any():
            return ""
        count, first = int(is_empty.sum()), int(is_empty.argmax())
        return f"; {quantity(count, 'row')} without a text in column {column!r}, such as {table.places[first]}"

    def check_none_ignored(self, options: TextOptions, what: str, names: Sequence[str]) -> None:
        """Raise where an option is given that says nothing of such data; see `options.check_none_ignored`.

        Raises:
            OptionError: One is, and for a trained model is not of the model's own data.
        """
        check_none_ignored(options, what, [name for name in names if name in self.given] if self.is_of_model else names)
