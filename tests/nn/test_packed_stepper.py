"""Packed steppers: a step at a time in place is the whole, and changed weights are seen."""

import pytest
import torch

from recur import nn
from recur.errors import BackendError
from recur.nn import LSTM, PackedStepper

T, B = 6, 3
KINDS = ["RNN", "GRU", "LSTM", "IndRNN", "MGU", "LiGRU"]


def made(kind, *sizes, dtype=torch.float64, **options):
    torch.manual_seed(0)
    return getattr(nn, kind)(*sizes, dtype=dtype, **options).eval()


def stepped(stepper, x):
    outputs = []
    for x_t in x:
        stepper.input.copy_(x_t)
        stepper.step()
        outputs.append(stepper.output.clone())
    return torch.stack(outputs)


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 3}, {"layer_norm": True}, {"zoneout": 0.3}, {"bias": False}], ids=str
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, B, 9])
def test_steps_are_the_whole(kind, options, batch):
    layer = made(kind, 5, 19, initial_state="learned", **options)
    x = torch.randn(T, batch, 5, dtype=torch.float64)
    stepper = PackedStepper(layer, batch)
    with torch.no_grad():
        output, final = layer(x)
    torch.testing.assert_close(stepped(stepper, x), output, rtol=0, atol=1e-12)
    finals = final if isinstance(final, tuple) else (final,)
    for number, state in enumerate(stepper.states):
        for part, whole in zip(state, finals, strict=True):
            torch.testing.assert_close(part, whole[number], rtol=0, atol=1e-12)


def test_projected_and_clipped():
    layer = made("LSTM", 5, 19, proj_size=7, output_clip=0.05, cell_clip=0.1, peephole=True)
    x = torch.randn(T, B, 5, dtype=torch.float64)
    torch.testing.assert_close(stepped(PackedStepper(layer, B), x), layer(x)[0], rtol=0, atol=1e-12)


def test_rows_begin_anew_where_their_state_is_set():
    layer = made("GRU", 5, 8)
    x = torch.randn(T, B, 5, dtype=torch.float64)
    stepper = PackedStepper(layer, B)
    stepped(stepper, x)
    stepper.states[0][0][1].zero_()
    again = stepped(stepper, x)
    torch.testing.assert_close(again[:, 1], layer(x)[0][:, 1], rtol=0, atol=1e-12)
    assert not torch.allclose(again[:, 0], layer(x)[0][:, 0])


def by_optimizer(weight, **options):
    weight.grad = torch.ones_like(weight)
    torch.optim.Adam([weight], 0.1, **options).step()


def in_place(weight):
    with torch.no_grad():
        weight.mul_(2)


def foreach(weight):
    with torch.no_grad():
        torch._foreach_mul_([weight], 2)


SEEN = {"in_place": in_place, "foreach": foreach, "adam": by_optimizer}
UNSEEN = {
    "data": lambda weight: weight.data.mul_(2),
    "new_data": lambda weight: setattr(weight, "data", weight.data * 2),
    "numpy": lambda weight: weight.detach().numpy().__imul__(2),
    "fused": lambda weight: by_optimizer(weight, fused=True),
}


@pytest.mark.parametrize("write", SEEN.values(), ids=SEEN)
def test_changed_weights_are_packed_again(write):
    layer = made("LSTM", 5, 8)
    x = torch.randn(T, 1, 5, dtype=torch.float64)
    stepper = PackedStepper(layer)
    write(layer.weight_hh_l0)
    torch.testing.assert_close(stepped(stepper, x), layer(x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("write", UNSEEN.values(), ids=UNSEEN)
def test_writes_past_the_version_are_seen_after_refresh(write):
    layer = made("LSTM", 5, 8)
    x = torch.randn(T, 1, 5, dtype=torch.float64)
    stepper = PackedStepper(layer)
    write(layer.weight_hh_l0)
    stepper.refresh()
    torch.testing.assert_close(stepped(stepper, x), layer(x)[0], rtol=0, atol=1e-12)


def test_two_steppers_on_one_layer_keep_their_own_state():
    layer = made("GRU", 5, 8, dtype=torch.float32)
    x = torch.randn(T, 1, 5)
    one, other = PackedStepper(layer), PackedStepper(layer)
    for x_t in x:
        one.input.copy_(x_t)
        one.step()
    assert torch.allclose(stepped(other, x), layer(x)[0], atol=1e-6)
    assert torch.allclose(one.output, other.output)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (lambda: torch.nn.LSTM(2, 3), TypeError, "must be a gated layer of recur.nn, but is LSTM"),
        (lambda: LSTM(2, 3), ValueError, "LSTM is in training"),
        (lambda: LSTM(2, 3, bidirectional=True).eval(), ValueError, "reads in both directions"),
        (lambda: LSTM(2, 3, dilation=2).eval(), ValueError, "has dilation or skips"),
        (lambda: LSTM(3, 3, num_layers=2, skip="residual").eval(), ValueError, "has dilation or skips"),
        (lambda: LSTM(2, 3, initial_state="context", context_size=2).eval(), ValueError, "from a context"),
        (lambda: LSTM(2, 3, dtype=torch.float16).eval(), BackendError, "torch.float16"),
        (lambda: nn.RNN(2, 3, nonlinearity=torch.sin).eval(), BackendError, "a function as nonlinearity"),
    ],
)
def test_what_it_does_not_take(layer, error, message):
    with pytest.raises(error, match=message):
        PackedStepper(layer())


def test_batch_size_is_checked():
    with pytest.raises(ValueError, match="batch_size"):
        PackedStepper(LSTM(2, 3).eval(), 0)


@pytest.mark.parametrize("options", [{"num_layers": 2}, {"layer_norm": True, "initial_state": "learned"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_in_bfloat16_weights_are_narrow_and_all_else_is_float32(kind, options):
    layer = made(kind, 5, 40, dtype=torch.bfloat16, **options)
    stepper = PackedStepper(layer, 2)
    assert {stepper.input.dtype, stepper.output.dtype, stepper.states[0][0].dtype} == {torch.float32}
    x = torch.randn(T, 2, 5)
    found = stepped(stepper, x)
    want = layer.double()(x.double())[0]
    # The factors of products are rounded to eight bits, of which steps and layers take up a few.
    assert (found - want).norm() < 0.05 * want.norm()


def test_in_bfloat16_changed_weights_are_seen():
    layer = made("GRU", 5, 40, dtype=torch.bfloat16)
    x = torch.randn(T, 1, 5)
    stepper = PackedStepper(layer)
    before = stepped(stepper, x)
    with torch.no_grad():
        layer.weight_ih_l0.neg_()
    stepper.states[0][0].zero_()
    assert not torch.allclose(stepped(stepper, x), before, atol=0.1)


@pytest.mark.parametrize("name", ["input", "output", "states"])
def test_its_tensors_cannot_be_exchanged(name):
    stepper = PackedStepper(nn.GRU(3, 4).eval())
    with pytest.raises(AttributeError, match=name):
        setattr(stepper, name, getattr(stepper, name))


def test_it_tells_what_it_steps():
    assert repr(PackedStepper(LSTM(8, 16).eval(), 2)) == "PackedStepper(LSTM(8, 16), batch_size=2)"
