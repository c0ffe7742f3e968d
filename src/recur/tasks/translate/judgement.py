"""The last word on texts that were written from texts: figures beside rules, and what the report shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.examples import TextPairs
from recur.data.texts.token_options import Unicode
from recur.data.texts.vocabulary import TextVocabulary
from recur.errors import DataError, OptionError
from recur.kinds import json_number
from recur.tasks.flattery import flattering
from recur.tasks.noise import SURE, Gain, bootstrap_gain, doubt, verdict
from recur.tasks.translate.baselines import Baseline, baselines_for
from recur.tasks.translate.scores import Counts, Score, check_references, scores_for
from recur.tasks.translate.writing import cut_by, main_score, writing_of
from recur.wording import enumerated, option, part_name, quantity

EVALUATION = "translate_evaluation.json"
"""File of a run with what `judge_pairs` returns."""

Repeated = Literal["any", "each"]
Cut = Callable[[str], Sequence[str]]

_MOST_WORST, _NUM_RANDOM, _MOST_LENGTHS = 20, 20, 8

_OF_ONE_TEXT = {"exact": "token_accuracy", "bleu": "chrf"}
"""What tells how bad a single text is, where the main score says little of one."""


def judge_pairs(
    pairs: TextPairs,
    outputs: Sequence[str],
    part: str,
    *,
    train: TextPairs | None = None,
    log_probs: Sequence[float] | None = None,
    main: str | None = None,
    repeated: Repeated = "any",
    is_lowercase: bool = False,
    unicode: Unicode = "nfc",
) -> dict[str, Any]:
    """Return how good texts are that were written from others: what `translate_evaluation.json` holds.

    | entry | holds |
    | --- | --- |
    | `verdict` | whether the best rule is beaten in the main score, in words |
    | `main`, `scores` | the name of that score; all scores, with titles and sacreBLEU's signatures |
    | `figures` | each score of the outputs, by name, and `length_ratio`, their tokens over those of the references |
    | `baselines` | of each rule its figures, and the difference to it in the main score with an interval of 95% |
    | `by_length` | main score and exact match by the length of the source |
    | `worst`, `random` | the worst texts, of equal ones the surest first; and some drawn by a fixed seed |
    | `notes` | what a reader has to know |

    A source that stands in several pairs with different targets is judged once, and any of them is right: a model has
    one answer to a question, and could never be right of all. `repeated="each"` judges each pair by its own target.
    Pairs of one group, such as a conversation, are drawn together for intervals and p-values.

    Args:
        pairs: What is judged: sources and right targets.
        outputs: What was written for each pair's source.
        part: What they are called: train, valid, test or given.
        train: The training part, of which rules are made, and which says how targets are written.
        log_probs: How likely each output is, as the model says, if it does.
        main: The score that the verdict is about, one of `recur.tasks.translate.scores.scores_for`; by default what
            `main_score` chooses: exact match or chrF.
        repeated: What is right for a source that stands in several pairs: any of its targets, or each its own.
        is_lowercase: Whether all texts are brought to small letters first, as for a model that writes only these.
        unicode: The normal form of Unicode that all texts are brought to first.

    Raises:
        DataError: There is nothing to judge by, or not one output for each pair.
        OptionError: There is no such score.

    Example:
        >>> from recur.data.texts import read_pairs
        >>> pairs = read_pairs((["cat", "dog", "fish"], ["k a t", "d o g", "f i sh"]))
        >>> judged = judge_pairs(pairs, ["k a t", "d o k", "f i sh"], "test", main="exact")
        >>> round(judged["figures"]["exact"], 3), judged["worst"][0]["output"]
        (0.667, 'd o k')
    """
    if repeated not in ("any", "each"):
        raise OptionError(f"repeated: expected 'any' or 'each', got {repeated!r}.")
    if log_probs is not None and len(log_probs) != len(outputs):
        raise DataError(f"there are {len(outputs):,} outputs, but {len(log_probs):,} log-probabilities; give as many.")
    check_references(outputs, [(target,) for target in pairs.targets])
    train = train if train is not None and len(train) else None
    normal = _reading(unicode, is_lowercase=is_lowercase)
    judged = _judged_rows(pairs, outputs, log_probs, repeated, normal)
    if not any(text.strip() for own in judged.references for text in own):
        raise DataError("no pair has a target, so that there is nothing to judge by.")
    if train is not None:
        train = replace(train, sources=tuple(map(normal, train.sources)), targets=tuple(map(normal, train.targets)))
    learned = [text for own in judged.references for text in own] if train is None else train.targets
    writing = writing_of(learned)
    scores, cut = scores_for(judged.references, writing, is_lowercase=is_lowercase), cut_by(writing)
    main = main_score(learned) if main is None else main
    if main not in scores:
        raise OptionError(f"{option('main')}: expected one of {', '.join(scores)}, got {main!r}.")
    counts = _counted(scores, judged.outputs)
    rules = [_Rule.judged(rule, scores, main, judged, counts) for rule in baselines_for(judged.sources, train)]
    rules.sort(key=lambda rule: rule.gain.value, reverse=scores[main].is_error)
    return {
        "task": "translate",
        "part": part,
        "pairs": len(pairs),
        "texts": len(judged.outputs),
        "main": main,
        "scores": [_described(score) for score in scores.values()],
        "verdict": _verdict(part, scores[main], counts[main], rules),
        "figures": _figures(scores, counts) | {"length_ratio": _length_ratio(judged, cut)},
        "baselines": [rule.to_json() for rule in rules],
        "by_length": _by_length(
            judged.sources if train is None else train.sources, judged, scores, main, counts, rules[0]
        ),
        **_examples(judged, cut, scores, main, counts),
        "notes": _notes(pairs, judged, part, rules, has_train=train is not None, is_lowercase=is_lowercase),
    }


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What is judged, N texts, in their normal form."""

    sources: list[str]
    outputs: list[str]
    references: list[list[str]]
    rows: list[int]
    """Which pair each is; of several that have the source, the first."""
    places: list[str]
    log_probs: list[float] | None
    group: NDArray[np.int64]

    def drawn_together(self, counts: Counts) -> Counts:
        """Return counts summed up over each group, (U, K)."""
        _, unit = np.unique(self.group, return_inverse=True)
        sums = np.zeros((int(unit.max()) + 1, counts.shape[1]))
        np.add.at(sums, unit, counts)
        return sums


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A baseline, its counts and figures, and how far the model is above it in the main score."""

    baseline: Baseline
    counts: dict[str, Counts]
    figures: dict[str, float | None]
    main: float
    gain: Gain

    @classmethod
    def judged(
        cls, baseline: Baseline, scores: dict[str, Score], main: str, judged: _Judged, own: dict[str, Counts]
    ) -> _Rule:
        counts = _counted(scores, baseline.outputs)
        ours, theirs = (judged.drawn_together(each[main]) for each in (own, counts))
        return cls(
            baseline=baseline,
            counts=counts,
            figures=_figures(scores, counts),
            main=_figure(scores[main], counts[main]),
            gain=bootstrap_gain(ours, theirs, scores[main].figure),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.baseline.name,
            "title": self.baseline.title,
            "figures": self.figures,
            "difference": json_number(self.gain.value),
            "lower": json_number(self.gain.lower),
            "upper": json_number(self.gain.upper),
            "p": self.gain.p,
        }


def _reading(unicode: Unicode, *, is_lowercase: bool) -> Callable[[str], str]:
    """Return what brings a text to the form in which it is judged."""
    form = TextVocabulary(kind="character", lowercase=is_lowercase, unicode=unicode)

    def normal(text: str) -> str:
        text = form.normalised(text)
        return text.lower() if is_lowercase else text

    return normal


def _judged_rows(
    pairs: TextPairs,
    outputs: Sequence[str],
    log_probs: Sequence[float] | None,
    repeated: Repeated,
    normal: Callable[[str], str],
) -> _Judged:
    rows: dict[object, int] = {}
    references: dict[object, dict[str, None]] = {}
    for row, (source, target) in enumerate(zip(pairs.sources, pairs.targets, strict=True)):
        key = source if repeated == "any" else row
        rows.setdefault(key, row)
        references.setdefault(key, {})[normal(target)] = None
    first = list(rows.values())
    return _Judged(
        sources=[normal(pairs.sources[row]) for row in first],
        outputs=[normal(outputs[row]) for row in first],
        references=[list(own) for own in references.values()],
        rows=first,
        places=[pairs.places[row] for row in first],
        log_probs=None if log_probs is None else [float(log_probs[row]) for row in first],
        group=np.arange(len(first)) if pairs.group is None else pairs.group[first],
    )


# --- figures ---


def _counted(scores: dict[str, Score], outputs: Sequence[str]) -> dict[str, Counts]:
    return {name: score.counts(outputs) for name, score in scores.items()}


def _figure(score: Score, counts: Counts) -> float:
    return float(score.figure(counts.sum(0)))


def _figures(scores: dict[str, Score], counts: dict[str, Counts]) -> dict[str, float | None]:
    return {name: json_number(_figure(score, counts[name])) for name, score in scores.items()}


def _described(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "title": score.title,
        "is_error": score.is_error,
        "is_share": score.is_share,
        "signature": score.signature(),
    }


def _length_ratio(judged: _Judged, cut: Cut) -> float | None:
    """Return the tokens of the outputs over those of the references, of several of a text the mean."""
    own = sum(len(cut(text)) for text in judged.outputs)
    right = sum(sum(len(cut(text)) for text in texts) / len(texts) for texts in judged.references)
    return json_number(own / right) if right else None


def _verdict(part: str, score: Score, counts: Counts, rules: Sequence[_Rule]) -> dict[str, Any]:
    """Return whether the best rule was beaten by more than noise; where not, that first."""
    best, own = rules[0], _figure(score, counts)
    beaten = enumerated([f"{_written(score, rule.main)} by {rule.baseline.title}" for rule in rules])
    value, lower, upper = (_written(score, each) for each in (best.gain.value, best.gain.lower, best.gain.upper))
    said = f"{score.title} {_written(score, own)} on {quantity(len(counts), 'text')} of {part_name(part)}"
    said += f", against {beaten}: {doubt(best.gain.p, 'texts')}"
    said += f". The difference to the best of these is {value} (95% interval: {lower} to {upper})"
    gained = -best.gain.value if score.is_error else best.gain.value
    is_better = gained > 0 and best.gain.p < SURE
    return {"text": verdict(said, gained, is_sure=is_better, rule="best rule"), "is_better": is_better}


def _written(score: Score, value: float) -> str:
    return f"{value:.1%}" if score.is_share else f"{value:.1f}"


# --- by length ---


def _by_length(
    learned: Sequence[str],
    judged: _Judged,
    scores: dict[str, Score],
    main: str,
    counts: dict[str, Counts],
    best: _Rule,
) -> dict[str, Any]:
    """Return figures by how long the source is, in groups of as many texts each as ties allow.

    Args:
        learned: Sources that say how they are written.
        judged: What is judged.
        scores: By name.
        main: Name of the main score.
        counts: Of the outputs, by score.
        best: The best rule.
    """
    writing = writing_of(learned)
    lengths = np.array([len(cut_by(writing)(text)) for text in judged.sources])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _MOST_LENGTHS + 1), method="lower"))
    # A text that is as long as an inner edge belongs to the group that ends there.
    group = np.searchsorted(edges[1:-1], lengths, side="left")
    rows = []
    for number in np.unique(group).tolist():
        own = group == number
        rows.append(
            {
                "least": int(lengths[own].min()),
                "most": int(lengths[own].max()),
                "texts": int(own.sum()),
                "exact": json_number(_figure(scores["exact"], counts["exact"][own])),
                "figure": json_number(_figure(scores[main], counts[main][own])),
                "baseline": json_number(_figure(scores[main], best.counts[main][own])),
            }
        )
    return {"unit": writing.removesuffix("s"), "rows": rows}


# --- examples ---


def _examples(
    judged: _Judged, cut: Cut, scores: dict[str, Score], main: str, counts: dict[str, Counts]
) -> dict[str, Any]:
    """Return the worst texts, and some drawn at random, in the order of the data."""
    name = _OF_ONE_TEXT.get(main, main)
    own = scores[name].figure(counts[name])
    # What is not a number is of empty references; infinite errors are the worst there are.
    own = np.nan_to_num(-own if scores[name].is_error else own, nan=0.0)
    sureness = np.zeros(len(own)) if judged.log_probs is None else np.nan_to_num(np.array(judged.log_probs))
    is_wrong = counts["exact"][:, 0] == 0
    order = np.lexsort([-sureness, own])
    worst = order[is_wrong[order]][:_MOST_WORST]
    drawn = np.sort(np.random.default_rng(0).permutation(len(own))[:_NUM_RANDOM])

    def shown(number: int) -> dict[str, Any]:
        return {
            "place": judged.places[number],
            "source": judged.sources[number],
            "output": judged.outputs[number],
            "references": judged.references[number],
            "is_right": not bool(is_wrong[number]),
            "figure": json_number(float(scores[name].figure(counts[name][number]))),
            "log_prob": None if judged.log_probs is None else json_number(judged.log_probs[number]),
            "length": len(cut(judged.outputs[number])),
            "reference_lengths": [len(cut(text)) for text in judged.references[number]],
        }

    return {
        "told_by": name,
        "worst": [shown(number) for number in worst.tolist()],
        "random": [shown(number) for number in drawn.tolist()],
    }


def _notes(
    pairs: TextPairs, judged: _Judged, part: str, rules: Sequence[_Rule], *, has_train: bool, is_lowercase: bool
) -> list[str]:
    found = flattering(part)
    several = sum(len(own) > 1 for own in judged.references)
    if len(judged.rows) < len(pairs):
        found.append(
            f"{len(pairs):,} pairs have {quantity(len(judged.rows), 'different source')}, each judged once; "
            f"{several:,} of these with several targets, any of which is right."
        )
    empty = sum(not text.strip() for text in judged.outputs)
    if empty:
        found.append(f"{quantity(empty, 'output')} empty.")
    if is_lowercase:
        found.append("all texts are compared in small letters.")
    if not has_train:
        found.append("the training part is not at hand, so that the only rule beside the model is to copy the source.")
    return found + [rule.baseline.note for rule in rules if rule.baseline.note]
