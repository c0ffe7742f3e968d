"""The network that writes texts from labels or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recur.data.texts.batches import TextBatch, TextBatches
from recur.decode import DecodingOptions, decode
from recur.errors import OptionError
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.models.texts import writer
from recur.models.texts.writer import WriterNetwork, WriterSteps
from recur.models.texts.writer_options import WriterOptions
from recur.token_ids import Ragged

SMALL: dict[str, Any] = {"num_layers": 2, "hidden_size": 5, "embedding_size": 4, "context_size": 3, "dropout": 0.0}


def made(cell: Any = "lstm", **options: Any) -> WriterNetwork:
    return WriterNetwork(WriterOptions(cell=cell, **{**SMALL, **options}), num_tokens=7, num_features=2).double().eval()


def batch_of(rows: list[list[int]], features: list[list[float]]) -> TextBatch:
    (batch,) = TextBatches(Ragged.of(rows), np.array(features, np.float32), batch_size=len(rows))
    return batch


@pytest.mark.parametrize("context", ["input", "state", "both"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_text_is_as_likely_as_its_tokens_one_by_one(cell: str, context: str) -> None:
    network = made(cell, context=context)
    rows, features = [[2, 3], [4], [], [6, 5, 2, 2]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, -1.0]]
    batch = batch_of(rows, features)
    with torch.no_grad():
        nats = network.text_nats(batch)
        total, count = network.loss_sums(batch)
    assert count == sum(len(row) + 1 for row in rows)
    assert float(total) == pytest.approx(float(nats.sum()))
    assert float(network.loss(batch).detach()) == pytest.approx(float(total / count))
    steps = WriterSteps(network)
    for place, row in enumerate(batch.index.tolist()):
        with torch.no_grad():
            state, said, before = network.begin(torch.tensor([features[row]]).double()), 0.0, 0
            for token in [*rows[row], 0]:
                log_probs, state = steps.step(torch.tensor([before]), state)
                said, before = said + float(log_probs[0, token]), token
        assert -said == pytest.approx(float(nats[place]), rel=1e-5)


@pytest.mark.parametrize("context", ["input", "state", "both"])
def test_what_it_is_told_matters_and_is_learned(context: str) -> None:
    network = made(context=context)
    rows = [[2, 3], [2, 3]]
    batch = batch_of(rows, [[1.0, 0.0], [0.0, 1.0]])
    one, other = network(batch)
    assert not torch.allclose(one, other)
    network.loss(batch).backward()
    gradients = {name: value.grad for name, value in network.named_parameters()}
    assert all(isinstance(grad, Tensor) and bool((grad != 0).any()) for grad in gradients.values())


def test_padding_says_nothing() -> None:
    network = made()
    alone = network.text_nats(batch_of([[2, 3]], [[1.0, 0.0]])).detach()
    beside = network.text_nats(batch_of([[2, 3], [4, 5, 6, 2, 3]], [[1.0, 0.0], [0.0, 1.0]])).detach()
    assert float(beside[0]) == pytest.approx(float(alone[0]), rel=1e-6)


@pytest.mark.parametrize("most", [1, 14, 20])
def test_of_many_tokens_some_logits_are_made_at_a_time(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = made()
    batch = batch_of([[2, 3], [4, 5, 6, 2, 3]], [[1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        whole = network.text_nats(batch)
    made_at_once: list[int] = []
    network.language.output.register_forward_hook(lambda *call: made_at_once.append(call[2].numel()))
    monkeypatch.setattr(writer, "_MOST_LOGITS", most)
    with torch.no_grad():
        parts = network.text_nats(batch)
    torch.testing.assert_close(parts, whole)
    assert max(made_at_once) <= max(7, most)
    assert sum(made_at_once) == 7 * 9


def test_rows_are_chosen_and_repeated() -> None:
    network = made("gru", context="both")
    steps = WriterSteps(network)
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    with torch.no_grad():
        _, state = steps.step(torch.tensor([0, 0]), network.begin(features))
        whole, _ = steps.step(torch.tensor([3, 4]), state)
        chosen, _ = steps.step(torch.tensor([4, 3, 4]), steps.select(state, torch.tensor([1, 0, 1])))
    assert torch.allclose(chosen, whole[[1, 0, 1]])
    with torch.no_grad():
        found = decode(
            steps,
            network.begin(features),
            torch.tensor([0, 0]),
            end=0,
            options=DecodingOptions(beams=3, max_length=4),
        )
    assert len(found) == 2


def test_a_context_is_checked() -> None:
    options = LanguageModelOptions(cell="gru", num_layers=1, hidden_size=4, embedding_size=4, dropout=0.0)
    told, plain = LanguageModel(5, options, context_size=3), LanguageModel(5, options)
    x = torch.zeros(2, 4, dtype=torch.int64)
    logits, _ = told(x, context=torch.ones(2, 3))
    assert logits.shape == (2, 4, 5)
    # The same at every step as if it were read once more.
    first, state = told(x[:, :1], context=torch.ones(2, 3))
    rest, _ = told(x[:, 1:], state, context=torch.ones(2, 3))
    assert torch.allclose(torch.cat([first, rest], 1), logits)
    with pytest.raises(ValueError, match=r"expected a context of shape \(2, 3\), got none"):
        told(x)
    with pytest.raises(ValueError, match=r"expected a context of shape \(2, 0\), got one of shape \(2, 3\)"):
        plain(x, context=torch.ones(2, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context": "output"}, "context must be one of input, state, both, not 'output'"),
        ({"context_size": 0}, "context_size must be a whole number from 1 to 1048576, not 0"),
        ({"initial_state": "learned"}, "initial_state: the state begins with the context"),
        ({"tied": True, "embedding_size": 3, "hidden_size": 4}, "tied needs embedding_size equal to hidden_size"),
    ],
)
def test_options_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        WriterOptions(**changes)


def test_a_network_needs_complete_options_and_something_to_be_told() -> None:
    with pytest.raises(OptionError, match="options must give a value for everything"):
        WriterNetwork(WriterOptions(), num_tokens=5, num_features=2)
    with pytest.raises(OptionError, match="num_features must be a whole number from 1 on, not 0"):
        WriterNetwork(WriterOptions(cell="gru", **SMALL), num_tokens=5, num_features=0)
    assert WriterOptions(initial_state="learned", context="input").initial_state == "learned"
