"""Options of training: every value out of range is refused with a message that names it."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from recur.cli.parser import fields_in_order
from recur.errors import OptionError
from recur.train.options import LanguageTrainingOptions, SeriesTrainingOptions, TrainingOptions


def test_defaults_are_valid_and_leave_the_choice_open() -> None:
    options = LanguageTrainingOptions()
    assert options.max_minutes is options.batch_size is options.learning_rate is options.clip_norm is None
    assert (options.warmup_steps, options.patience, options.seed, options.devices) == (100, 10, 0, 1)


def test_frozen_and_by_keyword_only() -> None:
    with pytest.raises(FrozenInstanceError):
        LanguageTrainingOptions().seed = 1  # type: ignore[misc]
    assert all(field.kw_only for field in fields(LanguageTrainingOptions))


WHOLE_FROM_ONE = (
    *("max_epochs", "max_steps", "batch_size", "window", "reach", "validate_every", "checkpoint_every", "devices"),
    "averaged_checkpoints",
)
WHOLE_FROM_ZERO = ("warmup_steps", "patience", "seed", "sample_length", "skip_nonfinite")
ABOVE_ZERO = ("max_minutes", "learning_rate", "clip_norm", "clip_value", "clip_layer_norm", "clip_ratio")


@pytest.mark.parametrize("name", WHOLE_FROM_ONE)
def test_whole_numbers_from_one_on(name: str) -> None:
    assert getattr(LanguageTrainingOptions(**{name: 1}), name) == 1
    for value in (0, -1, 1.0, True, "1", math.nan):
        with pytest.raises(OptionError, match=rf"^{name} must be a whole number from 1 on, not {value!r}\.$"):
            LanguageTrainingOptions(**{name: value})


@pytest.mark.parametrize("name", WHOLE_FROM_ZERO)
def test_whole_numbers_from_zero_on(name: str) -> None:
    assert getattr(LanguageTrainingOptions(**{name: 0}), name) == 0
    values: tuple[Any, ...] = (-1, 0.0, False, None, "0")
    for value in values:
        with pytest.raises(OptionError, match=rf"^{name} must be a whole number from 0 on, not {value!r}\.$"):
            LanguageTrainingOptions(**{name: value})


@pytest.mark.parametrize("name", ABOVE_ZERO)
def test_numbers_above_zero(name: str) -> None:
    for good in (1, 1e-9, None):
        assert getattr(LanguageTrainingOptions(**{name: good}), name) == good
    for value in (0, -0.5, math.inf, math.nan, True, "1"):
        with pytest.raises(OptionError, match=rf"^{name} must be a number above 0, not {value!r}\.$"):
            LanguageTrainingOptions(**{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_decay": -0.1}, r"weight_decay must be a number from 0 on, not -0\.1\."),
        ({"weight_decay": math.nan}, r"weight_decay must be a number from 0 on, not nan\."),
        ({"weight_decay": None}, r"weight_decay must be a number from 0 on, not None\."),
        ({"activation_penalty": -1}, r"activation_penalty must be a number from 0 on, not -1\."),
        ({"temporal_penalty": math.inf}, r"temporal_penalty must be a number from 0 on, not inf\."),
        ({"final_learning_rate": 1.1}, r"final_learning_rate must be a number from 0 to 1, not 1\.1\."),
        ({"final_learning_rate": -1}, r"final_learning_rate must be a number from 0 to 1, not -1\."),
        ({"drop_state": -0.1}, r"drop_state must be a number from 0 to 1, not -0\.1\."),
        ({"drop_state": None}, r"drop_state must be a number from 0 to 1, not None\."),
        ({"window": 64, "reach": 63}, r"reach must be at least the window of 64 steps, not 63\."),
        ({"clip_norm": 1.0, "clip_value": 1.0}, r"give clip_norm or clip_value, not both\."),
        ({"clip_value": 1.0, "clip_ratio": 1.0}, r"give clip_value or clip_ratio, not both\."),
        ({"clip_layer_norm": 1.0, "clip_ratio": 1.0}, r"give clip_layer_norm or clip_ratio, not both\."),
        ({"device": "gpu"}, r"device must be auto, cpu, cuda or mps, not 'gpu'\."),
        ({"precision": "bf16"}, r"precision must be float32 or bfloat16, not 'bf16'\."),
        ({"sample_prompt": ""}, r"sample_prompt must be a text of at least one character, not ''\."),
        ({"sample_prompt": 3}, r"sample_prompt must be a text of at least one character, not 3\."),
        ({"seed": 1 << 63}, r"seed must be at most 9223372036854775807, not 9223372036854775808\."),
    ],
)
def test_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        LanguageTrainingOptions(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"weight_decay": 0},
        {"final_learning_rate": 0},
        {"drop_state": 1},
        {"window": 64, "reach": 64},
        {"final_learning_rate": 1},
        {"clip_norm": 1.0},
        {"clip_value": 1.0},
        {"clip_layer_norm": 1.0},
        {"clip_ratio": 0.02},
        {"activation_penalty": 0, "temporal_penalty": 2},
        {"device": "cuda"},
        {"precision": "bfloat16"},
        {"seed": (1 << 63) - 1},
    ],
)
def test_values_at_the_edge(values: dict[str, Any]) -> None:
    LanguageTrainingOptions(**values)


# --- what the tasks share ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [LanguageTrainingOptions, SeriesTrainingOptions])
def test_every_task_has_what_all_have_and_checks_it(options: Any) -> None:
    assert issubclass(options, TrainingOptions)
    for values, message in (
        ({"batch_size": 0}, r"batch_size must be a whole number from 1 on, not 0\."),
        ({"learning_rate": -1}, r"learning_rate must be a number above 0, not -1\."),
        ({"clip_norm": 1.0, "clip_value": 1.0}, r"give clip_norm or clip_value, not both\."),
    ):
        with pytest.raises(OptionError, match=f"^{message}$"):
            options(**values)


def test_series_have_no_options_of_streams() -> None:
    only_language = {field.name for field in fields(LanguageTrainingOptions)} - {
        field.name for field in fields(SeriesTrainingOptions)
    }
    assert only_language == {
        *("window", "reach", "vary_window", "drop_state", "activation_penalty", "temporal_penalty", "probe_every"),
        *("sample_prompt", "sample_length"),
    }
    assert SeriesTrainingOptions().weight_decay == 0.01


def test_bounds_in_words() -> None:
    assert SeriesTrainingOptions(max_minutes=1, max_steps=20).bounds == ["1 minute", "20 steps"]


def test_the_order_of_the_help_of_a_language_model() -> None:
    assert [field.name for field in fields_in_order(LanguageTrainingOptions)] == [
        *("max_minutes", "max_epochs", "max_steps", "batch_size", "window", "reach", "vary_window", "drop_state"),
        *("learning_rate", "warmup_steps", "final_learning_rate", "weight_decay"),
        *("clip_norm", "clip_value", "clip_layer_norm", "clip_ratio", "skip_nonfinite"),
        *("activation_penalty", "temporal_penalty", "patience", "validate_every"),
        *("averaged_checkpoints", "checkpoint_every", "probe_every"),
        *("seed", "device", "devices", "precision", "tensorboard", "no_report"),
        *("sample_prompt", "sample_length"),
    ]
