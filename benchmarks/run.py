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

import anomalies
import forecast_peers
import forecasts
import forecasts_public
import layer_costs
import layer_linear
import layer_options
import layer_savings
import layers
import long_sequences
import main_job
import memory
import peers
import probes
import quality
import sequence_layers
import series_labels
import series_step
import streams
import table
import text_classes
import text_pairs
import third_party
import translation
from plain import Job
from recur.environment import collect

RESULTS = Path(__file__).parent / "results"

BENCHMARKS: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
    "startup": lambda: main_job.startup(repeats=9),
    "generation": lambda: [main_job.generation(characters=2000, repeats=9)],
    "training_step": lambda: (
        row for cell in ("lstm", "gru", "rnn") for row in main_job.training_step(Job(cell=cell), blocks=5, steps=25)
    ),
    "series_step": lambda: series_step.step(blocks=7, steps=500),
    "translation_step": lambda: translation.step(blocks=7, steps=8),
    "translation_decoding": lambda: translation.decoding(blocks=9),
    "streams": lambda: streams.points(repeats=30),
    "whole_training": lambda: [main_job.whole_training(Job(), steps=600, repeats=2)],
    "anomalies": anomalies.numenta,
    "forecasts": forecasts.dust,
    "forecast_peers": forecast_peers.training,
    "forecasts_public": forecasts_public.public,
    "series_labels": series_labels.labels,
    "text_classes": text_classes.classes,
    "pronunciations": text_pairs.pronunciations,
    "commands": text_pairs.commands,
    "sentences": text_pairs.sentences,
    "conversations": text_pairs.conversations,
    "puzzles": text_pairs.puzzles,
    "quality": lambda: quality.tinyshakespeare(3.0),
    "quality_bfloat16": lambda: quality.bfloat16(600),
    "layers_training": lambda: layers.training("few"),
    "layers_training_grid": lambda: layers.training("grid"),
    "layers_last_step": layers.last_step,
    "layers_forward": layers.forward,
    "layers_jax": layers.jax,
    "layers_options": layer_options.options,
    "layers_ragged": layer_options.ragged_and_projected,
    "layers_norm": layer_options.norm_lstm,
    "layers_memory": layer_costs.memory,
    "layers_accuracy": layer_costs.accuracy,
    "layers_step": layer_costs.step,
    "layers_bfloat16": layer_savings.bfloat16,
    "layers_long": layer_savings.long_sequences,
    "layers_busy": layers.busy,
    "long_sequences": long_sequences.budgets,
    "accelerate": third_party.accelerated,
    "layers_linear": lambda: layer_linear.linear("few"),
    "layers_linear_grid": lambda: layer_linear.linear("grid"),
    "probes": lambda: (
        row
        for rows in (
            *(probes.while_training(Job(cell=cell), probes=6) for cell in ("lstm", "rnn")),
            probes.whole(Job(), repeats=5),
            probes.inspecting(Job()),
        )
        for row in rows
    ),
    "attention": sequence_layers.attention,
    "crf": sequence_layers.crf,
    "memory_adding": memory.adding,
    "memory_copying": memory.copying,
    "memory_parity": memory.parity,
    "memory_rows": memory.rows,
    "memory_pixels": memory.pixels,
    "memory_dilated": memory.dilated,
}
"""Every benchmark by name."""

LONG = (
    "layers_training_grid",
    "layers_linear_grid",
    "long_sequences",
    "anomalies",
    "forecasts",
    "forecast_peers",
    "forecasts_public",
    "series_labels",
    "text_classes",
    "pronunciations",
    "commands",
    "sentences",
    "conversations",
    "puzzles",
    *[name for name in BENCHMARKS if name.startswith("memory_")],
)
"""Those that take long and run only when they are named."""

NEED_DATA = (
    "anomalies",
    "forecasts",
    "forecast_peers",
    "series_labels",
    "text_classes",
    "pronunciations",
    "commands",
    "sentences",
    "conversations",
    "quality",
    "quality_bfloat16",
    "memory_rows",
    "memory_pixels",
    "memory_dilated",
)
"""Those that read files from RECUR_DATA, and are left out, with a word, without it."""


def main() -> None:
    """Run those named, or all but those of `LONG`."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(
            f"{__doc__}\nWithout a NAME all but those that take long: {', '.join(LONG)}.\nNAME: {', '.join(BENCHMARKS)}"
        )
    names = sys.argv[1:] or [name for name in BENCHMARKS if name not in LONG]
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
        environment = collect() | {"peers": peers.versions(), "load_before": load}
        head = {"environment": environment, "commit": _commit()}
        for row in BENCHMARKS[name]():
            print(_line(row), flush=True)
            rows.append(row)
            path.with_suffix(".part").write_text(_text(head, rows), encoding="utf-8")
        path.with_suffix(".part").replace(path)
        if name.startswith("layers_"):
            table.show(rows)
        print(f"  -> {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _text(head: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return a result as JSON, a line for each row, of which the grid has more than a thousand."""
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    return f'{json.dumps(head, indent=2)[:-2]},\n  "results": [\n    {lines}\n  ]\n}}\n'


def _line(row: dict[str, Any]) -> str:
    if "test" in row:
        return f"{row['what']}: {row['test']['nats_per_character']:.4f} nats per character, {row['steps']} steps"
    if "measure" in row:
        return f"{row['what']}: {row['figure']:.4f} {row['measure']} after {row['steps']} steps"
    for reason in ("missing", "disagrees"):
        if reason in row:
            return f"{row['what']}: {reason}: {row[reason]}"
    if "left_out" in row:
        return f"{row['what']}: {len(row['left_out'])} left out"
    text = f"{row['what']}: {_figure(row['ours'], '.4g')} {row['unit']}"
    if "peer" in row:
        text += f", {row.get('peer_name', 'peer')} {row['peer']['median']:.4g}, ratio {_figure(row['ratio'], '.3f')}"
    if "backend" in row:
        text += f", {row['threads']} threads, back end {row['backend']}"
    return text


def _figure(values: dict[str, float], form: str) -> str:
    spread = f" ({values['lower']:{form}} to {values['upper']:{form}})" if "lower" in values else ""
    return f"{values['median']:{form}}{spread}"


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
