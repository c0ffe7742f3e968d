"""What the widths of a batch are read from, and how they are saved."""

from __future__ import annotations

import polars as pl
import pytest

from recur.data.series import Columns, Part, WholeSeries, Windows, read_series
from recur.errors import OptionError, RunError
from recur.models.series_shape import SeriesShape

TABLE = pl.DataFrame(
    {
        "shop": ["a"] * 6 + ["b"] * 6,
        "day": pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 6), "1d", eager=True).append(
            pl.datetime_range(pl.datetime(2024, 3, 1), pl.datetime(2024, 3, 6), "1d", eager=True)
        ),
        "sales": [float(number) for number in range(12)],
        "visitors": [float(number) ** 1.5 for number in range(12)],
        "price": [float(number % 5) for number in range(12)],
        "weather": ["sun", "rain", "snow"] * 4,
        "holiday": ["no", "yes"] * 6,
        "size": [3.5] * 6 + [7.5] * 6,
        "town": ["x"] * 6 + ["y"] * 6,
    }
)


def test_shape_of_windows_agrees_with_their_batches() -> None:
    panel = read_series(
        TABLE,
        columns=Columns(
            series_id="shop",
            time="day",
            targets="sales",
            past_only=["visitors", "weather"],
            known_future=["price", "holiday"],
            static=["size", "town"],
        ),
    )
    windows = Windows(Part.whole(panel), history=3, horizon=2, batch_size=4)
    shape = SeriesShape.of(panel.schema, windows.channels, windows.future_channels, 2)
    batch = next(iter(windows))
    assert shape.num_features == batch.x.shape[2]
    assert shape.num_future == batch.future.shape[2]
    assert (shape.num_targets, shape.num_past_only, shape.horizon) == (1, 1, 2)
    # Three features of the calendar, in two numbers each.
    assert shape.num_calendar == shape.num_future - 1 == 2 * 3
    assert (shape.past_sizes, shape.known_sizes, shape.static_sizes, shape.num_static) == ((4,), (3,), (3,), 1)
    assert SeriesShape.from_json(shape.to_json()) == shape

    whole = WholeSeries(Part.whole(panel), batch_size=2, calendar=("hour",))
    shape = SeriesShape.of(panel.schema, whole.channels)
    assert (shape.num_features, shape.num_targets, shape.num_calendar, shape.horizon) == (5, 0, 2, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_features": -1}, r"^num_features must be a whole number from 0 on, not -1\.$"),
        ({"num_features": 2, "past_sizes": [3]}, r"^past_sizes must be a tuple of whole numbers from 1 on, not \[3\]"),
        (
            {"num_features": 2, "num_targets": 2, "num_future": 1, "horizon": 1},
            r"^num_targets, 2, and num_future, 1, must fit into num_features, 2, and num_calendar, 0, into num_future",
        ),
        (
            {"num_features": 3, "num_targets": 1, "num_calendar": 2, "horizon": 1},
            r"num_calendar, 2, into num_future\.$",
        ),
        ({"num_features": 2, "num_targets": 1}, r"^num_targets and horizon go together, but are 1 and 0; both are 0"),
    ],
)
def test_bad_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SeriesShape(**values)  # type: ignore[arg-type]


def test_damaged_files_are_named() -> None:
    saved = SeriesShape(num_features=2).to_json()
    with pytest.raises(
        RunError, match=r"^the saved shape of the series has the unknown entry 'width'; it is of another"
    ):
        SeriesShape.from_json(saved | {"width": 1})
    del saved["horizon"]
    with pytest.raises(RunError, match=r"^the saved shape of the series lacks the entry 'horizon'; it is of another"):
        SeriesShape.from_json(saved)
    with pytest.raises(
        RunError, match=r"^the saved shape of the series is damaged: num_features must be a whole number"
    ):
        SeriesShape.from_json(saved | {"horizon": 0, "num_features": "2"})
