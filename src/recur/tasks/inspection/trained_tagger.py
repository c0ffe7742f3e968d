"""What is inside a trained tagger while it reads a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from recur.data.texts.examples import TaggedSentences
from recur.data.texts.raw_sentences import cut_into_words
from recur.data.texts.vocabulary import Piece
from recur.gradients import Deletion, Training
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import MAX_SYMBOLS
from recur.models.layer_recording import LayerRecording
from recur.run import checksum
from recur.tasks.inspection.chosen_example import Beside, beside_text, chosen_of_data
from recur.tasks.inspection.content import Inspection, Stage, layers_content, properties_content
from recur.tasks.inspection.read_text import ReadText, answer_content, answers_content, reverse_notes
from recur.tasks.inspection.recorded_layers import model_content, recorded_layers
from recur.tasks.inspection.state_reach import state_reach
from recur.tasks.inspection.subject import evenly
from recur.tasks.inspection.unit_search import Property
from recur.tasks.tags.explanation import (
    AskedTag,
    batch_of,
    check_tag_explanations,
    explain_tags,
)
from recur.tasks.tags.setup import OUTSIDE
from recur.tasks.tags.telling import Told
from recur.tasks.tags.trained import TrainedTagger
from recur.tasks.texts.explanation import Explanation
from recur.token_ids import UNKNOWN

_MOST_TAGS = 6
"""Tags that are explained: wrong ones, those with which entities begin, and those that are told least surely."""

_ELSEWHERE = 24
"""Other sentences by which it is checked whether contributions can be believed."""

_MOST_TOKENS_ELSEWHERE = 200

_JUDGED = 2_000
"""Of more sentences so many, evenly from all of them, are looked through for the one that was told worst."""

_LISTED = 8
"""Tags whose probabilities are kept of each token."""

_FIRST = 4
"""Tokens at the beginning of which the vectors are kept."""


def inspect_tagger(
    trained: TrainedTagger,
    data: Any = None,
    *,
    number: int | None = None,
    text: str | None = None,
    title: str = "your text",
    training: Training | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a tagger while it reads a sentence.

    Every state and gate of its layers at every token; the tags that are told, and how probable each was; what each
    token contributes to some of them; the units that follow a property of the text or a tag; how far its states reach.

    Args:
        trained: As `recur.load` returns it.
        data: What its `predict` takes; None for the run's own data, of whose test part a sentence is looked at.
        number: Which of the sentences, from 1 on, as `predict` numbers them; None for the one that was told worst, or
            the first where no tags are.
        text: A sentence to look at, in place of one of the data.
        title: What to call it.
        training: What is known of its training, as `recur.tasks.inspection.run_training.training_of_run` finds it.
        seed: Of all that is drawn.
        stage: Called with what is being done.

    Raises:
        DataError: The data cannot be read, have no such sentence, or the text has no token.
        OptionError: Both a text and data are given.
        RunError: The run's own data cannot be read again, or the network's states are not finite.
    """
    say = stage or (lambda what: None)
    say("choosing what to look at")
    true: tuple[str, ...] | None = None
    if text is not None:
        beside = beside_text(trained.setup, data, number, noun="sentence")
        cut = tuple(cut_into_words(text, trained.setup.words))
        sentence = ReadText(title=title, text=text, pieces=cut, unit="word").shortened()
    else:
        beside = chosen = chosen_of_data(
            trained.setup,
            data,
            number,
            read_bare=partial(trained.setup.read, has_tags=False),
            answers="tags",
            worst=partial(_worst, trained),
        )
        sentence = _joined(chosen.example.tokens[0], chosen.example.places[0])
        true = chosen.example.tags[0][:MAX_SYMBOLS] if chosen.has_answer else None
    pieces, model = sentence.pieces, trained.network
    tokens = [piece.text for piece in pieces]
    batch = batch_of(trained, [tokens])
    with torch.no_grad():
        vectors = model.embedded(batch)

    def read() -> object:
        return model.recurrent(vectors, lengths=batch.lengths)

    (told,) = trained.told([tokens])
    with held_still(model):
        say("reading the text")
        layers = recorded_layers(model, read, len(pieces))
        with torch.no_grad():
            chance = model.tag_probability(vectors, batch.lengths)[:, 0].float().cpu()
    say("asking which words speak for a tag")
    asked = _asked(trained, told, true)
    found = explain_tags(trained, sentence.text, pieces, asked)
    check = _checked(trained, beside, seed)
    say("looking at the Jacobians of its states")
    with held_still(model):
        reach, diagnosis = state_reach(model, read, training or Training(), seed=seed)
    say("searching for units that follow a property")
    searched, property_tensors = properties_content(layers, _properties(sentence, told), seed)
    described, layer_tensors = layers_content(layers)
    shares, best = chance.topk(min(_LISTED, len(trained.tags)), dim=1)
    content = sentence.content(torch.nonzero(batch.x[0] == UNKNOWN)[:, 0].tolist()) | {
        "weights": checksum(model.state_dict()),
        "model": model_content(
            model,
            layers,
            vocabulary_size=trained.setup.words.size,
            # What characters add to the table's vectors is in no table.
            embedding_size=model.embedding.embedding_dim if model.characters is None else None,
        ),
        "output": {"title": "tags", "says": _output_says(trained)},
        "layers": described,
        "properties": searched,
        "next": {"vocabulary": list(trained.tags), "of": "tag"},
        "tags": {
            "told": list(told.tags),
            "probability": [round(one, 6) for one in told.probability],
            "true": None if true is None else list(true),
        },
        "answers": _answers(sentence, true, beside, told, asked, found, check, layers),
        "probe": reach,
        "diagnosis": diagnosis,
    }
    tensors = {
        "answers.shares": torch.from_numpy(np.stack([one.shares for one in found])[:, :, None]).float(),
        "first.embedding": vectors[:_FIRST, 0].float().cpu(),
        "next.ids": best.int(),
        "next.probs": shares,
    }
    return Inspection(content=content, tensors=layer_tensors | property_tensors | tensors)


def _joined(tokens: Sequence[str], title: str) -> ReadText:
    """Return tokens that were given as such, with blanks between."""
    ends = list(accumulate(len(token) + 1 for token in tokens))
    pieces = [Piece(token, end - 1 - len(token), end - 1) for token, end in zip(tokens, ends, strict=True)]
    return ReadText(title=title, text=" ".join(tokens), pieces=tuple(pieces), unit="word").shortened()


def _worst(trained: TrainedTagger, examples: TaggedSentences) -> int | None:
    """Return the sentence whose true tags are least likely together, of those whose tags the model knows."""
    places = evenly(len(examples), _JUDGED)
    some = examples.take(places)
    told = trained.told(some.tokens, some.tags)
    known = [
        (one.log_likelihood, int(place))
        for one, place in zip(told, places, strict=True)
        if one.log_likelihood is not None
    ]
    return min(known)[1] if known else None


def _asked(trained: TrainedTagger, told: Told, true: Sequence[str] | None) -> list[AskedTag]:
    """Return the tokens whose tags are explained: wrong ones, which come first, and others, as they stand there."""
    order = sorted(range(len(told.tags)), key=lambda place: told.probability[place])
    wrong = [place for place in order if true is not None and true[place] != told.tags[place]]
    begins = [one.begin for one in told.entities]
    chosen = list(dict.fromkeys([*wrong, *begins, *order]))
    # Where there are entities, what is sure to be outside of them needs no explanation.
    if wrong or begins:
        chosen = [place for place in chosen if place in wrong or told.tags[place] != OUTSIDE]
    chosen = chosen[:_MOST_TAGS]
    chosen.sort(key=lambda place: (place not in wrong, place))
    return [AskedTag(place, trained.tags.index(told.tags[place])) for place in chosen]


def _checked(trained: TrainedTagger, beside: Beside[TaggedSentences], seed: int) -> Deletion | None:
    """Return whether what is said to contribute to a tag does so, of other sentences."""
    if beside.others is None:
        return None
    fit = [tokens for tokens in beside.others.tokens if 2 <= len(tokens) <= _MOST_TOKENS_ELSEWHERE]
    if len(fit) < 2:
        return None
    some = [fit[place] for place in evenly(len(fit), _ELSEWHERE)]
    asked = [_asked(trained, told, None)[0] for told in trained.told(some)]
    return check_tag_explanations(trained, some, asked, seed=seed)


def _properties(text: ReadText, told: Told) -> list[Property]:
    """Return what units are searched for: what is true of the text, and which tag is told."""
    names = sorted(set(told.tags)) if len(set(told.tags)) > 1 else []
    of_tags = [
        Property(
            key=f"tag_{number}",
            name=f"tag {name}",
            kind="binary",
            values=np.array([float(tag == name) for tag in told.tags]),
        )
        for number, name in enumerate(names)
    ]
    return [*text.properties(), *of_tags]


def _output_says(trained: TrainedTagger) -> str:
    scored = f"A linear layer gives each of {len(trained.tags)} tags a score at each word"
    chained = ", and a chain of tags adds what each tag is worth after the one before"
    kept = ". Of the sequences that keep the scheme of the tags the best is told" if trained.setup.scheme else ""
    return f"{scored}{chained if trained.options.output == 'crf' else ''}{kept}."


def _answers(
    sentence: ReadText,
    true: Sequence[str] | None,
    beside: Beside[TaggedSentences],
    told: Told,
    asked: Sequence[AskedTag],
    found: Sequence[Explanation],
    check: Deletion | None,
    layers: Sequence[LayerRecording],
) -> dict[str, Any]:
    """Return what is said and what contributes to it, as it stands in `inspect.json`."""
    answers = []
    for one, explained in zip(asked, found, strict=True):
        came = ""
        if true is not None:
            came = "right" if true[one.place] == explained.label else f"in truth {true[one.place]}"
        # Of the same word there may be several.
        name = f"{explained.label} of word {one.place + 1}, {sentence.shown(one.place)}"
        said = f"probability {told.probability[one.place]:.1%}"
        answers.append(answer_content(explained, name=name, said=said, came=came))
    return answers_content(
        answers,
        asked="a tag",
        notes=[*beside.notes, *reverse_notes(layers)],
        check=check,
        unchecked=beside.unchecked,
    )
