"""A trained detector: what it finds, what it must not know, and the same in any pieces."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recur.calibration import SurpriseScale
from recur.data.series import Frequency
from recur.errors import DataError, RunError
from recur.models.detector_options import DetectorOptions
from recur.tasks.detect.alarms import alarm_begins, highest_lately
from recur.tasks.detect.pieces import Pieces
from recur.tasks.detect.seasonal_rule import begin_season, seasonal_errors
from recur.tasks.detect.trained import TrainedDetector, tail_of_scores
from recur.tasks.loading import load

Five = Any


def test_a_planted_anomaly_is_found_and_blamed_on_its_channel(run: Path, five: Five) -> None:
    trained = load(run)
    assert isinstance(trained, TrainedDetector)
    found = trained.predict(five.planted())
    assert found.columns == [
        "series_id",
        "time",
        "score",
        "alarm",
        "begins",
        *(f"because {name}" for name in five.channels),
    ]
    row = found.row(five.place, named=True)
    assert row["series_id"] == "a"
    assert row["time"] == five.place
    assert row["alarm"]
    assert row["begins"]
    because = {name: row[f"because {name}"] for name in five.channels}
    assert max(because, key=because.__getitem__) == "three"
    assert sum(because.values()) == pytest.approx(row["score"])
    assert because["three"] > 0.6 * row["score"]
    # Elsewhere there is noise alone; of 2,400 steps a few may be off.
    assert found["alarm"].sum() < 20


def test_the_realised_rate_is_about_the_stated_one(run: Path, five: Five) -> None:
    trained = load(run)
    scored = trained.scored(five.panel_of(five.days(9, (6000, 6000)), (6000, 6000)))
    rate = (scored.score > trained.threshold).mean()
    # 0.001 of 12,000 are 12, give or take three deviations of 3.5; the threshold itself comes from 1,900 steps, of
    # whose tail 38 are known: a sixth of its scale, and as much again in its place, make a factor of three each way.
    assert 0.00005 < rate < 0.005


def test_few_scores_do_not_seem_to_end() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.empty(200, 1400, dtype=torch.float64).exponential_(generator=generator)
    rates = [math.exp(-float(tail_of_scores(one).threshold(1e-4))) for one in scores]
    # The logarithm of the rate goes by the mean of 28 excesses, 5.3 times a fifth: with a spread of 1, whose mean is
    # e^0.5 times too high. A free shape makes it five times.
    assert 0.5e-4 < sum(rates) / len(rates) < 2e-4


def test_what_is_missing_has_no_score_and_disturbs_little(run: Path, five: Five) -> None:
    trained = load(run)
    scored = trained.scored(five.planted())
    assert np.isnan(scored.score[1300:1304]).all()
    assert not alarm_begins(scored.score, scored.highest, 0.0)[1300:1304].any()
    assert not np.isnan(scored.score[np.r_[60:1300, 1304:1500]]).any()
    assert scored.channels[100, 0] == 0
    assert scored.score[100] == pytest.approx(scored.channels[100].sum())
    assert (scored.score[1304:1340] < trained.threshold).all()


def test_no_score_knows_of_later_steps(run: Path, five: Five) -> None:
    trained = load(run)
    values = five.days()
    before = trained.scored(five.panel_of(values))
    values[700:1500] += 3.0
    values[2000:] *= -2.0
    after = trained.scored(five.panel_of(values))
    for kept in (slice(0, 700), slice(1500, 2000)):
        assert np.array_equal(before.score[kept], after.score[kept], equal_nan=True)
        assert np.array_equal(before.highest[kept], after.highest[kept])
    assert after.score[700] > before.score[700]
    assert not np.array_equal(before.highest[700:1500], after.highest[700:1500])


def test_no_score_of_an_unknown_series_knows_of_later_steps(run: Path, five: Five) -> None:
    trained = load(run)
    values = 100 + 50 * five.days(3, (600,))
    before = trained.scored(five.panel_of(values, (600,), ("new",)))
    # Its first steps say how large its values are.
    assert np.isnan(before.score[: trained.setup.history]).all()
    assert not np.isnan(before.score[trained.setup.history :]).any()
    assert (before.score > trained.threshold).mean() < 0.05
    values[400:] += 500
    after = trained.scored(five.panel_of(values, (600,), ("new",)))
    assert np.array_equal(before.score[:400], after.score[:400], equal_nan=True)
    # That of a step is of those before it.
    assert np.array_equal(before.highest[:401], after.highest[:401])
    assert after.score[400] > trained.threshold


def test_step_by_step_is_the_whole(run: Path, five: Five) -> None:
    trained = load(run)
    # In doubles, for surprises are steep: single precision of an error shows in the sixth digit of some.
    trained.network.double()
    panel = five.panel_of(five.planted().values[1210:1410], (200,), ("a",))
    whole = trained.scored(panel)
    state = trained.begin(["a"])
    found = []
    for batch, _, _, _ in Pieces(trained.setup, panel, np.array([0])):
        for step in range(int(batch.lengths[0])):
            one = replace(
                batch,
                x=batch.x[:, step : step + 1],
                observed=batch.observed[:, step : step + 1],
                times=batch.times[:, step : step + 1],
                lengths=torch.ones_like(batch.lengths),
            )
            scores, state = trained.advance(one, state)
            found.append((scores.score.item(), scores.highest.item(), *scores.channels[0, 0].tolist()))
    score, highest, *channels = np.array(found).T
    assert np.allclose(score, whole.score, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert np.allclose(highest, whole.highest, rtol=1e-9, atol=1e-9)
    assert np.allclose(np.stack(channels, 1), whole.channels, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_a_constant_series_raises_an_alarm_when_it_moves(run: Path, five: Five) -> None:
    trained = load(run)
    values = np.full((400, 5), 2.0, np.float32)
    values[300:, 3] = 10.0
    found = trained.scored(five.panel_of(values, (400,), ("still",)))
    assert found.score[300] > trained.threshold
    assert found.channels[300].argmax() == 3
    assert (found.score[100:300] <= trained.threshold).all()


def test_an_alarm_begins_where_there_was_none_lately(run: Path, five: Five) -> None:
    trained = load(run)
    assert trained.setup.season.steps == 24
    quiet = 12
    scored = trained.scored(five.planted())
    # So low that there are many, in runs and apart.
    threshold = float(np.nanquantile(scored.score, 0.97))
    begins, is_alarm = alarm_begins(scored.score, scored.highest, threshold), scored.score > threshold
    assert 10 < begins.sum() < is_alarm.sum() / 2
    starts = np.array([0, 1500])[five.planted().series_of_rows]
    for row in range(len(begins)):
        assert begins[row] == (is_alarm[row] and not is_alarm[max(starts[row], row - quiet) : row].any())


def test_a_saved_detector_says_the_same(run: Path, five: Five, tmp_path: Path) -> None:
    trained = load(run)
    again = load(trained.save(tmp_path / "again"))
    panel = five.planted()
    assert again.threshold == trained.threshold
    assert np.array_equal(again.scored(panel).score, trained.scored(panel).score, equal_nan=True)


def test_what_was_ordinary_for_other_weights_is_left_out(run: Path, five: Five, tmp_path: Path) -> None:
    trained = load(run)
    folder = trained.save(tmp_path / "other")
    weights = {name: value + 1 for name, value in trained.network.state_dict().items()}
    folder.save_weights(weights)
    with pytest.raises(RunError, match="does not know what is ordinary; finish"):
        load(folder).predict(five.planted())


def test_errors_of_any_size_find_it(five: Five, tmp_path: Path) -> None:
    panel = five.planted()
    small = five.panel_of(1e-5 * panel.values)
    trained = load(five.train(tmp_path / "run", DetectorOptions(), small, steps=4, scaling="none"))
    found = trained.scored(small)
    assert found.score[five.place] > trained.threshold
    assert found.channels[five.place].argmax() == 2


def test_damaged_files_are_told(run: Path, tmp_path: Path) -> None:
    trained = load(run)
    folder = trained.save(tmp_path / "damaged")
    names = json.loads((folder.path / "detector.json").read_text())
    folder.write_json("detector.json", {"series": names["series"][:1]})
    with pytest.raises(RunError, match=r"detector.safetensors: damaged: errors are of shape .*, expected \(1, 5,"):
        load(folder)
    folder.write_json("detector.json", names)
    tensors, said = folder.read_tensors_and_metadata("detector.safetensors")
    folder.write_tensors("detector.safetensors", tensors | {"bins": tensors["bins"] + 400}, metadata=said)
    with pytest.raises(RunError, match=r"detector.safetensors: damaged: bins must be whole numbers below 361"):
        load(folder)
    folder.write_json("detector.json", {"series": 3})
    with pytest.raises(RunError, match=r"detector.json: damaged: series must be names"):
        load(folder)
    folder.write_json("config.json", folder.config() | {"task": "forecast"})
    with pytest.raises(RunError, match="is a run of task 'forecast', expected 'detect'"):
        TrainedDetector.load(folder)


def test_too_few_steps_for_a_threshold(run: Path, five: Five) -> None:
    trained = load(run)
    panel = five.panel_of(five.days(0, (120, 120)), (120, 120))
    split = trained.setup.partition.of(panel)
    with pytest.raises(DataError, match=r"have .* steps that can be scored, .* a threshold needs 100 at least"):
        trained.fitted(split)


@pytest.mark.parametrize(("has_network", "has_rules"), [(True, True), (True, False), (False, True)])
def test_a_score_by_hand(has_network: bool, has_rules: bool, run: Path, five: Five) -> None:
    trained = load(run)
    panel = five.planted()
    options = replace(trained.options, no_rules=not has_rules)
    detector = TrainedDetector(trained.network, trained.setup, options, has_network=has_network)
    found = detector.scored(panel, is_fresh=True).channels[: five.lengths[0]]
    views, state, season = [], None, begin_season(torch.tensor([24]), 5)
    for batch, _, is_step, _ in Pieces(trained.setup, panel, np.array([0])):
        with torch.no_grad():
            errors, state = detector.scoring.network.errors(batch, state)
        values = torch.where(batch.observed, batch.x, torch.nan).double()
        usual, season = seasonal_errors(values, torch.from_numpy(is_step), season)
        views.append(torch.cat([errors.double(), usual[..., None]], -1)[0])
    errors = torch.cat(views)
    scale = SurpriseScale(10_000)
    surprise, _ = scale.advance(errors, scale.begin(5, errors.shape[-1]))
    now = surprise[..., :-1].nanmean(-1) if has_network else torch.zeros(len(errors), 5).double()
    if has_rules:
        now = torch.where(now.isnan(), 0, now) + surprise[..., -1].nan_to_num()
        now[surprise[..., -1].isnan() & (surprise[..., :-1].isnan().all(-1) | (not has_network))] = torch.nan
    means = torch.full_like(now, torch.nan)
    for channel in range(5):
        own = torch.nonzero(~now[:, channel].isnan())[:, 0]
        for place, row in enumerate(own.tolist()):
            weights = (15 / 16) ** torch.arange(place, -1, -1).double()
            means[row, channel] = (weights * now[own[: place + 1], channel].clamp(max=10)).sum() / weights.sum()
    lasting, _ = scale.advance(means, scale.begin(5))
    wanted = (now + lasting.nan_to_num(0)).numpy()
    wanted[~np.isnan(wanted).all(-1)] = np.nan_to_num(wanted[~np.isnan(wanted).all(-1)])
    assert np.allclose(found, wanted, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert np.isnan(found[:50]).all()
    assert not np.isnan(found[130:1300]).any()


def test_series_of_different_steps_are_quiet_for_half_a_day_of_their_own(run: Path, five: Five) -> None:
    trained = load(run)
    own = TrainedDetector(
        trained.network, replace(trained.setup, frequency=None), trained.options, ordinary=trained.ordinary
    )
    panel = replace(five.panel_of(five.days(4)), frequencies=(Frequency(1, "h"), Frequency(20, "min")))
    scored = own.scored(panel)
    for rows, quiet in ((range(100, 1500), 12), (range(1600, 2400), 36)):
        wanted = [scored.score[row - quiet : row].max() for row in rows]
        assert scored.highest[rows].tolist() == wanted
    # Alarms 20 steps apart are two for the first series, and one for the second.
    score = np.zeros(len(panel.rows))
    score[[200, 220, 1700, 1720]] = 9.0
    highest = highest_lately(score, panel.series_of_rows, own.quiet_of(panel))
    assert np.flatnonzero(alarm_begins(score, highest, 5.0)).tolist() == [200, 220, 1700]
