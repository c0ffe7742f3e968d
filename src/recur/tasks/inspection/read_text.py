"""What inspections of models that read a text as a whole have in common: its tokens, and what these contribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from recur.data.texts.vocabulary import Piece, TextVocabulary
from recur.errors import DataError
from recur.gradients import Deletion
from recur.inspection_format import FORMAT, MAX_SYMBOLS
from recur.models.layer_recording import LayerRecording
from recur.tasks.inspection.text_properties import text_properties
from recur.tasks.inspection.unit_search import Property
from recur.tasks.texts.explanation import Explanation
from recur.wording import quantity

_OF_CHARACTERS = ("line_start", "word_start", "word_end", "white_space", "vowel", "position_in_word")
"""Properties that say nothing of whole words."""

_WORDS = 5
"""Words that are listed for an answer, and against it."""

UNITS = {"word": "word", "space": "word", "character": "character", "bpe": "token"}
"""What a token is called, by the kind of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class ReadText:
    """A text that is looked at, cut into N tokens.

    Attributes:
        title: What it is.
        text: As the places of the tokens count in; what is not shown is left out.
        pieces: The tokens.
        unit: What one of them is called.
        cut: How much of it that is, as if it ended there; empty for all.
    """

    title: str
    text: str
    pieces: tuple[Piece, ...]
    unit: str
    cut: str = ""

    @classmethod
    def of(cls, title: str, text: str, vocabulary: TextVocabulary) -> Self:
        """Return a text that a vocabulary cuts.

        Raises:
            DataError: It has no token.
        """
        pieces = tuple(vocabulary.cut(text))
        return cls(title=title, text=vocabulary.normalised(text), pieces=pieces, unit=UNITS[vocabulary.kind]).shortened(
            vocabulary.cut
        )

    def shortened(self, cutter: Callable[[str], Iterable[Piece]] | None = None) -> Self:
        """Return the text as far as it is shown.

        Args:
            cutter: Cuts a text into tokens, where the beginning of one may have others by itself, as of a BPE.

        Raises:
            DataError: It has no token.
        """
        if not self.pieces:
            raise DataError(f"{self.title}: has no {self.unit} that could be read; give a text with at least one.")
        if len(self.pieces) <= MAX_SYMBOLS:
            return self
        text, pieces = self.text, self.pieces
        while len(pieces) > MAX_SYMBOLS:
            text = text[: pieces[MAX_SYMBOLS].begin]
            pieces = pieces[:MAX_SYMBOLS] if cutter is None else tuple(cutter(text))
        cut = f"the first {len(pieces):,} of {quantity(len(self.pieces), self.unit)}, as if it ended there"
        return replace(self, text=text, pieces=pieces, cut=cut)

    def shown(self, place: int) -> str:
        """Return a token as it stands in the text."""
        one = self.pieces[place]
        return self.text[one.begin : one.end] or one.text

    @property
    def between(self) -> list[str]:
        """What stands after each token and is none; before the first one nothing is shown."""
        begins = [*(one.begin for one in self.pieces[1:]), len(self.text)]
        return [self.text[one.end : max(one.end, begin)] for one, begin in zip(self.pieces, begins, strict=True)]

    def properties(self) -> list[Property]:
        """Return what is true of the text at each token, that units may follow."""
        ends = [*(one.begin for one in self.pieces[1:]), len(self.text)]
        read = [self.text[one.begin : max(one.begin, end)] for one, end in zip(self.pieces, ends, strict=True)]
        # A short text has few of them.
        own = [one for one in text_properties(read) if one.values.any()]
        return own if self.unit == "character" else [one for one in own if one.key not in _OF_CHARACTERS]

    def content(self, unknown: Sequence[int]) -> dict[str, Any]:
        """Return what `inspect.json` has of the text.

        Args:
            unknown: Places of the tokens that the model does not know.
        """
        counts = Counter(self.shown(place) for place in unknown)
        return {
            "format": FORMAT,
            "kind": "text",
            "title": self.title,
            "cut": self.cut,
            "unit": self.unit,
            "symbols": [self.shown(place) for place in range(len(self.pieces))],
            "between": self.between,
            "unknown": [{"symbol": symbol, "count": count} for symbol, count in counts.items()],
            "losses": [None] * len(self.pieces),
        }


def answer_content(one: Explanation, *, name: str, said: str, came: str) -> dict[str, Any]:
    """Return an answer and what contributes to it, as it stands in `inspect.json`.

    Args:
        one: What contributes.
        name: What is said.
        said: How probable it is, in words.
        came: What is true; empty where that is not known.
    """
    return {
        "name": name,
        "said": said,
        "came": came,
        "answer": one.answer,
        "neutral": one.neutral,
        "sum": float(one.shares.sum()),
        "gap": one.gap,
        "by_channel": [float(one.shares.sum())],
        "ahead": [0.0],
        "strongest": {key: one.strongest(_WORDS, sign=sign) for key, sign in (("for", 1), ("against", -1))},
    }


def answers_content(
    answers: Sequence[Mapping[str, Any]],
    *,
    asked: str,
    notes: Sequence[str],
    check: Deletion | None,
    unchecked: str,
) -> dict[str, Any]:
    """Return all answers as they stand in `inspect.json`.

    Args:
        answers: As `answer_content` returns them.
        asked: What they are of, a phrase.
        notes: What a reader has to know.
        check: Whether what is said to contribute does so elsewhere; None where that is not known.
        unchecked: Why it is not.
    """
    return {
        "asked": asked,
        "unit": "nats of the log-odds",
        "notes": list(notes),
        "begin": 0,
        "channels": ["token"],
        "answers": list(answers),
        "check": None if check is None else check.to_json(),
        "unchecked": "" if check is not None else unchecked,
        "ahead": None,
    }


def reverse_notes(layers: Sequence[LayerRecording]) -> list[str]:
    """Return a note on layers that read from the end, where there are some."""
    if not any(layer.name.endswith("_reverse") for layer in layers):
        return []
    return [
        "layers whose names end in _reverse read the text from its end; in the drawing they stand above the others, "
        "though both read the same"
    ]
