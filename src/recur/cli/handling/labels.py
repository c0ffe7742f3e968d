"""Runs of classifiers and regressors of series on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.run_handling import OF_TABLES, RunHandling, show_next
from recur.cli.handling.series_inspection import check_table, inspect_series_run
from recur.cli.handling.streams import answer_stream
from recur.cli.parser import options_from
from recur.data.series.options import OtherTableOptions
from recur.errors import OptionError
from recur.run import RunFolder
from recur.wording import measured

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

_MOST_CLASSES = 12
"""Of more, the worst told are printed."""


def classifiers() -> RunHandling:
    """Return what the commands do with classifiers of series."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show_classes,
        show_finished=lambda path, console: _show_finished(path, console, _show_classes),
        predict=_predict_classes,
        stream=answer_stream,
        inspect=inspect_series_run,
        check_inspection=check_table,
        options={
            "evaluate": OF_TABLES,
            "predict": {"batch_size", "only_last", *OF_TABLES},
            "inspect": {"data", "series", "at", *OF_TABLES},
        },
    )


def regressors() -> RunHandling:
    """Return what the commands do with regressors of series."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show_numbers,
        show_finished=lambda path, console: _show_finished(path, console, _show_numbers),
        predict=_predict_numbers,
        stream=lambda folder, chosen: answer_stream(folder, chosen, coverage=chosen.coverage),
        inspect=inspect_series_run,
        check_inspection=check_table,
        options={
            "evaluate": {"life_left", *OF_TABLES},
            "predict": {"batch_size", "only_last", "coverage", *OF_TABLES},
            "inspect": {"data", "series", "at", *OF_TABLES},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    if len(chosen.data) > 1:
        raise OptionError(f"data: expected one table, or a folder of them, got {len(chosen.data)} names.")
    from recur.cli.console import plain_console
    from recur.tasks.labels.evaluation import evaluate_labels

    with plain_console(stderr=True).status("judging"):
        return evaluate_labels(
            chosen.run,
            chosen.data[0] if chosen.data else None,
            part=chosen.part,
            table=options_from(chosen, OtherTableOptions),
            life_left=chosen.life_left,
            device=chosen.device,
        )


def _predict_classes(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.labels.trained import TrainedClassifier

    trained = TrainedClassifier.load(folder, device=chosen.device)
    trained.setup = trained.setup.for_other(options_from(chosen, OtherTableOptions))
    with plain_console(stderr=True).status("telling classes"):
        found: pl.DataFrame = trained.predict(chosen.data, only_last=chosen.only_last, batch_size=chosen.batch_size)
    return found


def _predict_numbers(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.labels.trained import TrainedRegressor

    trained = TrainedRegressor.load(folder, device=chosen.device)
    trained.setup = trained.setup.for_other(options_from(chosen, OtherTableOptions))
    with plain_console(stderr=True).status("telling numbers"):
        coverage = {} if chosen.coverage is None else {"coverage": chosen.coverage}
        found: pl.DataFrame = trained.predict(
            chosen.data, only_last=chosen.only_last, batch_size=chosen.batch_size, **coverage
        )
    return found


def _show_finished(path: Path, console: Console, show: Any) -> None:
    found = RunFolder.open(path).read_json("label_evaluation.json")
    show(found, console)
    for note in found["notes"]:
        console.print(f"note     {note}")
    show_next(path, console, predict="recur predict {run} new.csv")


def _show_classes(found: Mapping[str, Any], console: Console) -> None:
    """Print the verdict, the figures, and those of each class."""
    from rich.table import Table

    figures = found["figures"]
    console.print(found["verdict"]["text"])
    rows = {
        "accuracy": f"{figures['accuracy']:.1%}",
        "balanced": f"{figures['balanced_accuracy']:.1%}",
        "macro F1": f"{figures['macro_f1']:.3f}",
        "log loss": f"{measured(figures['log_loss'])} nats, {measured(figures['baseline_log_loss'])} by shares alone",
        "calibration": f"off by {figures['calibration_error']:.1%} in the mean",
    }
    for name, value in rows.items():
        console.print(f"{name:<11} {value}")
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for title in ("labels", "recall", "precision", "F1"):
        table.add_column(title, justify="right")
    classes = sorted(figures["classes"], key=lambda one: 1.0 if one["recall"] is None else one["recall"])
    for one in classes[:_MOST_CLASSES]:
        shares = ["" if one[key] is None else f"{one[key]:.1%}" for key in ("recall", "precision", "f1")]
        table.add_row(one["name"], f"{one['support']:,}", *shares)
    console.print(table)
    if len(classes) > _MOST_CLASSES:
        console.print(f"and {len(classes) - _MOST_CLASSES} more; the report has them all")


def _show_numbers(found: Mapping[str, Any], console: Console) -> None:
    """Print the verdict and the figures."""
    figures = found["figures"]
    console.print(found["verdict"]["text"])
    rows = {
        "RMSE": f"{measured(figures['rmse'])}, {measured(figures['baseline_rmse'])} by the mean alone",
        "MAE": measured(figures["mae"]),
        "bias": measured(figures["bias"]),
    }
    if figures["explained"] is not None:
        rows["R2"] = f"{figures['explained']:.3f}"
    if figures["nasa"] is not None:
        rows["NASA"] = f"{measured(figures['nasa'])}, the sum over labels; early is dearer the later it is"
    intervals = found["intervals"]
    for share, held, width in zip(intervals["shares"], intervals["coverage"], intervals["width"], strict=True):
        if held is not None:
            rows[f"in {share:.0%}"] = f"{held:.1%}, {measured(width)} wide"
    for name, value in rows.items():
        console.print(f"{name:<8} {value}")
