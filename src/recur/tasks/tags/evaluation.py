"""The last word on a trained tagger: figures beside a rule, and what the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recur.data.series.options import OtherTableOptions
from recur.data.texts.examples import PartName, TaggedSentences
from recur.data.texts.tag_schemes import find_entities
from recur.errors import DataError
from recur.kinds import json_number
from recur.run import RunFolder
from recur.tasks.flattery import flattering
from recur.tasks.labels.evaluation import EVALUATION, reliability_rows
from recur.tasks.noise import SURE, doubt, verdict
from recur.tasks.tags.figures import TagFigures, judge_tags
from recur.tasks.tags.lexicon import Lexicon
from recur.tasks.tags.setup import OUTSIDE, flat_tags
from recur.tasks.tags.telling import Told
from recur.tasks.tags.trained import TrainedTagger
from recur.tasks.text_judging import check_judged, to_judge, with_notes_of
from recur.tasks.text_source import parts_of
from recur.wording import part_name, quantity, sentence

_MOST_WORST = 20
_SHOWN_TOKENS = 12
"""Tokens of a long sentence that are shown on each side of what was told wrong."""


def judge_sentences(
    trained: TrainedTagger, examples: TaggedSentences, part: str, *, lexicon: Lexicon | None = None
) -> dict[str, Any]:
    """Return how good the tags that are told of sentences are: what `label_evaluation.json` holds.

    | entry | holds |
    | --- | --- |
    | `verdict` | whether the model beats the rules, in words |
    | `figures` | `TagFigures` |
    | `classes` | the names that the confusion matrix counts |
    | `worst` | the sentences in which something was told wrong most surely |
    | `reliability` | how often the tag of a token was right, by how sure it was |
    | `notes` | what a reader has to know |

    Args:
        trained: What tells.
        examples: With tags.
        part: What they are called: train, valid, test or given.
        lexicon: The most frequent tag of each word beside it.

    Raises:
        DataError: There is no sentence, or the model knows none of their tags.
    """
    if not len(examples):
        raise DataError("there is no sentence to judge the tagger by.")
    notes = _notes_of_unknown(trained, examples)
    told = trained.told(examples.tokens, examples.tags)
    likely = [(one.log_likelihood, len(one.tags)) for one in told if one.log_likelihood is not None]
    num_known = sum(count for _, count in likely)
    tags = [one.tags for one in told]
    has_entities = trained.setup.scheme is not None
    most_frequent = max(zip(trained.setup.counts, trained.tags, strict=True))[1]
    figures = judge_tags(
        tags,
        examples.tags,
        has_entities=has_entities,
        most_frequent=most_frequent if lexicon is None else lexicon.most_frequent,
        rule=None if lexicon is None else lexicon.told(examples.tokens),
        log_loss=-sum(value for value, _ in likely) / num_known if num_known else None,
    )
    return {
        "task": trained.task,
        "part": part,
        "label": "tag",
        "of": "tokens",
        "series": figures.num_sentences,
        "classes": list(figures.confused),
        "verdict": {"text": _verdict(part, figures), "is_better": figures.is_better},
        "figures": figures.to_json(),
        "worst": _worst(told, examples, has_entities=has_entities),
        "reliability": {"raw": _reliability(told, examples)},
        "notes": [*flattering(part), *notes],
    }


def finish_tags(folder: RunFolder, trained: TrainedTagger, examples: TaggedSentences) -> dict[str, Any]:
    """Judge what was trained on the test part, write that into its run, and return it.

    Where there is no test part the validation part is judged, and the figures flatter, for it was chosen by that.

    Args:
        folder: The run, which has all else.
        trained: With the weights of the run.
        examples: The run's own, with parts.

    Raises:
        DataError: No part can be judged.
        RunError: The folder cannot be written.
    """
    parts = parts_of(examples)
    lexicon = Lexicon.of(parts["train"])
    lexicon.save(folder)
    part: PartName = "test" if len(parts["test"]) else "valid"
    found = judge_sentences(trained, parts[part], part, lexicon=lexicon)
    found["weights"] = folder.weights_checksum()
    folder.write_json(EVALUATION, found)
    return found


def evaluate_tags(
    run: str | Path,
    data: Any = None,
    *,
    part: PartName = "test",
    device: str = "cpu",
    table: OtherTableOptions | None = None,
) -> dict[str, Any]:
    """Return the judgement of a run's tagger, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Sentences with tags to judge on; by default a part of the run's own.
        part: Which part of the run's own: train, valid or test.
        device: Where the network computes.
        table: How `data` are written, where not as the run's own.

    Raises:
        RunError: The run is missing or damaged, or its data are needed and cannot be found.
        DataError: The data cannot be used.
        OptionError: There is no such part, or `table` makes no sense.
    """
    check_judged(part, data, table)
    folder = RunFolder.open(run)
    trained = TrainedTagger.load(folder, device=device)
    lexicon = Lexicon.load(folder)
    examples, name, _ = to_judge(trained.setup, data, part, table)
    return with_notes_of(examples, name, judge_sentences(trained, examples, name, lexicon=lexicon))


def _verdict(part: str, figures: TagFigures) -> str:
    """Return whether the rule was beaten by more than noise; where not, that first."""
    score, rule = figures.micro_f1, figures.rule_micro_f1
    name = "entity F1" if figures.has_entities else "accuracy"
    said = f"{name} {_share(score)} on {quantity(figures.num_sentences, 'sentence')} of {part_name(part)}"
    if rule is None:
        return sentence(f"{said}.")
    said += f", against {_share(rule)} by the most frequent tag of each word: {doubt(figures.p, 'sentences')}"
    return verdict(said, score - rule, is_sure=figures.p is not None and figures.p < SURE)


def _share(value: float) -> str:
    return f"{value:.1%}"


def _notes_of_unknown(trained: TrainedTagger, examples: TaggedSentences) -> list[str]:
    """Return a note of tags that the model does not know, or raise where it knows none but what is outside."""
    met: dict[str, int] = {}
    for row, tags in enumerate(examples.tags):
        for tag in set(tags):
            met.setdefault(tag, row)
    unknown = sorted(set(met) - set(trained.tags))
    if not unknown:
        return []
    first = unknown[0]
    where = f"{examples.places[met[first]]}: has the tag {first!r}"
    if not set(met) & set(trained.tags) - {OUTSIDE}:
        known = ", ".join(trained.tags[:8])
        raise DataError(
            f"{where}, and none of the tags is known to the model, which tells {known}; choose the column of the tags, "
            "or sentences that are tagged alike."
        )
    rows = sum(bool(set(tags).intersection(unknown)) for tags in examples.tags)
    others = f" (and {len(unknown) - 1:,} more)" if len(unknown) > 1 else ""
    is_known, stand = ("are", "they stand") if others else ("is", "it stands")
    told = "they are" if others else "it is"
    return [
        f"the tag {first!r}{others} {is_known} not known to the model, so that {told} told wrong: {stand} in "
        f"{quantity(rows, 'sentence')}, such as {examples.places[met[first]]}."
    ]


def _reliability(told: Sequence[Told], examples: TaggedSentences) -> dict[str, Any]:
    sure = np.array([value for one in told for value in one.probability])
    right = flat_tags([one.tags for one in told])[0] == flat_tags(examples.tags)[0]

    # Whether the tag is right, as a decision by itself.
    probability = torch.from_numpy(np.stack([1 - sure, sure], 1))
    return reliability_rows(probability, torch.from_numpy(right.astype(np.int64)))


def _worst(told: Sequence[Told], examples: TaggedSentences, *, has_entities: bool) -> list[dict[str, Any]]:
    """Return the sentences in which something that is not so was told most surely, or what is was surely missed."""
    found = []
    for row, one in enumerate(told):
        own = _units(one.tags, has_entities)
        true = _units(examples.tags[row], has_entities)
        chance = np.array(one.probability)
        # Of what was missed, how sure the tags that stand there instead are.
        wrong = [(float(chance[begin:end].min()), begin, end) for _, begin, end in own ^ true]
        if wrong:
            sure, begin, end = max(wrong)
            found.append((sure, row, begin, end, own - true, true - own))
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    return [
        {
            "series": _around(examples.tokens[row], begin, end),
            "place": examples.places[row],
            "true": _named(examples.tokens[row], missed),
            "told": _named(examples.tokens[row], invented),
            "probability": json_number(sure),
        }
        for sure, row, begin, end, invented, missed in found[:_MOST_WORST]
    ]


def _units(tags: Sequence[str], has_entities: bool) -> set[tuple[str, int, int]]:
    """Return the entities of a sentence, or its tokens, each with its kind, first token and the one after its last."""
    if not has_entities:
        return {(tag, place, place + 1) for place, tag in enumerate(tags)}
    found = find_entities(*flat_tags([tags]))
    pairs = zip(found.kinds.tolist(), found.begins.tolist(), found.ends.tolist(), strict=True)
    return set(pairs)


def _around(tokens: Sequence[str], begin: int, end: int) -> str:
    first, last = max(0, begin - _SHOWN_TOKENS), min(len(tokens), end + _SHOWN_TOKENS)
    before, after = "… " if first else "", " …" if last < len(tokens) else ""
    return f"{before}{' '.join(tokens[first:last])}{after}"


def _named(tokens: Sequence[str], units: set[tuple[str, int, int]]) -> str:
    ordered = sorted(units, key=lambda unit: unit[1:])
    return "; ".join(f"{kind}: {' '.join(tokens[begin:end])}" for kind, begin, end in ordered)
