"""Texts to token ids and back, with the place of each token in its text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.scripts import is_unspaced
from recur.data.texts.token_options import TokenOptions, Tokens, Unicode, WordOptions
from recur.data.tokenizer import BpeTokenizer, tokenizer_from_json
from recur.errors import DataError, RunError
from recur.token_ids import SPECIAL, UNKNOWN, Ragged

_APOSTROPHE = "['\N{RIGHT SINGLE QUOTATION MARK}]\\w+"
"""Of typewriters or of print, within a word."""

_SELECTORS = "\U000e0100-\U000e01ef"
"""Of variants of Chinese characters: the only combining marks beyond the first two planes of Unicode."""

_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_CLOSING = re.compile(r" ([.,;:!?%)\]}\u2026\u3001\u3002\uff0c\uff01\uff1f])")
_OPENING = re.compile(r"([(\[{\u00bf\u00a1]) ")
_SPACE = re.compile(r"\S+")
_CHARACTER = re.compile(r".", re.DOTALL)
_LINE = re.compile(r" ?\n ?")
_OF_LINES = re.compile(rf"{_SPACE.pattern}|\n")
_FEW_WORDS = 1.5
"""Texts of fewer words in the mean are read by character."""

_LONG_WORD = 7
"""Characters between blanks in the mean beyond which these part phrases, in a script without blanks between words."""

_GLANCE = 2000
"""Texts that are looked at to choose what a token is."""


@cache
def marks() -> str:
    """Return what marks that combine with the letter before are, and joiners of letters, as a class of `re` lists it.

    They are the categories Mn, Mc and Me of Unicode: accents, vowel signs of Indic scripts, points of Hebrew.
    """
    categories = "".join(unicodedata.category(chr(number))[0] for number in range(0x20000))
    ranges = (f"{chr(found.start())}-{chr(found.end() - 1)}" for found in re.finditer("M+", categories))
    return "".join(ranges) + _SELECTORS + _JOINERS


@cache
def _word(*, has_marks: bool, has_lines: bool) -> re.Pattern[str]:
    """Return what a word, a number or a mark of its own is, and with lines their ends."""
    # Most words end before what is no mark for sure, which is quicker to tell.
    more = rf"{_APOSTROPHE}|(?![\x00-\u02ff])[{marks()}]+\w*" if has_marks else _APOSTROPHE
    return re.compile(rf"\w+(?:{more})*|[^\w\s]" + (r"|\n" if has_lines else ""))


class Piece(NamedTuple):
    """One token of a text: its text as it is looked up, and where it begins and ends in the normalised text."""

    text: str
    begin: int
    end: int


def choose_tokens(options: TokenOptions, texts: Sequence[str]) -> tuple[TokenOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, by name.

    Args:
        options: As the user gave them.
        texts: Of the training part.

    Example:
        >>> chosen, why = choose_tokens(TokenOptions(), ["Schmidt", "Ito", "O'Neill"])
        >>> chosen.tokens, chosen.lowercase, why["tokens"]
        ('character', False, 'texts are single words')
    """
    reasons: dict[str, str] = {}
    if options.tokens is None:
        seen = texts[:: max(1, len(texts) // _GLANCE)]
        words = sum(len(text.split()) for text in seen) / max(1, len(seen))
        letters = sum(map(len, seen)) / max(1, len(seen))
        if words < _FEW_WORDS:
            reason = "texts are single words" if letters < 30 else "texts have no blanks"
            options, reasons["tokens"] = replace(options, tokens="character"), reason
        elif letters > _LONG_WORD * words and is_unspaced(seen):
            reason = "texts are of a script without blanks between words"
            options, reasons["tokens"] = replace(options, tokens="character"), reason
        else:
            options, reasons["tokens"] = replace(options, tokens="word"), f"texts have {words:.1f} words in the mean"
    is_word = options.tokens == "word"
    if options.lowercase is None:
        options = replace(options, lowercase=is_word)
        reasons["lowercase"] = "words are" if is_word else "only words are"
    if options.min_count is None and options.tokens != "bpe":
        options = replace(options, min_count=2 if is_word else 1)
        reasons["min_count"] = "what stands once says little" if is_word else "there are few"
    return options, reasons


@dataclass(frozen=True, kw_only=True, eq=False)
class TextVocabulary:
    """The tokens that are known, by id, and how a text is cut into tokens.

    Id 0 is padding, 1 whatever is not known, and from 2 on stand the tokens, the most frequent first; of a BPE those of
    the BPE in its order.

    Args:
        kind: What one token is.
        lowercase: Whether capitals are read as small letters.
        unicode: Normal form of Unicode.
        symbols: The tokens from id 2 on; of a BPE none are given.
        bpe: The BPE; None for other kinds.
        has_lines: Whether the end of a line is a token too, where words or what stands between blanks are; to
            characters and to a BPE it always is.
        has_marks: Whether marks that combine with a letter before, and joiners, belong to its word; in what was saved
            before they did they are tokens of their own.

    Example:
        >>> options, _ = choose_tokens(TokenOptions(min_count=1), ["so good, so cheap"])
        >>> vocabulary = TextVocabulary.fit(["so good, so cheap"], options)
        >>> vocabulary.symbols, vocabulary.encode("So cheap!").tolist()
        (('so', ',', 'cheap', 'good'), [2, 4, 1])
        >>> [piece.text for piece in vocabulary.cut("It's 5.")]
        ["it's", '5', '.']
    """

    kind: Tokens
    lowercase: bool
    unicode: Unicode
    symbols: tuple[str, ...] = ()
    bpe: BpeTokenizer | None = None
    has_lines: bool = False
    has_marks: bool = True

    def __post_init__(self) -> None:
        ids = {symbol: number for number, symbol in enumerate(self.symbols, SPECIAL)}
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        options: TokenOptions,
        *,
        counts: Mapping[str, int] | None = None,
        also: Collection[str] = (),
        has_lines: bool = False,
    ) -> TextVocabulary:
        """Return the vocabulary of the training part.

        Args:
            texts: Of the training part.
            options: With every value chosen.
            counts: As `counts` returns them, where they are known; not of a BPE.
            also: Tokens that are known however rare they are; those that do not stand in the texts come last, in their
                order.
            has_lines: As of the class, and as `counts` were made.

        Raises:
            DataError: There is no token.
        """
        empty = cls._without_symbols(options, has_lines)
        if options.tokens == "bpe":
            normal = [empty.normalised(text) for text in texts]
            if options.lowercase:
                normal = [text.lower() for text in normal]
            if not any(normal):
                raise DataError("the texts are all empty, so there is nothing to learn from.")
            return replace(empty, bpe=BpeTokenizer.trained(normal, options.size))
        counts = empty._counted(texts) if counts is None else counts
        return empty._with_most_frequent(counts, options, also)

    @classmethod
    def fit_tokens(cls, tokens: Iterable[str], options: WordOptions, *, also: Collection[str] = ()) -> TextVocabulary:
        """Return the vocabulary of words that the training part gives as such; texts are cut into words by `cut`.

        Args:
            tokens: Of the training part, each as often as it stands there.
            options: Which of them are known; all, in small letters, where nothing is said.
            also: As of `fit`.

        Raises:
            DataError: There is no token.

        Example:
            >>> words = TextVocabulary.fit_tokens(["New York", "is", "is"], WordOptions())
            >>> words.encode_tokens(["Is", "new york", "big"]).tolist()
            [2, 3, 1]
        """
        lowercase = True if options.lowercase is None else options.lowercase
        empty = cls(kind="word", lowercase=lowercase, unicode=options.unicode)
        return empty._with_most_frequent(Counter(map(empty.looked_up, tokens)), options, also)

    def _with_most_frequent(
        self, counts: Mapping[str, int], options: WordOptions, also: Collection[str] = ()
    ) -> TextVocabulary:
        """Return the vocabulary with the tokens that are frequent enough, and with others that are to be known."""
        least = options.min_count or 1
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        known = [symbol for symbol, count in ordered if count >= least or symbol in also]
        if not counts:
            raise DataError("the texts have no words, so there is nothing to learn from.")
        symbols = [*known, *(symbol for symbol in also if symbol not in counts)]
        return replace(self, symbols=tuple(symbols[: options.size]))

    @classmethod
    def counts(cls, texts: Sequence[str], options: TokenOptions, *, has_lines: bool = False) -> Counter[str]:
        """Return how often each token stands in some texts; not of a BPE."""
        return cls._without_symbols(options, has_lines)._counted(texts)

    def _counted(self, texts: Sequence[str]) -> Counter[str]:
        return Counter(piece.text for text in texts for piece in self.cut(text))

    @classmethod
    def _without_symbols(cls, options: TokenOptions, has_lines: bool) -> TextVocabulary:
        assert options.tokens is not None
        assert options.lowercase is not None
        is_cut = options.tokens in ("word", "space")
        return cls(
            kind=options.tokens,
            lowercase=options.lowercase,
            unicode=options.unicode,
            has_lines=has_lines and is_cut,
        )

    @property
    def size(self) -> int:
        """Number of ids, V."""
        return SPECIAL + (len(self.symbols) if self.bpe is None else self.bpe.vocabulary_size)

    def normalised(self, text: str) -> str:
        """Return the text that the places of tokens count in."""
        if self.unicode == "none":
            return text
        return unicodedata.normalize("NFC" if self.unicode == "nfc" else "NFKC", text)

    def looked_up(self, token: str) -> str:
        """Return a token of the data in the form in which it is looked up."""
        text = self.normalised(token)
        return text.lower() if self.lowercase else text

    def cut(self, text: str) -> list[Piece]:
        """Return the tokens of a text, in order; blanks between words are none."""
        text = self.normalised(text)
        if self.bpe is not None:
            return list(self._bpe_pieces(text))
        found = [Piece(match[0], match.start(), match.end()) for match in self._token.finditer(text)]
        return [Piece(one.text.lower(), one.begin, one.end) for one in found] if self.lowercase else found

    @property
    def _token(self) -> re.Pattern[str]:
        if self.kind == "word":
            return _word(has_marks=self.has_marks, has_lines=self.has_lines)
        if self.kind == "character":
            return _CHARACTER
        return _OF_LINES if self.has_lines else _SPACE

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the ids of a text, (N,); 1 for each token that is not known."""
        if self.bpe is not None:
            text = self.normalised(text)
            ids = self.bpe.encode(text.lower() if self.lowercase else text, unknown="map")
            return (ids + SPECIAL).astype(np.int32)
        ids_of: Mapping[str, int] = self._ids  # type: ignore[attr-defined]
        return np.array([ids_of.get(piece.text, UNKNOWN) for piece in self.cut(text)], np.int32)

    def encode_tokens(self, tokens: Sequence[str]) -> NDArray[np.int32]:
        """Return the ids of tokens that are given as such, (N,); 1 for each that is not known."""
        ids_of: Mapping[str, int] = self._ids  # type: ignore[attr-defined]
        return np.array([ids_of.get(self.looked_up(token), UNKNOWN) for token in tokens], np.int32)

    def encode_all(self, texts: Sequence[str]) -> Ragged:
        """Return the ids of texts."""
        return Ragged.of(self.encode(text) for text in texts)

    def symbol(self, token: int) -> str:
        """Return the text of an id, for showing."""
        if token < SPECIAL:
            return ("<padding>", "<unknown>")[token]
        return self.symbols[token - SPECIAL] if self.bpe is None else self.bpe.symbol(token - SPECIAL)

    def join(self, symbols: Sequence[str]) -> str:
        """Return the text of tokens that are no pieces of a BPE: what `cut` makes these tokens of.

        Words are joined by a blank, which is left out before marks such as a comma and after opening ones.

        Example:
            >>> vocabulary = TextVocabulary(kind="word", lowercase=False, unicode="nfc")
            >>> vocabulary.join(["It's", "late", "(", "or", "early", ")", ",", "I", "think", "."])
            "It's late (or early), I think."
        """
        if self.kind == "character":
            return "".join(symbols)
        text = " ".join(symbols)
        text = _LINE.sub("\n", text) if "\n" in text else text
        return text if self.kind == "space" else _OPENING.sub(r"\1", _CLOSING.sub(r"\1", text))

    def text_of(self, tokens: Sequence[int], more: Sequence[str] = ()) -> str:
        """Return the text of ids, with <unknown> for what is not known.

        Args:
            tokens: From 1 on.
            more: The tokens of ids behind the last one, V and so on; of a BPE there are none.
        """
        if self.bpe is not None:
            return self.bpe.decode([token - SPECIAL for token in tokens if token >= SPECIAL])
        return self.join([more[token - self.size] if token >= self.size else self.symbol(token) for token in tokens])

    def id_of(self, symbol: str) -> int:
        """Return the id of a token as `cut` gives it, 1 where it is not known; no piece of a BPE is."""
        ids: Mapping[str, int] = self._ids  # type: ignore[attr-defined]
        return ids.get(symbol, UNKNOWN)

    def _bpe_pieces(self, text: str) -> Iterator[Piece]:
        assert self.bpe is not None
        decoder, begin = self.bpe.decoder(), 0
        # A token may be half a character: it ends where it begins, and the one that completes it has it all.
        for token in self.bpe.encode(text.lower() if self.lowercase else text, unknown="map").tolist():
            end = begin + len(decoder.push(token))
            yield Piece(self.bpe.symbol(token), begin, min(end, len(text)))
            begin = end

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        known = {"symbols": list(self.symbols)} if self.bpe is None else {"bpe": self.bpe.to_json()}
        lines = {"has_lines": True} if self.has_lines else {}
        marks = {"has_marks": True} if self.has_marks and self.kind == "word" else {}
        return {"kind": self.kind, "lowercase": self.lowercase, "unicode": self.unicode, **lines, **marks, **known}

    @classmethod
    def from_json(cls, content: Any) -> TextVocabulary:
        """Return the vocabulary that `to_json` described.

        Raises:
            RunError: The description is damaged.
        """
        try:
            kind, symbols = content["kind"], content.get("symbols", [])
            is_sound = (
                kind in get_args(Tokens)
                and content["unicode"] in get_args(Unicode)
                and isinstance(content["lowercase"], bool)
                and isinstance(content.get("has_lines", False), bool)
                and isinstance(content.get("has_marks", False), bool)
                and all(isinstance(symbol, str) for symbol in symbols)
                and len(set(symbols)) == len(symbols)
                and (kind == "bpe") == ("bpe" in content)
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise RunError(f"the vocabulary is damaged ({error}); restore the file, or train again.") from error
        if not is_sound:
            raise RunError("the vocabulary is damaged; restore the file, or train again.")
        bpe = tokenizer_from_json(content["bpe"]) if kind == "bpe" else None
        if bpe is not None and not isinstance(bpe, BpeTokenizer):
            raise RunError("the vocabulary is damaged: its BPE is none; restore the file, or train again.")
        return cls(
            kind=kind,
            lowercase=content["lowercase"],
            unicode=content["unicode"],
            symbols=tuple(symbols),
            bpe=bpe,
            has_lines=content.get("has_lines", False),
            has_marks=content.get("has_marks", False),
        )
