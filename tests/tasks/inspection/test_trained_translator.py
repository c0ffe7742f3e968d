"""What is inside a translator, against its network run by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks.translate.test_trained import always, made, pairs

from recur.errors import DataError, OptionError
from recur.inspection_format import DECODER
from recur.report.inspection import read_inspection
from recur.run import RunFolder
from recur.tasks.inspection import read_text, trained_translator
from recur.tasks.inspection.trained_translator import inspect_translator
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.watched import WatchedSearch, watch
from recur.token_ids import END

SOURCE = "red old house  new door"
TOKENS = ["red", "old", "house", "new", "door"]


def short(trained: TrainedTranslator) -> TrainedTranslator:
    """Return a translator that writes a few words at most."""
    trained.decoding = replace(trained.decoding, min_length=3, max_length=9)
    return trained


def test_the_encoder_and_what_was_written(tmp_path: Path) -> None:
    trained = short(made())
    found = inspect_translator(trained, text=SOURCE)
    content = found.content
    assert (content["title"], content["unit"], content["symbols"]) == ("your text", "word", TOKENS)
    assert content["between"] == [" ", " ", "  ", " ", ""]
    assert [layer["name"] for layer in content["layers"]] == ["encoder.l0", "encoder.l0_reverse"]
    (best,) = trained.translate([SOURCE])[0]
    writing = content["writing"]
    assert writing["answers"][0]["text"] == best.text
    assert writing["answers"][0]["score"] == pytest.approx(best.score)
    assert (writing["source"], writing["written"], writing["right"]) == (TOKENS, list(best.tokens), None)
    assert best.attention is not None
    torch.testing.assert_close(found.tensors["writing.attention"], best.attention)
    assert found.tensors["writing.gradient"].shape == best.attention.shape
    assert writing["tree"][0] == {"parent": None, "token": "", "log_prob": 0.0, "continued": True}
    network = trained.networks[0]
    (batch,) = trained.batches([SOURCE])
    with torch.no_grad():
        outputs, _ = network.encoder(network.source_embedding(batch.x.t()), lengths=batch.lengths)
    for number in range(2):
        scale = content["layers"][number]["scales"]["h"]
        stored = found.tensors[f"layers.{number}.h"].float() * (scale / 127)
        torch.testing.assert_close(stored, outputs[:, 0, 8 * number : 8 * number + 8], rtol=0, atol=scale / 200)
    answers = content["answers"]["answers"]
    assert 1 <= len(answers) <= 6
    assert answers[0]["name"].startswith("token ")
    assert content["answers"]["unchecked"].startswith("the run's own texts are not there")
    assert "looked_at" in [one["key"] for one in content["properties"]]
    json.dumps(content, allow_nan=False)
    run = RunFolder.create(tmp_path / "run")
    found.write(run)
    seen, decoder = read_inspection(run), read_inspection(run, DECODER)
    assert not seen.left_out
    assert not decoder.left_out
    assert seen.writing is not None
    assert seen.writing.tree is not None
    assert len(seen.writing.tree.nodes) == len(writing["tree"])
    assert decoder.is_of_states
    # Of a network without one no old decoder is left.
    replace(found, decoder=None).write(run)
    assert not run.has(f"{DECODER}.json")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"input_feeding": True, "num_layers": 2, "residual": True},
        {"attention": "none", "cell": "gru"},
        {"copying": True},
        {"members": 2, "tied": "output", "embedding_size": 8},
    ],
    ids=str,
)
def test_the_decoder_is_that_which_wrote(options: dict[str, Any]) -> None:
    trained = short(made(**options))
    found = inspect_translator(trained, text=SOURCE)
    assert found.decoder is not None
    content, tensors = found.decoder.content, found.decoder.tensors
    (best,) = trained.translate([SOURCE])[0]
    assert content["symbols"] == ["⟨begin⟩", *best.tokens]
    assert all(layer["name"].startswith("decoder") for layer in content["layers"])
    assert all(layer["initial"] == "computed" for layer in content["layers"])
    assert [layer["name"].startswith("encoder") for layer in found.content["layers"]] == [True] * len(
        found.content["layers"]
    )
    if options.get("members", 1) == 1:
        # With the end, or cut off before it.
        ends = sum(content["losses"][1:])
        assert -ends >= best.log_prob - 1e-2
        place = content["next"]["vocabulary"].index(best.tokens[0])
        shown = tensors["next.ids"][0].tolist()
        if place in shown:
            assert float(tensors["next.probs"][0, shown.index(place)]) == pytest.approx(
                np.exp(-content["losses"][1]), abs=1e-3
            )
    network = trained.networks[0]
    (batch,) = trained.batches([SOURCE])
    vocabulary = trained.setup.target_vocabulary
    ids = [vocabulary.id_of(token) for token in best.tokens]
    if not options.get("copying"):
        with torch.no_grad():
            read = network.read(batch.x, batch.lengths, batch.copies)
            y = torch.tensor([END, *ids])[:, None]
            state, fed, alignment, last = None, None, None, []
            for step in y.split(1):
                written = network.write(read, step, state=state, alignment=alignment, fed=fed)
                state, alignment = written.state, written.alignment
                fed = written.features[0] if options.get("input_feeding") else None
                last.append((state[0] if isinstance(state, tuple) else state)[-1, 0])
        number = len(content["layers"]) - 1
        scale = content["layers"][number]["scales"]["h"]
        stored = tensors[f"layers.{number}.h"].float() * (scale / 127)
        torch.testing.assert_close(stored, torch.stack(last), rtol=0, atol=scale / 100)
    assert ("writing.attention" in found.tensors) == (options.get("attention") != "none")
    assert found.content["output"]["title"] == ("decoder" if options.get("attention") == "none" else "attention")
    notes = found.content["answers"]["notes"]
    assert any("ensemble of 2" in note for note in notes) == (options.get("members") == 2)
    json.dumps(content, allow_nan=False)


def test_why_it_was_not_checked_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = short(made())
    sources = [" ".join(words) for words in product(TOKENS, repeat=3)][:60]
    targets = [source.upper() for source in sources]

    def looked_at(count: int) -> dict[str, Any]:
        found: dict[str, Any] = inspect_translator(trained, (sources[:count], targets[:count]), number=1).content
        return found["answers"]

    assert looked_at(2)["unchecked"] == "there are too few other texts of 2 to 60 tokens"

    def watched(answered: set[str]) -> list[str]:
        """Leave all texts without an answer but these, and return a list of those that will be tried."""
        tried: list[str] = []

        def find(trained: TrainedTranslator, source: str) -> WatchedSearch:
            tried.append(source)
            found = watch(trained, source)
            if source in answered:
                return found
            return replace(found, hypotheses=(replace(found.hypotheses[0], tokens=()),))

        monkeypatch.setattr(trained_translator, "watch", find)
        return tried

    watched({sources[0]})
    assert looked_at(60)["unchecked"] == "of 48 other texts the answers are empty, all of them"
    watched({sources[0], sources[59]})
    assert looked_at(60)["unchecked"] == "of 48 other texts the answers are empty, but for one"
    # But one of these is among the first that are tried, and others among the further ones.
    tried = watched({sources[0], *sources[2:5]})
    found = looked_at(60)
    assert found["check"] is not None
    assert found["unchecked"] == ""
    assert 13 < len(tried) < 49


def test_texts_of_data_by_number_or_the_worst(tmp_path: Path) -> None:
    trained = short(made())
    sources, targets = pairs(12)
    path = tmp_path / "other.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{one}\t{two}\n" for one, two in zip(sources, targets, strict=True)))
    third = inspect_translator(trained, path, number=3).content
    assert (third["title"], third["writing"]["right"]) == (f"{path}, row 3", targets[2])
    assert third["symbols"] == sources[2].split()
    # The others are there, to check what is said to contribute.
    assert third["answers"]["check"] is not None
    worst = inspect_translator(trained, path).content
    likely = []
    for one, two in zip(sources, targets, strict=True):
        (batch,) = trained.batches([one], [two])
        with torch.no_grad():
            likely.append(float(trained.networks[0].loss(batch)))
    assert worst["symbols"] == sources[int(np.argmax(likely))].split()
    with pytest.raises(DataError, match="number: there is no pair 13; 12 pairs, counted from 1 on"):
        inspect_translator(trained, path, number=13)
    # They are counted as in predictions, where those with an empty text are too.
    gap = tmp_path / "gap.tsv"
    gap.write_text(f"source\ttarget\n\tx\n{sources[2]}\t{targets[2]}\n{sources[3]}\t\n")
    second = inspect_translator(trained, gap, number=2).content
    assert (second["title"], second["writing"]["right"]) == (f"{gap}, row 2", targets[2])
    assert second["symbols"] == sources[2].split()
    last = inspect_translator(trained, gap, number=3).content
    assert (last["title"], last["writing"]["right"]) == (f"{gap}, row 3", None)
    assert last["symbols"] == sources[3].split() == trained.predict(gap)["source"][2].split()
    with pytest.raises(DataError, match="row 1: has no word that could be read"):
        inspect_translator(trained, gap, number=1)
    with pytest.raises(DataError, match="number: there is no pair 4; 3 pairs, counted from 1 on"):
        inspect_translator(trained, gap, number=4)
    plain = tmp_path / "plain.txt"
    plain.write_text("red door\nold house\n")
    first = inspect_translator(trained, plain).content
    assert (first["symbols"], first["writing"]["right"]) == (["red", "door"], None)
    assert first["answers"]["notes"][0].startswith("targets were not read: ")
    # Without targets the first that has a token is looked at.
    assert inspect_translator(trained, ["", "old house"]).content["symbols"] == ["old", "house"]


def test_turns_of_a_conversation_that_say_the_same_are_told_apart(tmp_path: Path) -> None:
    trained = short(made())
    path = tmp_path / "talk.jsonl"
    turns = ["red door", "red door", "old house", "red door"]
    path.write_text(json.dumps({"turns": turns}) + "\n")
    # The last turn is answered in predictions, but what is right after it is not known.
    assert trained.predict(path)["source"].to_list() == turns
    right = [inspect_translator(trained, path, number=number).content["writing"]["right"] for number in range(1, 5)]
    assert right == [*turns[1:], None]


def test_what_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = short(made())
    with pytest.raises(DataError, match="your text: has no word that could be read"):
        inspect_translator(trained, text=" \n ")
    with pytest.raises(OptionError, match="data: would be ignored, for the text itself is given"):
        inspect_translator(trained, ["so"], text="so")
    monkeypatch.setattr(read_text, "MAX_SYMBOLS", 3)
    content = inspect_translator(trained, text=SOURCE).content
    assert content["cut"] == "the first 3 of 5 words, as if it ended there"
    assert content["writing"]["source"] == TOKENS[:3]


def test_a_long_text_of_a_bpe_is_cut_between_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = short(made("bpe"))
    monkeypatch.setattr(read_text, "MAX_SYMBOLS", 10)
    content = inspect_translator(trained, text="猫" * 5).content
    assert content["cut"] == "the first 9 of 15 tokens, as if it ended there"
    assert len(content["symbols"]) == len(content["writing"]["source"]) == 9


def test_an_answer_without_a_token() -> None:
    found = inspect_translator(always(made(), END), text=SOURCE)
    assert found.content["writing"]["answers"][0]["text"] == ""
    assert found.content["answers"]["answers"] == []
    assert "writing.gradient" not in found.tensors
    assert found.decoder is not None
    assert found.decoder.content["symbols"] == ["⟨begin⟩"]
    json.dumps(found.content, allow_nan=False)
