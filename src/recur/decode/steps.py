"""What `recur.decode` asks of a model: the next log-probabilities, and the state of rows chosen and repeated.

A decoder of an encoder-decoder, a language model and an ensemble all fit. The state is the model's own affair, of any
type: it is handed back as it came. Where the newest step looked is a second, optional promise, so that models
without attention need not say that they have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

from recur.errors import OptionError

State = TypeVar("State")

_ABOVE_ZERO = 1e-3
"""What rounding may lift a log-probability above 0, in 16 bits."""


class Steps(Protocol[State]):
    """A model that goes on with sequences by a token at a time.

    Its rows are independent of each other: what it says of one must not depend on which others are beside it.

    Example:
        >>> import torch
        >>> class Bigrams:
        ...     def __init__(self, table):
        ...         self.table = table
        ...     def step(self, tokens, state):
        ...         return self.table[tokens], state
        ...     def select(self, state, rows):
        ...         return state
        >>> log_probs, _ = Bigrams(torch.eye(3).log_softmax(dim=1)).step(torch.tensor([2, 0]), None)
        >>> log_probs.argmax(dim=1)
        tensor([2, 0])
    """

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what follows each row's newest token, and the state after it.

        Args:
            tokens: (N,) int64, one for each row of the state.
            state: The state before them.

        Returns:
            Log-probabilities of the next token, (N, V) floating point, none above 0; minus infinity where a token
            cannot follow. And the state. Neither is changed by the decoder.
        """
        ...

    def select(self, state: State, rows: Tensor) -> State:
        """Return the state of chosen rows.

        It is called after each step at which beams change places, so that what many rows share, such as what was read
        of a source, is better kept once, with its number in each row's state, than copied.

        Args:
            state: Of N rows.
            rows: (M,) int64 below N, in any order, with repeats.
        """
        ...


@runtime_checkable
class AttentiveSteps(Steps[State], Protocol[State]):
    """A model that also tells where it looked."""

    def attention(self, state: State) -> Tensor | None:
        """Return where the newest step of each row looked.

        Args:
            state: As `step` returned it.

        Returns:
            Weights of the source positions, (N, S) floating point, zero on padding, S the same at each step; or None at
            all steps.
        """
        ...


def attention_told(steps: Steps[State]) -> Callable[[State], Tensor | None] | None:
    """Return what tells where a model looked, `AttentiveSteps.attention`; None where it has no such thing."""
    # A module may have a layer of this name. To ask whether the whole protocol is kept takes as long as a small step.
    return steps.attention if callable(getattr(type(steps), "attention", None)) else None  # type: ignore[attr-defined]


def check_shape(log_probs: Tensor, num_rows: int, largest_token: int) -> None:
    """Raise unless a model returned numbers for each row and token.

    Args:
        log_probs: What it returned.
        num_rows: Rows that it was asked for.
        largest_token: Of those that were asked for.

    Raises:
        ValueError: They are not floating point, or of other rows.
        OptionError: The model has fewer tokens than were named.
    """
    if log_probs.ndim != 2 or len(log_probs) != num_rows or not log_probs.is_floating_point():
        raise ValueError(
            f"Steps.step returned {tuple(log_probs.shape)} {log_probs.dtype}; log-probabilities of the next token "
            f"are floating point, with a row for each of the {num_rows} tokens given."
        )
    if largest_token >= log_probs.shape[1]:
        raise OptionError(
            f"Token {largest_token} was named as the end, as forbidden or as required, and the model has "
            f"tokens from 0 to {log_probs.shape[1] - 1}."
        )


def check_highest(highest: float) -> None:
    """Raise ValueError unless this can be the highest of the log-probabilities that a model returned."""
    if not highest <= _ABOVE_ZERO:
        raise ValueError(
            f"Steps.step returned a log-probability of {highest:.4g}, and they are 0 at most. If it returns "
            "logits, apply log_softmax to them."
        )
