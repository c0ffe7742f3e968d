"""Scoring held-out text: every token once, the state carried, independent of batch size and window."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from recur.data.batch import Batch
from recur.models.language import LanguageModel, State
from recur.models.ngram import NGramModel


@dataclass(frozen=True, kw_only=True)
class HeldOutFigures:
    """How well a model predicts a text.

    Attributes:
        nats: Sum of -ln p over all tokens.
        tokens: Number of tokens, each counted once.
        characters: Number of characters that the tokens spell.
        top1: Share of tokens that the model held for the likeliest, None where it was not measured.
        top5: Share of tokens among the model's five likeliest, None where it was not measured.
        seconds: Time that it took, None where it was not measured.
    """

    nats: float
    tokens: int
    characters: int
    top1: float | None = None
    top5: float | None = None
    seconds: float | None = None

    @property
    def nats_per_token(self) -> float:
        """Mean negative log-likelihood of a token, in nats."""
        return self.nats / max(self.tokens, 1)

    @property
    def nats_per_character(self) -> float:
        """Negative log-likelihood of the text divided by its characters, in nats: comparable between tokenisers."""
        return self.nats / max(self.characters, 1)

    @property
    def bits_per_character(self) -> float:
        """`nats_per_character` in bits."""
        return self.nats_per_character / math.log(2)

    @property
    def perplexity(self) -> float:
        """Exponential of `nats_per_token`; infinite where that overflows."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf

    def to_json(self) -> dict[str, Any]:
        """Return the figures as they stand in `evaluation.json`; what is not measured or not finite is left out."""
        figures = {
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            "nats_per_token": self.nats_per_token,
            "perplexity": self.perplexity,
            "top1": self.top1,
            "top5": self.top5,
            "tokens": self.tokens,
            "characters": self.characters,
            "seconds": self.seconds,
        }
        return {key: value for key, value in figures.items() if value is not None and math.isfinite(value)}


def score(
    model: LanguageModel,
    batches: Iterable[Batch],
    *,
    first_token_nats: float,
    characters: int,
    progress: Callable[[int], None] | None = None,
    losses: dict[int, list[NDArray[np.float32]]] | None = None,
    on_state: Callable[[State], None] | None = None,
) -> HeldOutFigures:
    """Return how well `model` predicts the targets of `batches` whose weight is not zero.

    The rows of successive batches continue each other, so the state is carried from batch to batch. The first token of
    a text has nothing before it to be predicted from; it is charged `first_token_nats`, for every model alike.

    Args:
        model: Put in evaluation mode for the time.
        batches: As `recur.data.streams.HeldOutStreams` gives them.
        first_token_nats: -ln of the first token's frequency in the training part.
        characters: Characters of the whole text.
        progress: Called with the number of tokens scored so far, after each batch.
        losses: When given, filled with the losses of each row (stream), in the order of the text.
        on_state: Called with the state after each batch; a row that has ended keeps its last one.
    """
    start = time.perf_counter()
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    nats, hits1, hits5, count = 0.0, 0, 0, 0
    state: State | None = None
    try:
        with torch.inference_mode():
            for cpu_batch in batches:
                batch = cpu_batch.to(device)
                # A row is padded only after its end, so its length matters only to who looks at the state.
                lengths = None if on_state is None else batch.lengths
                logits, state = model(batch.x, state, lengths=lengths, reset=batch.reset)
                if on_state is not None:
                    on_state(state)
                counted = batch.weight > 0
                chosen, target = logits[counted], batch.target[counted]
                token_nats = functional.cross_entropy(chosen.float(), target, reduction="none")
                # Of equal logits the target's comes last, and so it does where there is no number to compare: a model
                # that knows nothing is never right.
                rank = (~(chosen < chosen.gather(1, target.unsqueeze(1)))).sum(dim=1) - 1
                nats += float(token_nats.double().sum())
                hits1 += int((rank < 1).sum())
                hits5 += int((rank < 5).sum())
                count += len(target)
                if losses is not None:
                    _keep(losses, token_nats, counted, batch)
                if progress is not None:
                    progress(count)
    finally:
        model.train(was_training)
    return HeldOutFigures(
        nats=nats + first_token_nats,
        tokens=count + 1,
        characters=characters,
        top1=hits1 / max(count, 1),
        top5=hits5 / max(count, 1),
        seconds=time.perf_counter() - start,
    )


class Handover:
    """Compares the state that each stream begins its part with to the one that the stream before it ended with.

    Give its `look` to `score` as `on_state`. The streams must begin `warm_windows` whole batches before their parts.

    Args:
        warm_windows: Batches of burn-in.
        begun_late: Which streams do not begin with the text, (S,); the others know all that is before their part.
    """

    def __init__(self, warm_windows: int, begun_late: NDArray[np.bool_]) -> None:
        self._warm_windows = warm_windows
        self._begun_late = torch.from_numpy(begun_late)
        self._seen = 0
        self._warm: list[torch.Tensor] = []
        self._last: list[torch.Tensor] = []

    def look(self, state: State) -> None:
        """Take the state after the next batch."""
        self._seen += 1
        self._last = [part for layer in state for part in ((layer,) if isinstance(layer, torch.Tensor) else layer)]
        if self._seen == self._warm_windows:
            self._warm = [part.clone() for part in self._last]

    def largest_gap(self) -> float:
        """Return the largest difference of any unit; 0 where there is nothing to compare."""
        late = self._begun_late[1:]
        if not bool(late.any()):
            return 0.0
        gaps = [
            (warm[0, 1:] - last[0, :-1])[late.to(warm.device)].abs().max()
            for warm, last in zip(self._warm, self._last, strict=True)
        ]
        return float(torch.stack(gaps).max())


def _keep(
    losses: dict[int, list[NDArray[np.float32]]], token_nats: torch.Tensor, counted: torch.Tensor, batch: Batch
) -> None:
    rows = token_nats.cpu().numpy()
    sizes = counted.sum(dim=1).tolist()
    start = 0
    for stream, size in zip(batch.index.tolist(), sizes, strict=True):
        losses.setdefault(stream, []).append(rows[start : start + size])
        start += size


def score_baseline(
    baseline: NGramModel, ids: NDArray[np.integer], *, first_token_nats: float, characters: int
) -> HeldOutFigures:
    """Return how well an n-gram model predicts `ids`, (N,), its first token charged as `score` does."""
    nats = baseline.nats(ids)[1:]
    return HeldOutFigures(nats=float(nats.sum()) + first_token_nats, tokens=len(ids), characters=characters)


def most_surprising(nats: NDArray[np.float32], *, passages: int = 12, length: int = 300) -> list[tuple[int, int]]:
    """Return where the text surprised most: (start, stop) of stretches that do not overlap, the worst first.

    Args:
        nats: Loss of each token, (N,).
        passages: How many at most.
        length: Tokens of a stretch; a shorter text is one stretch.
    """
    if len(nats) <= length:
        return [(0, len(nats))] if len(nats) else []
    total = np.concatenate([[0.0], np.cumsum(nats, dtype=np.float64)])
    mean = (total[length:] - total[:-length]) / length
    found: list[tuple[int, int]] = []
    while len(found) < passages:
        start = int(mean.argmax())
        if not np.isfinite(mean[start]):
            break
        found.append((start, start + length))
        mean[max(start - length + 1, 0) : start + length] = -np.inf
    return found
