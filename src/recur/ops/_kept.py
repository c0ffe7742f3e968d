"""The packed weights of a layer, kept from one call to the next."""

from __future__ import annotations

from typing import Any

import torch

from recur.ops._kernels import kernels


class Kept:
    """Where the CPU kernels find the weights of one layer and direction packed, in inference.

    The kernels look at all weights each time, and pack them again when any number has changed, whoever has written it:
    an optimizer, `.data`, NumPy, another process. It goes with whoever holds it, and is not copied or pickled: a copy
    begins empty.
    """

    def __init__(self) -> None:
        self._packed: dict[torch.dtype, Any] = {}

    def of(self, dtype: torch.dtype) -> Any:
        """Return the kernels' own object for float32 or float64."""
        found = self._packed.get(dtype)
        if found is None:
            made = (kernels().KeptWeights32 if dtype is torch.float32 else kernels().KeptWeights64)()
            # Of two threads at once one is the first.
            found = self._packed.setdefault(dtype, made)
        return found

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()
