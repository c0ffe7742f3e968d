"""The rule that a translator's likelihood stands beside: a trigram model of targets, which does not read sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.pair_batches import END
from recur.data.texts.vocabulary import TextVocabulary
from recur.models.ngram import NGramModel


def trigram_nats(vocabulary: TextVocabulary, train: Sequence[str], targets: Sequence[str]) -> float:
    """Return the mean nats of targets' tokens and ends, as an `NGramModel` of three tokens takes them to be likely.

    Args:
        vocabulary: What tokens are.
        train: Targets of the training part, which it counts.
        targets: What it tells the likelihood of; one or more.

    Example:
        >>> from recur.data.texts.token_options import TokenOptions
        >>> options = TokenOptions(tokens="character", min_count=1, lowercase=False)
        >>> vocabulary = TextVocabulary.fit(["ababab"], options)
        >>> trigram_nats(vocabulary, ["ababab"] * 9, ["abab"]) < trigram_nats(vocabulary, ["ababab"] * 9, ["baba"])
        True
    """
    model = NGramModel(vocabulary.size, order=3).fit(_running(vocabulary, train))
    # What the first end says is no token of a target.
    return float(model.nats(_running(vocabulary, targets))[1:].mean())


def _running(vocabulary: TextVocabulary, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the tokens of texts one after the other, with an end before the first and after each."""
    return np.concatenate([[END], *(part for text in texts for part in (vocabulary.encode(text), [END]))])
