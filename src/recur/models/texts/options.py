"""Options of the networks that read texts. No torch here: the command line reads these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.models.options import Cell

TextPooling = Literal["last", "mean", "max", "attention", "last+max"]


@dataclass(frozen=True, kw_only=True)
class TextLayerOptions:
    """Shape and regularisation of the vectors of tokens, and of the recurrent layers that read them.

    A value of None is chosen by what tokens are, see `completed`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    cell: Cell = "gru"
    """Recurrent cell: gru, lstm, rnn; or indrnn, mgu, ligru."""

    hidden_size: int | None = None
    """Units of each recurrent layer and direction; 128, but 256 for characters, if not given."""

    num_layers: int = 1
    """Recurrent layers, one on top of the other."""

    bidirectional: bool = True
    """Read each text from its end too."""

    residual: bool = False
    """Add each recurrent layer's input to its output, from the second layer on."""

    embedding_size: int | None = None
    """Size of the vector that stands for a token; 128, but 64 for characters, if not given."""

    dropout: float = 0.5
    """Dropout on what the output layer reads and on what each recurrent layer gives to the next; 0 to below 1."""

    embedding_dropout: float = 0.3
    """Dropout on the vectors of tokens, 0 to below 1."""

    token_dropout: float = 0.1
    """In training: share of the tokens that are read as unknown, so that these are learnt too, and no text by heart
    (Iyyer et al. 2015); 0 to below 1."""

    def __post_init__(self) -> None:
        check_choice("cell", self.cell, get_args(Cell))
        for name, highest in (("hidden_size", 1 << 20), ("num_layers", 1000), ("embedding_size", 1 << 20)):
            value = getattr(self, name)
            is_open = value is None and name != "num_layers"
            if not is_open and (not is_whole(value) or not 1 <= value <= highest):
                raise OptionError(f"{name} must be a whole number from 1 to {highest}, not {value!r}.")
        for name in ("dropout", "embedding_dropout", "token_dropout"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < 1):
                raise OptionError(f"{name} must be a number from 0 to below 1, not {value!r}.")
        for name in ("bidirectional", "residual"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} must be true or false, not {getattr(self, name)!r}.")
        if self.residual and self.num_layers == 1:
            raise OptionError("residual acts from the second layer on, but num_layers is 1; leave it out.")

    def completed(self, *, is_character: bool = False) -> Self:
        """Return the options with every None replaced by a value.

        Of characters there are few, and each says little, so that what stands where has to be remembered by more units.

        Args:
            is_character: Whether tokens are characters.

        Example:
            >>> TextEncoderOptions(hidden_size=32).completed(is_character=True).pooling
            'last+max'
        """
        chosen = self._chosen(is_character)
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})

    def _chosen(self, is_character: bool) -> dict[str, Any]:
        """Return what stands in place of None, by name."""
        if is_character:
            return {"hidden_size": 256, "embedding_size": 64}
        return {"hidden_size": 128, "embedding_size": 128}


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise where a value is none of those that are known.

    Raises:
        OptionError: It is not.
    """
    if value not in known:
        raise OptionError(f"{name} must be one of {', '.join(known)}, not {value!r}.")


@dataclass(frozen=True, kw_only=True)
class TextEncoderOptions(TextLayerOptions):
    """Shape and regularisation of a `TextEncoder`.

    A value of None is chosen by what tokens are, see `completed`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    pooling: TextPooling | None = field(default=None, metadata={"after": "embedding_size"})
    """What a text's tokens become: the last one's encoding (with bidirectional, the first one's of the way back), the
    mean or the largest over all, a mean weighted by a learned attention, or last and max side by side; if not given
    attention, but for characters last+max."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling is not None:
            check_choice("pooling", self.pooling, get_args(TextPooling))

    def _chosen(self, is_character: bool) -> dict[str, Any]:
        return super()._chosen(is_character) | {"pooling": "last+max" if is_character else "attention"}


@dataclass(frozen=True, kw_only=True)
class TextClassifierOptions(TextEncoderOptions):
    """Options of a `TextClassifierNetwork`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    class_weights: Literal["none", "balanced"] = "none"
    """What an error counts: none, each the same; balanced, in inverse proportion to how frequent its class is."""

    label_smoothing: float | None = None
    """Share of the target probability that is spread over all classes (Szegedy et al. 2016), 0 to below 1; of texts of
    one class each alone. If not given 0, but 0.1 for characters."""

    members: int | None = None
    """Networks that are trained side by side and whose answers are averaged; by how much there is to learn
    from if not given."""

    ngrams: bool = True
    """Whether a linear model of n-grams, which is fitted to be compared with, speaks too where held-out texts are told
    better with it; not with class_weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.ngrams, bool):
            raise OptionError(f"ngrams must be true or false, not {self.ngrams!r}.")
        if self.class_weights not in ("none", "balanced"):
            raise OptionError(f"class_weights must be none or balanced, not {self.class_weights!r}.")
        smoothing = 0.0 if self.label_smoothing is None else self.label_smoothing
        if not (is_number(smoothing) and 0 <= smoothing < 1):
            raise OptionError(f"label_smoothing must be a number from 0 to below 1, not {self.label_smoothing!r}.")
        if self.members is not None and not (is_whole(self.members, 1) and self.members <= 1000):
            raise OptionError(f"members must be a whole number from 1 to 1000, not {self.members!r}.")

    def _chosen(self, is_character: bool) -> dict[str, Any]:
        return super()._chosen(is_character) | {"label_smoothing": 0.1 if is_character else 0.0}
