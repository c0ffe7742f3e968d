"""Which layer each parameter belongs to, and the norms by layer."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import recur.nn
from recur.gradients import gradient_norms, layers_of


def names(module: nn.Module) -> dict[str, list[str]]:
    """Group to the names of its parameters; each parameter is in one group."""
    known = {parameter: name for name, parameter in module.named_parameters()}
    found = {group: [known.pop(parameter) for parameter in each] for group, each in layers_of(module).items()}
    assert not known
    return found


LSTM = ("weight_ih_{}", "weight_hh_{}", "bias_ih_{}", "bias_hh_{}")


@pytest.mark.parametrize("library", [nn, recur.nn])
def test_a_stack_is_split_by_its_layers(library: Any) -> None:
    network = nn.Sequential(library.LSTM(3, 4, num_layers=2, bidirectional=True), library.GRU(8, 2))
    assert names(network) == {
        "0.l0": [f"0.{name.format(suffix)}" for suffix in ("l0", "l0_reverse") for name in LSTM],
        "0.l1": [f"0.{name.format(suffix)}" for suffix in ("l1", "l1_reverse") for name in LSTM],
        "1": [f"1.{name.format('l0')}" for name in LSTM],
    }


def test_a_network_by_itself() -> None:
    assert names(nn.Linear(2, 2)) == {"Linear": ["weight", "bias"]}
    assert list(names(nn.RNN(2, 2))) == ["RNN"]
    assert list(names(nn.RNN(2, 2, num_layers=3))) == ["l0", "l1", "l2"]


def test_what_belongs_to_a_whole_stack() -> None:
    learned = recur.nn.GRU(3, 4, num_layers=2, initial_state="learned", skip="dense")
    assert {group: len(each) for group, each in names(learned).items()} == {"l0": 4, "l1": 4, "GRU": 1}
    unlike = names(recur.nn.GRU(3, [4, 5], initial_state="learned"))
    assert unlike["l1"][-1] == "h_0_l1"
    computed = recur.nn.LSTM(3, 3, num_layers=2, initial_state="context", context_size=2, skip="highway")
    assert names(nn.ModuleDict({"rnn": computed}))["rnn.context_to_state"] == [
        "rnn.context_to_state.weight",
        "rnn.context_to_state.bias",
    ]
    assert {"weight_skip_l1", "bias_skip_l1"} < set(names(computed)["l1"])
    single = recur.nn.LSTM(3, 3, initial_state="learned")
    assert list(names(single)) == ["LSTM"]
    function = recur.nn.RNN(3, 3, num_layers=2, nonlinearity=nn.PReLU())
    assert names(function)["nonlinearity"] == ["nonlinearity.weight"]


def test_cells_that_are_modules() -> None:
    cells = recur.nn.Recurrent(lambda size: nn.GRUCell(size, 3), 2, num_layers=2, bidirectional=True)
    found = names(nn.ModuleDict({"rnn": cells}))
    assert list(found) == ["rnn.l0", "rnn.l1"]
    assert {name.split(".")[2] for name in found["rnn.l0"]} == {"0", "1"}
    assert {name.split(".")[2] for name in found["rnn.l1"]} == {"2", "3"}
    assert list(names(recur.nn.RHN(2, 3))) == ["RHN"]
    assert list(names(recur.nn.ConvLSTM(2, 3, kernel_size=3))) == ["ConvLSTM"]


def test_parametrized_weights_stay_in_their_layer() -> None:
    network = nn.ModuleDict({"rnn": nn.GRU(2, 3, num_layers=2), "out": nn.Linear(3, 2)})
    parametrizations.weight_norm(network["rnn"], "weight_hh_l1")
    parametrizations.weight_norm(network["out"])
    found = names(network)
    assert {group: len(each) for group, each in found.items()} == {"rnn.l0": 4, "rnn.l1": 5, "out": 3}


def test_tied_weights_are_counted_once() -> None:
    network = nn.ModuleDict({"read": nn.Embedding(5, 3), "write": nn.Linear(3, 5, bias=False)})
    network["write"].weight = network["read"].weight
    assert names(network) == {"read": ["read.weight"]}


def test_norms_by_layer_in_double_precision() -> None:
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {"read": nn.Embedding(5, 3), "rnn": recur.nn.LSTM(3, 4, num_layers=2), "write": nn.Linear(4, 5).double()}
    )
    for parameter in network["rnn"].parameters():
        parameter.grad = torch.randn_like(parameter)
    # Each norm has a square within float32; their sum is beyond.
    for name in ("weight_ih_l1", "weight_hh_l1"):
        gradient = getattr(network["rnn"], name).grad
        gradient *= 1.5e19 / gradient.norm()
    network["write"].bias.grad = torch.randn(5, dtype=torch.float64)
    found = gradient_norms(network)
    assert list(found) == ["read", "rnn.l0", "rnn.l1", "write"]
    for group, parameters in layers_of(network).items():
        squares = [p.grad.double().square().sum().item() for p in parameters if p.grad is not None]
        assert found[group] == pytest.approx(math.sqrt(sum(squares)), rel=1e-6), group
    assert found["read"] == 0
    assert found["rnn.l1"] > 2e19


@pytest.mark.parametrize("size", [1e20, 1e-30])
def test_norms_of_what_float32_cannot_square(size: float) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, size)
    found = gradient_norms(network)
    assert found == {"0": pytest.approx(size * math.sqrt(6), rel=1e-6), "1": pytest.approx(size * 2, rel=1e-6)}


def test_norms_of_complex_gradients() -> None:
    layer = nn.Linear(2, 1, dtype=torch.complex64)
    layer.weight.grad = torch.tensor([[3 + 4j, 12j]])
    # Autograd may leave conjugation for later.
    layer.bias.grad = torch.tensor([8 - 6j]).conj()
    assert gradient_norms(layer) == {"Linear": pytest.approx(math.sqrt(269), rel=1e-6)}


def test_norms_without_gradients_and_of_what_is_not_finite() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert gradient_norms(network) == {"0": 0.0, "1": 0.0}
    assert gradient_norms(nn.Sequential()) == {}
    network[1].bias.grad = torch.tensor([1.0, math.nan])
    assert math.isnan(gradient_norms(network)["1"])
    assert gradient_norms(network)["0"] == 0


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"^layers_of: module must be a torch\.nn\.Module, but is list\.$"):
        layers_of([])  # type: ignore[arg-type]
    network = nn.Embedding(4, 2, sparse=True)
    network(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match=r"^gradient_norms: the gradient of a parameter of shape \(4, 2\) is sparse"):
        gradient_norms(network)
