"""What the layers cost beside time: memory and accuracy; and single steps from Python, in microseconds."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from layer_options import cases, data, made, pair, shape_of
from layers import work
from recur import engine
from recur.measure.layers import LAYERS, TOLERANCE, Side, Work, beside_torch, compare, distance, side_of, threads
from recur.measure.timing import raced
from recur.nn import PackedStepper, Stepper
from recur.nn.gated import GatedLayer
from recur.wording import cell_name

HELD = 4
"""Forward passes whose graphs are held at once, so that scratch memory, which is there once, does not count."""


# --- memory -----------------------------------------------------------------------------------------------------------


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")] + [
        (name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def allocated() -> int | None:
    """Return the bytes that the C library has given out in this process; None where it does not say."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return None
    library.mallinfo2.restype = _Mallinfo
    found = library.mallinfo2()
    return int(found.uordblks + found.hblkhd)


def held(side: Side) -> float | None:
    """Return the bytes that one forward pass leaves allocated until its backward pass, its output among them."""
    graphs = [side.call(side.x)]
    before = allocated()
    graphs += [side.call(side.x) for _ in range(HELD)]
    after = allocated()
    del graphs
    return None if before is None or after is None else (after - before) / HELD


def saved(side: Side) -> int:
    """Return the bytes of the tensors that autograd saves for backward, each storage once, without the weights."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    kept = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept.append(side.call(side.x))
    known = {tensor.untyped_storage().data_ptr() for tensor in (side.x, *side.weights.values())}
    return sum(size for pointer, size in sizes.items() if pointer not in known)


def memory() -> Iterator[dict[str, Any]]:
    """Measure the memory that is held between forward and backward."""
    with threads(engine.num_threads()):
        for kind in LAYERS:
            for shape in ((100, 32, 128), (100, 64, 512), (1000, 16, 128), (10, 1, 64)):
                each = work(kind, *shape)
                layer, ours, peer = beside_torch(each)
                pair = {"ours": held(ours), "peer": held(peer)}
                row: dict[str, Any] = {
                    "what": f"held for backward, {each}",
                    "work": asdict(each),
                    "threads": torch.get_num_threads(),
                    "backend": layer.explain(ours.x).backend,
                    "peer_name": "torch",
                }
                if pair["ours"] is None or pair["peer"] is None:
                    yield row | {"missing": "this C library does not tell what is allocated"}
                    continue
                counted = {name: {"median": bytes_} for name, bytes_ in pair.items()}
                yield row | {
                    "unit": "bytes",
                    **counted,
                    "ratio": {"median": pair["ours"] / pair["peer"]},
                    "saved_tensors": {"ours": saved(ours), "peer": saved(peer)},
                    "output_bytes": 4 * shape[0] * shape[1] * shape[2],
                }


# --- accuracy ---------------------------------------------------------------------------------------------------------

SEEDS = range(3)

ROUNDING = torch.finfo(torch.float32).eps
"""An error below this counts as this: a ratio of errors that are both nothing says nothing."""


def accuracy() -> Iterator[dict[str, Any]]:
    """Compare outputs, states and gradients with float64, for recur and for torch in float32."""
    for kind in LAYERS:
        for shape in ((1, 1, 64), (10, 3, 33), (100, 1, 128), (100, 32, 128), (100, 16, 512), (1000, 4, 128)):
            for training in (False, True):
                each = work(kind, *shape, training=training)
                drawn = [beside_torch(each, seed) for seed in SEEDS]
                runs = [(ours, peer, in_float64(layer, kind, ours)) for layer, ours, peer in drawn]
                layer, ours, _ = drawn[0]
                yield _errors(str(each), asdict(each), layer.explain(ours.x).backend, "torch", runs)
        for shape in ((20, 3, 33), (100, 32, 128)):
            x, upstream = data(*shape)
            for name, (options, inputs) in cases(kind, *shape).items():
                if "dropout" in name or "zoneout" in name:
                    # Masks are drawn in the dtype of the layer, so float64 has others.
                    continue
                layer = made(kind, shape[2], **options)
                plain = made(kind, shape[2], backend="reference", **options)
                plain.load_state_dict(layer.state_dict())
                ours = side_of(layer, x, upstream, **inputs)
                truth = in_float64(layer, kind, ours, inputs, **options)
                yield _errors(
                    f"{cell_name(kind)} training, {name}, T {shape[0]}, B {shape[1]}, H {shape[2]}",
                    {"kind": kind, "option": name, **shape_of(*shape)},
                    layer.explain(x, **inputs).backend,
                    "the reference in plain torch",
                    [(ours, side_of(plain, x, upstream, **inputs), truth)],
                )


def in_float64(layer: nn.Module, kind: str, side: Side, inputs: dict[str, Any] | None = None, **options: Any) -> Side:
    """Return a side of recur's layer as the reference runs it in float64, with the same weights."""
    exact = made(kind, layer.hidden_size, backend="reference", dtype=torch.float64, **options)
    exact.load_state_dict(layer.state_dict())
    upstream = None if side.upstream is None else side.upstream.double()
    return side_of(exact, side.x.detach().double(), upstream, **(inputs or {}))


def _errors(
    what: str, about: dict[str, Any], backend: str | None, peer_name: str, runs: list[tuple[Side, Side, Side]]
) -> dict[str, Any]:
    """Return the errors of our side and of the peer's against the third, in the tensor where ours is worst beside it.

    Each error is the largest of all runs.
    """
    errors: dict[str, list[float]] = {}
    for ours, peer, truth in runs:
        expected, *found = truth.results(), ours.results(), peer.results()
        for name, value in expected.items():
            pair = [distance({name: results[name]}, {name: value})[0] for results in found]
            errors[name] = [max(a, b) for a, b in zip(errors.get(name, [ROUNDING] * 2), pair, strict=True)]
    worst = max(errors, key=lambda name: errors[name][0] / errors[name][1])
    ours_error, peer_error = errors[worst]
    row = {
        "what": what,
        "work": about,
        "threads": torch.get_num_threads(),
        "backend": backend,
        "peer_name": peer_name,
        "unit": "of the largest element",
        "tensor": worst,
        "ours": {"median": ours_error},
        "peer": {"median": peer_error},
        "ratio": {"median": ours_error / peer_error},
        "worst": {"ours": max(each[0] for each in errors.values()), "peer": max(each[1] for each in errors.values())},
    }
    return row if row["worst"]["ours"] <= TOLERANCE else row | {"disagrees": f"{worst} is {ours_error:.1e} off"}


# --- single steps -----------------------------------------------------------------------------------------------------

CELLS: dict[str, type[nn.RNNCellBase]] = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def step() -> Iterator[dict[str, Any]]:
    """Time one step of one stream from Python, by the layer and by steppers, and its training, against torch's."""
    with threads(1):
        for kind in LAYERS:
            for units in (64, 128, 256, 512):
                with torch.inference_mode():
                    yield from _steps(kind, units)
                one = Work(kind=kind, steps=1, batch_size=1, input_size=units, hidden_size=units)
                what = f"training of one step, layer of {cell_name(kind)} {units}, against torch's layer"
                yield compare(one, budget=0.3, unit="us") | {"what": what, "peer_name": "torch's layer"}


def _steps(kind: str, units: int) -> Iterator[dict[str, Any]]:
    ours, theirs = pair(kind, units)
    ours.eval()
    theirs.eval()
    cell = CELLS[kind](units, units)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in theirs.state_dict().items()})
    x = torch.randn(1, 1, units)
    row = {
        "work": {"kind": kind, **shape_of(1, 1, units)},
        "threads": torch.get_num_threads(),
        "backend": ours.explain(x).backend,
    }
    for our_name, our_step, peer_name, peer_step in (
        ("layer", _carried(ours, x), "torch's layer", _carried(theirs, x)),
        ("layer", _carried(ours, x), "torch's cell", _carried_cell(cell, x[0])),
        ("Stepper", _stepper(ours, x[0]), "torch's cell", _carried_cell(cell, x[0])),
        ("PackedStepper", _packed_stepper(ours, x[0]), "torch's cell", _carried_cell(cell, x[0])),
    ):
        far = max(distance({"output": our_step().flatten()}, {"output": peer_step().flatten()})[0] for _ in range(3))
        what = f"one step, {our_name} of {cell_name(kind)} {units}, against {peer_name}"
        full = {"what": what, **row, "peer_name": peer_name, "distance": far}
        if far <= TOLERANCE:
            yield full | raced(our_step, peer_step, budget=0.3, unit="us")
        else:
            yield full | {"disagrees": f"the output is {far:.1e} apart"}


def _carried(layer: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Return the next step of a layer, whose state is handed on."""
    state = None

    def step() -> Tensor:
        nonlocal state
        output, state = layer(x, state)
        return output

    return step


def _carried_cell(cell: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Return the next step of torch's cell, whose state is handed on."""
    state = None

    def step() -> Tensor:
        nonlocal state
        state = cell(x, state)
        return state[0] if isinstance(state, tuple) else state

    return step


def _packed_stepper(layer: GatedLayer, x: Tensor) -> Callable[[], Tensor]:
    stepper = PackedStepper(layer)
    stepper.input.copy_(x)

    def step() -> Tensor:
        stepper.step()
        return stepper.output

    return step


def _stepper(layer: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    stepper = Stepper(layer)
    return lambda: stepper(x)
