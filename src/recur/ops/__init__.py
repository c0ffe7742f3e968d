"""Recurrent functions on tensors: one folder per op, each with a reference in plain torch and its back ends.

Imported when first used: `recurrence` runs any of them, `fallbacks()` lists every call that a slower back end ran
because a faster one refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.ops._call import Noise as Noise
    from recur.ops._call import Options as Options
    from recur.ops._dispatch import Fallback as Fallback
    from recur.ops._dispatch import fallbacks as fallbacks
    from recur.ops._forms import form as form
    from recur.ops._recurrence import recurrence as recurrence

__all__ = ["Fallback", "Noise", "Options", "fallbacks", "form", "recurrence"]

__getattr__ = lazy_names(
    __name__,
    {
        "Fallback": "._dispatch",
        "Noise": "._call",
        "Options": "._call",
        "fallbacks": "._dispatch",
        "form": "._forms",
        "recurrence": "._recurrence",
    },
)
