"""Recurrent layers: torch's arguments, parameters and results, and what torch's layers refuse."""

from recur.nn.dropout import LockedDropout
from recur.nn.gru import GRU
from recur.nn.layer import RecurrentLayer
from recur.nn.lstm import LSTM
from recur.nn.rnn import RNN
from recur.ops._dispatch import Explanation

__all__ = ["GRU", "LSTM", "RNN", "Explanation", "LockedDropout", "RecurrentLayer"]
