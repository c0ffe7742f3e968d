"""Prints what the benchmarks of the layers found: `python benchmarks/table.py [--all] [FILE ...]`.

Without files, the newest result of each. Ratios stand as how many times as fast recur is (or as small, or as exact):
above 1 is good.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recur.measure.timing import geometric_mean

RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]


def newest(name: str, processor: str = "*") -> Path | None:
    """Return the newest result of a benchmark, by the date in its name, on a processor as names of files have it."""
    found = sorted(RESULTS.glob(f"{name}_{processor}_????-??-??.json"), key=lambda path: path.stem[-10:])
    # The name of one benchmark may begin with that of another one.
    found = [path for path in found if not any(path.name.startswith(f"{name}_{more}_") for more in ("grid",))]
    return found[-1] if found else None


def factor(row: Row) -> float:
    """Return how many times as fast recur is in a row."""
    return 1 / float(row["ratio"]["median"])


def is_large(work: Row) -> bool:
    """Return whether a work is one of those whose share of the peak is asked for: B >= 16, H >= 128, T >= 100."""
    return bool(work["batch_size"] >= 16 and work["hidden_size"] >= 128 and work["steps"] >= 100)


def groups(rows: Iterable[Row]) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows with a ratio by what they are compared with, threads, kind and option."""
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if "ratio" in row and "disagrees" not in row:
            work = row["work"]
            peer = row["peer_name"] + (f", {row['allocator']}" if row.get("allocator", "default") != "default" else "")
            found[(peer, str(row["threads"]), work["kind"], str(work.get("option", "")))].append(row)
    return dict(found)


def show(rows: Sequence[Row], console: Console | None = None, *, is_whole: bool = False) -> None:
    """Print a line for each group of rows, or for each row, and what could not be measured."""
    console = console or Console(markup=False, highlight=False, emoji=False, width=150)
    grid = Table(box=None, pad_edge=False)
    titles = ("against", "threads", "kind", "option", "cells", "mean", "worst", "best", "% of peak", "back end")
    for title in titles:
        grid.add_column(title, no_wrap=True, justify="right" if title in titles[4:9] else "left")
    for (peer, threads, kind, option), members in groups(rows).items():
        factors = [factor(row) for row in members]
        large = [row["share_of_peak"] for row in members if "share_of_peak" in row and is_large(row["work"])]
        peak = f"{100 * min(large):.0f} to {100 * max(large):.0f}" if large else ""
        figures = [f"{value:.2f}" for value in (geometric_mean(factors), min(factors), max(factors))]
        backends = ", ".join(sorted({str(row["backend"]) for row in members}))
        grid.add_row(peer, threads, kind, option, str(len(members)), *figures, peak, backends)
    console.print(grid)
    if is_whole:
        each = Table(box=None, pad_edge=False)
        for title in ("what", "threads", "against", "recur", "peer", "unit", "times", "% of peak", "back end"):
            each.add_column(title, no_wrap=True)
        for row in rows:
            if "ratio" in row:
                peak = f"{100 * row['share_of_peak']:.0f}" if "share_of_peak" in row else ""
                medians = [f"{row[side]['median']:.4g}" for side in ("ours", "peer")]
                cells = (*medians, row["unit"], f"{factor(row):.2f}", peak, str(row["backend"]))
                each.add_row(row["what"], str(row["threads"]), row["peer_name"], *cells)
        console.print(each)
    for row in rows:
        for reason in ("missing", "disagrees"):
            if reason in row:
                console.print(f"{row['what']}: {reason}: {row[reason]}")


def main() -> None:
    """Print the files that are named, or the newest results."""
    arguments = sys.argv[1:]
    names = sorted({path.name.split("_")[1] for path in RESULTS.glob("layers_*.json")})
    chosen = [Path(name) for name in arguments if name != "--all"] or [
        path for name in [*names, "training_grid"] if (path := newest(f"layers_{name}"))
    ]
    for path in chosen:
        print(f"\n{path.name}")
        show(json.loads(path.read_text(encoding="utf-8"))["results"], is_whole="--all" in arguments)


if __name__ == "__main__":
    main()
