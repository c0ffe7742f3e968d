"""Networks that write a text from a text: what they compute and lose, told by a slow loop in float64."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recur.data.texts.pair_batches import PairBatch, PairBatches
from recur.decode import DecodingOptions, Ensemble, decode
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_ensemble import TranslatorEnsemble
from recur.models.texts.translator_options import TranslatorOptions
from recur.models.texts.translator_steps import TranslatorSteps
from recur.token_ids import Ragged

V = 7
SOURCES = [[2, 3, 4, 5, 6], [8], [3, 3, 9, 2]]
TARGETS = [[2, 8], [4, 7, 7, 6], []]
COPIES = [[3, 7, 8, 5, 7], [7], [7, 7, 2, 8]]
SMALL: dict[str, Any] = {
    "hidden_size": 4,
    "embedding_size": 3,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "label_smoothing": 0.0,
}
KINDS = ["additive", "dot", "general", "concat", "multi-head", "monotonic", "location", "none"]
CELLS = ["lstm", "gru", "rnn", "indrnn", "mgu", "ligru"]


def network(**options: Any) -> TranslatorNetwork:
    if options.get("attention") == "dot":
        options = {"bidirectional": False, **options}
    made = TranslatorNetwork(TranslatorOptions(**SMALL | options), 10, V).double().eval()
    with torch.no_grad():
        # As they are drawn, vectors of tokens hardly tell one from another.
        for table in (made.embedding, made.source_embedding):
            table.weight.mul_(10)
    return made


def batch_of(
    sources: Sequence[Sequence[int]] = SOURCES,
    targets: Sequence[Sequence[int]] | None = TARGETS,
    copies: Sequence[Sequence[int]] | None = None,
) -> PairBatch:
    pairs = PairBatches(
        Ragged.of(sources),
        None if targets is None else Ragged.of(targets),
        None if copies is None else Ragged.of(copies),
        batch_size=len(sources),
    )
    (batch,) = pairs
    return batch


def batches(copying: bool) -> tuple[PairBatch, list[tuple[list[int], list[int], list[int] | None]]]:
    """Return a batch, and what its rows are made of."""
    targets = TARGETS if copying else [[token % V for token in row] for row in TARGETS]
    batch = batch_of(targets=targets, copies=COPIES if copying else None)
    rows = [(SOURCES[item], targets[item], COPIES[item] if copying else None) for item in batch.index.tolist()]
    return batch, rows


def by_hand(
    net: TranslatorNetwork, source: list[int], target: list[int], copies: list[int] | None, num_more: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return of one pair the probabilities of all steps, (T, V + K), those of the output layer alone, and the weights.

    Layers are called step by step; all else is written out.
    """
    options = net.options
    h, final = net.encoder(net.source_embedding.weight[torch.tensor(source)][:, None])
    states = []
    for bridge, one in zip(net.bridges, final if isinstance(final, tuple) else (final,), strict=True):
        sides = 2 if options.bidirectional else 1
        rows = [
            torch.cat([one[sides * layer + side, 0] for side in range(sides)]) for layer in range(len(one) // sides)
        ]
        states.append(torch.stack([torch.tanh(bridge.weight @ row + bridge.bias) for row in rows])[:, None])
    state: Any = tuple(states) if len(states) == 2 else states[0]
    memory = None if net.attention is None else net.attention.prepare(h)
    alignment, features = None, torch.zeros(net.mixture.out_features, dtype=torch.float64)
    found, own, looked = [], [], []
    for token in [0, *target]:
        embedded = net.embedding.weight[token if token < V else 1]
        x = torch.cat([embedded, features]) if options.input_feeding else embedded
        s, state = net.decoder(x[None, None], state)
        context = torch.zeros(0, dtype=torch.float64)
        if net.attention is not None:
            c, w, alignment = net.attention(s[0], memory, alignment)
            context, weights = c[0], w[0]
            looked.append(weights)
        features = torch.tanh(net.mixture.weight @ torch.cat([s[0, 0], context]) + net.mixture.bias)
        logits = net.output.weight @ features + net.output.bias
        said = logits.exp() / logits.exp().sum()
        own.append(said)
        if copies is None:
            found.append(said)
            continue
        gate_of = net.gate
        assert gate_of is not None
        gate = torch.sigmoid(gate_of.weight[0] @ torch.cat([context, s[0, 0], embedded]) + gate_of.bias[0])
        # What attention does not give away is written.
        share = gate + (1 - gate) * (1 - weights.sum())
        mixed = torch.cat([share * said, torch.zeros(num_more, dtype=torch.float64)])
        for place, copy in enumerate(copies):
            mixed = mixed + torch.nn.functional.one_hot(torch.tensor(copy), V + num_more) * (1 - gate) * weights[place]
        found.append(mixed)
    return torch.stack(found), torch.stack(own), torch.stack(looked) if looked else None


@torch.no_grad()
def loss_by_hand(net: TranslatorNetwork, copying: bool) -> tuple[float, int]:
    smoothing = net.options.label_smoothing
    assert smoothing is not None
    options = net.options
    total, count = 0.0, 0
    for source, target, copies in batches(copying)[1]:
        probability, own, weights = by_hand(net, source, target, copies, 2 if copying else 0)
        count += len(target) + 1
        for step, token in enumerate([*target, 0]):
            spread = -sum(float(one) for one in own[step].log()) / V
            told = -float(probability[step, token].log())
            total += (1 - smoothing) * told + smoothing * spread
            for place in range(len(source) if options.coverage else 0):
                assert weights is not None
                total += options.coverage * min(float(weights[step, place]), float(weights[:step, place].sum()))
    return total, count


# --- what is computed ---


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("copying", [False, True])
@pytest.mark.parametrize("attention", KINDS)
def test_each_row_says_what_the_formulas_do(attention: str, copying: bool, feeding: bool) -> None:
    if attention == "none" and (copying or feeding):
        return
    net = network(attention=attention, copying=copying, input_feeding=feeding)
    batch, rows = batches(copying)
    found = net(batch).exp()
    assert found.shape == (3, 5, V + 2 if copying else V)
    torch.testing.assert_close(found.sum(2), torch.ones(3, 5, dtype=torch.float64), rtol=0, atol=1e-12)
    for own, row in zip(found, rows, strict=True):
        expected = by_hand(net, *row, 2 if copying else 0)[0]
        torch.testing.assert_close(own[: len(expected)], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_each_cell_says_what_the_formulas_do(cell: str, bidirectional: bool, num_layers: int) -> None:
    net = network(cell=cell, bidirectional=bidirectional, num_layers=num_layers, residual=num_layers > 1)
    batch, rows = batches(False)
    for own, row in zip(net(batch).exp(), rows, strict=True):
        expected = by_hand(net, *row, 0)[0]
        torch.testing.assert_close(own[: len(expected)], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"copying": True},
        {"copying": True, "label_smoothing": 0.2, "coverage": 0.7, "input_feeding": True},
        {"coverage": 1.3, "attention": "location"},
        {"tied": "output", "label_smoothing": 0.1, "attention": "none"},
    ],
    ids=str,
)
def test_the_loss_is_that_of_a_slow_loop(options: dict[str, Any]) -> None:
    net = network(**options).train()
    copying = bool(options.get("copying"))
    total, count = net.loss_sums(batches(copying)[0])
    expected, counted = loss_by_hand(net, copying)
    assert int(count) == counted == 9
    assert float(total.detach()) == pytest.approx(expected, rel=1e-12)
    assert float(net.loss(batches(copying)[0]).detach()) == pytest.approx(expected / counted, rel=1e-12)


def test_weights_are_judged_by_the_smoothed_loss_that_they_are_trained_by() -> None:
    net = network(label_smoothing=0.3, copying=True, dropout=0.5, embedding_dropout=0.5)
    expected, counted = loss_by_hand(net, True)
    with torch.no_grad():
        assert float(net.loss(batches(True)[0])) == pytest.approx(expected / counted, rel=1e-12)


@pytest.mark.parametrize("attention", KINDS)
@torch.no_grad()
def test_rows_and_padding_around_it_change_nothing_of_a_loss(attention: str) -> None:
    copying = attention != "none"
    net = network(attention=attention, copying=copying, coverage=0.5 if copying else 0.0)
    whole, rows = batches(copying)
    total = sum(
        float(net.loss_sums(batch_of([source], [target], None if copies is None else [copies]))[0])
        for source, target, copies in rows
    )
    assert float(net.loss_sums(whole)[0]) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("attention", KINDS)
def test_gradients_reach_all_parameters(attention: str) -> None:
    copying = attention != "none"
    net = network(attention=attention, copying=copying, num_layers=2, input_feeding=copying).train()
    net.loss(batches(copying)[0]).backward()  # type: ignore[no-untyped-call]
    missing = [name for name, one in net.named_parameters() if one.grad is None or not bool(one.grad.any())]
    assert missing == []
    assert all(bool(one.grad.isfinite().all()) for one in net.parameters() if one.grad is not None)


def test_an_empty_source_is_written_of_too() -> None:
    for attention in KINDS:
        copying = attention != "none"
        net = network(attention=attention, copying=copying)
        batch = batch_of([[], [2, 3]], [[4], [7 if copying else 6, 2]], [[], [7, 3]] if copying else None)
        found = net(batch).exp()
        torch.testing.assert_close(found.sum(2), torch.ones(2, 3, dtype=torch.float64), rtol=0, atol=1e-12)
        net.train().loss(batch).backward()  # type: ignore[no-untyped-call]
        assert all(bool(one.grad.isfinite().all()) for one in net.parameters() if one.grad is not None), attention


def test_what_a_row_does_not_have_cannot_be_copied() -> None:
    net = network(copying=True)
    batch, rows = batches(True)
    found = net(batch)
    for own, (_, _, copies) in zip(found, rows, strict=True):
        assert copies is not None
        for more in (V, V + 1):
            if more not in copies:
                assert bool((own[:, more] == -torch.inf).all())
            else:
                assert bool(own[:, more].isfinite().all())


# --- step by step ---


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("copying", [False, True])
@pytest.mark.parametrize("attention", KINDS)
def test_step_by_step_it_says_the_same(attention: str, copying: bool, feeding: bool) -> None:
    if attention == "none" and (copying or feeding):
        return
    _assert_steps_agree(network(attention=attention, copying=copying, input_feeding=feeding), copying)


@pytest.mark.parametrize("cell", CELLS)
def test_step_by_step_each_cell_says_the_same(cell: str) -> None:
    _assert_steps_agree(network(cell=cell, num_layers=2, residual=True), False)


@torch.no_grad()
def _assert_steps_agree(net: TranslatorNetwork, copying: bool) -> None:
    batch = batches(copying)[0]
    expected = net(batch)
    steps = TranslatorSteps(net)
    state = steps.begin(batch.x, batch.lengths, batch.copies)
    assert steps.attention(state) is None
    before = torch.zeros(3, dtype=torch.int64)
    for step in range(batch.y.shape[1]):
        found, state = steps.step(before, state)
        torch.testing.assert_close(found, expected[:, step], rtol=0, atol=1e-12)
        looked = steps.attention(state)
        assert (looked is None) == (net.attention is None)
        before = batch.y[:, step]


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_chosen_rows_go_on_as_they_would(cell: str, attention: str) -> None:
    copying = attention != "none"
    net = network(cell=cell, attention=attention, copying=copying, input_feeding=copying)
    batch = batches(copying)[0]
    steps = TranslatorSteps(net)
    state = steps.begin(batch.x, batch.lengths, batch.copies)
    _, state = steps.step(torch.zeros(3, dtype=torch.int64), state)
    # Repeats, then fewer, then another order of the same sources, as beams do it.
    number = torch.arange(3)
    tokens = torch.tensor([3, 2, 5])
    for rows in ([0, 0, 2, 2, 1], [1, 0, 2], [2, 1], [0, 0]):
        chosen = torch.tensor(rows)
        expected, after = steps.step(tokens, state)
        found, other = steps.step(tokens[chosen], steps.select(state, chosen))
        torch.testing.assert_close(found, expected[chosen], rtol=0, atol=1e-12)
        looked, wanted = steps.attention(other), steps.attention(after)
        if looked is not None and wanted is not None:
            torch.testing.assert_close(looked, wanted[chosen], rtol=0, atol=1e-12)
        number, state = number[chosen], other
        assert state.rows.tolist() == number.tolist()
        tokens = (tokens[chosen] + torch.arange(len(rows))) % V


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("options", [{}, {"copying": True, "input_feeding": True}, {"attention": "monotonic"}], ids=str)
def test_what_is_decoded_does_not_depend_on_what_is_beside(options: dict[str, Any], beams: int) -> None:
    net = network(**options)
    copying = bool(options.get("copying"))
    batch, rows = batches(copying)
    asked = DecodingOptions(beams=beams, num_best=beams, max_length=6, length_penalty="gnmt")
    together = written(net, batch, asked)
    for found, (source, target, copies) in zip(together, rows, strict=True):
        (alone,) = written(net, batch_of([source], [target], None if copies is None else [copies]), asked)
        assert [one.tokens for one in found] == [one.tokens for one in alone]
        for one, other in zip(found, alone, strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-10)


@torch.no_grad()
def written(net: TranslatorNetwork, batch: PairBatch, options: DecodingOptions) -> Any:
    steps = TranslatorSteps(net)
    start = torch.zeros(len(batch.x), dtype=torch.int64)
    state = steps.begin(batch.x, batch.lengths, batch.copies)
    return decode(steps, state, start, end=0, options=options, source_lengths=batch.lengths)


@torch.no_grad()
def test_with_one_beam_it_takes_the_likeliest_token() -> None:
    net = network(copying=True)
    batch, rows = batches(True)
    for (best,), row in zip(written(net, batch, DecodingOptions(max_length=6)), rows, strict=True):
        tokens: list[int] = []
        log_prob = 0.0
        while len(tokens) < 6:
            said = by_hand(net, row[0], tokens, row[2], 2)[0][-1]
            log_prob += float(said.max().log())
            if int(said.argmax()) == 0:
                break
            tokens.append(int(said.argmax()))
        assert list(best.tokens) == tokens
        assert best.attention.shape == (len(tokens), len(row[0]))
        if best.ended == "end":
            assert best.log_prob == pytest.approx(log_prob, abs=1e-10)


def test_no_beam_holds_a_token_of_another_row() -> None:
    # More beams than tokens, so that whatever is possible is among them.
    net = network(copying=True)
    batch, rows = batches(True)
    found = written(net, batch, DecodingOptions(beams=30, num_best=30, max_length=2))
    for hypotheses, (_, _, copies) in zip(found, rows, strict=True):
        assert copies is not None
        assert len(hypotheses) > V
        assert {token for one in hypotheses for token in one.tokens if token >= V} <= set(copies)


@torch.no_grad()
def test_feeding_with_weights_of_zero_is_not_feeding() -> None:
    fed = network(input_feeding=True, copying=True)
    plain = network(copying=True)
    kept = dict(fed.state_dict())
    for name in plain.state_dict():
        if kept[name].shape != plain.state_dict()[name].shape:
            assert kept[name].shape[1] == 3 + 4, name
            fed.get_parameter(name)[:, 3:] = 0
            kept[name] = kept[name][:, :3]
    plain.load_state_dict(kept)
    batch = batches(True)[0]
    torch.testing.assert_close(fed(batch), plain(batch), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_source_of_5000_tokens() -> None:
    for attention in ("additive", "monotonic", "location"):
        net = network(attention=attention, copying=True)
        source = torch.randint(2, 10, (5000,)).tolist()
        batch = batch_of([source], [[3, 4]], [[7] * 5000])
        found = net(batch).exp()
        torch.testing.assert_close(found.sum(2), torch.ones(1, 3, dtype=torch.float64), rtol=0, atol=1e-10)
        ((best,),) = written(net, batch, DecodingOptions(max_length=3))
        assert len(best.tokens) <= 3


# --- parameters ---


@pytest.mark.parametrize("tied", ["output", "all"])
def test_tied_weights_are_one_and_stay_so(tied: Any, tmp_path: Path) -> None:
    net = TranslatorNetwork(TranslatorOptions(**SMALL | {"tied": tied}), V, V).double()
    assert net.output.weight is net.embedding.weight
    assert (net.source_embedding is net.embedding) == (tied == "all")
    batch = batch_of([[2, 3], [4]], [[5], [6, 2]])
    net.loss(batch).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for one in net.parameters():
            assert one.grad is not None
            one.sub_(0.5 * one.grad)
    assert torch.equal(net.output.weight, net.embedding.weight)
    other = TranslatorNetwork(net.options, V, V).double()
    save_file({name: one.clone() for name, one in net.state_dict().items()}, tmp_path / "weights")
    other.load_state_dict(load_file(tmp_path / "weights"))
    assert other.output.weight is other.embedding.weight
    assert torch.equal(net.eval()(batch), other.eval()(batch))


@pytest.mark.parametrize("attention", KINDS)
def test_weights_go_through_a_state_dict(attention: str) -> None:
    copying = attention != "none"
    one = network(attention=attention, copying=copying)
    other = network(attention=attention, copying=copying)
    batch = batches(copying)[0]
    assert not torch.equal(one(batch), other(batch))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(batch), other(batch))


# --- scheduled sampling ---


def fed_tokens(net: TranslatorNetwork, batch: PairBatch) -> Tensor:
    """Return what the decoder's steps read while a loss is computed, (T, B)."""
    seen: list[Tensor] = []
    handle = net.embedding.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    net.loss(batch)
    handle.remove()
    return seen[-1]


def test_scheduled_sampling_draws_a_share() -> None:
    net = network(scheduled_sampling=0.5).train()
    torch.manual_seed(0)
    targets = torch.randint(2, V, (40, 30)).tolist()
    batch = batch_of([[2, 3]] * 40, targets)
    # Nothing says an end or 1, so that what was drawn can be told from what is right.
    with torch.no_grad():
        net.output.weight.zero_()
        net.output.bias.copy_(torch.tensor([-1e4, 0.0, *[-1e4] * (V - 2)]))
    right = torch.cat([torch.zeros(1, 40, dtype=torch.int64), batch.y.t()[:-1]])
    assert torch.equal(fed_tokens(net, batch), right)
    for done, share in ((0.5, 0.25), (1.0, 0.5)):
        TranslatorEnsemble([net]).progressed(done)
        found = fed_tokens(net, batch)
        assert torch.equal(found[0], right[0])
        changed = found[1:] != right[1:]
        assert bool((found[1:][changed] == 1).all())
        # Five standard deviations of a share of 1,200 tokens.
        assert abs(float(changed.double().mean()) - share) < 5 * (share * (1 - share) / 1200) ** 0.5
    net.eval()
    assert torch.equal(fed_tokens(net, batch), right)


@pytest.mark.parametrize("attention", KINDS)
def test_scheduled_sampling_goes_with_all(attention: str) -> None:
    copying = attention != "none"
    net = network(attention=attention, copying=copying, input_feeding=copying, scheduled_sampling=1.0).train()
    net.progressed(1.0)
    loss = net.loss(batches(copying)[0])
    assert bool(loss.isfinite())
    loss.backward()  # type: ignore[no-untyped-call]


# --- several networks ---


@torch.no_grad()
def test_an_ensemble_says_the_mean_probability() -> None:
    members = [network(copying=True) for _ in range(3)]
    batch = batches(True)[0]
    expected = torch.stack([one(batch) for one in members]).exp().mean(0)
    steps = Ensemble([TranslatorSteps(one) for one in members])
    state = tuple(TranslatorSteps(one).begin(batch.x, batch.lengths, batch.copies) for one in members)
    before = torch.zeros(3, dtype=torch.int64)
    for step in range(batch.y.shape[1]):
        found, state = steps.step(before, state)
        torch.testing.assert_close(found.exp(), expected[:, step], rtol=0, atol=1e-12)
        before = batch.y[:, step]
    both = TranslatorEnsemble(members)
    losses = [float(one.loss(batch)) for one in members]
    assert float(both.loss(batch)) == pytest.approx(sum(losses) / 3, rel=1e-12)
    total, count = both.loss_sums(batch)
    assert float(total / count) == pytest.approx(sum(losses) / 3, rel=1e-12)
    is_token = (torch.arange(batch.y.shape[1]) < batch.y_lengths[:, None]).t()
    right = expected.transpose(0, 1)[is_token].gather(1, batch.y.t()[is_token][:, None])[:, 0]
    torch.testing.assert_close(both.target_log_probs(batch).exp(), right, rtol=0, atol=1e-12)
    # By the mean of their probabilities they are better than in the mean.
    assert -float(both.target_log_probs(batch).mean()) < sum(losses) / 3 - 1e-6
    assert len(list(both.output_parameters())) == 6
