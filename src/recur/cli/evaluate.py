"""`recur evaluate`: held-out figures of a run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from recur.cli.parser import CommandParser, Device, check_device, given_options
from recur.data.text import check_found
from recur.errors import OptionError, RunError
from recur.run import RunFolder


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "evaluate",
        "Judge a trained model on the part of its text that was held out for the test, or on DATA: every token counts "
        "once, with the state carried all through.",
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument("data", nargs="*", type=str, help="text to judge on instead of the test part")
    parser.add_argument(
        "--encoding", type=str | None, default=None, help="encoding of DATA; that of the run's own text if not given"
    )
    parser.add_argument(
        "--part", type=Literal["train", "valid", "test"], default="test", help="part of the run's own text"
    )
    parser.add_argument(
        "--batch-size", type=int | None, default=None, help="parts of the text read side by side; 1 is exact and slow"
    )
    parser.add_argument("--window", type=int, default=512, help="tokens run at once; changes memory, not the figures")
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    if chosen.data and "part" in given_options(arguments):
        raise OptionError("part is of the run's own text; leave --part or DATA out.")
    if chosen.batch_size is not None and chosen.batch_size < 1:
        raise OptionError(f"batch_size must be a whole number from 1 on, not {chosen.batch_size}.")
    if chosen.window < 1:
        raise OptionError(f"window must be a whole number from 1 on, not {chosen.window}.")
    # Before torch is imported, which takes seconds.
    try:
        RunFolder.open(chosen.run)
    except RunError as error:
        with suppress(OSError):
            if Path(chosen.run).is_file():
                text = shlex.quote(chosen.run)
                reason = f"{chosen.run}: is a file, not a run folder; the run comes first: recur evaluate RUN {text}"
                raise RunError(reason) from error
        raise
    check_found(chosen.data)
    check_device(chosen.device)
    from recur.cli.figures import plain_console, show_figures
    from recur.tasks.judgement import evaluate_run

    notes = plain_console(stderr=True)
    with notes.status("judging"):
        found: dict[str, Any] = evaluate_run(
            chosen.run,
            chosen.data,
            part=chosen.part,
            streams=chosen.batch_size,
            window=chosen.window,
            device=chosen.device,
            encoding=chosen.encoding,
        )
    if chosen.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return 0
    console = plain_console()
    show_figures({"model": found["model"], **found["baselines"]}, console)
    console.print(found["verdict"])
    for note in found["notes"]:
        console.print(f"note     {note}")
    return 0
