"""A decoder with input feeding in one pass: what it makes of steps, and gradients, are those of going step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur.data.texts.pair_batches import PairBatch, PairBatches
from recur.models.texts import translator
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_options import TranslatorOptions
from recur.nn import GRU, LSTM, AdditiveAttention, DotAttention, GeneralAttention, Linear, fed_steps
from recur.token_ids import Ragged


def network(**options: Any) -> TranslatorNetwork:
    torch.manual_seed(0)
    shape = {"hidden_size": 6, "embedding_size": 5, "dropout": 0.0, "embedding_dropout": 0.0} | options
    made = TranslatorNetwork(TranslatorOptions(input_feeding=True, **shape), num_sources=9, num_targets=7).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def batch(*, has_copies: bool = False) -> PairBatch:
    """Pairs of several lengths, one source of which is empty."""
    sources = Ragged.of([[2, 3, 4], [5], []])
    targets = Ragged.of([[2, 3], [4, 5, 6, 2], [3]])
    return next(iter(PairBatches(sources, targets, sources if has_copies else None, batch_size=3)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each call had."""
    found: list[int] = []

    def counted(*args: Any) -> fed_steps.FedSteps:
        found.append(len(args[3]))
        return fed_steps.fed_steps(*args)

    monkeypatch.setattr(translator, "fed_steps", counted)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"copying": True, "coverage": 0.5},
        {"attention": "dot", "bidirectional": False},
        {"tied": "output", "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_loss_and_gradients_are_those_of_single_steps(
    options: dict[str, Any], calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, pairs = network(**options), batch(has_copies=options.get("copying", False))
    found = net.loss(pairs)
    found.backward()
    ours = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert calls == [5]
    net.zero_grad()
    monkeypatch.setattr(translator, "takes_fed_steps", lambda *_: False)
    wanted = net.loss(pairs)
    wanted.backward()
    assert calls == [5]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-10, atol=1e-14, msg=name)
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 1e-6, name


class Whole(nn.Module):
    """All that has parameters, in one module."""

    def __init__(self, kept: Tensor, lengths: Tensor) -> None:
        super().__init__()
        self.decoder, self.mixture, self.attention = LSTM(7, 4), Linear(10, 3), GeneralAttention(4, 6)
        self.kept, self.lengths = kept, lengths

    def forward(self, h: Tensor, e: Tensor, h_0: Tensor, c_0: Tensor, fed: Tensor) -> tuple[Tensor, ...]:
        memory = self.attention.prepare(h, self.lengths)
        return fed_steps.fed_steps(self.decoder, self.mixture, memory, e, (h_0, c_0), fed, self.kept)


def test_every_gradient_is_that_of_differences() -> None:
    """Of all that goes in, and of all that comes out, dropout and rows without a source included."""
    torch.manual_seed(1)
    whole = Whole((torch.rand(3, 2, 3) < 0.7).double() / 0.7, torch.tensor([2, 0])).double()
    parameters = dict(whole.named_parameters())

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        weights = dict(zip(parameters, given[5:], strict=True))
        found: tuple[Tensor, ...] = torch.func.functional_call(whole, weights, given[:5])
        return tuple(found)

    shapes = (2, 2, 6), (3, 2, 4), (1, 2, 4), (1, 2, 4), (2, 3)
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(run, (*given, *parameters.values()))


def test_dropout_is_drawn_for_each_step_and_row(calls: list[int]) -> None:
    net = network(dropout=0.5).train()
    net.output = nn.Identity()  # type: ignore[assignment]
    pairs = batch()
    written = net.write(net.read(pairs.x, pairs.lengths), torch.zeros(50, 3, dtype=torch.int64))
    assert calls == [50]
    share = (written.features == 0).double().mean((0, 1))
    assert ((share > 0.3) & (share < 0.7)).all()
    assert not torch.equal(written.features[0] == 0, written.features[1] == 0)
    net.eval()
    assert (net.write(net.read(pairs.x, pairs.lengths), torch.zeros(5, 3, dtype=torch.int64)).features != 0).all()


def test_a_pass_goes_on_from_where_another_ended(calls: list[int]) -> None:
    net, pairs = network(), batch()
    read, y_TB = net.read(pairs.x, pairs.lengths), torch.randint(2, 7, (5, 3))
    whole = net.write(read, y_TB)
    first = net.write(read, y_TB[:2])
    second = net.write(read, y_TB[2:], state=first.state, fed=first.features[-1])
    assert calls == [5, 2, 3]
    torch.testing.assert_close(torch.cat([first.features, second.features]), whole.features)
    torch.testing.assert_close(second.state, whole.state)


def test_what_it_does_not_take_goes_step_by_step(calls: list[int]) -> None:
    takes = fed_steps.takes_fed_steps
    lstm = LSTM(3, 4)
    assert takes(lstm, DotAttention(4, 4))
    assert takes(lstm, GeneralAttention(4, 6))
    assert not takes(lstm, None)
    assert not takes(lstm, AdditiveAttention(4, 6))
    assert not takes(GRU(3, 4), DotAttention(4, 4))
    assert not takes(LSTM(3, 4, 2), DotAttention(4, 4))
    with torch.no_grad():
        assert not takes(lstm, DotAttention(4, 4))
    with torch.autocast("cpu"):
        assert not takes(lstm, DotAttention(4, 4))
    assert not torch.func.vmap(lambda x: x * takes(lstm, DotAttention(4, 4)))(torch.ones(2)).any()
    for options in ({"cell": "gru"}, {"num_layers": 2}, {"attention": "additive"}):
        network(**options).loss(batch()).backward()
    assert calls == []
