"""Recurrent layers: torch's arguments, parameters and results, and what torch's layers refuse."""

from recur.nn.cell import GRUCell, IndRNNCell, LiGRUCell, LSTMCell, MGUCell, RNNCell
from recur.nn.dropout import LockedDropout
from recur.nn.gated import GatedLayer
from recur.nn.gated_cell import GatedCell, LSTMState
from recur.nn.gru import GRU
from recur.nn.indrnn import IndRNN
from recur.nn.layer import Everything, RecurrentLayer, Steps
from recur.nn.ligru import LiGRU
from recur.nn.lstm import LSTM
from recur.nn.mgu import MGU
from recur.nn.recurrent import Recurrent
from recur.nn.rnn import RNN
from recur.nn.sequences import left_to_right_padding, right_to_left_padding
from recur.nn.states import Directions
from recur.ops._dispatch import Explanation

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "RNN",
    "Directions",
    "Everything",
    "Explanation",
    "GRUCell",
    "GatedCell",
    "GatedLayer",
    "IndRNN",
    "IndRNNCell",
    "LSTMCell",
    "LSTMState",
    "LiGRU",
    "LiGRUCell",
    "LockedDropout",
    "MGUCell",
    "RNNCell",
    "Recurrent",
    "RecurrentLayer",
    "Steps",
    "left_to_right_padding",
    "right_to_left_padding",
]
