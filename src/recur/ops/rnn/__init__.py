"""The op `rnn`: the simple recurrent network."""

from recur.ops.rnn.op import rnn

__all__ = ["rnn"]
