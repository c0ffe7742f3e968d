"""The n-gram language model: counts of short contexts, the baseline that a recurrent model has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


class NGramModel:
    """Interpolated n-gram model with Witten-Bell smoothing (Witten & Bell 1991; Chen & Goodman 1998, eq. 16).

    With n(u) the count of context u, N1+(u) the number of different tokens seen after it, and u' the context without
    its oldest token:

        p(w | u) = (n(u w) + N1+(u) p(w | u')) / (n(u) + N1+(u)),     p(w) = (n(w) + 1) / (n + V)

    Args:
        vocabulary_size: Number of tokens, V.
        order: Length of context plus one: 1 is a unigram model, 3 a trigram model.

    Raises:
        ValueError: `order` is below 1, or V ** order does not fit 63 bits.

    Example:
        >>> model = NGramModel(2, order=2).fit(np.array([0, 1, 0, 1, 0, 1, 0]))
        >>> bool(model.nats(np.array([0, 1, 0, 1]))[1:].mean() < 0.3)
        True
    """

    def __init__(self, vocabulary_size: int, order: int = 3) -> None:
        if order < 1:
            raise ValueError(f"order must be at least 1, not {order}")
        if order * np.log2(max(vocabulary_size, 2)) > 62:
            raise ValueError(f"a vocabulary of {vocabulary_size} is too large for order {order}")
        self.vocabulary_size = vocabulary_size
        self.order = order
        # For each length k of the context: sorted codes of (context, token), their counts; sorted codes of contexts,
        # their counts and numbers of different followers.
        self._grams: list[tuple[IntArray, IntArray]] = []
        self._contexts: list[tuple[IntArray, IntArray, IntArray]] = []

    def fit(self, ids: NDArray[np.integer], *, is_told: NDArray[np.bool_] | None = None) -> NGramModel:
        """Count the n-grams of `ids` and return the model itself.

        Args:
            ids: Tokens, (N,) integers below V.
            is_told: Which of them are to be told; others, such as what stands between two texts, are only context.
                None for all.
        """
        tokens = np.asarray(ids, dtype=np.int64)
        self._grams, self._contexts = [], []
        for k in range(self.order):
            grams = _codes(tokens, k + 1, self.vocabulary_size)
            codes, counts = np.unique(grams if is_told is None else grams[is_told[k:]], return_counts=True)
            contexts, first = np.unique(codes // self.vocabulary_size, return_index=True)
            totals = np.add.reduceat(counts, first) if len(counts) else np.zeros(0, np.int64)
            followers = np.diff(np.append(first, len(codes)))
            self._grams.append((codes, counts.astype(np.int64)))
            self._contexts.append((contexts, totals.astype(np.int64), followers.astype(np.int64)))
        return self

    def nats(self, ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return -ln p of each token of `ids` given those before it, (N,) float64; the first ones have less context."""
        tokens = np.asarray(ids, dtype=np.int64)
        counts = np.zeros(self.vocabulary_size)
        codes, seen = self._grams[0]
        counts[codes] = seen
        p = (counts[tokens] + 1.0) / (counts.sum() + self.vocabulary_size)
        for k in range(1, self.order):
            if len(tokens) <= k:
                break
            grams = _codes(tokens, k + 1, self.vocabulary_size)
            joint = _look_up(self._grams[k][0], self._grams[k][1], grams)
            contexts, totals, followers = self._contexts[k]
            context = grams // self.vocabulary_size
            total, different = _look_up(contexts, totals, context), _look_up(contexts, followers, context)
            known = total > 0
            shorter = p[k:]
            p[k:] = np.where(known, (joint + different * shorter) / np.maximum(total + different, 1), shorter)
        nats: NDArray[np.float64] = -np.log(p)
        return nats


def _codes(tokens: IntArray, length: int, vocabulary_size: int) -> IntArray:
    """Return one number for each run of `length` tokens: its digits in base V, the newest token last."""
    count = max(len(tokens) - length + 1, 0)
    codes = np.zeros(count, dtype=np.int64)
    for offset in range(length):
        codes = codes * vocabulary_size + tokens[offset : offset + count]
    return codes


def _look_up(keys: IntArray, values: IntArray, wanted: IntArray) -> IntArray:
    if len(keys) == 0:
        return np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
