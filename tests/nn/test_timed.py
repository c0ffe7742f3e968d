"""Time stamps beside the sequences, in every form."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_sequence

from recur.nn import GRUD, CfC, PhasedLSTM


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
        r"times is torch\.float64, but the layer is torch\.float32\. Pass \(times - start\)\.to\(torch\.float32\) .*"
        r"at 1\.7e9, seconds since 1970, torch\.float32 counts in steps of 128\.$",
    ),
    (
        {"times": torch.zeros(4, 2, dtype=torch.int64)},
        TypeError,
        r"times is torch\.int64, but the layer is .*\. Pass \(times -",
    ),
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
    ({"times": torch.zeros(4, 2, device="meta")}, ValueError, r"times is on meta, but the layer is on cpu\. Move it"),
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


def test_a_layer_in_float64_takes_any_time_converted():
    with pytest.raises(TypeError, match=r"Convert it with times\.to\(torch\.float64\)\.$"):
        CfC(3, 4, dtype=torch.float64)(torch.zeros(4, 2, 3).double(), times=torch.zeros(4, 2, dtype=torch.int64))


def _stamps(**changes):
    times = torch.arange(8.0).reshape(4, 2)
    for where, value in changes.items():
        step, row = map(int, where[1:].split("_"))
        times[step, row] = value
    return times


@pytest.mark.parametrize("kind", [CfC, GRUD, PhasedLSTM])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}], ids=str)
def test_times_that_mean_nothing(kind, options):
    layer = kind(3, 4, **options)

    def run(times, **more):
        first = layer.batch_first
        return layer(torch.zeros(2, 4, 3) if first else torch.zeros(4, 2, 3), times=times.T if first else times, **more)

    nan, inf = float("nan"), float("inf")
    for value in (nan, inf, -inf):
        with pytest.raises(
            ValueError, match=rf"^{kind.__name__}: times of row 1 is {value} at step 2, but must be fin"
        ):
            run(_stamps(t2_1=value))
    text = rf"^{kind.__name__}: times of row 0 goes back from 2, of step 1, to 1\.5 at step 2\. Sort the steps of each"
    with pytest.raises(ValueError, match=text):
        run(_stamps(t2_0=1.5))
    # The same time twice is none the worse, nor anything past a row's end or where a sequence begins.
    run(_stamps(t2_0=2.0))
    run(_stamps(t2_0=nan, t3_0=-9.0), lengths=[2, 4])
    run(_stamps(t0_0=nan, t1_0=-9.0), lengths=[0, 4])
    reset = torch.zeros(4, 2, dtype=torch.bool)
    reset[2, 0] = True
    run(_stamps(t2_0=-9.0), reset=reset.T if layer.batch_first else reset)
    reset[2, 0], reset[2, 1] = False, True
    with pytest.raises(ValueError, match=r"times of row 0 goes back"):
        run(_stamps(t2_0=-9.0), reset=reset.T if layer.batch_first else reset)
    with pytest.raises(ValueError, match=r"times of row 0 is nan at step 2"):
        run(_stamps(t2_0=nan), lengths=[3, 4])


@pytest.mark.parametrize("kind", [CfC, GRUD])
def test_times_behind_the_clock(kind):
    layer, x = kind(3, 4), torch.zeros(4, 2, 3)
    _, state = layer(x, times=_stamps())
    with pytest.raises(ValueError, match=r"times of row 0 goes back from 6, of the clock in hx, to 0 at step 0\."):
        layer(x, state, times=_stamps())
    layer(x, state, times=_stamps() + 7)
    layer(x, state, times=_stamps(), reset=torch.tensor([[True, True]] + [[False, False]] * 3))
    layer(x, state, times=_stamps(), lengths=[0, 0])
    # The state that a layer itself begins with has no time yet.
    layer(x, times=_stamps() - 100)
    dilated = kind(3, 4, dilation=2)
    dilated(x, dilated(x, times=_stamps())[1], times=_stamps() + 9)


def test_times_are_not_looked_at_where_they_cannot_be(compare):
    layer, x, times = (
        CfC(3, 4, dtype=torch.float64),
        *(torch.randn(s, dtype=torch.float64) for s in ((4, 2, 3), (3, 4, 2))),
    )
    times = times.abs().cumsum(1)

    def total(stamps):
        return layer(x, times=stamps)[0].sum()

    got = torch.func.vmap(torch.func.grad(total))(times)
    compare({"d": got}, {"d": torch.stack([torch.func.grad(total)(stamps) for stamps in times])})
    with pytest.raises(ValueError, match="goes back"):
        torch.func.grad(total)(-times[0])


def test_times_and_lengths_are_taken_while_torch_traces():
    layer = CfC(4, 8)
    x, times, lengths = torch.randn(5, 2, 4), torch.rand(5, 2).cumsum(0), torch.tensor([5, 2])

    def run(x, times, lengths):
        return layer(x, times=times, lengths=lengths)[0]

    torch.testing.assert_close(make_fx(run)(x, times, lengths)(x, times, lengths), run(x, times, lengths))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert run(*(mode.from_tensor(each) for each in (x, times, lengths))).shape == (5, 2, 8)
