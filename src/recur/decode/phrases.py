"""Required phrases as an automaton that knows at every token which are held and what is left to say."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from recur.decode.constraints import Phrase


def holds(tokens: Sequence[int], phrase: Phrase) -> bool:
    """Return whether the tokens hold the phrase in a row.

    Example:
        >>> holds((1, 2, 3), (2, 3)), holds((1, 2, 3), (1, 3))
        (True, False)
    """
    return any(tuple(tokens[n : n + len(phrase)]) == phrase for n in range(len(tokens) - len(phrase) + 1))


class Phrases:
    """The phrases of each row, as the automaton of Aho & Corasick (1975): a node for each beginning of a phrase.

    A sequence stands at the longest beginning that it ends with, so that overlaps are found and a phrase that broke off
    may go on as another.

    Args:
        required: The phrases of each row; a row may have none.
        device: Where the tokens are.
    """

    def __init__(self, required: Sequence[Sequence[Phrase]], device: torch.device) -> None:
        distinct = {phrases: n for n, phrases in enumerate(dict.fromkeys(map(tuple, required)))}
        automata = [_Automaton(phrases, device) for phrases in distinct]
        which = torch.tensor([distinct[tuple(phrases)] for phrases in required], device=device)

        def table(name: str, fill: int = 0) -> Tensor:
            return _padded([getattr(automaton, name) for automaton in automata], fill)[which]

        # (R, U): the tokens of a row's phrases. (R, K, U + 1): the node after each, of K nodes, and after any other.
        self._alphabet = table("alphabet", -1)
        self._after = nn.functional.pad(table("after"), (0, 1))
        # (R, K, P): whether what stands there ends with phrase p, and how much of its beginning.
        self._held = table("held").bool()
        self._begun = table("begun")
        # (R, P, L) and (R, P); a phrase that only fills the table up has no tokens.
        self._tokens = table("tokens")
        self._lengths = table("lengths")

    def start(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """Return node, (N,) int64, and phrases held, (N, P) bool, before anything was said in each row."""
        return torch.zeros_like(row), self._lengths[row] == 0

    def after(self, row: Tensor, node: Tensor, met: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Return node and phrases held after one more token; all (N,), `met` (N, P)."""
        if not self._lengths.shape[1]:
            return node, met
        is_here = nn.functional.pad(self._alphabet[row] == token[:, None], (0, 1), value=True)
        column = is_here.int().argmax(dim=1)
        reached = self._after[row, node, column]
        return reached, met | self._held[row, reached]

    def left(self, row: Tensor, node: Tensor, met: Tensor) -> Tensor:
        """Return how many tokens are enough to say what is left, (N,) int64.

        As long as it is not 0, one of the tokens of `following` makes it less by one or more.
        """
        begun = (self._begun[row, node] * ~met).amax(dim=1)
        return (self._lengths[row] * ~met).sum(dim=1) - begun

    def following(self, row: Tensor, node: Tensor) -> Tensor:
        """Return for each phrase the token that goes on with it, (N, P) int64."""
        return self._tokens[row].gather(2, self._begun[row, node][:, :, None]).squeeze(2)


class _Automaton:
    """The tables of one row."""

    def __init__(self, phrases: Sequence[Phrase], device: torch.device) -> None:
        # What is within another phrase comes with it.
        distinct = list(dict.fromkeys(phrases))
        wanted = [p for p in distinct if not any(p != other and holds(other, p) for other in distinct)]
        alphabet = sorted({token for phrase in wanted for token in phrase})
        nodes = sorted({phrase[:n] for phrase in wanted for n in range(len(phrase) + 1)} | {()})
        place = {node: n for n, node in enumerate(nodes)}
        starts = [{phrase[:n] for n in range(len(phrase))} for phrase in wanted]
        longest = max((len(phrase) for phrase in wanted), default=1)
        self.alphabet = torch.tensor(alphabet, dtype=torch.int64, device=device)
        after = [[place[_longest_end((*node, token), place)] for token in alphabet] for node in nodes]
        self.after = torch.tensor(after, dtype=torch.int64, device=device)
        held = [[int(node[-len(phrase) :] == phrase) for phrase in wanted] for node in nodes]
        self.held = torch.tensor(held, dtype=torch.int64, device=device)
        begun = [[len(_longest_end(node, start)) for start in starts] for node in nodes]
        self.begun = torch.tensor(begun, dtype=torch.int64, device=device)
        tokens = [[*phrase, *[0] * (longest - len(phrase))] for phrase in wanted]
        self.tokens = torch.tensor(tokens, dtype=torch.int64, device=device).view(len(wanted), longest)
        self.lengths = torch.tensor([len(phrase) for phrase in wanted], dtype=torch.int64, device=device)


def _longest_end(said: Phrase, among: Collection[Phrase]) -> Phrase:
    return next(said[n:] for n in range(len(said) + 1) if said[n:] in among)


def _padded(tables: Sequence[Tensor], fill: int) -> Tensor:
    shape = [max(sizes) for sizes in zip(*(table.shape for table in tables), strict=True)]
    padded = []
    for table in tables:
        # As torch's pad wants it: before and after, the last dimension first.
        room = [[0, most - size] for most, size in zip(shape, table.shape, strict=True)]
        padded.append(nn.functional.pad(table, [num for pair in reversed(room) for num in pair], value=fill))
    return torch.stack(padded)
