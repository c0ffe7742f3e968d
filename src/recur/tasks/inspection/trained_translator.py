"""What is inside a trained translator while it reads a text, and while it writes another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recur.data.texts.examples import TextPairs
from recur.data.texts.pair_batches import PairBatch
from recur.gradients import Deletion, Training
from recur.gradients.probes.sequence_model import held_still
from recur.models.layer_recording import LayerRecording
from recur.models.texts.translator import TranslatorNetwork
from recur.run import checksum
from recur.tasks.inspection.chosen_example import Beside, beside_text, chosen_of_data
from recur.tasks.inspection.content import Inspection, Stage, layers_content, properties_content
from recur.tasks.inspection.decoder import decoder_inspection
from recur.tasks.inspection.read_text import ReadText, answer_content, answers_content, reverse_notes
from recur.tasks.inspection.recorded_layers import model_content, recorded_layers
from recur.tasks.inspection.state_reach import state_reach
from recur.tasks.inspection.subject import evenly, of_first_member
from recur.tasks.inspection.unit_search import Property
from recur.tasks.texts.explanation import Explanation
from recur.tasks.translate.explanation import (
    AskedToken,
    check_token_explanations,
    explain_tokens,
    gradient_reach,
)
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.watched import WatchedSearch, watch
from recur.token_ids import END, UNKNOWN
from recur.wording import quantity

_MOST_TOKENS = 6
"""Written tokens that are explained: the ones that were least sure."""

_MOST_MAPPED = 150
"""Tokens of a source, and of what was written, that maps and the tree show."""

_ELSEWHERE, _MOST_TOKENS_ELSEWHERE = 12, 60
"""Other texts by which it is checked whether contributions can be believed, and their tokens."""

_MOST_TRIED = 48
"""Other texts that are tried in all where answers to those are empty."""

_JUDGED, _AT_ONCE = 400, 16
"""Of more pairs so many, evenly from all of them, are looked through for the one whose target is least likely."""

_FIRST = 4
"""Tokens at the beginning of which the vectors are kept."""


def inspect_translator(
    trained: TrainedTranslator,
    data: Any = None,
    *,
    number: int | None = None,
    text: str | None = None,
    title: str = "your text",
    training: Training | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a translator while it reads a text, and while it writes another.

    Of the encoder at every token of the source, and of the decoder at every token that it wrote, every state and gate;
    the units that follow a property; how far the states reach. Beside these where each token looked, how far its
    gradient reaches into the source, which tokens of the source speak for those that were least sure, and all that was
    open in the search. Of an ensemble all members write, look and are explained; states, gates and units are of the
    first.

    Args:
        trained: As `recur.load` returns it.
        data: What its `predict` takes; None for the run's own data, of whose test part a text is looked at.
        number: Which of the pairs, from 1 on, as `predict` counts their sources; None for the one whose target is least
            likely, or the first where no targets are.
        text: A text to look at, in place of one of the data.
        title: What to call it.
        training: What is known of its training, as `recur.tasks.inspection.run_training.training_of_run` finds it.
        seed: Of all that is drawn.
        stage: Called with what is being done.

    Returns:
        What was found inside the encoder, and as its `decoder` what was found inside that.

    Raises:
        DataError: The data cannot be read, have no such text, or the text has no token.
        OptionError: Both a text and data are given.
        RunError: The run's own data cannot be read again, or the network's states are not finite.
    """
    say = stage or (lambda what: None)
    say("choosing what to look at")
    right: str | None = None
    if text is not None:
        beside = beside_text(trained.setup, data, number, noun="text")
    else:
        beside = chosen = chosen_of_data(
            trained.setup,
            data,
            number,
            read_bare=partial(trained.setup.read, has_targets=False),
            answers="targets",
            worst=partial(_worst, trained),
        )
        title, text = chosen.example.places[0], chosen.example.sources[0]
        right = chosen.example.targets[0] if chosen.has_answer else None
    source = ReadText.of(title, text, trained.setup.source_vocabulary)
    say("writing")
    found = watch(trained, source.text)
    network, batch = trained.networks[0], found.batch
    with torch.no_grad():
        vectors = network.source_embedding(batch.x.t())

    def read() -> object:
        return network.encoder(vectors, lengths=batch.lengths)

    with held_still(network):
        say("reading the text")
        layers = recorded_layers(network, read, len(source.pieces))
        say("looking at the Jacobians of its states")
        reach, diagnosis = state_reach(network, read, training or Training(), seed=seed)
    written = found.hypotheses[0].tokens
    say("asking which words of the source speak for what was written")
    asked, explained = _explained(trained, source, found)
    check, unchecked = _checked(trained, beside, seed)
    gradient = gradient_reach(trained, batch, written[:_MOST_MAPPED]) if written else None
    say("searching for units that follow a property")
    searched, property_tensors = properties_content(layers, _properties(source, found), seed)
    described, layer_tensors = layers_content(layers)
    content = source.content(torch.nonzero(batch.x[0] == UNKNOWN)[:, 0].tolist()) | {
        "weights": checksum(trained.network.state_dict()),
        "model": _model(network, layers, trained.setup.source_vocabulary.size),
        "output": {"title": _seen_by(network), "says": _output_says(network)},
        "layers": described,
        "properties": searched,
        "writing": _writing(trained, source, right, found),
        "answers": answers_content(
            _answers(found, asked, explained),
            asked="a token that was written",
            notes=[*beside.notes, *_answer_notes(trained, layers)],
            check=check,
            unchecked=unchecked,
        ),
        "probe": reach,
        "diagnosis": diagnosis,
    }
    say("looking into the decoder")
    tensors = layer_tensors | property_tensors | {"first.embedding": vectors[:_FIRST, 0].float().cpu()}
    if explained:
        tensors["answers.shares"] = torch.from_numpy(np.stack([one.shares for one in explained])[:, :, None]).float()
    return Inspection(
        content=content,
        tensors=tensors | _maps(found, gradient),
        decoder=decoder_inspection(trained, found, training or Training(), seed=seed),
    )


@torch.no_grad()
def _worst(trained: TrainedTranslator, examples: TextPairs) -> int:
    """Return the pair whose target is least likely by its token."""
    device = next(trained.network.parameters()).device
    places = evenly(len(examples), _JUDGED)
    some = examples.take(places)
    losses = np.zeros(len(some))
    for batch in trained.batches(some.sources, some.targets, batch_size=_AT_ONCE):
        own = batch.to(device)
        said = trained.target_log_probs(own)
        # First come those that targets begin with, then the second ones, and so on.
        row = (torch.arange(own.y.shape[1], device=device)[:, None] < own.y_lengths).nonzero()[:, 1]
        nats = -said.new_zeros(len(own.y)).index_add(0, row, said) / own.y_lengths
        losses[batch.index.numpy()] = nats.cpu().double().numpy()
    return int(places[int(np.where(np.isfinite(losses), losses, np.inf).argmax())])


def _explained(
    trained: TrainedTranslator, source: ReadText, found: WatchedSearch
) -> tuple[list[int], list[Explanation]]:
    """Return the places of the tokens that are explained, and what speaks for each."""
    best, told = found.hypotheses[0], found.translations[0]
    # Each node is a token of the best: how likely it was after those before.
    chances = _chances(found)
    places = sorted(range(len(best.tokens)), key=lambda place: chances[place])[:_MOST_TOKENS]
    places.sort()
    if not places:
        return [], []
    asked = [AskedToken(best.tokens[:place], best.tokens[place]) for place in places]
    names = [told.tokens[place] for place in places]
    return places, explain_tokens(trained, source.text, source.pieces, found.batch, asked, names)


def _chances(found: WatchedSearch) -> list[float]:
    """Return the log-probability of each token of the best answer after those before it."""
    way = []
    at: int | None = found.ends[0]
    while at is not None:
        way.append(found.nodes[at].log_prob)
        at = found.nodes[at].parent
    way.reverse()
    steps = [after - before for before, after in pairwise(way)]
    # Of an answer whose last token was never open nothing is known of that.
    return [*steps, *[0.0] * (len(found.hypotheses[0].tokens) - len(steps))]


def _checked(trained: TrainedTranslator, beside: Beside[TextPairs], seed: int) -> tuple[Deletion | None, str]:
    """Return whether what is said to contribute to a token does so, of other texts; or None, and why not."""
    if beside.others is None:
        return None, beside.unchecked
    others = beside.others.sources
    counts = [len(trained.setup.source_vocabulary.encode(text)) for text in others]
    fit = [text for text, count in zip(others, counts, strict=True) if 2 <= count <= _MOST_TOKENS_ELSEWHERE]
    if len(fit) < 2:
        return None, f"there are too few other texts of 2 to {_MOST_TOKENS_ELSEWHERE} tokens"
    usual = evenly(len(fit), _ELSEWHERE).tolist()
    further = [place for place in evenly(len(fit), _MOST_TRIED).tolist() if place not in usual]
    searches: list[WatchedSearch] = []
    for number, place in enumerate([*usual, *further]):
        if number >= len(usual) and len(searches) > 1:
            break
        one = watch(trained, fit[place])
        if one.hypotheses[0].tokens:
            searches.append(one)
    if len(searches) < 2:
        tried = quantity(len(usual) + len(further), "other text")
        return None, f"of {tried} the answers are empty, {'but for one' if searches else 'all of them'}"
    batch = _together([one.batch for one in searches])
    asked = []
    for one in searches:
        tokens, chances = one.hypotheses[0].tokens, _chances(one)
        place = min(range(len(tokens)), key=chances.__getitem__)
        asked.append(AskedToken(tokens[:place], tokens[place]))
    return check_token_explanations(trained, batch, asked, seed=seed), ""


def _together(batches: Sequence[PairBatch]) -> PairBatch:
    """Return batches of one row as one, padded on the right."""

    def padded(rows: Sequence[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence([row[0] for row in rows], batch_first=True, padding_value=END)

    copies = [one.copies for one in batches if one.copies is not None]
    return PairBatch(
        x=padded([one.x for one in batches]),
        lengths=torch.cat([one.lengths for one in batches]),
        y=padded([one.y for one in batches]),
        y_lengths=torch.cat([one.y_lengths for one in batches]),
        copies=padded(copies) if copies else None,
        index=torch.arange(len(batches)),
    )


def _properties(source: ReadText, found: WatchedSearch) -> list[Property]:
    """Return what units are searched for: what is true of the text, and how much each token was looked at."""
    looked = found.hypotheses[0].attention
    if looked is None or not len(looked):
        return source.properties()
    values = looked.sum(0).double().cpu().numpy()
    return [*source.properties(), Property(key="looked_at", name="is looked at", kind="number", values=values)]


def _model(network: TranslatorNetwork, layers: Sequence[LayerRecording], size: int) -> dict[str, Any]:
    found = model_content(network, layers, vocabulary_size=size, embedding_size=network.source_embedding.embedding_dim)
    return found | {"name": f"The encoder of a translator, {found['name']}"}


def _seen_by(network: TranslatorNetwork) -> str:
    return "decoder" if network.attention is None else "attention"


def _output_says(network: TranslatorNetwork) -> str:
    begun = "The decoder begins with what the last states become, by a linear layer and tanh."
    if network.attention is None:
        return begun
    return f"{begun} At each token that it writes it looks at the states of all tokens, by an attention."


def _writing(trained: TrainedTranslator, source: ReadText, right: str | None, found: WatchedSearch) -> dict[str, Any]:
    """Return what was written and how it was searched for, as it stands in `inspect.json`."""
    best = found.translations[0]
    kept = [place for place, node in enumerate(found.nodes) if node.step <= _MOST_MAPPED]
    # Parents have smaller steps, so that what is kept keeps its parents.
    number = {place: at for at, place in enumerate(kept)}
    decoding = trained.decoding
    return {
        "source": [source.shown(place) for place in range(min(len(source.pieces), _MOST_MAPPED))],
        "written": list(best.tokens[:_MOST_MAPPED]),
        "right": right,
        "beams": decoding.beams,
        "length_penalty": decoding.length_penalty,
        "answers": [
            {
                "text": one.text,
                "score": one.score,
                "log_prob": one.log_prob,
                "ended": one.ended,
                "end": number.get(end),
            }
            for one, end in zip(found.translations, found.ends, strict=True)
            if np.isfinite(one.score)
        ],
        "tree": [
            {
                "parent": None if node.parent is None else number[node.parent],
                "token": node.token,
                "log_prob": round(node.log_prob, 4),
                "continued": node.was_continued,
            }
            for node in (found.nodes[place] for place in kept)
        ],
    }


def _maps(found: WatchedSearch, gradient: Tensor | None) -> dict[str, Tensor]:
    """Return where each written token looked, and how far its gradient reaches, (T, S)."""
    looked = found.hypotheses[0].attention
    maps = {"writing.attention": looked, "writing.gradient": gradient}
    return {
        name: values[:_MOST_MAPPED, :_MOST_MAPPED].float().cpu().contiguous()
        for name, values in maps.items()
        if values is not None and values.numel()
    }


def _answers(found: WatchedSearch, asked: Sequence[int], explained: Sequence[Explanation]) -> list[dict[str, Any]]:
    """Return what was written and what contributes to it, as it stands in `inspect.json`."""
    chances = _chances(found)
    return [
        answer_content(
            one,
            name=f"token {place + 1}, {one.label}",
            said=f"probability {float(np.exp(chances[place])):.1%} after those before it",
            came="",
        )
        for place, one in zip(asked, explained, strict=True)
    ]


def _answer_notes(trained: TrainedTranslator, layers: Sequence[LayerRecording]) -> list[str]:
    members = len(trained.networks)
    notes = [*reverse_notes(layers), *([of_first_member(members)] if members > 1 else [])]
    if trained.trigrams is not None:
        notes.append(
            f"{trained.trigrams.note()}; what is written and contributes is of both, all else is of the network"
        )
    return notes
