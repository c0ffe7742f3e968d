from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dict_unchanged,
    check_estimator_repr,
    check_estimators_unfitted,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

import recur
from recur.errors import DataError
from recur.estimators.labels import SeriesClassifier, SeriesRegressor

TINY: dict[str, Any] = {
    "members": 1,
    "hidden_size": 8,
    "filters": 8,
    "dropout": 0.0,
    "max_steps": 40,
    "batch_size": 16,
    "learning_rate": 0.02,
    "averaging": 0.0,
}


def slopes(count: int = 40, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lines of 12 steps with noise, and their slopes."""
    draw = np.random.default_rng(seed)
    slope = draw.choice([-1.0, 1.0], count) * draw.uniform(0.5, 2, count)
    return slope[:, None] * np.linspace(-1, 1, 12) + 0.1 * draw.normal(size=(count, 12)), slope


def classifier(**parameters: Any) -> SeriesClassifier:
    return SeriesClassifier(**(TINY | parameters))


def regressor(**parameters: Any) -> SeriesRegressor:
    return SeriesRegressor(**(TINY | parameters))


@pytest.fixture(scope="module")
def fitted() -> SeriesClassifier:
    series, slope = slopes()
    return classifier().fit(series, np.where(slope > 0, 7, 3))


@pytest.fixture(scope="module")
def fitted_regressor() -> SeriesRegressor:
    series, slope = slopes()
    return regressor(max_steps=120).fit(series, slope)


# --- classes ----------------------------------------------------------------------------------------------------------


def test_classes_come_back_as_they_were_given(fitted: SeriesClassifier) -> None:
    series, slope = slopes(seed=1)
    true = np.where(slope > 0, 7, 3)
    found = fitted.predict(series)
    assert found.dtype == true.dtype
    assert fitted.classes_.tolist() == [3, 7]
    assert fitted.score(series, true) == accuracy_score(true, found) > 0.9
    probability = fitted.predict_proba(series)
    assert probability.shape == (40, 2)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(fitted.classes_[probability.argmax(1)], found)
    assert "accuracy" in fitted.evaluation_["figures"]


def test_classes_are_in_the_order_of_their_values_and_not_of_their_names() -> None:
    series, slope = slopes()
    found = classifier().fit(series, np.where(slope > 0, 10, 9))
    # As texts "10" comes before "9".
    assert found.classes_.tolist() == [9, 10]
    probability = found.predict_proba(series)
    assert (probability[slope > 0, 1] > 0.5).mean() > 0.9


@pytest.mark.parametrize("kind", [str, object, bool])
def test_classes_of_any_kind(kind: Any) -> None:
    series, slope = slopes(20)
    true = (slope > 0) if kind is bool else np.where(slope > 0, "up", "down").astype(kind)
    found = classifier(max_steps=2).fit(series, true)
    assert set(found.predict(series)) <= set(found.classes_) == set(true)


def test_series_in_dataframes_and_of_several_channels(fitted: SeriesClassifier) -> None:
    series, slope = slopes()
    expected = fitted.predict(series)
    for frame in (pd.DataFrame(series), pl.DataFrame(series), series.tolist()):
        np.testing.assert_array_equal(fitted.predict(frame), expected)
    cube = np.stack([series, 0 * series], axis=2)
    assert classifier(max_steps=2).fit(cube, slope > 0).predict(cube[:, :8]).shape == (40,)


def test_missing_steps_are_no_error(fitted: SeriesClassifier) -> None:
    series, _ = slopes()
    gaps = series.copy()
    gaps[:, 3] = gaps[:20, 8:] = np.nan
    assert fitted.predict_proba(gaps).shape == (40, 2)


def test_a_table_with_labels_needs_no_y() -> None:
    series, slope = slopes()
    table = pl.DataFrame(
        {
            "id": np.repeat(np.arange(40), 12),
            "step": np.tile(np.arange(12), 40),
            "value": series.ravel(),
            "kind": np.repeat(np.where(slope > 0, "up", "down"), 12),
        }
    )
    found = classifier(label="kind", series_id="id").fit(table)
    told = found.predict(table.drop("kind"))
    assert told.columns == ["series_id", "kind", "probability", "p(down)", "p(up)"]
    assert found.score(table) == (told["kind"].to_numpy() == np.where(slope > 0, "up", "down")).mean() > 0.9
    np.testing.assert_array_equal(found.predict_proba(table), told[:, 3:].to_numpy())


def test_a_saved_classifier_has_its_classes(fitted: SeriesClassifier, tmp_path: Path) -> None:
    series, _ = slopes(seed=1)
    fitted.save(tmp_path / "run")
    loaded = SeriesClassifier.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.predict(series), fitted.predict(series))
    assert loaded.get_params()["max_steps"] == 40
    assert isinstance(recur.load(tmp_path / "run"), recur.TrainedClassifier)
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict_proba(series), fitted.predict_proba(series))


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_numbers_are_told(fitted_regressor: SeriesRegressor) -> None:
    series, slope = slopes(seed=1)
    found = fitted_regressor.predict(series)
    assert found.shape == (40,)
    assert fitted_regressor.score(series, slope) == pytest.approx(r2_score(slope, found))
    assert r2_score(slope, found) > 0.5
    assert "rmse" in fitted_regressor.evaluation_["figures"]
    # Nothing is explained where there is nothing to explain.
    assert fitted_regressor.score(series, np.ones(40)) == 0


def test_whole_numbers_are_numbers_to_a_regressor() -> None:
    series, slope = slopes()
    assert regressor(max_steps=2).fit(series, np.round(slope).astype(int)).predict(series).dtype == np.float32


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "labels", "message"),
    [
        (
            np.zeros(4),
            np.zeros(4),
            r"^X: expected numbers of shape \(N, T\) or \(N, T, C\), a series in each row, got ",
        ),
        (np.zeros((4, 3)), np.zeros(5), r"^y: expected a label for each of the 4 series, got shape \(5,\)\.$"),
        (np.zeros((4, 3)), np.zeros((4, 1)), r"^y: expected a label for each of the 4 series, got shape \(4, 1\)\.$"),
        (np.zeros((2, 3)), [0.5, 1.0], r"^y: holds fractions or gaps, which are no classes; take SeriesRegressor for "),
        (np.zeros((2, 3)), np.array(["a", 1], object), r"^y: classes must be of one kind, got int, str\.$"),
        (np.full((4, 3), np.inf), [0, 1, 0, 1], r"^X: series 0, step 0, channel 0 is infinite or beyond float32; "),
        (
            np.zeros((4, 3)),
            ["a", "a", "a", "a"],
            r"^the label 'label' is always 'a', so there is nothing to tell apart",
        ),
        (np.array([["a", "b"]]), ["a"], r"^X: expected numbers of shape \(N, T\) or \(N, T, C\), a series in each row"),
    ],
)
def test_what_cannot_be_learned_from_is_said(series: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        classifier().fit(series, labels)


def test_text_is_no_number() -> None:
    with pytest.raises(DataError, match=r"^y: expected numbers, got <U1; take SeriesClassifier for classes\.$"):
        regressor().fit(np.zeros((2, 3)), ["a", "b"])


def test_before_fitting_nothing_is_told() -> None:
    with pytest.raises(
        NotFittedError, match=r"^this SeriesClassifier is not fitted yet; call fit first, or load a run"
    ):
        classifier().predict_proba(np.zeros((2, 3)))


# --- inside scikit-learn ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        check_dict_unchanged,
        check_estimator_repr,
        check_estimators_unfitted,
        check_get_params_invariance,
        check_mixin_order,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
        check_valid_tag_types,
    ],
)
@pytest.mark.parametrize("estimator", [classifier(max_steps=1), regressor(max_steps=1)], ids=["classes", "numbers"])
def test_it_is_an_estimator_as_scikit_learn_checks_it(check: Any, estimator: Any) -> None:
    check(type(estimator).__name__, clone(estimator))


def test_searches_and_pipelines_take_them() -> None:
    series, slope = slopes()
    true = slope > 0
    assert is_classifier(classifier())
    assert is_regressor(regressor())
    assert cross_val_score(classifier(), series, true, cv=2).shape == (2,)
    assert cross_val_predict(regressor(max_steps=2), series, slope, cv=2).shape == (40,)
    search = GridSearchCV(classifier(max_steps=2), {"hidden_size": [2, 4]}, cv=2, scoring="neg_log_loss")
    assert search.fit(series, true).predict(series).shape == (40,)
    piped = make_pipeline(StandardScaler(), classifier()).fit(series, true)
    assert piped.score(series, true) > 0.9


def test_what_is_judged_on_may_be_named(tmp_path: Path) -> None:
    values, slope = slopes()
    series = np.repeat(np.arange(40), 12)
    table = pl.DataFrame(
        {
            "series": series,
            "step": np.tile(np.arange(12), 40),
            "value": values.reshape(-1),
            "label": np.repeat(np.where(slope > 0, "up", "down"), 12),
        }
    )
    parted = table.with_columns(split=pl.Series(np.where(series < 24, "train", np.where(series < 32, "valid", "test"))))
    for parameters in ({}, {"part": "split"}):
        assert classifier(**parameters).fit(parted).evaluation_["series"] == 8
    table.filter(pl.col("series") < 10).write_csv(tmp_path / "test.csv")
    assert classifier(test_data=str(tmp_path / "test.csv")).fit(table).evaluation_["series"] == 10
