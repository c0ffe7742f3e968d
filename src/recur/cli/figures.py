"""The table of held-out figures, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recur.run import RunFolder
from recur.wording import measured

_COLUMNS = (
    ("nats_per_character", "nats/char", ".3f"),
    ("bits_per_character", "bits/char", ".3f"),
    ("perplexity", "perplexity", ".2f"),
    ("top1", "top 1", ".1%"),
    ("top5", "top 5", ".1%"),
)


def plain_console(*, stderr: bool = False, quiet: bool = False, soft_wrap: bool = True) -> Console:
    """Return a console that prints names and texts as they are: no markup, no emoji.

    Args:
        stderr: Print to standard error.
        quiet: Print nothing.
        soft_wrap: Leave long lines to the terminal; not for a progress bar, which must keep to one line.
    """
    return Console(stderr=stderr, quiet=quiet, soft_wrap=soft_wrap, markup=False, highlight=False, emoji=False)


def show_figures(rows: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """Print a table: one row for the model and one for each baseline."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for _, title, _ in _COLUMNS:
        table.add_column(title, justify="right")
    for name, figures in rows.items():
        cells = [format(figures[key], form) if figures.get(key) is not None else "" for key, _, form in _COLUMNS]
        table.add_row(name, *cells)
    console.print(table)


def show_forecast_figures(found: Mapping[str, Any], console: Console) -> None:
    """Print the figures of a judgement of forecasts: one row for the model and one for each rule."""
    shares = list(found["figures"]["model"]["coverage"])
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    columns = {"mae": "MAE", "rmse": "RMSE", "smape": "sMAPE", "mase": "MASE", "crps": "CRPS"}
    for title in (*columns.values(), *(f"in {float(share):.0%}" for share in shares)):
        table.add_column(title, justify="right")
    for name, figures in found["figures"].items():
        values = [figures[key] for key in columns]
        held = [figures["coverage"][share] for share in shares]
        cells = ["" if value is None else measured(value) for value in values]
        table.add_row(name, *cells, *("" if value is None else f"{value:.1%}" for value in held))
    console.print(table)


def show_evaluation(path: Path) -> None:
    """Print the held-out figures of a finished run, and what can be done with it."""
    console = plain_console()
    evaluation = RunFolder.open(path).read_json("evaluation.json")
    show_figures({"model": evaluation["model"], **evaluation["baselines"]}, console)
    console.print(evaluation["verdict"])
    _show_next(path, console, write='recur generate {run} --prompt "..."')


def show_forecast_evaluation(path: Path) -> None:
    """Print the verdict and the held-out figures of a finished forecaster, and what can be done with it."""
    console = plain_console()
    found = RunFolder.open(path).read_json("forecast_evaluation.json")
    console.print(found["verdict"]["text"])
    show_forecast_figures(found, console)
    for note in found["notes"]:
        console.print(f"note     {note}")
    _show_next(path, console, forecast="recur predict {run} new.csv")


def _show_next(path: Path, console: Console, **commands: str) -> None:
    """Print where the report is, and commands with the run in place of {run}."""
    run = shlex.quote(str(path))
    console.print(f"{'report':<8} {path / 'report.html'}")
    for what, command in {**commands, "judge": "recur evaluate {run}"}.items():
        console.print(f"{what:<8} {command.format(run=run)}")
