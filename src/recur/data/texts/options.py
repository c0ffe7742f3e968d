"""What the user may choose about texts that a model is trained on. Neither polars nor torch here."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from recur.data.options import check_encoding
from recur.data.texts.named_files import NamesFiles
from recur.errors import OptionError
from recur.kinds import is_finite, is_whole
from recur.wording import option

if TYPE_CHECKING:
    from recur.data.series.options import OtherTableOptions

CELL_OPTIONS = ("separator", "has_header")
"""Options of how text is cut into cells."""

HELD_OUT = 0.1
"""Share of the examples that is held out for each of validation and test, unless another is asked for."""

_NAMES = re.compile(r'(?:^|,)\s*(?:"((?:[^"]|"")+)"\s*(?=,|\Z)|([^,]*))')
"""Names with commas between them, in quotes or bare."""


@dataclass(frozen=True, kw_only=True)
class TextOptions(NamesFiles):
    """How files become examples, and these a training, a validation and a test part, whatever is learned from them.

    Files that have train, valid (or dev, val) or test as a word of their names, and those in folders that are called
    just so, are those parts. What is not said so is drawn from what is trained on; exact duplicates go to one part
    together.

    Raises:
        OptionError: A value makes no sense, or would be ignored.
    """

    file_options: ClassVar[tuple[str, ...]] = ("valid_data", "test_data")

    part: str | None = None
    """Column that says which part a row is of: train, valid or test."""

    separator: str | None = None
    """Character between the cells of a text file, such as ; or the word tab; found out if not given."""

    has_header: bool | None = None
    """Whether the first line of a table names the columns; found out if not given."""

    encoding: str | None = None
    """Encoding of the files, such as cp1252 or utf-16; utf-8 if not given."""

    valid: float = HELD_OUT
    """What the best weights are chosen by, where the data have no such part: a share, or a number of examples."""

    test: float = HELD_OUT
    """What is judged on in the end, likewise; 0 for none."""

    valid_data: str | None = None
    """File or folder that the best weights are chosen by, instead of a part of DATA; read as DATA is."""

    test_data: str | None = None
    """File or folder that is judged on in the end, likewise."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.cell_separator is not None and (len(self.cell_separator) != 1 or not self.cell_separator.isascii()):
            raise OptionError(f"separator: expected one ASCII character, or tab, got {self.separator!r}.")
        for name in ("valid", "test"):
            self._check_held_out(name, getattr(self, name))
        if self.valid < 1 and self.test < 1 and self.valid + self.test >= 1:
            raise OptionError(
                f"valid, test: together they are {self.valid + self.test:g}, which leaves nothing to train on; give "
                "shares whose sum is below 1."
            )
        for name in ("valid", "test"):
            if getattr(self, f"{name}_data") is not None and getattr(self, name) not in (HELD_OUT, 0):
                raise OptionError(
                    f"{name}: says which part of DATA is held out, but {name}_data names other data; leave one out."
                )

    def for_other(self, table: OtherTableOptions) -> Self:
        """Return the options for other data, of which `table` says what is not written as these say.

        Raises:
            OptionError: A value makes no sense, or is of series alone.
        """
        for name in table.given:
            if name not in ("encoding", *CELL_OPTIONS):
                raise OptionError(f"{name}: is of series, and these are texts; leave {option(name)} out.")
        return replace(self, **{name: getattr(table, name) for name in table.given})

    def _check_held_out(self, name: str, value: object) -> None:
        is_none = name == "test" and value == 0 and not isinstance(value, bool)
        is_share = is_finite(value) and 0 < value < 1
        is_number = is_whole(value, 1) or (is_finite(value) and value >= 1 and float(value).is_integer())
        if not (is_none or is_share or is_number):
            least = ", or 0 for none" if name == "test" else ""
            raise OptionError(f"{name}: expected a share below 1 or a whole number of examples{least}, got {value!r}.")

    @property
    def codec(self) -> str:
        """Name of the encoding, with the default filled in, as Python spells it."""
        return codecs.lookup(self.encoding or "utf-8").name

    @property
    def cell_separator(self) -> str | None:
        """The separator, with the tab in place of its name."""
        return "\t" if self.separator in ("tab", r"\t") else self.separator


@dataclass(frozen=True, kw_only=True)
class LabelledTextOptions(TextOptions):
    """How files become texts with classes.

    What columns are for is guessed where nothing is said.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> LabelledTextOptions(text="review", label="stars", test=500).test
        500
    """

    file_options: ClassVar[tuple[str, ...]] = (*TextOptions.file_options, "label_names")

    text: str | None = None
    """Column of the texts; guessed if not given, as are all."""

    label: str | None = field(default=None, metadata={"after": "text"})
    """Column of the classes."""

    label_separator: str | None = field(default=None, metadata={"after": "label"})
    """What stands between several classes of one text, such as a comma; found out if not given, and an empty text says
    that each text has one."""

    label_names: str | None = field(default=None, metadata={"after": "label_separator"})
    """File with a name of a class on each line: classes given by number, from 0 on, are then called so."""

    unit: Literal["file", "line"] | None = field(default=None, metadata={"after": "label_names"})
    """What one text is, in a folder by class: a whole file, or a line of one; found out if not given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit not in (None, "file", "line"):
            raise OptionError(f"unit must be file or line, not {self.unit!r}: what one text is, in a folder by class.")
        check_columns_differ(text=self.text, label=self.label, part=self.part)


@dataclass(frozen=True, kw_only=True)
class WrittenTextOptions(LabelledTextOptions):
    """How files become texts and what each is written from: classes, and numbers.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> WrittenTextOptions(columns="year, length").column_names
        ('year', 'length')
    """

    columns: str | None = field(default=None, metadata={"after": "label_separator"})
    """Columns of numbers that a text is written from, with commas between their names. Classes are then read only where
    --label names their column."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.column_names
        if self.columns is not None and (not all(names) or len(set(names)) < len(names)):
            raise OptionError(
                f"columns: expected names of columns, each once, with commas between them, got {self.columns!r}."
            )
        for name in names:
            check_columns_differ(text=self.text, label=self.label, part=self.part, columns=name)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of numbers."""
        return () if self.columns is None else tuple(name.strip() for name in self.columns.split(","))

    @property
    def has_labels(self) -> bool:
        """Whether classes are read."""
        return self.columns is None or self.label is not None


@dataclass(frozen=True, kw_only=True)
class PairOptions(TextOptions):
    """How files become pairs of a text and what it is to become.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> PairOptions(source="en", target="ja").source
        'en'
    """

    source: str | None = None
    """Column of what is read, or the ending of its files, such as en of train.en; the first if not given."""

    target: str | None = field(default=None, metadata={"after": "source"})
    """Column of what is to be written, or the ending of its files; the second if not given."""

    valid_data: str | None = None
    """File or folder that the best weights are chosen by, instead of a part of DATA; read as DATA is. Two files whose
    lines belong together have a comma between their names; one that has a comma in it stands in double quotes then."""

    history: int = field(default=1, metadata={"after": "target"})
    """Turns of a conversation that an answer is given to: the last ones, with a newline between them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_whole(self.history, 1):
            raise OptionError(f"history must be a whole number of turns from 1 on, not {self.history!r}.")
        check_columns_differ(source=self.source, target=self.target, part=self.part)

    @staticmethod
    def names_in(source: str) -> list[str]:
        """Return the files or folders that an option names; two parallel files have a comma between them.

        One that is there and is called just so is meant itself.

        Example:
            >>> PairOptions.names_in('"a, b.en", c.ja')
            ['a, b.en', 'c.ja']
        """
        if "," in source and os.path.exists(source):  # noqa: PTH110 - two long names are none of one file either
            return [source]
        return [quoted.replace('""', '"') or bare.strip() for quoted, bare in _NAMES.findall(source)]

    @staticmethod
    def naming(names: Sequence[str]) -> str:
        """Return what an option is given as to name files or folders; those with a comma are in quotes, as in CSV."""

        def written(name: str) -> str:
            is_bare = "," not in name and not name.startswith('"') and name == name.strip()
            return name if is_bare else '"' + name.replace('"', '""') + '"'

        return ",".join(map(written, names))


@dataclass(frozen=True, kw_only=True)
class TaggedTextOptions(TextOptions):
    """How files become sentences whose tokens have tags.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> TaggedTextOptions(tags="4").tags
        '4'
    """

    tokens: str | None = None
    """Column of the tokens: its number from 1 on in CoNLL files, or from the last one, -1; else its name; the first if
    not given."""

    tags: str | None = field(default=None, metadata={"after": "tokens"})
    """Column of the tags, likewise; the last if not given."""

    repair: bool = field(default=False, metadata={"after": "tags"})
    """Mend tags that break their scheme as conlleval reads them, where an inside without a beginning begins an entity;
    otherwise such tags are an error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.repair, bool):
            raise OptionError(f"repair: expected true or false, got {self.repair!r}; leave {option('repair')} out.")
        check_columns_differ(tokens=self.tokens, tags=self.tags, part=self.part)


def check_none_ignored(options: TextOptions, what: str, names: Sequence[str]) -> None:
    """Raise where an option is given that says nothing of such data.

    Args:
        options: The options.
        what: What the data are, such as "a dataframe".
        names: The options that say nothing of these.

    Raises:
        OptionError: One of them is given.
    """
    defaults = {one.name: one.default for one in fields(options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            raise OptionError(f"{name}: says nothing of {what}, which the data are; leave {option(name)} out.")


def check_columns_differ(**columns: str | None) -> None:
    """Raise where one column has two roles.

    Raises:
        OptionError: It has; or a name is empty.
    """
    seen: dict[str, str] = {}
    for role, name in columns.items():
        if name is None:
            continue
        if not name:
            raise OptionError(f"{role}: is empty; name a column, or leave {option(role)} out.")
        if name in seen:
            raise OptionError(f"{role}: {name!r} is also {seen[name]}; a column has one role.")
        seen[name] = role
