"""The op `rnn`: the simple recurrent network, in the forms that `cell` builds."""

from __future__ import annotations

from recur.ops._call import Options
from recur.ops._cell import Cell
from recur.ops._cpu import Cpu
from recur.ops._library import Library
from recur.ops._scan import Reference
from recur.ops.rnn import library, reference

TAKES = frozenset({"nonlinearity", "layer_norm", "projected", "output_clip"})
"""Fields of `Options` that this op knows."""


def cell(options: Options) -> Cell:
    """Return the simple recurrent network in the form that `options` say; it has no gates, so one block of rows."""
    if options.nonlinearity == "relu":
        by_torch = Library(
            library.sequence_relu, library.step_relu, library.freeze_relu, forms=(Options(nonlinearity="relu"),)
        )
    else:
        by_torch = Library(library.sequence_tanh, library.step_tanh)
    equations = Reference(reference.step)
    return Cell(
        name="rnn",
        gates=("h",),
        states=("h",),
        backends=(Cpu("rnn", equations), by_torch, equations),
        norms=(("norm", 1),) if options.layer_norm else (),
    )
