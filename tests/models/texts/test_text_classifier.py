"""Networks that tell classes of texts: what they compute, lose, and are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from recur.data.texts.batches import TextBatch, TextBatches
from recur.errors import OptionError
from recur.models.texts.classifier import TextClassifierNetwork
from recur.models.texts.encoder import TextEncoder
from recur.models.texts.ensemble import TextClassifierEnsemble
from recur.models.texts.options import TextClassifierOptions, TextEncoderOptions
from recur.token_ids import Ragged

SMALL: dict[str, Any] = {"hidden_size": 5, "embedding_size": 4}
TEXTS = Ragged.of([[2, 3, 4, 5, 6], [7], [], [3, 3, 9]])
POOLINGS = ["last", "mean", "max", "attention", "last+max"]


def batch_of(texts: Ragged = TEXTS, target: Any = None, weight: Any = None) -> TextBatch:
    count = len(texts.lengths)
    batches = TextBatches(texts, np.zeros(count, np.int64) if target is None else target, weight, batch_size=count)
    return next(iter(batches))


def network(num_classes: int = 3, *, is_multi: bool = False, **options: Any) -> TextClassifierNetwork:
    chosen = TextClassifierOptions(**SMALL | options)
    return TextClassifierNetwork(chosen, 12, num_classes, is_multi=is_multi).double().eval()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_text_says_the_same_alone_and_among_longer_ones(pooling: Any, bidirectional: bool, num_layers: int) -> None:
    one = network(pooling=pooling, bidirectional=bidirectional, num_layers=num_layers, residual=num_layers > 1)
    batch = batch_of()
    together = one(batch)
    for row, item in enumerate(batch.index.tolist()):
        begin, end = TEXTS.offsets[item], TEXTS.offsets[item + 1]
        alone = one(batch_of(Ragged.of([TEXTS.ids[begin:end]])))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("is_multi", [False, True])
def test_vectors_of_tokens_say_what_the_tokens_do(is_multi: bool) -> None:
    members = [network(is_multi=is_multi, pooling="attention"), network(is_multi=is_multi, embedding_size=3)]
    batch = batch_of()
    for one in (members[0], TextClassifierEnsemble(members)):
        vectors = one.embedded(batch.x)
        assert vectors.shape == (5, 4, 4 if one is members[0] else 7)
        torch.testing.assert_close(one.read(vectors, batch.lengths), one(batch), rtol=0, atol=1e-12)


def test_attention_is_the_share_of_each_token() -> None:
    one, other = network(pooling="attention"), network(pooling="mean")
    batch = batch_of()
    vectors = one.embedded(batch.x)
    found = one.attention(vectors, batch.lengths)
    assert found is not None
    outputs, _ = one.encoder.recurrent(vectors, lengths=batch.lengths)
    torch.testing.assert_close((found.unsqueeze(2) * outputs).sum(0), one.encoder(batch.x, batch.lengths))
    torch.testing.assert_close(found.sum(0), (batch.lengths > 0).to(found))
    assert other.attention(vectors, batch.lengths) is None
    both = TextClassifierEnsemble([one, network(pooling="attention"), other])
    wide = both.embedded(batch.x)
    second = both.networks[1].attention(wide[..., 4:8], batch.lengths)
    torch.testing.assert_close(both.attention(wide, batch.lengths), (found + second) / 2)
    assert TextClassifierEnsemble([other, other]).attention(vectors.repeat(1, 1, 2), batch.lengths) is None


def test_last_and_max_stand_side_by_side() -> None:
    torch.manual_seed(0)
    both = TextEncoder(TextEncoderOptions(**SMALL, pooling="last+max"), 12).eval()
    batch = batch_of()
    found = both(batch.x, batch.lengths)
    for place, pooling in enumerate(("last", "max")):
        one = TextEncoder(TextEncoderOptions(**SMALL, pooling=pooling), 12).eval()  # type: ignore[arg-type]
        one.embedding.load_state_dict(both.embedding.state_dict())
        one.recurrent.load_state_dict(both.recurrent.state_dict())
        torch.testing.assert_close(found[:, place * 10 : (place + 1) * 10], one(batch.x, batch.lengths))


def test_training_reads_some_tokens_as_unknown_and_none_of_the_padding() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(TextEncoderOptions(**SMALL, token_dropout=0.5, dropout=0, embedding_dropout=0), 12)
    seen = []
    encoder.embedding.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.randint(2, 12, (50, 40))
    x[:, 30:] = 0
    encoder(x, torch.full((50,), 30))
    changed = seen[0].t() != x
    assert bool((seen[0].t()[changed] == 1).all())
    assert not bool(changed[:, 30:].any())
    assert 0.4 < float(changed[:, :30].double().mean()) < 0.6
    encoder.eval()(x, torch.full((50,), 30))
    assert torch.equal(seen[1].t(), x)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_one_class(smoothing: float) -> None:
    one = network(label_smoothing=smoothing, class_weights="balanced")
    one.fit_classes(torch.tensor([4, 1, 0]), 5)
    batch = batch_of(target=np.array([0, 1, 0, 1]), weight=np.array([1, 1, 0, 0.5], np.float32))
    weight = batch.weight.double() * torch.tensor([5 / 2 / 4, 5 / 2, 1.0], dtype=torch.float64)[batch.target]
    losses = cross_entropy(one(batch), batch.target, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(one.loss(batch), (losses * weight).sum() / weight.sum())
    total, counted = one.loss_sums(batch)
    torch.testing.assert_close(total / counted, one.loss(batch))


def test_the_loss_of_several_classes() -> None:
    one = network(is_multi=True, class_weights="balanced")
    one.fit_classes(torch.tensor([4, 1, 0]), 5)
    torch.testing.assert_close(one.class_weight, torch.tensor([0.25, 4, 1], dtype=torch.float64))
    target = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], np.float32)
    batch = batch_of(target=target, weight=np.array([1, 2, 0, 1], np.float32))
    each = binary_cross_entropy_with_logits(
        one(batch), batch.target.double(), pos_weight=one.class_weight, reduction="none"
    ).mean(1)
    torch.testing.assert_close(one.loss(batch), (each * batch.weight).sum() / 4)


@pytest.mark.parametrize("is_multi", [False, True])
def test_it_begins_at_how_frequent_classes_are(is_multi: bool) -> None:
    one = network(is_multi=is_multi)
    one.fit_classes(torch.tensor([60, 30, 9]), 99)
    share = torch.tensor([60.5, 30.5, 9.5], dtype=torch.float64) / 100
    told = one.output.bias.sigmoid() if is_multi else one.output.bias.softmax(0)
    torch.testing.assert_close(told, share if is_multi else share / share.sum(), rtol=0, atol=1e-7)


def test_nothing_that_counts_loses_nothing() -> None:
    one = network()
    loss = one.loss(batch_of(weight=np.zeros(4, np.float32)))
    assert loss == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(not bool(p.grad.any()) for p in one.parameters() if p.grad is not None)


@pytest.mark.parametrize("is_multi", [False, True])
def test_an_ensemble_says_the_mean_probability(is_multi: bool) -> None:
    members = [network(is_multi=is_multi) for _ in range(3)]
    batch = batch_of(target=np.ones((4, 3), np.float32) if is_multi else None)

    def chance(logits: torch.Tensor) -> torch.Tensor:
        return logits.sigmoid() if is_multi else logits.softmax(1)

    together = TextClassifierEnsemble(members)
    torch.testing.assert_close(chance(together(batch)), torch.stack([chance(one(batch)) for one in members]).mean(0))
    torch.testing.assert_close(together.loss(batch), torch.stack([one.loss(batch) for one in members]).mean())
    total, counted = together.loss_sums(batch)
    torch.testing.assert_close(total / counted, together.loss(batch))


def test_it_learns() -> None:
    """Of texts of ten tokens those with token 3 after token 2 are of the one class."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    rows = draw.integers(4, 12, (64, 10))
    place = draw.integers(0, 9, 64)
    target = np.arange(64) % 2
    rows[np.arange(64), place] = np.where(target, 2, 3)
    rows[np.arange(64), place + 1] = np.where(target, 3, 2)
    batch = batch_of(Ragged.of(rows), target)
    one = TextClassifierNetwork(TextClassifierOptions(**SMALL, dropout=0, token_dropout=0), 12, 2)
    optimizer = torch.optim.Adam(one.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        one.loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float((one.eval()(batch).argmax(1) == batch.target).double().mean()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "tanh"}, "cell must be one of"),
        ({"pooling": "first"}, "pooling must be one of last, mean, max, attention, last\\+max, not 'first'"),
        ({"hidden_size": 0}, "hidden_size must be a whole number from 1"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to below 1, not 1.0"),
        ({"token_dropout": -0.1}, "token_dropout must be a number from 0"),
        ({"bidirectional": 1}, "bidirectional must be true or false"),
        ({"residual": True}, "residual acts from the second layer on"),
        ({"class_weights": "even"}, "class_weights must be none or balanced"),
        ({"label_smoothing": 1}, "label_smoothing must be a number from 0 to below 1"),
        ({"members": 0}, "members must be a whole number from 1 to 1000"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TextClassifierOptions(**options)


def test_too_few_classes() -> None:
    with pytest.raises(OptionError, match="num_classes must be a whole number from 2 on, not 1"):
        network(1)
    assert network(1, is_multi=True)(batch_of(target=np.ones((4, 1), np.float32))).shape == (4, 1)
