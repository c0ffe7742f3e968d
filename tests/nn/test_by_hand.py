"""Layers whose weights are set so that the answer is known: counters, copies, parity, running sums."""

import pytest
import torch

from recur.nn import GRU, LSTM, MGU, RNN, IndRNN, LiGRU

FAR = 50.0
"""A sum at which a gate is open, 1 in float64 to the last bit; below zero it is shut, 2e-22."""


def silent(kind, *sizes, **options):
    layer = kind(*sizes, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


@pytest.mark.parametrize("coupled", [False, True])
def test_an_lstm_counts(coupled):
    """The cell adds tanh(50) = 1 for each 1 that comes in, and keeps what it has (Gers and Schmidhuber 2001)."""
    layer = silent(LSTM, 1, 1, coupled=coupled)
    marks = torch.tensor([1, 0, 1, 1, 0, 0, 1]).double()[:, None, None]
    with torch.no_grad():
        if coupled:
            # f, g, o: forgets where a 1 comes, and then writes; it can only say whether there was one.
            layer.weight_ih_l0[:, 0] = torch.tensor([-2 * FAR, FAR, 0.0])
            layer.bias_ih_l0.copy_(torch.tensor([FAR, 0.0, FAR]))
        else:
            layer.weight_ih_l0[:, 0] = torch.tensor([0.0, 0.0, FAR, 0.0])
            layer.bias_ih_l0.copy_(torch.tensor([FAR, FAR, 0.0, FAR]))
    cells = layer(marks, return_all=True).steps[0].values["c"].flatten()
    wanted = marks.flatten().clamp(0, 1).cummax(0).values if coupled else marks.flatten().cumsum(0)
    torch.testing.assert_close(cells, wanted, rtol=0, atol=1e-12)


def test_a_peephole_lets_an_lstm_speak_when_it_has_counted_enough():
    """The output gate opens as the cell passes 2.5: timing, which Gers and Schmidhuber (2000) made peepholes for."""
    layer = silent(LSTM, 1, 1, peephole=True)
    with torch.no_grad():
        layer.bias_ih_l0.copy_(torch.tensor([FAR, FAR, FAR, -250.0]))
        layer.weight_ch_l0.copy_(torch.tensor([0.0, 0.0, 100.0]))
    output, _ = layer(torch.zeros(5, 1, 1, dtype=torch.float64))
    counts = torch.arange(1.0, 6.0).double()
    torch.testing.assert_close(output.flatten(), torch.where(counts > 2.5, counts.tanh(), 0.0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("reset_after", [False, True])
def test_a_gru_holds_what_it_was_told_to(reset_after):
    """Input: what to hold, and whether to take it. The update gate is open (held) unless told."""
    layer = silent(GRU, 2, 1, reset_after=reset_after)
    with torch.no_grad():
        layer.weight_ih_l0[1, 1] = -2 * FAR
        layer.bias_ih_l0[1] = FAR
        layer.weight_ih_l0[2, 0] = 1.0
    x = torch.tensor([[0.3, 1], [0.9, 0], [-0.5, 0], [-0.7, 1], [0.1, 0]]).double()
    output, _ = layer(x)
    held = torch.tensor([0.3, 0.3, 0.3, -0.7, -0.7]).double().tanh()
    torch.testing.assert_close(output[:, 0], held, rtol=0, atol=1e-12)


def test_the_reset_gate_cuts_the_past_off_before_or_after_the_product():
    """With a recurrent bias the two kinds differ: the one after the product silences the bias too."""
    for reset_after, wanted in ((True, 0.0), (False, 0.7)):
        layer = silent(GRU, 1, 1, reset_after=reset_after)
        with torch.no_grad():
            layer.bias_ih_l0.copy_(torch.tensor([-FAR, -FAR, 0.0]))
            layer.weight_hh_l0[2, 0] = 1.0
            layer.bias_hh_l0[2] = 0.7
        output, _ = layer(torch.zeros(1, 1, 1, dtype=torch.float64), torch.full((1, 1, 1), 0.5, dtype=torch.float64))
        wanted_n = torch.tensor([wanted], dtype=torch.float64).tanh()
        torch.testing.assert_close(output.flatten(), wanted_n, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "taken"), [(MGU, 1.0), (LiGRU, -1.0)])
def test_one_gate_is_enough_to_hold(kind, taken):
    """The MGU takes in where its gate is open, the light GRU where it is shut."""
    layer = silent(kind, 2, 1)
    with torch.no_grad():
        layer.weight_ih_l0[0, 1] = 2 * FAR * taken
        layer.bias_ih_l0[0] = -FAR * taken
        layer.weight_ih_l0[1, 0] = 1.0
    output, _ = layer(torch.tensor([[0.3, 1], [0.9, 0], [0.5, 0], [0.7, 1]]).double())
    held = torch.tensor([0.3, 0.3, 0.3, 0.7]).double()
    torch.testing.assert_close(output[:, 0], held.tanh() if kind is MGU else held, rtol=0, atol=1e-12)


def test_a_rectified_network_tells_parity():
    """Two rectified units and their difference: |h - x| flips the state at each 1."""
    layer = silent(RNN, 1, 2, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_ih_l0[:, 0] = torch.tensor([1.0, -1.0])
        layer.weight_hh_l0.copy_(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    bits = torch.tensor([1, 1, 0, 1, 0, 0, 1]).double()
    output, _ = layer(bits[:, None])
    torch.testing.assert_close(output.sum(1), bits.cumsum(0) % 2, rtol=0, atol=1e-12)


def test_units_of_an_indrnn_decay_each_at_its_own_rate():
    layer = silent(IndRNN, 1, 3)
    rates = torch.tensor([1.0, 0.5, 0.0]).double()
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.copy_(rates)
    output, _ = layer(torch.tensor([[1.0], [0.0], [0.0], [0.0]]).double())
    torch.testing.assert_close(output, torch.stack([rates**t for t in range(4)]), rtol=0, atol=1e-12)


def test_a_dilated_sum_adds_every_third_number():
    layer = silent(IndRNN, 1, 1, dilation=3)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(1.0)
    output, (final,) = layer(torch.arange(1.0, 9.0).double()[:, None])
    assert output.flatten().tolist() == [1, 2, 3, 1 + 4, 2 + 5, 3 + 6, 1 + 4 + 7, 2 + 5 + 8]
    # The oldest first: what step 9 begins with.
    assert final.flatten().tolist() == [9, 12, 15]


def test_a_module_may_be_the_nonlinearity_and_learns(compare, flat):
    layer = RNN(3, 5, nonlinearity=torch.nn.PReLU(5), dtype=torch.float64).double()
    assert "nonlinearity.weight" in layer.state_dict()
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    layer(x)[0].sum().backward()
    assert bool((layer.nonlinearity.weight.grad != 0).any())
    with torch.no_grad():
        layer.nonlinearity.weight.zero_()
    relu = RNN(3, 5, nonlinearity="relu", dtype=torch.float64)
    relu.load_state_dict({n: v for n, v in layer.state_dict().items() if "nonlinearity" not in n})
    compare(flat(layer(x)), flat(relu(x)))
