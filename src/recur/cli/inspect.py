"""`recur inspect`: the report of a run, also on a text of the user's own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recur.cli.parser import CommandParser
from recur.data.options import CorpusOptions
from recur.errors import DataError, OptionError

if TYPE_CHECKING:
    from recur.run import RunFolder

_LONGEST = 5000


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "inspect",
        "Write the run's report.html anew: loss curves, samples, layers, the passages that surprised the model most.",
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument(
        "--input",
        type=str | None,
        default=None,
        help=f"text, or the name of a text file, to show coloured by its loss; of a long one the first {_LONGEST:,} "
        "characters",
    )
    parser.add_argument(
        "--encoding",
        type=str | None,
        default=None,
        help="encoding of the file; that of the run's own text if not given",
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    if chosen.encoding is not None and not _is_name(chosen.input or ""):
        raise OptionError("encoding is of the file that --input names; leave --encoding out, or name a file.")
    from recur.report import write_report
    from recur.run import RunFolder

    folder = RunFolder.open(chosen.run)
    if chosen.input is not None:
        _judge_text(folder, chosen.input, chosen.encoding)
    path = write_report(folder)
    sys.stdout.write(f"report   {path}\n")
    return 0


def _judge_text(folder: RunFolder, given: str, encoding: str | None) -> None:
    from recur.tasks.run_text import corpus_options
    from recur.tasks.trained_language import load

    # A model of bytes too is shown characters, so its text is decoded like any other.
    codec = (corpus_options(folder) if encoding is None else CorpusOptions(encoding=encoding)).codec
    title, text = _read(given, codec) if _is_name(given) else ("your text", given)
    if not text:
        raise DataError(f"{title}: is empty; give at least one character.")
    trained = load(folder)
    cut = text[:_LONGEST]
    if len(cut) < len(text):
        title = f"{title}, the first {_LONGEST:,} of {len(text):,} characters"
    losses = -trained.log_probs(cut, unknown="map")
    ids = trained.tokenizer.encode(cut, unknown="map")
    folder.write_json(
        "inspect.json",
        {
            "title": title,
            "text": [trained.tokenizer.symbol(int(token)) for token in ids],
            "losses": [round(float(loss), 4) for loss in losses],
        },
    )
    mean = float(losses.sum()) / max(len(cut), 1)
    sys.stdout.write(f"text     {title}: {mean:.3f} nats per character\n")


def _is_name(given: str) -> bool:
    """Return whether `given` names a file, or looks as if it should: in one word, with a suffix or a folder."""
    path = Path(given)
    try:
        if path.is_file():
            return True
    except (OSError, ValueError):
        return False
    has_blank = any(character.isspace() for character in given)
    return not has_blank and bool(path.suffix or os.sep in given)


def _read(name: str, codec: str) -> tuple[str, str]:
    """Return a title and the text of the file."""
    from recur.data.text import find_texts, text_of

    if not Path(name).exists():
        raise DataError(f"{name}: no such file; check the path. To show it as text itself, add a blank to it.")
    with tempfile.TemporaryDirectory(prefix="recur-") as spool:
        files = find_texts([name], Path(spool), codec=codec)
        return Path(name).name or name, "".join(text_of(files, codec))
