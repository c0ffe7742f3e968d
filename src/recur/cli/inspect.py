"""`recur inspect`: the report of a run, also on a text of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recur.cli.parser import CommandParser
from recur.errors import DataError

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
        "--input", type=str | None, default=None, help="text, or the name of a text file, to show coloured by its loss"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    from recur.report import write_report
    from recur.run import RunFolder

    folder = RunFolder.open(chosen.run)
    if chosen.input is not None:
        _judge_text(folder, chosen.input)
    path = write_report(folder)
    sys.stdout.write(f"report   {path}\n")
    return 0


def _judge_text(folder: RunFolder, given: str) -> None:
    from recur.tasks.trained_language import load

    title, text = _text_of(given)
    trained = load(folder)
    cut = text[:_LONGEST]
    if len(cut) < len(text):
        sys.stderr.write(f"recur: the text has {len(text):,} characters; the first {_LONGEST:,} are shown.\n")
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


def _text_of(given: str) -> tuple[str, str]:
    """Return a title and the text: the content of a file if `given` names one, else `given` itself."""
    path = Path(given)
    try:
        is_file = path.is_file()
    except OSError:
        is_file = False
    if not is_file:
        if path.suffix and not any(character.isspace() for character in given):
            sys.stderr.write(f"recur: there is no file {given!r}, so it is read as text.\n")
        text, title = given, "your text"
    else:
        title = path.name
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: byte {error.start} is no UTF-8; give a text file in UTF-8.") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if not text:
        raise DataError(f"{title}: is empty; give at least one character.")
    return title, text
