"""Attributions of predictions of text: planted ones recovered, aligned with the text, checked by deletion."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recur.gradients.attributions.attribution import METHODS
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.tasks.inspection.explained_predictions import ExplainedPredictions, explained_positions
from recur.tasks.inspection.language_attribution import explain_predictions
from recur.tasks.inspection.language_recording import record_text
from recur.tasks.language.trained import TrainedLanguageModel, load

WORDS = "the cat sat on the dog's mat; " * 10


def explained(trained: TrainedLanguageModel, ids: Any, starts: Any = None, **options: Any) -> ExplainedPredictions:
    return explain_predictions(trained, ids, record_text(trained, ids, starts), starts, **options)


def remembering(trained: TrainedLanguageModel, mark: int, other: int) -> TrainedLanguageModel:
    """A network with an LSTM of one unit that is set by the token `mark` and kept until `other` comes."""
    size = trained.tokenizer.vocabulary_size
    options = LanguageModelOptions(cell="lstm", num_layers=1, hidden_size=1, embedding_size=2, dropout=0.0)
    model = LanguageModel(size, options)
    layer: Any = model.layers[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # Of the embedding, feature 0 tells the mark and feature 1 the other token.
        model.embedding.weight[mark, 0] = model.embedding.weight[other, 1] = 1.0
        # Gates i, f, g, o: in at the mark, kept but where the other comes, always out.
        layer.weight_ih_l0[:, 0] = torch.tensor([12.0, 0.0, 3.0, 0.0])
        layer.weight_ih_l0[:, 1] = torch.tensor([0.0, -24.0, 0.0, 0.0])
        layer.bias_ih_l0[:] = torch.tensor([-6.0, 12.0, 0.0, 12.0])
        model.output.weight[mark, 0] = 4.0
    counts = np.zeros(size, dtype=np.int64)
    counts[-1] = 1
    return TrainedLanguageModel(model, trained.tokenizer, counts)


def test_the_one_symbol_that_a_network_remembers_is_found_by_all(characters: TrainedLanguageModel) -> None:
    trained = remembering(characters, mark=1, other=2)
    draw = np.random.default_rng(0)
    ids = draw.integers(3, characters.tokenizer.vocabulary_size - 1, 240)
    marks = [20, 100, 180]
    ids[marks] = 1
    ids[[place + 40 for place in marks]] = 2
    found = explained(trained, ids, window=30)
    checked = 0
    for row, position in enumerate(found.positions.tolist()):
        before = [place for place in marks if place <= position < place + 30]
        for method in METHODS:
            shares = found.shares[method][row].abs().numpy()
            if before:
                assert shares.argmax() == before[0] - position + 29
                # The network's gates are open or shut but for e^-6.
                assert np.sort(shares)[-2] < 0.02 * shares.max()
                checked += 1
    assert checked > 3 * len(METHODS)
    # A prediction of another symbol is less probable for the mark: by hand, -log of (V - 1 + e^4h) against V.
    size = trained.tokenizer.vocabulary_size
    h = math.tanh(math.tanh(3.0))
    row = next(n for n, place in enumerate(found.positions.tolist()) if 20 <= place < 45)
    expected = math.log(size) - math.log(size - 1 + math.exp(4 * h))
    assert float(found.shares["occlusion"][row].sum()) == pytest.approx(expected, rel=0.02)


def test_the_shares_of_integrated_gradients_add_up_to_the_change(characters: TrainedLanguageModel) -> None:
    """Of the log probability, against a window of mean embeddings, by hand with the model's own layers."""
    ids = characters.tokenizer.encode(WORDS)
    found = explained(characters, ids, window=16)
    recording = record_text(characters, ids)
    model = characters.model
    frequency = torch.from_numpy(characters.counts / characters.counts.sum()).float()
    mean = frequency @ model.embedding.weight.detach()
    for row in (0, 7, 20):
        position = int(found.positions[row])
        state = recording.state_after([position - 16], torch.device("cpu"))
        with torch.no_grad():
            _, hidden, _ = model.run_layers(mean.expand(16, 1, -1), state)
            without = torch.log_softmax(model.output(hidden[-1, 0]), 0)[ids[position + 1]]
        change = -float(recording.nats[position + 1]) - float(without)
        total = float(found.shares["integrated_gradients"][row].sum())
        # With 32 points the integral of this small network is good to a thousandth.
        assert total == pytest.approx(change, abs=5e-3)


def test_occlusion_is_the_change_when_a_symbol_is_replaced(characters: TrainedLanguageModel) -> None:
    ids = characters.tokenizer.encode(WORDS)
    found = explained(characters, ids, window=8)
    recording, model = record_text(characters, ids), characters.model
    frequency = torch.from_numpy(characters.counts / characters.counts.sum()).float()
    row = 5
    position = int(found.positions[row])
    embedded = model.embedding(torch.from_numpy(ids[position - 7 : position + 1])).detach().unsqueeze(1)
    for place in range(8):
        changed = embedded.clone()
        changed[place] = frequency @ model.embedding.weight.detach()
        with torch.no_grad():
            _, hidden, _ = model.run_layers(changed, recording.state_after([position - 8], torch.device("cpu")))
            said = torch.log_softmax(model.output(hidden[-1, 0]), 0)[ids[position + 1]]
        expected = -float(recording.nats[position + 1]) - float(said)
        assert float(found.shares["occlusion"][row, place]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
def test_no_window_reaches_back_over_the_beginning_of_a_document(
    make_run: Any, tmp_path: Path, initial_state: str
) -> None:
    trained = load(make_run(tmp_path / "run", initial_state=initial_state))
    with torch.no_grad():
        for parameter in trained.model.layers.parameters():
            # A learned state begins as zeros.
            parameter += 0.3 * torch.randn(parameter.shape)
    ids = trained.tokenizer.encode(WORDS)[:170]
    found = explained(trained, ids, np.array([0, 150]))
    alone = explained(trained, ids[150:])
    compared = 0
    for row, position in enumerate(found.positions.tolist()):
        if position < 150:
            continue
        inside = position - 149
        for shares in found.shares.values():
            assert not shares[row, : 64 - inside].any()
            assert shares[row, 64 - inside :].any()
        for other in np.flatnonzero(alone.positions == position - 150).tolist():
            for method in METHODS:
                torch.testing.assert_close(found.shares[method][row], alone.shares[method][other], rtol=0, atol=1e-5)
            compared += 1
    assert compared > 2


def test_a_short_text_and_one_symbol(characters: TrainedLanguageModel) -> None:
    ids = characters.tokenizer.encode("the cat sat")
    found = explained(characters, ids)
    assert found.positions.tolist() == [4, 5, 6, 7, 8, 9]
    for shares in found.shares.values():
        assert shares.shape == (6, 64)
        assert not shares[0, :59].any()
        assert shares[0, 59:].all()
    pair = explained(characters, ids[:2])
    assert pair.positions.tolist() == [0]
    assert pair.deletions == {}
    assert [set(method) for method in pair.to_json()["methods"]] == [{"key", "name"}] * 3
    none = explained(characters, ids[:1])
    assert (none.to_json()["methods"], none.tensors()) == ([], {})


def test_positions() -> None:
    nats = np.zeros(5000)
    nats[[100, 2000, 4999]] = 5
    nats[10] = 9
    found = explained_positions(nats)
    assert found.tolist() == sorted(set(found.tolist()))
    assert len(found) == 48
    assert (found[0], found[-1]) == (63, 4998)
    assert {99, 1999} <= set(found.tolist())
    assert explained_positions(np.zeros(30)).tolist() == list(range(14, 29))
    assert explained_positions(np.zeros(2)).tolist() == [0]
    assert explained_positions(np.zeros(1)).tolist() == []


def test_it_leaves_the_weights_as_they_were_and_repeats(characters: TrainedLanguageModel) -> None:
    model = characters.model
    model.output.bias.requires_grad_(False)
    ids = characters.tokenizer.encode(WORDS)
    try:
        first, again = explained(characters, ids), explained(characters, ids)
        assert not model.output.bias.requires_grad
        assert all(p.requires_grad for name, p in model.named_parameters() if name != "output.bias")
    finally:
        model.output.bias.requires_grad_(True)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first.deletions == again.deletions
    for method in METHODS:
        assert torch.equal(first.shares[method], again.shares[method])
    other = explained(characters, ids, seed=1)
    assert other.deletions["occlusion"].random != first.deletions["occlusion"].random
    assert other.deletions["occlusion"].chosen == first.deletions["occlusion"].chosen


def test_what_a_trained_network_rests_on_is_believed(real_run: Any) -> None:
    """A network that has learned to count rests on the block of letters that it counts."""
    trained = load(real_run)
    text = "".join("a" * n + "b" * n for n in (3, 5, 2, 7, 4, 6) * 8)
    found = explained(trained, trained.tokenizer.encode(text))
    assert all(deletion.is_faithful for deletion in found.deletions.values())
    content = found.to_json()
    assert [method["key"] for method in content["methods"]] == list(METHODS)
    assert all(method["deletion"]["is_faithful"] for method in content["methods"])


def test_tensors(characters: TrainedLanguageModel) -> None:
    found = explained(characters, characters.tokenizer.encode(WORDS))
    tensors = found.tensors()
    assert {name: value.dtype for name, value in tensors.items()} == {
        "attribution.positions": torch.int32,
        **{f"attribution.{method}": torch.float32 for method in METHODS},
    }
    assert tensors["attribution.positions"].tolist() == found.positions.tolist()
