"""How a translator searches, as the command line asks for it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from recur.errors import OptionError
from recur.wording import enumerated, option

if TYPE_CHECKING:
    from recur.decode import DecodingOptions

_BEAMS = 5

_DRAWING = ("temperature", "top_k", "top_p")
"""Options with any of which tokens are drawn."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How texts are searched for, see `recur.decode.DecodingOptions`."""

    beams: int | None = None
    """Open hypotheses of a text; 1 always takes the likeliest token, unless texts are required; if not given 5, or as
    many as --num-best."""

    num_best: int = 1
    """Answers told of each text, best first."""

    length_penalty: Literal["none", "gnmt", "mean"] = "mean"
    """What the log-probability is divided by to be the score: nothing, ((5 + length) / 6) ** 0.6 (Wu et al. 2016), or
    the length."""

    coverage_penalty: float = 0.0
    """How much the score loses where the source was not looked at, 0 or above."""

    block_ngrams: int | None = None
    """No n tokens in a row come twice, for this n."""

    min_length: int = 0
    """Tokens of an answer, at least."""

    max_length: int | None = None
    """Tokens of an answer, at most; if not given, twice as many as is usual in the training part for a source of that
    length, and ten more."""

    temperature: float | None = None
    """Draw tokens instead of searching for the best; logits are divided by it: below 1 is more careful."""

    top_k: int | None = None
    """Draw among so many of the likeliest tokens alone."""

    top_p: float | None = None
    """Draw among the likeliest tokens that together have this probability."""

    required: str | None = None
    """What must stand in every answer: words or texts, with commas between them, which none of them can have. A blank
    counts where tokens are letters, or pieces of words: ' red' is the word within a text."""

    forbidden: str | None = None
    """What must stand in no answer: words or texts, with commas between them, which none of them can have."""

    @property
    def is_drawn(self) -> bool:
        """Whether tokens are drawn."""
        return any(getattr(self, name) is not None for name in _DRAWING)

    def texts(self, name: Literal["required", "forbidden"]) -> list[str]:
        """Return what is required or forbidden, one by one.

        Raises:
            OptionError: There is nothing before or behind a comma.
        """
        given: str | None = getattr(self, name)
        found = [] if given is None else given.split(",")
        if not all(text.strip() for text in found):
            raise OptionError(
                f"{name}: {given!r} has an empty text; give texts with one comma between two of them. A comma itself "
                f"cannot be {name} here, but in Python."
            )
        return found

    def decoding(self) -> DecodingOptions:
        """Return the options of the decoder.

        Raises:
            OptionError: Options make no sense, or do not go together.
        """
        from recur.decode import DecodingOptions, Sampling

        if self.required is not None and self.is_drawn:
            given = [option(name) for name in _DRAWING if getattr(self, name) is not None]
            raise OptionError(
                f"required texts are searched for, and tokens are drawn. Leave {enumerated(given)} out, or "
                f"{option('required')}."
            )
        found = DecodingOptions(
            length_penalty=self.length_penalty,
            coverage_penalty=self.coverage_penalty,
            block_ngrams=self.block_ngrams,
            min_length=self.min_length,
            max_length=self.max_length,
        )
        if not self.is_drawn:
            beams = max(_BEAMS, self.num_best) if self.beams is None else self.beams
            return replace(found, beams=beams, num_best=self.num_best)
        temperature = 1.0 if self.temperature is None else self.temperature
        drawn = Sampling(temperature=temperature, top_k=self.top_k, top_p=self.top_p)
        # Beams that were asked for are refused beside draws.
        return replace(found, beams=1 if self.beams is None else self.beams, num_best=self.num_best, sampling=drawn)
