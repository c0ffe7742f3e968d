"""What is chosen where the user says nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.cli.parser import field_documents
from recur.models.options import LanguageModelOptions
from recur.train.language_choice import DEFAULT_MINUTES, choose
from recur.train.options import LanguageTrainingOptions

MILLION = 1_000_000


def chosen(
    num_tokens: int = MILLION,
    has_gpu: bool = False,
    model: dict[str, Any] | None = None,
    vocabulary_size: int = 66,
    **training: Any,
) -> tuple[LanguageModelOptions, LanguageTrainingOptions]:
    return choose(
        LanguageModelOptions(**(model or {})),
        LanguageTrainingOptions(**training),
        num_tokens=num_tokens,
        vocabulary_size=vocabulary_size,
        has_gpu=has_gpu,
    )


def chosen_again(
    model: LanguageModelOptions, training: LanguageTrainingOptions, num_tokens: int, has_gpu: bool
) -> tuple[LanguageModelOptions, LanguageTrainingOptions]:
    return choose(model, training, num_tokens=num_tokens, vocabulary_size=66, has_gpu=has_gpu)


def test_three_minutes_for_a_million_characters() -> None:
    model, training = chosen(max_minutes=3)
    assert (model.cell, model.num_layers, model.hidden_size, model.embedding_size) == ("lstm", 2, 256, 64)
    assert model.dropout == 0.2
    assert (training.batch_size, training.window, training.clip_norm, training.max_minutes) == (32, 64, 1.0, 3)
    assert training.learning_rate == pytest.approx(4e-3)
    assert training.validate_every == 489, "one pass over the text"


def test_more_time_is_worth_a_larger_model_with_a_lower_rate() -> None:
    short, long = chosen(max_minutes=3), chosen(max_minutes=30)
    assert (short[0].hidden_size, long[0].hidden_size) == (256, 512)
    assert long[1].learning_rate == pytest.approx(4e-3 / 2**0.5)
    assert chosen(max_minutes=0.5)[0].hidden_size == 128
    assert chosen(max_minutes=3, has_gpu=True)[0].hidden_size == 512
    assert chosen(max_minutes=3, has_gpu=True)[1].batch_size == 128


def test_a_text_that_is_read_often_gets_more_dropout() -> None:
    dropouts = [chosen(num_tokens=n, max_minutes=10)[0].dropout for n in (100 * MILLION, 2 * MILLION, 200_000)]
    assert dropouts == [0.0, 0.2, 0.3]
    assert chosen(max_minutes=30)[0].dropout == 0.4
    assert chosen(max_epochs=1)[0].dropout == 0.0
    assert chosen(max_steps=4000)[0].dropout == 0.2


def test_many_different_tokens_get_a_larger_embedding() -> None:
    assert [chosen(vocabulary_size=n)[0].embedding_size for n in (66, 256, 257)] == [64, 64, 256]
    assert chosen(model={"tied": True, "hidden_size": 40})[0].embedding_size == 40
    told = "64 for up to 256 different tokens, else 256; hidden_size if tied."
    assert field_documents(LanguageModelOptions)["embedding_size"].endswith(told)


def test_without_a_bound_there_is_one() -> None:
    assert chosen()[1].max_minutes == DEFAULT_MINUTES
    for bound in ({"max_steps": 5}, {"max_epochs": 2}):
        training = chosen(**bound)[1]
        assert training.max_minutes is None
        assert asdict(training).items() >= bound.items()


def test_clipping_by_norm_unless_by_something_else() -> None:
    assert chosen()[1].clip_norm == 1.0
    assert chosen(clip_norm=0.3)[1].clip_norm == 0.3
    for name in ("clip_value", "clip_layer_norm", "clip_ratio"):
        other = chosen(**{name: 0.3})[1]
        assert (other.clip_norm, getattr(other, name)) == (None, 0.3)


def test_a_short_text_is_cut_into_fewer_streams() -> None:
    assert [chosen(num_tokens=n)[1].batch_size for n in (2, 257, 1000, 8000, 8193)] == [1, 1, 2, 16, 32]
    assert chosen(num_tokens=1000)[0].hidden_size == 128


@pytest.mark.parametrize("devices", [1, 2, 3, 5])
@pytest.mark.parametrize("num_tokens", [10, 1000, MILLION])
def test_streams_are_shared_equally(devices: int, num_tokens: int) -> None:
    batch_size = chosen(num_tokens=num_tokens, devices=devices)[1].batch_size
    assert batch_size is not None
    assert batch_size >= devices
    assert batch_size % devices == 0


GIVEN_MODEL = {"cell": "gru", "num_layers": 3, "hidden_size": 40, "embedding_size": 20, "dropout": 0.0}
GIVEN_TRAINING = {
    "max_steps": 7,
    "batch_size": 6,
    "window": 9,
    "reach": 20,
    "learning_rate": 0.5,
    "clip_value": 2.0,
    "validate_every": 11,
    "checkpoint_every": 13,
    "seed": 4,
}


@given(
    st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in GIVEN_MODEL.items()}),
    st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in GIVEN_TRAINING.items()}),
    st.integers(2, 10**10),
    st.booleans(),
)
def test_what_is_given_stays_and_the_rest_is_complete(
    model: dict[str, Any], training: dict[str, Any], num_tokens: int, has_gpu: bool
) -> None:
    found_model, found = chosen(num_tokens, has_gpu, model, **training)
    assert asdict(found_model).items() >= model.items()
    assert asdict(found).items() >= training.items()
    assert found_model.is_complete
    assert None not in (found.batch_size, found.window, found.learning_rate, found.validate_every)
    assert (found.clip_norm is None) != (found.clip_value is None)
    assert chosen_again(found_model, found, num_tokens, has_gpu) == (found_model, found), "settled"


def test_a_longer_reach_takes_its_time() -> None:
    model, training = chosen(max_minutes=20)
    assert (model.hidden_size, training.window, training.reach) == (512, 64, None)
    model, training = chosen(max_minutes=20, reach=128)
    assert (model.hidden_size, training.window, training.reach) == (256, 64, 128)
    assert chosen(max_minutes=20, reach=64)[0] == chosen(max_minutes=20)[0]
    assert chosen(max_minutes=20, reach=40)[1].window == 40


def test_a_tied_model_gets_one_size() -> None:
    model, _ = chosen(model={"tied": True, "hidden_size": 64})
    assert model.embedding_size == 64
