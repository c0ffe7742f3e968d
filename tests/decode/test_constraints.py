"""What is asked of outputs holds in every one of them: lengths, blocked n-grams, forbidden and required phrases."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recur_tests_decode_models import Tables, all_sequences, brief, forced, log_prob_of
from torch import Tensor

from recur.decode import Constraints, DecodingOptions, Sampling, decode
from recur.decode.phrases import Phrases, holds
from recur.errors import OptionError

END = 1
VOCABULARY = 5
PHRASE = st.lists(st.sampled_from([0, 2, 3, 4]), min_size=1, max_size=3).map(tuple)


def starts(num: int) -> Tensor:
    return torch.zeros(num, dtype=torch.int64)


@st.composite
def searches(draw: st.DrawFn) -> DecodingOptions:
    """Draw a way to search or to sample, with a bound on lengths."""
    most = draw(st.integers(1, 8))
    lengths = {"max_length": most, "min_length": draw(st.integers(0, most))}
    if draw(st.booleans()):
        return DecodingOptions(sampling=Sampling(temperature=draw(st.sampled_from([0, 0.5, 2]))), num_best=3, **lengths)
    groups = draw(st.integers(1, 2))
    beams = groups * draw(st.integers(1, 4))
    return DecodingOptions(beams=beams, groups=groups, num_best=beams, **lengths)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    options=searches(),
    block=st.none() | st.integers(1, 3),
    forbidden=st.lists(PHRASE | st.just((2, END)), max_size=3),
    limits=st.none() | st.lists(st.integers(8, 12), min_size=2, max_size=2),
)
def test_every_output_keeps_to_what_was_asked(
    seed: int, options: DecodingOptions, block: int | None, forbidden: list[Any], limits: list[int] | None
) -> None:
    model = Tables(seed, VOCABULARY)
    chosen = DecodingOptions(**{**vars(options), "block_ngrams": block})
    constraints = Constraints(forbidden=forbidden, max_lengths=None if limits is None else torch.tensor(limits))
    draw = torch.Generator().manual_seed(seed)
    found = decode(model, model.start(2), starts(2), end=END, options=chosen, constraints=constraints, generator=draw)
    for row, hypotheses in enumerate(found):
        assert 1 <= len(hypotheses) <= chosen.num_best
        for one in hypotheses:
            said = one.tokens if one.ended == "stuck" else (*one.tokens, END)
            assert END not in one.tokens
            assert len(one.tokens) <= chosen.max_length
            assert not any(holds(said, phrase) for phrase in forbidden)
            if block is not None:
                grams = [one.tokens[n : n + block] for n in range(len(one.tokens) - block + 1)]
                assert len(grams) == len(set(grams))
            if one.ended != "stuck":
                assert len(one.tokens) >= chosen.min_length
                scored, _ = forced(model, model.start(2)[row : row + 1], 0, one.tokens)
                assert one.log_prob == pytest.approx(log_prob_of(scored, one.tokens, END), rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), block=st.integers(1, 2), forbidden=st.lists(PHRASE | st.just((2, END)), max_size=2))
def test_the_best_of_what_is_allowed_is_found(seed: int, block: int, forbidden: list[Any]) -> None:
    model = Tables(seed, VOCABULARY)
    options = DecodingOptions(beams=130, block_ngrams=block, min_length=1, max_length=3)
    ((found,),) = decode(
        model, model.start(1), starts(1), end=END, options=options, constraints=Constraints(forbidden=forbidden)
    )

    def is_allowed(tokens: tuple[int, ...]) -> bool:
        grams = [tokens[n : n + block] for n in range(len(tokens) - block + 1)]
        has_new_only = len(grams) == len(set(grams))
        return bool(tokens) and has_new_only and not any(holds((*tokens, END), phrase) for phrase in forbidden)

    allowed = [tokens for tokens in all_sequences(VOCABULARY, END, 3) if is_allowed(tokens)]
    scored = {tokens: log_prob_of(forced(model, model.start(1), 0, tokens)[0], tokens, END) for tokens in allowed}
    if allowed:
        best = max(scored, key=lambda tokens: scored[tokens])
        assert found.tokens == best
        assert found.score == pytest.approx(scored[best], rel=1e-12)
    else:
        assert found.ended == "stuck"


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    required=st.lists(st.lists(PHRASE, max_size=3), min_size=2, max_size=3),
    beams=st.integers(1, 8),
    room=st.integers(0, 4),
    more=st.sampled_from([{}, {"length_penalty": "mean"}, {"prune": 2.0}, {"patience": math.inf}]),
    end=st.sampled_from([END, None]),
)
def test_what_is_required_is_held(
    seed: int, required: list[list[tuple[int, ...]]], beams: int, room: int, more: dict[str, Any], end: int | None
) -> None:
    model = Tables(seed, VOCABULARY)
    # Room for all of them one after the other, of which some rows have more.
    most = max(sum(map(len, phrases)) for phrases in required) + room
    options = DecodingOptions(beams=beams, num_best=beams, max_length=max(most, 1), **more)
    num = len(required)
    found = decode(
        model, model.start(num), starts(num), end=end, options=options, constraints=Constraints(required=required)
    )
    for row, hypotheses in enumerate(found):
        assert hypotheses
        for one in hypotheses:
            assert one.ended != "stuck"
            assert one.missing == ()
            assert all(holds(one.tokens, phrase) for phrase in required[row])
            scored, _ = forced(model, model.start(num)[row : row + 1], 0, one.tokens)
            assert one.log_prob == pytest.approx(log_prob_of(scored, one.tokens, end), rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), required=st.lists(PHRASE, min_size=1, max_size=2))
def test_with_enough_beams_the_best_that_holds_it_is_found(seed: int, required: list[tuple[int, ...]]) -> None:
    model = Tables(seed, VOCABULARY)
    options = DecodingOptions(beams=90, num_best=3, max_length=3, patience=math.inf)
    (found,) = decode(
        model, model.start(1), starts(1), end=END, options=options, constraints=Constraints(required=[required])
    )
    scored = {
        tokens: log_prob_of(forced(model, model.start(1), 0, tokens)[0], tokens, END)
        for tokens in all_sequences(VOCABULARY, END, 3)
        if all(holds(tokens, phrase) for phrase in required)
    }
    best = sorted(scored, key=lambda tokens: -scored[tokens])[:3]
    # Where there is no room for both no output holds them.
    assert [one.tokens for one in found] == best or (not best and all(one.missing for one in found))


def test_what_cannot_be_held_is_told() -> None:
    model = Tables(0, VOCABULARY)
    model.table = torch.zeros(model.size, VOCABULARY, dtype=torch.float64) - math.log(4)
    model.table[:, 3] = -math.inf
    options = DecodingOptions(beams=4, num_best=2, max_length=5)
    constraints = Constraints(required=[[(2, 3), 4], [], [(0, 0, 0), (2, 2), (4, 4)]])
    found = decode(model, model.start(3), starts(3), end=END, options=options, constraints=constraints)
    assert all(one.missing == (0,) and 4 in one.tokens for one in found[0])
    assert all(one.missing == () for one in found[1])
    # Seven tokens have no room in five; the best leaves one of the phrases out, and not more.
    assert len(found[2][0].missing) == 1
    assert len(found[2][0].missing) <= len(found[2][1].missing)
    assert all(one.ended == "length" for one in found[2])


def test_a_row_that_requires_nothing_is_searched_as_without_the_others() -> None:
    model = Tables(3, VOCABULARY)
    options = DecodingOptions(beams=3, num_best=3, max_length=6)
    constraints = Constraints(required=[[2, 3], []])
    both = decode(model, model.start(2), starts(2), end=END, options=options, constraints=constraints)
    plain = decode(model, model.start(2), starts(2), end=END, options=options)
    assert brief(both[1]) == brief(plain[1])
    assert brief(both[0]) != brief(plain[0])


def test_what_one_row_requires_does_not_change_what_another_finds() -> None:
    options = DecodingOptions(beams=6, num_best=6, max_length=8)
    for seed in range(20):
        model = Tables(seed, 15)

        def told(required: list[Any], model: Tables = model) -> list[Any]:
            state = model.start(len(required))
            constraints = Constraints(required=required)
            found = decode(model, state, starts(len(required)), end=END, options=options, constraints=constraints)
            return [brief(row) for row in found]

        (alone,) = told([[3]])
        assert told([[3], [2, (5, 6), 4, 9]])[0] == alone


def test_banks_keep_what_is_likely_beside_what_is_forced() -> None:
    """The required token is likely late and unlikely early; a search that forces it at once pays for it."""

    class Late:
        def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            probabilities = torch.tensor([[0.90, 0.02, 0.02, 0.06], [0.90, 0.02, 0.02, 0.06], [0.05, 0.05, 0.85, 0.05]])
            said = probabilities[state.clamp(max=2)].double().log()
            # Once it is said the end follows.
            said[tokens == 2] = torch.tensor([0.01, 0.97, 0.01, 0.01]).double().log()
            return said, state + 1

        def select(self, state: Tensor, rows: Tensor) -> Tensor:
            return state[rows]

    options = DecodingOptions(beams=4, max_length=10)
    constraints = Constraints(required=[[2]])
    (((found),),) = decode(
        Late(), torch.zeros(1, dtype=torch.int64), starts(1), end=END, options=options, constraints=constraints
    )
    assert found.tokens == (0, 0, 2)


def test_few_beams_do_not_wait_with_what_is_required_until_there_is_no_room_left() -> None:
    for seed in range(5):
        model = Tables(seed, VOCABULARY)
        (((found),),) = decode(
            model,
            model.start(1),
            starts(1),
            end=END,
            options=DecodingOptions(beams=2, max_length=60),
            constraints=Constraints(required=[[(2, 3, 4, 2, 0, 4)]]),
        )
        assert found.missing == ()
        assert len(found.tokens) < 30


def test_pruning_gives_up_what_is_far_behind_in_its_bank() -> None:
    loose, tight = Tables(5, 6, sharpness=3), Tables(5, 6, sharpness=3)
    for model, prune in ((loose, None), (tight, 0.5)):
        found = decode(
            model,
            model.start(3),
            starts(3),
            end=None,
            options=DecodingOptions(beams=8, num_best=8, max_length=12, prune=prune),
            constraints=Constraints(required=[[(2, 3)], [4], [0, 5]]),
        )
        assert all(row[0].missing == () for row in found)
    assert tight.rows_computed < loose.rows_computed / 2


@settings(deadline=None, max_examples=100)
@given(
    required=st.lists(st.lists(PHRASE, max_size=4), min_size=1, max_size=3),
    tokens=st.lists(st.integers(0, 6), max_size=12),
)
def test_the_automaton_knows_what_is_held_and_what_is_left(
    required: list[list[tuple[int, ...]]], tokens: list[int]
) -> None:
    phrases = Phrases(required, torch.device("cpu"))
    row = torch.arange(len(required))
    node, met = phrases.start(row)
    left = phrases.left(row, node, met) if met.shape[1] else torch.zeros_like(row)
    for num in range(1, len(tokens) + 1):
        node, met = phrases.after(row, node, met, torch.full_like(row, tokens[num - 1]))
        for at, wanted in enumerate(required):
            assert bool(met[at].all()) == all(holds(tokens[:num], phrase) for phrase in wanted)
    if not met.shape[1]:
        return
    assert torch.equal(phrases.left(row, node, met) == 0, met.all(dim=1))
    # Whatever was said, one of the tokens that go on with a phrase leaves less to say, down to nothing.
    left = phrases.left(row, node, met)
    while left.any():
        tries = []
        for token in phrases.following(row, node).unbind(dim=1):
            after = phrases.after(row, node, met, token)
            tries.append((phrases.left(row, *after), *after))
        best = torch.stack([one[0] for one in tries]).argmin(dim=0)
        node = torch.stack([one[1] for one in tries]).gather(0, best[None])[0]
        met = torch.stack([one[2] for one in tries])[best, row]
        reached = phrases.left(row, node, met)
        assert ((reached < left) | (left == 0)).all()
        left = reached


def test_the_automaton_sees_overlaps() -> None:
    phrases = Phrases([[(2, 3, 2, 3, 4)]], torch.device("cpu"))
    row = torch.tensor([0])
    node, met = phrases.start(row)
    left = []
    for token in (2, 3, 2, 3, 2, 3, 4):
        node, met = phrases.after(row, node, met, torch.tensor([token]))
        left.append(int(phrases.left(row, node, met)))
    assert left == [4, 3, 2, 1, 2, 1, 0]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ({"forbidden": "word"}, r"forbidden: tokens and phrases are listed, and 'word' is no list of them\."),
        ({"forbidden": [()]}, r"forbidden: a phrase is one token or several, whole numbers from 0 on, not \(\)\."),
        ({"forbidden": [-1]}, r"forbidden: a phrase is one token or several, whole numbers from 0 on, not -1\."),
        ({"forbidden": [(2, 0.5)]}, r"forbidden: a phrase .*, not \(2, 0\.5\)\."),
        ({"forbidden": [True]}, r"forbidden: a phrase .*, not True\."),
        ({"required": [[], 3]}, r"required, row 1: tokens and phrases are listed, and 3 is no list of them\."),
        ({"required": [["a"]]}, r"required, row 0: a phrase .*, not 'a'\."),
        (
            {"required": [[], [2, (3, 4, 5)]], "forbidden": [(4, 5), (3, 5)]},
            r"required, row 1: tokens 3 4 5 hold 4 5, which are forbidden\.",
        ),
    ],
)
def test_constraints_that_make_no_sense(constraints: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        Constraints(**constraints)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"constraints": Constraints(forbidden=[END])},
            r"The end, token 1, is forbidden, so that nothing could end\. ",
        ),
        ({"constraints": Constraints(required=[[]])}, r"required has phrases for 1 rows, and the batch has 2\. "),
        (
            {"constraints": Constraints(required=[[], [(2, END)]])},
            r"required, row 1: the end, token 1, is in a phrase, and it is no part of an output\.",
        ),
        (
            {"constraints": Constraints(required=[[2], []]), "options": DecodingOptions(sampling=Sampling())},
            r"required phrases need a plain beam search\. Leave sampling= out\.",
        ),
        (
            {"constraints": Constraints(required=[[2], []]), "options": DecodingOptions(beams=2, groups=2, num_best=2)},
            r"required phrases need a plain beam search\. Leave groups= out\.",
        ),
        (
            {"constraints": Constraints(max_lengths=torch.tensor([3, 1])), "options": DecodingOptions(min_length=2)},
            r"max_lengths must be 2 or more, not 1 as in row 1\.",
        ),
        (
            {"constraints": Constraints(max_lengths=torch.tensor([3, 0]))},
            r"max_lengths must be 1 or more, not 0 as in row 1\.",
        ),
        (
            {"constraints": Constraints(max_lengths=torch.tensor([3]))},
            r"max_lengths must be a tensor of one int64 for each row of the batch, not \(1,\) torch\.int64\.",
        ),
        ({"source_lengths": [3, 3]}, r"source_lengths must be a tensor of one int64 for each row .*, not \[3, 3\]\."),
        (
            {"start": torch.zeros(2)},
            r"start must be a tensor of one int64 for each row .*, not \(2,\) torch\.float32\.",
        ),
        ({"end": -1}, r"end must be a token, a whole number from 0 on, or None, not -1\."),
        (
            {"end": None, "options": DecodingOptions(min_length=1)},
            r"min_length keeps the end away, and there is none\. ",
        ),
        (
            {"constraints": Constraints(forbidden=[(2, 9)])},
            r"Token 9 was named as the end, as forbidden or as required, and the model has tokens from 0 to 4\.",
        ),
        ({"end": 5}, r"Token 5 was named as the end, .*, and the model has tokens from 0 to 4\."),
    ],
)
def test_what_does_not_fit_the_batch_or_the_model(arguments: dict[str, Any], message: str) -> None:
    model = Tables(0, VOCABULARY)
    given_start = arguments.pop("start", starts(2))
    with pytest.raises(OptionError, match=f"^{message}"):
        decode(model, model.start(2), given_start, **{"end": END, **arguments})


def test_lengths_of_rows_hold_where_no_other_is_given() -> None:
    model = Tables(3)
    for options, said, expected in (
        (DecodingOptions(), None, [200, 200]),
        (DecodingOptions(), [3, 260], [3, 260]),
        (DecodingOptions(max_length=5), [3, 260], [3, 5]),
        (DecodingOptions(max_length=270), None, [270, 270]),
    ):
        asked = Constraints(max_lengths=None if said is None else torch.tensor(said))
        found = decode(model, model.start(2), torch.tensor([0, 1]), end=None, options=options, constraints=asked)
        assert [len(best.tokens) for (best,) in found] == expected
    assert DecodingOptions(min_length=250).longest == 250
