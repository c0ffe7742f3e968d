"""Runs of classifiers of texts on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.given_text import texts_of
from recur.cli.handling.judging import class_rows, judged, show_classes, show_trained
from recur.cli.handling.run_handling import RunHandling, loaded, show_notes
from recur.cli.handling.words_inspection import check_read, inspect_classifier_run
from recur.data.texts.options import CELL_OPTIONS
from recur.wording import measured

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.run import RunFolder


def handling() -> RunHandling:
    """Return what the commands do with classifiers of texts."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        takes_lines=True,
        inspect=inspect_classifier_run,
        check_inspection=check_read,
        options={
            "evaluate": CELL_OPTIONS,
            "predict": {"batch_size", *CELL_OPTIONS},
            "inspect": {"data", "input", "number", *CELL_OPTIONS},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.tasks.texts.evaluation import evaluate_texts

    return judged(evaluate_texts, chosen, list(chosen.data) or None)


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.texts.trained import TrainedTextClassifier

    trained = loaded(TrainedTextClassifier.load, folder, chosen)
    data = texts_of(chosen, trained.setup.reading.codec)
    with plain_console(stderr=True).status("telling classes"):
        examples = trained.setup.read(data, has_labels=False)
        frame = trained.predict(examples, batch_size=chosen.batch_size)
    show_notes(examples.notes)
    return frame


def _show_finished(path: Path, console: Console) -> None:
    commands = {"predict": "recur predict {run} new.csv", "explain": 'recur inspect {run} --input "a text"'}
    show_trained(path, "label_evaluation.json", _show, console, **commands)


def _show(found: Mapping[str, Any], console: Console) -> None:
    figures = found["figures"]
    rows = _multi_rows(figures) if "micro_f1" in figures else class_rows(figures)
    show_classes(found, console, rows, kind="class", counted="texts", worst="f1")


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
