"""ConvLSTM and ConvGRU: against loops over places in NumPy, and against LSTM and GRU where there is one place."""

import itertools

import numpy as np
import pytest
import torch

from recur.nn import GRU, LSTM, ConvGRU, ConvGRUCell, ConvLSTM, ConvLSTMCell


def _sigmoid(value):
    return 1 / (1 + np.exp(-value))


def _convolved(value, weight):
    """(C, *places) by (O, C, *kernel), one product at a time, zero outside."""
    places, kernel = value.shape[1:], weight.shape[2:]
    out = np.zeros((weight.shape[0], *places))
    for place in itertools.product(*map(range, places)):
        for offset in itertools.product(*map(range, kernel)):
            seen = [p + o - k // 2 for p, o, k in zip(place, offset, kernel, strict=True)]
            if all(0 <= s < n for s, n in zip(seen, places, strict=True)):
                out[(slice(None), *place)] += weight[(slice(None), slice(None), *offset)] @ value[(slice(None), *seen)]
    return out


def _normalised(value, gain):
    """LayerNorm over channels, place by place."""
    centred = value - value.mean(0)
    return _wide(gain, value) * centred / np.sqrt((centred**2).mean(0) + 1e-5)


def _wide(vector, value):
    return vector.reshape(-1, *[1] * (value.ndim - 1))


def _pre(w, name, value, rows=slice(None)):
    found = _convolved(value, w[f"weight_{name}"][rows])
    return _normalised(found, w[f"norm_{name}"][rows]) if f"norm_{name}" in w else found


def _lstm(w, x, h, c):
    n = len(h)
    a = _pre(w, "ih", x) + _pre(w, "hh", h) + _wide(w["bias"], x)
    eye = w.get("weight_ch", np.zeros((3, n, *[1] * (x.ndim - 1))))
    i, f = _sigmoid(a[:n] + eye[0] * c), _sigmoid(a[n : 2 * n] + eye[1] * c)
    c = f * c + i * np.tanh(a[2 * n : 3 * n])
    o = _sigmoid(a[3 * n :] + eye[2] * c)
    seen = _normalised(c, w["norm_c"]) + _wide(w["norm_c_bias"], c) if "norm_c" in w else c
    return o * np.tanh(seen), c


def _gru(w, x, h):
    n = len(h)
    both, rest = slice(2 * n), slice(2 * n, None)
    bias = _wide(w["bias"], x)
    if "norm_ih" in w:
        a = np.concatenate([_pre(w, "ih", x, both), _pre(w, "ih", x, rest)]) + bias
    else:
        a = _pre(w, "ih", x) + bias
    rz = _sigmoid(a[both] + _pre(w, "hh", h, both))
    new = np.tanh(a[rest] + _pre(w, "hh", rz[:n] * h, rest))
    # The paper's z is one minus this one.
    paper_z = 1 - rz[n:]
    return ((1 - paper_z) * h + paper_z * new,)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("kernel_size", "places"), [(3, (4,)), ((5,), (3,)), ((3, 1), (2, 3)), (3, (3, 4))])
@pytest.mark.parametrize("peephole", [None, False, True, "places"])
def test_against_a_loop_over_places(compare, layer_norm, kernel_size, places, peephole):
    """Where peephole is None it is a ConvGRU."""
    options = {"num_dims": len(places), "layer_norm": layer_norm, "dtype": torch.float64}
    kind, step, parts = (ConvGRU, _gru, 1) if peephole is None else (ConvLSTM, _lstm, 2)
    if peephole is not None:
        options["peephole"] = places if peephole == "places" else peephole
    layer = kind(2, 3, kernel_size=kernel_size, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    w = {name: value.detach().numpy() for name, value in layer.cells[0].named_parameters()}
    x = torch.randn(4, 2, 2, *places, dtype=torch.float64)
    hx = tuple(torch.randn(1, 2, 3, *places, dtype=torch.float64) for _ in range(parts))
    output, final = layer(x, hx if parts == 2 else hx[0])
    for row in range(2):
        state = tuple(part[0, row].numpy() for part in hx)
        for t in range(4):
            state = step(w, x[t, row].numpy(), *state)
            compare({"h": output[t, row]}, {"h": torch.from_numpy(state[0])})
        found = final if parts == 2 else (final,)
        compare(
            {str(n): v[0, row] for n, v in enumerate(found)}, {str(n): torch.from_numpy(v) for n, v in enumerate(state)}
        )


@pytest.mark.parametrize("layer_norm", [False, True])
def test_one_place_is_the_plain_layer(compare, layer_norm):
    """With a kernel of one there are as many plain layers side by side as there are places."""
    for plain, conv in (
        (LSTM(3, 4, layer_norm=layer_norm, dtype=torch.float64), ConvLSTM),
        (GRU(3, 4, reset_after=False, layer_norm=layer_norm, dtype=torch.float64), ConvGRU),
    ):
        layer = conv(3, 4, kernel_size=1, num_dims=1, layer_norm=layer_norm, dtype=torch.float64)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.normal_()
            cell = dict(layer.cells[0].named_parameters())
            cell["bias_ih"] = cell["bias"]
            for name, parameter in plain.named_parameters():
                source = cell.get(name.removesuffix("_l0"))
                parameter.copy_(torch.zeros_like(parameter) if source is None else source.reshape(parameter.shape))
        x = torch.randn(5, 2, 3, 6, dtype=torch.float64)
        output, _ = layer(x, lengths=[5, 3])
        for place in range(6):
            compare({"y": output[..., place]}, {"y": plain(x[..., place], lengths=[5, 3])[0]})


def test_a_learned_state_is_one_number_a_channel(compare):
    layer = ConvLSTM(2, 3, num_layers=2, initial_state="learned", dtype=torch.float64)
    assert layer.h_0.shape == (2, 3, 1, 1)
    torch.nn.init.normal_(layer.h_0)
    torch.nn.init.normal_(layer.c_0)
    x = torch.randn(3, 2, 2, 4, 5, dtype=torch.float64)
    given = tuple(part[:, None].expand(2, 2, 3, 4, 5) for part in (layer.h_0, layer.c_0))
    compare({"y": layer(x)[0]}, {"y": layer(x, given)[0]})
    layer(x)[0].sum().backward()
    assert bool((layer.c_0.grad != 0).all())


def test_a_cell_steps_as_the_layer(compare):
    for layer, cell in (
        (ConvLSTM(2, 3, num_dims=1), ConvLSTMCell(2, 3, num_dims=1)),
        (ConvGRU(2, 3, num_dims=1), ConvGRUCell(2, 3, num_dims=1)),
    ):
        cell.load_state_dict(layer.cells[0].state_dict())
        x, state = torch.randn(4, 2, 2, 6), None
        for x_t in x:
            state = cell(x_t, state)
        final = layer(x)[1]
        pairs = zip(state, final, strict=True) if isinstance(state, tuple) else [(state, final)]
        for one, other in pairs:
            # A sum of 2 * 3 and 3 * 3 products, 4 times over.
            compare({"s": one}, {"s": other[0]}, terms=60)


BAD = [
    ({"kernel_size": 4}, ValueError, r"ConvLSTMCell: kernel_size is 4, but each width must be odd, so that"),
    ({"kernel_size": (3,)}, ValueError, r"ConvLSTMCell: kernel_size has 1 widths, but num_dims is 2\."),
    ({"kernel_size": 3.0}, TypeError, r"ConvLSTMCell: kernel_size must be an int, but is float\."),
    ({"num_dims": 4}, ValueError, r"ConvLSTM: num_dims is 4, but must be 1, 2 or 3\."),
    (
        {"peephole": (3,)},
        ValueError,
        r"ConvLSTMCell: peephole is \(3,\), but must be a bool, or 2 sizes of the input\.",
    ),
    ({"layer_norm": 1}, TypeError, r"ConvLSTMCell: layer_norm must be a bool, but is int\."),
    ({"proj_size": 1}, TypeError, r"ConvLSTM: there is no option 'proj_size'\."),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=f"^{text}"):
        ConvLSTM(2, 3, **options)


def test_bad_calls():
    layer = ConvLSTM(2, 3, peephole=(4, 5))
    with pytest.raises(ValueError, match=r"^ConvLSTMCell: x has places \(5, 4\), but the peepholes are for \(4, 5\)\."):
        layer(torch.zeros(2, 1, 2, 5, 4))
    with pytest.raises(ValueError, match=r"^ConvLSTM: x has 3 features but .* or give x of shape \(T, B, 2, H, W\)\.$"):
        layer(torch.zeros(2, 1, 3, 4, 5))
    with pytest.raises(ValueError, match=r"^ConvLSTM: h_0 must have shape \(L\*D, B, H\) = \(1, 1, 3, 4, 5\), but has"):
        layer(torch.zeros(2, 1, 2, 4, 5), (torch.zeros(1, 1, 3, 4, 4), torch.zeros(1, 1, 3, 4, 5)))
    with pytest.raises(
        ValueError,
        match=r"^ConvGRU: x has shape \(5, 2, 3, 8\), but with num_dims=2 must be \(T, B, 3, H, W\)\. "
        r"Pass num_dims=1 for \(T, B, 3, L\)\.$",
    ):
        ConvGRU(3, 6)(torch.zeros(5, 2, 3, 8))
    with pytest.raises(
        ValueError, match=r"^ConvLSTM: x has shape .* must be \(B, T, 3, L\)\. Pass num_dims=2 for \(B, T,"
    ):
        ConvLSTM(3, 6, num_dims=1, batch_first=True)(torch.zeros(2, 5, 3, 8, 8))
    with pytest.raises(ValueError, match=r"^ConvLSTMCell: x has shape .* Pass num_dims=1 for \(B, 3, L\)\.$"):
        ConvLSTMCell(3, 6)(torch.zeros(2, 3, 8))
    with pytest.raises(ValueError, match=r"^ConvGRU: x has 2 features but input_size is 3\."):
        ConvGRU(3, 6)(torch.zeros(5, 2, 4, 8))
    with pytest.raises(ValueError, match=r"^ConvGRUCell: x must have 4 dimensions, or 3 for one row, but has shape"):
        ConvGRUCell(2, 3)(torch.zeros(2, 4))


@pytest.mark.parametrize("kind", [ConvLSTM, ConvGRU, ConvLSTMCell, ConvGRUCell])
def test_what_comes_behind_the_sizes_has_a_name(kind):
    """So that nobody who gives the kernel third, as to a convolution, gets so many layers."""
    with pytest.raises(
        TypeError,
        match=rf"^{kind.__name__}: 3 behind input_size and hidden_size must have a name, such as kernel_size=3\.",
    ):
        kind(3, 6, 3)
    with pytest.raises(TypeError, match=rf"^{kind.__name__}: 5, 1 behind input_size and hidden_size must have a name"):
        kind(3, 6, 5, 1)


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_one_sequence_whose_steps_are_as_many_as_the_channels_is_no_batch(num_dims):
    """Whatever else its shape could be."""
    layer = ConvGRU(2, 3, num_dims=num_dims)
    for batch in ((), (2,)):
        x = torch.zeros(2, *batch, 2, *[2] * num_dims)
        assert layer(x)[0].shape == (2, *batch, 3, *[2] * num_dims)
