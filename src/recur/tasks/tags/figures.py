"""How good told tags are: of entities by the rules of conlleval and seqeval, of other tags by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.tag_schemes import find_entities
from recur.tasks.noise import SURE, exchange_test
from recur.tasks.tags.setup import OUTSIDE, flat_tags

_MOST_UNITS = 2000
"""Of more sentences some are exchanged together."""

Tags = Sequence[Sequence[str]]
"""The tags of the tokens of sentences."""


@dataclass(frozen=True, kw_only=True)
class KindFigures:
    """Figures of one kind of entity, or of one tag.

    Attributes:
        name: Of the kind or tag.
        support: How many there are.
        precision: Share of those that were told which are right; None if none was.
        recall: Share of those that there are which were told; None if there is none.
        f1: Harmonic mean of the two, 0 where one of them is none.
    """

    name: str
    support: int
    precision: float | None
    recall: float | None
    f1: float


@dataclass(frozen=True, kw_only=True)
class TagFigures:
    """Figures of a tagger on one part.

    An entity is right where one of the same kind begins and ends at the same tokens (Tjong Kim Sang & De Meulder 2003).
    Where tags write no entities, each token counts as one, and micro-F1 is the accuracy.

    Attributes:
        num_sentences: Sentences.
        num_tokens: Their tokens.
        token_accuracy: Share of the tokens whose tag was told right.
        exact: Share of the sentences all of whose tags were.
        has_entities: Whether tags write entities.
        num_entities: How many there are, and `num_told` how many were told.
        num_told: As said.
        precision: Share of the told that are right, of all kinds together; 0 if none was told.
        recall: Share of the true that were told; 0 if there is none.
        micro_f1: Harmonic mean of the two.
        macro_f1: Mean of F1 over the kinds that are there or were told; 0 where there are none.
        log_loss: Mean negative log-probability of the true tags of a sentence, in nats a token; None if not known.
        rule_accuracy: Token accuracy of the most frequent tag of each word; None where there is no such rule.
        rule_micro_f1: Likewise micro-F1.
        rule_macro_f1: Likewise macro-F1.
        most_frequent: The most frequent tag.
        most_frequent_accuracy: Token accuracy of always telling that.
        p: Probability of so large a difference in micro-F1 to the rule where there is none, by exchanges of sentences.
        classes: Figures of each kind of entity, or tag.
        confusion: Tokens by their true and their told class, in the order of `confused`.
        confused: Names of these: kinds of entities and what is outside, or tags.
    """

    num_sentences: int
    num_tokens: int
    token_accuracy: float
    exact: float
    has_entities: bool
    num_entities: int
    num_told: int
    precision: float
    recall: float
    micro_f1: float
    macro_f1: float
    log_loss: float | None
    rule_accuracy: float | None
    rule_micro_f1: float | None
    rule_macro_f1: float | None
    most_frequent: str
    most_frequent_accuracy: float
    p: float | None
    classes: tuple[KindFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    confused: tuple[str, ...]

    @property
    def is_better(self) -> bool:
        """Whether it beats the rule by more than noise."""
        is_higher = self.rule_micro_f1 is not None and self.micro_f1 > self.rule_micro_f1
        return is_higher and self.p is not None and self.p < SURE

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was told of sentences, and what is right of it.

    Attributes:
        kinds: Names of the kinds that are there or were told, sorted.
        hits: Of each sentence and kind those that are right, (S, K).
        told: Likewise those that were told.
        true: Likewise those that there are.
    """

    kinds: tuple[str, ...]
    hits: NDArray[np.int64]
    told: NDArray[np.int64]
    true: NDArray[np.int64]

    @property
    def by_sentence(self) -> NDArray[np.float64]:
        """Hits, told and true of each sentence, (S, 3)."""
        return np.stack([part.sum(1) for part in (self.hits, self.told, self.true)], 1).astype(np.float64)

    @property
    def micro_f1(self) -> float:
        """F1 of all kinds together."""
        return float(_f1(self.by_sentence.sum(0)[None])[0])

    @property
    def macro_f1(self) -> float:
        """Mean of F1 over the kinds."""
        sums = np.stack([part.sum(0) for part in (self.hits, self.told, self.true)], 1)
        return float(_f1(sums).mean()) if self.kinds else 0.0


def count_tags(told: Tags, true: Tags, *, has_entities: bool) -> Counts:
    """Return what was told of sentences, and what is right of it.

    Entities are read as conlleval reads them, see `recur.data.texts.tag_schemes.find_entities`; with tags that keep
    their scheme, such as those that recur tells, these are the ones of strict reading too.

    Args:
        told: Of each sentence.
        true: Likewise, as many.
        has_entities: Whether tags write entities; else each token is one, of the kind that its tag says.

    Example:
        >>> counts = count_tags([["B-PER", "I-PER", "O"]], [["B-PER", "O", "B-LOC"]], has_entities=True)
        >>> counts.kinds, counts.hits.tolist(), counts.told.tolist(), counts.true.tolist()
        (('LOC', 'PER'), [[0, 0]], [[0, 1]], [[1, 1]])
    """
    sets = [_units(tags, has_entities) for tags in (told, true)]
    kinds = tuple(sorted({kind for units in sets for _, kind, *_ in units}))
    number = {kind: place for place, kind in enumerate(kinds)}
    found = []
    for units in (sets[0] & sets[1], *sets):
        counts = np.zeros((len(true), len(kinds)), np.int64)
        if units:
            places = [(sentence, number[kind]) for sentence, kind, *_ in units]
            np.add.at(counts, tuple(np.array(places).T), 1)
        found.append(counts)
    return Counts(kinds=kinds, hits=found[0], told=found[1], true=found[2])


def judge_tags(
    told: Tags,
    true: Tags,
    *,
    has_entities: bool,
    most_frequent: str,
    rule: Tags | None = None,
    log_loss: float | None = None,
) -> TagFigures:
    """Return the figures of a tagger.

    Args:
        told: The tags that were told of each sentence.
        true: Those that are true.
        has_entities: Whether tags write entities.
        most_frequent: The most frequent tag of the training part.
        rule: What the most frequent tag of each word tells.
        log_loss: As of `TagFigures`.
    """
    counts = count_tags(told, true, has_entities=has_entities)
    sums = counts.by_sentence.sum(0)
    (flat_told, _), (flat_true, _) = flat_tags(told), flat_tags(true)
    right = [tuple(one) == tuple(other) for one, other in zip(told, true, strict=True)]
    beside: dict[str, float | None] = dict.fromkeys(("rule_accuracy", "rule_micro_f1", "rule_macro_f1", "p"))
    if rule is not None:
        other = count_tags(rule, true, has_entities=has_entities)
        beside = {
            "rule_accuracy": float((flat_tags(rule)[0] == flat_true).mean()),
            "rule_micro_f1": other.micro_f1,
            "rule_macro_f1": other.macro_f1,
            "p": exchange_test(_in_units(counts.by_sentence), _in_units(other.by_sentence), _f1),
        }
    confused, confusion = _confusion(flat_told, flat_true, has_entities)
    return TagFigures(
        num_sentences=len(true),
        num_tokens=len(flat_true),
        token_accuracy=float((flat_told == flat_true).mean()),
        exact=float(np.mean(right)),
        has_entities=has_entities,
        num_entities=int(sums[2]),
        num_told=int(sums[1]),
        precision=float(sums[0] / max(sums[1], 1)),
        recall=float(sums[0] / max(sums[2], 1)),
        micro_f1=counts.micro_f1,
        macro_f1=counts.macro_f1,
        log_loss=log_loss,
        most_frequent=most_frequent,
        most_frequent_accuracy=float((flat_true == most_frequent).mean()),
        classes=_of_kinds(counts),
        confusion=confusion,
        confused=confused,
        **beside,
    )


def _units(tags: Tags, has_entities: bool) -> set[tuple[int, str, int, int]]:
    """Return what is to be told: entities, or tokens, each with its sentence, kind, first place and the one after."""
    flat, starts = flat_tags(tags)
    sentence = np.repeat(np.arange(len(tags)), [len(own) for own in tags]).tolist()
    if not has_entities:
        return {(sentence[place], tag, place, place + 1) for place, tag in enumerate(flat.tolist())}
    begins, ends, kinds = (part.tolist() for part in find_entities(flat, starts))
    return {(sentence[begin], kind, begin, end) for begin, end, kind in zip(begins, ends, kinds, strict=True)}


def _in_units(by_sentence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of as many groups of sentences as a test can exchange, each sentence alone where they are few."""
    units = min(len(by_sentence), _MOST_UNITS)
    found = np.zeros((units, by_sentence.shape[1]))
    np.add.at(found, np.arange(len(by_sentence)) % max(units, 1), by_sentence)
    return found


def _f1(sums: NDArray[Any]) -> NDArray[np.float64]:
    """Return 2 hits / (told + true) of sums (N, 3); 0 where there is neither."""
    found: NDArray[np.float64] = 2 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)
    return found


def _of_kinds(counts: Counts) -> tuple[KindFigures, ...]:
    hits, told, true = (part.sum(0).tolist() for part in (counts.hits, counts.told, counts.true))
    f1 = _f1(np.stack([hits, told, true], 1).reshape(-1, 3)).tolist()
    return tuple(
        KindFigures(
            name=kind,
            support=true[k],
            precision=hits[k] / told[k] if told[k] else None,
            recall=hits[k] / true[k] if true[k] else None,
            f1=f1[k],
        )
        for k, kind in enumerate(counts.kinds)
    )


def _confusion(
    told: NDArray[np.object_], true: NDArray[np.object_], has_entities: bool
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Return tokens by true and told class: the kind of their entity, whatever their place in it, or their tag."""
    classes = [[_kind(tag) if has_entities else tag for tag in tags.tolist()] for tags in (told, true)]
    names = tuple(sorted({*classes[0], *classes[1]}, key=lambda name: (has_entities and name == OUTSIDE, name)))
    number = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, ([number[name] for name in classes[1]], [number[name] for name in classes[0]]), 1)
    return names, tuple(tuple(row) for row in counts.tolist())


def _kind(tag: str) -> str:
    return tag if tag == OUTSIDE else tag.partition("-")[2] or tag
