"""Trigrams of texts, and of those of each class: what writes texts has to beat them, or lets them speak too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.models.ngram import NGramModel
from recur.token_ids import END, Ragged

_ORDER = 3
_SHARES = np.linspace(0, 1, 11)
"""Shares of the class's own trigrams that are tried."""

_LARGEST_VOCABULARY = 1 << 20
"""Of more tokens trigrams have no numbers."""


class Trigrams:
    """A trigram model of texts, `recur.models.ngram.NGramModel`.

    Each text begins with as many ends as a trigram looks back on, which are not told, and ends with one, which is.

    Args:
        vocabulary_size: V, token ids.
        texts: Token ids of the training part, without ends.

    Example:
        >>> rule = Trigrams(4, Ragged.of([[2, 3]] * 9))
        >>> rule.log_probs(torch.tensor([[END, 2]])).argmax(1)
        tensor([3])
    """

    def __init__(self, vocabulary_size: int, texts: Ragged) -> None:
        stream, is_told = _stream(texts)
        self._model = NGramModel(vocabulary_size, _ORDER).fit(stream, is_told=is_told)

    @classmethod
    def fits(cls, vocabulary_size: int) -> bool:
        """Return whether so many tokens have trigrams."""
        return vocabulary_size <= _LARGEST_VOCABULARY

    def token_nats(self, texts: Ragged) -> NDArray[np.float64]:
        """Return -ln p of each token of texts and of their ends, each text's behind the other's."""
        stream, is_told = _stream(texts)
        return self._model.nats(stream)[is_told]

    def nats(self, texts: Ragged) -> NDArray[np.float64]:
        """Return -ln p of each text, its end included, (N,)."""
        return _summed(self.token_nats(texts), texts)

    def log_probs(self, contexts: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the log-probability of each token after two others, (N, V) of `dtype`.

        Args:
            contexts: (N, 2) int64, the newer token last; END where a text has none yet.
            dtype: Of the answer.
        """
        found = torch.from_numpy(self._model.after(contexts.cpu().numpy()))
        return found.to(contexts.device, dtype).log()

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` takes: all that was counted."""
        found: dict[str, Tensor] = {}
        for length, (codes, counts) in enumerate(self._model.counts, start=1):
            found |= {f"{length}.codes": torch.from_numpy(codes), f"{length}.counts": torch.from_numpy(counts)}
        return found

    @classmethod
    def from_tensors(cls, vocabulary_size: int, tensors: Mapping[str, Tensor]) -> Trigrams:
        """Return the model that `tensors` tells.

        Raises:
            KeyError: A tensor is missing.
            ValueError: They are no counts of such trigrams.
        """
        found = cls.__new__(cls)
        lengths = range(1, _ORDER + 1)
        found._model = NGramModel.from_counts(
            vocabulary_size, [(tensors[f"{n}.codes"].numpy(), tensors[f"{n}.counts"].numpy()) for n in lengths]
        )
        return found


class TrigramSteps:
    """The steps of a trigram model, `recur.decode.Steps`. The state is the token before the newest one, (N,).

    Args:
        trigrams: What is said.
        dtype: Of what is said.

    Example:
        >>> steps = TrigramSteps(Trigrams(4, Ragged.of([[2, 3]] * 9)))
        >>> said, state = steps.step(torch.tensor([END]), steps.begin(1))
        >>> said.argmax(1), state
        (tensor([2]), tensor([0]))
    """

    def __init__(self, trigrams: Trigrams, dtype: torch.dtype = torch.float32) -> None:
        self._trigrams, self._dtype = trigrams, dtype

    def begin(self, num: int, device: torch.device | None = None) -> Tensor:
        """Return the state before the first token of texts, which is an END."""
        return torch.full((num,), END, device=device)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of what follows, (N, V), and the state after the tokens, (N,) int64."""
        return self._trigrams.log_probs(torch.stack([state, tokens], 1), self._dtype), tokens

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        """Return the state of chosen rows, (M,) int64."""
        return state[rows]


class ClassTrigrams:
    """A trigram model of all texts, and one of each class, whose probabilities are mixed.

    What share the class's own model has is chosen by held-out texts; without classes, and of a class without texts,
    that of all texts is all there is.

    Args:
        vocabulary_size: V, token ids.
        texts: Token ids of the training part, without ends.
        classes: Of each text the number of its class, (N,); None where texts are not of one class each.
        num_classes: K.

    Attributes:
        share: Of the class's own trigrams.

    Example:
        >>> texts = Ragged.of([[2, 3]] * 9 + [[4, 5]] * 9)
        >>> rule = ClassTrigrams(6, texts, np.array([0] * 9 + [1] * 9), num_classes=2)
        >>> rule.choose_share(texts, np.array([0] * 9 + [1] * 9))
        >>> own, other = rule.nats(Ragged.of([[2, 3]]), np.array([0])), rule.nats(Ragged.of([[2, 3]]), np.array([1]))
        >>> bool(own[0] < other[0])
        True
    """

    def __init__(
        self, vocabulary_size: int, texts: Ragged, classes: NDArray[np.int64] | None = None, *, num_classes: int = 0
    ) -> None:
        self._of_all = Trigrams(vocabulary_size, texts)
        self._of_each: list[Trigrams | None] = []
        if classes is not None:
            for number in range(num_classes):
                own = np.flatnonzero(classes == number)
                self._of_each.append(Trigrams(vocabulary_size, _taken(texts, own)) if len(own) else None)
        self.share = 0.5 if self._of_each else 0.0

    @classmethod
    def fits(cls, vocabulary_size: int) -> bool:
        """As of `Trigrams`."""
        return Trigrams.fits(vocabulary_size)

    def choose_share(self, texts: Ragged, classes: NDArray[np.int64]) -> None:
        """Choose the share of the class's own trigrams that makes held-out texts likeliest."""
        if not self._of_each or not len(classes):
            return
        of_all, of_class = self._by_token(texts, classes)
        losses = [float(-np.log(_mixed(of_all, of_class, share)).sum()) for share in _SHARES]
        self.share = float(_SHARES[int(np.argmin(losses))])

    def nats(self, texts: Ragged, classes: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return -ln p of each text, its end included, (N,).

        Args:
            texts: Token ids of N texts.
            classes: What they are taken to be of; None tells it by the trigrams of all texts.
        """
        if classes is None or not self._of_each:
            return self._of_all.nats(texts)
        of_all, of_class = self._by_token(texts, classes)
        return _summed(-np.log(_mixed(of_all, of_class, self.share)), texts)

    def told(self, texts: Ragged, counts: Sequence[int]) -> NDArray[np.int64]:
        """Return the likeliest class of each text, (N,), by Bayes' rule.

        Args:
            texts: Token ids of N texts.
            counts: How frequent each class is, (K,).
        """
        num = len(texts.lengths)
        scores = np.stack(
            [
                np.log(count) - self.nats(texts, np.full(num, number)) if count else np.full(num, -np.inf)
                for number, count in enumerate(counts)
            ]
        )
        best: NDArray[np.int64] = scores.argmax(0)
        return best

    def _by_token(self, texts: Ragged, classes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        of_all = np.exp(-self._of_all.token_nats(texts))
        of_class = of_all.copy()
        owner = np.repeat(classes, texts.lengths + 1)
        for number in np.unique(classes).tolist():
            model = self._of_each[number]
            if model is not None:
                own = _taken(texts, np.flatnonzero(classes == number))
                of_class[owner == number] = np.exp(-model.token_nats(own))
        return of_all, of_class


def _mixed(of_all: NDArray[np.float64], of_class: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return share * of_class + (1 - share) * of_all


def _taken(texts: Ragged, rows: NDArray[np.int64]) -> Ragged:
    return Ragged.of([texts.ids[texts.offsets[row] : texts.offsets[row + 1]] for row in rows.tolist()])


def _stream(texts: Ragged) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return texts one after the other, each behind the ends that it begins with, and what of that is to be told."""
    before = _ORDER - 1
    begins = texts.offsets[:-1] + (before + 1) * np.arange(len(texts.lengths))
    stream = np.full(len(texts.ids) + (before + 1) * len(texts.lengths), END, np.int64)
    is_told = np.ones(len(stream), np.bool_)
    owner = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
    stream[np.arange(len(texts.ids)) + (before + 1) * owner + before] = texts.ids
    for offset in range(before):
        is_told[begins + offset] = False
    return stream, is_told


def _summed(nats: NDArray[np.float64], texts: Ragged) -> NDArray[np.float64]:
    """Return the sum over each text of what its tokens and end have."""
    owner = np.repeat(np.arange(len(texts.lengths)), texts.lengths + 1)
    return np.bincount(owner, weights=nats, minlength=len(texts.lengths)).astype(np.float64)
