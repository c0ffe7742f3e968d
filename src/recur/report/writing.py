"""What the report says of texts written from labels or numbers, from `write_evaluation.json`; damage is left out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recur.report.chart import Drawing
from recur.report.labels import Rows
from recur.report.passage import visible
from recur.report.result import Bar, bars
from recur.report.values import as_list, as_object, as_text, in_form, notes_of, number, part_of
from recur.wording import measured, quantity

_MOST_CLASSES, _MOST_EXAMPLES, _MOST_CHARACTERS = 100, 20, 400

_MEASURES = (
    ("nats_per_character", "nats per character", ".3f"),
    ("bits_per_character", "bits per character", ".3f"),
    ("perplexity", "perplexity per token", ",.2f"),
)


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What the page shows of texts written from labels or numbers."""

    verdict: str
    """Whether the model beats the best rule, and whether what it is told helps."""
    is_better: bool
    """Whether both are so."""
    measured_on: str
    """What was judged, in a sentence."""
    caption: str
    """What the bars count."""
    bars: tuple[Bar, ...]
    """The model, told and not, and the rules, the best first."""
    figures: Rows
    """Their figures."""
    written: tuple[str, ...]
    """What is known of the texts that it writes, in sentences."""
    classes: Rows
    """Figures of each class."""
    samples: tuple[tuple[str, tuple[str, ...]], ...]
    """What texts are written from, and some that are."""
    worst: Rows
    """The texts that are least likely to it."""
    notes: tuple[str, ...]
    """What a reader has to know."""

    @property
    def charts(self) -> tuple[Drawing, ...]:
        """No charts."""
        return ()


def writing_command(run: str, schema: Mapping[str, Any]) -> str:
    """Return the command that writes of the most frequent label, and of numbers as they are in the mean.

    Args:
        run: The folder, quoted.
        schema: What `schema.json` of the run holds.
    """
    given = ""
    classes, counts = (as_list(schema.get(name)) for name in ("classes", "counts"))
    if classes and len(classes) == len(counts):
        most = max(range(len(classes)), key=lambda place: number(counts[place]) or 0.0)
        given = f" --label {shlex.quote(visible(as_text(classes[most])))}"
    means = [number(mean) or 0.0 for mean in as_list(schema.get("means"))]
    if means:
        # With an equals sign, for the first may be below 0.
        given += f" --vector={','.join(f'{mean:.3g}' for mean in means)}"
    return f"recur generate {run}{given} --samples 10"


def writing_of(evaluation: Mapping[str, Any]) -> Writing | None:
    """Return what `write_evaluation.json` says, or None where there is no figure of the model."""
    figures = as_object(evaluation.get("figures"))
    if number(figures.get("nats_per_character")) is None:
        return None
    told = visible(as_text(evaluation.get("told"))) or "what it is of"
    wrong = as_object(evaluation.get("wrong"))
    contestants = [
        ("this model", figures),
        (f"not told {told}", as_object(evaluation.get("not_told"))),
        *([(f"told {told} of another text", wrong)] if wrong else []),
        *(
            (visible(as_text(rule.get("title"))), as_object(rule.get("figures")))
            for rule in map(as_object, as_list(evaluation.get("baselines")))
        ),
    ]
    part = part_of(evaluation)
    verdict, texts = as_object(evaluation.get("verdict")), number(evaluation.get("texts"))
    return Writing(
        verdict=visible(as_text(verdict.get("text"))),
        is_better=verdict.get("is_better") is True,
        measured_on="" if texts is None else f"Judged on {quantity(int(texts), 'text')} of the {part} part.",
        caption=f"Loss on the {part} part in nats per character, the end of each text included. Less is better.",
        bars=bars([(name, own.get("nats_per_character")) for name, own in contestants], "{:.3f}".format),
        figures=Rows(
            columns=("", *(name for name, _ in contestants)),
            rows=tuple(
                (title, *(in_form(own.get(key), form) for _, own in contestants)) for key, title, form in _MEASURES
            ),
        ),
        written=tuple(_written(as_object(evaluation.get("written")))),
        classes=_classes(evaluation),
        samples=tuple(_samples(evaluation)),
        worst=_worst(evaluation),
        notes=notes_of(evaluation),
    )


def _written(found: Mapping[str, Any]) -> list[str]:
    texts = number(found.get("texts"))
    if not texts:
        return []
    said = []
    new, distinct, distinct_true = (number(found.get(key)) for key in ("new", "distinct", "distinct_held_out"))
    if new is not None:
        said.append(f"Of {quantity(int(texts), 'text')} that it wrote, {new:.1%} do not stand in the training part.")
    if distinct is not None and distinct_true is not None:
        said.append(f"{distinct:.1%} of them differ, of as many held-out texts {distinct_true:.1%}.")
    length, length_true = number(found.get("length")), number(found.get("length_held_out"))
    if length is not None and length_true is not None:
        said.append(f"They have {measured(length)} characters in the mean, held-out texts {measured(length_true)}.")
    told, told_true = number(found.get("recognised")), number(found.get("recognised_held_out"))
    if told is not None and told_true is not None:
        said.append(
            f"Trigrams of each class take {told:.1%} of them for the class that they were to be of; of held-out texts "
            f"they take {told_true:.1%} for their own."
        )
    broken = number(found.get("broken_off"))
    if broken:
        said.append(f"{broken:.1%} came to no end and were broken off.")
    return said


def _classes(evaluation: Mapping[str, Any]) -> Rows:
    rows = []
    for one in map(as_object, as_list(evaluation.get("classes"))[:_MOST_CLASSES]):
        rows.append(
            (
                _short(one.get("name")),
                in_form(one.get("learned"), ",.0f"),
                in_form(one.get("texts"), ",.0f"),
                in_form(one.get("nats_per_character"), ".3f"),
                in_form(one.get("not_told"), ".3f"),
                in_form(one.get("told"), ".1%"),
            )
        )
    columns = ("", "learned from", "judged", "nats per character", "where not told", "told by Bayes' rule")
    return Rows(columns=columns, rows=tuple(rows))


def _samples(evaluation: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    found = [
        (_short(one.get("name")), tuple(map(_short, as_list(one.get("samples")))))
        for one in map(as_object, as_list(evaluation.get("classes")))
        if as_list(one.get("samples"))
    ]
    for one in map(as_object, as_list(evaluation.get("samples"))[:_MOST_EXAMPLES]):
        of = [visible(as_text(name)) for name in as_list(one.get("labels"))]
        of += [measured(known) for value in as_list(one.get("numbers")) if (known := number(value)) is not None]
        found.append((", ".join(of), (_short(one.get("text")),)))
    return found


def _worst(evaluation: Mapping[str, Any]) -> Rows:
    rows = []
    for one in map(as_object, as_list(evaluation.get("worst"))[:_MOST_EXAMPLES]):
        of = [visible(as_text(name)) for name in as_list(one.get("labels"))]
        of += [measured(known) for value in as_list(one.get("numbers")) if (known := number(value)) is not None]
        rows.append(
            (
                _short(one.get("text")),
                ", ".join(of),
                in_form(one.get("nats_per_character"), ".3f"),
                visible(as_text(one.get("place"))),
            )
        )
    return Rows(columns=("", "of", "nats per character", "where it stands"), rows=tuple(rows))


def _short(value: object) -> str:
    text = visible(as_text(value))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}\N{HORIZONTAL ELLIPSIS}"
