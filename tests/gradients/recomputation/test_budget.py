"""Plans that fit a budget: the least work, what is measured against what is kept, and what is too little."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from recur.gradients import Checkpointed, Plan
from recur.gradients.recomputation.budget import CALL_STEPS, MIB, MOST_PASSES, NODE_BYTES, Costs, fitted, planned
from recur.gradients.recomputation.schedule import num_runs
from recur.nn import GRU, LSTM


def work(plan: Plan) -> float:
    return plan.forward_steps + CALL_STEPS * num_runs(plan.num_segments, max(plan.slots, 1))


@pytest.mark.parametrize("num_steps", [1, 2, 17, 300])
@pytest.mark.parametrize("costs", [Costs(1000, 0, 100), Costs(100, 5000, 1000), Costs(1, 0, 1)])
@pytest.mark.parametrize("budget", [2_000, 10_000, 30_000, 10**6])
def test_nothing_that_fits_is_much_less_work(num_steps: int, costs: Costs, budget: int) -> None:
    fits = [
        plan
        for length in range(1, num_steps + 1)
        for slots in range(min(1, -(-num_steps // length) - 1), -(-num_steps // length))
        if (plan := planned(num_steps, length, slots, costs)).memory * MIB <= budget and plan.passes <= MOST_PASSES
    ]
    if not fits:
        with pytest.raises(ValueError, match="need at least"):
            fitted("Here", num_steps, costs, budget / MIB)
        return
    found = fitted("Here", num_steps, costs, budget / MIB)
    assert found.memory * MIB <= budget
    assert found.passes <= MOST_PASSES
    # Lengths are tried an eighth apart.
    assert work(found) <= 1.15 * min(map(work, fits))


def test_what_fits_is_kept_whole() -> None:
    plan = fitted("Here", 100, Costs(10, 5, 7), (10 + 5 + 700) / MIB)
    assert (plan.num_segments, plan.slots, plan.forward_steps, plan.passes) == (1, 0, 100, 1.0)
    assert fitted("Here", 100, Costs(10, 5, 7), (10 + 5 + 699) / MIB).num_segments == 2


def test_the_least_that_would_do_does() -> None:
    costs = Costs(1000, 0, 50)
    with pytest.raises(ValueError, match=r"^Here: memory is 0\.001 MiB, but 5000 steps need at least") as caught:
        fitted("Here", 5000, costs, 0.001)
    told = re.search(r"at least (\S+) MiB: with less there would be more than 20 forward passes\.", str(caught.value))
    assert told is not None
    least = float(told[1])
    assert fitted("Here", 5000, costs, least).passes <= MOST_PASSES
    with pytest.raises(ValueError, match="need at least"):
        fitted("Here", 5000, costs, least * 0.98)


def test_a_plan_says_what_it_is() -> None:
    plan = planned(1000, 100, 2, Costs(MIB, 0, MIB // 50))
    assert str(plan) == "10 segments of 100 steps, 2 states kept: 5 MiB, 3 forward passes"


def test_what_a_step_of_a_fused_layer_keeps() -> None:
    layer = LSTM(8, 32)
    plan = Checkpointed(layer, checkpoint_every=50).plan(torch.randn(1000, 4, 8))
    row = 4 * 32 * 4
    assert plan.costs.state == 2 * row
    # Four gates, cell state and output; a little for chunks and alignment.
    assert 6 * row <= plan.costs.step <= 6.5 * row
    with_gradient = Checkpointed(layer, checkpoint_every=50).plan(torch.randn(1000, 4, 8, requires_grad=True))
    assert with_gradient.costs.step == plan.costs.step + 4 * 8 * 4
    # The state of torch's generator, where numbers are drawn.
    layer.zoneout = 0.1
    noisy = Checkpointed(layer, checkpoint_every=50).plan(torch.randn(1000, 4, 8))
    assert noisy.costs.state == 2 * row + torch.get_rng_state().nbytes


class Tanh(nn.Module):
    """Two operations a step, each of which keeps a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(256))
        self.calls = 0

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        h = x.new_zeros(256) if state is None else state
        outputs = []
        for x_t in x[0].unbind(0):
            h = torch.tanh(h * self.weight + x_t)
            outputs.append(h)
        return torch.stack(outputs)[None], h


def test_what_a_step_of_a_loop_keeps() -> None:
    plan = Checkpointed(Tanh(), checkpoint_every=5).plan(torch.randn(1, 100, 256))
    # The product keeps h, which is what tanh keeps of the step before; the output is a copy. Three operations.
    assert plan.costs.step == 2 * 256 * 4 + 3 * NODE_BYTES
    assert plan.costs.state == 256 * 4
    assert plan.memory == (20 * 256 * 4 + plan.costs.segment + 5 * plan.costs.step) / MIB


def test_it_is_measured_once_for_each_shape() -> None:
    model = Tanh()
    little = Checkpointed(model, memory=1.0)
    first = little.plan(torch.randn(1, 100, 256))
    calls = model.calls
    assert calls > 0
    assert little.plan(torch.randn(1, 100, 256)) == first
    longer = little.plan(torch.randn(1, 1000, 256))
    assert model.calls == calls
    assert longer.costs == first.costs
    assert longer.num_segments > 1
    little.plan(torch.randn(1, 100, 256, requires_grad=True))
    assert model.calls > calls


@pytest.mark.parametrize("num_steps", [1, 3, 16, 20, 47])
def test_short_sequences_are_measured_too(num_steps: int) -> None:
    plan = Checkpointed(GRU(4, 8), memory=10.0).plan(torch.randn(num_steps, 2, 4))
    assert (plan.num_segments, plan.forward_steps) == (1, num_steps)
    assert plan.costs.of_segment(num_steps) >= num_steps * 2 * 8 * 4 * 4


def test_a_budget_is_kept_and_told_when_it_is_too_small() -> None:
    layer = GRU(4, 64)
    x = torch.randn(2000, 2, 4)
    plain = Checkpointed(layer, checkpoint_every=2000).plan(x).memory
    for share in (2.0, 0.5, 0.1, 0.03):
        plan = Checkpointed(layer, memory=plain * share).plan(x)
        assert plan.memory <= plain * share
        assert (plan.num_segments == 1) == (share > 1)
    assert math.isclose(plain, Checkpointed(layer, memory=plain * 2).plan(x).memory)
    with pytest.raises(ValueError, match=r"^Checkpointed: memory is 1e-05 MiB, but 2000 steps need at least"):
        Checkpointed(layer, memory=1e-5)(x)
