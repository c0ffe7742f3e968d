"""Conversations to pairs: what was said, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml

from recur.data.texts.examples import TextPairs
from recur.data.texts.files import DataFile, text_in
from recur.data.texts.places import Places
from recur.data.texts.tables import TextTable
from recur.errors import DataError
from recur.wording import quantity

TURN_END = "\n"
"""What stands between the turns of a history; turns have none in them."""

YAML = (".yml", ".yaml")
"""Suffixes of files with lists of turns."""

TURNS = ("turns", "messages", "conversation", "conversations", "dialog", "dialogue")
"""What a column with the turns of a conversation is called."""

_SAID = ("content", "text", "value", "utterance")


def read_yaml_conversations(
    files: Sequence[DataFile], codec: str, history: int, *, has_answers: bool = True
) -> TextPairs:
    """Return the pairs of what was said and the answer in files of YAML.

    Each holds a list of conversations, each a list of turns (or a single turn, which nobody answers); or an object that
    has one under `conversations`, as the corpus of chatterbot does.

    Args:
        files: The files.
        codec: Their encoding.
        history: Turns that an answer is given to, at most.
        has_answers: As of `pairs_of`.

    Raises:
        DataError: A file is missing, or no sound YAML, or has no conversations.
    """
    sets = []
    for file in files:
        name = str(file.path)
        conversations = _conversations(name, text_in(file.path, codec))
        turns = [_turns(f"{name}, conversation {n:,}", found) for n, found in enumerate(conversations, start=1)]
        places = Places.of(name, np.arange(1, len(turns) + 1), "conversation")
        sets.append(pairs_of(turns, places, (file.part,) * len(turns), history, has_answers=has_answers))
    return _told(TextPairs.joined(sets), history, has_answers=has_answers)


def _conversations(name: str, text: str) -> list[Any]:
    try:
        # The loader in C is many times faster, where there is one; both are safe.
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1:,}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise DataError(f"{name}: is no sound YAML{where} ({problem}); mend it.") from None
    if isinstance(found, dict):
        found = found.get("conversations")
    if not isinstance(found, list) or not found:
        raise DataError(
            f"{name}: has no conversations; expected a list of them, each a list of turns, or an object that has one "
            "under 'conversations'."
        )
    return found


def conversations_of(table: TextTable, column: str, history: int, *, has_answers: bool = True) -> TextPairs:
    """Return the pairs of what was said and the answer in a column with the turns of a conversation in each row.

    Args:
        table: The table.
        column: Which column: lists of texts, or of objects with the text under `content` or `text`.
        history: Turns that an answer is given to, at most.
        has_answers: As of `pairs_of`.

    Raises:
        DataError: A cell holds something else.
    """
    cells = table.frame[column].to_list()
    turns = [_turns(f"{table.places[row]}, {column!r}", found or []) for row, found in enumerate(cells)]
    found = pairs_of(turns, table.places, table.part, history, has_answers=has_answers)
    return _told(found, history, has_answers=has_answers)


def _told(pairs: TextPairs, history: int, *, has_answers: bool) -> TextPairs:
    """Return pairs with a note of what they are made of."""
    assert pairs.group is not None
    count = quantity(len(np.unique(pairs.group)), "conversation")
    if not has_answers:
        kept = "" if history == 1 else f", by up to {history} turns, itself the last"
        return pairs.noted(f"{count}; each turn is answered, the last one too{kept}")
    kept = "the turn before it" if history == 1 else f"up to {history} turns before it"
    return pairs.noted(f"{count}; each turn but the first is an answer to {kept}")


def pairs_of(
    turns: Sequence[list[str]], places: Places, part: Sequence[Any], history: int, *, has_answers: bool = True
) -> TextPairs:
    """Return a pair for each turn but the first of each conversation: the turns before it, and the turn.

    Args:
        turns: Those of each of C conversations.
        places: Where each conversation stood.
        part: Which part each is of.
        history: How many of the turns before are kept, the last ones.
        has_answers: Whether turns are answers that are known; if not, each turn is to be answered, also the last, and
            all targets are empty.

    Example:
        >>> found = pairs_of([["Hi!", "Hello.", "How are you?"]], Places.of("a.yml", [1]), [None], history=2)
        >>> found.sources, found.targets
        (('Hi!', 'Hi!\\nHello.'), ('Hello.', 'How are you?'))
    """
    sources, targets, rows = [], [], []
    for row, said in enumerate(turns):
        for number in range(1, len(said) + (not has_answers)):
            sources.append(TURN_END.join(said[max(0, number - history) : number]))
            targets.append(said[number] if has_answers else "")
            rows.append(row)
    chosen = np.array(rows, np.int64)
    found = TextPairs(
        sources=tuple(sources),
        targets=tuple(targets),
        places=places.take(chosen),
        part=tuple(part[row] for row in rows),
        group=chosen,
    )
    if not rows:
        least = "two turns" if has_answers else "a turn"
        raise DataError(f"{places.names[0]}: no conversation has {least}, so that nothing is answered.")
    alone = [row for row, said in enumerate(turns) if len(said) < 2] if has_answers else []
    if alone:
        without = quantity(len(alone), "conversation")
        found = found.noted(f"{without} without an answer left out, such as {places[alone[0]]}")
    return found


def _turns(place: str, found: Any) -> list[str]:
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        raise DataError(f"{place}: is {_kind(found)}, but expected a list of turns.")
    turns = []
    for number, turn in enumerate(found, start=1):
        said = turn
        if isinstance(turn, dict):
            said = next((turn[name] for name in _SAID if turn.get(name) is not None), None)
            if said is None and len(turn) == 1:
                # A turn such as "Note: this" is an object to YAML.
                said = ": ".join(str(part) for part in next(iter(turn.items())))
        if said is None or isinstance(said, list | dict):
            raise DataError(f"{place}: turn {number} is {_kind(turn)}, but expected a text.")
        turns.append(" ".join(str(said).split()))
    return [turn for turn in turns if turn]


def _kind(found: object) -> str:
    names = {list: "a list", dict: "an object", type(None): "nothing", str: "a text"}
    return names.get(type(found), repr(found))
