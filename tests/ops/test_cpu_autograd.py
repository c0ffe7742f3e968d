"""The CPU kernels inside autograd: what is asked of them, how often, and what is refused."""

import gc
import itertools
import weakref

import pytest
import torch
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from recur.errors import BackendError
from recur.ops import Noise, Options

NAMES = ["rnn_proj", "gru", "gru_norm_proj", "gru_before", "lstm", "lstm_all_clip_proj", "indrnn", "mgu", "ligru_relu"]


@pytest.fixture
def make(drawing):
    def made(name, dtype=torch.float64, *, sizes=(5, 4, 3, 6), **situation):
        kind, options, proj = drawing.FORMS[name]
        return drawing.call(kind, options, (*sizes, proj), dtype, **situation)

    return made


@pytest.fixture
def same(compare):
    def check(got, want):
        compare(got, want, terms=int(1e-10 / torch.finfo(torch.float64).eps))

    return check


def _leaves(drawn, wanted=None):
    wanted = drawn.leaves if wanted is None else wanted
    return {n: v.detach().clone().requires_grad_(n in wanted) for n, v in drawn.leaves.items()}


def _gradients(drawn, outputs, leaves, **keywords):
    asked = [n for n in outputs if n in drawn.upstream]
    found = torch.autograd.grad(
        [outputs[n] for n in asked],
        list(leaves.values()),
        [drawn.upstream[n] for n in asked],
        allow_unused=True,
        **keywords,
    )
    return {n: torch.zeros_like(leaves[n]) if g is None else g for n, g in zip(leaves, found, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_that_is_kept_gives_the_same_again(make, name):
    drawn = make(name, lengths=True, records=True, noise=True)
    leaves = _leaves(drawn)
    outputs = drawn.outputs("cpu", leaves)
    first = _gradients(drawn, outputs, leaves, retain_graph=True)
    again = _gradients(drawn, outputs, leaves)
    assert all(torch.equal(again[n], first[n]) for n in first)
    with pytest.raises(RuntimeError, match="second time"):
        _gradients(drawn, outputs, leaves)


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_alone_gets_its_gradient(make, same, name):
    drawn = make(name, lengths=True, reset="other", noise=True)
    leaves = _leaves(drawn)
    want = _gradients(drawn, drawn.outputs("reference", leaves), leaves)
    for wanted in drawn.leaves:
        alone = _leaves(drawn, [wanted])
        outputs = drawn.outputs("cpu", alone)
        same(_gradients(drawn, outputs, {wanted: alone[wanted]}), {wanted: want[wanted]})


@pytest.mark.parametrize("wanted", [["x"], ["h0"], ["weight_ih", "bias_hh"], ["c0", "weight_hh"]])
def test_what_needs_no_gradient_gets_none(make, wanted):
    drawn = make("lstm")
    leaves = _leaves(drawn, wanted)
    sum(v.sum() for v in drawn.outputs("cpu", leaves).values()).backward()
    assert {n for n, v in leaves.items() if v.grad is not None} == set(wanted)


def test_nothing_is_saved_where_nothing_is_learned(make):
    drawn = make("lstm")
    saved = []
    with saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        assert not any(v.requires_grad for v in drawn.outputs("cpu", _leaves(drawn, [])).values())
        leaves = _leaves(drawn)
        for guard in (torch.no_grad(), torch.inference_mode()):
            with guard:
                outputs = drawn.outputs("cpu", leaves)
            assert not any(v.requires_grad for v in outputs.values())
        assert saved == []
        drawn.outputs("cpu", leaves)
    assert saved


def test_tensors_of_inference_mode_are_good_as_inputs(make, same):
    drawn = make("gru")
    with torch.inference_mode():
        leaves = {n: v.clone() for n, v in drawn.leaves.items()}
    with torch.no_grad():
        same(drawn.outputs("cpu", leaves), drawn.outputs("reference"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("picked", [0, 1, -1])
def test_one_output_alone_carries_a_gradient(make, same, name, picked):
    drawn = make(name, records=True, lengths=True)
    chosen = list(drawn.upstream)[picked]
    drawn.upstream = {chosen: drawn.upstream[chosen]}
    same(drawn.results("cpu"), drawn.results("reference"))


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives(make, name):
    drawn = make(name, sizes=(3, 3, 2, 4), lengths=True, reset="own")
    # What it gives is no derivative.
    drawn.options = drawn.options._replace(gradient_clip=None)
    drawn.leaves["x"] = drawn.leaves["x"].nan_to_num()
    leaves = _leaves(drawn)

    def run(*values):
        return tuple(drawn.outputs("cpu", dict(zip(leaves, values, strict=True))).values())

    assert torch.autograd.gradcheck(run, tuple(leaves.values()), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, tuple(leaves.values()), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_are_those_of_the_reference(make, same, name):
    """Of the sum of the squares of all first ones, with records and noise, and where one tensor is made of another."""
    drawn = make(name, records=True, noise=True, lengths=True)
    drawn.leaves["x"] = drawn.leaves["x"].nan_to_num()

    def second(backend):
        leaves = _leaves(drawn)
        made = leaves | {"x": leaves["x"] * leaves["bias_ih"][0]}
        first = _gradients(drawn, drawn.outputs(backend, made), leaves, create_graph=True)
        total = sum(g.square().sum() for g in first.values())
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        return {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(leaves.items(), found, strict=True)}

    same(second("cpu"), second("reference"))


def test_a_graph_of_gradients_in_which_some_are_not_wanted(make, same):
    drawn = make("lstm")
    found = []
    for backend in ("cpu", "reference"):
        leaves = _leaves(drawn, ["x", "weight_hh"])
        outputs = drawn.outputs(backend, leaves)
        (first,) = torch.autograd.grad(outputs["c"].sum(), leaves["x"], create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaves["weight_hh"])
        found.append({"first": first, "second": second})
    same(*found)


@pytest.mark.parametrize("name", ["x", "weight_hh", "h0", "bias_ih", "lengths", "reset", "mask", "output"])
def test_what_is_written_over_before_the_backward_pass_is_an_error(make, name):
    drawn = make("lstm", lengths=True, reset="own")
    drawn.leaves["x"] = drawn.leaves["x"].nan_to_num()
    drawn.keywords["noise"] = Noise(torch.ones(4, 6, dtype=torch.float64))
    leaves = _leaves(drawn)
    outputs = drawn.outputs("cpu", leaves)
    others = {"mask": drawn.keywords["noise"].state, "output": outputs["output"], **drawn.keywords}
    with torch.no_grad():
        (leaves.get(name) if name in leaves else others[name]).zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs["h"].sum().backward()


@pytest.mark.parametrize("name", NAMES)
def test_saved_tensors_may_be_moved_away_and_back(make, same, name):
    drawn = make(name, lengths=True, noise=True, records=True)
    want = drawn.results("reference")
    for context in (save_on_cpu(), saved_tensors_hooks(lambda t: (t.clone(), t.shape), lambda p: p[0].clone())):
        with context:
            got = drawn.results("cpu")
        same(got, want)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(make, same, reentrant):
    drawn = make("gru_norm_proj", lengths=True)
    leaves = _leaves(drawn)
    names = list(leaves)

    def run(*values):
        return tuple(drawn.outputs("cpu", dict(zip(names, values, strict=True))).values())

    outputs = checkpoint(run, *leaves.values(), use_reentrant=reentrant)
    named = dict(zip(drawn.upstream, outputs, strict=True))
    loss = sum((named[n] * u).sum() for n, u in drawn.upstream.items())
    loss.backward()
    twin = _leaves(drawn)
    want = _gradients(drawn, drawn.outputs("reference", twin), twin)
    same({n: v.grad for n, v in leaves.items()}, want)


def test_nothing_is_kept_alive(make):
    """Neither by the graph once it is gone, nor by a result."""
    drawn = make("lstm", noise=True, lengths=True)
    leaves = _leaves(drawn)
    outputs = drawn.outputs("cpu", leaves)
    watched = weakref.ref(outputs["output"].grad_fn)
    del outputs
    gc.collect()
    assert watched() is None


def test_gradients_add_up_over_calls(make, same):
    drawn = make("gru")
    leaves = _leaves(drawn)
    for _ in range(3):
        torch.autograd.backward(list(drawn.outputs("cpu", leaves).values()), list(drawn.upstream.values()))
    single = drawn.results("reference")
    same({n: v.grad for n, v in leaves.items()}, {n: 3 * single[f"d{n}"] for n in leaves})


@pytest.mark.parametrize("one", ["h0", "reset h0"])
def test_one_tensor_in_two_places_gets_the_sum(make, same, one):
    """The state that it starts from and the one that a reset goes back to; a weight that is both biases."""
    drawn = make("rnn_proj", reset="other")
    found = []
    for backend in ("cpu", "reference"):
        leaves = _leaves(drawn)
        both = leaves | {"h0": leaves[one], "reset h0": leaves[one], "bias_hh": leaves["bias_ih"]}
        found.append(_gradients(drawn, drawn.outputs(backend, both), leaves))
    same(*found)


def test_a_hook_sees_every_gradient_once(make):
    drawn = make("lstm")
    leaves = _leaves(drawn)
    seen = []
    for name, value in leaves.items():
        value.register_hook(lambda gradient, name=name: seen.append((name, gradient.shape)))
    sum(v.sum() for v in drawn.outputs("cpu", leaves).values()).backward()
    assert sorted(seen) == sorted((n, v.shape) for n, v in leaves.items())


@pytest.mark.filterwarnings("ignore:Error detected in _ThroughBackward:UserWarning")
def test_anomaly_mode_names_the_gradient_that_is_nan(make):
    drawn = make("rnn_proj")
    leaves = _leaves(drawn)
    torch.autograd.set_detect_anomaly(True)
    try:
        output = drawn.outputs("cpu", leaves)["output"]
        with pytest.raises(RuntimeError, match="'_ThroughBackward' returned nan values in its 0th output"):
            output.backward(torch.full_like(output, torch.nan))
    finally:
        torch.autograd.set_detect_anomaly(False)


def test_a_view_whose_memory_has_the_other_sign(make, same):
    """The imaginary part of a conjugate; with one feature it passes for dense."""
    drawn = make("gru", sizes=(4, 3, 1, 1))
    x = torch.complex(torch.zeros_like(drawn.leaves["x"]), -drawn.leaves["x"]).conj().imag
    assert x.is_neg()
    same(drawn.outputs("cpu", drawn.leaves | {"x": x}), drawn.outputs("reference"))
    upstream = {n: torch.complex(torch.zeros_like(v), -v).conj().imag for n, v in drawn.upstream.items()}
    want = drawn.results("reference")
    drawn.upstream = upstream
    same(drawn.results("cpu"), want)


# --- what they refuse ------------------------------------------------------------------------------------------------


def _refusal(drawn, leaves=None):
    with pytest.raises(BackendError) as caught:
        drawn.outputs("cpu", leaves)
    return str(caught.value)


def test_a_function_as_nonlinearity(make):
    drawn = make("rnn_proj")
    drawn.options = Options(nonlinearity=torch.sin)
    assert _refusal(drawn) == (
        "rnn: 'cpu' refused: its kernels know tanh and relu only, not a function as nonlinearity. "
        "Choose another back end, or pass backend='auto'."
    )


def test_the_device_meta(make):
    drawn = make("lstm")
    leaves = {n: v.to("meta") for n, v in drawn.leaves.items()}
    assert "its kernels run on a CPU, and x is on meta" in _refusal(drawn, leaves)


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_forward_mode(make):
    drawn = make("gru")
    x = drawn.leaves["x"]
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        assert "no forward-mode derivative" in _refusal(drawn, drawn.leaves | {"x": dual})


@pytest.mark.parametrize("place", range(3))
def test_a_mask_that_wants_a_gradient(make, place):
    drawn = make("gru")
    masks = [torch.ones(4, 6), torch.ones(5, 4, 6), torch.ones(5, 4, 6)]
    masks = [mask.double().requires_grad_(number == place) for number, mask in enumerate(masks)]
    drawn.keywords["noise"] = Noise(masks[0], masks[1], (masks[2],))
    assert "its kernels take no gradient of a mask" in _refusal(drawn)


def test_every_pair_of_refusals_leaves_the_call_to_another(make, same):
    """With "auto" what is refused is computed all the same."""
    drawn = make("rnn_proj")
    drawn.options = Options(nonlinearity=torch.tanh)
    want = make("rnn_proj")
    want.options = Options()
    want.leaves = drawn.leaves
    for first, second in itertools.permutations(("auto", "reference")):
        same(drawn.outputs(first), want.outputs(second))
