"""The CPU kernels among threads, processes and limits of memory; and a library without them."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from recur import engine
from recur.errors import BackendError
from recur.nn import GRU, LSTM, LiGRU
from recur.ops import fallbacks

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="forks are safe on Linux alone")
# Small enough that torch itself stays in one thread, whose own ones do not survive a fork; ours are more than one.
T, B, H = 8, 16, 128


def _layer(threads_wanted=2):
    torch.manual_seed(0)
    torch.set_num_threads(threads_wanted)
    return LSTM(H, H), torch.randn(T, B, H)


def _values(layer, x):
    output, (h, c) = layer(x)
    grads = torch.autograd.grad([output, h, c], list(layer.parameters()), [o.detach() for o in (output, h, c)])
    return [v.detach() for v in (output, h, c, *grads)]


def _is_same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_several_threads_of_python_at_once(threads):
    """Each with other sizes, and so with scratch of its own."""
    threads(2)
    calls = []
    for number in range(6):
        torch.manual_seed(number)
        layer, x = (LSTM, GRU)[number % 2](16 + number, 40 * (number + 1)), torch.randn(20, 9, 16 + number)
        calls.append((layer, x))

    def run(call):
        layer, x = call
        output = layer(x)[0]
        return [output.detach(), *torch.autograd.grad(output.square().sum(), list(layer.parameters()))]

    want = [run(call) for call in calls]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            for found, expected in zip(pool.map(run, calls), want, strict=True):
                assert _is_same(found, expected)


def test_threads_that_share_a_layer(threads):
    threads(1)
    layer, x = _layer(1)
    want, found = _values(layer, x), []
    workers = [threading.Thread(target=lambda: found.append(_values(layer, x))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 4
    assert all(_is_same(each, want) for each in found)


def _in_child(threads_wanted, sender):
    layer, x = _layer(threads_wanted)
    for _ in range(3):
        values = _values(layer, x)
    # By pickle, for torch would share the memory.
    sender.send(pickle.dumps([v.numpy() for v in values]))


@on_linux
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("before", ["kernels", "torch", "nothing"])
def test_a_forked_process_computes_the_same(threads, before):
    """The threads of the parent do not come along, whoever started them; to wait for them would last for ever."""
    layer, x = _layer(2)
    threads(2)
    want = _values(layer, x) if before == "kernels" else None
    if before == "torch":
        torch.randn(1 << 20).exp()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(2, sender))
    child.start()
    try:
        assert receiver.poll(60), "the child does not answer"
        found = [torch.from_numpy(v) for v in pickle.loads(receiver.recv())]
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert _is_same(found, want or _values(layer, x))


class _Features(Dataset):
    """Rows that a recurrent layer made."""

    def __init__(self):
        self.layer, self.x = _layer(1)

    def __len__(self):
        return B

    def __getitem__(self, row):
        torch.set_num_threads(2)
        with torch.no_grad():
            return self.layer(self.x[:, row : row + 1])[0][:, 0].clone()


@on_linux
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_of_a_data_loader(threads):
    threads(2)
    rows = _Features()
    want = rows.layer(rows.x)[0].detach()
    found = torch.cat(list(DataLoader(rows, batch_size=4, num_workers=2, timeout=60)))
    torch.testing.assert_close(found.transpose(0, 1), want, rtol=1e-5, atol=1e-6)


def test_more_threads_than_the_machine_has(threads):
    layer, x = _layer(1)
    want = _values(layer, x)
    threads(64)
    for found, expected in zip(_values(layer, x), want, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@on_linux
def test_without_memory_for_scratch_it_is_an_error_and_the_process_goes_on():
    """One unit a row takes as much scratch as many do."""
    program = """
import resource, torch
from recur.nn import LSTM

torch.set_num_threads(1)
layer, x = LSTM(1, 1), torch.randn(1, 400_000, 1)
few = torch.randn(3, 2, 1)
with torch.no_grad():
    before = layer(few)[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as lines:
        used = int(lines.read().split()[0]) * resource.getpagesize()
    # Room for the tensors, some MB, but not for the scratch, a hundred.
    resource.setrlimit(resource.RLIMIT_AS, (used + (50 << 20), hard))
    for _ in range(3):
        try:
            layer(x)
        except MemoryError:
            print("MemoryError")
        assert torch.equal(layer(few)[0], before)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    output = layer(x)[0]
    assert output.isfinite().all()
    torch.testing.assert_close(output[:, :50], layer(x[:, :50])[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["MemoryError"] * 3


# --- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "functional_call"])
def test_copies_compute_the_same_with_weights_of_their_own(threads, way):
    layer, x = _layer(1)
    want = _values(layer, x)
    if way == "functional_call":
        doubled = {n: 2 * w for n, w in layer.state_dict().items()}
        found = torch.func.functional_call(layer, doubled, (x,))[0]
        other = LSTM(H, H)
        other.load_state_dict(doubled)
        assert torch.equal(found, other(x)[0])
    else:
        twin = copy.deepcopy(layer) if way == "deepcopy" else pickle.loads(pickle.dumps(layer))
        with torch.no_grad():
            twin.weight_hh_l0.zero_()
        assert not _is_same(_values(twin, x), want)
    assert _is_same(_values(layer, x), want)


def test_weights_that_change_are_seen_at_once():
    layer, x = _layer(1)
    with torch.no_grad():
        first = layer(x)[0]
        layer.weight_hh_l0.mul_(2)
        second = layer(x)[0]
        layer.weight_hh_l0.data = layer.weight_hh_l0.data / 2
        assert not torch.equal(first, second)
        assert torch.equal(layer(x)[0], first)


# --- without the module ----------------------------------------------------------------------------------------------


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr(engine, "missing_kernels", lambda: "the compiled module is not there")


@pytest.mark.usefixtures("without_kernels", "no_fallbacks")
def test_without_the_module_the_others_compute_the_same(monkeypatch, caplog):
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    lines = []
    for layer, backend in ((GRU(4, 6), "torch"), (GRU(4, 6, layer_norm=True), "reference"), (LiGRU(4, 6), "reference")):
        layer.double()
        found = layer.explain(x)
        assert found.backend == backend
        assert dict(found.others)["cpu"] == "the compiled module is not there"
        lines.append(f"{backend!r} back end, because 'cpu' refused: the compiled module is not there")
        got = layer(x)[0]
        # Told once.
        layer(x)
        with monkeypatch.context() as there:
            there.setattr(engine, "missing_kernels", lambda: None)
            assert layer.explain(x).backend == "cpu"
            torch.testing.assert_close(layer(x)[0], got, rtol=0, atol=1e-12)
        layer.backend = "cpu"
        with pytest.raises(BackendError, match="'cpu' refused: the compiled module is not there"):
            layer(x)
    told = [record.getMessage() for record in caplog.records]
    assert all(any(line in message for message in told) for line in lines)
    assert len([message for message in told if "'cpu' refused" in message]) == 3
    assert {each.refused for each in fallbacks()} == {"cpu", "torch"}


def test_a_process_without_the_module_trains():
    program = """
import sys, logging
sys.modules["recur._engine"] = None
logging.disable()
import torch
from recur import engine
from recur.nn import LSTM
layer = LSTM(3, 4, peephole=True)
layer(torch.randn(5, 2, 3))[0].sum().backward()
print(layer.explain().backend, all(p.grad is not None for p in layer.parameters()), engine.is_available())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["reference", "True", "False"]


@pytest.mark.parametrize("value", ["avx9", "AVX2"])
def test_a_wrong_cap_is_an_error_of_the_call(monkeypatch, value):
    layer, x = _layer(1)
    monkeypatch.setenv("RECUR_CPU_ISA", value)
    with pytest.raises(ValueError, match=f"^RECUR_CPU_ISA is '{value}', but on .* it must be one of: baseline"):
        layer(x)
    monkeypatch.delenv("RECUR_CPU_ISA")
    assert bool(layer(x)[0].isfinite().all())
