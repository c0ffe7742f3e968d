"""What the characters of a word say of it: features of words that were never met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from recur.models.pooling import LastPool
from recur.models.texts.encoder import token_vectors
from recur.nn import LSTM

_WIDTH = 3
"""Characters that a convolution sees at once."""


class CharacterConvolution(nn.Module):
    """A convolution over the characters of each word, and the largest of each feature over its places.

    ```text
    c_i = E[character_i]
    y = max(0, max_i (W [c_{i-1}; c_i; c_{i+1}] + b))
    ```

    Words lie one after the other on one line, with a gap between, so that a long one costs no padding of the others.

    Source: dos Santos & Zadrozny (2014); as it is used here Ma & Hovy (2016), section 2.1.

    Args:
        num_characters: Ids of the vocabulary. Id 0 is padding, 1 stands for what is unknown.
        character_size: E, of the vector of a character.
        num_features: F, of a word.

    Example:
        >>> reader = CharacterConvolution(30, character_size=4, num_features=6)
        >>> reader(torch.tensor([5, 7, 2]), torch.tensor([0, 2, 1])).shape
        torch.Size([3, 6])
    """

    def __init__(self, num_characters: int, *, character_size: int, num_features: int) -> None:
        super().__init__()
        self.embedding = token_vectors(num_characters, character_size)
        self.convolution = nn.Conv1d(character_size, num_features, _WIDTH, padding=_WIDTH // 2)
        self.num_features = num_features

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Return the features of U words, (U, F); zeros of a word without characters.

        Args:
            characters: Ids of the characters of all words, one word after the other, (N,) int64.
            lengths: Characters of each word, (U,) int64.
        """
        word_N = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        place_N = torch.arange(len(word_N), device=lengths.device) + word_N * (_WIDTH // 2)
        count = len(word_N) + len(lengths) * (_WIDTH // 2)
        # Padding, whose vector is zero, stands in the gaps.
        line = characters.new_zeros(max(1, count)).index_copy_(0, place_N, characters)
        found_FN = self.convolution(self.embedding(line).t().unsqueeze(0))[0]
        found_NF = found_FN.t().index_select(0, place_N)
        start_UF = found_NF.new_zeros(len(lengths), self.num_features)
        largest_UF: Tensor = start_UF.scatter_reduce(0, word_N.unsqueeze(1).expand_as(found_NF), found_NF, "amax")
        return largest_UF


class CharacterRecurrence(nn.Module):
    """The characters of each word read from both ends by an LSTM: its last step in each direction.

    Source: Lample et al. (2016), section 4.1; Ling et al. (2015).

    Args:
        num_characters: Ids of the vocabulary. Id 0 is padding, 1 stands for what is unknown.
        character_size: Of the vector of a character.
        num_features: F, of a word, half of them from each direction.

    Example:
        >>> reader = CharacterRecurrence(30, character_size=4, num_features=6)
        >>> reader(torch.tensor([5, 7, 2]), torch.tensor([0, 2, 1])).shape
        torch.Size([3, 6])
    """

    def __init__(self, num_characters: int, *, character_size: int, num_features: int) -> None:
        super().__init__()
        self.embedding = token_vectors(num_characters, character_size)
        self.recurrent = LSTM(character_size, num_features // 2, bidirectional=True)
        self.pool = LastPool(num_features, 2)
        self.num_features = num_features

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Return the features of U words, (U, F); arguments as of `CharacterConvolution`."""
        begins = lengths.cumsum(0) - lengths
        vectors = self.embedding(characters)
        found_UF: Tensor = vectors.new_zeros(len(lengths), self.num_features)
        for words in _of_about_the_same_length(lengths):
            own = lengths[words]
            is_there_TW = torch.arange(int(own.max()), device=own.device)[:, None] < own
            place_TW = torch.where(is_there_TW, begins[words] + torch.arange(len(is_there_TW))[:, None].to(own), 0)
            h_TWF, _ = self.recurrent(vectors[place_TW], lengths=own)
            found_UF = found_UF.index_copy(0, words, self.pool(h_TWF, is_there_TW)[0])
        return found_UF


def _of_about_the_same_length(lengths: Tensor) -> Iterator[Tensor]:
    """Yield the numbers of words none of which is twice as long as another, so that few places are padding."""
    bucket = lengths.clamp(min=1).double().log2().floor()
    for number in sorted(set(bucket[lengths > 0].tolist())):
        yield ((bucket == number) & (lengths > 0)).nonzero()[:, 0]


READERS: dict[str, Any] = {"convolution": CharacterConvolution, "recurrent": CharacterRecurrence}
"""What reads characters, by the name that an option has for it."""
