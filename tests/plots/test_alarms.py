from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from recur.errors import DataError, OptionError
from recur.estimators.detector import Detector
from recur.plots import plot_alarms

OFF = 380


def series() -> np.ndarray:
    """Return two series of two channels that go by the day, (2, 400, 2)."""
    step = np.arange(400)[:, None]
    draw = np.random.default_rng(0)
    return np.stack([np.sin(2 * np.pi * step / 24) + 0.2 * draw.standard_normal((400, 2)) for _ in range(2)])


def tiny() -> Detector:
    return Detector(history=24, hidden_size=4, max_steps=4, batch_size=16)


@pytest.fixture(scope="module")
def trained() -> Any:
    return tiny().fit(series()).trained_


@pytest.fixture(scope="module")
def strange() -> np.ndarray:
    values = series()
    values[1, OFF, 1] += 20
    return values


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_the_strangest_series_is_shown_with_its_alarms(trained: Any, strange: np.ndarray) -> None:
    figure = plot_alarms(trained, strange)
    found = traces(figure)
    assert list(found) == ["alarm", "y_2"]
    assert figure.layout.title.text == "1"
    np.testing.assert_allclose(found["y_2"].y, strange[1, :, 1], rtol=1e-6)
    told = trained.predict(strange)
    alarms = told["time"].to_numpy()[(told["series_id"] == "1").to_numpy() & told["alarm"].to_numpy()]
    assert OFF in alarms
    # Each is as wide as a step.
    np.testing.assert_array_equal(np.unique(found["alarm"].x), np.unique(np.concatenate([alarms - 0.5, alarms + 0.5])))


def test_a_series_a_channel_and_the_steps_around_can_be_named(trained: Any, strange: np.ndarray) -> None:
    found = traces(plot_alarms(trained, strange, series="0", channel="y_1"))
    assert "y_1" in found
    np.testing.assert_allclose(found["y_1"].y, strange[0, :, 0], rtol=1e-6)
    assert traces(plot_alarms(trained, strange, steps=10))["y_2"].x == tuple(range(OFF - 5, OFF + 5))
    assert traces(plot_alarms(trained, strange, steps=60))["y_2"].x == tuple(range(340, 400))
    assert len(traces(plot_alarms(trained, strange, steps=1000))["y_2"].x) == 400


def test_anomalies_that_are_known_stand_beside() -> None:
    values = series()[0]
    values[OFF, 1] += 20
    table = pl.DataFrame({"step": np.arange(400), "y_1": values[:, 0], "y_2": values[:, 1]})
    table = table.with_columns(is_anomaly=pl.Series(np.isin(np.arange(400), range(378, 382)).astype(int)))
    found = traces(tiny().fit(table).plot(table))
    known = found["an anomaly, as the data say"]
    assert (min(known.x), max(known.x)) == (377.5, 381.5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"series": "7"}, DataError, r"^series: there is no '7' in the data; there are '0', '1'\.$"),
        ({"channel": "z"}, DataError, r"^channel: there is no 'z' in the data; there are 'y_1', 'y_2'\.$"),
        ({"steps": 1}, OptionError, r"^steps: expected a whole number from 2 on, got 1\.$"),
    ],
)
def test_what_cannot_be_shown_is_said(
    options: dict[str, Any], error: type[Exception], message: str, trained: Any, strange: np.ndarray
) -> None:
    with pytest.raises(error, match=message):
        plot_alarms(trained, strange, **options)
