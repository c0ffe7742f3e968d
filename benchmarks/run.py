"""Runs the benchmarks and writes a dated result: `python benchmarks/run.py [NAME ...]`."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import main_job
import memory
import quality
from plain import Job
from recur.environment import collect

RESULTS = Path(__file__).parent / "results"

BENCHMARKS: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
    "startup": lambda: main_job.startup(repeats=9),
    "generation": lambda: [main_job.generation(characters=2000, repeats=9)],
    "training_step": lambda: (
        main_job.training_step(Job(cell=cell), blocks=5, steps=25) for cell in ("lstm", "gru", "rnn")
    ),
    "whole_training": lambda: [main_job.whole_training(Job(), steps=600, repeats=2)],
    "quality": lambda: [quality.tinyshakespeare(3.0)],
    "memory_adding": memory.adding,
    "memory_copying": memory.copying,
    "memory_parity": memory.parity,
    "memory_rows": memory.rows,
    "memory_pixels": memory.pixels,
    "memory_dilated": memory.dilated,
}
"""Every benchmark by name."""

NEED_DATA = ("quality", "memory_rows", "memory_pixels", "memory_dilated")
"""Those that read files from RECUR_DATA, and are left out, with a word, without it."""


def main() -> None:
    """Run those named, or all but the tasks of memory, which take hours."""
    names = sys.argv[1:] or [name for name in BENCHMARKS if not name.startswith("memory_")]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        if name in NEED_DATA and "RECUR_DATA" not in os.environ:
            print(f"{name}: left out, RECUR_DATA names no folder of data")
            continue
        load = os.getloadavg()[0]
        # Until all of it is there a result has another name, and an older one stays.
        path = RESULTS / f"{name}_{_slug()}_{datetime.date.today().isoformat()}.json"
        rows: list[dict[str, Any]] = []
        content = {"environment": collect() | {"load_before": load}, "commit": _commit(), "results": rows}
        for row in BENCHMARKS[name]():
            print(_line(row), flush=True)
            rows.append(row)
            path.with_suffix(".part").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        path.with_suffix(".part").replace(path)
        print(f"  -> {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _line(row: dict[str, Any]) -> str:
    if "test" in row:
        return f"{row['what']}: {row['test']['nats_per_character']:.4f} nats per character, {row['steps']} steps"
    if "measure" in row:
        return f"{row['what']}: {row['figure']:.4f} {row['measure']} after {row['steps']} steps"
    ours = row["ours"]
    text = f"{row['what']}: {ours['median']:.4g} ({ours['lower']:.4g} to {ours['upper']:.4g}) {row['unit']}"
    if "peer" in row:
        peer, ratio = row["peer"], row["ratio"]
        text += f", peer {peer['median']:.4g}, ratio {ratio['median']:.3f}"
        text += f" ({ratio['lower']:.3f} to {ratio['upper']:.3f})"
    return text


def _slug() -> str:
    environment = collect()
    cpu = environment["cpu"].get("brand", "unknown")
    return re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-") or "unknown"


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        "-dirty" if git("status", "--porcelain", "src", "csrc", "benchmarks/*.py") else ""
    )


if __name__ == "__main__":
    main()
