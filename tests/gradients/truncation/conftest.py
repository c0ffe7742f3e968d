"""What the tests of truncated back-propagation share: a model, what goes into it, and the definition."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import TruncatedBPTT

DOUBLE = torch.float64
Named = dict[str, Tensor]
Windows = list[tuple[int, int]]


@dataclass
class Problem:
    """A model and what goes into it, time first; a loss of random weights on all outputs."""

    model: Any
    x: Tensor
    upstream: Tensor
    leaves: Named
    given: Named = field(default_factory=dict)
    lengths: Tensor | None = None

    def at(self, begin: int, end: int) -> dict[str, Any]:
        """What the model is given by name from step `begin` to `end`."""
        found: dict[str, Any] = {name: value[begin:end] for name, value in self.given.items()}
        if self.lengths is not None:
            found["lengths"] = (self.lengths - begin).clamp(0, end - begin)
        return found

    def gradients(self, losses: Iterator[Tensor]) -> Named:
        """The gradients of all losses, each propagated before the next is computed."""
        total = {f"d{name}": torch.zeros_like(leaf) for name, leaf in self.leaves.items()}
        for loss in losses:
            found = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
            for name, gradient in zip(total, found, strict=True):
                total[name] += 0 if gradient is None else gradient
        return total

    def by_definition(self, windows: Windows, reach: Callable[[int, int], int], state: Any = None) -> Iterator[Tensor]:
        """The loss of each window, its steps unrolled one by one from the state before step `reach(begin, end)`."""

        def step(t: int, state: Any) -> Any:
            return self.model(self.x[t : t + 1], state, **self.at(t, t + 1))

        states = [state]
        with torch.no_grad():
            for t in range(len(self.x)):
                states.append(step(t, states[-1])[1])
        for begin, end in windows:
            start = reach(begin, end)
            state, loss = states[start], 0.0
            for t in range(start, end):
                output, state = step(t, state)
                if t >= begin:
                    loss = loss + (output[0] * self.upstream[t]).sum()
            yield loss

    def by_windows(self, bptt: TruncatedBPTT, windows: Windows) -> Iterator[Tensor]:
        """The loss of each window as `TruncatedBPTT` runs it."""
        for begin, end in windows:
            output = bptt(self.x[begin:end], **self.at(begin, end))
            assert output.shape == self.upstream[begin:end].shape
            yield (output * self.upstream[begin:end]).sum()

    def check(self, k1: int, k2: int, compare: Any, windows: Windows | None = None) -> Named:
        """Compare the gradients by windows with those of the definition, and return them."""
        windows = cut(len(self.x), k1) if windows is None else windows
        expected = self.gradients(self.by_definition(windows, reach_of(k1, k2)))
        bptt = TruncatedBPTT(self.model, k1=k1, k2=k2, batch_first=False)
        found = self.gradients(self.by_windows(bptt, windows))
        compare(found, expected)
        return found


def drawn(kind: Any, num_steps: int, *, is_ragged: bool = False, has_resets: bool = False, **options: Any) -> Problem:
    layer = kind.make(3, 4, num_layers=2, initial_state="learned", **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    x = torch.randn(num_steps, 3, 3, *kind.spatial, dtype=DOUBLE)
    given = {} if kind.timed is None else kind.timed(num_steps, 3)
    if has_resets:
        given["reset"] = torch.rand(num_steps, 3) < 0.2
    lengths = torch.tensor([num_steps, 0, num_steps // 2 + 1]) if is_ragged else None
    with torch.no_grad():
        output, _ = layer(x, **given)
    return Problem(layer, x, torch.randn_like(output), dict(layer.named_parameters()), given, lengths)


def cut(num_steps: int, sizes: int | Sequence[int]) -> Windows:
    """The windows' beginnings and ends."""
    if isinstance(sizes, int):
        return [(begin, min(begin + sizes, num_steps)) for begin in range(0, num_steps, sizes)]
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    assert ends[-1] == num_steps
    return list(itertools.pairwise(ends))


def reach_of(k1: int, k2: int) -> Callable[[int, int], int]:
    return lambda begin, end: begin if k2 == k1 else max(end - k2, 0)


class Pair(NamedTuple):
    slow: Tensor
    fast: Tensor


class Nested(nn.Module):
    """A state of every kind of branch, with a counter that has no gradient, and two outputs."""

    batch_first = False

    def __init__(self) -> None:
        super().__init__()
        self.cell = recur_nn.GRU(3, 4, dtype=DOUBLE)

    def forward(self, x: Tensor, state: Any) -> Any:
        if state is None:
            h, count = torch.zeros(1, x.shape[1], 4, dtype=DOUBLE), torch.zeros((), dtype=torch.int64)
            state = {"pair": Pair(h, h), "rest": [count, ("text", h)]}
        output, h = self.cell(x, state["pair"].fast)
        slow, sums = state["pair"].slow, []
        for step in output:
            slow = slow * 0.5 + step
            sums.append(slow[0])
        count = state["rest"][0] + len(x)
        return (output, {"sum": torch.stack(sums)}), {"pair": Pair(slow, h), "rest": [count, ("text", h)]}


@pytest.fixture(name="problem")
def _problem() -> Callable[..., Problem]:
    """Draw a layer of some kind and what goes into it."""
    return drawn


@pytest.fixture(name="problem_of")
def _problem_of() -> type[Problem]:
    """Make one of a model of one's own."""
    return Problem


@pytest.fixture(name="cut")
def _cut() -> Callable[..., Windows]:
    return cut


@pytest.fixture(name="reach_of")
def _reach_of() -> Callable[..., Any]:
    return reach_of


@pytest.fixture(name="nested")
def _nested() -> Nested:
    return Nested()
