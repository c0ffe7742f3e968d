"""Text of one part to a file of token ids, block by block, with memory that does not grow with the text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from recur.data.spool import SpooledText
from recur.data.tokenizer import BpeTokenizer, ByteTokenizer, CharacterTokenizer, Tokenizer

Progress = Callable[[str, int, int], None]
"""Called with the stage ("hashing", "reading", "fitting" or "encoding"), how much is done, and how much there is."""

_GROUP = 1 << 20


class Meter:
    """Adds up what is done of a stage."""

    def __init__(self, stage: str, total: int, report: Progress | None) -> None:
        self._stage, self._total, self._report, self._done = stage, total, report, 0
        self(0)

    def __call__(self, amount: int) -> None:
        """Add `amount` and report."""
        self._done += amount
        if self._report:
            self._report(self._stage, self._done, self._total)


@dataclass(frozen=True)
class EncodedPart:
    """What there was to count while a part was encoded.

    Attributes:
        tokens: Number of tokens.
        characters: Number of characters.
        unknown: How many of the tokens are the unknown id.
        counts: How often each id occurs.
        documents: Positions of the first tokens of documents, (D,) int64, or None without a document separator.
    """

    tokens: int
    characters: int
    unknown: int
    counts: list[int]
    documents: NDArray[np.int64] | None


def write_part(
    text: SpooledText,
    tokenizer: Tokenizer,
    separator: str | None,
    file: IO[bytes],
    advance: Callable[[int], None],
) -> EncodedPart:
    """Encode `text` into `file` and return what there was to count.

    Args:
        text: The part's text.
        tokenizer: What makes the ids; characters it does not know get the unknown id.
        separator: Text that ends a document, or None.
        file: Open for writing bytes; the ids are written as `id_type` says.
        advance: Called with the number of units after each block.

    Raises:
        OSError: The file cannot be written.
    """
    documents = None if separator is None else text.document_starts(separator)
    dtype = id_type(tokenizer.vocabulary_size)
    counts = np.zeros(tokenizer.vocabulary_size, dtype=np.int64)
    starts: list[int] | None = None
    if isinstance(tokenizer, BpeTokenizer):
        starts = []
        blocks = _bpe_blocks(text, tokenizer, documents, starts)
    else:
        blocks = _unit_blocks(text, tokenizer)
    for ids, num_units in blocks:
        counts += np.bincount(ids, minlength=len(counts))
        # Not into a mapped file: a full disk would end the process instead of raising.
        file.write(ids.astype(dtype).tobytes())
        advance(num_units)
    if documents is not None and starts is not None:
        documents = np.array(starts, dtype=np.int64)
    return EncodedPart(
        tokens=int(counts.sum()),
        characters=_num_characters(text),
        unknown=0 if tokenizer.unknown_id is None else int(counts[tokenizer.unknown_id]),
        counts=counts.tolist(),
        documents=documents,
    )


def _unit_blocks(text: SpooledText, tokenizer: Tokenizer) -> Iterator[tuple[NDArray[Any], int]]:
    for block in text.blocks():
        yield tokenizer.ids_of(block) if isinstance(tokenizer, CharacterTokenizer) else block, len(block)


def _bpe_blocks(
    text: SpooledText, tokenizer: BpeTokenizer, documents: NDArray[np.int64] | None, starts: list[int]
) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the ids and the number of characters of many chunks at once; append to `starts` where documents start."""
    num_tokens = 0
    for group in _grouped(_bpe_chunks(text, documents)):
        encoded = tokenizer.encode_all([chunk for chunk, _ in group])
        for (_, is_start), ids in zip(group, encoded, strict=True):
            if is_start:
                starts.append(num_tokens)
            num_tokens += len(ids)
        yield np.concatenate(encoded), sum(len(chunk) for chunk, _ in group)


def _bpe_chunks(text: SpooledText, documents: NDArray[np.int64] | None) -> Iterator[tuple[str, bool]]:
    # Each document is encoded by itself, so that one starts with a token.
    bounds = [0, len(text)] if documents is None else [*documents.tolist(), len(text)]
    for begin, end in itertools.pairwise(bounds):
        for number, chunk in enumerate(text.part(begin, end).word_chunks()):
            yield chunk, number == 0


def _grouped(chunks: Iterator[tuple[str, bool]]) -> Iterator[list[tuple[str, bool]]]:
    group: list[tuple[str, bool]] = []
    size = 0
    for chunk, is_start in chunks:
        group.append((chunk, is_start))
        size += len(chunk)
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _num_characters(text: SpooledText) -> int:
    return ByteTokenizer().characters_of(text.units) if text.is_bytes else len(text)


def counted(chunks: Iterator[str], advance: Callable[[int], None]) -> Iterator[str]:
    """Yield `chunks`, and call `advance` with the length of each."""
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


def id_type(vocabulary_size: int) -> np.dtype[Any]:
    """Return the smallest unsigned little-endian type that holds all ids of a vocabulary."""
    for name in ("<u1", "<u2"):
        if vocabulary_size <= np.iinfo(name).max + 1:
            return np.dtype(name)
    return np.dtype("<u4")
