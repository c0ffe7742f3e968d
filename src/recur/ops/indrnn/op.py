"""The op `indrnn`: the independently recurrent network, in the forms that `cell` builds."""

from __future__ import annotations

from recur.ops._call import Options
from recur.ops._cell import Cell
from recur.ops._cpu import Cpu
from recur.ops._scan import Reference
from recur.ops.indrnn import reference

TAKES = frozenset({"nonlinearity", "layer_norm", "output_clip"})
"""Fields of `Options` that this op knows."""


def cell(options: Options) -> Cell:
    """Return the IndRNN in the form that `options` say; each unit sees its own past alone."""
    equations = Reference(reference.step)
    return Cell(
        name="indrnn",
        gates=("h",),
        states=("h",),
        backends=(Cpu("indrnn", equations), equations),
        norms=(("norm", 1),) if options.layer_norm else (),
        is_independent=True,
    )
