"""MultiplicativeLSTM against its equations, unit by unit in NumPy."""

import numpy as np
import torch

from recur.nn import MultiplicativeLSTM


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


def _step(w, x, h, c):
    size = len(h)
    m = np.array([(w["weight_im"][unit] @ x) * (w["weight_hm"][unit] @ h) for unit in range(size)])
    after_h, after_c = np.zeros(size), np.zeros(size)
    for unit in range(size):
        i, f, g, o = (
            w["weight_ih"][row] @ x + w["weight_mh"][row] @ m + w["bias"][row]
            for row in (unit, size + unit, 2 * size + unit, 3 * size + unit)
        )
        after_c[unit] = _sigmoid(f) * c[unit] + _sigmoid(i) * np.tanh(g)
        after_h[unit] = _sigmoid(o) * np.tanh(after_c[unit])
    return after_h, after_c, m


def test_against_the_equations(compare):
    layer = MultiplicativeLSTM(3, 4, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    hx = tuple(torch.randn(1, 2, 4, dtype=torch.float64) for _ in range(2))
    output, (h_n, c_n), (steps,) = layer(x, hx, return_all=True)
    for row in range(2):
        h, c = (part[0, row].numpy() for part in hx)
        for t in range(5):
            h, c, m = _step(w, x[t, row].numpy(), h, c)
            compare(
                {"h": output[t, row], "m": steps.values["m"][t, row]},
                {"h": torch.from_numpy(h), "m": torch.from_numpy(m)},
            )
        compare({"h": h_n[0, row], "c": c_n[0, row]}, {"h": torch.from_numpy(h), "c": torch.from_numpy(c)})
