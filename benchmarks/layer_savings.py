"""What bfloat16 saves in time, and recomputing in memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

import child
from layers import rated, thread_counts, work
from recur import engine
from recur.measure.layers import LAYERS, Side, beside_torch, checked_race, threads
from recur.nn import LSTM

COARSE = 0.1
"""How far a side in bfloat16 may be off, as a share of the largest element of a tensor: it has eight bits."""

LONG = 100_000
"""Steps of the long sequence."""


def bfloat16() -> Iterator[dict[str, Any]]:
    """Time training under autocast to bfloat16, against recur's float32 and against torch under the same autocast."""
    for count in thread_counts():
        with threads(count):
            for kind in LAYERS:
                for shape in ((64, 64, 256), (100, 32, 256), (100, 64, 512)):
                    each = work(kind, *shape)
                    layer, ours, theirs = beside_torch(each)
                    row = {
                        "what": f"{each}, bfloat16",
                        "work": asdict(each),
                        "threads": count,
                        "backend": layer.explain(ours.x).backend,
                    }
                    narrow = under_autocast(ours)
                    for name, peer in (("recur in float32", ours), ("torch in bfloat16", under_autocast(theirs))):
                        race = partial(checked_race, narrow, peer, budget=0.8, tolerance=COARSE, expected=ours)
                        yield row | {"peer_name": name} | rated(race, each.flops)


def under_autocast(side: Side) -> Side:
    """Return the side with its forward pass under autocast."""

    def call(x: Tensor) -> tuple[Any, Any]:
        with torch.autocast("cpu", torch.bfloat16):
            return side.call(x)

    upstream = None if side.upstream is None else side.upstream.bfloat16()
    return replace(side, call=call, upstream=upstream)


def long_sequences() -> Iterator[dict[str, Any]]:
    """Measure what a training step on a very long sequence takes, each way in a process of its own."""
    for every in (None, round(LONG**0.5)):
        yield from child.rows("layer_savings", "long_sequence", recompute=every)


def long_sequence(recompute: int | None) -> Iterator[dict[str, Any]]:
    """Take one training step, and tell by how much the process was larger at its height than before."""
    with threads(engine.num_threads()):
        layer = LSTM(64, 256, recompute=recompute)
        x = torch.randn(LONG, 1, 64)
        what = f"training LSTM, T {LONG}, B 1, I 64, H 256, recompute={recompute}: memory at its height"
        row = {"what": what, "threads": torch.get_num_threads(), "backend": layer.explain(x).backend}
        if not sys.platform.startswith("linux"):
            yield row | {"missing": "this system gives the height of memory in another unit"}
            return
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        output, _ = layer(x)
        output.square().sum().backward()
        seconds = time.perf_counter() - begin
        height = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield row | {
            "recompute": recompute,
            "unit": "MiB",
            "ours": {"median": (height - before) / 1024},
            "output_mib": output.nbytes / 2**20,
            "seconds": seconds,
        }
