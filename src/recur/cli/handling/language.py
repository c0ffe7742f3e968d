"""Runs of language models on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.language_inspection import check_passage, inspect_language_run
from recur.cli.handling.run_handling import RunHandling, show_next
from recur.run import RunFolder

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

_COLUMNS = (
    ("nats_per_character", "nats/char", ".3f"),
    ("bits_per_character", "bits/char", ".3f"),
    ("perplexity", "perplexity", ".2f"),
    ("top1", "top 1", ".1%"),
    ("top5", "top 5", ".1%"),
)


def handling() -> RunHandling:
    """Return what the commands do with language models."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=show_finished,
        inspect=inspect_language_run,
        check_inspection=check_passage,
        instead="To write text: recur generate.",
        options={
            "evaluate": {"batch_size", "window"},
            "inspect": {"input", "labels"},
            "generate": {"stop", "unknown"},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.cli.console import plain_console
    from recur.tasks.language.judgement import evaluate_run

    with plain_console(stderr=True).status("judging"):
        return evaluate_run(
            chosen.run,
            chosen.data,
            part=chosen.part,
            streams=chosen.batch_size,
            window=chosen.window,
            device=chosen.device,
            encoding=chosen.encoding,
        )


def _show(found: Mapping[str, Any], console: Console) -> None:
    _show_figures({"model": found["model"], **found["baselines"]}, console)
    console.print(found["verdict"])


def show_finished(path: Path, console: Console) -> None:
    """Print the held-out figures of a finished run, and what can be done with it."""
    _show(RunFolder.open(path).read_json("evaluation.json"), console)
    show_next(path, console, write='recur generate {run} --prompt "..."')


def _show_figures(rows: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print a table: one row for the model and one for each baseline."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for _, title, _ in _COLUMNS:
        table.add_column(title, justify="right")
    for name, figures in rows.items():
        cells = [format(figures[key], form) if figures.get(key) is not None else "" for key, _, form in _COLUMNS]
        table.add_row(name, *cells)
    console.print(table)
