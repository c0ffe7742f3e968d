"""MogrifierLSTM against its equations in NumPy, and against LSTM where there are no rounds."""

import numpy as np
import pytest
import torch

from recur.nn import LSTM, MogrifierLSTM


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


def _step(w, x, h, c, rounds):
    """The rounds of Melis et al. (2020), the indices as there, then an LSTM."""

    def matrix(name, number):
        if f"{name}_left" in w:
            return w[f"{name}_left"][number] @ w[f"{name}_right"][number]
        return w[name][number]

    xs, hs = {-1: x}, {0: h}
    for i in range(1, rounds + 1):
        if i % 2:
            xs[i] = 2 * _sigmoid(matrix("weight_q", (i - 1) // 2) @ hs[i - 1]) * xs[i - 2]
        else:
            hs[i] = 2 * _sigmoid(matrix("weight_r", i // 2 - 1) @ xs[i - 1]) * hs[i - 2]
    x, h = xs[max(xs)], hs[max(hs)]
    i, f, g, o = np.split(w["weight_ih"] @ x + w["weight_hh"] @ h + w["bias"], 4)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_against_the_equations(compare, rounds, rank):
    layer = MogrifierLSTM(3, 4, rounds=rounds, rank=rank, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    hx = tuple(torch.randn(1, 2, 4, dtype=torch.float64) for _ in range(2))
    output, (h_n, c_n) = layer(x, hx)
    for row in range(2):
        h, c = (part[0, row].numpy() for part in hx)
        for t in range(5):
            h, c = _step(w, x[t, row].numpy(), h, c, rounds)
            compare({"h": output[t, row]}, {"h": torch.from_numpy(h)})
        compare({"h": h_n[0, row], "c": c_n[0, row]}, {"h": torch.from_numpy(h), "c": torch.from_numpy(c)})


def test_without_rounds_it_is_an_lstm(compare):
    layer, plain = MogrifierLSTM(3, 4, rounds=0, dtype=torch.float64), LSTM(3, 4, dtype=torch.float64)
    assert [name for name, _ in layer.cells[0].named_parameters()] == ["weight_ih", "weight_hh", "bias"]
    with torch.no_grad():
        plain.weight_ih_l0.copy_(layer.cells[0].weight_ih)
        plain.weight_hh_l0.copy_(layer.cells[0].weight_hh)
        plain.bias_ih_l0.copy_(layer.cells[0].bias)
        plain.bias_hh_l0.zero_()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    compare({"y": layer(x)[0]}, {"y": plain(x)[0]})


def test_bad_options():
    for options, text in (
        ({"rounds": -1}, r"MogrifierLSTMCell: rounds is -1, but must be at least 0\."),
        ({"rank": 0}, r"MogrifierLSTMCell: rank is 0, but must be at least 1\."),
        ({"rounds": 0, "rank": 2}, r"MogrifierLSTMCell: rank is 2, but there are no rounds. Leave it out\."),
    ):
        with pytest.raises(ValueError, match=f"^{text}"):
            MogrifierLSTM(3, 4, **options)
