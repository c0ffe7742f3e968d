"""What the layers do beyond torch's: lengths, resets, initial states, locked dropout, back ends, clear errors."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from recur import engine
from recur.errors import BackendError
from recur.nn import GRU, LSTM, RNN, RecurrentLayer

OPTIONS = [{}, {"num_layers": 2, "bidirectional": True}, {"num_layers": 2, "bidirectional": True, "batch_first": True}]


def _x(layer, T=6, B=4):
    return torch.randn(*((B, T) if layer.batch_first else (T, B)), 3, dtype=torch.float64)


def _rows_first(layer, output):
    return output if layer.batch_first else output.transpose(0, 1)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("given", [False, True])
def test_each_row_is_as_if_alone(kind, compare, flat, options, given, backend):
    """Padded rows, an empty one among them, against the rows one at a time."""
    layer = kind.make(3, 5, backend=backend, initial_state="learned", **options)
    torch.nn.init.normal_(layer.h_0)
    assert layer.explain().backend == backend
    x, lengths = _x(layer), [2, 0, 6, 1]
    state = kind.states(layer, 4) if given else None
    output, *_ = layer(x, state, lengths=lengths)
    together = flat(layer(x, state, lengths=lengths))
    rows = _rows_first(layer, output)
    for k, length in enumerate(lengths):
        assert bool((rows[k, length:] == 0).all())
        if not length:
            continue
        part = None if state is None else tuple(s[:, k] for s in state) if kind.has_cell else state[:, k]
        alone = flat(layer(_rows_first(layer, x)[k, :length], part))
        finals = {n: v[:, k] for n, v in together.items() if n != "output"}
        compare({"output": rows[k, :length], **finals}, alone)


@pytest.mark.parametrize("options", OPTIONS)
def test_an_empty_row_keeps_its_initial_state(kind, compare, flat, options):
    layer = kind.make(3, 5, **options)
    state = kind.states(layer, 4)
    found = flat(layer(_x(layer), state, lengths=[0, 0, 0, 0]))
    want = dict(zip(("h_n", "c_n"), state if kind.has_cell else (state,), strict=False))
    compare(found, {"output": torch.zeros_like(found["output"]), **want})


def test_every_form_of_lengths_is_the_same(kind, compare, flat):
    layer = kind.make(3, 5)
    x = _x(layer)
    want = flat(layer(x, lengths=[2, 0, 6, 1]))
    for lengths in ((2, 0, 6, 1), torch.tensor([2, 0, 6, 1]), torch.tensor([2, 0, 6, 1], dtype=torch.int32)):
        compare(flat(layer(x, lengths=lengths)), want)
    compare(flat(layer(x, lengths=[6] * 4)), flat(layer(x)))
    compare(flat(layer(x[:, 0], lengths=[4])), {n: v[:, 0] for n, v in flat(layer(x[:, :1], lengths=[4])).items()})


def test_lengths_are_packing(kind, compare, flat):
    layer = kind.make(3, 5, num_layers=2, bidirectional=True)
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 6, 1)]
    padded = torch.nn.utils.rnn.pad_sequence(rows, padding_value=7)
    output, final = layer(pack_sequence(rows, enforce_sorted=False))
    output = torch.nn.utils.rnn.pad_packed_sequence(output)[0]
    compare(flat(layer(padded, lengths=[2, 6, 1])), flat((output, final)))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_resets_keep_documents_apart_in_both_directions(kind, compare, flat, options, backend):
    """A stream of documents with resets where they begin gives what the documents give one by one."""
    layer = kind.make(3, 5, backend=backend, initial_state="learned", **options)
    torch.nn.init.normal_(layer.h_0)
    sizes = [3, 1, 4]
    x = _x(layer, T=sum(sizes), B=2)
    reset = torch.zeros(x.shape[:2], dtype=torch.bool)
    _rows_first(layer, reset)[:, [0, 3, 4]] = True
    # A second layer reads the first one's outputs of both directions, so this holds for the stack as well.
    axis = 1 if layer.batch_first else 0
    documents = [flat(layer(part))["output"] for part in x.split(sizes, axis)]
    compare({"y": flat(layer(x, reset=reset))["output"]}, {"y": torch.cat(documents, axis)})


def test_a_reset_of_one_sequence(kind, compare, flat):
    layer = kind.make(3, 5)
    x, reset = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 1, 0, 0, 0], dtype=torch.bool)
    compare({"y": flat(layer(x, reset=reset))["output"][2:]}, {"y": flat(layer(x[2:]))["output"]})


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
@pytest.mark.parametrize("at", [0, 2])
def test_a_reset_goes_back_to_the_layers_own_state(kind, compare, flat, backend, initial_state, at):
    layer = kind.make(3, 5, backend=backend, initial_state=initial_state)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x, state = _x(layer), kind.states(layer, 4)
    reset = torch.zeros(6, 4, dtype=torch.bool)
    reset[at] = True
    found, late = flat(layer(x, state, reset=reset)), flat(layer(x[at:]))
    if at:
        late["output"] = torch.cat([flat(layer(x[:at], state))["output"], late["output"]])
    compare(found, late)


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
@pytest.mark.parametrize("middle", [1, 3, 4])
def test_halves_with_resets_and_the_state_carried_give_the_whole(kind, compare, flat, backend, middle):
    layer = kind.make(3, 5, num_layers=2, backend=backend, initial_state="learned")
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x, state, reset = _x(layer), kind.states(layer, 4), torch.rand(6, 4) < 0.3
    reset[3, 0] = True
    _, carried = first = layer(x[:middle], state, reset=reset[:middle])
    second = flat(layer(x[middle:], carried, reset=reset[middle:]))
    second["output"] = torch.cat([flat(first)["output"], second["output"]])
    compare(flat(layer(x, state, reset=reset)), second)


@pytest.mark.parametrize("T", [1, 6])
def test_the_learned_state_is_learned_and_a_given_one_wins(kind, compare, flat, T):
    layer = kind.make(3, 5, num_layers=2, initial_state="learned")
    names = ["h_0", "c_0"] if kind.has_cell else ["h_0"]
    assert list(layer.state_dict())[-len(names) :] == names
    assert all(bool((getattr(layer, n) == 0).all()) for n in names)
    x = _x(layer, T)
    plain = kind.make(3, 5, num_layers=2)
    plain.load_state_dict({n: p for n, p in layer.state_dict().items() if n not in names})
    compare(flat(layer(x)), flat(plain(x)))
    for name in names:
        torch.nn.init.normal_(getattr(layer, name))
    parts = tuple(getattr(layer, n)[:, None].expand(-1, 4, -1) for n in names)
    compare(flat(layer(x)), flat(plain(x, parts if kind.has_cell else parts[0])))
    state = kind.states(layer, 4)
    compare(flat(layer(x, state)), flat(plain(x, state)))
    output, _ = layer(x)
    output.pow(2).sum().backward()
    assert all(bool((getattr(layer, n).grad.abs().sum(1) > 0).all()) for n in names)


def test_a_learned_state_draws_nothing(kind):
    torch.manual_seed(0)
    layer = kind.make(3, 5, initial_state="learned")
    after = torch.rand(1)
    torch.manual_seed(0)
    plain = kind.make(3, 5)
    assert torch.equal(torch.rand(1), after)
    assert all(torch.equal(p, dict(layer.named_parameters())[n]) for n, p in plain.named_parameters())


def test_stepping_is_the_whole(kind, compare, flat):
    layer = kind.make(3, 5, num_layers=2).eval()
    x = _x(layer)
    want = flat(layer(x))
    for wrap in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        state, outputs = None, []
        with wrap():
            for step in x:
                output, state = layer(step[None], state)
                outputs.append(output)
            compare(flat((torch.cat(outputs), state)), {n: v.detach() for n, v in want.items()})


def test_locked_dropout_keeps_its_mask_over_the_steps(kinds):
    layer = RNN(3, 40, num_layers=2, dropout=0.5, locked_dropout=True, nonlinearity="relu", bias=False)
    with torch.no_grad():
        # The second layer passes its input on, so what it says shows which units were dropped.
        layer.weight_ih_l0.abs_()
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l1.copy_(torch.eye(40))
        layer.weight_hh_l1.zero_()
    x = torch.rand(6, 3, 3) + 0.1
    output, _ = layer(x)
    dropped = output == 0
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert 20 < int(dropped[0].sum()) < 100
    assert not torch.equal(dropped[0, 0], dropped[0, 1])
    assert int((layer.eval()(x)[0] == 0).sum()) == 0
    layer.train().locked_dropout = False
    each = layer(x)[0] == 0
    assert not torch.equal(each, each[:1].expand_as(each))


@pytest.mark.parametrize("backend", ["cpu", "torch", "reference"])
def test_every_back_end_draws_the_same_dropout(kind, compare, flat, backend):
    layer = kind.make(3, 5, num_layers=2, dropout=0.5, backend=backend)
    x = _x(layer)
    torch.manual_seed(7)
    got = flat(layer(x))
    layer.backend = "auto"
    torch.manual_seed(7)
    compare(got, flat(layer(x)))


def test_explain(kind, flat):
    layer = kind.make(3, 5, dtype=torch.float32)
    x = torch.randn(6, 4, 3)
    assert str(layer.explain()) == (
        f"{kind.name} (cpu, float32):\n  cpu        runs\n  torch      not needed: 'cpu' comes first\n"
        "  reference  not needed: 'cpu' comes first"
    )
    lengths, reset = [6, 0, 1, 2], torch.zeros(6, 4, dtype=torch.bool)
    assert layer.explain(x, lengths=lengths, reset=reset).situation == "cpu, float32, lengths, reset"
    assert layer.explain(pack_sequence([x[:, 0], x[:2, 1]])).situation == "cpu, float32, lengths"
    forced = kind.make(3, 5, backend="reference").explain()
    assert forced.backend == "reference"
    assert forced.others == tuple((name, "not asked for: backend='reference'") for name in ("cpu", "torch"))


# Torch has no fast code for its own projections.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
def test_explain_tells_of_the_slowest_of_layers_that_differ(monkeypatch):
    layer = LSTM(4, [16, 8], proj_size=10)
    assert layer.explain().situation == "cpu, float32"
    monkeypatch.setattr(engine, "missing_kernels", lambda: "it was not built")
    found = layer.explain()
    assert (found.backend, found.situation) == ("reference", "cpu, float32, layers[1]")
    assert dict(found.others)["cpu"] == "it was not built"
    assert "projections" in dict(found.others)["torch"]
    layer.backend = "torch"
    assert layer.explain().backend is None
    with pytest.raises(BackendError, match="takes projections to fewer than hidden_size"):
        layer(torch.zeros(3, 2, 4))
    assert LSTM(4, [16, 8]).explain().situation == "cpu, float32"


def test_explain_tells_what_happens_under_a_transform(kind, monkeypatch):
    layer = kind.make(3, 5)
    seen = []

    def run(x):
        seen.append(layer.explain(x))
        return layer(x)[0]

    torch.func.vmap(run)(torch.randn(2, 6, 4, 3, dtype=torch.float64))
    assert seen[0].backend == "cpu"
    layer.backend = "reference"
    torch.func.vmap(run)(torch.randn(2, 6, 4, 3, dtype=torch.float64))
    assert seen[1].backend == "reference"
    layer.backend = "auto"
    monkeypatch.setattr(engine, "missing_kernels", lambda: "they were not built")
    torch.func.vmap(run)(torch.randn(2, 6, 4, 3, dtype=torch.float64))
    assert seen[2].backend == "reference"
    assert "torch.func" in dict(seen[2].others)["torch"]
    layer.backend = "torch"
    with pytest.raises(BackendError, match=f"^{kind.name}: 'torch' refused: "):
        torch.func.vmap(run)(torch.randn(2, 6, 4, 3, dtype=torch.float64))


def test_repr():
    assert repr(LSTM(3, 5)) == "LSTM(3, 5)"
    layer = LSTM(3, 5, 2, bias=False, dropout=0.5, proj_size=2, initial_state="learned", backend="torch")
    assert repr(layer) == (
        "LSTM(3, 5, num_layers=2, bias=False, dropout=0.5, proj_size=2, initial_state='learned', backend='torch')"
    )
    assert repr(RNN(3, 5, nonlinearity="relu", bidirectional=True, batch_first=True)) == (
        "RNN(3, 5, nonlinearity='relu', batch_first=True, bidirectional=True)"
    )


BAD_OPTIONS = [
    ({"input_size": 0}, ValueError, r"LSTM: input_size is 0, but must be at least 1\."),
    ({"hidden_size": 2.0}, TypeError, r"LSTM: hidden_size must be an int, but is float\."),
    ({"num_layers": True}, TypeError, r"LSTM: num_layers must be an int, but is bool\."),
    ({"bias": 1}, TypeError, r"LSTM: bias must be a bool, but is int\."),
    ({"dropout": "0"}, TypeError, r"LSTM: dropout must be a number, but is str\."),
    ({"dropout": 1.5}, ValueError, r"LSTM: dropout is 1\.5, but must be from 0 to 1\."),
    ({"proj_size": -1}, ValueError, r"LSTM: proj_size is -1, but must be at least 0\."),
    (
        {"initial_state": "ones"},
        ValueError,
        r"LSTM: initial_state is 'ones', but must be one of 'zeros', 'learned', 'context'\.",
    ),
    (
        {"backend": "cuda"},
        ValueError,
        r"LSTM: there is no back end 'cuda'. Choose one of 'auto', 'cpu', 'torch', 'reference'",
    ),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD_OPTIONS)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=f"^{text}"):
        LSTM(**{"input_size": 8, "hidden_size": 4, **options})


def test_a_bad_nonlinearity():
    with pytest.raises(ValueError, match=r"^RNN: nonlinearity is 'gelu', but must be 'tanh', 'relu' or a function\.$"):
        RNN(8, 4, nonlinearity="gelu")


def test_dropout_without_a_second_layer_warns():
    with pytest.warns(UserWarning, match=r"^GRU: dropout=0\.5 does nothing, because it acts between layers") as caught:
        GRU(8, 4, dropout=0.5)
    assert caught[0].filename == __file__


def _hx(*shape, **options):
    return (torch.zeros(*shape, **options), torch.zeros(1, 2, 4))


BAD_CALLS = [
    (
        {"x": torch.zeros(3, 2, 7)},
        ValueError,
        r"LSTM: x has 7 features but input_size is 8. Pass input_size=7, or give x of shape \(T, B, 8\)\.",
    ),
    (
        {"x": torch.zeros(3, 2, 8, 1)},
        ValueError,
        r"LSTM: x has 4 dimensions, \(3, 2, 8, 1\). Give \(T, B, 8\), or \(T, 8\) for one sequence\.",
    ),
    ({"x": [1]}, TypeError, r"LSTM: x\[0\] must be a torch.Tensor, but is int\."),
    (
        {"x": torch.zeros(3, 2, 8, dtype=torch.int64)},
        TypeError,
        r"LSTM: x is torch.int64, but the layer is torch.float32. Convert it with x.to\(torch.float32\)\.",
    ),
    ({"x": torch.zeros(3, 2, 8, device="meta")}, ValueError, r"LSTM: x is on meta, but the layer is on cpu. Move it"),
    ({"x": torch.zeros(0, 2, 8)}, ValueError, r"LSTM: x has no steps; give at least one\."),
    ({"x": torch.zeros(3, 0, 8)}, ValueError, r"LSTM: x has no rows; give at least one\."),
    ({"hx": torch.zeros(1, 2, 4)}, TypeError, r"LSTM: hx must be the pair \(h_0, c_0\), but is Tensor\."),
    ({"hx": (None, torch.zeros(1, 2, 4))}, TypeError, r"LSTM: h_0 must be a torch.Tensor, but is NoneType\."),
    ({"hx": _hx(2, 4)}, ValueError, r"LSTM: h_0 must have shape \(L\*D, B, H\) = \(1, 2, 4\), but has \(2, 4\)\."),
    ({"hx": _hx(1, 2, 4, dtype=torch.float64)}, TypeError, r"LSTM: h_0 is torch.float64, but the layer is torch.float"),
    ({"lengths": [3]}, ValueError, r"LSTM: lengths must have shape \(2,\), one for each row, but has \(1,\)\."),
    ({"lengths": [3, 4]}, ValueError, r"LSTM: lengths has 4, but x has 3 steps\."),
    ({"lengths": [3, -1]}, ValueError, r"LSTM: lengths has -1; a length is at least 0\."),
    ({"lengths": [3.0, 1.0]}, TypeError, r"LSTM: lengths must be whole numbers, but is torch.float32\."),
    ({"lengths": ["3", "1"]}, TypeError, r"LSTM: lengths must be a tensor or a list of whole numbers"),
    ({"reset": torch.zeros(3, 2)}, TypeError, r"LSTM: reset must be a torch.bool tensor, but is torch.float32\."),
    (
        {"reset": torch.zeros(2, 3, dtype=torch.bool)},
        ValueError,
        r"LSTM: reset must have shape \(T, B\) = \(3, 2\), but has \(2, 3\)\.",
    ),
    (
        {"x": pack_sequence([torch.zeros(3, 8)]), "lengths": [3]},
        ValueError,
        r"LSTM: a PackedSequence has its own lengths; leave lengths out\.",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), BAD_CALLS)
def test_bad_calls(call, error, text):
    with pytest.raises(error, match=f"^{text}"):
        LSTM(8, 4)(**{"x": torch.zeros(3, 2, 8), **call})


def test_bad_calls_name_the_form_that_the_layer_takes():
    with pytest.raises(ValueError, match=r"or give x of shape \(B, T, 8\)\.$"):
        GRU(8, 4, batch_first=True)(torch.zeros(2, 3, 7))
    with pytest.raises(ValueError, match=r"^GRU: reset must have shape \(B, T\) = \(2, 3\), but has \(3, 2\)\.$"):
        GRU(8, 4, batch_first=True)(torch.zeros(2, 3, 8), reset=torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"^GRU: h_0 must have shape \(L\*D, H\) = \(1, 4\), but has \(1, 1, 4\)\.$"):
        GRU(8, 4)(torch.zeros(3, 8), torch.zeros(1, 1, 4))
    with pytest.raises(TypeError, match=r"^GRU: hx must be the tensor h_0, but is tuple\.$"):
        GRU(8, 4)(torch.zeros(3, 2, 8), (torch.zeros(1, 2, 4),) * 2)


def test_the_base_class_is_the_kinds_parent():
    assert all(issubclass(kind, RecurrentLayer) for kind in (RNN, GRU, LSTM))
