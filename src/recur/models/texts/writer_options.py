"""Options of the networks that write texts from labels or numbers. No torch here: the command line reads these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from recur.errors import OptionError
from recur.kinds import is_whole
from recur.models.options import LanguageModelOptions
from recur.wording import option

ContextUse = Literal["input", "state", "both"]


@dataclass(frozen=True, kw_only=True)
class WriterOptions(LanguageModelOptions):
    """Shape and regularisation of a `WriterNetwork`: a language model, and how it comes to know its context.

    A value of None is chosen for the texts (see `recur.train.writer_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.

    Example:
        >>> WriterOptions(context_size=8).context
        'both'
    """

    context: ContextUse = "both"
    """Where what a text is written from goes: each step reads it beside its token (input), the state begins with it
    (state), or both."""

    context_size: int | None = None
    """Size of the vector that labels and numbers become; 32 if not given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context not in get_args(ContextUse):
            raise OptionError(f"context must be one of {', '.join(get_args(ContextUse))}, not {self.context!r}.")
        if self.context_size is not None and (not is_whole(self.context_size, 1) or self.context_size > 1 << 20):
            raise OptionError(f"context_size must be a whole number from 1 to {1 << 20}, not {self.context_size!r}.")
        if self.context != "input" and self.initial_state == "learned":
            raise OptionError(
                "initial_state: the state begins with the context, so that nothing else is learned; leave it out, or "
                f"give {option('context', 'input')}."
            )

    @property
    def is_complete(self) -> bool:
        """Whether every value is chosen, so that a network can be built."""
        return super().is_complete and self.context_size is not None
