"""The op `gru`: the gated recurrent unit."""

from recur.ops.gru.op import gru

__all__ = ["gru"]
