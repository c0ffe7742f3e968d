"""`recur evaluate`: held-out figures of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Literal

from recur.cli.handling.judging import show_judgement
from recur.cli.handling.run_handling import handling_of, open_run, unfinished
from recur.cli.parser import CommandParser, Device, check_device, given_options
from recur.data.series.options import OtherTableOptions
from recur.data.text import check_found
from recur.errors import OptionError
from recur.wording import option


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "evaluate",
        "Judge a trained model on the part of its data that was held out for the test, or on DATA. Of a text every "
        "token counts once, with the state carried all through; forecasts are made from every origin; classes and "
        "numbers are told of every series; texts are written by search with beams; all beside naive rules.",
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument(
        "data", nargs="*", type=str, help="text, table or parallel files to judge on, not the test part"
    )
    parser.add_argument(
        "--part", type=Literal["train", "valid", "test"], default="test", help="part of the run's own data"
    )
    parser.add_argument(
        "--batch-size",
        type=int | None,
        default=None,
        help="of a text, parts read side by side: 1 is exact and slow; of forecasts, windows at once, which "
        "changes memory and not the figures",
    )
    parser.add_argument(
        "--window", type=int, default=512, help="of a text: tokens run at once; changes memory, not the figures"
    )
    parser.add_argument(
        "--stride",
        type=int | None,
        default=None,
        help="of series: steps from one origin to the next; 1, or as many as keep the windows at 20,000",
    )
    parser.add_argument(
        "--life-left",
        type=str | None,
        default=None,
        help="of remaining lives: file with the life that was left after the last row of each series of DATA",
    )
    parser.add_argument(
        "--label",
        type=str | None,
        default=None,
        help="of anomalies: column of DATA that says which steps are some, whatever it was called in training",
    )
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_options(
        OtherTableOptions, "DATA that are not written as the run's own; of texts encoding, separator and header"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    given = given_options(arguments)
    if chosen.data and "part" in given:
        raise OptionError("part is of the run's own data; leave --part or DATA out.")
    idle = [] if chosen.data else sorted(given & {"label", *(field.name for field in fields(OtherTableOptions))})
    if idle:
        raise OptionError(f"{idle[0]} is of other data; give DATA, or leave {option(idle[0])} out.")
    for name in ("batch_size", "window", "stride"):
        value = getattr(chosen, name)
        if value is not None and value < 1:
            raise OptionError(f"{name} must be a whole number from 1 on, not {value}.")
    # Before torch is imported, which takes seconds.
    folder, task = open_run(chosen.run, "evaluate", given)
    check_found(chosen.data)
    check_device(chosen.device)
    handling = handling_of(task)
    found = handling.evaluate(chosen)
    found["notes"] = [*unfinished(folder), *found["notes"]]
    if chosen.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return 0
    from recur.cli.console import plain_console

    show_judgement(found, handling.show, plain_console())
    return 0
