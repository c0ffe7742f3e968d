"""Every bad option and every bad input gets one line that says what is wrong and what to do; NaN is not hidden."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

from recur import nn as recur_nn
from recur.errors import BackendError
from recur.nn import GRU, LSTM, left_to_right_padding, right_to_left_padding

ZEROS = torch.nn.init.zeros_

BAD_OPTIONS = [
    ("LSTM", {"hidden_size": []}, ValueError, r"hidden_size is empty\. Give one number for all layers, or one"),
    ("LSTM", {"hidden_size": [4, 5], "num_layers": 3}, ValueError, r"hidden_size has 2 sizes, but num_layers is 3\."),
    ("LSTM", {"hidden_size": [4, 0]}, ValueError, r"hidden_size is 0, but must be at least 1\."),
    ("LSTM", {"hidden_size": (4, 2.0)}, TypeError, r"hidden_size must be an int, but is float\."),
    ("LSTM", {"num_layers": 0}, ValueError, r"num_layers is 0, but must be at least 1\."),
    ("LSTM", {"batch_first": 1}, TypeError, r"batch_first must be a bool, but is int\."),
    ("LSTM", {"bidirectional": "yes"}, TypeError, r"bidirectional must be a bool, but is str\."),
    ("LSTM", {"dtype": torch.int64}, TypeError, r"dtype must be floating, such as torch\.float32, but is torch\.int64"),
    ("LSTM", {"proj_size": True}, TypeError, r"proj_size must be an int, but is bool\."),
    ("MGU", {"proj_size": 2}, TypeError, r"there is no option 'proj_size'\. Its options are initial_state, "),
    ("LSTM", {"num_layer": 2}, TypeError, r"there is no option 'num_layer'\. Did you mean 'num_layers'\? .*, beside "),
    ("LSTMCell", {"bais": False}, TypeError, r"there is no option 'bais'\. Did you mean 'bias'\?"),
    ("RHN", {"dept": 2}, TypeError, r"there is no option 'dept'\. Did you mean 'depth'\? .*, transform_bias\.$"),
    ("GRU", {"layernorm": True}, TypeError, r"there is no option 'layernorm'\. Did you mean 'layer_norm'\?"),
    ("GRU", {"peephole": True}, TypeError, r"there is no option 'peephole'\."),
    ("GRU", {"coupled": True}, TypeError, r"there is no option 'coupled'\."),
    ("RNN", {"cell_clip": 1.0}, TypeError, r"there is no option 'cell_clip'\. .*Its options are"),
    ("LSTM", {"nonlinearity": "relu"}, TypeError, r"there is no option 'nonlinearity'\."),
    ("LSTM", {"layer_norm": 1}, TypeError, r"layer_norm must be a bool, but is int\."),
    ("LSTM", {"peephole": None}, TypeError, r"peephole must be a bool, but is NoneType\."),
    ("LSTM", {"state_batch_first": 1}, TypeError, r"state_batch_first must be a bool, but is int\."),
    ("GRU", {"reset_after": 1}, TypeError, r"reset_after must be a bool, but is int\."),
    ("GRU", {"reset_after": "no"}, TypeError, r"reset_after must be a bool, but is str\."),
    ("GRU", {"reset_after": False, "proj_size": 2}, ValueError, r"reset_after=False multiplies the state by the reset"),
    ("RNN", {"nonlinearity": None}, ValueError, r"nonlinearity is None, but must be 'tanh', 'relu' or a function\."),
    ("RNN", {"nonlinearity": ["tanh"]}, ValueError, r"nonlinearity is \['tanh'\], but must be 'tanh', 'relu' or a "),
    (
        "RNN",
        {"nonlinearity": torch.nn.GELU},
        TypeError,
        r"nonlinearity is the class GELU, but must be a function\. Pass GELU\(\)\.",
    ),
    ("IndRNN", {"nonlinearity": torch.nn.GELU}, TypeError, r"nonlinearity is the class GELU, but must be a function"),
    ("LSTM", {"dilation": 0}, ValueError, r"dilation is 0, but must be at least 1\."),
    ("LSTM", {"dilation": ()}, ValueError, r"dilation is empty\. Give one number for all layers, or one for each\."),
    ("LSTM", {"dilation": 1.5}, TypeError, r"dilation must be an int, but is float\."),
    ("LSTM", {"dilation": [1, 2]}, ValueError, r"dilation has 2 sizes, but num_layers is 1\. Give one for each\."),
    ("LSTM", {"zoneout": 1.1}, ValueError, r"zoneout is 1\.1, but must be from 0 to 1\."),
    ("LSTM", {"zoneout": float("nan")}, ValueError, r"zoneout is nan, but must be from 0 to 1\."),
    ("LSTM", {"zoneout": (0.1,)}, ValueError, r"zoneout has 1 values, but the state has 2 parts \(h, c\)\."),
    ("GRU", {"zoneout": (0.1, 0.2)}, ValueError, r"zoneout has 2 values, but the state has 1 parts \(h\)\."),
    ("LSTM", {"skip": "residual"}, ValueError, r"skip='residual' acts between layers, but num_layers is 1\."),
    (
        "LSTM",
        {"num_layers": 2, "skip": "sum"},
        ValueError,
        r"skip is 'sum', but must be one of None, 'residual', 'highw",
    ),
    (
        "LSTM",
        {"hidden_size": [4, 5], "skip": "highway"},
        ValueError,
        r"skip='highway' needs layers of one size, but layer 1 gets 4 features and gives 5\.",
    ),
    (
        "LSTM",
        {"num_layers": 2, "bidirectional": True, "merge": None, "skip": "residual"},
        ValueError,
        r"skip='residual' needs the two directions in one; choose a merge\.",
    ),
    ("LSTM", {"merge": "sum"}, ValueError, r"merge is 'sum', but there is one direction; pass bidirectional=True\."),
    ("LSTM", {"merge": None}, ValueError, r"merge is None, but there is one direction; pass bidirectional=True\."),
    ("LSTM", {"merge": "max"}, ValueError, r"merge is 'max', but must be one of None, 'concat', 'sum', 'mean', 'prod"),
    ("LSTM", {"gradient_clip": float("inf")}, ValueError, r"gradient_clip is inf, but must be above 0 and finite;"),
    ("LSTM", {"init": {}}, ValueError, r"init names no tensor; leave it out\."),
    ("LSTM", {"gradient_clip": 0}, ValueError, r"gradient_clip is 0, but must be above 0 and finite;"),
    ("LSTM", {"gradient_clip": "1"}, TypeError, r"gradient_clip must be a number, but is str\."),
    ("LSTM", {"cell_clip": True}, TypeError, r"cell_clip must be a number, but is bool\."),
    ("LSTM", {"output_clip": float("nan")}, ValueError, r"output_clip is nan, but must be above 0 and finite;"),
    ("LSTM", {"initial_state": "context"}, ValueError, r"initial_state='context' and context_size go together"),
    ("LSTM", {"context_size": 3}, ValueError, r"initial_state='context' and context_size go together; give both or"),
    ("LSTM", {"recurrent_dropout": 2}, ValueError, r"recurrent_dropout is 2, but must be from 0 to 1\."),
    ("LSTM", {"weight_dropout": None}, TypeError, r"weight_dropout must be a number, but is NoneType\."),
    (
        "LSTM",
        {"recurrent_dropout_kind": "h"},
        ValueError,
        r"recurrent_dropout_kind is 'h', but must be one of 'state',",
    ),
    (
        "LSTM",
        {"recurrent_dropout_kind": "candidate"},
        ValueError,
        r"recurrent_dropout_kind is given, but recurrent_dropout is 0; give both\.",
    ),
    (
        "RNN",
        {"recurrent_dropout_kind": "candidate", "recurrent_dropout": 0.1},
        ValueError,
        r"recurrent_dropout_kind='candidate' needs gates; pass 'state'\.",
    ),
    (
        "LSTM",
        {"num_layers": 2, "locked_dropout": True},
        ValueError,
        r"locked_dropout says how dropout between layers acts, but dropout is 0\.0 and num_layers is 2\.",
    ),
    (
        "LSTM",
        {"init": "xavier"},
        ValueError,
        r"init is 'xavier', but must be one of 'torch', 'orthogonal', 'identity',",
    ),
    (
        "LSTM",
        {"init": {"weight": ZEROS}},
        ValueError,
        r"init names 'weight', but the tensors are weight_ih, weight_hh,",
    ),
    ("LSTM", {"init": {"weight_hr": ZEROS}}, ValueError, r"init names 'weight_hr', but the tensors are weight_ih,"),
    ("LSTM", {"init": {"weight_ch": ZEROS}}, ValueError, r"init names 'weight_ch', but the tensors are weight_ih,"),
    ("LSTM", {"bias": False, "init": {"bias_ih": ZEROS}}, ValueError, r"init names 'bias_ih', but the tensors are"),
    ("LSTM", {"init": {"weight_ih": 3}}, TypeError, r"init\['weight_ih'\] must be a function, but is int\."),
    ("LSTM", {"init": "chrono"}, ValueError, r"init='chrono' and chrono_steps go together; give both or neither\."),
    ("LSTM", {"chrono_steps": 9}, ValueError, r"init='chrono' and chrono_steps go together; give both or neither\."),
    ("LSTM", {"init": "chrono", "chrono_steps": 1}, ValueError, r"chrono_steps is 1, but must be at least 2\."),
    (
        "LSTM",
        {"init": "chrono", "chrono_steps": 9, "forget_bias": 1.0},
        ValueError,
        r"init='chrono' draws the forget gate's bias itself; leave forget_bias out\.",
    ),
    ("LSTM", {"bias": False, "forget_bias": 1.0}, ValueError, r"forget_bias sets biases, but there are none; pass"),
    ("LSTM", {"forget_bias": float("nan")}, ValueError, r"forget_bias is nan, but must be finite\."),
    ("RNN", {"forget_bias": 1.0}, ValueError, r"forget_bias is for layers with a forget or update gate: LSTM, GRU"),
    (
        "IndRNN",
        {"init": "chrono", "chrono_steps": 9},
        ValueError,
        r"init='chrono' is for layers with a forget or update",
    ),
    ("IndRNN", {"init": "orthogonal"}, ValueError, r"init='orthogonal' is for recurrent matrices; here is one"),
]


@pytest.mark.parametrize(("name", "options", "error", "text"), BAD_OPTIONS)
def test_bad_options(name, options, error, text):
    with pytest.raises(error, match=f"^{name}: {text}"):
        getattr(recur_nn, name)(**{"input_size": 8, "hidden_size": 4, **options})


X, H = torch.zeros(3, 2, 8), torch.zeros(1, 2, 4)

BAD_CALLS = [
    (
        {},
        {"x": None},
        TypeError,
        r"x must be a torch\.Tensor, a PackedSequence or a list of tensors, but is NoneType\.",
    ),
    ({}, {"x": X.int()}, TypeError, r"x is torch\.int32, but the layer is torch\.float32\. Convert it with x\.to\("),
    ({}, {"x": X.bfloat16()}, TypeError, r"x is torch\.bfloat16, but the layer is torch\.float32\."),
    ({}, {"x": X.to("meta")}, ValueError, r"x is on meta, but the layer is on cpu\. Move it with x\.to\('cpu'\)\."),
    ({}, {"x": X[:0]}, ValueError, r"x has no steps; give at least one\."),
    ({}, {"x": X[:, :0]}, ValueError, r"x has no rows; give at least one\."),
    ({}, {"x": []}, ValueError, r"x is an empty list; give at least one sequence\."),
    ({}, {"x": [X[:0, 0]]}, ValueError, r"x has no steps; give at least one\."),
    ({}, {"x": [X[:, 0], 3]}, TypeError, r"x\[1\] must be a torch\.Tensor, but is int\."),
    ({}, {"x": [X[:, 0], X[:, 0, :7]]}, ValueError, r"x\[1\] must have shape \(T, 8\), but has \(3, 7\)\."),
    (
        {},
        {"x": [X[:, 0], X[:, 0].double()]},
        TypeError,
        r"x\[1\] is torch\.float64 on cpu, but x\[0\] is torch\.float32",
    ),
    ({}, {"x": [X[:, 0]], "lengths": [3]}, ValueError, r"a list of sequences has its own lengths; leave lengths out\."),
    ({}, {"lengths": 3}, ValueError, r"lengths must have shape \(2,\), one for each row, but has \(\)\."),
    ({}, {"lengths": [[3, 1]]}, ValueError, r"lengths must have shape \(2,\), one for each row, but has \(1, 2\)\."),
    ({}, {"lengths": [3, 4]}, ValueError, r"lengths has 4, but x has 3 steps\."),
    ({}, {"lengths": [3, -1]}, ValueError, r"lengths has -1; a length is at least 0\."),
    (
        {},
        {"lengths": [True, False]},
        TypeError,
        r"lengths must be whole numbers, but is torch\.bool\. Of a mask of the true steps give mask\.sum\(0\), or ",
    ),
    ({}, {"lengths": [2.0, 1.0]}, TypeError, r"lengths must be whole numbers, but is torch\.float32\. Convert it with"),
    ({}, {"lengths": torch.tensor([2, 4], dtype=torch.uint16)}, ValueError, r"lengths has 4, but x has 3 steps\."),
    ({}, {"lengths": [None, 2]}, TypeError, r"lengths must be a tensor or a list of whole numbers: "),
    ({}, {"reset": [[True]]}, TypeError, r"reset must be a torch\.bool tensor, but is list\."),
    (
        {},
        {"x": X[:, 0], "reset": torch.zeros(3, 1).bool()},
        ValueError,
        r"reset must have shape \(T,\) = \(3,\), but has",
    ),
    ({}, {"return_all": "yes"}, TypeError, r"return_all must be a bool, but is str\."),
    ({}, {"hx": H}, TypeError, r"hx must be the pair \(h_0, c_0\), but is Tensor\."),
    ({}, {"hx": (H, None)}, TypeError, r"c_0 must be a torch\.Tensor, but is NoneType\."),
    ({}, {"hx": (H.double(), H)}, TypeError, r"h_0 is torch\.float64, but the layer is torch\.float32\. Convert it"),
    ({}, {"hx": (H.to("meta"), H)}, ValueError, r"h_0 is on meta, but the layer is on cpu\. Move it with h_0\.to"),
    (
        {"state_batch_first": True},
        {"hx": (H, H)},
        ValueError,
        r"h_0 must have shape \(B, L\*D, H\) = \(2, 1, 4\), but has \(1, 2, 4\)\.",
    ),
    ({"proj_size": 2}, {"hx": (H, H)}, ValueError, r"h_0 must have shape \(L\*D, B, H\) = \(1, 2, 2\), but has \(1, 2"),
    (
        {"dilation": 2},
        {"hx": (H, H)},
        TypeError,
        r"h_0 must be a list of tensors, 1, one for each layer .* but is Tensor",
    ),
    ({"dilation": 2}, {"hx": ([H], [H])}, ValueError, r"h_0\[0\] must have shape \(2, 2, 4\), but has \(1, 2, 4\)\."),
    ({"hidden_size": [4, 5]}, {"hx": ([H[0]], [H[0]])}, TypeError, r"h_0 must be a list of tensors, 2, .* but has 1\."),
    ({"hidden_size": [4, 5]}, {"hx": ([H[0]] * 2,) * 2}, ValueError, r"h_0\[1\] must have shape \(2, 5\), but has"),
    ({"hidden_size": [4, 5]}, {"hx": ([H[0], None],) * 2}, TypeError, r"h_0\[1\] must be a torch\.Tensor, but is None"),
    ({}, {"context": X[0]}, ValueError, r"context is given, but initial_state is 'zeros'\."),
    ({}, {"context": X[0], "hx": (H, H)}, ValueError, r"context is given, but initial_state is 'zeros'\."),
]
CONTEXT = {"initial_state": "context", "context_size": 3}
BAD_CALLS += [
    (CONTEXT, {}, TypeError, r"context must be a torch\.Tensor, but is NoneType\."),
    (CONTEXT, {"context": X[0]}, ValueError, r"context must have shape \(B, C\) = \(2, 3\), but has \(2, 8\)\."),
    (CONTEXT, {"context": X[0], "hx": (H, H)}, ValueError, r"context must have shape \(B, C\) = \(2, 3\), but has"),
    (CONTEXT, {"context": torch.zeros(2, 3).double()}, TypeError, r"context is torch\.float64, but the layer is"),
    (
        CONTEXT,
        {"hx": (H, H), "reset": torch.zeros(3, 2).bool()},
        TypeError,
        r"context must be a torch\.Tensor, but is N",
    ),
    (
        CONTEXT,
        {"x": X[:, 0], "context": torch.zeros(1, 3)},
        ValueError,
        r"context must have shape \(C,\) = \(3,\), but",
    ),
]


@pytest.mark.parametrize(("options", "call", "error", "text"), BAD_CALLS)
def test_bad_calls(options, call, error, text):
    layer = LSTM(**{"input_size": 8, "hidden_size": 4, **options})
    with pytest.raises(error, match=f"^LSTM: {text}"):
        layer(**{"x": X, **call})


def test_a_back_end_that_cannot_says_why():
    with pytest.raises(BackendError, match=r"^GRU: 'torch' refused: torch's own cell has no form with layer_norm\."):
        GRU(8, 4, layer_norm=True, backend="torch")(X)
    with pytest.raises(BackendError, match=r"^LSTM: 'torch' refused: torch's own cell takes no noise within a layer"):
        LSTM(8, 4, zoneout=0.1, backend="torch")(X)


BAD_PADDING = [
    ([1], [1], TypeError, r"x must be a torch\.Tensor, but is list\."),
    (torch.zeros(3), [3], ValueError, r"x must have at least 2 dimensions, but has shape \(3,\)\."),
    (X, [3, 4], ValueError, r"lengths has 4, but x has 3 steps\."),
    (X, [3, -1], ValueError, r"lengths has -1; a length is at least 0\."),
    (X, [3], ValueError, r"lengths must have shape \(2,\), one for each row, but has \(1,\)\."),
    (X, [3.0, 1.0], TypeError, r"lengths must be whole numbers, but is torch\.float32\."),
]


@pytest.mark.parametrize("function", [left_to_right_padding, right_to_left_padding])
@pytest.mark.parametrize(("x", "lengths", "error", "text"), BAD_PADDING)
def test_bad_padding(function, x, lengths, error, text):
    with pytest.raises(error, match=f"^{function.__name__}: {text}"):
        function(x, lengths)


@pytest.mark.parametrize("where", ["x", "state"])
def test_nan_is_not_hidden(any_kind, make_case, compare, where):
    """It stays in its row, from its step on, and is in the final state."""
    case = make_case(any_kind, (3, 4), {}, compare, num_steps=4, batch=3, lengths=[4, 3, 4], resets=0.0, is_given=True)
    with torch.no_grad():
        if where == "x":
            case.x[2, 1] = torch.nan
        else:
            for leaf in tree_leaves(case.hx):
                leaf.select(case.axis(leaf), 1).fill_(torch.nan)
    (output,), state = case.run()
    if where == "x" and any_kind.name == "GRUD":
        # To this one NaN is a value that is missing.
        assert bool(output.isfinite().all())
        return
    begins = 2 if where == "x" else 0
    assert bool(output[begins:3, 1].isnan().flatten(1).any(1).all())
    assert bool(output[:begins].isfinite().all())
    assert bool(output[:, [0, 2]].isfinite().all())
    assert any(bool(leaf.select(case.axis(leaf), 1).isnan().any()) for leaf in tree_leaves(state))
