"""How a bound on memory becomes a schedule: what a state and a step take, and the segments and slots that fit."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from recur.gradients.randomness import Randomness
from recur.gradients.recomputation.graph import nodes_of
from recur.gradients.recomputation.reversal import Reversal
from recur.gradients.recomputation.schedule import num_runs
from recur.gradients.recomputation.segments import Given, Segments

MIB = 2**20

NODE_BYTES = 1280
"""What an operation takes in autograd's graph beside the memory of its tensors: the node, what it saves, the tensors'
heads. 1.1 KiB was measured."""

CALL_STEPS = 8
"""How many steps of a fused layer take as long as what a call of it costs beside its steps."""

MOST_PASSES = 20
"""Forward passes that a schedule may take; with less memory than that needs nobody would wait for it."""

_PROBES = (16, 48)


class Costs(NamedTuple):
    """What a call keeps, in bytes.

    Attributes:
        state: Of a state between two segments, with that of torch's generators where the layer draws random numbers.
        segment: Of a segment that is run for its gradient, whatever its length.
        step: Of each step of it: what autograd keeps, the output, and the gradient of the input.
    """

    state: int
    segment: int
    step: int

    def of_segment(self, num_steps: int) -> int:
        """Return what a segment of so many steps takes."""
        return self.segment + num_steps * self.step

    def of_plan(self, length: int, slots: int) -> int:
        """Return what segments of so many steps and so many slots take: the state in hand is one more."""
        return (slots + 1) * self.state + self.of_segment(length)


@dataclass(frozen=True)
class Plan:
    """How a call goes back through time.

    Attributes:
        num_steps: Steps of the sequence, T.
        segment_length: Steps of a segment; the last may have fewer.
        slots: States between segments that are kept at the same time.
        forward_steps: Steps that are run forward, in the forward and the backward pass together.
        costs: What a state and a segment take.
    """

    num_steps: int
    segment_length: int
    slots: int
    forward_steps: int
    costs: Costs

    @property
    def num_segments(self) -> int:
        """Segments of the sequence."""
        return -(-self.num_steps // self.segment_length)

    @property
    def passes(self) -> float:
        """Forward passes over the sequence that this comes to, 1 where every step is kept."""
        return self.forward_steps / self.num_steps

    @property
    def memory(self) -> float:
        """MiB that are kept at most: the slots, the state in hand, and one segment."""
        return self.costs.of_plan(self.segment_length, self.slots) / MIB

    def __str__(self) -> str:
        return (
            f"{self.num_segments} segments of {self.segment_length} steps, {self.slots} states kept: "
            f"{self.memory:.3g} MiB, {self.passes:.3g} forward passes"
        )


def planned(num_steps: int, length: int, slots: int, costs: Costs) -> Plan:
    """Return the plan with segments of so many steps and so many slots."""
    count = -(-num_steps // length)
    runs = num_runs(count, slots)
    # The last segment is run once, for its gradient.
    return Plan(num_steps, length, slots, runs * length - (count * length - num_steps), costs)


@lru_cache(maxsize=128)
def fitted(owner: str, num_steps: int, costs: Costs, memory: float) -> Plan:
    """Return the plan of the least work that fits.

    Args:
        owner: Who complains.
        num_steps: Steps of the sequence, T.
        costs: What is kept.
        memory: MiB.

    Raises:
        ValueError: None fits.
    """
    best: tuple[float, Plan] | None = None
    for length in _lengths(num_steps):
        count = -(-num_steps // length)
        room = math.floor(memory * MIB) - costs.of_segment(length)
        slots = min(count - 1, room // costs.state - 1)
        if slots < min(count - 1, 1):
            continue
        plan = planned(num_steps, length, slots, costs)
        work = plan.forward_steps + CALL_STEPS * num_runs(count, slots)
        if plan.passes <= MOST_PASSES and (best is None or work < best[0]):
            best = work, plan
    if best is None:
        least = min(_least(num_steps, length, costs) for length in _lengths(num_steps)) / MIB
        raise ValueError(
            f"{owner}: memory is {memory:g} MiB, but {num_steps} steps need at least {_rounded_up(least)} MiB: with "
            f"less there would be more than {MOST_PASSES} forward passes. Give more, or a smaller batch."
        )
    return best[1]


def measured(segments: Segments, given: Given) -> Costs:
    """Return what a call keeps, from running its first steps for their gradient.

    Args:
        segments: The call.
        given: What it is given.
    """
    found = {length: _kept(segments, given, length) for length in {min(n, segments.num_steps) for n in _PROBES}}
    (short, (state, one)), (long, (_, other)) = min(found.items()), max(found.items())
    step = math.ceil((other - one) / (long - short)) if long > short else math.ceil(one / short)
    step = max(step, 1)
    return Costs(max(state, 1), max(one - short * step, 0), step)


def _kept(segments: Segments, given: Given, length: int) -> tuple[int, int]:
    """Return the bytes of a state, and those that a segment of so many steps takes."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages.update(_storage(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        tape = Reversal(segments, length, 1).probed(given)
    output, *final = tape.results
    storages.update(_storage(output))
    for tensor in (*given.flat(), *tape.given.flat()):
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    gradients = sum(
        segments.cut(tensor, 0, length).nbytes
        for tensor, is_cut in zip((given.x, *given.more), (True, *segments.is_cut), strict=True)
        if is_cut and tensor.requires_grad
    )
    state = sum(leaf.nbytes for leaf in final)
    if tape.is_random:
        state += sum(part.nbytes for part in Randomness.now(given.x).tensors())
    num_nodes = sum(1 for _ in nodes_of(tape.results))
    return state, sum(storages.values()) + gradients + num_nodes * NODE_BYTES


def _lengths(num_steps: int) -> list[int]:
    """Return lengths of segments to choose from, each a little longer than the one before."""
    counts = {-(-num_steps // round(num_steps ** (k / 95))) for k in range(96)}
    # As many segments as one of another length would leave, but all alike.
    return sorted({-(-num_steps // count) for count in counts})


def _least(num_steps: int, length: int, costs: Costs) -> int:
    """Return the bytes that segments of so many steps need."""
    count = -(-num_steps // length)
    choices = range(1, count) if count > 1 else range(1)

    def is_enough(slots: int) -> bool:
        return planned(num_steps, length, slots, costs).passes <= MOST_PASSES

    # All slots together are, in any case.
    return costs.of_plan(length, choices[bisect_left(choices, True, hi=len(choices) - 1, key=is_enough)])


def _rounded_up(mib: float) -> str:
    """Return at least so many MiB in three digits."""
    unit = 10.0 ** (math.floor(math.log10(mib)) - 2)
    return f"{math.ceil(mib / unit) * unit:.3g}"


def _storage(tensor: Tensor) -> dict[int, int]:
    storage = tensor.untyped_storage()
    return {storage.data_ptr(): storage.nbytes()}
