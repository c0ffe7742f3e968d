"""What the user may choose about the text a language model is trained on."""

from __future__ import annotations

import codecs
import difflib
import re
from dataclasses import dataclass
from typing import Literal, get_args

from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.wording import option

TokenKind = Literal["character", "byte", "bpe"]

DEFAULT_BPE_SIZE = 2000
"""Vocabulary size of a BPE when none is given."""

SMALLEST_BPE_SIZE = 257
"""The 256 bytes and one merge; a smaller one would be `tokens="byte"`."""

_DEFAULT_FRACTION = 0.05
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0", "\\": "\\"}
# These are codecs of Python, but no file is stored in them; some of them decode to halves of surrogate pairs.
_NOT_OF_FILES = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"}


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How text becomes the token ids of a training, a validation and a test part.

    Without files of their own, the validation and the test part are cut, in this order, from the end of the text; with
    only one of them given, the other is cut from the end. Nothing is shuffled, and everything that is fitted (the
    vocabulary, the BPE) is fitted on the training part only.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> CorpusOptions(tokens="bpe").bpe_size
        2000
        >>> CorpusOptions(document_separator=r"\\n\\n").separator
        '\\n\\n'
    """

    tokens: TokenKind = "character"
    """What one token is: a character, a byte, or a piece of a word found by byte-level BPE."""

    vocabulary_size: int | None = None
    """Largest number of tokens of a BPE, the 256 bytes included; 2000 if not given."""

    encoding: str | None = None
    """Encoding of the files, such as cp1252 or utf-16; utf-8 if not given. With tokens=byte nothing is decoded."""

    document_separator: str | None = None
    r"""Text that ends a document, such as '\n\n\n'; the model's state starts anew after it. It stays in the text."""

    valid: str | None = None
    """File or folder of the validation part; if not given, it is cut from the text."""

    test: str | None = None
    """File or folder of the test part; if not given, it is cut from the end of the text."""

    valid_fraction: float = _DEFAULT_FRACTION
    """Fraction of the text, by characters, that is cut off for validation."""

    test_fraction: float = _DEFAULT_FRACTION
    """Fraction of the text, by characters, that is cut off for the test."""

    def __post_init__(self) -> None:
        self._check_tokens()
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.document_separator is not None:
            self._check_separator(decode_escapes(self.document_separator))
        self._check_part("valid", self.valid, self.valid_fraction)
        self._check_part("test", self.test, self.test_fraction)
        cut = self.cut_fractions[0] + self.cut_fractions[1]
        if cut >= 1:
            raise OptionError(
                f"valid_fraction, test_fraction: together they are {cut:g}, which leaves nothing to train on; "
                "give fractions whose sum is below 1."
            )

    def _check_tokens(self) -> None:
        if self.tokens not in get_args(TokenKind):
            raise OptionError(
                f"tokens: {self.tokens!r} is not known; {nearest(str(self.tokens), get_args(TokenKind))}"
                "expected character, byte or bpe."
            )
        size = self.vocabulary_size
        if size is not None and self.tokens != "bpe":
            raise OptionError(
                f"vocabulary_size: only a BPE has a size to choose, but tokens is {self.tokens}; "
                f"give {option('tokens', 'bpe')}, or leave {option('vocabulary_size')} out."
            )
        if size is not None and not is_whole(size, SMALLEST_BPE_SIZE):
            raise OptionError(
                f"vocabulary_size: expected a whole number of at least {SMALLEST_BPE_SIZE} (the 256 bytes and one "
                f"merge), got {size!r}; for single bytes give {option('tokens', 'byte')}."
            )
        if self.encoding is not None and self.tokens == "byte":
            raise OptionError(
                f"encoding: {self.encoding!r} would be ignored, for {option('tokens', 'byte')} reads the files "
                "without decoding; "
                f"leave {option('encoding')} out, or give {option('tokens', 'character')}."
            )

    def _check_separator(self, separator: str) -> None:
        if not separator:
            raise OptionError("document_separator: is empty; give the text that ends a document, or leave it out.")
        if any("\ud800" <= character <= "\udfff" for character in separator):
            raise OptionError(
                f"document_separator: {separator!r} is not valid Unicode; give it in the terminal's encoding."
            )

    def _check_part(self, part: str, given: str | None, fraction: float) -> None:
        name = f"{part}_fraction"
        if not is_number(fraction) or not 0 < fraction < 1:
            raise OptionError(f"{name}: expected a number between 0 and 1, got {fraction!r}; 0.05 is usual.")
        if given is not None and fraction != _DEFAULT_FRACTION:
            raise OptionError(f"{name}: would be ignored, for {part} names a file; leave one of the two out.")

    @property
    def bpe_size(self) -> int:
        """Largest vocabulary of a BPE, with the default filled in."""
        return DEFAULT_BPE_SIZE if self.vocabulary_size is None else self.vocabulary_size

    @property
    def codec(self) -> str:
        """Name of the encoding, with the default filled in, as Python spells it."""
        return codecs.lookup(self.encoding or "utf-8").name

    @property
    def separator(self) -> str | None:
        """The document separator with its escapes decoded."""
        return None if self.document_separator is None else decode_escapes(self.document_separator)

    @property
    def cut_fractions(self) -> tuple[float, float]:
        """Fractions of the text that become the validation and the test part; 0 for a part with a file of its own."""
        return (
            self.valid_fraction if self.valid is None else 0.0,
            self.test_fraction if self.test is None else 0.0,
        )


def decode_escapes(text: str) -> str:
    r"""Return `text` with the escapes of Python's strings decoded: \n \t \r \f \v \0 \\ \xNN \uNNNN \UNNNNNNNN.

    Raises:
        OptionError: An escape is unknown or incomplete.

    Example:
        >>> decode_escapes(r"--\n")
        '--\n'
    """

    def decoded(match: re.Match[str]) -> str:
        digits = match["x"] or match["u"] or match["U"]
        if digits:
            code = int(digits, 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise OptionError(f"document_separator: {match[0]} is no character; expected a Unicode code point.")
            return chr(code)
        letter = match["letter"]
        if letter not in _ESCAPES:
            raise OptionError(
                rf"document_separator: {match[0]!r} is not a known escape; expected \n, \t, \r, \f, \v, \0, \\, \xNN, "
                r"\uNNNN or \UNNNNNNNN; a backslash itself is written twice."
            )
        return _ESCAPES[letter]

    pattern = r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<letter>.?))"
    return re.sub(pattern, decoded, text, flags=re.DOTALL)


def check_encoding(name: str) -> None:
    """Raise unless `name` is an encoding that text files are stored in.

    Raises:
        OptionError: It is not; the nearest name is given.
    """
    if not _is_encoding(name):
        raise OptionError(
            f"encoding: {name!r} is not an encoding of text files; {nearest(name, encoding_names())}"
            "common ones are utf-8, utf-16, cp1252, latin-1, shift-jis and gb18030."
        )


def _is_encoding(name: str) -> bool:
    try:
        found = codecs.lookup(name).name.replace("_", "-")
        # Codecs of bytes to bytes, such as base64, are refused by str.encode.
        "a".encode(name)
    except (LookupError, UnicodeError, ValueError):
        return False
    return found not in _NOT_OF_FILES


def encoding_names() -> list[str]:
    """Return the names and aliases of the encodings, for finding the nearest to a misspelt one."""
    from encodings.aliases import aliases

    names = {name.replace("_", "-") for pair in aliases.items() for name in pair}
    return sorted(filter(_is_encoding, names))


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return "did you mean X? " for the name in `known` that is like `name`, or nothing."""
    found = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1)
    return f"did you mean {found[0]}? " if found else ""
