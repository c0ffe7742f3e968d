"""Beam search: exact where it can be, never worse with more beams, the same alone as in a batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recur_tests_decode_models import (
    AttentiveTables,
    Tables,
    all_sequences,
    brief,
    forced,
    greedy,
    log_prob_of,
    score_of,
)
from torch import Tensor

from recur.decode import Constraints, DecodingOptions, Sampling, decode
from recur.decode.beams import likeliest
from recur.errors import OptionError

END = 1
START = 0
PENALTIES: list[dict[str, Any]] = [
    {},
    {"length_penalty": "gnmt"},
    {"length_penalty": "gnmt", "length_exponent": 2.0},
    {"length_penalty": "mean"},
    {"coverage_penalty": 0.4},
    {"length_penalty": "gnmt", "coverage_penalty": 0.2},
]


def starts(num: int) -> Tensor:
    return torch.full((num,), START)


def exhaustive(model: AttentiveTables, state: Tensor, options: DecodingOptions, places: int) -> list[Any]:
    """Return score and tokens of every sequence that the options allow, best first."""
    found = []
    for tokens in all_sequences(4, END, options.max_length):
        if len(tokens) < options.min_length:
            continue
        said, looked = forced(model, state, START, tokens)
        # Where the tokens themselves looked; the end's look does not count.
        coverage = [float(sum(look[place] for look in looked[: len(tokens)])) for place in range(places)]
        log_prob = log_prob_of(said, tokens, END)
        score = score_of(
            log_prob,
            len(tokens) + 1,
            options.length_penalty,
            options.exponent,
            options.coverage_penalty,
            coverage if options.coverage_penalty else (),
        )
        if math.isfinite(log_prob):
            found.append((score, tokens, log_prob))
    return sorted(found, key=lambda one: -one[0])


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("lengths", [{"max_length": 3}, {"max_length": 3, "min_length": 2}], ids=str)
def test_enough_beams_find_the_best_of_all_sequences(penalty: dict[str, Any], lengths: dict[str, int]) -> None:
    options = DecodingOptions(beams=40, num_best=5, **penalty, **lengths)
    for seed in range(4):
        model = AttentiveTables(seed)
        source_lengths = torch.tensor([4, 3, 2])
        found = decode(model, model.start(3), starts(3), end=END, options=options, source_lengths=source_lengths)
        for row, hypotheses in enumerate(found):
            expected = exhaustive(model, model.start(3)[row : row + 1], options, int(source_lengths[row]))[:5]
            assert [one.tokens for one in hypotheses] == [tokens for _, tokens, _ in expected]
            for one, (score, tokens, log_prob) in zip(hypotheses, expected, strict=True):
                assert one.score == pytest.approx(score, rel=1e-12)
                assert one.log_prob == pytest.approx(log_prob, rel=1e-12)
                assert one.ended == ("length" if len(tokens) == 3 else "end")


def test_all_that_there_is_is_found_when_it_is_asked_for() -> None:
    model = Tables(0)
    options = DecodingOptions(beams=50, num_best=50, max_length=3)
    ((*hypotheses,),) = decode(model, model.start(1), starts(1), end=END, options=options)
    assert {one.tokens for one in hypotheses} == set(all_sequences(4, END, 3))
    assert math.fsum(math.exp(one.log_prob) for one in hypotheses if one.ended == "end") < 1
    scores = [one.score for one in hypotheses]
    assert scores == sorted(scores, reverse=True)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    penalty=st.sampled_from(PENALTIES[:4]),
    num=st.integers(1, 4),
    end=st.sampled_from([0, END, 4, None]),
    is_tied=st.booleans(),
)
def test_one_beam_is_greedy(seed: int, penalty: dict[str, Any], num: int, end: int | None, is_tied: bool) -> None:
    model = Tables(seed, 5, is_tied=is_tied)
    options = DecodingOptions(max_length=8, **penalty)
    found = decode(model, model.start(num), starts(num), end=end, options=options)
    # With more patience it goes on after that, and nested beams choose.
    patient = DecodingOptions(max_length=8, patience=2.0, **penalty)
    longer = decode(model, model.start(num), starts(num), end=end, options=patient)
    for row, (hypothesis,) in enumerate(found):
        assert hypothesis.tokens == greedy(model, model.start(num)[row : row + 1], START, end, 8)
        assert hypothesis.score <= longer[row][0].score


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    penalty=st.sampled_from(PENALTIES),
    widths=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    patience=st.sampled_from([1.0, 1.5, math.inf]),
    sharpness=st.sampled_from([0.3, 1.5, 5.0]),
    more=st.sampled_from([{}, {"block_ngrams": 2}, {"min_length": 3}]),
    is_tied=st.booleans(),
)
def test_a_wider_search_finds_all_that_matters_of_a_narrower_one(
    seed: int,
    penalty: dict[str, Any],
    widths: tuple[int, int],
    patience: float,
    sharpness: float,
    more: dict[str, Any],
    is_tied: bool,
) -> None:
    narrow, wide = sorted(widths)
    model = AttentiveTables(seed, 5, sharpness=sharpness, is_tied=is_tied)

    def scores(beams: int, num_best: int) -> list[list[float]]:
        options = DecodingOptions(beams=beams, num_best=num_best, max_length=7, patience=patience, **penalty, **more)
        found = decode(model, model.start(2), starts(2), end=END, options=options)
        return [[one.score for one in hypotheses] for hypotheses in found]

    for fewer, wider in zip(scores(narrow, narrow), scores(wide, narrow), strict=True):
        assert len(wider) >= len(fewer)
        assert all(score <= best for score, best in zip(fewer, wider, strict=False))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    widths=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    patience=st.sampled_from([1.0, 1.5]),
)
def test_whatever_a_narrower_search_looks_at_a_wider_one_looks_at_too(
    seed: int, widths: tuple[int, int], patience: float
) -> None:
    def looked_at(beams: int) -> list[set[int]]:
        model = Tables(seed, 5)
        steps = []
        step = model.step

        def watched(tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            said, after = step(tokens, state)
            steps.append(set(after.tolist()))
            return said, after

        model.step = watched  # type: ignore[method-assign]
        # By this penalty and far from the maximum length nothing is proven for long, and rows are done by their fill.
        options = DecodingOptions(beams=beams, max_length=300, length_penalty="mean", patience=patience)
        decode(model, model.start(1), starts(1), end=END, options=options)
        return steps

    narrow, wide = (looked_at(beams) for beams in sorted(widths))
    assert len(narrow) <= len(wide) or len(wide) > 50
    assert all(few <= many for few, many in zip(narrow, wide, strict=False))


def test_the_bound_is_that_of_the_longest_sequence() -> None:
    """The end comes at once or after three sure tokens, which is only just the better by the mean."""

    class Late:
        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            first = torch.tensor([0.1, 0.522, *[0.054] * 7], dtype=torch.float64)
            said = torch.where((state == 0)[:, None], first, torch.eye(9, dtype=torch.float64)[0])
            return torch.where((state == 3)[:, None], torch.eye(9, dtype=torch.float64)[END], said).log(), state + 1

        def select(self, state: Tensor, rows: Tensor) -> Tensor:
            return state[rows]

    assert math.log(0.1) / 4 > math.log(0.522) > math.log(0.1) / 3
    options = DecodingOptions(beams=2, max_length=3, length_penalty="mean")
    (((found),),) = decode(Late(), starts(1), starts(1), end=END, options=options)
    assert found.tokens == (0, 0, 0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    penalty=st.sampled_from(PENALTIES[:4]),
    beams=st.integers(1, 6),
    patience=st.sampled_from([1.0, 2.0]),
)
def test_stopping_early_loses_nothing(seed: int, penalty: dict[str, Any], beams: int, patience: float) -> None:
    """With as many hypotheses told as beams nothing is proven before that many have ended."""
    model = Tables(seed, 5)

    def told(num_best: int) -> list[list[Any]]:
        options = DecodingOptions(beams=beams, num_best=num_best, max_length=7, patience=patience, **penalty)
        return [brief(row) for row in decode(model, model.start(3), starts(3), end=END, options=options)]

    everything = told(beams)
    for num_best in range(1, beams):
        assert told(num_best) == [row[:num_best] for row in everything]


def test_stopping_early_saves_steps() -> None:
    few, all_ = Tables(3, 6, sharpness=3), Tables(3, 6, sharpness=3)
    for model, patience in ((few, 1.0), (all_, math.inf)):
        options = DecodingOptions(beams=4, num_best=4, max_length=40, patience=patience, length_penalty="mean")
        decode(model, model.start(5), starts(5), end=END, options=options)
    assert few.rows_computed < all_.rows_computed / 2


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    beams=st.integers(1, 6),
    groups=st.booleans(),
    penalty=st.sampled_from(PENALTIES),
    more=st.sampled_from([{}, {"prune": 1.0}, {"block_ngrams": 1}, {"patience": math.inf}]),
    limits=st.lists(st.integers(1, 9), min_size=5, max_size=5),
)
def test_a_row_in_a_batch_is_as_it_is_alone(
    seed: int, beams: int, groups: bool, penalty: dict[str, Any], more: dict[str, Any], limits: list[int]
) -> None:
    model = AttentiveTables(seed, 5)
    split = 2 if groups else 1
    options = DecodingOptions(
        beams=beams * split, num_best=beams * split, groups=split, max_length=8, **penalty, **more
    )
    lengths, places = torch.tensor(limits), torch.tensor([4, 1, 2, 3, 4])
    required = [[], [2, (3, 4)], [], [], [4]] if split == 1 else None

    def told(rows: list[int]) -> list[Any]:
        return decode(
            model,
            model.start(5)[rows],
            starts(len(rows)),
            end=END,
            options=options,
            constraints=Constraints(
                forbidden=[(2, 2)],
                required=None if required is None else [required[row] for row in rows],
                max_lengths=lengths[rows],
            ),
            source_lengths=places[rows],
        )

    together = told([0, 1, 2, 3, 4])
    for row in range(5):
        (alone,) = told([row])
        assert brief(alone) == brief(together[row])
        for one, other in zip(alone, together[row], strict=True):
            assert one.missing == other.missing
            assert one.attention is not None
            assert other.attention is not None
            assert one.attention.shape == (len(one.tokens), places[row])
            assert torch.equal(one.attention, other.attention)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    beams=st.integers(1, 6),
    penalty=st.sampled_from(PENALTIES),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    end=st.sampled_from([END, None]),
)
def test_scores_and_attention_are_those_of_forced_decoding(
    seed: int, beams: int, penalty: dict[str, Any], dtype: torch.dtype, end: int | None
) -> None:
    model = AttentiveTables(seed, 5)
    model.table = model.table.to(dtype)
    options = DecodingOptions(beams=beams, num_best=beams, max_length=6, **penalty)
    found = decode(model, model.start(2), starts(2), end=end, options=options)
    for row, hypotheses in enumerate(found):
        assert hypotheses
        for one in hypotheses:
            said, looked = forced(model, model.start(2)[row : row + 1], START, one.tokens)
            log_prob = log_prob_of(said, one.tokens, end)
            # Sums are taken in float64 whatever the model computes in.
            assert one.log_prob == pytest.approx(log_prob, rel=1e-12)
            assert one.attention is not None
            assert [row.tolist() for row in one.attention] == [look.tolist() for look in looked[: len(one.tokens)]]
            coverage = one.attention.sum(dim=0).tolist() if options.coverage_penalty else ()
            length = len(one.tokens) + (end is not None)
            score = score_of(
                log_prob, length, options.length_penalty, options.exponent, options.coverage_penalty, coverage
            )
            assert one.score == pytest.approx(score, rel=1e-12)
            assert one.ended == ("length" if len(one.tokens) == 6 else "end")


def test_rows_that_are_done_cost_nothing() -> None:
    class Fixed(Tables):
        """Each row says a token as often as its number tells, surely, and ends."""

        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            self.rows_computed += len(tokens)
            return torch.where((state > 0)[:, None], self.table[0], self.table[1]), state - 1

    model = Fixed(0, 3)
    model.table = torch.tensor([[0.0, -math.inf, -math.inf], [-math.inf, 0.0, -math.inf]])
    for beams in (1, 5):
        model.rows_computed = 0
        options = DecodingOptions(beams=beams)
        found = decode(model, torch.tensor([5, 0, 2]), starts(3), end=END, options=options)
        assert [row[0].tokens for row in found] == [(0,) * 5, (), (0, 0)]
        assert model.rows_computed == 6 + 1 + 3


def test_a_state_of_any_structure_is_handed_back_as_it_came() -> None:
    tables = Tables(2, 5)

    class Nested:
        def step(self, tokens: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
            said, after = tables.step(tokens, state["at"][0])
            return said, {"at": [after], "steps": state["steps"] + 1}

        def select(self, state: dict[str, Any], rows: Tensor) -> dict[str, Any]:
            return {"at": [state["at"][0][rows]], "steps": state["steps"]}

    options = DecodingOptions(beams=3, num_best=3, max_length=6)
    state = {"at": [tables.start(2)], "steps": 0}
    found = decode(Nested(), state, starts(2), end=END, options=options)
    expected = decode(tables, tables.start(2), starts(2), end=END, options=options)
    assert [brief(row) for row in found] == [brief(row) for row in expected]
    assert all(one.attention is None for row in found for one in row)


def test_of_equals_the_lower_token_is_taken() -> None:
    model = Tables(0, 4)
    model.table = torch.full_like(model.table, -math.log(4))
    options = DecodingOptions(max_length=2)
    (((found),),) = decode(model, model.start(1), starts(1), end=2, options=options)
    assert found.tokens == (0, 0)
    (((ended),),) = decode(model, model.start(1), starts(1), end=0, options=options)
    assert ended.tokens == ()


@given(seed=st.integers(0, 10**6), num=st.integers(1, 7))
def test_the_likeliest_are_in_the_order_of_a_stable_sort(seed: int, num: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 4, (5, 6), generator=draw).float().log()
    before = scores.clone()
    values, places = likeliest(scores, num)
    expected = scores.sort(dim=1, descending=True, stable=True)
    is_there = expected.values[:, :num] > -torch.inf
    assert torch.equal(values, expected.values[:, :num])
    assert torch.equal(places[is_there], expected.indices[:, :num][is_there])
    assert torch.equal(scores, before)


@pytest.mark.parametrize("length", [1024, 1087, 2000])
@pytest.mark.parametrize("num", [1, 6])
@pytest.mark.parametrize("is_tied", [False, True])
def test_the_likeliest_of_long_rows(length: int, num: int, is_tied: bool) -> None:
    scores = torch.randn(7, length)
    if is_tied:
        scores = scores.round()
    scores[0, -1] = 9
    scores[1, :-3] = -torch.inf
    values, places = likeliest(scores, num)
    expected = scores.sort(dim=1, descending=True, stable=True)
    is_there = expected.values[:, :num] > -torch.inf
    assert torch.equal(values, expected.values[:, :num])
    assert torch.equal(places[is_there], expected.indices[:, :num][is_there])


def test_nothing_can_follow() -> None:
    model = Tables(0, 3)
    model.table = torch.tensor([[-math.inf, -math.inf, 0.0]]).expand_as(model.table)
    for beams in (1, 3):
        options = DecodingOptions(beams=beams, num_best=beams, max_length=2)
        (found,) = decode(model, model.start(1), starts(1), end=END, options=options)
        assert [(one.tokens, one.log_prob, one.score, one.ended) for one in found] == [((2, 2), 0, -math.inf, "stuck")]


def test_a_gradient_is_not_kept() -> None:
    model = Tables(0)
    model.table.requires_grad_()
    seen = []
    step = model.step

    def watched(tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        said, after = step(tokens, state)
        seen.append(said.requires_grad)
        return said, after

    model.step = watched  # type: ignore[method-assign]
    decode(model, model.start(1), starts(1), end=END)
    assert seen
    assert not any(seen)


@pytest.mark.parametrize(
    ("options", "constraints"),
    [
        ({}, {}),
        (
            {"beams": 4, "coverage_penalty": 0.2, "prune": 2.0, "block_ngrams": 2, "min_length": 2},
            {"forbidden": [(2, 0)]},
        ),
        ({"beams": 4, "groups": 2, "num_best": 2, "length_penalty": "mean"}, {}),
        ({"sampling": Sampling(top_k=3), "num_best": 3}, {}),
        ({"beams": 4, "prune": 3.0}, {"required": [[2, (3, 4)], [], [4]]}),
    ],
    ids=str,
)
def test_everything_is_where_the_start_is(options: dict[str, Any], constraints: dict[str, Any]) -> None:
    """A tensor made on the default device would be on another one, and could not be used with the rest."""
    for vocabulary in (5, 1500):
        model = AttentiveTables(0, vocabulary)
        state, start, lengths = model.start(3), starts(3), torch.tensor([4, 2, 3])
        asked = Constraints(max_lengths=torch.tensor([5, 3, 4]), **constraints)
        chosen = DecodingOptions(**options)
        with torch.device("meta"):
            found = decode(model, state, start, end=END, options=chosen, constraints=asked, source_lengths=lengths)
        assert all(found)


def test_an_empty_batch_has_no_answers() -> None:
    model = Tables(0)
    assert decode(model, model.start(0), starts(0), end=END) == []


def test_what_the_model_returns_is_left_as_it_is() -> None:
    model = Tables(0, 5)
    before = model.table.clone()
    options = DecodingOptions(beams=3, min_length=2, block_ngrams=1, max_length=4)
    constraints = Constraints(forbidden=[3])
    shared = model.table[7:8]

    class Same:
        def step(self, tokens: Tensor, state: None) -> tuple[Tensor, None]:
            return shared.expand(len(tokens), -1), None

        def select(self, state: None, rows: Tensor) -> None:
            return None

    decode(Same(), None, starts(2), end=END, options=options, constraints=constraints)
    assert torch.equal(model.table, before)


def test_pruning_gives_up_what_is_far_behind_at_its_step() -> None:
    loose, tight = Tables(5, 6, sharpness=3), Tables(5, 6, sharpness=3)
    for model, prune in ((loose, None), (tight, 0.5)):
        options = DecodingOptions(beams=8, num_best=8, max_length=20, prune=prune)
        decode(model, model.start(4), starts(4), end=None, options=options)
    assert tight.rows_computed < loose.rows_computed / 2


def test_pruning_gives_up_what_is_far_behind_the_best_that_ended() -> None:
    model = Tables(0, 10)
    first = torch.tensor([0.4, 0.6, *[0.0] * 8])
    # What does not end at once has none that is better at its step, and falls behind by log(8) with each.
    model.table = torch.tensor([0.0, 0.0, *[0.125] * 8]).expand(model.size, -1).clone()
    model.table[5] = first
    model.table = model.table.log()
    for prune, num_steps in ((None, 10), (1.0, 2), (3.0, 3)):
        model.rows_computed = 0
        options = DecodingOptions(beams=2, num_best=2, max_length=9, prune=prune)
        (found,) = decode(model, model.start(1), starts(1), end=END, options=options)
        assert found[0].tokens == ()
        assert model.rows_computed == sum([1, 1, *[2] * 8][:num_steps])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), prune=st.sampled_from([0.3, 1.0, 3.0]))
def test_pruned_hypotheses_are_within_the_distance(seed: int, prune: float) -> None:
    """Without a length penalty each step's best bounds what is kept at that step, and the last step's decides."""
    model = Tables(seed, 5)
    options = DecodingOptions(beams=5, num_best=5, max_length=6, prune=prune)
    (found,) = decode(model, model.start(1), starts(1), end=END, options=options)
    by_length: dict[int, list[float]] = {}
    for one in found:
        by_length.setdefault(len(one.tokens), []).append(one.log_prob)
    for log_probs in by_length.values():
        assert max(log_probs) - min(log_probs) <= prune


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            torch.zeros(1),
            r"Steps\.step returned \(1,\) torch\.float32; log-probabilities of the next token are floating ",
        ),
        (
            torch.zeros(2, 4),
            r"Steps\.step returned \(2, 4\) torch\.float32; .* with a row for each of the 1 tokens given\.",
        ),
        (torch.zeros(1, 4, dtype=torch.int64), r"Steps\.step returned \(1, 4\) torch\.int64; "),
        (
            torch.ones(1, 4),
            r"Steps\.step returned a log-probability of 1, and they are 0 at most\. If it returns logits, ",
        ),
        (torch.full((1, 4), math.nan), r"Steps\.step returned a log-probability of nan, and they are 0 at most\."),
    ],
)
def test_what_is_no_log_probability(said: Tensor, message: str) -> None:
    class Wrong:
        def step(self, tokens: Tensor, state: None) -> tuple[Tensor, None]:
            return said, None

        def select(self, state: None, rows: Tensor) -> None:
            return None

    with pytest.raises(ValueError, match=f"^{message}"):
        decode(Wrong(), None, starts(1), end=END)


def test_coverage_needs_attention() -> None:
    model = Tables(0)
    with pytest.raises(
        OptionError, match=r"^coverage_penalty counts attention, and this model does not tell where it "
    ):
        decode(model, model.start(1), starts(1), end=END, options=DecodingOptions(coverage_penalty=0.1))
