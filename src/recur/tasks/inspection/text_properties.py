"""Properties of a text that units of a network may follow: quotes, brackets, lines, words, classes of letters."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recur.tasks.inspection.unit_search import Property

_CLOSING_QUOTES = {'"': '"', "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}"} | {
    "\N{DOUBLE LOW-9 QUOTATION MARK}": "\N{LEFT DOUBLE QUOTATION MARK}",
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}": "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}",
    "\N{LEFT CORNER BRACKET}": "\N{RIGHT CORNER BRACKET}",
}
"""What ends a quotation that each begins. Single quotes are left out, for they are apostrophes too."""

_CLOSING_BRACKETS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class _Reading:
    """What is known once a character is read."""

    character: str
    inside_quotes: bool = False
    bracket_depth: int = 0
    position_in_line: int = 0
    position_in_word: int = 0
    is_line_start: bool = False
    is_word_end: bool = False


_CLASSES: tuple[tuple[str, str, Callable[[_Reading], bool]], ...] = (
    ("line_start", "first of a line", lambda at: at.is_line_start),
    ("word_start", "first of a word", lambda at: at.position_in_word == 1),
    ("word_end", "last of a word", lambda at: at.is_word_end),
    ("white_space", "white space", lambda at: at.character.isspace()),
    ("vowel", "vowel", lambda at: _base(at.character) in "aeiou"),
    ("upper_case", "upper case", lambda at: at.character.isupper()),
    ("digit", "digit", lambda at: at.character.isdigit()),
    ("punctuation", "punctuation", lambda at: unicodedata.category(at.character).startswith("P")),
)
"""What is true of single characters, and of a token when it is of one of them."""

_COURSES: tuple[tuple[str, str, Literal["binary", "number"], Callable[[_Reading], float]], ...] = (
    ("inside_quotes", "inside quotes", "binary", lambda at: at.inside_quotes),
    ("inside_brackets", "inside brackets", "binary", lambda at: at.bracket_depth > 0),
    ("bracket_depth", "depth of brackets", "number", lambda at: at.bracket_depth),
    ("position_in_line", "position in the line", "number", lambda at: at.position_in_line),
    ("position_in_word", "position in the word", "number", lambda at: at.position_in_word),
)
"""What goes on from character to character, and of a token is that of its last one."""


def text_properties(pieces: Sequence[str], document_starts: NDArray[np.int64] | None = None) -> list[Property]:
    """Return what is true after each symbol of a text is read.

    - Inside quotes: from an opening double quotation mark to before the closing one, at most to the paragraph's end.
    - Inside brackets, and their depth: of ( [ {, from an opening one to before the one that closes it; one that nothing
      closes counts for nothing.
    - Position in the line: characters since the line began; the line's end is 0. In the word: letters and digits in a
      row, this one included; 0 outside.
    - First of a line, first and last of a word; white space, vowel (a e i o u, with any accent), upper case, digit,
      punctuation. A token has such a property if one of its characters has it.

    Args:
        pieces: The text that each of N symbols completes, as a `recur.data.tokenizer.Decoder` gives it: of a character
            one, of a token several, and nothing as long as bytes make no character; then what was true goes on, and
            no class is.
        document_starts: Symbols at which a document starts, with which quotes, brackets, lines and words end; or None.
    """
    starts = {0} if document_starts is None else {0, *document_starts.tolist()}
    readings = _readings(pieces, starts)
    found = []
    for key, name, kind, course in _COURSES:
        values, latest = [], 0.0
        for own in readings:
            latest = float(course(own[-1])) if own else latest
            values.append(latest)
        # The depth of brackets that are never nested says nothing more than that there are some.
        if key != "bracket_depth" or max(values, default=0) > 1:
            found.append(Property(key=key, name=name, kind=kind, values=np.array(values)))
    for key, name, is_true in _CLASSES:
        hits = np.array([float(any(map(is_true, own))) for own in readings])
        found.append(Property(key=key, name=name, kind="binary", values=hits))
    return found


def _readings(pieces: Sequence[str], starts: Collection[int]) -> list[list[_Reading]]:
    found: list[list[_Reading]] = []
    depths = iter(_bracket_depths(pieces, starts))
    at, closing = _Reading(""), ""
    for number, piece in enumerate(pieces):
        if number in starts:
            at, closing = _Reading(""), ""
        own = []
        for place, character in enumerate(piece):
            after = piece[place + 1 : place + 2] or _next_character(pieces, number, starts)
            # An empty line ends a paragraph.
            if closing and (character == closing or (character == "\n" and at.character == "\n")):
                closing = ""
            elif not closing:
                closing = _CLOSING_QUOTES.get(character, "")
            at = _after(at, character, after, bool(closing), next(depths))
            own.append(at)
        found.append(own)
    return found


def _bracket_depths(pieces: Sequence[str], starts: Collection[int]) -> list[int]:
    """Return in how many brackets that are closed each character is."""
    changes: list[int] = []
    waiting: list[tuple[int, str]] = []
    for number, piece in enumerate(pieces):
        if number in starts:
            waiting.clear()
        for character in piece:
            changes.append(0)
            if character in _CLOSING_BRACKETS:
                waiting.append((len(changes) - 1, _CLOSING_BRACKETS[character]))
            elif any(closing == character for _, closing in waiting):
                # Those that were opened in between nothing closes.
                while waiting[-1][1] != character:
                    waiting.pop()
                changes[waiting.pop()[0]] += 1
                changes[-1] -= 1
    return list(itertools.accumulate(changes))


def _after(at: _Reading, character: str, after: str, inside_quotes: bool, bracket_depth: int) -> _Reading:
    is_in_word = character.isalnum()
    return _Reading(
        character=character,
        inside_quotes=inside_quotes,
        bracket_depth=bracket_depth,
        position_in_line=0 if character == "\n" else at.position_in_line + 1,
        position_in_word=at.position_in_word + 1 if is_in_word else 0,
        # Before the first character of a document there is none.
        is_line_start=at.character in ("", "\n"),
        is_word_end=is_in_word and after != "" and not after.isalnum(),
    )


def _next_character(pieces: Sequence[str], number: int, starts: Collection[int]) -> str:
    """Return the character after piece `number`, empty where nobody knows it."""
    for later in range(number + 1, len(pieces)):
        if later in starts:
            return ""
        if pieces[later]:
            return pieces[later][0]
    return ""


def _base(character: str) -> str:
    """Return a letter in lower case without its accents."""
    return unicodedata.normalize("NFD", character)[0].lower()
