"""What is inside the decoder of a translator while it writes a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recur.gradients import Training
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import FORMAT, MAX_SYMBOLS
from recur.run import checksum
from recur.tasks.inspection.content import Inspection, layers_content, properties_content
from recur.tasks.inspection.read_text import UNITS
from recur.tasks.inspection.recorded_layers import model_content, recorded_layers
from recur.tasks.inspection.state_reach import state_reach
from recur.tasks.inspection.text_properties import text_properties
from recur.tasks.inspection.unit_search import Property
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.watched import WatchedSearch
from recur.token_ids import END

_BEGIN, _END = "⟨begin⟩", "⟨end⟩"

_LISTED = 8
"""Next tokens whose probabilities are kept."""

_FIRST = 4
"""Tokens at the beginning of which the vectors are kept."""


def decoder_inspection(
    trained: TrainedTranslator, found: WatchedSearch, training: Training, *, seed: int = 0
) -> Inspection:
    """Return what is inside the decoder while it reads its own best answer, token by token.

    Its layers begin with what the encoder hands them. How far its states reach is told of their own steps; what is fed
    back to the next step, and what is looked at, is taken as it was.

    Args:
        trained: The translator; of an ensemble the first member is looked at.
        found: What it wrote.
        training: What is known of the training.
        seed: Of all that is drawn.

    Raises:
        RunError: A state is not finite.
    """
    network, batch = trained.networks[0], found.batch
    written = found.hypotheses[0].tokens[: MAX_SYMBOLS - 1]
    y_TB = torch.tensor([END, *written], device=batch.x.device)[:, None]
    with torch.no_grad(), held_still(network):
        read = network.read(batch.x, batch.lengths, batch.copies)
        inputs: list[Tensor] = []
        hook = network.decoder.register_forward_pre_hook(lambda layer, args: inputs.append(args[0]))
        try:
            said = network.log_probs(network.write(read, y_TB), read)[:, 0].float().cpu()
        finally:
            hook.remove()
        x_TBI = torch.cat(inputs)

    def run() -> object:
        # All steps at once, also where each was fed what the one before came to.
        return network.decoder(x_TBI, read.state)

    with held_still(network):
        layers = recorded_layers(network, run, len(y_TB))
        reach, diagnosis = state_reach(network, run, training, seed=seed)
    vocabulary = trained.setup.target_vocabulary
    symbols = [_BEGIN, *found.translations[0].tokens[: len(written)]]
    between = "" if vocabulary.kind in ("character", "bpe") else " "
    searched, property_tensors = properties_content(layers, _properties(symbols, between), seed)
    described, layer_tensors = layers_content(layers)
    shares, best = said.exp().topk(min(_LISTED, said.shape[1]), dim=1)
    nats = -said[:-1].gather(1, y_TB[1:].cpu())[:, 0]
    more = trained.copied(found.source)
    model = model_content(
        network, layers, vocabulary_size=vocabulary.size, embedding_size=network.embedding.embedding_dim
    )
    content = {
        "format": FORMAT,
        "kind": "text",
        "title": "its own answer",
        "cut": "",
        "weights": checksum(trained.network.state_dict()),
        "unit": UNITS[vocabulary.kind],
        "symbols": symbols,
        "between": [" ", *[between] * len(written)],
        "unknown": [],
        "losses": [None, *(round(loss, 4) for loss in nats.tolist())],
        "model": model
        | {"name": f"The decoder of a translator, {model['name']}", "tied": trained.options.tied != "none"},
        # The first state is what the bridge makes of the encoder's last one.
        "layers": [layer | {"initial": "computed"} for layer in described],
        "properties": searched,
        "next": {"vocabulary": [_END, *map(vocabulary.symbol, range(1, vocabulary.size)), *more]},
        "reach_of": "states",
        "probe": reach,
        "diagnosis": diagnosis,
    }
    tensors = {
        "next.ids": best.int(),
        "next.probs": shares,
        "first.embedding": x_TBI[:_FIRST, 0, : network.embedding.embedding_dim].float().cpu(),
    }
    return Inspection(content=content, tensors=layer_tensors | property_tensors | tensors)


def _properties(symbols: Sequence[str], between: str) -> list[Property]:
    """Return what units are searched for: what is true of the text, and how many tokens were written before."""
    # What begins is no text.
    read = ["", *(symbol + between for symbol in symbols[1:])]
    place = Property(
        key="place", name="tokens written", kind="number", values=np.arange(len(symbols), dtype=np.float64)
    )
    return [*(one for one in text_properties(read) if one.values.any()), place]
