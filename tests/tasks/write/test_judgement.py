"""Judging writers: likelihoods told, not told and told wrong, trigrams, and how new what is written is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from recur.data.series.options import OtherTableOptions
from recur.data.texts.options import WrittenTextOptions
from recur.errors import DataError, OptionError
from recur.models.texts.writer_options import WriterOptions
from recur.report.writing import writing_of
from recur.run import RunFolder
from recur.tasks.write import judgement
from recur.tasks.write.evaluation import evaluate_writer
from recur.tasks.write.judgement import judge_writer
from recur.tasks.write.trained import TrainedWriter
from recur.train.options import TextTrainingOptions
from recur.train.write import train_writer


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return RunFolder.open(folder / "run").read_json("write_evaluation.json")


def test_what_it_is_told_helps_and_a_wrong_label_does_harm(found: dict[str, Any]) -> None:
    told, not_told, wrong = (found[name]["nats_per_character"] for name in ("figures", "not_told", "wrong"))
    assert told < not_told < wrong
    # A label says at most as many nats as there are labels to choose from.
    length = found["written"]["length_held_out"] + 1
    assert (not_told - told) * length <= math.log(3) + 0.2
    assert "what it is told helps, more than noise" in found["verdict"]["text"]
    assert {one["name"] for one in found["baselines"]} == {"class_trigrams", "trigrams"}
    assert (
        found["baselines"][0]["figures"]["nats_per_character"] < found["baselines"][1]["figures"]["nats_per_character"]
    )


def test_what_is_written_is_counted(found: dict[str, Any]) -> None:
    written = found["written"]
    assert 0 < written["new"] < 1
    assert written["recognised"] > 0.9
    assert written["recognised_held_out"] > 0.9
    assert 0.5 < written["distinct"] <= 1
    assert written["length"] == pytest.approx(written["length_held_out"], rel=0.3)
    assert [one["name"] for one in found["classes"]] == sorted(
        ("Ava", "Bel", "Cor"), key=lambda name: -next(one["learned"] for one in found["classes"] if one["name"] == name)
    )
    assert all(len(one["samples"]) == 5 and one["told"] > 0.8 for one in found["classes"])
    assert len(found["worst"]) == 10
    assert found["worst"][0]["nats_per_character"] >= found["worst"][9]["nats_per_character"]


def test_figures_are_those_of_the_definition(writer: TrainedWriter, found: dict[str, Any]) -> None:
    test = writer.setup.own_examples().of_part("test")
    nats = {name: -writer.log_probs(test.texts, label=name) for name in writer.classes}
    own = np.array([nats[labels[0]][row] for row, labels in enumerate(test.labels) if labels])
    characters = sum(len(text) + 1 for text in test.texts)
    assert found["figures"]["nats_per_character"] == pytest.approx(own.sum() / characters, rel=1e-6)
    assert found["figures"]["perplexity"] == pytest.approx(math.exp(own.sum() / characters), rel=1e-6)
    prior = np.array(writer.setup.counts) / sum(writer.setup.counts)
    mixed = -np.log(sum(share * np.exp(-nats[name]) for share, name in zip(prior, writer.classes, strict=True)))
    assert found["not_told"]["nats_per_character"] == pytest.approx(mixed.sum() / characters, rel=1e-5)


def test_judging_again_and_other_texts(folder: Path, found: dict[str, Any], tmp_path: Path) -> None:
    again = evaluate_writer(folder / "run")
    assert again == {key: value for key, value in found.items() if key != "weights"}
    other = tmp_path / "other.csv"
    other.write_text("name,language\nPatika,Ava\nMonu,Bel\nSezyfey,Cor\n")
    given = evaluate_writer(folder / "run", other)
    assert (given["part"], given["texts"]) == ("given", 3)
    flattering = evaluate_writer(folder / "run", part="train")
    assert flattering["notes"] == ["the figures flatter the model: it was trained on this part."]
    other.write_text("name,language\nPatika,Avar\n")
    with pytest.raises(DataError, match="the class 'Avar' is none of those of the model"):
        evaluate_writer(folder / "run", other)
    with pytest.raises(OptionError, match="part: expected 'train', 'valid' or 'test', got 'dev'"):
        evaluate_writer(folder / "run", part="dev")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="encoding: would be ignored, for the run knows how its own data are written"):
        evaluate_writer(folder / "run", table=OtherTableOptions(encoding="cp1252"))
    with pytest.raises(OptionError, match=r"^missing: is of series, and these are texts; leave missing= out\.$"):
        evaluate_writer(folder / "run", other, table=OtherTableOptions(missing="NA"))


def test_without_the_training_part_there_are_no_trigrams(writer: TrainedWriter) -> None:
    test = writer.setup.own_examples().of_part("test")
    found = judge_writer(writer, test, "given")
    assert found["baselines"] == []
    assert found["written"]["new"] is None
    assert any("there are no trigrams beside the model" in note for note in found["notes"])


def test_of_many_texts_only_some_are_judged_untold(writer: TrainedWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    test = writer.setup.own_examples().of_part("test")
    tokens = sum(len(text) + 1 for text in test.texts)
    # As many as a third of the texts have, for each of the three classes.
    monkeypatch.setattr(judgement, "_MOST_TOKENS", tokens)
    found = judge_writer(writer, test, "test")
    assert found["not_told"]["texts"] == math.ceil(len(test) / 3)
    assert any(f"is of {found['not_told']['texts']} of them alone" in note for note in found["notes"])


def test_long_texts_count_for_more_where_some_are_judged_and_written(
    writer: TrainedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgement, "_MOST_TOKENS", 3_000)
    monkeypatch.setattr(judgement, "_MOST_TOKENS_WRITTEN", 1_000)
    test = writer.setup.own_examples().of_part("test")
    long = replace(test, texts=tuple(text + "pa" * 50 for text in test.texts))
    short, found = (judge_writer(writer, examples, "given") for examples in (test, long))
    assert short["not_told"]["texts"] == short["written"]["texts"] == len(test)
    assert found["not_told"]["texts"] == 8
    assert 8 <= found["written"]["texts"] <= 10


def test_texts_of_one_class_are_told_another_that_the_model_knows(writer: TrainedWriter) -> None:
    test = writer.setup.own_examples().of_part("test")
    of_one = test.take([row for row, labels in enumerate(test.labels) if labels == ("Bel",)])
    found = judge_writer(writer, of_one, "given")
    assert found["wrong"]["nats_per_character"] > found["figures"]["nats_per_character"] + 0.5


def test_where_there_is_nothing_else_to_be_told_that_is_left_out(tmp_path: Path, table: dict[str, list[Any]]) -> None:
    run = train_writer(
        {"name": table["name"], "size": [1.0] * len(table["name"])},
        out=tmp_path / "run",
        texts=WrittenTextOptions(columns="size"),
        model=WriterOptions(hidden_size=4, embedding_size=4, context_size=2),
        training=TextTrainingOptions(max_steps=2, no_report=True),
        console=Console(quiet=True),
    )
    found = run.read_json("write_evaluation.json")
    assert found["wrong"] is None
    assert "of another text" not in found["verdict"]["text"]
    shown = writing_of(found)
    assert shown is not None
    assert not any("of another text" in bar.name for bar in shown.bars)
    assert not any("of another text" in column for column in shown.figures.columns)


def test_texts_without_a_class_are_left_out(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("name,language\nPatika,Ava\nMonu,Bel\nSezyfey,\n")
    found = evaluate_writer(folder / "run", other)
    assert found["texts"] == 2
    assert found["notes"] == [f"1 text without a class left out, such as {other}, row 3."]
    other.write_text("name,language\nPatika,\nMonu,\n")
    with pytest.raises(DataError, match="has no class"):
        evaluate_writer(folder / "run", other)


def test_unknown_tokens_are_said(writer: TrainedWriter) -> None:
    test = writer.setup.own_examples().of_part("test")
    odd = replace(test, texts=("Xq", *test.texts[1:]))
    tokens = sum(len(text) + 1 for text in odd.texts)
    (note,) = (note for note in judge_writer(writer, odd, "given")["notes"] if "unknown" in note)
    assert note.startswith(f"2 of the {tokens} tokens of the texts are unknown, {2 / tokens:.1%}; the figures take all")


def test_a_model_that_does_not_know_more_says_so_first(writer: TrainedWriter) -> None:
    for weight in (writer.network.context.weight, writer.network.context.bias):
        weight.data.zero_()
    parts = {name: writer.setup.own_examples().of_part(name) for name in ("train", "valid", "test")}  # type: ignore[arg-type]
    found = judge_writer(writer, parts["test"], "test", train=parts["train"], valid=parts["valid"])
    assert found["verdict"]["text"].startswith("The model does NOT beat the best rule: ")
    assert "what it is told is NOT shown to help" in found["verdict"]["text"]
    assert not found["verdict"]["is_better"]
