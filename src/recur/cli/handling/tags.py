"""Runs of taggers on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.given_text import texts_of
from recur.cli.handling.judging import judged, show_classes, show_trained
from recur.cli.handling.run_handling import RunHandling, loaded, show_notes
from recur.cli.handling.words_inspection import check_read, inspect_tagger_run
from recur.data.texts.options import CELL_OPTIONS
from recur.wording import measured

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.run import RunFolder

_NESTED = (".json", ".jsonl", ".parquet", ".arrow")
"""Suffixes of files that can hold lists, so that each sentence is a row."""


def handling() -> RunHandling:
    """Return what the commands do with taggers."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        takes_lines=True,
        writers={".conll": write_conll},
        inspect=inspect_tagger_run,
        check_inspection=check_read,
        options={
            "evaluate": CELL_OPTIONS,
            "predict": {"batch_size", *CELL_OPTIONS},
            "inspect": {"data", "input", "number", *CELL_OPTIONS},
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
    from recur.tasks.tags.evaluation import evaluate_tags

    return judged(evaluate_tags, chosen, list(chosen.data) or None)


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.tags.trained import TrainedTagger

    trained = loaded(TrainedTagger.load, folder, chosen)
    data = texts_of(chosen, trained.setup.reading.codec)
    is_nested = chosen.out is not None and Path(chosen.out).suffix.lower() in _NESTED
    predict = trained.predict_sentences if is_nested else trained.predict
    with plain_console(stderr=True).status("telling tags"):
        sentences, notes = trained.setup.sentences(data)
        frame = predict(sentences, batch_size=chosen.batch_size)
    show_notes(notes)
    return frame


def _show_finished(path: Path, console: Console) -> None:
    commands = {
        "predict": "recur predict {run} sentences.txt --out tags.conll",
        "explain": 'recur inspect {run} --input "a sentence"',
    }
    show_trained(path, "label_evaluation.json", _show, console, **commands)


def _show(found: Mapping[str, Any], console: Console) -> None:
    figures = found["figures"]
    kind = "entity" if figures["has_entities"] else "tag"
    show_classes(found, console, _rows(figures), kind=kind, counted="number", worst="f1")


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
