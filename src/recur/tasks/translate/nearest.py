"""Which text of many is most like another: by the pieces of a few characters that they share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recur.models.texts.ngrams import NgramWeights
from recur.token_ids import Ragged

_SHORTEST, _LONGEST = 2, 4
_MOST_CHARACTERS = 6_000_000
"""Characters that are kept, so that it takes about a gigabyte."""

_MOST_WEIGHTS = 2**25
"""Numbers of the queries that are looked for at once."""


class NearestText:
    """Finds of many texts the one whose pieces of 2 to 4 characters are most like those of another.

    Texts are vectors of pieces weighted by how rare they are (`recur.models.texts.ngrams.NgramWeights`), in small
    letters; the nearest one has the largest cosine, and the first of several comes first. Of texts with more than six
    million characters in all as many as make up those are kept, evenly spread.

    Args:
        texts: To be found.

    Attributes:
        kept: Which of the texts can be found, (M,) int64.

    Example:
        >>> near = NearestText(["the cat sat", "a dog barked", "birds sing"])
        >>> near.find(["Two dogs bark", "song birds"]).tolist()
        [1, 2]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        step = max(1, -(-sum(map(len, texts)) // _MOST_CHARACTERS))
        self.kept: NDArray[np.int64] = np.arange(0, len(texts), step)
        ids = _ids([texts[number] for number in self.kept.tolist()])
        self._weights = NgramWeights(_LONGEST, shortest=_SHORTEST, marks_ends=True).fit(ids)
        self._vectors = self._weights(ids)

    def find(self, queries: Sequence[str]) -> NDArray[np.int64]:
        """Return which of the texts is nearest to each query, (N,); the first one where none shares a piece."""
        num = len(self._weights.known)
        at_once = int(np.clip(_MOST_WEIGHTS // max(1, num), 1, 64))
        found = [np.zeros(0, np.int64)]
        for first in range(0, len(queries), at_once):
            some = self._weights(_ids(queries[first : first + at_once]))
            count = len(some.begins)
            row = torch.bucketize(torch.arange(len(some.ngram)), some.begins, right=True) - 1
            weight = torch.zeros(num, count)
            weight[some.ngram, row] = some.value
            found.append(self._vectors.products(weight).argmax(0).numpy())
        return self.kept[np.concatenate(found)]


def _ids(texts: Sequence[str]) -> Ragged:
    """Return the characters of texts as numbers."""
    lower = [text.lower() for text in texts]
    offsets = np.zeros(len(lower) + 1, np.int64)
    np.cumsum([len(text) for text in lower], out=offsets[1:])
    # Halves of a pair, which damaged texts may have, are characters as good as others.
    return Ragged(np.frombuffer("".join(lower).encode("utf-32-le", "surrogatepass"), np.int32), offsets)
