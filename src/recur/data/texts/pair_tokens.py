"""What the tokens of sources and of targets are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from recur.data.texts.token_options import PairTokenOptions, TokenOptions, Tokens
from recur.data.texts.vector_options import PairVectorOptions, VectorOptions
from recur.data.texts.vectors import TokenVectors, vocabulary_with_vectors
from recur.data.texts.vocabulary import TextVocabulary, choose_tokens
from recur.errors import DataError, OptionError
from recur.token_ids import SPECIAL
from recur.wording import option

_GLANCE = 5000
"""Texts that are looked at to choose what a token is."""

_FEW_WORDS, _SHORT, _LONG = 1.5, 16, 30
"""Texts of fewer words or letters in the mean are read by character, and those below 30 letters where both have one
alphabet."""

_FEW_SYMBOLS, _RARE = 400, 0.01
"""At most so many different things between blanks are tokens, where no larger share of all stand there but once."""

_SHARED = 0.8
"""Of the letters that targets have, the share that sources have too, where they spell the same."""

_WORD = re.compile(r"\w+")
_SAME_LANGUAGE = 0.5
"""Likewise of the words, where both are of one language; of two there are names and numbers."""

_BPE_SIZES = ((10_000, 1_000), (50_000, 2_000), (200_000, 4_000))
_LARGEST_BPE = 8_000
"""Tokens of a BPE by how many pairs there are, if nothing is said."""


def choose_pair_tokens(
    options: PairTokenOptions, sources: Sequence[str], targets: Sequence[str]
) -> tuple[PairTokenOptions, dict[str, str]]:
    """Return options whose kinds of tokens are chosen, and for each of these why, by name.

    The size of a BPE is left open: a `vocabulary_size` would bound the other side too, which may be of words.

    Args:
        options: As the user gave them.
        sources: Of the training part.
        targets: Of the training part.

    Example:
        >>> chosen, why = choose_pair_tokens(PairTokenOptions(), ["abbey", "able"], ["ae b i", "ei b l"])
        >>> chosen.source_tokens, chosen.target_tokens, why["target_tokens"]
        ('character', 'space', '5 different things stand between blanks')
    """
    step = max(1, len(sources) // _GLANCE)
    some_sources, some_targets = sources[::step], targets[::step]
    reasons: dict[str, str] = {}
    target, why_target = _kind(some_targets)
    source, why_source = _kind(some_sources)
    letters = sum(map(len, some_sources)) / max(1, len(some_sources))
    if target == "character" and source != "character" and letters < _LONG and _spell_alike(some_sources, some_targets):
        source, why_source = "character", "they are short, and have the letters of the targets"
    if options.vocabulary == "joint" and source != target:
        source = target = "bpe"
        why_source = why_target = "one vocabulary has to do for both"
    given = options.source_tokens or options.target_tokens
    if options.vocabulary == "joint" and given is not None:
        # The kind that is given for one is that of the other.
        source = target = given
    if options.source_tokens is None:
        options, reasons["source_tokens"] = replace(options, source_tokens=source), why_source
    if options.target_tokens is None:
        options, reasons["target_tokens"] = replace(options, target_tokens=target), why_target
    if options.vocabulary is None:
        known = _known_words(some_sources, some_targets)
        is_joint = options.source_tokens == options.target_tokens == "bpe" and known >= _SAME_LANGUAGE
        options = replace(options, vocabulary="joint" if is_joint else "own")
        if is_joint:
            reasons["vocabulary"] = f"{known:.0%} of the words of targets stand in sources too"
    return options, reasons


def with_words_for_vectors(options: PairTokenOptions, vectors: PairVectorOptions) -> PairTokenOptions:
    """Return options by which texts that are given vectors are read by word, where nothing else is said.

    Raises:
        OptionError: There is one vocabulary for both, or tokens are pieces of words, which have no vectors.
    """
    for side, path in (("source", vectors.vectors), ("target", vectors.target_vectors)):
        name, kind = f"{side}_tokens", getattr(options, f"{side}_tokens")
        asked = "vectors" if side == "source" else "target_vectors"
        if path is None:
            continue
        if options.vocabulary == "joint":
            raise OptionError(
                f"{asked}: are of {side}s, and a joint vocabulary is of both; leave {option('vocabulary')} out."
            )
        if kind == "bpe":
            raise OptionError(
                f"{asked}: are of words, and tokens of {side}s are pieces of them; choose {option(name, 'word')} or "
                "space."
            )
        if kind is None:
            changes: dict[str, Any] = {name: "word"}
            options = replace(options, **changes)
    return options


class PairVocabularies(NamedTuple):
    """The vocabularies of sources and of targets, and the vectors that their tokens begin with, if there are some."""

    sources: TextVocabulary
    targets: TextVocabulary
    of_sources: TokenVectors | None = None
    of_targets: TokenVectors | None = None


def fit_pair_vocabularies(
    options: PairTokenOptions,
    sources: Sequence[str],
    targets: Sequence[str],
    vectors: PairVectorOptions | None = None,
) -> PairVocabularies:
    """Return the vocabularies of sources and of targets, one and the same where it is joint.

    Args:
        options: With every kind chosen; a BPE whose size is not given has one by how many pairs there are.
        sources: Of the training part.
        targets: Of the training part.
        vectors: Vectors that tokens begin with.

    Raises:
        DataError: There is no token, or none stands often enough; or vectors cannot be read, or are of no token.
        OptionError: Vectors and tokens do not go together.
    """
    if not any(map(str.strip, targets)):
        raise DataError("there is nothing to learn from: no pair has a target.")
    vectors = vectors or PairVectorOptions()
    with_words_for_vectors(options, vectors)
    of_source, of_target = (
        _of_one(options, kind, len(sources)) for kind in (options.source_tokens, options.target_tokens)
    )
    if options.vocabulary == "joint":
        both, _ = _fit(of_target, [*sources, *targets], "texts", VectorOptions())
        return PairVocabularies(both, both)
    source, of_sources = _fit(of_source, sources, "sources", vectors.of_sources)
    target, of_targets = _fit(of_target, targets, "targets", vectors.of_targets)
    return PairVocabularies(source, target, of_sources, of_targets)


def _of_one(options: PairTokenOptions, kind: Tokens | None, num_pairs: int) -> TokenOptions:
    """Return the options of one side, with the size of its BPE, if it is one."""
    chosen = options.of_one(kind)
    if kind == "bpe" and chosen.vocabulary_size is None:
        size = next((size for most, size in _BPE_SIZES if num_pairs <= most), _LARGEST_BPE)
        chosen = replace(chosen, vocabulary_size=size)
    return chosen


def _fit(
    options: TokenOptions, texts: Sequence[str], what: str, vectors: VectorOptions
) -> tuple[TextVocabulary, TokenVectors | None]:
    options = choose_tokens(options, texts)[0]
    # Turns of a conversation would run together.
    has_lines = any("\n" in text for text in texts)
    found, begun = vocabulary_with_vectors(texts, options, vectors, has_lines=has_lines)
    if found.size == SPECIAL:
        raise DataError(
            f"no token of the {what} stands {options.min_count} times in the training part, so that none would be "
            f"known; give {option('min_count', 1)}."
        )
    return found, begun


def _kind(texts: Sequence[str]) -> tuple[Tokens, str]:
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    letters = sum(map(len, texts)) / max(1, len(texts))
    if words < _FEW_WORDS:
        return "character", "texts are single words" if letters < _LONG else "texts have no blanks"
    counts = Counter(symbol for text in texts for symbol in text.split())
    rare = sum(count == 1 for count in counts.values())
    if len(counts) <= _FEW_SYMBOLS and (rare <= _RARE * counts.total() or len(texts) < _FEW_SYMBOLS // 10):
        return "space", f"{len(counts):,} different things stand between blanks"
    if letters < _SHORT:
        return "character", f"texts have {letters:.0f} letters in the mean"
    return "bpe", f"texts have {words:.1f} words in the mean"


def _known_words(sources: Sequence[str], targets: Sequence[str]) -> float:
    """Return which share of the words of targets stands in sources too."""
    written = Counter(word for text in targets for word in _WORD.findall(text.lower()))
    known = {word for text in sources for word in _WORD.findall(text.lower())}
    return sum(count for word, count in written.items() if word in known) / max(1, written.total())


def _spell_alike(sources: Sequence[str], targets: Sequence[str]) -> bool:
    written = Counter(letter for text in targets for letter in text)
    known = {letter for text in sources for letter in text}
    return sum(count for letter, count in written.items() if letter in known) >= _SHARED * written.total()
