"""What the report shows of texts that were written from labels or numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recur.report import figures, write_report
from recur.report.writing import writing_of
from recur.run import FORMAT, RunFolder

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--‮\x00"

JUDGED: dict[str, Any] = {
    "task": "write",
    "part": "test",
    "texts": 40,
    "tokens": 200,
    "told": "language",
    "verdict": {"text": "1.100 nats a character on 40 texts of the test part.", "is_better": True},
    "figures": {"nats_per_character": 1.1, "bits_per_character": 1.587, "perplexity": 3.0},
    "not_told": {"nats_per_character": 1.3, "bits_per_character": 1.876, "perplexity": 3.67, "texts": 40},
    "wrong": {"nats_per_character": 2.4, "bits_per_character": 3.462, "perplexity": 11.0},
    "baselines": [
        {"name": "class_trigrams", "title": "trigrams of each class", "figures": {"nats_per_character": 1.2}},
    ],
    "classes": [
        {
            "name": "Ava",
            "learned": 100,
            "texts": 22,
            "nats_per_character": 1.0,
            "not_told": 1.2,
            "told": 0.9,
            "samples": ["Pati", "Kata"],
        },
        {"name": "Bel", "learned": 90, "texts": 0},
    ],
    "written": {
        "texts": 40,
        "distinct": 0.95,
        "distinct_held_out": 1.0,
        "length": 5.5,
        "length_held_out": 5.25,
        "broken_off": 0.025,
        "new": 0.75,
        "recognised": 0.8,
        "recognised_held_out": 0.85,
    },
    "samples": [{"numbers": [3.0], "text": "Mo", "true": "Nu"}],
    "worst": [{"text": "Xyz", "place": "a.csv, row 3", "labels": ["Ava"], "numbers": [2.5], "nats_per_character": 4.0}],
    "notes": ["the figures flatter the model."],
}


@pytest.fixture
def judged() -> dict[str, Any]:
    return copy.deepcopy(JUDGED)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[dict[str, Any]], RunFolder]:
    def made(judged: dict[str, Any]) -> RunFolder:
        run = RunFolder.create(tmp_path / "run", overwrite=True)
        model = {"cell": "gru", "num_layers": 1, "hidden_size": 64}
        run.write_json("config.json", {"format": FORMAT, "task": "write", "model": model})
        run.write_json("schema.json", {"means": [1.0, 2.0]})
        (run.path / "metrics.jsonl").write_text(json.dumps({"kind": "train", "step": 10, "loss": 1.0}) + "\n")
        (run.path / "write_evaluation.json").write_text(json.dumps(judged))
        (run.path / "model.safetensors").touch()
        return run

    return made


def test_the_page(make_run: Any, judged: dict[str, Any], said: Any) -> None:
    run = make_run(judged)
    page = write_report(run).read_text(encoding="utf-8")
    text = said(page)
    for words in (
        "How well it knows what it is told",
        judged["verdict"]["text"],
        "told language of another text",
        "Of 40 texts that it wrote, 75.0% do not stand in the training part.",
        "95.0% of them differ, of as many held-out texts 100.0%.",
        "Trigrams of each class take 80.0% of them for the class",
        "2.5% came to no end and were broken off.",
        "Pati \N{MIDDLE DOT} Kata",
        "The figures flatter the model.",
        "a.csv, row 3",
        "--vector=1,2 --samples 10",
    ):
        assert words in text, words
    assert "recur inspect" not in text
    assert set(figures(run)) == {"loss"}


def test_bars_and_tables(judged: dict[str, Any]) -> None:
    found = writing_of(judged)
    assert found is not None
    assert [(bar.name, bar.value, bar.is_model) for bar in found.bars] == [
        ("this model", "1.100", True),
        ("trigrams of each class", "1.200", False),
        ("not told language", "1.300", False),
        ("told language of another text", "2.400", False),
    ]
    assert found.classes.rows[0] == ("Ava", "100", "22", "1.000", "1.200", "90.0%")
    assert found.samples == (("Ava", ("Pati", "Kata")), ("3", ("Mo",)))
    assert found.worst.rows == (("Xyz", "Ava, 2.5", "4.000", "a.csv, row 3"),)
    assert found.charts == ()


def test_nothing_before_the_judgement() -> None:
    assert writing_of({}) is None
    assert writing_of({"figures": {"nats_per_character": None}}) is None


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [None], {"a": []}, float("inf"), [[1]]])
def test_damage_is_left_out(judged: dict[str, Any], value: Any) -> None:
    for name in judged:
        if name != "figures":
            assert writing_of({**judged, name: value}) is not None
    for name in ("classes", "samples", "worst", "baselines"):
        for key in judged[name][0]:
            entry = {**judged[name][0], key: value}
            assert writing_of({**judged, name: [entry, value]}) is not None


def test_what_users_wrote_does_nothing_to_the_page(make_run: Any, judged: dict[str, Any]) -> None:
    for entry in (judged["classes"][0], judged["worst"][0], judged["samples"][0], judged["baselines"][0]):
        for key, value in entry.items():
            if isinstance(value, str):
                entry[key] = EVIL
    judged["classes"][0]["samples"] = [EVIL]
    judged |= {"told": EVIL, "notes": [EVIL]}
    page = write_report(make_run(judged)).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "49" not in page.partition("<main")[2].partition("</main>")[0]
