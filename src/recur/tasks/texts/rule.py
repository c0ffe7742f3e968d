"""The linear model of n-grams beside a classifier, or speaking with it, kept in its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from recur.data.texts.examples import LabelledTexts
from recur.errors import RunError
from recur.models.texts.bag_of_ngrams import BagOfNgrams
from recur.run import RunFolder
from recur.tasks.texts.setup import TextLabelSetup

RULE = "rule.safetensors"
"""File of a run with the bag of n-grams."""

_STRENGTHS = (1.0, 10.0)
"""Of which the one is taken that tells the validation part best."""


def fit_rule(setup: TextLabelSetup, train: LabelledTexts, valid: LabelledTexts) -> BagOfNgrams:
    """Return the bag of n-grams that learned from the training part: of words up to 2, of characters up to 4.

    Args:
        setup: How texts become tokens.
        train: The training part.
        valid: By which its strength is chosen; there may be none.
    """
    target, held_out = (torch.from_numpy(setup.targets(part)[0]) for part in (train, valid))
    texts, held_out_texts = setup.encoded(train.texts), setup.encoded(valid.texts)
    found = []
    for strength in _STRENGTHS if len(valid) else _STRENGTHS[:1]:
        rule = BagOfNgrams(**_form(setup), strength=strength)  # type: ignore[arg-type]
        rule.fit(texts, target, num_classes=len(setup.classes))
        found.append((_score(_told(rule, rule(held_out_texts)), held_out) if len(valid) else 0.0, rule))
    return max(found, key=lambda one: one[0])[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleOutcomes:
    """What the bag of n-grams says of texts.

    Attributes:
        told: Which classes it tells, (N, K) bool.
        evidence: Its log-odds, (N, K) float32.
    """

    told: Tensor
    evidence: Tensor

    @classmethod
    def of(cls, rule: BagOfNgrams, setup: TextLabelSetup, examples: LabelledTexts) -> Self:
        """Return what a bag of n-grams says of some texts."""
        logits = rule(setup.encoded(examples.texts))
        return cls(told=_told(rule, logits), evidence=rule.evidence_of(logits))


def save_rule(folder: RunFolder, rule: BagOfNgrams, setup: TextLabelSetup) -> None:
    """Write `rule.safetensors`, which notes the vocabulary and classes that it was fitted with.

    Raises:
        RunError: It cannot be written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in rule.tensors().items()}
    folder.write_tensors(RULE, tensors, metadata={"knows": setup.fingerprint})


def load_rule(folder: RunFolder, setup: TextLabelSetup) -> BagOfNgrams | None:
    """Return the bag of n-grams of a run; None where there is none.

    Raises:
        RunError: It is damaged, or of another run.
    """
    if not folder.has(RULE):
        return None
    tensors, said = folder.read_tensors_and_metadata(RULE)
    if said.get("knows") != setup.fingerprint:
        raise RunError(
            f"{folder.path / RULE}: is of another model, with another vocabulary or other classes; restore the run's "
            "own file."
        )
    form = _form(setup)
    try:
        return BagOfNgrams.from_tensors(
            tensors, int(form["longest"]), is_multi=setup.is_multi, marks_ends=bool(form["marks_ends"])
        )
    except (KeyError, ValueError, RuntimeError) as error:
        raise RunError(f"{folder.path / RULE}: damaged: {error}.") from error


def _form(setup: TextLabelSetup) -> dict[str, int | bool]:
    is_character = setup.vocabulary.kind == "character"
    return {"longest": 4 if is_character else 2, "is_multi": setup.is_multi, "marks_ends": is_character}


def _told(rule: BagOfNgrams, logits: Tensor) -> Tensor:
    if rule.is_multi:
        return logits > 0
    return torch.arange(logits.shape[1]) == logits.argmax(1)[:, None]


def _score(told: Tensor, target: Tensor) -> float:
    """Return how good it is what a rule told: accuracy, or macro-F1 where targets are (N, K)."""
    if target.dim() == 1:
        return float((told.long().argmax(1) == target).double().mean())
    true = target > 0
    return float((2 * (told & true).sum(0) / (told.sum(0) + true.sum(0)).clamp(min=1)).mean())
