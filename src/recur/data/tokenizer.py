"""Text to token ids and back: by character, by byte, or by byte-level BPE.

All three promise the same:

- `decode(encode(text)) == text` when nothing in the text is unknown;
- ids run from 0 to `vocabulary_size - 1`;
- `to_json` and `tokenizer_from_json` give the same tokeniser back.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from recur.errors import DataError, RunError
from recur.wording import option

if TYPE_CHECKING:
    from tokenizers import Tokenizer as _HuggingFaceTokenizer

Unknown = Literal["error", "map", "drop"]
"""What to do with a character the vocabulary does not have: refuse it, map it to the unknown id, leave it out."""

TOKENIZER_VERSION = 1
"""Part of a corpus's key: raised whenever the same text would give other ids."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CODE_POINTS = 0x110000
_CHUNK = 1 << 20
_LONG_WORD = re.compile(r"\S{256}")


class Decoder(Protocol):
    """Ids to text one by one, for text that is shown while it is made."""

    def push(self, token: int) -> str:
        """Return the text that `token` completes, perhaps none: never half a character."""

    def flush(self) -> str:
        """Return what is left at the end, U+FFFD for the beginning of a character, and start anew."""


class Tokenizer(Protocol):
    """What every tokeniser can do. Ids are numpy int64 of shape (N,) unless said otherwise."""

    kind: ClassVar[str]
    """Name of the kind, as in `CorpusOptions.tokens`."""

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the unknown one included."""

    @property
    def unknown_id(self) -> int | None:
        """Id of every character that was not in the training part, never to be generated; None if there is none."""

    def encode(self, text: str, *, unknown: Unknown = "error") -> NDArray[np.int64]:
        """Return the ids of `text`.

        Args:
            text: Any text.
            unknown: What to do with characters the vocabulary does not have.

        Raises:
            DataError: There are unknown characters and `unknown` is "error"; they are named.
        """

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """Return the text of `ids`; bytes that are no valid UTF-8 and unknown characters are shown as U+FFFD."""

    def decoder(self) -> Decoder:
        """Return a new incremental decoder; what it gives in total is what `decode` gives."""

    def symbol(self, token: int) -> str:
        r"""Return the text of one token for showing; bytes that are no valid UTF-8 alone as \xNN."""

    def characters_of(self, ids: Iterable[int] | NDArray[Any]) -> int:
        """Return the length of the decoded text, which figures per character are divided by."""

    def unknown_in(self, text: str) -> list[str]:
        """Return the characters of `text` that cannot be encoded, each once, in order of appearance."""

    def to_json(self) -> dict[str, Any]:
        """Return all that `tokenizer_from_json` needs, as JSON values."""


# --- characters -----------------------------------------------------------------------------------------------------


class CharacterTokenizer:
    """One id per character: the symbols sorted by code point, and after them the unknown id.

    The unknown id is always reserved, so that a held-out text or a prompt with new characters can be scored.

    Args:
        symbols: The known characters, sorted by code point, at least two.

    Raises:
        DataError: There are fewer than two symbols.

    Example:
        >>> tokenizer = CharacterTokenizer.of("banana")
        >>> tokenizer.symbols, tokenizer.vocabulary_size, tokenizer.unknown_id
        ('abn', 4, 3)
        >>> tokenizer.encode("ban").tolist()
        [1, 0, 2]
        >>> tokenizer.decode(tokenizer.encode("bahn", unknown="map"))
        'ba\ufffdn'
    """

    kind: ClassVar[str] = "character"

    def __init__(self, symbols: str) -> None:
        if len(symbols) < 2:
            what = f"has only one symbol: {symbols!r}" if symbols else "has no symbols"
            raise DataError(f"the text {what}; there is nothing to predict. Give a text with at least two symbols.")
        assert all(a < b for a, b in itertools.pairwise(symbols)), "symbols must be sorted and unique"
        self.symbols = symbols
        codes = _code_points(symbols)
        # A direct table up to the largest code point, and one entry more for all that lie beyond it.
        self._table = np.full(int(codes[-1]) + 2, len(symbols), dtype=np.uint32)
        self._table[codes] = np.arange(len(symbols), dtype=np.uint32)
        self._codes = np.append(codes, np.uint32(ord(REPLACEMENT)))

    @classmethod
    def of(cls, text: str) -> CharacterTokenizer:
        """Return the tokeniser of the characters in `text`."""
        return cls("".join(sorted(set(text))))

    @property
    def vocabulary_size(self) -> int:
        """Number of symbols and one for the unknown."""
        return len(self.symbols) + 1

    @property
    def unknown_id(self) -> int:
        """The last id."""
        return len(self.symbols)

    def ids_of(self, code_points: NDArray[Any]) -> NDArray[np.uint32]:
        """Return the ids (N,) uint32 of `code_points` (N,), the unknown id where there is none."""
        ids: NDArray[np.uint32] = self._table.take(code_points, mode="clip")
        return ids

    def encode(self, text: str, *, unknown: Unknown = "error") -> NDArray[np.int64]:
        """Return the ids of `text`, one per character; see `Tokenizer.encode`."""
        ids = self.ids_of(_code_points(text)).astype(np.int64)
        if unknown == "drop":
            known: NDArray[np.int64] = ids[ids != self.unknown_id]
            return known
        if unknown == "error" and (ids == self.unknown_id).any():
            raise _unknown_error(self.unknown_in(text))
        return ids

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """Return the text of `ids`, U+FFFD for the unknown id."""
        return _text_of(self._codes[_array(ids)])

    def decoder(self) -> Decoder:
        """Return a decoder that gives one character per id."""
        return _SymbolDecoder(self)

    def symbol(self, token: int) -> str:
        """Return the character of an id, U+FFFD for the unknown id."""
        return REPLACEMENT if token == self.unknown_id else self.symbols[token]

    def characters_of(self, ids: Iterable[int] | NDArray[Any]) -> int:
        """Return the number of ids."""
        return len(_array(ids))

    def unknown_in(self, text: str) -> list[str]:
        """Return the characters of `text` that are no symbols, each once, in order of appearance."""
        known = set(self.symbols)
        return [character for character in dict.fromkeys(text) if character not in known]

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the list of symbols."""
        return {"kind": self.kind, "symbols": list(self.symbols)}


class _SymbolDecoder:
    def __init__(self, tokenizer: CharacterTokenizer) -> None:
        self._tokenizer = tokenizer

    def push(self, token: int) -> str:
        return self._tokenizer.symbol(token)

    def flush(self) -> str:
        return ""


# --- bytes ----------------------------------------------------------------------------------------------------------


class _BytesDecoder:
    """Pieces of bytes to text, as UTF-8 that is not cut within a character."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return self._decoder.decode(self._pieces[token])

    def flush(self) -> str:
        return self._decoder.decode(b"", True)


class _Utf8Tokenizer:
    """What the byte and the BPE tokeniser share: ids stand for pieces of UTF-8, and every text can be encoded."""

    _pieces: Sequence[bytes]

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        return len(self._pieces)

    @property
    def unknown_id(self) -> None:
        """None: every text can be encoded."""
        return

    def decoder(self) -> Decoder:
        """Return a decoder that holds bytes back until they make a character."""
        return _BytesDecoder(self._pieces)

    def symbol(self, token: int) -> str:
        r"""Return the text of a token, bytes that are no valid UTF-8 alone as \xNN."""
        return self._pieces[token].decode("utf-8", "backslashreplace")

    def unknown_in(self, text: str) -> list[str]:
        """Return the halves of surrogate pairs in `text`, which are no characters; anything else is known."""
        return [character for character in dict.fromkeys(text) if "\ud800" <= character <= "\udfff"]

    def _known(self, text: str, unknown: Unknown) -> str:
        strange = [] if text.isascii() else self.unknown_in(text)
        if strange and unknown == "error":
            raise _unknown_error(strange)
        return text.translate({ord(character): REPLACEMENT if unknown == "map" else None for character in strange})

    def characters_of(self, ids: Iterable[int] | NDArray[Any]) -> int:
        """Return the length of the decoded text."""
        array, decoder, total = _array(ids), codecs.getincrementaldecoder("utf-8")("replace"), 0
        for start in range(0, len(array), _CHUNK):
            total += len(decoder.decode(self._bytes(array[start : start + _CHUNK])))
        return total + len(decoder.decode(b"", True))

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """Return the text of `ids`, U+FFFD where the bytes are no valid UTF-8."""
        return self._bytes(_array(ids)).decode("utf-8", "replace")

    def _bytes(self, ids: NDArray[Any]) -> bytes:
        pieces = self._pieces
        return b"".join([pieces[token] for token in ids.tolist()])


class ByteTokenizer(_Utf8Tokenizer):
    r"""One id per byte of the UTF-8 text: 256 ids, and nothing is unknown.

    Example:
        >>> tokenizer = ByteTokenizer()
        >>> tokenizer.encode("é!").tolist()
        [195, 169, 33]
        >>> tokenizer.decode([195, 169, 33]), tokenizer.symbol(195)
        ('é!', '\\xc3')
        >>> decoder = tokenizer.decoder()
        >>> decoder.push(195), decoder.push(169)
        ('', 'é')
    """

    kind: ClassVar[str] = "byte"
    _pieces = tuple(bytes([value]) for value in range(256))

    def encode(self, text: str, *, unknown: Unknown = "error") -> NDArray[np.int64]:
        """Return the bytes of `text`; see `Tokenizer.encode`."""
        return np.frombuffer(self._known(text, unknown).encode("utf-8"), dtype=np.uint8).astype(np.int64)

    def _bytes(self, ids: NDArray[Any]) -> bytes:
        return ids.astype(np.uint8).tobytes()

    def to_json(self) -> dict[str, Any]:
        """Return the kind; there is nothing else to know."""
        return {"kind": self.kind}


# --- byte-level BPE -------------------------------------------------------------------------------------------------


class BpeTokenizer(_Utf8Tokenizer):
    """Pieces of words, found by byte-level byte-pair encoding (Sennrich et al. 2016; on bytes, Radford et al. 2019).

    All 256 bytes are tokens, so every text can be encoded and comes back exactly. Text is first cut into words with
    the blank before them, numbers, punctuation and blanks; no token crosses such a border. The time to merge within a
    word grows with the square of its length, so a run of more than 256 visible characters is cut every 256.

    Args:
        symbols: The tokens in order of their ids, in the alphabet that writes every byte as a visible character.
        merges: Pairs of tokens in the order in which they are merged.

    Example:
        >>> tokenizer = BpeTokenizer.trained(["low lower lowest low"], vocabulary_size=260)
        >>> ids = tokenizer.encode("slower")
        >>> [tokenizer.symbol(token) for token in ids.tolist()], tokenizer.decode(ids)
        (['s', 'low', 'e', 'r'], 'slower')
    """

    kind: ClassVar[str] = "bpe"

    def __init__(self, symbols: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        from tokenizers import Tokenizer as HuggingFaceTokenizer
        from tokenizers.models import BPE

        self.symbols, self.merges = tuple(symbols), tuple(merges)
        to_byte = {character: value for value, character in enumerate(_BYTE_ALPHABET)}
        self._pieces = tuple(bytes(map(to_byte.__getitem__, symbol)) for symbol in self.symbols)
        vocabulary = {symbol: token for token, symbol in enumerate(self.symbols)}
        self._tokenizer = HuggingFaceTokenizer(BPE(vocabulary, list(self.merges)))
        self._tokenizer.pre_tokenizer = _pre_tokenizer()

    @classmethod
    def trained(cls, chunks: Iterator[str] | Iterable[str], vocabulary_size: int) -> BpeTokenizer:
        """Return a BPE of at most `vocabulary_size` tokens, fitted to the text in `chunks`.

        The same text cut at the same places gives the same tokeniser. Only the words and their counts are held in
        memory. A short text has too few pairs to merge, and gives a smaller vocabulary.

        Args:
            chunks: The text, cut where a word ends (see `recur.data.spool.SpooledText.word_chunks`).
            vocabulary_size: At least 257.
        """
        import json

        from tokenizers.trainers import BpeTrainer

        tokenizer = _untrained()
        trainer = BpeTrainer(vocab_size=vocabulary_size, initial_alphabet=list(_BYTE_ALPHABET), show_progress=False)
        pieces = itertools.chain.from_iterable(map(_without_long_words, chunks))
        tokenizer.train_from_iterator(pieces, trainer)
        model = json.loads(tokenizer.to_str())["model"]
        symbols = sorted(model["vocab"], key=model["vocab"].__getitem__)
        return cls(symbols, [(left, right) for left, right in model["merges"]])

    def encode(self, text: str, *, unknown: Unknown = "error") -> NDArray[np.int64]:
        """Return the ids of `text`; see `Tokenizer.encode`."""
        return self.encode_all([self._known(text, unknown)])[0]

    def encode_all(self, texts: list[str]) -> list[NDArray[np.int64]]:
        """Return the ids of each of `texts`, encoded side by side on all cores; they must be valid Unicode."""
        pieces = [_without_long_words(text) for text in texts]
        encoded = self._tokenizer.encode_batch_fast(list(itertools.chain(*pieces)), add_special_tokens=False)
        rest = iter(encoded)
        return [
            np.array([token for one in itertools.islice(rest, len(some)) for token in one.ids], dtype=np.int64)
            for some in pieces
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the kind, the tokens in order of their ids, and the merges in order."""
        return {"kind": self.kind, "symbols": list(self.symbols), "merges": [list(pair) for pair in self.merges]}


def _untrained() -> _HuggingFaceTokenizer:
    from tokenizers import Tokenizer as HuggingFaceTokenizer
    from tokenizers.models import BPE

    tokenizer = HuggingFaceTokenizer(BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer()
    return tokenizer


def _pre_tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel(add_prefix_space=False)


def _without_long_words(text: str) -> list[str]:
    ends = [match.end() for match in _LONG_WORD.finditer(text)]
    return [text[begin:end] for begin, end in itertools.pairwise([0, *ends, len(text)]) if begin < end]


def _byte_alphabet() -> str:
    # Every byte as one visible character: itself where Latin-1 has a visible one, else from U+0100 on, in order.
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(value if value in visible else next(others)) for value in range(256))


_BYTE_ALPHABET = _byte_alphabet()


# --- JSON -----------------------------------------------------------------------------------------------------------


def tokenizer_from_json(content: Any) -> Tokenizer:
    """Return the tokeniser that `to_json` described.

    Raises:
        RunError: The description is damaged.
    """
    if not isinstance(content, dict):
        raise _damaged(f"expected an object, found {type(content).__name__}")
    match content.get("kind"):
        case "character":
            return _character_from_json(content)
        case "byte":
            return ByteTokenizer()
        case "bpe":
            return _bpe_from_json(content)
        case kind:
            raise _damaged(f"kind is {kind!r}, expected character, byte or bpe")


def _character_from_json(content: dict[str, Any]) -> CharacterTokenizer:
    symbols = content.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) and len(symbol) == 1 for symbol in symbols):
        raise _damaged("symbols must be a list of single characters")
    if any("\ud800" <= symbol <= "\udfff" for symbol in symbols):
        raise _damaged("symbols has half a surrogate pair, which is no character")
    if len(symbols) < 2 or any(a >= b for a, b in itertools.pairwise(symbols)):
        raise _damaged("symbols must be at least two, sorted by code point, each once")
    return CharacterTokenizer("".join(symbols))


def _bpe_from_json(content: dict[str, Any]) -> BpeTokenizer:
    symbols, merges = content.get("symbols"), content.get("merges")
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) and symbol for symbol in symbols):
        raise _damaged("symbols must be a list of texts")
    known = set(symbols)
    if len(known) != len(symbols):
        raise _damaged("a symbol occurs twice")
    if not known.issuperset(_BYTE_ALPHABET):
        raise _damaged("some of the 256 bytes are missing from symbols")
    if not set("".join(symbols)).issubset(_BYTE_ALPHABET):
        raise _damaged("a symbol has a character that stands for no byte")
    if not isinstance(merges, list):
        raise _damaged("merges must be a list of pairs")
    pairs = []
    for pair in merges:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) for half in pair)):
            raise _damaged("merges must be a list of pairs")
        left, right = pair
        if not {left, right, left + right} <= known:
            raise _damaged(f"the merge of {left!r} and {right!r} is not in symbols")
        pairs.append((left, right))
    return BpeTokenizer(symbols, pairs)


def _damaged(what: str) -> RunError:
    return RunError(f"the tokeniser is damaged: {what}; restore the file, or train again.")


# --- shared ---------------------------------------------------------------------------------------------------------


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text_of(code_points: NDArray[np.uint32]) -> str:
    return code_points.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")


def _array(ids: Iterable[int] | NDArray[Any]) -> NDArray[Any]:
    return ids if isinstance(ids, np.ndarray) else np.array(list(ids), dtype=np.int64)


def _unknown_error(characters: list[str]) -> DataError:
    shown = [f"{character!r} (U+{ord(character):04X})" for character in characters[:5]]
    more = f" and {len(characters) - 5} more" if len(characters) > 5 else ""
    count = "1 character" if len(characters) == 1 else f"{len(characters)} characters"
    return DataError(
        f"the text has {count} that the model has never seen: {', '.join(shown)}{more}; "
        f"leave them out, or have them mapped to the unknown symbol ({option('unknown', 'map')}) or dropped "
        "(drop)."
    )
