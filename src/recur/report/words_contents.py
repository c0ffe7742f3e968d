"""What the page of an inspection says of a model that reads a whole text: its words, by what they speak for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recur.report.answers import Answer
from recur.report.answers_contents import check_view, figure, gap_share, with_sign
from recur.report.inspection import Inspection
from recur.report.passage import LEVELS, Scale, symbol_name, symbols
from recur.report.sketch import Curves
from recur.report.values import percent

_SIGNED_LEVELS = 13
"""Colours from what speaks against to what speaks for; the style sheet has as many."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """A symbol of the text on its colour."""

    text: str
    """What is shown."""
    kind: str
    """The classes of the style sheet that it has."""
    says: str
    """What it contributes, in words."""
    after: str
    """What stands after it."""
    label: str = ""
    """What stands below it, small."""


@dataclass(frozen=True, kw_only=True)
class ClassView:
    """A class, and what speaks for it and against it."""

    name: str
    """The class."""
    said: str
    """How probable it is."""
    came: str
    """Whether it is true; empty where that is not known."""
    strongest: str
    """What speaks for it and against it most, in a sentence; empty where nothing does."""
    sums: str
    """What the contributions add up to, and what they should."""
    words: tuple[Word, ...]
    """The text."""


@dataclass(frozen=True, kw_only=True)
class WordsView:
    """All classes that were explained, and how far that can be believed."""

    classes: tuple[ClassView, ...]
    """At least one."""
    tags: tuple[Word, ...]
    """The text coloured by how doubtful the tag of each symbol is; empty where there are none."""
    attention: tuple[Word, ...]
    """The text coloured by where the attention lies; empty where there is none."""
    check: Curves | None
    """What deleting costs."""
    verdict: str
    """The same in words."""


def words_view(seen: Inspection) -> WordsView | None:
    """Return what the words of a text speak for; None where a series was read, or nothing is explained."""
    found = seen.answers
    if found is None or seen.kind != "text":
        return None
    check, verdict = check_view(
        found, f"{seen.unit}s", f"in other texts, putting {seen.unit}s that it does not know in the place of"
    )
    attention: tuple[Word, ...] = ()
    if found.attention is not None:
        share = found.attention
        top = float(np.nanmax(share)) if np.isfinite(share).any() else 1.0
        levels = [f"g{_level(float(value) / top if top else 0.0, LEVELS)}" for value in share]
        attention = tuple(_words(seen, levels, [percent(float(one)) if one >= 0 else "unknown" for one in share]))
    return WordsView(
        classes=tuple(_class(seen, one) for one in found.answers),
        tags=tuple(_tagged(seen)),
        attention=attention,
        check=check,
        verdict=verdict,
    )


def _tagged(seen: Inspection) -> Iterator[Word]:
    """Yield the symbols with their tags, where there are some."""
    if seen.tags is None:
        return
    true = seen.tags.true or seen.tags.told
    levels, says, labels = [], [], []
    for told, share, right in zip(seen.tags.told, seen.tags.probability, true, strict=True):
        levels.append(f"g{_level(0.0 if share is None else 1 - share, LEVELS)}")
        sure = "unknown how probable" if share is None else percent(share)
        says.append(f"{told}, {sure}" + ("" if told == right else f"; in truth {right}"))
        # What is outside of all entities has no name to show.
        labels.append("" if told == right == "O" else told if told == right else f"{told}, in truth {right}")
    for word, label in zip(_words(seen, levels, says), labels, strict=True):
        yield replace(word, label=label)


def _class(seen: Inspection, one: Answer) -> ClassView:
    shares = shares_of(one)
    largest = max((abs(share) for share in shares), default=0.0) or 1.0
    levels = [f"d{_level((share / largest + 1) / 2, _SIGNED_LEVELS)}" for share in shares]
    sums = ""
    if one.answer is not None and one.neutral is not None and one.gap is not None:
        sums = (
            f"Log-odds of a text of as many {seen.unit}s that it does not know: {figure(one.neutral)}. What the "
            f"{seen.unit}s contribute adds up to {with_sign(one.answer - one.neutral)}, which makes "
            f"{figure(one.answer)}, to within {gap_share(one.gap)} of all contributions."
        )
    return ClassView(
        name=one.name,
        said=one.said,
        came=one.came,
        strongest=strongest_words(one),
        sums=sums,
        words=tuple(_words(seen, levels, [f"{with_sign(share)} nats" for share in shares])),
    )


def shares_of(one: Answer) -> list[float]:
    """Return what each symbol contributes, nothing where that is not known."""
    return [float(value) for value in np.nansum(one.shares, 1)]


def strongest_words(one: Answer) -> str:
    """Return what speaks for a class and against it most, in a sentence."""
    said = [
        f"{how} it {', '.join(f'{symbol_name(word)} ({with_sign(share)})' for word, share in words)}"
        for how, words in (("for", one.speak_for), ("against", one.speak_against))
        if words
    ]
    return f"{'; '.join(said)[:1].upper()}{'; '.join(said)[1:]}." if said else ""


def _words(seen: Inspection, levels: Sequence[str], says: Sequence[str]) -> Iterator[Word]:
    plain: list[Any] = [None] * seen.count
    shown = symbols(seen.symbols, plain, Scale(top=1.0))
    for one, level, said, after in zip(shown, levels, says, seen.between, strict=True):
        kind = level if one.kind == "text" else f"{level} {one.kind}"
        yield Word(text=one.text, kind=kind, says=f"{one.name}: {said}", after=after)


def _level(share: float, count: int) -> int:
    """Return the colour of a share from 0 to 1."""
    return min(count - 1, max(0, int(share * count))) if np.isfinite(share) else 0
