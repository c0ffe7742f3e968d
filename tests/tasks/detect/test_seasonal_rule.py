"""The seasonal rule by hand, in pieces, and for series of different seasons."""

from __future__ import annotations

import torch

from recur.tasks.detect.seasonal_rule import begin_season, seasonal_errors


def test_errors_by_hand() -> None:
    nan = torch.nan
    values = torch.tensor([[[1.0], [10.0], [2.0], [nan], [5.0], [13.0]]], dtype=torch.float64)
    errors, state = seasonal_errors(values, torch.ones(1, 6, dtype=torch.bool), begin_season(torch.tensor([2]), 1))
    # What is usual at the even places becomes 1, then 1 + 0.3 (2 - 1); at the odd ones 10 stays, as one is missing.
    wanted = torch.tensor([nan, nan, 1.0, nan, 3.7, 3.0], dtype=torch.float64)
    assert torch.allclose(errors[0, :, 0], wanted, equal_nan=True)
    assert torch.allclose(state.usual[0, :, 0], torch.tensor([1.3 + 0.3 * 3.7, 10.9], dtype=torch.float64))
    assert state.place.tolist() == [0]


def test_pieces_and_rows_alone_give_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 40, 2, generator=generator, dtype=torch.float64)
    values[torch.rand(values.shape, generator=generator) < 0.2] = torch.nan
    lengths = torch.tensor([40, 25, 33])
    is_step = torch.arange(40) < lengths[:, None]
    seasons = torch.tensor([7, 5, 1])
    whole, end = seasonal_errors(values, is_step, begin_season(seasons, 2))
    assert whole[2].isnan().all()
    assert whole[1, 25:].isnan().all()
    assert not whole[0][values[0].isnan()].isfinite().any()
    assert whole[0, 7:].isfinite().sum() > 40
    state, found = begin_season(seasons, 2), []
    for part in (slice(0, 1), slice(1, 18), slice(18, 40)):
        errors, state = seasonal_errors(values[:, part], is_step[:, part], state)
        found.append(errors)
    assert torch.equal(torch.cat(found, 1).nan_to_num(-1), whole.nan_to_num(-1))
    assert torch.equal(state.usual.nan_to_num(9), end.usual.nan_to_num(9))
    assert torch.equal(state.place, end.place)
    for row in range(3):
        alone, _ = seasonal_errors(
            values[row : row + 1], is_step[row : row + 1], begin_season(seasons[row : row + 1], 2)
        )
        assert torch.equal(alone[0].nan_to_num(-1), whole[row].nan_to_num(-1))
