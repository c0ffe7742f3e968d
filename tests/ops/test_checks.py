"""Every bad argument of an op gets one line that says what is wrong."""

import pytest
import torch

from recur.ops import Noise, Options, form, recurrence


def _change(**changes):
    return lambda arguments: {**arguments, **changes}


def _resize(name, *shape):
    return lambda arguments: {**arguments, name: torch.zeros(shape, dtype=torch.float64)}


BAD = [
    (_change(x=[1.0]), TypeError, r"lstm: x must be a torch.Tensor, but is list\."),
    (_resize("x", 4, 8), ValueError, r"lstm: x must have 3 dimensions, but has shape \(4, 8\)\."),
    (_resize("weight_hh", 8), ValueError, r"lstm: weight_hh must have 2 dimensions, but has shape \(8,\)\."),
    (_resize("weight_ih", 9, 3), ValueError, r"lstm: weight_ih has 9 rows, which is no multiple of 4 gates\."),
    (
        _resize("weight_ih", 8, 5),
        ValueError,
        r"lstm: weight_ih must have shape \(8, 3\) beside x of shape \(4, 2, 3\), but has \(8, 5\)\.",
    ),
    (_resize("weight_hh", 8, 3), ValueError, r"lstm: weight_hh must have shape \(8, 2\) .* but has \(8, 3\)\."),
    (_resize("bias_hh", 7), ValueError, r"lstm: bias_hh must have shape \(8,\) .* but has \(7,\)\."),
    (_resize("h0", 3, 2), ValueError, r"lstm: h0 must have shape \(2, 2\) .* but has \(3, 2\)\."),
    (_resize("c0", 2, 3), ValueError, r"lstm: c0 must have shape \(2, 2\) .* but has \(2, 3\)\."),
    (_resize("weight_hr", 1, 2), ValueError, r"lstm: weight_hr must have shape \(2, 2\) .* but has \(1, 2\)\."),
    (_change(bias_hh=None), ValueError, r"lstm: give bias_ih and bias_hh together, or neither\."),
    (
        _change(c0=torch.zeros(2, 2)),
        TypeError,
        r"lstm: c0 is torch.float32, but weight_ih is torch.float64. Convert it with c0.to\(torch.float64\)\.",
    ),
    (lambda a: {n: v.long() for n, v in a.items()}, TypeError, r"lstm: x must be floating, but is torch.int64\."),
    (
        lambda a: {**a, "x": a["x"].to("meta")},
        ValueError,
        r"lstm: x is on meta, but weight_ih is on cpu. Move it with x.to\('cpu'\)\.",
    ),
    (_resize("x", 0, 2, 3), ValueError, r"lstm: x has no steps; give at least one\."),
    (
        lambda a: {**a, **{n: a[n][..., :0, :] for n in ("x", "h0", "c0")}},
        ValueError,
        r"lstm: x has no rows; give at least one\.",
    ),
    (_change(lengths=torch.ones(2)), TypeError, r"lstm: lengths must be whole numbers, but is torch.float32\."),
    (_change(lengths=torch.ones(2).bool()), TypeError, r"lstm: lengths must be whole numbers, but is torch.bool\."),
    (
        _change(lengths=torch.ones(2, dtype=torch.int32)),
        TypeError,
        r"lstm: lengths must be torch.int64 on cpu, but is torch.int32 on cpu. Convert it with lengths.to\('cpu', ",
    ),
    (
        _change(lengths=torch.ones(3, dtype=torch.int64)),
        ValueError,
        r"lstm: lengths must have shape \(2,\), one for each row, but has \(3,\)\.",
    ),
    (_change(lengths=[5, 2]), TypeError, r"lstm: lengths must be a torch\.Tensor \(B,\), such as .*, but is list\."),
    (_change(lengths=torch.tensor([1, 5]).to(torch.uint16)), ValueError, r"lstm: lengths has 5, but x has 4 steps\."),
    (_change(reverse="yes"), TypeError, r"lstm: reverse must be a bool, but is str\."),
    (_change(records=1), TypeError, r"lstm: records must be a bool, but is int\."),
    (_change(noise=0.5), TypeError, r"lstm: noise must be a recur\.ops\.Noise, but is float\."),
    (_change(reset_state=torch.zeros(2, 2)), TypeError, r"lstm: reset_state must be a list or tuple of .* is Tensor\."),
    (_change(lengths=torch.tensor([-1, 4])), ValueError, r"lstm: lengths has -1; a length is at least 0\."),
    (_change(lengths=torch.tensor([1, 5])), ValueError, r"lstm: lengths has 5, but x has 4 steps\."),
    (_change(reset=torch.zeros(4, 2)), TypeError, r"lstm: reset must be a torch.bool tensor, but is torch.float32\."),
    (_change(reset=[[True]]), TypeError, r"lstm: reset must be a torch.bool tensor, but is list\."),
    (
        _change(reset=torch.zeros(2, 4, dtype=torch.bool)),
        ValueError,
        r"lstm: reset must have shape \(T, B\) = \(4, 2\), but has \(2, 4\)\.",
    ),
    (
        _change(reset=torch.zeros(4, 2, dtype=torch.bool, device="meta")),
        ValueError,
        r"lstm: reset is on meta, but x is on cpu. Move it there\.",
    ),
    (_change(backend="fast"), ValueError, r"lstm: there is no back end 'fast'. Choose one of 'auto', 'cpu', 'torch'"),
]


@pytest.mark.parametrize(("change", "kind", "text"), BAD)
def test_bad_arguments(ops, change, kind, text):
    with pytest.raises(kind, match=f"^{text}"):
        ops["lstm"].function(**change(ops["lstm"].arguments(4, 2, 3, 2)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"state": None},
            r"state must be a list or tuple of tensors, one for each part of the state, but is NoneType\.",
        ),
        ({"state": torch.zeros(2, 1)}, r"state must be a list or tuple of tensors, .* but is Tensor\."),
        (
            {"weights": [torch.ones(1, 1)] * 2},
            r"weights must be a mapping from names such as 'weight_ih' to .* is list\.",
        ),
        ({"options": 3}, r"options must be a recur\.ops\.Options, but is int\."),
    ],
)
def test_bad_kinds(change, text):
    good = {"state": [torch.zeros(2, 1)], "weights": {name: torch.ones(1, 1) for name in ("weight_ih", "weight_hh")}}
    x = torch.zeros(3, 2, 1)
    recurrence("rnn", x, **good)
    with pytest.raises(TypeError, match=f"^rnn: {text}"):
        recurrence("rnn", x, **{**good, **change})


def test_bad_options():
    """A flag is asked before it is compared with its default, for 1 is equal to True."""
    with pytest.raises(TypeError, match=r"^gru: reset_after must be a bool, but is int\.$"):
        form("gru", Options(reset_after=1))
    with pytest.raises(TypeError, match=r"^lstm: peephole must be a bool, but is float\.$"):
        form("lstm", Options(peephole=0.0))
    with pytest.raises(ValueError, match=r"^lstm: cell_clip is True, but must be a number above 0\.$"):
        form("lstm", Options(cell_clip=True))
    with pytest.raises(
        TypeError, match=r"^rnn: nonlinearity is the class ReLU, but must be a function\. Pass ReLU\(\)"
    ):
        form("rnn", Options(nonlinearity=torch.nn.ReLU))
    with pytest.raises(ValueError, match=r"^there is no cell \['rnn'\]; choose one of rnn, "):
        form(["rnn"])


def test_bad_nonlinearity(ops):
    with pytest.raises(ValueError, match=r"^rnn: nonlinearity is 'gelu', but must be 'tanh', 'relu' or a function\.$"):
        form("rnn", Options(nonlinearity="gelu"))


def test_the_projection_may_be_as_wide_as_it_says(ops):
    found = ops["lstm_proj"](ops["lstm_proj"].arguments(4, 2, 3, 5))
    assert found["h"].shape == (2, 3)
    assert found["c"].shape == (2, 5)


def test_autocast_takes_mixed_dtypes(ops):
    arguments = ops["gru"].arguments(4, 2, 3, 5, torch.float32)
    arguments["h0"] = arguments["h0"].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert ops["gru"](arguments)["output"].dtype == torch.bfloat16
    with pytest.raises(TypeError, match=r"^gru: h0 is torch\.bfloat16"):
        ops["gru"](arguments)


def test_autocast_leaves_float64_so_it_cannot_be_mixed(ops):
    doubles = ops["gru"].arguments(4, 2, 3, 5)
    singles = {name: tensor.float() for name, tensor in doubles.items()}
    with torch.autocast("cpu", torch.bfloat16):
        assert ops["gru"](doubles)["output"].dtype == torch.float64
        with pytest.raises(TypeError, match=r"^gru: x is torch\.float64, but weight_ih is torch\.float32\. Convert it"):
            ops["gru"]({**singles, "x": doubles["x"]})
        with pytest.raises(TypeError, match=r"^gru: x is torch\.float32, but weight_ih is torch\.float64\. Convert it"):
            ops["gru"]({**doubles, "x": singles["x"]})


BAD_NOISE = [
    ("lstm", Noise(state=torch.ones(2, 5)), r"noise\.state must have shape \(2, 4\), but has \(2, 5\)\."),
    (
        "lstm",
        Noise(candidate=torch.ones(2, 4)),
        r"noise\.candidate must have shape \(3, 2, 4\) or \(1, 2, 4\), but has \(2, 4\)\.",
    ),
    ("lstm", Noise(zoneout=(torch.ones(1, 1, 1),)), r"noise\.zoneout must have 2 parts, but has 1\."),
    (
        "gru",
        Noise(zoneout=(torch.ones(3, 2, 1),)),
        r"noise\.zoneout\[0\] must have shape \(3, 2, 4\) or \(1, 1, 1\), but has \(3, 2, 1\)\.",
    ),
    ("rnn_tanh", Noise(candidate=torch.ones(3, 2, 4)), r"noise\.candidate is for cells with a candidate, which"),
]


@pytest.mark.parametrize(("name", "noise", "text"), BAD_NOISE)
def test_bad_noise(ops, name, noise, text):
    op = ops[name]
    arguments = op.arguments(3, 2, 5, 4, torch.float32)
    with pytest.raises(ValueError, match=f"^{op.kind}: {text}"):
        op(arguments, noise=noise)
    op(arguments, noise=Noise(zoneout=(torch.ones(1, 1, 1), *[None] * (len(op.state_names) - 1))))
