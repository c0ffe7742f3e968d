"""Texts that no answer holds, whichever tokens write them and wherever the words come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
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
        self._texts, self._vocabulary = tuple(texts), vocabulary
        phrases = {self._phrase(text) for text in texts}
        nodes = sorted({phrase[:n] for phrase in phrases for n in range(len(phrase))} | {()}, key=len)
        place = {node: number for number, node in enumerate(nodes)}
        atoms = sorted({atom for phrase in phrases for atom in phrase})
        # What is in no phrase has the number 0, and leads back to the beginning.
        self._number = {atom: number for number, atom in enumerate(atoms, 1)}
        self._after = np.zeros((len(nodes), len(atoms) + 1), np.int32)
        self._hits = np.zeros((len(nodes), len(atoms) + 1), np.bool_)
        going = defaultdict(list)
        for said in sorted(phrases.union(nodes[1:])):
            going[said[:-1]].append((self._number[said[-1]], place.get(said), said in phrases))
        # The longest other node that each ends with, which is shorter, so that all is known of it.
        shorter: dict[Atoms, int] = {(): 0}
        for node, row in place.items():
            if node:
                before = node[:-1]
                shorter[node] = int(self._after[shorter[before], self._number[node[-1]]]) if before else 0
                self._after[row], self._hits[row] = self._after[shorter[node]], self._hits[shorter[node]]
            for column, reached, is_whole in going[node]:
                self._hits[row, column] |= is_whole
                if reached is not None:
                    self._after[row, column] = reached
        bpe = vocabulary.bpe
        known = [tuple(one) for one in bpe.symbols] if bpe is not None else [(one,) for one in vocabulary.symbols]
        # An end says nothing; what is unknown, and stays so, is in no phrase.
        self._known = self._tables([(), ("",), *known])

    def is_of(self, texts: Sequence[str], vocabulary: TextVocabulary) -> bool:
        """Return whether these are the texts."""
        return self._texts == tuple(texts) and self._vocabulary is vocabulary

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
        # A BPE has no unknown tokens.
        is_bpe = self._vocabulary.bpe is not None
        texts = dict.fromkeys(text for rows in (copied, () if is_bpe else instead) for row in rows for text in row)
        id_of = {text: self._vocabulary.size + number for number, text in enumerate(texts)}
        more = self._tables([self._atoms(text) for text in texts])

        def ids(rows: Sequence[Sequence[str]]) -> Tensor:
            width = max(map(len, rows), default=0)
            found = [[*map(id_of.__getitem__, row), *[UNKNOWN] * (width - len(row))] for row in rows]
            return torch.tensor(found, dtype=torch.int64, device=device)

        forbidding = ForbiddingSteps(
            steps,
            size=self._vocabulary.size,
            known=self._known.to(device),
            more=more.to(device),
            instead=None if is_bpe else ids(instead),
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

    def _tables(self, tokens: Sequence[Atoms]) -> Tables:
        shape = (len(self._after), len(tokens))
        node = np.broadcast_to(np.arange(shape[0], dtype=np.int32)[:, None], shape).copy()
        hit = np.zeros(shape, np.bool_)
        for step in range(max(map(len, tokens), default=0)):
            going = np.array([number for number, atoms in enumerate(tokens) if len(atoms) > step], np.int64)
            atom = np.array([self._number.get(tokens[number][step], 0) for number in going.tolist()], np.int64)
            before = node[:, going]
            hit[:, going] |= self._hits[before, atom]
            node[:, going] = self._after[before, atom]
        return Tables(torch.from_numpy(node), torch.from_numpy(hit))


class Tables(NamedTuple):
    """Where tokens lead to.

    Attributes:
        after: For each of K nodes and M tokens the node after it, (K, M) int32.
        hits: Whether the token ends a forbidden text there, (K, M) bool.
    """

    after: Tensor
    hits: Tensor

    def to(self, device: torch.device) -> Tables:
        """Return the tables on a device."""
        return Tables(self.after.to(device), self.hits.to(device))


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
        known: Of these.
        more: Of the tokens from V on, which stand for words of sources.
        instead: The token that stands for what takes the place of an unknown one, (B, S); None where nothing does.
        copied: The token that stands for each id from V on, (B, C).
    """

    def __init__(
        self, steps: Steps[Any], *, size: int, known: Tables, more: Tables, instead: Tensor | None, copied: Tensor
    ) -> None:
        self._steps, self._size, self._known, self._more = steps, size, known, more
        self._instead, self._copied = instead, copied

    def step(self, tokens: Tensor, state: ForbiddingState) -> tuple[Tensor, ForbiddingState]:
        """Return the log-probabilities of what follows, minus infinity for what may not, and the state after."""
        said = torch.where(tokens == UNKNOWN, state.looked, tokens)
        is_copy = tokens >= self._size
        if is_copy.any():
            said[is_copy] = self._copied[state.rows[is_copy], tokens[is_copy] - self._size]
        node = self._of(state.node, said, "after").long()
        log_probs, inner = self._steps.step(tokens, state.inner)
        banned = self._known.hits[node]
        if log_probs.shape[1] > self._size:
            copied = self._copied[state.rows]
            banned = torch.cat([banned, self._of(node[:, None].expand_as(copied), copied, "hits")], dim=1)
        looked = state.looked
        weights = None if self._instead is None else self._looked(inner)
        if weights is not None:
            assert self._instead is not None
            looked = self._instead[state.rows, weights.argmax(1)]
            banned[:, UNKNOWN] = self._of(node, looked, "hits")
        return log_probs.masked_fill(banned, -torch.inf), ForbiddingState(inner, state.rows, node, looked)

    def select(self, state: ForbiddingState, rows: Tensor) -> ForbiddingState:
        """Return the state of chosen rows, (M,) int64."""
        return ForbiddingState(
            self._steps.select(state.inner, rows), state.rows[rows], state.node[rows], state.looked[rows]
        )

    def attention(self, state: ForbiddingState) -> Tensor | None:
        """Return where the newest step of each row looked, (N, S)."""
        return self._looked(state.inner)

    def _of(self, node: Tensor, token: Tensor, name: Literal["after", "hits"]) -> Tensor:
        """Return what the tables say of nodes and tokens of one shape, in that shape."""
        known, more = getattr(self._known, name), getattr(self._more, name)
        is_more = token >= self._size
        found: Tensor = known[node, token.masked_fill(is_more, UNKNOWN)]
        if is_more.any():
            found[is_more] = more[node[is_more], token[is_more] - self._size]
        return found

    def _looked(self, inner: Any) -> Tensor | None:
        tell = attention_told(self._steps)
        return None if tell is None else tell(inner)
