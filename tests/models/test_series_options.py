"""Options of the networks for series: what they refuse."""

from __future__ import annotations

import pytest

from recur.errors import OptionError
from recur.models import SeriesClassifierOptions, SeriesEncoderOptions, SeriesRegressorOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "transformer"}, r"^cell must be one of rnn, gru, lstm, .*, phased, cfc, grud, not 'transformer'\.$"),
        ({"pooling": "sum"}, r"^pooling must be one of last, mean, max, attention, not 'sum'\.$"),
        ({"hidden_size": 0}, r"^hidden_size must be a whole number from 1 to 1048576, not 0\.$"),
        ({"num_layers": True}, r"^num_layers must be a whole number from 1 to 1000, not True\.$"),
        ({"filters": 1.5}, r"^filters must be a whole number from 1 to 1048576, not 1\.5\.$"),
        ({"dropout": 1}, r"^dropout must be a number from 0 to below 1, not 1\.$"),
        ({"cropping": -0.1}, r"^cropping must be a number from 0 to below 1, not -0\.1\.$"),
        ({"jitter": -1}, r"^jitter must be a number from 0 on, not -1\.$"),
        ({"resizing": "much"}, r"^resizing must be a number from 0 on, not 'much'\.$"),
        ({"warping": float("nan")}, r"^warping must be a number from 0 on, not nan\.$"),
        ({"bidirectional": 1}, r"^bidirectional must be true or false, not 1\.$"),
        ({"time_input": "yes"}, r"^time_input must be true or false, not 'yes'\.$"),
        ({"bidirectional": None}, r"^bidirectional must be true or false, not None\.$"),
        ({"convolutions": [3]}, r"^convolutions must be widths from 1 step on, such as \(7, 5\), not \[3\]\.$"),
        ({"convolutions": (3, 0)}, r"^convolutions must be widths from 1 step on, such as \(7, 5\), not \(3, 0\)\.$"),
        (
            {"residual": True, "num_layers": 1},
            r"^residual acts from the second layer on, but num_layers is 1; leave it",
        ),
        (
            {"cell": "cfc", "time_input": True},
            r"^time_input is not needed, for the cell cfc is told the times; leave it",
        ),
        (
            {"cell": "grud", "convolutions": (3,)},
            r"^the cell grud reads missing values itself and takes no conv",
        ),
    ],
)
@pytest.mark.parametrize("kind", [SeriesEncoderOptions, SeriesClassifierOptions, SeriesRegressorOptions])
def test_what_an_encoder_cannot_be(kind, options, message) -> None:
    with pytest.raises(OptionError, match=message):
        kind(**({"convolutions": ()} | options))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SeriesClassifierOptions, {"per_step": 1}, r"^per_step must be true or false, not 1\.$"),
        (SeriesRegressorOptions, {"per_step": None}, r"^per_step must be true or false, not None\.$"),
        (SeriesClassifierOptions, {"class_weights": "even"}, r"^class_weights must be none or balanced, not 'even'\.$"),
        (
            SeriesClassifierOptions,
            {"label_smoothing": 1},
            r"^label_smoothing must be a number from 0 to below 1, not 1",
        ),
        (SeriesRegressorOptions, {"loss": "huber"}, r"^loss must be squared or absolute, not 'huber'\.$"),
    ],
)
def test_what_a_head_cannot_be(kind, options, message) -> None:
    with pytest.raises(OptionError, match=message):
        kind(**options)
