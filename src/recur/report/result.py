"""The held-out figures of a run beside those of the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recur.report.passage import visible
from recur.report.values import as_object, as_text, count, duration, in_form, number, part_of
from recur.wording import shortened

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


def result_of(evaluation: Mapping[str, Any], unit: str) -> Result | None:
    """Return what `evaluation.json` says, or None when the model has not been judged; `unit` is what one symbol is."""
    model = as_object(evaluation.get("model"))
    own = number(model.get("nats_per_character"))
    if own is None:
        return None
    found = {column(name): as_object(figures) for name, figures in as_object(evaluation.get("baselines")).items()}
    known = {
        name: loss for name, figures in found.items() if (loss := number(figures.get("nats_per_character"))) is not None
    }
    losses = dict(sorted(known.items(), key=lambda item: item[1]))
    baselines = {name: found[name] for name in losses}
    part = part_of(evaluation)
    columns = {"this model": model, **baselines}
    return Result(
        part=part,
        verdict=visible(as_text(evaluation.get("verdict"))),
        warning=_warning(own, losses),
        bars=bars([("this model", own), *losses.items()], "{:.3f}".format),
        columns=tuple(columns),
        measures=tuple(
            Measure(
                name=name.format(unit=unit),
                values=tuple(in_form(figures.get(key), form) for figures in columns.values()),
            )
            for key, name, form in _MEASURES
        ),
        note=_coverage(model, part, number(as_object(evaluation.get("valid")).get("nats_per_character"))),
    )


def column(name: str) -> str:
    """Return the name of a baseline, cut to what a column of the table holds on a telephone."""
    return shortened(visible(name), 14)


def bars(
    figures: Iterable[tuple[str, object]],
    written: Callable[[float], str],
    *,
    is_error: bool = True,
    whole: float = 0.0,
) -> tuple[Bar, ...]:
    """Return a bar for each figure that is a number, the best first.

    Args:
        figures: Names and figures, the model's first.
        written: Writes a figure.
        is_error: Whether less is better.
        whole: What a whole bar stands for, unless a figure is larger.
    """
    known = [
        (value, name, place == 0)
        for place, (name, figure) in enumerate(figures)
        if (value := number(figure)) is not None
    ]
    known.sort(key=lambda one: one[0] if is_error else -one[0])
    longest = max(whole, 1e-30, *(value for value, _, _ in known))
    return tuple(
        Bar(name=name, value=written(value), share=round(max(0.0, value / longest), 4), is_model=is_model)
        for value, name, is_model in known
    )


def _warning(own: float, losses: Mapping[str, float]) -> str:
    beating = {name: loss for name, loss in losses.items() if loss <= own}
    if not beating:
        return ""
    name, loss = min(beating.items(), key=lambda item: item[1])
    return (
        f"This model does not beat the {name} baseline: {own:.3f} against {loss:.3f} nats per character. "
        "It needs longer training, more text, or another size before it is of use."
    )


def _coverage(model: Mapping[str, Any], part: str, valid: float | None) -> str:
    said = ""
    characters, seconds = count(model.get("characters")), number(model.get("seconds"))
    if characters:
        said = f"Measured on {characters} characters of the {part} part, each read once"
        said += f", in {duration(seconds)}." if seconds is not None else "."
    if valid is not None:
        said += f" On the validation part the model reaches {valid:.3f} nats per character."
    return said.strip()
