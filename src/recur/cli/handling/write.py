"""Runs of writers on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.judging import judged, on_one_line, show_trained
from recur.cli.handling.run_handling import RunHandling, loaded
from recur.cli.parser import check_seed
from recur.data.texts.options import CELL_OPTIONS
from recur.run import RunFolder

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

_SHOWN = 10
"""Classes that are printed with what was written."""


def handling() -> RunHandling:
    """Return what the commands do with writers."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        inspect=None,
        instead="To write texts: recur generate; the report shows some of each class.",
        options={
            "evaluate": CELL_OPTIONS,
            "predict": {"seed", "temperature", "top_k", "top_p", "num_best", *CELL_OPTIONS},
            "inspect": set(),
            "generate": {"label", "vector"},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.tasks.write.evaluation import evaluate_writer

    return judged(evaluate_writer, chosen, [Path(path) for path in chosen.data] or None)


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.decode import Sampling
    from recur.tasks.write.trained import TrainedWriter

    check_seed(chosen.seed)
    trained = loaded(TrainedWriter.load, folder, chosen)
    temperature = 1.0 if chosen.temperature is None else chosen.temperature
    sampling = Sampling(temperature=temperature, top_k=chosen.top_k, top_p=chosen.top_p)
    with plain_console(stderr=True).status("writing"):
        return trained.predict(Path(chosen.data), sampling=sampling, samples=chosen.num_best, seed=chosen.seed or 0)


def _show_finished(path: Path, console: Console) -> None:
    from recur.report.writing import writing_command

    command = writing_command(shlex.quote(str(path)), RunFolder.open(path).read_json("schema.json"))
    show_trained(path, "write_evaluation.json", _show, console, write=command.replace("{", "{{").replace("}", "}}"))


def _show(found: Mapping[str, Any], console: Console) -> None:
    """Print the verdict, the figures beside the rules', and some texts of each class."""
    from rich.table import Table

    console.print(found["verdict"]["text"])
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for title in ("nats/char", "bits/char", "perplexity"):
        table.add_column(title, justify="right")
    for name, figures in (
        ("model", found["figures"]),
        ("not told", found["not_told"]),
        *([("told that of another", found["wrong"])] if found["wrong"] else []),
        *((one["title"], one["figures"]) for one in found["baselines"]),
    ):
        values = [figures[key] for key in ("nats_per_character", "bits_per_character", "perplexity")]
        table.add_row(name, *("" if value is None else f"{value:.3f}" for value in values))
    console.print(table)
    written = found["written"]
    said = [f"{written['distinct']:.1%} differ"]
    if written["new"] is not None:
        said.insert(0, f"{written['new']:.1%} are not in the training part")
    if written["recognised"] is not None:
        said.append(
            f"trigrams take {written['recognised']:.1%} for their class, of held-out texts "
            f"{written['recognised_held_out']:.1%}"
        )
    if written["broken_off"]:
        said.append(f"{written['broken_off']:.1%} came to no end and were broken off")
    console.print(f"of {written['texts']:,} texts written, {'; '.join(said)}")
    for one in found["classes"][:_SHOWN]:
        if one.get("samples"):
            console.print(f"{one['name']}: {on_one_line(', '.join(one['samples']))}", highlight=False, markup=False)
    for one in found["samples"][:_SHOWN]:
        of = ", ".join([*one["labels"], *(f"{value:g}" for value in one["numbers"])])
        console.print(f"{of}: {on_one_line(one['text'])}", highlight=False, markup=False)
