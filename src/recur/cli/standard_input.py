"""The lines of standard input as they come, in whatever encoding they are, until the end or a signal."""

from __future__ import annotations

import codecs
import os
import signal
from collections.abc import Iterator
from types import FrameType

from recur.errors import DataError, OptionError
from recur.wording import option

_PIECE = 1 << 18
"""Bytes that are taken at once, if they are there."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What a text may begin with that tells its encoding; the longer ones of those that begin alike first."""


_WIDTHS = {"utf-16": 2, "utf-32": 4}
"""Bytes of a character in encodings that do not say their order."""


class InputLines:
    """The lines of a file descriptor, those together that are there; ends with the file or a signal.

    Args:
        descriptor: Of the file.
        encoding: Of the text. A byte order mark goes before it; without one the order is found in utf-16 and utf-32.
        json_encoding: Of text that begins with a brace.

    Attributes:
        signal: The number of the one that came; 0 where none did.
        encoding: Of the text, once it has begun.

    Raises:
        OptionError: Python does not know an encoding, or it is none of lines.
    """

    def __init__(self, descriptor: int, encoding: str, json_encoding: str) -> None:
        for name in (encoding, json_encoding):
            try:
                _decoder_of(name).decode(" ".encode(name), final=True)
            except LookupError:
                raise OptionError(f"encoding: {name!r} is none that Python knows; give one such as 'cp1252'.") from None
            except UnicodeError:
                raise OptionError(f"encoding: {name!r} is none of lines of text; give one such as 'cp1252'.") from None
        self.signal = 0
        self.encoding, self._json_encoding = encoding, json_encoding
        self._descriptor = descriptor
        self._decoder: codecs.IncrementalDecoder | None = None
        self._start = b""
        self._is_waiting = False
        signals = (signal.SIGINT, signal.SIGTERM)
        self._handlers = {number: signal.signal(number, self._stop) for number in signals}

    def __iter__(self) -> Iterator[list[str]]:
        """Yield lines that are not blank; what is no text of the encoding are lone surrogates in them.

        Raises:
            DataError: The bytes are of another encoding, of which nothing can be made.
        """
        rest = ""
        while not self.signal:
            try:
                self._is_waiting = True
                piece = os.read(self._descriptor, _PIECE)
            except _StoppedError:
                return
            finally:
                self._is_waiting = False
            text = rest + self._decoded(piece)
            # Not what str.splitlines takes for the end of a line, which may stand within a text of JSON.
            *lines, rest = text.split("\n") if piece else [*text.split("\n"), ""]
            lines = [line for line in lines if line.strip()]
            if lines:
                yield lines
            if not piece:
                return

    @property
    def no_text(self) -> str:
        """What is to be said of lines with lone surrogates."""
        other = "cp1252" if codecs.lookup(self.encoding).name == "utf-8" else "utf-8"
        return f"no {self.encoding}; name the encoding, such as {option('encoding', other)}"

    def close(self) -> None:
        """Let signals do again what they did."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _decoded(self, piece: bytes) -> str:
        """Return the text of the bytes that came next; none at the end."""
        is_end = not piece
        if self._decoder is None:
            self._start = piece = self._start + piece
            if not is_end and (not piece.strip() or any(mark.startswith(piece) for mark in _MARKS)):
                # Not enough to tell.
                return ""
            begun = next((encoding for mark, encoding in _MARKS.items() if piece.startswith(mark)), None)
            own = self._json_encoding if piece.lstrip().startswith(b"{") else self.encoding
            self.encoding = begun or _in_order(own, piece)
            self._decoder = _decoder_of(self.encoding)
        try:
            return self._decoder.decode(piece, final=is_end)
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise DataError(f"standard input: is {self.no_text} ({reason}).") from None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        # What is being pushed is answered first.
        if self._is_waiting:
            raise _StoppedError


def _decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """Return a decoder in whose text lone surrogates stand for what is none of the encoding."""
    return codecs.getincrementaldecoder(encoding)("surrogateescape")


def _in_order(encoding: str, text: bytes) -> str:
    """Return an encoding with the order of bytes that a text without a mark has, where it does not say it."""
    name = codecs.lookup(encoding).name
    if name not in _WIDTHS:
        return encoding
    width = _WIDTHS[name]
    # Ends of lines, commas and digits have zeros where the larger part of the number is.
    is_big = text[::width].count(0) > text[width - 1 :: width].count(0)
    return f"{name}-{'be' if is_big else 'le'}"


class _StoppedError(Exception):
    """A signal came while there was nothing to do."""
