"""`recur info`: versions, processor, threads, devices, back ends and why one is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recur.cli.parser import CommandParser

if TYPE_CHECKING:
    from rich.console import Console


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser("info", "Show versions, processor, threads, back ends, and why one is missing.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    info = collect()
    if chosen.json:
        sys.stdout.write(json.dumps(info, indent=2, ensure_ascii=False) + "\n")
    else:
        show(info)
    return 0


def collect() -> dict[str, Any]:
    """Return everything that `recur info` shows; it can be written as JSON as it is.

    Returns:
        `versions` (package to version, or None when it is not installed), `platform`, `cpu`, `threads`, `cuda` and
        `backends`: for each layer and device the back end that runs and, of each other one, why it does not. What is
        missing has a `missing` entry with the reason in place of its own entries.

    Raises:
        OptionError: The environment variable `RECUR_CPU_ISA` names no instruction set of this processor.
    """
    from recur import environment

    return environment.collect() | {"backends": _backends()}


def _backends() -> list[dict[str, Any]]:
    import torch

    from recur.models.cells import CELLS

    found = []
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for make in CELLS.values():
            layer = make(16, 16, device=device)
            explanation = layer.explain(torch.zeros(8, 4, 16, device=device))
            found.append({"layer": explanation.op, "device": device, **explanation.to_json()})
    return found


def show(info: dict[str, Any], console: Console | None = None) -> None:
    """Print what `collect` returned as a table.

    Args:
        info: From `collect`.
        console: Where to; standard output when None.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(info):
        table.add_row(Text(name), Text(value))
    (console or Console()).print(table)


def _rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, version or "not installed") for name, version in info["versions"].items()]
    rows.append(("platform", info["platform"]))
    cpu = info["cpu"]
    if "missing" in cpu:
        rows.append(("processor", cpu["missing"]))
    else:
        rows.append(("processor", f"{cpu['brand'] or 'unknown'} ({cpu['architecture']})"))
        rows.append(("features", " ".join(cpu["features"]) or "none beyond the architecture's own"))
        rows.append(("instruction set", _instruction_set(cpu)))
        rows.append(("caches", _caches(cpu)))
    threads = info["threads"]
    rows.append(("threads", f"{threads['torch']} used by torch, {threads['usable']} usable of {threads['hardware']}"))
    cuda = info["cuda"]
    if "missing" in cuda:
        rows.append(("CUDA", f"not available: {cuda['missing']}"))
    else:
        rows.append(("CUDA", f"{cuda['version']}: {', '.join(cuda['devices'])}"))
    for entry in info["backends"]:
        others = "".join(f"\n{other['backend']}: {other['reason']}" for other in entry["others"])
        rows.append((f"{entry['layer']} on {entry['device']}", f"{entry['backend'] or 'no back end'}{others}"))
    return rows


def _instruction_set(cpu: dict[str, Any]) -> str:
    if cpu["isa"] == cpu["best_isa"]:
        return str(cpu["isa"])
    return f"{cpu['isa']} (capped by RECUR_CPU_ISA; this processor can do {cpu['best_isa']})"


def _caches(cpu: dict[str, Any]) -> str:
    sizes = [("L1 data", cpu["l1d_bytes"]), ("L2", cpu["l2_bytes"]), ("L3", cpu["l3_bytes"])]
    known = [f"{name} {size // 1024:,} KiB" for name, size in sizes if size]
    return ", ".join(known) or "unknown"
