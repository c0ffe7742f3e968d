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
    """A text as a mapped file of code points, or of bytes; a unit is one of these.

    Code points are stored in the fewest of 1, 2 and 4 bytes that hold the largest of them. In the strings that are
    given and taken, one character is one unit: bytes are shown as Latin-1.

    Args:
        units: Code points (N,) uint8, uint16 or uint32, or bytes (N,) uint8.
        is_bytes: Whether the units are bytes.
    """

    def __init__(self, units: NDArray[Any], *, is_bytes: bool) -> None:
        self.units, self.is_bytes = units, is_bytes

    @classmethod
    def written(cls, path: Path, chunks: Iterable[str] | Iterable[bytes], *, is_bytes: bool) -> SpooledText:
        """Write `chunks` to the new file `path` and return the text in it.

        Raises:
            OSError: The file cannot be written.
        """
        file = path.open("wb")
        dtype = np.dtype("<u1")
        try:
            for chunk in chunks:
                data = chunk if isinstance(chunk, bytes) else _encoded(chunk, dtype)
                if data is None:
                    assert isinstance(chunk, str)
                    file.close()
                    dtype, before = _unit_type(chunk), dtype
                    _widen(path, before, dtype)
                    file = path.open("ab")
                    data = _encoded(chunk, dtype)
                    assert data is not None
                file.write(data)
        finally:
            file.close()
        return cls(mapped(path, dtype, path.stat().st_size // dtype.itemsize), is_bytes=is_bytes)

    def __len__(self) -> int:
        """Number of units."""
        return len(self.units)

    def part(self, begin: int, end: int) -> SpooledText:
        """Return the text from unit `begin` to before unit `end`, without a copy."""
        return SpooledText(self.units[begin:end], is_bytes=self.is_bytes)

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

    def symbols(self) -> NDArray[np.uint32]:
        """Return the different units in ascending order, (S,) uint32."""
        seen = np.zeros(0x110000, dtype=np.bool_)
        for block in self.blocks():
            seen[block] = True
        return np.flatnonzero(seen).astype(np.uint32)


def mapped(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """Return the file `path` as a read-only array (length,); an empty file, which cannot be mapped, as an empty one."""
    if length == 0:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))


def _unit_type(text: str) -> np.dtype[Any]:
    largest = max(text)
    return np.dtype("<u1" if largest <= "\xff" else "<u2" if largest <= "\uffff" else "<u4")


def _encoded(text: str, dtype: np.dtype[Any]) -> bytes | None:
    """Return the code points of `text` as `dtype`, or None if one does not fit."""
    if dtype.itemsize == 1:
        # The encoder finds out faster than a search for the largest would.
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            return None
    if dtype.itemsize == 2:
        data = text.encode("utf-16-le")
        return data if len(data) == 2 * len(text) else None
    return text.encode("utf-32-le")


def _widen(path: Path, before: np.dtype[Any], after: np.dtype[Any]) -> None:
    wider = path.with_name(path.name + ".wider")
    with path.open("rb") as old, wider.open("wb") as new:
        while data := old.read(BLOCK * before.itemsize):
            new.write(np.frombuffer(data, dtype=before).astype(after).tobytes())
    wider.replace(path)


def _string(units: NDArray[Any]) -> str:
    return units.tobytes().decode({1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[units.dtype.itemsize])


def _last_word_end(chunk: str) -> int:
    """Return the last place but 0 where a word ends, preferably at a line's end, or 0."""
    for blank in "\n ":
        place = chunk.rfind(blank)
        while place > 0:
            if _WORD_END.match(chunk, place):
                return place
            place = chunk.rfind(blank, 0, place)
    return 0
