"""Scoring held-out text: the definition, whatever the streams and windows."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recur.data.streams import HeldOutStreams
from recur.data.tokenizer import CharacterTokenizer
from recur.models.language import LanguageModel
from recur.models.ngram import NGramModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language.held_out import HeldOutFigures, most_surprising, score, score_baseline
from recur.tasks.language.trained import TrainedLanguageModel, load

VOCABULARY = 6


def model(seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    options = LanguageModelOptions(cell="lstm", num_layers=2, hidden_size=8, embedding_size=8, dropout=0.5)
    return LanguageModel(VOCABULARY, options)


def token_ids(count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(0, VOCABULARY, count).astype(np.uint8)


def by_definition(model: LanguageModel, ids: np.ndarray[Any, Any], starts: tuple[int, ...] = ()) -> torch.Tensor:
    """Return the log-probabilities (N - 1, V) of every token given all before it, one step at a time, in double."""
    double = LanguageModel(VOCABULARY, model.options).double().eval()
    double.load_state_dict(model.state_dict())
    rows, state = [], None
    with torch.no_grad():
        for position, token in enumerate(ids[:-1].tolist()):
            logits, state = double(torch.tensor([[token]]), None if position in starts else state)
            rows.append(torch.log_softmax(logits[0, 0], dim=-1))
    return torch.stack(rows)


def figures_of(model: LanguageModel, ids: np.ndarray[Any, Any], **options: Any) -> tuple[HeldOutFigures, np.ndarray]:
    losses: dict[int, list[np.ndarray]] = {}
    chosen: dict[str, Any] = {"streams": 1, "window": 7, "burn_in": 0}
    batches = HeldOutStreams(ids, **(chosen | options))
    found = score(model, batches, first_token_nats=0.25, characters=len(ids), losses=losses)
    return found, np.concatenate([part for stream in sorted(losses) for part in losses[stream]])


# --- score ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 7, 40, 1000])
def test_one_stream_is_the_definition(window: int) -> None:
    network, ids = model(), token_ids(41)
    found, losses = figures_of(network, ids, window=window)
    log_p = by_definition(network, ids)
    target = torch.from_numpy(ids[1:].astype(np.int64))
    own = log_p.gather(1, target[:, None])
    # Float32 logits of order one: a few roundings of 6e-8.
    np.testing.assert_allclose(losses, -own[:, 0].numpy(), atol=2e-6)
    assert found.nats == pytest.approx(0.25 - float(own.sum()), abs=41 * 2e-6)
    assert found.tokens == 41
    better = (log_p > own).sum(dim=1)
    assert found.top1 == float((better < 1).double().mean())
    assert found.top5 == float((better < 5).double().mean())
    assert 0 < found.top1 < found.top5 < 1
    assert found.seconds is not None
    assert found.seconds > 0


@pytest.mark.parametrize("window", [3, 10])
def test_documents_start_anew_even_within_a_window(window: int) -> None:
    network, ids, starts = model(), token_ids(30), (0, 8, 9, 20)
    _, losses = figures_of(network, ids, window=window, document_starts=np.array(starts))
    log_p = by_definition(network, ids, starts)
    own = log_p.gather(1, torch.from_numpy(ids[1:].astype(np.int64))[:, None])
    np.testing.assert_allclose(losses, -own[:, 0].numpy(), atol=2e-6)


@pytest.mark.parametrize("streams", [1, 2, 3, 7])
@pytest.mark.parametrize("window", [5, 64])
def test_streams_that_read_all_before_them_change_nothing(streams: int, window: int) -> None:
    network, ids = model(), token_ids(60)
    whole, losses = figures_of(network, ids)
    found, own = figures_of(network, ids, streams=streams, window=window, burn_in=60)
    np.testing.assert_allclose(own, losses, atol=2e-6)
    assert found.tokens == whole.tokens == 60
    assert found.nats == pytest.approx(whole.nats, abs=60 * 2e-6)
    assert (found.top1, found.top5) == (whole.top1, whole.top5)


def test_a_trained_model_is_judged_alike_however_the_text_is_cut(real_run: RunFolder) -> None:
    trained = load(real_run)
    text = (real_run.path.parent / "counting.txt").read_text()[-4000:]
    ids = trained.tokenizer.encode(text)
    exact = trained.evaluate(ids, characters=len(text))
    assert exact.nats_per_character < 0.3
    for streams, window in ((1, 100), (4, 64), (16, 512)):
        found = trained.evaluate(ids, characters=len(text), streams=streams, window=window)
        assert found.nats_per_character == pytest.approx(exact.nats_per_character, abs=1e-5)
        assert found.tokens == len(ids)
    cold = trained.evaluate(ids, characters=len(text), streams=100, burn_in=0)
    assert abs(cold.nats_per_character - exact.nats_per_character) > 1e-4, "without a burn-in it is not the same"


def test_the_model_is_judged_without_dropout_and_left_in_its_mode() -> None:
    network, ids = model(), token_ids(20)
    network.train()
    first, _ = figures_of(network, ids)
    assert network.training
    network.eval()
    second, _ = figures_of(network, ids)
    assert not network.training
    assert first.nats == second.nats


def test_an_error_on_the_way_leaves_the_mode() -> None:
    network = model().train()

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(
            network,
            HeldOutStreams(token_ids(9), streams=1, window=3, burn_in=0),
            first_token_nats=0,
            characters=9,
            progress=stop,
        )
    assert network.training


def test_progress_counts_every_token_once() -> None:
    seen: list[int] = []
    batches = HeldOutStreams(token_ids(20), streams=3, window=4, burn_in=5)
    score(model(), batches, first_token_nats=0, characters=20, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 19


def test_equal_logits_are_no_right_guess() -> None:
    network = model()
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.zero_()
    found, losses = figures_of(network, token_ids(20))
    np.testing.assert_allclose(losses, math.log(VOCABULARY), rtol=1e-6)
    assert (found.top1, found.top5) == (0, 0)


def test_what_is_no_number_is_no_right_guess() -> None:
    network = model()
    with torch.no_grad():
        network.output.bias.fill_(torch.nan)
    found, losses = figures_of(network, token_ids(20))
    assert np.isnan(losses).all()
    assert (found.top1, found.top5) == (0, 0)


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_by_hand() -> None:
    figures = HeldOutFigures(nats=6.0, tokens=4, characters=8, top1=0.5, top5=1.0, seconds=2.0)
    assert figures.to_json() == {
        "nats_per_character": 0.75,
        "bits_per_character": pytest.approx(0.75 / math.log(2)),
        "nats_per_token": 1.5,
        "perplexity": pytest.approx(math.exp(1.5)),
        "top1": 0.5,
        "top5": 1.0,
        "tokens": 4,
        "characters": 8,
        "seconds": 2.0,
    }


def test_what_is_not_measured_or_infinite_is_left_out() -> None:
    figures = HeldOutFigures(nats=8000.0, tokens=10, characters=10)
    assert figures.perplexity == math.inf
    assert figures.to_json().keys() == {"nats_per_character", "bits_per_character", "nats_per_token"} | {
        "tokens",
        "characters",
    }
    json.dumps(HeldOutFigures(nats=math.nan, tokens=1, characters=1).to_json(), allow_nan=False)


def test_a_uniform_model_has_the_size_of_the_vocabulary_as_perplexity() -> None:
    network, ids = model(), token_ids(50)
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.zero_()
    batches = HeldOutStreams(ids, streams=1, window=9, burn_in=0)
    found = score(network, batches, first_token_nats=math.log(VOCABULARY), characters=50)
    assert found.perplexity == pytest.approx(VOCABULARY, rel=1e-6)


def test_the_first_token_costs_every_model_the_same(characters: TrainedLanguageModel) -> None:
    ids = characters.tokenizer.encode("the hat")
    first = characters.first_token_nats(int(ids[0]))
    total = int(characters.counts.sum()) + characters.tokenizer.vocabulary_size
    assert first == pytest.approx(-math.log((int(characters.counts[ids[0]]) + 1) / total))
    baseline = NGramModel(characters.tokenizer.vocabulary_size, order=3).fit(ids)
    found = score_baseline(baseline, ids, first_token_nats=first, characters=7)
    assert found.nats == pytest.approx(first + float(baseline.nats(ids)[1:].sum()))
    assert (found.tokens, found.characters, found.top1, found.seconds) == (7, 7, None, None)
    whole = characters.evaluate(ids, characters=7)
    rest = -characters.log_probs("he hat", context="t")
    assert whole.nats == pytest.approx(first + float(rest.sum()), abs=1e-5)


# --- surprise ---------------------------------------------------------------------------------------------------------


def test_the_worst_stretches_by_hand() -> None:
    nats = np.array([0, 0, 5, 5, 0, 0, 9, 0, 0, 0], dtype=np.float32)
    assert most_surprising(nats, passages=2, length=2) == [(2, 4), (5, 7)]
    assert most_surprising(nats, passages=1, length=2) == [(2, 4)]


def test_short_and_empty_texts() -> None:
    assert most_surprising(np.zeros(3, dtype=np.float32), length=5) == [(0, 3)]
    assert most_surprising(np.zeros(5, dtype=np.float32), length=5) == [(0, 5)]
    assert most_surprising(np.zeros(0, dtype=np.float32), length=5) == []


@given(st.lists(st.floats(0, 20, width=32), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 9))
def test_stretches_are_apart_and_the_worst_comes_first(values: list[float], passages: int, length: int) -> None:
    nats = np.array(values, dtype=np.float32)
    found = most_surprising(nats, passages=passages, length=length)
    assert 1 <= len(found) <= passages
    assert all(0 <= start < stop <= len(nats) for start, stop in found)
    ordered = sorted(found)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ordered))
    means = [float(nats[start:stop].mean(dtype=np.float64)) for start, stop in found]
    if len(nats) > length:
        assert all(stop - start == length for start, stop in found)
        windows = np.lib.stride_tricks.sliding_window_view(nats.astype(np.float64), length).mean(axis=1)
        assert means[0] == pytest.approx(float(windows.max()), abs=1e-9)
        assert all(a >= b - 1e-9 for a, b in itertools.pairwise(means))


def remembering() -> LanguageModel:
    """A model of one unit that token 0 switches on, for good."""
    options = LanguageModelOptions(cell="lstm", num_layers=1, hidden_size=1, embedding_size=1, dropout=0.0)
    network = LanguageModel(4, options)
    layer = network.layers[0]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.embedding.weight[0] = 1.0
        # The gates i, f, g, o: let in at token 0 only, keep for good, show always.
        layer.weight_ih_l0.copy_(torch.tensor([[60.0], [0.0], [5.0], [0.0]]))
        layer.bias_ih_l0.copy_(torch.tensor([-30.0, 30.0, 0.0, 30.0]))
        network.output.weight.copy_(torch.tensor([[0.0], [2.0], [-2.0], [0.0]]))
    return network


@pytest.mark.parametrize("window", [16, 100])
@pytest.mark.parametrize("streams", [2, 5])
def test_a_state_that_goes_further_back_than_the_burn_in_is_found_out(streams: int, window: int) -> None:
    trained = TrainedLanguageModel(remembering(), CharacterTokenizer("abc"), np.ones(4, dtype=np.int64))
    ids = np.random.default_rng(0).integers(1, 4, 3000).astype(np.uint8)
    ids[0] = 0
    exact = trained.evaluate(ids, characters=3000)
    losses: dict[int, list[Any]] = {}
    found = trained.evaluate(ids, characters=3000, streams=streams, window=window, burn_in=20, losses=losses)
    assert found.nats_per_token == pytest.approx(exact.nats_per_token, abs=1e-5)
    assert sum(len(part) for parts in losses.values() for part in parts) == 2999, "those of the last try alone"
    blind = trained.evaluate(ids, characters=3000, streams=streams, window=window, burn_in=20, tolerance=None)
    assert abs(blind.nats_per_token - exact.nats_per_token) > 1e-2
