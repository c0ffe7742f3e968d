"""An inspection from end to end: what is written, and that a planted unit is found in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recur.data.tokenizer import CharacterTokenizer
from recur.errors import DataError, RunError
from recur.gradients import Training
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.inspection import Inspection, inspect_text
from recur.tasks.passage import passage_of_text
from recur.tasks.text_recording import record_text
from recur.tasks.trained_language import TrainedLanguageModel, load

WORDS = 'The cat, said the dog, sat "on the mat"; and the rat sat too.\n' * 12


def inspected(trained: TrainedLanguageModel, text: str = WORDS, **options: Any) -> Inspection:
    return inspect_text(trained, passage_of_text(trained.tokenizer, [text]), **options)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "mgu", "ligru"])
@pytest.mark.parametrize("shape", [{}, {"residual": True, "tied": True, "initial_state": "learned"}])
def test_all_that_the_format_names_is_there(make_run: Any, tmp_path: Path, cell: str, shape: Any) -> None:
    run = make_run(tmp_path / "run", cell=cell, **shape)
    trained = load(run)
    found = inspected(trained)
    found.write(run)
    content = json.loads((run.path / "inspect.json").read_bytes())
    tensors = load_file(run.path / "inspect.safetensors")
    num_symbols, size = len(WORDS), trained.tokenizer.vocabulary_size
    assert content == json.loads(json.dumps(found.content))
    assert (content["format"], content["kind"], content["unit"], content["cut"]) == (1, "text", "character", "")
    assert content["symbols"] == list(WORDS)
    assert content["losses"] == pytest.approx((-trained.log_probs(WORDS, unknown="map")).tolist(), abs=1e-4)
    assert content["model"] == {
        "name": f"{ {'ligru': 'LiGRU'}.get(cell, cell.upper()) }, 2 x 6 units",
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "vocabulary_size": size,
        "embedding_size": 6,
        "tied": shape.get("tied", False),
        "residual": shape.get("residual", False),
    }
    recording = record_text(trained, trained.tokenizer.encode(WORDS, unknown="map"))
    assert len(content["layers"]) == 2
    for number, (layer, own) in enumerate(zip(content["layers"], recording.layers, strict=True)):
        assert (layer["name"], layer["cell"]) == (f"layers.{number}", cell)
        assert (layer["input_size"], layer["hidden_size"]) == (6, 6)
        assert layer["states"] == (["h", "c"] if cell == "lstm" else ["h"])
        assert layer["weights"]["weight_hh_l0"][1] == 6
        for part in (*layer["states"], *layer["gates"]):
            values = tensors[f"layers.{number}.{part}"]
            assert values.dtype == torch.int8
            back = values.numpy() * (layer["scales"][part] / 127)
            assert np.abs(back - own.parts[part]).max() <= layer["scales"][part] / 250
        assert tensors[f"pca.{number}"].shape == (num_symbols, 2)
        assert len(layer["explained"]) == 2
    shapes = {
        name: tuple(tensors[name].shape) for name in ("next.ids", "next.probs", "first.embedding", "first.logits")
    }
    assert shapes == {
        "next.ids": (num_symbols, 8),
        "next.probs": (num_symbols, 8),
        "first.embedding": (4, 6),
        "first.logits": (4, size),
    }
    assert content["next"]["count"] == 8
    assert content["next"]["vocabulary"] == [trained.tokenizer.symbol(token) for token in range(size)]
    for each in content["properties"]:
        assert tensors[f"property.{each['key']}"].shape == (num_symbols,)
        assert (each["chance"] is None) == (each["note"] != "") == (each["units"] == [])
    shares = {each["key"]: each["share"] for each in content["properties"]}
    assert shares["inside_quotes"] == pytest.approx(12 * 11 / len(WORDS), abs=1e-4)
    assert shares["position_in_line"] is None
    assert tensors["attribution.occlusion"].shape == (48, content["attribution"]["window"])
    assert content["probe"]["num_steps"] == 96
    assert [layer["name"] for layer in content["probe"]["layers"]] == ["layers.0", "layers.1"]
    assert all(set(finding) == {"name", "what", "evidence", "advice"} for finding in content["diagnosis"])


def test_bytes_and_tokens(trained: TrainedLanguageModel) -> None:
    found = inspected(trained, 'naïve café: "hat"!\n' * 20)
    count = len(found.content["symbols"])
    assert found.content["unit"] == {"character": "character", "byte": "byte", "bpe": "token"}[trained.tokenizer.kind]
    assert found.tensors["layers.0.h"].shape == (count, 6)
    assert {len(value) for name, value in found.tensors.items() if name.startswith("property.")} == {count}
    quotes = found.tensors["property.inside_quotes"]
    assert 0 < float(quotes.mean()) < 0.5


def follower(text: str) -> TrainedLanguageModel:
    """A network whose unit 3 is whether a letter is upper case, and whose other units are noise."""
    tokenizer = CharacterTokenizer.of(text)
    options = LanguageModelOptions(cell="rnn", num_layers=1, hidden_size=8, embedding_size=8, dropout=0.0)
    torch.manual_seed(2)
    model = LanguageModel(tokenizer.vocabulary_size, options)
    layer: Any = model.layers[0]
    with torch.no_grad():
        model.embedding.weight[:, 3] = torch.tensor(
            [float(tokenizer.symbol(token).isupper()) for token in range(tokenizer.vocabulary_size)]
        )
        for weight in (layer.weight_ih_l0, layer.weight_hh_l0):
            weight[3] = 0
        layer.bias_ih_l0[3] = layer.bias_hh_l0[3] = 0
        layer.weight_ih_l0[3, 3] = 1
    return TrainedLanguageModel(model, tokenizer, np.ones(tokenizer.vocabulary_size, dtype=np.int64))


def test_a_unit_that_is_a_property_is_found_with_score_1_and_holds() -> None:
    draw = np.random.default_rng(0)
    text = "".join(draw.choice(list("abCDe .\n"), 800).tolist())
    found = inspected(follower(text), text)
    (upper,) = [each for each in found.content["properties"] if each["key"] == "upper_case"]
    assert upper["units"][0] == {
        "layer": 0,
        "part": "h",
        "unit": 3,
        "score": 1.0,
        "held_out": 1.0,
        "sign": 1,
        "verdict": "holds",
    }
    digit = next(each for each in found.content["properties"] if each["key"] == "digit")
    assert (digit["units"], digit["note"]) == ([], "too rare in this text to judge")


def test_labels_of_ones_own() -> None:
    draw = np.random.default_rng(1)
    text = "".join(draw.choice(list("abCDe .\n"), 800).tolist())
    trained = follower(text)
    mine = [character.isupper() for character in text]
    found = inspected(trained, text, labels=mine)
    own = found.content["properties"][-1]
    assert (own["key"], own["name"], own["units"][0]["unit"], own["units"][0]["score"]) == ("label", "your label", 3, 1)
    assert found.tensors["property.label"].tolist() == [float(label) for label in mine]
    meaningless = inspected(trained, text, labels=draw.random(800) < 0.5).content["properties"][-1]
    assert {unit["verdict"] for unit in meaningless["units"]} == {"chance"}
    with pytest.raises(DataError, match=r"^labels: there are 3 labels for 800 characters"):
        inspected(trained, text, labels=[1, 0, 1])


@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
def test_the_probe_looks_at_pieces_from_the_states_that_the_model_had_there(
    make_run: Any, tmp_path: Path, initial_state: str
) -> None:
    """The gates over all of its steps are those of the text's: the pieces of a text of 4 x 96 + 2 symbols are all."""
    trained = load(make_run(tmp_path / "run", initial_state=initial_state))
    ids = trained.tokenizer.encode(WORDS, unknown="map")[: 4 * 96 + 2]
    passage = passage_of_text(trained.tokenizer, [WORDS[: len(ids)]])
    recording = record_text(trained, ids)
    content = inspect_text(trained, passage).content["probe"]
    for own, layer in zip(content["layers"], recording.layers, strict=True):
        for name, gate in own["gates"].items():
            assert gate["mean"] == pytest.approx(float(layer.parts[name][1:-1].mean()), abs=1e-4)


def test_a_network_that_forgets_at_once_is_diagnosed(make_run: Any, tmp_path: Path) -> None:
    trained = load(make_run(tmp_path / "run", cell="rnn"))
    with torch.no_grad():
        for layer in trained.model.layers:
            layer.weight_hh_l0 *= 1e-3
    names = [finding["name"] for finding in inspected(trained, training=Training(window=64)).content["diagnosis"]]
    assert "vanishing gradient" in names
    assert inspected(trained, training=Training(window=200)).content["probe"]["num_steps"] == 200


def test_the_same_seed_gives_the_same(characters: TrainedLanguageModel) -> None:
    first, again, other = (inspected(characters, seed=seed) for seed in (3, 3, 4))
    assert first.content == again.content
    assert first.tensors.keys() == again.tensors.keys()
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert first.content["properties"] != other.content["properties"]
    assert first.content["losses"] == other.content["losses"]


def test_one_symbol(characters: TrainedLanguageModel) -> None:
    found = inspected(characters, "a")
    assert found.content["attribution"]["methods"] == []
    assert {each["note"] != "" for each in found.content["properties"]} == {True}
    assert found.tensors["first.logits"].shape[0] == 1
    assert (found.content["probe"], found.content["diagnosis"]) == (None, [])


def test_stages_are_told(characters: TrainedLanguageModel) -> None:
    told: list[str] = []
    inspected(characters, "the cat", stage=told.append)
    assert told == [
        "reading the text",
        "searching for units that follow a property",
        "asking what its predictions rest on",
        "looking at the gradient through time",
    ]


def test_a_write_that_fails_leaves_no_words_to_other_tensors(
    characters: TrainedLanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create(tmp_path / "run")
    found = inspected(characters, "the cat")
    found.write(run)
    before = (run.path / "inspect.safetensors").read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(RunError, match=r"inspect\.safetensors: the disk is full"):
        found.write(run)
    assert not run.has("inspect.json")
    assert (run.path / "inspect.safetensors").read_bytes() == before
