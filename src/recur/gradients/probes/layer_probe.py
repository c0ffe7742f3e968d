"""What one recurrent layer did: its gates and units, and how its state forgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recur.gradients.probes.activity import Activity, activity
from recur.gradients.probes.jacobian import Trajectory
from recur.gradients.probes.sequence_model import Reading, SequenceModel
from recur.gradients.probes.state_vector import StateVector, vector_of
from recur.nn import Everything, GatedLayer, RecurrentLayer, initialization
from recur.ops._forms import takers

_STEPS_AT_ONCE, _STEPS_BETWEEN_RESETS = 16, 4
_PIECES = 8
"""Pieces that a sequence is cut into at least, so that a quarter of them can be left out."""


@dataclass(frozen=True, kw_only=True)
class LayerProbe:
    """What one recurrent layer did.

    Attributes:
        name: Of the layer in the model; empty when it is the model itself. The layers of a stack follow after it, as in
            "rnn.l1".
        kind: Its class.
        units: Its number of units H.
        takes: Which options that help a gradient a layer of this kind takes: of "gradient_clip", "init='chrono'",
            "forget_bias", "init='orthogonal'", "layer_norm" and "nonlinearity".
        exponents: The leading Lyapunov exponents of its state, nats per step, the mean over the steps of all rows; of a
            stack those of all its layers together are in its first entry. They are of these steps, not of endlessly
            many. Left out are those past a row's end or across a reset, the last quarter of a row, in which the
            directions are found, and rows with less than a quarter of the steps of another. Minus infinity from where
            on a row has lost so many directions of its state for good, as where rectifiers were at zero. Empty where
            they were not asked, or no row goes on for long enough.
        lost_rows: How many of the rows lost their whole state on the way, so that nothing in the last step is left of
            the first: their exponents are minus infinity, and in the mean only where no other row is.
        singular_values: For some lags the singular values of dh_t/dh_{t-lag} at the last step of the longest row, the
            largest first; lags across a reset are left out.
        activity: Its gates and units.
    """

    name: str
    kind: str
    units: int
    takes: frozenset[str]
    exponents: tuple[float, ...]
    lost_rows: int
    singular_values: dict[int, tuple[float, ...]]
    activity: Activity

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them; what is not finite is None."""
        return {
            "name": self.name,
            "kind": self.kind,
            "units": self.units,
            "lyapunov": [rounded(value) for value in self.exponents],
            "lost_rows": self.lost_rows,
            "jacobian": {
                "lags": list(self.singular_values),
                "singular_values": [[rounded(value) for value in values] for values in self.singular_values.values()],
            },
            "gates": {
                name: {
                    "histogram": [rounded(share) for share in gate.histogram],
                    "low": rounded(gate.low),
                    "high": rounded(gate.high),
                    "mean": rounded(gate.mean),
                }
                for name, gate in self.activity.gates.items()
            },
            "time_constants": [rounded(value) for value in self.activity.time_constants],
            "saturated": rounded(self.activity.saturated),
            "dead": rounded(self.activity.dead),
        }


def rounded(value: float | None) -> float | None:
    """Return a number with the digits that mean something; None for one that is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def probed_layers(
    reading: Reading, exponents: int, lags: Sequence[int], generator: torch.Generator
) -> list[LayerProbe]:
    """Return what one module did, an entry for each of its layers.

    Args:
        reading: What it read.
        exponents: Number of leading Lyapunov exponents.
        lags: For which lags the singular values are computed.
        generator: Of the vectors from which the exponents are found.
    """
    layer, x = reading.layer, reading.x
    lengths_B = None if reading.lengths is None else torch.as_tensor(reading.lengths).cpu()
    with torch.no_grad():
        everything = layer(x, reading.state, return_all=True, lengths=lengths_B, **reading.along)
    assert isinstance(everything, Everything)
    leading: tuple[float, ...] = ()
    values: dict[int, tuple[float, ...]] = {}
    lost = 0
    if x.dim() > 2 and (exponents or lags):
        sequence = SequenceModel("probe", layer, batch_first=layer.batch_first, along=reading.along)
        vector = vector_of(sequence, x, reading.state)
        leading, lost = _leading(sequence, reading, lengths_B, vector, exponents, generator)
        values = _singular_values(sequence, reading, lengths_B, vector, lags)
    return [
        LayerProbe(
            name=".".join(part for part in (reading.name, f"l{steps.layer}" if layer.num_layers > 1 else "") if part),
            kind=type(layer).__name__,
            units=int(layer.hidden_sizes[steps.layer]),
            takes=_taken(layer),
            exponents=leading if steps.layer == 0 else (),
            lost_rows=lost if steps.layer == 0 else 0,
            singular_values=values if steps.layer == 0 else {},
            activity=activity(layer, steps, reading.alive),
        )
        for steps in everything.steps
    ]


def _leading(
    sequence: SequenceModel,
    reading: Reading,
    lengths: Tensor | None,
    vector: StateVector,
    count: int,
    generator: torch.Generator,
) -> tuple[tuple[float, ...], int]:
    """Return the leading Lyapunov exponents, and in how many rows nothing is left of the state."""
    if count == 0 or reading.x.shape[sequence.axis] < 4:
        return (), 0
    along = Trajectory(sequence, reading.x, reading.state, vector=vector)
    count = min(count, along.size)
    reset = sequence.along.get("reset")
    most = _STEPS_AT_ONCE if reset is None or not bool(reset.any()) else _STEPS_BETWEEN_RESETS
    every = max(min(most // count, (along.num_steps - along.first) // _PIECES), 1)
    found, steps = along.lyapunov_exponents(count, every=every, generator=generator, lengths=lengths)
    # Rows that are short beside others would only add what their directions still lack.
    is_told = ~found.isnan().any(1) & (steps * 4 >= steps.max())
    if not bool(is_told.any()):
        return (), 0
    is_lost = is_told & (found[:, 0] == -math.inf)
    kept = is_told & ~is_lost if bool((is_told & ~is_lost).any()) else is_told
    # A row tells as much as it has steps.
    share = steps[kept, None].double() / steps[kept].sum()
    return tuple((found[kept] * share).sum(0).tolist()), int(is_lost.sum())


def _singular_values(
    sequence: SequenceModel, reading: Reading, lengths: Tensor | None, vector: StateVector, lags: Sequence[int]
) -> dict[int, tuple[float, ...]]:
    """Return the singular values at the last step of the longest row, for each lag that fits into it."""
    rows, row = 1 - sequence.axis, 0 if lengths is None else int(lengths.argmax())
    num_steps = reading.x.shape[sequence.axis] if lengths is None else int(lengths[row])
    # Without a state, the one after the first step is the first that is known.
    most = num_steps - (1 if reading.state is None else 0)
    one = sequence.beside({name: value.narrow(rows, row, 1) for name, value in sequence.along.items()})
    if "reset" in one.along:
        resets = one.piece(one.along["reset"], 0, num_steps).flatten().nonzero().flatten()
        most = min(most, num_steps - 1 - int(resets[-1])) if len(resets) else most
    fitting = [lag for lag in lags if lag <= most]
    if not fitting:
        return {}
    state = None if reading.state is None else vector.state(vector.of(reading.state)[row : row + 1])
    along = Trajectory(one, reading.x.narrow(rows, row, 1), state, vector=vector)
    along.advance(sorted(num_steps - lag for lag in fitting))
    return {lag: tuple(along.singular_values(num_steps - lag, num_steps)[0].tolist()) for lag in fitting}


def _taken(layer: RecurrentLayer) -> frozenset[str]:
    """Return which of the options that help a gradient a layer of this kind takes."""
    if not isinstance(layer, GatedLayer):
        return frozenset({"gradient_clip"})
    found = {"gradient_clip", "layer_norm"}
    if layer._op in initialization.HOLDS and layer.bias:
        found |= {"init='chrono'", "forget_bias"}
    if not layer._cell.is_independent:
        found.add("init='orthogonal'")
    if layer._op in takers("nonlinearity"):
        found.add("nonlinearity")
    return frozenset(found)
