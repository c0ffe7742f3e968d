"""Using a trained classifier of texts: load a run, tell the classes of new texts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from recur.calibration import Temperature
from recur.data.texts.batches import MAX_TOKENS, TextBatches
from recur.data.texts.examples import LabelledTexts
from recur.errors import OptionError, RunError
from recur.models.texts.bag_of_ngrams import BagOfNgrams
from recur.models.texts.classifier import TextClassifierNetwork
from recur.models.texts.ensemble import TextClassifierEnsemble
from recur.models.texts.options import TextClassifierOptions
from recur.run import RunFolder
from recur.tasks.labels.classes import calibrate
from recur.tasks.labels.outcomes import SeriesOutcomes
from recur.tasks.text_task import TrainedOnTexts
from recur.tasks.texts.decisions import best_thresholds
from recur.tasks.texts.outcomes import TextNetwork, TextOutcomes, collect_outcomes
from recur.tasks.texts.rule import RULE, load_rule, save_rule
from recur.tasks.texts.setup import TextLabelSetup
from recur.wording import enumerated

if TYPE_CHECKING:
    import polars as pl

CALIBRATION = "calibration.safetensors"
"""File of a run with the temperature of its probabilities and the thresholds of its classes."""

LEAST_TO_CALIBRATE = 20
"""Held-out texts that a temperature is fitted to; fewer would say less than the network itself."""


_LEAST_GAIN = 0.01
"""Of the loss on held-out texts: what a linear model has to save to speak."""

_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of a linear model, that are tried."""


class TrainedTextClassifier(TrainedOnTexts[TextNetwork, TextLabelSetup, TextClassifierOptions]):
    """A classifier of texts, with all that it needs to read them and to say how sure it is.

    Args:
        network: Put in evaluation mode.
        setup: How texts become what it reads.
        options: What it was built with.

    Attributes:
        temperature: What its logits are divided by.
        thresholds: From which probability on each class is told, (K,) float64, where a text is of any number of them.
        held_out: Texts of each class that these were fitted to, (K,) int64; None where that is not known.
        is_calibrated: Whether these were fitted to held-out labels.
        rule: A linear model of n-grams that speaks with the network; None where it speaks alone.
        share: By how much, from 0 for not at all to 1.
    """

    task = "classify-text"
    setup_type, options_type, knows = TextLabelSetup, TextClassifierOptions, "vocabulary or classes"

    def __init__(self, network: TextNetwork, setup: TextLabelSetup, options: TextClassifierOptions) -> None:
        super().__init__(network, setup, options)
        self.temperature, self.is_calibrated = Temperature(), False
        self.thresholds = torch.full((len(setup.classes),), 0.5, dtype=torch.float64)
        self.held_out: Tensor | None = None
        self.rule: BagOfNgrams | None = None
        self.share = 0.0

    @staticmethod
    def build(options: TextClassifierOptions, setup: TextLabelSetup) -> TextNetwork:
        """Return the network that recur trains with these options on such texts, its weights freshly drawn."""
        members = [
            TextClassifierNetwork(options, setup.vocabulary.size, len(setup.classes), is_multi=setup.is_multi)
            for _ in range(options.members or 1)
        ]
        network = members[0] if len(members) == 1 else TextClassifierEnsemble(members)
        network.fit_classes(torch.tensor(setup.counts), setup.num_texts)
        return network

    # --- files ---

    def _load_more(self, folder: RunFolder) -> None:
        if not folder.has(CALIBRATION):
            return
        tensors, said = folder.read_tensors_and_metadata(CALIBRATION)
        try:
            # One that was made for other weights, before the training went on, says nothing of these.
            if said.get("weights") == folder.weights_checksum():
                self._take_calibration(tensors)
        except (KeyError, ValueError) as error:
            raise RunError(f"{folder.path / CALIBRATION}: damaged: {error}.") from error
        if self.share:
            self.rule = load_rule(folder, self.setup)
            if self.rule is None:
                raise RunError(f"{folder.path / RULE}: missing, but it speaks with the network; train the run anew.")

    def _save_more(self, folder: RunFolder) -> None:
        self.save_calibration(folder)
        if self.rule is not None:
            save_rule(folder, self.rule, self.setup)

    def save_calibration(self, folder: RunFolder) -> None:
        """Write `calibration.safetensors` into a run folder that has the rest; without a calibration delete it there.

        Raises:
            RunError: It cannot be written.
        """
        if not self.is_calibrated:
            folder.delete(CALIBRATION)
            return
        tensors = {
            "temperature": torch.tensor(self.temperature.value, dtype=torch.float64),
            "thresholds": self.thresholds.contiguous(),
            "share": torch.tensor(self.share, dtype=torch.float64),
        }
        if self.held_out is not None:
            tensors["held_out"] = self.held_out
        weights = folder.weights_checksum()
        folder.write_tensors(CALIBRATION, tensors, metadata=None if weights is None else {"weights": weights})

    def _take_calibration(self, saved: Mapping[str, Tensor]) -> None:
        value, thresholds, share = float(saved["temperature"]), saved["thresholds"], float(saved["share"])
        if not 0 < value < np.inf:
            raise ValueError(f"the temperature is {value}, expected a number above 0")
        if thresholds.shape != self.thresholds.shape or not bool(((thresholds >= 0) & (thresholds <= 1)).all()):
            raise ValueError(f"expected a threshold from 0 to 1 for each of {len(self.thresholds)} classes")
        # Runs of earlier versions lack them.
        held_out = saved.get("held_out")
        if held_out is not None and held_out.shape != thresholds.shape:
            raise ValueError(f"expected a number of texts for each of {len(self.thresholds)} classes")
        if not 0 <= share <= 1:
            raise ValueError(f"the share of the linear model is {share}, expected a number from 0 to 1")
        self.temperature.load_state_dict({"value": value})
        self.share = share
        self.thresholds, self.held_out, self.is_calibrated = thresholds.double(), held_out, True

    # --- telling ---

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.setup.classes

    def predict(self, data: Any, *, batch_size: int = 64) -> pl.DataFrame:
        """Return the class of each text, or its classes.

        Args:
            data: A list of texts, also an array or a column of them; or what `recur.data.texts.read_labelled_texts`
                takes, such as a file or a dataframe, whose labels are not looked at.
            batch_size: Texts at once; changes memory, not what is told.

        Returns:
            A row for each text, also for one that is empty, of which is told as little as can be: `text`, as it was
            read; the class in a column called as the label is, with its `probability`, or a list of
            classes; and the probability of each class K in `p(K)`, float32.

        Raises:
            DataError: The data cannot be read.
        """
        import polars as pl

        examples = self.setup.read(data, has_labels=False)
        probability = self.probabilities(self.outcomes(examples, batch_size=batch_size).logits)
        told = self.told(probability)
        cells: dict[str, Any] = {"text": pl.Series(examples.texts, dtype=pl.String)}
        if self.setup.is_multi:
            names = [[self.classes[k] for k in row.nonzero()[:, 0].tolist()] for row in told]
            cells[self.setup.label] = pl.Series(names, dtype=pl.List(pl.String))
        else:
            best = probability.argmax(1)
            cells[self.setup.label] = pl.Series([self.classes[k] for k in best.tolist()], dtype=pl.String)
            cells["probability"] = probability.gather(1, best[:, None])[:, 0].numpy()
        for k, name in enumerate(self.classes):
            cells[f"p({name})"] = probability[:, k].contiguous().numpy()
        return pl.DataFrame(cells)

    def explain(self, data: Any, *, label: str | None = None) -> pl.DataFrame:
        """Return what each token of each text contributes to the class that is told, in nats of its log-odds.

        By integrated gradients (Sundararajan et al. 2017), and by its weights of a linear model that speaks too: each
        text is told apart from one of as many tokens that the model does not know, whose contributions are therefore 0.
        Over a text, contributions add up to the log-odds of the class less those of a text of unknown tokens.

        Args:
            data: As of `predict`.
            label: A class that is explained in place of the one that is told; where a text is of any number of classes
                each one that is told is explained, or the likeliest where none is.

        Returns:
            A row for each token of each text and class explained: `number` of the text, from 1 on; `token`, as it
            stands in the text; where it begins and ends there (`begin`, `end`, in characters, of the text in its normal
            form of Unicode); the `class`; and the `contribution`, float64.

        Raises:
            DataError: The data cannot be read.
            OptionError: There is no such class.
        """
        import polars as pl

        from recur.tasks.texts.explanation import explain_texts

        if label is not None and label not in self.classes:
            near = difflib.get_close_matches(label, self.classes, n=1)
            others = f"did you mean {near[0]!r}?" if near else f"there are {enumerated(self.classes)}."
            raise OptionError(f"label: there is no class {label!r}; {others}")
        examples = self.setup.read(data, has_labels=False)
        if label is not None:
            asked = [[self.classes.index(label)]] * len(examples)
        else:
            probability = self.probabilities(self.outcomes(examples).logits)
            told = self.told(probability)
            asked = [
                row.nonzero()[:, 0].tolist() or [best]
                for row, best in zip(told, probability.argmax(1).tolist(), strict=True)
            ]
        numbers = [number for number, classes in enumerate(asked) for _ in classes]
        texts = [examples.texts[number] for number in numbers]
        found = explain_texts(self, texts, [code for classes in asked for code in classes])
        rows = [
            (number + 1, one.text[piece.begin : piece.end], piece.begin, piece.end, one.label, share)
            for number, one in zip(numbers, found, strict=True)
            for piece, share in zip(one.pieces, one.shares.tolist(), strict=True)
        ]
        columns = {"number": pl.Int64, "token": pl.String, "begin": pl.Int64, "end": pl.Int64, "class": pl.String}
        return pl.DataFrame(rows, schema=columns | {"contribution": pl.Float64}, orient="row")

    @property
    def lets_ngrams_speak(self) -> bool:
        """Whether a linear model may speak too: not where classes are weighed, as it would undo that."""
        return self.options.ngrams and self.options.class_weights == "none"

    def outcomes(
        self, examples: LabelledTexts, *, batch_size: int = 64, alone: TextOutcomes | None = None
    ) -> TextOutcomes:
        """Return what is said of texts before it is calibrated, beside their labels.

        Args:
            examples: The texts.
            batch_size: Texts at once.
            alone: As of `outcomes_alone`, where that is known.
        """
        found = alone or self.outcomes_alone(examples, batch_size=batch_size)
        if self.rule is None:
            return found
        return replace(found, logits=self.mixed(found.logits, self.rule.evidence(self.setup.encoded(examples.texts))))

    def outcomes_alone(self, examples: LabelledTexts, *, batch_size: int = 64) -> TextOutcomes:
        """Return what the network says of texts by itself, beside their labels."""
        target, weight = self.setup.targets(examples)
        encoded = self.setup.encoded(examples.texts)
        batches = TextBatches(encoded, target, weight, batch_size=batch_size, max_tokens=4 * MAX_TOKENS)
        return collect_outcomes(self.network, batches)

    def mixed(self, logits: Tensor, evidence: Tensor) -> Tensor:
        """Return what the network and the linear model say together: the mean of their log-probabilities by `share`.

        Source: products of experts, Hinton (1999).

        Args:
            logits: Of the network, (N, K).
            evidence: Of the linear model, likewise.
        """
        evidence = evidence.to(logits)
        if not self.setup.is_multi:
            logits, evidence = logits.log_softmax(-1), evidence.log_softmax(-1)
        return torch.lerp(logits, evidence, self.share)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the calibrated probabilities by the logits of `outcomes`, (N, K): likewise, float32."""
        scaled = self.temperature(logits.double())
        return (scaled.sigmoid() if self.setup.is_multi else scaled.softmax(-1)).float()

    def told(self, probability: Tensor) -> Tensor:
        """Return which classes are told by their probabilities, (N, K) bool."""
        if self.setup.is_multi:
            return probability.double() >= self.thresholds
        best = probability.argmax(1)
        return torch.arange(probability.shape[1]) == best[:, None]

    def calibrate(self, examples: LabelledTexts, rule: BagOfNgrams | None = None) -> None:
        """Fit how sure it is, where it decides, and the share of a linear model, to held-out texts.

        Of fewer than `LEAST_TO_CALIBRATE` nothing is learnt, and what was learnt before is forgotten. Texts of a class
        that the training part does not have say nothing. The linear model speaks if that saves a hundredth of the loss.

        Args:
            examples: Texts that the network was not trained on.
            rule: What may speak with the network, likewise.
        """
        self.rule, self.share, self.is_calibrated, self.temperature = None, 0.0, False, Temperature()
        self.thresholds, self.held_out = torch.full_like(self.thresholds, 0.5), None
        outcomes = self.outcomes_alone(examples)
        counts = outcomes.weight > 0
        if not self.setup.is_multi:
            counts &= torch.tensor(self.setup.counts)[outcomes.target.clamp(min=0)] > 0
        alone = outcomes.taken(counts)
        if len(alone.weight) < LEAST_TO_CALIBRATE:
            return
        best, found = alone, self._fitted(alone)
        if rule is not None:
            evidence = rule.evidence(self.setup.encoded(examples.texts))[counts]
            most = (1 - _LEAST_GAIN) * found.loss
            for share in _SHARES:
                self.share = share
                together = replace(alone, logits=self.mixed(alone.logits, evidence))
                fitted = self._fitted(together)
                if fitted.loss < min(found.loss, most):
                    best, found, self.rule = together, replace(fitted, share=share), rule
        self.temperature, self.share = found.temperature, found.share
        if self.setup.is_multi:
            found_thresholds = best_thresholds(self.probabilities(best.logits).double(), best.target)
            # Of a class that it never saw nothing is known, however often held-out texts have it.
            self.thresholds = torch.where(torch.tensor(self.setup.counts) > 0, found_thresholds, 1.0)
            self.held_out = best.target.long().sum(0)
        self.is_calibrated = True

    def _fitted(self, outcomes: TextOutcomes) -> _Fitted:
        """Return the temperature of outcomes that count, and the loss that is left with it."""
        decisions = as_series(decisions_of(outcomes) if self.setup.is_multi else outcomes)
        temperature = calibrate(decisions)
        loss = cross_entropy(temperature(decisions.output.double()), decisions.target)
        return _Fitted(temperature, float(loss))


@dataclass(frozen=True)
class _Fitted:
    """How sure a classifier is, and the loss on held-out texts with that."""

    temperature: Temperature
    loss: float
    share: float = 0.0


def decisions_of(outcomes: TextOutcomes) -> TextOutcomes:
    """Return answers about texts of any number of classes as N times K decisions, no or yes, by themselves."""
    logits = outcomes.logits.flatten()
    return TextOutcomes(
        logits=torch.stack([torch.zeros_like(logits), logits], 1),
        target=outcomes.target.long().flatten(),
        weight=outcomes.weight[:, None].expand_as(outcomes.logits).flatten(),
    )


def as_series(outcomes: TextOutcomes) -> SeriesOutcomes:
    """Return answers about texts as answers about series of one label each, which are judged alike."""
    number = torch.arange(len(outcomes.weight))
    return SeriesOutcomes(
        output=outcomes.logits,
        target=outcomes.target,
        weight=outcomes.weight,
        is_bound=torch.zeros_like(outcomes.weight, dtype=torch.bool),
        series=number,
        row=torch.zeros_like(number),
    )
