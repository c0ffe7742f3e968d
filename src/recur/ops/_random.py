"""Random masks: drawn by the engine where it can, else by torch.

Torch draws one number after the other, in one thread. A number of the engine's depends on nothing but a key and its
place, so many are drawn at once, and a mask is the same for any number of threads. The key comes from torch's default
generator: seeds, saved random states and `fork_rng` count as ever, but a seed gives other masks than torch's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor, nn

from recur import engine
from recur.ops._checks import is_looked_into
from recur.ops._kernels import DTYPES, kernels, large


def bernoulli(shape: Sequence[int], share: float, like: Tensor) -> Tensor:
    """Return ones with probability `share` and else zeros.

    Args:
        shape: Of what is returned.
        share: From 0 to 1.
        like: A tensor whose dtype and device it has; of nothing else does it depend, so that under vmap what is drawn
            is what vmap's `randomness` says.
    """
    drawn = _drawn(shape, share, 1.0, like)
    return torch.bernoulli(_full(shape, share, like)) if drawn is None else drawn


def dropout_mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """Return zeros with probability `p` and else 1 / (1 - p); the arguments are those of `bernoulli`."""
    drawn = _drawn(shape, 1 - p, _scale(p), like)
    return nn.functional.dropout(_full(shape, 1.0, like), p) if drawn is None else drawn


def dropout(x: Tensor, p: float) -> Tensor:
    """Return `x` times a mask of its shape, as `torch.nn.functional.dropout` does; NaN and infinities come through."""
    drawn = _drawn(x.shape, 1 - p, _scale(p), x)
    return nn.functional.dropout(x, p) if drawn is None else x * drawn


def lasting_mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """Return a mask as `dropout_mask` does that holds for all steps of a sequence; see `lasting`."""
    # What is compiled is not run segment by segment, and a thread's own values would break its graph.
    if torch.compiler.is_compiling() or _lasting.masks is None:
        return dropout_mask(shape, p, like)
    if _lasting.is_first:
        _lasting.masks.append(dropout_mask(shape, p, like))
    _lasting.number += 1
    return _lasting.masks[_lasting.number - 1]


def lasting_dropout(x: Tensor, p: float) -> Tensor:
    """Return `x` dropped out as `dropout` does, by a mask that holds for all steps of a sequence; see `lasting`."""
    if torch.compiler.is_compiling() or _lasting.masks is None:
        return dropout(x, p)
    return x * lasting_mask(x.shape, p, x)


@contextmanager
def lasting(masks: list[Tensor], *, is_first: bool) -> Iterator[None]:
    """Let a segment of a sequence have the masks for all steps that its first segment drew.

    Args:
        masks: Where they are, in the order of drawing; the first segment writes them.
        is_first: Whether this is the first segment.
    """
    before = _lasting.masks, _lasting.number, _lasting.is_first
    if is_first:
        masks.clear()
    _lasting.masks, _lasting.number, _lasting.is_first = masks, 0, is_first
    try:
        yield
    finally:
        _lasting.masks, _lasting.number, _lasting.is_first = before


class _Lasting(threading.local):
    masks: list[Tensor] | None = None
    number = 0
    is_first = False


_lasting = _Lasting()


def _scale(p: float) -> float:
    return 1 / (1 - p) if p < 1 else 0.0


def _full(shape: Sequence[int], value: float, like: Tensor) -> Tensor:
    # Not like.new_full, which under vmap would be one for each sample.
    return torch.full(tuple(shape), value, dtype=like.dtype, device=like.device)


def _drawn(shape: Sequence[int], share: float, value: float, like: Tensor) -> Tensor | None:
    """Return a mask of the engine, or None where torch has to draw it."""
    if not _is_engines(like):
        return None
    key = int(torch.randint(-(1 << 63), (1 << 63) - 1, (), device="cpu"))
    dtype = like.dtype if like.dtype in DTYPES else torch.float32
    mask = large(torch.empty(tuple(shape), dtype=dtype, device=like.device))
    draw = kernels().draw_mask64 if dtype is torch.float64 else kernels().draw_mask32
    draw(key, share, value, prod(shape), mask.data_ptr(), torch.get_num_threads())
    return mask.to(like.dtype)


def _is_engines(like: Tensor) -> bool:
    # What is compiled or traced must find the drawing in the program, and what is looked into must see it.
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    return (
        type(like) in _KINDS
        and like.device.type == "cpu"
        and like.dtype in _DTYPES
        and not is_looked_into()
        and engine.missing_kernels() is None
    )


_KINDS = (Tensor, nn.Parameter)
_DTYPES = (*DTYPES, torch.bfloat16, torch.float16)
