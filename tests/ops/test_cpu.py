"""The kernels for the CPU against the reference: values, final states, records and all gradients."""

import platform

import pytest
import torch

from recur import engine
from recur.ops import Options, _cpu

CASES_OF_A_BLOCK = 250
ISAS = ["baseline", "avx2", "avx512"] if platform.machine() in ("x86_64", "AMD64") else ["baseline"]

SITUATIONS = {
    "plain": {},
    "lengths": {"lengths": True, "sizes": (6, 5, 3, 5)},
    "reset": {"reset": "own", "reverse": True, "bias": False},
    "reset_state": {"reset": "other", "lengths": True, "reverse": True},
    "noise": {"noise": True, "sizes": (5, 4, 3, 16)},
    "noise_lengths": {"noise": True, "lengths": True, "reset": "other", "strided": True},
    "records": {"records": True, "strided": True},
    "everything": {
        "records": True,
        "lengths": True,
        "reset": "own",
        "noise": True,
        "threads": 2,
        "sizes": (7, 9, 70, 33),
    },
    "chunks": {"lengths": True, "threads": 2, "sizes": (150, 3, 17, 33)},
    "chunks_in_reverse": {"lengths": True, "reset": "other", "reverse": True, "noise": True, "sizes": (140, 2, 5, 9)},
    "many_rows": {"sizes": (2, 270, 5, 7), "threads": 3},
    "more_threads_than_rows": {"sizes": (9, 2, 80, 100), "threads": 8},
    "few_rows": {"lengths": True, "threads": 3, "sizes": (6, 2, 150, 300)},
    "few_rows_with_everything": {
        "records": True,
        "lengths": True,
        "reset": "other",
        "reverse": True,
        "noise": True,
        "strided": True,
        "threads": 2,
        "sizes": (5, 1, 150, 300),
    },
    "one_of_all": {"sizes": (1, 1, 1, 1), "reset": "other"},
}
"""What a call is like beside its form; sizes are T, B, I, H."""

FORMS = [
    "rnn", "rnn_relu_clip_proj", "rnn_norm", "rnn_proj", "gru", "gru_clip", "gru_norm_proj", "gru_before",
    "gru_before_norm_clip", "lstm", "lstm_clip_proj", "lstm_peephole", "lstm_coupled_clip", "lstm_norm",
    "lstm_peephole_norm_clip_proj", "lstm_all_clip_proj", "indrnn", "indrnn_relu_norm", "mgu", "mgu_norm_clip",
    "ligru_relu", "ligru_norm_proj",
]  # fmt: skip


# Without functions whose slope jumps: there two roundings may part.
SMOOTH = [name for name in FORMS if "clip" not in name and "relu" not in name]


@pytest.fixture
def isa(monkeypatch):
    """Cap the instruction set of the kernels."""

    def cap(name):
        monkeypatch.setenv("RECUR_CPU_ISA", name)
        if engine.chosen_isa() != name:
            pytest.skip(f"this processor has no {name}")

    return cap


@pytest.fixture
def same(compare):
    """Raise unless two results in float64 are the same, whatever the order of their sums."""

    def check(got, want):
        # Sums of 10^4 terms, and normalising by a spread of 10^-2.5, make of a rounding of 10^-16 less than 10^-10 of
        # the largest element.
        compare(got, want, terms=int(1e-10 / torch.finfo(torch.float64).eps))

    return check


@pytest.fixture
def is_accurate():
    """Raise unless float32 is about as near to float64 as the reference in float32 is."""

    def check(drawn):
        got, own = drawn.results("cpu"), drawn.results("reference")
        truth = drawn.converted(torch.float64).results("reference")
        assert got.keys() == truth.keys()

        def error(found, name):
            size = max(1.0, float(truth[name].abs().max())) if truth[name].numel() else 1.0
            away = torch.nan_to_num((found[name].double() - truth[name]).abs(), nan=torch.inf)
            return float(away.max()) / size if away.numel() else 0.0

        # A normalised product is divided by a spread of at least sqrt(1e-5), which multiplies a rounding by up to 316.
        roundings = 316 if drawn.options.layer_norm else 16
        limit = 4 * max(error(own, name) for name in truth) + roundings * torch.finfo(torch.float32).eps
        for name in truth:
            assert error(got, name) <= limit, f"{name} is off by {error(got, name):.3g}, allowed {limit:.3g}: {drawn}"

    return check


@pytest.fixture
def check(drawing, same, is_accurate):
    """Hold a call to the reference, after memory that is used again has been filled with NaN."""

    def hold(drawn):
        drawn.poisoned().results("cpu")
        if drawn.leaves["x"].dtype == torch.float32:
            is_accurate(drawn)
            return
        try:
            same(drawn.results("cpu"), drawn.results("reference"))
        except AssertionError as error:
            raise AssertionError(f"{error}, of {drawn}") from None

    return hold


def _call(drawing, name, dtype=torch.float64, *, sizes=(7, 5, 3, 5), **situation):
    kind, options, proj = drawing.FORMS[name]
    return drawing.call(kind, options, (*sizes, proj), dtype, **situation)


def test_all_forms_are_in_the_list(drawing):
    assert list(drawing.FORMS) == FORMS


def test_memory_is_poisoned(poison):
    like = torch.zeros(2)
    for made in (torch.empty(5), like.new_empty(5), torch.empty_like(like)):
        assert bool(made.isnan().all())


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", FORMS)
def test_it_is_the_reference(drawing, check, poison, name, situation):
    check(_call(drawing, name, **SITUATIONS[situation]))


@pytest.mark.parametrize("situation", ["everything", "chunks", "noise_lengths"])
@pytest.mark.parametrize("name", SMOOTH)
def test_it_is_the_reference_in_float32(drawing, check, poison, name, situation):
    check(_call(drawing, name, torch.float32, **SITUATIONS[situation]))


@pytest.mark.parametrize("cap", ISAS)
@pytest.mark.parametrize("name", FORMS)
def test_every_instruction_set(drawing, check, poison, isa, name, cap):
    isa(cap)
    check(_call(drawing, name, **SITUATIONS["everything"]))
    check(_call(drawing, name, **SITUATIONS["reset_state"]))


@pytest.mark.parametrize("cap", ISAS)
@pytest.mark.parametrize("H", [1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 64, 65, 100])
def test_widths_around_those_of_vectors(drawing, check, poison, isa, cap, H):
    """Of inputs, units and outputs, and numbers of rows around those of a block."""
    isa(cap)
    for number, name in enumerate(("lstm_peephole_norm_clip_proj", "gru", "gru_before", "indrnn")):
        kind, options, proj = drawing.FORMS[name]
        for B in (1, 2, 5, 6, 7, 13):
            sizes = (2, B, (H + number) % 40 + 1, H, (H + 3 * number) % 19 + 1 if proj else 0)
            check(drawing.call(kind, options, sizes, lengths=B % 2 == 0))


@pytest.mark.parametrize("name", ["lstm", "gru_before", "rnn_proj"])
def test_chunks_of_many_units(drawing, check, poison, name):
    """From 512 units on a chunk has more rows."""
    check(_call(drawing, name, sizes=(40, 9, 3, 513), lengths=True, threads=2))


@pytest.mark.parametrize("threads_", [1, 3])
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_before"])
def test_one_step_of_large_weights(drawing, check, poison, name, threads_):
    """They are not packed for it, and threads share the units of as many rows as there are."""
    check(_call(drawing, name, sizes=(1, 13, 5, 821), lengths=True, threads=threads_))


@pytest.mark.parametrize("sizes", [(3, 2, 0, 4), (3, 2, 4, 0), (3, 2, 0, 0)])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "mgu"])
def test_sizes_of_zero(drawing, check, poison, kind, sizes):
    check(drawing.call(kind, Options(), (*sizes, 0)))


@pytest.mark.parametrize("block", range(8))
def test_drawn_calls(drawing, check, poison, block):
    for number in range(25 * block, 25 * (block + 1)):
        check(_drawn(drawing, number))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10_000 // CASES_OF_A_BLOCK))
def test_ten_thousand_drawn_calls(drawing, check, poison, isa, block):
    isa(ISAS[-1] if block % 2 else ISAS[block // 2 % len(ISAS)])
    for number in range(CASES_OF_A_BLOCK * block, CASES_OF_A_BLOCK * (block + 1)):
        check(_drawn(drawing, number))


@pytest.mark.parametrize("cap", ISAS)
def test_drawn_calls_on_every_instruction_set(drawing, check, poison, isa, cap):
    isa(cap)
    for number in range(200, 240):
        check(_drawn(drawing, number))


@pytest.mark.parametrize("way", ["operator", "segments"])
@pytest.mark.parametrize("block", range(2))
def test_drawn_calls_in_other_ways(drawing, check, poison, monkeypatch, way, block):
    """As an operator of torch, and segment by segment."""
    honest, taken = _cpu.Cpu.run, []
    if way == "operator":
        monkeypatch.setattr(_cpu, "has_values", lambda _: False)
        monkeypatch.setattr(_cpu._operators, "run", _counted(taken, _cpu._operators.run))
    else:
        monkeypatch.setattr(_cpu.Segments, "apply", _counted(taken, _cpu.Segments.apply))
    for number in range(300 + 40 * block, 340 + 40 * block):

        def run(self, call, number=number):
            return honest(self, call._replace(recompute=None if way == "operator" else 1 + number % 4))

        monkeypatch.setattr(_cpu.Cpu, "run", run)
        check(_drawn(drawing, number))
    assert len(taken) >= 10


def _counted(taken, function):
    def counted(*arguments):
        taken.append(None)
        return function(*arguments)

    return counted


def _drawn(drawing, number):
    """One in four in float32, there without jumps, at which two roundings may part."""
    return drawing.draw(number, torch.float32, has_edges=False) if number % 4 == 3 else drawing.draw(number)


def test_the_drawn_calls_are_of_every_sort(drawing):
    """Else the suite above would go blind unseen."""
    drawn = [drawing.draw(number) for number in range(200)]
    assert {each.kind for each in drawn} == {"rnn", "gru", "lstm", "indrnn", "mgu", "ligru"}
    for name, default in Options._field_defaults.items():
        if name != "projected":
            assert {getattr(each.options, name) for each in drawn} > {default}, name
    assert any("weight_hr" in each.leaves for each in drawn)
    assert any(0 in each.keywords["lengths"].tolist() for each in drawn if "lengths" in each.keywords)
    assert any(not each.leaves["x"].is_contiguous() for each in drawn)
    assert any(0 in each.leaves["h0"].stride() for each in drawn)
    assert any(0 in each.upstream["output"].stride() for each in drawn if "output" in each.upstream)
    assert {each.threads for each in drawn} == {1, 2, 3, 8}
    assert max(each.leaves["x"].shape[0] for each in drawn) > 128
    assert max(each.leaves["x"].shape[1] for each in drawn) > 128


def test_the_comparison_can_fail(drawing, check, monkeypatch):
    """One gradient, one gate that is wrong, one element that is never written."""
    drawn = _call(drawing, "lstm", records=True)
    honest = drawing.Drawn.results
    for name in ("dweight_hh", "record i", "output"):
        for wrong in (1 + 1e-8, torch.nan):

            def results(self, backend, name=name, wrong=wrong):
                found = honest(self, backend)
                if backend == "cpu":
                    found[name] = found[name].clone()
                    found[name].flatten()[-1] *= wrong
                return found

            monkeypatch.setattr(drawing.Drawn, "results", results)
            with pytest.raises(AssertionError, match=rf"^{name}\["):
                check(drawn)


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_float32_is_at_most_twice_as_far_from_float64_as_torch(drawing, kind):
    """In the root of the mean square over all elements and ten draws, each against its largest."""
    squares = {"cpu": {}, "torch": {}}
    for seed in range(10):
        torch.manual_seed(seed)
        drawn = drawing.call(kind, Options(), (60, 8, 32, 64, 0), torch.float32)
        truth = drawn.converted(torch.float64).results("reference")
        for backend, found in squares.items():
            for name, value in drawn.results(backend).items():
                away = (value - truth[name]) / truth[name].abs().max()
                found[name] = found.get(name, 0.0) + float(away.square().mean())
    for name, square in squares["cpu"].items():
        assert square <= 2**2 * squares["torch"][name], name


# The square of what is huge is still finite, for layer normalisation takes it.
SPECIAL = {"inf": float("inf"), "minus_inf": -float("inf"), "nan": float("nan"), "huge": 1e17, "tiny": 1e-41}


@pytest.mark.parametrize("cap", ISAS)
@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.parametrize("name", FORMS)
def test_numbers_that_are_none_go_on_as_in_the_reference(drawing, isa, name, what, cap):
    """In one input: which elements become infinite or NaN, in outputs and gradients, and that no others do."""
    isa(cap)
    drawn = _call(drawing, name, torch.float32, sizes=(4, 3, 3, 18))
    drawn.leaves["x"][1, 1, 1] = SPECIAL[what]
    got, want = drawn.results("cpu"), drawn.results("reference")
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4, equal_nan=True)
    if what == "nan":
        assert bool(got["output"][1:, 1].isnan().all())
    assert bool(got["output"][:, ::2].isfinite().all()), "another row was touched"


@pytest.mark.parametrize("name", FORMS)
def test_huge_weights_saturate(drawing, name):
    drawn = _call(drawing, name, torch.float32, sizes=(5, 3, 3, 18))
    # A rectified state has no bound.
    drawn.options = drawn.options._replace(nonlinearity="tanh")
    for key in ("weight_ih", "weight_hh"):
        drawn.leaves[key] *= 1e18
    drawn.wanted = ()
    got, want = drawn.results("cpu"), drawn.results("reference")
    for key, value in want.items():
        assert bool(value.isfinite().all())
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_denormal_numbers_stay(drawing, dtype):
    tiny = torch.finfo(dtype).tiny / 64
    drawn = _call(drawing, "rnn", dtype, sizes=(3, 2, 1, 1), bias=False)
    drawn.options = Options(nonlinearity="relu")
    drawn.leaves["x"] = torch.full((3, 2, 1), tiny, dtype=dtype)
    drawn.leaves["h0"] = torch.zeros(2, 1, dtype=dtype)
    drawn.leaves["weight_ih"] = drawn.leaves["weight_hh"] = torch.ones(1, 1, dtype=dtype)
    found = drawn.results("cpu")["output"]
    assert found[:, 0, 0].tolist() == [tiny, 2 * tiny, 3 * tiny]
    assert 0 < tiny < torch.finfo(dtype).tiny


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_that_vanishes_skips_denormal_numbers(drawing, dtype, batch, threads):
    tiny = torch.finfo(dtype).tiny
    drawn = _call(drawing, "rnn", dtype, sizes=(40, batch, 64, 64), bias=False, threads=threads)
    drawn.leaves["weight_ih"] = torch.eye(64, dtype=dtype)
    # Each step back makes the gradient smaller, and the last eight steps are below the smallest normal number.
    drawn.leaves["weight_hh"] = torch.eye(64, dtype=dtype) * tiny ** (1 / 32)
    drawn.leaves["x"], drawn.leaves["h0"] = (torch.zeros_like(drawn.leaves[name]) for name in ("x", "h0"))
    drawn.upstream = {"output": torch.zeros(40, batch, 64, dtype=dtype)}
    drawn.upstream["output"][-1] = 1
    found, expected = (drawn.results(backend)["dx"] for backend in ("cpu", "reference"))
    is_denormal = (expected != 0) & (expected < tiny)
    assert bool(is_denormal.any())
    torch.testing.assert_close(found, expected.masked_fill(is_denormal, 0), rtol=1e-5, atol=0)
    assert torch.tensor(tiny, dtype=dtype) / 2 > 0, "the thread that called has denormal numbers as before"


@pytest.mark.parametrize("threads_", [1, 2, 3])
@pytest.mark.parametrize("name", ["lstm", "gru_norm_proj", "gru_before", "indrnn"])
def test_the_same_number_of_threads_gives_the_same_bits(drawing, name, threads_):
    drawn = _call(drawing, name, torch.float32, sizes=(40, 11, 33, 50), lengths=True, threads=threads_)
    first = drawn.results("cpu")
    for _ in range(4):
        again = drawn.results("cpu")
        assert all(torch.equal(again[key], value) for key, value in first.items())


@pytest.mark.parametrize("name", ["rnn", "gru", "gru_before", "lstm", "lstm_coupled_clip", "mgu", "ligru_relu"])
def test_few_rows_give_the_same_bits_with_any_number_of_threads(drawing, name):
    """Each thread has some hidden units of all rows, so that no sum is cut; with a thread for each row it would be."""
    found = []
    for count in (1, 2, 3, 3):
        torch.manual_seed(0)
        drawn = _call(drawing, name, torch.float32, sizes=(20, 2, 150, 300), lengths=True, threads=count)
        found.append(drawn.results("cpu"))
    for other in found[1:]:
        assert all(torch.equal(other[key], value) for key, value in found[0].items())


@pytest.mark.parametrize("name", ["lstm", "gru", "ligru_norm_proj"])
def test_values_do_not_hang_on_the_number_of_threads(drawing, name):
    """A row is computed by one thread; only sums over rows are added up in another order."""
    found = []
    for count in (1, 2, 5):
        drawn = _call(drawing, name, torch.float32, sizes=(12, 12, 64, 64), threads=count)
        torch.manual_seed(0)
        for value in drawn.leaves.values():
            value.copy_(torch.randn_like(value) * 0.1)
        drawn.wanted = ()
        found.append(drawn.results("cpu"))
    for other in found[1:]:
        for key, value in found[0].items():
            torch.testing.assert_close(other[key], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_a_backward_pass_may_run_on_another_instruction_set(drawing, same, monkeypatch, name):
    """What is saved is laid out alike on all of them."""
    drawn = _call(drawing, name, sizes=(5, 4, 3, 19), records=True)
    want = drawn.results("reference")
    leaves = {n: v.detach().requires_grad_() for n, v in drawn.leaves.items()}
    monkeypatch.delenv("RECUR_CPU_ISA", raising=False)
    outputs = drawn.outputs("cpu", leaves)
    monkeypatch.setenv("RECUR_CPU_ISA", "baseline")
    grads = torch.autograd.grad(
        list(outputs.values()), list(leaves.values()), [drawn.upstream[n] for n in outputs], allow_unused=True
    )
    found = {f"d{n}": torch.zeros_like(leaves[n]) if g is None else g for n, g in zip(leaves, grads, strict=True)}
    same({n: v.detach() for n, v in outputs.items()} | found, want)
