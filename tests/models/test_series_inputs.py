"""What a network reads at each step, column by column."""

from __future__ import annotations

import torch

from recur.models.series_inputs import CategoryEmbeddings, SeriesInputs
from recur.models.series_shape import SeriesShape
from recur.models.series_timeline import Timeline, follow_on, taken

SHAPE = SeriesShape(
    num_features=5,
    num_targets=1,
    num_future=3,
    num_calendar=2,
    past_sizes=(3,),
    known_sizes=(4, 2),
    static_sizes=(2,),
    num_static=1,
    horizon=1,
)


def timeline() -> Timeline:
    numbers = torch.arange(20.0).view(2, 2, 5)
    is_there = torch.ones(2, 2, 5, dtype=torch.bool)
    is_there[0, 1, 0] = is_there[1, 0, 1] = is_there[1, 1, 2] = False
    return Timeline(
        numbers=torch.where(is_there, numbers, 0),
        is_there=is_there,
        codes=torch.tensor([[[1, 3, 0], [0, 1, 1]], [[2, 0, 1], [1, 2, 0]]]),
        static=torch.tensor([[7.0], [0.0]]),
        is_static_there=torch.tensor([[True], [False]]),
        static_codes=torch.tensor([[1], [0]]),
        lengths=torch.tensor([2, 2]),
    )


def test_columns_of_a_step_that_was() -> None:
    inputs, given = SeriesInputs(SHAPE), timeline()
    x = inputs.past(given)
    assert x.shape == (2, 2, inputs.num_past)
    assert torch.equal(x[..., :5], given.numbers)
    # Marks of target, past-only and known-future; the calendar has none.
    assert x[..., 5:8].tolist() == [[[0, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 0, 1]]]
    past, (first, second), (own,) = inputs.past_codes.tables[0], inputs.known_codes.tables, inputs.static_codes.tables
    for step in range(2):
        for row in range(2):
            codes = given.codes[step, row]
            vectors = [table.weight[code] for table, code in zip((past, first, second), codes, strict=True)]
            of_series = [
                given.static[row],
                (~given.is_static_there[row]).float(),
                own.weight[given.static_codes[row, 0]],
            ]
            assert torch.equal(x[step, row, 8:], torch.cat([*vectors, *of_series]))


def test_columns_of_a_step_to_come_are_those_that_are_known() -> None:
    inputs, given = SeriesInputs(SHAPE), timeline()
    x = inputs.known(given)
    assert x.shape == (2, 2, inputs.num_known)
    assert torch.equal(x[..., :3], given.numbers[..., 2:])
    assert x[..., 3].tolist() == [[0, 0], [0, 1]]
    vectors = inputs.known_codes(given.codes[..., 1:])
    assert torch.equal(x[..., 4 : 4 + sum(each.shape[-1] for each in vectors)], torch.cat(vectors, -1))
    assert torch.equal(x[..., -inputs.static_codes.num_features - 2 :], inputs.past(given)[..., -4:])


def test_targets_can_be_left_to_others() -> None:
    whole, without = SeriesInputs(SHAPE), SeriesInputs(SHAPE, has_targets=False)
    without.load_state_dict(whole.state_dict())
    assert torch.equal(without.past(timeline()), whole.past(timeline())[..., 1:])
    assert without.num_past == whole.num_past - 1


def test_an_unseen_category_says_nothing_and_never_learns() -> None:
    embeddings = CategoryEmbeddings((4,))
    (vectors,) = embeddings(torch.tensor([[0], [3]]))
    assert vectors[0].eq(0).all()
    assert vectors[1].ne(0).all()
    vectors.mul(torch.randn(vectors.shape)).sum().backward()
    gradient = embeddings.tables[0].weight.grad
    assert gradient[0].eq(0).all()
    assert gradient[3].ne(0).all()


def test_what_follows_comes_right_after_each_rows_end() -> None:
    before = torch.tensor([[1, 2, 3], [4, 5, 0], [0, 0, 0]])
    after = torch.tensor([[10, 11], [20, 21], [30, 31]])
    found = follow_on(before, after, torch.tensor([3, 2, 0]))
    assert found.tolist() == [[1, 2, 3, 10, 11], [4, 5, 20, 21, 0], [30, 31, 0, 0, 0]]
    wide = follow_on(before[..., None, None], after[..., None, None], torch.tensor([3, 2, 0]))
    assert torch.equal(wide[..., 0, 0], found)


def test_steps_are_taken_of_each_row() -> None:
    values = torch.randn(5, 2, 3, 4)
    steps = torch.tensor([[[0, 4], [2, 2], [1, 3]]])
    found = taken(values, steps)
    assert found.shape == (1, 3, 2, 3, 4)
    for k in range(3):
        for row in range(2):
            assert torch.equal(found[0, k, row], values[steps[0, k, row], row])
