"""What the report says of texts written from texts, from `translate_evaluation.json`; damaged values are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recur.report.chart import Chart, Drawing, Grid, Series
from recur.report.labels import Rows
from recur.report.looking import Looking, looking_grid, looking_of, shortened
from recur.report.passage import visible
from recur.report.result import Bar, bars
from recur.report.values import NOTHING, as_list, as_object, as_text, count, notes_of, number, part_of
from recur.wording import measured, quantity, sentence

_MOST_EXAMPLES, _MOST_REFERENCES, _MOST_MAPS = 20, 5, 10

_SIDES = ("source", "written")


@dataclass(frozen=True, kw_only=True)
class Written:
    """One text that was written."""

    source: str
    """Of what."""
    output: str
    """What the model wrote; empty if nothing."""
    references: tuple[str, ...]
    """What is right."""
    is_right: bool
    """Whether it is one of these."""
    note: str
    """How good it is, how long, and where it stood."""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What the page shows of texts that were written."""

    verdict: str
    """Whether the model beats the best rule."""
    is_better: bool
    """Whether it does."""
    measured_on: str
    """What was judged, in a sentence."""
    caption: str
    """What the bars count."""
    bars: tuple[Bar, ...]
    """Model and rules, the best first."""
    figures: Rows
    """Every score of the model and of the rules."""
    signatures: tuple[tuple[str, str], ...]
    """Of the scores by sacreBLEU, what they are and how they came about."""
    notes: tuple[str, ...]
    """What a reader has to know."""
    lengths: tuple[Chart, ...]
    """The main score by the length of the source."""
    worst: tuple[Written, ...]
    """The worst texts."""
    random: tuple[Written, ...]
    """Some others."""
    likelihood: str
    """How likely the right targets are to the model, in a sentence; empty when unknown."""
    maps: tuple[Grid, ...]
    """Of some texts, where each token that was written looked."""
    looking: tuple[Looking, ...]
    """The same texts, whose tokens light up."""

    @property
    def charts(self) -> tuple[Drawing, ...]:
        """All charts, in the order of the page."""
        return (*self.lengths, *self.maps)


def translation_of(evaluation: Mapping[str, Any]) -> Translation | None:
    """Return what `translate_evaluation.json` says, or None where there is no main score of the model."""
    figures = as_object(evaluation.get("figures"))
    scores = {
        as_text(one.get("name")): one
        for one in map(as_object, as_list(evaluation.get("scores")))
        if as_text(one.get("name"))
    }
    main = as_text(evaluation.get("main"))
    if number(figures.get(main)) is None:
        return None
    rules = [as_object(one) for one in as_list(evaluation.get("baselines"))]
    score = scores.get(main, {})
    part = part_of(evaluation)
    verdict = as_object(evaluation.get("verdict"))
    told_by = as_text(evaluation.get("told_by"))
    maps = tuple(_maps(evaluation))
    return Translation(
        verdict=visible(as_text(verdict.get("text"))),
        is_better=verdict.get("is_better") is True,
        measured_on=_measured_on(evaluation, part),
        caption=f"{sentence(_title(score, main))} on the {part} part, beside what needs no model."
        f"{' Less is better.' if score.get('is_error') is True else ''}",
        bars=_bars(figures, rules, score, main),
        figures=_figures(figures, rules, scores),
        signatures=tuple(
            (_title(one, name), visible(as_text(one.get("signature"))))
            for name, one in scores.items()
            if as_text(one.get("signature"))
        ),
        notes=notes_of(evaluation),
        lengths=tuple(_by_length(evaluation, rules, score, main)),
        worst=_examples(evaluation.get("worst"), scores.get(told_by, {}), told_by),
        random=_examples(evaluation.get("random"), scores.get(told_by, {}), told_by),
        likelihood=_likelihood(as_object(evaluation.get("likelihood"))),
        maps=tuple(grid for grid, _ in maps),
        looking=tuple(texts for _, texts in maps),
    )


def _title(score: Mapping[str, Any], name: str) -> str:
    return visible(as_text(score.get("title")) or name)


def _value(value: object, score: Mapping[str, Any]) -> str:
    """Return a figure as it is written: a share in per cent, else of 100."""
    known = number(value)
    if known is None:
        return NOTHING
    return f"{known:.1f}" if score.get("is_share") is False else f"{known:.1%}"


def _rule(rule: Mapping[str, Any]) -> str:
    return visible(as_text(rule.get("title")).removeprefix("the ") or as_text(rule.get("name")))


def _measured_on(evaluation: Mapping[str, Any], part: str) -> str:
    texts, pairs = number(evaluation.get("texts")), number(evaluation.get("pairs"))
    if texts is None or pairs is None:
        return ""
    of = "" if texts == pairs else f", all sources of {quantity(int(pairs), 'pair')}"
    return f"Judged on {quantity(int(texts), 'text')} of the {part} part{of}."


def _bars(
    figures: Mapping[str, Any], rules: list[Mapping[str, Any]], score: Mapping[str, Any], main: str
) -> tuple[Bar, ...]:
    entries = [("this model", figures.get(main))]
    entries += [(_rule(rule), as_object(rule.get("figures")).get(main)) for rule in rules]
    if score.get("is_error") is True:
        return bars(entries, lambda value: _value(value, score))
    whole = 100.0 if score.get("is_share") is False else 1.0
    return bars(entries, lambda value: _value(value, score), is_error=False, whole=whole)


def _figures(
    figures: Mapping[str, Any], rules: list[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]]
) -> Rows:
    contestants = [figures, *(as_object(rule.get("figures")) for rule in rules)]
    rows = [
        (_title(score, name), *(_value(own.get(name), score) for own in contestants)) for name, score in scores.items()
    ]
    ratio = number(figures.get("length_ratio"))
    if ratio is not None:
        rows.append(("tokens written for one of the target", measured(ratio), *([NOTHING] * len(rules))))
    return Rows(columns=("", "this model", *map(_rule, rules)), rows=tuple(rows))


def _by_length(
    evaluation: Mapping[str, Any], rules: list[Mapping[str, Any]], score: Mapping[str, Any], main: str
) -> Iterator[Chart]:
    by_length = as_object(evaluation.get("by_length"))
    unit = visible(as_text(by_length.get("unit"))) or "token"
    x: list[float] = []
    own: list[float] = []
    other: list[float | None] = []
    shown: list[tuple[str, str]] = []
    for row in map(as_object, as_list(by_length.get("rows"))):
        least, most, figure = (number(row.get(key)) for key in ("least", "most", "figure"))
        if least is None or most is None or figure is None:
            continue
        x.append((least + most) / 2)
        own.append(figure)
        other.append(number(row.get("baseline")))
        shown.append((f"{least:,.0f}" if least == most else f"{least:,.0f} to {most:,.0f}", _value(figure, score)))
    if len(x) < 2:
        return
    series = [Series(name="this model", role="train", x=tuple(x), y=tuple(own))]
    if rules and any(value is not None for value in other):
        series.insert(0, Series(name=_rule(rules[0]), role="rate", x=tuple(x), y=tuple(other)))
    (first, of_first), (last, of_last) = shown[0], shown[-1]
    top = max(own + [value for value in other if value is not None])
    yield Chart(
        key="translate_by_length",
        title="By the length of the source",
        y_label=_title(score, main),
        summary=f"{of_first} of sources of {first} {unit}s, {of_last} of {last} {unit}s.",
        series=tuple(series),
        x_label=f"{unit}s of the source",
        x_range=(x[0] - 0.03 * (x[-1] - x[0]), x[-1] + 0.03 * (x[-1] - x[0])),
        y_range=(0.0, 1.02 * top if top > 0 else 1.0),
    )


def _likelihood(found: Mapping[str, Any]) -> str:
    perplexity, tokens = number(found.get("perplexity")), number(found.get("tokens"))
    nats = number(found.get("nats_per_character"))
    if perplexity is None or tokens is None:
        return ""
    more = "" if nats is None else f", {measured(nats)} nats a character"
    unknown = number(found.get("unknown"))
    rest = f", {unknown:,.0f} of which are unknown" if unknown else ""
    trigram = number(found.get("trigram_perplexity"))
    rule = "" if trigram is None else f" A trigram model of the training part's targets has {measured(trigram)}."
    text = (
        f"The right targets have a perplexity of {measured(perplexity)} a token{more}, of {tokens:,.0f} tokens{rest}."
    )
    return text + rule


def _maps(evaluation: Mapping[str, Any]) -> Iterator[tuple[Grid, Looking]]:
    for place, one in enumerate(map(as_object, as_list(evaluation.get("attention"))[:_MOST_MAPS]), start=1):
        source, written = (tuple(visible(as_text(token)) for token in as_list(one.get(key))) for key in _SIDES)
        rows = [[number(value) for value in as_list(row)] for row in as_list(one.get("weights"))]
        is_whole = len(rows) == len(written) > 0 and all(len(row) == len(source) > 0 for row in rows)
        if not is_whole or any(value is None for row in rows for value in row):
            continue
        values = np.array(rows, np.float64)
        # Tokens may be bytes, which can be read in the text alone; older runs have not kept that.
        title = " ".join(_short(one.get("text")).split()) or _short(" ".join(written))
        grid = looking_grid(f"translate_attention_{place}", source, written, values, title)
        yield grid, looking_of(source, written, values, title="")


def _examples(entries: object, score: Mapping[str, Any], told_by: str) -> tuple[Written, ...]:
    found = []
    for one in map(as_object, as_list(entries)[:_MOST_EXAMPLES]):
        said = []
        if number(one.get("figure")) is not None:
            said.append(f"{_title(score, told_by)} {_value(one.get('figure'), score)}")
        lengths = [known for value in as_list(one.get("reference_lengths")) if (known := count(value))]
        length = number(one.get("length"))
        if length is not None and lengths:
            said.append(f"{quantity(int(length), 'token')}, right {' or '.join(lengths[:_MOST_REFERENCES])}")
        log_prob = number(one.get("log_prob"))
        if log_prob is not None:
            said.append(f"log-probability {measured(log_prob)}")
        if as_text(one.get("place")):
            said.append(visible(as_text(one.get("place"))))
        found.append(
            Written(
                source=_short(one.get("source")),
                output=_short(one.get("output")),
                references=tuple(map(_short, as_list(one.get("references"))[:_MOST_REFERENCES])),
                is_right=one.get("is_right") is True,
                note=" \N{MIDDLE DOT} ".join(said),
            )
        )
    return tuple(found)


def _short(value: object) -> str:
    return shortened(visible(as_text(value)))
