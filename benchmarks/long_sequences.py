"""What a training step over a very long sequence takes in memory and time, by how much of it is kept.

`python benchmarks/long_sequences.py` prints the newest result as `docs/gradients/long.md` has it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import child
import table
from recur import engine
from recur.gradients import Checkpointed, Plan
from recur.measure.layers import threads
from recur.measure.timing import spread
from recur.nn import LSTM, Recurrent

STEPS = 100_000
BATCH, INPUTS, UNITS = 8, 16, 128
EVERY = round(STEPS**0.5)
REPEATS = 3


class Leaky(nn.Module):
    """A cell of one's own: a layer that forgets slowly beside one that does not."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.state_size = (hidden_size, hidden_size)
        self.both = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the output and the state, fast and slow."""
        fast = torch.tanh(self.both(torch.cat([x, state[0]], 1)))
        slow = 0.9 * state[1] + 0.1 * fast
        return fast - slow, (fast, slow)


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "LSTM": lambda **options: LSTM(INPUTS, UNITS, **options),
    "Recurrent(Leaky)": lambda **options: Recurrent(Leaky(INPUTS, UNITS), INPUTS, **options),
}
WAYS: dict[str, list[dict[str, Any]]] = {
    "LSTM": [{}, {"recompute": EVERY}, {"checkpoint_every": EVERY}, {"memory": 64}, {"memory": 1}],
    "Recurrent(Leaky)": [{}, {"checkpoint_every": EVERY}, {"memory": 64}, {"memory": 2}],
}
"""How each layer is trained: keeping everything, with the kernels' own recomputation, and with `Checkpointed`."""


def budgets() -> Iterator[dict[str, Any]]:
    """Measure each way in processes of its own, in turns."""
    for name, ways in WAYS.items():
        found: list[list[dict[str, Any]]] = [[] for _ in ways]
        for _ in range(REPEATS):
            for rows, way in zip(found, ways, strict=True):
                rows += child.rows("long_sequences", "training_step", name=name, way=way)
        yield from told(found)


def told(found: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Return a row for each way; the first keeps everything, and the others are compared with it, repeat by repeat."""
    plain = [(each["forward"], each["backward"]) for each in found[0] if "missing" not in each]
    for rows in found:
        row = {name: value for name, value in rows[0].items() if name not in ("mib", "forward", "backward")}
        if "missing" in row:
            yield row
            continue
        whole = [each["forward"] + each["backward"] for each in rows]
        yield row | {
            "unit": "MiB",
            "ours": spread([each["mib"] for each in rows]),
            "seconds": spread(whole),
            "slowdown": spread([one / sum(other) for one, other in zip(whole, plain, strict=True)]),
            # By the schedule: so many forward passes of what keeps everything, and its backward pass.
            "slowdown_by_schedule": spread([(row["passes"] * f + b) / (f + b) for f, b in plain]),
        }


def training_step(name: str, way: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take three training steps; by the first tell how much larger the process was at its height than before.

    The third is timed. What the second one frees stays with the process, as in `recur train`: a step that fetched
    gigabytes from the system anew would time that, which takes longer than to compute what was not kept.
    """
    with threads(engine.num_threads()):
        options = {"recompute": way["recompute"]} if "recompute" in way else {}
        layer = LAYERS[name](**options)
        x = torch.randn(STEPS, BATCH, INPUTS)
        shown = ", ".join(f"{key}={value}" for key, value in way.items()) or "keeping everything"
        row: dict[str, Any] = {
            "what": f"training {name}, T {STEPS}, B {BATCH}, I {INPUTS}, H {UNITS}, {shown}: memory at its height",
            "way": way,
            "threads": torch.get_num_threads(),
            "backend": layer.explain(x).backend if isinstance(layer, LSTM) else "a loop in Python",
            "passes": 1.0 if not way else 2.0,
        }
        if not sys.platform.startswith("linux"):
            yield row | {"missing": "this system gives the height of memory in another unit"}
            return
        module: nn.Module = layer
        if way and not options:
            module = little = Checkpointed(layer, **way)
            plan: Plan = little.plan(x)
            row |= {"plan": str(plan), "passes": plan.passes, "planned_mib": plan.memory}
        # What a process needs once: threads, and the memory of the layer's first call.
        module(x[:10])[0].sum().backward()
        # Not its height so far, below which some would go unseen.
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024
        _step(module, x)
        height = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        engine.keep_freed_memory()
        _step(module, x)
        forward, backward = _step(module, x)
        yield row | {
            "mib": (height - before) / 1024,
            # The output is there whatever is kept; its gradient is itself.
            "output_mib": x.shape[0] * x.shape[1] * UNITS * x.element_size() / 2**20,
            "forward": forward,
            "backward": backward,
        }


def _step(module: nn.Module, x: Tensor) -> tuple[float, float]:
    """Return the seconds of a forward and of a backward pass."""
    module.zero_grad()
    begin = time.perf_counter()
    output, _ = module(x)
    middle = time.perf_counter()
    # As half the sum of its squares would, which itself takes as much memory again as the output.
    output.backward(output.detach())
    return middle - begin, time.perf_counter() - middle


def markdown() -> str:
    """Return the table of the newest result."""
    path = table.newest("long_sequences")
    assert path is not None
    result = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        "| | MiB above the start | beyond the output | planned | time, keeping everything is 1 | by the schedule |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    sizes = f", T {STEPS}, B {BATCH}, I {INPUTS}, H {UNITS}, "
    for row in result["results"]:
        name, _, way = row["what"].removeprefix("training ").partition(sizes)
        height, planned = row["ours"]["median"], row.get("planned_mib")
        beyond = height - row["output_mib"]
        cells = [
            f"{height:.0f}",
            f"{beyond:.{0 if beyond >= 10 else 1}f}",
            "" if planned is None else f"{planned:.{0 if planned >= 10 else 1}f}",
            f"{row['slowdown']['median']:.2f}",
            f"{row['slowdown_by_schedule']['median']:.2f}",
        ]
        lines.append(f"| `{name}`, {way.partition(':')[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
