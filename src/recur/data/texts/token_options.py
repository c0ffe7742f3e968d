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
    blanks."""

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
