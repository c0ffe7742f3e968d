"""Taggers in use: what they tell of new sentences, how they are judged and kept."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from tests.tasks.tags.conftest import conll, drawn, written

import recur
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.tasks.tags.evaluation import evaluate_tags
from recur.tasks.tags.trained import TrainedTagger


def test_names_that_were_never_met_are_told(made: Path) -> None:
    trained = recur.load(made / "run")
    tokens, tags = drawn(60, seed=9)
    found = trained.tag(tokens)
    right = sum(list(one.tags) == own for one, own in zip(found, tags, strict=True))
    assert right >= 50
    assert [one.tokens for one in found] == [tuple(own) for own in tokens]
    assert all(one.places is None for one in found)


def test_texts_are_cut_into_words_that_keep_their_places(made: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    text = "  Ada Lanmann knows\nNew Boltonford, in 1914."
    (found,) = trained.tag([text])
    assert found.tokens == ("Ada", "Lanmann", "knows", "New", "Boltonford", ",", "in", "1914", ".")
    assert found.places is not None
    assert [text[begin:end] for begin, end in found.places] == list(found.tokens)
    person = found.entities[0]
    assert (person.kind, person.text, person.begin, person.end, person.place) == ("PER", "Ada Lanmann", 0, 2, (2, 13))
    assert {one.text: one.kind for one in found.entities}["New Boltonford"] == "LOC"


def test_letters_of_several_marks_keep_their_places(made: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    text = "Cafe\u0301 Ru\u0308tton \ufb01n"
    (found,) = trained.tag([text])
    assert found.places == ((0, 5), (6, 13), (14, 16))
    assert found.tokens == ("Cafe\u0301", "Ru\u0308tton", "\ufb01n")


def test_how_sure_entities_are_is_what_all_tags_of_a_sentence_say(made: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    tokens = ["New", "Bolsson", "left"]
    (found,) = trained.tag([tokens])
    (batch,) = trained.setup.batches([tokens], batch_size=1, max_tokens=100)
    with torch.no_grad():
        emissions = trained.network(batch)
        best = trained.network.crf.n_best(emissions, len(trained.tags) ** 3, batch.lengths)[0]
    chance = {tuple(trained.tags[k] for k in one.labels): torch.tensor(one.log_probability).exp() for one in best}
    assert sum(chance.values()) == pytest.approx(1, abs=1e-5)
    for place, (tag, probability) in enumerate(zip(found.tags, found.probability, strict=True)):
        assert sum(p for tags, p in chance.items() if tags[place] == tag) == pytest.approx(probability, abs=1e-5)
    assert found.entities
    for entity in found.entities:
        own = found.tags[entity.begin : entity.end]
        after = f"I-{entity.kind}"
        alike = (
            p
            for tags, p in chance.items()
            if tags[entity.begin : entity.end] == own and tags[entity.end : entity.end + 1] != (after,)
        )
        assert float(sum(alike)) == pytest.approx(entity.probability, abs=1e-5)


def test_what_is_told_does_not_depend_on_what_is_beside(made: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    sentences = [*drawn(12, seed=4)[0], ["Ada"], [], ["x" * 300, "left"]]
    for one, sentence in zip(trained.tag(sentences), sentences, strict=True):
        (alone,) = trained.tag([sentence])
        assert alone.tags == one.tags
        assert alone.probability == pytest.approx(one.probability, abs=1e-5)
    assert trained.tag([[], ""[:0].split()])[0].tags == ()


@pytest.mark.slow
def test_a_sentence_of_a_hundred_thousand_tokens(made: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    short = drawn(10, seed=2)[0]
    one = list(itertools.islice(itertools.cycle(itertools.chain(*short)), 100_000))
    (found,) = trained.tag([one])
    assert len(found.tags) == 100_000
    assert found.entities[-1].end <= 100_000
    # The same words in the same company, far from both ends.
    length = sum(map(len, short))
    assert found.tags[length * 100 : length * 101] == found.tags[length * 200 : length * 201]


def test_predictions_as_tables(made: Path, tmp_path: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    path = written(tmp_path / "new.conll", 5, seed=3)
    tokens = drawn(5, seed=3)[0]
    flat = trained.predict(path)
    assert flat["token"].to_list() == list(itertools.chain(*tokens))
    assert flat["sentence"].unique(maintain_order=True).to_list() == [1, 2, 3, 4, 5]
    nested = trained.predict_sentences(tokens)
    assert nested["tags"].explode().to_list() == flat["tag"].to_list()
    first = nested["entities"][0][0]
    assert set(first) == {"kind", "text", "begin", "end", "place", "probability"}
    assert first["place"] is None
    assert first["text"] == " ".join(tokens[0][first["begin"] : first["end"]])
    lines = tmp_path / "lines.txt"
    lines.write_text("Ada Lanmann left Bolton.\n\nBensson saw Rutford.\n", encoding="utf-8")
    assert trained.predict(lines)["token"].to_list()[4] == "."
    told = trained.predict_sentences(lines)
    # Answers are joined to lines by their numbers.
    assert trained.predict(lines)["sentence"].unique(maintain_order=True).to_list() == [1, 3]
    assert told["text"].to_list() == ["Ada Lanmann left Bolton.", "", "Bensson saw Rutford."]
    for text, entities in told.select("text", "entities").iter_rows():
        assert bool(entities) == bool(text)
        assert all(text[slice(*one["place"])] == one["text"] for one in entities)
    assert trained.predict(pl.DataFrame({"tokens": tokens})).equals(flat)
    assert trained.predict(tuple(tokens[:2])).equals(trained.predict(tokens[:2]))
    assert trained.predict((tokens, [["O"] * len(own) for own in tokens])).equals(flat)
    blind = tmp_path / "blind.txt"
    blind.write_text("\n".join("".join(f"{token} _\n" for token in own) for own in tokens), encoding="utf-8")
    assert trained.predict(blind).equals(flat)
    alike = tmp_path / "alike.txt"
    alike.write_text("Ada left in 1801.\n\nAda sang in 1802.\n", encoding="utf-8")
    assert trained.predict(alike)["token"].to_list() == [
        "Ada",
        "left",
        "in",
        "1801",
        ".",
        "Ada",
        "sang",
        "in",
        "1802",
        ".",
    ]


def test_judging_again_says_the_same(made: Path) -> None:
    run = made / "run"
    stored = RunFolder.open(run).read_json("label_evaluation.json")
    again = json.loads(json.dumps(evaluate_tags(run)))
    assert again == {name: value for name, value in stored.items() if name != "weights"}
    figures = again["figures"]
    assert figures["micro_f1"] > 0.85
    assert figures["micro_f1"] > figures["rule_micro_f1"]
    assert again["verdict"]["is_better"]
    flattering = evaluate_tags(run, part="valid")
    assert flattering["notes"] == ["the figures flatter the model: its weights were chosen by this part."]


def test_other_data_are_judged(made: Path, tmp_path: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    tokens, tags = drawn(20, seed=7)
    path = tmp_path / "other.conll"
    path.write_text(conll((tokens, tags)), encoding="utf-8")
    found = evaluate_tags(made / "run", path)
    told = [one.tags for one in trained.tag(tokens)]
    right = sum(a == b for one, own in zip(told, tags, strict=True) for a, b in zip(one, own, strict=True))
    assert found["figures"]["token_accuracy"] == pytest.approx(right / sum(map(len, tags)))
    assert found["part"] == "given"


def test_tags_that_are_not_known(made: Path, tmp_path: Path) -> None:
    tokens, tags = drawn(6, seed=7)
    tags[2][-1] = "B-EVENT"
    path = tmp_path / "other.conll"
    path.write_text(conll((tokens, tags)), encoding="utf-8")
    found = evaluate_tags(made / "run", path)
    line = sum(len(own) + 1 for own in tokens[:2]) + 1
    read = "of 2 columns, tokens are in column 1 and tags in column 2."
    assert found["notes"] == [
        read,
        "the tag 'B-EVENT' is not known to the model, so that it is told wrong: it stands in 1 sentence, such as "
        f"{path}, line {line}.",
    ]
    tags[3][-1] = "B-FEAST"
    path.write_text(conll((tokens, tags)), encoding="utf-8")
    _, note = evaluate_tags(made / "run", path)["notes"]
    said = "the tag 'B-EVENT' (and 1 more) are not known to the model, so that they are told wrong: they stand in 2 "
    assert note.startswith(said)
    event = next(one for one in found["figures"]["classes"] if one["name"] == "EVENT")
    assert (event["support"], event["recall"], event["precision"], event["f1"]) == (1, 0.0, None, 0.0)
    path.write_text("Ada NOUN\nleft VERB\n\nShe PRON\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"has the tag 'NOUN', and none of the tags is known to the model, which tells"):
        evaluate_tags(made / "run", path)


def test_saved_and_loaded_it_tells_the_same(made: Path, tmp_path: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    trained.save(tmp_path / "copy")
    tokens = drawn(10, seed=3)[0]
    assert TrainedTagger.load(tmp_path / "copy").tag(tokens) == trained.tag(tokens)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Ada left", "got a single text; give a list of texts"),
        ([["Ada"], "left"], "some are texts and some lists of tokens"),
        ([["Ada", 1]], "sentence 1 is list; give a text, or a list of tokens, each a text"),
        ([None], "sentence 1 is NoneType"),
    ],
)
def test_what_is_no_list_of_sentences(made: Path, given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        TrainedTagger.load(made / "run").tag(given)


@pytest.mark.parametrize("kind", [np.array, pl.Series, pd.Series, tuple])
def test_sentences_in_an_array_or_a_column(made: Path, kind: Callable[[list[Any]], Any]) -> None:
    trained = TrainedTagger.load(made / "run")
    texts, tokens = ["Ada left.", "", "She saw Bonton."], [["Ada", "left"], ["She", "saw"]]
    assert trained.predict(kind(texts)).equals(trained.predict(texts))
    assert trained.predict(kind(tokens)).equals(trained.predict(tokens))
    assert trained.predict([kind(own) for own in tokens]).equals(trained.predict(tokens))


def test_what_is_no_list_of_sentences_is_not_predicted_either(made: Path) -> None:
    trained = TrainedTagger.load(made / "run")
    with pytest.raises(TypeError, match="sentence 2 is NoneType; give a text"):
        trained.predict(["Ada left", None])
    with pytest.raises(
        DataError, match=r"^Ada left: no such file or folder; .* or give a text itself in a list, \[text\]"
    ):
        trained.predict("Ada left")
    assert trained.predict([]).height == 0


def test_wrong_parts_tasks_and_batch_sizes(made: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="part: expected 'train', 'valid' or 'test', got 'all'"):
        evaluate_tags(made / "run", part="all")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="batch_size: expected a number from 1 on, got 0"):
        TrainedTagger.load(made / "run").tag([["a"]], batch_size=0)
    folder = tmp_path / "run"
    shutil.copytree(made / "run", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"task": "forecast"}))
    with pytest.raises(RunError, match="is a run of task 'forecast', expected 'tag'"):
        TrainedTagger.load(folder)


@pytest.mark.parametrize("name", ["schema.json", "lexicon.json", "model.safetensors"])
def test_damaged_files_are_named(made: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made / "run", folder)
    (folder / name).write_bytes(b"nothing" if name == "model.safetensors" else b"{}")
    with pytest.raises(RunError, match=name):
        evaluate_tags(folder)


def test_the_vocabulary_of_another_model(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made / "run", folder)
    content = json.loads((folder / "schema.json").read_text())
    words = content["vocabulary"]["symbols"]
    # As many as the weights know, so that nothing else tells.
    words[:2] = words[1::-1]
    (folder / "schema.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"schema\.json: is of another model: its vocabularies or tags are not those"):
        TrainedTagger.load(folder)
    TrainedTagger.load(made / "run").save(tmp_path / "saved")
    (tmp_path / "saved" / "schema.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="is of another model"):
        TrainedTagger.load(tmp_path / "saved")


def test_sentences_that_have_changed_are_refused(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(made / "run", folder)
    data = written(tmp_path / "names.conll", 301)
    content = json.loads((folder / "schema.json").read_text())
    content["source"]["paths"] = [str(data)]
    (folder / "schema.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"the texts in .* have changed since the training"):
        evaluate_tags(folder)
