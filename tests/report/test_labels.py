"""What the report shows of labels that were told of series."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recur.report import figures, write_report
from recur.report.chart import Chart, Matrix
from recur.report.labels import labels_of
from recur.report.labels_charts import label_charts
from recur.report.values import NOTHING
from recur.run import FORMAT, RunFolder

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--‮\x00"


def classes(*, is_better: bool = True) -> dict[str, Any]:
    """What `judge_labels` returns of a classifier."""
    own = {"precision": 0.9, "recall": 0.8, "f1": 0.85}
    table = {
        "confidence": [0.6, None, 0.95],
        "accuracy": [0.5, None, 0.9],
        "weight": [4, 0, 16],
        "expected_error": 0.06,
    }
    return {
        "task": "classify",
        "part": "test",
        "label": "gesture",
        "of": "series",
        "series": 20,
        "classes": ["left", "right"],
        "verdict": {
            "text": "85.0% of 20 labels of the test part right, 50.0% by always telling 'left'.",
            "is_better": is_better,
        },
        "figures": {
            "num_told": 20,
            "accuracy": 0.85,
            "balanced_accuracy": 0.85,
            "macro_f1": 0.85,
            "log_loss": 0.4,
            "calibration_error": 0.06,
            "most_frequent": "left",
            "baseline_accuracy": 0.5,
            "baseline_log_loss": 0.69,
            "classes": [
                {"name": "left", "support": 10, **own},
                {"name": "right", "support": 10, **own, "recall": None},
            ],
            "confusion": [[9, 1], [2, 8]],
        },
        "reliability": {"raw": table, "calibrated": {**table, "expected_error": 0.02}},
        "worst": [
            {"series": "c7", "time": "2024-01-01T03:00:00", "true": "left", "told": "right", "probability": 0.99}
        ],
        "notes": ["two labels are missing."],
    }


def numbers() -> dict[str, Any]:
    """What `judge_labels` returns of a teller of lives."""
    return {
        "task": "regress",
        "part": "test",
        "label": "remaining_life",
        "of": "steps",
        "series": 3,
        "verdict": {"text": "RMSE 12 over 60 labels of the test part, against 40.", "is_better": True},
        "figures": {
            "num_told": 60,
            "rmse": 12.0,
            "baseline_rmse": 40.0,
            "mae": 9.0,
            "bias": -1.0,
            "explained": 0.9,
            "nasa": 250.0,
            "bounds_broken": 0.25,
        },
        "points": {"true": [9.0, 1.0, 5.0], "told": [8.0, 2.0, 5.5]},
        "by_true": {"true": [1.0, 9.0], "mae": [1.0, 3.0], "bias": [1.0, -3.0], "count": [30, 30]},
        "intervals": {"shares": [0.5, 0.9], "coverage": [0.4, None], "width": [10.0, None]},
        "worst": [{"series": "e1", "time": 4.0, "true": 9.0, "told": 1.0, "error": -8.0}],
        "runs": [
            {"kind": "worst", "series": "e1", "rmse": 8.0, "times": [0, 1, 2], "true": [2, 1, 0], "told": [3, 1, 1]}
        ],
        "notes": [],
    }


@pytest.fixture
def make_label_run(tmp_path: Path) -> Callable[[dict[str, Any]], RunFolder]:
    def made(judged: dict[str, Any]) -> RunFolder:
        run = RunFolder.create(tmp_path / "run", overwrite=True)
        config = {
            "format": FORMAT,
            "task": judged["task"],
            "model": {"cell": "gru", "num_layers": 1, "hidden_size": 64},
        }
        run.write_json("config.json", config)
        (run.path / "metrics.jsonl").write_text(json.dumps({"kind": "train", "step": 10, "loss": 1.0}) + "\n")
        # As it is: what is not Unicode cannot be written otherwise.
        (run.path / "label_evaluation.json").write_text(json.dumps(judged))
        (run.path / "model.safetensors").touch()
        return run

    return made


def test_words_that_spoke_for_an_error(make_label_run: Any, said: Any) -> None:
    one = {"series": "so tasty", "true": "music", "told": "food", "probability": 0.9, "for": "food"}
    several = one | {"told": "food, music", "words": [["tasty", 2.5], ["so", 0.5], ["x"], [3, None]]}
    judged = classes() | {"of": "texts", "worst": [one | {"words": [[EVIL, 1]]}, several, one]}
    found = labels_of(judged)
    assert found is not None
    assert found.worst.columns == ("text", "true", "told", "probability", "spoke for it, nats")
    assert [row[-1] for row in found.worst.rows[1:]] == ["food: tasty +2.5, so +0.5", NOTHING]
    page = write_report(make_label_run(judged)).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "food: tasty +2.5, so +0.5" in said(page)
    plain = labels_of(classes())
    assert plain is not None
    assert plain.worst.columns == ("series", "time", "true", "told", "probability")


def test_the_page_of_a_classifier(make_label_run: Any, said: Any) -> None:
    run = make_label_run(classes())
    page = write_report(run).read_text(encoding="utf-8")
    text = said(page)
    assert "85.0% of 20 labels of the test part right, 50.0% by always telling" in text
    assert "this model 85.0% always left 50.0%" in text
    assert "accuracy 85.0% 50.0%" in text
    assert "Most often confused: right, taken for left 2 times." in text
    assert "left 10 80.0% 90.0% 85.0%" in text
    assert "c7 2024-01-01 03:00:00 left right 99.0%" in text
    assert "Judged on 20 series in the test part." in text
    assert "Two labels are missing." in text
    assert "As the network says, off by 6.0% in the mean; calibrated, off by 2.0% in the mean." in text
    assert "recur predict" in text
    assert "nats per" not in text
    assert "Not judged" not in text
    drawn = figures(run)
    assert {"label_confusion", "label_reliability"} <= set(drawn)
    assert [list(row) for row in drawn["label_confusion"].data[0].z] == [[0.9, 0.1], [0.2, 0.8]]
    assert (run.path / "label_confusion.png").stat().st_size > 1000


def test_the_page_of_a_regressor(make_label_run: Any, said: Any) -> None:
    text = said(write_report(make_label_run(numbers())).read_text(encoding="utf-8"))
    assert "this model 12 always the mean 40" in text
    assert "NASA's score 250" in text
    assert "bounds that were broken 25.0%" in text
    assert "50% interval holds 40.0%" in text
    assert "90% interval" not in text
    assert "e1 4 9 1 -8" in text
    assert "Judged on 3 series, 60 labels of their steps in the test part." in text
    assert "The mean absolute error is largest, 3, around 9." in text


def test_a_model_that_does_not_beat_the_rule_is_a_warning(make_label_run: Any) -> None:
    page = write_report(make_label_run(classes(is_better=False))).read_text(encoding="utf-8")
    assert '<p class="warning" role="note">85.0%' in page
    found = labels_of(classes(is_better=False))
    assert found is not None
    assert not found.is_better


def test_the_rules_are_those_of_the_bars() -> None:
    """A linear model is named where there is one."""
    found = labels_of(classes())
    assert found is not None
    assert found.caption.endswith("told right, beside always telling the most frequent class.")
    assert found.figures.columns == ("", "this model", "always the most frequent")
    assert found.figures.rows[0] == ("accuracy", "85.0%", "50.0%")
    judged = classes()
    judged["figures"]["rule"] = {"accuracy": 0.7, "p": 0.02}
    found = labels_of(judged)
    assert found is not None
    assert found.caption.endswith(
        "told right, beside a linear model of n-grams and always telling the most frequent class."
    )
    assert [bar.name for bar in found.bars] == ["this model", "linear, n-grams", "always left"]
    assert found.figures.columns == ("", "this model", "linear, n-grams", "always the most frequent")
    assert found.figures.rows[0] == ("accuracy", "85.0%", "70.0%", "50.0%")
    assert found.figures.rows[3] == ("log loss, nats", "0.4", NOTHING, "0.69")
    assert {len(row) for row in found.figures.rows} == {4}
    found = labels_of(numbers())
    assert found is not None
    assert found.figures.columns == ("", "this model", "always the mean")


def test_charts() -> None:
    found = label_charts(numbers())
    assert [chart.key for chart in (*found["told"], *found["errors"], *found["runs"], *found["sureness"])] == [
        "label_told",
        "label_by_true",
        "label_run_1",
        "label_coverage",
    ]
    told = found["told"][0]
    assert isinstance(told, Chart)
    # In the order of the true ones, with the line of right ones behind.
    assert (told.series[1].x, told.series[1].y, told.series[1].is_scattered) == ((1.0, 5.0, 9.0), (2.0, 5.5, 8.0), True)
    assert told.series[0].x == told.series[0].y == (1.0, 9.0)
    (matrix,) = label_charts(classes())["told"]
    assert isinstance(matrix, Matrix)
    assert matrix.shares.tolist() == [[0.9, 0.1], [0.2, 0.8]]


@pytest.mark.parametrize("judged", [classes(), numbers()])
def test_damaged_values_are_left_out(judged: dict[str, Any]) -> None:
    whole = labels_of(judged)
    assert whole is not None
    for name in judged:
        for value in (None, [], {}, "?", 7, [[1]], {"classes": [3]}):
            found = labels_of({**judged, name: value})
            if name == "figures":
                assert found is None
            else:
                assert found is not None
                assert found.figures.rows[0] == whole.figures.rows[0]
    assert labels_of({}) is None


def test_names_are_shown_as_they_are(make_label_run: Any) -> None:
    judged = classes()
    judged["classes"] = [EVIL, "right"]
    judged["figures"]["most_frequent"] = judged["figures"]["classes"][0]["name"] = EVIL
    judged["worst"][0]["series"] = judged["verdict"]["text"] = EVIL
    page = write_report(make_label_run(judged)).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script>alert" not in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_matrix_fits_every_screen_in_both_themes(opened: Any, make_label_run: Any, width: int) -> None:
    judged = classes()
    judged["classes"] = ["M" * 60, "right"]
    path = write_report(make_label_run(judged))
    with opened(path, viewport={"width": width, "height": 800}, color_scheme="dark") as page:
        scale = "JSON.stringify(document.getElementById('chart-label_confusion').data[0].colorscale)"
        in_dark = page.evaluate(scale)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.emulate_media(color_scheme="light")
        page.wait_for_function(f"dark => {scale} !== dark", arg=in_dark)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def tags(*, has_entities: bool = True) -> dict[str, Any]:
    """What `judge_sentences` returns of a tagger."""
    own = {"precision": 0.9, "recall": 0.8, "f1": 0.85}
    return {
        "task": "tag",
        "part": "test",
        "of": "tokens",
        "series": 20,
        "classes": ["LOC", "O"],
        "verdict": {"text": "Entity F1 85.0% on 20 sentences.", "is_better": True},
        "figures": {
            "num_tokens": 300,
            "has_entities": has_entities,
            "token_accuracy": 0.97,
            "rule_accuracy": 0.9,
            "micro_f1": 0.85,
            "rule_micro_f1": 0.4,
            "macro_f1": 0.8,
            "rule_macro_f1": 0.3,
            "precision": 0.9,
            "recall": 0.8,
            "exact": 0.7,
            "log_loss": 0.1,
            "classes": [{"name": "LOC", "support": 10, **own}],
            "confusion": [[8, 2], [1, 289]],
        },
        "worst": [
            {"series": f"in {EVIL} on", "true": "LOC: Rome", "told": "", "probability": 0.99, "place": "a, line 2"}
        ],
        "notes": [],
    }


def test_tags_are_shown() -> None:
    found = labels_of(tags())
    assert found is not None
    assert found.measured_on == "Judged on 300 tokens of 20 sentences in the test part."
    assert found.caption.startswith("F1 of entities, which are right where kind, beginning and end are, on the test")
    assert [(bar.name, bar.value, bar.is_model) for bar in found.bars] == [
        ("this model", "85.0%", True),
        ("most frequent of each word", "40.0%", False),
    ]
    assert found.figures.rows[0] == ("entity F1", "85.0%", "40.0%")
    assert found.classes.columns[:2] == ("entity", "number")
    assert found.worst.columns == ("sentence", "true", "told", "probability")
    assert "\x00" not in found.worst.rows[0][0]
    assert [one.title for one in found.charts] == ["Confusion matrix"]
    plain = labels_of(tags(has_entities=False))
    assert plain is not None
    assert plain.caption.startswith("Accuracy, the share of tokens whose tag is right, on the test part")
    assert plain.figures.rows[0] == ("token accuracy", "97.0%", "90.0%")
    assert plain.classes.columns[:2] == ("tag", "tokens")
