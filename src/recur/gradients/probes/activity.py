"""What the gates and units of a recurrent layer do: open, shut, stuck, forgetful."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.nn import RecurrentLayer, Steps

BINS = 20
"""Equal parts of 0 to 1 in which a gate's values are counted."""

LOW, HIGH = 0.1, 0.9
"""A gate below or above counts as shut or open (Karpathy, Johnson & Fei-Fei 2015, section 4.2)."""

_SATURATED, _MOST_STEPS, _DEAD = 0.95, 0.9, 1e-3

_GATE = re.compile(r"[ifork]|z|[tc]\d+|decay_h")


@dataclass(frozen=True)
class Gate:
    """The distribution of one gate over steps, rows and units.

    Attributes:
        histogram: Share of the values in each of `BINS` equal parts of 0 to 1.
        low: Share below `LOW`.
        high: Share above `HIGH`.
        mean: Mean value.
    """

    histogram: tuple[float, ...]
    low: float
    high: float
    mean: float


@dataclass(frozen=True)
class Activity:
    """What one layer in one direction did over a batch.

    Attributes:
        gates: The distribution of each gate by name.
        kept: The distribution of the share of its state that a unit keeps in a step, as its gates say: the forget gate
            of an LSTM (of a phased one, beside what its time gate shuts out), the update gate of a GRU (of a GRU-D,
            times the state's decay), one minus the gate of an MGU, the product of the carry gates of a recurrent
            highway network. None for a cell without such gates; also for a CfC, whose gate mixes two new values and
            keeps nothing of the old.
        time_constants: For each unit the steps after which what it holds has faded to 1/e, -1 / mean(ln k) with k that
            share, infinite where it is always one; empty without such a gate.
        saturated: Share of the units whose |h| is above 0.95 in nine of ten steps.
        dead: Share of the units whose h moves by less than 0.001 over all steps and rows.
    """

    gates: dict[str, Gate]
    kept: Gate | None
    time_constants: tuple[float, ...]
    saturated: float
    dead: float


def activity(layer: RecurrentLayer, steps: Steps, alive: Tensor | None = None) -> Activity:
    """Return the statistics of what a layer recorded.

    Args:
        layer: Which layer.
        steps: What it did at every step, as `return_all` gives it.
        alive: Steps that count, with the first two dimensions of the values, bool; None for all.

    Raises:
        ValueError: No step counts.
    """
    values = {name: _kept(value.detach().double(), alive) for name, value in steps.values.items()}
    h_NH = values[next(iter(values))]
    if not len(h_NH):
        raise ValueError("activity: no step counts; every row has length 0.")
    states = set(layer._state_names)
    gates = {
        name: _gate(value)
        for name, value in values.items()
        if _GATE.fullmatch(name) and name not in states and len(value)
    }
    h_abs = h_NH.abs()
    is_bounded = bool((h_abs <= 1).all())
    saturated = (h_abs > _SATURATED).double().mean(0) > _MOST_STEPS
    moved = h_NH.amax(0) - h_NH.amin(0)
    kept_NH = layer._share_kept(values)
    return Activity(
        gates=gates,
        kept=None if kept_NH is None else _gate(kept_NH),
        time_constants=() if kept_NH is None else _time_constants(kept_NH),
        saturated=float(saturated.double().mean()) if is_bounded else 0.0,
        dead=float((moved < _DEAD).double().mean()),
    )


def _kept(value: Tensor, alive: Tensor | None) -> Tensor:
    """Return values (N, units) of the steps that count."""
    return (value.flatten(0, 1) if alive is None else value[alive]).flatten(1)


def _gate(value_NH: Tensor) -> Gate:
    counts = torch.histc(value_NH, bins=BINS, min=0.0, max=1.0)
    return Gate(
        histogram=tuple((counts / value_NH.numel()).tolist()),
        low=float((value_NH < LOW).double().mean()),
        high=float((value_NH > HIGH).double().mean()),
        mean=float(value_NH.mean()),
    )


def _time_constants(kept_NH: Tensor) -> tuple[float, ...]:
    fading = -kept_NH.clamp_min(torch.finfo(torch.float64).tiny).log().mean(0)
    return tuple(torch.where(fading > 0, 1 / fading, torch.inf).tolist())
