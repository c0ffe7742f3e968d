"""A passage of text to look into a network with: the reader's own, or one of the run's."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recur.data.tokenizer import REPLACEMENT, Tokenizer
from recur.errors import DataError, RunError
from recur.inspection_format import MAX_SYMBOLS
from recur.run import RunFolder
from recur.tasks.language.run_text import corpus_of
from recur.tasks.language.trained import TrainedLanguageModel
from recur.wording import symbol_name

_OWN_SYMBOLS = 2000
"""Symbols of the run's own text."""

_CHARACTERS_PER_SYMBOL = 8
"""Characters that are encoded for each symbol to be shown; a token has four on average."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text of N symbols, as a model reads it.

    Attributes:
        title: What it is.
        cut: What of a longer text it is; empty where it is all.
        ids: Token ids, (N,) int64, N at least 1.
        symbols: Each symbol as it stands in the text.
        pieces: The text that each symbol completes; empty where bytes make no character yet.
        unit: What a symbol is: character, byte or token.
        unknown: What the model does not know and takes for the unknown token, with how often it comes.
        num_characters: Characters of the whole text, of which this is the beginning.
        document_starts: Symbols before which the state starts anew, (D,) int64, or None where there are none.
    """

    title: str
    cut: str
    ids: NDArray[np.int64]
    symbols: list[str]
    pieces: list[str]
    unit: str
    unknown: dict[str, int]
    num_characters: int
    document_starts: NDArray[np.int64] | None = None


def passage_of_text(tokenizer: Tokenizer, chunks: Iterable[str], title: str = "your text") -> Passage:
    """Return the first `MAX_SYMBOLS` symbols of a text.

    Args:
        tokenizer: Of the model that shall read it.
        chunks: The text, whole or in pieces; of a long one only the beginning is held in memory.
        title: What to call it.

    Raises:
        DataError: The text is empty.
    """
    longest = MAX_SYMBOLS * _CHARACTERS_PER_SYMBOL
    text, num_characters = "", 0
    for chunk in chunks:
        num_characters += len(chunk)
        text += chunk[: longest - len(text)]
    if not text:
        raise DataError(f"{title}: is empty; give at least one character.")
    unit = symbol_name(tokenizer.kind)
    every = tokenizer.encode(text, unknown="map")
    ids = every[:MAX_SYMBOLS]
    pieces = _pieces(tokenizer, ids)
    if unit == "character":
        # What the model does not know is shown as it stands.
        pieces = list(text[: len(ids)])
    shown = text[: sum(map(len, pieces))]
    is_cut = len(ids) < len(every) or len(text) < num_characters
    strange = set(tokenizer.unknown_in(shown))
    return Passage(
        title=title,
        cut=_first(len(ids), unit, len(shown), num_characters) if is_cut else "",
        ids=ids,
        symbols=pieces if unit == "character" else [tokenizer.symbol(token) for token in ids.tolist()],
        pieces=pieces,
        unit=unit,
        unknown=dict(Counter(character for character in shown if character in strange)),
        num_characters=num_characters,
    )


def passage_of_run(folder: RunFolder, trained: TrainedLanguageModel) -> tuple[Passage, str]:
    """Return the beginning of the text that was held out for the test, and why it is another one, if it is.

    Where that text is gone, the passages that surprised the model most are taken, and where there are none a text that
    the model writes.

    Args:
        folder: The run.
        trained: Its model.
    """
    tokenizer = trained.tokenizer
    try:
        corpus = corpus_of(folder)
    except (RunError, DataError) as error:
        note = f"the text that was held out is not there, so another is shown: {error}"
        return _surprising(folder, tokenizer) or _written(trained), note
    every, starts = corpus.ids("test"), corpus.documents("test")
    ids = every[:_OWN_SYMBOLS].astype(np.int64)
    if len(ids) == 0:
        return _written(trained), "no text was held out for the test, so another is shown."
    starts = None if starts is None else starts[starts < len(ids)]
    total = corpus.characters("test")
    return _of_ids(tokenizer, ids, "the text held out for the test", total, starts, is_cut=len(ids) < len(every)), ""


def _surprising(folder: RunFolder, tokenizer: Tokenizer) -> Passage | None:
    """Return the most surprising passages, one document each, or None where there are none to be read."""
    try:
        found = folder.read_json("evaluation.json").get("surprising")
    except RunError:
        return None
    numbers = {tokenizer.symbol(token): token for token in range(tokenizer.vocabulary_size)}
    passages: list[list[int]] = []
    for entry in found if isinstance(found, list) else []:
        tokens = entry.get("tokens") if isinstance(entry, dict) else None
        if isinstance(tokens, list) and tokens and all(isinstance(one, str) and one in numbers for one in tokens):
            passages.append([numbers[token] for token in tokens])
    lengths = list(itertools.accumulate(map(len, passages), initial=0))
    if lengths[-1] == 0:
        return None
    ids = np.array([token for passage in passages for token in passage][:_OWN_SYMBOLS], dtype=np.int64)
    starts = np.array([start for start in lengths[:-1] if start < len(ids)], dtype=np.int64)
    total = tokenizer.characters_of(ids)
    return _of_ids(tokenizer, ids, "the passages that surprised the model most", total, starts, is_cut=False)


def _written(trained: TrainedLanguageModel) -> Passage:
    text = trained.generate(trained.default_prompt, _OWN_SYMBOLS // 2, seed=0)[0]
    return passage_of_text(trained.tokenizer, [text], "a text that the model wrote")


def _of_ids(
    tokenizer: Tokenizer,
    ids: NDArray[np.int64],
    title: str,
    total: int,
    starts: NDArray[np.int64] | None,
    *,
    is_cut: bool,
) -> Passage:
    unit, pieces = symbol_name(tokenizer.kind), _pieces(tokenizer, ids)
    return Passage(
        title=title,
        cut=_first(len(ids), unit, sum(map(len, pieces)), total) if is_cut else "",
        ids=ids,
        symbols=[tokenizer.symbol(token) for token in ids.tolist()],
        pieces=pieces,
        unit=unit,
        unknown=dict(Counter(REPLACEMENT for token in ids.tolist() if token == tokenizer.unknown_id)),
        num_characters=total,
        document_starts=starts,
    )


def _pieces(tokenizer: Tokenizer, ids: NDArray[np.int64]) -> list[str]:
    decoder = tokenizer.decoder()
    return [decoder.push(token) for token in ids.tolist()]


def _first(num_symbols: int, unit: str, num_characters: int, total: int) -> str:
    """Return how much of a text is shown."""
    if unit == "character":
        return f"the first {num_symbols:,} of {total:,} characters"
    return f"the first {num_symbols:,} {unit}s, {num_characters:,} of {total:,} characters"
