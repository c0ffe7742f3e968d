from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import recur
from recur.data.series import read_series
from recur.errors import DataError, OptionError
from recur.plots import plot, plot_forecast


@pytest.fixture(scope="module")
def table(seasonal_table: Callable[..., Any]) -> pl.DataFrame:
    return seasonal_table(200, series=2)


@pytest.fixture(scope="module")
def trained(linear_forecaster: Callable[..., Any], table: pl.DataFrame) -> Any:
    forecaster, split = linear_forecaster(read_series(table))
    return forecaster.calibrated(split.valid)


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def times_of(trace: Any) -> list[str]:
    """Return its times up to the hour, which plotly is given as milliseconds."""
    return [str(np.datetime64(int(time), "ms"))[:13] for time in trace.x]


def test_the_picture_shows_what_was_and_what_is_told(trained: Any, table: pl.DataFrame) -> None:
    found = traces(plot_forecast(trained, table, series="m1", shares=(0.8, 0.5), past=30))
    assert list(found) == ["80% interval", "50% interval", "what came", "forecast"]
    own = table.filter(pl.col("meter") == "m1")
    np.testing.assert_allclose(found["what came"].y, own["load"][-30:], rtol=1e-6)
    assert times_of(found["what came"])[-1] == "2024-01-09T07"
    told = trained.predict(table, levels=(0.1, 0.25, 0.5, 0.75, 0.9)).filter(pl.col("series_id") == "m1")
    np.testing.assert_array_equal(np.array(found["forecast"].y, np.float32), told["q0.5"].to_numpy())
    assert times_of(found["forecast"]) == [f"2024-01-09T{hour:02}" for hour in (8, 9, 10)]
    for name, low, high in (("80% interval", "q0.1", "q0.9"), ("50% interval", "q0.25", "q0.75")):
        corners = np.array(found[name].y, np.float32)
        np.testing.assert_array_equal(np.sort(corners), np.sort([*told[low], *told[high]]).astype(np.float32))


def test_by_default_the_first_series_is_shown_by_its_name(trained: Any, table: pl.DataFrame) -> None:
    figure = plot_forecast(trained, table)
    assert figure.layout.title.text == "m0"
    # As many as the network reads, or four times as many as are told: 8 or 12.
    assert len(traces(figure)["what came"].y) == 12
    assert len(traces(plot_forecast(trained, table, horizon=1))["what came"].y) == 8
    assert len(traces(plot_forecast(trained, table, shares=()))) == 2


def test_steps_that_are_counted_are_shown_by_their_number(linear_forecaster: Callable[..., Any]) -> None:
    values = np.sin(np.arange(200.0))
    forecaster, split = linear_forecaster(read_series(values))
    found = traces(plot_forecast(forecaster.calibrated(split.valid), values, past=5))
    assert found["what came"].x == (195, 196, 197, 198, 199)
    assert found["forecast"].x == (200, 201, 202)


def test_times_are_those_of_the_clock(linear_forecaster: Callable[..., Any], table: pl.DataFrame) -> None:
    from recur.data.series import Assembly

    forecaster, _ = linear_forecaster(read_series(table, assembly=Assembly(zone="Europe/Paris")))
    found = traces(plot_forecast(forecaster, table))
    assert times_of(found["what came"])[-1] == "2024-01-09T07"
    assert times_of(found["forecast"])[0] == "2024-01-09T08"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"series": "m7"}, DataError, r"^series: there is no 'm7' in the data; there are 'm0', 'm1'\.$"),
        ({"target": "cost"}, DataError, r"^target: there is no 'cost' in the data; there are 'load'\.$"),
        ({"past": 0}, OptionError, r"^past: expected a number of steps from 1 on, got 0\.$"),
        ({"shares": (0.5, 1.0)}, OptionError, r"^shares: expected numbers between 0 and 1, got 1\.0\.$"),
        ({"horizon": 9}, OptionError, r"^horizon: the model was trained to tell 3 steps, not 9; "),
    ],
)
def test_what_cannot_be_shown_is_said(
    options: dict[str, Any], error: type[Exception], message: str, trained: Any, table: pl.DataFrame
) -> None:
    with pytest.raises(error, match=message):
        plot_forecast(trained, table, **options)


def test_one_call_plots_a_model_or_its_run(
    trained: Any, table: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = plot_forecast(trained, table, past=20)
    assert recur.plot(trained, table, past=20) == expected
    monkeypatch.setattr("recur.plots.plotting.load", lambda run: {tmp_path: trained}[run])
    assert plot(tmp_path, table, past=20) == expected
    with pytest.raises(TypeError, match=r"^plot: there is no picture of a dict; give one of TrainedDetector, "):
        plot({}, table)
