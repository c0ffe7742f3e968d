"""Layers under torch.compile and torch.export: one graph, and programs for any number of rows and steps."""

import io
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.export import Dim
from torch.utils._pytree import tree_leaves

from recur.errors import BackendError

pytestmark = [
    # Torch's operator scan imports what is written in TorchScript, looks at the gradients of tensors to find out what
    # they have, and calls torch.compile where it need not; loading a program asks in an old way whether a tree is one.
    pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.compile is ignored when called inside torch.export:UserWarning"),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning"),
]

LENGTHS = torch.tensor([6, 0, 2])
RESET = torch.arange(18).reshape(6, 3) % 5 == 3
SETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "noise": ({"layer_norm": True, "zoneout": 0.2, "recurrent_dropout": 0.2}, {}),
    "bidirectional": ({"bidirectional": True}, {"lengths": LENGTHS, "reset": RESET}),
    "highway": ({"num_layers": 2, "skip": "highway"}, {"lengths": LENGTHS}),
    "learned": ({"initial_state": "learned"}, {"reset": RESET}),
    "return_all": ({}, {"return_all": True, "lengths": LENGTHS}),
    "gradient_clip": ({"gradient_clip": 0.05}, {}),
}
DILATED = {"dilation": ({"dilation": 2}, {"lengths": LENGTHS})}
FIRST = [("LSTM", "bidirectional"), ("GRU", "noise"), ("MGU", "return_all"), ("Recurrent", "learned")]
"""What is tried at once; every kind with every set is left to the slow tests."""


NAMES = ("LSTM", "GRU", "RNN", "IndRNN", "MGU", "LiGRU", "Recurrent")


def combinations(sets, first=FIRST, names=NAMES):
    """Every kind with every set, those that are not `first` marked slow."""
    return [
        pytest.param(name, key, id=f"{name}-{key}", marks=() if (name, key) in first else pytest.mark.slow)
        for name in names
        for key in sets
    ]


OPEN = [
    # A program for any number of steps runs `scan` around one step, whatever the kind; so each way in and out is tried
    # with a state of two parts and with a cell of one's own, and the other kinds once.
    *combinations(SETS, names=("LSTM", "Recurrent")),
    *combinations(["bidirectional"], names=("GRU", "RNN", "IndRNN", "MGU", "LiGRU")),
    *combinations(["noise"], names=("GRU",)),
]


def make(all_kinds, name, options):
    if name == "Recurrent":
        options = {k: v for k, v in options.items() if k not in ("layer_norm", "recurrent_dropout")}
    layer = all_kinds[name].make(4, 5, **options).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.4)
    return layer


def values(result):
    steps = [dict(each.values) for each in getattr(result, "steps", ())]
    return tree_leaves([result[0], result[1], steps])


def close(got, want):
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        # float64: some 30 numbers of order 1 a step, at most 9 steps, 2 layers.
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def inputs(num_steps, batch, keywords):
    """Other inputs of the same kinds as `keywords`."""
    torch.manual_seed(num_steps)
    found = dict(keywords)
    if "lengths" in found:
        found["lengths"] = torch.randint(0, num_steps + 1, (batch,)).index_fill(0, torch.tensor([1]), num_steps)
    if "reset" in found:
        found["reset"] = torch.rand(num_steps, batch) < 0.3
    return torch.randn(num_steps, batch, 4, dtype=torch.float64), found


def exported(layer, keywords, *, steps, strict=False, **more):
    """The program for any number of rows, and where `steps` is true of steps, as a module."""
    dims = {1: Dim("B"), **({0: Dim("T")} if steps else {})}
    shapes: dict[str, Any] = {"x": dims, **dict.fromkeys(keywords)}
    shapes |= {name: {"lengths": {0: dims[1]}, "reset": dims}[name] for name in keywords if name != "return_all"}
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    return torch.export.export(layer, (x,), keywords, dynamic_shapes=shapes, strict=strict, **more)


# --- torch.compile ----------------------------------------------------------------------------------------------------


# Torch makes an object of the function to look at it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "key"), combinations(SETS | DILATED, [*FIRST, ("LSTM", "dilation"), ("RNN", "gradient_clip")])
)
def test_it_compiles_in_one_graph(all_kinds, name, key):
    torch._dynamo.reset()
    options, keywords = (SETS | DILATED)[key]
    layer = make(all_kinds, name, options)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    got, want = values(compiled(x, **keywords)), values(layer(x, **keywords))
    close(got, want)
    parameters = list(layer.parameters())
    close(*(torch.autograd.grad(sum(v.pow(2).sum() for v in found), parameters) for found in (got, want)))


@pytest.mark.parametrize("name", ["LSTM", pytest.param("Recurrent", marks=pytest.mark.slow)])
def test_it_compiles_for_any_number_of_rows(all_kinds, name):
    torch._dynamo.reset()
    options, keywords = SETS["bidirectional"]
    layer = make(all_kinds, name, options)
    graphs = []

    def counted(graph, _):
        graphs.append(graph)
        return graph

    compiled = torch.compile(layer, backend=counted, fullgraph=True, dynamic=True)
    for batch in (3, 5, 8):
        x, given = inputs(6, batch, keywords)
        close(values(compiled(x, **given)), values(layer(x, **given)))
    assert len(graphs) == 1
    x, given = inputs(4, 3, keywords)
    close(values(compiled(x, **given)), values(layer(x, **given)))
    # The kernels are one operator; of a cell of one's own the steps are unrolled, so another number is another graph.
    assert len(graphs) == (1 if name == "LSTM" else 2)


# --- torch.export -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key"), combinations(SETS | DILATED, [("LSTM", "plain"), ("MGU", "dilation")]))
def test_programs_for_any_number_of_rows(all_kinds, name, key):
    options, keywords = (SETS | DILATED)[key]
    # The guards of torch.lstm on memory bar some batches from a dilated layer's program.
    more = {"backend": "reference"} if (name, key) == ("LSTM", "dilation") else {}
    layer = make(all_kinds, name, options | more)
    program = exported(layer, keywords, steps=False).module()
    for batch in (3, 7):
        x, given = inputs(6, batch, keywords)
        close(values(program(x, **given)), values(layer(x, **given)))


@pytest.mark.parametrize(
    ("name", "key", "strict"),
    [
        *[pytest.param(*param.values, False, id=param.id, marks=param.marks) for param in OPEN],
        pytest.param("LSTM", "bidirectional", True, id="strict", marks=pytest.mark.slow),
    ],
)
def test_programs_for_any_number_of_rows_and_steps(all_kinds, name, key, strict):
    options, keywords = SETS[key]
    layer = make(all_kinds, name, options)
    program = exported(layer, keywords, steps=True, strict=strict)
    module = program.module()
    for num_steps, batch in ((9, 7), (2, 2)):
        x, given = inputs(num_steps, batch, keywords)
        close(values(module(x, **given)), values(layer(x, **given)))
    # What runs the program needs torch alone.
    spaces = {str(n.target).split(".")[0] for n in program.graph.nodes if isinstance(n.target, torch._ops.OpOverload)}
    assert spaces <= {"aten"}


def test_a_program_is_saved_decomposed_and_differentiated(all_kinds):
    options, keywords = SETS["bidirectional"]
    layer = make(all_kinds, "LSTM", options)
    program = exported(layer, keywords, steps=True)
    x, given = inputs(9, 7, keywords)
    want = values(layer(x, **given))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    for each in (torch.export.load(file), program.run_decompositions()):
        close(values(each.module()(x, **given)), want)
    module = program.module()
    grads = [
        torch.autograd.grad(sum(v.pow(2).sum() for v in found), list(owner.parameters()))
        for owner, found in ((module, values(module(x, **given))), (layer, want))
    ]
    assert [name for name, _ in module.named_parameters()] == [name for name, _ in layer.named_parameters()]
    for got, expected in zip(*grads, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_a_program_takes_and_gives_the_state(all_kinds):
    layer = make(all_kinds, "LSTM", {"num_layers": 2})
    steps, rows = Dim("T"), Dim("B")
    state = (torch.randn(2, 3, 5, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64))
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    shapes = {"x": {0: steps, 1: rows}, "hx": ({1: rows}, {1: rows})}
    program = torch.export.export(layer, (x, state), dynamic_shapes=shapes).module()
    x = torch.randn(10, 5, 4, dtype=torch.float64)
    state = (torch.randn(2, 5, 5, dtype=torch.float64), torch.randn(2, 5, 5, dtype=torch.float64))
    first, carried = program(x[:4], state)
    second, final = program(x[4:], carried)
    want = layer(x, state)
    close([torch.cat([first, second]), *final], [want[0], *want[1]])


def test_a_fixed_number_of_steps_keeps_torchs_own_function(all_kinds):
    program = exported(make(all_kinds, "LSTM", {}), {}, steps=False)
    assert torch.ops.aten.lstm.input in {node.target for node in program.graph.nodes}


@pytest.mark.parametrize(
    ("name", "key"), [("LSTM", "bidirectional"), *[pytest.param("GRU", key, marks=pytest.mark.slow) for key in SETS]]
)
def test_a_program_has_the_kernels_where_they_are_asked_for(all_kinds, torchs_masks, name, key):
    options, keywords = SETS[key]
    # In training, for the kernels take masks for any number of steps as well.
    layer = make(all_kinds, name, options | {"backend": "cpu"}).train()
    program = exported(layer, keywords, steps=True)
    assert torch.ops.recur.recurrence.default in {node.target for node in program.graph.nodes}
    if key != "return_all":
        # Torch does not save what is returned as a class of one's own.
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        program = torch.export.load(file)
    module = program.module()
    for num_steps, batch in ((9, 7), (2, 2)):
        x, given = inputs(num_steps, batch, keywords)
        found = []
        for owner in (module, layer):
            torch.manual_seed(0)
            result = values(owner(x, **given))
            found.append([*result, *torch.autograd.grad(sum(v.pow(2).sum() for v in result), list(owner.parameters()))])
        close(*found)
    if "lengths" in keywords:
        with pytest.raises(ValueError, match=r"lengths has 3, but x has 2 steps"):
            module(x, **given | {"lengths": torch.tensor([3, 0])})


@pytest.mark.slow
def test_a_program_with_the_kernels_runs_in_another_process(all_kinds, tmp_path):
    layer = make(all_kinds, "LSTM", {"backend": "cpu"})
    torch.export.save(exported(layer, {}, steps=True), tmp_path / "program.pt2")
    x, _ = inputs(9, 7, {})
    torch.save({"x": x, "y": layer(x)[0].detach()}, tmp_path / "numbers.pt")
    script = """
import sys, torch, recur.nn
program = torch.export.load(sys.argv[1] + "/program.pt2").module()
numbers = torch.load(sys.argv[1] + "/numbers.pt")
torch.testing.assert_close(program(numbers["x"])[0], numbers["y"], rtol=0, atol=1e-12)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


@pytest.mark.parametrize("name", ["LSTM", "Recurrent"])
def test_masks_for_an_open_number_of_steps(all_kinds, name):
    layer = make(all_kinds, name, {"zoneout": 0.1}).train()
    with pytest.raises(BackendError, match=r"draw a mask for each step in training, .* call \.eval\(\) first"):
        exported(layer, {}, steps=True)
    gated = make(all_kinds, "GRU", {"recurrent_dropout": 0.1, "recurrent_dropout_kind": "candidate"}).train()
    with pytest.raises(BackendError, match="their number is open"):
        exported(gated, {}, steps=True)
    # With a fixed number of steps, and with one mask for all steps, there is nothing to refuse.
    assert exported(layer, {}, steps=False)
    assert exported(make(all_kinds, "GRU", {"recurrent_dropout": 0.1}).train(), {}, steps=True)


@pytest.mark.parametrize("name", ["LSTM", "Recurrent"])
def test_dilation_needs_a_known_number_of_steps(all_kinds, name):
    with pytest.raises(BackendError, match="a dilation above 1 folds the steps, which takes a known number of them"):
        exported(make(all_kinds, name, {"dilation": 2}), {}, steps=True)


# Torch says that tracing is deprecated, and that the shapes that are checked are constants to it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_it_is_traced_as_torchs(all_kinds, name):
    layer, x = all_kinds[name].make(3, 5).eval(), torch.randn(6, 4, 3, dtype=torch.float64)
    traced = torch.jit.trace(layer, (x,))
    longer = torch.randn(9, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(traced(longer)[0], layer(longer)[0])
