"""Greedy search: what a search with one nested beam finds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recur_tests_decode_models import AttentiveTables, Tables
from torch import Tensor, nn

from recur.decode import Constraints, DecodingOptions, Ensemble, decode, decoding, stream
from recur.decode.beams import first_largest
from recur.decode.greedy import GreedySearch
from recur.decode.nested_beams import NestedBeams
from recur.decode.phrases import Phrases
from recur.decode.search import Search
from recur.nn import DotAttention

END = 1


def by_nested_beam(*args: Any, end: int | None, options: DecodingOptions, limits: Any, **others: Any) -> Search[Any]:
    """Return the search with one nested beam that takes what `GreedySearch` takes."""
    none: list[Any] = [()] * len(limits)
    return Search(
        *args,
        end=end,
        options=options,
        selection=NestedBeams(1, 1, options.repulsion, options.prune, end),
        required=none,
        phrases=Phrases(none, limits.device),
        limits=limits,
        **others,
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 5),
    has_attention=st.booleans(),
    has_end=st.booleans(),
    length_penalty=st.sampled_from(["none", "mean", "gnmt"]),
    coverage_penalty=st.sampled_from([0.0, 0.3]),
    min_length=st.integers(0, 3),
    block_ngrams=st.sampled_from([None, 1, 2]),
    forbidden=st.sampled_from([[], [2], [(0, 3), (2, 2, 0)], [0, 2, 3], [0, 1, 2, 3]]),
    limits=st.lists(st.integers(3, 6), min_size=5, max_size=5),
)
def test_it_finds_what_one_nested_beam_does(
    seed: int,
    rows: int,
    has_attention: bool,
    has_end: bool,
    length_penalty: Any,
    coverage_penalty: float,
    min_length: int,
    block_ngrams: int | None,
    forbidden: list[Any],
    limits: list[int],
) -> None:
    model: Any = AttentiveTables(seed) if has_attention else Tables(seed)
    options = DecodingOptions(
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty if has_attention else 0.0,
        min_length=min_length if has_end else 0,
        block_ngrams=block_ngrams,
        max_length=5,
    )
    asked: dict[str, Any] = {
        "end": END if has_end else None,
        "options": options,
        "constraints": Constraints(
            forbidden=[one for one in forbidden if one != END] if has_end else forbidden,
            max_lengths=torch.tensor(limits[:rows]),
        ),
        "source_lengths": torch.tensor([4, 2, 3, 1, 4][:rows]) if has_attention else None,
    }
    state, start = model.start(rows), torch.zeros(rows, dtype=torch.int64)
    found = decode(model, state, start, **asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "GreedySearch", by_nested_beam)
        wanted = decode(model, state, start, **asked)
    assert found == wanted
    for (one,), (other,) in zip(found, wanted, strict=True):
        assert (one.attention is None) == (other.attention is None) == (not has_attention)
        if one.attention is not None:
            assert other.attention is not None
            assert torch.equal(one.attention, other.attention)
    streamed = stream(model, state, start, **asked)
    said: list[list[int]] = [[] for _ in range(rows)]
    for new in streamed:
        for row, tokens in zip(said, new, strict=True):
            row += tokens
    assert [tuple(row) for row in said] == [one.tokens for (one,) in found]


def test_it_is_what_runs_with_one_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def noted(*args: Any, **options: Any) -> GreedySearch[Any]:
        made.append("greedy")
        return GreedySearch(*args, **options)

    monkeypatch.setattr(decoding, "GreedySearch", noted)
    model, start = Tables(0), torch.zeros(2, dtype=torch.int64)
    decode(model, model.start(2), start, end=END)
    assert made == ["greedy"]
    decode(model, model.start(2), start, end=END, options=DecodingOptions(beams=2))
    decode(model, model.start(2), start, end=END, options=DecodingOptions(patience=2))
    decode(model, model.start(2), start, end=END, constraints=Constraints(required=[[2], [3]]))
    assert made == ["greedy"]


@pytest.mark.parametrize("length", [1, 5, 1023, 1024, 1025, 1500, 4096])
def test_of_equals_the_first_is_the_largest(length: int) -> None:
    torch.manual_seed(length)
    for scores in (
        torch.randn(20, length),
        torch.randint(0, 3, (50, length)).float(),
        torch.full((3, length), -torch.inf),
        torch.randn(20, length).masked_fill(torch.rand(20, length) < 0.9, -torch.inf),
    ):
        found, wanted = first_largest(scores), scores.max(dim=1)
        assert torch.equal(found[0], wanted.values)
        assert torch.equal(found[1], wanted.indices)
    spoilt = torch.randn(2, length)
    spoilt[1, -1] = torch.nan
    assert first_largest(spoilt)[0].isnan().tolist() == [False, True]


class Speaker(nn.Module):
    """A model with a layer that is called like what tells where a model looked."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = DotAttention(2, 2)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full((len(tokens), 3), 1 / 3).log(), state

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_layer_called_attention_tells_nothing(beams: int) -> None:
    start = torch.zeros(2, dtype=torch.int64)
    options = DecodingOptions(beams=beams, max_length=2)
    for model in (Speaker(), Ensemble([Speaker(), Speaker()])):
        state: Any = (start, start) if isinstance(model, Ensemble) else start
        found = decode(model, state, start, end=END, options=options)
        assert [one.attention for (one,) in found] == [None, None]
