"""Which rows and steps of a batch a probe looks at: padding, targets of whole rows, what goes along, bad input."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.gradients import probe, state_jacobian
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions

LENGTHS = [2, 9, 0, 6]


def padded_with(value: Tensor, lengths: list[int], fill: float) -> Tensor:
    """(T, B, ...) with something else past each row's end."""
    value = value.clone()
    for row, length in enumerate(lengths):
        value[length:, row] = fill
    return value


def test_what_the_padding_holds_changes_no_figure(kind: Any) -> None:
    inputs = kind.input_size or 3
    layer = kind.make(inputs, 4)
    x = torch.randn(9, 4, inputs, *kind.spatial, dtype=torch.float64)
    target = torch.randn_like(layer(x)[0])
    timed = kind.timed(9, 4) if kind.timed else {}

    def figures(x: Tensor, target: Tensor, timed: dict[str, Tensor]) -> Any:
        batch = SimpleNamespace(x=x, target=target, lengths=LENGTHS)
        return probe(layer, batch, exponents=1, lags=(2,), truncation=3, **timed).to_json()

    found = figures(x, target, timed)
    dirty = {name: padded_with(value, LENGTHS, torch.nan) for name, value in timed.items()}
    assert figures(padded_with(x, LENGTHS, torch.nan), padded_with(target, LENGTHS, torch.nan), dirty) == found
    assert found["num_steps"] == 9
    # The row without a step is not looked at; the shortest one is, up to its last step.
    assert found != figures(x, padded_with(target, [1, 9, 0, 6], 3.0), timed)


def test_padding_of_tokens_is_not_looked_up() -> None:
    options = LanguageModelOptions(cell="gru", num_layers=2, hidden_size=6, embedding_size=5, dropout=0.4)
    model = LanguageModel(11, options)
    x = torch.randint(0, 11, (4, 9))
    found = []
    for fill in (0, -100):
        padded = padded_with(x.T, LENGTHS, fill).T
        batch = SimpleNamespace(x=padded, target=padded, lengths=torch.tensor(LENGTHS), reset=None, weight=None)
        found.append(probe(model, batch, truncation=4).to_json())
    assert found[0] == found[1]


def test_figures_of_padded_rows_are_those_of_the_rows_alone() -> None:
    layer = recur_nn.GRU(3, 4, batch_first=True, dtype=torch.float64)
    # From the second step on four steps at once, which end where the rows do.
    lengths = [65, 33, 49]
    x, target = torch.randn(3, 65, 3, dtype=torch.float64), torch.randn(3, 65, 4, dtype=torch.float64)
    found = probe(layer, SimpleNamespace(x=x, target=target, lengths=lengths), lags=()).layers[0]
    alone = [
        probe(layer, (x[row, None, :length], target[row, None, :length]), lags=()).layers[0]
        for row, length in enumerate(lengths)
    ]
    total = sum(n * one.activity.gates["z"].mean for n, one in zip(lengths, alone, strict=True))
    assert found.activity.gates["z"].mean == pytest.approx(total / sum(lengths), rel=1e-12)
    # All four together are the logarithm of the determinant, whatever vectors they were found from. Three quarters of
    # the steps of each row count.
    total = sum((n - 1) * sum(one.exponents) for n, one in zip(lengths, alone, strict=True))
    assert sum(found.exponents) == pytest.approx(total / sum(n - 1 for n in lengths), rel=1e-10)


def test_losses_past_a_rows_end_are_not_cut_off() -> None:
    layer = recur_nn.GRU(3, 4, dtype=torch.float64)
    x, target = torch.randn(9, 4, 3, dtype=torch.float64), torch.randn(9, 4, 4, dtype=torch.float64)
    alive = (torch.arange(9)[:, None] < torch.tensor(LENGTHS)).double()
    given = {"lengths": LENGTHS}, {"weight": alive}
    shares = [
        probe(layer, SimpleNamespace(x=x, target=target, **more), truncation=2, exponents=0, lags=()).truncated
        for more in given
    ]
    assert shares[0] == pytest.approx(shares[1], rel=1e-12)


def test_singular_values_are_those_of_the_longest_row() -> None:
    layer = recur_nn.GRU(2, 3, dtype=torch.float64)
    x, target = torch.randn(12, 3, 2, dtype=torch.float64), torch.randn(12, 3, 3, dtype=torch.float64)
    reset = torch.zeros(12, 3, dtype=torch.bool)
    reset[4, 1] = True
    batch = SimpleNamespace(x=x, target=target, lengths=[5, 10, 7], reset=reset)
    found = probe(layer, batch, exponents=0, lags=(1, 5, 6, 9)).layers[0].singular_values
    # Six steps back lies the reset.
    assert list(found) == [1, 5]
    state = layer(x[:5, 1:2], reset=reset[:5, 1:2])[1]
    wanted = torch.linalg.svdvals(state_jacobian(layer, x[5:10, 1:2], state)[0])
    assert found[5] == pytest.approx(wanted.tolist(), rel=1e-10)


@pytest.mark.parametrize("own_loss", [False, True])
def test_a_target_for_each_row_is_asked_at_the_rows_own_end(own_loss: bool) -> None:
    layer = recur_nn.GRU(2, 3, batch_first=True, dtype=torch.float64)
    x, target = torch.randn(4, 9, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    lengths = [4, 8, 0, 8]
    loss = (lambda output, wanted: (output[:, -1] - wanted).square().sum(1)) if own_loss else None
    state = torch.randn(1, 4, 3, dtype=torch.float64)
    batch = SimpleNamespace(
        x=padded_with(x.transpose(0, 1), lengths, torch.nan).transpose(0, 1), target=target, lengths=lengths
    )
    found = probe(layer, batch, loss=loss, state=state, truncation=3, exponents=0, lags=())
    assert found.num_steps == 8
    assert found.reach.targets == (3, 7)
    assert found.reach.sources == tuple(range(8))
    alone = probe(layer, (x[:1, :4], target[:1]), loss=loss, state=state[:, :1], exponents=0, lags=())
    torch.testing.assert_close(found.reach.norms[0, :4], alone.reach.norms[0])
    assert found.reach.norms[0, 4:].isnan().all()
    rows = [1, 3]
    both = probe(layer, (x[rows, :8], target[rows]), loss=loss, state=state[:, rows], exponents=0, lags=())
    torch.testing.assert_close(found.reach.norms[1], both.reach.norms[0])
    torch.testing.assert_close(found.reach.parts[""][1, :7], both.reach.norms[0, :7])

    def gradient(k1: int) -> Tensor:
        total = torch.zeros(sum(p.numel() for p in layer.parameters()), dtype=torch.float64)
        for row in (0, 1, 3):
            begin = (lengths[row] - 1) // k1 * k1
            before = layer(x[row, None, :begin], state[:, row, None])[1].detach() if begin else state[:, row, None]
            output = layer(x[row, None, begin : lengths[row]], before)[0][0, -1]
            grads = torch.autograd.grad((output - target[row]).square().sum(), list(layer.parameters()))
            total += torch.cat([grad.flatten() for grad in grads])
        return total

    full = gradient(9)
    assert found.truncated == pytest.approx(float((full - gradient(3)).norm() / full.norm()), rel=1e-12)


@pytest.mark.parametrize("lengths", [[10, 10, 3, 3], [3, 3, 3, 3]])
def test_a_target_for_each_row_stays_one_when_the_rows_are_cut(lengths: list[int]) -> None:
    """Cut to three steps, rows with targets of three numbers have the shape of ones with a target for each step."""
    layer = recur_nn.GRU(2, 3, batch_first=True, dtype=torch.float64)
    x, target = torch.randn(4, 10, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    batch = SimpleNamespace(x=x, target=target, lengths=lengths)
    found = probe(layer, batch, exponents=0, lags=())
    assert found.reach.targets == tuple(sorted({length - 1 for length in lengths}))
    rows = [row for row, length in enumerate(lengths) if length == 3]
    loss = lambda output, wanted: (output[:, -1] - wanted).square().sum(1)  # noqa: E731
    # Of a target as wide as none of the shapes, nothing can be mistaken.
    wide = torch.cat([target, torch.zeros(4, 4, dtype=torch.float64)], 1)[rows]
    alone = probe(
        layer,
        (x[rows, :3], wide),
        loss=lambda output, wanted: loss(output, wanted[:, :3]),
        exponents=0,
        lags=(),
    )
    torch.testing.assert_close(found.reach.norms[0, :3], alone.reach.norms[0])


def test_the_weight_of_a_loss_scales_its_gradient() -> None:
    layer = recur_nn.GRU(2, 3, dtype=torch.float64)
    x, target = torch.randn(6, 2, 2, dtype=torch.float64), torch.randn(6, 2, 3, dtype=torch.float64)
    weight = torch.ones(6, 2)
    weight[4] = 3.0
    weight[5, 0] = 0.0
    plain = probe(layer, (x, target), exponents=0, lags=()).reach.norms
    found = probe(layer, SimpleNamespace(x=x, target=target, weight=weight), exponents=0, lags=()).reach.norms
    torch.testing.assert_close(found[:4], plain[:4], equal_nan=True)
    torch.testing.assert_close(found[4], 3 * plain[4], equal_nan=True)
    only = probe(layer, (x[:, 1:], target[:, 1:]), exponents=0, lags=()).reach.norms
    torch.testing.assert_close(found[5] * 2**0.5, only[5])


class Tower(nn.Module):
    """A network that reads in both directions, below one that does not."""

    batch_first = True

    def __init__(self) -> None:
        super().__init__()
        self.both, self.top = nn.GRU(3, 4, batch_first=True, bidirectional=True), nn.GRU(8, 4, batch_first=True)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.top(self.both(x)[0], state)


def test_networks_that_read_in_both_directions_are_refused() -> None:
    x, target = torch.randn(3, 10, 3), torch.randn(3, 10, 4)
    tower = Tower()
    with pytest.raises(ValueError, match="probe: both, GRU, reads in both directions"):
        probe(tower, (x, target))
    assert type(tower.both) is nn.GRU
    with pytest.raises(ValueError, match="state_jacobian: LSTM reads in both directions"):
        state_jacobian(recur_nn.LSTM(3, 4, bidirectional=True), x)


def test_a_probe_is_the_same_in_inference_mode() -> None:
    layer = recur_nn.GRU(3, 4, dtype=torch.float64)
    with torch.inference_mode():
        x, target, state = (torch.randn(*shape, dtype=torch.float64) for shape in ((8, 2, 3), (8, 2, 4), (1, 2, 4)))
        found = probe(layer, (x, target), state=state, truncation=3).to_json()
        assert torch.is_inference_mode_enabled()
    assert found == probe(layer, (x.clone(), target.clone()), state=state.clone(), truncation=3).to_json()


def test_the_layout_of_the_state_is_found_once() -> None:
    layer = recur_nn.GRU(3, 4)
    steps = []
    layer.register_forward_pre_hook(lambda module, args: steps.append(len(args[0])))
    x, target = torch.randn(6, 2, 3), torch.randn(6, 2, 4)
    probe(layer, (x, target), state=torch.zeros(1, 2, 4), exponents=0, lags=())
    # One row and two for the layout, all for what the layer reads, each step for the reach, all for what its gates did.
    assert steps == [1, 1, 6, *[1] * 6, 6]


def test_a_model_is_as_it_was_when_a_probe_fails() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.last = nn.GRU(2, 3, batch_first=True), Last()

    class Last(nn.Module):
        def train(self, mode: bool = True) -> Last:
            if not mode:
                raise RuntimeError("stays in training")
            return self

    model = Stubborn()
    with pytest.raises(RuntimeError, match="stays in training"):
        probe(model, (torch.zeros(1, 4, 2), torch.zeros(1, 4, 3)))
    assert model.training
    assert model.layer.training
    assert type(model.layer) is nn.GRU


@pytest.mark.parametrize(
    ("given", "options", "error", "text"),
    [
        ({"lengths": [30, 5, 3]}, {}, ValueError, r"lengths must have shape \(2,\), one for each row, but has \(3,\)"),
        ({"lengths": [7, 5]}, {}, ValueError, "lengths has 7, but x has 6 steps"),
        ({"lengths": [0, 0]}, {}, ValueError, "no step counts; every row has length 0"),
        ({"lengths": [1.5, 2.0]}, {}, TypeError, "lengths must be whole numbers"),
        ({"reset": torch.zeros(6, 2)}, {}, TypeError, r"reset must be a torch\.bool tensor"),
        ({"reset": torch.zeros(6, 2) > 0}, {"reset": torch.zeros(6, 2) > 0}, ValueError, "beside a batch that has one"),
        ({}, {"reset": torch.zeros(2, 6) > 0}, ValueError, r"reset must have shape \(T, B\) = \(6, 2\)"),
        ({}, {"times": [1.0]}, TypeError, r"times must be a torch\.Tensor, but is list"),
        ({}, {"lengths": torch.tensor([6, 2])}, ValueError, "Lengths belong into the batch"),
        ({}, {"lags": (0,)}, ValueError, r"lags must be whole numbers from 1 on, but are \[0\]"),
        ({}, {"lags": (1.5,)}, ValueError, "lags must be whole numbers from 1 on"),
        ({}, {"targets": [1.5]}, ValueError, r"targets must be steps from 0 to 5, at least one, but are \[1\.5\]"),
        ({}, {"targets": []}, ValueError, "targets must be steps from 0 to 5, at least one"),
        ({"lengths": [3, 2]}, {"sources": [3]}, ValueError, "sources must be steps from 0 to 2"),
        ({}, {"truncation": (1, 2, 3)}, ValueError, r"the pair \(k1, k2\), not \(1, 2, 3\)"),
        ({}, {"truncation": 0}, ValueError, "truncation must be k1, a whole number from 1 on"),
        ({}, {"truncation": 6}, ValueError, "windows of 6 steps, but the longest row has 6, so that nothing is cut"),
        (
            {"target": torch.zeros(2, 4), "lengths": [6, 3]},
            {"targets": [5]},
            ValueError,
            r"its last step, \[2, 5\] here",
        ),
        ({}, {"seed": "a"}, ValueError, "seed must be a whole number from 0 on"),
    ],
)
def test_bad_input_says_so(given: dict[str, Any], options: dict[str, Any], error: type[Exception], text: str) -> None:
    batch = SimpleNamespace(**{"x": torch.randn(6, 2, 3), "target": torch.zeros(6, 2, 4), **given})
    with pytest.raises(error, match=text):
        probe(recur_nn.GRU(3, 4), batch, **options)
