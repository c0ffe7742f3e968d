"""What the user may choose about the tokens of texts. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from recur.data.options import DEFAULT_BPE_SIZE, SMALLEST_BPE_SIZE
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.wording import option

Tokens = Literal["word", "space", "character", "bpe"]
Unicode = Literal["nfc", "nfkc", "none"]


@dataclass(frozen=True, kw_only=True)
class WordOptions:
    """Which tokens are known, where the data say themselves what a token is: words.

    Raises:
        OptionError: A value makes no sense.

    Example:
        >>> WordOptions(min_count=2).size
        50000
    """

    lowercase: bool | None = None
    """Whether capitals are read as small letters, which they are if not given."""

    unicode: Unicode = "nfc"
    """Normal form of Unicode that texts are brought to, so that the same letter is always the same token: nfc, nfkc
    (full-width letters become ordinary ones too), or none."""

    vocabulary_size: int | None = None
    """Most words that are known, the most frequent ones; 50,000 if not given."""

    min_count: int | None = None
    """Times that a word must stand in the training part to be known; once if not given."""

    def __post_init__(self) -> None:
        if self.lowercase not in (None, True, False):
            raise OptionError(f"lowercase must be true or false, not {self.lowercase!r}.")
        if self.unicode not in get_args(Unicode):
            raise OptionError(f"unicode must be one of {', '.join(get_args(Unicode))}, not {self.unicode!r}.")
        self._check_size(1)
        if self.min_count is not None and not is_whole(self.min_count, 1):
            raise OptionError(f"min_count must be a whole number from 1 on, not {self.min_count!r}.")

    def _check_size(self, least: int, what: str = "") -> None:
        if self.vocabulary_size is not None and not is_whole(self.vocabulary_size, least):
            raise OptionError(
                f"vocabulary_size must be a whole number from {least} on{what}, not {self.vocabulary_size!r}."
            )

    @property
    def size(self) -> int:
        """The most tokens that are known, with the default filled in."""
        return 50_000 if self.vocabulary_size is None else self.vocabulary_size


@dataclass(frozen=True, kw_only=True)
class TokenOptions(WordOptions):
    """How a text becomes tokens, and which of them are known.

    A value of None is chosen for the texts, see `recur.data.texts.vocabulary.choose_tokens`.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> TokenOptions(tokens="bpe", lowercase=True).tokens
        'bpe'
    """

    tokens: Tokens | None = None
    """What one token is: a word, a number or a mark (word); what stands between blanks (space); a character; or a piece
    of a word found by byte-level BPE. If not given: words, but characters where texts are single words or have no
    blanks between words."""

    lowercase: bool | None = None
    """Whether capitals are read as small letters; if not given, in words they are."""

    vocabulary_size: int | None = None
    """Most tokens that are known, the most frequent ones; 50,000 if not given, of a BPE 2,000 with the 256 bytes."""

    min_count: int | None = None
    """Times that a token must stand in the training part to be known; 2 for words, else 1, if not given."""

    def __post_init__(self) -> None:
        if self.tokens not in (None, *get_args(Tokens)):
            raise OptionError(f"tokens must be one of {', '.join(get_args(Tokens))}, not {self.tokens!r}.")
        if self.tokens == "bpe":
            self._check_size(SMALLEST_BPE_SIZE, ", the 256 bytes and one merge")
        super().__post_init__()
        if self.tokens == "bpe" and self.min_count is not None:
            raise OptionError(
                f"min_count: would be ignored, for a BPE knows every text; leave it out, or choose other "
                f"{option('tokens')}."
            )

    @property
    def size(self) -> int:
        """The most tokens that are known, with the default filled in."""
        return DEFAULT_BPE_SIZE if self.tokens == "bpe" and self.vocabulary_size is None else super().size


@dataclass(frozen=True, kw_only=True)
class WriterTokenOptions(TokenOptions):
    """How a text becomes tokens that are written.

    A value of None is chosen for the texts, see `recur.train.writer_choice.choose_written_tokens`.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> WriterTokenOptions(tokens="bpe").size
        2000
    """

    tokens: Tokens | None = None
    """What one token is: a word, a number or a mark (word); what stands between blanks (space); a character; or a piece
    of a word found by byte-level BPE. If not given: characters where texts have up to 100 of them in the mean, else a
    BPE."""

    lowercase: bool | None = None
    """Whether capitals are read as small letters, and none are written; if not given, they are not."""

    min_count: int | None = None
    """Times that a token must stand in the training part to be known; 2 for words and for what stands between blanks,
    else 1, if not given."""


@dataclass(frozen=True, kw_only=True)
class PairTokenOptions:
    """How sources and targets become tokens, and which of them are known.

    A value of None is chosen for the texts, see `recur.data.texts.pair_tokens.choose_pair_tokens`.

    Raises:
        OptionError: A value makes no sense, or would be ignored.

    Example:
        >>> PairTokenOptions(source_tokens="character").target_tokens is None
        True
    """

    source_tokens: Tokens | None = None
    """What one token of a source is: a word, a number or a mark (word); what stands between blanks (space); a
    character; or a piece of a word found by byte-level BPE. If not given: characters where texts are single words, have
    no blanks, or are short and share their letters with targets of characters; what stands between blanks where few
    different things do; else a BPE."""

    target_tokens: Tokens | None = None
    """Likewise of a target."""

    vocabulary: Literal["own", "joint"] | None = None
    """Whether sources and targets have a vocabulary each (own), or one of both (joint), whose tokens are then the same
    kind of thing; joint where both are pieces of a BPE and of one language, as conversations are, if not given."""

    lowercase: bool = False
    """Whether capitals are read as small letters, and none are written."""

    unicode: Unicode = "nfc"
    """Normal form of Unicode that texts are brought to, so that the same letter is always the same token: nfc, nfkc
    (full-width letters become ordinary ones too), or none."""

    vocabulary_size: int | None = None
    """Most tokens that are known of sources, and of targets, the most frequent ones; 50,000 if not given; of a BPE
    with the 256 bytes, by how many pairs there are, from 1,000 to 8,000."""

    min_count: int | None = None
    """Times that a token must stand in the training part to be known; 2 for words, else 1, if not given."""

    def __post_init__(self) -> None:
        for name in ("source_tokens", "target_tokens"):
            if getattr(self, name) not in (None, *get_args(Tokens)):
                raise OptionError(f"{name} must be one of {', '.join(get_args(Tokens))}, not {getattr(self, name)!r}.")
        if self.vocabulary not in (None, "own", "joint"):
            raise OptionError(f"vocabulary must be one of own, joint, not {self.vocabulary!r}.")
        if not isinstance(self.lowercase, bool):
            raise OptionError(f"lowercase must be true or false, not {self.lowercase!r}.")
        kinds = {kind for kind in (self.source_tokens, self.target_tokens) if kind is not None}
        if self.vocabulary == "joint" and len(kinds) > 1:
            raise OptionError(
                f"vocabulary: sources of {self.source_tokens} and targets of {self.target_tokens} have no "
                f"joint one; give {option('vocabulary', 'own')}, or one kind of tokens."
            )
        # What neither side can be is said as of texts of one kind.
        for kind in (self.source_tokens, self.target_tokens):
            TokenOptions(
                tokens=kind,
                lowercase=self.lowercase,
                unicode=self.unicode,
                vocabulary_size=self.vocabulary_size,
                min_count=None if len(kinds) > 1 else self.min_count,
            )

    def of_one(self, kind: Tokens | None) -> TokenOptions:
        """Return the options of sources or of targets alone, whose tokens are of this kind."""
        return TokenOptions(
            tokens=kind,
            lowercase=self.lowercase,
            unicode=self.unicode,
            vocabulary_size=self.vocabulary_size,
            min_count=None if kind == "bpe" else self.min_count,
        )
