"""What the report says, taken from a run folder. Whatever the run does not have yet is left out; damaged values too."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

from recur.errors import RunError
from recur.report.chart import Chart, Drawing
from recur.report.columns import ColumnRole, column_roles, rows_ahead
from recur.report.curves import rows_of_kind, training_charts
from recur.report.detection import Detection, detection_of
from recur.report.forecast import Forecast, forecast_of
from recur.report.going_on import way_on
from recur.report.labels import Labels, labels_of
from recur.report.passage import Passage, Scale, scale_for, symbols, visible
from recur.report.result import Result, column, result_of
from recur.report.translation import Translation, translation_of
from recur.report.values import DEEPEST, TIMES, as_list, as_object, as_text, count, duration, number, written
from recur.report.writing import Writing, writing_command, writing_of
from recur.run import RunFolder
from recur.wording import cell_name

MAX_SAMPLES = 60
"""Samples the page keeps: the first, the last, and others evenly between."""

MAX_SAMPLE_LENGTH = 4_000
"""Characters of a sample the page shows."""

MAX_TOKENS = 5_000
"""Symbols of a text the page shows."""

_WITHOUT_UNIT = ("forecast", "classify", "regress", "detect", "classify-text", "tag", "translate", "write")
"""Tasks whose losses have no unit."""

_UNITS = {"character": "character", "byte": "byte", "bpe": "token"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A text the model wrote while it was trained."""

    step: int
    """When."""
    loss: str
    """The validation loss at that time, written out; empty when unknown."""
    prompt: str
    """What it was given."""
    text: str
    """What it wrote."""
    temperature: str
    """How boldly it drew; empty when unknown."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One row of the table of layers."""

    name: str
    """Its name in the model."""
    kind: str
    """Its class."""
    weights: str
    """Its parameters with their shapes."""
    output: str
    """The shape of what it returns."""
    parameters: str
    """How many numbers it learns."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Something to do next."""

    why: str
    """What it is good for."""
    line: str
    """The command."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that the page shows."""

    name: str
    """The run's name."""
    task: str
    """The kind of problem."""
    lead: str
    """One or two sentences: which model, how long, on what."""
    result: Result | None
    """The held-out figures of a language model; None before the evaluation."""
    forecast: Forecast | None
    """What forecasts were judged to be; None before the evaluation, or of another task."""
    labels: Labels | None
    """What labels told of series were judged to be; likewise."""
    detection: Detection | None
    """Likewise of alarms."""
    translation: Translation | None
    """Likewise of texts written from texts."""
    writing: Writing | None
    """Likewise of texts written from labels or numbers."""
    charts: tuple[Chart, ...]
    """The curves of the training."""
    samples: tuple[Sample, ...]
    """Samples in the order of training."""
    events: tuple[tuple[str, str], ...]
    """What happened on the way: when, and what."""
    layers: tuple[Layer, ...]
    """The table of layers."""
    parameters: str
    """How many numbers the model learns; empty when unknown."""
    scale: Scale
    """The colours of the passages."""
    passages: tuple[Passage, ...]
    """The most surprising passages."""
    inspection: Literal["", "current", "older"]
    """Whether `recur inspect` left a page of its own beside this one, of these weights or of older ones."""
    symbol: str
    """What one symbol is: character, byte or token."""
    backends: tuple[str, ...]
    """A sentence for each layer: what ran and why nothing faster did."""
    sources: tuple[tuple[str, str, str], ...]
    """The files of the corpus: name, size, checksum."""
    columns: tuple[ColumnRole, ...]
    """What the columns of a table were taken for."""
    environment: tuple[tuple[str, str], ...]
    """Versions and the machine."""
    options: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Every option, by group."""
    commands: tuple[Command, ...]
    """What to do next."""


def read_contents(run: RunFolder) -> Contents:
    """Return what the report says about `run`.

    Raises:
        RunError: `config.json` is missing, or a file of the run is damaged.
    """
    config = run.config()
    rows = run.metrics()
    env, schema, model, evaluation = (
        run.read_json(name) if run.has(name) else {}
        for name in ("env.json", "schema.json", "model.json", "evaluation.json")
    )
    forecasts, labels = _judgement(run, "forecast_evaluation.json"), _judgement(run, "label_evaluation.json")
    alarms, written_texts = _judgement(run, "detect_evaluation.json"), _judgement(run, "translate_evaluation.json")
    from_labels = _judgement(run, "write_evaluation.json")
    unit = _unit(config, schema)
    scale, passages = _passages(evaluation, unit)
    samples = _samples(rows, unit)
    return Contents(
        name=visible(as_text(config.get("name")) or run.path.resolve().name),
        task=visible(as_text(config.get("task"))),
        lead=_lead(config, env, schema, model, rows),
        result=result_of(evaluation, unit),
        forecast=forecast_of(forecasts),
        labels=labels_of(labels),
        detection=detection_of(alarms),
        translation=translation_of(written_texts),
        writing=writing_of(from_labels),
        charts=tuple(_charts(config, schema, evaluation, rows)),
        samples=samples,
        events=_events(rows),
        layers=_layers(model),
        parameters=count(model.get("parameters")),
        scale=scale,
        passages=passages,
        inspection=_inspection(run),
        symbol=unit,
        backends=_backends(env),
        sources=_sources(schema),
        columns=column_roles(schema),
        environment=tuple((visible(str(key)), written(value)) for key, value in env.items() if key != "backends"),
        options=_options(config),
        commands=_commands(
            run,
            task=as_text(config.get("task")),
            prompt=samples[-1].prompt if samples else "",
            ahead=rows_ahead(schema),
            schema=schema,
            is_done=bool(evaluation or forecasts or labels or alarms or written_texts or from_labels),
        ),
    )


def charts_of(run: RunFolder) -> list[Drawing]:
    """Return the charts of the run's training, thinned for drawing, and of what it forecast, told or wrote.

    Raises:
        RunError: `config.json` is missing, or a file of the run is damaged.
    """
    schema, evaluation = (run.read_json(name) if run.has(name) else {} for name in ("schema.json", "evaluation.json"))
    charts = _charts(run.config(), schema, evaluation, run.metrics())
    judged = (
        forecast_of(_judgement(run, "forecast_evaluation.json")),
        labels_of(_judgement(run, "label_evaluation.json")),
        detection_of(_judgement(run, "detect_evaluation.json")),
        translation_of(_judgement(run, "translate_evaluation.json")),
    )
    return [*charts, *(chart for one in judged if one is not None for chart in one.charts)]


def _judgement(run: RunFolder, name: str) -> dict[str, Any]:
    """Return the judgement that a file of the run holds; nothing of weights before the training went on."""
    found = run.read_json(name) if run.has(name) else {}
    return {} if found.get("weights") not in (None, run.weights_checksum()) else found


def _charts(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> list[Chart]:
    losses = {
        column(name): number(as_object(figures).get("nats_per_token"))
        for name, figures in as_object(evaluation.get("baselines")).items()
    }
    return training_charts(
        rows,
        unit=_unit(config, schema),
        baselines={name: loss for name, loss in losses.items() if loss is not None},
        clip_norm=number(as_object(config.get("training")).get("clip_norm")),
    )


def _unit(config: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return what one symbol of a language model is; nothing for other tasks, whose losses have no unit."""
    if as_text(config.get("task")) in _WITHOUT_UNIT:
        return ""
    return _UNITS.get(as_text(as_object(schema.get("tokenizer")).get("kind")), "token")


# --- the sections ------------------------------------------------------------------------------------------------


def _lead(
    config: Mapping[str, Any],
    env: Mapping[str, Any],
    schema: Mapping[str, Any],
    model: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> str:
    options = as_object(config.get("model"))
    cell, layers, size = (
        as_text(options.get("cell")),
        number(options.get("num_layers")),
        number(options.get("hidden_size")),
    )
    said = visible(cell_name(cell)) or "A network"
    if layers is not None and size is not None:
        said += f" of {layers:.0f} {TIMES} {size:.0f} units"
    parameters = number(model.get("parameters"))
    if parameters is not None:
        said += f" ({_short(parameters)} parameters)"
    corpus = as_object(schema.get("corpus"))
    names = [
        visible(PurePath(as_text(as_object(source).get("name"))).name) for source in as_list(corpus.get("sources"))
    ]
    source = as_object(schema.get("source"))
    names = names or [visible(PurePath(as_text(path)).name) for path in as_list(source.get("paths"))]
    names = names or [visible(PurePath(as_text(source.get("path"))).name)]
    if names and names[0]:
        said += f", trained on {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    told = [row for row in rows if number(row.get("step")) is not None]
    seconds = max((elapsed for row in rows if (elapsed := number(row.get("elapsed"))) is not None), default=None)
    if told:
        said += f", {max(float(row['step']) for row in told):,.0f} steps"
    if seconds is not None:
        said += f" in {duration(seconds)}"
    machine = visible(as_text(as_object(env.get("cpu")).get("brand")))
    if machine and as_text(env.get("device")) in ("", "cpu"):
        threads = number(as_object(env.get("threads")).get("torch"))
        said += f" on {machine}" + (
            f" with {threads:.0f} thread{'s' if threads != 1 else ''}" if threads is not None else ""
        )
    elif as_text(env.get("device")):
        said += f" on {visible(as_text(env.get('device')))}"
    return said + "."


def _short(value: float) -> str:
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:,.0f}"


def _samples(rows: Sequence[Mapping[str, Any]], unit: str) -> tuple[Sample, ...]:
    found = [row for row in rows_of_kind(rows, "sample") if as_text(row.get("text"))]
    if len(found) > MAX_SAMPLES:
        found = [found[round(i * (len(found) - 1) / (MAX_SAMPLES - 1))] for i in range(MAX_SAMPLES)]
    losses = [
        (float(row["step"]), loss)
        for row in rows_of_kind(rows, "valid")
        if (loss := number(row.get("loss"))) is not None
    ]
    samples = []
    for row in found:
        known = [loss for step, loss in losses if step <= float(row["step"])]
        temperature = number(row.get("temperature"))
        prompt, text = as_text(row.get("prompt")), as_text(row.get("text"))
        text = text.removeprefix(prompt)
        if not prompt.strip():
            prompt, text = "", text.lstrip("\n")
        samples.append(
            Sample(
                step=int(float(row["step"])),
                loss=f"{known[-1]:.3f} nats per {unit}" if known else "",
                prompt=visible(prompt),
                text=visible(text[:MAX_SAMPLE_LENGTH]),
                temperature="" if temperature is None else f"{temperature:g}",
            )
        )
    return tuple(samples)


def _inspection(run: RunFolder) -> Literal["", "current", "older"]:
    if not run.has("inspect.html"):
        return ""
    try:
        content = run.read_json("inspect.json")
    except RunError:
        # What the page beside it shows nobody can tell.
        return "older"
    weights = content.get("weights")
    return "current" if weights and weights == run.weights_checksum() else "older"


def _events(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"step {float(row['step']):,.0f}", visible(as_text(row.get("text"))))
        for row in rows_of_kind(rows, "event")
        if as_text(row.get("text"))
    )


def _layers(model: Mapping[str, Any]) -> tuple[Layer, ...]:
    return tuple(
        Layer(
            name=visible(as_text(layer.get("name"))),
            kind=visible(as_text(layer.get("kind"))),
            weights="\n".join(
                f"{visible(name)} {f' {TIMES} '.join(written(size) for size in as_list(shape)) or 'scalar'}"
                for name, shape in as_object(layer.get("weights")).items()
            ),
            output=visible(as_text(layer.get("output"))),
            parameters=count(layer.get("parameters")),
        )
        for layer in map(as_object, as_list(model.get("layers")))
    )


def _passages(evaluation: Mapping[str, Any], unit: str) -> tuple[Scale, tuple[Passage, ...]]:
    found = [(entry, *_tokens(entry)) for entry in map(as_object, as_list(evaluation.get("surprising")))]
    scale = scale_for(loss for _, _, losses in found for loss in losses)
    passages = []
    for entry, tokens, losses in found:
        if not tokens:
            continue
        position, mean = count(entry.get("position")), number(entry.get("loss_mean"))
        passages.append(
            Passage(
                title=f"At {unit} {position}" if position else "Passage",
                note="" if mean is None else f"{mean:.2f} nats per {unit} on average",
                symbols=symbols(tokens, losses, scale),
            )
        )
    return scale, tuple(passages)


def _tokens(entry: Mapping[str, Any]) -> tuple[list[str], list[float | None]]:
    tokens = [as_text(token) for token in as_list(entry.get("tokens"))][:MAX_TOKENS]
    return tokens, [number(loss) for loss in as_list(entry.get("losses"))][: len(tokens)]


def _backends(env: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    for entry in map(as_object, as_list(env.get("backends"))):
        others = [
            f"{written(other.get('backend'))}: {written(other.get('reason'))}"
            for other in map(as_object, as_list(entry.get("others")))
        ]
        said.append(
            "; ".join([f"{written(entry.get('layer'))} runs on {written(entry.get('backend'))}", *others]) + "."
        )
    return tuple(said)


def _sources(schema: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    sources = map(as_object, as_list(as_object(schema.get("corpus")).get("sources")))
    return tuple(
        (
            visible(as_text(one.get("name"))),
            f"{size} bytes" if (size := count(one.get("bytes"))) else "",
            visible(as_text(one.get("sha256"))),
        )
        for one in sources
    )


def _options(config: Mapping[str, Any]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    groups = {str(key): value for key, value in config.items() if isinstance(value, dict)}
    loose = tuple((visible(str(key)), written(value)) for key, value in config.items() if not isinstance(value, dict))
    named = tuple((visible(name), tuple(_flat(group))) for name, group in groups.items())
    return (("run", loose), *named) if loose else named


def _flat(group: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    for key, value in group.items():
        name = f"{prefix}{visible(str(key))}"
        if isinstance(value, dict) and value and depth < DEEPEST:
            yield from _flat(value, f"{name}.", depth + 1)
        else:
            yield name, written(value, depth)


def _commands(
    run: RunFolder, *, task: str, prompt: str, ahead: str, schema: Mapping[str, Any], is_done: bool
) -> tuple[Command, ...]:
    place, has_weights = shlex.quote(visible(_near(run.path))), run.has("model.safetensors")
    commands = []
    if has_weights and task in ("forecast", "detect"):
        forecast = "Forecast what comes after new data" + (f", {ahead}" if ahead else "")
        why = "Find anomalies in new data" if task == "detect" else forecast
        commands.append(Command(why=why, line=f"recur predict {place} new.csv"))
        commands.append(Command(why="Judge it on other data", line=f"recur evaluate {place} other.csv"))
    elif has_weights and task == "tag":
        commands.append(Command(why="Tag other sentences", line=f"recur predict {place} new.txt --out new.conll"))
        commands.append(Command(why="Judge it on other sentences", line=f"recur evaluate {place} other.conll"))
    elif has_weights and task == "translate":
        if schema.get("has_conversations"):
            commands.append(Command(why="Talk to it", line=f"recur chat {place}"))
        commands.append(Command(why="Let it write for new texts", line=f"recur predict {place} new.txt"))
        commands.append(Command(why="Judge it on other data", line=f"recur evaluate {place} other.csv"))
    elif has_weights and task == "write":
        commands.append(Command(why="Let it write", line=writing_command(place, schema)))
        commands.append(Command(why="Judge it on other data", line=f"recur evaluate {place} other.csv"))
    elif has_weights and task in _WITHOUT_UNIT:
        commands.append(Command(why="Tell labels of new data", line=f"recur predict {place} new.csv"))
        commands.append(Command(why="Judge it on other data", line=f"recur evaluate {place} other.csv"))
    if has_weights and task in _WITHOUT_UNIT and task not in ("tag", "write"):
        why = "Look inside it where " + ("a step was strangest" if task == "detect" else "it was most wrong")
        commands.append(Command(why=why, line=f"recur inspect {place}"))
    elif has_weights and task not in _WITHOUT_UNIT:
        begin = f" --prompt {shlex.quote(visible(prompt))}" if prompt.strip() and len(prompt) <= 40 else ""
        commands.append(Command(why="Let it write", line=f"recur generate {place}{begin} --length 500"))
        commands.append(
            Command(why="Look inside it as it reads a text of yours", line=f"recur inspect {place} --input my.txt")
        )
        commands.append(Command(why="Judge it on another text", line=f"recur evaluate {place} other.txt"))
    further = way_on(run, place, is_done=is_done)
    if further is not None:
        why, line = further
        commands.append(Command(why=why, line=line))
    return tuple(commands)


def _near(path: Path) -> str:
    # A report is passed on; where the run lies on this machine is nobody's business when it lies below where we stand.
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
