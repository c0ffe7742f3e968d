"""What is inside a trained classifier of texts while it reads one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recur.data.texts.examples import LabelledTexts
from recur.gradients import Deletion, Training
from recur.gradients.probes.sequence_model import held_still
from recur.models.layer_recording import LayerRecording
from recur.models.texts.ensemble import TextClassifierEnsemble
from recur.run import checksum
from recur.tasks.inspection.chosen_example import Beside, beside_text, chosen_of_data
from recur.tasks.inspection.content import Inspection, Stage, layers_content, properties_content
from recur.tasks.inspection.read_text import ReadText, answer_content, answers_content, reverse_notes
from recur.tasks.inspection.recorded_layers import model_content, recorded_layers
from recur.tasks.inspection.state_reach import state_reach
from recur.tasks.inspection.subject import evenly, of_first_member
from recur.tasks.inspection.unit_search import Property
from recur.tasks.texts.explanation import Explanation, check_explanations, embedded, explain_texts
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.token_ids import UNKNOWN, Ragged

_MOST_CLASSES = 4
"""Classes that are explained: those that are told, the true ones, and the likeliest others."""

_ELSEWHERE = 24
"""Other texts by which it is checked whether contributions can be believed."""

_MOST_TOKENS_ELSEWHERE = 200

_FIRST = 4
"""Tokens at the beginning of which the vectors are kept."""


def inspect_text_classifier(
    trained: TrainedTextClassifier,
    data: Any = None,
    *,
    number: int | None = None,
    text: str | None = None,
    title: str = "your text",
    training: Training | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a classifier of texts while it reads one.

    Every state and gate of its layers at every token; what each token contributes to the classes that are told and to
    the likeliest others; where its attention lies, if it has one; the units that follow a property of the text; how far
    its states reach. Of an ensemble all members speak, and contributions and attention are of all; states, gates and
    units are of the first.

    Args:
        trained: As `recur.load` returns it.
        data: What its `predict` takes; None for the run's own data, of whose test part a text is looked at.
        number: Which of the texts, from 1 on, as `predict` counts them; None for the one that was told worst, or the
            first where no labels are.
        text: A text to look at, in place of one of the data.
        title: What to call it.
        training: What is known of its training, as `recur.tasks.inspection.run_training.training_of_run` finds it.
        seed: Of all that is drawn.
        stage: Called with what is being done.

    Raises:
        DataError: The data cannot be read, have no such text, or the text has no token.
        OptionError: Both a text and data are given.
        RunError: The run's own data cannot be read again, or the network's states are not finite.
    """
    say = stage or (lambda what: None)
    say("choosing what to look at")
    true: tuple[str, ...] | None = None
    if text is not None:
        beside = beside_text(trained.setup, data, number, noun="text")
    else:
        beside = chosen = chosen_of_data(
            trained.setup,
            data,
            number,
            read_bare=partial(trained.setup.read, has_labels=False),
            answers="labels",
            worst=partial(_worst, trained),
        )
        title, text, true = chosen.example.places[0], chosen.example.texts[0], chosen.example.labels[0]
    vocabulary = trained.setup.vocabulary
    read_text = ReadText.of(title, text, vocabulary)
    whole, count = read_text.text, len(read_text.pieces)
    ids = vocabulary.encode(whole)[:count]
    vectors, _, lengths = embedded(trained, [ids])
    model = trained.network
    network = model.networks[0] if isinstance(model, TextClassifierEnsemble) else model
    x = torch.from_numpy(ids.astype(np.int64))[None].to(lengths.device)

    def read() -> Tensor:
        features: Tensor = network.encoder(x, lengths)
        return features

    with held_still(model):
        say("reading the text")
        layers = recorded_layers(network, read, count)
        with torch.no_grad():
            logits = model.read(vectors.transpose(0, 1), lengths).cpu()
            attention = model.attention(vectors.transpose(0, 1), lengths)
            first = network.embedded(x)[:_FIRST, 0].float().cpu()
    if trained.rule is not None:
        logits = trained.mixed(logits, trained.rule.evidence(Ragged.of([ids])))
    probability = trained.probabilities(logits)
    codes = _codes(trained, probability, true)
    say("asking which words speak for a class")
    found = explain_texts(trained, [whole] * len(codes), codes)
    check = _checked(trained, beside, seed)
    say("looking at the Jacobians of its states")
    with held_still(network):
        reach, diagnosis = state_reach(network, read, training or Training(), seed=seed)
    say("searching for units that follow a property")
    searched, property_tensors = properties_content(layers, _properties(read_text, found), seed)
    described, layer_tensors = layers_content(layers)
    content = read_text.content(np.flatnonzero(ids == UNKNOWN).tolist()) | {
        "weights": checksum(model.state_dict()),
        "model": model_content(
            network, layers, vocabulary_size=vocabulary.size, embedding_size=network.encoder.embedding.embedding_dim
        ),
        "layers": described,
        "properties": searched,
        "answers": _answers(trained, true, beside, probability[0], codes, found, check, layers),
        "probe": reach,
        "diagnosis": diagnosis,
    }
    shares = np.stack([one.shares for one in found])[:, :, None]
    tensors = {"answers.shares": torch.from_numpy(shares).float(), "first.embedding": first}
    if attention is not None:
        tensors["answers.attention"] = attention[:, 0].float().cpu()
    return Inspection(content=content, tensors=layer_tensors | property_tensors | tensors)


def _worst(trained: TrainedTextClassifier, examples: LabelledTexts) -> int | None:
    """Return the text whose labels were told worst."""
    outcomes = trained.outcomes(examples)
    counts = outcomes.weight > 0
    if not bool(counts.any()):
        return None
    logits = trained.temperature(outcomes.logits.double())
    if trained.setup.is_multi:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, outcomes.target.double(), reduction="none"
        ).mean(1)
    else:
        loss = torch.nn.functional.cross_entropy(logits, outcomes.target, reduction="none")
    return int(torch.where(counts, loss, -torch.inf).argmax())


def _codes(trained: TrainedTextClassifier, probability: Tensor, true: tuple[str, ...] | None) -> list[int]:
    """Return the classes that are explained."""
    likely = probability[0].argsort(descending=True, stable=True).tolist()
    told = trained.told(probability)[0].tolist()
    first = [code for code in likely if told[code]]
    chosen = dict.fromkeys([*first, *(trained.classes.index(name) for name in true or ()), *likely])
    # Of two classes the log-odds of one are those of the other with the other sign.
    is_alone = len(likely) == 2 and not trained.setup.is_multi
    return list(chosen)[: 1 if is_alone else _MOST_CLASSES]


def _checked(trained: TrainedTextClassifier, beside: Beside[LabelledTexts], seed: int) -> Deletion | None:
    """Return whether what is said to contribute to the class told does so, of other texts."""
    if beside.others is None:
        return None
    counts = [len(trained.setup.vocabulary.encode(text)) for text in beside.others.texts]
    fit = [place for place, count in enumerate(counts) if 2 <= count <= _MOST_TOKENS_ELSEWHERE]
    if len(fit) < 2:
        return None
    some = beside.others.take([fit[place] for place in evenly(len(fit), _ELSEWHERE)])
    told = trained.outcomes(some).logits.argmax(1)
    return check_explanations(trained, some.texts, told.tolist(), seed=seed)


def _properties(text: ReadText, found: Sequence[Explanation]) -> list[Property]:
    """Return what units are searched for: what is true of the text, and how each token speaks for the first class."""
    first = found[0]
    speaks = Property(key="speaks", name=f"speaks for {first.label}", kind="number", values=first.shares)
    return [*text.properties(), speaks]


def _answers(
    trained: TrainedTextClassifier,
    true: tuple[str, ...] | None,
    beside: Beside[LabelledTexts],
    probability: Tensor,
    codes: Sequence[int],
    found: Sequence[Explanation],
    check: Deletion | None,
    layers: Sequence[LayerRecording],
) -> dict[str, Any]:
    """Return what is said and what contributes to it, as it stands in `inspect.json`."""
    notes = [*beside.notes, *reverse_notes(layers)]
    if trained.rule is not None:
        notes.append(
            f"a linear model of n-grams speaks with the network, by {trained.share:.0%}; answers and contributions are "
            "of both, all else is of the network"
        )
    if isinstance(trained.network, TextClassifierEnsemble):
        notes.append(of_first_member(len(trained.network.members)))
    told = trained.told(probability[None])[0].tolist()
    answers = [
        answer_content(
            one,
            name=f"class {one.label}",
            said=f"probability {float(probability[code]):.1%}" + (", told" if told[code] else ""),
            came="" if true is None else "a true class" if one.label in true else "not true",
        )
        for code, one in zip(codes, found, strict=True)
    ]
    return answers_content(answers, asked="a class of the text", notes=notes, check=check, unchecked=beside.unchecked)
