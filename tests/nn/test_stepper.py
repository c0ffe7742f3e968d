"""Live streams: steps and chunks are the whole, rows begin anew alone, and the state lies in the stepper."""

import pytest
import torch

from recur import accelerate
from recur.nn import GRU, LSTM, RNN, ConvGRU, GRUCell, RHNCell, Stepper, nest

T, B = 7, 3
F64 = {"dtype": torch.float64}


def leaves(state):
    return dict(nest.leaves(state))


def example(kind, layer, batch=B):
    shape = (T, *(() if batch is None else (batch,)), layer.input_size, *kind.spatial)
    timed = {} if kind.timed is None else kind.timed(T, batch or 1)
    if batch is None:
        timed = {name: value[:, 0] for name, value in timed.items()}
    return torch.randn(shape, **F64), timed


def made(kind, **options):
    layer = kind.make(3, 5, **options).eval()
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, 0.1, 0.4)
    return layer


def at(timed, index):
    return {name: value[index] for name, value in timed.items()}


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "dilation": [1, 3]}, {"zoneout": 0.2}], ids=str)
def test_steps_and_chunks_are_the_whole(any_kind, compare, options):
    if set(options) & set(any_kind.cannot):
        return
    layer = made(any_kind, initial_state="learned", **options)
    x, timed = example(any_kind, layer)
    output, final = layer(x, **timed)
    stepper = Stepper(layer, B)
    by_step = torch.stack([stepper(x[t], **at(timed, t)) for t in range(T)])
    compare({"output": by_step, **leaves(stepper.state)}, {"output": output, **leaves(final)})
    stepper = Stepper(layer, B)
    parts = [slice(0, 3), slice(3, 4), slice(4, T)]
    by_chunk = torch.cat([stepper(x[part], **at(timed, part)) for part in parts])
    compare({"output": by_chunk, **leaves(stepper.state)}, {"output": output, **leaves(final)})


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "dilation": [1, 3]}], ids=str)
def test_rows_begin_anew_at_their_own_times(any_kind, compare, options):
    if set(options) & set(any_kind.cannot):
        return
    layer = made(any_kind, initial_state="learned", **options)
    x, timed = example(any_kind, layer)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[2, 1] = reset[5, 1] = reset[3, 0] = reset[3, 2] = True
    output, final = layer(x, reset=reset, **timed)
    stepper = Stepper(layer, B)
    outputs = []
    for t in range(T):
        if t in (2, 5):
            stepper.reset(1)
        if t == 3:
            stepper.reset([0, -1])
        outputs.append(stepper(x[t], **at(timed, t)))
    found = {"output": torch.stack(outputs), **leaves(stepper.state)}
    compare(found, {"output": output, **leaves(final)})
    stepper.reset()
    by_step = torch.stack([stepper(x[t], reset=reset[t], **at(timed, t)) for t in range(T)])
    compare({"output": by_step}, {"output": output})


@pytest.mark.parametrize("batch", [B, None])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 2, "state_batch_first": True}], ids=str)
def test_forms_of_batches(kind, compare, options, batch):
    layer = made(kind, **options)
    x, _ = example(kind, layer, batch)
    is_turned = bool(options.get("batch_first")) and batch is not None
    output, final = layer(x.transpose(0, 1) if is_turned else x)
    stepper = Stepper(layer, batch)
    first = torch.stack([stepper(x[t]) for t in range(3)])
    chunk = stepper(x[3:].transpose(0, 1) if is_turned else x[3:])
    rest = chunk.transpose(0, 1) if is_turned else chunk
    whole = output.transpose(0, 1) if is_turned else output
    compare({"output": torch.cat([first, rest]), **leaves(stepper.state)}, {"output": whole, **leaves(final)})


def test_streams_that_have_got_different_numbers_of_steps(compare):
    layer = GRU(3, 5, **F64).eval()
    x = torch.randn(4, 2, 3, **F64)
    stepper = Stepper(layer, 2)
    stepper(x, lengths=[4, 1])
    stepper(x[1], lengths=torch.tensor([0, 1]))
    stepper(x[2:], lengths=torch.tensor([0, 2]))
    compare({"state": stepper.state}, {"state": layer(x)[1]})


def test_the_state_is_read_set_and_kept_apart(compare):
    layer = LSTM(3, 5, initial_state="learned", **F64).eval()
    torch.nn.init.normal_(layer.h_0)
    before = set(layer.__dict__)
    x = torch.randn(T, B, 3, **F64)
    one, other = Stepper(layer, B), Stepper(layer, B)
    compare({"h": one.state[0]}, {"h": layer.h_0[:, None].expand(1, B, 5)})
    one(x[:4])
    kept = one.state
    want = one(x[4:])
    assert not torch.equal(one.state[0], kept[0])
    other.state = kept
    kept[0].zero_()
    compare({"y": other(x[4:])}, {"y": want})
    assert other(x[0]).requires_grad is False
    assert set(layer.__dict__) == before
    one.state = None
    compare({"y": one(x)}, {"y": layer(x)[0]})
    # What was read can go on to where gradients are wanted.
    layer(x, one.state)[0].sum().backward()
    with pytest.raises(ValueError, match=r"h_0 must have shape \(L\*D, B, H\) = \(1, 3, 5\), but has \(1, 2, 5\)"):
        one.state = (kept[0][:, :2], kept[1])


def test_rows_are_marked_in_every_way(compare):
    layer = RNN(3, 5, **F64).eval()
    for rows in (1, [1], torch.tensor([1]), torch.tensor(1), torch.tensor([False, True, False]), -2, range(1, 2)):
        stepper = Stepper(layer, B)
        stepper.reset(rows)
        stepper(torch.randn(B, 3, **F64))
        before = stepper.state
        stepper.reset(rows)
        compare({"h": stepper.state}, {"h": before * torch.tensor([[[1.0], [0.0], [1.0]]], **F64)})


def test_a_context_gives_the_initial_state(compare):
    layer = GRU(3, 5, initial_state="context", context_size=2, **F64).eval()
    x, context = torch.randn(T, B, 3, **F64), torch.randn(B, 2, **F64)
    stepper = Stepper(layer, B, context=context)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[3, 1] = reset[5, 2] = True
    output, _ = layer(x, context=context, reset=reset)
    head = stepper(x[:3])
    stepper.reset(1)
    tail = [stepper(x[t], **({"reset": reset[t]} if t == 5 else {})) for t in range(3, T)]
    compare({"y": torch.cat([head, torch.stack(tail)])}, {"y": output})


class Model(torch.nn.Module):
    """A model with its state in a dictionary."""

    def __init__(self):
        super().__init__()
        self.layer = GRU(3, 5, initial_state="learned", batch_first=True, **F64)
        torch.nn.init.normal_(self.layer.h_0)

    def forward(self, x, state=None, *, lengths=None, reset=None):
        output, h = self.layer(x, None if state is None else state["h"], lengths=lengths, reset=reset)
        return output * 2, {"h": h}


def test_a_model(compare):
    model = Model().eval()
    x = torch.randn(B, T, 3, **F64)
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[1, 3] = reset[2, 5] = True
    want, final = model(x, reset=reset)
    stepper = Stepper(model, B)
    assert stepper.state is None
    stepper.reset(0)
    head = stepper(x[:, :3])
    stepper.reset(1)
    with pytest.raises(ValueError, match="rows of the model begin anew at the next step; read the state after it"):
        _ = stepper.state
    tail = stepper(x[:, 3:], reset=reset[:, 3:])
    compare({"y": torch.cat([head, tail], 1), **stepper.state}, {"y": want, **final})
    stepper.reset()
    compare({"y": stepper(x, reset=reset)}, {"y": want})


@pytest.mark.parametrize("is_given", [True, False])
def test_rows_of_a_model_begin_anew_by_either_way_at_one_step(compare, is_given):
    """A pending `reset(rows)` and the `reset` of the call, at the first step of a chunk."""
    model = Model().eval()
    x = torch.randn(B, T, 3, **F64)
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[0, 3], reset[1, 3] = True, is_given
    want, final = model(x, reset=reset)
    stepper = Stepper(model, B)
    head = stepper(x[:, :3])
    stepper.reset(0)
    own = torch.zeros(B, T - 3, dtype=torch.bool)
    own[1, 0] = is_given
    tail = stepper(x[:, 3:], reset=own)
    compare({"y": torch.cat([head, tail], 1), **stepper.state}, {"y": want, **final})
    # What the caller gave stays as it was.
    assert not bool(own[0].any())


def test_a_row_of_a_model_without_a_step_still_begins_anew(compare):
    model = Model().eval()
    x = torch.randn(2, 4, 3, **F64)
    stepper = Stepper(model, 2)
    stepper(x)
    stepper.reset(0)
    stepper.reset([1])
    stepper(x[:, :1], lengths=[1, 0])
    stepper(x[:, 1:2], lengths=[1, 0])
    stepper(x, lengths=torch.tensor([0, 4]))
    want = torch.stack([model(x[:, :2])[1]["h"][:, 0], model(x)[1]["h"][:, 1]], 1)
    compare(stepper.state, {"h": want})


def test_a_layer_of_torchs_that_is_accelerated(compare):
    layer = torch.nn.LSTM(3, 5, num_layers=2, **F64).eval()
    x = torch.randn(T, B, 3, **F64)
    want, final = layer(x)
    accelerate(layer)
    stepper = Stepper(layer, B)
    found = torch.stack([stepper(x_t) for x_t in x])
    compare({"y": found, **leaves(stepper.state)}, {"y": want, **leaves(final)})


def test_a_layer_whose_state_depends_on_its_input(compare):
    layer = ConvGRU(2, 3, kernel_size=3, **F64).eval()
    stepper = Stepper(layer, B)
    assert stepper.state is None
    stepper.reset(0)
    x = torch.randn(4, B, 2, 5, 6, **F64)
    stepper(x[0])
    stepper.reset(2)
    assert bool((stepper.state[:, 2] == 0).all())
    assert stepper.state.shape == (1, B, 3, 5, 6)
    stepper.reset()
    compare({"y": stepper(x)}, {"y": layer(x)[0]})


X = torch.zeros(2, 3)


def stepped(layer, *x, batch_size=2, **inputs):
    return Stepper(layer.eval(), batch_size)(*x, **inputs)


class NoState(torch.nn.Module):
    def forward(self, x, state=None):
        return x


class NoReset(torch.nn.Module):
    def forward(self, x, state):
        return x, state


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: Stepper(GRU, 2), TypeError, "network must be a module, but is type"),
        (lambda: Stepper(GRU(3, 5), 0), ValueError, "batch_size is 0, but must be at least 1"),
        (lambda: Stepper(GRU(3, 5), 1.0), TypeError, "batch_size must be an int, but is float"),
        (lambda: Stepper(GRU(3, 5, bidirectional=True)), ValueError, "GRU reads in both directions, and the backward"),
        (
            lambda: Stepper(torch.nn.Sequential(torch.nn.LSTM(3, 5, bidirectional=True))),
            ValueError,
            "0, LSTM, reads in both",
        ),
        (lambda: Stepper(NoReset(), None), ValueError, "a model takes batches; pass batch_size=1"),
        (
            lambda: Stepper(torch.nn.Linear(8, 2).eval()),
            TypeError,
            r"^Stepper: Linear takes \(input.*\).*, but a model on streams has forward\(x, state\), which ",
        ),
        (lambda: stepped(NoState(), X), TypeError, r"^Stepper: NoState returned a Tensor, but a model on streams has"),
        (lambda: Stepper(NoReset(), context=X), ValueError, "context is for layers"),
        (lambda: Stepper(GRU(3, 5), 2)(X), ValueError, r"the network is in training, .* Call eval\(\) on it first"),
        (lambda: stepped(GRU(3, 5), [0.0]), TypeError, "x must be a torch.Tensor, but is list"),
        (lambda: stepped(GRU(3, 5), X[0]), ValueError, r"Give one step \(B, 3\), or a chunk \(T, B, 3\)"),
        (lambda: stepped(GRU(3, 5, batch_first=True), X[0]), ValueError, r"or a chunk \(B, T, 3\)"),
        (lambda: stepped(GRU(3, 5), X[None], batch_size=None), ValueError, r"one step \(3\), or a chunk \(T, 3\)"),
        (lambda: stepped(GRU(3, 5), X, batch_size=3), ValueError, "x has 2 rows, but batch_size is 3"),
        (lambda: stepped(NoReset(), X, batch_size=3), ValueError, "x has 2 rows, but batch_size is 3"),
        (lambda: stepped(NoReset(), X[0]), ValueError, r"x has shape \(3,\); give a model a chunk"),
        (lambda: stepped(GRU(4, 5), X), ValueError, "GRU: x has 3 features but input_size is 4"),
        (
            lambda: Stepper(NoReset(), 2).reset(0),
            ValueError,
            "NoReset takes no reset, so rows cannot",
        ),
        (lambda: Stepper(GRU(3, 5), None).reset(0), ValueError, "there is one stream and no batch"),
        (lambda: Stepper(GRU(3, 5), 2).reset(2), ValueError, "there is no row 2; batch_size is 2"),
        (
            lambda: Stepper(GRU(3, 5), 2).reset([0.5]),
            TypeError,
            "rows must be whole numbers or a bool tensor",
        ),
        (lambda: Stepper(GRU(3, 5), 2).reset(X[0] > 0), ValueError, r"rows must have shape \(2,\), but has \(3,\)"),
    ],
)
def test_errors(act, error, text):
    with pytest.raises(error, match=text):
        act()


def test_single_cells_and_records_are_refused():
    with pytest.raises(TypeError, match=r"^Stepper: GRUCell is a single cell, which takes and returns its state "):
        Stepper(GRUCell(3, 4).eval(), batch_size=2)
    with pytest.raises(TypeError, match=r"^Stepper: RHNCell is a single cell"):
        Stepper(RHNCell(3, 4).eval(), batch_size=2)
    with pytest.raises(ValueError, match=r"^Stepper: return_all is not for streams"):
        Stepper(GRU(3, 4).eval(), batch_size=2)(torch.zeros(2, 3), return_all=True)
