"""What is found in networks that are broken on purpose, and what is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recur.nn
from recur.gradients import find_nonfinite

T, B = 6, 4


def test_a_good_step_has_nothing_and_is_left_as_it_was(network: Any) -> None:
    model, x = network(recur.nn.GRU)
    model.norm = nn.BatchNorm1d(2)
    model.norm(model(x).flatten(0, 1)).sum().backward()
    kept = {name: (p.grad.clone(), p.grad) for name, p in model.named_parameters() if p.grad is not None}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    random = torch.get_rng_state()
    calls = []

    def run() -> Tensor:
        calls.append(torch.rand(1))
        return model.norm(model(x).flatten(0, 1)).square().mean()

    assert find_nonfinite(model, run) is None
    assert len(calls) == 1
    assert torch.equal(torch.get_rng_state(), random)
    for name, parameter in model.named_parameters():
        assert parameter.grad is kept[name][1], name
        assert torch.equal(parameter.grad, kept[name][0])
    for name, value in model.named_buffers():
        assert torch.equal(value, buffers[name]), name
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_hooks_are_gone_after_an_error_too(network: Any) -> None:
    model, _ = network()
    with pytest.raises(ZeroDivisionError):
        find_nonfinite(model, lambda: torch.tensor(1 / 0))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("library", [nn, recur.nn])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_bad_input(library: Any, name: str, network: Any, told: Any, overflow: Any) -> None:
    model, x = network(getattr(library, name))
    assert told(model, lambda: model(overflow((3, 2, 1))(x)).sum()) == "read: the input is inf at index (3, 2, 1)"
    layer = model.layers[0]
    bad = overflow((3, 2, 1), (4, 2, 0), (5, 2, 2), (4, 1, 0), value=-torch.inf)(x)
    assert told(layer, lambda: layer(bad)[0].sum()) == "the input is -inf from step 3 of row 2 on"
    bad = overflow((3, 2, 1), (5, 2, 2), value=torch.nan)(x)
    assert told(layer, lambda: layer(bad)[0].sum()) == "the input is NaN at step 3 of row 2"


def test_a_bad_parameter_is_named_before_what_it_spoils(network: Any, told: Any, spoil: Any) -> None:
    model, x = network()
    spoil(model.layers[1].weight_hh_l0, torch.inf, (2, 3))
    assert told(model, lambda: model(x).sum()) == "layers.1: the parameter weight_hh_l0 is inf at index (2, 3)"
    model, x = network()
    spoil(model.write.bias, torch.nan, (1,))
    assert told(model, lambda: model(x).sum()) == "write: the parameter bias is NaN at index 1"


def test_a_bad_parameter_that_spoils_nothing_forward(network: Any, told: Any, spoil: Any) -> None:
    model, x = network()
    # tanh and sigmoid make a finite number of it.
    spoil(model.layers[0].bias_ih_l0, -torch.inf, (0,))
    assert bool(torch.isfinite(model(x)).all())
    assert told(model, lambda: model(x).sum()) == "layers.0: the parameter bias_ih_l0 is -inf at index 0"


def test_the_same_random_numbers_find_the_same(told: Any) -> None:
    torch.manual_seed(0)
    layer = recur.nn.RNN(1, 64, num_layers=2, nonlinearity="relu", bias=False, recurrent_dropout=0.5)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.copy_(2 * torch.eye(64))
    x = torch.zeros(T, B, 1)
    x[2, 3] = 1e38
    state = torch.get_rng_state()

    def run() -> Tensor:
        torch.set_rng_state(state)
        found: Tensor = layer(x)[0].sum()
        return found

    torch.set_rng_state(state)
    first = layer(x, return_all=True).steps[0].values["h"]
    bad = (~torch.isfinite(first)).any(2).nonzero()[0].tolist()
    assert told(layer, run).startswith(f"the state h of layer 0 is inf from step {bad[0]} of row {bad[1]}")


def test_a_module_between(told: Any, overflow: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), overflow((1, 2, 0)), nn.Linear(3, 1))
    assert told(model, lambda: model(torch.randn(T, B, 3)).sum()) == "1: the output is inf at index (1, 2, 0)"


def test_modules_that_are_ignored(told: Any, overflow: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), overflow((1, 2, 0), value=-torch.inf), nn.Softmax(-1))
    x = torch.randn(T, B, 3)
    assert told(model, lambda: model(x).sum()) == "1: the output is -inf at index (1, 2, 0)"
    assert find_nonfinite(model, lambda: model(x).square().sum(), ignore=["1"]) is None


def test_a_loss_by_itself(network: Any, told: Any) -> None:
    model, x = network()
    assert told(model, lambda: (model(x).sum() * 0).log()) == "the loss is -inf"


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"^find_nonfinite: model must be a torch\.nn\.Module, but is int\.$"):
        find_nonfinite(3, lambda: torch.ones(()))  # type: ignore[arg-type]
    model = nn.Linear(2, 2)
    with pytest.raises(
        TypeError, match=r"^find_nonfinite: run must return the loss, a torch\.Tensor, but returned float\.$"
    ):
        find_nonfinite(model, lambda: 1.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(
        ValueError, match=r"^find_nonfinite: run must return one number, but returned shape \(1, 2\)\.$"
    ):
        find_nonfinite(model, lambda: model(torch.ones(1, 2)))
