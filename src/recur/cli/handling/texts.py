"""Runs of classifiers of texts on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.run_handling import RunHandling, show_next, show_notes
from recur.cli.handling.words_inspection import check_read, inspect_classifier_run
from recur.cli.parser import options_from
from recur.data.series.options import OtherTableOptions
from recur.data.texts.options import CELLS
from recur.run import RunFolder
from recur.wording import measured

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

_MOST_CLASSES = 12
"""Of more, the worst told are printed."""


def handling() -> RunHandling:
    """Return what the commands do with classifiers of texts."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        inspect=inspect_classifier_run,
        check_inspection=check_read,
        options={
            "evaluate": CELLS,
            "predict": {"batch_size", *CELLS},
            "inspect": {"data", "input", "number", *CELLS},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.cli.console import plain_console
    from recur.tasks.texts.evaluation import evaluate_texts

    with plain_console(stderr=True).status("judging"):
        return evaluate_texts(
            chosen.run,
            list(chosen.data) or None,
            part=chosen.part,
            device=chosen.device,
            table=options_from(chosen, OtherTableOptions),
        )


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.texts.trained import TrainedTextClassifier

    trained = TrainedTextClassifier.load(folder, device=chosen.device)
    trained.setup = trained.setup.for_other(options_from(chosen, OtherTableOptions))
    with plain_console(stderr=True).status("telling classes"):
        examples = trained.setup.read(Path(chosen.data), has_labels=False)
        frame = trained.predict(examples, batch_size=chosen.batch_size)
    show_notes(examples.notes)
    return frame


def _show_finished(path: Path, console: Console) -> None:
    found = RunFolder.open(path).read_json("label_evaluation.json")
    _show(found, console)
    for note in found["notes"]:
        console.print(f"note     {note}")
    show_next(path, console, predict="recur predict {run} new.csv", explain='recur inspect {run} --input "a text"')


def _show(found: Mapping[str, Any], console: Console) -> None:
    """Print the verdict, the figures, and those of each class."""
    from rich.table import Table

    figures = found["figures"]
    console.print(found["verdict"]["text"])
    is_multi = "micro_f1" in figures
    for name, value in (_multi_rows(figures) if is_multi else _single_rows(figures)).items():
        console.print(f"{name:<11} {value}")
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    columns = {"support": "texts", "recall": "recall", "precision": "precision", "f1": "F1"}
    for title in columns.values():
        table.add_column(title, justify="right")
    classes = sorted(figures["classes"], key=lambda one: 1.0 if one["f1"] is None else one["f1"])
    for one in classes[:_MOST_CLASSES]:
        shares = ["" if one[key] is None else f"{one[key]:.1%}" for key in ("recall", "precision", "f1")]
        table.add_row(one["name"], f"{one['support']:,}", *shares)
    console.print(table)
    if len(classes) > _MOST_CLASSES:
        console.print(f"and {len(classes) - _MOST_CLASSES} more; the report has them all")


def _single_rows(figures: Mapping[str, Any]) -> dict[str, str]:
    return {
        "accuracy": f"{figures['accuracy']:.1%}",
        "balanced": f"{figures['balanced_accuracy']:.1%}",
        "macro F1": f"{figures['macro_f1']:.3f}",
        "log loss": f"{measured(figures['log_loss'])} nats, {measured(figures['baseline_log_loss'])} by shares alone",
        "calibration": f"off by {figures['calibration_error']:.1%} in the mean",
    }


def _multi_rows(figures: Mapping[str, Any]) -> dict[str, str]:
    def beside(name: str, form: str) -> str:
        other = figures.get(f"baseline_{name}")
        return "" if other is None else f", {other:{form}} by the linear model"

    return {
        "macro F1": f"{figures['macro_f1']:.3f}{beside('macro_f1', '.3f')}",
        "micro F1": f"{figures['micro_f1']:.3f}{beside('micro_f1', '.3f')}",
        "precision": (
            f"{figures['average_precision']:.3f} in the mean over ranks and classes{beside('average_precision', '.3f')}"
        ),
        "all right": f"{figures['exact']:.1%} of the texts{beside('exact', '.1%')}",
        "log loss": f"{measured(figures['log_loss'])} nats a decision{beside('log_loss', '.3g')}",
    }
