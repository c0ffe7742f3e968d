"""Attention by the name of its kind."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from recur.nn.attention.additive import AdditiveAttention
from recur.nn.attention.concat import ConcatAttention
from recur.nn.attention.contract import Attention
from recur.nn.attention.dot import DotAttention
from recur.nn.attention.general import GeneralAttention
from recur.nn.attention.location import LocationAttention
from recur.nn.attention.monotonic import MonotonicAttention
from recur.nn.attention.multi_head import MultiHeadAttention

ATTENTIONS: dict[str, type[Attention]] = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
    "concat": ConcatAttention,
    "multi-head": MultiHeadAttention,
    "monotonic": MonotonicAttention,
    "location": LocationAttention,
}
"""The kinds by name."""


def attention_of(kind: str, query_size: int, memory_size: int, **options: Any) -> Attention:
    """Return a new attention of a kind.

    Args:
        kind: "additive", "dot", "general", "concat", "multi-head", "monotonic" or "location".
        query_size: Features of a query, Q.
        memory_size: Features of a step of the memory, H.
        options: The other arguments of the kind's class, by keyword.

    Raises:
        TypeError: The kind has no such option, or an argument is of the wrong kind.
        ValueError: There is no such kind, or a value makes no sense.

    Example:
        >>> attention_of("location", 6, 8, kernel_size=5, cumulative=True).needs_steps
        True
    """
    if kind not in ATTENTIONS:
        near = difflib.get_close_matches(str(kind), ATTENTIONS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"attention_of: there is no attention {kind!r}.{hint} Choose one of {', '.join(ATTENTIONS)}.")
    made: Any = ATTENTIONS[kind]
    known = [name for name in inspect.signature(made).parameters if name not in ("query_size", "memory_size")]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(
                f"attention_of: {kind} attention has no option {name!r}.{hint} Its options are {', '.join(known)}."
            )
    attention: Attention = made(query_size, memory_size, **options)
    return attention
