"""How text writes numbers and times: found out of the data of a run, and kept for those that are read like them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import polars as pl

Decimal = Literal[".", ","]
"""What stands between the whole part of a number and the rest."""

_SIGNS = "(?:[%‰€$£¥₹₽₩₺₪₫฿₴₦]|EUR|USD|GBP|CHF)"
_BLANKS = "[ \u00a0\u2009\u202f]"
_MARKS = {".": (_BLANKS, "['\u2019]", ","), ",": (_BLANKS, "['\u2019]", r"\.")}
_SAMPLE = 2000
"""At most so many cells of a column, as far apart as can be, are what its format is judged by at first."""
_DOTTED = r"^\d+(?:\.\d{3}){2,}$"


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """How the numbers of a column are written.

    Thousands may be apart by a blank, an apostrophe, or what of point and comma does not mark decimals, everywhere in a
    number or nowhere.

    Attributes:
        decimal: What decimals stand behind.
        sign: Of a currency or of percent, which stands beside each number; "" for none. The number counts as it is.

    Example:
        >>> NumberFormat(decimal=",", sign="€").read(pl.Series(["1.288,90 €", "742,12 €", "742.12 €", "3"])).to_list()
        [1288.9, 742.12, None, None]
    """

    decimal: Decimal = "."
    sign: str = ""

    def read(self, text: pl.Series) -> pl.Series:
        """Return what text says, float64; null where it is missing or no number that is written so."""
        text = text.str.strip_chars()
        if self.sign:
            sign = _escaped(self.sign)
            bare = text.str.replace(rf"^([+-]?)\s*{sign}\s*", "${1}")
            bare = bare.zip_with(bare != text, text.str.replace(rf"\s*{sign}$", ""))
            text = bare.set(bare == text, None)
        plain = text if self.decimal == "." else text.str.replace_all(".", "x", literal=True).str.replace(",", ".")
        found = plain.cast(pl.Float64, strict=False)
        is_open = found.is_null() & text.is_not_null()
        if is_open.any():
            grouped = text.str.contains(_grouped(self.decimal)) & is_open
            if grouped.any():
                marks = "[ \u00a0\u2009\u202f'\u2019" + (",]" if self.decimal == "." else ".]")
                digits = text.str.replace_all(marks, "").str.replace(",", ".")
                found = found.zip_with(~grouped.fill_null(False), digits.cast(pl.Float64, strict=False))
        return found

    def written(self, value: float | bool) -> str:
        """Return a number as text that `read` reads."""
        return f"{value!r}{self.sign}".replace(".", self.decimal)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How the text of tables was written, where it could have been in several ways.

    Attributes:
        separator: Between the cells of a text file; None where there was none.
        decimal: In its numbers; None where nothing told.
        numbers: The format of columns of numbers, where it is not that of Python.
        is_day_first: Whether dates such as 02/01/2024 begin with the day; None where there were none.
    """

    separator: str | None = None
    decimal: Decimal | None = None
    numbers: Mapping[str, NumberFormat] = field(default_factory=dict)
    is_day_first: bool | None = None

    def of_column(self, name: str) -> NumberFormat:
        """Return how the numbers of a column are written."""
        return self.numbers.get(name, NumberFormat(decimal=self.decimal or "."))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        numbers = {name: [own.decimal, own.sign] for name, own in self.numbers.items()}
        return {
            "separator": self.separator,
            "decimal": self.decimal,
            "numbers": numbers,
            "is_day_first": self.is_day_first,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Writing:
        """Return the writing that `to_json` wrote.

        Raises:
            TypeError: An entry is unknown, or of another kind.
            ValueError: A number has another mark of decimals.
        """
        numbers = {name: NumberFormat(decimal=mark, sign=sign) for name, (mark, sign) in data["numbers"].items()}
        found = cls(**{**data, "numbers": numbers})
        for mark in (*(own.decimal for own in numbers.values()), found.decimal or "."):
            if mark not in get_args(Decimal):
                raise ValueError(f"the mark of decimals must be '.' or ',', got {mark!r}")
        return found


def number_format_of(text: pl.Series, known: NumberFormat | None = None) -> NumberFormat | None:
    """Return how the most cells of a column write numbers; None where they could mean two things.

    A long column is judged by some of its cells, and where these leave it open by all that have a mark in them.

    Args:
        text: The cells.
        known: How they are expected to be written, where they do not tell.
    """
    text = text.drop_nulls()
    sample = text.gather_every(len(text) // _SAMPLE + 1).str.strip_chars()
    signs = sample.str.extract(f"({_SIGNS})").drop_nulls().unique(maintain_order=True).to_list()
    candidates = [known or NumberFormat()]
    candidates += [NumberFormat(decimal=mark, sign=sign) for sign in ("", *signs) for mark in get_args(Decimal)]
    read = _best(sample, list(dict.fromkeys(candidates)))
    if len(read) > 1 and len(sample) < len(text):
        marked = text.filter(text.str.contains("[.,]"))
        read = _best(pl.concat([sample, marked.str.strip_chars()]), list(read))
    best, *others = read
    if known is None and any(own.sign == best.sign and bool((read[best] != read[own]).any()) for own in others):
        return None
    return best


def _best(text: pl.Series, candidates: list[NumberFormat]) -> dict[NumberFormat, pl.Series]:
    """Return those formats that read the most cells, and what they read."""
    read = {own: own.read(text) for own in candidates}
    most = max(values.count() for values in read.values())
    return {own: values for own, values in read.items() if values.count() == most}


def writes_numbers(text: pl.Series) -> bool:
    """Return whether more than half of the cells that hold something write numbers.

    Where each of them has points between three groups of digits or more, and nothing else, they are names, such as
    addresses and part numbers.

    Example:
        >>> writes_numbers(pl.Series(["1.234.567", "987.654"])), writes_numbers(pl.Series(["1.234.567", "1.234.568"]))
        (True, False)
    """
    read = (number_format_of(text) or NumberFormat()).read(text)
    is_dotted = text.str.strip_chars().str.contains(_DOTTED)
    return bool(read.count() > text.count() / 2 and (read.is_not_null() & ~is_dotted).any())


def decimal_of(cells: list[str]) -> Decimal | None:
    """Return the mark of decimals in some cells; None where they have none, or both."""
    text = pl.Series(cells, dtype=pl.String).str.strip_chars()
    read = {mark: NumberFormat(decimal=mark).read(text) for mark in get_args(Decimal)}
    marked = text.str.contains("[.,]")
    pairs: tuple[tuple[Decimal, Decimal], ...] = ((".", ","), (",", "."))
    tells = [mark for mark, other in pairs if (marked & read[mark].is_not_null() & read[other].is_null()).any()]
    return tells[0] if len(tells) == 1 else None


def _grouped(decimal: Decimal) -> str:
    """Return a pattern of numbers with marks between thousands, the same everywhere."""
    groups = "|".join(rf"(?:{mark}\d{{3}})+" for mark in _MARKS[decimal])
    rest = "\\" + decimal
    return rf"^[+-]?[1-9]\d{{0,2}}(?:{groups})(?:{rest}\d*)?$"


def _escaped(sign: str) -> str:
    return "\\" + sign if sign == "$" else sign
