"""The kernels for the CPU in bfloat16, and under autocast to it."""

import pytest
import torch

from recur import engine
from recur.errors import BackendError
from recur.nn import LSTM
from recur.ops import Options, _dispatch

FORMS = {
    "rnn": ("rnn", Options(), 0),
    "gru": ("gru", Options(), 0),
    "gru_before": ("gru", Options(reset_after=False), 0),
    "gru_proj": ("gru", Options(), 9),
    "lstm": ("lstm", Options(), 0),
    "lstm_peephole_proj": ("lstm", Options(coupled=True, peephole=True), 9),
    "indrnn": ("indrnn", Options(), 0),
    "mgu": ("mgu", Options(), 0),
    "ligru": ("ligru", Options(nonlinearity="tanh"), 0),
}

SITUATIONS = {
    "plain": {},
    "lengths": {"lengths": True, "noise": True, "reverse": True},
    "records": {"records": True, "reset": "other", "bias": False},
}

needs_pairs = pytest.mark.skipif(
    engine.missing_kernels() is not None or engine.chosen_isa() not in ("avx512_bf16", "avx512_amx"),
    reason="this processor has no instructions for bfloat16",
)


@pytest.fixture
def make(drawing):
    def make(name, sizes=(6, 9, 21, 35), **keywords):
        kind, options, proj = FORMS[name]
        return drawing.call(kind, options, (*sizes, proj), torch.float32, **keywords)

    return make


def errors(found, truth):
    """How far each result is off, as a part of its size."""
    return {
        name: float((found[name].double() - value).norm() / value.norm().clamp(min=1e-3))
        for name, value in truth.items()
    }


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_result_is_coarser_than_what_it_is_rounded_to_allows(make, name, situation):
    drawn = make(name, **SITUATIONS[situation])
    narrow = drawn.converted(torch.bfloat16)
    truth = narrow.converted(torch.float64).results("reference")
    found, own = narrow.results("cpu"), narrow.results("reference")
    assert {value.dtype for value in found.values()} == {torch.bfloat16}
    off, off_own = errors(found, truth), errors(own, truth)
    for each in truth:
        # Of the reference every intermediate is rounded too; a result itself is, by up to 2^-9.
        assert off[each] <= off_own[each] + 2**-8, f"{each} of {drawn}"


@pytest.mark.parametrize("name", FORMS)
def test_under_autocast_weights_keep_their_numbers_and_their_dtype(make, name):
    drawn = make(name)
    truth = drawn.converted(torch.float64).results("reference")
    with torch.autocast("cpu", torch.bfloat16):
        found = drawn.results("cpu")
    for each, value in found.items():
        assert value.dtype == (torch.float32 if each.startswith("d") else torch.bfloat16), each
    assert max(errors(found, truth).values()) < 0.02


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_few_rows_give_the_same_bits_with_any_number_of_threads(make, name, situation):
    """Threads that share the hidden units cut no sum, in pairs neither."""
    found = []
    for threads in (1, 2, 3, 3):
        torch.manual_seed(0)
        drawn = make(name, sizes=(20, 2, 150, 300), threads=threads, **SITUATIONS[situation])
        found.append(drawn.converted(torch.bfloat16).results("cpu"))
    for other in found[1:]:
        assert all(torch.equal(other[each], value) for each, value in found[0].items())


def test_float64_is_left_alone(make):
    drawn = make("lstm").converted(torch.float64)
    want = drawn.results("cpu")
    with torch.autocast("cpu", torch.bfloat16):
        found = drawn.results("cpu")
    assert all(torch.equal(found[each], value) for each, value in want.items())


@needs_pairs
def test_factors_are_rounded_where_the_processor_gains_by_it(make, monkeypatch):
    drawn = make("lstm")
    narrow = drawn.converted(torch.bfloat16)
    rounded = narrow.results("cpu")
    monkeypatch.setenv("RECUR_CPU_ISA", "avx512")
    whole = narrow.results("cpu")
    wide = narrow.converted(torch.float32).results("cpu")
    assert all(torch.equal(whole[each], value.bfloat16()) for each, value in wide.items())
    assert not torch.equal(rounded["dweight_ih"], whole["dweight_ih"])


def test_float16_is_the_references(make, no_fallbacks):
    drawn = make("gru")
    with torch.autocast("cpu", torch.float16):
        with pytest.raises(BackendError, match=r"float64 and bfloat16, and x is torch.float32 under autocast to torch"):
            drawn.results("cpu")
        assert drawn.outputs("auto")["output"].dtype == torch.float16
    assert {fallback.backend for fallback in _dispatch.fallbacks()} == {"torch"}
    with pytest.raises(BackendError, match=r"float64 and bfloat16, and x is torch.float16"):
        drawn.converted(torch.float16).results("cpu")


def test_a_layer_tells_what_runs():
    layer = LSTM(4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        told = str(layer.explain(torch.randn(5, 3, 4)))
    assert "(cpu, bfloat16)" in told
    assert "cpu        runs" in told


@pytest.mark.slow
def test_compiled():
    torch.manual_seed(0)
    layer = LSTM(12, 20, num_layers=2)
    x = torch.randn(7, 9, 12)

    def run(layer):
        with torch.autocast("cpu", torch.bfloat16):
            output, _ = layer(x)
        return [output, *torch.autograd.grad(output.float().pow(2).sum(), list(layer.parameters()))]

    want = run(layer)
    found = run(torch.compile(layer, fullgraph=True, backend="aot_eager"))
    for one, other in zip(found, want, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


def test_training_comes_as_far_as_in_float32():
    """Remember the first of some inputs: the loss of both goes down alike."""

    def loss(is_narrow):
        torch.manual_seed(2)
        layer, head = LSTM(1, 32), torch.nn.Linear(32, 1)
        optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
        for _ in range(300):
            x = torch.rand(5, 32, 1)
            with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
                output, _ = layer(x)
                found = head(output[-1])
            value = (found.float() - x[0]).pow(2).mean()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        return value.item()

    narrow, full = loss(True), loss(False)
    # The spread of the targets, 1/12, is what one has who knows nothing.
    assert full < 0.01
    assert narrow < 0.01
