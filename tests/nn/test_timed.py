"""Time stamps beside the sequences, in every form."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from recur.nn import CfC


def _rows(*lengths):
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in lengths]
    return rows, [torch.rand(n, dtype=torch.float64).cumsum(0) for n in lengths]


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_times_come_in_the_form_of_x(compare, enforce_sorted):
    layer = CfC(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    rows, times = _rows(5, 3) if enforce_sorted else _rows(3, 5)
    alone = [layer(x, times=t)[0] for x, t in zip(rows, times, strict=True)]
    for number, (one, other) in enumerate(zip(layer(rows, times=times)[0], alone, strict=True)):
        compare({str(number): one}, {str(number): other})
    packed = layer(pack_sequence(rows, enforce_sorted), times=pack_sequence(times, enforce_sorted))[0]
    compare({"y": packed.data}, {"y": pack_sequence(alone, enforce_sorted).data})


def test_pieces_with_the_clock_carried_are_the_whole(compare):
    layer = CfC(3, 4, num_layers=2, dtype=torch.float64)
    (x,), (times,) = _rows(7)
    for stamps in (times, None):
        want, final = layer(x, times=stamps)
        outputs, state = [], None
        for begin, end in ((0, 1), (1, 4), (4, 7)):
            part, state = layer(x[begin:end], state, times=None if stamps is None else stamps[begin:end])
            outputs.append(part)
        compare({"y": torch.cat(outputs), "h": state[0]}, {"y": want, "h": final[0]})
        assert torch.equal(state[1], final[1])


def test_the_backward_direction_waits_as_long(compare):
    """It is the forward one on the sequence turned around, with time running the other way."""
    both, one = CfC(3, 4, bidirectional=True, dtype=torch.float64), CfC(3, 4, dtype=torch.float64)
    one.cells[0].load_state_dict(both.cells[1].state_dict())
    (x,), (times,) = _rows(6)
    compare({"y": both(x, times=times)[0][:, 4:]}, {"y": one(x.flip(0), times=-times.flip(0))[0].flip(0)})


def test_times_learn(compare):
    (x,), (times,) = _rows(4)
    layer = CfC(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: layer(x, times=t)[0], times.requires_grad_())


PACKED = pack_sequence([torch.zeros(4, 3), torch.zeros(2, 3)])
BAD = [
    ({"times": [0.0]}, TypeError, r"times must be of torch\.Tensor, but is list\."),
    (
        {"times": torch.zeros(2, 4)},
        ValueError,
        r"times must have shape \(4, 2\) beside x of shape \(4, 2, 3\), but has",
    ),
    (
        {"times": torch.zeros(4, 2, dtype=torch.float64)},
        TypeError,
        r"times is torch\.float64, but the layer is torch\.float32\. Convert it with times\.to\(torch\.float32\)\.",
    ),
    ({"times": torch.zeros(4, 2, dtype=torch.int64)}, TypeError, r"times is torch\.int64, but the layer is"),
    (
        {"x": PACKED, "times": torch.zeros(4, 2)},
        TypeError,
        r"x is a PackedSequence, so times must be one, but is Tensor",
    ),
    (
        {"x": PACKED, "times": pack_sequence([torch.zeros(3), torch.zeros(3)])},
        ValueError,
        r"times and x are PackedSequences of other lengths, or in another order\.",
    ),
    (
        {"x": PACKED, "times": pack_sequence([torch.zeros(4), torch.zeros(2)], enforce_sorted=False)},
        ValueError,
        r"times and x are PackedSequences of other lengths, or in another order\.",
    ),
    (
        {"x": [torch.zeros(4, 3)], "times": torch.zeros(4, 1)},
        TypeError,
        r"x is a list, so times must be one of 1 tensors, but is Tensor\.",
    ),
    ({"x": [torch.zeros(4, 3)], "times": []}, TypeError, r"x is a list, so times must be one of 1 .* but is 0 entries"),
    ({"x": [torch.zeros(4, 3)], "times": [torch.zeros(3)]}, ValueError, r"times must have shape \(4,\) beside x of"),
    ({"x": "abc", "times": torch.zeros(4, 2)}, TypeError, r"x must be of torch\.Tensor, but is str\."),
]


@pytest.mark.parametrize(("call", "error", "text"), BAD)
def test_bad_times(call, error, text):
    with pytest.raises(error, match=f"^CfC: {text}"):
        CfC(3, 4)(**{"x": torch.zeros(4, 2, 3), **call})


def test_a_clock_that_cannot_count_on_still_has_a_unit_of_time_between_steps():
    """Of float32 above 2^24, where adding one changes nothing."""
    layer, x = CfC(3, 4), torch.randn(2, 1, 3)
    h = torch.randn(1, 1, 4)
    near, far = (layer(x, (h, torch.tensor([[[clock, 1.0]]])))[0] for clock in (100.0, 2.0**24))
    assert torch.equal(near, far)
