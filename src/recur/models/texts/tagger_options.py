"""Options of the network that tags the tokens of sentences. No torch here: the command line reads these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.options import Cell
from recur.models.texts.options import TextLayerOptions, check_choice

Characters = Literal["convolution", "recurrent", "none"]
TagOutput = Literal["crf", "softmax"]


@dataclass(frozen=True, kw_only=True)
class TaggerOptions(TextLayerOptions):
    """Options of a `TaggerNetwork`.

    A value of None is chosen, see `TextLayerOptions.completed`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.

    Example:
        >>> TaggerOptions(characters="none").completed().hidden_size
        128
    """

    cell: Cell = "lstm"
    """Recurrent cell: lstm, gru, rnn; or indrnn, mgu, ligru."""

    hidden_size: int | None = None
    """Units of each recurrent layer and direction; 128 if not given."""

    embedding_size: int | None = None
    """Size of the vector that stands for a word; if not given 128, or that of the vectors of others."""

    embedding_dropout: float = 0.5
    """Dropout on the vectors of words and on the features of their characters, 0 to below 1."""

    output: TagOutput = "crf"
    """What the tags of a sentence are told by: a conditional random field, where each depends on the one before; or
    softmax, each tag by itself. With both, what is told keeps the scheme of the tags."""

    characters: Characters = field(default="convolution", metadata={"after": "embedding_size"})
    """How the characters of a word are read, beside the vector that stands for it: by a convolution and the largest
    over all places, by a recurrent layer in both directions, or not at all."""

    character_size: int = field(default=32, metadata={"after": "characters"})
    """Size of the vector that stands for a character."""

    character_features: int = field(default=64, metadata={"after": "character_size"})
    """Features of a word that its characters become; an even number where they are read in both directions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("output", self.output, get_args(TagOutput))
        check_choice("characters", self.characters, get_args(Characters))
        for name in ("character_size", "character_features"):
            value = getattr(self, name)
            if not (is_whole(value, 1) and value <= 1 << 20):
                raise OptionError(f"{name} must be a whole number from 1 to {1 << 20}, not {value!r}.")
        if self.characters == "recurrent" and self.character_features % 2:
            raise OptionError(
                f"character_features must be even where characters are read in both directions, not "
                f"{self.character_features}."
            )
