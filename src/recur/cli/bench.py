"""`recur bench`: the layers against torch.nn, side by side in one process."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from recur.cli.parser import CommandParser
from recur.errors import OptionError, RecurError

if TYPE_CHECKING:
    from rich.console import Console

SHAPES = ((1, 1, 128), (100, 1, 128), (100, 32, 128), (100, 32, 256), (1000, 8, 128))
"""Steps T, batch B and units H, of input and layer, that are measured."""

Kind = Literal["rnn", "gru", "lstm"]
_KINDS: tuple[Kind, ...] = ("rnn", "gru", "lstm")


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "bench",
        "Measure recur's layers against torch.nn on this machine, in turns in one process: training (output, gradients "
        "of the input and of all weights) and inference, in float32, one layer. Both sides have the same weights, and "
        "are checked to agree before a clock is started. Close what else keeps the machine busy.",
    )
    parser.add_argument("--kinds", type=Kind, nargs="+", default=None, help="layers to measure; all if not given")
    parser.add_argument(
        "--threads", type=int | None, default=None, help="threads of both sides; as many as torch takes if not given"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="time for all of it; slow machines take longer")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table, with the quartiles")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    if chosen.threads is not None and chosen.threads < 1:
        raise OptionError(f"threads must be a whole number from 1 on, not {chosen.threads}.")
    if not 0 < chosen.seconds < math.inf:
        raise OptionError(f"seconds must be above 0 and finite, not {chosen.seconds:g}.")
    _warn_of_load()
    found = measure(list(dict.fromkeys(chosen.kinds or _KINDS)), chosen.threads, chosen.seconds)
    if chosen.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        show(found)
    wrong = [f"{row['what']}: {row['disagrees']}" for row in found["results"] if "disagrees" in row]
    if wrong:
        raise RecurError(f"recur and torch do not agree, so these were not timed: {'; '.join(wrong)}.")
    return 0


def _warn_of_load() -> None:
    """Say on standard error that other programs keep the machine busy."""
    from recur import engine

    # Windows has no load average.
    load, processors = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, engine.num_threads()
    if load > processors / 2:
        sys.stderr.write(
            f"recur: other programs keep this machine busy (load {load:.1f} on {processors} processors), so it takes "
            "longer, and the figures say little. Close them and try again.\n"
        )


def measure(kinds: Sequence[str], threads: int | None, seconds: float) -> dict[str, Any]:
    """Return everything that `recur bench` shows; it can be written as JSON as it is.

    Args:
        kinds: Keys of `recur.measure.layers.LAYERS`.
        threads: Of both sides; None for as many as torch takes.
        seconds: For all of it.

    Returns:
        `environment` (as `recur info`), `results` (a row for each work: `what`, `work`, `threads`, `backend`, and
        either `ours`, `peer` and `ratio`, medians with quartiles in ms, or `disagrees`) and `geometric_mean` of the
        ratios, for each kind and for `all`. A ratio is recur's time by torch's, below 1 where recur is faster.

    Raises:
        OptionError: The environment variable `RECUR_CPU_ISA` names no instruction set of this processor.
    """
    import torch

    from recur import environment
    from recur.cli.console import plain_console
    from recur.measure import layers
    from recur.measure.timing import geometric_mean
    from recur.train.display import Display

    with layers.threads(threads or torch.get_num_threads()):
        about = environment.collect()
        works = [
            layers.Work(
                kind=kind, steps=steps, batch_size=batch, input_size=units, hidden_size=units, training=is_training
            )
            for kind in kinds
            for steps, batch, units in SHAPES
            for is_training in (True, False)
        ]
        display = Display(plain_console(stderr=True, soft_wrap=False))
        rows = []
        with display.phase("measuring", total=len(works)):
            for number, work in enumerate(works):
                display.advance(number, str(work))
                rows.append(layers.compare(work, budget=0.7 * seconds / len(works)))
    means: dict[str, float] = {}
    for name in [*kinds, "all"]:
        ratios = [row["ratio"]["median"] for row in rows if name in ("all", row["work"]["kind"]) and "ratio" in row]
        means |= {name: geometric_mean(ratios)} if ratios else {}
    return {"environment": about, "results": rows, "geometric_mean": means}


def show(found: dict[str, Any], console: Console | None = None) -> None:
    """Print what `measure` returned as a table.

    Args:
        found: From `measure`.
        console: Where to; standard output when None.
    """
    from rich.table import Table

    from recur.cli.console import plain_console
    from recur.wording import cell_name, quantity

    console = console or plain_console()
    table = Table(box=None, pad_edge=False)
    for title in ("layer", "T, B, H", "work", "back end"):
        table.add_column(title, no_wrap=True)
    for title in ("recur, ms", "torch, ms", "times as fast"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found["results"]:
        work = row["work"]
        cells = [
            cell_name(work["kind"]),
            f"{work['steps']}, {work['batch_size']}, {work['hidden_size']}",
            "training" if work["training"] else "inference",
            str(row["backend"]),
        ]
        if "disagrees" in row:
            table.add_row(*cells, "", "", "not equal")
            continue
        times = [f"{row[side]['median']:.3g}" for side in ("ours", "peer")]
        table.add_row(*cells, *times, f"{1 / row['ratio']['median']:.2f}")
    for name, ratio in found["geometric_mean"].items():
        table.add_row(cell_name(name), "geometric mean", "", "", "", "", f"{1 / ratio:.2f}")
    console.print(table)
    environment = found["environment"]
    cpu = environment["cpu"]
    processor = cpu.get("brand") or "an unknown processor"
    isa = f" ({cpu['isa']})" if "isa" in cpu else ""
    threads = quantity(environment["threads"]["torch"], "thread")
    console.print(f"\n{processor}{isa}, {threads}, torch {environment['versions']['torch']}, float32; medians")
