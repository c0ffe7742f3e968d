"""The search for units: scores against their definitions, planted units found, chance finds named so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recur.tasks.inspection.unit_search import TOO_RARE, TOO_STEADY, Finding, Property, find_units


def prop(values: Any, kind: Any = "binary") -> Property:
    return Property(key="own", name="own", kind=kind, values=np.asarray(values, dtype=np.float64))


def noise(num_symbols: int, units: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((num_symbols, units)).astype(np.float32)


def one(parts: Any, labels: Property, **options: Any) -> Finding:
    return find_units(parts, [labels], **options)[0]


def searched(num_symbols: int) -> NDArray[np.bool_]:
    """By hand: blocks of a twentieth, at least 16, the first one searched, the next held out, and so on."""
    block = max(-(-num_symbols // 20), 16)
    return np.array([(place // block) % 2 == 0 for place in range(num_symbols)])


def auc(values: NDArray[Any], labels: NDArray[Any]) -> float:
    pairs = [
        float(high > low) + 0.5 * float(high == low) for high in values[labels == 1] for low in values[labels == 0]
    ]
    return sum(pairs) / len(pairs)


def naive_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.array([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_unit_that_is_the_property_is_found_with_score_1_and_holds(sign: int) -> None:
    labels = np.random.default_rng(1).random(600) < 0.2
    parts = {(0, "h"): noise(600, 30), (1, "h"): noise(600, 30, 1), (1, "c"): noise(600, 30, 2)}
    parts[1, "c"][:, 17] = sign * labels
    found = one(parts, prop(labels))
    best = found.units[0]
    assert (best.layer, best.part, best.unit, best.sign, best.verdict) == (1, "c", 17, sign, "holds")
    # Sums of some hundred terms in float64.
    assert best.score == pytest.approx(1, abs=1e-12)
    assert best.held_out == pytest.approx(1, abs=1e-12)
    assert len(found.units) == 12
    assert {unit.verdict for unit in found.units[1:]} == {"chance"}
    assert found.note == ""


def test_a_number_is_found_by_its_order_alone() -> None:
    labels = np.arange(600) % 37
    parts = {(0, "h"): noise(600, 20)}
    parts[0, "h"][:, 5] = -np.exp(labels / 10)
    best = one(parts, prop(labels, "number")).units[0]
    assert (best.unit, best.sign, best.verdict) == (5, -1, "holds")
    assert best.score == pytest.approx(1, abs=1e-12)
    assert best.held_out == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_random_labels_are_followed_by_chance_only(seed: int) -> None:
    labels = np.random.default_rng(100 + seed).random((2, 400)) < 0.3
    numbers = np.random.default_rng(200 + seed).standard_normal(400)
    parts = {(0, "h"): noise(400, 200, seed)}
    found = find_units(parts, [prop(labels[0]), prop(labels[1]), prop(numbers, "number")])
    for finding in found:
        assert {unit.verdict for unit in finding.units} == {"chance"}
        assert finding.units[0].score > 0.15
        assert finding.chance is not None
        assert finding.chance > 0.15


def test_slow_units_follow_slow_labels_by_chance_and_are_named_so() -> None:
    """Sums of noise drift, so unrelated ones are highly correlated: shuffling symbol by symbol would not see it."""
    draw = np.random.default_rng(3)
    parts = {(0, "h"): draw.standard_normal((1000, 50)).cumsum(0).astype(np.float32)}
    labels = draw.standard_normal(1000).cumsum()
    found = one(parts, prop(labels, "number"))
    assert found.units[0].score > 0.6
    assert {unit.verdict for unit in found.units} == {"chance"}


def test_scores_are_those_of_their_definitions_with_ties() -> None:
    draw = np.random.default_rng(4)
    values = draw.integers(0, 6, (200, 12)).astype(np.float32)
    labels, numbers = draw.random(200) < 0.3, draw.integers(0, 5, 200)
    half = searched(200)
    binary, number = find_units({(0, "h"): values}, [prop(labels), prop(numbers, "number")])
    assert sorted(unit.unit for unit in binary.units) == list(range(12))
    for unit in binary.units:
        signed = [2 * auc(values[own, unit.unit], labels[own]) - 1 for own in (half, ~half)]
        assert unit.sign * unit.score == pytest.approx(signed[0], abs=1e-12)
        assert unit.held_out == pytest.approx(max(unit.sign * signed[1], 0), abs=1e-12)
    for unit in number.units:
        signed = [
            np.corrcoef(naive_ranks(values[own, unit.unit]), naive_ranks(numbers[own]))[0, 1] for own in (half, ~half)
        ]
        assert unit.sign * unit.score == pytest.approx(signed[0], abs=1e-12)
        assert unit.held_out == pytest.approx(max(unit.sign * signed[1], 0), abs=1e-12)
    for found in (binary, number):
        assert [unit.score for unit in found.units] == sorted((unit.score for unit in found.units), reverse=True)


def test_a_unit_that_follows_only_where_it_was_searched_does_not_hold() -> None:
    labels = np.random.default_rng(5).random(640) < 0.4
    parts = {(0, "h"): noise(640, 3)}
    half = searched(640)
    parts[0, "h"][half, 1] = labels[half]
    parts[0, "h"][half, 2] = labels[half]
    parts[0, "h"][~half, 2] = -1.0 * labels[~half]
    by_unit = {unit.unit: unit for unit in one(parts, prop(labels)).units}
    assert by_unit[1].score == pytest.approx(1, abs=1e-12)
    assert by_unit[1].held_out < 0.3
    assert by_unit[2].held_out == 0
    assert by_unit[1].verdict == by_unit[2].verdict == "chance"


def test_the_chance_level_is_the_best_of_all_units_on_shifted_labels() -> None:
    """With one unit that is the label itself, a shifted label's score is its own correlation with itself."""
    labels = np.random.default_rng(6).random(500) < 0.3
    few = one({(0, "h"): noise(500, 5)}, prop(labels))
    many = one({(0, "h"): noise(500, 500)}, prop(labels))
    assert few.chance is not None
    assert many.chance is not None
    # The largest of m normal draws of deviation 1 is about sqrt(2 ln m) of both signs.
    assert many.chance > 1.2 * few.chance
    periodic = np.arange(500) % 2
    own = {(0, "h"): periodic[:, None].astype(np.float32)}
    assert one(own, prop(periodic)).chance == pytest.approx(1, abs=1e-12)


def test_shifts_leave_labels_and_states_a_tenth_of_the_text_apart() -> None:
    """A smooth label is much like itself a few symbols on, and no more a tenth of the text on."""
    draw = np.random.default_rng(9)
    kernel = np.exp(-0.5 * (np.arange(-24, 25) / 6) ** 2)
    labels = np.convolve(draw.standard_normal(448), kernel, mode="valid")
    parts = {(0, "h"): labels[:, None].astype(np.float32)}
    # At five symbols it correlates with itself by exp(-25 / 144) = 0.84; two such shifts of forty would be enough.
    chances = [one(parts, prop(labels, "number"), seed=seed).chance for seed in range(20)]
    assert max(chance for chance in chances if chance is not None) < 0.8


def test_a_unit_that_never_changes_scores_nothing() -> None:
    labels = np.random.default_rng(7).random(300) < 0.5
    found = find_units({(0, "h"): np.ones((300, 2), dtype=np.float32)}, [prop(labels), prop(labels * 1.5, "number")])
    assert [unit.score for finding in found for unit in finding.units] == [0, 0, 0, 0]


def test_more_units_than_are_ranked_at_once() -> None:
    labels = np.random.default_rng(8).random(200) < 0.5
    parts = {(0, "h"): noise(200, 2500)}
    parts[0, "h"][:, 2222] = labels
    assert one(parts, prop(labels)).units[0].unit == 2222


@pytest.mark.parametrize(
    ("values", "kind", "note"),
    [
        (np.zeros(400), "binary", TOO_RARE),
        (np.ones(400), "binary", TOO_RARE),
        (np.arange(400) < 20, "binary", TOO_RARE),
        (np.full(400, 3.0), "number", TOO_STEADY),
        (np.arange(400) // 396, "number", TOO_STEADY),
    ],
)
def test_what_is_too_rare_to_judge_is_not_searched_for(values: Any, kind: Any, note: str) -> None:
    usual = np.random.default_rng(9).random(400) < 0.5
    found = find_units({(0, "h"): noise(400, 4)}, [prop(values, kind), prop(usual)])
    assert found[0] == Finding(units=(), chance=None, note=note)
    assert found[1] == one({(0, "h"): noise(400, 4)}, prop(usual))


@pytest.mark.parametrize("num_symbols", [1, 2, 15, 40])
def test_short_inputs(num_symbols: int) -> None:
    labels = np.arange(num_symbols) % 2
    found = one({(0, "h"): noise(num_symbols, 3)}, prop(labels))
    assert (found.note == TOO_RARE) == (num_symbols < 40)


def test_the_same_seed_gives_the_same() -> None:
    labels = np.random.default_rng(10).random(300) < 0.5
    parts = {(0, "h"): noise(300, 40)}
    assert one(parts, prop(labels), seed=1) == one(parts, prop(labels), seed=1)
    assert one(parts, prop(labels), seed=1).chance != one(parts, prop(labels), seed=2).chance


def test_as_json() -> None:
    labels = np.random.default_rng(11).random(300) < 0.5
    unit = one({(2, "o"): noise(300, 1)}, prop(labels)).units[0]
    assert unit.to_json() == {
        "layer": 2,
        "part": "o",
        "unit": 0,
        "score": round(unit.score, 4),
        "held_out": round(unit.held_out, 4),
        "sign": unit.sign,
        "verdict": "chance",
    }


def test_lengths_that_differ() -> None:
    with pytest.raises(ValueError, match=r"^find_units: part \(0, 'c'\) has 9 values, but the others have 10\.$"):
        find_units({(0, "h"): noise(10, 2), (0, "c"): noise(9, 2)}, [])
    with pytest.raises(ValueError, match=r"^find_units: property 'own' has 11 values, but the others have 10\.$"):
        find_units({(0, "h"): noise(10, 2)}, [prop(np.zeros(11))])
    with pytest.raises(ValueError, match=r"^find_units: there are no parts, so no units to search\.$"):
        find_units({}, [])
