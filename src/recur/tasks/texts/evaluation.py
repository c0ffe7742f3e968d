"""The last word on a trained classifier of texts: figures beside rules, and what the report shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recur.data.series.options import OtherTableOptions
from recur.data.texts.examples import LabelledTexts, PartName
from recur.errors import DataError
from recur.kinds import json_number
from recur.models.texts.bag_of_ngrams import BagOfNgrams
from recur.run import RunFolder
from recur.tasks.flattery import flattering
from recur.tasks.labels.classes import ClassifierFigures, judge_classes
from recur.tasks.labels.evaluation import EVALUATION, reliability_rows, uncalibrated, was_judged
from recur.tasks.noise import SURE, doubt, sign_test, verdict
from recur.tasks.text_judging import check_judged, to_judge, with_notes_of
from recur.tasks.text_source import parts_of
from recur.tasks.texts.explanation import explain_texts
from recur.tasks.texts.multi import average_precision, judge_multi, multi_verdict
from recur.tasks.texts.outcomes import TextOutcomes
from recur.tasks.texts.rule import RuleOutcomes, fit_rule, load_rule, save_rule
from recur.tasks.texts.trained import TrainedTextClassifier, as_series
from recur.wording import part_name, quantity

_MOST_WORST = 20

_WORDS = 4
"""Words that spoke for a class that was told wrongly."""

_FEW_HELD_OUT = 5
"""Of fewer texts of a class it is noted that the validation part hardly says from which probability on to tell it."""

_MOST_TOKENS = 1_000
"""Of longer texts it is not asked which words spoke for the class, for that would take long."""


def judge_texts(
    trained: TrainedTextClassifier,
    examples: LabelledTexts,
    part: str,
    *,
    rule: BagOfNgrams | None = None,
    is_finished: bool = True,
) -> dict[str, Any]:
    """Return how good the classes that are told of texts are: what `label_evaluation.json` holds.

    | entry | holds |
    | --- | --- |
    | `verdict` | whether the model beats the rules, in words |
    | `figures` | of texts of one class `ClassifierFigures`, and of the bag of n-grams; else `MultiFigures` |
    | `ngrams` | the share of the linear model that speaks with the network, and accuracy or mean average precision with
    it and of the network alone; None where that speaks alone |
    | `worst` | the texts that were told wrong most surely, and the `words` that spoke `for` it, in nats |
    | `reliability` | how often it was right, by how sure it was: `calibrated`, and the network alone, `raw` |
    | `notes` | what a reader has to know |

    Args:
        trained: What tells.
        examples: With labels.
        part: What they are called: train, valid, test or given.
        rule: The bag of n-grams beside it.
        is_finished: Whether the training came to its end, where probabilities are calibrated.

    Raises:
        DataError: No text has a label.
    """
    alone = trained.outcomes_alone(examples)
    outcomes = trained.outcomes(examples, alone=alone)
    kept = outcomes.counted()
    if not len(kept.weight):
        raise DataError("no text has a label, so that there is nothing to judge the classifier by.")
    counted = examples.take(torch.nonzero(outcomes.weight > 0)[:, 0].numpy())
    probability = trained.probabilities(kept.logits)
    found: dict[str, Any] = {
        "task": trained.task,
        "part": part,
        "label": trained.setup.label,
        "of": "texts",
        "series": len(kept.weight),
        "classes": list(trained.classes),
    }
    judged = _judged_multi if trained.setup.is_multi else _judged_single
    beside = None if rule is None else RuleOutcomes.of(rule, trained.setup, counted)
    found |= judged(trained, kept, probability, beside, part)
    alone = alone.counted()
    found["ngrams"] = _of_parts(trained, kept, alone)
    found["worst"] = _worst(trained, counted, kept, probability)
    found["reliability"] = {
        "calibrated": _reliability(trained, probability, kept),
        "raw": _reliability(trained, _raw(trained, alone.logits), kept),
    }
    found["notes"] = _notes(trained, outcomes, part, found["ngrams"], is_finished=is_finished)
    return found


def finish_texts(folder: RunFolder, trained: TrainedTextClassifier, examples: LabelledTexts) -> dict[str, Any]:
    """Calibrate what was trained, judge it on the test part, write both into its run, and return the judgement.

    Where there is no test part the validation part is judged, and the figures flatter, for it was chosen by that.

    Args:
        folder: The run, which has all else.
        trained: With the weights of the run.
        examples: The run's own, with parts.

    Raises:
        DataError: No text of the part that is judged has a label.
        RunError: The folder cannot be written.
    """
    parts = parts_of(examples)
    rule = fit_rule(trained.setup, parts["train"], parts["valid"])
    save_rule(folder, rule, trained.setup)
    if len(parts["valid"]):
        trained.calibrate(parts["valid"], rule if trained.lets_ngrams_speak else None)
    trained.save_calibration(folder)
    part: PartName = "test" if len(parts["test"]) else "valid"
    found = judge_texts(trained, parts[part], part, rule=rule)
    found["weights"] = folder.weights_checksum()
    folder.write_json(EVALUATION, found)
    return found


def evaluate_texts(
    run: str | Path,
    data: Any = None,
    *,
    part: PartName = "test",
    device: str = "cpu",
    table: OtherTableOptions | None = None,
) -> dict[str, Any]:
    """Return the judgement of a run's classifier, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Texts with labels to judge on; by default a part of the run's own.
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
    trained = TrainedTextClassifier.load(folder, device=device)
    rule, is_finished = load_rule(folder, trained.setup), was_judged(folder)
    examples, name, _ = to_judge(trained.setup, data, part, table)
    return with_notes_of(examples, name, judge_texts(trained, examples, name, rule=rule, is_finished=is_finished))


def _judged_single(
    trained: TrainedTextClassifier, kept: TextOutcomes, probability: Tensor, rule: RuleOutcomes | None, part: str
) -> dict[str, Any]:
    figures = judge_classes(as_series(kept), trained.classes, trained.setup.counts, temperature=trained.temperature)
    content = figures.to_json()
    right = probability.argmax(1) == kept.target
    p = None
    if rule is not None:
        rule_right = rule.told.long().argmax(1) == kept.target
        p = sign_test(int((right & ~rule_right).sum()), int((rule_right & ~right).sum()))
        content["rule"] = {"accuracy": float(rule_right.double().mean()), "p": p}
    is_better = figures.is_better and (p is None or (p < SURE and figures.accuracy > content["rule"]["accuracy"]))
    return {
        "verdict": {"text": _verdict(part, figures, content.get("rule")), "is_better": is_better},
        "figures": content,
    }


def _verdict(part: str, figures: ClassifierFigures, rule: dict[str, Any] | None) -> str:
    """Return whether the rules were beaten by more than noise; where not, that first."""
    said = f"accuracy {figures.accuracy:.1%} on {quantity(figures.num_told, 'text')} of {part_name(part)}"
    naive = f"{figures.baseline_accuracy:.1%} by always telling {figures.most_frequent!r}"
    if rule is None:
        best, p, against = figures.baseline_accuracy, figures.p, naive
    else:
        best, p = rule["accuracy"], rule["p"]
        against = f"{best:.1%} by a linear model of n-grams and {naive}"
        if figures.baseline_accuracy > best:
            best, p = figures.baseline_accuracy, figures.p
    said += f", against {against}: {doubt(p, 'texts')}"
    return verdict(said, figures.accuracy - best, is_sure=p is not None and p < SURE)


def _judged_multi(
    trained: TrainedTextClassifier, kept: TextOutcomes, probability: Tensor, rule: RuleOutcomes | None, part: str
) -> dict[str, Any]:
    figures = judge_multi(
        probability.double(),
        kept.target,
        trained.classes,
        trained.thresholds,
        rule=None if rule is None else rule.told,
        evidence=None if rule is None else rule.evidence,
    )
    is_fitted = part == "valid" and trained.is_calibrated
    text = multi_verdict(part, figures, is_fitted=is_fitted)
    return {
        "verdict": {"text": text, "is_better": figures.is_better and not is_fitted},
        "figures": figures.to_json(),
    }


def _raw(trained: TrainedTextClassifier, logits: Tensor) -> Tensor:
    return logits.double().sigmoid() if trained.setup.is_multi else logits.double().softmax(-1)


def _reliability(trained: TrainedTextClassifier, probability: Tensor, kept: TextOutcomes) -> dict[str, Any]:
    target = kept.target
    if trained.setup.is_multi:
        # Each decision by itself.
        flat = probability.double().flatten()
        probability, target = torch.stack([1 - flat, flat], 1), kept.target.long().flatten()
    return reliability_rows(probability.double(), target)


def _worst(
    trained: TrainedTextClassifier, examples: LabelledTexts, kept: TextOutcomes, probability: Tensor
) -> list[dict[str, Any]]:
    """Return the texts that were told wrong most surely, and the words that spoke for that.

    Of several classes that are told of a text the surest wrong one counts.
    """
    told = trained.told(probability)
    true = kept.target > 0 if trained.setup.is_multi else torch.arange(told.shape[1]) == kept.target[:, None]
    wrong, surest = torch.where(told & ~true, probability, 0).max(1)
    order = wrong.argsort(descending=True, stable=True)[:_MOST_WORST]
    found = {
        number: {
            "series": examples.texts[number],
            "place": examples.places[number],
            "true": ", ".join(examples.labels[number] or ()),
            "told": ", ".join(trained.classes[k] for k in told[number].nonzero()[:, 0].tolist()),
            "probability": json_number(float(wrong[number])),
        }
        for number in order.tolist()
        if wrong[number] > 0
    }
    short = [number for number in found if len(trained.setup.vocabulary.encode(examples.texts[number])) <= _MOST_TOKENS]
    explained = explain_texts(trained, [examples.texts[number] for number in short], surest[short].tolist())
    for number, one in zip(short, explained, strict=True):
        words = [[word, float(f"{share:.3g}")] for word, share in one.strongest(_WORDS)]
        found[number] |= {"for": one.label, "words": words}
    return list(found.values())


def _of_parts(trained: TrainedTextClassifier, both: TextOutcomes, alone: TextOutcomes) -> dict[str, Any] | None:
    """Return the share of the linear model, and how good the network is with it and without it."""
    if trained.rule is None:
        return None
    if trained.setup.is_multi:
        measure = "average precision"
        with_it, without = (_mean_precision(one) for one in (both, alone))
    else:
        measure = "accuracy"
        with_it, without = (float((one.logits.argmax(1) == one.target).double().mean()) for one in (both, alone))
    return {"share": trained.share, "measure": measure, "both": with_it, "network_alone": without}


def _mean_precision(outcomes: TextOutcomes) -> float:
    true = outcomes.target > 0
    return float(average_precision(outcomes.logits.double(), true)[true.any(0)].mean())


def _notes(
    trained: TrainedTextClassifier,
    outcomes: TextOutcomes,
    part: str,
    ngrams: dict[str, Any] | None,
    *,
    is_finished: bool,
) -> list[str]:
    fitted = "are the thresholds and the share of n-grams" if trained.setup.is_multi else "is the share of n-grams"
    found = flattering(part, f", and how sure it is was fitted to it, as {fitted}")
    missing = int((outcomes.weight == 0).sum())
    if missing:
        found.append(f"{quantity(missing, 'text')} without a label, and not judged.")
    if ngrams is not None:
        found.append(
            f"a linear model of n-grams speaks with the network, with a share of {ngrams['share']:.0%}, which the "
            f"validation part has chosen: {ngrams['measure']} {ngrams['both']:.1%}, of the network alone "
            f"{ngrams['network_alone']:.1%}."
        )
    if not trained.is_calibrated:
        found.append(uncalibrated("texts", is_finished=is_finished))
    absent = [name for name, count in zip(trained.classes, trained.setup.counts, strict=True) if not count]
    if absent:
        found.append(f"the training part has no text of the class {absent[0]!r}, which cannot be told well.")
    if trained.held_out is not None:
        found += _few_held_out(dict(zip(trained.classes, trained.held_out.tolist(), strict=True)), absent)
    return found


def _few_held_out(counts: dict[str, int], absent: list[str]) -> list[str]:
    """Return a note of the classes, but those absent from training, whose thresholds hang on few texts."""
    few = {name: count for name, count in counts.items() if count < _FEW_HELD_OUT and name not in absent}
    if not few:
        return []
    name = min(few, key=lambda one: few[one])
    have = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
    return [
        f"{have} fewer than {_FEW_HELD_OUT} texts in the validation part, such as {name!r} with {few[name]}: the "
        "probability from which on such a class is told leans on that which is best for all classes together."
    ]
