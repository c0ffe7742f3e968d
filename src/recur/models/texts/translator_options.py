"""Options of the networks that write a text from a text. No torch here: the command line reads these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from recur.errors import OptionError
from recur.kinds import is_finite, is_number, is_whole
from recur.models.options import Cell
from recur.wording import option

TranslatorAttention = Literal["additive", "dot", "general", "concat", "multi-head", "monotonic", "location", "none"]
Tied = Literal["none", "output", "all"]

MOST_UNITS = 1 << 20

_CHOSEN: dict[str, Any] = {
    "hidden_size": 256,
    "embedding_size": 128,
    "dropout": 0.3,
    "embedding_dropout": 0.3,
    "members": 1,
}
_OF_FEW: dict[str, Any] = {
    "hidden_size": 512,
    "embedding_size": 256,
    "dropout": 0.5,
    "embedding_dropout": 0.5,
    "members": 3,
}
"""What stands in place of None, and what of few pairs of sentences: networks that would learn these by heart, hindered
in that, and the mean of some."""

_HEADS = 4
"""Heads of `recur.nn.MultiHeadAttention` where nothing is said."""


@dataclass(frozen=True, kw_only=True)
class TranslatorOptions:
    """Shape and regularisation of a `TranslatorNetwork`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    cell: Cell = "lstm"
    """Recurrent cell of encoder and decoder: lstm, gru, rnn; or indrnn, mgu, ligru."""

    hidden_size: int | None = None
    """Units of each layer of the decoder, and of each layer and direction of the encoder; 256, but 512 for few pairs of
    sentences, if not given."""

    num_layers: int = 1
    """Recurrent layers, one on top of the other, of the encoder and of the decoder."""

    bidirectional: bool = True
    """Read each source from its end too."""

    residual: bool = False
    """Add each recurrent layer's input to its output, from the second layer on."""

    embedding_size: int | None = None
    """Size of the vector that stands for a token; 128, but 256 for few pairs of sentences, or that of the vectors which
    words begin with, if not given."""

    attention: TranslatorAttention = "general"
    """How the decoder looks at the source: additive (Bahdanau et al. 2015), dot, general, concat (Luong et al. 2015),
    multi-head (Vaswani et al. 2017), monotonic (Raffel et al. 2017), location (Chorowski et al. 2015); none leaves it
    with the encoder's last state."""

    input_feeding: bool = False
    """Let the decoder read what it made of its last look at the source, beside its last token (Luong et al. 2015,
    section 3.3). Training then goes from step to step, which takes longer."""

    copying: bool = False
    """Mix what is written with copies of the source's tokens, also of unknown ones (See et al. 2017, section 2.2)."""

    coverage: float = 0.0
    """Weight of the loss for looking again where the decoder has looked (See et al. 2017, equation 12); 0 for none."""

    tied: Tied | None = None
    """Which vectors of tokens are one: none, output (the decoder's are the weights of its output layer too; Press and
    Wolf 2017), or all (and the encoder's, where sources and targets have a joint vocabulary); all where they do, else
    none, if not given."""

    dropout: float | None = None
    """Dropout on what the output layer reads and on what each recurrent layer gives to the next, 0 to below 1; 0.3, but
    0.5 for few pairs of sentences, if not given."""

    embedding_dropout: float | None = None
    """Dropout on the vectors of tokens, 0 to below 1; 0.3, but 0.5 for few pairs of sentences, if not given."""

    label_smoothing: float | None = None
    """Share of the target probability that is spread over all tokens (Szegedy et al. 2016), in training and in the
    validation loss, 0 to below 1; 0.1, but 0 where sources are of few symbols, such as commands, whose targets leave no
    doubt, if not given."""

    scheduled_sampling: float = 0.0
    """Share of the decoder's input that are tokens drawn from what it says itself, instead of the right ones, at the
    end of training (Bengio et al. 2015; all steps at once, Duckworth et al. 2019), 0 to 1. It grows evenly."""

    members: int | None = None
    """Networks that are trained side by side and whose probabilities are averaged, token by token; 1, but 3 for few
    pairs of sentences, if not given."""

    ngrams: bool = True
    """Whether a trigram model of targets, which is fitted to be compared with, speaks too where held-out targets are
    likelier with it. With `copying` it does not."""

    def __post_init__(self) -> None:
        for name, known in (
            ("cell", get_args(Cell)),
            ("attention", get_args(TranslatorAttention)),
            ("tied", get_args(Tied)),
        ):
            if getattr(self, name) not in known and (name, getattr(self, name)) != ("tied", None):
                raise OptionError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        for name, highest in (
            ("hidden_size", MOST_UNITS),
            ("num_layers", 1000),
            ("embedding_size", MOST_UNITS),
            ("members", 1000),
        ):
            value = getattr(self, name)
            if value is None and name != "num_layers":
                continue
            if not is_whole(value, 1) or value > highest:
                raise OptionError(f"{name} must be a whole number from 1 to {highest}, not {value!r}.")
        for name in ("dropout", "embedding_dropout", "label_smoothing"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 <= value < 1):
                raise OptionError(f"{name} must be a number from 0 to below 1, not {value!r}.")
        if not (is_number(self.scheduled_sampling) and 0 <= self.scheduled_sampling <= 1):
            raise OptionError(f"scheduled_sampling must be a number from 0 to 1, not {self.scheduled_sampling!r}.")
        if not (is_finite(self.coverage) and self.coverage >= 0):
            raise OptionError(f"coverage must be a number from 0 on, not {self.coverage!r}.")
        for name in ("bidirectional", "residual", "input_feeding", "copying", "ngrams"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} must be true or false, not {getattr(self, name)!r}.")
        if self.residual and self.num_layers == 1:
            raise OptionError("residual acts from the second layer on, but num_layers is 1; leave it out.")
        if self.attention == "none":
            for name in ("input_feeding", "copying", "coverage"):
                if getattr(self, name):
                    raise OptionError(
                        f"{name} needs to know where the decoder looks, but attention is none; leave one of them out."
                    )
        if self.attention == "multi-head" and self.hidden_size is not None and self.hidden_size % _HEADS:
            raise OptionError(
                f"multi-head attention has {_HEADS} heads of as many units each, and hidden_size, {self.hidden_size}, "
                f"is no multiple of {_HEADS}; give one that is."
            )
        if self.attention == "dot" and self.bidirectional:
            raise OptionError(
                "dot attention compares the decoder's units with as many of the encoder, which in both directions has "
                f"twice as many; give {option('bidirectional', False)}, or general attention."
            )

    def completed(self, *, has_symbols: bool = False, has_one_vocabulary: bool = False, is_few: bool = False) -> Self:
        """Return the options with every None replaced by a value.

        Of few sentences a network is best that has units enough to learn all by heart, and dropout against that; and
        the mean of several (Sennrich and Zhang 2019 found the same of translation, but for the size).

        Args:
            has_symbols: Whether sources are of few symbols with blanks between them.
            has_one_vocabulary: Whether sources and targets have a joint vocabulary.
            is_few: Whether there are few pairs, of sentences.

        Example:
            >>> chosen = TranslatorOptions().completed(has_symbols=True)
            >>> chosen.embedding_size, chosen.label_smoothing, chosen.tied
            (128, 0.0, 'none')
        """
        chosen = (_OF_FEW if is_few else _CHOSEN) | {
            "label_smoothing": 0.0 if has_symbols else 0.1,
            "tied": "all" if has_one_vocabulary else "none",
        }
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})
