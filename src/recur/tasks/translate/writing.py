"""How texts are written, which says what their tokens are and what is to be asked of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from recur.data.texts.scripts import UNSPACED, is_unspaced

Writing = Literal["words", "symbols", "characters"]
"""How texts are written: as words with blanks between them; as symbols of a small set with blanks between them, such as
phonemes or actions; or in characters, being single words, or of a script that writes no blanks, such as Japanese."""

_FEW_WORDS = 1.5
"""Texts of fewer words in the mean have no blanks to cut them at."""

_MOST_SYMBOLS, _LEAST_OFTEN = 200, 10
"""A small set: so many at most, which stand so often in the mean."""

_SHORT = 6
"""Texts without blanks of at most so many characters in the mean are single words."""

_GLANCE = 5000
"""Texts that are looked at to tell how texts are written."""

_BESIDE_UNSPACED = re.compile(rf"(?<=[{UNSPACED}])\s+|\s+(?=[{UNSPACED}])")


def writing_of(texts: Sequence[str]) -> Writing:
    """Return how texts are written.

    Args:
        texts: Right ones, best those of the training part.

    Example:
        >>> writing_of(["k a t", "d o g"] * 20), writing_of(["the cat sat", "a dog"]), writing_of(["2024-01-01"])
        ('symbols', 'words', 'characters')
    """
    seen = _glance(texts)
    words = [text.split() for text in seen]
    has_blanks = sum(map(len, words)) >= _FEW_WORDS * len(words)
    if has_blanks and _is_small_set(words):
        return "symbols"
    return "words" if has_blanks and not is_unspaced(seen) else "characters"


def main_score(texts: Sequence[str]) -> str:
    """Return the name of the score that says most of such texts: exact match or chrF.

    A word's pronunciation, a number or a list of actions is right or wrong: texts of symbols, and single words that are
    short or of few different characters. Sentences are right in more ways than one.

    Args:
        texts: Right ones, best those of the training part.

    Example:
        >>> main_score(["k a t", "d o g"] * 20), main_score(["the cat sat", "a dog"])
        ('exact', 'chrf')
    """
    writing, seen = writing_of(texts), _glance(texts)
    if writing == "characters":
        is_short = sum(map(len, seen)) <= _SHORT * len(seen)
        return "exact" if is_short or (_is_small_set(seen) and not is_unspaced(seen)) else "chrf"
    return "exact" if writing == "symbols" else "chrf"


def cut_by(writing: Writing) -> Callable[[str], Sequence[str]]:
    """Return what cuts a text into tokens: words, symbols or characters, as it is written.

    Example:
        >>> list(cut_by("characters")("a b")), cut_by("words")("to be")
        (['a', ' ', 'b'], ['to', 'be'])
    """
    return single_blanks if writing == "characters" else str.split


def single_blanks(text: str) -> str:
    """Return a text with one blank between words, and none where the script writes none.

    Example:
        >>> single_blanks(" to  be "), single_blanks("猫 が 好き")
        ('to be', '猫が好き')
    """
    return _BESIDE_UNSPACED.sub("", " ".join(text.split()))


def _glance(texts: Sequence[str]) -> Sequence[str]:
    return texts[:: max(1, len(texts) // _GLANCE)]


def _is_small_set(texts: Sequence[Sequence[str]]) -> bool:
    counts = Counter(token for text in texts for token in text)
    return 0 < len(counts) <= _MOST_SYMBOLS and counts.total() >= _LEAST_OFTEN * len(counts)
