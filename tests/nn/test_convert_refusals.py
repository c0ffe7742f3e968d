"""What cannot be converted from and to Keras and Flax, and what the errors say."""

import numpy as np
import pytest
import torch

from recur import nn as recur_nn
from recur.nn import from_flax, from_keras, to_flax, to_keras

F, H = 4, 6


def _make(kind, **options):
    return getattr(recur_nn, kind)(options.pop("inputs", F), H, dtype=torch.float64, **options)


def _keras_of(kind, **options):
    return to_keras(_make(kind, **options))


LSTM_PARAMS = to_flax(_make("LSTM"), "linen.LSTMCell")[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layer_norm": True}, "layer_norm=True"),
        ({"peephole": True}, "peephole=True"),
        ({"coupled": True}, "coupled=True"),
        ({"cell_clip": 1.0}, "cell_clip=1.0"),
        ({"output_clip": 1.0}, "output_clip=1.0"),
        ({"proj_size": 2}, "proj_size=2"),
        ({"num_layers": 2, "skip": "highway"}, "skip='highway'"),
        ({"zoneout": 0.1}, r"zoneout=\(0.1, 0.1\)"),
        ({"dilation": 2}, r"dilation=\[2\]"),
        ({"initial_state": "learned"}, "initial_state='learned'"),
    ],
)
def test_forms_that_the_others_lack(options, told):
    layer = _make("LSTM", **options)
    before = {n: p.clone() for n, p in layer.state_dict().items()}
    for library, convert in (
        ("Keras", lambda: to_keras(layer)),
        ("Keras", lambda: from_keras(layer, [])),
        ("Flax", lambda: to_flax(layer, "nnx.LSTMCell")),
        ("Flax", lambda: from_flax(layer, {})),
    ):
        with pytest.raises(ValueError, match=rf"(to|from)_\w+: LSTM has .*{told}, which {library} lacks"):
            convert()
    assert all(torch.equal(p, before[n]) for n, p in layer.state_dict().items())


def test_layers_that_the_others_lack():
    for layer in (_make("MGU"), _make("IndRNN"), _make("LiGRU"), torch.nn.Linear(F, H), "LSTM"):
        for convert in (to_keras, lambda layer: to_flax(layer, "nnx.LSTMCell")):
            with pytest.raises(
                TypeError, match=rf"{type(layer).__name__} has no counterpart in \w+; RNN, GRU and LSTM"
            ):
                convert(layer)
    for layer in (torch.nn.LSTM(F, H), torch.nn.GRU(F, H), torch.nn.RNN(F, H, nonlinearity="relu")):
        name = type(layer).__name__
        for function, given in ((from_keras, ([],)), (to_keras, ()), (from_flax, ({},)), (to_flax, ("nnx.LSTMCell",))):
            with pytest.raises(
                TypeError, match=rf"^{function.__name__}: {name} is torch's; take recur\.nn\.{name}, which loads its"
            ):
                function(layer, *given)
    with pytest.raises(ValueError, match="reset_after=False, which Flax lacks"):
        to_flax(_make("GRU", reset_after=False), "linen.GRUCell")
    with pytest.raises(ValueError, match=r"cell is 'nnx.GRUCell', but must be one of 'linen.LSTMCell', .*Optimized"):
        to_flax(_make("LSTM"), "nnx.GRUCell")


@pytest.mark.parametrize(
    ("kind", "options", "weights", "error", "told"),
    [
        ("LSTM", {}, np.zeros(3), TypeError, "weights must be the list that get_weights.. of Keras gives, but is nda"),
        ("LSTM", {}, _keras_of("LSTM", bias=False), ValueError, "has 2 arrays, but 3 are needed, 3 for each of 1"),
        ("LSTM", {"bias": False}, _keras_of("LSTM"), ValueError, "has 3 arrays, but 2 are needed.*it has bias=False"),
        ("LSTM", {}, _keras_of("GRU"), ValueError, r"the kernel of l0, must have shape \(4, 24\), but has \(4, 18\)"),
        (
            "LSTM",
            {"inputs": 5},
            _keras_of("LSTM"),
            ValueError,
            r"weights\[0\], the kernel .*\(5, 24\), but has \(4, 24",
        ),
        ("GRU", {}, _keras_of("GRU", reset_after=False), ValueError, "a GRU with reset_after=False; make the layer so"),
        ("GRU", {"reset_after": False}, _keras_of("GRU"), ValueError, "a GRU with reset_after=True; make the layer so"),
        ("RNN", {}, [["a"], 1, 2], TypeError, r"weights\[0\] must be an array of real numbers"),
        ("RNN", {}, [np.zeros((F, H)) * 1j, 1, 2], TypeError, r"weights\[0\] must be an array of real numbers"),
    ],
)
def test_weights_of_keras_that_do_not_fit(kind, options, weights, error, told):
    with pytest.raises(error, match=f"^from_keras: {kind}.*{told}"):
        from_keras(_make(kind, **options), weights)


def _without(params, name, part=None):
    return {k: v for k, v in params.items() if k != name} | ({name: {"bias": params[name]["bias"]}} if part else {})


@pytest.mark.parametrize(
    ("kind", "options", "params", "error", "told"),
    [
        ("LSTM", {}, _without(LSTM_PARAMS, "hg"), ValueError, r"params of l0 has no \['hg'\]\['kernel'\]; it has ii"),
        ("LSTM", {}, _without(LSTM_PARAMS, "hg", "kernel"), ValueError, r"params of l0 has no \['hg'\]\['kernel'\]"),
        ("LSTM", {}, LSTM_PARAMS | {"extra": {}}, ValueError, "l0 has no 'extra'; its products are hf, hg"),
        ("LSTM", {"bidirectional": True}, LSTM_PARAMS, ValueError, "of 1 cells, but there are 2 layers and directions"),
        ("LSTM", {}, [3], TypeError, "params of l0 must be a mapping, but is int"),
        ("LSTM", {"inputs": 5}, LSTM_PARAMS, ValueError, r"\['ii'\]\['kernel'\] of l0 must have shape \(5, 6\), but"),
        ("LSTM", {"bias": False}, LSTM_PARAMS, ValueError, "l0 has biases, but the layer has bias=False. Pass bias=Tr"),
        (
            "LSTM",
            {},
            LSTM_PARAMS | {"hi": {"kernel": np.zeros((H, H)), "bias": np.zeros(5)}},
            ValueError,
            r"\['hi'\]\['bias'\] of l0 must have shape \(6,\), but has \(5,\)",
        ),
        ("GRU", {}, LSTM_PARAMS, ValueError, r"has no \['ir'\]\['kernel'\]"),
    ],
)
def test_parameters_of_flax_that_do_not_fit(kind, options, params, error, told):
    with pytest.raises(error, match=f"^from_flax: {kind}.*{told}"):
        from_flax(_make(kind, **options), params)


def test_nothing_is_copied_when_something_does_not_fit():
    layer = _make("LSTM", num_layers=2)
    before = layer.weight_ih_l0.detach().clone()
    with pytest.raises(ValueError, match="of l1"):
        from_keras(layer, [*_keras_of("LSTM"), *_keras_of("LSTM")])
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l1")
    deep = _keras_of("LSTM", inputs=H)
    with pytest.raises(ValueError, match="weight_hh_l1 is parametrized, so there is no parameter to copy into"):
        from_keras(layer, [*_keras_of("LSTM"), *deep])
    assert torch.equal(layer.weight_ih_l0, before)
    # What a parametrization makes of its parameters can be read.
    np.testing.assert_array_equal(to_keras(layer)[4], layer.weight_hh_l1.detach().T)
