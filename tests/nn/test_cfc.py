"""CfC against its equations, unit by unit in NumPy."""

import numpy as np
import pytest
import torch

from recur.nn import CfC


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.mark.parametrize("is_timed", [True, False])
def test_against_the_equations(compare, is_timed):
    layer = CfC(3, 4, backbone_size=5, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    times = torch.rand(6, 2, dtype=torch.float64).cumsum(0) - 7 if is_timed else None
    output, (h_n, clock) = layer(x, times=times)
    for row in range(2):
        h = np.zeros(4)
        for t in range(6):
            since = 0.0 if t == 0 else 1.0 if times is None else float(times[t, row] - times[t - 1, row])
            z = np.tanh(w["weight_ih"] @ x[t, row].numpy() + w["weight_hh"] @ h + w["bias"])
            a, b, g, n = np.split(w["weight_heads"] @ z + w["bias_heads"], 4)
            # The closed form of Hasani et al. (2022), with the offset b.
            h = _sigmoid(-a * since - b) * np.tanh(g) + (1 - _sigmoid(-a * since - b)) * np.tanh(n)
            compare({"h": output[t, row]}, {"h": torch.from_numpy(h)})
        last = 6.0 if times is None else float(times[-1, row])
        assert clock[0, row].tolist() == [last, 1.0]
    compare({"h": h_n[0]}, {"h": output[-1]})


def test_a_longer_wait_is_another_answer():
    layer = CfC(3, 4)
    x = torch.randn(2, 1, 3).expand(2, 2, 3)
    output, _ = layer(x, times=torch.tensor([[0.0, 5.0], [1.0, 9.0]]))
    assert torch.equal(output[0, 0], output[0, 1])
    assert not torch.equal(output[1, 0], output[1, 1])


def test_bad_options():
    with pytest.raises(ValueError, match=r"^CfCCell: backbone_size is 0, but must be at least 1\."):
        CfC(3, 4, backbone_size=0)
