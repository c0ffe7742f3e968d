"""The probe against answers that are known beforehand, and against plain autograd."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recur import nn as recur_nn
from recur.data.batch import Batch
from recur.gradients.probes.diagnosis import diagnose
from recur.gradients.probes.jacobian import Trajectory, state_jacobian
from recur.gradients.probes.probing import probe
from recur.gradients.probes.sequence_model import SequenceModel, held_still, readings_of
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.nn import nest

BACKENDS = ("reference", "cpu")


def linear_rnn(weight: Tensor, backend: str = "reference") -> recur_nn.RNN:
    """A recurrent layer whose rectifier never matters: from a state of ones it stays there."""
    size = len(weight)
    layer = recur_nn.RNN(1, size, nonlinearity="relu", backend=backend, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.copy_(weight)
        layer.bias_ih_l0.copy_(1 - weight.sum(1))
        layer.bias_hh_l0.zero_()
    return layer


def normal_matrix(values: list[float], seed: int = 0) -> Tensor:
    """A symmetric matrix with these eigenvalues."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))[0]
    return q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ q.T


def trajectory(layer: Any, steps: int, rows: int = 1, inputs: int = 1) -> Trajectory:
    x = torch.randn(steps, rows, inputs, dtype=torch.float64)
    return Trajectory(SequenceModel("probe", layer), x, torch.ones(1, rows, layer.hidden_size, dtype=torch.float64))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_linear_network_has_the_spectrum_of_its_matrix(backend: str) -> None:
    values = [0.9, 0.7, 0.4, 0.2]
    layer = linear_rnn(normal_matrix(values), backend)
    with held_still(layer):
        along = trajectory(layer, 80, rows=2)
        along.advance([60, 70])
        for lag in (10, 20):
            wanted = torch.tensor([value**lag for value in values], dtype=torch.float64)
            # A product of `lag` matrices of four rows, each rounded.
            torch.testing.assert_close(along.singular_values(80 - lag, 80)[0], wanted, rtol=0, atol=lag * 4 * 2.3e-16)
        exponents, steps = along.lyapunov_exponents(4, every=1, generator=torch.Generator().manual_seed(1))
    assert steps.tolist() == [60, 60]
    # They turn towards the eigenvectors as (0.7 / 0.9)^2t; over the first quarter, 20 steps, that is 4e-5.
    torch.testing.assert_close(
        exponents, torch.tensor(values, dtype=torch.float64).log().expand(2, -1), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_weights_of_an_indrnn_are_its_eigenvalues(backend: str) -> None:
    u = torch.tensor([0.99, 0.5, -0.8, 0.1], dtype=torch.float64)
    layer = recur_nn.IndRNN(1, 4, nonlinearity="relu", backend=backend, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.copy_(u)
        layer.bias_ih_l0.fill_(50.0)
        layer.bias_hh_l0.zero_()
    found = state_jacobian(layer, torch.zeros(7, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 4, dtype=torch.float64))
    torch.testing.assert_close(found[0], torch.diag(u**7), rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("forget", "decay"), [(40.0, 1.0), (-40.0, 0.0), (0.0, 0.5)])
def test_an_lstm_whose_forget_gate_is_forced_keeps_its_cell_so(backend: str, forget: float, decay: float) -> None:
    size = 3
    layer = recur_nn.LSTM(2, size, backend=backend, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
        layer.bias_ih_l0.copy_(torch.tensor([0.3, forget, 0.2, 40.0], dtype=torch.float64).repeat_interleave(size))
    zeros = torch.zeros(1, 1, size, dtype=torch.float64)
    steps = 9
    jacobian = state_jacobian(layer, torch.randn(steps, 1, 2, dtype=torch.float64), (zeros, zeros))[0]
    # Nothing flows through h, for its weights are zero; c goes on by the forget gate alone.
    assert jacobian[:, :size].abs().max() == 0
    torch.testing.assert_close(
        jacobian[size:, size:], torch.eye(size, dtype=torch.float64) * decay**steps, rtol=1e-14, atol=1e-17
    )
    target = torch.randn(steps, 1, size, dtype=torch.float64)
    found = probe(layer, (torch.randn(steps, 1, 2, dtype=torch.float64), target), exponents=0, lags=())
    (gate,) = [found.layers[0].activity.gates["f"]]
    assert gate.mean == pytest.approx(decay, abs=1e-15)
    constants = found.layers[0].activity.time_constants
    wanted = {1.0: math.inf, 0.5: 1 / math.log(2), 0.0: 1 / 40.0}[decay]
    # A gate of sigmoid(40) is one less 4e-18, which is one.
    assert constants == pytest.approx([wanted] * size, rel=1e-12)
    assert (gate.low, gate.high) == {1.0: (0, 1), 0.5: (0, 0), 0.0: (1, 0)}[decay]


def test_the_time_constant_of_each_cell_is_that_of_the_gate_that_keeps() -> None:
    """With its gates at 1/4 the state of a GRU and a LiGRU keeps a quarter a step, that of an MGU three quarters."""
    bias = math.log(1 / 3)
    for name, gates, place, keeps in (("GRU", 3, 1, 0.25), ("LiGRU", 2, 0, 0.25), ("MGU", 2, 0, 0.75)):
        layer = getattr(recur_nn, name)(1, 2, dtype=torch.float64)
        with torch.no_grad():
            for weight in layer.parameters():
                weight.zero_()
            layer.bias_ih_l0.view(gates, 2)[place] = bias
            h = torch.ones(1, 1, 2, dtype=torch.float64)
            x = torch.zeros(5, 1, 1, dtype=torch.float64)
            # The candidate is zero, so that what is left after five steps was kept.
            torch.testing.assert_close(layer(x, h)[1], h * keeps**5, rtol=1e-14, atol=0)
        found = probe(layer, (x, torch.zeros(5, 1, 2, dtype=torch.float64)), state=h, exponents=0, lags=())
        assert found.layers[0].activity.time_constants == pytest.approx([-1 / math.log(keeps)] * 2, rel=1e-13), name


def naive_reach(layer: Any, x: Tensor, losses: Any, along: dict[str, Tensor]) -> Tensor:
    """The norms of dE_t/dh_s by one call a step and one backward pass a pair, for one row; NaN after a reset."""
    states: list[list[Tensor]] = []
    state = None
    norms = torch.full((len(x), len(x)), torch.nan, dtype=torch.float64)
    for t in range(len(x)):
        output, state = layer(x[t : t + 1], state, **{name: value[t : t + 1] for name, value in along.items()})
        # Each a tensor of its own: a cell may hand on what it was given.
        state = nest.mapped(lambda leaf: leaf.clone() if leaf.requires_grad else leaf.detach().requires_grad_(), state)
        loss = losses(output)[0]
        for s, before in enumerate(states):
            grads = torch.autograd.grad(loss, before, retain_graph=True, allow_unused=True)
            if not along["reset"][s + 1 : t + 1].any():
                norms[t, s] = math.sqrt(sum(float((g * g).sum()) for g in grads if g is not None))
        states.append([leaf for _, leaf in nest.leaves(state)])
    return norms


def test_the_reach_is_what_autograd_gives_for_each_pair(kind_on: Any) -> None:
    kind, options = kind_on
    inputs, num_steps = kind.input_size or 4, 7
    layer = kind.make(inputs, 5, num_layers=2, **options)
    x = torch.randn(num_steps, 2, inputs, *kind.spatial, dtype=torch.float64)
    along = {"reset": torch.zeros(num_steps, 2, dtype=torch.bool)} | (kind.timed(num_steps, 2) if kind.timed else {})
    along["reset"][4, 0] = True
    lengths = [num_steps, 5]
    weight = torch.randn_like(layer(x[:1])[0][0, 0])

    def losses(output: Tensor) -> Tensor:
        return (output * weight).flatten(2).sum(2).square()

    with held_still(layer):
        rows = [
            naive_reach(
                layer,
                x[:length, row : row + 1],
                lambda output: losses(output).sum(1),
                {name: value[:length, row : row + 1] for name, value in along.items()},
            )
            for row, length in enumerate(lengths)
        ]
    both = torch.full((2, num_steps, num_steps), torch.nan, dtype=torch.float64)
    for row, norms in enumerate(rows):
        both[row, : len(norms), : len(norms)] = norms
    wanted = both.square().nanmean(0).sqrt()
    layer.batch_first = True
    given = {name: value.transpose(0, 1) for name, value in along.items()}
    batch = SimpleNamespace(x=x.transpose(0, 1), target=torch.zeros(2, num_steps), lengths=lengths)
    found = probe(layer, batch, loss=lambda output, _: losses(output), exponents=0, lags=(), **given).reach.norms
    is_before = torch.ones(num_steps, num_steps, dtype=torch.bool).tril(-1)
    # One is a chain of pieces, the other of steps, in another order of sums.
    torch.testing.assert_close(found[is_before], wanted[is_before], rtol=1e-10, atol=1e-14, equal_nan=True)
    assert wanted[6, 3].isnan()
    assert wanted[4, 3] == rows[1][4, 3] > 0
    assert bool(found[torch.ones_like(is_before).triu(1)].isnan().all())


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_reset_cuts_and_rows_that_ended_do_not_count(backend: str) -> None:
    layer = recur_nn.GRU(3, 4, batch_first=True, backend=backend, dtype=torch.float64)
    x = torch.randn(2, 8, 3, dtype=torch.float64)
    reset = torch.zeros(2, 8, dtype=torch.bool)
    reset[:, 5] = True
    batch = Batch(
        x=x,
        lengths=torch.tensor([8, 6]),
        target=torch.randn(2, 8, 4, dtype=torch.float64),
        weight=torch.ones(2, 8),
        index=torch.arange(2),
        reset=reset,
    )
    found = probe(layer, batch, exponents=0, lags=())
    norms = found.reach.norms
    assert norms[5:, :5].isnan().all()
    assert found.reach.by_lag()[0] == (0, 1, 2, 3, 4)
    assert norms[4, :5].min() > 0
    # At step 6 one row is left, at step 5 there are two.
    alone = probe(layer, Batch(**{**vars(batch), "lengths": torch.tensor([8, 8])}), rows=1, exponents=0, lags=())
    torch.testing.assert_close(norms[7, 5:], alone.reach.norms[7, 5:])
    both = probe(layer, Batch(**{**vars(batch), "lengths": torch.tensor([8, 8])}), exponents=0, lags=())
    torch.testing.assert_close(norms[4, :5], both.reach.norms[4, :5])
    # Where no pair of steps is left, there is nothing to say.
    cut = probe(layer, Batch(**{**vars(batch), "reset": torch.ones_like(reset)}), targets=[7], sources=[0, 3])
    assert cut.reach.by_lag()[0] == ()
    assert cut.reach.memory_length() is None
    assert cut.layers[0].exponents == ()
    assert cut.layers[0].singular_values == {}


def test_the_lags_of_a_known_decay() -> None:
    layer = linear_rnn(0.5 * torch.eye(2, dtype=torch.float64))
    x, target = torch.zeros(12, 1, 1, dtype=torch.float64), torch.zeros(12, 1, dtype=torch.float64)
    ones = torch.ones(1, 1, 2, dtype=torch.float64)
    found = probe(layer, (x, target), state=ones, loss=lambda output, _: output.sum(2), exponents=2, lags=(1, 3, 40))
    lags, norms = found.reach.by_lag()
    assert lags == tuple(range(12))
    wanted = math.sqrt(2) * 0.5 ** torch.arange(12, dtype=torch.float64)
    torch.testing.assert_close(norms, wanted, rtol=1e-14, atol=0)
    # 0.5^3 is above a tenth, 0.5^4 below.
    assert found.reach.memory_length() == 4
    assert found.reach.memory_length(0.5) == 2
    assert found.reach.memory_length(1e-9) is None
    assert list(found.layers[0].singular_values) == [1, 3]
    assert found.layers[0].singular_values[3] == pytest.approx((0.125, 0.125), rel=1e-14)
    assert found.layers[0].exponents == pytest.approx((math.log(0.5),) * 2, rel=1e-13)


def test_torchs_own_layers_are_seen_through_and_left_as_they_were() -> None:
    model = nn.LSTM(3, 4, num_layers=2, batch_first=True, dropout=0.3)
    model.weight_hh_l0.requires_grad_(False)
    before = {name: (p.requires_grad, p.clone()) for name, p in model.named_parameters()}
    random = torch.get_rng_state()
    x, target = torch.randn(3, 10, 3), torch.randn(3, 10, 4)
    random = torch.get_rng_state()
    found = probe(model, (x, target))
    assert torch.equal(torch.get_rng_state(), random)
    assert type(model) is nn.LSTM
    assert model.training
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == before[name][0]
        assert torch.equal(parameter, before[name][1])
        assert parameter.grad is None
    assert [layer.name for layer in found.layers] == ["l0", "l1"]
    assert set(found.layers[0].activity.gates) == {"i", "f", "o"}
    assert len(found.layers[0].exponents) == 4


def test_a_whole_language_model_and_its_figures_as_json() -> None:
    options = LanguageModelOptions(cell="lstm", num_layers=2, hidden_size=6, embedding_size=5, dropout=0.4)
    model = LanguageModel(11, options)
    x = torch.randint(0, 11, (5, 70))
    batch = Batch(
        x=x,
        target=x.roll(-1, 1),
        lengths=torch.full((5,), 70),
        weight=torch.ones(5, 70),
        index=torch.arange(5),
    )
    found = probe(model, batch, lags=(1, 4), rows=2)
    assert found.reach.norms.shape[0] == 64
    assert list(found.reach.parts) == ["0.0", "0.1", "1.0", "1.1"]
    figures = found.to_json()
    assert figures["num_steps"] == 70
    assert figures["memory_length"] == found.reach.memory_length()
    assert [layer["name"] for layer in figures["layers"]] == ["layers.0", "layers.1"]
    assert sum(figures["layers"][0]["gates"]["f"]["histogram"]) == pytest.approx(1, rel=1e-4)
    assert figures["reach"][0][-1] is None
    # The whole state's norm is that of its parts together.
    parts = torch.stack(list(found.reach.parts.values())).square().sum(0).sqrt()
    seen = ~parts.isnan()
    torch.testing.assert_close(parts[seen], found.reach.norms[seen], rtol=1e-6, atol=0)
    carried = model(x, None)[1]
    assert probe(model, batch, state=carried, rows=2, lags=()).reach.norms.shape == found.reach.norms.shape


def test_one_target_for_each_row_is_for_the_last_step() -> None:
    layer = recur_nn.RNN(2, 3, batch_first=True, dtype=torch.float64)
    x, target = torch.randn(4, 6, 2, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    found = probe(layer, (x, target), exponents=0, lags=())
    assert found.reach.targets == (5,)
    same = probe(
        layer, (x, target), loss=lambda output, wanted: (output[:, -1] - wanted).square().sum(1), exponents=0, lags=()
    )
    torch.testing.assert_close(found.reach.norms, same.reach.norms)


@pytest.mark.parametrize("shape", [(4, 6), (4,)])
def test_an_output_without_features_is_a_number_a_step(shape: tuple[int, ...]) -> None:
    layer = recur_nn.RNN(2, 1, batch_first=True, dtype=torch.float64)

    def model(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = layer(x, state)
        return output.squeeze(2) if len(shape) == 2 else output[:, -1, 0], state

    x, target = torch.randn(4, 6, 2, dtype=torch.float64), torch.randn(*shape, dtype=torch.float64)
    found = probe(model, (x, target), exponents=0, lags=())
    same = probe(model, (x, target), loss=lambda output, wanted: (output - wanted).square(), exponents=0, lags=())
    torch.testing.assert_close(found.reach.norms, same.reach.norms, equal_nan=True)
    assert found.reach.norms[-1, 0] > 0


@pytest.mark.parametrize("truncation", [4, (4, 8), (3, 12)])
def test_the_share_that_truncation_removes_is_that_of_the_definition(truncation: Any) -> None:
    layer = recur_nn.GRU(2, 3, dtype=torch.float64)
    x, target = torch.randn(12, 2, 2, dtype=torch.float64), torch.randn(12, 2, 3, dtype=torch.float64)
    found = probe(layer, (x, target), truncation=truncation, exponents=0, lags=()).truncated
    k1, k2 = truncation if isinstance(truncation, tuple) else (truncation, truncation)

    def gradient(pairs: list[tuple[int, int, int]]) -> Tensor:
        """The sum over windows: a state without a gradient up to `cut`, losses from `begin` to `end`."""
        total = torch.zeros(sum(p.numel() for p in layer.parameters()), dtype=torch.float64)
        for cut, begin, end in pairs:
            state = layer(x[:cut])[1].detach() if cut else None
            y = layer(x[cut:end], state)[0][begin - cut :]
            grads = torch.autograd.grad((y - target[begin:end]).square().sum(), list(layer.parameters()))
            total += torch.cat([grad.flatten() for grad in grads])
        return total

    full = gradient([(0, 0, 12)])
    windows = [(max(min(b + k1, 12) - k2, 0), b, min(b + k1, 12)) for b in range(0, 12, k1)]
    wanted = float((full - gradient(windows)).norm() / full.norm())
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-14)
    assert (wanted < 1e-14) == (k2 == 12)
    assert all(p.requires_grad for p in layer.parameters())
    with pytest.raises(ValueError, match="k2 is 2, but must be at least k1 = 4"):
        probe(layer, (x, target), truncation=(4, 2))
    with pytest.raises(TypeError, match="the model has no parameters that are trained"):
        probe(lambda x, state: layer(x, state), (x, target), truncation=4, batch_first=False)


def test_saturated_and_dead_units_are_counted() -> None:
    layer = recur_nn.RNN(1, 4, dtype=torch.float64)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        # Two that are stuck at one, of which one is at times released; one that never moves; one that follows x.
        layer.bias_ih_l0.copy_(torch.tensor([9.0, 9.0, 0.2, 0.0]))
        layer.weight_ih_l0.copy_(torch.tensor([[1.0], [-9.0], [0.0], [1.0]]))
    x = torch.zeros(10, 1, 1, dtype=torch.float64)
    x[:2] = 1.0
    found = probe(layer, (x, torch.zeros(10, 1, 4, dtype=torch.float64)), exponents=0, lags=())
    # tanh(9) and tanh(10) differ by less than 0.001 too, so that the first is both.
    assert found.layers[0].activity.saturated == 0.25
    assert found.layers[0].activity.dead == 0.5


def test_what_cannot_be_probed_says_so() -> None:
    layer = nn.RNN(2, 3)
    x = torch.randn(5, 1, 2)
    good = (x, torch.randn(5, 1, 3))
    with pytest.raises(
        ValueError, match=r"^probe: batch_first is True, but GRU has batch_first=False\. Leave it out\.$"
    ):
        probe(recur_nn.GRU(3, 4), (torch.randn(5, 2, 3), torch.randn(5, 2, 4)), batch_first=True)
    with pytest.raises(TypeError, match=r"must return \(output, state\), but returned Tensor"):
        probe(lambda x, state: x, good, batch_first=False)
    with pytest.raises(TypeError, match=r"the state 1 is torch\.int64, and has no gradient"):
        probe(lambda x, state: (x, (x, x.long())), good, batch_first=False)
    with pytest.raises(TypeError, match="batch must be a Batch"):
        probe(layer, x)
    with pytest.raises(ValueError, match="give a target for each step, or one for each row"):
        probe(layer, (x, torch.zeros(7)))
    with pytest.raises(ValueError, match="Pass loss="):
        probe(layer, (x, torch.zeros(5, 1, 9)))
    with pytest.raises(ValueError, match="must return the loss of each step"):
        probe(layer, good, loss=lambda output, target: (output - target).square().mean())
    with pytest.raises(ValueError, match="loss of step 0 has no gradient with respect to the state"):
        probe(layer, good, loss=lambda output, target: target.sum(2))
    with pytest.raises(ValueError, match="sources must be steps from 0 to 4"):
        probe(layer, good, sources=[5])
    with pytest.raises(ValueError, match="rows must be a whole number from 1 on"):
        probe(layer, good, rows=0)
    with pytest.raises(ValueError, match="none of its dimensions counts the rows"):
        probe(lambda x, state: (layer(x)[0], torch.zeros(3)), good, batch_first=False)
    with pytest.raises(ValueError, match="x must have rows and steps"):
        probe(layer, (torch.zeros(5, 0, 2), torch.zeros(5, 0, 3)))

    def detached(x: Tensor, state: Any) -> tuple[Tensor, Tensor]:
        output, state = layer(x, state)
        return output, state.detach()

    with pytest.raises(ValueError, match="A model that detaches its state cannot be probed"):
        state_jacobian(detached, x, torch.zeros(1, 1, 3), batch_first=False)
    assert all(p.requires_grad for p in layer.parameters())


def test_readings_note_what_each_layer_got() -> None:
    layer = recur_nn.GRU(2, 3, batch_first=True)
    x = torch.randn(2, 4, 2)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 3]), batch_first=True)
    with readings_of(layer) as readings:
        layer(packed)
        layer(x)
    assert len(readings) == 1
    assert readings[0].lengths.tolist() == [4, 3]
    assert torch.equal(readings[0].x[0], x[0])


def test_what_is_not_finite_is_named() -> None:
    layer = recur_nn.GRU(3, 8)
    x, target = torch.randn(20, 2, 3), torch.randn(20, 2, 8)
    x[7, 1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"^probe: x holds NaN or infinite values within the rows that are probed\. "):
        probe(layer, (x, target))


def test_a_jacobian_that_explodes_beyond_numbers_is_a_finding() -> None:
    layer = recur_nn.RNN(2, 4, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1e5 * torch.ones(4, 4))
        layer.weight_ih_l0.fill_(1e-30)
    found = probe(
        layer, (torch.ones(16, 1, 2), torch.zeros(16, 1, 4)), loss=lambda output, _: output.mean(2), lags=(8,)
    )
    assert all(math.isnan(value) for value in found.layers[0].singular_values[8])
    assert "exploding gradient" in [finding.name for finding in diagnose(found)]
