"""Rows of small whole numbers in as few characters as a page can carry them, each readable without the others.

The states and gates of a network are far more than a page has room for as bytes. But a number is mostly near what the
same unit does at the same symbol elsewhere, and near what it did just before. Given how often each number follows from
both, an entropy coder needs little more room than for what is news: asymmetric numeral systems (Duda, Asymmetric
numeral systems, 2013). The page decodes a row when it is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.report.packing import packed

WHOLE = 4096
"""What the frequencies of the numbers in one context add up to."""

_EXPECTED, _BEFORE = 16, 8
_CONTEXTS = _EXPECTED * _BEFORE
"""Combinations of what is expected at a place, in 16 steps, and of what was there just before, in 8."""

_LOWEST = 1 << 16
"""A coder's state lies between this and its square."""

_OFTEN = 16
_MOST_CLASSES = 255

ALPHABET = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\&<')
"""The 91 characters that can stand in a script element's JSON as they are; two of them carry 13 bits."""


def classes_of(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return for each place which symbol stands there, (N,): a number for each that occurs often, 0 for all others."""
    _, places, counts = np.unique(np.array(names), return_inverse=True, return_counts=True)
    by_count = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
    often = by_count[counts[by_count] >= _OFTEN]
    numbers = np.zeros(len(counts), dtype=np.uint8)
    numbers[often] = np.arange(1, len(often) + 1)
    found: NDArray[np.uint8] = numbers[places]
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of numbers, each with the frequencies by which it is coded."""

    levels: int
    """How many different numbers there are at most."""
    expected: NDArray[np.uint8]
    """(rows, classes): what a row does at a symbol, in sixteen steps."""
    frequencies: NDArray[np.uint16]
    """(contexts, levels): how often of `WHOLE` times each number occurs."""
    places: NDArray[np.int32]
    """(rows, N): where in `frequencies`, flat, each number stands."""

    def sizes(self) -> NDArray[np.float64]:
        """Return about how many characters each row takes, (rows,)."""
        bits = np.log2(WHOLE / np.maximum(self.frequencies.ravel(), 1))
        rows: NDArray[np.float64] = (bits.astype(np.float32)[self.places].sum(axis=1, dtype=np.float64) + 64) * 2 / 13
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return what the page's scripts read."""
        words, lengths = self._coded()
        return {
            "levels": self.levels,
            "expected": packed(self.expected),
            "frequencies": packed(self.frequencies),
            "lengths": packed(lengths),
            "words": as_text(words),
        }

    def _coded(self) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Return the words of all rows, one row after the other, and how many each row has."""
        frequency = self.frequencies.ravel().astype(np.uint64)
        begin = (np.cumsum(self.frequencies, axis=1) - self.frequencies).ravel().astype(np.uint64)
        num_rows, count = self.places.shape
        state = np.full(num_rows, _LOWEST, dtype=np.uint64)
        given_off = np.zeros((count, num_rows), dtype=np.uint16)
        is_given = np.zeros((count, num_rows), dtype=bool)
        # What is coded last is decoded first.
        for place in range(count - 1, -1, -1):
            at = self.places[:, place]
            often = frequency[at]
            is_full = state >= often << np.uint64(20)
            given_off[place] = state & np.uint64(0xFFFF)
            is_given[place] = is_full
            state = np.where(is_full, state >> np.uint64(16), state)
            state = (state // often << np.uint64(12)) + state % often + begin[at]
        first = np.stack([state >> np.uint64(16), state & np.uint64(0xFFFF)], axis=1).astype(np.uint16)
        rows = np.concatenate([first, given_off.T], axis=1)
        is_kept = np.concatenate([np.ones_like(first, dtype=bool), is_given.T], axis=1)
        return rows[is_kept], is_kept.sum(axis=1).astype(np.uint16)


def rows_of(numbers: NDArray[np.uint8], levels: int, classes: NDArray[np.uint8]) -> Rows:
    """Return rows of numbers, (rows, N), below `levels`, which is at most 255, at places of the classes (N,)."""
    each = np.zeros((len(classes), int(classes.max()) + 1), dtype=np.float32)
    each[np.arange(len(classes)), classes] = 1
    mean = (numbers.astype(np.float32) @ each) / np.maximum(each.sum(axis=0), 1)
    expected = np.round(mean * ((_EXPECTED - 1) / max(1, levels - 1))).astype(np.uint8)
    before = np.zeros(numbers.shape, dtype=np.int32)
    before[:, 1:] = numbers[:, :-1].astype(np.int32) * _BEFORE // levels
    places = (expected[:, classes].astype(np.int32) * _BEFORE + before) * levels + numbers
    counts = np.bincount(places.ravel(), minlength=_CONTEXTS * levels).reshape(_CONTEXTS, levels)
    return Rows(levels=levels, expected=expected, frequencies=_frequencies(counts), places=places)


def _frequencies(counts: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return frequencies that add up to `WHOLE`, at least 1 for every number that occurs; zeros where none does."""
    occurs = counts > 0
    spare = WHOLE - occurs.sum(axis=1, keepdims=True)
    found = occurs + counts * spare // np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = np.arange(len(counts))
    largest = found.argmax(axis=1)
    found[rows, largest] += np.where(occurs.any(axis=1), WHOLE - found.sum(axis=1), 0)
    frequencies: NDArray[np.uint16] = found.astype(np.uint16)
    return frequencies


def as_text(words: NDArray[np.uint16]) -> str:
    """Return words of 16 bits, the highest bit first, as characters of `ALPHABET`."""
    bits = np.unpackbits(words.astype(">u2").view(np.uint8))
    filled = np.concatenate([bits, np.zeros(-len(bits) % 13, dtype=np.uint8)])
    numbers = filled.reshape(-1, 13) @ (1 << np.arange(12, -1, -1, dtype=np.int32))
    characters = np.frombuffer(ALPHABET.encode("ascii"), dtype=np.uint8)
    return np.stack([characters[numbers // 91], characters[numbers % 91]], axis=1).tobytes().decode("ascii")
