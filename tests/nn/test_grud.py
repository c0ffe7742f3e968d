"""GRUD against its equations in NumPy, and missing values in every form."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from recur.nn import GRU, GRUD, GRUDCell


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


def _run(w, means, x, mask, times, h):
    """The equations of Che et al. (2018), feature by feature, from one sequence as a whole.

    Yields h after each step. The paper's z is one minus that of the library.
    """
    size, features = len(h), x.shape[1]
    delta = np.zeros(features)
    for t in range(len(x)):
        for d in range(features):
            if t == 0:
                delta[d] = 0
            elif mask[t - 1, d]:
                delta[d] = times[t] - times[t - 1]
            else:
                delta[d] = times[t] - times[t - 1] + delta[d]
        filled = np.zeros(features)
        for d in range(features):
            earlier = [s for s in range(t) if mask[s, d]]
            last = x[earlier[-1], d] if earlier else means[d]
            decay = np.exp(-max(0.0, w["decay_x"][d] * delta[d] + w["decay_x_bias"][d]))
            filled[d] = x[t, d] if mask[t, d] else decay * last + (1 - decay) * means[d]
        h = np.exp(-np.maximum(0, w["decay_h"] @ delta + w["decay_h_bias"])) * h
        a = w["weight_ih"] @ filled + w["weight_mh"] @ mask[t].astype(float) + w["bias"]
        r = _sigmoid(a[:size] + w["weight_hh"][:size] @ h)
        paper_z = 1 - _sigmoid(a[size : 2 * size] + w["weight_hh"][size : 2 * size] @ h)
        new = np.tanh(a[2 * size :] + w["weight_hh"][2 * size :] @ (r * h))
        h = (1 - paper_z) * h + paper_z * new
        yield h


def _made(*sizes, **options):
    layer = GRUD(*sizes, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def _x(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("is_timed", [True, False])
def test_against_the_equations(compare, is_timed):
    means = [0.3, -0.7, 1.1]
    layer = _made(3, 4, means=means)
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x, mask = _x(8, 5, 3), torch.rand(8, 5, 3) < 0.4
    # One feature is never there, one always.
    mask[:, 0, 1], mask[:, 0, 2] = False, True
    times = torch.rand(8, 5, dtype=torch.float64).cumsum(0) + 9 if is_timed else None
    h_0 = _x(1, 5, 4)
    begin = layer(x, mask=mask, times=times)[1]
    hx = (h_0, *(torch.zeros_like(part) for part in begin[1:]))
    output, final = layer(x, hx, mask=mask, times=times)
    for row in range(5):
        stamps = np.arange(8.0) if times is None else times[:, row].numpy()
        steps = list(_run(w, means, x[:, row].numpy(), mask[:, row].numpy(), stamps, h_0[0, row].numpy()))
        compare({"y": output[:, row]}, {"y": torch.from_numpy(np.stack(steps))})
    compare({"h": final[0][0]}, {"h": output[-1]})


def test_nothing_missing_and_no_decay_is_a_gru(compare):
    """With the mask's weights in the bias."""
    layer, plain = _made(3, 4), GRU(3, 4, reset_after=False, dtype=torch.float64)
    cell = layer.cells[0]
    with torch.no_grad():
        cell.decay_h.zero_()
        cell.decay_h_bias.fill_(-1.0)
        plain.weight_ih_l0.copy_(cell.weight_ih)
        plain.weight_hh_l0.copy_(cell.weight_hh)
        plain.bias_ih_l0.copy_(cell.bias + cell.weight_mh.sum(1))
        plain.bias_hh_l0.zero_()
    x = _x(5, 2, 3)
    compare({"y": layer(x)[0]}, {"y": plain(x)[0]})


def test_a_missing_value_is_a_nan_or_masked_in_every_form(compare):
    layer = _made(3, 4, batch_first=True)
    x, mask = _x(2, 6, 3), torch.rand(2, 6, 3) < 0.5
    spoiled = torch.where(mask, x, torch.nan)
    times = torch.rand(2, 6, dtype=torch.float64).cumsum(1)
    want = layer(spoiled, times=times)[0]
    assert bool(want.isfinite().all())
    compare({"y": layer(x, mask=mask, times=times)[0]}, {"y": want})
    compare({"y": layer(x[1], mask=mask[1], times=times[1])[0]}, {"y": want[1]})
    rows, masks, stamps = list(x), list(mask), list(times)
    compare({"y": torch.stack(layer(rows, mask=masks, times=stamps)[0])}, {"y": want})
    packed = layer(pack_sequence(rows), mask=pack_sequence(masks), times=pack_sequence(stamps))[0]
    compare({"y": packed.data}, {"y": pack_sequence(list(want)).data})


def test_masked_values_get_no_gradient_and_hide_nothing(compare):
    layer = _made(3, 4)
    x, mask = _x(6, 2, 3), torch.rand(6, 2, 3) < 0.5
    x[~mask] = torch.inf
    x.requires_grad_()
    layer(x, mask=mask)[0].sum().backward()
    assert bool((x.grad[~mask] == 0).all())
    assert bool((x.grad[mask] != 0).all())


def test_a_state_that_is_no_number_shows_in_the_layers_above():
    """There NaN is no missing value, but in the part of their input that is the stack's, by dense skips."""
    layer, dense = _made(3, 4, num_layers=2), _made(3, 4, num_layers=2, skip="dense")
    x = _x(5, 2, 3)
    x[2, 0, 1] = torch.nan
    assert bool(layer(x)[0].isfinite().all())
    assert bool(dense(x)[0].isfinite().all())
    for each in (layer, dense):
        with torch.no_grad():
            each.cells[0].bias.fill_(torch.nan)
        assert bool(each(x)[0].isnan().all())


def test_the_means_are_those_of_the_input_in_every_layer_that_sees_it(compare):
    means = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
    plain, dense = _made(3, 4, num_layers=2, means=means), _made(3, 4, num_layers=2, skip="dense", means=means)
    padded = torch.cat([means, torch.zeros(4).double()])
    compare({"0": dense.cells[0].means, "1": dense.cells[1].means}, {"0": means, "1": padded})
    compare({"1": plain.cells[1].means}, {"1": torch.zeros(4, dtype=torch.float64)})
    # Where no value was ever there, it is as if each were its mean and the mask said no.
    x = torch.full((1, 1, 3), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        for cell in dense.cells:
            cell.weight_mh.zero_()
    compare({"y": dense(x)[0]}, {"y": dense(means[None, None])[0]})
    dense.fit_means(means[None] * 2)
    compare({"1": dense.cells[1].means}, {"1": padded * 2})
    plain.fit_means(means[None] * 2)
    compare({"0": plain.cells[0].means, "1": plain.cells[1].means}, {"0": means * 2, "1": torch.zeros(4).double()})


def test_memories_begin_with_zeros_and_zoneout_leaves_them_alone(compare):
    layer = _made(3, 4, initial_state="learned", zoneout=0.5, bidirectional=True)
    assert [name for name, _ in layer.named_parameters() if name.endswith("_0")] == ["h_0"]
    assert layer.zoneout == (0.5, 0.0, 0.0, 0.0)
    x = _x(5, 2, 3)
    x[1:, 0, 0] = torch.nan
    _, (_, seen, age, clock) = layer(x)
    assert float(age[0, 0, 0]) == 4
    assert float(clock[0, 0, 0]) == 5
    compare({"seen": seen[0, :, 0]}, {"seen": torch.stack([x[0, 0, 0], x[4, 1, 0]])})
    context = _made(3, 4, initial_state="context", context_size=2)
    assert context.context_to_state.out_features == 4
    with pytest.raises(ValueError, match=r"^GRUD: zoneout has 4 values, but the state has 1 parts \(h\)\.$"):
        GRUD(3, 4, zoneout=(0.1, 0.1, 0.1, 0.1))


def test_means_are_fitted_and_saved(compare):
    layer = _made(3, 4, num_layers=2, bidirectional=True)
    x = _x(7, 5, 3) + 4
    mask = torch.rand(7, 5, 3) < 0.6
    mask[0] = True
    layer.fit_means(x, mask)
    want = torch.stack([x[..., d][mask[..., d]].mean() for d in range(3)])
    state = layer.state_dict()
    for name in ("cells.0.means", "cells.1.means"):
        compare({"m": state[name]}, {"m": want})
    other = _made(3, 4, num_layers=2, bidirectional=True)
    other.load_state_dict(state)
    compare({"y": other(x, mask=mask)[0]}, {"y": layer(x, mask=mask)[0]})
    layer.fit_means(torch.where(mask, x, torch.nan))
    compare({"m": layer.cells[0].means}, {"m": want})
    # Nothing was ever there: the mean is the input.
    first = layer(torch.full((1, 1, 3), torch.nan).double())
    there = layer(layer.cells[0].means[None, None])
    assert bool((first[1][1][0] == 0).all())
    assert float(there[1][1][0].abs().max()) == 0


BAD = [
    ({"mask": torch.ones(4, 2, 3)}, TypeError, r"mask must be torch\.bool, but is torch\.float32\."),
    ({"mask": torch.ones(4, 2, dtype=torch.bool)}, ValueError, r"mask must have shape \(4, 2, 3\) beside x of shape"),
    ({"mask": [1]}, TypeError, r"mask must be of torch\.Tensor, but is list\."),
    ({"mask": torch.ones(4, 2, 3, dtype=torch.bool, device="meta")}, ValueError, r"mask is on meta, but x is on cpu"),
    ({"x": [[1.0]], "mask": [torch.ones(1, 3)]}, TypeError, r"x must be of torch\.Tensor, but is list\."),
]


@pytest.mark.parametrize(("call", "error", "text"), BAD)
def test_bad_calls(call, error, text):
    with pytest.raises(error, match=f"^GRUD: {text}"):
        GRUD(3, 4)(**{"x": torch.zeros(4, 2, 3), **call})


def test_bad_means():
    for means, error, text in (
        ([0.0, 1.0], ValueError, r"means must have shape \(3,\), one for each feature, but has \(2,\)\."),
        ("abc", TypeError, r"means must be a tensor or a list of 3 numbers, one for each feature, but is 'abc'"),
        ([None, 1, 2], TypeError, r"means must be a tensor or a list of 3 numbers, .* but is \[None, 1, 2\]"),
    ):
        with pytest.raises(error, match=f"^GRUD: {text}"):
            GRUD(3, 4, means=means)
        with pytest.raises(error, match=f"^GRUDCell: {text}"):
            GRUDCell(3, 4, means)
    with pytest.raises(ValueError, match=r"^GRUDCell: num_missing is 4, but input_size is only 3\."):
        GRUDCell(3, 4, num_missing=4)
    with pytest.raises(TypeError, match=r"^GRUDCell: num_missing must be an int, but is bool\."):
        GRUDCell(3, 4, num_missing=True)
    with pytest.raises(ValueError, match=r"^GRUDCell: means has values that are not finite\."):
        GRUDCell(2, 4, [0.0, torch.nan])
    layer = GRUD(3, 4)
    with pytest.raises(ValueError, match=r"^GRUD: there is no value of the features \[1\]; give them in means\."):
        layer.fit_means(torch.tensor([[1.0, torch.nan, 2.0]]))
    with pytest.raises(ValueError, match=r"^GRUD: x has shape \(5, 2\), but must end with 3 features\."):
        layer.fit_means(torch.zeros(5, 2))
    with pytest.raises(TypeError, match=r"^GRUD: x must be a torch\.Tensor, but is list\."):
        layer.fit_means([[1.0, 2.0, 3.0]])
