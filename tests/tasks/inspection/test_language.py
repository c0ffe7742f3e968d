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
from recur.errors import DataError
from recur.gradients import Training
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.tasks.inspection.content import Inspection, layers_content
from recur.tasks.inspection.language import inspect_language_model
from recur.tasks.inspection.language_recording import record_text
from recur.tasks.inspection.passage import passage_of_text
from recur.tasks.language.trained import TrainedLanguageModel, load

WORDS = 'The cat, said the dog, sat "on the mat"; and the rat sat too.\n' * 12


def inspected(trained: TrainedLanguageModel, text: str = WORDS, **options: Any) -> Inspection:
    return inspect_language_model(trained, passage_of_text(trained.tokenizer, [text]), **options)


def test_all_that_the_format_names_is_there(make_run: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", residual=True, tied=True, initial_state="learned")
    trained = load(run)
    found = inspected(trained)
    found.write(run)
    content = json.loads((run.path / "inspect.json").read_bytes())
    tensors = load_file(run.path / "inspect.safetensors")
    num_symbols, size = len(WORDS), trained.tokenizer.vocabulary_size
    assert content == json.loads(json.dumps(found.content))
    assert (content["format"], content["kind"], content["unit"], content["cut"]) == (1, "text", "character", "")
    assert content["weights"] == run.weights_checksum()
    assert content["symbols"] == list(WORDS)
    assert content["losses"] == pytest.approx((-trained.log_probs(WORDS, unknown="map")).tolist(), abs=1e-4)
    assert content["model"] == {
        "name": "LSTM, 2 x 6 units",
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "vocabulary_size": size,
        "embedding_size": 6,
        "tied": True,
        "residual": True,
    }
    assert [layer["name"] for layer in content["layers"]] == ["layers.0", "layers.1"]
    shapes = {name: tuple(tensors[name].shape) for name in ("next.ids", "next.probs", "first.embedding")}
    assert shapes == {"next.ids": (num_symbols, 8), "next.probs": (num_symbols, 8), "first.embedding": (4, 6)}
    assert content["next"] == {"vocabulary": [trained.tokenizer.symbol(token) for token in range(size)]}
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
    named = {name for name in tensors if not name.startswith(("layers.", "property."))}
    assert named == {
        *("pca.0", "pca.1", "initial.0.h", "initial.0.c", "initial.1.h", "initial.1.c"),
        *("next.ids", "next.probs", "first.embedding", "attribution.positions"),
        *("attribution.gradient_input", "attribution.integrated_gradients", "attribution.occlusion"),
    }


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "mgu", "ligru"])
@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
def test_the_layers_of_every_cell(make_run: Any, tmp_path: Path, cell: str, initial_state: str) -> None:
    trained = load(make_run(tmp_path / "run", cell=cell, initial_state=initial_state))
    with torch.no_grad():
        for layer in trained.model.layers:
            for name, parameter in layer.named_parameters():
                # A learned state begins as zeros.
                parameter += 0.3 * torch.randn(parameter.shape) if name.endswith("_0") else 0
    recording = record_text(trained, trained.tokenizer.encode(WORDS, unknown="map"))
    content, tensors = layers_content(recording.layers)
    assert json.loads(json.dumps(content)) == content
    for number, (each, own) in enumerate(zip(content, recording.layers, strict=True)):
        assert (each["name"], each["cell"], each["options"]["bias"]) == (f"layers.{number}", cell, True)
        assert (each["input_size"], each["hidden_size"]) == (6, 6)
        assert each["states"] == (["h", "c"] if cell == "lstm" else ["h"])
        assert each["weights"]["weight_hh_l0"][1] == 6
        for part in (*each["states"], *each["gates"]):
            values = tensors[f"layers.{number}.{part}"]
            assert values.dtype == torch.int8
            back = values.numpy() * (each["scales"][part] / 127)
            assert np.abs(back - own.parts[part]).max() <= each["scales"][part] / 250
        assert tensors[f"pca.{number}"].shape == (len(WORDS), 2)
        assert len(each["explained"]) == 2
        assert each["initial"] == ("learned" if initial_state == "learned" else "zero")
        starts = {state: tensors.get(f"initial.{number}.{state}") for state in each["states"]}
        for state, start in starts.items():
            learned = getattr(trained.model.layers[number], f"{state}_0", None)
            assert (start is None) == (learned is None) == (initial_state == "zeros")
            assert start is None or torch.equal(start, learned.detach()[0])


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
    content = inspect_language_model(trained, passage).content["probe"]
    for own, layer in zip(content["layers"], recording.layers, strict=True):
        for name, gate in own["gates"].items():
            assert gate["mean"] == pytest.approx(float(layer.parts[name][1:-1].mean()), abs=1e-4)


def test_a_network_that_forgets_at_once_is_diagnosed(make_run: Any, tmp_path: Path) -> None:
    trained = load(make_run(tmp_path / "run", cell="rnn"))
    with torch.no_grad():
        for layer in trained.model.layers:
            layer.weight_hh_l0 *= 1e-3
    content = inspected(trained, WORDS[:130], training=Training(window=64, clipped=1.0)).content
    assert {"vanishing gradient", "clipping always active"} <= {each["name"] for each in content["diagnosis"]}
    # It forgets what a window of 64 steps cuts off: next to none of the gradient is lost.
    assert 0 < content["probe"]["truncated"] < 0.05


def test_the_same_seed_gives_the_same(characters: TrainedLanguageModel) -> None:
    first, again, other = (inspected(characters, WORDS[:80], seed=seed) for seed in (3, 3, 4))
    assert first.content == again.content
    assert first.tensors.keys() == again.tensors.keys()
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert first.content["properties"] != other.content["properties"]
    assert first.content["losses"] == other.content["losses"]


def test_one_symbol(characters: TrainedLanguageModel) -> None:
    found = inspected(characters, "a")
    assert found.content["attribution"]["methods"] == []
    assert {each["note"] != "" for each in found.content["properties"]} == {True}
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
