"""What is chosen where the options of an encoder leave something open."""

from __future__ import annotations

import pytest

from recur.models import SeriesClassifierOptions, SeriesRegressorOptions, choose_encoder


@pytest.mark.parametrize(
    ("options", "is_irregular", "value", "reason"),
    [
        (SeriesClassifierOptions(), True, True, "the time between steps differs"),
        (SeriesRegressorOptions(num_layers=2), False, False, "all steps are as far apart"),
        (SeriesRegressorOptions(cell="cfc"), True, False, "the cell cfc is told the times"),
    ],
)
def test_the_time_is_an_input_where_nothing_else_tells_it(options, is_irregular, value, reason) -> None:
    chosen, why = choose_encoder(options, is_irregular=is_irregular)
    assert why == {"time_input": reason}
    assert chosen.time_input is value
    assert type(chosen) is type(options)
    assert (chosen.cell, chosen.num_layers) == (options.cell, options.num_layers)


@pytest.mark.parametrize("value", [True, False])
def test_what_is_given_stays(value) -> None:
    options = SeriesRegressorOptions(time_input=value)
    assert choose_encoder(options, is_irregular=not value) == (options, {})
