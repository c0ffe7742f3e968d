"""The network that tells numbers: values, loss, scale, bounds, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recur.data.series import LabelWindows, Panel, Part, SeriesBatch, WholeSeries, remaining_life
from recur.models import SeriesRegressorNetwork, SeriesRegressorOptions, SeriesShape


def batch_of(panel: Panel) -> SeriesBatch:
    (found,) = WholeSeries(Part.whole(panel), batch_size=len(panel))
    return found


def network_of(panel: Panel, **options) -> SeriesRegressorNetwork:
    torch.manual_seed(0)
    shape = SeriesShape.of(panel.schema, WholeSeries(Part.whole(panel), batch_size=1).channels)
    defaults = {"hidden_size": 8, "dropout": 0.0}
    return SeriesRegressorNetwork(SeriesRegressorOptions(**(defaults | options)), shape).double()


def test_the_scale_is_that_of_the_labels_that_count(numbers) -> None:
    network, batch = network_of(numbers), batch_of(numbers)
    plain, _ = network(batch)
    network.fit_statistics([replace(batch, weight=torch.tensor([1.0, 1.0, 2.0, 0.0]))])
    # Of 1.5, -2, 4.25 and 4.25 again.
    assert network.centre.item() == 2
    assert network.scale.item() == pytest.approx(((0.25 + 16 + 2 * 2.25**2) / 4) ** 0.5)
    values, _ = network(batch)
    torch.testing.assert_close(values, plain * network.scale + network.centre)


def test_labels_that_are_all_the_same_have_the_scale_one(numbers) -> None:
    network, batch = network_of(numbers), batch_of(numbers)
    network.fit_statistics([replace(batch, target=torch.full((4,), 0.1))])
    assert network.centre.item() == pytest.approx(0.1, abs=1e-7)
    assert network.scale.item() == 1


@pytest.mark.parametrize("kind", ["squared", "absolute"])
def test_the_loss_is_in_units_of_the_scale_and_weighted(numbers, kind) -> None:
    network, batch = network_of(numbers, loss=kind), batch_of(numbers)
    network.fit_statistics([batch])
    weight = torch.tensor([1.0, 0.5, 2.0, 0.0])
    values, _ = network(batch)
    error = (values - batch.target) / network.scale
    losses = error.square() if kind == "squared" else error.abs()
    torch.testing.assert_close(network.loss(replace(batch, weight=weight)), (losses * weight).sum() / weight.sum())


def test_the_loss_of_steps_counts_those_with_a_label(step_numbers) -> None:
    network, batch = network_of(step_numbers, per_step=True), batch_of(step_numbers)
    network.fit_statistics([batch])
    values, _ = network(batch)
    assert values.shape == (4, 9)
    assert not values[torch.arange(9) >= batch.lengths[:, None]].any()
    counts = batch.weight > 0
    assert int(counts.sum()) == 18
    expected = ((values - batch.target)[counts] / network.scale).square().mean()
    torch.testing.assert_close(network.loss(batch), expected)
    known = batch.target[counts].double()
    torch.testing.assert_close(network.centre, known.mean())
    torch.testing.assert_close(network.scale, known.std(correction=0))


def test_a_bound_costs_only_below_it(numbers) -> None:
    network, batch = network_of(numbers), batch_of(numbers)
    values, _ = network(batch)
    target = (values + torch.tensor([2.0, -3.0, 1.0, 5.0])).detach().float()
    censored = torch.tensor([True, True, False, False])
    loss = network.loss(replace(batch, target=target, censored=censored))
    # Below by 2 costs 4; above by 3 costs nothing.
    torch.testing.assert_close(loss, torch.tensor((4 + 0 + 1 + 25) / 4).double(), rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(loss, network.output.bias)
    torch.testing.assert_close(gradient, torch.tensor([-2.0 * (2 + 1 + 5) / 4]).double(), rtol=1e-6, atol=0)


def test_cropping_leaves_the_end(numbers) -> None:
    network, batch = network_of(numbers, cropping=0.9, pooling="mean").train(), batch_of(numbers)
    seen = []
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for _ in range(30):
        network.loss(batch)
    assert min(int(one.lengths[0]) for one in seen) < 4
    assert len({round(float(one.x[0, one.lengths[0] - 1].sum()), 5) for one in seen}) == 1


def test_what_cannot_be_learned_is_refused(classes, numbers, step_numbers) -> None:
    with pytest.raises(TypeError, match=r"^SeriesRegressorNetwork: the labels are torch\.int64, but numbers are"):
        network_of(classes).loss(batch_of(classes))
    with pytest.raises(ValueError, match=r"^SeriesRegressorNetwork: the labels are of steps, \(4, 9\), but per_step"):
        network_of(step_numbers).loss(batch_of(step_numbers))
    batch = replace(batch_of(numbers), weight=torch.zeros(4))
    with pytest.raises(
        ValueError, match=r"^SeriesRegressorNetwork: no label counts, so there is nothing to learn\. Na"
    ):
        network_of(numbers).fit_statistics([batch])
    assert network_of(numbers).loss(batch).item() == 0


def wear(num_runs: int, seed: int) -> Panel:
    """Runs that end when their wear, seen with noise, reaches one."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(20, 60, (num_runs,), generator=generator).tolist()
    worn = torch.cat([torch.linspace(0, 1, length) for length in lengths])
    noisy = torch.stack([worn + 0.05 * torch.randn(len(worn), generator=generator), worn.sqrt()], 1)
    return Panel.of_rows([f"run{k}" for k in range(num_runs)], lengths, noisy.numpy())


def test_it_learns_how_long_runs_have_left_from_bounds_too() -> None:
    panel = wear(40, seed=0)
    # Half of the runs were stopped in the middle.
    stops = panel.offsets[1:].copy()
    stops[::2] -= 15
    stopped = panel.ids[::2]
    rows = torch.cat([torch.arange(a, b) for a, b in zip(panel.offsets[:-1].tolist(), stops.tolist(), strict=True)])
    train = Panel.of_rows(panel.ids, stops - panel.offsets[:-1], panel.values[rows.numpy()])
    train = remaining_life(train, cap=30, censored=stopped)
    assert train.rows.censored.any()
    windows = LabelWindows(Part.whole(train), history=10, batch_size=64, seed=0)
    shape = SeriesShape.of(train.schema, windows.channels)
    torch.manual_seed(0)
    network = SeriesRegressorNetwork(SeriesRegressorOptions(hidden_size=16), shape)
    network.fit_statistics(LabelWindows(Part.whole(train), history=10, batch_size=64))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(8):
        for batch in windows:
            optimizer.zero_grad()
            network.loss(batch).backward()
            optimizer.step()
    test = remaining_life(wear(20, seed=1), cap=30)
    (batch,) = LabelWindows(Part.whole(test), history=10, batch_size=10_000)
    network.eval()
    error = (network(batch)[0] - batch.target).square().mean().sqrt()
    mean_error = (batch.target.mean() - batch.target).square().mean().sqrt()
    assert error < 0.5 * mean_error
