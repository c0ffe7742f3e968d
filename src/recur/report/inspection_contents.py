"""What the page of an inspection says in words and small drawings, made of what was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recur.inspection_format import told_share
from recur.report.answers import Answer
from recur.report.equations import part_name
from recur.report.findings import Deletion, Method, Property, best_found
from recur.report.inspection import Inspection
from recur.report.passage import Passage, Scale, chance, nearly_largest, scale_for, symbol_name, symbols
from recur.report.sketch import Curves, curves
from recur.report.values import percent, signed
from recur.report.words_contents import strongest_words
from recur.wording import enumerated, quantity


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
        said.append(("Prediction", f"Its loss is {float(known.mean()):.3g} a step on average."))
    if seen.writing is not None:
        said.append(("It writes", seen.writing.answers[0].text or "nothing"))
    if seen.answers is not None:
        said += [("It says", _said(one)) for one in seen.answers.answers[:3]]
        if seen.kind == "text" and (because := strongest_words(seen.answers.answers[0])):
            said.append(("Because", because))
    said.append(("Units", _best_units(seen)))
    if seen.probe is not None and seen.probe.memory_length is not None:
        length = quantity(round(seen.probe.memory_length), seen.unit)
        says = f"When it learns from a mistake, nine tenths of the lesson is gone {length} back."
        if seen.reaches_states:
            says = f"Of what a change of its state does, nine tenths are gone {length} later."
        said.append(("Memory", says))
    if seen.attribution is not None:
        checked = [method for method in seen.attribution.methods if method.deletion is not None]
        good = [method.name for method in checked if method.deletion and method.deletion.is_faithful]
        if good:
            said.append(("Reasons", f"What its predictions rest on can be told, by {enumerated(good)}."))
        elif checked:
            said.append(("Reasons", "No method could tell what its predictions rest on clearly better than chance."))
    if seen.diagnosis:
        said.append(("Health", f"Found: {', '.join(one.name for one in seen.diagnosis)}. More on that below."))
    elif seen.probe is not None:
        said.append(("Health", "Nothing was found to be wrong with it."))
    return tuple(said)


def _said(one: Answer) -> str:
    came = f"; {one.came}" if one.came else ""
    return f"{one.name}: {one.said}{came}."


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
        said.append(f"holds at {percent(known.share)} of the {seen.unit}s")
    if known.chance is not None:
        said.append(f"the best of all units reaches {known.chance:.2f} by chance")
    if known.note:
        said.append(known.note)
    return "; ".join(said)


def parts_table(seen: Inspection) -> tuple[tuple[str, ...], ...]:
    """Return each part of each layer in figures: layer, part, mean, spread, smallest, largest, units that move most."""
    rows = []
    for layer in seen.layers:
        for part in layer.parts:
            step = part.scale / 127
            figures = (part.values.mean(), part.values.std(), part.values.min(), part.values.max())
            busiest = np.argsort(-part.values.std(axis=0), kind="stable")[:3]
            written = (signed(float(figure) * step) for figure in figures)
            rows.append((layer.name, part.name, *written, ", ".join(map(str, busiest))))
    return tuple(rows)


def method_view(method: Method, count: int, unit: str) -> MethodView:
    """Return how a method of attribution fared over `count` predictions, measured in `unit`."""
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
        y_label=f"worse, in {unit}",
        is_percent=True,
        errors=deletion.errors,
    )
    figures = zip(deletion.shares, deletion.chosen, deletion.random, deletion.errors, strict=True)
    return MethodView(
        name=method.name,
        verdict=_verdict(deletion, count, unit),
        is_faithful=deletion.is_faithful,
        curves=drawn,
        table=tuple(
            (percent(share), _figure(chosen), _figure(random), _figure(error))
            for share, chosen, random, error in figures
        ),
    )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _verdict(deletion: Deletion, count: int, unit: str) -> str:
    middle = told_share(deletion.shares)
    share, chosen, at_random = deletion.shares[middle], deletion.chosen[middle], deletion.random[middle]
    error = deletion.errors[middle]
    figures = (
        f"Deleting the {percent(share)} of the inputs that it calls most important costs the prediction "
        f"{_figure(chosen)} {unit}, as many at random {_figure(at_random)}"
    )
    figures += "." if error is None else f" (standard error of the difference {_figure(error)})."
    if deletion.is_faithful:
        return f"Can be believed, over {quantity(count, 'prediction')}. {figures}"
    return f"Not clearly better than chance over {quantity(count, 'prediction')}. {figures}"


def unknown_of(seen: Inspection) -> str:
    """Return which symbols the model does not know; nothing where it knows all."""
    listed = [f"{symbol_name(symbol)} ({count})" for symbol, count in seen.unknown[:20]]
    more = f" and {len(seen.unknown) - 20} more" if len(seen.unknown) > 20 else ""
    return f"{', '.join(listed)}{more}" if listed else ""
