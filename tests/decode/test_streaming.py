"""Output as it settles: never taken back, in the end what `decode` returns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recur_tests_decode_models import Tables, brief
from torch import Tensor

from recur.decode import Constraints, DecodingOptions, Hypothesis, Sampling, decode, stream
from recur.errors import OptionError

END = 1


def starts(num: int) -> Tensor:
    return torch.zeros(num, dtype=torch.int64)


def streamed(*arguments: Any, **options: Any) -> tuple[list[list[list[int]]], list[list[Hypothesis]]]:
    """Return what was streamed at each step, and what was returned."""
    steps = []
    generator = stream(*arguments, **options)
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as done:
            return steps, done.value


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    options=st.sampled_from(
        [
            {},
            {"beams": 4},
            {"beams": 4, "length_penalty": "mean"},
            {"beams": 5, "prune": 1.0},
            {"beams": 3, "patience": math.inf},
            {"sampling": Sampling()},
        ]
    ),
    required=st.booleans(),
    end=st.sampled_from([END, None]),
)
def test_what_is_streamed_is_the_answer(seed: int, options: dict[str, Any], required: bool, end: int | None) -> None:
    model = Tables(seed, 5)
    arguments: dict[str, Any] = {
        "end": end,
        "options": DecodingOptions(max_length=7, **options),
        "constraints": Constraints(required=[[], [2, 4], []] if required and "sampling" not in options else None),
    }

    def draw() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    steps, told = streamed(model, model.start(3), starts(3), generator=draw(), **arguments)
    answer = decode(model, model.start(3), starts(3), generator=draw(), **arguments)
    assert [brief(row) for row in told] == [brief(row) for row in answer]
    for row in range(3):
        assert tuple(token for step in steps for token in step[row]) == answer[row][0].tokens


def test_greedy_tokens_and_samples_come_at_once() -> None:
    model = Tables(2, 6)
    for sampling in (None, Sampling(temperature=0)):
        options = DecodingOptions(min_length=4, max_length=9, sampling=sampling)
        steps, ((answer,),) = streamed(model, model.start(1), starts(1), end=END, options=options)
        assert len(answer.tokens) >= 4
        assert [step[0] for step in steps] == [[token] for token in answer.tokens] + [[]]


def test_beams_tell_what_they_agree_on_before_they_end() -> None:
    class Agreed:
        """Four sure tokens, a choice, and the end."""

        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            sure = torch.eye(6)[(state + 2).clamp(max=5)]
            choice = torch.tensor([0.4, 0.0, 0.6, 0.0, 0.0, 0.0])
            said = torch.where(
                (state == 4)[:, None], choice, torch.where((state > 4)[:, None], torch.eye(6)[END], sure)
            )
            return said.log(), state + 1

        def select(self, state: Tensor, rows: Tensor) -> Tensor:
            return state[rows]

    options = DecodingOptions(beams=2)
    steps, ((answer,),) = streamed(Agreed(), starts(1), starts(1), end=END, options=options)
    assert answer.tokens == (2, 3, 4, 5, 2)
    assert [step[0] for step in steps] == [[2], [3], [4], [5], [], [2]]


def test_options_are_checked_before_the_first_step() -> None:
    model = Tables(0)
    with pytest.raises(OptionError, match=r"^One hypothesis is streamed, and num_best is 2\. Give num_best=1\.$"):
        stream(model, model.start(1), starts(1), end=END, options=DecodingOptions(beams=2, num_best=2))
    with pytest.raises(OptionError, match=r"^end must be a token, a whole number from 0 on, or None, not 'x'\.$"):
        stream(model, model.start(1), starts(1), end="x")  # type: ignore[arg-type]
