"""Weights from and to Keras and Flax: against what these compute, written down in NumPy, and against themselves."""

import warnings

import numpy as np
import pytest
import torch

from recur import nn as recur_nn
from recur.nn.convert import _FLAX, from_flax, from_keras, to_flax, to_keras

T, B, F, H = 5, 3, 4, 6
BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}
KERAS = [("RNN", {}), ("GRU", {}), ("GRU", {"reset_after": False}), ("LSTM", {})]
KIND_OF = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


# --- Keras and Flax as their sources have them ------------------------------------------------------------------------


def _keras_layer(kind, x, kernel, recurrent, bias=None, *, reset_after=True, reverse=False):
    """`SimpleRNN`, `GRU` and `LSTM` of keras.layers with their defaults, over (T, B, F)."""
    rows = kernel.shape[1]
    h = c = np.zeros((x.shape[1], recurrent.shape[0]))
    has_two = kind == "GRU" and reset_after
    bias = np.zeros((2, rows) if has_two else rows) if bias is None else bias
    outputs = []
    for x_t in x[::-1] if reverse else x:
        a = x_t @ kernel + (bias[0] if has_two else bias)
        if kind == "RNN":
            h = np.tanh(a + h @ recurrent)
        elif kind == "LSTM":
            i, f, g, o = np.split(a + h @ recurrent, 4, 1)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        elif reset_after:
            x_z, x_r, x_h = np.split(a, 3, 1)
            h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3, 1)
            z, r = _sigmoid(x_z + h_z), _sigmoid(x_r + h_r)
            h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
        else:
            x_z, x_r, x_h = np.split(a, 3, 1)
            u_z, u_r, u_h = np.split(recurrent, 3, 1)
            z, r = _sigmoid(x_z + h @ u_z), _sigmoid(x_r + h @ u_r)
            h = z * h + (1 - z) * np.tanh(x_h + (r * h) @ u_h)
        outputs.append(h)
    return np.stack(outputs[::-1] if reverse else outputs), (h, c)


def _keras_shapes(kind, inputs, *, reset_after=True, bias=True):
    rows = BLOCKS[kind] * H
    shapes = [(inputs, rows), (H, rows)]
    return [*shapes, (2, rows) if kind == "GRU" and reset_after else (rows,)] if bias else shapes


def _linen_dense(params, name, value):
    dense = params[name]
    return value @ dense["kernel"] + dense.get("bias", 0)


def _linen_step(cell, params, x, h, c):
    """One step of a cell of flax.linen, or of the nnx cells that have one Linear for each gate."""

    def both(i, o):
        return _linen_dense(params, i, x) + _linen_dense(params, o, h)

    if cell.endswith("SimpleCell"):
        return np.tanh(both("i", "h")), c
    if cell.endswith("GRUCell"):
        r, z = _sigmoid(both("ir", "hr")), _sigmoid(both("iz", "hz"))
        n = np.tanh(_linen_dense(params, "in", x) + r * _linen_dense(params, "hn", h))
        return (1 - z) * n + z * h, c
    forget = "if_" if cell.startswith("nnx") else "if"
    i, f = _sigmoid(both("ii", "hi")), _sigmoid(both(forget, "hf"))
    c = f * c + i * np.tanh(both("ig", "hg"))
    return _sigmoid(both("io", "ho")) * np.tanh(c), c


def _dense_step(cell, params, x, h, c):
    """One step of the nnx cells that have one Linear for all gates."""
    a, b = _linen_dense(params, "dense_i", x), _linen_dense(params, "dense_h", h)
    if cell == "nnx.SimpleCell":
        return np.tanh(a + b), c
    if cell == "nnx.GRUCell":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(a, 3, 1), np.split(b, 3, 1)
        r, z = _sigmoid(x_r + h_r), _sigmoid(x_z + h_z)
        return (1 - z) * np.tanh(x_n + r * h_n) + z * h, c
    i, f, g, o = np.split(a + b, 4, 1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _flax_layer(cell, params, x, *, reverse=False):
    step = _dense_step if _FLAX[cell].dense else _linen_step
    h = c = np.zeros((x.shape[1], H))
    outputs = []
    for x_t in x[::-1] if reverse else x:
        h, c = step(cell, params, x_t, h, c)
        outputs.append(h)
    return np.stack(outputs[::-1] if reverse else outputs), (h, c)


def _flax_params(cell, inputs):
    """Random parameters with the names, shapes and biases that the cell has."""
    spec, rng = _FLAX[cell], np.random.default_rng(5)
    gates = {"rnn": "h", "gru": "rzn", "lstm": "ifgo"}[spec.op]
    params = {}
    for prefix, width, has_bias in (("i", inputs, spec.input_bias), ("h", H, spec.state_bias)):
        for gate in ["all"] if spec.dense else gates:
            name = prefix + ("" if spec.op == "rnn" else gate)
            name = f"dense_{prefix}" if spec.dense else "if_" if (name, cell) == ("if", "nnx.LSTMCell") else name
            columns = H * len(gates) if spec.dense else H
            params[name] = {"kernel": rng.normal(size=(width, columns)) * 0.5}
            if has_bias if spec.dense else gate in has_bias:
                params[name]["bias"] = rng.normal(size=columns)
    return params


def _random(shapes):
    rng = np.random.default_rng(4)
    return [rng.normal(size=shape) * 0.5 for shape in shapes]


def _make(kind, **options):
    return getattr(recur_nn, kind)(options.pop("inputs", F), H, dtype=torch.float64, **options)


def _x():
    return np.random.default_rng(6).normal(size=(T, B, F))


def _close(got, want, eps=2**-52):
    # A step adds some 20 numbers of order 1, there are 5 in each of 2 layers, and each gate rounds a few times more.
    np.testing.assert_allclose(got, want, rtol=0, atol=1000 * eps)


def _drawn(layer):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    return layer


# --- Keras ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "options"), KERAS)
def test_weights_of_keras_compute_what_they_do_there(kind, options, bias):
    layer, x = _make(kind, bias=bias, **options), _x()
    parameters = list(layer.parameters())
    weights = _random(_keras_shapes(kind, F, bias=bias, **options))
    from_keras(layer, weights)
    output, state = layer(torch.from_numpy(x))
    want, (h, c) = _keras_layer(kind, x, *weights, **options)
    _close(output.detach(), want)
    _close((state[0] if kind == "LSTM" else state).detach()[0], h)
    if kind == "LSTM":
        _close(state[1].detach()[0], c)
    assert all(a is b for a, b in zip(parameters, layer.parameters(), strict=True))
    for got, given in zip(to_keras(layer), weights, strict=True):
        np.testing.assert_array_equal(got, given)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "options"), KERAS)
def test_a_layers_weights_compute_the_same_in_keras(kind, options, bias):
    layer, x = _drawn(_make(kind, bias=bias, **options)), _x()
    weights = to_keras(layer)
    assert [w.shape for w in weights] == _keras_shapes(kind, F, bias=bias, **options)
    _close(_keras_layer(kind, x, *weights, **options)[0], layer(torch.from_numpy(x))[0].detach())


@pytest.mark.parametrize(("kind", "options"), KERAS)
def test_a_stack_of_bidirectional_layers_of_keras(kind, options):
    layer, x = _make(kind, num_layers=2, bidirectional=True, **options), _x()
    shapes = [s for inputs in (F, F, 2 * H, 2 * H) for s in _keras_shapes(kind, inputs, **options)]
    weights = _random(shapes)
    from_keras(layer, weights)
    want = x
    for number in (0, 2):
        one, other = (weights[3 * k : 3 * k + 3] for k in (number, number + 1))
        forward = _keras_layer(kind, want, *one, **options)[0]
        want = np.concatenate([forward, _keras_layer(kind, want, *other, reverse=True, **options)[0]], 2)
    _close(layer(torch.from_numpy(x))[0].detach(), want)
    for got, given in zip(to_keras(layer), weights, strict=True):
        np.testing.assert_array_equal(got, given)


def test_layers_of_several_sizes_and_dtypes():
    layer = recur_nn.LSTM(F, [5, 7], dtype=torch.bfloat16)
    shapes = [(F, 20), (5, 20), (20,), (5, 28), (7, 28), (28,)]
    weights = [np.round(w * 8) / 8 for w in _random(shapes)]
    from_keras(layer, [w.astype(np.float16) for w in weights])
    for got, given in zip(to_keras(layer), weights, strict=True):
        # bfloat16 holds multiples of 1/8 up to 32, and NumPy has no such dtype.
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, given)


def test_what_comes_back_is_a_copy():
    layer = _make("GRU")
    before = layer.weight_ih_l0.detach().clone()
    for weight in to_keras(layer):
        weight += 1
    for dense in to_flax(layer, "linen.GRUCell")[0].values():
        dense["kernel"] += 1
    assert torch.equal(layer.weight_ih_l0, before)


# --- Flax -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", list(_FLAX))
def test_parameters_of_flax_compute_what_they_do_there(cell):
    layer, x = _make(KIND_OF[_FLAX[cell].op]), _x()
    parameters = list(layer.parameters())
    params = _flax_params(cell, F)
    from_flax(layer, params)
    output, state = layer(torch.from_numpy(x))
    want, (h, c) = _flax_layer(cell, params, x)
    _close(output.detach(), want)
    _close(
        np.stack([part.detach()[0] for part in (state if isinstance(state, tuple) else (state,))]),
        np.stack([h, c][: 2 if _FLAX[cell].op == "lstm" else 1]),
    )
    assert all(a is b for a, b in zip(parameters, layer.parameters(), strict=True))
    (back,) = to_flax(layer, cell)
    assert list(back) == list(params)
    for name, dense in params.items():
        assert list(back[name]) == list(dense)
        for part, value in dense.items():
            np.testing.assert_array_equal(back[name][part], value)


def _dense(inputs, state, biased):
    """What each Dense holds."""
    return {name: ["bias", "kernel"] if name in biased.split() else ["kernel"] for name in f"{inputs} {state}".split()}


FLAX_NAMES = {
    "linen.SimpleCell": _dense("i", "h", "i"),
    "nnx.SimpleCell": _dense("dense_i", "dense_h", "dense_i"),
    "linen.LSTMCell": _dense("ii if ig io", "hi hf hg ho", "hi hf hg ho"),
    "linen.OptimizedLSTMCell": _dense("ii if ig io", "hi hf hg ho", "hi hf hg ho"),
    "nnx.LSTMCell": _dense("ii if_ ig io", "hi hf hg ho", "hi hf hg ho"),
    "nnx.OptimizedLSTMCell": _dense("dense_i", "dense_h", "dense_h"),
    "linen.GRUCell": _dense("ir iz in", "hr hz hn", "ir iz in hn"),
    "nnx.GRUCell": _dense("dense_i", "dense_h", "dense_i"),
}
"""The names and biases that Flax's own cells have, as docs/convert.md lists them."""


@pytest.mark.parametrize("cell", list(_FLAX))
def test_the_names_are_those_of_flax(cell):
    layer = _make(KIND_OF[_FLAX[cell].op])
    if cell == "nnx.GRUCell":
        torch.nn.init.zeros_(layer.bias_hh_l0)
    (params,) = to_flax(layer, cell)
    assert {name: sorted(dense) for name, dense in params.items()} == FLAX_NAMES[cell]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", [cell for cell in _FLAX if cell != "nnx.GRUCell"])
def test_a_layers_weights_compute_the_same_in_flax(cell, bias):
    layer, x = _drawn(_make(KIND_OF[_FLAX[cell].op], num_layers=2, bidirectional=True, bias=bias)), _x()
    cells = to_flax(layer, cell)
    assert [list(params) for params in cells] == [list(_flax_params(cell, F))] * 4
    want = x
    for one, other in (cells[:2], cells[2:]):
        forward = _flax_layer(cell, one, want)[0]
        want = np.concatenate([forward, _flax_layer(cell, other, want, reverse=True)[0]], 2)
    _close(want, layer(torch.from_numpy(x))[0].detach())
    twin = _make(KIND_OF[_FLAX[cell].op], num_layers=2, bidirectional=True, bias=bias)
    from_flax(twin, cells)
    _close(twin(torch.from_numpy(x))[0].detach(), want)


def test_a_gru_for_nnx_has_no_bias_on_the_state_in_its_gate_n():
    layer, x = _drawn(_make("GRU")), _x()
    with pytest.raises(ValueError, match=r"to_flax: GRU has a bias on the state in its gate n.*nnx.GRUCell lacks"):
        to_flax(layer, "nnx.GRUCell")
    with torch.no_grad():
        layer.bias_hh_l0[2 * H :] = 0
    (params,) = to_flax(layer, "nnx.GRUCell")
    _close(_flax_layer("nnx.GRUCell", params, x)[0], layer(torch.from_numpy(x))[0].detach())


# --- the libraries themselves -----------------------------------------------------------------------------------------


FLOAT32 = np.finfo(np.float32).eps
"""Both multiply some float64 matrices in float32."""


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("keras", reason="needs Keras")


@pytest.fixture
def flax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jax = pytest.importorskip("jax", reason="needs JAX")
        pytest.importorskip("flax", reason="needs Flax")
        from flax import linen, nnx

        jax.config.update("jax_enable_x64", True)
        try:
            yield {"linen": linen, "nnx": nnx}
        finally:
            jax.config.update("jax_enable_x64", False)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("merge", [None, "concat", "sum", "product", "mean"])
@pytest.mark.parametrize(("kind", "options"), KERAS)
def test_keras_itself(keras, kind, options, merge, bias):
    make = {"RNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU, "LSTM": keras.layers.LSTM}[kind]
    theirs = make(H, return_sequences=True, use_bias=bias, dtype="float64", **options)
    if merge is not None:
        named = {"product": "mul", "mean": "ave"}.get(merge, merge)
        theirs = keras.layers.Bidirectional(theirs, merge_mode=named, dtype="float64")
    x = _x().transpose(1, 0, 2)
    theirs(x)
    more = {} if merge is None else {"bidirectional": True, "merge": merge}
    layer = _drawn(_make(kind, batch_first=True, bias=bias, **options, **more))
    theirs.set_weights(to_keras(layer))
    want = layer(torch.from_numpy(x))[0].detach()
    _close(keras.ops.convert_to_numpy(theirs(x)), want, FLOAT32)
    twin = _make(kind, batch_first=True, bias=bias, **options, **more)
    from_keras(twin, theirs.get_weights())
    _close(twin(torch.from_numpy(x))[0].detach(), want, FLOAT32)


@pytest.mark.slow
def test_a_model_of_keras_itself(keras):
    model = keras.Sequential([keras.layers.GRU(H, return_sequences=True, dtype="float64") for _ in range(3)])
    x = _x().transpose(1, 0, 2)
    want = keras.ops.convert_to_numpy(model(x))
    layer = _make("GRU", num_layers=3, batch_first=True)
    from_keras(layer, model.get_weights())
    _close(layer(torch.from_numpy(x))[0].detach(), want, FLOAT32)


@pytest.mark.slow
@pytest.mark.parametrize("cell", list(_FLAX))
def test_flax_itself(flax, cell):
    import jax

    api, name = cell.split(".")
    x = _x()
    layer = _drawn(_make(KIND_OF[_FLAX[cell].op]))
    if cell == "nnx.GRUCell":
        with torch.no_grad():
            layer.bias_hh_l0[2 * H :] = 0
    (params,) = to_flax(layer, cell)
    want = layer(torch.from_numpy(x))[0].detach()
    outputs = []
    if api == "linen":
        theirs = getattr(flax["linen"], name)(features=H, param_dtype=np.float64)
        carry = theirs.initialize_carry(jax.random.key(0), (B, F))
        own = theirs.init(jax.random.key(1), carry, x[0])["params"]
        for x_t in x:
            carry, y = theirs.apply({"params": params}, carry, x_t)
            outputs.append(np.asarray(y))
        state = own
    else:
        nnx = flax["nnx"]
        theirs = getattr(nnx, name)(F, H, param_dtype=np.float64, rngs=nnx.Rngs(0))
        state = nnx.to_pure_dict(nnx.state(theirs, nnx.Param))
        own = jax.tree.map(np.asarray, state)
        nnx.update(theirs, params)
        carry = theirs.initialize_carry((B, F), rngs=nnx.Rngs(0))
        for x_t in x:
            carry, y = theirs(carry, x_t)
            outputs.append(np.asarray(y))
    _close(np.stack(outputs), want, FLOAT32)
    shapes = {name: {part: value.shape for part, value in dense.items()} for name, dense in params.items()}
    kept = {name: {part: v.shape for part, v in dense.items() if v is not None} for name, dense in own.items()}
    assert shapes == kept
    twin = _make(KIND_OF[_FLAX[cell].op])
    from_flax(twin, own)
    got = twin(torch.from_numpy(x))[0].detach()
    _close(got, _flax_layer(cell, {n: {p: np.asarray(v) for p, v in d.items()} for n, d in own.items()}, x)[0], FLOAT32)
