"""The op `ligru`: the light gated recurrent unit, in the forms that `cell` builds."""

from __future__ import annotations

from recur.ops._call import Options
from recur.ops._cell import Cell
from recur.ops._cpu import Cpu
from recur.ops._scan import Reference
from recur.ops.ligru import reference

TAKES = frozenset({"nonlinearity", "layer_norm", "projected", "output_clip"})
"""Fields of `Options` that this op knows."""


def cell(options: Options) -> Cell:
    """Return the LiGRU in the form that `options` say; gates in the order z, n."""
    states = ("h", "c") if options.projected else ("h",)
    equations = Reference(reference.step, states)
    return Cell(
        name="ligru",
        gates=("z", "n"),
        states=states,
        backends=(Cpu("ligru", equations), equations),
        norms=(("norm_ih", 2), ("norm_hh", 2)) if options.layer_norm else (),
    )
