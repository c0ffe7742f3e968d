"""Figures of told tags, against what conlleval and seqeval say of the same."""

from __future__ import annotations

import pytest

from recur.tasks.tags.figures import count_tags, judge_tags

# Of seqeval's own description: of two entities MISC and PER one is told right, the other one token too long.
TRUE = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
TOLD = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]


def test_the_example_of_seqeval() -> None:
    found = judge_tags(TOLD, TRUE, has_entities=True, most_frequent="O")
    own = {one.name: (one.precision, one.recall, one.f1, one.support) for one in found.classes}
    assert own == {"MISC": (0.0, 0.0, 0.0, 1), "PER": (1.0, 1.0, 1.0, 1)}
    assert (found.precision, found.recall, found.micro_f1, found.macro_f1) == (0.5, 0.5, 0.5, 0.5)
    assert found.token_accuracy == pytest.approx(0.8)
    assert found.exact == 0.5
    assert found.most_frequent_accuracy == 0.5
    assert (found.confused, found.confusion) == (("MISC", "PER", "O"), ((3, 0, 0), (0, 2, 0), (1, 0, 4)))


@pytest.mark.parametrize(
    ("told", "true", "expected"),
    [
        # Kinds that are told but not there count in the macro mean, as in seqeval.
        ([["B-A", "B-B"]], [["B-A", "O"]], (0.5, 1.0, 2 / 3, 0.5)),
        # What is inside without a beginning begins an entity, as conlleval reads it.
        ([["I-A", "I-A", "O"]], [["B-A", "I-A", "O"]], (1.0, 1.0, 1.0, 1.0)),
        ([["B-A", "I-B", "I-B"]], [["B-A", "B-B", "I-B"]], (1.0, 1.0, 1.0, 1.0)),
        # An entity does not go on into the next sentence.
        ([["B-A"], ["I-A"]], [["B-A"], ["O"]], (0.5, 1.0, 2 / 3, 2 / 3)),
        # The kind alone, or the place alone, is not enough.
        ([["B-A", "I-A"]], [["B-B", "I-B"]], (0.0, 0.0, 0.0, 0.0)),
        ([["B-A", "I-A"]], [["B-A", "O"]], (0.0, 0.0, 0.0, 0.0)),
        ([["O"]], [["O"]], (0.0, 0.0, 0.0, 0.0)),
        # Ends and single ones.
        ([["B-A", "E-A", "S-A"]], [["B-A", "E-A", "O"]], (0.5, 1.0, 2 / 3, 2 / 3)),
        ([["B-A", "L-A", "U-A"]], [["B-A", "L-A", "U-A"]], (1.0, 1.0, 1.0, 1.0)),
        # A kind with a hyphen, and a second one of the same kind right after the first.
        ([["B-a-b", "B-a-b"]], [["B-a-b", "I-a-b"]], (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_entities_by_hand(
    told: list[list[str]], true: list[list[str]], expected: tuple[float, float, float, float]
) -> None:
    found = judge_tags(told, true, has_entities=True, most_frequent="O")
    assert (found.precision, found.recall, found.micro_f1, found.macro_f1) == pytest.approx(expected)


def test_other_tags_are_counted_by_token() -> None:
    true = [["N", "V", "N"], ["D", "N"]]
    told = [["N", "N", "N"], ["D", "V"]]
    found = judge_tags(told, true, has_entities=False, most_frequent="N", rule=[["N"] * 3, ["N"] * 2])
    assert found.micro_f1 == found.token_accuracy == pytest.approx(3 / 5)
    own = {one.name: (one.precision, one.recall, one.support) for one in found.classes}
    assert own == {"D": (1.0, 1.0, 1), "N": (2 / 3, 2 / 3, 3), "V": (0.0, 0.0, 1)}
    assert found.macro_f1 == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found.rule_accuracy == found.most_frequent_accuracy == pytest.approx(3 / 5)
    assert found.confusion == ((1, 0, 0), (0, 2, 1), (0, 1, 0))
    # Two sentences are too few to tell anything from noise.
    assert found.p is None
    assert not found.is_better


def test_a_rule_is_beaten_by_more_than_noise_only_where_it_is() -> None:
    true = [["B-A", "O"]] * 40
    rule = [["O", "O"]] * 20 + [["B-A", "O"]] * 20
    assert judge_tags(true, true, has_entities=True, most_frequent="O", rule=rule).is_better
    alike = [*true[:19], ["O", "O"], *rule[20:-1], ["O", "O"]]
    swapped = [["O", "O"], *true[1:]]
    assert not judge_tags(alike, true, has_entities=True, most_frequent="O", rule=swapped).is_better


def test_sentences_without_tokens_count_for_nothing() -> None:
    counts = count_tags([[], ["B-A"]], [[], ["B-A"]], has_entities=True)
    assert (counts.hits.tolist(), counts.micro_f1) == ([[0], [1]], 1.0)
