"""Sentences of plain text cut into words, each with its place in the text as it was given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from recur.data.texts.vocabulary import Piece, TextVocabulary

_RUN = re.compile(r"\S+|\s+")


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
    # How long the normal form of each beginning of the text is; a mark that joins the letter before adds nothing.
    lengths = list(accumulate((len(vocabulary.normalised(text[:end])) for end in range(len(text) + 1)), max))
    found = [0]
    for wanted in range(1, lengths[-1] + 1):
        # The last beginning that is not longer, so that a mark stays with its letter.
        found.append(max(end for end, length in enumerate(lengths) if length <= wanted))
    return found
