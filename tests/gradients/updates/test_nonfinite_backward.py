"""What goes wrong in the backward pass alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recur.nn
from recur.gradients import NonFinite, find_nonfinite

T, B = 6, 4


class BadBack(torch.autograd.Function):
    """An identity whose gradient is bad at one place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, place: tuple[int, ...]) -> Tensor:
        ctx.place = place
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        bad = gradients[0].clone()
        bad[ctx.place] = torch.nan
        return bad, None


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("library", [nn, recur.nn])
def test_a_root_at_zero_after_a_layer(library: Any, batch_first: bool, told: Any) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": library.GRU(3, 4, batch_first=batch_first)})
    x = torch.randn(T, B, 3)

    def run() -> Tensor:
        h = model["rnn"](x.transpose(0, 1) if batch_first else x)[0]
        h = h.transpose(0, 1) if batch_first else h
        scale = torch.ones(T, B, 1)
        scale[3, 2] = scale[1, 2] = 0
        return (h.square() * scale).sum(2).sqrt().sum()

    assert bool(torch.isfinite(run()))
    assert told(model, run) == "rnn: the gradient of the output is NaN at step 3 of row 2"


def test_a_gradient_that_is_bad_from_a_step_back(network: Any, told: Any) -> None:
    model, x = network(recur.nn.GRU)
    place = (slice(0, 4), 1)
    found = told(model, lambda: BadBack.apply(model.layers[0](model.read(x))[0], place).sum())
    assert found == "layers.0: the gradient of the output is NaN from step 3 of row 1 back"


@pytest.mark.parametrize("library", [nn, recur.nn])
@pytest.mark.parametrize("has_module_before", [False, True])
def test_a_gradient_that_explodes_inside_a_layer(library: Any, has_module_before: bool, told: Any) -> None:
    # Zeros stay zeros forward; backward the gradient grows a million times a step, from 1 at the last.
    layer = library.RNN(2, 2, nonlinearity="tanh", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1e6 * torch.eye(2))
    model = nn.ModuleDict({"read": nn.Linear(2, 2, bias=False), "rnn": layer})
    x = torch.zeros(10, B, 2)

    def run() -> Tensor:
        y = layer(model["read"](x) if has_module_before else x)[0]
        return (y[-1, 2] * torch.tensor([1.0, 0.0])).sum()

    # After seven steps it is 1e42, beyond float32; its signs are those of the weights of the input.
    sign = "-" if float(layer.weight_ih_l0.detach()[0, 0]) < 0 else ""
    assert told(model, run) == f"rnn: the gradient of the input is {sign}inf from step 2 of row 2 back"


def test_a_tensor_that_is_given_twice_stays_one() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            assert x is y
            return x * y

    model = nn.ModuleDict({"read": nn.Linear(2, 2), "same": Same()})

    def run() -> Tensor:
        h = model["read"](torch.ones(1, 2))
        return model["same"](h, h).sum()

    assert find_nonfinite(model, run) is None


def test_only_a_parameters_gradient() -> None:
    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            return x + weight

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            return gradients[0], torch.tensor([0.0, torch.nan, 0.0])

    class Plus(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = Sum.apply(x, self.weight)
            return found

    model = nn.Sequential(nn.Linear(3, 3), Plus())
    found = find_nonfinite(model, lambda: model(torch.randn(2, 3)).sum())
    assert found == NonFinite(module="1", tensor="gradient of weight", value="NaN", index=(1,))
    assert str(found) == "1: the gradient of weight is NaN at index 1"


def test_a_cells_gradient_tells_the_call(told: Any) -> None:
    model = nn.ModuleDict({"cell": nn.GRUCell(2, 3)})

    def run() -> Tensor:
        h = torch.zeros(B, 3)
        for t in range(T):
            h = model["cell"](torch.ones(B, 2), h)
            if t == 3:
                h = BadBack.apply(h, (1, 0))
        return h.sum()

    assert told(model, run) == "cell: the gradient of the state h is NaN at step 3 of row 1"


def test_of_two_readers_the_one_that_spoils_it(told: Any, spoil: Any) -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    spoil(model["b"].weight, 1e38)
    spoil(model["b"].weight, 1e38, (1, 0))

    def run() -> Tensor:
        h = model["a"](torch.zeros(1, 2)) * 0
        return (model["c"](h) + 4 * model["b"](h)).sum()

    assert told(model, run) == "b: the gradient of the input is inf at index (0, 0)"


def test_what_is_done_between_modules_is_left_with_the_maker(told: Any) -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})

    def run() -> Tensor:
        h = model["a"](torch.ones(1, 2))
        return (model["b"](BadBack.apply(h, (0, 1))) + model["c"](h)).sum()

    assert told(model, run) == "a: the gradient of the output is NaN at index (0, 1)"


def test_frozen_parameters_and_a_loss_without_a_graph(told: Any) -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    assert find_nonfinite(model, lambda: model(torch.ones(1, 2)).sum()) is None
    rnn = recur.nn.GRU(2, 2).requires_grad_(False)
    found = told(rnn, lambda: BadBack.apply(rnn(torch.ones(T, B, 2))[0], (2, 1)).sum())
    assert found == "the gradient of the output is NaN at step 2 of row 1"


def test_a_sparse_gradient(told: Any, spoil: Any) -> None:
    model = nn.Embedding(5, 2, sparse=True)
    spoil(model.weight, 3.0)

    def run() -> Tensor:
        return BadBack.apply(model(torch.tensor([1, 4])), (1, 0)).sum()

    assert told(model, run) == "the gradient of the output is NaN at index (1, 0)"
