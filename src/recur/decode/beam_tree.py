"""What a search looked at, as a tree: every beginning that was open, also those that came to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple

import torch
from torch import Tensor

from recur.decode.steps import State, Steps, attention_told


@dataclass(frozen=True, kw_only=True)
class BeamNode:
    """A token that was open in a search."""

    row: int
    """Of the batch."""

    parent: int | None
    """Its place among the nodes; None for what a row begins with."""

    token: int | None
    """The token; None for what a row begins with."""

    log_prob: float
    """Of all tokens down to this one."""


class WatchedState(NamedTuple, Generic[State]):
    """The state of a watched model."""

    inner: State
    node: Tensor
    """Which each row has come to, (N,) int64."""

    said: Tensor | None
    """Log-probabilities of the newest step, (M, V); None before the first."""

    place: Tensor
    """Of each row its row in them, (N,) int64."""


class WatchedSteps(Generic[State]):
    """A model that keeps a tree of what is asked of it, for pictures of how a search went.

    The model itself is asked nothing more. What ended is in the hypotheses, each of which is a way from a root.

    Args:
        steps: The model.

    Example:
        >>> from recur.decode import DecodingOptions, decode
        >>> class Coin:
        ...     def step(self, tokens, state):
        ...         return torch.tensor([0.5, 0.3, 0.2]).log().expand(len(tokens), -1), state
        ...     def select(self, state, rows):
        ...         return state
        >>> watched = WatchedSteps(Coin())
        >>> options = DecodingOptions(beams=2, max_length=2)
        >>> start = torch.tensor([0])
        >>> ((best,),) = decode(watched, watched.begin(None, start), start, end=2, options=options)
        >>> best.tokens
        (0, 0)
        >>> [(node.parent, node.token) for node in watched.nodes]
        [(None, None), (0, 0), (0, 1), (1, 0), (1, 1)]
    """

    def __init__(self, steps: Steps[State]) -> None:
        self._steps = steps
        self.nodes: list[BeamNode] = []
        """All that was open, parents before children."""

    def begin(self, state: State, start: Tensor) -> WatchedState[State]:
        """Return the state to decode from, for the same `start`, and forget what was watched before."""
        self.nodes = [BeamNode(row=row, parent=None, token=None, log_prob=0.0) for row in range(len(start))]
        rows = torch.arange(len(start), device=start.device)
        return WatchedState(state, rows, None, rows)

    def step(self, tokens: Tensor, state: WatchedState[State]) -> tuple[Tensor, WatchedState[State]]:
        """Return what the model says, and note which tokens it was given."""
        node = state.node
        if state.said is not None:
            gains = state.said[state.place, tokens].tolist()
            parents = node.tolist()
            node = len(self.nodes) + torch.arange(len(parents), device=tokens.device)
            for parent, token, gain in zip(parents, tokens.tolist(), gains, strict=True):
                before = self.nodes[parent]
                self.nodes.append(BeamNode(row=before.row, parent=parent, token=token, log_prob=before.log_prob + gain))
        said, inner = self._steps.step(tokens, state.inner)
        return said, WatchedState(inner, node, said, torch.arange(len(tokens), device=tokens.device))

    def select(self, state: WatchedState[State], rows: Tensor) -> WatchedState[State]:
        """Return the state of chosen rows."""
        inner = self._steps.select(state.inner, rows)
        return WatchedState(inner, state.node[rows], state.said, state.place[rows])

    def attention(self, state: WatchedState[State]) -> Tensor | None:
        """Return where the model looked; None where it does not tell."""
        tell = attention_told(self._steps)
        return None if tell is None else tell(state.inner)
