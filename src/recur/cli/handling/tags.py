"""Runs of taggers on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.run_handling import RunHandling, show_next, show_notes
from recur.cli.handling.words_inspection import check_read, inspect_tagger_run
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

_NESTED = (".json", ".jsonl", ".parquet", ".arrow")
"""Suffixes of files that can hold lists, so that each sentence is a row."""


def handling() -> RunHandling:
    """Return what the commands do with taggers."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        writers={".conll": write_conll},
        inspect=inspect_tagger_run,
        check_inspection=check_read,
        options={
            "evaluate": CELLS,
            "predict": {"batch_size", *CELLS},
            "inspect": {"data", "input", "number", *CELLS},
        },
    )


def write_conll(frame: pl.DataFrame, path: Path) -> None:
    """Write tokens and their tags in columns, a line for each and an empty line after each sentence.

    Args:
        frame: As `TrainedTagger.predict` returns it.
        path: Where.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        before = None
        for sentence, token, tag in frame.select("sentence", "token", "tag").iter_rows():
            if before not in (None, sentence):
                file.write("\n")
            file.write(f"{token}\t{tag}\n")
            before = sentence
        file.write("\n")


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.cli.console import plain_console
    from recur.tasks.tags.evaluation import evaluate_tags

    with plain_console(stderr=True).status("judging"):
        return evaluate_tags(
            chosen.run,
            list(chosen.data) or None,
            part=chosen.part,
            device=chosen.device,
            table=options_from(chosen, OtherTableOptions),
        )


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.tags.trained import TrainedTagger

    trained = TrainedTagger.load(folder, device=chosen.device)
    trained.setup = trained.setup.for_other(options_from(chosen, OtherTableOptions))
    is_nested = chosen.out is not None and Path(chosen.out).suffix.lower() in _NESTED
    predict = trained.predict_sentences if is_nested else trained.predict
    with plain_console(stderr=True).status("telling tags"):
        sentences, notes = trained.setup.sentences(Path(chosen.data))
        frame = predict(sentences, batch_size=chosen.batch_size)
    show_notes(notes)
    return frame


def _show_finished(path: Path, console: Console) -> None:
    found = RunFolder.open(path).read_json("label_evaluation.json")
    _show(found, console)
    for note in found["notes"]:
        console.print(f"note     {note}")
    show_next(
        path,
        console,
        predict="recur predict {run} sentences.txt --out tags.conll",
        explain='recur inspect {run} --input "a sentence"',
    )


def _show(found: Mapping[str, Any], console: Console) -> None:
    """Print the verdict, the figures, and those of each kind of entity or tag."""
    from rich.table import Table

    figures = found["figures"]
    console.print(found["verdict"]["text"], soft_wrap=True)
    for name, value in _rows(figures).items():
        console.print(f"{name:<11} {value}")
    table = Table(box=None, pad_edge=False)
    table.add_column("entity" if figures["has_entities"] else "tag")
    for title in ("number", "recall", "precision", "F1"):
        table.add_column(title, justify="right")
    classes = sorted(figures["classes"], key=lambda one: one["f1"])
    for one in classes[:_MOST_CLASSES]:
        shares = ["" if one[key] is None else f"{one[key]:.1%}" for key in ("recall", "precision", "f1")]
        table.add_row(one["name"], f"{one['support']:,}", *shares)
    console.print(table)
    if len(classes) > _MOST_CLASSES:
        console.print(f"and {len(classes) - _MOST_CLASSES} more; the report has them all")


def _rows(figures: Mapping[str, Any]) -> dict[str, str]:
    rule = figures["rule_accuracy"]
    beside = "" if rule is None else f", {rule:.1%} by the most frequent tag of each word"
    entities = {
        "precision": f"{figures['precision']:.1%} of {figures['num_told']:,} entities told",
        "recall": f"{figures['recall']:.1%} of {figures['num_entities']:,} entities",
    }
    return {
        **(entities if figures["has_entities"] else {}),
        "macro F1": f"{figures['macro_f1']:.1%}",
        "tokens": f"{figures['token_accuracy']:.1%} right{beside}, {figures['most_frequent_accuracy']:.1%} by always "
        f"{figures['most_frequent']}",
        "sentences": f"{figures['exact']:.1%} right in all tags",
        **({} if figures["log_loss"] is None else {"log loss": f"{measured(figures['log_loss'])} nats a token"}),
    }
