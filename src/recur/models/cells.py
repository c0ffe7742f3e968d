"""The recurrent layers that networks are made of, by the name of their cell."""

from __future__ import annotations

from collections.abc import Callable

from recur.nn import GRU, LSTM, MGU, RNN, GatedLayer, IndRNN, LiGRU

CELLS: dict[str, Callable[..., GatedLayer]] = {
    "rnn": RNN,
    "gru": GRU,
    "lstm": LSTM,
    "indrnn": IndRNN,
    "mgu": MGU,
    "ligru": LiGRU,
}
"""The layer that each cell makes."""
