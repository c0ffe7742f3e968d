"""Vectors of words that others have trained, read from files in the text form of GloVe or word2vec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recur.data.text import TextFile, bytes_of
from recur.data.texts.token_options import TokenOptions, WordOptions
from recur.data.texts.vector_options import VectorOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.errors import DataError, OptionError
from recur.token_ids import SPECIAL
from recur.wording import option, quantity

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenVectors:
    """What is known of F tokens of a vocabulary beforehand.

    Attributes:
        ids: Which tokens, (F,) int64.
        values: Their vectors, (F, E) float32.
        num_known: Tokens of the vocabulary that stand in the training part.
        num_found: Those of them that have a vector.
        running: Share of the tokens of the training part, each as often as it stands there, that have one.
    """

    ids: NDArray[np.int64]
    values: Floats
    num_known: int
    num_found: int
    running: float

    def __str__(self) -> str:
        more = len(self.ids) - self.num_found
        return (
            f"{self.num_found:,} of {self.num_known:,} known tokens of the training part have one ({self.running:.1%} "
            f"of its text), of {quantity(self.values.shape[1], 'number')}"
            + (f"; {more:,} more are known by their vectors alone" if more else "")
        )


def vocabulary_with_vectors(
    texts: Sequence[str], tokens: TokenOptions, options: VectorOptions, *, has_lines: bool = False
) -> tuple[TextVocabulary, TokenVectors | None]:
    """Return the vocabulary of the training part, and the vectors that its tokens begin with; None without a file.

    Args:
        texts: Of the training part.
        tokens: How they become tokens, with every value chosen.
        options: Where the vectors are, and which further words they make known.
        has_lines: As of `TextVocabulary.fit`.

    Raises:
        DataError: There is no token, the file cannot be read or is damaged, or it has none of the tokens.
        OptionError: Tokens are pieces of words, which have no vectors.
    """
    if options.vectors is None:
        return TextVocabulary.fit(texts, tokens, has_lines=has_lines), None
    if tokens.tokens == "bpe":
        raise OptionError(
            f"vectors: are of words, and tokens are pieces of them; choose {option('tokens', 'word')} or space."
        )
    counts = TextVocabulary.counts(texts, tokens, has_lines=has_lines)
    advice = f", or are the texts read by {option('tokens', 'character')}?"
    found = _found(options, counts, lowercase=bool(tokens.lowercase), advice=advice)
    vocabulary = TextVocabulary.fit(texts, tokens, counts=counts, also=found, has_lines=has_lines)
    return vocabulary, _of_vocabulary(vocabulary, counts, found)


def words_with_vectors(
    tokens: Sequence[str], words: WordOptions, options: VectorOptions
) -> tuple[TextVocabulary, TokenVectors | None]:
    """Return the vocabulary of words that are given as such, and the vectors that they begin with; None without a file.

    Args:
        tokens: Of the training part, each as often as it stands there.
        words: Which of them are known.
        options: Where the vectors are, and which further words they make known.

    Raises:
        DataError: There is no token, the file cannot be read or is damaged, or it has none of the tokens.
    """
    plain = TextVocabulary.fit_tokens(tokens, words)
    if options.vectors is None:
        return plain, None
    counts = Counter(map(plain.looked_up, tokens))
    found = _found(options, counts, lowercase=plain.lowercase, advice="?")
    vocabulary = TextVocabulary.fit_tokens(tokens, words, also=found)
    return vocabulary, _of_vocabulary(vocabulary, counts, found)


def _found(options: VectorOptions, counts: Mapping[str, int], *, lowercase: bool, advice: str) -> dict[str, Floats]:
    """Return the vectors of the file that some words have, and those of its first words.

    Raises:
        DataError: The file cannot be read or is damaged, or has none of the words.
    """
    assert options.vectors is not None
    found = read_vectors(options.vectors, counts, first=options.vector_words, lowercase=lowercase)
    if not any(token in found for token in counts):
        raise DataError(
            f"{options.vectors}: has none of the {len(counts):,} tokens of the training part; is it of another "
            f"language{advice}"
        )
    return found


def _of_vocabulary(vocabulary: TextVocabulary, counts: Mapping[str, int], found: Mapping[str, Floats]) -> TokenVectors:
    known = vocabulary.symbols
    places = [place for place, symbol in enumerate(known) if symbol in found]
    own = [symbol for symbol in known if symbol in counts]
    have = [symbol for symbol in own if symbol in found]
    return TokenVectors(
        ids=np.array(places, np.int64) + SPECIAL,
        values=np.stack([found[known[place]] for place in places]),
        num_known=len(own),
        num_found=len(have),
        running=sum(counts[symbol] for symbol in have) / sum(counts.values()),
    )


def read_vectors(
    path: str | Path, wanted: Collection[str], *, first: int = 0, lowercase: bool = False
) -> dict[str, Floats]:
    """Return the vectors of some words.

    The file is read once, and only what may be returned is kept. A word that is not there as it is written has the
    vector of the first one that is the same but for its case.

    Args:
        path: A file in the text form of GloVe or word2vec, also `.gz`: a word and its numbers on each line, with blanks
            between; a first line with the number of words and that of numbers may be there.
        wanted: Words whose vectors are returned.
        first: How many of the first words of the file are returned too, after the others.
        lowercase: Whether those are called in small letters.

    Returns:
        By word, (E,) float32.

    Raises:
        DataError: The file cannot be read, is not of this form, or a line is damaged.
    """
    exact: dict[str, Floats] = {}
    alike: dict[str, Floats] = {}
    lowered = {word.lower() for word in wanted}
    more: dict[str, None] = {}
    size = count = 0
    for number, line in _lines(Path(path)):
        if number == 1 and (size := _header(line)):
            continue
        size = size or len(line.split()) - 1
        word, numbers = _cut(path, number, line, size)
        count += 1
        low = word.lower()
        is_first = count <= first
        name = low if lowercase else word
        if is_first:
            more[name] = None
        if (word in wanted or (is_first and word == name)) and word not in exact:
            exact[word] = _numbers(path, number, numbers)
        elif (is_first or low in lowered) and low not in alike:
            alike[low] = _numbers(path, number, numbers)
    if not count:
        raise DataError(f"{path}: has no vectors in it; give a file with a word and its numbers on each line.")
    found = {word: exact.get(word, alike.get(word.lower())) for word in (*wanted, *more)}
    return {word: values for word, values in found.items() if values is not None}


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not empty, with their numbers, without blanks around them.

    Raises:
        DataError: It is missing, or cannot be read or unpacked.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file of vectors; check the path.")
    number, rest = 0, b""
    for chunk in bytes_of([TextFile.at(path)]):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            if own := line.strip():
                yield number, own
    if own := rest.strip():
        yield number + 1, own


def _header(line: bytes) -> int:
    """Return how many numbers a vector has where a line is the header of word2vec; else 0."""
    fields = line.split()
    return int(fields[1]) if len(fields) == 2 and all(field.isdigit() for field in fields) else 0


def _cut(path: str | Path, number: int, line: bytes, size: int) -> tuple[str, bytes]:
    """Return the word of a line, which may have blanks in it, and its numbers as they stand there.

    Raises:
        DataError: There are too few.
    """
    word, _, numbers = line.partition(b" ")
    # Most lines have no blank too many, and of most the numbers are not wanted.
    if not size or line.count(b" ") != size:
        fields = line.split()
        if size < 1 or len(fields) <= size:
            expected = "a word and its numbers" if size < 1 else f"{size} as on the lines before"
            raise DataError(
                f"{path}, line {number}: has {quantity(len(fields) - 1, 'number')} after the word, expected "
                f"{expected}; the file is damaged, cut off, or not in text form."
            )
        word, numbers = b" ".join(fields[:-size]), b" ".join(fields[-size:])
    return word.decode("utf-8", "replace"), numbers


def _numbers(path: str | Path, number: int, numbers: bytes) -> Floats:
    fields = numbers.split()
    found = np.zeros(len(fields), np.float32)
    for place, field in enumerate(fields):
        try:
            found[place] = float(field)
        except ValueError as error:
            shown = field.decode("utf-8", "replace")
            raise DataError(f"{path}, line {number}: {shown!r} is no number; the file is damaged.") from error
    if not np.isfinite(found).all():
        raise DataError(f"{path}, line {number}: a number is not finite; the file is damaged.")
    return found
