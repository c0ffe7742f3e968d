"""Sentences of words in batches of about the same length, with the characters of each word and the tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from recur.data.texts.batches import MAX_TOKENS, LengthBatches, TextBatch, padded
from recur.data.texts.vocabulary import TextVocabulary
from recur.token_ids import PADDING, Ragged

if TYPE_CHECKING:
    from torch import Tensor


class Words(NamedTuple):
    """Sentences as numbers, each different word spelt once.

    Attributes:
        sentences: The number of the word at each place of N sentences; from 1 on, for 0 stands past a sentence's end.
        ids: (F,) int32, the id of each word.
        spellings: The ids of the characters of each word; none of word 0.
    """

    sentences: Ragged
    ids: NDArray[np.int32]
    spellings: Ragged

    @classmethod
    def of(
        cls, sentences: Iterable[Sequence[str]], vocabulary: TextVocabulary, characters: TextVocabulary | None
    ) -> Self:
        """Return the numbers of sentences.

        Args:
            sentences: Tokens of each.
            vocabulary: Of words.
            characters: Of their characters; None where words are not spelt.
        """
        number: dict[str, int] = {}
        rows = [[number.setdefault(token, len(number) + 1) for token in tokens] for tokens in sentences]
        words = list(number)
        spelt = [characters.encode(word) for word in words] if characters is not None else [()] * len(words)
        ids = np.concatenate([np.full(1, PADDING, np.int32), vocabulary.encode_tokens(words)])
        return cls(Ragged.of(rows), ids, Ragged.of([(), *spelt]))


@dataclass(frozen=True, kw_only=True)
class TaggedBatch(TextBatch):
    """One batch of sentences, padded on the right.

    Attributes:
        target: The number of each token's tag, (B, T) int64; 0 past a row's end, and in rows that do not count.
        weight: How much each sentence counts, (B,) float32; 0 where not all of its tags are known.
        word: Which of the U different words of the batch stands where, (B, T) int64.
        characters: Ids of the characters of these words, one word after the other, (N,) int64.
        character_lengths: How many each has, (U,) int64.
    """

    word: Tensor
    characters: Tensor
    character_lengths: Tensor


class TaggedBatches(LengthBatches[TaggedBatch]):
    """Batches of sentences, each of sentences of about the same length.

    Args:
        words: N sentences.
        tags: Numbers of the tags, as many as words; -1 for one that is not known. None where there are none.
        batch_size: As of `LengthBatches`, as all others.
        max_tokens: Likewise.
        seed: Likewise.

    Raises:
        OptionError: A number is out of range.

    Example:
        >>> from recur.data.texts.token_options import TokenOptions, WordOptions
        >>> sentences = [["so", "good"], ["so"]]
        >>> known = TextVocabulary.fit_tokens(["so", "good", "so"], WordOptions(min_count=1))
        >>> letters = TextVocabulary.fit(["so", "good"], TokenOptions(tokens="character", lowercase=False))
        >>> words = Words.of(sentences, known, letters)
        >>> batches = TaggedBatches(words, Ragged.of([[1, 2], [1]]), batch_size=2)
        >>> (batch,) = batches
        >>> batch.x.tolist(), batch.target.tolist(), batch.character_lengths.tolist()
        ([[2, 0], [2, 3]], [[1, 0], [1, 2]], [0, 2, 4])
    """

    def __init__(
        self,
        words: Words,
        tags: Ragged | None = None,
        *,
        batch_size: int,
        max_tokens: int = MAX_TOKENS,
        seed: int | None = None,
    ) -> None:
        count = len(words.sentences.lengths)
        weight = np.zeros(count, np.float32)
        if tags is not None:
            sentence = np.repeat(np.arange(count), tags.lengths)
            weight = (np.bincount(sentence, tags.ids < 0, minlength=count) == 0).astype(np.float32)
        super().__init__(words.sentences.lengths, batch_size=batch_size, max_tokens=max_tokens, seed=seed)
        self._words, self._tags, self._weight = words, tags, weight

    def _batch(self, items: NDArray[np.int64]) -> TaggedBatch:
        import torch

        number, lengths = padded(self._words.sentences, items)
        own, word = np.unique(number.numpy(), return_inverse=True)
        spellings = self._words.spellings
        spelt = spellings.lengths[own]
        place = np.repeat(spellings.offsets[own] - np.cumsum(spelt) + spelt, spelt) + np.arange(spelt.sum())
        weight = torch.from_numpy(self._weight[items])
        target = torch.zeros_like(number)
        if self._tags is not None:
            target = torch.where(weight[:, None] > 0, padded(self._tags, items)[0], 0)
        return TaggedBatch(
            x=torch.from_numpy(self._words.ids.astype(np.int64))[number],
            lengths=lengths,
            target=target,
            weight=weight,
            index=torch.from_numpy(items),
            word=torch.from_numpy(word.reshape(number.shape).astype(np.int64)),
            characters=torch.from_numpy(spellings.ids[place].astype(np.int64)),
            character_lengths=torch.from_numpy(spelt),
        )
