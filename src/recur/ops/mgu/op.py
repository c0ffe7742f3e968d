"""The op `mgu`: the minimal gated unit, in the forms that `cell` builds."""

from __future__ import annotations

from recur.ops._call import Options
from recur.ops._cell import Cell
from recur.ops._cpu import Cpu
from recur.ops._scan import Reference
from recur.ops.mgu import reference

TAKES = frozenset({"layer_norm", "output_clip"})
"""Fields of `Options` that this op knows."""


def cell(options: Options) -> Cell:
    """Return the MGU in the form that `options` say; gates in the order f, n."""
    equations = Reference(reference.step)
    return Cell(
        name="mgu",
        gates=("f", "n"),
        states=("h",),
        backends=(Cpu("mgu", equations), equations),
        norms=(("norm_ih", 2), ("norm_hh", 2)) if options.layer_norm else (),
    )
