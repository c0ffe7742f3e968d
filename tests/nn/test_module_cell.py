"""What the cells that are modules have in common: derivatives, steps, sizes a layer, transforms, clear errors."""

import copy
import io

import pytest
import torch
from torch.nn.utils import parametrizations
from torch.utils._pytree import tree_leaves, tree_map

from recur import nn as recur_nn
from recur.nn import (
    GRUD,
    RHN,
    CfCCell,
    ConvGRUCell,
    ConvLSTMCell,
    GRUDCell,
    MogrifierLSTM,
    MogrifierLSTMCell,
    MultiplicativeLSTM,
    MultiplicativeLSTMCell,
    PhasedLSTMCell,
    Recurrent,
    RHNCell,
)

LABELS = [
    "RHN",
    "RHN_uncoupled",
    "MogrifierLSTM",
    "MogrifierLSTM_rank",
    "MultiplicativeLSTM",
    "ConvLSTM",
    "ConvLSTM_signal",
    "ConvGRU",
    "ConvGRU_signal",
    "PhasedLSTM",
    "CfC",
    "GRUD",
]
CELLS = [
    (RHNCell, {}, (3,)),
    (MogrifierLSTMCell, {}, (3,)),
    (MultiplicativeLSTMCell, {}, (3,)),
    (PhasedLSTMCell, {}, (4,)),
    (CfCCell, {}, (4,)),
    (GRUDCell, {}, (4,)),
    (ConvLSTMCell, {"layer_norm": True}, (3, 4, 5)),
    (ConvGRUCell, {"num_dims": 1}, (3, 4)),
]


@pytest.fixture(params=LABELS)
def module_kind(request, all_kinds):
    return all_kinds[request.param]


def _case(kind, **options):
    layer = kind.make(3, 2, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            # Smaller steps than the distance to a kink, as good as always.
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    x = torch.randn(3, 2, 3, *kind.spatial, dtype=torch.float64)
    timed = {} if kind.timed is None else kind.timed(3, 2)
    return layer, x, timed


def test_every_derivative_is_right(module_kind):
    """Of the output and the final state, in the input, the initial state and every parameter, to the second order."""
    torch.manual_seed(1)
    layer, x, timed = _case(module_kind, initial_state="learned")
    hx = tree_map(torch.randn_like, layer(x, **timed)[1])
    leaves = [x, *tree_leaves(hx)]
    names = [name for name, _ in layer.named_parameters()]
    given = [leaf.clone().requires_grad_() for leaf in leaves]
    given += [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]

    def run(*values):
        (x, *state), parameters = values[: len(leaves)], dict(zip(names, values[len(leaves) :], strict=True))
        hx = tuple(state) if len(state) > 1 else state[0]
        keywords = {"lengths": [3, 2], "reset": torch.tensor([[0, 0], [0, 1], [0, 0]]).bool(), **timed}
        found = torch.func.functional_call(layer, parameters, (x, hx), keywords)
        return tuple(value for value in tree_leaves(found) if value.requires_grad)

    assert torch.autograd.gradcheck(run, given)
    torch.manual_seed(2)
    assert torch.autograd.gradgradcheck(run, given, atol=1e-4, fast_mode=True)


@pytest.mark.parametrize(("kind", "options", "shape"), CELLS)
def test_a_cell_is_used_as_torchs(compare, kind, options, shape):
    """Alone, for one row, and in `Recurrent`, which has the gates of its steps."""
    cell = kind(3, 4, dtype=torch.float64, **options).eval()
    x = torch.rand(5, 2, *shape, dtype=torch.float64)
    state = None
    for x_t in x:
        state = cell(x_t, state)
    rows = None
    for x_t in x[:, 1]:
        rows = cell(x_t, rows)
    layer = Recurrent(cell, shape[0])
    output, final, (steps,) = layer(x, return_all=True)
    parts = state if isinstance(state, tuple) else (state,)
    finals = final if isinstance(final, tuple) else (final,)
    alone = rows if isinstance(rows, tuple) else (rows,)
    for name, part, other, row in zip(cell.state_names, parts, finals, alone, strict=True):
        compare({name: other[0], "row": row}, {name: part, "row": part[1]})
    compare({"y": output[-1]}, {"y": parts[0]})
    found, after, gates = cell(x[0], return_all=True)
    assert found is (after[0] if isinstance(after, tuple) else after)
    assert list(steps.values) == [*cell.state_names, *gates]
    _, _, of_row = cell(x[0, 1], return_all=True)
    for name, gate in gates.items():
        compare({name: steps.values[name][0], "row": of_row[name]}, {name: gate, "row": gate[1]})


def test_learned_states_have_names_and_clocks_are_none(module_kind):
    layer = module_kind.make(3, 4, num_layers=2, bidirectional=True, initial_state="learned")
    learned = {name.split("_0")[0] for name, _ in layer.named_parameters(recurse=False)}
    assert learned == {name for name in layer._state_names if name not in layer._fixed_states}
    assert learned == ({"h", "c"} if "LSTM" in module_kind.name else {"h"})


def test_a_size_a_layer(module_kind, compare):
    layer = module_kind.make(3, [4, 2, 5])
    assert layer.num_layers == 3
    assert [cell.hidden_size for cell in layer.cells] == [4, 2, 5]
    assert [cell.input_size for cell in layer.cells] == [3, 4, 2]
    x = torch.randn(6, 2, 3, *module_kind.spatial, dtype=torch.float64)
    timed = {} if module_kind.timed is None else module_kind.timed(6, 2)
    output, state = layer(x, **timed)
    first, carried = layer(x[:2], **{n: v[:2] for n, v in timed.items()})
    second, final = layer(x[2:], carried, **{n: v[2:] for n, v in timed.items()})
    compare({"y": torch.cat([first, second])}, {"y": output})
    parts = zip(tree_leaves(final), tree_leaves(state), strict=True)
    for number, (one, other) in enumerate(parts):
        compare({str(number): one}, {str(number): other})


def test_copies_files_and_modes(module_kind, compare):
    layer, x, timed = _case(module_kind)
    want = layer.eval()(x, **timed)[0]
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    other = module_kind.make(3, 2)
    other.load_state_dict(layer.state_dict())
    for same in (copy.deepcopy(layer), torch.load(buffer, weights_only=False), other.eval()):
        compare({"y": same(x, **timed)[0]}, {"y": want})
    assert all(parameter.is_meta for parameter in module_kind.make(3, 2, device="meta").parameters())
    kept = {name: value.clone() for name, value in other.named_parameters()}
    other.reset_parameters()
    for name, value in other.named_parameters():
        is_drawn = name.rsplit(".")[-1] not in ("norm_ih", "norm_hh", "norm_c", "decay_x_bias", "decay_h_bias")
        assert not is_drawn or not torch.equal(value, kept[name]), name


def test_vmap_and_bfloat16(module_kind, compare):
    layer, x, timed = _case(module_kind)
    both = torch.stack([x, x + 1])
    mapped = torch.func.vmap(lambda one: layer(one, **timed)[0], randomness="different")(both)
    compare({"y": mapped[1]}, {"y": layer(both[1], **timed)[0]})
    single = {n: v.float() if v.is_floating_point() else v for n, v in timed.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = layer.float()(x.float(), **single)
    assert bool(output.isfinite().all())


@pytest.mark.parametrize("label", ["RHN", "MogrifierLSTM", "ConvGRU_signal", "PhasedLSTM", "GRUD", "CfC"])
def test_compiling_gives_the_same(all_kinds, compare, label):
    layer, x, timed = _case(all_kinds[label])
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    compare({"y": compiled(x, **timed)[0]}, {"y": layer(x, **timed)[0]})


@pytest.mark.parametrize("label", ["RHN", "ConvLSTM_signal", "PhasedLSTM", "GRUD"])
def test_an_exported_program_takes_any_batch(all_kinds, compare, label):
    layer, x, timed = _case(all_kinds[label])
    batch = {name: {1: torch.export.Dim("batch", min=1, max=64)} for name in ("x", *timed)}
    exported = torch.export.export(layer.eval(), (x,), timed, dynamic_shapes=batch, strict=False).module()
    wide = torch.cat([x, x + 1, x], 1)
    times = {name: value.repeat(1, 3, *[1] * (value.dim() - 2)) for name, value in timed.items()}
    compare({"y": exported(wide, **times)[0]}, {"y": layer(wide, **times)[0]})


def test_a_parametrized_weight_is_used(compare):
    layer = MultiplicativeLSTM(3, 4, dtype=torch.float64)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    want = layer(x)[0]
    parametrizations.weight_norm(layer.cells[0], "weight_mh")
    compare({"y": layer(x)[0]}, {"y": want})
    with torch.no_grad():
        layer.cells[0].parametrizations.weight_mh.original0.mul_(2)
    assert not torch.allclose(layer(x)[0], want)


def test_the_repr_tells_what_is_not_the_default():
    assert repr(RHN(3, 4, depth=2, zoneout=0.5)) == (
        "RHN(\n  3, 4, zoneout=(0.5,)\n  (cells): ModuleList(\n    (0): RHNCell(3, 4, depth=2)\n  )\n)"
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        ({"x": [1.0]}, TypeError, r"x must be a torch\.Tensor, but is list\."),
        ({"x": torch.zeros(1, 2, 3)}, ValueError, r"x must have 2 dimensions, or 1 for one row, but has shape"),
        ({"x": torch.zeros(2, 5)}, ValueError, r"x has 5 features but input_size is 3\."),
        ({"x": torch.zeros(2, 4)}, ValueError, r"x has 4 features but input_size is 3\."),
        ({"x": torch.zeros(0, 3)}, ValueError, r"x has no rows; give at least one\."),
        ({"x": torch.zeros(2, 3).double()}, TypeError, r"x is torch\.float64, but the cell is torch\.float32"),
        ({"state": torch.zeros(2, 4)}, TypeError, r"state must be \(h, c\), but has 1 parts\."),
        ({"state": (torch.zeros(2, 4), None)}, TypeError, r"c must be a torch\.Tensor, but is NoneType\."),
        ({"state": (torch.zeros(2, 3),) * 2}, ValueError, r"h must have shape \(2, 4\), but has \(2, 3\)\."),
        (
            {"state": (torch.zeros(2, 4).double(),) * 2},
            TypeError,
            r"h is torch\.float64, but the cell is torch\.float32",
        ),
    ],
)
def test_bad_calls_of_a_cell(call, error, text):
    with pytest.raises(error, match=f"^MogrifierLSTMCell: {text}"):
        MogrifierLSTMCell(3, 4)(**{"x": torch.zeros(2, 3), **call})


@pytest.mark.parametrize(("dtype", "shown"), [(torch.int64, r"torch\.int64"), ("float32", "'float32'")])
def test_a_dtype_that_is_none(all_kinds, dtype, shown):
    text = rf"dtype must be floating, such as torch\.float32, but is {shown}\.$"
    for kind in all_kinds.values():
        if kind.build is None:
            with pytest.raises(TypeError, match=text):
                kind.make(kind.input_size or 3, 4, dtype=dtype)
    for cell, options, _ in CELLS:
        with pytest.raises(TypeError, match=f"^{cell.__name__}: {text}"):
            cell(3, 4, dtype=dtype, **options)


@pytest.mark.parametrize(("kind", "options", "shape"), CELLS)
def test_a_batch_without_rows_is_refused(kind, options, shape):
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: x has no rows; give at least one\."):
        kind(3, 4, **options)(torch.zeros(0, *shape))


def test_bad_sizes_name_the_layer():
    with pytest.raises(ValueError, match=r"^RHN: hidden_size is 0, but must be at least 1\."):
        RHN(3, 0)
    with pytest.raises(ValueError, match=r"^RHNCell: input_size is 0, but must be at least 1\."):
        RHNCell(0, 3)
    with pytest.raises(
        TypeError, match=r"^GRUD: hx must have the structure \(h_0, seen_0, age_0, clock_0\), but is \*\."
    ):
        GRUD(3, 4)(torch.zeros(2, 1, 3), torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match=r"^RHN: x has 2 features .* or give x of shape \(T, B, 3\)\.$"):
        RHN(3, 4)(torch.zeros(2, 1, 2))
    with pytest.warns(UserWarning, match=r"^MogrifierLSTM: dropout=0\.5 does nothing") as caught:
        MogrifierLSTM(3, 4, dropout=0.5)
    assert caught[0].filename == __file__


def test_every_layer_of_module_cells_is_in_the_list(all_kinds):
    base = recur_nn.Recurrent.__mro__[1]
    made = {
        n for n in recur_nn.__all__ if isinstance(getattr(recur_nn, n), type) and issubclass(getattr(recur_nn, n), base)
    }
    assert made - {"Recurrent"} == {all_kinds[label].name for label in LABELS}
