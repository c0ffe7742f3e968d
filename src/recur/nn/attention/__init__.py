"""Attention: what a query finds in an encoder's outputs, a file for each kind."""

from recur.nn.attention.additive import AdditiveAttention
from recur.nn.attention.choice import attention_of
from recur.nn.attention.concat import ConcatAttention
from recur.nn.attention.contract import Alignment, Attention, Memory
from recur.nn.attention.dot import DotAttention
from recur.nn.attention.general import GeneralAttention
from recur.nn.attention.location import LocationAttention
from recur.nn.attention.monotonic import MonotonicAttention
from recur.nn.attention.multi_head import MultiHeadAttention

__all__ = [
    "AdditiveAttention",
    "Alignment",
    "Attention",
    "ConcatAttention",
    "DotAttention",
    "GeneralAttention",
    "LocationAttention",
    "Memory",
    "MonotonicAttention",
    "MultiHeadAttention",
    "attention_of",
]
