"""Recurrent functions on tensors: one folder per op, each with a reference in plain torch and its back ends.

Imported when first used: `fallbacks()` lists every call that a slower back end ran because a faster one refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.ops._dispatch import Fallback as Fallback
    from recur.ops._dispatch import fallbacks as fallbacks

__all__ = ["Fallback", "fallbacks"]

__getattr__ = lazy_names(__name__, {"Fallback": "._dispatch", "fallbacks": "._dispatch"})
