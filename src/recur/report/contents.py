"""What the report says, taken from a run folder. Whatever the run does not have yet is left out; damaged values too."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from recur.report.chart import Chart
from recur.report.curves import number, rows_of_kind, training_charts
from recur.report.passage import Passage, Scale, scale_for, symbols, visible
from recur.run import RunFolder

NOTHING = "\N{EN DASH}"
"""What stands where there is no value."""

TIMES = "\N{MULTIPLICATION SIGN}"
"""What stands between sizes."""

MAX_SAMPLES = 60
"""Samples the page keeps: the first, the last, and others evenly between."""

MAX_SAMPLE_LENGTH = 4_000
"""Characters of a sample the page shows."""

MAX_TOKENS = 5_000
"""Symbols of a text the page shows."""

_UNITS = {"character": "character", "byte": "byte", "bpe": "token"}
_MEASURES = (
    ("nats_per_character", "nats per character", ".3f"),
    ("bits_per_character", "bits per character", ".3f"),
    ("perplexity", "perplexity per {unit}", ",.2f"),
    ("top1", "right at the first guess", ".1%"),
    ("top5", "among the first five", ".1%"),
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of the comparison with the baselines."""

    name: str
    """Who was measured."""
    value: str
    """Its loss, written out."""
    share: float
    """The bar's length as a share of the longest."""
    is_model: bool
    """Whether this is the trained model."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One row of the table of figures."""

    name: str
    """What is measured."""
    values: tuple[str, ...]
    """The figures of the model, of the same model on the validation part where known, and of each baseline."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The held-out figures beside the baselines."""

    part: str
    """The part of the text they were measured on."""
    verdict: str
    """One sentence."""
    warning: str
    """What to say when the model is no better than a baseline; empty when it is."""
    bars: tuple[Bar, ...]
    """Loss of model and baselines, lowest first."""
    columns: tuple[str, ...]
    """Names of the table's columns."""
    measures: tuple[Measure, ...]
    """Rows of the table."""
    note: str
    """How much text was read for it."""


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
    """The held-out figures; None before the evaluation."""
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
    inspected: Passage | None
    """The reader's own text, when `recur inspect` left one."""
    symbol: str
    """What one symbol is: character, byte or token."""
    backends: tuple[str, ...]
    """A sentence for each layer: what ran and why nothing faster did."""
    sources: tuple[tuple[str, str, str], ...]
    """The files of the corpus: name, size, checksum."""
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
    env, schema, model, evaluation, inspect = (
        run.read_json(name) if run.has(name) else {}
        for name in ("env.json", "schema.json", "model.json", "evaluation.json", "inspect.json")
    )
    unit = _UNITS.get(_text(_object(schema.get("tokenizer")).get("kind")), "token")
    scale, passages, inspected = _passages(evaluation, inspect, unit)
    samples = _samples(rows, unit)
    return Contents(
        name=visible(_text(config.get("name")) or run.path.resolve().name),
        task=visible(_text(config.get("task"))),
        lead=_lead(config, env, schema, model, rows),
        result=_result(evaluation, unit),
        charts=tuple(charts_of(run)),
        samples=samples,
        events=_events(rows),
        layers=_layers(model),
        parameters=_count(model.get("parameters")),
        scale=scale,
        passages=passages,
        inspected=inspected,
        symbol=unit,
        backends=_backends(env),
        sources=_sources(schema),
        environment=tuple((visible(str(key)), _written(value)) for key, value in env.items() if key != "backends"),
        options=_options(config),
        commands=_commands(
            run.path,
            prompt=samples[-1].prompt if samples else "",
            has_weights=run.has("model.safetensors"),
            is_done=bool(evaluation),
        ),
    )


def charts_of(run: RunFolder) -> list[Chart]:
    """Return the charts of the run's training, thinned for drawing.

    Raises:
        RunError: `config.json` is missing, or a file of the run is damaged.
    """
    training = _object(run.config().get("training"))
    evaluation = run.read_json("evaluation.json") if run.has("evaluation.json") else {}
    schema = run.read_json("schema.json") if run.has("schema.json") else {}
    losses = {
        _column(name): number(_object(figures).get("nats_per_token"))
        for name, figures in _object(evaluation.get("baselines")).items()
    }
    return training_charts(
        run.metrics(),
        unit=_UNITS.get(_text(_object(schema.get("tokenizer")).get("kind")), "token"),
        baselines={name: loss for name, loss in losses.items() if loss is not None},
        clip_norm=number(training.get("clip_norm")),
    )


# --- reading what may not be there -------------------------------------------------------------------------------


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> str:
    known = number(value)
    return "" if known is None else f"{known:,.0f}"


def _written(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_written(item) for item in value) or NOTHING
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_written(item)}" for key, item in value.items()) or NOTHING
    return visible(str(value)) or NOTHING


# --- the sections ------------------------------------------------------------------------------------------------


def _lead(
    config: Mapping[str, Any],
    env: Mapping[str, Any],
    schema: Mapping[str, Any],
    model: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
) -> str:
    options = _object(config.get("model"))
    cell, layers, size = (
        _text(options.get("cell")),
        number(options.get("num_layers")),
        number(options.get("hidden_size")),
    )
    said = visible(cell.upper() if cell.lower() in ("lstm", "gru", "rnn") else cell) or "A network"
    if layers is not None and size is not None:
        said += f" of {layers:.0f} {TIMES} {size:.0f} units"
    parameters = number(model.get("parameters"))
    if parameters is not None:
        said += f" ({_short(parameters)} parameters)"
    corpus = _object(schema.get("corpus"))
    names = [visible(PurePath(_text(_object(source).get("name"))).name) for source in _list(corpus.get("sources"))]
    if names and names[0]:
        said += f", trained on {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    told = [row for row in rows if number(row.get("step")) is not None]
    seconds = max((elapsed for row in rows if (elapsed := number(row.get("elapsed"))) is not None), default=None)
    if told:
        said += f", {max(float(row['step']) for row in told):,.0f} steps"
    if seconds is not None:
        said += f" in {duration(seconds)}"
    machine = visible(_text(_object(env.get("cpu")).get("brand")))
    if machine and _text(env.get("device")) in ("", "cpu"):
        threads = number(_object(env.get("threads")).get("torch"))
        said += f" on {machine}" + (
            f" with {threads:.0f} thread{'s' if threads != 1 else ''}" if threads is not None else ""
        )
    elif _text(env.get("device")):
        said += f" on {visible(_text(env.get('device')))}"
    return said + "."


def duration(seconds: float) -> str:
    """Return a length of time in words.

    Example:
        >>> duration(9.4), duration(181), duration(7_260)
        ('9 s', '3 min 1 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def _short(value: float) -> str:
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:,.0f}"


def _result(evaluation: Mapping[str, Any], unit: str) -> Result | None:
    model = _object(evaluation.get("model"))
    own = number(model.get("nats_per_character"))
    if own is None:
        return None
    found = {_column(name): _object(figures) for name, figures in _object(evaluation.get("baselines")).items()}
    known = {
        name: loss for name, figures in found.items() if (loss := number(figures.get("nats_per_character"))) is not None
    }
    losses = dict(sorted(known.items(), key=lambda item: item[1]))
    baselines = {name: found[name] for name in losses}
    part = visible(_text(evaluation.get("part"))) or "held-out"
    columns = {"this model": model, **baselines}
    return Result(
        part=part,
        verdict=visible(_text(evaluation.get("verdict"))),
        warning=_warning(own, losses),
        bars=_bars(own, losses),
        columns=tuple(columns),
        measures=tuple(
            Measure(
                name=name.format(unit=unit),
                values=tuple(
                    NOTHING if (value := number(figures.get(key))) is None else f"{value:{form}}"
                    for figures in columns.values()
                ),
            )
            for key, name, form in _MEASURES
        ),
        note=_coverage(model, part, unit, number(_object(evaluation.get("valid")).get("nats_per_character"))),
    )


def _column(name: str) -> str:
    # As wide as a column of the table on a telephone.
    shown = visible(name)
    return shown if len(shown) <= 14 else f"{shown[:13]}…"


def _warning(own: float, losses: Mapping[str, float]) -> str:
    beating = {name: loss for name, loss in losses.items() if loss <= own}
    if not beating:
        return ""
    name, loss = min(beating.items(), key=lambda item: item[1])
    return (
        f"This model does not beat the {name} baseline: {own:.3f} against {loss:.3f} nats per character. "
        "It needs longer training, more text, or another size before it is of use."
    )


def _bars(own: float, losses: Mapping[str, float]) -> tuple[Bar, ...]:
    entries = sorted(
        [("this model", own, True), *((name, loss, False) for name, loss in losses.items())], key=lambda entry: entry[1]
    )
    longest = max(max(loss for _, loss, _ in entries), 1e-9)
    return tuple(
        Bar(name=name, value=f"{loss:.3f}", share=round(max(0.0, loss / longest), 4), is_model=is_model)
        for name, loss, is_model in entries
    )


def _coverage(model: Mapping[str, Any], part: str, unit: str, valid: float | None) -> str:
    said = ""
    characters, seconds = _count(model.get("characters")), number(model.get("seconds"))
    if characters:
        said = f"Measured on {characters} characters of the {part} part, each read once"
        said += f", in {duration(seconds)}." if seconds is not None else "."
    if valid is not None:
        said += f" On the validation part the model reaches {valid:.3f} nats per character."
    return said.strip()


def _samples(rows: Sequence[Mapping[str, Any]], unit: str) -> tuple[Sample, ...]:
    found = [row for row in rows_of_kind(rows, "sample") if _text(row.get("text"))]
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
        prompt, text = _text(row.get("prompt")), _text(row.get("text"))
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


def _events(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"step {float(row['step']):,.0f}", visible(_text(row.get("text"))))
        for row in rows_of_kind(rows, "event")
        if _text(row.get("text"))
    )


def _layers(model: Mapping[str, Any]) -> tuple[Layer, ...]:
    return tuple(
        Layer(
            name=visible(_text(layer.get("name"))),
            kind=visible(_text(layer.get("kind"))),
            weights="\n".join(
                f"{visible(name)} {f' {TIMES} '.join(_written(size) for size in _list(shape)) or 'scalar'}"
                for name, shape in _object(layer.get("weights")).items()
            ),
            output=visible(_text(layer.get("output"))),
            parameters=_count(layer.get("parameters")),
        )
        for layer in map(_object, _list(model.get("layers")))
    )


def _passages(
    evaluation: Mapping[str, Any], inspect: Mapping[str, Any], unit: str
) -> tuple[Scale, tuple[Passage, ...], Passage | None]:
    found = [(entry, *_tokens(entry, "tokens")) for entry in map(_object, _list(evaluation.get("surprising")))]
    own_tokens, own_losses = _tokens(inspect, "text")
    scale = scale_for([loss for _, _, losses in found for loss in losses] + own_losses)
    passages = []
    for entry, tokens, losses in found:
        if not tokens:
            continue
        position, mean = _count(entry.get("position")), number(entry.get("loss_mean"))
        passages.append(
            Passage(
                title=f"At {unit} {position}" if position else "Passage",
                note="" if mean is None else f"{mean:.2f} nats per {unit} on average",
                symbols=symbols(tokens, losses, scale),
            )
        )
    if not own_tokens:
        return scale, tuple(passages), None
    known = [loss for loss in own_losses if loss is not None]
    inspected = Passage(
        title=visible(_text(inspect.get("title"))) or "Your text",
        note=f"{sum(known) / len(known):.2f} nats per {unit} on average" if known else "",
        symbols=symbols(own_tokens, own_losses, scale),
    )
    return scale, tuple(passages), inspected


def _tokens(entry: Mapping[str, Any], key: str) -> tuple[list[str], list[float | None]]:
    tokens = [_text(token) for token in _list(entry.get(key))][:MAX_TOKENS]
    return tokens, [number(loss) for loss in _list(entry.get("losses"))][: len(tokens)]


def _backends(env: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    for entry in map(_object, _list(env.get("backends"))):
        others = [
            f"{_written(other.get('backend'))}: {_written(other.get('reason'))}"
            for other in map(_object, _list(entry.get("others")))
        ]
        said.append(
            "; ".join([f"{_written(entry.get('layer'))} runs on {_written(entry.get('backend'))}", *others]) + "."
        )
    return tuple(said)


def _sources(schema: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    sources = map(_object, _list(_object(schema.get("corpus")).get("sources")))
    return tuple(
        (
            visible(_text(one.get("name"))),
            f"{size} bytes" if (size := _count(one.get("bytes"))) else "",
            visible(_text(one.get("sha256"))),
        )
        for one in sources
    )


def _options(config: Mapping[str, Any]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    groups = {str(key): value for key, value in config.items() if isinstance(value, dict)}
    loose = tuple((visible(str(key)), _written(value)) for key, value in config.items() if not isinstance(value, dict))
    named = tuple((visible(name), tuple(_flat(group))) for name, group in groups.items())
    return (("run", loose), *named) if loose else named


def _flat(group: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in group.items():
        name = f"{prefix}{visible(str(key))}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, _written(value)


def _commands(path: Path, *, prompt: str, has_weights: bool, is_done: bool) -> tuple[Command, ...]:
    place = shlex.quote(visible(_near(path)))
    commands = []
    if has_weights:
        begin = f" --prompt {shlex.quote(visible(prompt))}" if prompt.strip() and len(prompt) <= 40 else ""
        commands.append(Command(why="Let it write", line=f"recur generate {place}{begin} --length 500"))
        commands.append(
            Command(why="See what in a text of yours surprises it", line=f"recur inspect {place} --input my.txt")
        )
        commands.append(Command(why="Judge it on another text", line=f"recur evaluate {place} other.txt"))
    # A finished training stops again at once unless it is given more time.
    further = " --max-minutes 30" if is_done else ""
    why = "Train it further" if is_done else "Go on with the training"
    commands.append(Command(why=why, line=f"recur train --resume {place}{further}"))
    return tuple(commands)


def _near(path: Path) -> str:
    # A report is passed on; where the run lies on this machine is nobody's business when it lies below where we stand.
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
