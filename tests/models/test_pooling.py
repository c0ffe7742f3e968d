"""From steps to one vector: by hand, past the end, and in pieces."""

from __future__ import annotations

import pytest
import torch

from recur.models.pooling import AttentionPool, LastPool, MaxPool, MeanPool, pool_of

H_TBH = torch.tensor([[[1.0, -4.0], [5.0, 0.0]], [[3.0, -2.0], [7.0, 8.0]], [[2.0, -6.0], [9.0, 9.0]]]).double()
LENGTHS = torch.tensor([3, 1])


def is_step(lengths: torch.Tensor, num_steps: int) -> torch.Tensor:
    return torch.arange(num_steps)[:, None] < lengths


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (LastPool(2), [[2, -6], [5, 0]]),
        (LastPool(2, 2), [[2, -4], [5, 0]]),
        (MeanPool(2), [[2, -4], [5, 0]]),
        (MaxPool(2), [[3, -2], [5, 0]]),
    ],
)
def test_by_hand(pool, expected) -> None:
    features, _ = pool(H_TBH, is_step(LENGTHS, 3))
    assert features.tolist() == expected


def test_attention_is_the_mean_that_its_weights_say() -> None:
    pool = AttentionPool(2).double()
    features, _ = pool(H_TBH, is_step(LENGTHS, 3))
    scores = torch.tanh(H_TBH[:, 0] @ pool.projection.weight.t() + pool.projection.bias) @ pool.context.weight[0]
    torch.testing.assert_close(features[0], (scores.softmax(0)[:, None] * H_TBH[:, 0]).sum(0))
    torch.testing.assert_close(features[1], H_TBH[0, 1])


@pytest.mark.parametrize("name", ["last", "mean", "max", "attention"])
def test_pieces_with_the_state_give_the_whole(name) -> None:
    pool = pool_of(name, 5, 1).double()
    h = torch.randn(7, 4, 5, dtype=torch.float64) * 3
    lengths = torch.tensor([7, 3, 4, 0])
    whole, _ = pool(h, is_step(lengths, 7))
    _, state = pool(h[:3], is_step(lengths.clamp(max=3), 3))
    rest = (lengths - 3).clamp(min=0)
    pieces, _ = pool(h[3:], is_step(rest, 4), state)
    torch.testing.assert_close(pieces, whole)
    assert whole[3].tolist() == [0] * 5


@pytest.mark.parametrize("name", ["last", "mean", "max", "attention"])
def test_what_lies_past_the_end_reaches_neither_value_nor_gradient(name) -> None:
    pool = pool_of(name, 3, 1).double()
    lengths = torch.tensor([2, 0, 4])
    upstream = torch.randn(3, 3, dtype=torch.float64)
    h = torch.randn(4, 3, 3, dtype=torch.float64)
    found = []
    for garbage in (0.0, 1e30):
        x = torch.where(is_step(lengths, 4)[..., None], h, garbage).requires_grad_()
        features, _ = pool(x, is_step(lengths, 4))
        (gradient,) = torch.autograd.grad(features, x, upstream)
        assert not gradient[~is_step(lengths, 4)].any()
        assert bool(gradient[is_step(lengths, 4)].any())
        found.append((features, gradient))
    torch.testing.assert_close(found[0], found[1])


def test_high_scores_do_not_overflow() -> None:
    pool = AttentionPool(1).double()
    with torch.no_grad():
        pool.projection.weight.fill_(1), pool.projection.bias.fill_(0), pool.context.weight.fill_(1e4)
    h = torch.tensor([-1.0, 2.0, 1.0]).double().view(3, 1, 1)
    features, state = pool(h[:1], is_step(torch.tensor([1]), 1))
    assert features.item() == -1
    features, _ = pool(h[1:], is_step(torch.tensor([2]), 2), state)
    # tanh(2) - tanh(1) = 0.2, times 10^4: the other two have no share that a double holds.
    assert features.item() == 2


@pytest.mark.parametrize("name", ["last", "mean", "max", "attention"])
def test_gradients(name) -> None:
    pool = pool_of(name, 3, 1).double()
    h = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    mask = is_step(torch.tensor([4, 2]), 4)
    assert torch.autograd.gradcheck(lambda x: pool(x, mask)[0], (h,))
