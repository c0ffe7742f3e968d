"""What a model of series says, and what contributes to it, on the page of an inspection."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recur.report.answers_contents import answers_charts, answers_data, answers_view
from recur.report.chart import Bars, Chart
from recur.report.inspection import read_inspection
from recur.report.inspection_page import inspection_html, write_inspection
from recur.report.values import NOTHING
from recur.run import RunFolder

Inspected = Callable[..., RunFolder]
COUNT, BEGIN, STEPS, AHEAD = 50, 10, 30, 4
CHANNELS = ["load", "wind", "hour"]


def said(content: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Let the model of an inspection say two things, of which the second is unknown."""
    shares = np.zeros((2, STEPS, len(CHANNELS)), dtype=np.float32)
    shares[0, 29] = [5.0, -2.0, 0.25]
    shares[0, 4, 1] = -3.0
    shares[1, :, 2] = 0.5
    tensors["answers.shares"] = shares
    told = {"sum": 1.0, "gap": 0.0004, "ahead": [0.0, 0.75, 0.0]}
    content["answers"] = {
        "asked": "the forecast from 50 h on",
        "unit": "megawatts",
        "notes": ["the run is an ensemble of 3"],
        "begin": BEGIN,
        "channels": CHANNELS,
        "answers": [
            {"name": "load, 1 step ahead", "said": "12.5", "came": "13 came", "answer": 12.5, "neutral": 11.5}
            | {"by_channel": [5.0, -4.25, 0.25]}
            | told,
            {"name": "load, 4 steps ahead", "said": "9", "came": "", "answer": 9.0, "neutral": -6.0}
            | {"by_channel": [0.0, 0.75, 15.0]}
            | told,
        ],
        "check": {
            "shares": [0.1, 0.2, 0.4],
            "chosen": [1.0, 2.5, 3.0],
            "random": [0.1, 0.2, 0.3],
            "standard_error": [0.1, 0.1, 0.1],
            "is_faithful": True,
        },
        "ahead": {
            "targets": ["load"],
            "median": [[12.5], [11.0], [10.0], [9.0]],
            "low": [[11.0], [9.0], [8.0], [6.0]],
            "high": [[14.0], [13.0], [12.0], [11.0]],
            "came": [[13.0], [12.0], [None], [None]],
        },
    }


def series(inspected: Inspected, *changes: Callable[[dict[str, Any], dict[str, Any]], None]) -> RunFolder:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        for one in (said, *changes):
            one(content, tensors)

    return inspected(change, kind="series", count=COUNT)


def test_what_was_written_is_read(inspected: Inspected) -> None:
    found = read_inspection(series(inspected)).answers
    assert found is not None
    assert (found.asked, found.unit, found.begin) == ("the forecast from 50 h on", "megawatts", BEGIN)
    assert found.notes == ("The run is an ensemble of 3",)
    assert found.channels == tuple(CHANNELS)
    first, second = found.answers
    assert (first.said, first.came, first.neutral, first.gap) == ("12.5", "13 came", 11.5, 0.0004)
    assert first.shares[29].tolist() == [5.0, -2.0, 0.25]
    assert second.by_channel == (0.0, 0.75, 15.0)
    assert found.ahead is not None
    np.testing.assert_array_equal(found.ahead.came[:, 0], [13.0, 12.0, np.nan, np.nan])
    assert found.check is not None
    assert found.check.chosen == (1.0, 2.5, 3.0)


def test_words_and_tables(inspected: Inspected) -> None:
    view = answers_view(read_inspection(series(inspected)))
    assert view is not None
    first = view.answers[0]
    # Steps and channels by what they contribute, not by where they stand.
    assert first.strongest == "39 h (+3.25), 14 h (\N{MINUS SIGN}3)"
    assert [row[0] for row in first.channels] == ["hour", "wind", "load"]
    assert first.channels[1] == ("wind", "\N{MINUS SIGN}4.25", "+0.75", "14 h")
    assert "stands still at its mean: 11.5." in first.sums
    assert "adds up to +1, which makes 12.5, to within 0.1% of all" in first.sums
    assert view.has_ahead
    assert "These contributions can be believed" in view.verdict
    assert (
        "of the 20% of the steps that raise the answer most lowers it by 2.5, of as many at random by 0.2."
        in view.verdict
    )
    ((target, rows),) = view.forecasts
    assert target == "load"
    assert rows[1] == ("2 steps", "11", "9 to 13", "12")
    assert rows[3][3] == NOTHING


def test_why_contributions_were_not_checked(inspected: Inspected) -> None:
    def change(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        content["answers"] |= {"check": None, "unchecked": "labels of steps rest on all of their series"}

    view = answers_view(read_inspection(series(inspected, change)))
    assert view is not None
    assert view.verdict == "It was not checked elsewhere: labels of steps rest on all of their series."


def test_what_the_scripts_draw(inspected: Inspected) -> None:
    data = answers_data(read_inspection(series(inspected)))
    assert data is not None
    assert data["channels"] == ["hour", "wind", "load"]
    packed = data["answers"][0]["shares"]
    whole = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), dtype=packed["type"])
    values = packed["low"] + (whole.astype(float) + 32_767) * packed["step"]
    rows = values.reshape(4, STEPS)
    np.testing.assert_allclose(rows[:, 29], [3.25, 0.25, -2.0, 5.0], atol=1e-3)
    np.testing.assert_allclose(rows[:, 4], [-3.0, 0.0, -3.0, 0.0], atol=1e-3)
    assert data["answers"][0]["sums"] == [0.25, -4.25, 5.0]


def test_charts(inspected: Inspected) -> None:
    forecast, bars = answers_charts(read_inspection(series(inspected)))
    assert isinstance(forecast, Chart)
    assert isinstance(bars, Bars)
    assert (forecast.key, bars.key) == ("forecast_1", "contributions")
    assert forecast.series[1].y == (12.5, 11.0, 10.0, 9.0)
    assert forecast.series[0].y[-4:] == (13.0, 12.0, None, None)
    assert forecast.bands[0].high == (14.0, 13.0, 12.0, 11.0)
    assert dict(zip(bars.names, bars.values, strict=True)) == {"hour": 0.25, "wind": -4.25, "load": 5.0}


def test_the_page(inspected: Inspected) -> None:
    run = series(inspected)
    page = re.sub(r"<(script|style)\b.*?</\1>", "", write_inspection(run).read_text(), flags=re.DOTALL)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for wanted in (
        "What it says, and what that rests on",
        "contributes to the forecast from 50 h on, in megawatts",
        "The run is an ensemble of 3.",
        "load, 1 step ahead: 12.5 13 came",
        "How far back its states reach",
    ):
        assert wanted in text
    assert "loss at step" not in text
    assert (run.path / "inspect_contributions.png").stat().st_size > 1000


@pytest.mark.browser
def test_in_a_browser_the_answer_and_the_step_are_chosen(inspected: Inspected, opened: Any, until: Any) -> None:
    with opened(write_inspection(series(inspected))) as page:
        until(page, "'ready' in document.documentElement.dataset")
        says = page.locator("#contributions-say")
        assert says.text_content() == (
            "39 h contributes +3.25 to load, 1 step ahead: load +5.00, wind \N{MINUS SIGN}2.00, hour +0.25."
        )
        page.locator("#contributions").focus()
        page.keyboard.press("Home")
        assert says.text_content().startswith("0 h is not one of the steps")
        assert page.locator("[data-answer='1']").is_hidden()
        page.locator("#answer").select_option("1")
        assert page.locator("[data-answer='1']").is_visible()
        assert page.locator("[data-answer='0']").is_hidden()
        page.keyboard.press("End")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content, tensors: content["answers"].update(channels=[]),
        lambda content, tensors: content["answers"].update(begin=40),
        lambda content, tensors: content["answers"].update(begin="soon"),
        lambda content, tensors: content["answers"].update(answers=[]),
        lambda content, tensors: content.update(answers=3),
        lambda content, tensors: tensors.pop("answers.shares"),
        lambda content, tensors: tensors.update({"answers.shares": np.zeros((2, 5, 9), dtype=np.float32)}),
    ],
)
def test_what_does_not_fit_is_left_out(inspected: Inspected, damage: Any) -> None:
    run = series(inspected, damage)
    seen = read_inspection(run)
    assert seen.answers is None
    assert "What it says" not in inspection_html(seen, run)


def test_what_is_damaged_inside_is_unknown(inspected: Inspected) -> None:
    def damage(content: dict[str, Any], tensors: dict[str, Any]) -> None:
        first = content["answers"]["answers"][0]
        first |= {"by_channel": [None, "two"], "neutral": None, "ahead": 3}
        tensors["answers.shares"][0, 3] = np.nan
        content["answers"]["ahead"]["low"] = [[1.0]]

    seen = read_inspection(series(inspected, damage))
    assert seen.answers is not None
    assert seen.answers.ahead is None
    assert seen.answers.answers[0].by_channel == (None, None, None)
    view = answers_view(seen)
    assert view is not None
    assert view.answers[0].sums == ""
    json.dumps(answers_data(seen), allow_nan=False)
