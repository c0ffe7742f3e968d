"""`recur predict`: what a trained model says of new data."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recur.cli.handling.given_text import STANDARD_INPUT
from recur.cli.handling.run_handling import RunHandling, handling_of, open_run, show_notes, unfinished
from recur.cli.parser import CommandParser, Device, check_device, given_options
from recur.data.series.options import OtherTableOptions
from recur.data.text import check_found
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder, write_atomic
from recur.tasks.translate.search_options import SearchOptions
from recur.wording import enumerated, measured, quantity, shortened

if TYPE_CHECKING:
    import polars as pl
    from jsonargparse import Namespace

_SUFFIXES = (".csv", ".tsv", ".parquet", ".arrow", ".json", ".jsonl")

_FLAT = (".csv", ".tsv")
"""Of these, kinds of tables that can hold no lists."""

_OF_STREAMS = ("state", "save_every", "on_error")
_OF_BOTH = ("encoding", "time_format", "decimal_comma")
NOT_OF_STREAMS = (
    *("out", "overwrite", "horizon", "paths", "seed", "batch_size", "only_last"),
    *(field.name for field in fields(SearchOptions)),
    *(field.name for field in fields(OtherTableOptions) if field.name not in _OF_BOTH),
)
"""Options that do not go with --stream."""

_MOST_PRINTED = 40
"""Rows of a table that are printed; all of them go into a file."""

_MOST_LETTERS = 60
"""Of a text that was given, which is cut there; what the model wrote is not, and stands out of its column."""

_MOST_CLASSES = 8
"""Classes whose probabilities have a column each; of more, the likeliest few stand in one."""

_LIKELIEST = 3


def build_parser(*, has_data: bool = True) -> CommandParser:
    """Return the command's parser.

    Args:
        has_data: Whether it takes DATA, which a stream does not.
    """
    parser = CommandParser(
        "predict",
        "Forecast what comes after the last target of each series in DATA, tell the class or the number of each series "
        "or step, the class of each text, the text that it becomes or the tag of each of its tokens, or how strange "
        "each step is, as the model was trained to. DATA are read as those of the run were. "
        "With --stream the model answers each line that comes.",
    )
    parser.add_argument("run", type=str, help="run folder")
    if has_data:
        parser.add_argument(
            "data",
            type=str,
            help="a table as the model was trained on, or a folder of them; or texts, one on each line, also - for "
            "those of standard input; none with --stream",
        )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="instead of DATA take lines of CSV or JSON from standard input, and answer each as it comes, the state "
        "carried",
    )
    parser.add_argument(
        "--state",
        type=str | None,
        default=None,
        help="with --stream: file with the state of all series, from which the stream goes on if it is there; it is "
        "written at the end, on Ctrl-C and on SIGTERM",
    )
    parser.add_argument(
        "--save-every",
        type=int | None,
        default=None,
        metavar="ROWS",
        help="with --stream: write the state after so many rows, too",
    )
    parser.add_argument(
        "--on-error",
        type=Literal["stop", "skip"],
        default="stop",
        help="with --stream: whether a line that cannot be used ends the stream, or is left out with a message",
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help=f"file to write, of the kind that its name says: {', '.join(_SUFFIXES)}, of tags also .conll; by default "
        "the first rows are printed, of long texts the beginning and of many classes the likeliest",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file that stands there")
    parser.add_argument(
        "--horizon",
        type=int | None,
        default=None,
        help="steps to forecast; as many as in training, or fewer",
    )
    parser.add_argument(
        "--levels",
        type=str | None,
        default=None,
        help="probabilities of the quantiles, between 0 and 1, with commas between them; 0.1,0.5,0.9 if not given",
    )
    parser.add_argument("--paths", type=int | None, default=None, help="draw so many paths instead of quantiles")
    parser.add_argument(
        "--seed", type=int | None, default=None, help="the same seed draws the same paths, or the same texts"
    )
    parser.add_argument(
        "--uncalibrated", action="store_true", help="quantiles as the network says them, not moved by the calibration"
    )
    parser.add_argument(
        "--only-last", action="store_true", help="of classes and numbers of steps: tell of each series' last step alone"
    )
    parser.add_argument(
        "--coverage",
        type=float | None,
        default=None,
        help="of numbers: share of true ones that the intervals should hold; 0.9 if not given",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=64,
        help="series or texts at once; changes memory, but not what is told unless texts are drawn",
    )
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    parser.add_options(SearchOptions, "texts that are written")
    parser.add_options(
        OtherTableOptions,
        "DATA that are not written as the run's own; of texts encoding, separator and header, of a stream encoding, "
        "time format and decimals",
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser(has_data="--stream" not in arguments).parse_args(list(arguments))
    given = given_options(arguments)
    _check_kind(chosen, given)
    chosen.levels = None if chosen.levels is None else _levels(chosen.levels)
    # Before torch is imported, which takes seconds.
    folder, task = open_run(chosen.run, "predict", given)
    handling = handling_of(task)
    write = None if chosen.out is None else _writer(Path(chosen.out), folder, handling, overwrite=chosen.overwrite)
    show_notes(unfinished(folder))
    if chosen.stream:
        return _stream(folder, handling, chosen)
    if handling.predict is None:
        raise RunError(
            f"{folder.path}: is a run of task {task!r}, whose model does not predict series. {handling.instead}"
        )
    _check_data(chosen.data, folder, handling)
    check_device(chosen.device)
    frame = handling.predict(folder, chosen)
    if write is None:
        _show(frame)
    else:
        write(frame)
        sys.stdout.write(f"wrote    {chosen.out}\n")
    return 0


def _check_kind(chosen: Namespace, given: Collection[str]) -> None:
    """Raise where options of a stream go without one, or others with one."""
    for name in _OF_STREAMS if not chosen.stream else NOT_OF_STREAMS:
        if name in given:
            what = (
                "is of streams; give --stream, too" if not chosen.stream else "does not go with --stream; leave it out"
            )
            raise OptionError(f"{name}: {what}.")


def _check_data(data: str, folder: RunFolder, handling: RunHandling) -> None:
    """Raise where DATA are not there, or are lines of standard input of which the model does not predict."""
    if data == STANDARD_INPUT:
        if handling.takes_lines:
            return
        task = folder.config()["task"]
        instead = "rows come by --stream, without DATA" if handling.stream is not None else "give a table"
        raise OptionError(f"data: - is of texts, one on each line, and this is a run of task {task!r}; {instead}.")
    try:
        check_found([data])
    except DataError as error:
        if handling.takes_lines and any(map(str.isspace, data)):
            command = f"printf '%s\\n' {shlex.quote(data)} | recur predict {shlex.quote(str(folder.path))} -"
            raise DataError(f"{error} Is it a text itself? Give it by: {command}") from error
        raise


def _stream(folder: RunFolder, handling: RunHandling, chosen: Namespace) -> int:
    if handling.stream is None:
        task = folder.config()["task"]
        raise RunError(f"{folder.path}: is a run of task {task!r}, whose model takes no stream. {handling.instead}")
    check_device(chosen.device)
    handling.stream(folder, chosen)
    return 0


def _levels(text: str) -> tuple[float, ...]:
    try:
        levels = tuple(float(level) for level in text.split(","))
    except ValueError:
        levels = (math.nan,)
    if not all(0 < level < 1 for level in levels) or sorted(set(levels)) != list(levels):
        raise OptionError(f"levels: expected growing numbers between 0 and 1, such as 0.1,0.5,0.9, got {text!r}.")
    return levels


def _writer(path: Path, folder: RunFolder, handling: RunHandling, *, overwrite: bool) -> Callable[[pl.DataFrame], None]:
    """Return what writes a dataframe that a run has told to a path, by its suffix."""
    suffix = path.suffix.lower()
    known = (*_SUFFIXES, *handling.writers)
    if suffix not in known:
        raise OptionError(f"out: {path} must end in one of {', '.join(known)}, to say what is to be written.")
    if path.exists() and not overwrite:
        raise OptionError(f"out: {path} exists already; give --overwrite to replace it, or another name.")
    if not path.parent.is_dir():
        raise OptionError(f"out: {path} cannot be written, as the folder {path.parent} does not exist; make it first.")

    def write(frame: pl.DataFrame) -> None:
        own = handling.writers.get(suffix)
        if own is not None:
            write_atomic(path, lambda temporary: own(frame, temporary))
            return
        if suffix in _FLAT:
            frame = _without_lists(frame, folder)
        by_suffix: dict[str, Callable[[Path], Any]] = {
            ".csv": lambda temporary: frame.write_csv(temporary),
            ".tsv": lambda temporary: frame.write_csv(temporary, separator="\t"),
            ".parquet": lambda temporary: frame.write_parquet(temporary),
            ".arrow": lambda temporary: frame.write_ipc(temporary),
            ".json": lambda temporary: frame.write_json(temporary),
            ".jsonl": lambda temporary: frame.write_ndjson(temporary),
        }
        write_atomic(path, by_suffix[suffix])

    return write


def _without_lists(frame: pl.DataFrame, folder: RunFolder) -> pl.DataFrame:
    """Return a table whose lists, several classes, are text as that of the run's own data, so that it reads it again.

    That is with the run's separator between them; without one, or with none of them, as JSON writes a list.
    """
    import polars as pl

    names = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    separator = folder.read_json("schema.json").get("label_separator") if names else ""

    def text_of(entries: list[str]) -> str:
        return separator.join(entries) if separator and entries else json.dumps(entries, ensure_ascii=False)

    cells = [pl.Series(name, [text_of(entries) for entries in frame[name].to_list()], pl.String) for name in names]
    return frame.with_columns(cells)


def _show(frame: pl.DataFrame) -> None:
    """Print a dataframe, the first rows of a long one, in columns as wide as they need be.

    Texts that were given are cut, and of many classes the likeliest are told, for a file has all.
    """
    more = [quantity(frame.height - _MOST_PRINTED, "row") + " more"] if frame.height > _MOST_PRINTED else []
    shown = frame.head(_MOST_PRINTED)
    of_classes = [name for name in shown.columns if name.startswith("p(") and name.endswith(")")]
    if len(of_classes) > _MOST_CLASSES:
        shown = _with_likeliest(shown, of_classes)
        more.append(f"the probabilities of {len(of_classes):,} classes")
    rows = [[_cell(cell) for cell in row] for row in shown.iter_rows()]
    if any(len(row[0]) > _MOST_LETTERS for row in rows):
        rows = [[shortened(row[0], _MOST_LETTERS), *row[1:]] for row in rows]
        more.append("texts as a whole")
    widths = [min(max(map(len, cells)), _MOST_LETTERS) for cells in zip(shown.columns, *rows, strict=True)]
    is_right = [kind.is_numeric() for kind in shown.schema.values()]
    for cells in (shown.columns, *rows):
        placed = zip(cells, widths, is_right, strict=True)
        line = "  ".join(f"{cell:>{width}}" if right else f"{cell:<{width}}" for cell, width, right in placed)
        sys.stdout.write(line.rstrip() + "\n")
    if more:
        sys.stdout.write(f"and {enumerated(more)}; --out FILE has all of them\n")


def _cell(value: Any) -> str:
    if value is None:
        # As in a file.
        return ""
    return measured(value) if isinstance(value, float) else " ".join(str(value).splitlines())


def _with_likeliest(frame: pl.DataFrame, of_classes: Sequence[str]) -> pl.DataFrame:
    """Return a table with the likeliest classes in one column, in place of one for each class."""
    import polars as pl

    ranked = [
        sorted(zip(of_classes, row, strict=True), key=lambda one: -one[1])[:_LIKELIEST]
        for row in frame.select(of_classes).iter_rows()
    ]
    cells = [", ".join(f"{name[2:-1]} {_cell(share)}" for name, share in row) for row in ranked]
    return frame.drop(of_classes).with_columns(pl.Series("likeliest", cells, pl.String))
