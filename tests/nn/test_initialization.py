"""How weights are drawn: each scheme by what it promises."""

import copy
import math

import pytest
import torch
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import register_parametrization

from recur.nn import (
    GRU,
    LSTM,
    MGU,
    RNN,
    GRUDCell,
    IndRNN,
    LiGRU,
    LSTMCell,
    MogrifierLSTMCell,
    MultiplicativeLSTMCell,
    PhasedLSTMCell,
    RHNCell,
)

MADE = [
    (RNN, {}),
    (GRU, {}),
    (GRU, {"reset_after": False}),
    (LSTM, {}),
    (LSTM, {"coupled": True, "peephole": True, "layer_norm": True}),
    (LSTM, {"proj_size": 3}),
    (LSTM, {"proj_size": 12}),
    (MGU, {}),
    (LiGRU, {}),
]
H, INPUTS = 6, 4


def blocks(weight):
    return weight.split(H)


@pytest.mark.parametrize(("kind", "options"), MADE)
def test_orthogonal(kind, options):
    layer = kind(INPUTS, H, 2, bidirectional=True, init="orthogonal", dtype=torch.float64, **options)
    seen = []
    for name, weight in layer.named_parameters():
        if "weight_hh" in name:
            for block in blocks(weight):
                wide = block if block.shape[0] <= block.shape[1] else block.T
                torch.testing.assert_close(wide @ wide.T, torch.eye(len(wide)).double(), rtol=0, atol=1e-12)
                seen.append(block)
        elif "weight_ih" in name:
            for block in blocks(weight):
                # Glorot's rule: uniform, with a variance of 2 / (fan in + fan out).
                bound = math.sqrt(6 / sum(block.shape))
                assert bound / 2 < float(block.detach().abs().max()) <= bound
        elif name.startswith("bias"):
            assert bool((weight == 0).all())
    assert not any(torch.equal(one, other) for k, one in enumerate(seen) for other in seen[:k])


@pytest.mark.parametrize(("kind", "options"), MADE)
def test_identity(kind, options):
    layer = kind(INPUTS, H, init="identity", **options)
    for block in blocks(layer.weight_hh_l0):
        assert torch.equal(block, torch.eye(*block.shape))
    assert not layer.bias_ih_l0.any()
    assert not layer.bias_hh_l0.any()
    assert float(layer.weight_ih_l0.detach().abs().max()) <= H**-0.5


def test_identity_makes_a_rectified_network_sum_its_inputs():
    """The point of Le et al. (2015): without training it already remembers."""
    layer = RNN(1, 1, nonlinearity="relu", init={"weight_ih": torch.nn.init.ones_, "weight_hh": torch.nn.init.eye_})
    with torch.no_grad():
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    output, _ = layer(torch.ones(100, 1, 1))
    assert output.flatten().tolist() == list(range(1, 101))


def test_chrono():
    """Half of the units forget within T / 2 steps; b_f = log(U[1, T - 1]), b_i = -b_f (Tallec and Ollivier 2018)."""
    units, steps = 4000, 100
    layer = LSTM(1, units, init="chrono", chrono_steps=steps)
    i, f, g, o = layer.bias_ih_l0.detach().split(units)
    assert torch.equal(i, -f)
    assert not g.any()
    assert not o.any()
    assert not layer.bias_hh_l0.any()
    spans = f.exp()
    assert 1 - 1e-5 <= float(spans.min()) < 2
    assert steps - 3 < float(spans.max()) <= steps - 1 + 1e-3
    # The mean of a uniform from 1 to 99, within five standard errors.
    assert abs(float(spans.mean()) - steps / 2) < 5 * (steps - 2) / math.sqrt(12 * units)
    assert float(layer.weight_hh_l0.detach().abs().max()) <= units**-0.5
    coupled = LSTM(1, 5, init="chrono", chrono_steps=steps, coupled=True)
    assert bool((coupled.bias_ih_l0[:5] >= 0).all())
    assert not coupled.bias_ih_l0[5:].any()


@pytest.mark.parametrize(("kind", "gate"), [(GRU, 1), (LiGRU, 0)])
def test_chrono_of_an_update_gate(kind, gate):
    layer = kind(1, 5, init="chrono", chrono_steps=50)
    found = layer.bias_ih_l0.detach().split(5)
    assert bool((found[gate] > 0).all())
    assert not any(bool(block.any()) for k, block in enumerate(found) if k != gate)


def test_the_gate_of_an_mgu_holds_the_state_where_it_is_closed():
    units, steps = 4000, 100
    chrono = MGU(1, units, init="chrono", chrono_steps=steps).bias_ih_l0.detach()
    assert -math.log(steps) <= float(chrono[:units].min()) < -math.log(steps - 3)
    assert float(chrono[:units].max()) <= 0
    assert not chrono[units:].any()
    layer = MGU(1, 5, forget_bias=1.0)
    assert (layer.bias_ih_l0 + layer.bias_hh_l0)[:5].tolist() == [-1.0] * 5


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (LSTM(3, 5), "weight_hh_l0"),
        (LSTMCell(3, 5), "weight_hh"),
        (MultiplicativeLSTMCell(3, 5), "weight_mh"),
        (GRU(3, 5, num_layers=2, skip="highway"), "weight_skip_l1"),
    ],
)
def test_a_parametrized_weight_is_drawn_too(module, name):
    plain = copy.deepcopy(module)
    module = weight_norm(copy.deepcopy(module), name)
    before = getattr(module, name).detach().clone()
    for each in (plain, module):
        torch.manual_seed(3)
        each.reset_parameters()
    assert not torch.allclose(before, getattr(module, name))
    bound = float(getattr(plain, name).detach().abs().max())
    # Of a uniform draw of 25 or more numbers the largest is near the bound; the norm's own parts would not keep it.
    assert 0.5 * bound < float(getattr(module, name).detach().abs().max()) < 2 * bound


class Doubled(torch.nn.Module):
    def forward(self, weight):
        return 2 * weight

    def right_inverse(self, weight):
        return weight / 2


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (RHNCell(3, 5), "bias"),
        (PhasedLSTMCell(3, 5), "period"),
        (PhasedLSTMCell(3, 5), "shift"),
        (GRUDCell(3, 5), "decay_h_bias"),
        (MogrifierLSTMCell(3, 5), "weight_q"),
        (LSTMCell(3, 5, forget_bias=2.0), "bias_ih"),
    ],
)
def test_a_parametrized_weight_is_drawn_as_its_cell_draws_it(cell, name):
    plain = copy.deepcopy(cell)
    register_parametrization(cell, name, Doubled())
    for each in (plain, cell):
        torch.manual_seed(3)
        each.reset_parameters()
    # Others are drawn before and after it.
    assert all(torch.equal(getattr(cell, key), weight) for key, weight in plain.named_parameters())


def test_a_weight_that_cannot_be_assigned_to_is_named():
    class Square(torch.nn.Module):
        def forward(self, weight):
            return weight**2

    layer = LSTM(3, 5)
    register_parametrization(layer, "weight_hh_l0", Square())
    with pytest.raises(NotImplementedError, match=r"^LSTM: weight_hh_l0 cannot be drawn, .* Remove the"):
        layer.reset_parameters()


def test_a_parametrized_weight_is_assigned_once():
    class Counted(Doubled):
        count = 0

        def right_inverse(self, weight):
            self.count += 1
            return weight / 2

    layer = LSTM(3, 5, num_layers=2, skip="highway", initial_state="learned")
    register_parametrization(layer, "weight_hh_l0", Counted())
    counted = layer.parametrizations["weight_hh_l0"][0]
    counted.count = 0
    layer.reset_parameters()
    assert counted.count == 1


@pytest.mark.parametrize(("kind", "gate"), [(LSTM, 1), (GRU, 1), (LiGRU, 0)])
def test_forget_bias_is_drawn_and_not_added(kind, gate, compare, flat):
    torch.manual_seed(0)
    layer = kind(3, 5, forget_bias=2.0, dtype=torch.float64)
    torch.manual_seed(0)
    plain = kind(3, 5, dtype=torch.float64)
    for name, weight in plain.named_parameters():
        mine = dict(layer.named_parameters())[name]
        rows = torch.ones(len(weight), dtype=torch.bool)
        if name.startswith("bias"):
            rows[gate * 5 : gate * 5 + 5] = False
            assert torch.equal(mine[~rows], torch.full((5,), 2.0 if "ih" in name else 0.0).double())
        assert torch.equal(mine[rows], weight[rows])
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    compare(flat(layer(x)), flat(plain(x)))
    layer.bias_ih_l0.data.zero_()
    layer.reset_parameters()
    assert torch.equal(layer.bias_ih_l0[gate * 5 : gate * 5 + 5], torch.full((5,), 2.0).double())


def test_functions_for_tensors_fill_each_gate():
    shapes = []

    def fill(block):
        shapes.append(tuple(block.shape))
        block.fill_(len(shapes))

    layer = LSTM(4, 3, proj_size=6, init={"weight_ih": fill, "bias_hh": fill, "weight_hr": fill})
    assert shapes == [(3, 4)] * 4 + [(3,)] * 4 + [(6, 3)]
    assert layer.weight_ih_l0[:, 0].tolist() == [1.0] * 3 + [2.0] * 3 + [3.0] * 3 + [4.0] * 3
    assert layer.bias_hh_l0.tolist() == [5.0] * 3 + [6.0] * 3 + [7.0] * 3 + [8.0] * 3
    assert layer.weight_hr_l0.unique().tolist() == [9.0]
    assert 0 < float(layer.weight_hh_l0.detach().abs().max()) <= 3**-0.5


def test_what_no_scheme_says():
    layer = LSTM(4, 5, 2, layer_norm=True, peephole=True, skip="highway", initial_state="learned", bidirectional=True)
    for name, weight in layer.named_parameters():
        value = weight.detach()
        if name.startswith("norm"):
            assert bool((value == (0 if "bias" in name else 1)).all()), name
        elif name in ("h_0", "c_0"):
            assert not value.any(), name
        elif name.startswith("bias_skip"):
            assert bool((value == -1).all()), name
        else:
            assert 0 < float(value.abs().max()) <= (10 if "skip" in name else 5) ** -0.5, name
    u = IndRNN(4, 1000).weight_hh_l0.detach()
    assert 0 <= float(u.min()) < 0.02 < 0.98 < float(u.max()) <= 1


def test_sizes_of_layers_are_each_drawn_within_their_own_bound():
    layer = GRU(4, [100, 9])
    for number, size in enumerate((100, 9)):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            largest = float(getattr(layer, f"{name}_l{number}").detach().abs().max())
            assert 0.8 * size**-0.5 < largest <= size**-0.5
