"""What is learned from: texts with classes, pairs of texts, or sentences whose tokens have tags.

There are three classes, as each has columns of its own that a type checker should know; what they have in common, the
parts and the places, is in `Examples`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.places import Places
from recur.data.texts.roles import TextRoles
from recur.errors import DataError
from recur.wording import quantity

PartName = Literal["train", "valid", "test"]

Unit = Literal["file", "line"]
"""What one text is, of files that hold nothing else."""

PARTS: tuple[PartName, ...] = ("train", "valid", "test")
"""Names of the parts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """N examples of any kind.

    Attributes:
        places: Where each stood.
        part: Which part each is of: "train", "valid" or "test"; None where that is not said yet, which
            `recur.data.texts.splitting.split_examples` does.
        group: (N,) int64: examples of one number, such as those of one conversation, belong to one part; None where
            each may go anywhere.
        roles: What the columns of the table were for, with reasons; None where there was no table.
        notes: What was done to the data, and what is odd about it.
    """

    places: Places
    part: tuple[PartName | None, ...]
    group: NDArray[np.int64] | None = None
    roles: TextRoles | None = None
    notes: tuple[str, ...] = ()

    noun: ClassVar[str] = "example"
    """What one of them is called in messages."""
    _columns: ClassVar[tuple[str, ...]] = ()
    """The attributes that have one entry for each example, beside those above."""

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in (*self._columns, "part")}
        for name, length in lengths.items():
            if length != len(self.places):
                raise DataError(f"{name}: has {length} entries, but there are {len(self.places)} {self.noun}s.")

    def __len__(self) -> int:
        return len(self.places)

    @property
    def keys(self) -> tuple[str, ...]:
        """What makes an example the same as another: its text, that of its source, or its tokens."""
        raise NotImplementedError

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield what each example says, and the part it is of."""
        return zip(*(getattr(self, name) for name in (*self._columns, "part")), strict=True)

    def take(self, indices: Sequence[int] | NDArray[Any]) -> Self:
        """Return some of the examples, in the order given.

        Args:
            indices: Which, from 0 on.
        """
        chosen = np.asarray(indices, np.int64)
        wanted = chosen.tolist()
        changes: dict[str, Any] = {}
        for name in (*self._columns, "part"):
            column = getattr(self, name)
            changes[name] = tuple([column[index] for index in wanted])
        group = None if self.group is None else self.group[chosen]
        return replace(self, places=self.places.take(chosen), group=group, **changes)

    def of_part(self, part: PartName) -> Self:
        """Return the examples of a part; there may be none."""
        return self.take([index for index, name in enumerate(self.part) if name == part])

    def noted(self, *notes: str) -> Self:
        """Return the examples with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def _is_empty(self) -> Sequence[bool]:
        """Whether each has nothing to learn from."""
        raise NotImplementedError

    def without_empty(self) -> Self:
        """Return the examples that are not empty, with a note of how many are, and where the first of them stood.

        Raises:
            DataError: All are empty.
        """
        is_empty = np.asarray(self._is_empty, np.bool_)
        count = int(is_empty.sum())
        if not count:
            return self
        where = self.places[int(is_empty.argmax())]
        if count == len(self):
            raise DataError(f"{where}: is empty, and so are all others; give {self.noun}s with something in them.")
        noun = quantity(count, f"empty {self.noun}")
        return self.take(np.flatnonzero(~is_empty)).noted(f"{noun} left out, such as {where}")

    @classmethod
    def joined(cls, sets: Sequence[Self]) -> Self:
        """Return several sets of examples, one after the other; the first says what its roles are."""
        if len(sets) == 1:
            return sets[0]
        changes: dict[str, Any] = {
            name: tuple(entry for one in sets for entry in getattr(one, name)) for name in (*cls._columns, "part")
        }
        notes = tuple(dict.fromkeys(note for one in sets for note in one.notes))
        return replace(
            sets[0],
            places=Places.joined(one.places for one in sets),
            group=_joined_groups(sets),
            notes=notes,
            **changes,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({quantity(len(self), self.noun)})"


def _joined_groups(sets: Sequence[Examples]) -> NDArray[np.int64] | None:
    """Return the groups of several sets, none of which share one."""
    if all(one.group is None for one in sets):
        return None
    found, first = [], 0
    for one in sets:
        group = np.arange(len(one)) if one.group is None else one.group
        found.append(group + first)
        first += int(group.max(initial=-1)) + 1
    return np.concatenate(found)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LabelledTexts(Examples):
    """Texts with the classes that each is of.

    Attributes:
        texts: (N,) what is told of.
        labels: (N,) the classes of each: one, or with `is_multi` several or none at all, `()`; None where missing.
        classes: All classes, sorted (numbers by size), or in the order of a given list of names.
        is_multi: Whether a text may have several classes, or none.
        label_separator: What stood between several classes in a cell, so that other data are read alike; "" where each
            cell had one, or a list.
        unit: What one text was, of folders by class, so that other data are read alike; None where there were none.

    Example:
        >>> examples = LabelledTexts(
        ...     texts=("so good", "so bad"), labels=(("joy",), None), classes=("anger", "joy"),
        ...     places=Places.of("reviews.csv", [1, 2], "row"), part=("train", "test"),
        ... )
        >>> examples.of_part("test").texts, examples.places[1]
        (('so bad',), 'reviews.csv, row 2')
    """

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...] | None, ...]
    classes: tuple[str, ...] = ()
    is_multi: bool = False
    label_separator: str = ""
    unit: Unit | None = None

    noun: ClassVar[str] = "text"
    _columns: ClassVar[tuple[str, ...]] = ("texts", "labels")

    @property
    def keys(self) -> tuple[str, ...]:
        """The texts."""
        return self.texts

    @property
    def _is_empty(self) -> Sequence[bool]:
        return _are_blank(self.texts)

    @classmethod
    def joined(cls, sets: Sequence[Self]) -> Self:
        """Return several sets of texts, one after the other, with the classes of all."""
        same = len({one.classes for one in sets}) == 1
        classes = sets[0].classes if same else in_order({name for one in sets for name in one.classes})
        is_multi = any(one.is_multi for one in sets)
        return replace(super().joined(sets), classes=classes, is_multi=is_multi)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TextPairs(Examples):
    """Texts and what each is to become: a translation, a pronunciation, an answer.

    Attributes:
        sources: (N,) what is read. Several turns of a conversation have a newline between them.
        targets: (N,) what is to be written.

    Example:
        >>> pairs = TextPairs(
        ...     sources=("good day",), targets=("guten Tag",), places=Places.of("train.en", [1]), part=("train",)
        ... )
        >>> len(pairs), len(pairs.of_part("test"))
        (1, 0)
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    noun: ClassVar[str] = "pair"
    _columns: ClassVar[tuple[str, ...]] = ("sources", "targets")

    @property
    def keys(self) -> tuple[str, ...]:
        """The sources: those that are the same belong to one part, whatever they become."""
        return self.sources

    @property
    def _is_empty(self) -> Sequence[bool]:
        without_source, without_target = _are_blank(self.sources), _are_blank(self.targets)
        # Where no target is known, none is missing.
        if all(without_target):
            return without_source
        return [one or other for one, other in zip(without_source, without_target, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TaggedSentences(Examples):
    """Sentences of tokens, each of which has a tag.

    Attributes:
        tokens: (N,) tuples of the tokens of each sentence.
        tags: (N,) as many tags.
        num_columns: Columns that the file had, the first of several; None where it was none in columns.

    Example:
        >>> sentences = TaggedSentences(
        ...     tokens=(("Ada", "wrote"),), tags=(("B-PER", "O"),), places=Places.of("a.conll", [1]), part=(None,)
        ... )
        >>> sentences.tag_names
        ('B-PER', 'O')
    """

    tokens: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]
    num_columns: int | None = None

    noun: ClassVar[str] = "sentence"
    _columns: ClassVar[tuple[str, ...]] = ("tokens", "tags")

    @property
    def keys(self) -> tuple[str, ...]:
        """The tokens of each sentence, joined."""
        return tuple(map(" ".join, self.tokens))

    @property
    def _is_empty(self) -> Sequence[bool]:
        return [not tokens for tokens in self.tokens]

    @property
    def tag_names(self) -> tuple[str, ...]:
        """All tags, sorted."""
        return tuple(sorted({tag for tags in self.tags for tag in set(tags)}))


def _are_blank(texts: Sequence[str]) -> list[bool]:
    """Return whether each text has nothing but white space."""
    # Mostly none is, which is told several times as fast.
    return [False] * len(texts) if all(map(str.strip, texts)) else [not text.strip() for text in texts]


def in_order(classes: Iterable[str]) -> tuple[str, ...]:
    """Return classes sorted; by size where all are whole numbers.

    Example:
        >>> in_order({"10", "9"}), in_order({"b", "a", "10"})
        (('9', '10'), ('10', 'a', 'b'))
    """
    found = list(classes)
    if all(re.fullmatch(r"[+-]?\d+", one) for one in found):
        return tuple(sorted(found, key=lambda one: (int(one), one)))
    return tuple(sorted(found))
