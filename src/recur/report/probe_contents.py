"""What the page of an inspection says of the gradient through time and of how the layers behave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from recur.report.equations import part_name
from recur.report.findings import Gate, LayerProbe, Probe
from recur.report.passage import LEVELS
from recur.report.sketch import Cells, Curves, cells, curves
from recur.report.values import percent
from recur.wording import quantity


@dataclass(frozen=True, kw_only=True)
class GateView:
    """A gate's histogram."""

    name: str
    """Which gate."""
    path: str
    """Bars, a tenth of a gate's range each two wide, up to 40 high, standing on 40."""
    count: int
    """How many bars."""
    says: str
    """The same in words."""
    fifths: tuple[str, ...]
    """Shares of its values in each fifth of its range."""


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """What the probe says of a layer."""

    title: str
    """Which layer."""
    says: tuple[tuple[str, str, str], ...]
    """Facts: name, value, and what that means."""
    gates: tuple[GateView, ...]
    """Its gates."""


@dataclass(frozen=True, kw_only=True)
class ReachView:
    """How far the gradient reaches."""

    says: tuple[str, ...]
    """In sentences."""
    cut: tuple[str, ...]
    """What the training leaves of it, in sentences."""
    cells: Cells | None
    """As a matrix."""
    sources: tuple[str, str]
    """The first and the last column's step."""
    targets: tuple[str, str]
    """The first and the last row's step."""
    curves: Curves | None
    """By lag."""
    table: tuple[tuple[str, str], ...]
    """By lag, in figures."""
    matrix: tuple[tuple[str, ...], ...]
    """Some of the matrix in figures: a row of the states' steps, then rows that begin with the step of a loss."""


def reach_of(probe: Probe, clipping: str) -> ReachView:
    """Return how far the gradient reaches; `clipping` says what clipping did in the training, if that is known."""
    length = probe.memory_length
    drawn = curves(
        [("gradient", "own", probe.lags, probe.by_lag)],
        label="The size of the gradient against the number of steps back, on a logarithmic scale.",
        x_label="steps back",
        y_label="size of the gradient",
        is_log=True,
        mark=None if length is None else (length, f"a tenth: {length:,.0f}"),
    )
    every = max(1, len(probe.lags) // 12)
    table = [
        (f"{lag:g}", "unknown" if y is None else f"{y:.3g}")
        for lag, y in list(zip(probe.lags, probe.by_lag, strict=True))[::every]
    ]
    says = []
    if length is not None:
        says.append(f"From {quantity(round(length), 'step')} back on, less than a tenth of it is left.")
    elif probe.lags and drawn is not None:
        says.append(
            f"At the largest distance that was looked at, {probe.lags[-1]:,g} steps, more than a tenth of it is left."
        )
    cut = []
    if probe.truncated is not None:
        cut.append(
            f"Going back no further than a window of the training does removes {percent(probe.truncated)} of the "
            "gradient of the weights."
        )
    if clipping:
        cut.append(f"The gradients of the training: {clipping[0].lower()}{clipping[1:]}")
    return ReachView(
        says=tuple(says),
        cut=tuple(cut),
        cells=cells(probe.reach, LEVELS) if probe.reach.size else None,
        sources=_ends(probe.sources),
        targets=_ends(probe.targets),
        curves=drawn,
        table=tuple(table),
        matrix=_matrix(probe),
    )


def _matrix(probe: Probe) -> tuple[tuple[str, ...], ...]:
    if not probe.reach.size:
        return ()
    rows, columns = (sorted({round(place * (size - 1) / 4) for place in range(5)}) for size in probe.reach.shape)
    head = tuple(f"{probe.sources[column]:,g}" for column in columns)
    figures = (
        (f"{probe.targets[row]:,g}", *(_reach_figure(probe.reach[row, column]) for column in columns)) for row in rows
    )
    return head, *figures


def _reach_figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def _ends(steps: Sequence[float]) -> tuple[str, str]:
    return (f"{steps[0]:,g}", f"{steps[-1]:,g}") if steps else ("", "")


def layer_view(layer: LayerProbe, cell: str) -> LayerView:
    """Return what the probe says of a layer whose cell is `cell`."""
    title = f"{layer.name}, {layer.kind}" if layer.kind else layer.name
    return LayerView(
        title=title, says=tuple(_facts(layer)), gates=tuple(_gate_view(gate, cell) for gate in layer.gates)
    )


def _facts(layer: LayerProbe) -> Iterator[tuple[str, str, str]]:
    if layer.lyapunov:
        listed = ", ".join(f"{value:.3f}".replace("-", "\N{MINUS SIGN}") for value in layer.lyapunov[:4])
        yield "Lyapunov exponents per step", listed, _stability(layer.lyapunov[0])
    if layer.stretches:
        listed = ", ".join(f"{size:.2g} in {quantity(lag, 'step')}" for lag, size in layer.stretches)
        yield "stretch", listed, "by how much a small difference in the state can grow: the Jacobian's singular value"
    if layer.time_constants:
        ordered = sorted(layer.time_constants)
        slowest = "never" if math.isinf(ordered[-1]) else f"in {_steps(ordered[-1])}"
        meaning = f"half of the units faster, half slower, the slowest {slowest}; until 1/e is left"
        yield "forgotten in", _steps(ordered[len(ordered) // 2]), meaning
    if layer.saturated is not None:
        meaning = "of the units stay at an end of their range, where no gradient passes"
        yield "stuck", percent(layer.saturated), meaning
    if layer.dead is not None:
        yield "dead", percent(layer.dead), "of the units never move"


def _gate_view(gate: Gate, cell: str) -> GateView:
    top = max(gate.histogram) or 1.0
    bars = "".join(
        f"M{2 * place} 40v{-round(40 * share / top, 1):g}h1.7V40z" for place, share in enumerate(gate.histogram)
    )
    said = []
    if gate.mean is not None:
        said.append(f"mean {gate.mean:.2f}")
    if gate.low is not None:
        said.append(f"{percent(gate.low)} below 0.1")
    if gate.high is not None:
        said.append(f"{percent(gate.high)} above 0.9")
    named = part_name(cell, gate.name)
    ends = [round(fifth * len(gate.histogram) / 5) for fifth in range(6)]
    return GateView(
        name=gate.name if named == gate.name else f"{gate.name}, {named}",
        path=bars,
        count=len(gate.histogram),
        says=", ".join(said),
        fifths=tuple(percent(sum(gate.histogram[begin:end])) for begin, end in pairwise(ends)),
    )


def _steps(count: float) -> str:
    return "never" if math.isinf(count) else f"{count:,.1f} steps" if count < 10 else f"{count:,.0f} steps"


def _stability(leading: float) -> str:
    if leading < -0.005:
        steps = quantity(max(1, round(-math.log(2) / leading)), "step")
        return f"all below zero: a small difference in the state halves in about {steps}"
    if leading > 0.005:
        return "the first is above zero: small differences in the state grow, the layer is chaotic"
    return "the first is close to zero: small differences in the state neither grow nor fade"
