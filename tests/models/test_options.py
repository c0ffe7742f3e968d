"""Options of the networks: every value out of range is refused with a message that names it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from recur.errors import OptionError
from recur.models.options import LanguageModelOptions


def test_defaults_leave_the_choice_open() -> None:
    options = LanguageModelOptions()
    assert not options.is_complete
    assert (options.residual, options.tied, options.initial_state) == (False, False, "zeros")


def test_complete_when_every_value_is_chosen() -> None:
    values: dict[str, Any] = {"cell": "gru", "num_layers": 1, "hidden_size": 2, "embedding_size": 2, "dropout": 0.0}
    assert LanguageModelOptions(**values).is_complete
    for name in values:
        assert not LanguageModelOptions(**(values | {name: None})).is_complete


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        LanguageModelOptions().tied = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_layers": 0}, r"num_layers must be a whole number from 1 to 1000, not 0\."),
        ({"num_layers": 1001}, r"num_layers must be .*, not 1001\."),
        ({"num_layers": True}, r"num_layers must be .*, not True\."),
        ({"hidden_size": -1}, r"hidden_size must be a whole number from 1 to 1048576, not -1\."),
        ({"hidden_size": 2.0}, r"hidden_size must be .*, not 2\.0\."),
        ({"hidden_size": "8"}, r"hidden_size must be .*, not '8'\."),
        ({"embedding_size": (1 << 20) + 1}, r"embedding_size must be .*, not 1048577\."),
        ({"dropout": 1}, r"dropout must be a number from 0 to below 1, not 1\."),
        ({"dropout": -0.1}, r"dropout must be .*, not -0\.1\."),
        ({"dropout": float("nan")}, r"dropout must be .*, not nan\."),
        ({"dropout": "0.5"}, r"dropout must be .*, not '0\.5'\."),
        ({"dropout": False}, r"dropout must be .*, not False\."),
        ({"cell": "LSTM"}, r"cell must be one of rnn, gru, lstm, indrnn, mgu, ligru, not 'LSTM'\."),
        ({"cell": ["lstm"]}, r"cell must be one of rnn, gru, lstm, indrnn, mgu, ligru, not \['lstm'\]\."),
        ({"initial_state": "random"}, r"initial_state must be zeros or learned, not 'random'\."),
        ({"residual": 1}, r"residual must be true or false, not 1\."),
        ({"tied": "yes"}, r"tied must be true or false, not 'yes'\."),
        (
            {"tied": True, "embedding_size": 3, "hidden_size": 4},
            r"tied needs embedding_size equal to hidden_size, not 3 and 4\.",
        ),
    ],
)
def test_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        LanguageModelOptions(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"num_layers": 1},
        {"num_layers": 1000},
        {"hidden_size": 1 << 20},
        {"dropout": 0},
        {"dropout": 0.999},
        {"tied": True},
        {"tied": True, "embedding_size": 4, "hidden_size": 4},
        {"cell": "rnn"},
    ],
)
def test_values_at_the_edge(values: dict[str, Any]) -> None:
    LanguageModelOptions(**values)
