"""Which tokens of a source what was written rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recur.data.texts.pair_batches import PairBatch
from recur.data.texts.vocabulary import Piece
from recur.gradients import Deletion
from recur.gradients.attributions.attribution import Score
from recur.gradients.attributions.completion import complete_shares
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import MOST_GAP
from recur.tasks.labels.classes import log_odds
from recur.tasks.texts.explanation import Explanation, checked_shares, rows_at_once
from recur.tasks.translate.rule import contexts_of
from recur.tasks.translate.trained import TrainedTranslator
from recur.token_ids import END, UNKNOWN


class AskedToken(NamedTuple):
    """A token that was written: those before it, and itself."""

    before: tuple[int, ...]
    token: int


def explain_tokens(
    trained: TrainedTranslator,
    text: str,
    pieces: Sequence[Piece],
    batch: PairBatch,
    asked: Sequence[AskedToken],
    names: Sequence[str],
) -> list[Explanation]:
    """Return what the tokens of a source contribute to tokens that were written.

    Explained are the log-odds of a token after those before it; the neutral source has as many tokens that the model
    does not know.

    Args:
        trained: The translator.
        text: The source, as the places of its tokens count in.
        pieces: Its tokens.
        batch: The same as the network reads it, one row.
        asked: What is explained.
        names: What each is called.
    """
    inputs, neutral = embedded(trained, batch)
    count = len(asked)
    score = scorer(trained, rows_of(batch, [0] * count), asked)
    with held_still(trained.network):
        size = rows_at_once(len(pieces) + max(len(one.before) for one in asked), units_of(trained))
        whole = complete_shares(
            score,
            inputs.expand(count, -1, -1),
            neutral.expand(count, -1, -1),
            most_gap=MOST_GAP,
            batch_size=size,
        )
    shares, gap = whole.shares.double().cpu().numpy(), whole.gap.tolist()
    return [
        Explanation(
            text=text,
            pieces=tuple(pieces),
            label=name,
            probability=float(whole.answer[row].double().sigmoid()),
            shares=shares[row],
            answer=float(whole.answer[row]),
            neutral=float(whole.neutral[row]),
            gap=gap[row],
            joins=trained.setup.source_vocabulary.kind in ("character", "bpe"),
        )
        for row, name in enumerate(names)
    ]


def check_token_explanations(
    trained: TrainedTranslator, batch: PairBatch, asked: Sequence[AskedToken], *, seed: int = 0
) -> Deletion:
    """Return how far log-odds fall without the tokens of a source that speak for them most, against as many at random.

    Args:
        trained: The translator.
        batch: At least two sources.
        asked: Of each, what is explained.
        seed: Of what is deleted at random.
    """
    inputs, neutral = embedded(trained, batch)
    longest = max(len(one.before) for one in asked)
    with held_still(trained.network):
        size = rows_at_once(inputs.shape[1] + longest, units_of(trained))
        score = scorer(trained, batch, asked)
        return checked_shares(score, inputs, neutral, batch.lengths, batch_size=size, seed=seed)


def gradient_reach(trained: TrainedTranslator, batch: PairBatch, written: Sequence[int]) -> Tensor:
    """Return how far the gradient of each written token reaches into the source.

    Args:
        trained: The translator; of an ensemble its mean is what is looked at.
        batch: The source, one row.
        written: T tokens.

    Returns:
        Norms of the gradients of the log-probability of each token by the vector of each token of the source, (T, S).
    """
    inputs, _ = embedded(trained, batch)
    asked = [AskedToken(tuple(written[:place]), token) for place, token in enumerate(written)]
    size = rows_at_once(inputs.shape[1] + len(written), units_of(trained))
    found = []
    with held_still(trained.network):
        for begin in range(0, len(asked), size):
            some = asked[begin : begin + size]
            x = inputs.expand(len(some), -1, -1).clone().requires_grad_()
            said = _said(trained, x, rows_of(batch, [0] * len(some)), some)
            chosen = said.gather(1, torch.tensor([one.token for one in some], device=x.device)[:, None])
            (gradient,) = torch.autograd.grad(chosen.sum(), x)
            found.append(gradient.norm(dim=2))
    return torch.cat(found)


def rows_of(batch: PairBatch, rows: Sequence[int]) -> PairBatch:
    """Return some rows of a batch, each as often as it is named."""
    chosen = torch.tensor(list(rows), device=batch.x.device)
    return PairBatch(
        x=batch.x[chosen],
        lengths=batch.lengths[chosen],
        y=batch.y[chosen],
        y_lengths=batch.y_lengths[chosen],
        copies=None if batch.copies is None else batch.copies[chosen],
        index=batch.index[chosen.cpu()],
    )


def embedded(trained: TrainedTranslator, batch: PairBatch) -> tuple[Tensor, Tensor]:
    """Return the vectors of sources and of as many unknown tokens, (B, S, E) both, all members' side by side."""
    unknown = torch.where(batch.x > 0, UNKNOWN, batch.x)
    with torch.no_grad():
        inputs, neutral = (
            torch.cat([one.source_embedding(x) for one in trained.networks], 2) for x in (batch.x, unknown)
        )
    return inputs, neutral


def scorer(trained: TrainedTranslator, batch: PairBatch, asked: Sequence[AskedToken]) -> Score:
    """Return the log-odds of tokens as a function of the vectors of sources.

    Args:
        trained: The translator.
        batch: B sources.
        asked: Of each, which token after which.
    """
    tokens = torch.tensor([one.token for one in asked], device=batch.x.device)

    def score(x: Tensor, rows: Tensor) -> Tensor:
        own = rows.tolist()
        said = _said(trained, x, rows_of(batch, own), [asked[row] for row in own])
        return log_odds(said, tokens[rows].unsqueeze(1)).squeeze(1)

    return score


def _said(trained: TrainedTranslator, x: Tensor, batch: PairBatch, asked: Sequence[AskedToken]) -> Tensor:
    """Return the log-probabilities of what comes after some tokens, (B, V + K), by vectors of sources (B, S, E)."""
    networks = trained.networks
    longest = max(len(one.before) for one in asked)
    y = torch.tensor([[END, *one.before, *[END] * (longest - len(one.before))] for one in asked], device=x.device)
    last = torch.tensor([len(one.before) for one in asked], device=x.device)
    every = torch.arange(len(asked), device=x.device)
    found = []
    sizes = [one.source_embedding.embedding_dim for one in networks]
    for network, own in zip(networks, torch.split(x, sizes, 2), strict=True):
        read = network.read_vectors(own.transpose(0, 1), batch.lengths, batch.copies)
        written = network.write(read, y.t())
        # The output layer costs most, and is asked at one step of each row alone.
        features = written.features[last, every][None]
        step = written._replace(
            features=features,
            weights=None if written.weights is None else written.weights[last, every][None],
            gate=None if written.gate is None else written.gate[last, every][None],
        )
        found.append(network.log_probs(step, read)[0])
    said = found[0] if len(found) == 1 else torch.stack(found).logsumexp(0) - math.log(len(found))
    if trained.trigrams is None:
        return said
    contexts = contexts_of([one.before for one in asked], x.device)
    return trained.trigrams.joined(said, trained.trigrams.rule.log_probs(contexts, said.dtype))


def units_of(trained: TrainedTranslator) -> int:
    """Return how many values all layers make of a token, by which the memory is bounded."""
    network = trained.networks[0]
    assert network.options.hidden_size is not None
    return 3 * network.options.hidden_size * network.options.num_layers * len(trained.networks)
