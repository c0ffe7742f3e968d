"""The op `lstm`: long short-term memory, in the forms that `cell` builds."""

from __future__ import annotations

from recur.ops._call import Options
from recur.ops._cell import Cell
from recur.ops._cpu import Cpu
from recur.ops._library import Library
from recur.ops._scan import Reference
from recur.ops.lstm import library, reference

TAKES = frozenset({"coupled", "peephole", "layer_norm", "projected", "cell_clip", "output_clip"})
"""Fields of `Options` that this op knows."""


def cell(options: Options) -> Cell:
    """Return the LSTM in the form that `options` say; gates in the order i, f, g, o, without i where coupled."""
    gates = ("f", "g", "o") if options.coupled else ("i", "f", "g", "o")
    blocks = len(gates)
    equations = Reference(reference.step, ("h", "c"))
    return Cell(
        name="lstm",
        gates=gates,
        states=("h", "c"),
        backends=(
            Cpu("lstm_coupled" if options.coupled else "lstm", equations),
            Library(library.sequence, library.step, library.freeze, forms=(Options(), Options(projected=True))),
            equations,
        ),
        norms=(("norm_ih", blocks), ("norm_hh", blocks), ("norm_c", 1)) if options.layer_norm else (),
        peepholes=blocks - 1 if options.peephole else 0,
    )
