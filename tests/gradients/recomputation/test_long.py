"""A sequence of 100,000 steps: the gradient within a budget is that of keeping every step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recur.gradients import Checkpointed
from recur.nn import LSTM

STEPS, BATCH, INPUTS, UNITS = 100_000, 2, 3, 8


@pytest.mark.slow
def test_within_a_budget_it_is_the_gradient_of_keeping_everything() -> None:
    torch.manual_seed(0)
    layer = LSTM(INPUTS, UNITS, initial_state="learned", forget_bias=3.0, dtype=torch.float64)
    x = torch.randn(STEPS, BATCH, INPUTS, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(STEPS, BATCH, UNITS, dtype=torch.float64)
    of_state = [torch.randn(1, BATCH, UNITS, dtype=torch.float64) for _ in range(2)]
    names = ["x", *[name for name, _ in layer.named_parameters()]]

    def trained(module: torch.nn.Module) -> tuple[list[Tensor], dict[str, Tensor]]:
        output, state = module(x)
        loss = (output * upstream).sum() + sum((a * b).sum() for a, b in zip(state, of_state, strict=True))
        gradients = torch.autograd.grad(loss, [x, *layer.parameters()])
        return [output, *state], dict(zip(names, gradients, strict=True))

    values, gradients = trained(layer)
    # Everything takes some hundred MiB.
    for budget, least_segments in ((0.75, 100), (8.0, 10)):
        little = Checkpointed(layer, memory=budget)
        plan = little.plan(x)
        assert plan.memory <= budget
        assert plan.num_segments >= least_segments
        found, own = trained(little)
        for one, other in zip(found, values, strict=True):
            assert torch.equal(one, other)
        for name, wanted in gradients.items():
            # Sums over all steps, in another order: a rounding for each at most.
            bound = STEPS * torch.finfo(torch.float64).eps * float(wanted.abs().max())
            assert float((own[name] - wanted).abs().max()) <= bound, name
            assert float(wanted.abs().max()) > 0, name
    # That of the learned first state too, which all losses reach back to.
    assert float(gradients["c_0"].abs().max()) > 1e-3
