"""The step, row, layer and state of recurrent layers and cells that go wrong in the forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import recur.nn
from recur.gradients import find_nonfinite

T, B = 6, 4


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("library", [nn, recur.nn])
def test_an_overflow_at_a_known_step_and_row(library: Any, batch_first: bool, told: Any) -> None:
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
def test_one_sequence_alone(library: Any, told: Any) -> None:
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
def test_a_cell_state_that_overflows_unseen(library: Any, told: Any) -> None:
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


def test_the_state_that_goes_wrong_unseen_in_a_stack_of_ones_own(told: Any) -> None:
    layer = recur.nn.Recurrent(lambda size: Doubling(), 2, num_layers=2)
    x = torch.zeros(T, B, 2)
    x[1, 1] = 1e38
    assert bool(torch.isfinite(layer(x)[0]).all())
    # 1e38, 2e38, then beyond 3.4e38.
    assert told(layer, lambda: layer(x)[0].sum()) == "the state memory of layer 0 is inf from step 3 of row 1 on"
    assert find_nonfinite(layer, lambda: layer(x, lengths=[T, 3, T, T])[0].sum()) is None
    assert told(layer, lambda: layer(x, lengths=[T, 5, T, T])[0].sum()).endswith("inf from step 3 of row 1 on")


@pytest.mark.parametrize("library", [nn, recur.nn])
def test_the_layer_of_a_stack_and_its_direction(library: Any, told: Any) -> None:
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


def test_a_packed_sequence(told: Any) -> None:
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


def test_a_list_of_sequences(told: Any) -> None:
    layer = recur.nn.GRU(2, 3)
    rows = [torch.zeros(2, 2), torch.zeros(5, 2)]
    rows[1][3:] = torch.nan
    assert told(layer, lambda: layer(rows)[0][1].sum()) == "the input is NaN from step 3 of row 1 on"


def test_padding_does_not_count(told: Any) -> None:
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


def test_missing_values_are_no_fault_of_a_grud(told: Any, spoil: Any) -> None:
    layer = recur.nn.GRUD(2, 3)
    x = torch.randn(T, B, 2)
    x[1, 1, 1] = torch.nan
    assert find_nonfinite(layer, lambda: layer(x)[0].sum()) is None
    x[2, 3, 0] = torch.inf
    assert told(layer, lambda: layer(x)[0].sum()) == "the input is inf at step 2 of row 3"
    x[2, 3, 0] = 0
    spoil(layer.cells[0].weight_hh, torch.nan)
    assert told(layer, lambda: layer(x)[0].sum()) == "the parameter cells.0.weight_hh is NaN at index (0, 0)"


def test_each_kind_of_layer(kind: Any, told: Any, spoil: Any) -> None:
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


class Own(nn.RNN):
    """A subclass, which is not looked into."""


class Plain(recur.nn.RNN):
    """A subclass with a forward of its own."""

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x)


@pytest.mark.parametrize("make", [Own, Plain])
def test_a_layer_that_cannot_be_looked_into_tells_by_its_output(make: Any, told: Any) -> None:
    layer = make(1, 1, nonlinearity="relu", bias=False, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(2.0)
    x = torch.zeros(B, T, 1)
    x[3, 2] = 1e38
    assert told(layer, lambda: layer(x)[0].sum()) == "the output is inf from step 4 of row 3 on"


@pytest.mark.parametrize("make", [nn.GRUCell, recur.nn.GRUCell, recur.nn.RHNCell])
def test_cells_in_a_loop_count_their_calls(make: Any, told: Any) -> None:
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


def test_an_lstm_cell_tells_which_state(told: Any, overflow: Any) -> None:
    for cell in (nn.LSTMCell(1, 1, bias=False), recur.nn.LSTMCell(1, 1, bias=False)):
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.zero_()
            cell.weight_ih[1] = 100.0

        def run(cell: Any = cell) -> Tensor:
            state = (torch.zeros(B, 1), torch.zeros(B, 1))
            for _ in range(T):
                state = cell(torch.ones(B, 1), state)
                state = (state[0], state[1] + overflow((2, 0), value=1e38)(torch.zeros(B, 1)))
            return state[0].sum()

        # c grows by 1e38 after each step, so that the fourth is given a sum beyond 3.4e38.
        assert told(cell, run) == "the input is inf at step 4 of row 2"
