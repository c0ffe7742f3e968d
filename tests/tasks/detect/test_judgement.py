"""Judging alarms: figures by hand, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from recur.data.series import Frequency, Panel, Part
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.tasks.detect import judgement
from recur.tasks.detect.alarms import highest_lately
from recur.tasks.detect.judgement import evaluate_detector, judge_detector
from recur.tasks.detect.moving_gaussian import NAME as RULE
from recur.tasks.detect.trained import Scored
from recur.tasks.loading import load

Five = Any


def labelled(panel: Panel, rows: list[int]) -> Panel:
    labels = np.zeros(len(panel.rows), np.float32)
    labels[rows] = 1
    return replace(
        panel, rows=replace(panel.rows, labels=labels), schema=replace(panel.schema, label="is_anomaly", classes=None)
    )


def test_a_finished_run_has_its_judgement(run: Path, five: Five) -> None:
    found = RunFolder.open(run).read_json("detect_evaluation.json")
    trained = load(run)
    # The planted error lies in the test part, and so do the missing steps; the validation part is read before it.
    assert found["part"] == "test"
    assert found["steps"] == 300 + 180 - 4
    assert found["series"] == 2
    assert found["threshold"] == trained.threshold
    assert not found["has_truth"]
    assert found["figures"]["model"]["alarms"] >= 1
    assert "by_step" not in found["figures"]["model"]
    assert found["verdict"]["is_better"] is None
    rate, alarms = found["figures"]["model"]["rate"], found["figures"]["model"]["alarms"]
    assert found["verdict"]["text"] == (
        f"{100 * rate:.4g}% of the steps raise an alarm, in {alarms} alarm{'s' * (alarms > 1)}; stated were 0.1% of "
        "ordinary ones, 0.476 of 476 steps: too few alarms to tell this from noise. Without labels nobody can say "
        "which are right."
    )
    assert found["verdict"]["p"] == pytest.approx(scipy.stats.poisson.sf(alarms - 1, 0.476), rel=1e-9)
    assert {one["channel"]: one["alarms"] for one in found["by_channel"]}["three"] >= 1
    assert found["examples"][0]["series"] == "a"
    assert found["examples"][0]["time"] == five.place
    assert found["examples"][0]["channel"] == "three"
    assert any("no column says which steps are anomalies" in note for note in found["notes"])
    scores = found["tail"]["scores"]
    assert scores == sorted(scores, reverse=True)
    assert found["tail"]["found"] == sorted(found["tail"]["found"])


def test_what_flatters_is_said(run: Path, five: Five) -> None:
    trained = load(run)
    split = trained.setup.own_data(five.planted())
    for part, how in ((split.train, "it was trained on"), (split.valid, "its weights were chosen by")):
        notes = judge_detector(trained, part, is_own=True)["notes"]
        assert f"the figures flatter the detector: {how} this part, and its threshold was fitted to it." in notes
    others = (judge_detector(trained, split.test, is_own=True), judge_detector(trained, Part.whole(five.planted())))
    assert not any("flatter" in note for found in others for note in found["notes"])


def test_figures_by_hand(run: Path, five: Five, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load(run)
    panel = labelled(five.panel_of(five.days()), [200, 201, 202, 500, 900, 901])
    score = np.zeros(len(panel.rows))
    score[:100] = np.nan
    # Two of three steps of the first event, none of the second, a step beside the third, and one far from all.
    score[[201, 202, 902, 1700]] = 100.0
    highest = highest_lately(score, panel.series_of_rows, trained.quiet_of(panel))
    scored = Scored(score=score, channels=np.tile(score[:, None] / 5, (1, 5)), highest=highest)
    monkeypatch.setattr(trained, "scored", lambda panel, is_fresh=False: scored)
    rule = np.zeros(len(score))
    rule[1000:1200] = np.linspace(3, 4, 200)
    rule[500] = 1e9
    monkeypatch.setattr(judgement, "moving_gaussian", lambda panel: rule)
    found = judge_detector(trained, Part.whole(panel))
    model = found["figures"]["model"]
    assert found["has_truth"]
    assert (model["alarm_steps"], model["alarms"], model["events"], model["found"]) == (4, 3, 3, 1)
    assert model["by_step"] == {"precision": 0.5, "recall": 2 / 6, "f1": pytest.approx(0.4)}
    assert model["by_event"] == {
        "precision": pytest.approx(1 / 3),
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(1 / 3),
    }
    assert model["rate"] == pytest.approx(2 / (2400 - 100 - 6))
    assert found["figures"][RULE]["found"] == 1
    assert found["figures"][RULE]["by_event"]["recall"] == pytest.approx(1 / 3)
    assert found["examples"][0]["anomalies"]
    # Of the rule one event, and an alarm at the end of its ramp.
    assert found["verdict"]["is_better"] is False
    assert found["verdict"]["text"] == (
        "Is NO better than the moving Gaussian: it finds 1 of 3 events, F1 by event 0.33; the moving Gaussian 1, F1 "
        "0.40: too few events and alarms in which they differ to tell this from noise."
    )


@pytest.mark.parametrize(
    ("planted", "beats", "start", "doubt"),
    [
        (12, 12, "Beats the moving Gaussian: it finds 12 of 12", "more than noise, p < 0.001"),
        (12, 4, "It is NOT shown that the detector beats the moving Gaussian: it finds 4 of 12", "too few events and"),
    ],
)
def test_a_rule_is_beaten_where_chance_would_not_do_it(
    run: Path, five: Five, monkeypatch: pytest.MonkeyPatch, planted: int, beats: int, start: str, doubt: str
) -> None:
    trained = load(run)
    places = [150 + 110 * place for place in range(planted)]
    panel = labelled(five.panel_of(five.days()), places)
    score = np.zeros(len(panel.rows))
    score[places[:beats]] = 100.0
    highest = highest_lately(score, panel.series_of_rows, trained.quiet_of(panel))
    scored = Scored(score=score, channels=np.tile(score[:, None] / 5, (1, 5)), highest=highest)
    monkeypatch.setattr(trained, "scored", lambda panel, is_fresh=False: scored)
    monkeypatch.setattr(judgement, "moving_gaussian", lambda panel: np.zeros(len(score)))
    found = judge_detector(trained, Part.whole(panel))["verdict"]
    assert found["is_better"] is (beats == 12)
    assert found["text"].startswith(start)
    assert doubt in found["text"]


def test_alarms_where_nothing_is_strange(run: Path, five: Five, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels without an anomaly, and none, with many alarms and without any."""
    trained = load(run)
    for places, panel, text in (
        (
            [],
            five.panel_of(five.days()),
            "0% of the steps raise an alarm, in 0 alarms; stated were 0.1% of ordinary ones.",
        ),
        (
            range(100, 1300, 150),
            labelled(five.panel_of(five.days()), []),
            "0.3333% of the ordinary steps raise an alarm, in 8 alarms; stated were 0.1%, 2.4 of 2,400 steps: more "
            "than noise, p = 0.0033; either much is strange here, or the series are not what they were in training. "
            "By its labels none of them is right.",
        ),
    ):
        score = np.zeros(len(panel.rows))
        score[list(places)] = 100.0
        highest = highest_lately(score, panel.series_of_rows, trained.quiet_of(panel))
        scored = Scored(score=score, channels=np.tile(score[:, None] / 5, (1, 5)), highest=highest)
        monkeypatch.setattr(trained, "scored", lambda panel, is_fresh=False, scored=scored: scored)
        assert judge_detector(trained, Part.whole(panel))["verdict"]["text"] == text


def test_alarms_at_rows_without_a_label_are_not_said_to_be_wrong(
    run: Path, five: Five, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load(run)
    panel = labelled(five.panel_of(five.days()), [])
    known = np.arange(len(panel.rows)) % 1200 < 800
    panel = replace(panel, rows=replace(panel.rows, labels=np.where(known, 0, np.nan).astype(np.float32)))
    score = np.zeros(len(panel.rows))
    score[[900, 1000, 2300]] = 100.0
    highest = highest_lately(score, panel.series_of_rows, trained.quiet_of(panel))
    scored = Scored(score=score, channels=np.tile(score[:, None] / 5, (1, 5)), highest=highest)
    monkeypatch.setattr(trained, "scored", lambda panel, is_fresh=False: scored)
    found = judge_detector(trained, Part.whole(panel))
    assert found["figures"]["model"]["alarms"] == 3
    assert found["verdict"]["text"] == "0% of the ordinary steps raise an alarm, in 0 alarms; stated were 0.1%."
    assert found["verdict"]["p"] == 1


def test_where_no_alarm_came_it_is_said_what_would_bring_some(
    run: Path, five: Five, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load(run)
    assert trained.ordinary is not None
    lower, threshold = (float(trained.ordinary.tail.threshold(rate)) for rate in (0.01, 0.001))
    values = {100: lower - 0.01, 700: threshold - 0.01, 1200: lower + 0.01, 1300: threshold + 1}
    notes = {}
    for name, places in (("none", [100, 700, 1200]), ("one", list(values)), ("found", list(values))):
        score = np.zeros(2400)
        score[places] = [values[place] for place in places]
        panel = labelled(five.panel_of(five.days()), {"none": [], "one": [500, 900, 1300], "found": [1300, 1500]}[name])
        highest = highest_lately(score, panel.series_of_rows, trained.quiet_of(panel))
        scored = Scored(score=score, channels=np.tile(score[:, None] / 5, (1, 5)), highest=highest)
        monkeypatch.setattr(trained, "scored", lambda panel, is_fresh=False, scored=scored: scored)
        notes[name] = [note for note in judge_detector(trained, Part.whole(panel))["notes"] if "asks for more" in note]
    # Four digits, as `measured` writes them.
    assert notes["none"] == [
        f"no alarm came: the highest scores are {threshold - 0.01:.4g}, {lower + 0.01:.4g} and {lower - 0.01:.4g}, the "
        f"threshold is {threshold:.4g}; false_alarms=0.01 asks for more: it would put the threshold at {lower:.4g}, "
        "with 2 alarms here."
    ]
    assert notes["one"][0].startswith("fewer than half of the events were found: the highest scores are")
    assert notes["one"][0].endswith("with 3 alarms here.")
    assert notes["found"] == []
    trained.options = replace(trained.options, false_alarms=0.01)
    score[:] = 0
    assert not any("asks for more" in note for note in judge_detector(trained, Part.whole(panel))["notes"])


def test_the_rule_is_not_weakened_by_the_anomalies_that_it_is_judged_by(run: Path, five: Five) -> None:
    places = list(range(200, 1400, 60))
    values = five.days(4)
    for place in places:
        values[place : place + 5, 1] += 12.0
    events = [row for place in places for row in range(place, place + 5)]
    found = judge_detector(load(run), Part.whole(labelled(five.panel_of(values), events)))["figures"][RULE]
    # 4 % of the steps are more than seven deviations off; one in a thousand of the ordinary ones is 3.5 off.
    assert found["found"] == found["events"] == len(places)
    assert found["rate"] < 0.01


def test_days_are_counted_where_times_are_dates(run: Path, five: Five) -> None:
    trained = load(run)
    panel = five.planted()
    assert judge_detector(trained, Part.whole(panel))["figures"]["model"]["alarms_a_day"] is None
    times = np.datetime64("2024-01-01", "s") + 3600 * panel.times
    dated = replace(panel, rows=replace(panel.rows, times=times), frequencies=(Frequency(1, "h"),) * 2)
    found = judge_detector(trained, Part.whole(dated))
    figures = found["figures"]["model"]
    # Both series but for their last steps, and the few at their beginning that have no score, an hour each.
    assert figures["alarms_a_day"] == pytest.approx(figures["alarms"] / (2400 / 24), rel=0.03)
    assert found["examples"][0]["time"] == "2024-02-28T08:00:00"


def test_other_data_are_judged_too(run: Path, five: Five) -> None:
    found = evaluate_detector(run, five.planted())
    assert found["part"] == "given"
    # Of the first step of a series nothing was told before.
    assert found["steps"] == 2400 - 4 - (2 if load(run).options.way == "forecast" else 0)
    assert json.dumps(found, allow_nan=False)
    # The run's own data had no label; nothing is learned from it, so that others may be judged by theirs.
    assert load(run).setup.schema.label is None
    again = evaluate_detector(run, labelled(five.planted(), [five.place]))
    assert again["has_truth"]
    assert again["figures"]["model"]["by_event"]["recall"] == 1.0
    assert not any("no column says" in note for note in again["notes"])
    with pytest.raises(RunError, match="the run's own data were not in a file"):
        evaluate_detector(run)
    with pytest.raises(OptionError, match=r"^label: is of other data, for the run's own have .*; give data\.$"):
        evaluate_detector(run, label="fault")
    with pytest.raises(OptionError, match="part: expected 'train', 'valid' or 'test', got 'all'"):
        evaluate_detector(run, part="all")


def test_nothing_to_judge(run: Path, five: Five) -> None:
    trained = load(run)
    panel = five.panel_of(five.days(0, (20,)), (20,), ("new",))
    with pytest.raises(DataError, match="no step of the part 'all' can be scored: a series that is not known needs"):
        judge_detector(trained, Part.whole(panel, name="all"))
