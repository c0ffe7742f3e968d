"""What a language model did while it read: the same as stepping through it, symbol by symbol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recur.errors import RunError
from recur.tasks.inspection.language_recording import record_text
from recur.tasks.language.trained import TrainedLanguageModel, load

WORDS = "the cat sat on the dog's mat; " * 20


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "indrnn", "mgu", "ligru"])
@pytest.mark.parametrize("shape", [{}, {"residual": True, "tied": True}, {"initial_state": "learned", "dropout": 0.5}])
def test_it_is_what_stepping_gives(make_run: Any, tmp_path: Path, cell: str, shape: Any) -> None:
    trained = load(make_run(tmp_path / "run", cell=cell, **shape))
    if cell == "indrnn":
        # It has no bound, and the weights of these models are large.
        with torch.no_grad():
            for parameter in trained.model.layers.parameters():
                parameter /= 4
    ids = trained.tokenizer.encode(WORDS)[:300]
    found = record_text(trained, ids)
    np.testing.assert_allclose(found.nats, -trained.log_probs(WORDS[:300]), rtol=0, atol=1e-5)
    state = None
    for place, token in enumerate(ids.tolist()):
        log_probs, state = trained.step(token, state)
        if place in (0, 1, 2, 3, 255, 256, 299):
            probs, order = log_probs[0].exp().topk(8)
            torch.testing.assert_close(found.next_probs[place], probs, rtol=0, atol=1e-5)
            torch.testing.assert_close(log_probs[0][found.next_ids[place].long()].exp(), probs, rtol=0, atol=1e-5)
            assert order.dtype == torch.int64
            for layer, own in zip(found.layers, state, strict=True):
                parts = dict(zip(layer.states, (own,) if isinstance(own, torch.Tensor) else own, strict=True))
                for name, value in parts.items():
                    np.testing.assert_allclose(layer.parts[name][place], value[0, 0].numpy(), rtol=0, atol=1e-5)
    assert [layer.name for layer in found.layers] == ["layers.0", "layers.1"]
    assert torch.equal(found.first_embedding, trained.model.embedding.weight.detach()[torch.from_numpy(ids[:4])])


def test_gates_make_the_state(characters: TrainedLanguageModel) -> None:
    """c_t = f c_{t-1} + i g, h = o tanh(c)."""
    for layer in record_text(characters, characters.tokenizer.encode(WORDS)).layers:
        c, i, f, g, o = (layer.parts[name].astype(np.float64) for name in ("c", "i", "f", "g", "o"))
        # Rounding of a few operations in float32.
        np.testing.assert_allclose(c[1:], f[1:] * c[:-1] + i[1:] * g[1:], rtol=0, atol=1e-6)
        np.testing.assert_allclose(layer.parts["h"], o * np.tanh(c), rtol=0, atol=1e-6)


@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
def test_a_document_begins_with_the_initial_state(make_run: Any, tmp_path: Path, initial_state: str) -> None:
    trained = load(make_run(tmp_path / "run", initial_state=initial_state))
    with torch.no_grad():
        for parameter in trained.model.layers.parameters():
            # A learned state begins as zeros.
            parameter += 0.3 * torch.randn(parameter.shape)
    ids = trained.tokenizer.encode(WORDS)
    whole, begun = record_text(trained, ids, np.array([0, 300])), record_text(trained, ids[300:])
    other = record_text(trained, ids)
    for ours, own, without in zip(whole.layers, begun.layers, other.layers, strict=True):
        np.testing.assert_allclose(ours.parts["c"][300:], own.parts["c"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours.parts["c"][:300], without.parts["c"][:300], rtol=0, atol=1e-5)
        assert np.abs(ours.parts["c"][300] - without.parts["c"][300]).max() > 1e-2
    np.testing.assert_allclose(whole.nats[301:], begun.nats[1:], rtol=0, atol=1e-5)
    # The first symbol of the second document is still said by the end of the first.
    np.testing.assert_allclose(whole.nats[300], other.nats[300], rtol=0, atol=1e-5)


def test_one_symbol(characters: TrainedLanguageModel) -> None:
    found = record_text(characters, np.array([3]))
    assert found.nats.tolist() == pytest.approx([characters.first_token_nats(3)], rel=1e-6)
    assert found.next_probs.shape == (1, 8)
    assert torch.equal(found.first_embedding, characters.model.embedding.weight.detach()[3:4])


def test_the_state_after_a_step(characters: TrainedLanguageModel) -> None:
    ids = characters.tokenizer.encode(WORDS)
    found = record_text(characters, ids)
    state = found.state_after([9, -1, 0], torch.device("cpu"))
    _, after = characters.read(WORDS[:10])
    for own, other in zip(state, after, strict=True):
        for part, expected in zip(own, other, strict=True):
            assert part.shape == (1, 3, 6)
            torch.testing.assert_close(part[:, 0], expected[:, 0], rtol=0, atol=1e-5)
            assert not part[:, 1].any()
            assert part[:, 2].any()


def test_weights_that_are_too_large(make_run: Any, tmp_path: Path) -> None:
    trained = load(make_run(tmp_path / "run"))
    with torch.no_grad():
        trained.model.output.weight *= torch.inf
    with pytest.raises(RunError, match=r"^the model's predictions are not finite, for its weights are too large; tra"):
        record_text(trained, trained.tokenizer.encode("the cat"))
