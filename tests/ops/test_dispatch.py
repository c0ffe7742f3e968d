"""Which back end runs, what is said about it, and that nothing falls back unseen."""

import logging

import pytest
import torch

from recur import engine
from recur.errors import BackendError
from recur.ops import Options, _dispatch, recurrence
from recur.ops._call import Call, Result, Weights


class _Fake:
    """A back end that counts its runs and refuses with a given reason."""

    def __init__(self, name, reason=None):
        self.name, self.reason, self.runs = name, reason, 0

    def accepts(self, call):
        return self.reason

    def run(self, call):
        self.runs += 1
        self.seen = call
        return Result(call.x_TBI, call.state)


@pytest.fixture
def call():
    return Call("demo", torch.zeros(2, 1, 3), (torch.zeros(1, 4),), Weights(torch.zeros(4, 3), torch.zeros(4, 4)))


def test_auto_takes_the_first_that_accepts(call, no_fallbacks, caplog):
    fast, slow = _Fake("fast"), _Fake("slow")
    _dispatch.run((fast, slow), call)
    assert (fast.runs, slow.runs) == (1, 0)
    assert _dispatch.fallbacks() == ()
    assert caplog.text == ""


def test_a_fallback_is_recorded_and_logged_once(call, no_fallbacks, caplog):
    backends = _Fake("fast", "x is too small"), _Fake("middle"), _Fake("slow")
    with caplog.at_level(logging.WARNING, "recur.ops"):
        _dispatch.run(backends, call)
        _dispatch.run(backends, call)
    assert backends[1].runs == 2
    assert _dispatch.fallbacks() == (_dispatch.Fallback("demo", "middle", "fast", "x is too small"),)
    text = "demo runs on the 'middle' back end, because 'fast' refused: x is too small"
    assert [record.getMessage() for record in caplog.records] == [text]


def test_a_named_back_end_is_forced(call, no_fallbacks):
    fast, slow = _Fake("fast"), _Fake("slow")
    _dispatch.run((fast, slow), call, "slow")
    assert (fast.runs, slow.runs) == (0, 1)
    assert _dispatch.fallbacks() == ()


def test_a_named_back_end_that_refuses_is_an_error(call):
    backends = _Fake("fast", "x is too small"), _Fake("slow")
    with pytest.raises(BackendError) as caught:
        _dispatch.run(backends, call, "fast")
    assert str(caught.value) == (
        "demo: 'fast' refused: x is too small. Choose another back end, or pass backend='auto'."
    )
    assert backends[1].runs == 0


def test_every_reason_is_given_when_none_can(call):
    with pytest.raises(BackendError, match=r"^demo: 'a' refused: no; 'b' refused: never\."):
        _dispatch.run((_Fake("a", "no"), _Fake("b", "never")), call)


def test_an_unknown_name_is_an_error(call):
    with pytest.raises(ValueError, match=r"^demo: there is no back end 'cuda'. Choose one of 'auto', 'fast'\.$"):
        _dispatch.run((_Fake("fast"),), call, "cuda")


def test_explain_says_what_run_does(call):
    backends = _Fake("fast", "x is too small"), _Fake("middle"), _Fake("slow")
    found = _dispatch.explain(backends, call)
    assert found.backend == "middle"
    assert str(found) == (
        "demo (cpu, float32):\n  middle  runs\n  fast    x is too small\n  slow    not needed: 'middle' comes first"
    )
    assert _dispatch.explain(backends, call, "slow").backend == "slow"
    refused = _dispatch.explain(backends, call._replace(reset=torch.zeros(2, 1, dtype=torch.bool)), "fast")
    assert refused.backend is None
    assert str(refused).splitlines()[:2] == ["demo (cpu, float32, reset, backend='fast'):", "  fast    x is too small"]
    assert sum(b.runs for b in backends) == 0


def test_autocast_is_told_and_converts_all_but_float64(call):
    fake = _Fake("fast")
    with torch.autocast("cpu", torch.bfloat16):
        _dispatch.run((fake,), call._replace(state=(torch.zeros(1, 4, dtype=torch.float64),)))
        assert str(_dispatch.explain((fake,), call)).startswith("demo (cpu, bfloat16)")
    assert (fake.seen.x_TBI.dtype, fake.seen.autocast, fake.seen.dtype) == (torch.float32, *[torch.bfloat16] * 2)
    cast = fake.seen.cast()
    assert cast.x_TBI.dtype == cast.weights.weight_hh.dtype == cast.dtype == torch.bfloat16
    assert cast.state[0].dtype == torch.float64
    assert cast.weights.bias_ih is None
    assert cast.autocast is None
    assert cast.cast() is cast


def test_torch_is_forced_and_refuses_transforms(ops, no_fallbacks, monkeypatch):
    arguments = ops["gru"].arguments(3, 2, 4, 5)
    x = arguments.pop("x")
    run = lambda x, backend: ops["gru"]({**arguments, "x": x}, backend=backend)["output"]  # noqa: E731
    many = torch.stack([x, 2 * x])
    with pytest.raises(
        BackendError, match=r"^gru: 'torch' refused: torch's recurrent functions do not run under torch"
    ):
        torch.func.vmap(lambda x: run(x, "torch"))(many)
    got = torch.func.vmap(lambda x: run(x, "auto"))(many)
    torch.testing.assert_close(got[1], run(2 * x, "torch"))
    assert _dispatch.fallbacks() == ()
    monkeypatch.setattr(engine, "missing_kernels", lambda: "they were not built")
    torch.testing.assert_close(torch.func.vmap(lambda x: run(x, "auto"))(many), got)
    refused = [(f.op, f.backend, f.refused) for f in _dispatch.fallbacks()]
    assert refused == [("gru", "reference", "cpu"), ("gru", "reference", "torch")]


# Forward mode makes torch load decompositions that it scripts itself.
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_torch_refuses_forward_mode(ops, no_fallbacks):
    arguments = ops["lstm"].arguments(3, 2, 4, 5)
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        dual = {**arguments, "x": forward_ad.make_dual(arguments["x"], torch.ones_like(arguments["x"]))}
        tangent = forward_ad.unpack_dual(ops["lstm"](dual)["output"]).tangent
        with pytest.raises(BackendError, match="no forward-mode derivative"):
            ops["lstm"](dual, backend="torch")
    step = 1e-6
    there, back = (ops["lstm"]({**arguments, "x": arguments["x"] + s})["output"] for s in (step, -step))
    torch.testing.assert_close(tangent, (there - back) / (2 * step), rtol=0, atol=1e-8)


def test_functions_that_are_not_the_same_make_one_fallback_of_each_back_end(no_fallbacks, caplog):
    """What is said of them has no address in it."""
    weights = {name: torch.ones(1, 1) for name in ("weight_ih", "weight_hh")}
    for k in range(3):
        options = Options(nonlinearity=lambda x, k=k: x * k)
        recurrence("rnn", torch.zeros(2, 1, 1), [torch.zeros(1, 1)], weights, options=options)
    assert [(each.refused, each.reason) for each in _dispatch.fallbacks()] == [
        ("cpu", "its kernels know tanh and relu only, not a function as nonlinearity"),
        ("torch", "torch's own cell has no form with a function as its nonlinearity"),
    ]
    assert len(caplog.records) == 2


def test_the_fallbacks_are_public(no_fallbacks):
    import recur.ops

    assert recur.ops.fallbacks is _dispatch.fallbacks
    assert recur.ops.Fallback is _dispatch.Fallback
