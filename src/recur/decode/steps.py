"""What `recur.decode` asks of a model: the next log-probabilities, and the state of rows chosen and repeated.

A decoder of an encoder-decoder, a language model and an ensemble all fit. The state is the model's own affair, of any
type: it is handed back as it came. Where the newest step looked is a second, optional promise, so that models
without attention need not say that they have none.
"""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

State = TypeVar("State")


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
