"""The layers against torch.nn, ONNX Runtime and JAX."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

import child
import peers
from recur import engine
from recur.measure.layers import LAYERS, Side, Work, beside_torch, checked_race, compare, threads
from recur.nn import GatedLayer, PackedStepper

MOST_FLOPS = 1e11
"""Cells of the grid with more are left out: one training step of them takes a second where the peer is slow."""

SETTLE = 0.1
"""Seconds that a side runs uncounted before each sample where the peer has threads of its own: those of the other side
fall asleep meanwhile."""

BATCHES = (1, 4, 16, 32, 64, 256)
STEPS = (1, 10, 100, 1000)
UNITS = (32, 64, 100, 128, 256, 512, 1024)


def work(kind: str, steps: int, batch_size: int, units: int, **more: Any) -> Work:
    """Return the work of a layer whose input is as wide as itself."""
    return Work(
        **{"kind": kind, "steps": steps, "batch_size": batch_size, "input_size": units, "hidden_size": units} | more
    )


def few(kind: str) -> list[Work]:
    """Return a few cells of every sort."""
    shapes = [(1, 1, 64), (1, 64, 256), (10, 16, 100), (100, 1, 128), (100, 32, 128), (100, 32, 256), (100, 64, 512)]
    stacks = [{"num_layers": 3}, {"bidirectional": True}]
    twos = [{"num_layers": 2}, {"bidirectional": True}]
    return [
        *[work(kind, *shape) for shape in [*shapes, (1000, 16, 128)]],
        *[work(kind, 100, 32, 128, **stack) for stack in stacks],
        *[work(kind, 100, batch, units, **two) for two in twos for batch in (1, 4) for units in (64, 128)],
    ]


def grid(kind: str) -> list[Work]:
    """Return every cell of the grid, and some with several layers, both directions, or an input of another width."""
    stacks = [{"num_layers": 3}, {"bidirectional": True}, {"num_layers": 3, "bidirectional": True}, {"input_size": 37}]
    return [
        *[work(kind, steps, batch, units) for units in UNITS for steps in STEPS for batch in BATCHES],
        *[work(kind, 100, batch, units, **stack) for stack in stacks for units in (128, 256) for batch in (1, 16, 64)],
    ]


WORKS = {"few": few, "grid": grid}
PACE: dict[str, dict[str, Any]] = {"few": {"budget": 0.6}, "grid": {"budget": 0.3, "least": 3}}
"""How long each cell takes; the grid has more than a thousand, and is for geometric means."""


def thread_counts() -> list[int]:
    """Return 1 and all that this process may keep busy."""
    return sorted({1, engine.num_threads()})


def training(which: str) -> Iterator[dict[str, Any]]:
    """Time training against torch.nn; the LSTM a second time in a process that keeps freed memory."""
    yield from against_torch(which, list(LAYERS), "default")
    yield from child.rows("layers", "keeping_freed_memory", which=which)


def keeping_freed_memory(which: str) -> Iterator[dict[str, Any]]:
    """Time the LSTM in this process, which keeps freed memory from here on."""
    if not engine.keep_freed_memory():
        yield {"what": "LSTM with freed memory kept", "missing": "this C library cannot keep freed memory"}
        return
    yield from against_torch(which, ["lstm"], "keeps freed memory")


def against_torch(which: str, kinds: Iterable[str], allocator: str) -> Iterator[dict[str, Any]]:
    """Time training of these kinds, with one thread and with all, as shares of the peak beside them."""
    for count in thread_counts():
        with threads(count):
            for kind in kinds:
                works = WORKS[which](kind)
                for each in works:
                    if each.flops <= MOST_FLOPS:
                        row = rated(partial(compare, each, **PACE[which]), each.flops)
                        yield row | {"peer_name": "torch", "allocator": allocator}
                left_out = [str(each) for each in works if each.flops > MOST_FLOPS]
                if left_out:
                    what = f"{kind}, {count} threads, above {MOST_FLOPS:.0e} operations"
                    yield {"what": what, "left_out": left_out}


def last_step() -> Iterator[dict[str, Any]]:
    """Time training with a loss at the last step alone, whose gradient vanishes on its way back, against torch.nn."""
    for count in thread_counts():
        with threads(count):
            for kind in LAYERS:
                for shape in [(100, 32, 128), (256, 32, 128), (256, 1, 64), (1000, 16, 64)]:
                    row = compare(work(kind, *shape, last_only=True), budget=1.0, least=3)
                    yield row | {"peer_name": "torch"}


def rated(measure: Callable[[], dict[str, Any]], flops: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Return a row with the speed of our side in GF/s, and as a share of the peak, both from the median.

    The peak is the larger one of before and after, for a machine that is shared has faster and slower minutes.
    """
    before = engine.peak_flops(dtype, torch.get_num_threads())
    row = measure()
    if "ours" not in row:
        return row
    peak = max(before, engine.peak_flops(dtype, torch.get_num_threads()))
    speed = flops / (row["ours"]["median"] * 1e-3)
    return row | {"gflops_per_second": speed / 1e9, "peak_gflops_per_second": peak / 1e9, "share_of_peak": speed / peak}


def forward() -> Iterator[dict[str, Any]]:
    """Time inference against torch.nn and ONNX Runtime."""
    shapes = [(1, 128), (100, 128), (100, 256), (1000, 128), (100, 512)]
    onnx_missing = peers.missing("onnxruntime", "onnx")
    if onnx_missing:
        yield {"what": "inference against ONNX Runtime", "missing": onnx_missing}
    for count in thread_counts():
        with threads(count):
            for kind in LAYERS:
                for steps, units in shapes:
                    for batch in (1, 4, 16, 64):
                        each = work(kind, steps, batch, units, training=False)
                        row = rated(partial(compare, each, budget=0.4), each.flops)
                        yield row | {"peer_name": "torch"}
                        if not onnx_missing:
                            row = rated(partial(_against, each, peers.onnx_side), each.flops)
                            yield row | {"peer_name": "onnxruntime"}


def busy() -> Iterator[dict[str, Any]]:
    """Time layers on a machine whose processors other programs keep busy, against torch.nn."""
    count = engine.num_threads()
    with threads(count), _busy_programs(count):
        for kind in ("gru", "lstm"):
            for shape in [(100, 4, 64), (100, 16, 128), (100, 64, 256)]:
                for is_training in (False, True):
                    row = compare(work(kind, *shape, training=is_training), budget=2.0, least=3)
                    what = f"{row['what']}, beside {count} busy programs"
                    yield row | {"what": what, "busy_programs": count, "peer_name": "torch"}


@contextmanager
def _busy_programs(count: int) -> Iterator[None]:
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _stepper_side(layer: GatedLayer, side: Side) -> Side:
    stepper = PackedStepper(layer, side.x.shape[1])
    stepper.input.copy_(side.x[0])
    (state,) = stepper.states

    def call(x: Tensor) -> tuple[Tensor, Any]:
        for part in state:
            part.zero_()
        stepper.step()
        return stepper.output[None], tuple([part[None] for part in state])

    return Side(call, side.x, side.weights)


def jax() -> Iterator[dict[str, Any]]:
    """Time training against a jitted scan in JAX, with all threads, which is what JAX takes."""
    missing = peers.missing("jax")
    if missing:
        yield {"what": "training against JAX", "missing": missing}
        return
    shapes = [(100, 1, 128), (10, 16, 100), (100, 32, 128), (100, 32, 256), (1000, 16, 128), (100, 64, 512)]
    with threads(engine.num_threads()):
        for kind in LAYERS:
            for shape in shapes:
                each = work(kind, *shape)
                yield rated(partial(_against, each, peers.jax_side), each.flops) | {"peer_name": "jax"}


def _against(each: Work, make_side: Any) -> dict[str, Any]:
    layer, ours, plain = beside_torch(each)
    row = {"what": str(each), "work": asdict(each), "threads": torch.get_num_threads()}
    if each.steps == 1 and not each.training:
        # What is made for single steps, as the other side's session is for one shape.
        ours = _stepper_side(layer, ours)
        row["what"] += ", by a PackedStepper"
    row["backend"] = layer.explain(ours.x).backend
    return row | checked_race(ours, make_side(each, plain), budget=0.6, settle=SETTLE)
