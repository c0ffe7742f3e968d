"""What is found in networks that are broken on purpose: in the forward pass, in the backward pass alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import recur.nn
from recur.gradients import NonFinite, find_nonfinite

T, B = 6, 4


class Network(nn.Module):
    """A linear layer, two recurrent ones, a linear one; time first."""

    def __init__(self, first: nn.Module, second: nn.Module | None = None) -> None:
        super().__init__()
        self.read = nn.Linear(3, 3)
        self.layers = nn.ModuleList([first] if second is None else [first, second])
        self.write = nn.LazyLinear(2)

    def forward(self, x: Tensor, **more: Any) -> Tensor:
        x = self.read(x)
        for layer in self.layers:
            x = layer(x, **more)[0]
        found: Tensor = self.write(x)
        return found


def network(make: Callable[..., nn.Module] = recur.nn.LSTM, **options: Any) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    model = Network(make(3, 4, **options), make(4, 4))
    x = torch.randn(T, B, 3)
    model(x)
    return model, x


def told(model: nn.Module, run: Callable[[], Tensor], **more: Any) -> str:
    found = find_nonfinite(model, run, **more)
    assert found is not None
    assert json.loads(json.dumps(found.to_json()))["tensor"] == found.tensor
    return str(found)


def spoil(tensor: Tensor, value: float = torch.inf, index: tuple[int, ...] = (0, 0)) -> None:
    with torch.no_grad():
        tensor[index] = value


class Overflow(nn.Module):
    """An identity that makes chosen places too large to go on with."""

    def __init__(self, *places: tuple[int, ...], value: float = torch.inf) -> None:
        super().__init__()
        self.places, self.value = places, value

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        for place in self.places:
            x[place] = self.value
        return x


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


# --- nothing ----------------------------------------------------------------------------------------------------------


def test_a_good_step_has_nothing_and_is_left_as_it_was() -> None:
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


def test_hooks_are_gone_after_an_error_too() -> None:
    model, _ = network()
    with pytest.raises(ZeroDivisionError):
        find_nonfinite(model, lambda: torch.tensor(1 / 0))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# --- forward ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [nn, recur.nn])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_bad_input(library: Any, name: str) -> None:
    model, x = network(getattr(library, name))
    assert told(model, lambda: model(Overflow((3, 2, 1))(x)).sum()) == "read: the input is inf at index (3, 2, 1)"
    layer = model.layers[0]
    bad = Overflow((3, 2, 1), (4, 2, 0), (5, 2, 2), (4, 1, 0), value=-torch.inf)(x)
    assert told(layer, lambda: layer(bad)[0].sum()) == "the input is -inf from step 3 of row 2 on"
    bad = Overflow((3, 2, 1), (5, 2, 2), value=torch.nan)(x)
    assert told(layer, lambda: layer(bad)[0].sum()) == "the input is NaN at step 3 of row 2"


def test_a_bad_parameter_is_named_before_what_it_spoils() -> None:
    model, x = network()
    spoil(model.layers[1].weight_hh_l0, torch.inf, (2, 3))
    assert told(model, lambda: model(x).sum()) == "layers.1: the parameter weight_hh_l0 is inf at index (2, 3)"
    model, x = network()
    spoil(model.write.bias, torch.nan, (1,))
    assert told(model, lambda: model(x).sum()) == "write: the parameter bias is NaN at index 1"


def test_a_bad_parameter_that_spoils_nothing_forward() -> None:
    model, x = network()
    # tanh and sigmoid make a finite number of it.
    spoil(model.layers[0].bias_ih_l0, -torch.inf, (0,))
    assert bool(torch.isfinite(model(x)).all())
    assert told(model, lambda: model(x).sum()) == "layers.0: the parameter bias_ih_l0 is -inf at index 0"


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("library", [nn, recur.nn])
def test_an_overflow_at_a_known_step_and_row(library: Any, batch_first: bool) -> None:
    # A state that doubles with each step but where the input says so: 2^k 1e38 overflows in the second step after it.
    layer = library.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=batch_first)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(2.0)
    x = torch.zeros(T, B, 1)
    x[2, 3] = 1e38
    given = x.transpose(0, 1) if batch_first else x
    assert told(layer, lambda: layer(given)[0].sum()) == "the state h is inf from step 4 of row 3 on"
    x[1, 1], x[2, 3] = 1e38, 0
    assert told(layer, lambda: layer(given)[0].sum()) == "the state h is inf from step 3 of row 1 on"


@pytest.mark.parametrize("library", [nn, recur.nn])
def test_one_sequence_alone(library: Any) -> None:
    layer = library.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(2.0)
    x = torch.zeros(T, 1)
    x[2] = 1e38
    assert told(layer, lambda: layer(x)[0].sum()) == "the state h is inf from step 4 on"
    x[2] = torch.nan
    assert told(layer, lambda: layer(x)[0].sum()) == "the input is NaN at step 2"


@pytest.mark.parametrize("library", [nn, recur.nn])
def test_a_cell_state_that_overflows_unseen(library: Any) -> None:
    # The gates are half open and o tanh(c) is finite, whatever c is; only the final state tells.
    layer = library.LSTM(1, 1, num_layers=2, bias=False)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    hx = (torch.zeros(2, B, 1), torch.zeros(2, B, 1))
    hx[1][1, 2] = torch.inf
    assert bool(torch.isfinite(layer(torch.zeros(T, B, 1), hx)[0]).all())
    assert (
        told(layer, lambda: layer(torch.zeros(T, B, 1), hx)[0].sum()) == "the initial state is inf at index (1, 2, 0)"
    )


class Doubling(nn.Module):
    """A cell whose memory doubles; what it puts out does not show it."""

    def __init__(self) -> None:
        super().__init__()
        self.state_size = {"memory": 2, "last": 2}
        self.output_size = 2
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        memory = 2 * state["memory"] + x
        return torch.tanh(memory) * self.scale, {"memory": memory, "last": x}


def test_the_state_that_goes_wrong_unseen_in_a_stack_of_ones_own() -> None:
    layer = recur.nn.Recurrent(lambda size: Doubling(), 2, num_layers=2)
    x = torch.zeros(T, B, 2)
    x[1, 1] = 1e38
    assert bool(torch.isfinite(layer(x)[0]).all())
    # 1e38, 2e38, then beyond 3.4e38.
    assert told(layer, lambda: layer(x)[0].sum()) == "the state memory of layer 0 is inf from step 3 of row 1 on"
    assert find_nonfinite(layer, lambda: layer(x, lengths=[T, 3, T, T])[0].sum()) is None
    assert told(layer, lambda: layer(x, lengths=[T, 5, T, T])[0].sum()).endswith("inf from step 3 of row 1 on")


@pytest.mark.parametrize("library", [nn, recur.nn])
def test_the_layer_of_a_stack_and_its_direction(library: Any) -> None:
    torch.manual_seed(0)
    layer = library.RNN(1, 1, num_layers=2, nonlinearity="relu", bias=False, bidirectional=True)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.5)
            if name == "weight_hh_l1_reverse":
                parameter.fill_(3.0)
    x = torch.zeros(T, B, 1)
    x[4, 2] = 2e38
    # Halved on the way, the second layer gets about 1e38 from both directions of the first at step 4; going back it is
    # tripled and more.
    found = told(layer, lambda: layer(x)[0].sum())
    assert found == "the state h of layer 1 in the reverse direction is inf from step 3 of row 2 back"


def test_a_packed_sequence() -> None:
    for library in (nn, recur.nn):
        layer = library.RNN(1, 1, nonlinearity="relu", bias=False)
        with torch.no_grad():
            layer.weight_ih_l0.fill_(1.0)
            layer.weight_hh_l0.fill_(2.0)
        rows = [torch.zeros(2, 1), torch.zeros(6, 1), torch.zeros(4, 1)]
        rows[2][1] = 1e38

        def run(rows: Any = rows, layer: Any = layer) -> Tensor:
            found: Tensor = layer(pack_sequence(rows, enforce_sorted=False))[0].data.sum()
            return found

        assert told(layer, run) == "the state h is inf at step 3 of row 2"
        rows[2][1] = torch.nan
        assert told(layer, run) == "the input is NaN at step 1 of row 2"


def test_a_list_of_sequences() -> None:
    layer = recur.nn.GRU(2, 3)
    rows = [torch.zeros(2, 2), torch.zeros(5, 2)]
    rows[1][3:] = torch.nan
    assert told(layer, lambda: layer(rows)[0][1].sum()) == "the input is NaN from step 3 of row 1 on"


def test_padding_does_not_count() -> None:
    layer = recur.nn.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(2.0)
    x = torch.zeros(T, B, 1)
    x[3:, 0] = torch.nan
    lengths = [3, T, T, T]
    assert find_nonfinite(layer, lambda: layer(x, lengths=lengths)[0].sum()) is None
    x[2, 3] = 1e38
    assert told(layer, lambda: layer(x, lengths=lengths)[0].sum()) == "the state h is inf from step 4 of row 3 on"


def test_missing_values_are_no_fault_of_a_grud() -> None:
    layer = recur.nn.GRUD(2, 3)
    x = torch.randn(T, B, 2)
    x[1, 1, 1] = torch.nan
    assert find_nonfinite(layer, lambda: layer(x)[0].sum()) is None
    x[2, 3, 0] = torch.inf
    assert told(layer, lambda: layer(x)[0].sum()) == "the input is inf at step 2 of row 3"
    x[2, 3, 0] = 0
    spoil(layer.cells[0].weight_hh, torch.nan)
    assert told(layer, lambda: layer(x)[0].sum()) == "the parameter cells.0.weight_hh is NaN at index (0, 0)"


def test_each_kind_of_layer(kind: Any) -> None:
    size = 3 if kind.input_size is None else kind.input_size
    layer = kind.make(size, 4)
    x = torch.randn(5, 2, size, *kind.spatial, dtype=torch.float64)
    assert find_nonfinite(layer, lambda: layer(x)[0].square().sum()) is None
    x[3, 1] = torch.inf
    assert told(layer, lambda: layer(x)[0].sum()) == "the input is inf at step 3 of row 1"
    x[3, 1] = 0
    weight = next(
        p for name, p in layer.named_parameters() if "weight_hh" in name or "both" in name or "weight" in name
    )
    spoil(weight, torch.nan, (0,) * weight.dim())
    assert "the parameter" in told(layer, lambda: layer(x)[0].sum())


def test_the_same_random_numbers_find_the_same() -> None:
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


class Own(nn.RNN):
    """A subclass, which is not looked into."""


class Plain(recur.nn.RNN):
    """A subclass with a forward of its own."""

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x)


@pytest.mark.parametrize("make", [Own, Plain])
def test_a_layer_that_cannot_be_looked_into_tells_by_its_output(make: Any) -> None:
    layer = make(1, 1, nonlinearity="relu", bias=False, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(2.0)
    x = torch.zeros(B, T, 1)
    x[3, 2] = 1e38
    assert told(layer, lambda: layer(x)[0].sum()) == "the output is inf from step 4 of row 3 on"


@pytest.mark.parametrize("make", [nn.GRUCell, recur.nn.GRUCell, recur.nn.RHNCell])
def test_cells_in_a_loop_count_their_calls(make: Any) -> None:
    model = nn.ModuleDict({"cell": make(2, 3)})

    def run(x: Tensor) -> Tensor:
        h = None
        for x_t in x:
            h = model["cell"](x_t) if h is None else model["cell"](x_t, h)
        assert h is not None
        return h.sum()

    x = torch.randn(T, B, 2)
    x[4, 2] = torch.inf
    assert told(model, lambda: run(x)) == "cell: the input is inf at step 4 of row 2"
    x = torch.randn(T, 2)
    x[3] = torch.nan
    assert told(model, lambda: run(x)) == "cell: the input is NaN at step 3"


def test_an_lstm_cell_tells_which_state() -> None:
    for cell in (nn.LSTMCell(1, 1, bias=False), recur.nn.LSTMCell(1, 1, bias=False)):
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.zero_()
            cell.weight_ih[1] = 100.0

        def run(cell: Any = cell) -> Tensor:
            state = (torch.zeros(B, 1), torch.zeros(B, 1))
            for _ in range(T):
                state = cell(torch.ones(B, 1), state)
                state = (state[0], state[1] + Overflow((2, 0), value=1e38)(torch.zeros(B, 1)))
            return state[0].sum()

        # c grows by 1e38 after each step, so that the fourth is given a sum beyond 3.4e38.
        assert told(cell, run) == "the input is inf at step 4 of row 2"


def test_a_module_between() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Overflow((1, 2, 0)), nn.Linear(3, 1))
    assert told(model, lambda: model(torch.randn(T, B, 3)).sum()) == "1: the output is inf at index (1, 2, 0)"


def test_modules_that_are_ignored() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Overflow((1, 2, 0), value=-torch.inf), nn.Softmax(-1))
    x = torch.randn(T, B, 3)
    assert told(model, lambda: model(x).sum()) == "1: the output is -inf at index (1, 2, 0)"
    assert find_nonfinite(model, lambda: model(x).square().sum(), ignore=["1"]) is None


def test_a_loss_by_itself() -> None:
    model, x = network()
    assert told(model, lambda: (model(x).sum() * 0).log()) == "the loss is -inf"


# --- backward ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("library", [nn, recur.nn])
def test_a_root_at_zero_after_a_layer(library: Any, batch_first: bool) -> None:
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


def test_a_gradient_that_is_bad_from_a_step_back() -> None:
    model, x = network(recur.nn.GRU)
    place = (slice(0, 4), 1)
    found = told(model, lambda: BadBack.apply(model.layers[0](model.read(x))[0], place).sum())
    assert found == "layers.0: the gradient of the output is NaN from step 3 of row 1 back"


@pytest.mark.parametrize("library", [nn, recur.nn])
@pytest.mark.parametrize("has_module_before", [False, True])
def test_a_gradient_that_explodes_inside_a_layer(library: Any, has_module_before: bool) -> None:
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


def test_a_cells_gradient_tells_the_call() -> None:
    model = nn.ModuleDict({"cell": nn.GRUCell(2, 3)})

    def run() -> Tensor:
        h = torch.zeros(B, 3)
        for t in range(T):
            h = model["cell"](torch.ones(B, 2), h)
            if t == 3:
                h = BadBack.apply(h, (1, 0))
        return h.sum()

    assert told(model, run) == "cell: the gradient of the state h is NaN at step 3 of row 1"


def test_of_two_readers_the_one_that_spoils_it() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    spoil(model["b"].weight, 1e38)
    spoil(model["b"].weight, 1e38, (1, 0))

    def run() -> Tensor:
        h = model["a"](torch.zeros(1, 2)) * 0
        return (model["c"](h) + 4 * model["b"](h)).sum()

    assert told(model, run) == "b: the gradient of the input is inf at index (0, 0)"


def test_what_is_done_between_modules_is_left_with_the_maker() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})

    def run() -> Tensor:
        h = model["a"](torch.ones(1, 2))
        return (model["b"](BadBack.apply(h, (0, 1))) + model["c"](h)).sum()

    assert told(model, run) == "a: the gradient of the output is NaN at index (0, 1)"


def test_frozen_parameters_and_a_loss_without_a_graph() -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    assert find_nonfinite(model, lambda: model(torch.ones(1, 2)).sum()) is None
    rnn = recur.nn.GRU(2, 2).requires_grad_(False)
    found = told(rnn, lambda: BadBack.apply(rnn(torch.ones(T, B, 2))[0], (2, 1)).sum())
    assert found == "the gradient of the output is NaN at step 2 of row 1"


def test_a_sparse_gradient() -> None:
    model = nn.Embedding(5, 2, sparse=True)
    spoil(model.weight, 3.0)

    def run() -> Tensor:
        return BadBack.apply(model(torch.tensor([1, 4])), (1, 0)).sum()

    assert told(model, run) == "the gradient of the output is NaN at index (1, 0)"


# --- refusals ---------------------------------------------------------------------------------------------------------


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
