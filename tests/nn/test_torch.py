"""The layers in place of torch's: constructor, parameters, results, gradients, every form of input and output."""

import copy
import inspect
import itertools
import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

from recur import nn as recur_nn

OPTIONS = [
    {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": first}
    for layers, both, bias, first in itertools.product((1, 2), (False, True), (False, True), (False, True))
] + [{"num_layers": 3, "bidirectional": True}]


def _gradients(result, layer, inputs, flat, upstream):
    loss = sum((value * upstream[name]).sum() for name, value in flat(result).items())
    names = [name for name, _ in layer.named_parameters()]
    grads = torch.autograd.grad(loss, [*inputs, *layer.parameters()])
    return dict(zip([*(f"input{k}" for k in range(len(inputs))), *names], grads, strict=True))


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_the_constructor_begins_as_torchs(name):
    ours = inspect.signature(getattr(recur_nn, name).__init__).parameters.values()
    theirs = {
        "RNN": "num_layers nonlinearity bias batch_first dropout bidirectional device dtype",
        "GRU": "num_layers bias batch_first dropout bidirectional device dtype",
        "LSTM": "num_layers bias batch_first dropout bidirectional proj_size device dtype",
    }[name]
    positional = [p.name for p in ours if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert positional == ["self", "input_size", "hidden_size", *theirs.split()]
    # What torch makes of arguments given by position.
    values = [4, 2, "relu", True, True, 0.5, True] if name == "RNN" else [4, 2, True, True, 0.5, True]
    made, torchs = (getattr(module, name)(3, *values) for module in (recur_nn, torch.nn))
    for attribute in ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "hidden_size"):
        assert getattr(made, attribute) == getattr(torchs, attribute)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_same_seed_gives_the_same_weights(kind, options):
    torch.manual_seed(3)
    ours = kind.make(4, 5, **options)
    torch.manual_seed(3)
    theirs = getattr(torch.nn, kind.name)(4, 5, dtype=torch.float64, **dict(kind.options), **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)
    for mine, its in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("form", ["batched", "unbatched", "packed", "packed_unsorted"])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_results_and_gradients(kind, compare, flat, options, given, form):
    ours, theirs = kind.pair(4, 5, **options)
    batch = None if form == "unbatched" else 3
    shape = (6, 4) if batch is None else (3, 6, 4) if ours.batch_first else (6, 3, 4)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    state = kind.states(ours, batch) if given else None
    leaves = [] if state is None else list(state) if kind.has_cell else [state]
    inputs = [x, *(leaf.requires_grad_() for leaf in leaves)]

    def fed():
        if not form.startswith("packed"):
            return x
        lengths = [6, 3, 1] if form == "packed" else [3, 6, 1]
        return pack_padded_sequence(x, lengths, batch_first=ours.batch_first, enforce_sorted=form == "packed")

    got, want = ours(fed(), state), theirs(fed(), state)
    if form.startswith("packed"):
        for attribute in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            mine, its = getattr(got[0], attribute), getattr(want[0], attribute)
            assert (mine is None and its is None) or torch.equal(mine, its)
    compare(flat(got), flat(want))
    upstream = {name: torch.randn_like(value) for name, value in flat(want).items()}
    compare(_gradients(got, ours, inputs, flat, upstream), _gradients(want, theirs, inputs, flat, upstream))


def test_ties_between_packed_lengths_keep_their_order(kind, compare, flat):
    ours, theirs = kind.pair(4, 5)
    rows = [torch.randn(n, 4, dtype=torch.float64) for n in (2, 5, 2, 5, 2, 2)]
    packed = pack_sequence(rows, enforce_sorted=False)
    compare(flat(ours(packed)), flat(theirs(packed)))


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_same_seed_gives_the_same_dropout(kind, compare, flat, batch_first, torchs_masks):
    ours, theirs = kind.pair(4, 5, num_layers=3, bidirectional=True, dropout=0.4, batch_first=batch_first)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(5)
        results.append(flat(layer(x)))
    compare(*results)
    assert not torch.equal(results[0]["output"], flat(ours(x))["output"])
    compare(flat(ours.eval()(x)), flat(theirs.eval()(x)))


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_float32(kinds, compare, flat, name):
    ours, theirs = kinds[name].pair(4, 33, num_layers=2, dtype=torch.float32)
    x = torch.randn(63, 5, 4)
    compare(flat(ours(x)), flat(theirs(x)), terms=63)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_copies(kind, compare, flat, backend):
    layer = kind.make(4, 5, num_layers=2, initial_state="learned", backend=backend)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    want = flat(layer(x))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        compare(flat(twin(x)), want)
        with torch.no_grad():
            twin.weight_hh_l1.add_(1)
        assert not torch.equal(flat(twin(x))["output"], want["output"])
    compare(flat(layer(x)), want)


def test_functional_call_uses_the_weights_it_is_given(kind, compare, flat):
    layer, other = kind.make(4, 5), kind.make(4, 5)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    compare(flat(torch.func.functional_call(layer, dict(other.named_parameters()), (x,))), flat(other(x)))


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_states_that_are_views_reach_torch_as_memory(kind, monkeypatch, backend):
    """On CUDA torch takes no others, and a learned one is one row spread over the batch."""
    layer = kind.make(4, 5, num_layers=2, initial_state="learned", backend=backend)
    seen = []
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        real = getattr(torch, name)

        def spy(x, states, *rest, real=real):
            seen.extend(states if isinstance(states, list) else [states])
            return real(x, states, *rest)

        monkeypatch.setattr(torch, name, spy)
    layer(torch.randn(6, 3, 4, dtype=torch.float64))
    assert bool(seen) == (backend == "torch")
    assert all(state.is_contiguous() for state in seen)


def test_a_parametrized_weight_is_used(kind, flat):
    layer = kind.make(4, 5)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    before = flat(layer(x))["output"]
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    torch.testing.assert_close(flat(layer(x))["output"], before)
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original0.mul_(2)
    assert not torch.allclose(flat(layer(x))["output"], before)


def test_replaced_weights_are_used(kind, flat):
    layer, other = kind.make(4, 5), kind.make(4, 5)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    for name, parameter in other.named_parameters():
        setattr(layer, name, torch.nn.Parameter(parameter.detach().clone()))
    assert torch.equal(flat(layer(x))["output"], flat(other(x))["output"])


def test_per_sample_gradients(kinds, compare):
    """Vmap over grad, the usual way to them, against one row at a time."""
    layer = kinds["LSTM"].make(4, 5)
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(weights, x):
        return torch.func.functional_call(layer, weights, (x,))[0].pow(2).sum()

    rows = torch.randn(3, 6, 1, 4, dtype=torch.float64)
    got = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, rows)
    for k, row in enumerate(rows):
        compare({n: g[k] for n, g in got.items()}, torch.func.grad(loss)(weights, row))


@pytest.mark.parametrize(
    "keywords", [{}, {"lengths": torch.tensor([6, 0, 2])}, {"reset": torch.arange(18).reshape(6, 3) % 5 == 3}]
)
def test_it_compiles_in_one_graph(kinds, compare, flat, keywords):
    layer = kinds["GRU"].make(4, 5, num_layers=2)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    compare(flat(compiled(x, **keywords)), flat(layer(x, **keywords)))


def test_it_exports(kinds, compare, flat):
    layer = kinds["LSTM"].make(4, 5).eval()
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    exported = torch.export.export(layer, (x,)).module()
    compare(flat(exported(x)), flat(layer(x)))


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("num_steps", [1, 6])
def test_autocast(kinds, name, num_steps, flat):
    layer = kinds[name].make(4, 5, num_layers=2, dtype=torch.float32)
    x = torch.randn(num_steps, 3, 4)
    lengths = [num_steps, 0, 1]
    want = flat(layer(x, lengths=lengths))
    with torch.autocast("cpu", torch.bfloat16):
        first = layer(x, lengths=lengths)
        again = layer(first[0].new_zeros(1, 3, 4), first[1])
    assert {v.dtype for r in (first, again) for v in flat(r).values()} == {torch.bfloat16}
    for key, value in flat(first).items():
        # bfloat16 has 8 bits; each of up to 6 steps in 2 layers rounds a number below 1 a few times.
        torch.testing.assert_close(value.float(), want[key], rtol=0, atol=12 * 2**-8)
    first[0].float().sum().backward()
    assert layer.weight_hh_l0.grad.dtype == torch.float32


@pytest.mark.usefixtures("gloo")
def test_data_parallel(kinds, compare):
    """One process of it: the wrapper sees every parameter, and each gets its gradient."""
    layer = kinds["LSTM"].make(4, 5, num_layers=2, bidirectional=True, initial_state="learned")
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    layer(x, lengths=[6, 0, 2])[0].pow(2).sum().backward()
    want = {name: p.grad.clone() for name, p in layer.named_parameters()}
    layer.zero_grad()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(layer)
        wrapped(x, lengths=[6, 0, 2])[0].pow(2).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    compare({name: p.grad for name, p in layer.named_parameters()}, want)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
def test_cuda(kind, compare, flat, initial_state):
    layer = kind.make(4, 5, num_layers=2, bidirectional=True, initial_state=initial_state)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    want = flat(layer(x, lengths=[6, 0, 2]))
    layer.cuda()
    found = layer(x.cuda(), lengths=[6, 0, 2])
    sum(v.sum() for v in flat(found).values()).backward()
    compare({n: v.cpu() for n, v in flat(found).items()}, want)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_shapes_can_be_asked_for_on_the_device_meta(kinds, name, flat):
    layer = kinds[name].make(4, 5, num_layers=2, bidirectional=True, device="meta")
    x = torch.empty(6, 3, 4, dtype=torch.float64, device="meta")
    reset = torch.zeros(6, 3, dtype=torch.bool)
    for keywords in ({}, {"lengths": [6, 0, 2]}, {"reset": reset}, {"lengths": torch.empty(3).long().to("meta")}):
        found = flat(layer(x, **keywords))
        assert {n: (tuple(v.shape), v.device.type) for n, v in found.items()} == {
            "output": ((6, 3, 10), "meta"),
            **{n: ((4, 3, 5), "meta") for n in found if n != "output"},
        }
    assert layer.explain(x).backend == "torch"
    assert dict(layer.explain(x, reset=reset).others)["torch"].endswith("while compiling or on the device meta")


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_lengths_and_resets_are_mapped(kinds, compare, name):
    """Vmap over sets of sequences that differ in their lengths and resets too."""
    layer = kinds[name].make(4, 5, bidirectional=True)
    x, lengths = torch.randn(2, 6, 3, 4, dtype=torch.float64), torch.tensor([[6, 0, 2], [1, 5, 6]])
    reset = torch.rand(2, 6, 3) < 0.3

    def run(x, lengths, reset):
        return layer(x, lengths=lengths, reset=reset)[0]

    mapped = torch.func.vmap(run)(x, lengths, reset)
    for k in range(2):
        compare({"y": mapped[k]}, {"y": run(x[k], lengths[k], reset[k])})
