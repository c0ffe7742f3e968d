"""Runs of translators on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.given_text import texts_of
from recur.cli.handling.judging import judged, on_one_line, show_trained
from recur.cli.handling.run_handling import RunHandling, loaded, show_notes
from recur.cli.handling.words_inspection import check_read, inspect_translator_run
from recur.cli.parser import check_seed, options_from
from recur.data.texts.options import CELL_OPTIONS
from recur.errors import OptionError
from recur.run import RunFolder
from recur.tasks.translate.search_options import SearchOptions
from recur.wording import option

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace
    from rich.console import Console

_SHOWN = 3
"""Texts that are printed with what was written, of those drawn at random."""


def handling() -> RunHandling:
    """Return what the commands do with translators."""
    return RunHandling(
        evaluate=_evaluate,
        show=_show,
        show_finished=_show_finished,
        predict=_predict,
        takes_lines=True,
        inspect=inspect_translator_run,
        check_inspection=check_read,
        options={
            "evaluate": CELL_OPTIONS,
            "predict": {"batch_size", "seed", *CELL_OPTIONS, *(field.name for field in fields(SearchOptions))},
            "inspect": {"data", "input", "number", *CELL_OPTIONS},
        },
    )


def _evaluate(chosen: Namespace) -> dict[str, Any]:
    from recur.tasks.translate.evaluation import evaluate_translator

    return judged(evaluate_translator, chosen, list(chosen.data) or None)


def _predict(folder: RunFolder, chosen: Namespace) -> pl.DataFrame:
    from recur.cli.console import plain_console
    from recur.tasks.translate.trained import TrainedTranslator
    from recur.tasks.translate.translation import cut_off, lacking

    check_seed(chosen.seed)
    search = options_from(chosen, SearchOptions)
    if chosen.seed is not None and not search.is_drawn:
        raise OptionError(
            f"seed: would be ignored, as nothing is drawn; give {option('temperature')} too, or leave it out."
        )
    decoding, required, forbidden = search.decoding(), search.texts("required"), search.texts("forbidden")
    trained = loaded(TrainedTranslator.load, folder, chosen)
    data = texts_of(chosen, trained.setup.reading.codec)
    with plain_console(stderr=True).status("writing"):
        pairs = trained.setup.read(data, has_targets=False)
        frame = trained.predict(
            pairs,
            decoding=decoding,
            required=required,
            forbidden=forbidden,
            batch_size=chosen.batch_size,
            seed=chosen.seed or 0,
        )
    ended, missing = (-2, frame.to_series(-1).to_list()) if required else (-1, [])
    show_notes([*pairs.notes, *cut_off(frame.to_series(ended).to_list()), *lacking(missing)])
    return frame


def _show_finished(path: Path, console: Console) -> None:
    commands = {"predict": "recur predict {run} new.txt", "explain": 'recur inspect {run} --input "a text"'}
    if RunFolder.open(path).read_json("schema.json").get("has_conversations"):
        commands = {"talk": "recur chat {run}", **commands}
    show_trained(path, "translate_evaluation.json", _show, console, **commands)


def _show(found: Mapping[str, Any], console: Console) -> None:
    """Print the verdict, the figures beside the rules', and some texts."""
    from rich.table import Table

    console.print(found["verdict"]["text"])
    rules = found["baselines"]
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for title in ("model", *(rule["title"] for rule in rules)):
        table.add_column(title, justify="right")
    for score in found["scores"]:
        own = [_written(score, each.get(score["name"])) for each in (found["figures"], *(r["figures"] for r in rules))]
        table.add_row(score["title"], *own)
    console.print(table)
    likelihood = found["likelihood"]
    if likelihood["perplexity"] is not None:
        unknown = f", {likelihood['unknown']:,.0f} of them unknown" if likelihood["unknown"] else ""
        trigram = likelihood["trigram_perplexity"]
        rule = "" if trigram is None else f"; {trigram:.4g} by a trigram model of targets"
        console.print(
            f"perplexity {likelihood['perplexity']:.4g} a token, of {likelihood['tokens']:,.0f}{unknown}{rule}"
        )
    for one in found["random"][:_SHOWN]:
        console.print(f"{on_one_line(one['source'])}", highlight=False, markup=False)
        console.print(f"  -> {on_one_line(one['output'])}", highlight=False, markup=False)


def _written(score: Mapping[str, Any], value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if score["is_share"] else f"{value:.1f}"
