"""Classifiers of texts in use: what they tell of new texts, how they are judged, kept and calibrated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from rich.console import Console
from sklearn.metrics import average_precision_score
from tests.tasks.texts.conftest import CUES, SMALL, Made, drawn

import recur
from recur.cli.main import main
from recur.data.series.options import OtherTableOptions
from recur.data.texts.options import LabelledTextOptions
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.tasks.text_source import parts_of
from recur.tasks.texts.evaluation import evaluate_texts, judge_texts
from recur.tasks.texts.outcomes import TextOutcomes
from recur.tasks.texts.rule import RuleOutcomes, load_rule, save_rule
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
    assert ("are the thresholds" in flattering["notes"][0]) is is_multi
    if is_multi:
        assert not flattering["verdict"]["is_better"]
        assert " NOT " in flattering["verdict"]["text"]


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
    best = RuleOutcomes.of(rule, trained.setup, examples).told.long().argmax(1)
    names = [trained.classes[k] for k in best.tolist()]
    share = sum(one == other for one, other in zip(names, labels, strict=True)) / 40
    assert found["figures"]["rule"]["accuracy"] == pytest.approx(share)
    assert "by a linear model of n-grams" in found["verdict"]["text"]


def test_several_classes_are_judged_beside_the_rule(made: Made) -> None:
    found = evaluate_texts(made(True) / "run")
    figures = found["figures"]
    assert figures["macro_f1"] > 0.9
    assert figures["baseline_macro_f1"] is not None
    # Its log-odds have no lift of rare classes, so that they are good probabilities too.
    assert figures["baseline_average_precision"] > 0.9
    assert figures["baseline_log_loss"] < 0.5
    assert figures["baseline_exact"] > 0.5
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
    if is_multi:
        assert torch.equal(again.held_out, trained.held_out)


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
    monkeypatch.setattr(trained, "outcomes_alone", lambda examples: outcomes)
    trained.calibrate(trained.setup.read(["they are not looked at"], has_labels=False))
    # As often as is expected of the next one, by all decisions (Platt 1999): 30 of texts, or 90.
    wrong = 1 / (92 if is_multi else 32)
    chance = trained.probabilities(logits)
    told = chance.max() if is_multi else chance.amax(1).mean()
    assert float(told) == pytest.approx(1 - wrong, abs=1e-3)


def test_classes_with_few_held_out_texts_are_noted(made: Made) -> None:
    trained = TrainedTextClassifier.load(made(True) / "run")
    examples = parts_of(trained.setup.own_examples())
    assert trained.held_out is not None
    valid = trained.setup.targets(examples["valid"])[0]
    assert trained.held_out.tolist() == valid.sum(0).tolist()
    assert not any("fewer than 5 texts" in note for note in judge_texts(trained, examples["test"], "test")["notes"])
    trained.held_out = torch.tensor([40, 3, 0])
    notes = judge_texts(trained, examples["test"], "test")["notes"]
    assert notes[-1].startswith("2 classes have fewer than 5 texts in the validation part, such as 'sport' with 0: ")


def test_the_console_shows_the_linear_model_beside_each_figure(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(made(True) / "run")]) == 0
    rows = {line[:11].strip(): line for line in capsys.readouterr().out.splitlines()}
    for name in ("macro F1", "micro F1", "precision", "all right", "log loss"):
        assert rows[name].endswith(" by the linear model")


def with_ngrams(run: Path, share: float = 0.4) -> TrainedTextClassifier:
    trained = TrainedTextClassifier.load(run)
    trained.rule, trained.share = load_rule(RunFolder.open(run), trained.setup), share
    return trained


@pytest.mark.parametrize("is_multi", [False, True])
def test_a_linear_model_speaks_by_what_held_out_texts_ask_for(
    made: Made, is_multi: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained = with_ngrams(made(is_multi) / "run")
    rule, texts = trained.rule, trained.setup.read(drawn(60, seed=4, is_multi=is_multi))
    assert rule is not None
    true = rule.evidence(trained.setup.encoded(texts.texts))
    # Where the network says nothing the other one has to speak, and where it knows all the other one need not.
    for sure, least, most in ((0.0, 0.1, 0.9), (30.0, 0.0, 0.1)):
        target, weight = map(torch.from_numpy, trained.setup.targets(texts))
        says = sure * (target if is_multi else torch.eye(3)[target]) - sure / 2
        told = TextOutcomes(logits=says, target=target, weight=weight)
        monkeypatch.setattr(trained, "outcomes_alone", lambda examples, told=told: told)
        trained.calibrate(texts, rule)
        assert least <= trained.share <= most
        assert (trained.rule is rule) == (trained.share > 0)
        joined = trained.mixed(says, true)
        if not is_multi:
            says, true = says.log_softmax(1), true.log_softmax(1)
        torch.testing.assert_close(joined, (1 - trained.share) * says + trained.share * true)
    trained.calibrate(texts)
    assert (trained.rule, trained.share) == (None, 0.0)
    trained.save(tmp_path / "alone")
    assert TrainedTextClassifier.load(tmp_path / "alone").rule is None


def quickly(data: Any, place: Path, *, texts: LabelledTextOptions | None = None, **options: Any) -> RunFolder:
    return train_text_classifier(
        data,
        out=place,
        texts=texts,
        model=replace(SMALL, **options),
        training=TextTrainingOptions(max_steps=3, no_report=True),
        console=Console(quiet=True),
    )


@pytest.mark.parametrize("options", [{"ngrams": False}, {"class_weights": "balanced"}])
def test_the_network_speaks_alone_where_it_shall(options: dict[str, Any], tmp_path: Path) -> None:
    """Classes that are weighed would not be so by the linear model."""
    run = quickly(drawn(200), tmp_path / "run", **options)
    trained, found = TrainedTextClassifier.load(run), run.read_json("label_evaluation.json")
    assert trained.is_calibrated
    assert trained.rule is None
    assert found["ngrams"] is None
    assert "rule" in found["figures"]


@pytest.mark.parametrize("is_multi", [False, True])
def test_it_is_told_how_good_the_network_is_alone(made: Made, is_multi: bool) -> None:
    trained = with_ngrams(made(is_multi) / "run")
    test = parts_of(trained.setup.own_examples())["test"]
    found, alone = judge_texts(trained, test, "test"), trained.outcomes_alone(test)
    assert found["ngrams"]["share"] == 0.4
    if is_multi:
        expected = [
            average_precision_score(alone.target[:, k].numpy(), alone.logits[:, k].numpy()) for k in range(len(CUES))
        ]
        assert found["ngrams"]["network_alone"] == pytest.approx(sum(expected) / len(CUES))
        assert found["ngrams"]["both"] == pytest.approx(found["figures"]["average_precision"])
    else:
        right = alone.logits.argmax(1) == alone.target
        assert found["ngrams"]["network_alone"] == pytest.approx(float(right.double().mean()))
        assert found["ngrams"]["both"] == found["figures"]["accuracy"]
    trained.rule, trained.share = None, 0.0
    assert found["reliability"]["raw"] == judge_texts(trained, test, "test")["reliability"]["raw"]
    assert found["reliability"]["raw"] != found["reliability"]["calibrated"]
    said = "a linear model of n-grams speaks with the network, with a share of 40%, which the validation part"
    assert any(note.startswith(said) for note in found["notes"])


@pytest.mark.parametrize("num_files", [8, 2])
def test_what_one_text_is_is_kept(tmp_path: Path, num_files: int) -> None:
    for folder, count in (("data", num_files), ("other", 10 - num_files)):
        for label in ("neg", "pos"):
            (tmp_path / folder / label).mkdir(parents=True)
            for number in range(count):
                lines = [f"so {label} as ever {folder} {number} {line}\n" for line in range(30)]
                (tmp_path / folder / label / f"{number}.txt").write_text("".join(lines))
    run = quickly(str(tmp_path / "data"), tmp_path / "run")
    setup = TrainedTextClassifier.load(run).setup
    unit = "file" if num_files == 8 else "line"
    size = (10 - num_files) * 2 * (1 if unit == "file" else 30)
    assert setup.unit == unit
    assert len(setup.own_examples()) == num_files * 2 * (1 if unit == "file" else 30)
    assert len(setup.read(tmp_path / "other")) == size
    assert len(setup.read(tmp_path / "other", has_labels=False)) == size
    assert len(setup.read(tmp_path / "other" / "neg", has_labels=False)) == size // 2
    assert sum(one["support"] for one in evaluate_texts(run.path, tmp_path / "other")["figures"]["classes"]) == size
    # A run of before says what was asked for.
    schema = json.loads((run.path / "schema.json").read_text())
    del schema["unit"]
    schema["reading"]["unit"] = "line"
    (run.path / "schema.json").write_text(json.dumps(schema))
    assert TrainedTextClassifier.load(run).setup.unit == "line"
    schema["unit"] = "page"
    (run.path / "schema.json").write_text(json.dumps(schema))
    with pytest.raises(RunError, match=r"schema\.json.*unit is 'page', expected file or line"):
        TrainedTextClassifier.load(run)


def test_a_class_that_all_texts_have_is_no_trouble(tmp_path: Path) -> None:
    texts, labels = drawn(200, is_multi=True)
    run = quickly((texts, [f"{label}, all" for label in labels]), tmp_path / "run")
    trained = TrainedTextClassifier.load(run)
    rule = load_rule(run, trained.setup)
    assert rule is not None
    assert bool(rule.evidence(trained.setup.encoded(texts)).isfinite().all())
    assert "all" in trained.predict(["tasty"])["label"].to_list()[0]


@pytest.mark.parametrize("is_multi", [False, True])
def test_of_a_class_that_training_lacks_nothing_is_known(is_multi: bool, tmp_path: Path) -> None:
    texts, labels = drawn(120, is_multi=is_multi)
    for row in range(60, 80):
        texts[row], labels[row] = "rain and wet wind", "weather"
    table = {"text": texts, "kind": labels, "split": ["train"] * 60 + ["valid"] * 40 + ["test"] * 20}
    trained = TrainedTextClassifier.load(quickly(table, tmp_path / "run"))
    assert "weather" in trained.classes
    told = trained.predict(["rain and wet wind", "tasty", "the"])["kind"].to_list()
    assert not any("weather" in (one if is_multi else [one]) for one in told)
    if not is_multi:
        valid = parts_of(trained.setup.own_examples(table))["valid"]
        known = valid.take(np.array([row for row, one in enumerate(valid.labels) if one != ("weather",)]))
        assert len(known) == 20
        value = trained.temperature.value
        trained.calibrate(known, trained.rule)
        assert trained.temperature.value == value


def test_what_is_learnt_of_too_few_texts_is_nothing(made: Made) -> None:
    trained = with_ngrams(made(True) / "run")
    trained.calibrate(trained.setup.read(drawn(10, is_multi=True)), trained.rule)
    assert (trained.rule, trained.share, trained.is_calibrated, trained.temperature.value) == (None, 0.0, False, 1.0)
    assert trained.thresholds.tolist() == [0.5] * 3


def test_it_is_told_why_nothing_is_calibrated(made: Made, tmp_path: Path) -> None:
    def note(folder: Path) -> str:
        return next(note for note in evaluate_texts(folder)["notes"] if "the network's own" in note)

    folder = tmp_path / "run"
    shutil.copytree(made(False) / "run", folder)
    (folder / "calibration.safetensors").unlink()
    assert note(folder).endswith("own: too few texts were held out to calibrate them.")
    # As after a kill before it was judged, when the training went on, and of the first one.
    expected = "they are calibrated at the end of the training; finish that with recur train --resume."
    (folder / "label_evaluation.json").write_text('{"weights": "older"}')
    assert note(folder).endswith(expected)
    (folder / "label_evaluation.json").unlink()
    assert note(folder).endswith(expected)
    saved = TrainedTextClassifier.load(folder).save(tmp_path / "saved")
    assert note(saved.path).endswith("own: too few texts were held out to calibrate them.")


def test_a_linear_model_of_another_run_is_refused(made: Made, tmp_path: Path) -> None:
    trained = with_ngrams(made(False) / "run")
    folder = trained.save(tmp_path / "run")
    shutil.copy(made(True) / "run" / "rule.safetensors", tmp_path / "run" / "rule.safetensors")
    with pytest.raises(RunError, match=r"rule\.safetensors: is of another model, with another vocabulary or other cl"):
        TrainedTextClassifier.load(folder)
    assert trained.rule is not None
    trained.rule._weight[0, 0] = torch.nan
    save_rule(folder, trained.rule, trained.setup)
    with pytest.raises(RunError, match=r"rule\.safetensors: damaged: a weight of the bag of n-grams is not finite"):
        TrainedTextClassifier.load(folder)


def test_a_linear_model_that_is_missing_is_told(made: Made, tmp_path: Path) -> None:
    with_ngrams(made(False) / "run").save(tmp_path / "run")
    assert TrainedTextClassifier.load(tmp_path / "run").share == 0.4
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


def test_the_run_keeps_what_classes_are_called(tmp_path: Path) -> None:
    """Texts are read as they were, by numbers too, without the file of names."""
    names = tmp_path / "names.txt"
    names.write_text("food\nmusic\nsport\n")
    texts, labels = drawn(60)
    rows = [f"{text}\t{list(CUES).index(label)}\n" for text, label in zip(texts, labels, strict=True)]
    path = tmp_path / "texts.tsv"
    path.write_text("".join(["text\tlabel\n", *rows]))
    run = quickly(path, tmp_path / "run", texts=LabelledTextOptions(label_names=str(names)))
    judged = evaluate_texts(run.path)
    names.unlink()
    assert evaluate_texts(run.path)["figures"] == judged["figures"]
    trained = recur.load(run)
    assert trained.predict(["so tasty"])["label"][0] in CUES
    read = trained.setup.read((texts[:4], ["2", "0", "music", "1"]))
    assert read.labels == (("sport",), ("food",), ("music",), ("music",))
    with pytest.raises(DataError, match="the class '3' has no name"):
        trained.setup.read((texts[:2], ["2", "3"]))


def test_wrong_parts_and_tasks(made: Made, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="part: expected 'train', 'valid' or 'test', got 'all'"):
        evaluate_texts(made(False) / "run", part="all")  # type: ignore[arg-type]
    folder = tmp_path / "run"
    shutil.copytree(made(False) / "run", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"task": "forecast"}))
    with pytest.raises(RunError, match="is a run of task 'forecast', expected 'classify-text'"):
        TrainedTextClassifier.load(folder)


def test_how_the_own_data_were_cut_says_nothing_of_prose(made: Made, tmp_path: Path) -> None:
    setup = TrainedTextClassifier.load(made(False) / "run").setup
    setup = replace(setup, reading=replace(setup.reading, separator=",", has_header=True))
    path = tmp_path / "new.txt"
    path.write_text("so good,1\nso bad,2\n")
    assert setup.read(path, has_labels=False).texts == ("so good,1", "so bad,2")
    assert setup.read({"review": ["so good"]}, has_labels=False).texts == ("so good",)
    other = setup.for_other(OtherTableOptions(separator=",", has_header=False))
    assert other.read(path, has_labels=False).texts == ("so good", "so bad")
    with pytest.raises(OptionError, match="separator: says nothing of a dataframe or lists"):
        other.read({"review": ["so good"]}, has_labels=False)


@pytest.mark.parametrize("is_multi", [False, True])
def test_of_no_texts_nothing_is_told(made: Made, is_multi: bool) -> None:
    trained = recur.load(made(is_multi) / "run")
    found = trained.predict([])
    assert found.height == 0
    assert found.schema == trained.predict(["so loud"]).schema


@pytest.mark.parametrize("kind", [np.array, pl.Series, pd.Series, pd.Index])
def test_texts_in_an_array_or_a_column(made: Made, kind: Callable[[list[str]], Any]) -> None:
    trained = recur.load(made(False) / "run")
    texts = ["so tasty", "", "texts.tsv"]
    assert trained.predict(kind(texts)).equals(trained.predict(texts))
    assert trained.predict(kind(["so tasty", None])).equals(trained.predict(texts[:2]))
    with pytest.raises(TypeError, match="the data: takes a list of texts, but number 1 is "):
        trained.predict(kind([1.5, 2.0]))


def test_what_is_no_list_of_texts(made: Made) -> None:
    trained = recur.load(made(False) / "run")
    for data, number, kind in ((["a", None], 2, "NoneType"), (("a", 1), 2, "int"), ([["a"]], 1, "list")):
        with pytest.raises(TypeError, match=f"the data: takes a list of texts, but number {number} is {kind}"):
            trained.predict(data)
    with pytest.raises(
        DataError, match=r"^Tanaka: no such file or folder; .* or give a text itself in a list, \[text\]"
    ):
        trained.predict("Tanaka")
    with pytest.raises(DataError, match=r"^(so ){26}s…: no such file or folder"):
        trained.predict("so " * 9_000)


def test_columns_of_other_names_are_guessed_and_noted(made: Made) -> None:
    setup = TrainedTextClassifier.load(made(False) / "run").setup
    columns = {"comment": ["so loud", "so tasty", "so fast"] * 2, "mood": ["music", "food", "sport"] * 2}
    text = "column 'comment' is taken for the text (named like a text), as none is called 'review' as in the run's data"
    label = (
        "column 'mood' is taken for the label (has few different values, 3 different ones), as none is called 'kind' "
        "as in the run's data"
    )
    assert set(setup.read(columns).notes) == {text, label}
    assert setup.read(columns, has_labels=False).notes == (text,)
    assert setup.read({"review": columns["comment"], "kind": columns["mood"]}).notes == ()
    assert setup.read(columns["comment"], has_labels=False).notes == ()
    judged = evaluate_texts(made(False) / "run", columns)["notes"]
    assert {f"{text}.", f"{label}."} <= set(judged)


def test_to_judge_without_labels_is_refused_with_what_is_true(made: Made) -> None:
    said = (
        r"^the data: no column has classes, .*; it has 'review'\. In the run's data the label is 'kind'; give the "
        r"column that name, or use recur predict, which tells it\.$"
    )
    with pytest.raises(DataError, match=said):
        evaluate_texts(made(False) / "run", {"review": ["so loud", "so tasty", "so fast"]})
