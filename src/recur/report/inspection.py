"""What `recur inspect` saw inside a network, read from `inspect.json` and `inspect.safetensors` of a run folder.

Both may be damaged. What cannot be used is left out, and named where a person should know; only where nothing at all
could be shown the inspection is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recur.errors import RunError
from recur.inspection_format import FORMAT, INSPECTION, MAX_CHANNELS, MAX_SYMBOLS
from recur.kinds import is_whole
from recur.report.answers import Answers, answers_of
from recur.report.findings import (
    Attribution,
    Diagnosis,
    Probe,
    Property,
    attribution_of,
    diagnosis_of,
    probe_of,
    properties_of,
)
from recur.report.inspected_writing import Writing, writing_of
from recur.report.passage import visible
from recur.report.tensors import Tensors
from recur.report.values import TIMES, as_list, as_object, as_text, label, number, written
from recur.run import RunFolder

MAX_LAYERS = 64
"""Layers that are shown."""

_UNITS = ("character", "byte", "token", "word")

_INITIAL = ("zero", "learned", "computed")

MAX_NEXT = 20
"""Most probable next symbols that are shown at a place."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A state part or a gate of a layer at every place."""

    name: str
    """Its letter: h, c, i, f, …"""
    is_gate: bool
    """Whether it is a gate or candidate rather than a part of the state."""
    scale: float
    """What 127 stands for."""
    values: NDArray[np.int8]
    """(N, H): `values / 127 * scale` is what the network computed, to within a two hundred and fiftieth."""

    @property
    def width(self) -> int:
        """How many units it has."""
        return int(self.values.shape[1])

    def at(self, place: int) -> NDArray[np.float64]:
        """Return the values of all units at a place, (H,)."""
        values: NDArray[np.float64] = self.values[place] * (self.scale / 127)
        return values


@dataclass(frozen=True, kw_only=True)
class InspectedLayer:
    """A recurrent layer."""

    name: str
    """Its name in the model."""
    kind: str
    """Its class."""
    cell: str
    """The op that computes it: "lstm", "gru", …; another word for a layer of another kind."""
    options: Mapping[str, Any] | None
    """The options of the cell by name; None where they are not known."""
    initial: str
    """What its state begins with: "zero", "learned" or "computed"; empty where that is not known."""
    initial_states: Mapping[str, NDArray[np.float32]]
    """Of learned ones, each state part, (H,)."""
    input_size: int | None
    """I."""
    hidden_size: int | None
    """H."""
    weights: tuple[tuple[str, str], ...]
    """Its parameters with their shapes."""
    parts: tuple[Part, ...]
    """Its state parts, h first, then its gates."""
    explained: tuple[float, ...]
    """Shares of the movement of h that the components of `path` explain."""
    path: NDArray[np.float32] | None
    """(N, 2): h in its two principal components."""

    def part(self, name: str) -> Part | None:
        """Return the part of that name, if there is one."""
        return next((part for part in self.parts if part.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Next:
    """What the network thinks comes next."""

    vocabulary: tuple[str, ...]
    """Symbols by id."""
    ids: NDArray[np.int32]
    """(N, K): the most probable symbols after each place, best first."""
    probabilities: NDArray[np.float32]
    """(N, K): how probable; NaN where that is unknown."""
    of: Literal["symbol", "tag"] = "symbol"
    """What they are: symbols that come after each place, or tags of the symbol there."""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What a tagger told of each of N tokens."""

    told: tuple[str, ...]
    """The tag."""
    probability: tuple[float | None, ...]
    """How probable it was."""
    true: tuple[str, ...]
    """The true tags; none where they are not known."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """What a network that reads numbers read, and what it said."""

    channels: tuple[str, ...]
    """Names."""
    times: tuple[str, ...]
    """What to call each step."""
    values: NDArray[np.float32] | None
    """(N, C): the inputs."""
    predictions: NDArray[np.float32] | None
    """(N, C): what was said of each step before it was seen; NaN where nothing was."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that is known of a network on an input of N symbols or steps."""

    kind: Literal["text", "series"]
    """What the input is."""
    title: str
    """Where the input comes from."""
    cut: str
    """What part of it is shown; empty where all is."""
    unit: str
    """What one symbol is: character, byte, token, word; "step" of a series."""
    count: int
    """N."""
    symbols: tuple[str, ...]
    """The symbols of a text as they stand in it."""
    between: tuple[str, ...]
    """What stands in the text after each of them, and is none."""
    unknown: tuple[tuple[str, str], ...]
    """Symbols the model does not know, with their counts."""
    series: Series | None
    """The numbers, where the input is a series."""
    losses: NDArray[np.float64]
    """(N,): the loss of each place given all before it; NaN where it is unknown."""
    weights: str
    """The checksum of its weights; empty where that is not known."""
    model: str
    """What the model is."""
    parameters: float | None
    """How many numbers it learned."""
    vocabulary_size: int | None
    """V."""
    embedding_size: int | None
    """E."""
    is_tied: bool
    """Whether the output layer uses the embeddings."""
    is_residual: bool
    """Whether each layer adds to what it reads."""
    layers: tuple[InspectedLayer, ...]
    """The recurrent layers, the first one first."""
    properties: tuple[Property, ...]
    """What units were searched for."""
    next: Next | None
    """What the network thinks comes next."""
    output: tuple[str, str] | None
    """What stands above the layers, and what that does; None where all else says it."""
    tags: Tags | None
    """What a tagger told of each symbol."""
    embeddings: NDArray[np.float32] | None
    """(S, E): of the first symbols."""
    attribution: Attribution | None
    """What its predictions rest on."""
    answers: Answers | None
    """What a trained model of series, or a classifier of texts, says, and what contributes to it."""
    writing: Writing | None
    """What a translator wrote, whose encoder this is."""
    is_of_states: bool
    """Whether the probe is of states, without any answers."""
    probe: Probe | None
    """How far the gradient reaches."""
    diagnosis: tuple[Diagnosis, ...]
    """What is wrong."""
    left_out: tuple[str, ...]
    """Arrays that were there and could not be used."""

    @property
    def reaches_states(self) -> bool:
        """Whether the probe tells of Jacobians of states, and not of the gradient of a loss."""
        return self.is_of_states or self.answers is not None


def read_inspection(run: RunFolder, name: str = INSPECTION) -> Inspection:
    """Return what was seen inside the network of `run`.

    Args:
        run: The run folder.
        name: Of the files, without suffixes: those of the network, or of the decoder of a translator.

    Raises:
        RunError: There is no inspection, it was written by a newer recur, or it is too damaged to show anything.
    """
    path = run.path / f"{name}.json"
    if not run.has(f"{name}.json"):
        raise RunError(f"{path}: missing; run `recur inspect {run.path}` first.")
    content = run.read_json(f"{name}.json")
    kind = _kind(content, str(path))
    symbols = tuple(as_text(symbol) for symbol in as_list(content.get("symbols"))[:MAX_SYMBOLS])
    times = as_list(as_object(content.get("series")).get("times"))[:MAX_SYMBOLS]
    count = len(symbols if kind == "text" else times)
    if not count:
        raise RunError(f"{path}: damaged: there is nothing to show in it; run `recur inspect` on this run again.")
    with Tensors(run.path / f"{name}.safetensors") as tensors:
        layers = _layers(content, tensors, count)
        widths = [{part.name: part.width for part in layer.parts} for layer in layers]
        model = as_object(content.get("model"))
        unit = as_text(content.get("unit"))
        return Inspection(
            kind=kind,
            title=visible(as_text(content.get("title"))) or "the input",
            cut=visible(as_text(content.get("cut"))),
            unit="step" if kind == "series" else unit if unit in _UNITS else "symbol",
            count=count,
            symbols=symbols if kind == "text" else (),
            between=_between(content, count) if kind == "text" else (),
            unknown=tuple(
                (as_text(entry.get("symbol")), written(entry.get("count")))
                for entry in map(as_object, as_list(content.get("unknown")))
                if as_text(entry.get("symbol"))
            ),
            series=_series(content, times, tensors) if kind == "series" else None,
            losses=_losses(content, count),
            weights=as_text(content.get("weights")),
            model=visible(as_text(model.get("name"))) or "A network",
            parameters=number(model.get("parameters")),
            vocabulary_size=_size(model.get("vocabulary_size")),
            embedding_size=_size(model.get("embedding_size")),
            is_tied=model.get("tied") is True,
            is_residual=model.get("residual") is True,
            layers=layers,
            properties=properties_of(content, widths, tensors, count),
            next=_next(content, tensors, count),
            output=_output(as_object(content.get("output"))),
            tags=_tags(as_object(content.get("tags")), count),
            embeddings=_finite(tensors.take("first.embedding", "F32", (None, None))),
            attribution=attribution_of(content, tensors, count),
            answers=answers_of(content, tensors, count),
            writing=writing_of(content, tensors),
            is_of_states=content.get("reach_of") == "states",
            probe=probe_of(content),
            diagnosis=diagnosis_of(content),
            left_out=tuple(tensors.left_out),
        )


def _kind(content: Mapping[str, Any], path: str) -> Literal["text", "series"]:
    version, kind = content.get("format"), content.get("kind")
    if not is_whole(version, 1):
        raise RunError(
            f"{path}: damaged, or written by an older recur: its format is {written(version)}, expected {FORMAT}; "
            "run `recur inspect` on this run again."
        )
    if version > FORMAT:
        raise RunError(
            f"{path}: written by a newer recur (format {version}, this one reads up to {FORMAT}); upgrade recur."
        )
    if kind == "text":
        return "text"
    if kind == "series":
        return "series"
    raise RunError(f"{path}: damaged: its kind is {written(kind)}, expected text or series.")


def _between(content: Mapping[str, Any], count: int) -> tuple[str, ...]:
    found = [as_text(one) for one in as_list(content.get("between"))[:count]]
    return (*found, *[""] * (count - len(found)))


def _layers(content: Mapping[str, Any], tensors: Tensors, count: int) -> tuple[InspectedLayer, ...]:
    layers = []
    for place, entry in enumerate(map(as_object, as_list(content.get("layers"))[:MAX_LAYERS])):
        scales = as_object(entry.get("scales"))
        parts: list[Part] = []
        for key in ("states", "gates"):
            for name in dict.fromkeys(map(as_text, as_list(entry.get(key)))):
                scale = number(scales.get(name))
                values = tensors.take(f"layers.{place}.{name}", "I8", (count, None)) if name else None
                if values is not None and scale is not None and scale > 0 and name not in {p.name for p in parts}:
                    # Gates begin after all states, so that a name that is both is a state.
                    parts.append(Part(name=name, is_gate=key == "gates", scale=scale, values=values))
        # h is what the rest of the network sees of a layer.
        parts.sort(key=lambda part: part.name != "h")
        explained = [number(share) for share in as_list(entry.get("explained"))]
        initial = as_text(entry.get("initial"))
        layers.append(
            InspectedLayer(
                name=visible(as_text(entry.get("name"))) or f"layer {place}",
                kind=visible(as_text(entry.get("kind"))),
                cell=as_text(entry.get("cell")),
                options=as_object(entry["options"]) if isinstance(entry.get("options"), dict) else None,
                initial=initial if initial in _INITIAL else "",
                initial_states=_initial_states(parts, tensors, place) if initial == "learned" else {},
                input_size=_size(entry.get("input_size")),
                hidden_size=_size(entry.get("hidden_size")),
                weights=tuple(
                    (visible(name), f" {TIMES} ".join(written(size) for size in as_list(shape)) or "scalar")
                    for name, shape in as_object(entry.get("weights")).items()
                ),
                parts=tuple(parts),
                explained=tuple(share for share in explained if share is not None and 0 <= share <= 1),
                path=_finite(tensors.take(f"pca.{place}", "F32", (count, 2))),
            )
        )
    return tuple(layers)


def _initial_states(parts: Sequence[Part], tensors: Tensors, place: int) -> dict[str, NDArray[np.float32]]:
    found = {
        part.name: _finite(tensors.take(f"initial.{place}.{part.name}", "F32", (part.width,)))
        for part in parts
        if not part.is_gate
    }
    return {name: values for name, values in found.items() if values is not None}


def _series(content: Mapping[str, Any], times: Sequence[Any], tensors: Tensors) -> Series:
    names = [visible(as_text(name)) for name in as_list(as_object(content.get("series")).get("channels"))]
    values = _finite(tensors.take("values", "F32", (len(times), None)))
    width = values.shape[1] if values is not None else len(names)
    predictions = _finite(tensors.take("predictions", "F32", (len(times), width))) if width else None
    named = [*names, *(f"channel {place}" for place in range(len(names), width))][: min(width, MAX_CHANNELS)]
    return Series(
        channels=tuple(name or f"channel {place}" for place, name in enumerate(named)),
        times=tuple(map(label, times)),
        values=None if values is None else values[:, : len(named)],
        predictions=None if predictions is None else predictions[:, : len(named)],
    )


def _losses(content: Mapping[str, Any], count: int) -> NDArray[np.float64]:
    losses = np.full(count, np.nan)
    for place, loss in enumerate(map(number, as_list(content.get("losses"))[:count])):
        losses[place] = np.nan if loss is None else loss
    return losses


def _output(stored: Mapping[str, Any]) -> tuple[str, str] | None:
    title, says = (visible(as_text(stored.get(key))) for key in ("title", "says"))
    return (title, says) if title and says else None


def _tags(stored: Mapping[str, Any], count: int) -> Tags | None:
    told, true = (tuple(visible(as_text(one)) for one in as_list(stored.get(key))) for key in ("told", "true"))
    shares = [number(one) for one in as_list(stored.get("probability"))]
    if len(told) != count or len(shares) != count:
        return None
    probability = tuple(share if share is not None and 0 <= share <= 1 else None for share in shares)
    return Tags(told=told, probability=probability, true=true if len(true) == count else ())


def _next(content: Mapping[str, Any], tensors: Tensors, count: int) -> Next | None:
    vocabulary = tuple(as_text(symbol) for symbol in as_list(as_object(content.get("next")).get("vocabulary")))
    ids = tensors.take("next.ids", "I32", (count, None))
    probabilities = None if ids is None else tensors.take("next.probs", "F32", ids.shape)
    if not vocabulary or ids is None or probabilities is None:
        return None
    ids, probabilities = ids[:, :MAX_NEXT], probabilities[:, :MAX_NEXT]
    # NaN is neither above zero nor below one.
    is_known = (probabilities >= 0) & (probabilities <= 1) & (ids >= 0) & (ids < len(vocabulary))
    return Next(
        vocabulary=vocabulary,
        ids=np.where(is_known, ids, 0).astype(np.int32),
        probabilities=np.where(is_known, probabilities, np.nan).astype(np.float32),
        of="tag" if as_object(content.get("next")).get("of") == "tag" else "symbol",
    )


def _finite(values: np.ndarray[Any, Any] | None) -> NDArray[np.float32] | None:
    """Return `values` with NaN for what cannot have been measured, as in `recur.report.values.number`."""
    if values is None:
        return None
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values), values, np.nan).astype(np.float32)


def _size(value: object) -> int | None:
    return value if is_whole(value, 1) and value < 10**9 else None
