"""Series that might have been."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recur.data.series import Part, SeriesBatch, WholeSeries, panel_of_array
from recur.models import SeriesEncoderOptions
from recur.models.augmentation import augmented


@pytest.fixture
def batch(step_classes) -> SeriesBatch:
    (found,) = WholeSeries(Part.whole(step_classes), batch_size=9)
    return found


def ramp(num_rows: int = 200, num_steps: int = 40) -> SeriesBatch:
    """Series whose values are their steps, the steps labelled too."""
    values = torch.arange(num_steps).float().expand(num_rows, -1)
    panel = panel_of_array(values[..., None].numpy(), values.numpy())
    (found,) = WholeSeries(Part.whole(panel), batch_size=num_rows)
    return found


def test_without_options_it_is_the_batch_itself(batch) -> None:
    assert augmented(batch, SeriesEncoderOptions()) is batch


@pytest.mark.parametrize(
    "options",
    [{"jitter": 0.5}, {"resizing": 0.5}, {"warping": 0.5}, {"cropping": 0.9}, {"cropping": 0.5, "jitter": 1.0}],
)
def test_padding_stays_zero_and_missing_numbers_stay_missing(batch, options) -> None:
    for _ in range(20):
        found = augmented(batch, SeriesEncoderOptions(**options), is_end_free=True)
        is_step = torch.arange(9) < found.lengths[:, None]
        assert bool((found.lengths >= 1).all())
        for value in (found.x, found.codes):
            assert not value[~is_step].any()
        for value in (found.times, found.weight, found.target):
            assert not value[~is_step].any()
        assert not found.x[~found.observed].any()
        assert not found.observed[~is_step].any()
        assert found.static is batch.static


def test_cropping_takes_steps_with_all_that_belongs_to_them() -> None:
    torch.manual_seed(0)
    whole = ramp()
    for is_end_free in (False, True):
        found = augmented(whole, SeriesEncoderOptions(cropping=0.5), is_end_free=is_end_free)
        first, ends = [], []
        for row in range(len(found.x)):
            length = int(found.lengths[row])
            steps = found.x[row, :length, 0]
            assert steps.diff().eq(1).all()
            assert torch.equal(found.target[row, :length], steps)
            assert torch.equal(found.times[row, :length], torch.arange(length).float())
            first.append(int(steps[0])), ends.append(int(steps[-1]))
        assert min(first) == 0
        assert max(first) == 20 or (is_end_free and 10 < max(first) < 20)
        assert int(found.lengths.min()) == 20
        assert (min(ends) < 39) == is_end_free


def test_warping_keeps_beginning_end_and_order() -> None:
    torch.manual_seed(0)
    whole = ramp(num_steps=41)
    found = augmented(whole, SeriesEncoderOptions(warping=1.0))
    steps = found.x[..., 0]
    torch.testing.assert_close(steps[:, [0, -1]], torch.tensor([[0.0, 40.0]]).expand(200, -1))
    speeds = steps.diff(dim=1)
    assert bool((speeds > 0).all())
    # Speeds are drawn from 1/2 to 2 and divided by their mean, which lies there too.
    assert bool((speeds < 4).all())
    assert bool((speeds.amax(1) > 1.2).any())
    assert (steps - whole.x[..., 0]).abs().amax() > 3
    # Labels come from the nearest step, and times stay.
    assert bool(((found.target - steps).abs() <= 0.5 + 1e-4).all())
    assert torch.equal(found.times, whole.times)


def test_a_number_is_mixed_only_from_two_that_are_there() -> None:
    torch.manual_seed(0)
    whole = ramp()
    observed = whole.observed.clone()
    observed[:, 10:20] = False
    found = augmented(replace(whole, observed=observed, x=whole.x * observed), SeriesEncoderOptions(warping=1.0))
    kept = found.x[found.observed]
    assert bool(((kept <= 9) | (kept >= 20)).all())
    assert 0.5 < found.observed.float().mean() / observed.float().mean() < 1.5


def test_scaling_is_one_factor_a_channel_and_series_and_noise_is_of_its_size(batch) -> None:
    torch.manual_seed(0)
    found = augmented(batch, SeriesEncoderOptions(resizing=0.3))
    factor = (found.x / batch.x)[batch.observed]
    assert bool((factor > 0).all())
    for row in range(4):
        for channel in range(3):
            there = batch.observed[row, :, channel]
            own = found.x[row, there, channel] / batch.x[row, there, channel]
            torch.testing.assert_close(own, own[:1].expand_as(own))
    many = ramp(2000, 2)
    logs = (augmented(many, SeriesEncoderOptions(resizing=0.3)).x[:, 1] / many.x[:, 1]).log()
    # Five standard errors of the deviation of 2000 normal numbers.
    assert abs(logs.std().item() - 0.3) < 5 * 0.3 / (2 * 2000) ** 0.5
    noise = augmented(many, SeriesEncoderOptions(jitter=0.2)).x - many.x
    assert abs(noise.std().item() - 0.2) < 5 * 0.2 / (2 * 4000) ** 0.5


def test_calendar_features_are_what_they_are(batch) -> None:
    found = augmented(batch, SeriesEncoderOptions(resizing=0.5, jitter=0.5), num_calendar=1)
    assert torch.equal(found.x[..., 2], batch.x[..., 2])
    assert not torch.equal(found.x[..., 1], batch.x[..., 1])


def test_the_seed_says_what_is_drawn(batch) -> None:
    options = SeriesEncoderOptions(jitter=0.1, resizing=0.1, warping=0.5, cropping=0.5)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(augmented(batch, options).x)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
