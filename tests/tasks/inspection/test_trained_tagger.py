"""What is inside a tagger, against its network run by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.tags.conftest import made  # noqa: F401

from recur.data.texts.raw_sentences import cut_into_words
from recur.errors import DataError, OptionError
from recur.inspection_format import FORMAT
from recur.report.inspection import read_inspection
from recur.run import RunFolder
from recur.tasks.inspection import read_text
from recur.tasks.inspection.trained_tagger import inspect_tagger
from recur.tasks.tags.explanation import AskedTag, batch_of, embedded, explain_tags, scorer
from recur.tasks.tags.trained import TrainedTagger
from recur.token_ids import UNKNOWN

TEXT = "Ada Bemsson  left New Kanburg."
TOKENS = ["Ada", "Bemsson", "left", "New", "Kanburg", "."]


def test_what_is_told_of_a_sentence_of_ones_own(made: Path, tmp_path: Path) -> None:  # noqa: F811
    trained = TrainedTagger.load(made / "run")
    found = inspect_tagger(trained, text=TEXT)
    content = found.content
    assert (content["format"], content["kind"], content["unit"]) == (FORMAT, "text", "word")
    assert (content["title"], content["symbols"]) == ("your text", TOKENS)
    assert content["between"] == [" ", "  ", " ", " ", "", ""]
    (told,) = trained.tag([TEXT])
    assert content["tags"]["told"] == list(told.tags) == ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O"]
    np.testing.assert_allclose(content["tags"]["probability"], told.probability, atol=1e-6)
    assert content["tags"]["true"] is None
    ids = trained.setup.words.encode_tokens(TOKENS).tolist()
    assert [one["symbol"] for one in content["unknown"]] == [
        token for token, number in zip(TOKENS, ids, strict=True) if number == UNKNOWN
    ]
    answers = content["answers"]["answers"]
    assert [one["name"] for one in answers] == [
        "B-PER of word 1, Ada",
        "I-PER of word 2, Bemsson",
        "B-LOC of word 4, New",
        "I-LOC of word 5, Kanburg",
    ]
    assert all(one["came"] == "" for one in answers)
    assert answers[0]["strongest"]["for"][0][0] == "Ada"
    # The probabilities of all tags at each word, the best first.
    with torch.no_grad():
        batch = batch_of(trained, [TOKENS])
        chance = trained.network.tag_probability(trained.network.embedded(batch), batch.lengths)[:, 0]
    torch.testing.assert_close(
        found.tensors["next.probs"], chance.gather(1, found.tensors["next.ids"].long()), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(chance.sum(1).numpy(), 1, atol=1e-5)
    assert content["next"] == {"vocabulary": list(trained.tags), "of": "tag"}
    assert {"tag_0", "tag_1"} <= {one["key"] for one in content["properties"]}
    check = content["answers"]["check"]
    assert check["is_faithful"]
    assert check["chosen"][2] > check["random"][2]
    json.dumps(content, allow_nan=False)
    found.write(RunFolder.create(tmp_path / "run"))
    seen = read_inspection(RunFolder(tmp_path / "run"))
    assert not seen.left_out
    assert seen.tags is not None
    assert seen.tags.told == told.tags
    assert seen.next is not None
    assert seen.next.of == "tag"
    assert seen.output is not None
    assert seen.output[0] == "tags"


def test_states_are_those_of_the_network(made: Path) -> None:  # noqa: F811
    trained = TrainedTagger.load(made / "run")
    found = inspect_tagger(trained, text=TEXT)
    network, batch = trained.network, batch_of(trained, [TOKENS])
    with torch.no_grad():
        outputs, _ = network.recurrent(network.embedded(batch), lengths=batch.lengths)
    assert [layer["name"] for layer in found.content["layers"]] == ["recurrent.l0", "recurrent.l0_reverse"]
    for number in range(2):
        scale = found.content["layers"][number]["scales"]["h"]
        stored = found.tensors[f"layers.{number}.h"].float() * (scale / 127)
        torch.testing.assert_close(stored, outputs[:, 0, 16 * number : 16 * number + 16], rtol=0, atol=scale / 200)
    # Six words are too few for it.
    assert found.content["probe"] is None
    longer = inspect_tagger(trained, text=f"{TEXT} {TEXT}")
    assert longer.content["probe"]["memory_length"] is not None
    assert any("_reverse" in note for note in found.content["answers"]["notes"])


def test_contributions_add_up_to_the_log_odds_of_a_tag(made: Path) -> None:  # noqa: F811
    trained = TrainedTagger.load(made / "run")
    pieces = cut_into_words(TEXT, trained.setup.words)
    asked = [AskedTag(1, trained.tags.index("I-PER")), AskedTag(3, trained.tags.index("O"))]
    found = explain_tags(trained, TEXT, pieces, asked)
    (told,) = trained.told([TOKENS])
    assert found[0].probability == pytest.approx(told.probability[1], abs=1e-5)
    for one in found:
        assert one.shares.sum() == pytest.approx(one.answer - one.neutral, rel=0.02)
    inputs, neutral, lengths = embedded(trained, [TOKENS, TOKENS[:2]])
    assert lengths.tolist() == [6, 2]
    # Of an unknown word neither the vector nor a character tells anything.
    torch.testing.assert_close(neutral[0, 1], neutral[0, 4])
    score = scorer(trained, lengths, [asked[0], AskedTag(0, 0)])
    with torch.no_grad():
        assert float(score(inputs[:1], torch.tensor([0]))[0]) == pytest.approx(found[0].answer, rel=1e-4)


def test_sentences_of_data_by_number_or_the_worst(made: Path, tmp_path: Path) -> None:  # noqa: F811
    trained = TrainedTagger.load(made / "run")
    path = tmp_path / "other.conll"
    path.write_text("Ada B-PER\nleft O\n. O\n\nNew B-PER\nlikes O\nBonton O\n. O\n\nAda B-PER\nsaw O\nLolton B-LOC\n")
    worst = inspect_tagger(trained, path).content
    assert worst["title"] == f"{path}, line 5"
    assert worst["symbols"] == ["New", "likes", "Bonton", "."]
    assert worst["tags"]["true"] == ["B-PER", "O", "O", "O"]
    wrong = [one for one in worst["answers"]["answers"] if one["came"].startswith("in truth ")]
    assert wrong
    assert worst["answers"]["answers"][: len(wrong)] == wrong
    third = inspect_tagger(trained, path, number=3).content
    assert (third["title"], third["symbols"][2]) == (f"{path}, line 10", "Lolton")
    with pytest.raises(DataError, match="number: there is no sentence 4; 3 sentences, counted from 1 on"):
        inspect_tagger(trained, path, number=4)
    # They are counted as in predictions, where empty ones are too.
    gap = tmp_path / "gap.jsonl"
    sentences = [(["Ada", "left"], ["B-PER", "O"]), ([], []), (["Bonton"], ["B-LOC"])]
    gap.write_text("".join(json.dumps({"tokens": tokens, "tags": tags}) + "\n" for tokens, tags in sentences))
    assert trained.predict(gap)["sentence"].to_list() == [1, 1, 3]
    third = inspect_tagger(trained, gap, number=3).content
    assert (third["title"], third["symbols"], third["tags"]["true"]) == (f"{gap}, line 3", ["Bonton"], ["B-LOC"])
    with pytest.raises(DataError, match="line 2: has no word that could be read"):
        inspect_tagger(trained, gap, number=2)
    with pytest.raises(DataError, match="number: there is no sentence 4; 3 sentences, counted from 1 on"):
        inspect_tagger(trained, gap, number=4)
    plain = tmp_path / "plain.txt"
    plain.write_text("Ada left New Kanburg.\nAda saw Bonton.\n")
    first = inspect_tagger(trained, plain).content
    assert first["symbols"] == ["Ada", "left", "New", "Kanburg", "."]
    assert first["tags"]["true"] is None
    assert first["answers"]["notes"][0].startswith("tags were not read: ")
    assert "names.conll, line " in inspect_tagger(trained).content["title"]


def test_sentences_themselves_are_looked_at_as_they_are_predicted(made: Path) -> None:  # noqa: F811
    trained = TrainedTagger.load(made / "run")
    for data in ([TEXT, "She left."], [TOKENS, ["She", "left"]], (TOKENS, ["She", "left"])):
        content = inspect_tagger(trained, data).content
        assert (content["title"], content["symbols"]) == ("the data, row 1", TOKENS)
        assert content["tags"]["told"] == trained.predict(data).filter(pl.col("sentence") == 1)["tag"].to_list()
        assert content["tags"]["true"] is None
        assert not any("tags were not read" in note for note in content["answers"]["notes"])
    assert inspect_tagger(trained, [[], ["She", "left"]], number=2).content["symbols"] == ["She", "left"]
    # Two lists in a tuple are tokens and tags.
    told = inspect_tagger(trained, ([["Ada", "left"]], [["B-PER", "O"]])).content
    assert told["tags"]["true"] == ["B-PER", "O"]
    with pytest.raises(DataError, match="the data: have no sentence; give one at least"):
        inspect_tagger(trained, [])
    with pytest.raises(TypeError, match="sentence 1 is list; give a text, or a list of tokens"):
        inspect_tagger(trained, [["Ada", 1]])


def test_what_cannot_be_looked_at(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    trained = TrainedTagger.load(made / "run")
    for text in ("", " \n "):
        with pytest.raises(DataError, match="your text: has no word that could be read"):
            inspect_tagger(trained, text=text)
    with pytest.raises(OptionError, match="data: would be ignored, for the text itself is given"):
        inspect_tagger(trained, ["so"], text="so")
    with pytest.raises(OptionError, match="number: would be ignored"):
        inspect_tagger(trained, number=3, text="so")
    monkeypatch.setattr(read_text, "MAX_SYMBOLS", 3)
    content = inspect_tagger(trained, text=TEXT).content
    assert content["cut"] == "the first 3 of 6 words, as if it ended there"
    assert content["symbols"] == TOKENS[:3]
    assert len(content["tags"]["told"]) == 3


def test_without_the_sentences_of_the_run_nothing_is_checked(made: Path, tmp_path: Path) -> None:  # noqa: F811
    shutil.copytree(made / "run", tmp_path / "run")
    content = json.loads((tmp_path / "run" / "schema.json").read_text())
    content["source"]["paths"] = [str(tmp_path / "gone.conll")]
    (tmp_path / "run" / "schema.json").write_text(json.dumps(content))
    answers = inspect_tagger(TrainedTagger.load(tmp_path / "run"), text="Ada left.").content["answers"]
    assert answers["check"] is None
    assert answers["unchecked"].startswith("the run's own sentences are not there: ")
