"""What is inside a trained language model, on one text: computed here, drawn by the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.batch import Batch
from recur.gradients import Training
from recur.inspection_format import FORMAT
from recur.run import checksum
from recur.tasks.inspection.content import (
    Inspection,
    Stage,
    layers_content,
    probe_content,
    probed_places,
    properties_content,
)
from recur.tasks.inspection.language_attribution import explain_predictions
from recur.tasks.inspection.language_recording import LanguageRecording, record_text
from recur.tasks.inspection.passage import Passage
from recur.tasks.inspection.text_properties import text_properties
from recur.tasks.inspection.user_labels import Label, label_properties, labels_by_symbol
from recur.tasks.language.trained import TrainedLanguageModel
from recur.wording import cell_name, quantity


def inspect_language_model(
    trained: TrainedLanguageModel,
    passage: Passage,
    *,
    labels: Sequence[Label] | NDArray[Any] | None = None,
    training: Training | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a trained language model while it reads a passage.

    Every state and gate of every layer at every symbol; what the model held for the likeliest next symbols; which
    units follow a property of the text, and whether they do where nobody searched; which earlier symbols its
    predictions rest on, and which of the methods that tell it can be believed; how far the gradient reaches, and what
    is wrong with that.

    Args:
        trained: The model.
        passage: What it reads, as `recur.tasks.inspection.passage.passage_of_text` makes it.
        labels: Labels of your own to search units for, as `recur.tasks.inspection.user_labels` takes them.
        training: What is known of its training, as `recur.tasks.inspection.run_training.training_of_run` finds it.
        seed: Of all that is drawn; the same one gives the same result.
        stage: Called with what is being done.

    Raises:
        RunError: What the model says is not finite.
        DataError: The labels do not fit the text, or each other.
    """
    say = stage or (lambda what: None)
    properties = text_properties(passage.pieces, passage.document_starts)
    if labels is not None:
        properties += label_properties(labels_by_symbol(labels, passage.pieces, passage.num_characters))
    say("reading the text")
    recording = record_text(trained, passage.ids, passage.document_starts)
    say("searching for units that follow a property")
    searched, property_tensors = properties_content(recording.layers, properties, seed)
    say("asking what its predictions rest on")
    attribution = explain_predictions(trained, passage.ids, recording, passage.document_starts, seed=seed)
    say("looking at the gradient through time")
    found, diagnosis = _probe(trained, passage, recording, training or Training(), seed)
    layers, layer_tensors = layers_content(recording.layers)
    content = {
        "format": FORMAT,
        "kind": "text",
        "title": passage.title,
        "cut": passage.cut,
        "weights": checksum(trained.model.state_dict()),
        "unit": passage.unit,
        "symbols": passage.symbols,
        "unknown": [{"symbol": symbol, "count": count} for symbol, count in passage.unknown.items()],
        "losses": [round(loss, 4) for loss in recording.nats.tolist()],
        "model": _model(trained),
        "layers": layers,
        "properties": searched,
        "next": {"vocabulary": list(map(trained.tokenizer.symbol, range(trained.tokenizer.vocabulary_size)))},
        "attribution": attribution.to_json(),
        "probe": found,
        "diagnosis": diagnosis,
    }
    tensors = layer_tensors | property_tensors | _predictions(recording) | attribution.tensors()
    return Inspection(content=content, tensors=tensors)


def _probe(
    trained: TrainedLanguageModel, passage: Passage, recording: LanguageRecording, training: Training, seed: int
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """Return what `probe_content` does of a few pieces of the passage, each from the state that the model has there."""
    places = probed_places(len(passage.ids), training)
    if places is None:
        return None, []
    reset = None
    if passage.document_starts is not None:
        reset = torch.from_numpy(np.isin(places, passage.document_starts))
    batch = Batch(
        x=torch.from_numpy(passage.ids[places]),
        lengths=torch.full(places.shape[:1], places.shape[1]),
        target=torch.from_numpy(passage.ids[places + 1]),
        weight=torch.ones(places.shape),
        index=torch.arange(len(places)),
        reset=reset,
    ).to(trained.device)
    state = recording.state_after((places[:, 0] - 1).tolist(), trained.device)
    return probe_content(trained.model, batch, state, training, seed)


def _predictions(recording: LanguageRecording) -> dict[str, Tensor]:
    return {
        "next.ids": recording.next_ids,
        "next.probs": recording.next_probs,
        "first.embedding": recording.first_embedding,
    }


def _model(trained: TrainedLanguageModel) -> dict[str, Any]:
    model, options = trained.model, trained.model.options
    layers = f"{options.num_layers} x {quantity(int(options.hidden_size or 0), 'unit')}"
    return {
        "name": f"{cell_name(options.cell or '')}, {layers}",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary_size": model.vocabulary_size,
        "embedding_size": options.embedding_size,
        "tied": options.tied,
        "residual": options.residual,
    }
