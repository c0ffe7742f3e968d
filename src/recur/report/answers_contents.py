"""What the page of an inspection says of the answers of a model of series, in words, tables and numbers to draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recur.inspection_format import told_share
from recur.report.answers import Answer, Answers
from recur.report.chart import Band, Bars, Chart, Drawing, Series
from recur.report.inspection import Inspection
from recur.report.packing import packed_numbers
from recur.report.sketch import Curves, curves
from recur.report.values import NOTHING, percent
from recur.wording import measured, quantity

_MOST_CHANNELS = 16
"""Channels of which contributions are drawn and listed: those that contribute most."""

_STRONGEST = 4
_SHOWN_BEFORE = 4
"""Times as many steps as are told are in the picture of a forecast."""


@dataclass(frozen=True, kw_only=True)
class AnswerView:
    """One answer in words."""

    name: str
    """What is said."""
    said: str
    """What the model says of it."""
    came: str
    """What was true."""
    sums: str
    """What the shares add up to, and what they should."""
    strongest: str
    """The steps that contribute most."""
    channels: tuple[tuple[str, str, str, str], ...]
    """Channel, what it contributes, of that by what is known of the future, and at which step it is strongest."""


@dataclass(frozen=True, kw_only=True)
class AnswersView:
    """All answers, and how far they can be believed."""

    answers: tuple[AnswerView, ...]
    """Each."""
    has_ahead: bool
    """Whether something is known of the future."""
    check: Curves | None
    """What deleting costs."""
    verdict: str
    """The same in words."""
    forecasts: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...]
    """By target, what is told of each step: which, the median, the interval, what came."""


def answers_view(seen: Inspection) -> AnswersView | None:
    """Return the answers of a model of series in words and figures; None where there are none."""
    found = seen.answers
    if found is None or seen.series is None:
        return None
    shown = _channels(found)
    check, verdict = check_view(found, "steps", "at other places of the same data, putting the mean in the place of")
    return AnswersView(
        answers=tuple(_view(seen, found, one, shown) for one in found.answers),
        has_ahead=any(value for one in found.answers for value in one.ahead if value),
        check=check,
        verdict=verdict,
        forecasts=tuple(_forecasts(found)),
    )


def answers_data(seen: Inspection) -> dict[str, Any] | None:
    """Return what the page's scripts draw of the answers."""
    found = seen.answers
    if found is None:
        return None
    shown = _channels(found)
    ahead = found.ahead
    return {
        "begin": found.begin,
        "channels": [found.channels[place] for place in shown],
        "answers": [
            {
                "name": one.name,
                "sums": [_rounded(one.by_channel[place]) for place in shown],
                # All channels, also those that have no row of their own, and then each of the others.
                "shares": packed_numbers(np.column_stack([np.nansum(one.shares, 1), one.shares[:, shown]]).T),
            }
            for one in found.answers
        ],
        "ahead": None
        if ahead is None
        else {
            "targets": list(ahead.targets),
            **{
                name: [packed_numbers(column) for column in getattr(ahead, name).T]
                for name in ("median", "low", "high", "came")
            },
        },
    }


def answers_charts(seen: Inspection) -> Iterator[Drawing]:
    """Yield what is told of the steps to come, and what each channel contributes to the first answer, as charts."""
    found = seen.answers
    if found is None or seen.series is None:
        return
    yield from _forecast_charts(seen, found)
    first, shown = found.answers[0], _channels(found)
    yield Bars(
        key="contributions",
        title=f"What contributes to {first.name}",
        summary=f"Over all steps, in {found.unit}; above zero what raises it, below what lowers it.",
        x_label="channel",
        y_label="contribution",
        names=tuple(found.channels[place] for place in shown),
        values=tuple(first.by_channel[place] or 0.0 for place in shown),
    )


def _forecast_charts(seen: Inspection, found: Answers) -> Iterator[Chart]:
    ahead = found.ahead
    if ahead is None or seen.series is None or seen.series.values is None:
        return
    steps = len(ahead.median)
    later = tuple(float(step + 1) for step in range(steps))
    for place, target in enumerate(ahead.targets):
        if target not in seen.series.channels:
            continue
        was = seen.series.values[-_SHOWN_BEFORE * steps :, seen.series.channels.index(target)]
        came = tuple(_or_none(value) for value in ahead.came[:, place])
        lines = [
            Series(
                name="what was, and what came",
                role="valid",
                x=(*(float(step - len(was) + 1) for step in range(len(was))), *later),
                y=(*(_or_none(value) for value in was), *came),
            ),
            Series(name="forecast", role="train", x=later, y=tuple(map(_or_none, ahead.median[:, place]))),
        ]
        is_known = np.isfinite(ahead.low[:, place]) & np.isfinite(ahead.high[:, place])
        bands = (
            (
                Band(
                    name="80% interval",
                    role="train",
                    x=later,
                    low=tuple(ahead.low[:, place].tolist()),
                    high=tuple(ahead.high[:, place].tolist()),
                ),
            )
            if is_known.all()
            else ()
        )
        yield Chart(
            key=f"forecast_{place + 1}",
            title=f"Forecast of {target}",
            y_label=target,
            summary=f"The last steps that were read of {target}, and what is told of those to come.",
            series=tuple(lines),
            bands=bands,
            x_label="steps from the last one that was read",
            x_range=(float(1 - len(was)), float(steps)),
        )


def _or_none(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _channels(found: Answers) -> list[int]:
    """Return the channels that are shown, those first that contribute most to any answer."""
    sizes = [0.0] * len(found.channels)
    for one in found.answers:
        over_steps = np.nansum(np.abs(one.shares), 0)
        for place, ahead in enumerate(one.ahead):
            sizes[place] += float(over_steps[place]) + abs(ahead or 0.0)
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    return order[:_MOST_CHANNELS]


def _view(seen: Inspection, found: Answers, one: Answer, shown: list[int]) -> AnswerView:
    total = np.nansum(one.shares, 1)
    order = [int(step) for step in np.argsort(-np.abs(total), kind="stable")[:_STRONGEST] if total[step]]
    times = seen.series.times if seen.series is not None else ()
    strongest = ", ".join(f"{times[found.begin + step]} ({with_sign(float(total[step]))})" for step in order)
    sums = ""
    if one.answer is not None and one.neutral is not None and one.gap is not None:
        sums = (
            f"Said of a series in which each channel stands still at its mean: {figure(one.neutral)}. What steps and "
            f"channels contribute adds up to {with_sign(one.answer - one.neutral)}, which makes "
            f"{figure(one.answer)}, to within {gap_share(one.gap)} of all contributions."
        )
    rows = []
    for place in shown:
        own = one.shares[:, place]
        at = int(np.nanargmax(np.abs(own))) if np.isfinite(own).any() else 0
        rows.append(
            (
                found.channels[place],
                with_sign(one.by_channel[place]),
                with_sign(one.ahead[place]),
                times[found.begin + at] if np.isfinite(own).any() and own[at] else NOTHING,
            )
        )
    return AnswerView(
        name=one.name,
        said=one.said,
        came=one.came,
        sums=sums,
        strongest=strongest,
        channels=tuple(rows),
    )


def check_view(found: Answers, what: str, deleting: str) -> tuple[Curves | None, str]:
    """Return whether contributions can be believed, as a drawing and in words.

    Args:
        found: What was found.
        what: What contributes, several of them.
        deleting: Where they were deleted and how, before "the 20% of the steps".
    """
    check = found.check
    if check is None:
        return None, f"It was not checked elsewhere{found.unchecked and ': '}{found.unchecked}."
    drawn = curves(
        [
            ("its choice", "own", check.shares, check.chosen),
            ("at random", "other", check.shares, check.random),
        ],
        label=f"How far the answer falls when {what} are deleted, by what contributes most and at random.",
        x_label=f"of the {what} deleted",
        y_label=f"how far the answer falls, in {found.unit}",
        is_percent=True,
        errors=check.errors,
    )
    middle = told_share(check.shares)
    begun = "These contributions can be believed" if check.is_faithful else "Not clearly better than chance"
    return drawn, (
        f"{begun}: {deleting} the "
        f"{percent(check.shares[middle])} of the {what} that raise the answer most lowers it by "
        f"{measured(check.chosen[middle])}, of as many at random by {measured(check.random[middle])}."
    )


def _forecasts(found: Answers) -> Iterator[tuple[str, tuple[tuple[str, str, str, str], ...]]]:
    ahead = found.ahead
    for place, target in enumerate(() if ahead is None else ahead.targets):
        assert ahead is not None
        yield (
            target,
            tuple(
                (
                    quantity(step + 1, "step"),
                    figure(ahead.median[step, place]),
                    f"{figure(ahead.low[step, place])} to {figure(ahead.high[step, place])}",
                    figure(ahead.came[step, place]),
                )
                for step in range(len(ahead.median))
            ),
        )


def gap_share(gap: float) -> str:
    """Return by how much of all contributions a sum misses what it should be."""
    return "0.1%" if gap < 0.001 else f"{gap:.1%}"


def figure(value: float | None) -> str:
    """Return a number for people."""
    return NOTHING if value is None or not np.isfinite(value) else measured(value).replace("-", "\N{MINUS SIGN}")


def with_sign(value: float | None) -> str:
    """Return a contribution, with its sign."""
    if value is None or not np.isfinite(value):
        return NOTHING
    return f"+{measured(value)}" if value > 0 else figure(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
