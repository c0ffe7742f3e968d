"""Recurrent layers, with torch's arguments, parameters and results, and what torch's refuse; attention; CRFs."""

from recur.nn.attention import (
    AdditiveAttention,
    Alignment,
    Attention,
    ConcatAttention,
    DotAttention,
    GeneralAttention,
    LocationAttention,
    Memory,
    MonotonicAttention,
    MultiHeadAttention,
    attention_of,
)
from recur.nn.cell import GRUCell, IndRNNCell, LiGRUCell, LSTMCell, MGUCell, RNNCell
from recur.nn.cfc import CfC, CfCCell
from recur.nn.conv import ConvGRU, ConvLSTM
from recur.nn.conv_cell import ConvGRUCell, ConvLSTMCell
from recur.nn.convert import from_flax, from_keras, to_flax, to_keras
from recur.nn.crf import LabelConstraints, LabelledSpan, Labelling, LinearChainCRF, bio_constraints
from recur.nn.dropout import LockedDropout
from recur.nn.gated import GatedLayer
from recur.nn.gated_cell import GatedCell, LSTMState
from recur.nn.gru import GRU
from recur.nn.grud import GRUD, GRUDCell
from recur.nn.indrnn import IndRNN
from recur.nn.layer import Everything, RecurrentLayer, Steps
from recur.nn.ligru import LiGRU
from recur.nn.linear import Linear
from recur.nn.lstm import LSTM
from recur.nn.mgu import MGU
from recur.nn.mogrifier import MogrifierLSTM, MogrifierLSTMCell
from recur.nn.multiplicative import MultiplicativeLSTM, MultiplicativeLSTMCell
from recur.nn.packed_stepper import PackedStepper
from recur.nn.phased import PhasedLSTM, PhasedLSTMCell
from recur.nn.recurrent import Recurrent
from recur.nn.reversible import ReversibleInstanceNorm, Scale
from recur.nn.rhn import RHN, RHNCell
from recur.nn.rnn import RNN
from recur.nn.sequences import left_to_right_padding, right_to_left_padding
from recur.nn.states import Directions
from recur.nn.stepper import Stepper
from recur.ops._dispatch import Explanation

__all__ = [
    "GRU",
    "GRUD",
    "LSTM",
    "MGU",
    "RHN",
    "RNN",
    "AdditiveAttention",
    "Alignment",
    "Attention",
    "CfC",
    "CfCCell",
    "ConcatAttention",
    "ConvGRU",
    "ConvGRUCell",
    "ConvLSTM",
    "ConvLSTMCell",
    "Directions",
    "DotAttention",
    "Everything",
    "Explanation",
    "GRUCell",
    "GRUDCell",
    "GatedCell",
    "GatedLayer",
    "GeneralAttention",
    "IndRNN",
    "IndRNNCell",
    "LSTMCell",
    "LSTMState",
    "LabelConstraints",
    "LabelledSpan",
    "Labelling",
    "LiGRU",
    "LiGRUCell",
    "Linear",
    "LinearChainCRF",
    "LocationAttention",
    "LockedDropout",
    "MGUCell",
    "Memory",
    "MogrifierLSTM",
    "MogrifierLSTMCell",
    "MonotonicAttention",
    "MultiHeadAttention",
    "MultiplicativeLSTM",
    "MultiplicativeLSTMCell",
    "PackedStepper",
    "PhasedLSTM",
    "PhasedLSTMCell",
    "RHNCell",
    "RNNCell",
    "Recurrent",
    "RecurrentLayer",
    "ReversibleInstanceNorm",
    "Scale",
    "Stepper",
    "Steps",
    "attention_of",
    "bio_constraints",
    "from_flax",
    "from_keras",
    "left_to_right_padding",
    "right_to_left_padding",
    "to_flax",
    "to_keras",
]
