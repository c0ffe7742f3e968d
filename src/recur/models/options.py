"""Options of the networks. No torch here: the command line reads these for its help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from recur.errors import OptionError
from recur.kinds import is_number, is_whole

Cell = Literal["rnn", "gru", "lstm", "indrnn", "mgu", "ligru"]


@dataclass(frozen=True, kw_only=True)
class LanguageModelOptions:
    """Shape and regularisation of a `recur.LanguageModel`.

    A value of None is chosen for the size of the text and the time there is (see `recur.train.language_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    cell: Cell | None = None
    """Recurrent cell: lstm, gru, rnn; or indrnn, mgu, ligru, which torch has no code for."""

    num_layers: int | None = None
    """Recurrent layers, one on top of the other."""

    hidden_size: int | None = None
    """Units of each recurrent layer."""

    embedding_size: int | None = None
    """Size of the vector that stands for a token; 64 for up to 256 different tokens, else 256; hidden_size if tied."""

    dropout: float | None = None
    """Locked dropout (one mask over time) on each layer's output, 0 to below 1."""

    embedding_dropout: float | None = None
    """Locked dropout on the embedding; 0 for few different tokens, else as dropout."""

    residual: bool = False
    """Add each layer's input to its output, from the second layer on."""

    tied: bool = False
    """Use the embedding's weights for the output layer too; needs embedding_size equal to hidden_size."""

    initial_state: Literal["zeros", "learned"] = "zeros"
    """State before the first token: zeros, or learned like a weight."""

    def __post_init__(self) -> None:
        for name, highest in (("num_layers", 1000), ("hidden_size", 1 << 20), ("embedding_size", 1 << 20)):
            value = getattr(self, name)
            if value is not None and (not is_whole(value) or not 1 <= value <= highest):
                raise OptionError(f"{name} must be a whole number from 1 to {highest}, not {value!r}.")
        for name in ("dropout", "embedding_dropout"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 <= value < 1):
                raise OptionError(f"{name} must be a number from 0 to below 1, not {value!r}.")
        if self.cell not in (None, *get_args(Cell)):
            raise OptionError(f"cell must be one of {', '.join(get_args(Cell))}, not {self.cell!r}.")
        if self.initial_state not in ("zeros", "learned"):
            raise OptionError(f"initial_state must be zeros or learned, not {self.initial_state!r}.")
        for name in ("residual", "tied"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} must be true or false, not {getattr(self, name)!r}.")
        if self.tied and self.embedding_size not in (None, self.hidden_size):
            raise OptionError(
                f"tied needs embedding_size equal to hidden_size, not {self.embedding_size} and {self.hidden_size}."
            )

    @property
    def is_complete(self) -> bool:
        """Whether every value is chosen, so that a model can be built."""
        return None not in (self.cell, self.num_layers, self.hidden_size, self.embedding_size, self.dropout)
