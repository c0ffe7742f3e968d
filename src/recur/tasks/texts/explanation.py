"""Which tokens of a text spoke for the class that was told, and which against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.texts.vocabulary import Piece
from recur.gradients.attributions.attribution import Score, attribute
from recur.gradients.attributions.completion import POINTS, complete_shares
from recur.gradients.attributions.deletion import Deletion, check_by_deletion
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import MOST_GAP
from recur.tasks.labels.classes import log_odds
from recur.token_ids import PADDING, UNKNOWN, Ragged

if TYPE_CHECKING:
    from recur.tasks.texts.trained import TrainedTextClassifier

_MOST_VALUES = 1 << 23
"""Values of hidden states that are kept for a gradient at once, at most."""

_MOST_ROWS = 128

_FAINT = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """What the N tokens of a text contribute to the log-odds of a class, or of a tag or token, in nats.

    By integrated gradients (Sundararajan et al. 2017) over the vectors of the tokens, and over what a linear model of
    their n-grams adds where one speaks too, against a text of as many tokens
    that the model does not know: the shares add up to `answer` less `neutral`. A token that is not known contributes
    nothing.

    Attributes:
        text: The text, as the places of its tokens count in.
        pieces: The tokens.
        label: Which class, tag or token.
        probability: Of it, calibrated where the model is.
        shares: (N,) float64: above zero what speaks for the class, below what speaks against it.
        answer: Its log-odds.
        neutral: The same of the text of unknown tokens.
        gap: By how much of all shares in size their sum misses the difference of the two.
        joins: Whether tokens are parts of words.
    """

    text: str
    pieces: tuple[Piece, ...]
    label: str
    probability: float
    shares: NDArray[np.float64]
    answer: float
    neutral: float
    gap: float
    joins: bool

    def words(self) -> list[tuple[str, float]]:
        """Return what stands in the text, with what it contributes: tokens, or of parts of words runs of one sign."""
        found: list[tuple[int, int, float]] = []
        for piece, share in zip(self.pieces, self.shares.tolist(), strict=True):
            begin, end, sum_of_run = found[-1] if found else (0, -1, 0.0)
            is_blank = not self.text[piece.begin : piece.end].strip() or not self.text[begin:end].strip()
            if self.joins and end == piece.begin and not is_blank and share * sum_of_run > 0:
                found[-1] = (begin, piece.end, sum_of_run + share)
            else:
                found.append((piece.begin, piece.end, share))
        return [(self.text[begin:end], share) for begin, end, share in found]

    def strongest(self, count: int, *, sign: int = 1) -> list[tuple[str, float]]:
        """Return the words that speak for the class most, or with a sign of -1 against it, the strongest first.

        Left out are those that say less than a twentieth of what the strongest of all does.
        """
        least = _FAINT * float(np.abs(self.shares).max(initial=0))
        words = [one for one in self.words() if sign * one[1] > least and one[0].strip()]
        return sorted(words, key=lambda one: -sign * one[1])[:count]


def explain_texts(trained: TrainedTextClassifier, texts: Sequence[str], asked: Sequence[int]) -> list[Explanation]:
    """Return what the tokens of texts contribute.

    Args:
        trained: The classifier.
        texts: N texts.
        asked: Of each, the number of the class that is explained; a text may come several times.
    """
    vocabulary = trained.setup.vocabulary
    encoded = vocabulary.encode_all(texts)
    found: dict[int, Explanation] = {}
    units = units_of(trained)
    with held_still(trained.network):
        for rows in _of_similar_length(encoded.lengths):
            ids = [encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]] for row in rows]
            inputs, neutral, lengths = _inputs(trained, ids)
            score = scorer(trained, lengths, torch.tensor([asked[row] for row in rows]))
            size = rows_at_once(inputs.shape[1], units)
            whole = complete_shares(score, inputs, neutral, most_gap=MOST_GAP, batch_size=size)
            shares, gap = whole.shares.double().cpu().numpy(), whole.gap.tolist()
            for place, row in enumerate(rows):
                answer = whole.answer[place].double()
                found[row] = Explanation(
                    text=vocabulary.normalised(texts[row]),
                    pieces=tuple(vocabulary.cut(texts[row])),
                    label=trained.classes[asked[row]],
                    probability=float(answer.sigmoid()),
                    shares=shares[place, : len(ids[place])],
                    answer=float(answer),
                    neutral=float(whole.neutral[place]),
                    gap=gap[place],
                    joins=vocabulary.kind in ("character", "bpe"),
                )
    return [found[row] for row in range(len(texts))]


def _of_similar_length(lengths: NDArray[np.int64]) -> Iterator[list[int]]:
    """Yield the numbers of texts, at most 128 at once, of which none has more than twice the tokens of another."""
    rows: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if rows and (len(rows) == _MOST_ROWS or lengths[row] > max(1, 2 * lengths[rows[0]])):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def embedded(trained: TrainedTextClassifier, ids: Sequence[NDArray[np.int32]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the vectors of texts and of as many unknown tokens, (B, T, E) both, and their lengths, (B,)."""
    lengths = torch.tensor([len(row) for row in ids])
    x = torch.full((len(ids), max(1, int(lengths.max()))), PADDING)
    for place, row in enumerate(ids):
        x[place, : len(row)] = torch.from_numpy(row)
    device = next(trained.network.parameters()).device
    x, lengths = x.to(device), lengths.to(device)
    with torch.no_grad():
        inputs, neutral = (trained.network.embedded(one).transpose(0, 1) for one in (x, torch.where(x > 0, UNKNOWN, x)))
    return inputs, neutral, lengths


def _inputs(trained: TrainedTextClassifier, ids: Sequence[NDArray[np.int32]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `scorer` takes: as `embedded`, and behind the vector of each token what its n-grams add, (B, T, K).

    That is of the linear model that speaks with the network, if there is one.
    """
    inputs, neutral, lengths = embedded(trained, ids)
    if trained.rule is None:
        return inputs, neutral, lengths
    added = inputs.new_zeros(*inputs.shape[:2], len(trained.classes))
    for place, row in enumerate(ids):
        added[place, : len(row)] = trained.rule.by_token(row).to(added)
    return torch.cat([inputs, added], 2), torch.cat([neutral, torch.zeros_like(added)], 2), lengths


def scorer(trained: TrainedTextClassifier, lengths: Tensor, asked: Tensor) -> Score:
    """Return the log-odds of a class as a function of what `_inputs` returns.

    Args:
        trained: The classifier.
        lengths: Of the texts, (B,).
        asked: The class of each, (B,).
    """
    num_added = 0 if trained.rule is None else len(trained.classes)

    def score(x: Tensor, rows: Tensor) -> Tensor:
        vectors, added = torch.split(x, [x.shape[2] - num_added, num_added], 2)
        evidence = None if trained.rule is None else trained.rule.neutral.to(added) + added.sum(1)
        return _scored(trained, vectors, lengths[rows], evidence, asked.to(rows.device)[rows])

    return score


def _scored(
    trained: TrainedTextClassifier, vectors: Tensor, lengths: Tensor, evidence: Tensor | None, asked: Tensor
) -> Tensor:
    """Return the log-odds of classes, (B,), by the vectors of tokens and what the linear model says, (B, K)."""
    logits = trained.network.read(vectors.transpose(0, 1), lengths)
    logits = trained.temperature(logits if evidence is None else trained.mixed(logits, evidence))
    own = asked.unsqueeze(1)
    return (logits.gather(1, own) if trained.setup.is_multi else log_odds(logits, own)).squeeze(1)


def _read_again(
    trained: TrainedTextClassifier, ids: Sequence[NDArray[np.int32]], asked: Tensor
) -> tuple[Score, Tensor, Tensor]:
    """Return a score as of `scorer` by which the linear model reads anew what is left of a text, and what it takes.

    Behind the vector of each token, (B, T, E + 1), stands 1, and 0 where it is deleted.
    """
    rule = trained.rule
    assert rule is not None
    vectors, neutral, lengths = embedded(trained, ids)
    is_there = vectors.new_ones(*vectors.shape[:2], 1)

    def score(x: Tensor, rows: Tensor) -> Tensor:
        is_left = x[..., -1].cpu().numpy() > 0
        texts = [
            np.where(left[: len(ids[row])], ids[row], UNKNOWN) for left, row in zip(is_left, rows.tolist(), strict=True)
        ]
        evidence = rule.evidence(Ragged.of(texts)).to(x)
        return _scored(trained, x[..., :-1], lengths[rows], evidence, asked.to(rows.device)[rows])

    return score, torch.cat([vectors, is_there], 2), torch.cat([neutral, torch.zeros_like(is_there)], 2)


def units_of(trained: TrainedTextClassifier) -> int:
    """Return how many values all layers make of a token, by which the memory is bounded."""
    options = trained.options.completed()
    assert options.hidden_size is not None
    directions = 2 if options.bidirectional else 1
    added = 0 if trained.rule is None else len(trained.classes)
    return options.hidden_size * options.num_layers * directions * (options.members or 1) + added


def rows_at_once(num_tokens: int, units: int) -> int:
    """Return how many texts of so many tokens may be read at once where a gradient is wanted."""
    return min(max(_MOST_VALUES // (max(num_tokens, 1) * units), 1), _MOST_ROWS)


def check_explanations(
    trained: TrainedTextClassifier, texts: Sequence[str], asked: Sequence[int], *, seed: int = 0
) -> Deletion:
    """Return how far log-odds fall without the tokens that speak for them most, against as many at random.

    Args:
        trained: The classifier.
        texts: At least two, each with a token.
        asked: Of each, the number of the class.
        seed: Of what is deleted at random.
    """
    ids, classes, shares = [trained.setup.vocabulary.encode(text) for text in texts], torch.tensor(asked), None
    inputs, neutral, lengths = _inputs(trained, ids)
    score = scorer(trained, lengths, classes)
    size = rows_at_once(inputs.shape[1], units_of(trained))
    with held_still(trained.network):
        if trained.rule is not None:
            shares = attribute(score, inputs, neutral, num_steps=POINTS[0], batch_size=size)
            score, inputs, neutral = _read_again(trained, ids, classes)
        return checked_shares(score, inputs, neutral, lengths, batch_size=size, seed=seed, shares=shares)


def checked_shares(
    score: Score,
    inputs: Tensor,
    neutral: Tensor,
    lengths: Tensor,
    *,
    batch_size: int,
    seed: int = 0,
    shares: Tensor | None = None,
) -> Deletion:
    """Return how far scores fall without the tokens that are said to raise them most, against as many at random.

    Args:
        score: As of `recur.gradients.attribute`.
        inputs: Vectors of tokens, (B, T, E).
        neutral: Those that are put in the place of deleted ones, likewise.
        lengths: Tokens of each row, (B,).
        batch_size: Rows that are scored at once.
        seed: Of what is deleted at random.
        shares: What each token is said to contribute, (B, T); None for what `recur.gradients.attribute` says.
    """
    mask = torch.arange(inputs.shape[1], device=lengths.device) < lengths[:, None]
    if shares is None:
        shares = attribute(score, inputs, neutral, num_steps=POINTS[0], batch_size=batch_size)
    return check_by_deletion(
        score, inputs, {"own": shares}, neutral, mask=mask, draws=5, seed=seed, batch_size=batch_size
    )["own"]
