"""Runs of classifiers and regressors of series on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.judging import class_rows, judged, one_table, show_classes, show_trained
from recur.cli.handling.run_handling import OF_TABLES, RunHandling, loaded
from recur.cli.handling.series_inspection import check_table, inspect_series_run
from recur.cli.handling.streams import answer_stream
from recur.wording import measured

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.run import RunFolder


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
    data = one_table(chosen)
    from recur.tasks.labels.evaluation import evaluate_labels

    return judged(evaluate_labels, chosen, data, life_left=chosen.life_left)


def _predict_classes(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.labels.trained import TrainedClassifier

    trained = loaded(TrainedClassifier.load, folder, chosen)
    with plain_console(stderr=True).status("telling classes"):
        found: pl.DataFrame = trained.predict(chosen.data, only_last=chosen.only_last, batch_size=chosen.batch_size)
    return found


def _predict_numbers(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.labels.trained import TrainedRegressor

    trained = loaded(TrainedRegressor.load, folder, chosen)
    with plain_console(stderr=True).status("telling numbers"):
        coverage = {} if chosen.coverage is None else {"coverage": chosen.coverage}
        found: pl.DataFrame = trained.predict(
            chosen.data, only_last=chosen.only_last, batch_size=chosen.batch_size, **coverage
        )
    return found


def _show_finished(path: Path, console: Console, show: Any) -> None:
    show_trained(path, "label_evaluation.json", show, console, predict="recur predict {run} new.csv")


def _show_classes(found: Mapping[str, Any], console: Console) -> None:
    show_classes(found, console, class_rows(found["figures"]), kind="class", counted="labels", worst="recall")


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
