from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import recur
from recur.data.series import panel_of_array
from recur.errors import DataError
from recur.estimators.labels import SeriesClassifier, SeriesRegressor

TINY = {"members": 1, "hidden_size": 4, "filters": 4, "max_steps": 2, "batch_size": 16}


@pytest.fixture(scope="module")
def series() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(24, 12))


@pytest.fixture(scope="module")
def classifier(series: np.ndarray) -> SeriesClassifier:
    return SeriesClassifier(**TINY).fit(series, [10, 9, 8] * 8)


def counts(figure: Any) -> np.ndarray:
    """Return the numbers in the cells of a confusion matrix."""
    [matrix] = [trace for trace in figure.data if trace.type == "heatmap"]
    return np.array([[float(count) for _, _, count in row] for row in matrix.customdata])


def test_the_confusion_matrix_counts_what_was_told_of_what(classifier: SeriesClassifier, series: np.ndarray) -> None:
    true = np.array([9, 8] * 12)
    figure = classifier.plot(series, true)
    names = ["10", "8", "9"]
    expected = np.zeros((3, 3))
    for one, told in zip(true, classifier.predict(series), strict=True):
        expected[names.index(str(one)), names.index(str(told))] += 1
    np.testing.assert_array_equal(counts(figure), expected)


def test_a_class_that_is_new_is_told(classifier: SeriesClassifier, series: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"^y: the class 7 is none of those of the classifier\.$"):
        classifier.plot(series, [7] * 24)


def test_numbers_are_drawn_beside_the_true_ones(series: np.ndarray) -> None:
    true = np.arange(24.0)
    regressor = SeriesRegressor(**TINY).fit(series, true)
    figure = regressor.plot(series, true)
    assert figure == recur.plot(regressor.trained_, panel_of_array(series[:, :, None], true))
    drawn = [set(np.round(np.array(trace.x, float), 3)) for trace in figure.data]
    assert set(np.round(true, 3)) in drawn


def test_a_table_has_its_labels_inside(series: np.ndarray) -> None:
    table = pl.DataFrame({"id": np.repeat(np.arange(24), 12), "step": np.tile(np.arange(12), 24), "x": series.ravel()})
    table = table.with_columns(kind=pl.Series(np.repeat(["up", "down"] * 12, 12)))
    found = SeriesClassifier(**TINY, label="kind", series_id="id").fit(table)
    assert counts(found.plot(table)).sum() == 24
