"""`accelerate`: torch's layers inside a model stay what they are and run on this library's ops."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_sequence

from recur import accelerate, decelerate
from recur import nn as own

F64 = {"dtype": torch.float64}
LAYERS = [
    (kind, options)
    for kind in (nn.RNN, nn.GRU, nn.LSTM)
    for options in (
        {},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
        {"num_layers": 2, "bias": False, "dropout": 0.5},
    )
] + [
    (nn.RNN, {"nonlinearity": "relu", "num_layers": 2}),
    (nn.LSTM, {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
]
CELLS = [(kind, {"bias": bias}) for kind in (nn.RNNCell, nn.GRUCell, nn.LSTMCell) for bias in (True, False)] + [
    (nn.RNNCell, {"nonlinearity": "relu"})
]


def flat(result):
    """Every tensor of a result, in order."""
    if isinstance(result, torch.nn.utils.rnn.PackedSequence):
        return [result.data]
    return [result] if isinstance(result, torch.Tensor) else [part for each in result for part in flat(each)]


def with_gradients(module, *arguments):
    """What a module returns, and every gradient under random weights on all of it, with the same random numbers."""
    torch.manual_seed(1)
    results = flat(module(*arguments))
    loss = sum((part * torch.randn_like(part)).sum() for part in results)
    leaves = [x for x in flat([a for a in arguments if a is not None]) if x.requires_grad] + list(module.parameters())
    return dict(enumerate([*(part.detach() for part in results), *torch.autograd.grad(loss, leaves)]))


def inputs(module, form):
    """An input and an initial state, or None."""
    rank = 1 if isinstance(module, nn.RNNCellBase) else 2
    first = (5, 2) if getattr(module, "batch_first", False) is False else (2, 5)
    shape = {"unbatched": (5,)}.get(form, first)[2 - rank :]
    if form == "packed":
        rows = [torch.randn(n, 3, **F64, requires_grad=True) for n in (2, 5, 4)]
        return pack_sequence(rows, enforce_sorted=False), None
    x = torch.randn(*shape, 3, **F64, requires_grad=True)
    if form == "plain":
        return x, None
    batch = () if form == "unbatched" else (2,)
    count = () if rank == 1 else (module.num_layers * (1 + module.bidirectional),)
    h = torch.randn(*count, *batch, getattr(module, "proj_size", 0) or 4, **F64, requires_grad=True)
    c = torch.randn(*count, *batch, 4, **F64, requires_grad=True)
    return x, (h, c) if isinstance(module, nn.LSTM | nn.LSTMCell) else h


@pytest.mark.parametrize(
    ("kind", "options", "form"),
    [
        (kind, options, form)
        for kind, options in LAYERS + CELLS
        for form in ("plain", "state", "unbatched", *(("packed",) if issubclass(kind, nn.RNNBase) else ()))
    ],
)
def test_results_are_torchs(compare, kind, options, form):
    """Outputs, states and gradients; with dropout in training too, but for packed sequences."""
    module = kind(3, 4, **options, **F64)
    if form == "packed":
        module.eval()
    x, hx = inputs(module, form)
    want = with_gradients(module, x, hx)
    assert len(accelerate(module).replaced) == 1
    compare(with_gradients(module, x, hx), want)
    torch.manual_seed(1)
    by_name = flat(module(input=x, hx=hx))
    compare(dict(enumerate(by_name)), {n: want[n] for n in range(len(by_name))})


class Model(nn.Module):
    """A model with a tied weight, a shared module and a frozen one."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 3)
        self.again = self.encoder
        self.cell = nn.GRUCell(3, 3)
        self.frozen = nn.ModuleList([nn.RNN(3, 3).requires_grad_(False), nn.Linear(3, 3)])
        self.frozen[1].weight = self.encoder.weight_hr = nn.Parameter(torch.eye(3))

    def forward(self, x):
        x = self.again(self.encoder(x)[0])[0]
        return self.frozen[1](self.frozen[0](torch.stack([self.cell(step) for step in x]))[0])


def test_everything_stays_but_the_class():
    model = Model().eval()
    model.cell.train()
    before, objects = dict(model.named_parameters()), dict(model.named_modules())
    state, flags = list(model.state_dict()), [module.training for module in model.modules()]
    kept = {name: set(module.__dict__) for name, module in objects.items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(4, 2, 3)
    want = model(x)
    report = accelerate(model)
    assert [entry.name for entry in report.replaced] == ["encoder", "cell", "frozen.0"]
    assert report.left == []
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert list(model.state_dict()) == state
    assert all(module is objects[name] for name, module in model.named_modules())
    assert [module.training for module in model.modules()] == flags
    assert model.again is model.encoder
    assert [p.requires_grad for p in model.frozen[0].parameters()] == [False] * 4
    torch.testing.assert_close(model(x), want, rtol=0, atol=1e-6)
    model(x).sum().backward()
    optimiser.step()
    assert not torch.equal(model(x), want)
    changed = model(x)
    report.undo()
    report.undo()
    assert [type(model.encoder), type(model.cell), type(model.frozen[0])] == [nn.LSTM, nn.GRUCell, nn.RNN]
    assert {name: set(module.__dict__) for name, module in model.named_modules()} == kept
    torch.testing.assert_close(model(x), changed, rtol=0, atol=1e-6)
    assert all(p is before[name] for name, p in model.named_parameters())


def test_it_runs_on_the_ops(monkeypatch):
    """Under a transform that torch's own cannot stand, with an option that torch's own does not know."""
    layer = nn.LSTM(3, 4, **F64)
    x = torch.randn(5, 2, 3, **F64)
    report = accelerate(layer)
    assert report.model is layer
    assert report.replaced[0].backend == "cpu"
    assert isinstance(layer, own.LSTM)
    output, _ = layer(x, lengths=[5, 2])
    assert torch.equal(output[2:, 1], torch.zeros(3, 4, **F64))
    rows = torch.func.vmap(lambda row: layer(row)[0], in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(rows, layer(x)[0], rtol=0, atol=1e-12)
    assert type(layer.cell()).__name__ == "LSTMCell"
    layer.backend = "reference"
    monkeypatch.setattr(torch, "lstm", None)
    monkeypatch.setattr(torch._VF, "lstm", None, raising=False)
    torch.testing.assert_close(layer(x)[0], rows, rtol=0, atol=1e-12)


def test_hooks_stay():
    layer, seen = nn.GRU(3, 4), []
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    layer.register_forward_hook(lambda _, __, result: seen.append("after") or (result[0] * 2, result[1]))
    layer.register_full_backward_hook(lambda *_: seen.append("backward"))
    layer.register_state_dict_pre_hook(lambda *_: seen.append("save"))
    layer.register_load_state_dict_post_hook(lambda *_: seen.append("load"))
    x = torch.randn(5, 2, 3, requires_grad=True)
    want = layer(x)[0]
    accelerate(layer)
    seen.clear()
    found = layer(x)[0]
    found.sum().backward()
    layer.load_state_dict(layer.state_dict())
    assert seen == ["before", "after", "backward", "save", "load"]
    torch.testing.assert_close(found, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.LSTMCell])
def test_parametrizations_stay(kind, when):
    layer = kind(3, 4)
    name = next(name for name, _ in layer.named_parameters() if name.startswith("weight_ih"))
    x = torch.randn(2, 3)
    want = flat(layer(x))
    if when == "after":
        accelerate(layer)
    parametrizations.weight_norm(layer, name)
    report = accelerate(layer)
    original = layer.parametrizations[name].original0
    assert len(report.replaced) == (when == "before")
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(flat(layer(x)), want, strict=True))
    with torch.no_grad():
        original.mul_(3)
    assert not torch.allclose(flat(layer(x))[0], want[0])
    changed = flat(layer(x))
    assert isinstance(layer, kind)
    assert torch.equal(flat(copy.deepcopy(layer)(x))[0], changed[0])
    if when == "before":
        report.undo()
        assert parametrize.type_before_parametrizations(layer) is kind
        assert layer.parametrizations[name].original0 is original
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(flat(layer(x)), changed, strict=True))
        accelerate(layer)
    parametrize.remove_parametrizations(layer, name)
    assert len(accelerate(layer).left) == 1
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(flat(layer(x)), changed, strict=True))


def test_undo_after_parametrizations_came_and_went():
    layer = nn.GRU(3, 4)
    report = accelerate(layer)
    parametrizations.weight_norm(layer, "weight_hh_l0")
    report.undo()
    assert parametrize.type_before_parametrizations(layer) is nn.GRU
    parametrize.remove_parametrizations(layer, "weight_hh_l0")
    assert type(layer) is nn.GRU


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weights_that_others_compute_are_used():
    """The older weight norm and weight drop put a plain tensor where the parameter was, before each run."""
    x = torch.randn(5, 2, 3)
    layer = nn.utils.weight_norm(nn.LSTM(3, 4), "weight_hh_l0")
    accelerate(layer)
    before = layer(x)[0]
    with torch.no_grad():
        layer.weight_hh_l0_g.mul_(2)
    want = nn.LSTM(3, 4)
    layer(x)
    want.load_state_dict({name: getattr(layer, name) for name in want.state_dict()})
    torch.testing.assert_close(layer(x)[0], want(x)[0], rtol=0, atol=1e-6)
    assert not torch.allclose(layer(x)[0], before)
    raw = nn.LSTM(3, 4)
    accelerate(raw)
    weight = raw.weight_hh_l0
    del raw._parameters["weight_hh_l0"]
    raw.weight_hh_l0 = torch.zeros_like(weight)
    plain = nn.LSTM(3, 4)
    plain.load_state_dict({name: getattr(raw, name) for name in plain.state_dict()})
    torch.testing.assert_close(raw(x)[0], plain(x)[0], rtol=0, atol=1e-6)


class Own(nn.LSTM):
    pass


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.LSTM(3, 4))


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.nn.quantized.dynamic.LSTM(3, 4)


def patched():
    layer = nn.LSTM(3, 4)
    layer.forward = lambda x: x
    return layer


def without_weight():
    layer = nn.LSTM(3, 4)
    layer.register_parameter("weight_hh_l0_raw", layer._parameters.pop("weight_hh_l0"))
    return layer


def accelerated():
    layer = nn.LSTM(3, 4)
    accelerate(layer)
    return layer


def test_sizes_of_any_kind_of_integer():
    model = nn.ModuleList([nn.GRUCell(3, 4, bias=1), nn.LSTMCell(np.int64(3), np.int64(4))])
    report = accelerate(model)
    assert not report.left
    assert [cell(torch.zeros(2, 3))[0].shape[-1] for cell in model] == [4, 4]


# Torch warns of the cell's empty weight.
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors is a no-op:UserWarning")
def test_one_that_cannot_be_made_is_left_and_the_others_are_not():
    model = nn.ModuleList([nn.LSTM(3, 4), nn.GRUCell(0, 4), nn.LSTM(3, 4)])
    report = accelerate(model)
    assert [entry.name for entry in report.replaced] == ["0", "2"]
    assert report.left[0].reason.startswith("this library has no such layer: GRUCell: input_size is 0, but must be")
    assert type(model[1]) is nn.GRUCell
    assert model[1](torch.zeros(2, 0)).shape == (2, 4)


def test_a_copy_is_turned_back_without_its_report():
    model = nn.Sequential(nn.LSTM(3, 4), nn.GRUCell(4, 4))
    accelerate(model)
    twin = pickle.loads(pickle.dumps(model))
    decelerate(twin)
    assert [type(module) for module in twin] == [nn.LSTM, nn.GRUCell]
    assert nn.LSTM not in [type(module) for module in model]
    with pytest.raises(TypeError, match=r"^decelerate: model must be a torch\.nn\.Module, but is int\."):
        decelerate(3)


def test_a_report_undoes_only_what_it_tells():
    model = nn.Sequential(nn.LSTM(3, 4), nn.LSTM(4, 4))
    inner = accelerate(model[0])
    accelerate(model).undo()
    assert [type(module) is nn.LSTM for module in model] == [False, True]
    inner.undo()
    assert type(model[0]) is nn.LSTM


def test_a_failure_leaves_nothing_accelerated(monkeypatch):
    def explain(self, *arguments):
        raise KeyboardInterrupt

    model = nn.Sequential(nn.LSTM(3, 4), nn.GRU(4, 4))
    monkeypatch.setattr(own.GRU, "explain", explain)
    with pytest.raises(KeyboardInterrupt):
        accelerate(model)
    assert [type(module) for module in model] == [nn.LSTM, nn.GRU]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Own(3, 4), "Own is a subclass of torch.nn.LSTM, which may compute something else"),
        (scripted, "it is scripted"),
        (quantised, "it is one of torch's quantised modules"),
        (patched, "its forward was replaced on the instance"),
        (without_weight, "it has no weight_hh_l0, which others seem to compute; run it once before"),
        (accelerated, "it runs on this library's ops already"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="gelu"), "its nonlinearity is 'gelu'"),
    ],
)
def test_what_is_left_and_why(make, reason):
    model = nn.Sequential(nn.Linear(3, 3), make())
    kind = type(model[1])
    report = accelerate(model)
    assert not report.replaced
    assert [entry.name for entry in report.left] == ["1"]
    assert reason in report.left[0].reason
    assert type(model[1]) is kind
    assert f"left: {report.left[0].reason}" in str(report)
    report.undo()
    assert type(model[1]) is kind


def test_the_report_can_be_read():
    report = accelerate(nn.Sequential(nn.LSTM(3, 4, num_layers=2), Own(4, 4), nn.Linear(4, 4)))
    assert str(report) == (
        "replaced 1 of 2 recurrent modules\n"
        "  0  LSTM(3, 4, num_layers=2)  runs on 'cpu'\n"
        "  1  Own(4, 4)                 left: Own is a subclass of torch.nn.LSTM, which may compute something else"
    )
    assert "(the model itself)  GRUCell(3, 4)" in str(accelerate(nn.GRUCell(3, 4)))
    assert str(accelerate(nn.Linear(3, 4))) == "replaced 0 of 0 recurrent modules"
    with pytest.raises(TypeError, match=r"accelerate: model must be a torch\.nn\.Module, but is list"):
        accelerate([nn.LSTM(3, 4)])


def test_what_others_read_is_there():
    """Attributes and methods of torch's layers that code in the wild uses, and the ways in which it tells kinds."""
    for kind, options in LAYERS:
        theirs = kind(3, 4, **options)
        layer = copy.deepcopy(theirs)
        accelerate(layer)
        assert isinstance(layer, kind)
        assert isinstance(layer, nn.RNNBase)
        assert type(layer).__name__ == kind.__name__
        assert repr(layer) == repr(theirs)
        names = "mode input_size hidden_size num_layers bias batch_first dropout bidirectional proj_size _all_weights"
        for name in (*names.split(), "_flat_weights_names"):
            assert getattr(layer, name) == getattr(theirs, name), name
        assert [[id(w) for w in row] for row in layer.all_weights] == [
            [id(getattr(layer, name)) for name in row] for row in theirs._all_weights
        ]
        assert all(a is b for a, b in zip(layer._flat_weights, layer.parameters(), strict=True))
        x, hx = torch.randn(5, 5, 3), torch.zeros(layer.get_expected_hidden_size(torch.zeros(5, 5, 3), None))
        c = torch.zeros(*hx.shape[:2], 4)
        layer.check_forward_args(x, (hx, c) if kind is nn.LSTM else hx, None)
        order = torch.tensor([1, 0, 2, 3, 4])
        state = (hx, c) if kind is nn.LSTM else hx
        assert [a.shape for a in flat(layer.permute_hidden(state, order))] == [a.shape for a in flat(state)]
        layer.flatten_parameters()
        torch.manual_seed(2)
        layer.reset_parameters()
        torch.manual_seed(2)
        theirs.reset_parameters()
        assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), theirs.parameters(), strict=True))
        layer.weight_hh_l0 = nn.Parameter(torch.zeros_like(layer.weight_hh_l0))
        assert layer._flat_weights[1] is layer.weight_hh_l0
        layer.double()
        assert layer(x.double())[0].dtype == layer._flat_weights[0].dtype == torch.float64


@pytest.mark.parametrize(("kind", "options"), LAYERS[:3] + CELLS[:2])
def test_it_is_copied_pickled_and_made_anew(kind, options):
    layer = kind(3, 4, **options).eval()
    accelerate(layer)
    x = torch.randn(5, 3)
    want = flat(layer(x))[0]
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert type(twin) is type(layer)
        assert torch.equal(flat(twin(x))[0], want)
    made = type(layer)(3, 4, **options)
    assert repr(made) == repr(layer)
    made.load_state_dict(layer.state_dict())
    assert torch.equal(flat(made.eval()(x))[0], want)
    accelerate(nn.Sequential(made)).undo()


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.GRUCell, nn.LSTMCell])
def test_a_batch_of_no_rows_is_torchs(kind):
    layer = kind(3, 4)
    shape = (5, 0, 3) if isinstance(layer, nn.RNNBase) else (0, 3)
    want = [part.shape for part in flat(layer(torch.zeros(shape)))]
    accelerate(layer)
    assert [part.shape for part in flat(layer(torch.zeros(shape)))] == want


@pytest.mark.parametrize("state", [None, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kind", "options"), [LAYERS[0], LAYERS[4], LAYERS[6], *CELLS])
def test_autocast_is_torchs(kind, options, given, state):
    """Torch's own return bfloat16 or float32, each as it does."""
    layer = kind(3, 4, **options).eval()
    x = inputs(layer, "plain")[0].detach().to(given)
    size = (2, 4) if x.dim() == 2 else (layer.num_layers * (1 + layer.bidirectional), 2, 4)
    hx = None if state is None else torch.zeros(size, dtype=state)
    hx = (hx, hx) if state is not None and "LSTM" in kind.__name__ else hx
    with torch.autocast("cpu", torch.bfloat16):
        want = flat(layer(x, hx))
        accelerate(layer)
        found = flat(layer(x, hx))
    assert [part.dtype for part in found] == [part.dtype for part in want]
    # bfloat16 has 8 bits; the values are below 1, and both sides round at different places.
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(a.float(), b.float(), rtol=0, atol=8 * 2**-8)


def test_autocast_with_a_packed_sequence():
    layer = nn.GRU(3, 4)
    packed = pack_sequence([torch.randn(n, 3) for n in (5, 2)])
    with torch.autocast("cpu", torch.bfloat16):
        want = layer(packed)
        accelerate(layer)
        found = layer(packed)
    assert [part.dtype for part in flat(found)] == [part.dtype for part in flat(want)]
    assert torch.equal(found[0].batch_sizes, packed.batch_sizes)


def test_functional_calls_and_compiled_ones():
    layer = nn.LSTM(3, 4)
    accelerate(layer)
    x = torch.randn(5, 2, 3)
    weights = {name: 2 * weight.detach() for name, weight in layer.named_parameters()}
    other = nn.LSTM(3, 4)
    other.load_state_dict(weights)
    found = torch.func.functional_call(layer, weights, (x,))[0]
    torch.testing.assert_close(found, other(x)[0], rtol=0, atol=1e-6)
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(nn.Sequential(layer), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x)[0], layer(x)[0], rtol=0, atol=1e-6)
