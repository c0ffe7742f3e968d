"""What is inside a trained classifier of texts while it reads one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recur.data.texts.examples import LabelledTexts
from recur.data.texts.vocabulary import UNKNOWN, Piece
from recur.errors import DataError, OptionError, RunError
from recur.gradients import Deletion, Training
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import FORMAT, MAX_SYMBOLS
from recur.models.layer_recording import LayerRecording
from recur.models.texts.ensemble import TextClassifierEnsemble
from recur.run import checksum
from recur.tasks.inspection.recorded_layers import model_content, recorded_layers
from recur.tasks.inspection.state_reach import state_reach
from recur.tasks.inspection.subject import evenly, of_first_member
from recur.tasks.inspection.text import Inspection, Stage, layers_content, properties_content
from recur.tasks.inspection.text_properties import text_properties
from recur.tasks.inspection.unit_search import Property
from recur.tasks.text_source import parts_of
from recur.tasks.texts.explanation import Explanation, check_explanations, embedded, explain_texts
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.wording import option, quantity

_MOST_CLASSES = 4
"""Classes that are explained: those that are told, the true ones, and the likeliest others."""

_ELSEWHERE = 24
"""Other texts by which it is checked whether contributions can be believed."""

_MOST_TOKENS_ELSEWHERE = 200

_OF_CHARACTERS = ("line_start", "word_start", "word_end", "white_space", "vowel", "position_in_word")
"""Properties that say nothing of whole words."""

_WORDS = 5
"""Words that are listed for a class, and against it."""

_FIRST = 4
"""Tokens at the beginning of which the vectors are kept."""

_UNITS = {"word": "word", "space": "word", "character": "character", "bpe": "token"}


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """A text that is looked at.

    Attributes:
        text: The text.
        title: What it is.
        true: Its classes; None where they are not known.
        others: Texts that may be looked at beside it; None where there are none.
        unchecked: Why there are none.
        notes: What a reader has to know.
    """

    text: str
    title: str
    true: tuple[str, ...] | None = None
    others: LabelledTexts | None = None
    unchecked: str = "there are too few other texts"
    notes: tuple[str, ...] = ()


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
        number: Which of the texts, from 1 on; None for the one that was told worst, or the first where no labels are.
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
    chosen = _own_text(trained, text, title, data, number) if text is not None else _of_data(trained, data, number)
    vocabulary = trained.setup.vocabulary
    whole, pieces = vocabulary.normalised(chosen.text), vocabulary.cut(chosen.text)
    unit = _UNITS[vocabulary.kind]
    if not pieces:
        raise DataError(f"{chosen.title}: has no {unit} that could be read; give a text with at least one.")
    cut = ""
    if len(pieces) > MAX_SYMBOLS:
        cut = f"the first {MAX_SYMBOLS:,} of {quantity(len(pieces), unit)}, as if it ended there"
        whole = whole[: pieces[MAX_SYMBOLS].begin]
        pieces = pieces[:MAX_SYMBOLS]
    ids = vocabulary.encode(whole)[: len(pieces)]
    vectors, _, lengths = embedded(trained, [ids])
    model = trained.network
    network = model.networks[0] if isinstance(model, TextClassifierEnsemble) else model
    x = torch.from_numpy(ids.astype(np.int64))[None].to(lengths.device)

    def read() -> Tensor:
        features: Tensor = network.encoder(x, lengths)
        return features

    with held_still(model):
        say("reading the text")
        layers = recorded_layers(network, read, len(pieces))
        with torch.no_grad():
            logits = model.read(vectors.transpose(0, 1), lengths).cpu()
            attention = model.attention(vectors.transpose(0, 1), lengths)
            first = network.embedded(x)[:_FIRST, 0].float().cpu()
    probability = trained.probabilities(logits)
    codes = _codes(trained, probability, chosen.true)
    say("asking which words speak for a class")
    found = explain_texts(trained, [whole] * len(codes), codes)
    check = _checked(trained, chosen, seed)
    say("looking at the Jacobians of its states")
    with held_still(network):
        reach, diagnosis = state_reach(network, read, training or Training(), seed=seed)
    say("searching for units that follow a property")
    searched, property_tensors = properties_content(layers, _properties(whole, pieces, unit, found), seed)
    described, layer_tensors = layers_content(layers)
    unknown = Counter(whole[one.begin : one.end] for one, token in zip(pieces, ids, strict=True) if token == UNKNOWN)
    content = {
        "format": FORMAT,
        "kind": "text",
        "title": chosen.title,
        "cut": cut,
        "weights": checksum(model.state_dict()),
        "unit": unit,
        "symbols": [whole[one.begin : one.end] or one.text for one in pieces],
        "between": _between(whole, pieces),
        "unknown": [{"symbol": symbol, "count": count} for symbol, count in unknown.items()],
        "losses": [None] * len(pieces),
        "model": model_content(
            network, layers, vocabulary_size=vocabulary.size, embedding_size=network.encoder.embedding.embedding_dim
        ),
        "layers": described,
        "properties": searched,
        "answers": _answers(trained, chosen, probability[0], codes, found, check, layers),
        "probe": reach,
        "diagnosis": diagnosis,
    }
    shares = np.stack([one.shares for one in found])[:, :, None]
    tensors = {"answers.shares": torch.from_numpy(shares).float(), "first.embedding": first}
    if attention is not None:
        tensors["answers.attention"] = attention[:, 0].float().cpu()
    return Inspection(content=content, tensors=layer_tensors | property_tensors | tensors)


def _own_text(trained: TrainedTextClassifier, text: str, title: str, data: Any, number: int | None) -> _Chosen:
    """Return a text that was given by itself; what is beside it are those of the run."""
    for name, value in (("data", data), ("number", number)):
        if value is not None:
            raise OptionError(f"{name}: would be ignored, for the text itself is given; leave {option(name)} out.")
    try:
        return _Chosen(text=text, title=title, others=_held_out(trained))
    except (DataError, RunError) as error:
        return _Chosen(text=text, title=title, unchecked=f"the run's own texts are not there: {error}".rstrip("."))


def _held_out(trained: TrainedTextClassifier) -> LabelledTexts:
    parts = parts_of(trained.setup.own_examples())
    return next(one for one in (parts["test"], parts["valid"], parts["train"]) if len(one))


def _of_data(trained: TrainedTextClassifier, data: Any, number: int | None) -> _Chosen:
    notes: tuple[str, ...] = ()
    if data is None:
        examples = _held_out(trained)
    else:
        try:
            examples = trained.setup.read(data)
        except DataError as error:
            # They need not be there.
            examples = trained.setup.read(data, has_labels=False)
            notes = (f"labels were not read: {str(error).rstrip('.')}",)
    if number is not None and not 1 <= number <= len(examples):
        raise DataError(f"number: there is no text {number}; {quantity(len(examples), 'text')}, counted from 1 on.")
    place = _worst(trained, examples) if number is None else number - 1
    return _Chosen(
        text=examples.texts[place],
        title=examples.places[place],
        true=examples.labels[place],
        others=examples.take([one for one in range(len(examples)) if one != place]),
        notes=notes,
    )


def _worst(trained: TrainedTextClassifier, examples: LabelledTexts) -> int:
    """Return the text whose labels were told worst; the first where no labels are known."""
    outcomes = trained.outcomes(examples)
    counts = outcomes.weight > 0
    if not bool(counts.any()):
        return 0
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


def _checked(trained: TrainedTextClassifier, chosen: _Chosen, seed: int) -> Deletion | None:
    """Return whether what is said to contribute to the class told does so, of other texts."""
    if chosen.others is None:
        return None
    counts = [len(trained.setup.vocabulary.encode(text)) for text in chosen.others.texts]
    fit = [place for place, count in enumerate(counts) if 2 <= count <= _MOST_TOKENS_ELSEWHERE]
    if len(fit) < 2:
        return None
    some = chosen.others.take([fit[place] for place in evenly(len(fit), _ELSEWHERE)])
    told = trained.outcomes(some).logits.argmax(1)
    return check_explanations(trained, some.texts, told.tolist(), seed=seed)


def _properties(text: str, pieces: Sequence[Piece], unit: str, found: Sequence[Explanation]) -> list[Property]:
    """Return what units are searched for: what is true of the text, and how each token speaks for the first class."""
    ends = [*(one.begin for one in pieces[1:]), len(text)]
    read = [text[one.begin : max(one.begin, end)] for one, end in zip(pieces, ends, strict=True)]
    # A short text has few of them.
    own = [one for one in text_properties(read) if one.values.any()]
    if unit != "character":
        own = [one for one in own if one.key not in _OF_CHARACTERS]
    first = found[0]
    return [*own, Property(key="speaks", name=f"speaks for {first.label}", kind="number", values=first.shares)]


def _between(text: str, pieces: Sequence[Piece]) -> list[str]:
    """Return what stands after each token and is none; before the first one nothing is shown."""
    begins = [*(one.begin for one in pieces[1:]), len(text)]
    return [text[one.end : max(one.end, begin)] for one, begin in zip(pieces, begins, strict=True)]


def _answers(
    trained: TrainedTextClassifier,
    chosen: _Chosen,
    probability: Tensor,
    codes: Sequence[int],
    found: Sequence[Explanation],
    check: Deletion | None,
    layers: Sequence[LayerRecording],
) -> dict[str, Any]:
    """Return what is said and what contributes to it, as it stands in `inspect.json`."""
    notes = list(chosen.notes)
    if any(layer.name.endswith("_reverse") for layer in layers):
        notes.append(
            "layers whose names end in _reverse read the text from its end; in the drawing they stand above the "
            "others, though both read the same"
        )
    if isinstance(trained.network, TextClassifierEnsemble):
        notes.append(of_first_member(len(trained.network.members)))
    told = trained.told(probability[None])[0].tolist()
    return {
        "asked": "a class of the text",
        "unit": "nats of the log-odds",
        "notes": notes,
        "begin": 0,
        "channels": ["token"],
        "answers": [
            {
                "name": f"class {one.label}",
                "said": f"probability {float(probability[code]):.1%}" + (", told" if told[code] else ""),
                "came": "" if chosen.true is None else "a true class" if one.label in chosen.true else "not true",
                "answer": one.answer,
                "neutral": one.neutral,
                "sum": float(one.shares.sum()),
                "gap": one.gap,
                "by_channel": [float(one.shares.sum())],
                "ahead": [0.0],
                "strongest": {name: one.strongest(_WORDS, sign=sign) for name, sign in (("for", 1), ("against", -1))},
            }
            for code, one in zip(codes, found, strict=True)
        ],
        "check": None if check is None else check.to_json(),
        "unchecked": "" if check is not None else chosen.unchecked,
        "ahead": None,
    }
