"""Classifiers of texts in use: what they tell of new texts, how they are judged, kept and calibrated."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from rich.console import Console
from tests.tasks.texts.conftest import CUES, SMALL, Made, drawn

import recur
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.tasks.text_source import parts_of
from recur.tasks.texts.evaluation import evaluate_texts
from recur.tasks.texts.outcomes import TextOutcomes
from recur.tasks.texts.rule import load_rule, rule_told
from recur.tasks.texts.setup import TextLabelSetup
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.train.options import TextTrainingOptions
from recur.train.texts import train_text_classifier


@pytest.mark.parametrize("is_multi", [False, True])
def test_new_texts_are_told_right(made: Made, is_multi: bool) -> None:
    trained = recur.load(made(is_multi) / "run")
    texts, labels = drawn(60, seed=9, is_multi=is_multi)
    found = trained.predict(texts)
    assert found["text"].to_list() == texts
    if is_multi:
        told: list[Any] = [", ".join(row) for row in found["kind"].to_list()]
        expected = labels
    else:
        told, expected = found["kind"].to_list(), labels
        best = found.select(f"p({name})" for name in CUES).max_horizontal()
        torch.testing.assert_close(found["probability"].to_torch(), best.to_torch())
    assert sum(one == other for one, other in zip(told, expected, strict=True)) >= 55
    assert found.columns[-3:] == ["p(food)", "p(music)", "p(sport)"]


def test_what_is_told_does_not_depend_on_what_is_beside(made: Made) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    texts = [*drawn(20, seed=4)[0], "so", "!", "the " * 300]
    whole = trained.predict(texts)
    one = pl.concat([trained.predict([text]) for text in texts])
    for name in ("p(food)", "p(music)", "p(sport)"):
        torch.testing.assert_close(whole[name].to_torch(), one[name].to_torch(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("is_multi", [False, True])
def test_judging_again_says_the_same(made: Made, is_multi: bool) -> None:
    run = made(is_multi) / "run"
    written = RunFolder.open(run).read_json("label_evaluation.json")
    again = json.loads(json.dumps(evaluate_texts(run)))
    assert again == {name: value for name, value in written.items() if name != "weights"}
    flattering = evaluate_texts(run, part="valid")
    assert flattering["notes"][0].startswith("the figures flatter the model: its weights were chosen by this part")


def test_figures_are_counted_right(made: Made, tmp_path: Path) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    texts, labels = drawn(40, seed=7)
    labels[0] = "music" if labels[0] == "food" else "food"
    path = tmp_path / "other.tsv"
    path.write_text("review\tkind\n" + "".join(f"{t}\t{k}\n" for t, k in zip(texts, labels, strict=True)))
    found = evaluate_texts(made(False) / "run", path)
    told = trained.predict(path)["kind"].to_list()
    right = sum(one == other for one, other in zip(told, labels, strict=True))
    assert found["figures"]["accuracy"] == pytest.approx(right / 40)
    assert found["worst"][0]["series"] == texts[0]
    assert found["worst"][0]["place"] == f"{path}, row 1"
    assert found["worst"][0]["true"] == labels[0]
    rule = load_rule(RunFolder.open(made(False) / "run"), trained.setup)
    assert rule is not None
    examples = trained.setup.read(path)
    best = rule_told(rule, trained.setup, examples).long().argmax(1)
    names = [trained.classes[k] for k in best.tolist()]
    share = sum(one == other for one, other in zip(names, labels, strict=True)) / 40
    assert found["figures"]["rule"]["accuracy"] == pytest.approx(share)
    assert "by a linear model of n-grams" in found["verdict"]["text"]


def test_several_classes_are_judged_beside_the_rule(made: Made) -> None:
    found = evaluate_texts(made(True) / "run")
    figures = found["figures"]
    assert figures["macro_f1"] > 0.9
    assert figures["baseline_macro_f1"] is not None
    assert [one["name"] for one in figures["classes"]] == list(CUES)
    assert f"acro-F1 {figures['macro_f1']:.3f} on 80 texts of the test part" in found["verdict"]["text"]


@pytest.mark.parametrize("is_multi", [False, True])
def test_saved_and_loaded_it_tells_the_same(made: Made, tmp_path: Path, is_multi: bool) -> None:
    trained = TrainedTextClassifier.load(made(is_multi) / "run")
    assert trained.is_calibrated
    trained.save(tmp_path / "copy")
    texts = drawn(10, seed=3)[0]
    again = TrainedTextClassifier.load(tmp_path / "copy")
    assert again.predict(texts).equals(trained.predict(texts))
    assert torch.equal(again.thresholds, trained.thresholds)


@pytest.mark.parametrize("is_multi", [False, True])
def test_few_outcomes_that_are_all_right_make_no_certainty(
    made: Made, is_multi: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = TrainedTextClassifier.load(made(is_multi) / "run")
    random = torch.Generator().manual_seed(0)
    true = torch.rand(30, 3, generator=random) < 0.4 if is_multi else torch.arange(30) % 3
    logits = torch.where(true if is_multi else torch.eye(3)[true] > 0, 3.0, -3.0)
    target = true.float() if is_multi else true
    outcomes = TextOutcomes(logits=logits, target=target, weight=torch.ones(30))
    monkeypatch.setattr(trained, "outcomes", lambda examples: outcomes)
    trained.calibrate(trained.setup.read(["they are not looked at"], has_labels=False))
    # As often as is expected of the next one, by all decisions (Platt 1999): 30 of texts, or 90.
    wrong = 1 / (92 if is_multi else 32)
    chance = trained.probabilities(logits)
    told = chance.max() if is_multi else chance.amax(1).mean()
    assert float(told) == pytest.approx(1 - wrong, abs=1e-3)


@pytest.mark.parametrize("is_multi", [False, True])
def test_a_linear_model_speaks_by_what_held_out_texts_ask_for(
    made: Made, is_multi: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained = TrainedTextClassifier.load(made(is_multi) / "run")
    rule, texts = trained.rule, trained.setup.read(drawn(60, seed=4, is_multi=is_multi))
    assert rule is not None
    true = rule.evidence(trained.setup.encoded(texts.texts))
    # Where the network says nothing the other one has to speak, and where it knows all the other one need not.
    for sure, least, most in ((0.0, 0.1, 0.9), (30.0, 0.0, 0.1)):
        target, weight = map(torch.from_numpy, trained.setup.targets(texts))
        says = sure * (target if is_multi else torch.eye(3)[target]) - sure / 2
        told = TextOutcomes(logits=says, target=target, weight=weight)
        monkeypatch.setattr(trained, "outcomes", lambda examples, told=told: told)
        trained.calibrate(texts, rule)
        assert least <= trained.share <= most
        assert (trained.rule is rule) == (trained.share > 0)
        joined = trained.joined(says, true)
        if not is_multi:
            says, true = says.log_softmax(1), true.log_softmax(1)
        torch.testing.assert_close(joined, (1 - trained.share) * says + trained.share * true)
    trained.calibrate(texts)
    assert (trained.rule, trained.share) == (None, 0.0)
    trained.save(tmp_path / "alone")
    assert TrainedTextClassifier.load(tmp_path / "alone").rule is None


def test_without_ngrams_the_network_speaks_alone(tmp_path: Path) -> None:
    run = train_text_classifier(
        drawn(200),
        out=tmp_path / "run",
        model=replace(SMALL, ngrams=False),
        training=TextTrainingOptions(max_steps=3, no_report=True),
        console=Console(quiet=True),
    )
    trained = TrainedTextClassifier.load(run)
    assert trained.is_calibrated
    assert trained.rule is None
    assert "rule" in run.read_json("label_evaluation.json")["figures"]


def test_a_linear_model_that_is_missing_is_told(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made(False) / "run", tmp_path / "run")
    (tmp_path / "run" / "rule.safetensors").unlink()
    with pytest.raises(
        RunError, match=r"rule\.safetensors: missing, but it speaks with the network; train the run anew"
    ):
        TrainedTextClassifier.load(tmp_path / "run")


def test_a_vocabulary_of_another_model_is_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made(False) / "run", folder)
    own = json.loads((folder / "schema.json").read_text())
    other = json.loads((made(True) / "run" / "schema.json").read_text())
    swapped = list(reversed(own["vocabulary"]["symbols"]))
    for content in (other, own | {"vocabulary": own["vocabulary"] | {"symbols": swapped}}):
        (folder / "schema.json").write_text(json.dumps(content))
        with pytest.raises(
            RunError, match=r"schema\.json: is of another model: its vocabulary or classes are not those"
        ):
            TrainedTextClassifier.load(folder)
    (folder / "schema.json").write_text(json.dumps(own))
    trained = TrainedTextClassifier.load(folder)
    trained.save(tmp_path / "copy")
    (tmp_path / "copy" / "schema.json").write_text(json.dumps(other))
    with pytest.raises(RunError, match="is of another model"):
        TrainedTextClassifier.load(tmp_path / "copy")


def test_empty_lines_and_unknown_encodings(made: Made, tmp_path: Path) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    path = tmp_path / "new.txt"
    path.write_text("so tasty\n\n  \nso loud\n")
    found = trained.predict(path)
    assert found["text"].to_list() == ["so tasty", "", "", "so loud"]
    assert found["p(food)"][1] == pytest.approx(found["p(food)"][2])
    path.write_bytes(b"so tasty\nso \xff loud\n")
    with pytest.raises(DataError, match=r"new\.txt: is not utf-8: line 2 has the byte 0xff"):
        trained.predict(path)


def test_a_text_of_a_hundred_thousand_words(made: Made) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    long = "the day was loud " * 25_000
    found = trained.predict([long, "so tasty"])
    assert found["kind"][0] == "music"
    alone = trained.predict(["so tasty"])
    torch.testing.assert_close(found["p(food)"][1:2].to_torch(), alone["p(food)"].to_torch())


def test_parts_are_read_again_as_they_were(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(made(False) / "run", folder)
    setup = TextLabelSetup.load(RunFolder.open(folder))
    assert {name: len(part) for name, part in parts_of(setup.own_examples()).items()} == {
        "train": 280,
        "valid": 40,
        "test": 80,
    }
    with pytest.raises(OptionError, match="the run reads its own"):
        setup.own_examples(["a"])


def test_texts_that_have_changed_are_refused(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made(False) / "run", folder)
    data = tmp_path / "texts.tsv"
    data.write_text((made(False) / "texts.tsv").read_text() + "one more\tfood\n")
    content = json.loads((folder / "schema.json").read_text())
    content["source"]["paths"] = [str(data)]
    (folder / "schema.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"the texts in .* have changed since the training"):
        evaluate_texts(folder)


@pytest.mark.parametrize("name", ["schema.json", "calibration.safetensors", "rule.safetensors"])
def test_damaged_files_are_named(made: Made, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made(False) / "run", folder)
    (folder / name).write_bytes(b"{}" if name == "schema.json" else b"nothing")
    with pytest.raises(RunError, match=name):
        evaluate_texts(folder)


def test_a_class_that_is_not_known(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "other.tsv"
    rows = [*zip(*drawn(30), strict=True), ("so wet and cold", "weather")]
    path.write_text("review\tkind\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    with pytest.raises(DataError, match="weather"):
        evaluate_texts(made(False) / "run", path)


def test_wrong_parts_and_tasks(made: Made, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="part: expected 'train', 'valid' or 'test', got 'all'"):
        evaluate_texts(made(False) / "run", part="all")  # type: ignore[arg-type]
    folder = tmp_path / "run"
    shutil.copytree(made(False) / "run", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"task": "forecast"}))
    with pytest.raises(RunError, match="is a run of task 'forecast', expected 'classify-text'"):
        TrainedTextClassifier.load(folder)
