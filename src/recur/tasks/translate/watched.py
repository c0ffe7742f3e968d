"""A search for what a translator writes, with every beginning that was open on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from recur.data.texts.pair_batches import PairBatch
from recur.decode import DecodingOptions, Hypothesis, WatchedSteps, decode
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.translation import Translation, translation_of


@dataclass(frozen=True, kw_only=True)
class TreeNode:
    """A token that was open in the search.

    Attributes:
        parent: Its place among the nodes; None for the beginning.
        token: As it is written; empty for the beginning.
        step: How many tokens lead to it, itself among them.
        log_prob: Of all tokens down to this one, in nats.
        was_continued: Whether a token that follows it was open too.
    """

    parent: int | None
    token: str
    step: int
    log_prob: float
    was_continued: bool


@dataclass(frozen=True, kw_only=True)
class WatchedSearch:
    """What was found, and what was looked at.

    Attributes:
        source: The text that was read.
        batch: The same as the network reads it.
        hypotheses: Those found, best first, as many as there are beams at most.
        translations: The same as texts.
        nodes: What was open, parents before children, the beginning first.
        ends: Of each hypothesis the node of its last token.
    """

    source: str
    batch: PairBatch
    hypotheses: tuple[Hypothesis, ...]
    translations: tuple[Translation, ...]
    nodes: tuple[TreeNode, ...]
    ends: tuple[int, ...]


@torch.no_grad()
def watch(trained: TrainedTranslator, source: str, *, decoding: DecodingOptions | None = None) -> WatchedSearch:
    """Return what a translator writes from a text, and what it looked at.

    The search goes on until it has as many answers as beams, so that these can be compared; the best one is that of
    `TrainedTranslator.translate`.

    Args:
        trained: The translator.
        source: A text with a token.
        decoding: How to search; None for that of the translator.

    Example:
        ```python
        found = watch(recur.load("runs/translate"), "Where is the station?")
        print([(one.text, one.score) for one in found.translations], len(found.nodes))
        ```
    """
    chosen = decoding or trained.decoding
    chosen = replace(chosen, num_best=chosen.beams)
    device = next(trained.network.parameters()).device
    (batch,) = trained.batches([source])
    asked = trained.asked(batch, chosen, None, None, device)
    batch = batch.to(device)
    steps, state = trained.members().begin(batch)
    watched: WatchedSteps[Any] = WatchedSteps(steps)
    (found,) = decode(watched, watched.begin(state, asked["start"]), **asked)
    vocabulary = trained.setup.target_vocabulary
    more = trained.copied(source)
    places: dict[tuple[int | None, int | None], int] = {}
    lengths: list[int] = []
    nodes = []
    continued = {node.parent for node in watched.nodes}
    for place, node in enumerate(watched.nodes):
        places.setdefault((node.parent, node.token), place)
        lengths.append(0 if node.parent is None else lengths[node.parent] + 1)
        symbol = ""
        if node.token is not None:
            is_own = node.token < vocabulary.size
            symbol = vocabulary.symbol(node.token) if is_own else more[node.token - vocabulary.size]
        nodes.append(
            TreeNode(
                parent=node.parent,
                token=symbol,
                step=lengths[place],
                log_prob=node.log_prob,
                was_continued=place in continued,
            )
        )
    ends = []
    for one in found:
        at = 0
        for token in one.tokens:
            # What was full before its last token had to end with it.
            at = places.get((at, token), at)
        ends.append(at)
    return WatchedSearch(
        source=source,
        batch=batch,
        hypotheses=tuple(found),
        translations=tuple(translation_of(trained.setup, source, one, more) for one in found),
        nodes=tuple(nodes),
        ends=tuple(ends),
    )
