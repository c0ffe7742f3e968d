"""Networks of detectors: their errors by hand, in pieces, without a look ahead; and their losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recur.data.series import Panel, Part, SeriesBatch, Windows
from recur.errors import OptionError
from recur.models.detector_choice import build_detector, choose_detector
from recur.models.detector_options import DetectorOptions
from recur.models.lead_network import LeadNetwork
from recur.models.series_autoencoder import SeriesAutoencoder
from recur.models.series_shape import SeriesShape

LEADS = DetectorOptions(history=12, hidden_size=5, level=True, leads=(1, 3))
CODES = DetectorOptions(way="autoencoder", history=12, hidden_size=5, level=False, window=4, code_size=2)
BOTH = pytest.mark.parametrize("options", [LEADS, CODES], ids=["forecast", "autoencoder"])


def windows(history: int = 12, least: int | None = None) -> Windows:
    values = np.random.default_rng(0).standard_normal((40, 2))
    values[7, 1] = values[20] = np.nan
    return Windows(
        Part.whole(Panel.of_rows(["a"], [40], values)), history=history, horizon=1, batch_size=64, least_history=least
    )


def made(options: DetectorOptions, of: Windows) -> Any:
    torch.manual_seed(3)
    shape = SeriesShape.of(of.part.panel.schema, of.channels, of.future_channels, 1)
    return build_detector(options, shape).double().eval()


def pieces(batch: SeriesBatch, *cuts: int) -> list[SeriesBatch]:
    found, begin = [], 0
    for stop in (*cuts, batch.x.shape[1]):
        part = slice(begin, stop)
        lengths = (batch.lengths - begin).clamp(0, stop - begin)
        found.append(replace(batch, x=batch.x[:, part], observed=batch.observed[:, part], lengths=lengths))
        begin = stop
    return found


@BOTH
def test_pieces_give_the_errors_of_the_whole(options: DetectorOptions) -> None:
    of = windows(least=3)
    network = made(options, of)
    batch = next(iter(of))
    assert len(set(batch.lengths.tolist())) > 3
    whole, end = network.errors(batch)
    for cuts in ((5,), tuple(range(1, 12))):
        state, found = None, []
        for piece in pieces(batch, *cuts):
            errors, state = network.errors(piece, state)
            found.append(errors)
        assert torch.allclose(torch.cat(found, 1), whole, rtol=1e-9, atol=1e-9, equal_nan=True)
        for one, other in zip(_tensors(state), _tensors(end), strict=True):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)
    is_step = torch.arange(12) < batch.lengths[:, None]
    assert not whole[~(is_step[..., None] & batch.observed[..., :2])].isfinite().any()


@BOTH
def test_no_error_knows_of_later_steps(options: DetectorOptions) -> None:
    of = windows()
    network = made(options, of)
    batch = next(iter(of))
    before, _ = network.errors(batch)
    x = batch.x.clone()
    x[:, 8:] += 5
    after, _ = network.errors(replace(batch, x=x))
    assert torch.equal(before[:, :8].nan_to_num(-1), after[:, :8].nan_to_num(-1))
    is_there = before[:, 8].isfinite() & after[:, 8].isfinite()
    assert ((before[:, 8] != after[:, 8]) | ~is_there).all()


def test_an_error_is_the_distance_from_what_was_told_a_lead_before() -> None:
    of = windows()
    network = made(LEADS, of)
    assert network.views == ("told 1 step before", "told 3 steps before")
    batch = next(iter(of))
    errors, _ = network.errors(batch)
    for place, lead in enumerate((1, 3)):
        # The window up to `lead` before a step tells it, as its last word.
        read = 10 - lead
        short = replace(
            batch, x=batch.x[:, :read], observed=batch.observed[:, :read], lengths=batch.lengths.clamp(max=read)
        )
        _, before = network.errors(short)
        told = before.told[-1, :, place]
        wanted = (batch.x[:, 9, :2].double() - told).abs()
        is_there = batch.observed[:, 9, :2]
        assert torch.allclose(errors[:, 9, :, place][is_there], wanted[is_there], rtol=1e-9)
        assert errors[:, :lead, :, place].isnan().all()


def test_a_description_is_of_the_last_steps() -> None:
    of = windows()
    network = made(CODES, of)
    assert network.views == ("described now", "described over 4 steps")
    batch = next(iter(of))
    errors, _ = network.errors(batch)
    # Told anew at each of the last steps, the mean of four is not the mean of four errors of their own.
    row = int(batch.observed[:, 4:9, 0].all(1).nonzero()[0])
    x = batch.x[row : row + 1]
    timeline = replace(batch, x=x, observed=batch.observed[row : row + 1], lengths=batch.lengths[row : row + 1])
    short = replace(timeline, x=x[:, :9], observed=timeline.observed[:, :9], lengths=torch.tensor([9]))
    one, _ = network.errors(short)
    assert torch.allclose(one[0, 8], errors[row, 8], rtol=1e-9)
    away = errors[row, 8, 0]
    assert away[0] != away[1]
    changed = x.clone()
    changed[0, 8, 0] += 1.0
    # A value that is far off is described worse, and by a fourth of that over all four.
    worse, _ = network.errors(replace(timeline, x=changed))
    assert worse[0, 8, 0, 1] - errors[row, 8, 0, 1] != 0


@BOTH
def test_a_loss_is_the_mean_of_the_errors(options: DetectorOptions) -> None:
    of = windows()
    network = made(options, of)
    batch = next(iter(of))
    total, weight = network.absolute_errors(batch)
    assert network.loss(batch).item() == pytest.approx((total / weight).item())
    if options.way == "forecast":
        # What is told within a window, and of the step after it, is what stands in the errors of one step more.
        joined = replace(
            batch,
            x=torch.cat([batch.x, batch.target], 1),
            observed=torch.cat([batch.observed, batch.weight > 0], 1),
            lengths=batch.lengths + 1,
        )
        errors, _ = network.errors(joined)
        known = errors[~errors.isnan()]
        assert len(known) == int(weight)
        assert total.item() == pytest.approx(known.sum().item(), rel=1e-9)


@BOTH
def test_steps_before_the_part_do_not_count(options: DetectorOptions) -> None:
    of = windows()
    network = made(options, of)
    batch = next(iter(of))
    nothing = replace(batch, history_weight=torch.zeros(batch.x.shape[:2]))
    total, weight = network.absolute_errors(nothing)
    counted = int((batch.weight > 0).sum()) * len(options.leads) if options.way == "forecast" else 0
    assert int(weight) == counted
    assert (total.item() == 0) is (counted == 0)


@BOTH
def test_every_weight_learns(options: DetectorOptions) -> None:
    of = windows()
    network = made(options, of).train()
    network.loss(next(iter(of))).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize(("options", "kind"), [(LEADS, LeadNetwork), (CODES, SeriesAutoencoder)])
def test_a_network_needs_all_its_options(options: DetectorOptions, kind: type[Any]) -> None:
    shape = SeriesShape(num_targets=1, num_features=1, horizon=1)
    assert isinstance(build_detector(options, shape), kind)
    with pytest.raises(OptionError, match=f"{kind.__name__}: options must give history, hidden_size and level"):
        kind(replace(options, level=None), shape)
    with pytest.raises(
        OptionError, match=f"{kind.__name__}: the shape must have targets and a horizon of 1, but has 1"
    ):
        kind(options, replace(shape, horizon=2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"way": "guess"}, "way must be one of forecast, autoencoder, not 'guess'"),
        ({"cell": "gro"}, "cell must be one of"),
        ({"false_alarms": 0.02}, r"false_alarms must be a number above 0 and up to 0\.01"),
        ({"false_alarms": 0}, r"false_alarms must be a number above 0 and up to 0\.01"),
        ({"quiet": 0}, "quiet must be a whole number from 1 on, not 0"),
        ({"memory": 99}, "memory must be a whole number from 100 on, not 99"),
        ({"dropout": 1.0}, "dropout must be a number from 0 to below 1"),
        ({"no_rules": None}, "no_rules must be true or false, not None"),
        ({"level": 1}, "level must be true or false, not 1"),
        ({"leads": ()}, r"leads must be whole numbers from 1 on, growing, such as \(1, 4, 16\), not \(\)"),
        ({"leads": (4, 1)}, "leads must be whole numbers"),
        ({"leads": (1, 9), "history": 8}, "leads: 9 is longer than the history of 8"),
        ({"way": "autoencoder", "leads": (1, 4)}, "leads are of way forecast, not autoencoder"),
        ({"window": 8}, "window is of way autoencoder, not forecast"),
        ({"code_size": 8}, "code_size is of way autoencoder, not forecast"),
    ],
)
def test_options_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DetectorOptions(**given)


def test_what_is_open_is_chosen_for_the_series() -> None:
    chosen, why = choose_detector(DetectorOptions(), num_values=5000, longest=600, season=288)
    assert (chosen.history, chosen.leads, chosen.quiet, chosen.hidden_size) == (288, (1,), None, 64)
    assert why["history"] == "no more than 288 steps"
    assert chosen.is_complete
    chosen, why = choose_detector(DetectorOptions(history=10), num_values=50, longest=30)
    assert (chosen.history, chosen.hidden_size) == (10, 32)
    assert "history" not in why
    chosen, _ = choose_detector(DetectorOptions(way="autoencoder"), num_values=50, longest=30)
    assert chosen.history == 15
    assert chosen.is_complete


def test_the_history_reaches_as_far_as_the_leads() -> None:
    chosen, why = choose_detector(DetectorOptions(leads=(1, 200)), num_values=9000, longest=9000)
    assert chosen.history == 200
    assert why["history"] == "as far as the longest lead, of 200"
    with pytest.raises(
        OptionError, match=r"^leads: 200 is longer than the history of 150; give shorter ones, or a long"
    ):
        choose_detector(DetectorOptions(leads=(1, 200)), num_values=300, longest=300)


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in _tensors(part)]
