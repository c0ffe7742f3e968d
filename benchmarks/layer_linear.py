"""The linear layer against torch.nn.Linear."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from layers import MOST_FLOPS, rated, thread_counts
from recur.measure.layers import Side, checked_race, threads
from recur.nn import Linear

Size = tuple[int, int, int]
"""N rows, I inputs, O outputs."""

DTYPES = {"few": (torch.float32, torch.float64), "grid": (torch.float32,)}
PACE: dict[str, dict[str, Any]] = {"few": {"budget": 0.6}, "grid": {"budget": 0.3, "least": 3}}


def sizes(which: str) -> list[Size]:
    """Return a few sizes of every sort, or all of the grid."""
    if which == "few":
        return [
            *[(rows, inputs, outputs) for rows in (64, 1024, 4096) for inputs in (256, 1024) for outputs in (65, 100)],
            *[(1, 256, 65), (16, 256, 256), (4096, 256, 10), (4096, 512, 1024), (1024, 256, 10000)],
        ]
    return [
        (rows, inputs, outputs)
        for rows in (1, 8, 32, 64, 256, 1024, 4096, 16384)
        for inputs in (64, 100, 256, 512, 1024)
        for outputs in (10, 65, 100, 256, 1024, 10000, 32000)
    ]


def linear(which: str) -> Iterator[dict[str, Any]]:
    """Time inference and training against torch.nn, with one thread and with all, as shares of the peak beside them."""
    for count in thread_counts():
        with threads(count):
            for dtype in DTYPES[which]:
                for training in (False, True):
                    left_out = []
                    for size in sizes(which):
                        if flops(size, training) > MOST_FLOPS:
                            left_out.append(size)
                        else:
                            measure = partial(_row, size, dtype, training, PACE[which])
                            yield rated(measure, flops(size, training), dtype)
                    if left_out:
                        yield {
                            "what": f"linear, {count} threads, above {MOST_FLOPS:.0e} operations",
                            "left_out": left_out,
                        }


def flops(size: Size, training: bool) -> int:
    """Return the floating-point operations of the matrix products: 2 N I O forward, three times that in training."""
    rows, inputs, outputs = size
    return 2 * rows * inputs * outputs * (3 if training else 1)


def _row(size: Size, dtype: torch.dtype, training: bool, pace: dict[str, Any]) -> dict[str, Any]:
    rows, inputs, outputs = size
    name = str(dtype).removeprefix("torch.")
    ours, theirs = Linear(inputs, outputs, dtype=dtype), nn.Linear(inputs, outputs, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(rows, inputs, dtype=dtype)
    upstream = torch.randn(rows, outputs, dtype=dtype) if training else None
    sides = [_side(layer, x, upstream) for layer in (ours, theirs)]
    with torch.inference_mode(not training):
        backend = ours.explain(sides[0].x).backend
    return {
        "what": f"Linear {'training' if training else 'inference'}, {name}, N {rows}, I {inputs}, O {outputs}",
        # By the names that the layers' rows have.
        "work": {
            "kind": "linear",
            "steps": 1,
            "batch_size": rows,
            "input_size": inputs,
            "hidden_size": outputs,
            "training": training,
            "dtype": name,
            "option": f"{name}, {'training' if training else 'inference'}",
        },
        "threads": torch.get_num_threads(),
        "backend": backend,
        "peer_name": "torch",
        **checked_race(*sides, **pace),
    }


def _side(layer: nn.Linear, x: torch.Tensor, upstream: torch.Tensor | None) -> Side:
    copy = x.clone().requires_grad_(upstream is not None)
    return Side(lambda x: (layer(x), ()), copy, dict(layer.named_parameters()), upstream)
