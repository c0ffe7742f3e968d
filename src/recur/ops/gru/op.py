"""The op `gru`: the gated recurrent unit, in the forms that `cell` builds."""

from __future__ import annotations

from recur.ops._call import Options
from recur.ops._cell import Cell
from recur.ops._cpu import Cpu
from recur.ops._library import Library
from recur.ops._scan import Reference
from recur.ops.gru import library, reference

TAKES = frozenset({"reset_after", "layer_norm", "projected", "output_clip"})
"""Fields of `Options` that this op knows."""


def cell(options: Options) -> Cell:
    """Return the GRU in the form that `options` say; gates in the order r, z, n.

    Raises:
        ValueError: The reset gate is to act before the product on a state that is projected, and has another size.
    """
    if options.projected and not options.reset_after:
        raise ValueError(
            "reset_after=False multiplies the state by the reset gate, which a projected state does not fit. "
            "Leave the projection out, or pass reset_after=True."
        )
    states = ("h", "c") if options.projected else ("h",)
    equations = Reference(reference.step, states)
    return Cell(
        name="gru",
        gates=("r", "z", "n"),
        states=states,
        backends=(
            Cpu("gru" if options.reset_after else "gru_reset_before", equations),
            Library(library.sequence, library.step),
            equations,
        ),
        norms=(("norm_ih", 3), ("norm_hh", 3)) if options.layer_norm else (),
    )
