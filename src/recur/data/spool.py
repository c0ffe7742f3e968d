"""Text on disk that can be addressed by character, so that a corpus larger than memory can be cut and searched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Characters that are held in memory at once."""

# A word ends before the blank or newline that follows a visible character: no tokeniser's word crosses such a place,
# and what comes after it is cut the same with and without what comes before.
_WORD_END = re.compile(r"(?<![\s\x00-\x1f\x7f-\x9f])[ \n]")
_LONGEST_WORD = 16


class SpooledText:
    """A text as a mapped file of code points (4 bytes each), or of bytes; a unit is one of these.

    In the strings that are given and taken, one character is one unit: bytes are shown as Latin-1.

    Args:
        units: Code points (N,) uint32, or bytes (N,) uint8.
    """

    def __init__(self, units: NDArray[Any]) -> None:
        self.units = units

    @classmethod
    def written(cls, path: Path, chunks: Iterable[str] | Iterable[bytes], *, is_bytes: bool) -> SpooledText:
        """Write `chunks` to the new file `path` and return the text in it.

        Raises:
            OSError: The file cannot be written.
        """
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk.encode("utf-32-le") if isinstance(chunk, str) else chunk)
        dtype = np.dtype(np.uint8) if is_bytes else np.dtype("<u4")
        return cls(mapped(path, dtype, path.stat().st_size // dtype.itemsize))

    @property
    def is_bytes(self) -> bool:
        """Whether the units are bytes."""
        return self.units.dtype == np.uint8

    def __len__(self) -> int:
        """Number of units."""
        return len(self.units)

    def part(self, begin: int, end: int) -> SpooledText:
        """Return the text from unit `begin` to before unit `end`, without a copy."""
        return SpooledText(self.units[begin:end])

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield the units, a million at a time."""
        for begin in range(0, len(self), BLOCK):
            yield self.units[begin : begin + BLOCK]

    def strings(self) -> Iterator[str]:
        """Yield the text, a million characters at a time."""
        for block in self.blocks():
            yield _string(block)

    def word_chunks(self, size: int = 1 << 16) -> Iterator[str]:
        """Yield the text in chunks of about `size` characters, cut before the blank or newline that ends a word.

        Where tokens never cross the end of a word, the tokens of the chunks together are the tokens of the whole. Only
        a run of 16 times `size` characters without such a place is cut anywhere.
        """
        begin = 0
        while begin < len(self):
            end = begin + size
            while True:
                chunk = _string(self.units[begin:end])
                if end >= len(self):
                    break
                cut = _last_word_end(chunk)
                if cut:
                    chunk = chunk[:cut]
                    break
                if len(chunk) >= _LONGEST_WORD * size:
                    break
                end = begin + 2 * len(chunk)
            yield chunk
            begin += len(chunk)

    def ends_of(self, separator: str) -> Iterator[int]:
        """Yield the positions right after the occurrences of `separator`, from left to right, without overlaps."""
        rest, begin = "", 0
        for string in self.strings():
            text = rest + string
            taken = 0
            while (found := text.find(separator, taken)) >= 0:
                taken = found + len(separator)
                yield begin + taken
            # What may be the beginning of an occurrence waits for the next block.
            kept = min(len(text) - taken, len(separator) - 1)
            begin += len(text) - kept
            rest = text[len(text) - kept :]

    def document_starts(self, separator: str) -> NDArray[np.int64]:
        """Return where documents start, (D,) int64: at 0, and after each `separator` but one that ends the text."""
        wanted = separator.encode("utf-8").decode("latin-1") if self.is_bytes else separator
        ends = [end for end in self.ends_of(wanted) if end < len(self)]
        return np.array([0, *ends], dtype=np.int64)

    def num_symbols(self) -> int:
        """Return how many different units there are."""
        return len(self.symbols())

    def symbols(self) -> NDArray[np.uint32]:
        """Return the different units in ascending order, (S,) uint32."""
        seen = np.zeros(256 if self.is_bytes else 0x110000, dtype=np.bool_)
        for block in self.blocks():
            seen[block] = True
        return np.flatnonzero(seen).astype(np.uint32)


def mapped(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """Return the file `path` as a read-only array (length,); an empty file, which cannot be mapped, as an empty one."""
    if length == 0:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))


def _string(units: NDArray[Any]) -> str:
    return units.tobytes().decode("latin-1" if units.dtype == np.uint8 else "utf-32-le")


def _last_word_end(chunk: str) -> int:
    """Return the last place but 0 where a word ends, preferably at a line's end, or 0."""
    for blank in "\n ":
        place = chunk.rfind(blank)
        while place > 0:
            if _WORD_END.match(chunk, place):
                return place
            place = chunk.rfind(blank, 0, place)
    return 0
