"""Segments that are computed again: the same values and gradients, and little that is kept between."""

import pytest
import torch

from recur.nn import GRU, LSTM, MGU, RNN, IndRNN, LiGRU

T, B = 11, 4
LAYERS = {
    "rnn": lambda **k: RNN(3, 5, **k),
    "gru": lambda **k: GRU(3, 5, **k),
    "gru_before": lambda **k: GRU(3, 5, reset_after=False, layer_norm=True, **k),
    "gru_projected": lambda **k: GRU(3, 5, proj_size=2, **k),
    "lstm": lambda **k: LSTM(3, 5, peephole=True, **k),
    "lstm_projected": lambda **k: LSTM(3, 5, proj_size=2, layer_norm=True, output_clip=0.2, **k),
    "mgu": lambda **k: MGU(3, 5, **k),
    "ligru": lambda **k: LiGRU(3, 5, **k),
    "indrnn": lambda **k: IndRNN(3, 5, **k),
}


def run(layer, x, seed=7, **keywords):
    torch.manual_seed(seed)
    x = x.clone().requires_grad_()
    layer.zero_grad()
    output, state = layer(x, **keywords)
    parts = [output, *(state if isinstance(state, tuple) else (state,))]
    torch.manual_seed(1)
    sum((part * torch.randn_like(part)).sum() for part in parts).backward()
    return [*[part.detach() for part in parts], x.grad, *[weight.grad for weight in layer.parameters()]]


def same(layer, x, recompute, **keywords):
    layer.recompute = None
    whole = run(layer, x, **keywords)
    layer.recompute = recompute
    again = run(layer, x, **keywords)
    for a, b in zip(whole, again, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("recompute", [1, 4, 11, 100])
@pytest.mark.parametrize("name", LAYERS)
def test_segments_are_the_whole(name, recompute):
    layer = LAYERS[name](num_layers=2, bidirectional=True, initial_state="learned", dtype=torch.float64)
    same(layer, torch.randn(T, B, 3, dtype=torch.float64), recompute)


@pytest.mark.parametrize("name", LAYERS)
def test_with_lengths_and_resets(name):
    layer = LAYERS[name](bidirectional=True, initial_state="learned", dtype=torch.float64)
    x = torch.randn(T, B, 3, dtype=torch.float64)
    reset = torch.rand(T, B) < 0.3
    same(layer, x, 3, lengths=[11, 0, 6, 3], reset=reset)
    h = torch.randn(2, B, layer.proj_size or 5, dtype=torch.float64)
    c = torch.randn(2, B, 5, dtype=torch.float64)
    has_pair = isinstance(layer(x)[1], tuple)
    same(layer, x, 3, hx=(h, c) if has_pair else h, lengths=[11, 0, 6, 3], reset=reset)


@pytest.mark.parametrize("name", LAYERS)
def test_with_noise(name):
    layer = LAYERS[name](zoneout=0.3, recurrent_dropout=0.2, gradient_clip=0.5, dtype=torch.float64)
    same(layer, torch.randn(T, B, 3, dtype=torch.float64), 4)


def test_the_initial_state_has_its_gradient():
    layer = LSTM(3, 5, dtype=torch.float64)
    x = torch.randn(T, B, 3, dtype=torch.float64)
    found = []
    for layer.recompute in (None, 4):
        hx = tuple(torch.full((1, B, 5), 0.3, dtype=torch.float64, requires_grad=True) for _ in range(2))
        layer(x, hx)[0].square().sum().backward()
        found.append([part.grad for part in hx])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-12)


def test_frozen_weights_and_second_derivatives():
    layer = GRU(2, 3, dtype=torch.float64, recompute=2)
    layer.weight_ih_l0.requires_grad_(False)
    x = torch.randn(5, 2, 2, dtype=torch.float64, requires_grad=True)
    layer(x)[0].sum().backward()
    assert layer.weight_ih_l0.grad is None
    assert layer.weight_hh_l0.grad is not None
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


def test_little_is_kept():
    def kept(recompute):
        layer = LSTM(8, 32, recompute=recompute)
        x = torch.randn(400, 2, 8)
        total = {}

        def pack(tensor):
            total[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            layer(x)
        given = sum(weight.nbytes for weight in layer.parameters()) + x.nbytes
        return sum(total.values()) - given

    # Without: four gates, a cell state and an output for each step. With: two parts of the state for each segment.
    assert kept(None) > 400 * 2 * 32 * 4 * 6 * 0.9
    assert kept(50) < 9 * 2 * 2 * 32 * 4 * 1.5


def test_what_it_may_be():
    with pytest.raises(ValueError, match="recompute is 0, but must be at least 1"):
        GRU(2, 3, recompute=0)
    with pytest.raises(TypeError, match="recompute must be an int"):
        GRU(2, 3, recompute=1.5)
    layer = GRU(2, 3)
    for wrong, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError), ("a", TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"^GRU: recompute "):
            layer.recompute = wrong
    assert layer.recompute is None
    layer.recompute = 2
    assert "recompute=2" in repr(layer)
