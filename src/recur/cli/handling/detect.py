"""Runs of detectors on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.judging import judged, one_table, show_trained
from recur.cli.handling.run_handling import OF_TABLES, RunHandling, loaded
from recur.cli.handling.series_inspection import check_table, inspect_series_run
from recur.cli.handling.streams import answer_stream
from recur.wording import measured, percentage

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.run import RunFolder


def handling() -> RunHandling:
    """Return what the commands do with detectors."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        stream=answer_stream,
        inspect=inspect_series_run,
        check_inspection=check_table,
        options={
            "evaluate": {"label", *OF_TABLES},
            "predict": OF_TABLES,
            "inspect": {"data", "series", "at", *OF_TABLES},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    data = one_table(chosen)
    from recur.tasks.detect.judgement import evaluate_detector

    return judged(evaluate_detector, chosen, data, label=chosen.label)


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.detect.trained import TrainedDetector

    trained = loaded(TrainedDetector.load, folder, chosen)
    with plain_console(stderr=True).status("looking for anomalies"):
        found: pl.DataFrame = trained.predict(chosen.data)
    return found


def _show(found: Mapping[str, Any], console: Console) -> None:
    from rich.table import Table

    console.print(found["verdict"]["text"])
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    # Without labels nobody knows which alarms are false.
    raised = "false" if found["has_truth"] else "steps"
    for title in ("alarms", "a day", raised, *(("precision", "recall", "F1") if found["has_truth"] else ())):
        table.add_column(title, justify="right")
    for name, figures in found["figures"].items():
        day, rate = figures["alarms_a_day"], figures["rate"]
        cells = [
            f"{figures['alarms']:,}",
            "" if day is None else measured(day),
            "" if rate is None else percentage(rate),
        ]
        by_event = figures.get("by_event", {})
        cells += [
            "" if by_event.get(key) is None else f"{by_event[key]:.2f}"
            for key in (("precision", "recall", "f1") if found["has_truth"] else ())
        ]
        table.add_row(name, *cells)
    console.print(table)


def _show_finished(path: Path, console: Console) -> None:
    show_trained(path, "detect_evaluation.json", _show, console, find="recur predict {run} new.csv")
