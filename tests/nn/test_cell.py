"""Single cells: torch's, the options for one step, and the cells of a layer."""

import copy
import pickle

import pytest
import torch

from recur import nn as recur_nn
from recur.nn import GRU, LSTM, GRUCell, LSTMCell, Recurrent, RNNCell, nest

TORCHS = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("RNNCell", {"bias": False}),
    ("GRUCell", {}),
    ("GRUCell", {"bias": False}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
]
FORMS = [
    ("RNN", {"nonlinearity": torch.nn.functional.softsign, "proj_size": 3, "output_clip": 0.2}),
    ("RNN", {"layer_norm": True}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"layer_norm": True, "proj_size": 3}),
    ("LSTM", {}),
    ("LSTM", {"bias": False}),
    ("LSTM", {"peephole": True, "coupled": True, "layer_norm": True, "proj_size": 3, "cell_clip": 0.1}),
    ("LSTM", {"zoneout": (0.3, 0.2)}),
    ("IndRNN", {"nonlinearity": "tanh"}),
    ("MGU", {"layer_norm": True}),
    ("LiGRU", {"proj_size": 3, "gradient_clip": 0.01}),
]
F64 = {"dtype": torch.float64}


def parts(state):
    return dict(enumerate(state if isinstance(state, tuple) else (state,)))


def random_state(cell, *rows):
    sizes = cell.state_size if isinstance(cell.state_size, tuple) else (cell.state_size,)
    state = tuple(torch.randn(*rows, size, **F64, requires_grad=True) for size in sizes)
    return state if len(state) > 1 else state[0]


def with_gradients(module, run, leaves):
    """Return what `run` gives and, with random weights on all of it, every gradient."""
    found = parts(run())
    torch.manual_seed(1)
    loss = sum((part * torch.randn_like(part)).sum() for part in found.values())
    named = {**leaves, **dict(module.named_parameters())}
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    found = {f"part {n}": part.detach() for n, part in found.items()}
    return found | {f"d{n}": g if g is not None else torch.zeros(()) for n, g in zip(named, grads, strict=True)}


@pytest.mark.parametrize("rows", [(), (4,)])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("name", "options"), TORCHS)
def test_it_is_torchs(compare, name, options, given, rows):
    ours, theirs = (getattr(module, name)(3, 5, **options, **F64) for module in (recur_nn, torch.nn))
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [(n, p.shape) for n, p in theirs.named_parameters()]
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(*rows, 3, **F64, requires_grad=True)
    hx = random_state(ours, *rows) if given else None
    leaves = {"x": x} | ({f"h{n}": part for n, part in parts(hx).items()} if given else {})
    want = with_gradients(theirs, lambda: theirs(x, hx), leaves)
    compare(with_gradients(ours, lambda: ours(x, hx), leaves), want)
    assert type(ours(x, hx)) is type(theirs(x, hx))


@pytest.mark.parametrize(("name", "options"), TORCHS)
def test_the_same_seed_draws_torchs_weights(name, options):
    drawn = []
    for module in (recur_nn, torch.nn):
        torch.manual_seed(3)
        drawn.append(getattr(module, name)(3, 5, **options).state_dict())
    assert drawn[0].keys() == drawn[1].keys()
    assert all(torch.equal(drawn[0][n], drawn[1][n]) for n in drawn[0])


def test_arguments_in_torchs_order():
    ours, theirs = RNNCell(3, 5, False, "relu", "cpu", torch.float64), torch.nn.RNNCell(3, 5, False, "relu")
    assert (ours.bias, ours.nonlinearity, ours.bias_ih) == (theirs.bias, theirs.nonlinearity, None)
    assert LSTMCell(3, 5, False, "cpu", torch.float64).weight_ih.dtype == torch.float64


@pytest.mark.parametrize(("name", "options"), FORMS)
def test_repeated_it_is_the_layer(compare, name, options):
    """With the weights of the layer, in evaluation, in outputs and in all gradients; and so is `Recurrent` of it."""
    layer = getattr(recur_nn, name)(4, 6, **options, **F64).eval()
    cell = getattr(recur_nn, f"{name}Cell")(4, 6, **options, **F64).eval()
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, 0.2, 0.4)
    cell.load_state_dict({n.removesuffix("_l0"): w for n, w in layer.state_dict().items()})
    x, hx = torch.randn(5, 2, 4, **F64, requires_grad=True), random_state(cell, 2)
    leaves = {"x": x, **{f"h{n}": part for n, part in parts(hx).items()}}

    def by_layer():
        output, final = layer(x, tuple(p[None] for p in hx) if isinstance(hx, tuple) else hx[None])
        return output, *[part[0] for part in parts(final).values()]

    def by_cell():
        state, outputs = hx, []
        for x_t in x:
            state = cell(x_t, state)
            outputs.append(parts(state)[0])
        return torch.stack(outputs), *parts(state).values()

    def by_recurrent():
        output, final = recurrent(x, nest.mapped(lambda part: part[None], hx))
        return output, *[part[0] for part in parts(final).values()]

    recurrent = Recurrent(cell).eval()
    want = {n.replace("_l0", ""): v for n, v in with_gradients(layer, by_layer, leaves).items()}
    compare(with_gradients(cell, by_cell, leaves), want)
    found = with_gradients(recurrent, by_recurrent, leaves)
    compare({n.replace("cells.0.", ""): v for n, v in found.items()}, want)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(("name", "options"), FORMS)
def test_a_cell_of_a_layer_is_that_layer(compare, name, options, direction):
    """Steps of the cells of each layer and direction, in evaluation, are the stack; and gradients land in it."""
    layer = getattr(recur_nn, name)(4, 6, num_layers=2, bidirectional=True, **options, **F64).eval()
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, 0.2, 0.4)
    x = torch.randn(5, 2, 4, **F64)
    steps = layer(x, return_all=True).steps
    below = torch.cat([step.values["h"] for step in steps[:2]], 2)
    cell = layer.cell(1, direction)
    assert type(cell).__name__ == f"{name}Cell"
    assert (cell.input_size, cell.training) == (below.shape[2], False)
    order = range(5) if direction == "forward" else reversed(range(5))
    state, outputs = None, {}
    for t in order:
        state = cell(below[t], state)
        outputs[t] = parts(state)[0]
    want = steps[2 + (direction == "backward")].values["h"]
    found = torch.stack([outputs[t] for t in range(5)])
    compare({"h": found}, {"h": want})
    suffix = "_l1" + ("_reverse" if direction == "backward" else "")
    upstream = torch.randn_like(found)
    weights = {n: getattr(layer, n + suffix) for n in cell.state_dict()}
    compare(
        dict(
            zip(weights, torch.autograd.grad(found, list(weights.values()), upstream, retain_graph=True), strict=True)
        ),
        dict(zip(weights, torch.autograd.grad(want, list(weights.values()), upstream), strict=True)),
    )
    found.backward(upstream)
    assert all(w.grad is not None and getattr(cell, n) is w for n, w in weights.items())


def test_a_cell_of_a_layer_follows_its_parameters():
    layer = GRU(4, 6, bias=False)
    cell = layer.cell()
    assert dict(cell.named_parameters()).keys() == {"weight_ih", "weight_hh"}
    assert cell.bias_ih is None
    layer.double()
    x = torch.randn(2, 4, **F64)
    assert torch.equal(cell(x), layer(x[None])[1][0])
    layer.weight_hh_l0 = torch.nn.Parameter(torch.randn(18, 6, **F64))
    layer.load_state_dict({n: torch.randn_like(w) for n, w in layer.state_dict().items()})
    h = torch.randn(2, 6, **F64)
    assert torch.equal(cell(x, h), layer(x[None], h[None])[1][0])
    assert cell.weight_hh is layer.weight_hh_l0 is dict(cell.named_parameters())["weight_hh"]
    cell.float()
    assert layer.weight_ih_l0.dtype == torch.float32
    cell.weight_ih = torch.nn.Parameter(torch.zeros(18, 4))
    assert layer.weight_ih_l0 is cell.weight_ih
    with pytest.raises(KeyError, match="the layer has no bias_ih"):
        cell.bias_ih = torch.nn.Parameter(torch.zeros(18))


def test_a_cell_of_a_layer_sees_parametrized_weights():
    layer = GRU(4, 6, **F64)
    cell = layer.cell()
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    x, h = torch.randn(2, 4, **F64), torch.randn(2, 6, **F64)
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(2)
    assert torch.equal(cell(x, h), layer(x[None], h[None])[1][0])
    assert "weight_hh" not in dict(cell.named_parameters())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_of_layer_and_cell_is_a_pair_again(copied):
    layer = LSTM(4, 6)
    twin, cell = copied((layer, layer.cell()))
    assert cell.weight_ih is twin.weight_ih_l0
    assert cell.weight_ih is not layer.weight_ih_l0


def test_a_cell_of_a_layer_starts_as_the_layer(compare):
    layer = LSTM(4, 6, num_layers=2, dilation=[1, 2], initial_state="learned", **F64)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight)
    x = torch.randn(1, 2, 4, **F64)
    low, high = layer.cell(0), layer.cell(1)
    h, _ = low(x[0])
    h, _ = high(h)
    output, _ = layer(x)
    compare({"h": h}, {"h": output[0]})
    with pytest.raises(ValueError, match="the layer's initial state comes from a context; give hx"):
        LSTM(4, 6, initial_state="context", context_size=2).cell()(torch.randn(2, 4))


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.5}, {"weight_dropout": 0.5}])
def test_masks_for_all_steps_are_no_cells(options):
    cell = GRU(4, 6, **options).cell()
    with pytest.raises(ValueError, match=f"GRUCell: {next(iter(options))} of the layer has one mask for all steps"):
        cell(torch.randn(2, 4))
    assert cell.eval()(torch.randn(2, 4)).shape == (2, 6)


def test_noise_of_one_step():
    x, hx = torch.randn(1000, 4), (torch.randn(1000, 6), torch.randn(1000, 6))
    cell = LSTMCell(4, 6, zoneout=(0.0, 0.25))
    _, c = cell(x, hx)
    assert 0.2 < (c == hx[1]).float().mean() < 0.3
    _, c = cell.eval()(x, hx)
    assert not (c == hx[1]).any()
    cell = LSTMCell(4, 6, recurrent_dropout=0.5, recurrent_dropout_kind="candidate")
    gates = x @ cell.weight_ih.T + cell.bias_ih + hx[0] @ cell.weight_hh.T + cell.bias_hh
    i, f, g, _ = gates.chunk(4, 1)
    added = cell(x, hx)[1] - f.sigmoid() * hx[1]
    want = i.sigmoid() * g.tanh()
    dropped = added.abs() < 1e-6
    assert 0.45 < dropped.float().mean() < 0.55
    torch.testing.assert_close(added[~dropped], 2 * want[~dropped], rtol=1e-3, atol=1e-5)


def test_initialisation_is_the_layers():
    cell = LSTMCell(4, 6, forget_bias=1.5)
    assert torch.equal(cell.bias_ih[6:12] + cell.bias_hh[6:12], torch.full((6,), 1.5))
    assert torch.equal(RNNCell(4, 6, init="identity").weight_hh, torch.eye(6))


def test_it_is_shown_and_explained():
    cell = GRUCell(4, 6, layer_norm=True, zoneout=0.1)
    assert repr(cell) == "GRUCell(4, 6, zoneout=(0.1,), layer_norm=True)"
    assert repr(LSTM(4, 6, peephole=True, weight_dropout=0.1).cell()) == "LSTMCell(4, 6, peephole=True)"
    assert GRUCell(4, 6, backend="torch").explain().backend == "torch"
    assert [each.explain(torch.zeros(3, 4)).backend for each in (GRUCell(4, 6), cell)] == ["cpu", "cpu"]


@pytest.mark.parametrize("shared", [False, True])
def test_it_is_transformed(compare, shared):
    cell = LSTM(3, 5, **F64).cell() if shared else LSTMCell(3, 5, **F64)
    x = torch.randn(4, 3, **F64)
    weights = {n: 2 * w.detach() for n, w in cell.named_parameters()}
    before = cell(x)
    found = torch.func.functional_call(cell, weights, (x,))
    assert not torch.equal(found[0], before[0])
    compare(parts(cell(x)), parts(before))
    compare(parts(torch.func.vmap(lambda row: cell(row))(x)), parts(before))
    compare(parts(torch.compile(cell, fullgraph=True, backend="eager")(x)), parts(before))


X, H = torch.zeros(2, 3), torch.zeros(2, 5)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (
            lambda: LSTMCell(3, 5, skip="residual"),
            TypeError,
            "skip is an option of whole layers .* give it to LSTM",
        ),
        (lambda: LSTMCell(3, 5, weight_dropout=0.1), TypeError, "weight_dropout is an option of whole layers"),
        (lambda: LSTMCell(3, 5, initial_state="learned"), TypeError, "initial_state is an option of whole layers"),
        (lambda: GRUCell(3, 5, layernorm=True), TypeError, "no option 'layernorm'. Did you mean 'layer_norm'"),
        (lambda: GRUCell(3, 5, peephole=True), TypeError, "GRUCell: there is no option 'peephole'"),
        (lambda: GRUCell(3, 5, recurrent_dropout=0.1), ValueError, "kind 'state' has one mask for all steps"),
        (lambda: RNNCell(3, 5, nonlinearity="gelu"), ValueError, "RNNCell: nonlinearity is 'gelu'"),
        (lambda: GRUCell(0, 5), ValueError, "input_size is 0, but must be at least 1"),
        (lambda: GRUCell(3, [5]), TypeError, "hidden_size must be an int, but is list"),
        (
            lambda: GRUCell(3, 5, zoneout=(0.1, 0.2)),
            ValueError,
            r"zoneout has 2 values, but the state has 1 parts",
        ),
        (lambda: GRUCell(3, 5, backend="cuda"), ValueError, "there is no back end 'cuda'"),
        (lambda: GRUCell(3, 5)([0.0]), TypeError, "x must be a torch.Tensor, but is list"),
        (lambda: GRUCell(3, 5)(X[None]), ValueError, r"x has 3 dimensions, \(1, 2, 3\). Give \(B, 3\), or \(3,\)"),
        (lambda: GRUCell(4, 5)(X), ValueError, r"x has 3 features but input_size is 4. Pass input_size=3, or"),
        (lambda: GRUCell(3, 5)(X.double()), TypeError, "x is torch.float64, but the cell is torch.float32"),
        (lambda: GRUCell(3, 5)(X[:0]), ValueError, "x has no rows"),
        (lambda: GRUCell(3, 5)(X, H[:1]), ValueError, r"h must have shape \(B, H\) = \(2, 5\), but has \(1, 5\)"),
        (lambda: GRUCell(3, 5)(X[0], H), ValueError, r"h must have shape \(H,\) = \(5,\), but has \(2, 5\)"),
        (lambda: GRUCell(3, 5)(X, (H, H)), TypeError, "h must be a torch.Tensor, but is tuple"),
        (lambda: LSTMCell(3, 5)(X, H), TypeError, r"hx must be the pair \(h, c\), but is Tensor"),
        (lambda: LSTMCell(3, 5)(X, (H, H.double())), TypeError, "c is torch.float64"),
        (lambda: GRU(3, 5).cell(1), ValueError, "GRU: there is no layer 1; num_layers is 1"),
        (lambda: GRU(3, 5).cell(direction="backward"), ValueError, "direction is 'backward', but must be 'forward'"),
    ],
)
def test_errors(act, error, text):
    with pytest.raises(error, match=text):
        act()
