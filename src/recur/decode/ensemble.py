"""Several models of one vocabulary that decode as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from recur.decode.steps import Steps, attention_told
from recur.errors import OptionError
from recur.kinds import is_finite

Average = Literal["probabilities", "log_probabilities"]


class Ensemble:
    """What several models say on average, as `Steps`. Its state is the tuple of theirs.

    Args:
        steps: The models, one or more.
        average: `"probabilities"`, their arithmetic mean, which any one of them can lift; or `"log_probabilities"`, the
            geometric mean, without making it sum to 1, by which any one can veto.
        weights: How much each counts, above 0; they are made to sum to 1. By default all count the same.

    Raises:
        OptionError: There is no model, or a value is out of range.

    Example:
        >>> class Constant:
        ...     def __init__(self, *probs):
        ...         self.probs = torch.tensor(probs)
        ...     def step(self, tokens, state):
        ...         return self.probs.log().expand(len(tokens), -1), state
        ...     def select(self, state, rows):
        ...         return state
        >>> both = Ensemble([Constant(0.8, 0.2), Constant(0.2, 0.8)], weights=[3, 1])
        >>> log_probs, state = both.step(torch.tensor([0]), (None, None))
        >>> log_probs.exp()
        tensor([[0.6500, 0.3500]])
    """

    def __init__(
        self,
        steps: Sequence[Steps[Any]],
        *,
        average: Average = "probabilities",
        weights: Sequence[float] | None = None,
    ) -> None:
        self._steps = tuple(steps)
        if not self._steps:
            raise OptionError("An ensemble has one model or more, and none was given.")
        if average not in get_args(Average):
            raise OptionError(f"average must be probabilities or log_probabilities, not {average!r}.")
        given = [1.0] * len(self._steps) if weights is None else list(weights)
        if len(given) != len(self._steps) or not all(is_finite(weight) and weight > 0 for weight in given):
            raise OptionError(
                f"weights must be a number above 0 for each of the {len(self._steps)} models, not {weights!r}."
            )
        self._average = average
        self._weights = [weight / math.fsum(given) for weight in given]

    def step(self, tokens: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Return the average of what follows, (N, V), and the states after it.

        Raises:
            OptionError: There are not as many states as models.
            ValueError: The models have vocabularies of different sizes.
        """
        if len(state) != len(self._steps):
            raise OptionError(f"An ensemble of {len(self._steps)} models has as many states, not {len(state)}.")
        said, states = zip(*(one.step(tokens, own) for one, own in zip(self._steps, state, strict=True)), strict=True)
        if len({one.shape[1] for one in said}) > 1:
            sizes = ", ".join(str(one.shape[1]) for one in said)
            raise ValueError(f"The models of an ensemble have one vocabulary, and these have {sizes} tokens.")
        weights = torch.tensor(self._weights, dtype=said[0].dtype, device=said[0].device)[:, None, None]
        stacked = torch.stack(said)
        if self._average == "log_probabilities":
            return (stacked * weights).sum(dim=0), states
        # Weights that sum to 1 but for rounding could lift a certainty above 0.
        return torch.logsumexp(stacked + weights.log(), dim=0).clamp(max=0), states

    def select(self, state: tuple[Any, ...], rows: Tensor) -> tuple[Any, ...]:
        """Return the states of chosen rows."""
        return tuple(one.select(own, rows) for one, own in zip(self._steps, state, strict=True))

    def attention(self, state: tuple[Any, ...]) -> Tensor | None:
        """Return where the models that tell it looked on average, (N, S); None where none tells."""
        told = [
            (looked, weight)
            for one, own, weight in zip(self._steps, state, self._weights, strict=True)
            if (tell := attention_told(one)) is not None and (looked := tell(own)) is not None
        ]
        if not told:
            return None
        total = math.fsum(weight for _, weight in told)
        return torch.stack([looked * (weight / total) for looked, weight in told]).sum(dim=0)
