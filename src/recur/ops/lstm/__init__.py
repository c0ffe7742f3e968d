"""The op `lstm`: long short-term memory."""

from recur.ops.lstm.op import lstm

__all__ = ["lstm"]
