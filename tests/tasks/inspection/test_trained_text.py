"""What is inside a classifier of texts, against its network run by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.texts.conftest import Made, drawn, made  # noqa: F401

from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.errors import DataError, OptionError
from recur.inspection_format import FORMAT
from recur.models.texts.options import TextClassifierOptions
from recur.report.inspection import read_inspection
from recur.run import RunFolder
from recur.tasks.inspection import read_text
from recur.tasks.inspection.trained_text import inspect_text_classifier
from recur.tasks.texts.explanation import explain_texts
from recur.tasks.texts.setup import TextLabelSetup
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.token_ids import UNKNOWN

TEXT = 'My day was "so tasty" and  loud, zzz!'
TOKENS = ["My", "day", "was", '"', "so", "tasty", '"', "and", "loud", ",", "zzz", "!"]
BETWEEN = [" ", " ", " ", "", " ", "", " ", "  ", "", " ", "", ""]


@pytest.mark.parametrize("is_multi", [False, True])
def test_what_is_said_of_a_text_of_ones_own(made: Made, is_multi: bool, tmp_path: Path) -> None:  # noqa: F811
    trained = TrainedTextClassifier.load(made(is_multi) / "run")
    found = inspect_text_classifier(trained, text=TEXT)
    content = found.content
    assert (content["format"], content["kind"], content["unit"]) == (FORMAT, "text", "word")
    assert (content["title"], content["cut"]) == ("your text", "")
    assert content["symbols"] == TOKENS
    assert content["between"] == BETWEEN
    ids = trained.setup.vocabulary.encode(TEXT).tolist()
    assert {one["symbol"] for one in content["unknown"]} == {
        token for token, number in zip(TOKENS, ids, strict=True) if number == UNKNOWN
    }
    answers = content["answers"]["answers"]
    row = trained.predict([TEXT]).row(0, named=True)
    told = row["kind"] if is_multi else [row["kind"]]
    assert {one["name"] for one in answers if "told" in one["said"]} == {f"class {name}" for name in told}
    chances = [row[f"p({one['name'].removeprefix('class ')})"] for one in answers]
    assert [one["said"].removesuffix(", told") for one in answers] == [f"probability {each:.1%}" for each in chances]
    assert chances[len(told) :] == sorted(chances[len(told) :], reverse=True)
    assert all(one["came"] == "" for one in answers)
    codes = [trained.classes.index(one["name"].removeprefix("class ")) for one in answers]
    for one, shares, expected in zip(
        answers, found.tensors["answers.shares"], explain_texts(trained, [TEXT] * len(codes), codes), strict=True
    ):
        np.testing.assert_allclose(shares[:, 0].numpy(), expected.shares, rtol=1e-5, atol=1e-6)
        assert one["answer"] == pytest.approx(expected.answer)
        assert one["sum"] == pytest.approx(expected.shares.sum())
    json.dumps(content, allow_nan=False)
    found.write(RunFolder.create(tmp_path / "run"))
    seen = read_inspection(RunFolder(tmp_path / "run"))
    assert not seen.left_out
    assert seen.answers is not None
    assert seen.answers.answers[0].speak_for == tuple(tuple(pair) for pair in answers[0]["strongest"]["for"])


def test_attention_and_states_are_those_of_the_network(made: Made) -> None:  # noqa: F811
    trained = TrainedTextClassifier.load(made(False) / "run")
    found = inspect_text_classifier(trained, text=TEXT)
    network: Any = trained.network
    x = torch.from_numpy(trained.setup.vocabulary.encode(TEXT).astype(np.int64))[None]
    lengths = torch.tensor([x.shape[1]])
    with torch.no_grad():
        weights = [one.encoder.attention(one.embedded(x), lengths)[:, 0] for one in network.networks]
        outputs, _ = network.networks[0].encoder.recurrent(network.networks[0].embedded(x), lengths=lengths)
    torch.testing.assert_close(found.tensors["answers.attention"], torch.stack(weights).mean(0))
    assert [layer["name"] for layer in found.content["layers"]] == [
        "encoder.recurrent.l0",
        "encoder.recurrent.l0_reverse",
    ]
    for number in range(2):
        scale = found.content["layers"][number]["scales"]["h"]
        stored = found.tensors[f"layers.{number}.h"].float() * (scale / 127)
        torch.testing.assert_close(stored, outputs[:, 0, 16 * number : 16 * number + 16], rtol=0, atol=scale / 200)
    assert any("ensemble of 2" in note for note in found.content["answers"]["notes"])
    assert any("_reverse" in note for note in found.content["answers"]["notes"])
    check = found.content["answers"]["check"]
    assert check["is_faithful"]
    assert check["chosen"][2] > check["random"][2]
    assert "speaks" in [one["key"] for one in found.content["properties"]]


def test_texts_of_data_by_number_or_the_worst(made: Made, tmp_path: Path) -> None:  # noqa: F811
    trained = TrainedTextClassifier.load(made(False) / "run")
    path = tmp_path / "other.tsv"
    rows = [*zip(*drawn(20, seed=6), strict=True)]
    rows[7] = ("the day was tasty", "music")
    path.write_text("review\tkind\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    worst = inspect_text_classifier(trained, path).content
    assert worst["title"] == f"{path}, row 8"
    assert worst["answers"]["notes"][0].startswith("layers")
    told = {one["name"]: one["came"] for one in worst["answers"]["answers"]}
    assert told == {"class food": "not true", "class music": "a true class", "class sport": "not true"}
    third = inspect_text_classifier(trained, path, number=3).content
    assert (third["title"], third["symbols"][0]) == (f"{path}, row 3", rows[2][0].split()[0])
    with pytest.raises(DataError, match="number: there is no text 21; 20 texts, counted from 1 on"):
        inspect_text_classifier(trained, path, number=21)
    with pytest.raises(DataError, match="number: there is no text 0"):
        inspect_text_classifier(trained, path, number=0)
    # They are counted as in predictions, where empty ones are too.
    gap = tmp_path / "gap.tsv"
    gap.write_text(f"review\tkind\n\tfood\n{rows[2][0]}\t{rows[2][1]}\n")
    second = inspect_text_classifier(trained, gap, number=2).content
    assert (second["title"], second["symbols"]) == (f"{gap}, row 2", third["symbols"])
    assert any(one["came"] == "a true class" for one in second["answers"]["answers"])
    # Without labels the first that has a token is looked at.
    plain = tmp_path / "plain.txt"
    plain.write_text("\n" + "".join(f"{text}\n" for text, _ in rows))
    first = inspect_text_classifier(trained, plain).content
    assert (first["title"], first["symbols"][0]) == (f"{plain}, line 2", rows[0][0].split()[0])
    assert first["answers"]["notes"][0].startswith("labels were not read: ")
    own = inspect_text_classifier(trained, number=2).content
    assert "texts.tsv, row " in own["title"]


def test_texts_themselves_are_looked_at_as_they_are_predicted(
    made: Made,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = TrainedTextClassifier.load(made(False) / "run")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasty").write_text("review\tkind\nso loud\tmusic\n")
    for data in (["", "tasty"], pl.Series(["", "tasty"])):
        found = inspect_text_classifier(trained, data).content
        assert (found["title"], found["symbols"]) == ("the data, row 2", ["tasty"])
    assert not any("labels were not read" in note for note in found["answers"]["notes"])
    assert inspect_text_classifier(trained, ["so", "tasty"], number=2).content["symbols"] == ["tasty"]
    with pytest.raises(DataError, match="the data, row 1: has no word that could be read"):
        inspect_text_classifier(trained, [""])
    with pytest.raises(DataError, match="the data: have no text; give one at least"):
        inspect_text_classifier(trained, [])


def test_what_cannot_be_looked_at(made: Made, tmp_path: Path) -> None:  # noqa: F811
    trained = TrainedTextClassifier.load(made(False) / "run")
    for text in ("", " \n "):
        with pytest.raises(DataError, match="your text: has no word that could be read"):
            inspect_text_classifier(trained, text=text)
    with pytest.raises(OptionError, match="data: would be ignored, for the text itself is given"):
        inspect_text_classifier(trained, ["so"], text="so")
    with pytest.raises(OptionError, match="number: would be ignored"):
        inspect_text_classifier(trained, number=3, text="so")


def test_without_the_texts_of_the_run_nothing_is_checked(made: Made, tmp_path: Path) -> None:  # noqa: F811
    shutil.copytree(made(False) / "run", tmp_path / "run")
    content = json.loads((tmp_path / "run" / "schema.json").read_text())
    content["source"]["paths"] = [str(tmp_path / "gone.tsv")]
    (tmp_path / "run" / "schema.json").write_text(json.dumps(content))
    trained = TrainedTextClassifier.load(tmp_path / "run")
    answers = inspect_text_classifier(trained, text="so tasty").content["answers"]
    assert answers["check"] is None
    assert answers["unchecked"].startswith("the run's own texts are not there: ")
    assert "gone.tsv" in answers["unchecked"]


@pytest.mark.parametrize(("kind", "unit"), [("character", "character"), ("bpe", "token"), ("space", "word")])
def test_other_tokens(kind: Any, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Ålesund und Köln", "Rio de Janeiro", "日本 東京"] * 4
    options = TokenOptions(tokens=kind, lowercase=kind == "space", min_count=None if kind == "bpe" else 1)
    setup = TextLabelSetup(
        vocabulary=TextVocabulary.fit(texts, options),
        classes=("a", "b"),
        is_multi=False,
        counts=(6, 6),
        num_texts=12,
    )
    chosen = TextClassifierOptions(hidden_size=4, members=1, cell="lstm", num_layers=2, pooling="max").completed()
    trained = TrainedTextClassifier(TrainedTextClassifier.build(chosen, setup), setup, chosen)
    monkeypatch.setattr(read_text, "MAX_SYMBOLS", 9)
    text = "Köln  und 日本: Bonn am Rhein"
    found = inspect_text_classifier(trained, text=text, seed=1)
    content = found.content
    assert content["unit"] == unit
    shown = "".join(one + after for one, after in zip(content["symbols"], content["between"], strict=True))
    if kind != "bpe":
        assert text.startswith(shown)
    assert len(content["symbols"]) <= 9
    if kind == "character":
        assert content["cut"] == "the first 9 of 27 characters, as if it ended there"
    assert len(content["answers"]["answers"]) == 1
    assert "answers.attention" not in found.tensors
    assert [layer["name"] for layer in content["layers"]] == [
        f"encoder.recurrent.l{number}{end}" for number in range(2) for end in ("", "_reverse")
    ]
    assert content["answers"]["unchecked"].startswith("the run's own texts are not there")
    json.dumps(content, allow_nan=False)
