"""What autograd has recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor


def nodes_of(results: Iterable[Tensor]) -> Iterator[Any]:
    """Yield each operation that some tensors were made by, from the last ones back, and what takes up each gradient."""
    waiting = [result.grad_fn for result in results if result.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)


def leaves_of_graph(results: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield each tensor that a gradient of some tensors goes to and that no operation made."""
    for node in nodes_of(results):
        if hasattr(node, "variable"):
            yield node.variable
