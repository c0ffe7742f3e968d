"""RHN against its equations, unit by unit in NumPy."""

import numpy as np
import pytest
import torch

from recur.nn import RHN, RHNCell


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


def _step(w, x, y, depth, coupled):
    """The equations of Zilly et al. (2017)."""
    size = len(y)
    s = y.copy()
    for layer in range(depth):
        after = np.zeros(size)
        for unit in range(size):
            sums = []
            for gate in range(2 if coupled else 3):
                row = gate * size + unit
                total = w["bias"][layer, row] + w["weight_hh"][layer, row] @ s
                # The input reaches the first layer alone.
                sums.append(total + (w["weight_ih"][row] @ x if layer == 0 else 0))
            h, t = np.tanh(sums[0]), _sigmoid(sums[1])
            after[unit] = h * t + s[unit] * (1 - t if coupled else _sigmoid(sums[2]))
        s = after
    return s


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_against_the_equations(compare, depth, coupled):
    layer = RHN(3, 4, depth=depth, coupled=coupled, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x, h_0 = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(1, 2, 4, dtype=torch.float64)
    output, h_n = layer(x, h_0)
    for row in range(2):
        y = h_0[0, row].numpy()
        for t in range(5):
            y = _step(w, x[t, row].numpy(), y, depth, coupled)
            compare({"y": output[t, row]}, {"y": torch.from_numpy(y)})
        compare({"h": h_n[0, row]}, {"h": torch.from_numpy(y)})


@pytest.mark.parametrize("coupled", [True, False])
def test_the_transform_gates_begin_closed(coupled):
    cell = RHNCell(3, 4, depth=2, coupled=coupled, transform_bias=-9)
    h, after, gates = cell(torch.zeros(2, 3), torch.ones(2, 4) / 9, return_all=True)
    assert h is after
    assert list(gates) == ["n0", "t0", "c0", "n1", "t1", "c1"]
    # |W h| is at most 4 * 0.5 / 9 a layer.
    assert bool((gates["t0"] < 1 / (1 + np.exp(8.7))).all())
    assert bool((gates["c1"] > 1 / (1 + np.exp(-8.7))).all())
    if not coupled:
        assert not torch.equal(gates["c0"], 1 - gates["t0"])


def test_bad_options():
    for options, error, text in (
        ({"depth": 0}, ValueError, r"RHNCell: depth is 0, but must be at least 1\."),
        ({"coupled": 1}, TypeError, r"RHNCell: coupled must be a bool, but is int\."),
        ({"transform_bias": "0"}, TypeError, r"RHNCell: transform_bias must be a number, but is str\."),
        ({"transform_bias": float("nan")}, ValueError, r"RHNCell: transform_bias is nan, but must be finite\."),
        ({"transform_bias": float("-inf")}, ValueError, r"RHNCell: transform_bias is -inf, but must be finite\."),
        ({"dept": 2}, TypeError, r"RHN: there is no option 'dept'\."),
    ):
        with pytest.raises(error, match=f"^{text}"):
            RHN(3, 4, **options)
