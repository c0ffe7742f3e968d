"""PhasedLSTM against its equations in NumPy, and what the paper says of it."""

import math

import numpy as np
import pytest
import torch

from recur.nn import LSTM, PhasedLSTM, PhasedLSTMCell


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


def _openness(time, period, shift, ratio, leak):
    """The time gate of Neil et al. (2016)."""
    phase = ((time - shift) % period) / period
    if phase < ratio / 2:
        return 2 * phase / ratio
    return 2 - 2 * phase / ratio if phase < ratio else leak * phase


def _step(w, x, time, h, c, ratio, leak):
    size = len(h)
    a = w["weight_ih"] @ x + w["weight_hh"] @ h + w["bias"]
    k = np.array([_openness(time, w["period"][u], w["shift"][u], ratio, leak) for u in range(size)])
    i = _sigmoid(a[:size] + w["weight_ch"][0] * c)
    f = _sigmoid(a[size : 2 * size] + w["weight_ch"][1] * c)
    proposed = f * c + i * np.tanh(a[2 * size : 3 * size])
    o = _sigmoid(a[3 * size :] + w["weight_ch"][2] * proposed)
    return k * o * np.tanh(proposed) + (1 - k) * h, k * proposed + (1 - k) * c, k


def _made(**options):
    layer = PhasedLSTM(3, 6, periods=(1.0, 8.0), dtype=torch.float64, **options)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if not name.endswith(("period", "shift")):
                parameter.normal_()
    return layer


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("is_timed", [True, False])
def test_against_the_equations(compare, is_training, is_timed):
    layer = _made(open_ratio=0.6, leak=0.3).train(is_training)
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    times = torch.rand(9, 2, dtype=torch.float64).cumsum(0) * 3 - 2 if is_timed else None
    hx = (*(torch.randn(1, 2, 6, dtype=torch.float64) for _ in range(2)), torch.full((1, 2, 1), 5.0).double())
    output, (h_n, c_n, clock), (steps,) = layer(x, hx, times=times, return_all=True)
    seen = set()
    for row in range(2):
        h, c = (part[0, row].numpy() for part in hx[:2])
        for t in range(9):
            time = 5.0 + t if times is None else float(times[t, row])
            h, c, k = _step(w, x[t, row].numpy(), time, h, c, 0.6, 0.3 if is_training else 0.0)
            seen |= {min(int(2 * p / 0.6), 2) for p in ((time - w["shift"]) % w["period"]) / w["period"]}
            compare(
                {"h": output[t, row], "k": steps.values["k"][t, row]},
                {"h": torch.from_numpy(h), "k": torch.from_numpy(k)},
            )
        compare({"h": h_n[0, row], "c": c_n[0, row]}, {"h": torch.from_numpy(h), "c": torch.from_numpy(c)})
        assert float(clock[0, row, 0]) == time + 1
    assert seen == {0, 1, 2}, "a branch of the time gate was never taken"


def test_a_closed_unit_keeps_its_state_in_evaluation():
    """And its gradient: the error of a closed unit goes back undiminished (section 2.1 of the paper)."""
    layer = PhasedLSTM(3, 6, periods=(50.0, 60.0), open_ratio=0.01, dtype=torch.float64).eval()
    torch.nn.init.zeros_(layer.cells[0].shift)
    times = torch.linspace(1, 49, 20).double()[:, None]
    hx = tuple(torch.randn(1, 1, n, dtype=torch.float64, requires_grad=True) for n in (6, 6, 1))
    output, (h_n, c_n, _) = layer(torch.randn(20, 1, 3, dtype=torch.float64), hx, times=times)
    assert torch.equal(h_n, hx[0])
    assert torch.equal(c_n, hx[1])
    (gradient,) = torch.autograd.grad(output[-1].sum(), hx[0])
    assert torch.equal(gradient, torch.ones_like(gradient))


def test_an_open_unit_is_an_lstm_with_peepholes(compare):
    """At the middle of its opening k is one."""
    layer, plain = _made(open_ratio=1.0), LSTM(3, 6, peephole=True, dtype=torch.float64)
    cell = layer.cells[0]
    with torch.no_grad():
        cell.period.fill_(2.0)
        cell.shift.zero_()
        for name in ("weight_ih", "weight_hh"):
            getattr(plain, f"{name}_l0").copy_(getattr(cell, name))
        plain.weight_ch_l0.copy_(cell.weight_ch.flatten())
        plain.bias_ih_l0.copy_(cell.bias)
        plain.bias_hh_l0.zero_()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    times = (2.0 * torch.arange(5).double() + 1)[:, None].expand(5, 2)
    compare({"y": layer(x, times=times)[0]}, {"y": plain(x)[0]})


def test_periods_are_drawn_evenly_on_a_logarithmic_scale():
    torch.manual_seed(0)
    cell = PhasedLSTMCell(1, 2000, periods=(1.0, math.exp(4)))
    logs = cell.period.detach().log()
    # float32 rounds exp and log.
    assert bool(((logs > -1e-6) & (logs < 4 + 1e-5)).all())
    # The mean of 2000 uniform numbers from 0 to 4 has the standard deviation 4 / sqrt(12 * 2000) = 0.026.
    assert abs(float(logs.mean()) - 2) < 0.13
    share = (cell.shift / cell.period).detach()
    assert bool(((share >= 0) & (share <= 1)).all())
    assert abs(float(share.mean()) - 0.5) < 0.033


def test_period_and_shift_learn():
    layer = _made(open_ratio=0.9)
    layer(torch.randn(9, 2, 3, dtype=torch.float64))[0].sum().backward()
    for name in ("period", "shift"):
        assert bool((getattr(layer.cells[0], name).grad != 0).any())


def test_bad_options():
    for options, error, text in (
        ({"periods": 3}, TypeError, r"periods must be the shortest and the longest, but is 3\."),
        ({"periods": (2.0, 1.0)}, ValueError, r"periods is \(2\.0, 1\.0\), but must be above 0, the shortest first\."),
        ({"periods": (0, 1)}, ValueError, r"periods is \(0, 1\), but must be above 0"),
        ({"periods": (1, float("inf"))}, ValueError, r"periods is inf, but must be finite\."),
        ({"open_ratio": 0}, ValueError, r"open_ratio is 0, but must be above 0"),
        ({"open_ratio": 1.5}, ValueError, r"open_ratio is 1\.5, but must be from 0 to 1\."),
        ({"leak": -1}, ValueError, r"leak is -1, but must be from 0 to 1\."),
    ):
        with pytest.raises(error, match=f"^PhasedLSTMCell: {text}"):
            PhasedLSTM(3, 4, **options)
