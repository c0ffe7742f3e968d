"""What is inside trained detectors, against the networks run by hand and against what `recur evaluate` says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from recur.data.series import Assembly, Columns, Panel, Schema
from recur.data.series.scaling import Method
from recur.errors import DataError
from recur.models.detector_choice import build_detector
from recur.models.detector_options import DetectorOptions
from recur.tasks.detect.marked_steps import panel_before
from recur.tasks.detect.pieces import Pieces
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.inspection.trained_series import inspect_trained
from recur.tasks.series_reading import SeriesReading

PLANTED, EARLIER = 370, 200
"""Rows of series b that are strange: in the test part, and more so in the training part."""


def drawn_anew(network: nn.Module) -> None:
    """Draw weights that are large enough for all that is read to matter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)


@pytest.mark.parametrize("way", ["forecast", "autoencoder"])
def test_a_strange_step(way: Any) -> None:
    draw, time = np.random.default_rng(0), np.arange(700)
    values = np.stack([np.sin(time / 5), np.cos(time / 9)], 1) + 0.1 * draw.standard_normal((700, 2))
    values[650, 1] += 4
    panel = Panel.of_rows(["a"], [700], values, schema=Schema(targets=("one", "two")))
    setup, split = ForecastSetup.fit(panel, history=32, horizon=1)
    own: dict[str, Any] = {"leads": (1, 4)} if way == "forecast" else {"window": 3, "code_size": 2}
    options = DetectorOptions(way=way, history=32, hidden_size=6, level=False, quiet=20, **own)
    network: Any = build_detector(options, setup.shape)
    drawn_anew(network)
    trained = TrainedDetector(network, setup, options).fitted(split)
    found = inspect_trained(trained, panel, at=650)
    answers = found.content["answers"]
    for own, one in zip(found.tensors["answers.shares"].double(), answers["answers"], strict=True):
        size = float(own.abs().sum())
        assert size > 1e-2
        assert abs(float(own.sum()) - (one["answer"] - one["neutral"])) <= 0.01 * size
    assert answers["asked"] == "the error of two at 650"
    scored = trained.scored(panel)
    times = found.content["series"]["times"]
    assert times[0] == 50
    assert times[-1] == 699
    place = found.content["series"]["channels"].index("score")
    np.testing.assert_allclose(found.tensors["predictions"][:, place], scored.score[50:], rtol=1e-5)
    state = None
    errors = []
    with torch.no_grad():
        for batch, *_ in Pieces(setup, panel, np.array([0])):
            found_errors, state = network.errors(batch, state)
            errors.append(found_errors)
    expected = torch.cat(errors, 1)[0, 650, 1]
    assert [one["answer"] for one in answers["answers"]] == pytest.approx(
        [float(expected.mean()), *expected.tolist()], rel=1e-3
    )
    assert answers["begin"] == 650 + 1 - 32 - 50
    assert found.tensors["answers.shares"].shape[1] == 32
    assert found.tensors["layers.0.h"].shape == (650, 6)
    with pytest.raises(DataError, match="at: series 'a' has no row at 900; it goes from 0 to 699"):
        inspect_trained(trained, panel, at=900)
    assert inspect_trained(trained, panel).content["answers"]["asked"].endswith(str(int(np.nanargmax(scored.score))))


def of_own_data(path: Path, scaling: Method = "standard", *, has_label: bool = False) -> tuple[TrainedDetector, Any]:
    """Return a detector that knows where its two series of 400 hours lie, and their parts; `EARLIER` may be marked."""
    draw, time = np.random.default_rng(0), np.arange(400)
    loads = np.sin(time / 5) + 10 + 0.3 * draw.standard_normal((2, 400))
    loads[1, PLANTED] += 3
    loads[1, EARLIER] += 9
    hour = np.datetime64("2024-01-01", "us") + time * np.timedelta64(1, "h")
    pl.concat(
        pl.DataFrame({"meter": [name] * 400, "hour": hour, "load": load}).with_columns(
            **({"fault": pl.Series((time == EARLIER) & (name == "b"))} if has_label else {})
        )
        for name, load in zip("ab", loads, strict=True)
    ).write_csv(path)
    columns = Columns(targets="load", label="fault") if has_label else None
    reading = SeriesReading(columns=columns, assembly=Assembly(labels="mark" if has_label else "auto"))
    setup, split = ForecastSetup.fit(
        reading.first(str(path)), history=24, horizon=1, scaling=scaling, reading=reading, path=str(path)
    )
    options = DetectorOptions(way="forecast", history=24, hidden_size=4, level=False, leads=(1,))
    torch.manual_seed(0)
    return TrainedDetector(build_detector(options, setup.shape), setup, options).fitted(split), split


def assert_parts(notes: list[str], whole: float) -> None:
    """Check that the note on what a channel adds names three parts that are all of it."""
    told = re.match(
        r"of what load adds the network's error (\S+) \((\d+)%\), the seasonal rule (\S+) \((\d+)%\) and "
        r"what lasts (\S+) \((\d+)%\):",
        notes[1],
    )
    assert told is not None
    parts = [float(told[place]) for place in (1, 3, 5)]
    assert all(part > 0 for part in parts)
    # Each is told in four digits, and its share to the whole.
    assert sum(parts) == pytest.approx(whole, abs=3 * 0.0005)
    for part, place in zip(parts, (2, 4, 6), strict=True):
        assert 100 * part / whole == pytest.approx(int(told[place]), abs=0.51)


def test_a_series_of_the_own_data_is_looked_at_in_the_test_part_as_it_is_judged(tmp_path: Path) -> None:
    trained, split = of_own_data(tmp_path / "loads.csv")
    panel = split.test.panel
    score = trained.scored(panel, is_fresh=True).score
    assert not np.allclose(score, trained.scored(panel).score, equal_nan=True), "else nothing is told apart"
    assert split.test.has_row[400 + PLANTED]
    assert np.nanargmax(score) == 400 + EARLIER
    for series in (None, "b"):
        found = inspect_trained(trained, series=series)
        planted = str(np.datetime64("2024-01-01", "h") + PLANTED).replace("T", " ")
        assert found.content["answers"]["asked"] == f"the error of load at {planted}:00"
        told = found.tensors["predictions"][:, found.content["series"]["channels"].index("score")]
        place = found.content["series"]["times"].index(f"{planted}:00")
        assert float(told[place]) == pytest.approx(score[400 + PLANTED], rel=1e-6)
    assert found.content["answers"]["unchecked"] == "the state of a detector goes back over all of a series"
    assert_parts(found.content["answers"]["notes"], trained.scored(panel, is_fresh=True).channels[400 + PLANTED, 0])
    # One view alone is not told twice.
    assert [one["name"] for one in found.content["answers"]["answers"]] == ["error of load, told 1 step before"]


def test_what_was_not_learned_from_is_missing_but_where_it_is_looked_at(tmp_path: Path) -> None:
    trained, split = of_own_data(tmp_path / "loads.csv", has_label=True)
    assert trained.ordinary is not None
    assert trained.ordinary.left_out == 1
    found = inspect_trained(trained, series="b")
    score = trained.scored(panel_before(split, split.test), is_fresh=True).score
    assert not np.allclose(score, trained.scored(split.test.panel, is_fresh=True).score, equal_nan=True)
    planted = str(np.datetime64("2024-01-01", "h") + PLANTED).replace("T", " ")
    place = found.content["series"]["times"].index(f"{planted}:00")
    told = found.tensors["predictions"][:, found.content["series"]["channels"].index("score")]
    assert float(told[place]) == pytest.approx(score[400 + PLANTED], rel=1e-6)
    earlier = str(np.datetime64("2024-01-01", "h") + EARLIER).replace("T", " ")
    found = inspect_trained(trained, series="b", at=earlier)
    assert found.content["answers"]["asked"] == f"the error of load at {earlier}:00"


@pytest.mark.parametrize(
    ("scaling", "unit"),
    [
        ("standard", "standard deviations of load"),
        ("robust", "standard deviations of load, by its quartiles"),
        ("mean_abs", "mean sizes of load"),
        ("none", "the unit of load"),
    ],
)
def test_the_unit_of_errors_is_that_of_the_scaling(scaling: Method, unit: str, tmp_path: Path) -> None:
    trained, _ = of_own_data(tmp_path / "loads.csv", scaling)
    assert inspect_trained(trained, series="b").content["answers"]["unit"] == unit
