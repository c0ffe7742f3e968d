"""What a translator wrote from the text that it was looked at on: its answers, where it looked, and its search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.kinds import is_whole
from recur.report.passage import symbol_name, visible
from recur.report.tensors import Tensors
from recur.report.values import as_list, as_object, as_text, number, signed
from recur.wording import quantity, shortened

_MOST_NODES, _MOST_ANSWERS = 2_000, 20

WIDTH, HEIGHT = 108, 44
"""Room of a node of the tree."""

BOX, TALL = 88, 32
"""Its own size."""

_LETTERS = 11
"""Letters of a token that have room in a node."""

_PENALTIES = {
    "gnmt": "the log-probability divided by the length penalty of Wu et al. (2016)",
    "mean": "the log-probability by the token",
    "none": "the log-probability",
}


@dataclass(frozen=True, kw_only=True)
class WrittenAnswer:
    """An answer that the search found."""

    text: str
    """It."""
    score: float
    """What it was ranked by."""
    log_prob: float
    """Of its tokens and its end, in nats."""
    was_cut: bool
    """Whether it had to end for its length."""
    end: int | None
    """The node of its last token."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A token that was open in the search, and where it is drawn."""

    parent: int | None
    """The node before; None for the beginning."""
    token: str
    """What stands in it."""
    figure: str
    """Its log-probability."""
    says: str
    """All that there is to tell of it."""
    kind: str
    """What became of it: "best", "told", "open" or "dropped"."""
    answer: str
    """Which answer ends there; empty for none."""
    x: int
    """Its left edge."""
    y: int
    """Its upper edge."""
    edge: str
    """The path that leads to it; empty for the beginning."""


@dataclass(frozen=True, kw_only=True)
class BeamTree:
    """All that was open in the search: a column for each step, the likeliest beginning on top."""

    width: int
    """Of the drawing."""
    height: int
    """Likewise."""
    nodes: tuple[Node, ...]
    """Parents before children."""
    steps: tuple[tuple[str, str], ...]
    """The same in words: each step, and what was open."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What was written."""

    source: tuple[str, ...]
    """S tokens that were read, as far as they are shown."""
    written: tuple[str, ...]
    """T tokens of the best answer, likewise."""
    right: str
    """What would be right; empty where that is not known."""
    ranked_by: str
    """What a score is."""
    answers: tuple[WrittenAnswer, ...]
    """The best first, at least one."""
    attention: NDArray[np.float32] | None
    """(T, S): where each looked."""
    gradient: NDArray[np.float32] | None
    """(T, S): how far the gradient of each reaches into the source."""
    tree: BeamTree | None
    """What was open."""


def writing_of(content: Mapping[str, Any], tensors: Tensors) -> Writing | None:
    """Return what was written; None where that is not known."""
    stored = as_object(content.get("writing"))
    source, written = (
        tuple(visible(as_text(one)) for one in as_list(stored.get(key))) for key in ("source", "written")
    )
    answers = []
    for entry in map(as_object, as_list(stored.get("answers"))[:_MOST_ANSWERS]):
        score, log_prob, end = number(entry.get("score")), number(entry.get("log_prob")), entry.get("end")
        if score is not None and log_prob is not None:
            answers.append(
                WrittenAnswer(
                    text=visible(as_text(entry.get("text"))),
                    score=score,
                    log_prob=log_prob,
                    was_cut=entry.get("ended") == "length",
                    end=end if is_whole(end, 0) else None,
                )
            )
    if not answers:
        return None
    shape = (len(written), len(source))
    attention, gradient = (
        _known(tensors.take(f"writing.{name}", "F32", shape)) if all(shape) else None
        for name in ("attention", "gradient")
    )
    return Writing(
        source=source,
        written=written,
        right=visible(as_text(stored.get("right"))),
        ranked_by=_PENALTIES.get(as_text(stored.get("length_penalty")), "the log-probability, by the length"),
        answers=tuple(answers),
        attention=attention,
        gradient=gradient,
        tree=_tree(as_list(stored.get("tree")), answers),
    )


def _known(values: np.ndarray[Any, Any] | None) -> NDArray[np.float32] | None:
    if values is None:
        return None
    return np.where(np.isfinite(values) & (values >= 0), values, 0).astype(np.float32)


def _tree(entries: Sequence[Any], answers: list[WrittenAnswer]) -> BeamTree | None:
    """Return the drawing of what was open; None where an entry is damaged, for all after it would hang in the air."""
    parents: list[int | None] = []
    tokens: list[str] = []
    chances: list[float] = []
    continued: list[bool] = []
    for entry in map(as_object, entries[:_MOST_NODES]):
        parent, chance = entry.get("parent"), number(entry.get("log_prob"))
        is_first = not parents
        if chance is None or not (parent is None if is_first else is_whole(parent, 0) and parent < len(parents)):
            return None
        parents.append(None if is_first else parent)
        tokens.append(as_text(entry.get("token")))
        chances.append(chance)
        continued.append(entry.get("continued") is True)
    if len(parents) < 2:
        return None
    steps = [0]
    for parent in parents[1:]:
        steps.append(steps[parent or 0] + 1)
    rank = _ranks(steps, chances)
    ways = [_way(parents, one.end) for one in answers]
    best, told = set(ways[0]), {node for way in ways for node in way}
    ends: dict[int, list[int]] = {}
    for place, one in enumerate(answers, start=1):
        if one.end is not None and one.end < len(parents):
            ends.setdefault(one.end, []).append(place)
    nodes = []
    for place, parent in enumerate(parents):
        x, y = steps[place] * WIDTH + 6, rank[place] * HEIGHT + 6
        kind = "best" if place in best else "told" if place in told else "open" if continued[place] else "dropped"
        edge = ""
        if parent is not None:
            begin, to = (steps[parent] * WIDTH + 6 + BOX, rank[parent] * HEIGHT + 6 + TALL // 2), (x, y + TALL // 2)
            middle = (begin[0] + to[0]) // 2
            edge = f"M{begin[0]} {begin[1]}C{middle} {begin[1]} {middle} {to[1]} {to[0]} {to[1]}"
        answer = ", ".join(map(str, ends.get(place, [])))
        nodes.append(
            Node(
                parent=parent,
                token=_fitting(tokens[place]) if parent is not None else "begin",
                figure=signed(chances[place]) if parent is not None else "",
                says=_says(place, parents, tokens, chances, kind, ends.get(place, []), answers),
                kind=kind,
                answer=answer,
                x=x,
                y=y,
                edge=edge,
            )
        )
    return BeamTree(
        width=(max(steps) + 1) * WIDTH,
        height=(max(rank) + 1) * HEIGHT + 6,
        nodes=tuple(nodes),
        steps=tuple(_in_words(parents, tokens, chances, steps, rank)),
    )


def _ranks(steps: list[int], chances: list[float]) -> list[int]:
    """Return for each node how many at its step are likelier."""
    found = [0] * len(steps)
    for step in set(steps):
        own = sorted((place for place, at in enumerate(steps) if at == step), key=lambda place: -chances[place])
        for rank, place in enumerate(own):
            found[place] = rank
    return found


def _way(parents: list[int | None], end: int | None) -> list[int]:
    way: list[int] = []
    at = end if end is not None and end < len(parents) else None
    while at is not None:
        way.append(at)
        at = parents[at]
    return way


def _fitting(token: str) -> str:
    return shortened(symbol_name(token).strip("“”"), _LETTERS)


def _says(
    place: int,
    parents: list[int | None],
    tokens: list[str],
    chances: list[float],
    kind: str,
    ends: list[int],
    answers: list[WrittenAnswer],
) -> str:
    parent = parents[place]
    if parent is None:
        said = ["the beginning"]
    else:
        beginning = " ".join(visible(tokens[at]) for at in reversed(_way(parents, place)[:-1]))
        own = chances[place] - chances[parent]
        said = [f"{beginning}: log-probability {signed(chances[place])}, of {symbol_name(tokens[place])} {signed(own)}"]
    said += [f"ends as answer {number}, score {signed(answers[number - 1].score)}" for number in ends]
    if not ends:
        said.append(
            {
                "best": "on the way to the best",
                "told": "on the way to an answer",
                "open": "none of its ways was kept",
            }.get(kind, "given up here")
        )
    return "; ".join(said)


def _in_words(
    parents: list[int | None], tokens: list[str], chances: list[float], steps: list[int], rank: list[int]
) -> list[tuple[str, str]]:
    found = []
    for step in range(1, max(steps) + 1):
        own = sorted((place for place, at in enumerate(steps) if at == step), key=lambda place: rank[place])
        said = []
        for place in own:
            parent = parents[place] or 0
            after = f" after {symbol_name(tokens[parent])}" if step > 1 else ""
            said.append(f"{symbol_name(tokens[place])}{after} {signed(chances[place])}")
        found.append((quantity(step, "token"), ", ".join(said)))
    return found
