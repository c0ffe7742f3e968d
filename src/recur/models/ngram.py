"""The n-gram language model: counts of short contexts, the baseline that a recurrent model has to beat."""

from __future__ import annotations

from collections.abc import Sequence

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
            self._take(codes, counts.astype(np.int64))
        return self

    @property
    def counts(self) -> tuple[tuple[IntArray, IntArray], ...]:
        """Of n-grams of 1 token, of 2, and so on up to the order: their codes, sorted, and how often each was told.

        The code of an n-gram is a number whose digits in base V are its tokens, the newest last.
        """
        return tuple(self._grams)

    @classmethod
    def from_counts(cls, vocabulary_size: int, counts: Sequence[tuple[IntArray, IntArray]]) -> NGramModel:
        """Return the model with these `counts`.

        Raises:
            ValueError: They are no such counts.
        """
        found = cls(vocabulary_size, len(counts))
        for k, (codes, seen) in enumerate(counts):
            for one in (codes, seen):
                if one.dtype != np.int64 or one.shape != (len(codes),):
                    raise ValueError("n-grams and their counts are int64, one of each")
            if len(codes) and (codes[0] < 0 or codes[-1] >= vocabulary_size ** (k + 1)):
                raise ValueError(f"an n-gram has a token that is not among {vocabulary_size}")
            if (np.diff(codes) <= 0).any() or (seen < 1).any():
                raise ValueError("n-grams are not sorted, or one was never told")
            found._take(codes, seen)
        return found

    def _take(self, codes: IntArray, counts: IntArray) -> None:
        """Keep the counts of n-grams of one token more than those before."""
        contexts, first = np.unique(codes // self.vocabulary_size, return_index=True)
        totals = np.add.reduceat(counts, first) if len(counts) else np.zeros(0, np.int64)
        followers = np.diff(np.append(first, len(codes)))
        self._grams.append((codes, counts))
        self._contexts.append((contexts, totals.astype(np.int64), followers.astype(np.int64)))

    def nats(self, ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return -ln p of each token of `ids` given those before it, (N,) float64; the first ones have less context."""
        tokens = np.asarray(ids, dtype=np.int64)
        p = self._unigrams()[tokens]
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

    def after(self, contexts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the probability of each token after contexts, (N, V) float64.

        Args:
            contexts: (N, C) integers below V, the newest token last; of more than `order` - 1 only the newest count.
        """
        digits = np.asarray(contexts, dtype=np.int64)
        p = np.tile(self._unigrams(), (len(digits), 1))
        size, context, base = self.vocabulary_size, np.zeros(len(digits), np.int64), 1
        for k in range(1, min(self.order, digits.shape[1] + 1)):
            context, base = context + digits[:, -k] * base, base * size
            known, totals, followers = self._contexts[k]
            total, different = _look_up(known, totals, context), _look_up(known, followers, context)
            p *= np.where(total > 0, different / np.maximum(total + different, 1), 1.0)[:, None]
            # Only what was seen after a context has more than its share of what shorter ones say.
            codes, seen = self._grams[k]
            first, last = np.searchsorted(codes, context * size), np.searchsorted(codes, (context + 1) * size)
            rows = np.repeat(np.arange(len(digits)), last - first)
            place = np.arange(len(rows)) + np.repeat(last - np.cumsum(last - first), last - first)
            p[rows, codes[place] % size] += seen[place] / (total + different)[rows]
        return p

    def _unigrams(self) -> NDArray[np.float64]:
        """Return the probability of each token without a context, (V,)."""
        counts = np.zeros(self.vocabulary_size)
        codes, seen = self._grams[0]
        counts[codes] = seen
        found: NDArray[np.float64] = (counts + 1.0) / (counts.sum() + self.vocabulary_size)
        return found


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
