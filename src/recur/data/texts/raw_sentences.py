"""Sentences of plain text cut into words, each with its place in the text as it was given."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

from recur.data.texts.vocabulary import Piece, TextVocabulary, marks

_RUN = re.compile(r"\S+|\s+")
_KOREAN = "\u1160-\u11ff\u3133\u3135\u3136\u313a-\u313f\u314f-\u318e\ud7b0-\ud7fb\uffa0\uffa3-\uffaf\uffc2-\uffdc"
"""Vowels and ends of Korean syllables, also of half width, which join what is before."""

_OF_NFKC = "\u0e33\u0eb3\uff9e\uff9f"
"""Letters that NFKC makes marks of."""


def cut_into_words(text: str, vocabulary: TextVocabulary) -> list[Piece]:
    """Return the words, numbers and marks of a text as they stand there, with their places in it.

    They are what `vocabulary` cuts from its normal form, whose letters may be fewer or more than those of the text.

    Args:
        text: Any text.
        vocabulary: Of words.

    Example:
        >>> from recur.data.texts.token_options import WordOptions
        >>> words = TextVocabulary.fit_tokens(["a"], WordOptions())
        >>> cut_into_words("Cafe\u0301, Rio", words)
        [Piece(text='Cafe\u0301', begin=0, end=5), Piece(text=',', begin=5, end=6), Piece(text='Rio', begin=7, end=10)]
    """
    found = []
    # No normal form changes white space into something else, nor what stands on both its sides together.
    for run in _RUN.finditer(text):
        whole, start = run[0], run.start()
        pieces = vocabulary.cut(whole)
        place: Sequence[int] = range(len(whole) + 1)
        if vocabulary.normalised(whole) != whole:
            place = _places(whole, vocabulary)
        for piece in pieces:
            begin, end = place[piece.begin], place[piece.end]
            found.append(Piece(whole[begin:end], start + begin, start + end))
    return found


def _places(text: str, vocabulary: TextVocabulary) -> list[int]:
    """Return for each place in the normal form of a text the place in the text that it comes from."""
    found: list[int] = []
    # A cluster has the same normal form alone as in the text.
    for cluster in _cluster().finditer(text):
        one, start = cluster[0], cluster.start()
        length = len(vocabulary.normalised(one))
        # How long the normal form of each beginning is; a mark that joins the letter before adds nothing.
        lengths = list(accumulate((len(vocabulary.normalised(one[:end])) for end in range(len(one) + 1)), max))
        # The last beginning that is not longer, so that a mark stays with its letter.
        found += [start + bisect_right(lengths, wanted) - 1 for wanted in range(length)]
    return [*found, len(text)]


@cache
def _cluster() -> re.Pattern[str]:
    """Return what a character is with all behind it that a normal form may change together with it."""
    return re.compile(rf".[{marks()}{_KOREAN}{_OF_NFKC}]*", re.DOTALL)
