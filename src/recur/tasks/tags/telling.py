"""What a tagger says of sentences: the likeliest tags that keep their scheme, entities, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recur.data.texts.tag_schemes import find_entities
from recur.models.texts.tagger import TaggerNetwork

if TYPE_CHECKING:
    from recur.data.texts.tagged_batches import TaggedBatch


class ToldEntity(NamedTuple):
    """An entity: what it is, its first token, the one after its last, and how likely just that is."""

    kind: str
    begin: int
    end: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of one sentence of T tokens.

    Attributes:
        tags: (T,) their names.
        probability: (T,) of each of these.
        entities: That they write.
        log_likelihood: Of all its true tags together, in nats; None where not all are known.
    """

    tags: tuple[str, ...]
    probability: tuple[float, ...]
    entities: tuple[ToldEntity, ...]
    log_likelihood: float | None


@torch.no_grad()
def tell(
    network: TaggerNetwork, tags: Sequence[str], batches: Iterable[TaggedBatch], *, scheme: str | None
) -> list[Told]:
    """Return what a network says of sentences, in their order.

    The network is run as in evaluation, and left as it was.

    Args:
        network: On any device.
        tags: Names of its tags.
        batches: Of the sentences, in any order.
        scheme: Of the tags, or None.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    found: dict[int, Told] = {}
    try:
        for batch in batches:
            found |= zip(batch.index.tolist(), _of_batch(network, tags, batch.to(device), scheme), strict=True)
    finally:
        network.train(was_training)
    return [found[number] for number in sorted(found)]


def _of_batch(network: TaggerNetwork, tags: Sequence[str], batch: TaggedBatch, scheme: str | None) -> list[Told]:
    emissions_TBK = network(batch)
    crf, lengths = network.crf, batch.lengths
    labels = crf.decode(emissions_TBK, lengths)
    marginals_TBK = crf.marginals(emissions_TBK, lengths)
    marginals_BTK = marginals_TBK.transpose(0, 1).cpu()
    is_known = batch.weight > 0
    likelihood = torch.zeros(len(is_known))
    if bool(is_known.any()):
        likelihood = crf.log_likelihood(emissions_TBK, batch.target.t(), lengths)
    entities: list[list[ToldEntity]] = [[] for _ in labels]
    if scheme is not None:
        entities = _entities(network, tags, emissions_TBK, marginals_TBK, batch, labels)
    found = []
    for row, own in enumerate(labels):
        sure = marginals_BTK[row, : len(own)].gather(1, torch.tensor(own, dtype=torch.int64)[:, None])[:, 0]
        # Sums of rounded numbers may be a little more than 1.
        sure = sure.clamp(0, 1)
        found.append(
            Told(
                tags=tuple(tags[label] for label in own),
                probability=tuple(sure.tolist()),
                entities=tuple(entities[row]),
                log_likelihood=float(likelihood[row]) if bool(is_known[row]) else None,
            )
        )
    return found


def _entities(
    network: TaggerNetwork,
    tags: Sequence[str],
    emissions_TBK: Tensor,
    marginals_TBK: Tensor,
    batch: TaggedBatch,
    labels: list[list[int]],
) -> list[list[ToldEntity]]:
    """Return the entities of each row: how likely they are is told of their labels, less those of longer ones."""
    inside = {name[2:]: number for number, name in enumerate(tags) if name.startswith("I-")}
    has_ends = any(name.startswith(("E-", "L-")) for name in tags)
    met: list[tuple[int, str, int, int]] = []
    spans, longer = [], []
    for row, own in enumerate(labels):
        names = np.empty(len(own), object)
        names[:] = [tags[label] for label in own]
        entities = find_entities(names, np.zeros(min(1, len(own)), np.int64))
        for begin, end, kind in zip(*(part.tolist() for part in entities), strict=True):
            met.append((row, kind, begin, end))
            spans.append((row, begin, own[begin:end]))
            goes_on = inside.get(kind)
            # Where the scheme marks the last token, what goes on has another tag there.
            if not has_ends and goes_on is not None and end < len(own):
                longer.append((len(spans) - 1, (row, begin, [*own[begin:end], goes_on])))
    asked = [*spans, *(span for _, span in longer)]
    chance = network.span_probability(emissions_TBK, batch.lengths, asked, marginals_TBK).cpu()
    sure, less = chance[: len(spans)], chance[len(spans) :]
    sure = sure.index_add(0, torch.tensor([number for number, _ in longer], dtype=torch.int64), -less).clamp(0, 1)
    found: list[list[ToldEntity]] = [[] for _ in labels]
    for (row, kind, begin, end), probability in zip(met, sure.tolist(), strict=True):
        found[row].append(ToldEntity(kind, begin, end, probability))
    return found
