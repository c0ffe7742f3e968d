"""Which steps are anomalies, as a column says, and the naive rule beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recur.data.series import Panel, read_series
from recur.errors import DataError
from recur.tasks.detect.moving_gaussian import moving_gaussian
from recur.tasks.detect.truth import events, true_anomalies


def panel(labels: list[object], name: str = "is_anomaly") -> Panel:
    frame = pl.DataFrame(
        {"time": range(len(labels)), "y": [float(step % 3) for step in range(len(labels))], name: labels}
    )
    return read_series(frame)


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([0, 0, 1, 1, 0, 0], [False, False, True, True, False, False]),
        ([False, True, False, False, False, False], [False, True, False, False, False, False]),
        (["normal", "anomaly", "normal", "normal", "normal", "normal"], [False, True, False, False, False, False]),
        ([0, 0, 0, 0, 0, 0], [False] * 6),
        ([1, 1, -1, 1, 1, -1], [False, False, True, False, False, True]),
        (["ok", "failure", "ok", "ok", "failure", "ok"], [False, True, False, False, True, False]),
        # Of two words one is known.
        (["leak", "ok", "ok", "ok", "ok", "leak"], [True, False, False, False, False, True]),
        (["runs", "Fault", "runs", "runs", "runs", None], [False, True, False, False, False, False]),
        ([1.0, None, -1.0, 1.0, 1.0, 1.0], [False, False, True, False, False, False]),
    ],
)
def test_a_column_says_which_steps(labels: list[object], wanted: list[bool]) -> None:
    found = true_anomalies(panel(labels))
    assert found is not None
    is_anomaly, is_known = found
    assert is_anomaly.tolist() == wanted
    assert is_known.tolist() == [label is not None for label in labels]


def test_what_is_missing_is_not_known() -> None:
    found = true_anomalies(panel([0, 1, None, 0, 1, 0]))
    assert found is not None
    assert found[0].tolist() == [False, True, False, False, True, False]
    assert found[1].tolist() == [True, True, False, True, True, True]


def test_another_label_is_refused() -> None:
    assert true_anomalies(Panel.of_rows(["a"], [3], [[1.0], [2.0], [3.0]])) is None
    with pytest.raises(DataError, match=r"column 'label' is taken to say which steps are anomalies.* it holds 'red'"):
        true_anomalies(panel(["red", "0", "1", "0", "1", "1"], "label"))
    # Of two words nobody knows which one is the anomaly, and a number is no word.
    with pytest.raises(DataError, match=r"'ok' or 'normal', or such as 'failure' or 'anomaly', but it holds 'blue'"):
        true_anomalies(panel(["red", "blue", "blue", "red", "blue", "blue"], "label"))
    with pytest.raises(DataError, match="it holds '7'"):
        true_anomalies(panel(["0", "7", "0", "0", "0", "0"], "label"))
    numbers = panel([0, 1, 0, 1, 1, 0])
    other = replace(
        numbers,
        rows=replace(numbers.rows, labels=np.array([0, 2, 0, 1, 1, 0], np.float32)),
        schema=replace(numbers.schema, classes=None),
    )
    with pytest.raises(
        DataError, match=r"it holds '2'; write it so, or if .*, give it another name, or leave it out with ignored="
    ):
        true_anomalies(other)
    with pytest.raises(DataError, match=r"holds '1' alone, so that no step were ordinary; write it so, or if it says"):
        true_anomalies(panel([1, 1, 1, 1, 1, None]))
    for labels in ([0, 1, -1, 0, 1, -1], [1, -1, 0, 0, -1, 1]):
        with pytest.raises(DataError, match=r"holds 0, 1 and -1; write it so, or if it says"):
            true_anomalies(panel(list(labels)))


def test_numbers_say_it_as_classes_do() -> None:
    values = panel([0, 1, 0, 1, 1, 0])
    for labels, wanted in (([0, 1, 0, 1, np.nan, 0], [1, 3]), ([1, 1, -1, 1, np.nan, 1], [2])):
        found = true_anomalies(
            replace(
                values,
                rows=replace(values.rows, labels=np.array(labels, np.float32)),
                schema=replace(values.schema, classes=None),
            )
        )
        assert found is not None
        assert np.flatnonzero(found[0]).tolist() == wanted
        assert np.flatnonzero(~found[1]).tolist() == [4]


def test_events_end_with_their_series() -> None:
    is_true = np.array([True, False, True, True, True, False, True])
    assert events(is_true, np.array([0, 0, 0, 0, 1, 1, 1])) == [(0, 1), (2, 4), (4, 5), (6, 7)]
    assert events(np.zeros(0, np.bool_), np.zeros(0, np.int64)) == []


def test_the_moving_gaussian_by_hand() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5e5, 2.0, (1300, 2)).astype(np.float32)
    values[400, 1] = np.nan
    both = Panel.of_rows(["a", "b"], [1200, 100], values)
    found = moving_gaussian(both)
    assert np.isnan(found[:50]).all()
    assert np.isnan(found[1200:1250]).all()
    for row in (50, 400, 1150, 1270):
        first = max(0 if row < 1200 else 1200, row - 1000)
        before = values[first:row].astype(np.float64)
        z = np.abs(values[row] - np.nanmean(before, axis=0)) / np.nanstd(before, axis=0)
        assert found[row] == pytest.approx(np.nanmax(z), rel=1e-4)
    constant = np.ones((200, 1), np.float32)
    constant[150] = 2
    score = moving_gaussian(Panel.of_rows(["a"], [200], constant))
    assert (score[50:150] == 0).all()
    assert score[150] > 1e6
