"""Multi-head attention is torch's, with the same parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recur.nn import MultiHeadAttention

LENGTHS = [7, 3, 1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("memory_size", [8, 5])
def test_results_gradients_and_parameters_are_torchs(memory_size, bias):
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(8, 4, bias=bias, kdim=memory_size, vdim=memory_size, dtype=torch.float64)
    ours = MultiHeadAttention(8, memory_size, 4, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.5)
    ours.load_state_dict(theirs.state_dict())
    h = torch.randn(7, 3, memory_size, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(4, 3, 8, dtype=torch.float64, requires_grad=True)
    is_padding = torch.arange(7) >= torch.tensor(LENGTHS)[:, None]
    wanted = theirs(queries, h, h, key_padding_mask=is_padding)
    contexts, weights, _ = ours(queries, ours.prepare(h, LENGTHS))
    torch.testing.assert_close(contexts, wanted[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(weights.transpose(0, 1), wanted[1], rtol=0, atol=1e-12)
    upstream = [torch.randn_like(part) for part in wanted]
    want = torch.autograd.grad(wanted, [h, queries, *theirs.parameters()], upstream)
    turned = [upstream[0], upstream[1].transpose(0, 1)]
    found = torch.autograd.grad([contexts, weights], [h, queries, *ours.parameters()], turned)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for got, expected in zip(found, want, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)
    theirs.load_state_dict(ours.state_dict())


def test_weights_are_drawn_as_torch_does():
    for memory_size in (8, 5):
        ours = MultiHeadAttention(8, memory_size, 2)
        theirs = nn.MultiheadAttention(8, 2, kdim=memory_size, vdim=memory_size)
        for name, value in theirs.state_dict().items():
            mine = ours.state_dict()[name]
            if name.endswith("bias"):
                assert torch.equal(mine, value), name
            else:
                # The largest of at least 40 draws from a uniform distribution is nearly its bound.
                assert 0.8 < mine.abs().max() / value.abs().max() < 1.25, name


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"^MultiHeadAttention: query_size is 8, which is no multiple of the 3 heads"):
        MultiHeadAttention(8, 8, 3)
    with pytest.raises(ValueError, match=r"^MultiHeadAttention: num_heads is 0, but must be at least 1\.$"):
        MultiHeadAttention(8, 8, 0)
    with pytest.raises(TypeError, match=r"^MultiHeadAttention: bias must be a bool, but is str\.$"):
        MultiHeadAttention(8, 8, 2, bias="no")
