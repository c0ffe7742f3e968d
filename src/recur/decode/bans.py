"""Tokens that may not come next: forbidden ones, ends of forbidden phrases and of n-grams that were said already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from recur.decode.constraints import Phrase


class Bans:
    """Takes away from log-probabilities what may not come next.

    Args:
        forbidden: Phrases, of one token or more.
        block_ngrams: Length of the n-grams that come only once, if they do.
        min_length: Tokens before the end, at least.
        end: The token that ends, if one does.
        device: Where the tokens are.
    """

    def __init__(
        self,
        forbidden: Sequence[Phrase],
        block_ngrams: int | None,
        min_length: int,
        end: int | None,
        device: torch.device,
    ) -> None:
        by_length: dict[int, list[Phrase]] = defaultdict(list)
        self._by_last: dict[int, list[Phrase]] = defaultdict(list)
        for phrase in forbidden:
            by_length[len(phrase)].append(phrase)
            self._by_last[phrase[-1]].append(phrase)
        self._forbidden = [torch.tensor(phrases, device=device) for _, phrases in sorted(by_length.items())]
        self._block_ngrams = block_ngrams
        self._min_length = min_length
        self._end = end

    def allow(self, said: Sequence[int], token: int) -> bool:
        """Return whether a token may come after those that were said."""
        if token == self._end and self._is_too_short(len(said)):
            return False
        for phrase in self._by_last.get(token, ()):
            if len(phrase) == 1 or tuple(said[1 - len(phrase) :]) == phrase[:-1]:
                return False
        size = self._block_ngrams
        if size is None or size > len(said):
            return True
        newest = [*said[len(said) + 1 - size :], token]
        return all(said[at : at + size] != newest for at in range(len(said) + 1 - size))

    def apply(self, log_probs: Tensor, tokens: Tensor, full: Tensor | None) -> Tensor:
        """Return the log-probabilities with minus infinity for what may not come next.

        Args:
            log_probs: (N, V); it is left as it is, and returned where nothing is banned.
            tokens: What was said so far, (N, T) int64.
            full: (N,) bool: rows that can only end; None where no row is full.
        """
        num_said = tokens.shape[1]
        rows, banned = [], []
        for phrases in self._forbidden:
            if phrases.shape[1] <= num_said + 1:
                said = tokens[:, num_said + 1 - phrases.shape[1] :]
                row, which = (said[:, None] == phrases[:, :-1]).all(dim=2).nonzero(as_tuple=True)
                rows.append(row)
                banned.append(phrases[which, -1])
        if self._block_ngrams is not None and self._block_ngrams <= num_said:
            grams = tokens.unfold(1, self._block_ngrams, 1)
            newest = tokens[:, num_said + 1 - self._block_ngrams :]
            row, which = (grams[:, :, :-1] == newest[:, None]).all(dim=2).nonzero(as_tuple=True)
            rows.append(row)
            banned.append(grams[row, which, -1])
        is_too_short = self._is_too_short(num_said)
        if not (rows or is_too_short or full is not None):
            return log_probs
        allowed = log_probs.clone()
        if rows:
            allowed[torch.cat(rows), torch.cat(banned)] = -torch.inf
        if self._end is not None and full is not None:
            ends = allowed[full, self._end]
            allowed[full] = -torch.inf
            allowed[full, self._end] = ends
        if is_too_short:
            allowed[:, self._end] = -torch.inf
        return allowed

    def _is_too_short(self, num_said: int) -> bool:
        return self._end is not None and num_said < self._min_length
