"""Layers of cells of one's own: every nest of states, outputs of their own, what they may return, clear errors."""

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from recur.nn import LSTM, RNN, Recurrent

Pair = namedtuple("Pair", "h c")


class Tanh(nn.Module):
    """The plainest cell; `shape` makes of its state what it gives to the layer."""

    def __init__(self, input_size, hidden_size, state_size=None, shape=lambda h: h, **told):
        super().__init__()
        self.state_size = hidden_size if state_size is None else state_size
        self.hidden_size, self.shape = hidden_size, shape
        self.both = nn.Linear(input_size + hidden_size, hidden_size)
        for name, value in told.items():
            setattr(self, name, value)

    def first(self, state):
        while not isinstance(state, torch.Tensor):
            state = next(iter(state.values())) if isinstance(state, dict) else state[0]
        return state

    def forward(self, x, state):
        return self.shape(torch.tanh(self.both(torch.cat([x, self.first(state)], 1))))


class Twice(nn.Module):
    """An LSTM whose state comes in any nest: `into` makes it from h and c, `outof` gives h and c."""

    def __init__(self, input_size, hidden_size, into, outof):
        super().__init__()
        self.state_size = into(hidden_size, hidden_size)
        self.into, self.outof = into, outof
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def forward(self, x, state):
        return self.into(*self.cell(x, self.outof(state)))


NESTS = {
    "tuple": (lambda h, c: (h, c), lambda s: s),
    "list": (lambda h, c: [h, c], tuple),
    "named": (Pair, lambda s: (s.h, s.c)),
    "dict": (lambda h, c: {"h": h, "c": c}, lambda s: (s["h"], s["c"])),
    "nested": (lambda h, c: {"a": (h,), "b": [Pair({"x": c}, h)]}, lambda s: (s["a"][0], s["b"][0].h["x"])),
    "shapes": (lambda h, c: (h, torch.Size((c,)) if isinstance(c, int) else c), lambda s: s),
}


@pytest.mark.parametrize("name", NESTS)
@pytest.mark.parametrize("form", [{}, {"num_layers": 2, "bidirectional": True}])
def test_every_nest_of_states_goes_in_and_out(compare, name, form):
    into, outof = NESTS[name]
    layer = Recurrent(lambda size: Twice(size, 4, into, outof), 3, **form).double()
    plain = LSTM(3, 4, dtype=torch.float64, **form)
    with torch.no_grad():
        for k, cell in enumerate(layer.cells):
            suffix = plain._suffix(k)
            for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(plain, f"{weight}_{suffix}").copy_(getattr(cell.cell, weight))
    x, lengths = torch.randn(5, 3, 3, dtype=torch.float64), [5, 0, 2]
    hx = tuple(torch.randn(len(layer.cells), 3, 4, dtype=torch.float64) for _ in range(2))
    output, state = layer(x, into(*hx), lengths=lengths)
    want, (h_n, c_n) = plain(x, hx, lengths=lengths)
    assert type(state) is type(into(1, 1))
    h, c = outof(state)
    compare({"y": output, "h": h, "c": c}, {"y": want, "h": h_n, "c": c_n})
    directions = layer.final_states(state)
    compare({"h": outof(directions.forward)[0]}, {"h": plain.final_states((h_n, c_n)).forward[0]})


def test_a_dictionary_may_come_back_in_another_order(compare):
    def turned(h, c):
        return {"h": h, "c": c} if isinstance(h, int) else {"c": c, "h": h}

    straight = Recurrent(Twice(3, 4, *NESTS["dict"]), 3)
    other = Recurrent(Twice(3, 4, turned, NESTS["dict"][1]), 3)
    other.load_state_dict(straight.state_dict())
    x = torch.randn(5, 2, 3)
    (y, state), (want, expected) = other(x), straight(x)
    assert torch.equal(y, want)
    assert torch.equal(state["c"], expected["c"])
    carried = {"c": state["c"], "h": state["h"]}
    assert torch.equal(other(x, carried)[0], straight(x, expected)[0])


class Own(Tanh):
    """Gives an output of its own, and shows something."""

    def forward(self, x, state):
        h = super().forward(x, state)
        return h[:, :2] * 2, h, {"double": 2 * h}


def test_an_output_of_its_own_and_what_it_shows(compare):
    layer = Recurrent(lambda size: Own(size, 4, output_size=2), 3, num_layers=2, bidirectional=True)
    assert [cell.both.in_features for cell in layer.cells] == [7, 7, 8, 8]
    x = torch.randn(5, 3, 3)
    output, state, steps = layer(x, lengths=[5, 2, 0], return_all=True)
    assert output.shape == (5, 3, 4)
    assert state.shape == (4, 3, 4)
    assert [(each.layer, each.direction, list(each.values)) for each in steps] == [
        (layer, direction, ["h", "double"]) for layer in (0, 1) for direction in ("forward", "backward")
    ]
    # Twice is exact.
    assert torch.equal(steps[2].values["double"], 2 * steps[2].values["h"])
    assert torch.equal(output[..., :2], 2 * steps[2].values["h"][..., :2])
    assert bool((steps[3].values["double"][2:, 1] == 0).all())
    assert all(value.requires_grad for each in steps for value in each.values.values())


@pytest.mark.parametrize("told", [{}, {"output_size": 4}])
def test_zoneout_holds_for_an_output_that_is_the_state_and_for_no_other(told):
    x = torch.randn(5, 3, 3)
    output, state = Recurrent(Tanh(3, 4, shape=lambda h: (2 * h, h), **told), 3, zoneout=1.0)(x)
    assert bool((state == 0).all())
    assert bool((output != 0).all())
    for shape in (lambda h: (h, h), lambda h: h):
        assert bool((Recurrent(Tanh(3, 4, shape=shape, **told), 3, zoneout=1.0)(x)[0] == 0).all())


@pytest.mark.parametrize("fixed", ["h", ("count",)])
def test_fixed_states_must_be_names_of_the_state(fixed):
    cell = Tanh(3, 4)
    cell.fixed_states = fixed
    with pytest.raises(ValueError, match=r"^Recurrent: fixed_states of Tanh is .*, but must be a tuple of names from "):
        Recurrent(cell, 3)


def test_a_step_is_a_layer_of_torch(compare):
    layer, plain = Recurrent(Tanh(3, 4), 3).double(), RNN(3, 4, dtype=torch.float64)
    with torch.no_grad():
        plain.weight_ih_l0.copy_(layer.cells[0].both.weight[:, :3])
        plain.weight_hh_l0.copy_(layer.cells[0].both.weight[:, 3:])
        plain.bias_ih_l0.copy_(layer.cells[0].both.bias)
        plain.bias_hh_l0.zero_()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    compare(dict(zip("yh", layer(x), strict=True)), dict(zip("yh", plain(x), strict=True)))


def test_the_cell_may_say_the_input_size():
    cell = Tanh(3, 4)
    cell.input_size = 3
    assert Recurrent(cell).input_size == 3
    with pytest.raises(TypeError, match=r"^Recurrent: input_size is missing; give it, or let the cell say it\."):
        Recurrent(Tanh(3, 4))


def test_names_fixed_parts_and_initial_states(compare):
    class Counting(nn.Module):
        state_names = ("h", "count")
        fixed_states = ("count",)

        def __init__(self, size):
            super().__init__()
            self.state_size = (4, 1)
            self.cell = nn.RNNCell(size, 4)

        def forward(self, x, state):
            return self.cell(x, state[0]), state[1] + 1

    layer = Recurrent(Counting, 3, initial_state="learned", zoneout=0.9)
    assert "h_0" in dict(layer.named_parameters())
    assert "count_0" not in dict(layer.named_parameters())
    _, (_, count) = layer(torch.randn(5, 2, 3), lengths=[5, 3])
    assert count.flatten().tolist() == [5.0, 3.0]
    context = Recurrent(Counting, 3, initial_state="context", context_size=2)
    assert context.context_to_state.out_features == 4
    _, (_, count) = context(
        torch.randn(5, 1, 3), context=torch.ones(1, 2), reset=torch.tensor([[0], [0], [1], [0], [0]]) > 0
    )
    assert float(count) == 3


def test_a_learned_state_of_a_nest_has_its_path_for_a_name():
    layer = Recurrent(Twice(3, 4, *NESTS["nested"]), 3, initial_state="learned")
    own = [name for name, _ in layer.named_parameters(recurse=False)]
    assert own == ["a_0_0", "b_0_h_x_0", "b_0_c_0"]


def test_sizes_of_layers_that_differ(compare):
    sizes = iter([4, 2])
    layer = Recurrent(lambda size: Tanh(size, next(sizes)), 3, num_layers=2).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    output, state = layer(x)
    assert [part.shape for part in state] == [(2, 4), (2, 2)]
    part, carried = layer(x[:3])
    rest, final = layer(x[3:], carried)
    compare({"y": torch.cat([part, rest]), "h": final[1]}, {"y": output, "h": state[1]})


def test_a_parametrized_weight_is_computed_once(compare):
    layer = Recurrent(Tanh(3, 4), 3)
    x = torch.randn(5, 2, 3)
    want = layer(x)[0]
    parametrizations.weight_norm(layer.cells[0].both, "weight")
    calls = []
    layer.cells[0].both.parametrizations.weight[0].register_forward_hook(lambda *_: calls.append(1))
    # The norm and what is divided by it are each rounded: some ulps a product, 7 products, 5 steps.
    compare({"y": layer(x)[0]}, {"y": want}, terms=7 * 5 * 4)
    assert len(calls) == 1
    layer(x)[0].sum().backward()
    assert layer.cells[0].both.parametrizations.weight.original0.grad is not None


def test_reset_parameters_reaches_the_cells():
    layer = Recurrent(Tanh(3, 4, reset_parameters=lambda: drawn.append(1)), 3)
    drawn: list[int] = []
    layer.reset_parameters()
    assert drawn == [1]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"cell": 3}, TypeError, r"cell must be a module or a function that makes one, but is int\."),
        ({"cell": lambda size: size}, TypeError, r"cell must return a module, but returned int\."),
        ({"cell": nn.Linear(3, 4)}, TypeError, r"Linear does not say what its state looks like; set self\.state_size"),
        (
            {"cell": Tanh(3, 4, state_size=(4, 2.0))},
            TypeError,
            r"state_size\.1 must be an int or a torch\.Size, but is 2",
        ),
        ({"cell": Tanh(3, 4, state_size=True)}, TypeError, r"state_size must be an int or a torch\.Size, but is True"),
        ({"cell": Tanh(3, 4, state_size=())}, TypeError, r"state_size of Tanh is empty; a state has at least one"),
        (
            {"cell": Tanh(3, 4), "num_layers": 2},
            ValueError,
            r"one cell makes one layer in one direction; for more, give",
        ),
        ({"cell": Tanh(3, 4), "bidirectional": True}, ValueError, r"one cell makes one layer in one direction"),
        ({"cell": Tanh(3, 4), "num_layers": "2"}, TypeError, r"num_layers must be an int, but is str\."),
        (
            {"cell": Tanh(3, 4, state_names=("a", "b"))},
            ValueError,
            r"state_names of Tanh names 2 parts of the state, but",
        ),
        (
            {"cell": Tanh(3, 4, state_size=(4, 4), state_names=("h", "h"))},
            ValueError,
            r"state_names of Tanh must differ from each other, but is \('h', 'h'\)\.",
        ),
        ({"cell": Tanh(3, 4, output_size="a")}, TypeError, r"output_size of Tanh must be an int, but is str\."),
        ({"cell": Tanh(3, 4, num_features="x")}, TypeError, r"num_features of Tanh must be an int, but is str\."),
        ({"cell": Tanh(3, 4), "layer_norm": True}, TypeError, r"there is no option 'layer_norm'\."),
        ({"cell": Tanh(3, 4), "zoneout": (0.1, 0.1)}, ValueError, r"zoneout has 2 values, but the state has 1 parts"),
    ],
)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=f"^Recurrent: {text}"):
        Recurrent(**{"input_size": 3, **arguments})


def test_cells_must_be_alike():
    kinds = iter([Tanh(3, 4), Tanh(4, 4, state_size=(4, 4))])
    with pytest.raises(ValueError, match=r"^Recurrent: the cells of all layers must have states of one structure\."):
        Recurrent(lambda size: next(kinds), 3, num_layers=2)


@pytest.mark.parametrize(
    ("cell", "error", "text"),
    [
        (
            Tanh(3, 4, shape=lambda h: (h, h, h, h)),
            TypeError,
            r"the cell must return its next state, shaped \* with",
        ),
        (
            Tanh(3, 4, state_size={"h": 4}, shape=lambda h: {"g": h}),
            TypeError,
            r"the cell must return its next state, shaped \{h: \*\} with .*, but returned \{g: \*\}\.",
        ),
        (
            Tanh(3, 4, shape=lambda h: (h, h, h)),
            TypeError,
            r".* dictionary .*returned \(\*, \*, \*\)",
        ),
        (Tanh(3, 4, shape=lambda h: None), TypeError, r"the cell returned a state h that is NoneType, not a tensor\."),
        (
            Tanh(3, 4, shape=lambda h: h[:, :2]),
            ValueError,
            r"the cell returned a state h of shape \(2, 2\), but its state_size says \(2, 4\)\.",
        ),
        (
            Tanh(3, 4, shape=lambda h: (h[:, :2], h)),
            ValueError,
            r"the cell returned an output of shape \(2, 2\), but its state_size, without an output_size of its own, ",
        ),
        (
            Tanh(3, 4, output_size=2),
            ValueError,
            r"the cell returned an output of shape \(2, 4\), but its output_size says \(2, 2\)\.",
        ),
        (Tanh(3, 4, shape=lambda h: (3, h)), TypeError, r"the cell returned an output that is int, not a tensor\."),
    ],
)
def test_wrong_returns(cell, error, text):
    with pytest.raises(error, match=f"^Recurrent: {text}"):
        Recurrent(cell, 3)(torch.zeros(5, 2, 3))


def test_bad_states():
    layer = Recurrent(Twice(3, 4, *NESTS["dict"]), 3)
    x, part = torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)
    with pytest.raises(
        TypeError, match=r"^Recurrent: hx must have the structure \{h: h_0, c: c_0\}, but is \(\*, \*\)\."
    ):
        layer(x, (part, part))
    with pytest.raises(TypeError, match=r"^Recurrent: c_0 must be a torch\.Tensor, but is NoneType\."):
        layer(x, {"h": part, "c": None})
    with pytest.raises(ValueError, match=r"^Recurrent: c_0 must have shape .* = \(1, 2, 4\), but has \(1, 2, 3\)\."):
        layer(x, {"h": part, "c": part[..., :3]})


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_torchs_cells_are_taken_as_they_are(compare, name):
    cell = getattr(nn, f"{name}Cell")(3, 4, dtype=torch.float64)
    layer = getattr(nn, name)(3, 4, dtype=torch.float64)
    layer.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    (found, state), (wanted, final) = Recurrent(cell)(x), layer(x)
    compare({"y": found, **dict(enumerate(state))}, {"y": wanted, **dict(enumerate(final))})


def test_the_librarys_cells_show_their_gates(compare):
    layer = LSTM(3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    found = Recurrent(layer.cell())(x, return_all=True).steps[0].values
    compare(found, layer(x, return_all=True).steps[0].values)
    assert set(found) == {"h", "c", "i", "f", "g", "o"}


def test_sizes_are_those_of_each_layer():
    cells = iter([Tanh(3, 4), Tanh(4, 6)])
    layer = Recurrent(lambda size: next(cells), 3, num_layers=2)
    assert (layer.hidden_sizes, layer.hidden_size) == ((4, 6), 6)


def test_a_cell_without_parameters_follows_to():
    class Mean(nn.Module):
        state_size = 3

        def forward(self, x, h):
            return 0.5 * h + 0.5 * x

    layer = Recurrent(Mean(), 3)
    assert not layer.state_dict()
    assert layer(torch.ones(2, 1, 3))[1].dtype == torch.float32
    assert layer.double()(torch.ones(2, 1, 3, dtype=torch.float64))[0][1, 0, 0] == 0.75
    with pytest.raises(TypeError, match=r"^Recurrent: x is torch\.float32, but the layer is torch\.float64\."):
        layer(torch.ones(2, 1, 3))


def test_only_a_size_of_1_stands_for_the_places_of_an_input():
    class Sum(nn.Module):
        num_features, state_size, output_size = 2, (torch.Size((3, 1)), torch.Size((7, 2))), 3

        def forward(self, x, state):
            return state[0] + x, (state[0] + x, state[1] + 1)

    _, (total, count) = Recurrent(Sum(), 3)(torch.ones(5, 2, 3, 4))
    assert (total.shape, count.shape) == ((1, 2, 3, 4), (1, 2, 7, 2))


def test_an_error_inside_a_cell_tells_which_and_for_what():
    layer = Recurrent(lambda size: Tanh(3, 4), 3, num_layers=2)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        layer(torch.zeros(5, 2, 3))
    (note,) = caught.value.__notes__
    assert note.startswith("Recurrent: this came from cells[1], Tanh(")
    assert note.endswith("for x_t of shape (2, 4).")


@pytest.mark.parametrize("options", [{}, {"zoneout": 0.1}])
@pytest.mark.parametrize("lengths", [None, [5, 2]])
def test_a_state_under_autocast_has_the_dtype_that_the_cell_gives(lengths, options):
    layer = Recurrent(Tanh(3, 4), 3, **options).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = layer(torch.zeros(5, 2, 3), lengths=lengths)
    assert (output.dtype, state.dtype) == (torch.bfloat16, torch.bfloat16)
