"""Which column has the texts, which the classes, and so on, judged by names and by what stands in them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from recur.data.absent import no_column
from recur.data.texts.files import part_of_cell
from recur.data.texts.names import LABEL, PART, SOURCE, TAGS, TARGET, TEXT, TOKENS, plain
from recur.data.texts.roles import TextRoles
from recur.data.texts.tables import TextTable
from recur.errors import DataError
from recur.wording import known_names, option

_SAMPLE = 10_000
_FEW = 0.5
"""Share of different values up to which a column can be one of classes."""
_MANY_CLASSES = 1_000
"""More different values than this are taken for classes only by name."""
_LONGER_THAN_CLASSES = 100
"""Characters beyond which the mean cell of a column is none of a class."""


def name_one(role: str) -> str:
    """Return what to do where no column has a role, for data that something is to be learned from."""
    others = ", or choose another task: language for texts alone, translate for texts and what they become"
    return f"Name one with {option(role)}{others if role == 'label' else ''}."


def guess_labelled(
    table: TextTable,
    text: str | None = None,
    label: str | None = None,
    part: str | None = None,
    *,
    has_labels: bool,
    way_out: Callable[[str], str] = name_one,
) -> TextRoles:
    """Return which column has the texts and which the classes, each with its reason.

    Names come first (review, sentiment, ...), then what the columns hold: classes are the column of fewest different
    values, at most half as many as there are rows; texts are the longest of the others.

    Args:
        table: The table.
        text: The column of the texts; None to guess it.
        label: That of the classes, likewise.
        part: That of the parts, likewise.
        has_labels: Whether there must be classes.
        way_out: Returns what to do where no column has a role.

    Raises:
        DataError: A named column is not there, or no column has texts, or none has classes.
    """
    guess = _Guess(table, {"text": text, "label": label, "part": part})
    guess.find("part", guess.parts)
    guess.find("label", lambda: guess.classes(keep_one=not has_labels))
    guess.find("text", lambda: guess.texts())
    if "text" not in guess.found:
        raise DataError(
            f"{table.name}: no column has texts; it has {known_names(table.frame.columns)}. {way_out('text')}"
        )
    if has_labels and "label" not in guess.found:
        raise DataError(
            f"{table.name}: no column has classes, of which there would be fewer than half as many as rows; it has "
            f"{known_names(table.frame.columns)}. {way_out('label')}"
        )
    return guess.roles()


def guess_pairs(
    table: TextTable,
    source: str | None = None,
    target: str | None = None,
    part: str | None = None,
    *,
    has_targets: bool = True,
) -> TextRoles:
    """Return which column is read and which is to be written, each with its reason: by name, else the first two texts.

    Args:
        table: The table.
        source: The column of what is read; None to guess it.
        target: That of what is written, likewise.
        part: That of the parts, likewise.
        has_targets: Whether there must be something to be written.

    Raises:
        DataError: A named column is not there, or there are no two columns of text.
    """
    guess = _Guess(table, {"source": source, "target": target, "part": part})
    guess.find("part", guess.parts)
    for role, names in (("source", SOURCE), ("target", TARGET)):
        guess.find(role, lambda names=names, role=role: guess.named(names, role))  # type: ignore[misc]
    for role, place in (("source", "first"), ("target", "next")):
        guess.find(role, lambda place=place: guess.first_text(place))  # type: ignore[misc]
    missing = [role for role in ("source", "target")[: 1 + has_targets] if role not in guess.found]
    if missing:
        raise DataError(
            f"{table.name}: pairs need two columns of text, but no column is left for {missing[0]}; it has "
            f"{known_names(table.frame.columns)}."
        )
    return guess.roles()


def guess_tagged(
    table: TextTable,
    tokens: str | None = None,
    tags: str | None = None,
    part: str | None = None,
    *,
    has_tags: bool = True,
    way_out: Callable[[str], str] = name_one,
) -> TextRoles:
    """Return which column has the tokens and which the tags, each with its reason: by name, else the first two lists.

    Args:
        table: The table.
        tokens: The column of the tokens; None to guess it.
        tags: That of the tags, likewise.
        part: That of the parts, likewise.
        has_tags: Whether there must be tags.
        way_out: As of `guess_labelled`.

    Raises:
        DataError: A named column is not there, or there are no two such columns.
    """
    guess = _Guess(table, {"tokens": tokens, "tags": tags, "part": part})
    guess.find("part", guess.parts)
    for role, names in (("tokens", TOKENS), ("tags", TAGS)):
        guess.find(role, lambda names=names, role=role: guess.named(names, role))  # type: ignore[misc]
    for role in ("tokens", "tags"):
        guess.find(role, guess.first_list)
    missing = [role for role in ("tokens", "tags")[: 1 + has_tags] if role not in guess.found]
    if missing:
        raise DataError(
            f"{table.name}: no column has the {missing[0]}; it has {known_names(table.frame.columns)}. "
            f"{way_out(missing[0])}"
        )
    return guess.roles()


class _Guess:
    def __init__(self, table: TextTable, given: dict[str, str | None]) -> None:
        self.table, self.frame = table, table.frame
        self.head = self.frame.head(_SAMPLE)
        self.given = given
        self.found: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        for role, name in given.items():
            if name is not None:
                check_column(table, role, name)
                self.found[role], self.reasons[name] = name, "given"

    def find(self, role: str, choose: Callable[[], tuple[str, str] | None]) -> None:
        """Take a column, with its reason, for a role that has none."""
        if role in self.found:
            return
        chosen = choose()
        if chosen is not None:
            self.found[role], self.reasons[chosen[0]] = chosen

    def roles(self) -> TextRoles:
        order = [role for role in self.given if role in self.found]
        ignored = tuple(self._free())
        reasons = self.reasons | dict.fromkeys(ignored, "has no role; others can be named")
        return TextRoles(columns={role: self.found[role] for role in order}, ignored=ignored, reasons=reasons)

    # --- what columns there are ---

    def _free(self) -> list[str]:
        return [name for name in self.frame.columns if name not in self.reasons]

    def _named(self, names: str) -> list[str]:
        """Return the free columns that are called by one of some names, the first names first."""
        order = {name: number for number, name in enumerate(names.split())}
        found = [name for name in self._free() if plain(name) in order]
        return sorted(found, key=lambda name: order[plain(name)])

    def _is_text(self, name: str) -> bool:
        return self.frame.schema[name] in (pl.String, pl.Categorical, pl.Enum)

    def _cells(self, name: str) -> pl.Series:
        return self.head[name].cast(pl.String).drop_nulls()

    def _length(self, name: str) -> float:
        """Return how many characters a cell of text has in the mean, 0 where none has a letter."""
        cells = self._cells(name)
        if not len(cells) or not cells.str.contains(r"\p{L}").any():
            return 0.0
        mean = cells.str.len_chars().mean()
        return float(mean) if isinstance(mean, float) else 0.0

    def _classes(self, name: str, *, is_named: bool = False) -> int | None:
        """Return how many different values a column has; None where these are no classes.

        Args:
            name: Of the column.
            is_named: Whether it is called like one of classes. Whole numbers are some then, even if they are kept as
                others are because some are missing.
        """
        dtype = self.frame.schema[name]
        is_real = dtype.is_float() and not (is_named and bool((self.frame[name].drop_nulls() % 1 == 0).all()))
        if is_real or dtype.is_temporal() or (dtype.is_nested() and not isinstance(dtype, pl.List)):
            return None
        if isinstance(dtype, pl.List):
            return 1 if dtype.inner in (pl.String, pl.Int64, pl.Boolean) else None
        cells = self._cells(name)
        different = cells.n_unique()
        if not len(cells) or self._length(name) > _LONGER_THAN_CLASSES:
            return None
        return different if different <= max(2, _FEW * len(cells)) else None

    # --- one role after the other ---

    def parts(self) -> tuple[str, str] | None:
        for name in self._named(PART):
            values = self.frame[name].drop_nulls().unique().to_list() if self._is_text(name) else []
            if values and all(part_of_cell(value) is not None for value in values):
                return name, "says train, valid or test"
        return None

    def classes(self, *, keep_one: bool) -> tuple[str, str] | None:
        """Choose the column of classes; the only column of text is left to the texts with `keep_one`."""
        named = [name for name in self._named(LABEL) if not self._is_only_text(name)]
        for name in named:
            if self._classes(name, is_named=True) is not None or self._may_be_several(name):
                return name, f"named like a class, has {self._number(name)}"
        few = {name: found for name in self._free() if (found := self._classes(name)) is not None}
        few = {name: n for name, n in few.items() if n <= _MANY_CLASSES and plain(name) not in TEXT.split()}
        if keep_one:
            few = {name: n for name, n in few.items() if not self._is_only_text(name)}
        varied = {name: n for name, n in few.items() if n > 1} or few
        if not varied:
            return None
        name = min(varied, key=lambda name: (varied[name], self._length(name)))
        return name, f"has few different values, {self._number(name)}"

    def _may_be_several(self, name: str) -> bool:
        """Return whether cells may list classes, so that there are many different ones."""
        dtype = self.frame.schema[name]
        return isinstance(dtype, pl.List) or (self._is_text(name) and self._length(name) <= _LONGER_THAN_CLASSES)

    def _is_only_text(self, name: str) -> bool:
        return self._is_text(name) and not any(self._is_text(other) for other in self._free() if other != name)

    def _number(self, name: str) -> str:
        if isinstance(self.frame.schema[name], pl.List):
            return "lists of them"
        different = self.frame[name].drop_nulls().n_unique()
        return f"{different:,} different {'one' if different == 1 else 'ones'}"

    def texts(self) -> tuple[str, str] | None:
        texts = {name: length for name in self._free() if self._is_text(name) and (length := self._length(name)) > 0}
        named = [name for name in self._named(TEXT) if name in texts]
        if named:
            return named[0], "named like a text"
        if not texts:
            return None
        return max(texts, key=lambda name: texts[name]), "holds the longest texts"

    def named(self, names: str, role: str) -> tuple[str, str] | None:
        found = [name for name in self._named(names) if self._is_text(name) or self._is_list(name)]
        return (found[0], f"named like a {role}") if found else None

    def first_text(self, place: str) -> tuple[str, str] | None:
        texts = [name for name in self._free() if self._is_text(name) and len(self._cells(name))]
        return (texts[0], f"the {place} column of text") if texts else None

    def _is_list(self, name: str) -> bool:
        return isinstance(self.frame.schema[name], pl.List)

    def first_list(self) -> tuple[str, str] | None:
        lists = [name for name in self._free() if self._is_list(name)]
        return (lists[0], "the next column of lists") if lists else None


def check_column(table: TextTable, role: str, name: str) -> None:
    """Raise where a table has no such column.

    Raises:
        ColumnError: It has none; the nearest name is given.
    """
    if name in table.frame.columns:
        return
    raise no_column(table.name, name, role, table.frame.columns)
