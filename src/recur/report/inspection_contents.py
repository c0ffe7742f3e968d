"""What the page of an inspection says in words and small drawings, made of what was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recur.inspection_format import told_share
from recur.report.equations import part_name
from recur.report.findings import Deletion, LayerProbe, Method, Probe, Property, best_found
from recur.report.inspection import Inspection
from recur.report.passage import LEVELS, Passage, Scale, chance, nearly_largest, scale_for, symbol_name, symbols
from recur.report.sketch import Cells, Curves, cells, curves
from recur.wording import quantity


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A unit in the list of those that follow a property."""

    layer: int
    """The number of its layer."""
    part: str
    """The state part or gate."""
    unit: int
    """Its number."""
    name: str
    """What it is called."""
    score: str
    """How well it follows, in words."""
    share: float
    """The same as the length of a bar, from 0 to 1."""
    verdict: str
    """What to think of it; empty where it holds."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A property and the units that follow it."""

    place: int
    """Its number among the properties."""
    name: str
    """Its name."""
    about: str
    """How often it holds, what is reached by chance, and what to know."""
    is_judged: bool
    """Whether units were searched for it."""
    candidates: tuple[Candidate, ...]
    """The units, best first."""


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
class MethodView:
    """A method of attribution, and how it fared."""

    name: str
    """Its name."""
    verdict: str
    """What the check says."""
    is_faithful: bool
    """Whether it passed."""
    curves: Curves | None
    """The check as a drawing."""
    table: tuple[tuple[str, str, str, str], ...]
    """The same in figures: share, chosen, at random, standard error of the difference."""


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


def lead_of(seen: Inspection) -> str:
    """Return which network this is and what it reads."""
    model = seen.model
    if seen.parameters is not None:
        model += f" ({seen.parameters:,.0f} parameters)"
    return f"{model}, as it reads {seen.title}: {seen.cut or quantity(seen.count, seen.unit)}."


def passage_of(seen: Inspection) -> tuple[Scale, Passage | None]:
    """Return the colours of losses, and the text, each symbol coloured by its own; None where a series was read."""
    losses = [None if math.isnan(loss) else float(loss) for loss in seen.losses]
    if seen.series is not None:
        # A squared error has no scale of its own.
        return Scale(top=nearly_largest(losses) or 1.0), None
    scale = scale_for(losses)
    return scale, Passage(title=seen.title, note="", symbols=symbols(seen.symbols, losses, scale))


def summary_of(seen: Inspection) -> tuple[tuple[str, str], ...]:
    """Return the inspection in a few sentences, each with a word for what it is about."""
    said: list[tuple[str, str]] = []
    known = seen.losses[np.isfinite(seen.losses)]
    if len(known) and seen.kind == "text":
        mean = float(known.mean())
        said.append(
            (
                "Prediction",
                f"It spends {mean:.2f} nats on a {seen.unit} on average: as if it gave what really comes next a chance "
                f"of {chance(mean)} each time.",
            )
        )
    elif len(known):
        said.append(("Prediction", f"Its mean squared error on this series is {float(known.mean()):.3g}."))
    said.append(("Units", _best_units(seen)))
    if seen.probe is not None and seen.probe.memory_length is not None:
        length = quantity(round(seen.probe.memory_length), seen.unit)
        said.append(("Memory", f"When it learns from a mistake, nine tenths of the lesson is gone {length} back."))
    if seen.attribution is not None:
        checked = [method for method in seen.attribution.methods if method.deletion is not None]
        good = [method.name for method in checked if method.deletion and method.deletion.is_faithful]
        if good:
            said.append(("Reasons", f"What its predictions rest on can be told, by {' and '.join(good)}."))
        elif checked:
            said.append(("Reasons", "No method could tell what its predictions rest on clearly better than chance."))
    if seen.diagnosis:
        said.append(("Health", f"Found: {', '.join(one.name for one in seen.diagnosis)}. More on that below."))
    elif seen.probe is not None:
        said.append(("Health", "Nothing was found to be wrong with it."))
    return tuple(said)


def _best_units(seen: Inspection) -> str:
    best = best_found(seen.properties)
    if not seen.properties:
        return "Units were not searched for what they follow."
    if best is None:
        return "No single unit follows any of the properties that were tried better than chance."
    known, one = best
    followed = sum(any(unit.holds for unit in other.units) for other in seen.properties)
    where = "" if one.held_out is None else ", on the half of the input that it was not chosen by"
    others = f" Units were found for {followed} properties in all." if followed > 1 else ""
    unit = f"Unit {one.unit} of {seen.layers[one.layer].name}, {one.part}"
    return f"{unit}, follows “{known.name}” ({one.shown_score:.2f} of 1{where}).{others}"


def searched(seen: Inspection) -> tuple[Searched, ...]:
    """Return the properties that units were searched for, those that some unit follows first.

    Properties and units are ranked by the half that was searched; what is shown first is the score of the other.
    """
    views = []
    for place, known in sorted(enumerate(seen.properties), key=lambda pair: _rank(pair[1])):
        candidates = []
        for one in sorted(known.units, key=lambda one: (not one.holds, -one.score)):
            searched_in = "" if one.held_out is None else f" / {one.score:.2f}"
            score = one.shown_score
            direction = "low" if one.sign < 0 else "high"
            holds = (
                f", {direction} where it holds"
                if known.is_binary
                else f", {'falls' if one.sign < 0 else 'rises'} with it"
            )
            layer = seen.layers[one.layer]
            name = part_name(layer.cell, one.part)
            candidates.append(
                Candidate(
                    layer=one.layer,
                    part=one.part,
                    unit=one.unit,
                    name=f"{layer.name} {one.part} {one.unit}" + ("" if name == one.part else f", {name}"),
                    score=f"{score:.2f}{searched_in}{holds}",
                    share=score,
                    verdict="" if one.holds else "no better than chance",
                )
            )
        views.append(
            Searched(
                place=place,
                name=known.name,
                about=_about(seen, known),
                is_judged=bool(known.units) or not known.note,
                candidates=tuple(candidates),
            )
        )
    return tuple(views)


def _rank(known: Property) -> float:
    return -max((one.score for one in known.units if one.holds), default=-1.0)


def _about(seen: Inspection, known: Property) -> str:
    said = []
    if known.is_binary and known.share is not None:
        said.append(f"holds at {_percent(known.share)} of the {seen.unit}s")
    if known.chance is not None:
        said.append(f"the best of all units reaches {known.chance:.2f} by chance")
    if known.note:
        said.append(known.note)
    return "; ".join(said)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or share == 0 else "under 1%"


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
            f"Going back no further than a window of the training does removes {_percent(probe.truncated)} of the "
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
    )


def _ends(steps: Sequence[float]) -> tuple[str, str]:
    return (f"{steps[0]:,g}", f"{steps[-1]:,g}") if steps else ("", "")


def layer_view(layer: LayerProbe, cell: str) -> LayerView:
    """Return what the probe says of a layer whose cell is `cell`."""
    facts = []
    if layer.lyapunov:
        leading = layer.lyapunov[0]
        listed = ", ".join(f"{value:.3f}".replace("-", "\N{MINUS SIGN}") for value in layer.lyapunov[:4])
        facts.append(("Lyapunov exponents per step", listed, _stability(leading)))
    if layer.stretches:
        listed = ", ".join(f"{size:.2g} in {quantity(lag, 'step')}" for lag, size in layer.stretches)
        facts.append(
            ("stretch", listed, "by how much a small difference in the state can grow: the Jacobian's singular value")
        )
    if layer.time_constants:
        ordered = sorted(layer.time_constants)
        slowest = "never" if math.isinf(ordered[-1]) else f"in {_steps(ordered[-1])}"
        facts.append(
            (
                "forgotten in",
                _steps(ordered[len(ordered) // 2]),
                f"half of the units faster, half slower, the slowest {slowest}; until 1/e is left",
            )
        )
    if layer.saturated is not None:
        facts.append(
            ("stuck", _percent(layer.saturated), "of the units stay at an end of their range, where no gradient passes")
        )
    if layer.dead is not None:
        facts.append(("dead", _percent(layer.dead), "of the units never move"))
    gates = []
    for gate in layer.gates:
        top = max(gate.histogram) or 1.0
        bars = "".join(
            f"M{2 * place} 40v{-round(40 * share / top, 1):g}h1.7V40z" for place, share in enumerate(gate.histogram)
        )
        said = []
        if gate.mean is not None:
            said.append(f"mean {gate.mean:.2f}")
        if gate.low is not None:
            said.append(f"{_percent(gate.low)} below 0.1")
        if gate.high is not None:
            said.append(f"{_percent(gate.high)} above 0.9")
        named = part_name(cell, gate.name)
        gates.append(
            GateView(
                name=gate.name if named == gate.name else f"{gate.name}, {named}",
                path=bars,
                count=len(gate.histogram),
                says=", ".join(said),
            )
        )
    title = f"{layer.name}, {layer.kind}" if layer.kind else layer.name
    return LayerView(title=title, says=tuple(facts), gates=tuple(gates))


def _steps(count: float) -> str:
    return "never" if math.isinf(count) else f"{count:,.1f} steps" if count < 10 else f"{count:,.0f} steps"


def _stability(leading: float) -> str:
    if leading < -0.005:
        steps = quantity(max(1, round(-math.log(2) / leading)), "step")
        return f"all below zero: a small difference in the state halves in about {steps}"
    if leading > 0.005:
        return "the first is above zero: small differences in the state grow, the layer is chaotic"
    return "the first is close to zero: small differences in the state neither grow nor fade"


def method_view(method: Method, count: int) -> MethodView:
    """Return how a method of attribution fared over `count` predictions."""
    deletion = method.deletion
    if deletion is None:
        return MethodView(name=method.name, verdict="It was not checked.", is_faithful=False, curves=None, table=())
    drawn = curves(
        [
            ("its choice", "own", deletion.shares, deletion.chosen),
            ("at random", "other", deletion.shares, deletion.random),
        ],
        label=f"How much worse the prediction gets when inputs are deleted, by {method.name} and at random.",
        x_label="of the inputs deleted",
        y_label="nats worse",
        is_percent=True,
        errors=deletion.errors,
    )
    figures = zip(deletion.shares, deletion.chosen, deletion.random, deletion.errors, strict=True)
    return MethodView(
        name=method.name,
        verdict=_verdict(deletion, count),
        is_faithful=deletion.is_faithful,
        curves=drawn,
        table=tuple(
            (_percent(share), _figure(chosen), _figure(random), _figure(error))
            for share, chosen, random, error in figures
        ),
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _verdict(deletion: Deletion, count: int) -> str:
    middle = told_share(deletion.shares)
    share, chosen, at_random = deletion.shares[middle], deletion.chosen[middle], deletion.random[middle]
    error = deletion.errors[middle]
    figures = (
        f"Deleting the {_percent(share)} of the inputs that it calls most important costs the prediction "
        f"{_figure(chosen)} nats, as many at random {_figure(at_random)}"
    )
    figures += "." if error is None else f" (standard error of the difference {_figure(error)})."
    if deletion.is_faithful:
        return f"Can be believed. {figures}"
    return f"Not clearly better than chance over {quantity(count, 'prediction')}. {figures}"


def unknown_of(seen: Inspection) -> str:
    """Return which symbols the model does not know; nothing where it knows all."""
    listed = [f"{symbol_name(symbol)} ({count})" for symbol, count in seen.unknown[:20]]
    more = f" and {len(seen.unknown) - 20} more" if len(seen.unknown) > 20 else ""
    return f"{', '.join(listed)}{more}" if listed else ""
