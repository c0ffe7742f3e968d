"""Which tokens of a sentence speak for the tag that one of them was told to have, and which against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recur.data.texts.tagged_batches import TaggedBatch
from recur.data.texts.vocabulary import Piece
from recur.gradients import Deletion
from recur.gradients.attributions.attribution import Score
from recur.gradients.attributions.completion import complete_shares
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import MOST_GAP
from recur.tasks.labels.classes import log_odds
from recur.tasks.tags.trained import TrainedTagger
from recur.tasks.texts.explanation import Explanation, checked_shares, rows_at_once
from recur.token_ids import UNKNOWN


class AskedTag(NamedTuple):
    """A token, by its place in its sentence, and the number of the tag that is explained."""

    place: int
    tag: int


def explain_tags(
    trained: TrainedTagger, text: str, pieces: Sequence[Piece], asked: Sequence[AskedTag]
) -> list[Explanation]:
    """Return what the tokens of a sentence contribute to tags of some of them.

    Explained are the log-odds of a tag at its token, over all sequences of tags that the sentence can have; the neutral
    sentence has as many words that the model does not know, of as many characters that it does not know.

    Args:
        trained: The tagger.
        text: The sentence, as the places of its tokens count in.
        pieces: Its tokens.
        asked: What is explained.
    """
    inputs, neutral, lengths = embedded(trained, [[piece.text for piece in pieces]] * len(asked))
    score = scorer(trained, lengths, asked)
    with held_still(trained.network):
        size = rows_at_once(len(pieces), units_of(trained))
        whole = complete_shares(score, inputs, neutral, most_gap=MOST_GAP, batch_size=size)
    shares, gap = whole.shares.double().cpu().numpy(), whole.gap.tolist()
    return [
        Explanation(
            text=text,
            pieces=tuple(pieces),
            label=trained.tags[one.tag],
            probability=float(whole.answer[row].double().sigmoid()),
            shares=shares[row],
            answer=float(whole.answer[row]),
            neutral=float(whole.neutral[row]),
            gap=gap[row],
            joins=False,
        )
        for row, one in enumerate(asked)
    ]


def check_tag_explanations(
    trained: TrainedTagger, sentences: Sequence[Sequence[str]], asked: Sequence[AskedTag], *, seed: int = 0
) -> Deletion:
    """Return how far log-odds of tags fall without the tokens that speak for them most, against as many at random.

    Args:
        trained: The tagger.
        sentences: The tokens of at least two, each with a token.
        asked: Of each, what is explained.
        seed: Of what is deleted at random.
    """
    inputs, neutral, lengths = embedded(trained, sentences)
    score = scorer(trained, lengths, asked)
    with held_still(trained.network):
        size = rows_at_once(inputs.shape[1], units_of(trained))
        return checked_shares(score, inputs, neutral, lengths, batch_size=size, seed=seed)


def batch_of(trained: TrainedTagger, sentences: Sequence[Sequence[str]]) -> TaggedBatch:
    """Return sentences as one batch, in their order, where the network computes."""
    every = np.arange(len(sentences))
    batches = trained.setup.batches(sentences, batch_size=max(1, len(sentences)), max_tokens=1)
    return batches.batch(every).to(next(trained.network.parameters()).device)


def embedded(trained: TrainedTagger, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the layers read of sentences and of as many unknown tokens, (B, T, E) both, and lengths, (B,)."""
    batch = batch_of(trained, sentences)
    unknown = replace(
        batch,
        x=torch.where(batch.x > 0, UNKNOWN, batch.x),
        characters=torch.full_like(batch.characters, UNKNOWN),
    )
    with torch.no_grad():
        inputs, neutral = (trained.network.embedded(one).transpose(0, 1) for one in (batch, unknown))
    return inputs, neutral, batch.lengths


def scorer(trained: TrainedTagger, lengths: Tensor, asked: Sequence[AskedTag]) -> Score:
    """Return the log-odds of tags as a function of what the layers read.

    Args:
        trained: The tagger.
        lengths: Of the sentences, (B,).
        asked: Of each, which tag of which token.
    """
    places, tags = (torch.tensor(column, device=lengths.device) for column in zip(*asked, strict=True))

    def score(x: Tensor, rows: Tensor) -> Tensor:
        chance_TBK = trained.network.tag_probability(x.transpose(0, 1), lengths[rows])
        own_BK = chance_TBK[places[rows], torch.arange(len(rows), device=x.device)]
        logs_BK = own_BK.clamp_min(torch.finfo(own_BK.dtype).tiny).log()
        return log_odds(logs_BK, tags[rows].unsqueeze(1)).squeeze(1)

    return score


def units_of(trained: TrainedTagger) -> int:
    """Return how many values all layers make of a token, by which the memory is bounded."""
    options = trained.options.completed()
    assert options.hidden_size is not None
    return options.hidden_size * options.num_layers * (2 if options.bidirectional else 1)
