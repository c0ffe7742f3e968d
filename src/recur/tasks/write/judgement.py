"""How good a writer is: how likely held-out texts are to it, told what they are of or not, and what it writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.written import WrittenTexts
from recur.decode import Sampling
from recur.kinds import json_number
from recur.models.texts.trigrams import ClassTrigrams
from recur.tasks.flattery import flattering
from recur.tasks.noise import SURE, Gain, bootstrap_gain, doubt, verdict
from recur.tasks.write.setup import WriterSetup
from recur.tasks.write.trained import TrainedWriter
from recur.token_ids import UNKNOWN
from recur.wording import enumerated, part_name, quantity, sentence

EVALUATION = "write_evaluation.json"
"""File of a run with the judgement of its writer."""

_MOST_TOKENS = 1_000_000
"""Tokens that are run through the network, about, to tell how likely texts are to one that is told nothing."""

_DRAWN_CONTEXTS = 32
_MOST_WRITTEN, _MOST_TOKENS_WRITTEN = 1000, 200_000
"""Texts that are written to be counted, and tokens of texts as long as the judged ones; each at most."""

_SHOWN, _CAREFUL, _MOST_SHOWN = 5, 0.8, 40
"""Texts that are shown of each class, the temperature at which they are drawn, and of how many classes."""

_MOST_WORST = 10
_MOST_CLASSES = 200
"""Of more classes it is not told by trigrams which a text is of."""

Nats = NDArray[np.float64]


def judge_writer(
    trained: TrainedWriter,
    examples: WrittenTexts,
    part: str,
    *,
    train: WrittenTexts | None = None,
    valid: WrittenTexts | None = None,
) -> dict[str, Any]:
    """Return how good a writer is: what `write_evaluation.json` holds.

    | entry | holds |
    | --- | --- |
    | `verdict` | whether the best rule is beaten, and whether what it is told helps, in words |
    | `figures` | of the model, told what each text is of: nats and bits a character, perplexity a token |
    | `not_told`, `wrong` | the same where it is not told that, and where it is told that of another text, None where
      there is nothing else to be told |
    | `baselines` | the same of trigrams, of each class and of all texts |
    | `classes` | of each class its texts, figures told and not told, the share that the model tells the class of by
      Bayes' rule, and some texts that it writes |
    | `written` | of texts that it writes: how many are new, how many differ, how long they are, and how often trigrams
      take them for their class, beside how often they do so with held-out texts |
    | `samples` | where there are numbers, texts that it writes from what some of the judged ones are of |
    | `worst`, `notes` | the least likely texts; and what a reader has to know |

    An end counts as a character and as a token. What is not told is integrated out: the likelihood is the mean over
    classes, by their frequency in the training part, or over 32 contexts of it that are drawn.

    Args:
        trained: What writes.
        examples: Texts and what they are of.
        part: What they are called: train, valid, test or given.
        train: The training part, of which trigrams are made.
        valid: The validation part, by which they are mixed.
    """
    setup = trained.setup
    characters = np.array([len(text) + 1 for text in examples.texts], np.float64)
    tokens = int(setup.encoded(examples.texts).lengths.sum()) + len(examples)
    own = trained.nats(examples)
    others = _of_others(setup, examples, train)
    rows, not_told, likeliest = _not_told(trained, examples, train)
    rule = None
    if train is not None and len(train) and ClassTrigrams.fits(setup.vocabulary.size):
        rule = _rule(setup, train, valid)
    contestants: dict[str, Nats] = {}
    if rule is not None:
        if _is_of_one_class(setup):
            contestants["class_trigrams"] = rule.nats(setup.encoded(examples.texts), _codes(setup, examples))
        contestants["trigrams"] = rule.nats(setup.encoded(examples.texts))
    gains = {name: _gain(own, other, characters) for name, other in contestants.items()}
    helps = _gain(own[rows], not_told, characters[rows])
    tokens_of = (setup.encoded(examples.texts).lengths + 1).astype(np.float64)

    def figures(nats: Nats, chosen: Any = slice(None)) -> dict[str, float | None]:
        return _figures(nats, characters[chosen], tokens_of[chosen])

    found = {
        "task": trained.task,
        "part": part,
        "texts": len(examples),
        "tokens": tokens,
        "told": _what(setup),
        "figures": figures(own),
        "not_told": figures(not_told, rows) | {"texts": len(rows)} | _of_gain(helps),
        "wrong": None if others is None else figures(trained.nats(examples, others)),
        "baselines": [
            {"name": name, "title": _TITLES[name], "figures": figures(nats), **_of_gain(gains[name])}
            for name, nats in contestants.items()
        ],
    }
    found["verdict"] = _verdict(found, gains, helps)
    found["classes"] = _by_class(trained, examples, own, rows, not_told, likeliest, characters)
    found["written"] = _written(trained, examples, train, rule)
    found["samples"] = _samples(trained, examples) if setup.columns else []
    found["worst"] = _worst(examples, own / characters)
    notes = _notes(part, examples, rows, has_train=rule is not None)
    unknown = int((setup.encoded(examples.texts).ids == UNKNOWN).sum())
    if unknown:
        notes.append(
            f"{unknown:,} of the {tokens:,} tokens of the texts are unknown, {unknown / tokens:.1%}; the figures take "
            "all these for one token, which is easier to tell than what they are."
        )
    found["notes"] = notes
    return found


_TITLES = {"class_trigrams": "trigrams of each class", "trigrams": "trigrams of all texts"}


def _is_of_one_class(setup: WriterSetup) -> bool:
    return bool(setup.classes) and not setup.is_multi


def _what(setup: WriterSetup) -> str:
    """Return what texts are written from, in words."""
    names = [*([setup.label] if setup.classes else []), *setup.columns]
    return enumerated(names)


def _codes(setup: WriterSetup, examples: WrittenTexts) -> NDArray[np.int64]:
    number = {name: place for place, name in enumerate(setup.classes)}
    return np.array([number[labels[0]] for labels in examples.labels if labels], np.int64)


def _features(setup: WriterSetup, examples: WrittenTexts) -> NDArray[np.float32]:
    return setup.features([labels or () for labels in examples.labels], examples.numbers)


def _of_others(setup: WriterSetup, examples: WrittenTexts, train: WrittenTexts | None) -> NDArray[np.float32] | None:
    """Return what other texts are written from, (N, D): judged ones, else what is known of the training part.

    Returns:
        None where some are written from all that there is.
    """
    own = _features(setup, examples)
    random = np.random.default_rng(0)
    wrong = own.copy()
    for pool in (own, _known_contexts(setup, train)):
        for _ in range(100 if len(pool) else 0):
            same = np.flatnonzero((wrong == own).all(1))
            if not len(same):
                return wrong
            wrong[same] = pool[random.integers(0, len(pool), len(same))]
    return None


def _known_contexts(setup: WriterSetup, train: WrittenTexts | None) -> NDArray[np.float32]:
    """Return what texts of the training part are written from, (M, D), each once."""
    if _is_of_one_class(setup) and not setup.columns:
        used: NDArray[np.float32] = np.eye(len(setup.classes), dtype=np.float32)[np.flatnonzero(setup.counts)]
        return used
    if train is None:
        return np.zeros((0, setup.num_features), np.float32)
    return np.unique(_features(setup, train), axis=0)


def _not_told(
    trained: TrainedWriter, examples: WrittenTexts, train: WrittenTexts | None
) -> tuple[NDArray[np.int64], Nats, NDArray[np.int64] | None]:
    """Return -ln p of texts where it is not told what they are of.

    Returns:
        Which texts were run, (M,); -ln p of these, (M,); and the likeliest class of each, where they are of one.
    """
    setup = trained.setup
    if _is_of_one_class(setup) and not setup.columns:
        used = np.flatnonzero(setup.counts)
        contexts = np.eye(len(setup.classes), dtype=np.float32)[used]
        weights = np.array(setup.counts, np.float64)[used]
    else:
        used = None
        pool = _features(setup, examples if train is None or not len(train) else train)
        drawn = np.random.default_rng(0).permutation(len(pool))[:_DRAWN_CONTEXTS]
        contexts, weights = pool[drawn], np.ones(len(drawn))
    tokens = int(setup.encoded(examples.texts).lengths.sum()) + len(examples)
    step = max(1, math.ceil(tokens * len(contexts) / _MOST_TOKENS))
    rows = np.arange(0, len(examples), step)
    some = examples.take(rows)
    log_probs = np.stack(
        [
            np.log(weight / weights.sum()) - trained.nats(some, np.repeat(context[None], len(rows), 0))
            for context, weight in zip(contexts, weights, strict=True)
        ]
    )
    likeliest = None if used is None else used[log_probs.argmax(0)]
    return rows, -np.logaddexp.reduce(log_probs, 0), likeliest


def _rule(setup: WriterSetup, train: WrittenTexts, valid: WrittenTexts | None) -> ClassTrigrams:
    is_single = _is_of_one_class(setup)
    rule = ClassTrigrams(
        setup.vocabulary.size,
        setup.encoded(train.texts),
        _codes(setup, train) if is_single else None,
        num_classes=len(setup.classes),
    )
    if is_single and valid is not None and len(valid):
        rule.choose_share(setup.encoded(valid.texts), _codes(setup, valid))
    return rule


# --- figures ---


def _figures(nats: Nats, characters: Nats, tokens: Nats) -> dict[str, float | None]:
    by_character = float(nats.sum() / characters.sum())
    return {
        "nats_per_character": json_number(by_character),
        "bits_per_character": json_number(by_character / math.log(2)),
        "perplexity": json_number(math.exp(min(float(nats.sum() / tokens.sum()), 700.0))),
    }


def _gain(own: Nats, other: Nats, characters: Nats) -> Gain:
    """Return how many nats a character the model needs more, which is below 0 where it is better."""
    first, second = (np.stack([nats, characters], 1) for nats in (own, other))
    return bootstrap_gain(first, second, lambda sums: sums[:, 0] / sums[:, 1])


def _of_gain(gain: Gain) -> dict[str, float | None]:
    return {
        "difference": json_number(gain.value),
        "lower": json_number(gain.lower),
        "upper": json_number(gain.upper),
        "p": gain.p,
    }


def _verdict(found: dict[str, Any], gains: dict[str, Gain], helps: Gain) -> dict[str, Any]:
    """Return whether the best rule was beaten by more than noise, and whether what it is told helps."""

    def nats(entry: dict[str, Any]) -> str:
        value = entry["nats_per_character"]
        return "infinite" if value is None else f"{value:.3f}"

    said = (
        f"{nats(found['figures'])} nats a character on {quantity(found['texts'], 'text')} of {part_name(found['part'])}"
    )
    is_better, whole = True, sentence(f"{said}.")
    if gains:
        best = max(gains, key=lambda name: gains[name].value)
        rules = enumerated([f"{nats(one['figures'])} by {one['title']}" for one in found["baselines"]])
        said += f", against {rules}: {doubt(gains[best].p, 'texts')}"
        is_better = gains[best].value < 0 and gains[best].p < SURE
        whole = verdict(said, -gains[best].value, is_sure=is_better, rule="best rule")
    without = f"Not told {found['told']} it needs {nats(found['not_told'])}"
    if found["wrong"] is not None:
        without += f", told that of another text {nats(found['wrong'])}"
    without += ": what it is told"
    if not helps.value < 0 or helps.p >= SURE:
        is_better = False
        without += f" is NOT shown to help, {doubt(helps.p, 'texts')}"
    else:
        without += f" helps, {doubt(helps.p, 'texts')}"
    return {"text": f"{whole} {without}.", "is_better": is_better}


def _by_class(
    trained: TrainedWriter,
    examples: WrittenTexts,
    own: Nats,
    rows: NDArray[np.int64],
    not_told: Nats,
    likeliest: NDArray[np.int64] | None,
    characters: Nats,
) -> list[dict[str, Any]]:
    """Return figures and samples of each class, the most frequent of the training part first."""
    setup = trained.setup
    of_row = np.full(len(examples), np.nan)
    of_row[rows] = not_told
    order = np.argsort(-np.array(setup.counts), kind="stable").tolist() if setup.classes else []
    found = []
    for number in order:
        name = setup.classes[number]
        is_own = np.array([name in (labels or ()) for labels in examples.labels], np.bool_)
        entry: dict[str, Any] = {"name": name, "learned": setup.counts[number], "texts": int(is_own.sum())}
        if is_own.any():
            entry["nats_per_character"] = json_number(own[is_own].sum() / characters[is_own].sum())
        is_run = is_own & ~np.isnan(of_row)
        if is_run.any():
            entry["not_told"] = json_number(of_row[is_run].sum() / characters[is_run].sum())
            if likeliest is not None:
                entry["told"] = json_number((likeliest[is_own[rows]] == number).mean())
        found.append(entry)
    shown = [] if setup.columns else [one for one in found[:_MOST_SHOWN] if one["learned"]]
    if shown:
        # All side by side, for the longest says how long it takes.
        labels = [(one["name"],) for one in shown for _ in range(_SHOWN)]
        texts = trained.write_each(labels, sampling=Sampling(temperature=_CAREFUL), seed=0)
        for place, one in enumerate(shown):
            one["samples"] = [text.text for text in texts[_SHOWN * place : _SHOWN * (place + 1)]]
    return found


# --- what it writes ---


def _samples(trained: TrainedWriter, examples: WrittenTexts) -> list[dict[str, Any]]:
    """Return texts that are written from the labels and numbers of some of the judged ones."""
    some = examples.take(_evenly(len(examples), 4 * _SHOWN))
    labels = [own or () for own in some.labels]
    texts = trained.write_each(labels, some.numbers, sampling=Sampling(temperature=_CAREFUL), seed=0)
    return [
        {"labels": list(own), "numbers": list(numbers), "text": one.text, "true": true}
        for own, numbers, one, true in zip(labels, some.numbers, texts, some.texts, strict=True)
    ]


def _written(
    trained: TrainedWriter, examples: WrittenTexts, train: WrittenTexts | None, rule: ClassTrigrams | None
) -> dict[str, Any]:
    """Return figures of texts that are written from what the judged ones are of."""
    setup = trained.setup
    mean_length = (setup.encoded(examples.texts).lengths + 1).mean()
    some = examples.take(
        _evenly(len(examples), min(_MOST_WRITTEN, max(_SHOWN, int(_MOST_TOKENS_WRITTEN / mean_length))))
    )
    texts = trained.write_each([labels or () for labels in some.labels], some.numbers, seed=0)
    found: dict[str, Any] = {
        "texts": len(texts),
        "distinct": len({one.text for one in texts}) / len(texts),
        "distinct_held_out": len(set(some.texts)) / len(some),
        "length": sum(len(one.text) for one in texts) / len(texts),
        "length_held_out": sum(map(len, some.texts)) / len(some),
        "broken_off": sum(not one.is_whole for one in texts) / len(texts),
        "new": None,
        "recognised": None,
        "recognised_held_out": None,
    }
    if train is not None and len(train):
        # As the model would write them.
        vocabulary = setup.vocabulary
        known = {vocabulary.text_of(vocabulary.encode(text).tolist()) for text in train.texts}
        found["new"] = sum(one.text not in known for one in texts) / len(texts)
    if rule is not None and _is_of_one_class(setup) and len(setup.classes) <= _MOST_CLASSES:
        codes = _codes(setup, some)
        for name, those in (("recognised", [one.text for one in texts]), ("recognised_held_out", some.texts)):
            told = rule.told(setup.encoded(those), setup.counts)
            found[name] = float((told == codes).mean())
    return found


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return numbers below `count`, at most so many, at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _worst(examples: WrittenTexts, nats: Nats) -> list[dict[str, Any]]:
    order = np.argsort(-nats, kind="stable")[:_MOST_WORST]
    return [
        {
            "text": examples.texts[row],
            "place": examples.places[row],
            "labels": list(examples.labels[row] or ()),
            "numbers": list(examples.numbers[row]),
            "nats_per_character": json_number(nats[row]),
        }
        for row in order.tolist()
    ]


def _notes(part: str, examples: WrittenTexts, rows: Sequence[int] | NDArray[np.int64], *, has_train: bool) -> list[str]:
    found = flattering(part)
    if len(rows) < len(examples):
        found.append(
            f"how likely texts are to a model that is not told what they are of, is of {len(rows):,} of them alone."
        )
    if not has_train:
        found.append("there are no trigrams beside the model, as the training part is not at hand.")
    return found
