"""How sequences are searched for: beams, penalties, lengths, sampling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from recur.decode.sampling import Sampling
from recur.errors import OptionError
from recur.kinds import is_finite, is_number, is_whole
from recur.wording import option

LengthPenalty = Literal["none", "gnmt", "mean"]

_LONGEST = 200
"""Tokens before the end, at most, where nothing says how many."""

_MOST = 10**9
"""What beams, hypotheses and lengths may be: more than any machine has room for."""

_ALPHA = 0.6
"""The exponent of the length penalty; Wu et al. (2016) tried 0 to 1, and 0.6 to 0.7 is best without coverage."""

_DIVERSITY = 0.5
"""How much less a token counts for each earlier group that has it; Vijayakumar et al. (2018) find 0.2 to 0.8 good."""


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How sequences are searched for; as it stands, greedily.

    Raises:
        OptionError: A value is out of range, or would be ignored beside another.

    Example:
        >>> DecodingOptions(beams=5, num_best=2, length_penalty="gnmt").exponent
        0.6
    """

    beams: int = 1
    """Open hypotheses of a row; 1 always takes the likeliest token, unless `patience` is above 1 or phrases are
    required."""

    num_best: int = 1
    """Hypotheses told of each row, best first; with sampling, how many are drawn."""

    groups: int = 1
    """Groups that the beams are split into, each kept away from what the ones before it say at the same step (diverse
    beam search; Vijayakumar et al. 2018). Each group tells as many of the hypotheses."""

    diversity: float | None = None
    """How much log-probability a token loses for each beam of an earlier group that has it at this step; by default 0.5
    where there are groups. It decides what is looked at and is no part of the score."""

    length_penalty: LengthPenalty = "none"
    """What the log-probability is divided by to be the score: nothing, ((5 + length) / 6) ** exponent (Wu et al. 2016,
    equation 14), or the length. The end counts in the length."""

    length_exponent: float | None = None
    """The exponent of the length penalty gnmt, 0 or above; by default 0.6."""

    coverage_penalty: float = 0.0
    """How much the score loses where the source was not looked at (Wu et al. 2016, equation 14: beta), 0 or above; it
    needs a model with attention."""

    min_length: int = 0
    """Tokens before the end, at least."""

    max_length: int | None = None
    """Tokens before the end, at most; if not given, as many as `Constraints.max_lengths` or a trained model says of
    each row, and 200 where nothing says so."""

    block_ngrams: int | None = None
    """No n tokens in a row come twice, for this n."""

    patience: float = 1.0
    """A row is done when it has this many times as many finished hypotheses as beams (Kasai et al. 2022), 1 or above,
    or earlier where no open one can become better. Infinity: only then."""

    prune: float | None = None
    """Give a hypothesis up that is worse by more than this, above 0: its log-probability than the row's best at this
    step, or its score, as if it ended now, than the best finished one's. By default none is given up."""

    sampling: Sampling | None = None
    """Draw each token, in this way, instead of searching for the best."""

    def __post_init__(self) -> None:
        for name, least in (("beams", 1), ("num_best", 1), ("groups", 1), ("min_length", 0)):
            if not is_whole(value := getattr(self, name), least):
                raise OptionError(f"{name} must be a whole number from {least} on, not {value!r}.")
        for name in ("max_length", "block_ngrams"):
            if (value := getattr(self, name)) is not None and not is_whole(value, 1):
                raise OptionError(f"{name} must be a whole number from 1 on, not {value!r}.")
        for name in ("beams", "num_best", "min_length", "max_length"):
            if (value := getattr(self, name)) is not None and value > _MOST:
                raise OptionError(f"{name} must be {_MOST:,} or less, not {value:,}.")
        for name in ("diversity", "length_exponent", "coverage_penalty"):
            value = getattr(self, name)
            if (value is not None or name == "coverage_penalty") and not (is_finite(value) and value >= 0):
                raise OptionError(f"{name} must be a number from 0 on, not {value!r}.")
        if not (is_number(self.patience) and self.patience >= 1):
            raise OptionError(f"patience must be a number from 1 on, or infinity, not {self.patience!r}.")
        if self.prune is not None and not (is_finite(self.prune) and self.prune > 0):
            raise OptionError(f"prune must be a number above 0, not {self.prune!r}.")
        if self.length_penalty not in get_args(LengthPenalty):
            raise OptionError(f"length_penalty must be none, gnmt or mean, not {self.length_penalty!r}.")
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise OptionError(f"sampling must be a Sampling, not {self.sampling!r}.")
        self._check_together()

    def _check_together(self) -> None:
        if self.max_length is not None and self.min_length > self.max_length:
            raise OptionError(f"min_length is {self.min_length}, more than max_length, {self.max_length}.")
        if self.length_exponent is not None and self.length_penalty != "gnmt":
            raise OptionError(
                f"length_exponent belongs to the length penalty gnmt, and length_penalty is {self.length_penalty}. "
                f"Leave {option('length_exponent')} out, or give {option('length_penalty', 'gnmt')}."
            )
        if self.sampling is not None:
            for name in ("beams", "groups", "diversity", "patience", "prune"):
                # Read from the class: what a field is by default.
                if getattr(self, name) != getattr(type(self), name):
                    raise OptionError(f"{name} is of a beam search, and tokens are drawn. Leave {option(name)} out.")
            return
        if self.diversity is not None and self.groups == 1:
            raise OptionError(
                f"diversity keeps groups of beams apart, and there is one. Leave {option('diversity')} out, or give "
                f"{option('groups')}."
            )
        if self.beams % self.groups or self.num_best % self.groups:
            raise OptionError(
                f"beams and num_best are split evenly among the groups: {self.beams} and {self.num_best} are no "
                f"multiples of {self.groups}."
            )
        if self.num_best > self.beams:
            raise OptionError(
                f"num_best is {self.num_best}, and a search with {self.beams} beams need not find more than "
                f"{self.beams}. Give {option('beams', self.num_best)} or more."
            )

    @property
    def with_one_beam(self) -> DecodingOptions:
        """The same with one beam and one hypothesis; penalties, lengths and draws stay, what is of several goes."""
        return replace(self, beams=1, num_best=1, groups=1, diversity=None, patience=1.0, prune=None)

    @property
    def longest(self) -> int:
        """Tokens before the end, at most, of rows of which nothing else says how many."""
        return max(_LONGEST, self.min_length) if self.max_length is None else self.max_length

    @property
    def exponent(self) -> float:
        """The exponent that divides by a power of the length, as given or by default."""
        return _ALPHA if self.length_exponent is None else self.length_exponent

    @property
    def repulsion(self) -> float:
        """The diversity, as given or by default."""
        return _DIVERSITY if self.diversity is None else self.diversity
