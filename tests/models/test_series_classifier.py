"""The network that tells classes: logits, loss, weights, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from recur.data.series import Panel, Part, SeriesBatch, Split, WholeSeries, panel_of_array
from recur.errors import OptionError
from recur.models import SeriesClassifierNetwork, SeriesClassifierOptions, SeriesShape


def batch_of(panel: Panel) -> SeriesBatch:
    (found,) = WholeSeries(Part.whole(panel), batch_size=len(panel))
    return found


def network_of(panel: Panel, **options) -> SeriesClassifierNetwork:
    torch.manual_seed(0)
    shape = SeriesShape.of(panel.schema, WholeSeries(Part.whole(panel), batch_size=1).channels)
    plain = {"bidirectional": False, "convolutions": (), "jitter": 0.0, "resizing": 0.0, "warping": 0.0}
    defaults = {"hidden_size": 8, "dropout": 0.0, **plain}
    return SeriesClassifierNetwork(SeriesClassifierOptions(**(defaults | options)), shape, 3).double()


def test_the_loss_is_the_mean_cross_entropy(classes) -> None:
    network, batch = network_of(classes), batch_of(classes)
    logits, _ = network(batch)
    assert logits.shape == (4, 3)
    torch.testing.assert_close(network.loss(batch), cross_entropy(logits, torch.tensor([0, 1, 1, 2])))


def test_the_loss_of_steps_counts_those_with_a_label(step_classes) -> None:
    network, batch = network_of(step_classes, per_step=True), batch_of(step_classes)
    logits, _ = network(batch)
    assert logits.shape == (4, 9, 3)
    is_step = torch.arange(9) < batch.lengths[:, None]
    assert not logits[~is_step].any()
    counts = batch.weight > 0
    # Two of the 20 steps have no label.
    assert int(counts.sum()) == 18
    torch.testing.assert_close(network.loss(batch), cross_entropy(logits[counts], batch.target[counts]))


def test_weights_of_labels_and_classes_count(classes) -> None:
    network, batch = network_of(classes, label_smoothing=0.3), batch_of(classes)
    weight = torch.tensor([1.0, 0.5, 2.0, 0.0])
    network.class_weight.copy_(torch.tensor([1.0, 3.0, 7.0]))
    logits, _ = network(batch)
    losses = cross_entropy(logits, batch.target, label_smoothing=0.3, reduction="none")
    counted = torch.tensor([1.0, 1.5, 6.0]).double()
    expected = (losses[:3] * counted).sum() / counted.sum()
    torch.testing.assert_close(network.loss(replace(batch, weight=weight)), expected)


def test_sums_over_batches_are_those_of_all_however_labels_fall_into_them(classes) -> None:
    network = network_of(classes)
    network.class_weight.copy_(torch.tensor([1.0, 3.0, 7.0]))
    batch, alone = batch_of(classes), [batch_of(classes.select([number])) for number in range(4)]
    total, weight = network.loss_sums(batch)
    torch.testing.assert_close(total / weight, network.loss(batch))
    sums = [network.loss_sums(one) for one in alone]
    torch.testing.assert_close(sum(own for own, _ in sums), total)
    torch.testing.assert_close(sum(counted for _, counted in sums), weight)


def test_where_nothing_counts_the_loss_is_zero_and_so_is_its_gradient(classes) -> None:
    network, batch = network_of(classes), batch_of(classes)
    loss = network.loss(replace(batch, weight=torch.zeros(4)))
    loss.backward()
    assert loss.item() == 0
    assert all(not value.grad.any() for value in network.parameters() if value.grad is not None)


@pytest.mark.parametrize("kind", ["none", "balanced"])
def test_balanced_weights_are_the_inverse_of_the_classes_shares(classes, kind) -> None:
    network, batch = network_of(classes, class_weights=kind), batch_of(classes)
    network.fit_statistics([replace(batch, weight=torch.tensor([1.0, 1.0, 1.0, 0.0]))])
    # One of class 0, two of class 1; class 2 has none that counts.
    assert network.class_weight.tolist() == ([1.5, 0.75, 1] if kind == "balanced" else [1, 1, 1])
    steps = [t for row, n in zip(batch.times, batch.lengths.tolist(), strict=True) for t in row[:n].diff().tolist()]
    assert network.encoder.time_unit.item() == pytest.approx(torch.tensor(steps).median().item())


def test_training_sees_augmented_series_and_evaluation_does_not(classes) -> None:
    network, batch = network_of(classes, jitter=1.0), batch_of(classes)
    plain, _ = network.train()(batch)
    expected = cross_entropy(plain, batch.target)
    assert not torch.allclose(network.loss(batch), expected)
    torch.testing.assert_close(network.eval().loss(batch), expected)


def test_cropping_leaves_the_end_where_the_last_step_tells(classes) -> None:
    batch = batch_of(classes)
    for pooling, is_end_free in (("last", False), ("mean", True)):
        network = network_of(classes, cropping=0.9, pooling=pooling).train()
        seen = []
        network.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        for _ in range(30):
            network.loss(batch)
        lasts = {round(float(one.x[0, one.lengths[0] - 1].sum()), 5) for one in seen}
        assert (len(lasts) > 1) == is_end_free
        assert min(int(one.lengths[0]) for one in seen) < 4


@pytest.mark.parametrize("options", [{}, {"per_step": True}])
def test_pieces_give_the_whole(step_classes, options) -> None:
    network, batch = network_of(step_classes, **options), batch_of(step_classes)
    whole, _ = network(batch)
    steps = {name: getattr(batch, name) for name in ("x", "observed", "times", "codes")}
    first = replace(batch, lengths=batch.lengths.clamp(max=4), **{n: v[:, :4] for n, v in steps.items()})
    rest = replace(batch, lengths=(batch.lengths - 4).clamp(min=0), **{n: v[:, 4:] for n, v in steps.items()})
    one, state = network(first)
    other, _ = network(rest, state)
    torch.testing.assert_close(torch.cat([one, other], 1) if options else other, whole)


@pytest.mark.parametrize(("panel", "per_step"), [("classes", True), ("step_classes", False)])
def test_labels_of_the_other_kind_are_refused(request, panel, per_step) -> None:
    panel = request.getfixturevalue(panel)
    network, batch = network_of(panel, per_step=per_step), batch_of(panel)
    has = "series" if per_step else "steps"
    for call in (network.loss, lambda one: network.fit_statistics([one])):
        with pytest.raises(ValueError, match=rf"^SeriesClassifierNetwork: the labels are of {has}, \("):
            call(batch)


def test_numbers_and_too_few_classes_are_refused(numbers) -> None:
    network = network_of(numbers)
    with pytest.raises(TypeError, match=r"^SeriesClassifierNetwork: the labels are torch\.float32, but classes are"):
        network.loss(batch_of(numbers))
    with pytest.raises(
        ValueError, match=r"^SeriesClassifierNetwork: no label counts, so there is nothing to learn\. Na"
    ):
        network_of(numbers).fit_statistics([])
    with pytest.raises(OptionError, match=r"^num_classes must be a whole number from 2 on, not 1\.$"):
        SeriesClassifierNetwork(SeriesClassifierOptions(), SeriesShape(num_features=1), 1)


def test_it_says_which_back_end_runs(classes) -> None:
    (found,) = network_of(classes).explain(4, 9)
    assert found["layer"] == "encoder.recurrent"
    assert found["backend"]


def test_it_learns_which_series_rise() -> None:
    rng = np.random.default_rng(0)
    slope = rng.choice([-1.0, 1.0], 120)
    values = slope[:, None] * np.linspace(-1, 1, 12) + rng.normal(size=(120, 12))
    panel = panel_of_array(values[..., None], np.where(slope > 0, "up", "down"))
    torch.manual_seed(0)
    shape = SeriesShape.of(panel.schema, WholeSeries(Part.whole(panel), batch_size=1).channels)
    options = SeriesClassifierOptions(hidden_size=8, filters=8, warping=0.2, cropping=0.1)
    network = SeriesClassifierNetwork(options, shape, 2)
    split = Split.by_label(panel, valid=0, test=20)
    (train,), (test,) = (WholeSeries(part, batch_size=120) for part in (split.train, split.test))
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(train).backward()
        optimizer.step()
    network.eval()
    right = (network(test)[0].argmax(1) == test.target).double().mean()
    # The sign of the slope's estimate is right for 99 of 100 such series; telling one class, for about half.
    assert right > 0.85
