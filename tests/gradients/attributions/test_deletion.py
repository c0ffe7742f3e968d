"""The check by deletion: falls worked out by hand, attributions that are right, wrong and random."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch
from torch import Tensor

from recur.gradients.attributions.deletion import Deletion, check_by_deletion


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def check(score: Any, inputs: Tensor, attributions: Tensor, *rest: Tensor, **options: Any) -> Deletion:
    return check_by_deletion(score, inputs, {"own": attributions}, *rest, **options)["own"]


def total(x: Tensor, rows: Tensor) -> Tensor:
    return x.sum((1, 2))


def test_falls_by_hand() -> None:
    """Of values 1 to 10 a share of 0.2 takes the two largest: 19; at random twice the mean: 11."""
    inputs = torch.arange(1.0, 11.0, dtype=torch.float64).view(1, 10, 1).expand(3, 10, 1)
    found = check(total, inputs, inputs[..., 0], shares=(0.2, 0.5), draws=4000, batch_size=7)
    assert found.shares == (0.2, 0.5)
    assert found.chosen == (19.0, 40.0)
    # Two of ten without replacement: variance 2 * 8.25 * 8 / 9, over 3 * 4000 draws; five standard errors.
    assert found.random[0] == pytest.approx(11.0, abs=5 * (2 * 8.25 * 8 / 9 / 12_000) ** 0.5)
    assert found.random[1] == pytest.approx(27.5, abs=5 * (5 * 8.25 * 5 / 9 / 12_000) ** 0.5)
    assert found.is_faithful


def test_the_mean_over_all_choices_of_two_steps_is_what_random_falls_tend_to() -> None:
    inputs = drawn(2, 5, 3)

    def score(x: Tensor, rows: Tensor) -> Tensor:
        return x.sum(2).prod(1)

    falls = []
    for pair in itertools.combinations(range(5), 2):
        without = inputs.clone()
        without[:, pair] = 0.5
        falls.append(score(inputs, torch.arange(2)) - score(without, torch.arange(2)))
    every = torch.stack(falls)
    baseline = torch.tensor(0.5, dtype=torch.float64)
    found = check(score, inputs, drawn(2, 5), baseline, shares=(0.4,), draws=4000)
    limit = 5 * float(every.var(0, correction=0).mean() / 8000) ** 0.5
    assert found.random[0] == pytest.approx(float(every.mean()), abs=limit)


def test_the_standard_error_is_that_over_rows() -> None:
    inputs = drawn(6, 4, 1)
    found = check(total, inputs, inputs[..., 0], shares=(0.25,), draws=3, seed=5)
    generator = torch.Generator().manual_seed(5)
    random = torch.zeros(6, dtype=torch.float64)
    for _ in range(3):
        place = torch.rand(6, 4, generator=generator, dtype=torch.float64).argmax(1)
        random += inputs[torch.arange(6), place, 0] / 3
    difference = inputs[..., 0].amax(1) - random
    assert found.random[0] == pytest.approx(float(random.mean()), abs=1e-12)
    assert found.standard_error[0] == pytest.approx(float(difference.std()) / 6**0.5, abs=1e-12)
    assert found.is_faithful == (float(difference.mean()) > 2 * found.standard_error[0])


@pytest.mark.parametrize(("sign", "is_faithful"), [(1, True), (-1, False)])
def test_right_attributions_are_faithful_and_opposite_ones_are_not(sign: int, is_faithful: bool) -> None:
    inputs = drawn(20, 16, 2)
    assert check(total, inputs, sign * inputs.sum(2)).is_faithful is is_faithful


def test_random_attributions_are_rarely_called_faithful() -> None:
    """Twice the standard error is passed by 2.3 % of them (normal) or 3 % (t of 19 degrees); 13 of 100 are 5 sigma."""
    inputs = drawn(20, 16, 2)
    passed = sum(check(total, inputs, drawn(20, 16), seed=seed).is_faithful for seed in range(100))
    assert passed < 13


def test_only_steps_of_the_mask_are_deleted_and_counted() -> None:
    """Row 0 has two steps and row 1 ten; a fifth of them is one (the least) and two. Row 2 has none and counts not."""
    mask = torch.zeros(3, 10, dtype=torch.bool)
    mask[0, 4:6] = True
    mask[1] = True
    inputs = torch.arange(30.0, dtype=torch.float64).view(3, 10, 1)

    def score(x: Tensor, rows: Tensor) -> Tensor:
        assert not bool((rows == 2).any())
        return total(x, rows)

    attributions = inputs[..., 0].clone()
    attributions[0, 9] = 1000
    found = check(score, inputs, attributions, mask=mask, shares=(0.2,), draws=1)
    assert found.chosen == ((5 + 19 + 18) / 2,)


def test_methods_are_compared_with_the_same_random_deletions_as_alone() -> None:
    inputs, one, other = drawn(4, 9, 2), drawn(4, 9), drawn(4, 9)
    together = check_by_deletion(total, inputs, {"one": one, "other": other})
    assert together == {"one": check(total, inputs, one), "other": check(total, inputs, other)}
    assert together["one"].random == together["other"].random
    assert together["one"].chosen != together["other"].chosen


def test_the_same_seed_draws_the_same() -> None:
    inputs, attributions = drawn(4, 9, 2), drawn(4, 9)
    first, again, other = (check(total, inputs, attributions, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.random != other.random
    assert first.chosen == other.chosen


def test_a_score_that_is_no_number_is_not_faithful() -> None:
    def score(x: Tensor, rows: Tensor) -> Tensor:
        return total(x, rows) * torch.nan

    assert not check(score, drawn(3, 4, 2), drawn(3, 4)).is_faithful


def test_as_json() -> None:
    found = check(total, drawn(3, 8, 2), drawn(3, 8), shares=(0.5,))
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content == {
        "shares": [0.5],
        "chosen": list(found.chosen),
        "random": list(found.random),
        "standard_error": list(found.standard_error),
        "is_faithful": found.is_faithful,
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"attributions": {"mine": torch.zeros(3, 5)}},
            r"attributions of 'mine' must be \(3, 4\) as inputs, but is \(3, 5\)\.$",
        ),
        ({"mask": torch.ones(2, 4, dtype=torch.bool)}, r"mask must be \(3, 4\) as inputs, but is \(2, 4\)\.$"),
        ({"mask": torch.zeros(3, 4, dtype=torch.bool)}, r"needs at least two rows with a step, for it compares "),
        ({"shares": ()}, r"shares must be above 0 and below 1, at least one, but are \(\)\.$"),
        ({"shares": (0.5, 1.0)}, r"shares must be above 0 and below 1, at least one, but are \(0\.5, 1\.0\)\.$"),
        ({"draws": 0}, r"draws and batch_size must be whole numbers from 1 on, but are 0 and 256\.$"),
        ({"inputs": torch.zeros(3, 4)}, r"inputs must be of shape \(B, T, F\), but is \(3, 4\)\.$"),
    ],
)
def test_bad_arguments(changed: dict[str, Any], message: str) -> None:
    given = {"inputs": torch.zeros(3, 4, 2), "attributions": {"own": torch.zeros(3, 4)}} | changed
    with pytest.raises(ValueError, match=f"^check_by_deletion: {message}"):
        check_by_deletion(total, **given)
