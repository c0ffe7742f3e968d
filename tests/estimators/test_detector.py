from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import recur
from recur.errors import RunError
from recur.estimators.detector import Detector

PLANTED = 380
TINY = {"history": 24, "hidden_size": 4, "max_steps": 4, "batch_size": 16}


def days(channels: int = 2, *, is_off: bool = True) -> np.ndarray:
    """Return hours of days with noise, and a step at which the first channel may be off."""
    step = np.arange(400)[:, None]
    values = np.sin(2 * np.pi * (step / 24 + np.arange(channels) / 5))
    values += 0.2 * np.random.default_rng(0).standard_normal(values.shape)
    values[PLANTED, 0] += 20 * is_off
    return values


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return Detector(**TINY).fit(days(is_off=False))


def test_steps_are_labelled_as_outlier_detectors_do(fitted: Detector) -> None:
    values = days()
    found = fitted.predict(values)
    own = fitted.trained_.predict(values)
    np.testing.assert_array_equal(found == -1, own["alarm"].to_numpy())
    assert set(found.tolist()) == {-1, 1}
    assert found[PLANTED] == -1
    np.testing.assert_array_equal(fitted.score_samples(values), -own["score"].to_numpy())
    np.testing.assert_array_equal(fitted.decision_function(values), fitted.score_samples(values) - fitted.offset_)
    assert fitted.offset_ == -fitted.trained_.threshold
    assert is_outlier_detector(fitted)
    assert fitted.evaluation_["part"] == "valid"
    assert fitted.run_ is None


def test_what_is_missing_is_no_alarm_and_has_no_score(fitted: Detector) -> None:
    values = days()
    # Steps at the end without any value are taken as padding when they are read.
    values[200] = values[390:] = np.nan
    scores = fitted.score_samples(values)
    is_missing = np.isnan(values).all(1)
    assert np.isnan(scores[is_missing]).all()
    assert scores.shape == (400,)
    assert scores[PLANTED] < fitted.offset_
    assert (fitted.predict(values)[is_missing] == 1).all()


def test_one_value_a_step_and_several_series_come_back_in_their_shape() -> None:
    one = days(1)[:, 0]
    detector = Detector(**TINY, false_alarms=0.01)
    found = detector.fit_predict(one)
    assert found.shape == (400,)
    assert found[PLANTED] == -1
    np.testing.assert_array_equal(found, detector.predict(one))
    several = np.stack([one, one + 1])[:, :, None]
    found = detector.fit(several).score_samples(several)
    assert found.shape == (2, 400)
    np.testing.assert_array_equal(found.ravel(), -detector.trained_.scored(detector.trained_.setup.read(several)).score)


def test_a_table_brings_a_table_and_a_score_for_each_of_its_rows(
    seasonal_table: Callable[..., Any], tmp_path: Path
) -> None:
    table = seasonal_table(200, series=2)
    detector = Detector(**TINY, series_id="meter").fit(table)
    found = detector.predict(table)
    assert isinstance(found, pl.DataFrame)
    assert found.equals(detector.trained_.predict(table))
    np.testing.assert_array_equal(detector.score_samples(table), -found["score"].to_numpy())
    # A list of one file is that file.
    table.write_csv(tmp_path / "table.csv")
    assert detector.predict([tmp_path / "table.csv"])["score"].equals(found["score"])
    np.testing.assert_array_equal(detector.score_samples([tmp_path / "table.csv"]), -found["score"].to_numpy())


def test_saved_and_loaded_it_says_the_same(fitted: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recur.estimators.base.write_report", lambda run: None)
    fitted.save(tmp_path / "run")
    loaded = Detector.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.score_samples(days()), fitted.score_samples(days()))
    assert loaded.offset_ == fitted.offset_
    assert loaded.evaluation_ == fitted.evaluation_
    assert loaded.get_params()["hidden_size"] == 4
    assert isinstance(recur.load(tmp_path / "run"), recur.TrainedDetector)
    with pytest.raises(RunError, match=r"is a run of task 'detect', but Forecaster is of 'forecast'\.$"):
        recur.Forecaster.load(tmp_path / "run")


def test_it_goes_into_a_pipeline(fitted: Detector) -> None:
    values = days()
    piped = make_pipeline(StandardScaler(), clone(fitted)).fit(values)
    np.testing.assert_array_equal(piped.predict(values), piped[-1].predict(piped[0].transform(values)))


def test_what_is_wrong_is_said(fitted: Detector) -> None:
    with pytest.raises(NotFittedError, match=r"^this Detector is not fitted yet; call fit first, or load a run\.$"):
        clone(fitted).predict(days())
    with pytest.raises(TypeError, match=r"^y: a detector learns from no labels; leave y out, or name a column of X "):
        clone(fitted).fit(days(), np.zeros(400))


def test_it_is_plotted_in_one_call(fitted: Detector) -> None:
    assert fitted.plot(days(), steps=50) == recur.plot(fitted.trained_, days(), steps=50)
