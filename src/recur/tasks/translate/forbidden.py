"""Texts that no answer holds, whichever tokens write them and wherever the words come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.texts.vocabulary import TextVocabulary
from recur.decode import Steps
from recur.decode.steps import attention_told
from recur.errors import OptionError
from recur.token_ids import SPECIAL, UNKNOWN

Atoms = tuple[str, ...]
"""What a text is compared by: the bytes of a BPE, the tokens of other vocabularies."""


class ForbiddenTexts:
    """Texts that are to be in no answer, as the automaton of Aho & Corasick (1975) over what tokens are made of.

    A BPE may write a text in many ways, so that its tokens are followed byte by byte. A word that takes the place of an
    unknown one, and one that is copied from the source, are followed as the tokens that a target would have of them.

    Args:
        texts: The texts. Of words, and of what stands between blanks, these are whole words; of characters and a BPE
            they may be anywhere within words.
        vocabulary: Of targets.

    Raises:
        OptionError: One is no text, or has no token.
    """

    def __init__(self, texts: Sequence[str], vocabulary: TextVocabulary) -> None:
        self._vocabulary = vocabulary
        phrases = {self._phrase(text) for text in texts}
        nodes = sorted({phrase[:n] for phrase in phrases for n in range(len(phrase))} | {()})
        place = {node: number for number, node in enumerate(nodes)}
        atoms = sorted({atom for phrase in phrases for atom in phrase})
        # What is in no phrase has the number 0, and leads back to the beginning.
        self._number = {atom: number for number, atom in enumerate(atoms, 1)}
        self._after = np.zeros((len(nodes), len(atoms) + 1), np.int64)
        self._hits = np.zeros((len(nodes), len(atoms) + 1), np.bool_)
        for node, row in place.items():
            for atom, column in self._number.items():
                said = (*node, atom)
                ends = [said[n:] for n in range(len(said) + 1)]
                self._hits[row, column] = not phrases.isdisjoint(ends)
                self._after[row, column] = next(place[end] for end in ends if end in place)
        bpe = vocabulary.bpe
        known = [tuple(one) for one in bpe.symbols] if bpe is not None else [(one,) for one in vocabulary.symbols]
        # An end says nothing; what is unknown, and stays so, is in no phrase.
        self._known = self._tables([(), ("",), *known])

    def __call__(
        self,
        steps: Steps[Any],
        state: Any,
        *,
        instead: Sequence[Sequence[str]],
        copied: Sequence[Sequence[str]],
        device: torch.device,
    ) -> tuple[ForbiddingSteps, ForbiddingState]:
        """Return what decodes without writing the texts, and its state before the first token.

        Args:
            steps: What decodes B rows, as of `recur.decode`.
            state: Its state before the first token.
            instead: Of each row, for each token of the source, what stands in place of an unknown one that looked at
                it.
            copied: Of each row what the ids behind the last one of targets stand for.
            device: Where it computes.
        """
        texts = dict.fromkeys(text for rows in (instead, copied) for row in rows for text in row)
        id_of = {text: self._vocabulary.size + number for number, text in enumerate(texts)}
        more = self._tables([self._atoms(text) for text in texts])
        after, hits = (np.concatenate(both, axis=1) for both in zip(self._known, more, strict=True))

        def ids(rows: Sequence[Sequence[str]]) -> Tensor:
            width = max(map(len, rows), default=0)
            found = [[*map(id_of.__getitem__, row), *[UNKNOWN] * (width - len(row))] for row in rows]
            return torch.tensor(found, dtype=torch.int64, device=device)

        forbidding = ForbiddingSteps(
            steps,
            size=self._vocabulary.size,
            after=torch.from_numpy(after).to(device),
            hits=torch.from_numpy(hits).to(device),
            instead=None if self._vocabulary.bpe is not None else ids(instead),
            copied=ids(copied),
        )
        begin = torch.zeros(len(instead), dtype=torch.int64, device=device)
        return forbidding, ForbiddingState(state, torch.arange(len(begin), device=device), begin, begin + UNKNOWN)

    def check_required(self, texts: Iterable[str]) -> None:
        """Raise where what is required holds what is forbidden.

        Raises:
            OptionError: A text does.
        """
        for text in texts:
            node = 0
            for atom in self._atoms(text):
                column = self._number.get(atom, 0)
                if self._hits[node, column]:
                    raise OptionError(f"required: {text!r} holds one of the texts which are forbidden.")
                node = int(self._after[node, column])

    def _phrase(self, text: str) -> Atoms:
        atoms = self._atoms(text) if isinstance(text, str) else ()
        if not atoms:
            raise OptionError(f"forbidden: {text!r} is not made of tokens that the translator can write.")
        return atoms

    def _atoms(self, text: str) -> Atoms:
        bpe = self._vocabulary.bpe
        if bpe is None:
            return tuple(piece.text for piece in self._vocabulary.cut(text))
        return tuple("".join(bpe.symbols[token - SPECIAL] for token in self._vocabulary.encode(text).tolist()))

    def _tables(self, tokens: Sequence[Atoms]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return for each node and token the node after it, and whether it ends a text, (nodes, tokens) both."""
        shape = (len(self._after), len(tokens))
        node = np.broadcast_to(np.arange(shape[0])[:, None], shape).copy()
        hit = np.zeros(shape, np.bool_)
        for step in range(max(map(len, tokens), default=0)):
            going = np.array([number for number, atoms in enumerate(tokens) if len(atoms) > step], np.int64)
            atom = np.array([self._number.get(tokens[number][step], 0) for number in going.tolist()], np.int64)
            hit[:, going] |= self._hits[node[:, going], atom]
            node[:, going] = self._after[node[:, going], atom]
        return node, hit


class ForbiddingState(NamedTuple):
    """What `ForbiddingSteps` keeps of N rows.

    Attributes:
        inner: The state of what decodes.
        rows: Which source each row's is, (N,) int64.
        node: How far each is with the forbidden texts, (N,) int64.
        looked: What an unknown token after the newest one would become, (N,) int64.
    """

    inner: Any
    rows: Tensor
    node: Tensor
    looked: Tensor


class ForbiddingSteps:
    """Steps that give no probability to what would end a forbidden text, `recur.decode.AttentiveSteps`.

    Args:
        steps: What decodes.
        size: V, the ids of targets.
        after: For each node and token the node after it, (K, V + W); the last W tokens stand for words of sources.
        hits: Whether a token ends a forbidden text there, (K, V + W) bool.
        instead: The token that stands for what takes the place of an unknown one, (B, S); None where nothing does.
        copied: The token that stands for each id from V on, (B, C).
    """

    def __init__(
        self, steps: Steps[Any], *, size: int, after: Tensor, hits: Tensor, instead: Tensor | None, copied: Tensor
    ) -> None:
        self._steps, self._size, self._after, self._hits = steps, size, after, hits
        self._instead, self._copied = instead, copied

    def step(self, tokens: Tensor, state: ForbiddingState) -> tuple[Tensor, ForbiddingState]:
        """Return the log-probabilities of what follows, minus infinity for what may not, and the state after."""
        said = torch.where(tokens == UNKNOWN, state.looked, tokens)
        is_copy = tokens >= self._size
        if is_copy.any():
            said[is_copy] = self._copied[state.rows[is_copy], tokens[is_copy] - self._size]
        node = self._after[state.node, said]
        log_probs, inner = self._steps.step(tokens, state.inner)
        banned = self._hits[node, : self._size]
        if log_probs.shape[1] > self._size:
            banned = torch.cat([banned, self._hits[node[:, None], self._copied[state.rows]]], dim=1)
        looked = state.looked
        weights = None if self._instead is None else self._looked(inner)
        if weights is not None:
            assert self._instead is not None
            looked = self._instead[state.rows, weights.argmax(1)]
            banned[:, UNKNOWN] = self._hits[node, looked]
        return log_probs.masked_fill(banned, -torch.inf), ForbiddingState(inner, state.rows, node, looked)

    def select(self, state: ForbiddingState, rows: Tensor) -> ForbiddingState:
        """Return the state of chosen rows, (M,) int64."""
        return ForbiddingState(
            self._steps.select(state.inner, rows), state.rows[rows], state.node[rows], state.looked[rows]
        )

    def attention(self, state: ForbiddingState) -> Tensor | None:
        """Return where the newest step of each row looked, (N, S)."""
        return self._looked(state.inner)

    def _looked(self, inner: Any) -> Tensor | None:
        tell = attention_told(self._steps)
        return None if tell is None else tell(inner)
