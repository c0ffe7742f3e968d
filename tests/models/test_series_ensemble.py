"""Networks whose answers are averaged: what they say, what they learn from, and the state they hand on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recur.data.series import Part, SeriesBatch, WholeSeries, panel_of_array
from recur.models import (
    SeriesClassifierNetwork,
    SeriesClassifierOptions,
    SeriesEnsemble,
    SeriesRegressorNetwork,
    SeriesRegressorOptions,
    SeriesShape,
    choose_label_network,
)

SHAPE = SeriesShape(num_features=2)
PLAIN = SeriesClassifierOptions(
    hidden_size=4,
    bidirectional=False,
    convolutions=(),
    pooling="mean",
    jitter=0.0,
    resizing=0.0,
    warping=0.0,
    dropout=0,
)


def batch(labels: list[object], steps: int = 9) -> SeriesBatch:
    values = np.random.default_rng(0).normal(size=(len(labels), steps, 2))
    values[0, 6:] = np.nan
    return next(iter(WholeSeries(Part.whole(panel_of_array(values, labels)), batch_size=8)))


def test_probabilities_are_the_means_of_the_members() -> None:
    one, two = (SeriesClassifierNetwork(PLAIN, SHAPE, 3).double().eval() for _ in range(2))
    given = batch(["a", "b", "c", "a"])
    logits, _ = SeriesEnsemble([one, two])(given)
    mean = (one(given)[0].softmax(-1) + two(given)[0].softmax(-1)) / 2
    torch.testing.assert_close(logits.exp(), mean)
    assert float((one(given)[0] - two(given)[0]).abs().max().detach()) > 1e-3


def test_numbers_are_the_means_of_the_members() -> None:
    members = [SeriesRegressorNetwork(SeriesRegressorOptions(hidden_size=4), SHAPE).double().eval() for _ in range(3)]
    ensemble, given = SeriesEnsemble(members), batch([1.5, 2.5, 9.25, 4.75])
    ensemble.fit_statistics([given])
    assert [float(one.centre) for one in members] == [4.5] * 3
    torch.testing.assert_close(ensemble(given)[0], torch.stack([one(given)[0] for one in members]).mean(0))


def test_each_member_learns_from_its_own_loss() -> None:
    one, two = (SeriesClassifierNetwork(PLAIN, SHAPE, 3).double() for _ in range(2))
    given = batch(["a", "b", "c", "a"])
    SeriesEnsemble([one, two]).loss(given).backward()
    found = [parameter.grad.clone() for parameter in one.parameters() if parameter.grad is not None]
    one.zero_grad()
    one.loss(given).backward()
    expected = [parameter.grad / 2 for parameter in one.parameters() if parameter.grad is not None]
    assert len(found) == len(expected) > 0
    for own, half in zip(found, expected, strict=True):
        torch.testing.assert_close(own, half)


def test_steps_past_the_end_are_zero_and_pieces_give_the_whole() -> None:
    options = replace(PLAIN, per_step=True)
    ensemble = SeriesEnsemble([SeriesClassifierNetwork(options, SHAPE, 2).double().eval() for _ in range(2)])
    given = batch(["a", "b", "a"])
    whole, _ = ensemble(given)
    assert torch.equal(whole[0, 6:], torch.zeros(3, 2, dtype=torch.float64))
    full = batch(["a", "b"], steps=6)
    first, second = (
        replace(
            full,
            x=full.x[:, part],
            observed=full.observed[:, part],
            times=full.times[:, part],
            lengths=full.lengths.clamp(max=4) if part.start == 0 else full.lengths - 4,
        )
        for part in (slice(0, 4), slice(4, 6))
    )
    begun, state = ensemble(first)
    rest, _ = ensemble(second, state)
    torch.testing.assert_close(torch.cat([begun, rest], 1), ensemble(full)[0])


def test_labels_of_the_other_kind_are_refused() -> None:
    ensemble = SeriesEnsemble([SeriesClassifierNetwork(PLAIN, SHAPE, 3)])
    with pytest.raises(TypeError, match="Take SeriesRegressorNetwork for numbers"):
        ensemble.check_labels(batch([0.5, 1.5]))


@pytest.mark.parametrize(("steps", "members"), [(50_000, 3), (50_001, 1)])
def test_few_steps_are_told_of_by_several(steps: int, members: int) -> None:
    chosen, why = choose_label_network(PLAIN, is_irregular=False, num_steps=steps)
    assert chosen.members == members
    assert why["members"].endswith(f"{steps:,} steps")
    given = choose_label_network(replace(PLAIN, members=2), is_irregular=False, num_steps=steps)
    assert (given[0].members, "members" in given[1]) == (2, False)
