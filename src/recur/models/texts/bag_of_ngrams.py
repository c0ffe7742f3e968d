"""The rule that a classifier of texts has to beat: a linear model of which n-grams a text has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, embedding_bag

if TYPE_CHECKING:
    from recur.data.texts.vocabulary import Ragged

_LEAST_COUNT = 2
"""Texts of the training part that an n-gram must be in."""

_MOST_WEIGHTS = 1 << 23
"""Of more classes fewer n-grams are known, those in most texts."""

_MOST_ROUNDS = 100
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""An odd number, by which the ids of an n-gram are mixed into one of 64 bits; 2^64 over the golden ratio."""


class BagOfNgrams:
    """Logistic regression on the n-grams of tokens in a text, weighted by how rare they are (tf-idf).

    Counts of n-grams are multiplied by log((1 + n) / (1 + n_g)) + 1, n_g of the n texts having the n-gram, and each
    text is brought to length 1. The weights W make the mean loss + ||W||^2 / (2 C n) small, by at most 100 rounds of
    L-BFGS: what is usually taken as the first thing to try. N-grams that fewer than two texts have count for nothing;
    and where there would be more than eight million weights, those that fewest texts have.

    Args:
        longest: N-grams of 1 up to so many tokens.
        is_multi: Whether a text is of any number of classes; then each class is weighed by how rare it is.
        marks_ends: Whether beginning and end of a text count as tokens, as is usual for characters.
        strength: C, by how much losses outweigh the size of the weights.

    Example:
        >>> from recur.data.texts.vocabulary import Ragged
        >>> texts = Ragged.of([[2, 3], [2, 3, 4], [5], [5, 6]])
        >>> model = BagOfNgrams(longest=2).fit(texts, torch.tensor([0, 0, 1, 1]), num_classes=2)
        >>> model(Ragged.of([[3], [5, 2, 6]])).argmax(1).tolist()
        [0, 1]
    """

    def __init__(
        self, longest: int = 2, *, is_multi: bool = False, marks_ends: bool = False, strength: float = 1.0
    ) -> None:
        self.longest, self.is_multi, self.marks_ends, self.strength = longest, is_multi, marks_ends, strength
        self._known = np.zeros(0, np.uint64)
        self._rarity = np.zeros(0, np.float64)
        self._weight = torch.zeros(0, 0)
        self._bias = torch.zeros(0)

    def fit(self, texts: Ragged, target: Tensor, *, num_classes: int) -> BagOfNgrams:
        """Learn from the training part, and return the object.

        Args:
            texts: Token ids of n texts.
            target: Classes, (n,) int64; or of which each is, (n, K) floating.
            num_classes: K.
        """
        row, key = self._ngrams(texts)
        count = len(texts.lengths)
        pairs = np.unique(np.stack([key, row.astype(np.uint64)], 1), axis=0)[:, 0]
        keys, in_texts = np.unique(pairs, return_counts=True)
        is_known = in_texts >= _LEAST_COUNT
        most = max(1, _MOST_WEIGHTS // num_classes)
        if is_known.sum() > most:
            # Those that are in most texts; of equal ones the first.
            order = np.argsort(-in_texts, kind="stable")[:most]
            is_known = np.zeros_like(is_known)
            is_known[order] = True
        self._known = keys[is_known]
        self._rarity = np.log((1 + count) / (1 + in_texts[is_known])) + 1
        x = self._counted(row, key, count)
        weight = torch.zeros(len(self._known), num_classes, requires_grad=True)
        bias = torch.zeros(num_classes, requires_grad=True)
        positive = None
        if self.is_multi:
            there = target.float().sum(0)
            positive = torch.where(there > 0, (count - there) / there.clamp(min=1), 1)
        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=_MOST_ROUNDS, history_size=10, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            weight.grad = bias.grad = None
            logits = _products(x, weight) + bias
            loss = (
                binary_cross_entropy_with_logits(logits, target.float(), pos_weight=positive) * num_classes
                if self.is_multi
                else cross_entropy(logits, target)
            )
            loss = loss + weight.square().sum() / (2 * self.strength * count)
            torch.autograd.backward([loss])
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        self._weight, self._bias = weight.detach(), bias.detach()
        return self

    def __call__(self, texts: Ragged) -> Tensor:
        """Return the logits of texts, (N, K) float32."""
        row, key = self._ngrams(texts)
        return _products(self._counted(row, key, len(texts.lengths)), self._weight) + self._bias

    def tensors(self) -> dict[str, Tensor]:
        """Return what `from_tensors` takes: all that was learned."""
        return {
            "known": torch.from_numpy(self._known.view(np.int64).copy()),
            "rarity": torch.from_numpy(self._rarity),
            "weight": self._weight,
            "bias": self._bias,
        }

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], longest: int, *, is_multi: bool, marks_ends: bool
    ) -> BagOfNgrams:
        """Return the model that `tensors` told.

        Raises:
            KeyError: A tensor is missing.
            ValueError: Shapes do not agree.
        """
        found = cls(longest, is_multi=is_multi, marks_ends=marks_ends)
        found._known = tensors["known"].numpy().view(np.uint64)
        found._rarity = tensors["rarity"].double().numpy()
        found._weight, found._bias = tensors["weight"].float(), tensors["bias"].float()
        if found._weight.shape != (len(found._known), len(found._bias)) or len(found._rarity) != len(found._known):
            raise ValueError("the shapes of the bag of n-grams do not agree")
        return found

    def _ngrams(self, texts: Ragged) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return the n-grams of all texts, each as one number: which text, (G,), and which n-gram, (G,)."""
        marks = 1 if self.marks_ends else 0
        numbers = np.arange(len(texts.lengths))
        row = np.repeat(numbers, texts.lengths + 2 * marks)
        ids = np.zeros(len(row), np.uint64)
        ids[np.arange(len(texts.ids)) + marks * (2 * np.repeat(numbers, texts.lengths) + 1)] = texts.ids
        rows, keys = [], []
        mixed = np.zeros_like(ids)
        for length in range(1, self.longest + 1):
            first = length - 1
            mixed = (mixed[: len(ids) - first] * _BASE + ids[first:] + np.uint64(1)) if len(ids) > first else ids[:0]
            # Not across the end of a text.
            inside = row[first:] == row[: len(row) - first]
            rows.append(row[first:][inside])
            keys.append(mixed[inside])
        return np.concatenate(rows), np.concatenate(keys)

    def _counted(self, row: NDArray[np.int64], key: NDArray[np.uint64], count: int) -> _Counted:
        """Return the weighted counts of the n-grams that are known."""
        place = np.searchsorted(self._known, key).clip(max=max(0, len(self._known) - 1))
        is_known = self._known[place] == key if len(self._known) else np.zeros(len(key), np.bool_)
        pairs, times = np.unique(np.stack([row[is_known], place[is_known]], 1), axis=0, return_counts=True)
        value = times * self._rarity[pairs[:, 1]]
        length = np.sqrt(np.bincount(pairs[:, 0], weights=value**2, minlength=count))
        value /= length[pairs[:, 0]]
        begins = np.searchsorted(pairs[:, 0], np.arange(count))
        return _Counted(*(torch.from_numpy(each) for each in (pairs[:, 1].copy(), begins, value.astype(np.float32))))


class _Counted(NamedTuple):
    """Which n-grams the texts have, (E,) int64, where those of each begin, (N,), and their weighted counts, (E,)."""

    ngram: Tensor
    begins: Tensor
    value: Tensor


def _products(x: _Counted, weight: Tensor) -> Tensor:
    """Return the weighted counts of each text times weights (G, K), (N, K)."""
    if not len(weight):
        return weight.new_zeros(len(x.begins), weight.shape[1])
    found: Tensor = embedding_bag(x.ngram, weight, x.begins, mode="sum", per_sample_weights=x.value)
    return found
