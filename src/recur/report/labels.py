"""What the report says of labels told of series or texts, from `label_evaluation.json`; damaged values are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recur.report.answers import words_of
from recur.report.chart import Drawing
from recur.report.labels_charts import label_charts
from recur.report.passage import visible
from recur.report.result import Bar, bars
from recur.report.values import NOTHING, as_list, as_object, as_text, in_form, label, notes_of, number, part_of, shown
from recur.wording import measured, quantity

_MOST_CLASSES, _MOST_WORST = 60, 12

_KEYS = {"tags": "token_accuracy", "class": "accuracy", "several": "micro_f1", "number": "rmse"}
"""The figure that shows what was told: tags of tokens, one class, any number of them, or a number."""

_CAPTIONS = {
    "tags": "{score} on the {part} part, beside the most frequent tag of each word.",
    "class": "Accuracy, the share of labels of the {part} part told right, beside {linear}always telling the most "
    "frequent class.",
    "several": "Macro-F1 on the {part} part, the mean over classes, beside a linear model of n-grams.",
    "number": "Root mean squared error on the {part} part, beside always telling the mean. Less is better.",
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table."""

    columns: tuple[str, ...]
    """Names of its columns, the first one's empty."""
    rows: tuple[tuple[str, ...], ...]
    """Its cells."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the page shows of labels that were told."""

    verdict: str
    """Whether the model beats the naive rule."""
    is_better: bool
    """Whether it does."""
    measured_on: str
    """What was judged, in a sentence."""
    caption: str
    """What the bars count."""
    bars: tuple[Bar, ...]
    """Model and rule, the better first."""
    figures: Rows
    """Figures, and what they are."""
    classes: Rows
    """Figures of each class, the worst told first; empty where numbers are told."""
    worst: Rows
    """The labels that were told worst."""
    notes: tuple[str, ...]
    """What a reader has to know."""
    told: tuple[Drawing, ...]
    """The confusion matrix, or what was told beside what is true."""
    errors: tuple[Drawing, ...]
    """Errors by the true number."""
    sureness: tuple[Drawing, ...]
    """Whether it is as sure as it is right."""
    runs: tuple[Drawing, ...]
    """What was told along some series."""

    @property
    def charts(self) -> tuple[Drawing, ...]:
        """All charts, in the order of the page."""
        return (*self.told, *self.errors, *self.runs, *self.sureness)


def labels_of(evaluation: Mapping[str, Any]) -> Labels | None:
    """Return what `label_evaluation.json` says, or None where there is no figure of the model."""
    figures = as_object(evaluation.get("figures"))
    kind = next((kind for kind, key in _KEYS.items() if number(figures.get(key)) is not None), None)
    if kind is None:
        return None
    verdict = as_object(evaluation.get("verdict"))
    part = part_of(evaluation)
    charts = label_charts(evaluation)
    return Labels(
        verdict=visible(as_text(verdict.get("text"))),
        is_better=verdict.get("is_better") is True,
        measured_on=_measured_on(evaluation, part),
        caption=_CAPTIONS[kind].format(part=part, score=_score_of_tags(figures), linear=_linear(figures)),
        bars=_bars(figures, kind),
        figures=_figures(evaluation, figures, kind),
        classes=_classes(figures),
        worst=_worst(evaluation, is_class=kind != "number"),
        notes=notes_of(evaluation),
        told=charts["told"],
        errors=charts["errors"],
        sureness=charts["sureness"],
        runs=charts["runs"],
    )


def _measured_on(evaluation: Mapping[str, Any], part: str) -> str:
    if evaluation.get("of") == "tokens":
        return _measured_on_tokens(evaluation, part)
    told, series = number(as_object(evaluation.get("figures")).get("num_told")), number(evaluation.get("series"))
    if told is None or series is None:
        return ""
    if evaluation.get("of") == "texts":
        return f"Judged on {quantity(int(told), 'text')} of the {part} part."
    of = {"series": "", "steps": " of their steps", "last steps": " of their last steps"}
    where = of.get(as_text(evaluation.get("of")), "")
    one = "series" if where == "" else f"series, {quantity(int(told), 'label')}{where}"
    return f"Judged on {int(series):,} {one} in the {part} part."


def _measured_on_tokens(evaluation: Mapping[str, Any], part: str) -> str:
    tokens = number(as_object(evaluation.get("figures")).get("num_tokens"))
    sentences = number(evaluation.get("series"))
    if tokens is None or sentences is None:
        return ""
    return f"Judged on {quantity(int(tokens), 'token')} of {quantity(int(sentences), 'sentence')} in the {part} part."


def _score_of_tags(figures: Mapping[str, Any]) -> str:
    if figures.get("has_entities") is True:
        return "F1 of entities, which are right where kind, beginning and end are,"
    return "Accuracy, the share of tokens whose tag is right,"


def _linear(figures: Mapping[str, Any]) -> str:
    """Return the beginning of the rules that a class is told beside, where a linear model is one of them."""
    return "" if _accuracy_of_linear(figures) is None else "a linear model of n-grams and "


def _accuracy_of_linear(figures: Mapping[str, Any]) -> float | None:
    return number(as_object(figures.get("rule")).get("accuracy"))


def _bars(figures: Mapping[str, Any], kind: str) -> tuple[Bar, ...]:
    always = f"always {visible(as_text(figures.get('most_frequent')))}"
    values: dict[str, dict[str, object]] = {
        "tags": {"this model": figures.get("micro_f1"), "most frequent of each word": figures.get("rule_micro_f1")},
        "class": {
            "this model": figures.get("accuracy"),
            "linear, n-grams": _accuracy_of_linear(figures),
            always: figures.get("baseline_accuracy"),
        },
        "several": {"this model": figures.get("macro_f1"), "linear, n-grams": figures.get("baseline_macro_f1")},
        "number": {"this model": figures.get("rmse"), "always the mean": figures.get("baseline_rmse")},
    }
    if kind == "number":
        return bars(values[kind].items(), measured)
    return bars(values[kind].items(), measured if kind == "several" else "{:.1%}".format, is_error=False, whole=1.0)


def _share(value: object) -> str:
    return in_form(value, ".1%")


def _figures(evaluation: Mapping[str, Any], figures: Mapping[str, Any], kind: str) -> Rows:
    if kind == "class":
        return _class_figures(figures)
    if kind == "tags":
        return _tag_figures(figures)
    return _several_figures(figures) if kind == "several" else _number_figures(evaluation, figures)


def _tag_figures(figures: Mapping[str, Any]) -> Rows:
    rows = [
        ("token accuracy", _share(figures.get("token_accuracy")), _share(figures.get("rule_accuracy"))),
        ("macro F1", _share(figures.get("macro_f1")), _share(figures.get("rule_macro_f1"))),
        ("sentences with all tags right", _share(figures.get("exact")), NOTHING),
        ("log loss of a token, nats", shown(figures.get("log_loss")), NOTHING),
    ]
    if figures.get("has_entities") is True:
        rows[:0] = [
            ("entity F1", _share(figures.get("micro_f1")), _share(figures.get("rule_micro_f1"))),
            ("precision", _share(figures.get("precision")), NOTHING),
            ("recall", _share(figures.get("recall")), NOTHING),
        ]
    return Rows(columns=("", "this model", "most frequent of each word"), rows=tuple(rows))


def _several_figures(figures: Mapping[str, Any]) -> Rows:
    rows = (
        ("macro F1", shown(figures.get("macro_f1")), shown(figures.get("baseline_macro_f1"))),
        ("micro F1", shown(figures.get("micro_f1")), shown(figures.get("baseline_micro_f1"))),
        (
            "average precision",
            shown(figures.get("average_precision")),
            shown(figures.get("baseline_average_precision")),
        ),
        ("all classes right", _share(figures.get("exact")), _share(figures.get("baseline_exact"))),
        ("log loss of a decision, nats", shown(figures.get("log_loss")), shown(figures.get("baseline_log_loss"))),
    )
    return Rows(columns=("", "this model", "linear, n-grams"), rows=rows)


def _class_figures(figures: Mapping[str, Any]) -> Rows:
    rows = [
        ("accuracy", _share(figures.get("accuracy")), _share(figures.get("baseline_accuracy"))),
        ("balanced accuracy", _share(figures.get("balanced_accuracy")), NOTHING),
        ("macro F1", shown(figures.get("macro_f1")), NOTHING),
        ("log loss, nats", shown(figures.get("log_loss")), shown(figures.get("baseline_log_loss"))),
        ("calibration error", _share(figures.get("calibration_error")), NOTHING),
    ]
    always = "always the most frequent"
    linear = _accuracy_of_linear(figures)
    if linear is None:
        return Rows(columns=("", "this model", always), rows=tuple(rows))
    beside = tuple(
        (name, own, _share(linear) if name == "accuracy" else NOTHING, frequent) for name, own, frequent in rows
    )
    return Rows(columns=("", "this model", "linear, n-grams", always), rows=beside)


def _number_figures(evaluation: Mapping[str, Any], figures: Mapping[str, Any]) -> Rows:
    rows = [
        ("RMSE", shown(figures.get("rmse")), shown(figures.get("baseline_rmse"))),
        ("MAE", shown(figures.get("mae")), NOTHING),
        ("bias", shown(figures.get("bias")), NOTHING),
        ("share explained (R²)", shown(figures.get("explained")), NOTHING),
    ]
    if number(figures.get("nasa")) is not None:
        rows.append(("NASA's score", shown(figures.get("nasa")), NOTHING))
    if number(figures.get("bounds_broken")) is not None:
        rows.append(("bounds that were broken", _share(figures.get("bounds_broken")), NOTHING))
    intervals = as_object(evaluation.get("intervals"))
    columns = (as_list(intervals.get(name)) for name in ("shares", "coverage", "width"))
    for share, held, width in zip(*columns, strict=False):
        if number(held) is not None:
            name = f"{_share(share).replace('.0%', '%')} interval"
            rows += [(f"{name} holds", _share(held), NOTHING), (f"{name}, width", shown(width), NOTHING)]
    return Rows(columns=("", "this model", "always the mean"), rows=tuple(rows))


def _classes(figures: Mapping[str, Any]) -> Rows:
    found = [as_object(one) for one in as_list(figures.get("classes"))]
    found.sort(key=lambda one: 1.0 if (recall := number(one.get("recall"))) is None else recall)
    rows = tuple(
        (
            visible(as_text(one.get("name"))),
            shown(one.get("support")),
            *(_share(one.get(key)) for key in ("recall", "precision", "f1")),
        )
        for one in found[:_MOST_CLASSES]
    )
    if "has_entities" in figures:
        first = ("entity", "number") if figures["has_entities"] is True else ("tag", "tokens")
    else:
        first = ("class", "labels")
    return Rows(columns=(*first, "recall", "precision", "F1"), rows=rows)


def _worst(evaluation: Mapping[str, Any], *, is_class: bool) -> Rows:
    entries = [as_object(one) for one in as_list(evaluation.get("worst"))][:_MOST_WORST]
    has_time = any(one.get("time") is not None for one in entries)
    has_words = any(as_list(one.get("words")) for one in entries)
    said = ("true", "told", "probability") if is_class else ("true", "told", "error")
    rows = []
    for one in entries:
        cells = [visible(as_text(one.get("series")))]
        if has_time:
            cells.append(label(one.get("time")).replace("T", " "))
        if is_class:
            cells += [
                visible(as_text(one.get("true"))),
                visible(as_text(one.get("told"))),
                _share(one.get("probability")),
            ]
            cells += [_words(one)] if has_words else []
        else:
            cells += [shown(one.get(key)) for key in said]
        rows.append(tuple(cells))
    first = {"texts": "text", "tokens": "sentence"}.get(as_text(evaluation.get("of")), "series")
    columns = (first, *(["time"] if has_time else []), *said, *(["spoke for it, nats"] if has_words else []))
    return Rows(columns=columns, rows=tuple(rows))


def _words(worst: Mapping[str, Any]) -> str:
    """Return the words that spoke for a class that was told wrongly; which class, where several were told."""
    told = [f"{word} +{measured(share)}" for word, share in words_of(worst.get("words"))]
    which = visible(as_text(worst.get("for")))
    return (f"{which}: " if which != visible(as_text(worst.get("told"))) else "") + (", ".join(told) or NOTHING)
