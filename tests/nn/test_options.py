"""Options of layers as `complete` reads them."""

import pytest

from recur.nn import GRU, LSTM, MGU, ConvLSTM
from recur.nn.options import DEFAULTS, GatedOptions, LSTMOptions, StackOptions, complete


def test_what_is_left_out_is_the_default():
    found = complete("LSTM", {"zoneout": 0.5}, LSTMOptions)
    assert found == {name: DEFAULTS[name] for name in LSTMOptions.__annotations__} | {"zoneout": 0.5}


@pytest.mark.parametrize(
    ("kind", "allowed", "name", "text"),
    [
        (
            LSTM,
            LSTMOptions,
            "num_layer",
            r"Did you mean 'num_layers'\? .*, cell_clip, beside input_size, hidden_size, num_l",
        ),
        (LSTM, LSTMOptions, "peepholes", r"Did you mean 'peephole'\? Its options are initial_state, "),
        (GRU, GatedOptions, "reset_afer", r"Did you mean 'reset_after'\? "),
        (MGU, GatedOptions, "proj_size", r"Its options are initial_state, "),
        (GRU, GatedOptions, "what", r"Its options are initial_state, "),
        (ConvLSTM, StackOptions, "what", r"Its options are .*, beside input_size, .*kernel_size, .*layer_norm\.$"),
        (None, StackOptions, "num_layer", r"Its options are initial_state, .*, state_batch_first\.$"),
    ],
)
def test_a_name_that_is_none_is_guessed_among_the_arguments_too(kind, allowed, name, text):
    with pytest.raises(TypeError, match=rf"^Owner: there is no option '{name}'\. {text}") as caught:
        complete("Owner", {name: 1}, allowed, kind)
    assert "options," not in str(caught.value)
    assert "more," not in str(caught.value)
