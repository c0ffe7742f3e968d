"""How a translator searches, as the command line asks for it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recur.decode import DecodingOptions


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How texts are searched for, see `recur.decode.DecodingOptions`."""

    beams: int = 5
    """Open hypotheses of a text; 1 always takes the likeliest token."""

    num_best: int = 1
    """Answers told of each text, best first."""

    length_penalty: Literal["none", "gnmt", "mean"] = "gnmt"
    """What the log-probability is divided by to be the score: nothing, ((5 + length) / 6) ** 0.6, or the length."""

    coverage_penalty: float = 0.0
    """How much the score loses where the source was not looked at, 0 or above."""

    block_ngrams: int | None = None
    """No n tokens in a row come twice, for this n."""

    min_length: int = 0
    """Tokens of an answer, at least."""

    max_length: int | None = None
    """Tokens of an answer, at most; if not given, twice as many as the longest of the training part, and ten more."""

    temperature: float | None = None
    """Draw tokens instead of searching for the best; logits are divided by it: below 1 is more careful."""

    def decoding(self, longest: int) -> DecodingOptions:
        """Return the options of the decoder.

        Args:
            longest: Tokens of an answer at most where nothing is said.

        Raises:
            OptionError: Options make no sense, or do not go together.
        """
        from recur.decode import DecodingOptions, Sampling

        found = DecodingOptions(
            num_best=1,
            length_penalty=self.length_penalty,
            coverage_penalty=self.coverage_penalty,
            block_ngrams=self.block_ngrams,
            min_length=self.min_length,
            max_length=self.max_length or longest,
        )
        if self.temperature is not None:
            return replace(found, num_best=self.num_best, sampling=Sampling(temperature=self.temperature))
        return replace(found, beams=self.beams, num_best=self.num_best)
