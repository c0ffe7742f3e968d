"""The scores in chunks are those at once, forward, backward and under autocast."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recur.nn.attention import tanh_scores as module
from recur.nn.attention.tanh_scores import tanh_scores

SHAPES = [(3, 4, 5, 6), (1, 1, 1, 1), (5, 1, 7, 3), (2, 9, 3, 4)]


def given(shape, dtype=torch.float64):
    rows, queries, keys, units = shape
    return [
        torch.randn(*size, dtype=dtype, requires_grad=True)
        for size in ((rows, queries, units), (rows, keys, units), (units,))
    ]


def at_once(queries, keys, v):
    return torch.tanh(queries[:, :, None] + keys[:, None]) @ v


@pytest.mark.parametrize("chunk_bytes", [1, 500, 2**30])
@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_do_not_show(monkeypatch, shape, chunk_bytes):
    monkeypatch.setitem(module.CHUNK_BYTES, "cpu", chunk_bytes)
    arguments = given(shape)
    found, wanted = tanh_scores(*arguments), at_once(*arguments)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)
    upstream = torch.randn_like(found)
    gradients = torch.autograd.grad(found, arguments, upstream), torch.autograd.grad(wanted, arguments, upstream)
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2)])
def test_only_some_are_learned(wanted):
    arguments = [value.detach() for value in given(SHAPES[0])]
    for k in wanted:
        arguments[k].requires_grad_()
    assert torch.autograd.gradcheck(tanh_scores, arguments)
    assert torch.autograd.gradgradcheck(tanh_scores, arguments)


def test_memory_does_not_grow_with_the_sums(monkeypatch):
    sizes = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            result = function(*arguments, **(keywords or {}))
            sizes.extend(part.numel() for part in tree_leaves(result) if isinstance(part, torch.Tensor))
            return result

    # A mode of the dispatcher would have it computed at once.
    monkeypatch.setattr(module, "is_looked_into", lambda: False)
    monkeypatch.setitem(module.CHUNK_BYTES, "cpu", 8 * 4000)
    arguments = given((4, 50, 40, 20))
    with Sizes():
        scores = tanh_scores(*arguments)
        scores.backward(torch.randn_like(scores))
    # The sums are 160,000 numbers, the scores 8,000.
    assert max(sizes) == 8000


# Torch's own formulas for forward mode are written in TorchScript.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_what_sees_more_than_numbers_takes_them_at_once():
    arguments = given(SHAPES[0])
    queries, keys, v = (value.detach() for value in arguments)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(queries, torch.ones_like(queries))
        slope = forward_ad.unpack_dual(tanh_scores(dual, keys, v)).tangent
    wanted = (1 - torch.tanh(queries[:, :, None] + keys[:, None]).square()) @ v
    torch.testing.assert_close(slope, wanted, rtol=0, atol=1e-13)
    mapped = torch.func.vmap(tanh_scores, in_dims=(None, 0, None))(queries, torch.stack([keys, 2 * keys]), v)
    torch.testing.assert_close(mapped[1], at_once(queries, 2 * keys, v), rtol=0, atol=1e-13)


def test_dtypes_that_differ_become_that_of_the_keys():
    queries, keys, v = given(SHAPES[0], torch.float32)
    found = tanh_scores(queries, keys.bfloat16(), v)
    assert found.dtype == torch.bfloat16
    # 2^-9 from each rounding: of the sum and of tanh, times |v| summed, and of the result.
    bound = 2**-8 * (v.abs().sum() + 8)
    assert bool((found.float() - at_once(queries, keys, v)).abs().max() < bound)
    found.float().sum().backward()
    assert {queries.grad.dtype, keys.grad.dtype, v.grad.dtype} == {torch.float32}


def test_second_derivatives_where_one_argument_comes_from_another():
    queries, _, v = given((3, 4, 4, 6))

    def slope(function):
        (first,) = torch.autograd.grad(function(queries, queries.exp(), v).square().sum(), queries, create_graph=True)
        return first, torch.autograd.grad(first.square().sum(), queries)[0]

    for got, want in zip(slope(tanh_scores), slope(at_once), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
