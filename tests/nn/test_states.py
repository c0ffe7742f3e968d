"""Final states by name."""

import pytest
import torch

from recur.nn import GRU, LSTM, Recurrent


@pytest.mark.parametrize("state_batch_first", [False, True])
@pytest.mark.parametrize("is_batched", [False, True])
def test_the_final_state_of_each_direction_is_where_its_output_ends(state_batch_first, is_batched):
    layer = LSTM(3, 5, 2, bidirectional=True, state_batch_first=state_batch_first)
    output, state = layer(torch.randn(6, 4, 3) if is_batched else torch.randn(6, 3))
    forward, backward = layer.final_states(state)
    last = (slice(None), -1) if state_batch_first and is_batched else (-1,)
    torch.testing.assert_close(forward[0][last], output[-1, ..., :5])
    torch.testing.assert_close(backward[0][last], output[0, ..., 5:])
    shape = ((4, 2, 5) if state_batch_first else (2, 4, 5)) if is_batched else (2, 5)
    assert {tuple(part.shape) for part in (*forward, *backward)} == {shape}


def test_one_direction_has_no_other():
    layer = GRU(3, 5)
    _, state = layer(torch.randn(6, 4, 3))
    forward, backward = layer.final_states(state)
    assert torch.equal(forward, state)
    assert backward is None


def test_layers_that_differ():
    layer = GRU(3, [5, 6], bidirectional=True, dilation=[1, 2])
    _, state = layer(torch.randn(6, 4, 3))
    forward, backward = layer.final_states(state)
    assert [tuple(part.shape) for part in forward] == [(4, 5), (2, 4, 6)]
    assert forward[1] is state[2]
    assert backward[0] is state[1]


def test_a_state_of_ones_own_keeps_its_structure(all_kinds):
    layer = all_kinds["Recurrent"].make(3, 5, bidirectional=True)
    assert isinstance(layer, Recurrent)
    _, state = layer(torch.randn(6, 4, 3, dtype=torch.float64))
    forward, backward = layer.final_states(state)
    assert list(forward) == list(state) == ["slow", "fast"]
    assert torch.equal(backward["fast"], state["fast"][1:])


def test_a_state_of_the_wrong_kind():
    with pytest.raises(TypeError, match=r"^LSTM: hx must be the pair \(h_0, c_0\), but is Tensor\.$"):
        LSTM(3, 5).final_states(torch.zeros(1, 2, 5))


@pytest.mark.parametrize(
    ("options", "state", "error", "text"),
    [
        (
            {},
            torch.zeros(3, 2, 5),
            ValueError,
            r"h_n must have an entry for each of the 4 layers and directions",
        ),
        ({"state_batch_first": True}, torch.zeros(4, 2, 5), ValueError, r"h_n must have an entry for each of the 4"),
        ({"hidden_size": [5, 6]}, [torch.zeros(2, 5)] * 3, ValueError, r"h_n must .*, but has 3 tensors\."),
        ({"hidden_size": [5, 6]}, torch.zeros(4, 2, 5), TypeError, r"h_n must be a list of tensors, but is Tensor\."),
    ],
)
def test_final_states_of_another_layer(options, state, error, text):
    layer = GRU(**{"input_size": 3, "hidden_size": 5, "num_layers": 2, "bidirectional": True, **options})
    with pytest.raises(error, match=f"^GRU: {text}"):
        layer.final_states(state)
