"""How far back the states of a recurrent network reach: the norms of their Jacobians from step to step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from recur.gradients import Training, diagnose, probe
from recur.gradients.probes.sequence_model import Reading, readings_of

_STEPS = 256
"""The last steps of a longer series, over which the gradient is looked at."""

_FEWEST_STEPS = 8

_ROWS = 8
"""Directions that are drawn for an estimate of a norm."""


def state_reach(
    network: nn.Module, read: Callable[[], object], training: Training, *, seed: int = 0
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """Return how far back the states of a network reach, as `Probe.to_json` has it, and what is wrong with it.

    In place of a loss, whose gradient would tell of what was predicted too, stands the state itself: with r drawn as
    signs over the square root of H, E_t = r_t' h_t has a gradient by an earlier state whose mean square is that of the
    singular values of the Jacobian dh_t/dh_s (Hutchinson 1990). Eight directions are drawn for each step, so that
    single norms are estimates to some 25 %; their means by lag are better. The state begins anew with the first of the
    steps that are looked at.

    Of layers that read in both directions it is the forward one of the first layer.

    Args:
        network: Held still.
        read: Runs its recurrent layers over one series.
        training: What is known of the training, for the diagnosis.
        seed: Of the directions, and of what the probe draws.

    Returns:
        None, and nothing wrong, where there are too few steps, or a layer that reads what is missing as such, or one in
        both directions without a single cell.
    """
    with torch.no_grad(), readings_of(network) as readings:
        read()
    reading = readings[0]
    layer = reading.layer
    x = reading.x.transpose(0, 1) if layer.batch_first else reading.x
    num_steps = min(_STEPS, len(x))
    model = _one_way(reading)
    if model is None or num_steps < _FEWEST_STEPS or not reading.is_finite:
        return None, []
    x = x[-num_steps:].expand(-1, _ROWS, -1)
    along: dict[str, Any] = {name: value[-num_steps:].expand(-1, _ROWS) for name, value in reading.along.items()}
    with torch.no_grad():
        width = model(x[:1], None, **{name: value[:1] for name, value in along.items()})[0].shape[2]
    signs = torch.randint(0, 2, (num_steps, _ROWS, width), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    found = probe(
        model,
        (x, signs.to(x) / width**0.5),
        loss=lambda output, direction: (output * direction).sum(2),
        batch_first=False,
        rows=_ROWS,
        seed=seed,
        **along,
    )
    return found.to_json(), [asdict(finding) for finding in diagnose(found, training)]


def _one_way(reading: Reading) -> Callable[..., Any] | None:
    """Return what runs over steps (T, B, I) in one direction alone; None where there is nothing that does."""
    layer = reading.layer
    if layer.batch_first:
        return None
    if not layer.bidirectional:
        return layer
    make = getattr(layer, "cell", None)
    if make is None:
        return None
    cell = make(0, "forward")

    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        for step in x.unbind(0):
            state = cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs), state

    return run
