"""`recur inspect`: what is inside a trained network, on a text or a series of the run's or of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recur.cli.handling.run_handling import handling_of, open_run, show_notes, unfinished
from recur.cli.parser import CommandParser, Device, check_device, check_seed, given_options
from recur.data.series.options import OtherTableOptions
from recur.data.text import check_found
from recur.inspection_format import DECODER, LOOKS, MAX_SYMBOLS


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "inspect",
        "Look inside a trained network while it reads a text or a series: its states and gates, the units that follow "
        "a property of what it reads, what its predictions, forecasts, classes, numbers or alarms rest on, how far its "
        "gradient reaches. Writes the run's inspect.html.",
    )
    parser.add_argument("run", type=str, help="run folder, of any task but write")
    parser.add_argument(
        "data",
        nargs="*",
        type=str,
        help="of all but language models: data as the model was trained on, of translators parallel files too; by "
        "default the test part of the run's own data",
    )
    parser.add_argument(
        "--series",
        type=str | None,
        default=None,
        help="of series: which one; by default that of the worst forecast, class or number, or the strangest step",
    )
    parser.add_argument(
        "--at",
        type=str | None,
        default=None,
        metavar="TIME",
        help="of series: the first step to forecast, up to the one after the last row, or the step that is told of, "
        "by the clock of the table, or with an offset to UTC; by default the worst or strangest one, of DATA without "
        "labels the last",
    )
    parser.add_argument(
        "--number",
        type=int | None,
        default=None,
        metavar="N",
        help="of classes of texts, tags and translators: which text, counted from 1 on; by default the one that was "
        "told worst, of DATA without labels the first",
    )
    parser.add_argument(
        "--input",
        type=str | None,
        default=None,
        help="of models of text: text to read, or a text file, a folder of them or - for "
        f"standard input; of a long one the first {MAX_SYMBOLS:,} symbols; by default of a language model the "
        "beginning of the text that was held out for the test",
    )
    parser.add_argument(
        "--labels",
        type=str | None,
        default=None,
        help="of a language model: file of labels of your own to search units for, one for each character of --input: "
        "numbers or words, one a line; or one line, a character each; or, in a .json file, a list",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed finds the same")
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    parser.add_options(
        OtherTableOptions,
        "DATA that are not written as the run's own; of a language model the encoding of --input, of classes of texts, "
        "tags and translators that of DATA or --input, and separator and header of DATA",
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    given = given_options(arguments) | ({"data"} if chosen.data else set())
    check_seed(chosen.seed)
    # Before torch is imported, which takes seconds.
    folder, task = open_run(chosen.run, "inspect", given)
    check_found(chosen.data)
    handling = handling_of(task)
    handling.check_inspection(chosen)
    check_device(chosen.device)
    show_notes(unfinished(folder))
    from recur.cli.console import plain_console
    from recur.report import write_inspection, write_report

    assert handling.inspect is not None
    notes = plain_console(stderr=True)
    with notes.status("loading the model") as status:
        found, lines = handling.inspect(folder, chosen, notes, status.update)
        found.write(folder)
        status.update("drawing the page")
        if not folder.has("report.html"):
            # The page names it too.
            write_report(folder)
        # Of the letters of its report the training told.
        page = write_inspection(folder, say=lambda note: notes.print(f"note     {note}"))
        # It names the page, and shows it to who opens the run's report.
        report = write_report(folder)
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"page     {page}\n")
    if found.decoder is not None:
        sys.stdout.write(f"decoder  {page.with_name(f'{DECODER}.html')}\n")
    if folder.has(LOOKS):
        sys.stdout.write(f"looks    {page.with_name(LOOKS)}\n")
    sys.stdout.write(f"report   {report}\n")
    return 0
