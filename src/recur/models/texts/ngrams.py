"""Texts as vectors: which n-grams of tokens each has, by how rare they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from recur.token_ids import Ragged

_BASE = np.uint64(0x9E3779B97F4A7C15)
"""An odd number, by which the ids of an n-gram are mixed into one of 64 bits; 2^64 over the golden ratio."""


AT_ONCE = 1 << 18
"""Tokens whose n-grams are held at once, which take up to 330 bytes each."""


class Weighed(NamedTuple):
    """Vectors of N texts, with E entries that are not zero.

    Attributes:
        ngram: Which n-gram each entry is of, (E,) int64.
        begins: Where the entries of each text begin, (N,) int64.
        value: The entries, (E,) float32; those of a text have length 1.
    """

    ngram: Tensor
    begins: Tensor
    value: Tensor

    def products(self, weight: Tensor) -> Tensor:
        """Return the vector of each text times weights (G, K) float32, (N, K)."""
        if not len(weight):
            return weight.new_zeros(len(self.begins), weight.shape[1])
        found: Tensor = embedding_bag(self.ngram, weight, self.begins, mode="sum", per_sample_weights=self.value)
        return found


class _Ngrams(NamedTuple):
    """The n-grams of texts, E of them.

    Attributes:
        row: Which text each stands in, (E,) int64.
        key: Which n-gram it is, as one number, (E,) uint64.
        first: Its first token, counted in the text from 0 on, (E,) int64.
        last: The token behind its last one, (E,) int64.
    """

    row: NDArray[np.int64]
    key: NDArray[np.uint64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


class _Counted(NamedTuple):
    """In how many texts n-grams are.

    Attributes:
        keys: The n-grams, each as one number, (G,) uint64, sorted.
        in_texts: Texts that have each, (G,) int64.
    """

    keys: NDArray[np.uint64]
    in_texts: NDArray[np.int64]

    def merged(self, other: _Counted) -> _Counted:
        """Return the counts of these texts and of others."""
        keys, place = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        in_texts = np.zeros(len(keys), np.int64)
        in_texts[place[: len(self.keys)]] += self.in_texts
        in_texts[place[len(self.keys) :]] += other.in_texts
        return _Counted(keys, in_texts)


class NgramWeights:
    """Counts of n-grams weighted by how rare they are (tf-idf, Salton & Buckley 1988), and brought to length 1.

    The count of an n-gram is multiplied by log((1 + n) / (1 + n_g)) + 1, where n_g of the n texts of the training part
    have it.

    Args:
        longest: N-grams of so many tokens at most.
        shortest: And so many at least.
        marks_ends: Whether beginning and end of a text count as tokens, as is usual for characters.
        unknown: A token whose n-grams count for nothing; None for no such one.

    Attributes:
        known: The n-grams that are known, each as one number, (G,), sorted.
        rarity: What their counts are multiplied by, (G,).

    Example:
        >>> from recur.token_ids import Ragged
        >>> texts = Ragged.of([[2, 3], [2, 4]])
        >>> weights = NgramWeights(1).fit(texts)
        >>> weights(texts).value
        tensor([0.5797, 0.8148, 0.5797, 0.8148])
    """

    def __init__(
        self, longest: int, *, shortest: int = 1, marks_ends: bool = False, unknown: int | None = None
    ) -> None:
        self.longest, self.shortest, self.marks_ends, self.unknown = longest, shortest, marks_ends, unknown
        self.known: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self.rarity: NDArray[np.float64] = np.zeros(0, np.float64)

    def fit(self, texts: Ragged, *, least_count: int = 1, most: int | None = None) -> NgramWeights:
        """Learn which n-grams there are and how rare, and return the object.

        Args:
            texts: Token ids of the training part.
            least_count: Texts that an n-gram must be in to be known.
            most: How many are known at most, those in most texts; None for all.
        """
        count = len(texts.lengths)
        counted = [_Counted(np.zeros(0, np.uint64), np.zeros(0, np.int64))]
        for piece in texts.pieces(AT_ONCE):
            counted.append(self._count(piece))
            # Of two about as large, so that each n-gram is merged few times.
            while len(counted) > 1 and len(counted[-2].keys) < 2 * len(counted[-1].keys):
                counted.append(counted.pop().merged(counted.pop()))
        while len(counted) > 1:
            counted.append(counted.pop().merged(counted.pop()))
        keys, in_texts = counted[0]
        is_known = in_texts >= least_count
        if most is not None and is_known.sum() > most:
            fewest = np.argsort(-in_texts, kind="stable")[most:]
            is_known[fewest] = False
        self.known = keys[is_known]
        self.rarity = np.log((1 + count) / (1 + in_texts[is_known])) + 1
        return self

    def __call__(self, texts: Ragged) -> Weighed:
        """Return the vectors of texts; what is not known counts for nothing."""
        none = Weighed(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
        found, begin = [none], 0
        for piece in texts.pieces(AT_ONCE):
            one = self._weigh(piece)
            found.append(one._replace(begins=one.begins + begin))
            begin += len(one.ngram)
        return Weighed(*(torch.cat(each) for each in zip(*found, strict=True)))

    def by_token(self, ids: NDArray[np.integer], weight: Tensor) -> Tensor:
        """Return what each token of a text adds to its vector times weights (G, K) float32, (T, K).

        What an n-gram adds is shared evenly by the tokens that it has in the text.

        Args:
            ids: Of the tokens, (T,).
            weight: As of `Weighed.products`.
        """
        found = torch.zeros(len(ids), weight.shape[1])
        grams = self._ngrams(Ragged.of([ids]))
        place, is_known = self._places(grams.key)
        place, first, last = place[is_known], grams.first[is_known], grams.last[is_known]
        times = np.bincount(place, minlength=len(self.known))
        shares = self.rarity[place] / (np.sqrt(np.sum((times * self.rarity) ** 2)) * (last - first))
        # Each n-gram once for each of its tokens.
        again = np.repeat(np.arange(len(place)), last - first)
        token = np.arange(len(again)) - np.repeat(np.cumsum(last - first) - last, last - first)
        added = torch.from_numpy(shares[again].astype(np.float32))[:, None] * weight[torch.from_numpy(place[again])]
        return found.index_add_(0, torch.from_numpy(token), added)

    def _count(self, texts: Ragged) -> _Counted:
        """Return in how many texts each n-gram is."""
        row, key, *_ = self._ngrams(texts)
        count = len(texts.lengths)
        keys, place = np.unique(key, return_inverse=True)
        # With counts it sorts; without them it goes by a hash table, which takes ten times as long here.
        once, _ = np.unique(place * count + row, return_counts=True)
        return _Counted(keys, np.bincount(once // count, minlength=len(keys)))

    def _weigh(self, texts: Ragged) -> Weighed:
        """Return the vectors of texts, all at once."""
        row, key, *_ = self._ngrams(texts)
        count, num = len(texts.lengths), len(self.known)
        place, is_known = self._places(key)
        pairs, times = np.unique(row[is_known] * max(1, num) + place[is_known], return_counts=True)
        row, ngram = np.divmod(pairs, max(1, num))
        value = times * self.rarity[ngram]
        value /= np.sqrt(np.bincount(row, weights=value**2, minlength=count))[row]
        begins = np.searchsorted(row, np.arange(count))
        return Weighed(*(torch.from_numpy(each) for each in (ngram, begins, value.astype(np.float32))))

    def _places(self, key: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where n-grams stand in `known`, and which of them do, (E,) both."""
        num = len(self.known)
        place = np.searchsorted(self.known, key).clip(max=max(0, num - 1))
        return place, self.known[place] == key if num else np.zeros(len(key), np.bool_)

    def _ngrams(self, texts: Ragged) -> _Ngrams:
        marks = 1 if self.marks_ends else 0
        numbers = np.arange(len(texts.lengths))
        row = np.repeat(numbers, texts.lengths + 2 * marks)
        ids = np.zeros(len(row), np.uint64)
        ids[np.arange(len(texts.ids)) + marks * (2 * np.repeat(numbers, texts.lengths) + 1)] = texts.ids
        # The first token of a text has place 0, a mark before it -1.
        begins = texts.offsets[:-1] + marks * (2 * numbers + 1)
        place = np.arange(len(row)) - np.repeat(begins, texts.lengths + 2 * marks)
        mixed, has_unknown = np.zeros_like(ids), np.zeros(len(ids), np.bool_)
        found = []
        for length in range(1, self.longest + 1):
            before = length - 1
            mixed = (mixed[: len(ids) - before] * _BASE + ids[before:] + np.uint64(1)) if len(ids) > before else ids[:0]
            if self.unknown is not None:
                has_unknown = has_unknown[: len(mixed)] | (ids[before:] == self.unknown)[: len(mixed)]
            if length < self.shortest:
                continue
            own = row[: len(mixed)]
            first, last = place[: len(mixed)].clip(min=0), (place[: len(mixed)] + length).clip(max=texts.lengths[own])
            # Not across the end of a text, and not of marks alone.
            inside = (row[before:] == own) & (first < last) & ~has_unknown[: len(mixed)]
            found.append(_Ngrams(own[inside], mixed[inside], first[inside], last[inside]))
        return _Ngrams(*(np.concatenate(each) for each in zip(*found, strict=True)))
