"""What stands in a box of the diagram of a network, and what the box opens to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from recur.report.equations import about_equations, equations, is_known, mathml, part_name
from recur.report.inspection import InspectedLayer, Inspection, Part
from recur.report.passage import symbol_name
from recur.report.sketch import STRIP_UNITS, Strip, strip
from recur.report.tracks import UNBOUNDED
from recur.report.values import TIMES, signed
from recur.wording import cell_name, quantity

_FIRST = 3
"""Numbers of a vector that are written out."""

_GUESSES = 3
"""Next symbols that stand in a box."""


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A vector, with its values where a step is meant."""

    name: str
    """What it is."""
    says: str
    """What it does."""
    equation: Markup
    """How it comes about; empty where that is not known."""
    size: str
    """How many numbers it has; empty where that is not known."""
    mean: str
    """Their mean; empty without values."""
    numbers: str
    """The first of them; empty without values."""
    strip: Strip | None
    """The first of them as bars."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What stands in a box, and what it opens to."""

    title: str
    """What it is."""
    numbers: str
    """A line of numbers below that; empty for none."""
    strip: Strip | None
    """Bars below that."""
    guesses: tuple[tuple[str, float], ...]
    """Names and probabilities instead."""
    heading: str
    """What its details are called."""
    says: tuple[str, ...]
    """Sentences of its details."""
    vectors: tuple[Vector, ...] = ()
    """Vectors of its details."""
    weights: tuple[tuple[str, str], ...] = ()
    """Parameters of its details, with their shapes."""


def inside(seen: Inspection, kind: str, layer: InspectedLayer | None, step: int | None) -> Inside:
    """Return what stands in a box.

    Args:
        seen: The inspection.
        kind: What the box is: input, embedding, layer or output.
        layer: Which layer.
        step: At which step; None for the network as it is built.
    """
    if layer is not None:
        return _layer(layer, step)
    if kind == "input":
        return _input(seen, step)
    if kind == "embedding":
        return _embedding(seen, step)
    return _output(seen, step)


def kind_name(layer: InspectedLayer) -> str:
    """Return what a layer is, as its paper spells it."""
    return cell_name(layer.cell) if is_known(layer.cell) else layer.kind or "layer"


def _when(seen: Inspection, step: int | None) -> str:
    return "" if step is None else f" at {seen.unit} {step + 1}"


def _input(seen: Inspection, step: int | None) -> Inside:
    heading = f"The input{_when(seen, step)}"
    if seen.series is not None:
        channels = len(seen.series.channels)
        says = (f"One row of {quantity(channels, 'number')}, one for each channel.",)
        if step is None or seen.series.values is None:
            return _plain(f"x, {quantity(channels, 'channel')}", heading, says)
        row = seen.series.values[step]
        vector = _vector("x", f"what was read at {seen.series.times[step]}", row, largest=_largest(row))
        return Inside(
            title=seen.series.times[step],
            numbers=vector.numbers,
            strip=None,
            guesses=(),
            heading=heading,
            says=says,
            vectors=(vector,),
        )
    known = f"one of {seen.vocabulary_size:,} that it knows" if seen.vocabulary_size else "one that it knows"
    if step is None:
        return _plain(f"one {seen.unit}", heading, (f"The network reads one {seen.unit} at a time, {known}.",))
    name = symbol_name(seen.symbols[step])
    return _plain(name, heading, (f"The {seen.unit} that the network reads here is {name}, {known}.",))


def _plain(title: str, heading: str, says: tuple[str, ...]) -> Inside:
    return Inside(title=title, numbers="", strip=None, guesses=(), heading=heading, says=says)


def _embedding(seen: Inspection, step: int | None) -> Inside:
    size = f"{seen.embedding_size:,} numbers" if seen.embedding_size else "a row of numbers"
    says = [f"A table turns the {seen.unit} into {size}, which were learned."]
    if seen.is_tied:
        says.append("The output layer uses the same table.")
    weights: tuple[tuple[str, str], ...] = ()
    if seen.vocabulary_size and seen.embedding_size:
        weights = (("weight", f"{seen.vocabulary_size} {TIMES} {seen.embedding_size}"),)
    values = None if step is None or seen.embeddings is None or step >= len(seen.embeddings) else seen.embeddings[step]
    vector = None
    if values is not None:
        vector = _vector("x", "what the first layer sees", values, largest=_largest(values))
    return Inside(
        title="embedding",
        numbers="",
        strip=vector.strip if vector else None,
        guesses=(),
        heading=f"The embedding{_when(seen, step)}",
        says=tuple(says),
        vectors=(vector,) if vector else (),
        weights=weights,
    )


def _layer(layer: InspectedLayer, step: int | None) -> Inside:
    name = kind_name(layer)
    known = equations(layer.cell, layer.options)
    order = [equation.part for equation in known]
    parts = sorted(layer.parts, key=lambda part: order.index(part.name) if part.name in order else len(order))
    vectors = [_of_part(layer, part, step) for part in parts]
    if not vectors:
        vectors = [
            Vector(
                name=f"{equation.part}, {equation.name}",
                says=equation.says,
                equation=mathml(equation.text),
                size="",
                mean="",
                numbers="",
                strip=None,
            )
            for equation in known
        ]
    h = layer.part("h")
    state = None if h is None or step is None else _of_part(layer, h, step)
    says = [f"A layer of {layer.hidden_size:,} units." if layer.hidden_size else "A recurrent layer."]
    says += about_equations(layer.cell, layer.options)
    if is_known(layer.cell) and layer.name.endswith("_reverse"):
        says.append("It goes from the last step to the first, so its step before is the one that comes after.")
    if step in (None, 0):
        says += _about_beginning(layer)
    return Inside(
        title=f"{name}",
        numbers=state.numbers if state else (f"{layer.hidden_size:,} units" if layer.hidden_size else ""),
        strip=state.strip if state else None,
        guesses=(),
        heading=f"{layer.name}, {name}" + ("" if step is None else f", at step {step + 1}"),
        says=tuple(says),
        vectors=tuple(vectors),
        weights=layer.weights,
    )


def _about_beginning(layer: InspectedLayer) -> list[str]:
    """Return what its state is before the first step, as far as that is known."""
    if layer.initial == "zero":
        return ["Before the first step its state is 0."]
    if layer.initial == "computed":
        return ["Before the first step its state is computed from what else the network is given."]
    if layer.initial != "learned":
        return []
    listed = "; ".join(f"{name} {first_numbers(values)}" for name, values in layer.initial_states.items())
    said = "Before the first step its state is one that was learned"
    return [f"{said} ({listed})." if listed else f"{said}."]


def _of_part(layer: InspectedLayer, part: Part, step: int | None) -> Vector:
    known = next((one for one in equations(layer.cell, layer.options) if one.part == part.name), None)
    equation, says = (known.text, known.says) if known is not None else ("", "")
    title = part_name(layer.cell, part.name)
    name = part.name if title == part.name else f"{part.name}, {title}"
    if step is not None:
        values = part.at(step)
        # Where there is no bound, one wild place would leave all other bars flat.
        largest = part.scale if part.scale <= UNBOUNDED else _largest(values)
        return _vector(name, says, values, largest=largest, equation=equation)
    written = mathml(equation) if equation else Markup("")
    return Vector(name=name, says=says, equation=written, size=f"{part.width:,}", mean="", numbers="", strip=None)


def _vector(
    name: str,
    says: str,
    values: Sequence[float] | NDArray[np.floating],
    *,
    largest: float,
    equation: str = "",
) -> Vector:
    known = [value for value in map(float, values) if np.isfinite(value)]
    return Vector(
        name=name,
        says=says,
        equation=mathml(equation) if equation else Markup(""),
        size=f"{len(values):,}",
        mean=signed(sum(known) / len(known)) if known else "",
        numbers=first_numbers(values),
        strip=strip(values, largest) if len(values) > 1 else None,
    )


def first_numbers(values: Sequence[float] | NDArray[np.floating]) -> str:
    """Return the first numbers of a vector; those that are unknown are left out."""
    known = [value for value in map(float, values) if np.isfinite(value)]
    return "  ".join(map(signed, known[:_FIRST])) + (" …" if len(values) > _FIRST else "")


def _output(seen: Inspection, step: int | None) -> Inside:
    heading = f"The output{_when(seen, step)}"
    if seen.series is not None:
        predictions, channels = seen.series.predictions, len(seen.series.channels)
        made = (f"A linear layer makes {quantity(channels, 'number')} of the last layer's state: the next row.",)
        if step is None or predictions is None or step + 1 >= seen.count:
            return _plain("prediction", heading, made)
        row = predictions[step + 1]
        vector = _vector("next row", f"what it expects at {seen.series.times[step + 1]}", row, largest=_largest(row))
        return Inside(
            title="prediction",
            numbers=vector.numbers,
            strip=None,
            guesses=(),
            heading=heading,
            says=made,
            vectors=(vector,),
        )
    guesses = guesses_at(seen, step, _GUESSES) if step is not None else ()
    if seen.output is not None:
        title, made_of = seen.output
        return replace(_plain(title, heading, (made_of,)), guesses=guesses)
    if seen.answers is not None:
        pooled = (
            f"What the last layer makes of all {seen.unit}s is pooled to one vector, of which a linear layer makes the "
            "score of each class."
        )
        return _plain("classes", heading, (pooled,))
    says = [
        f"A linear layer gives each {seen.unit} of the vocabulary a score; "
        "softmax turns the scores into probabilities of what comes next."
    ]
    if step is not None and guesses:
        listed = ", ".join(f"{name} {share:.0%}" for name, share in guesses_at(seen, step, 8))
        says.append(f"Most probable here: {listed}.")
    weights: tuple[tuple[str, str], ...] = ()
    size = _width(seen)
    if seen.vocabulary_size and size:
        weights = (("weight", f"{seen.vocabulary_size} {TIMES} {size}"),)
    return Inside(
        title="softmax",
        numbers="" if guesses else f"{seen.vocabulary_size:,} probabilities" if seen.vocabulary_size else "",
        strip=None,
        guesses=guesses,
        heading=heading,
        says=tuple(says),
        weights=weights,
    )


def guesses_at(seen: Inspection, place: int, count: int) -> tuple[tuple[str, float], ...]:
    """Return the most probable next symbols after a place, with their probabilities, best first."""
    if seen.next is None:
        return ()
    found = [
        (symbol_name(seen.next.vocabulary[symbol]), float(share))
        for symbol, share in zip(seen.next.ids[place], seen.next.probabilities[place], strict=True)
        if np.isfinite(share)
    ]
    return tuple(sorted(found, key=lambda one: -one[1])[:count])


def _largest(values: NDArray[np.floating]) -> float:
    known = np.abs(values[:STRIP_UNITS])
    return float(np.nanmax(known)) if np.isfinite(known).any() else 1.0


def _width(seen: Inspection) -> int | None:
    if seen.is_tied and seen.embedding_size:
        return seen.embedding_size
    if not seen.layers:
        return None
    h = seen.layers[-1].part("h")
    return h.width if h is not None else seen.layers[-1].hidden_size
