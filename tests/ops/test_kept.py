"""Weights that the CPU kernels keep packed: found again while they are the same, and never old, however written."""

import copy
import gc
import itertools
import pickle
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch.nn.utils import parametrize

from recur import engine
from recur.nn import GRU, LSTM, LSTMCell
from recur.ops import Options, _kernels, recurrence
from recur.ops._kept import Kept

T, B, H = 3, 5, 17


def _add_under_no_grad(weight):
    with torch.no_grad():
        weight.add_(1)


def _add_in_inference_mode(weight):
    with torch.inference_mode():
        weight.add_(1)


def _write_one_element(weight):
    with torch.no_grad():
        weight.view(-1)[-1] += 1


def _write_through_data(weight):
    weight.data.add_(1)


def _write_through_detached(weight):
    weight.detach().add_(1)


def _write_through_numpy(weight):
    weight.detach().numpy()[...] += 1


def _write_through_dlpack(weight):
    torch.from_dlpack(weight.detach()).add_(1)


def _write_through_storage(weight):
    torch.tensor([], dtype=weight.dtype).set_(weight.untyped_storage()).add_(1)


def _replace_data(weight):
    weight.data = weight.data + 1


def _replace_data_and_back(weight):
    """Where the first lay, perhaps."""
    shape = weight.shape
    weight.data = torch.zeros(1, dtype=weight.dtype).expand(shape).clone()
    weight.data = torch.ones(shape, dtype=weight.dtype)


def _set(weight):
    with torch.no_grad():
        weight.set_((weight + 1).detach())


def _foreach(weight):
    with torch.no_grad():
        torch._foreach_add_([weight], 1)


def _swap(weight):
    torch.utils.swap_tensors(weight, torch.nn.Parameter(weight.detach() + 1))


def _in_a_child(weight):
    weight.data.add_(1)


def _in_another_process(weight):
    weight.data.share_memory_()
    child = get_context("fork").Process(target=_in_a_child, args=(weight,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def _by_optimizer(make):
    def write(weight):
        optimizer = make([weight])
        weight.grad = torch.randn_like(weight)
        optimizer.step()
        weight.grad = None

    return write


WRITERS = {
    "no_grad": _add_under_no_grad,
    "inference_mode": _add_in_inference_mode,
    "element": _write_one_element,
    "data": _write_through_data,
    "detached": _write_through_detached,
    "numpy": _write_through_numpy,
    "dlpack": _write_through_dlpack,
    "storage": _write_through_storage,
    "new_data": _replace_data,
    "new_data_twice": _replace_data_and_back,
    "set": _set,
    "foreach": _foreach,
    "swap": _swap,
    "process": _in_another_process,
    "sgd": _by_optimizer(lambda weights: torch.optim.SGD(weights, 0.1)),
    "adam": _by_optimizer(lambda weights: torch.optim.Adam(weights, 0.1)),
    "adam_foreach": _by_optimizer(lambda weights: torch.optim.Adam(weights, 0.1, foreach=True)),
    "adam_fused": _by_optimizer(lambda weights: torch.optim.AdamW(weights, 0.1, fused=True)),
    "orthogonal": torch.nn.init.orthogonal_,
}


def _output(layer, x):
    with torch.no_grad():
        return layer(x)[0]


def _anew(layer, x):
    """Without anything kept."""
    return _output(copy.deepcopy(layer), x)


WEIGHTS = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"]
WRITES = [
    pytest.param(write, name, id=f"{how}-{name}")
    for how, write in WRITERS.items()
    for name in WEIGHTS
    if how != "orthogonal" or name.startswith("weight")
]
"""Each way of writing, and the weight; only a matrix can be made orthogonal."""


@pytest.mark.parametrize(("write", "name"), WRITES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_weight_that_is_written_is_seen(write, name, dtype):
    torch.manual_seed(0)
    layer, x = LSTM(4, H, proj_size=6, dtype=dtype).eval(), torch.randn(T, B, 4, dtype=dtype)
    before = _output(layer, x)
    assert torch.equal(_output(layer, x), before)
    write(getattr(layer, name))
    after = _output(layer, x)
    assert not torch.equal(after, before)
    assert torch.equal(after, _anew(layer, x))


def test_weights_that_are_loaded_or_replaced_are_seen():
    layer, other, x = GRU(4, H), GRU(4, H), torch.randn(T, B, 4)
    first = _output(layer, x)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(_output(layer, x), _anew(other, x))
    layer.load_state_dict(GRU(4, H).state_dict(), assign=True)
    assert torch.equal(_output(layer, x), _anew(layer, x))
    assert not torch.equal(_output(layer, x), first)
    layer.weight_hh_l0 = torch.nn.Parameter(layer.weight_hh_l0.detach() * 2)
    assert torch.equal(_output(layer, x), _anew(layer, x))
    with torch.no_grad():
        given = torch.func.functional_call(layer, dict(other.named_parameters()), (x,))[0]
    assert torch.equal(given, _anew(other, x))
    assert torch.equal(_output(layer, x), _anew(layer, x))


def test_weights_that_are_computed_in_each_call_are_seen():
    class Scaled(torch.nn.Module):
        factor = 1.0

        def forward(self, weight):
            return weight * self.factor

    layer, x = LSTM(4, H), torch.randn(T, B, 4)
    scaled = Scaled()
    parametrize.register_parametrization(layer, "weight_hh_l0", scaled)
    first = _output(layer, x)
    scaled.factor = 2.0
    assert not torch.equal(_output(layer, x), first)
    assert torch.equal(_output(layer, x), _anew(layer, x))


def test_training_and_inference_in_turns():
    torch.manual_seed(0)
    layer, x = LSTM(4, H, num_layers=2, bidirectional=True), torch.randn(T, B, 4)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    seen = []
    for _ in range(4):
        layer(x)[0].square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(_output(layer, x))
        assert torch.equal(seen[-1], _anew(layer, x))
        assert torch.equal(seen[-1], layer(x)[0])
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(seen))


def test_other_forms_and_dtypes_in_one_place():
    """What is kept knows of what it was made."""
    torch.manual_seed(0)
    first = LSTM(4, H)
    layers = [
        first,
        LSTM(4, H, bias=False),
        LSTM(4, H, layer_norm=True),
        LSTM(4, H, coupled=True),
        LSTM(4, H, proj_size=H),
        LSTM(4, H).bfloat16(),
        LSTM(4, H, dtype=torch.float64),
        GRU(4, H),
        GRU(4, H, reset_after=False),
    ]
    for layer in layers[1:3]:
        layer.load_state_dict(first.state_dict(), strict=False)
    want = [_anew(layer, torch.ones(T, B, 4, dtype=layer.weight_ih_l0.dtype)) for layer in layers]
    one = Kept()
    for _ in range(2):
        for layer, expected in zip(layers, want, strict=True):
            layer._kept = (one,)
            assert torch.equal(_output(layer, torch.ones(T, B, 4, dtype=layer.weight_ih_l0.dtype)), expected)


def test_the_instruction_set_may_change(monkeypatch):
    layer, x = LSTM(4, H), torch.randn(T, B, 4)
    first = _output(layer, x)
    lowest = "neon" if engine.cpu_features().architecture == "aarch64" else "baseline"
    with monkeypatch.context() as there:
        there.setenv("RECUR_CPU_ISA", lowest)
        torch.testing.assert_close(_output(layer, x), first)
    assert torch.equal(_output(layer, x), first)


def test_what_is_kept_is_used_in_inference_alone(monkeypatch):
    used = []
    kernels = _kernels.kernels()
    make = kernels.KeptWeights32

    class Kernels:
        def __getattr__(self, name):
            if name == "KeptWeights32":
                return lambda: used.append(name) or make()
            return getattr(kernels, name)

    monkeypatch.setattr("recur.ops._kept.kernels", Kernels)
    layer, x = LSTM(4, H, num_layers=2), torch.randn(T, B, 4)
    layer(x)[0].sum().backward()
    layer(x, return_all=True)
    assert used == []
    for _ in range(3):
        _output(layer, x)
    assert len(used) == 2


def test_it_goes_with_the_layer_and_is_not_copied():
    layer, x = LSTM(4, H), torch.randn(T, B, 4)
    size = len(pickle.dumps(layer))
    first = _output(layer, x)
    (kept,) = layer._kept
    assert kept._packed
    assert len(pickle.dumps(layer)) == size
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert copied._kept[0] is not kept
        assert not copied._kept[0]._packed
        assert torch.equal(_output(copied, x), first)
    gone = weakref.ref(kept)
    del layer, kept
    gc.collect()
    assert gone() is None


def test_cells_keep_theirs_and_share_that_of_a_layer():
    layer, x = LSTM(4, H), torch.randn(9, 4)
    for cell in (LSTMCell(4, H), layer.cell()):
        with torch.no_grad():
            first = cell(x)[0]
            assert torch.equal(cell(x)[0], first)
            cell.weight_ih.data.add_(1)
            assert torch.equal(cell(x)[0], copy.deepcopy(cell)(x)[0])
            assert not torch.equal(cell(x)[0], first)
    assert layer.cell()._kept is layer._kept[0]


def test_many_threads_while_the_weights_are_swapped():
    """Each finds the weights of one moment or packs its own."""
    torch.manual_seed(0)
    layers = [LSTM(4, 40), LSTM(4, 40)]
    x = torch.randn(T, B, 4)
    want = [_output(layer, x) for layer in layers]
    one = Kept()
    for layer in layers:
        layer._kept = (one,)

    def run(number):
        return all(torch.equal(_output(layers[(number + k) % 2], x), want[(number + k) % 2]) for k in range(20))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, range(30)))


def test_a_function_keeps_nothing():
    weights = {"weight_ih": torch.randn(H, 4), "weight_hh": torch.randn(H, H)}
    x, h = torch.randn(T, B, 4), torch.zeros(B, H)
    first = recurrence("rnn", x, (h,), weights, options=Options()).output
    weights["weight_hh"].data.mul_(2)
    assert not torch.equal(recurrence("rnn", x, (h,), weights).output, first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_signs_that_change_together_are_seen(dtype):
    """A change of the highest bits of several words: what a fingerprint overlooks most easily."""
    layer = LSTM(128, 64, dtype=dtype).eval()
    x = torch.randn(16, 1, 128, dtype=dtype)
    weight = layer.weight_ih_l0.data.view(-1)
    around = [0, 1, 2, 3, 63, 64, 127, 128, 129, 255, 256, 512]
    for places in itertools.combinations(around, 3):
        before = _output(layer, x)
        for place in places:
            weight[1000 + place].neg_()
        after = _output(layer, x)
        assert not torch.equal(after, before), places
    torch.testing.assert_close(_output(layer, x), _anew(layer, x), rtol=0, atol=0)


def test_training_that_computes_states_again_keeps_nothing():
    layer = LSTM(8, 16, recompute=4)
    layer(torch.randn(16, 4, 8, requires_grad=True))[0].sum().backward()
    assert not any(kept._packed for kept in layer._kept)


def test_a_layer_that_outlives_the_module_is_no_complaint():
    program = (
        "import ctypes, torch; from recur.nn import GRU; layer = GRU(4, 4)\n"
        "with torch.inference_mode(): layer(torch.randn(2, 1, 4))\n"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(layer))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
