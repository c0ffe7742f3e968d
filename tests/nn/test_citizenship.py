"""Layers under what PyTorch does with modules: every way to differentiate, copy, cast, parametrize, share and load."""

import copy
import io
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.nn.utils import parametrizations, parametrize
from torch.utils._pytree import tree_leaves

NAMES = ("RNN", "GRU", "LSTM", "IndRNN", "MGU", "LiGRU", "Recurrent")
LENGTHS = torch.tensor([6, 0, 2])
RESET = torch.arange(18).reshape(6, 3) % 5 == 3
GATED_ONLY = ("layer_norm", "recurrent_dropout")
SETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "noise": ({"layer_norm": True, "zoneout": 0.2, "recurrent_dropout": 0.2}, {}),
    "bidirectional": ({"bidirectional": True, "num_layers": 2}, {"lengths": LENGTHS, "reset": RESET}),
    "dilation": ({"dilation": 2}, {"lengths": LENGTHS}),
    "highway": ({"num_layers": 2, "skip": "highway"}, {}),
    "learned": ({"initial_state": "learned"}, {}),
    "return_all": ({}, {"return_all": True}),
    "gradient_clip": ({"gradient_clip": 0.05}, {}),
}


@dataclass
class Subject:
    """A layer in evaluation, and what goes into it."""

    layer: Any
    x: torch.Tensor
    keywords: dict[str, Any] = field(default_factory=dict)

    def __call__(self, layer=None, x=None):
        """Every tensor that comes out."""
        return values((layer or self.layer)(self.x if x is None else x, **self.keywords))


def values(result):
    steps = [dict(each.values) for each in getattr(result, "steps", ())]
    return tree_leaves([result[0], result[1], steps])


def close(got, want, atol=1e-12):
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        # float64: some 30 numbers of order 1 a step, 6 steps, 2 layers.
        torch.testing.assert_close(one, other, rtol=0, atol=atol)


def make(all_kinds, name, options=(), **more):
    given = {k: v for k, v in dict(options).items() if name != "Recurrent" or k not in GATED_ONLY}
    layer = all_kinds[name].make(4, 5, **given, **more).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.4)
    return layer


@pytest.fixture(params=[(name, key) for name in NAMES for key in SETS], ids="-".join)
def subject(request, all_kinds):
    name, key = request.param
    options, keywords = SETS[key]
    return Subject(make(all_kinds, name, options), torch.randn(6, 3, 4, dtype=torch.float64), keywords)


@pytest.fixture(params=NAMES)
def stacked(request, all_kinds):
    """Each kind with weights of every sort: two layers, two directions, highway, learned state; and lengths."""
    options = {"num_layers": 2, "bidirectional": True, "merge": "sum", "skip": "highway", "initial_state": "learned"}
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    return Subject(make(all_kinds, request.param, options), x, {"lengths": LENGTHS})


def gradients(results, layer):
    found = torch.autograd.grad(sum((v * (k + 1)).pow(2).sum() for k, v in enumerate(results)), layer.parameters())
    return [g.detach().clone() for g in found]


# --- differentiating --------------------------------------------------------------------------------------------------


def test_double_backward(subject):
    x = subject.x.requires_grad_()
    parameters = list(subject.layer.parameters())

    def output(x, *_):
        return subject(x=x)[0]

    if subject.layer.gradient_clip is not None:
        # Its gradient is none of a function; that there is one of it, and that it is finite, is all there is to say.
        (first,) = torch.autograd.grad(output(x).pow(2).sum(), x, create_graph=True)
        second = torch.autograd.grad(first.pow(2).sum(), parameters, allow_unused=True)
        assert any(g is not None and bool(g.any()) and bool(g.isfinite().all()) for g in second)
        return
    torch.autograd.gradcheck(output, (x, *parameters), fast_mode=True)
    torch.autograd.gradgradcheck(output, (x, *parameters), fast_mode=True)


def test_vmap_over_sequences(subject):
    rows = torch.randn(2, *subject.x.shape, dtype=torch.float64)
    found = vmap(lambda x: tuple(subject(x=x)))(rows)
    for k, row in enumerate(rows):
        close([value[k] for value in found], subject(x=row))


def test_vmap_over_an_ensemble_of_weights(subject):
    twin = copy.deepcopy(subject.layer)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    weights, buffers = stack_module_state([subject.layer, twin])

    def run(weights, buffers):
        return tuple(values(functional_call(subject.layer, (weights, buffers), (subject.x,), subject.keywords)))

    found = vmap(run)(weights, buffers)
    for k, layer in enumerate((subject.layer, twin)):
        close([value[k] for value in found], subject(layer))


def test_gradients_of_each_sample(subject):
    weights = {name: parameter.detach() for name, parameter in subject.layer.named_parameters()}

    def loss(weights, x):
        output = functional_call(subject.layer, weights, (x,), subject.keywords)[0]
        return output.pow(2).sum()

    rows = torch.randn(2, *subject.x.shape, dtype=torch.float64)
    found = vmap(grad(loss), in_dims=(None, 0))(weights, rows)
    for k, row in enumerate(rows):
        want = torch.autograd.grad(subject(x=row)[0].pow(2).sum(), subject.layer.parameters(), allow_unused=True)
        for (name, value), expected in zip(found.items(), want, strict=True):
            close([value[k]], [torch.zeros_like(weights[name]) if expected is None else expected])


# Torch's own formulas for forward mode are written in TorchScript.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode_is_the_transpose_of_backward_mode(subject):
    if subject.layer.gradient_clip is not None and hasattr(subject.layer, "_form"):
        subject.layer._form = subject.layer._form._replace(gradient_clip=1e9)
    elif subject.layer.gradient_clip is not None:
        subject.layer.gradient_clip = 1e9
    x = subject.x.requires_grad_()
    tangent = torch.randn_like(x)
    _, pushed = jvp(lambda x: tuple(subject(x=x)), (x.detach(),), (tangent,))
    outputs = subject(x=x)
    weights = [torch.randn_like(value) for value in outputs]
    (pulled,) = torch.autograd.grad(sum((v * w).sum() for v, w in zip(outputs, weights, strict=True)), x)
    left = sum((p * w).sum() for p, w in zip(pushed, weights, strict=True))
    torch.testing.assert_close(left, (pulled * tangent).sum(), rtol=1e-10, atol=1e-10)
    assert bool(left)


@pytest.mark.parametrize("name", NAMES)
def test_noise_under_vmap_is_as_its_randomness_says(all_kinds, name):
    layer = make(all_kinds, name, SETS["noise"][0]).train()
    rows = torch.randn(1, 6, 3, 4, dtype=torch.float64).expand(2, -1, -1, -1)
    for randomness, is_same in (("same", True), ("different", False)):
        found = vmap(lambda x: layer(x)[0], randomness=randomness)(rows)
        assert torch.allclose(found[0], found[1]) == is_same


# --- dtypes and devices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes(subject, dtype):
    want = subject()
    layer, x = copy.deepcopy(subject.layer).to(dtype), subject.x.to(dtype)
    got = subject(layer, x)
    assert {value.dtype for value in got} == {dtype}
    # Weights, inputs and each of some 10 roundings in each of 6 steps and 2 layers; the states may reach 10.
    close([value.double() for value in got], want, atol=10 * 150 * torch.finfo(dtype).eps)
    got[0].float().sum().backward()
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {dtype}


def test_autocast(subject):
    layer, x = copy.deepcopy(subject.layer).float(), subject.x.float()
    want = subject(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        got = subject(layer, x)
    # A cell of one's own computes as autocast does with its operations; the library's compute in its dtype throughout.
    assert got[0].dtype == (torch.float32 if layer._owner == "Recurrent" else torch.bfloat16)
    close([value.float() for value in got], want, atol=10 * 150 * 2**-8)
    assert not torch.equal(got[0].float(), want[0])
    got[0].float().sum().backward()
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {torch.float32}


def test_it_is_made_on_the_device_meta_and_filled_later(stacked, all_kinds):
    with torch.device("meta"):
        layer = copy.deepcopy(stacked.layer).to("meta")
    assert all(value.is_meta for value in stacked(layer, stacked.x.to("meta")))
    layer.to_empty(device="cpu")
    layer.load_state_dict(stacked.layer.state_dict())
    close(stacked(layer), stacked())
    layer.to_empty(device="cpu").reset_parameters()
    assert all(bool(parameter.isfinite().all()) for parameter in layer.parameters())
    twin = copy.deepcopy(stacked.layer).to("meta")
    twin.load_state_dict(stacked.layer.state_dict(), assign=True)
    close(stacked(twin), stacked())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(subject):
    want = subject()
    from_cpu = gradients(want, subject.layer) if subject.layer.initial_state != "learned" else None
    layer, x = copy.deepcopy(subject.layer).cuda(), subject.x.cuda()
    found = subject(layer, x)
    close([value.cpu() for value in found], want, atol=1e-10)
    if from_cpu is not None:
        close([g.cpu() for g in gradients(found, layer)], from_cpu, atol=1e-9)


# --- copies -----------------------------------------------------------------------------------------------------------


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, **options)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "save": lambda layer: saved(layer, weights_only=False),
}


@pytest.mark.parametrize("way", list(COPIES))
def test_copies(stacked, way):
    twin = COPIES[way](stacked.layer)
    want = stacked()
    assert repr(twin) == repr(stacked.layer)
    close(stacked(twin), want, atol=0)
    close(gradients(stacked(twin), twin), gradients(want, stacked.layer), atol=0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    close(stacked(), want, atol=0)


def test_a_state_dict_is_loaded_without_running_code(stacked):
    twin = copy.deepcopy(stacked.layer)
    twin.reset_parameters()
    state = saved(stacked.layer.state_dict(), weights_only=True)
    twin.load_state_dict(state)
    close(stacked(twin), stacked(), atol=0)
    copied = copy.deepcopy(state)
    with torch.no_grad():
        next(iter(state.values())).add_(1)
    twin.load_state_dict(copied)
    close(stacked(twin), stacked(), atol=0)
    copied.pop(next(iter(copied)))
    with pytest.raises(RuntimeError, match="Missing key"):
        twin.load_state_dict(copied)


# --- parameters -------------------------------------------------------------------------------------------------------


class Counted(torch.nn.Module):
    """A parametrization that leaves its weight as it is, and counts."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, weight):
        self.count += 1
        return 1 * weight


def recurrent_weights(layer):
    """The module and the name of each recurrent weight."""
    if hasattr(layer, "cells"):
        return [(cell.both, "weight") for cell in layer.cells]
    return [(layer, name) for name, _ in layer.named_parameters() if name.startswith("weight_hh")]


@pytest.mark.parametrize("way", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrized_weights(stacked, way):
    if stacked.layer._owner == "IndRNN" and way == "orthogonal":
        # One weight a unit is no matrix.
        with pytest.raises(ValueError, match="Expected a matrix"):
            parametrizations.orthogonal(stacked.layer, "weight_hh_l0")
        return
    layer = copy.deepcopy(stacked.layer)
    places = recurrent_weights(layer)
    for module, name in places:
        getattr(parametrizations, way)(module, name)
    # The same weights, as plain parameters.
    plain = copy.deepcopy(stacked.layer)
    with torch.no_grad():
        for (one, name), (other, _) in zip(recurrent_weights(plain), places, strict=True):
            getattr(one, name).copy_(getattr(other, name))
    close(stacked(layer), stacked(plain))
    grads = gradients(stacked(layer), layer)
    assert all(bool(g.isfinite().all()) for g in grads)
    originals = [n for n, _ in layer.named_parameters() if "parametrizations" in n]
    assert len(originals) == len(places) * (2 if way == "weight_norm" else 1)
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    close(stacked(twin), stacked(layer))


def test_a_parametrized_weight_is_computed_once_for_all_steps(stacked):
    for module, name in recurrent_weights(stacked.layer):
        parametrize.register_parametrization(module, name, Counted())
    counts = [m for m in stacked.layer.modules() if isinstance(m, Counted)]
    for each in counts:
        each.count = 0
    stacked()
    assert [each.count for each in counts] == [1] * 4


def test_gradients_are_clipped_and_an_optimiser_learns(stacked):
    layer = stacked.layer.train()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    target = torch.randn_like(stacked()[0])
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (stacked()[0] - target).pow(2).sum()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.1)
        assert float(norm) > 0.1
        after = torch.cat([p.grad.flatten() for p in layer.parameters()]).norm()
        torch.testing.assert_close(float(after), 0.1, rtol=1e-4, atol=0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def one_process(gloo):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_data_parallel(stacked):
    want = gradients(stacked(), stacked.layer)
    wrapped = torch.nn.parallel.DistributedDataParallel(stacked.layer)
    sum((v * (k + 1)).pow(2).sum() for k, v in enumerate(stacked(wrapped))).backward()
    close([p.grad for p in stacked.layer.parameters()], want)


@pytest.mark.usefixtures("one_process")
def test_fully_sharded(stacked):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    want, grads = stacked(), gradients(stacked(), stacked.layer)
    layer = copy.deepcopy(stacked.layer)
    fully_shard(layer, mesh=init_device_mesh("cpu", (1,)))
    assert all(isinstance(parameter, DTensor) for parameter in layer.parameters())
    whole = copy.deepcopy(get_model_state_dict(layer, options=StateDictOptions(full_state_dict=True)))
    close(list(whole.values()), list(stacked.layer.state_dict().values()), atol=0)
    found = stacked(layer)
    close(found, want)
    sum((v * (k + 1)).pow(2).sum() for k, v in enumerate(found)).backward()
    close([parameter.grad.full_tensor() for parameter in layer.parameters()], grads)
    zeros = {name: torch.zeros_like(value) for name, value in whole.items()}
    set_model_state_dict(layer, zeros, options=StateDictOptions(full_state_dict=True))
    assert not any(bool(parameter.full_tensor().any()) for parameter in layer.parameters())
    plain = copy.deepcopy(stacked.layer)
    plain.load_state_dict(whole)
    close(stacked(plain), want)
