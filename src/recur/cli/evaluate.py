"""`recur evaluate`: held-out figures of a run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from jsonargparse import Namespace

from recur.cli.parser import CommandParser, Device, check_device, given_options
from recur.data.text import check_found
from recur.errors import OptionError, RunError
from recur.run import RunFolder

_OPTIONS = {"language": {"encoding", "window"}, "forecast": {"stride"}}
"""Options that only runs of this task have."""


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "evaluate",
        "Judge a trained model on the part of its data that was held out for the test, or on DATA. Of a text every "
        "token counts once, with the state carried all through; forecasts are made from every origin, beside the naive "
        "rules.",
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument("data", nargs="*", type=str, help="text or table to judge on instead of the test part")
    parser.add_argument(
        "--part", type=Literal["train", "valid", "test"], default="test", help="part of the run's own data"
    )
    parser.add_argument(
        "--batch-size",
        type=int | None,
        default=None,
        help="of a text, parts read side by side: 1 is exact and slow; of series, windows forecast at once, which "
        "changes memory and not the figures",
    )
    parser.add_argument(
        "--encoding",
        type=str | None,
        default=None,
        help="of a text: encoding of DATA; that of the run's own text if not given",
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
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    given = given_options(arguments)
    if chosen.data and "part" in given:
        raise OptionError("part is of the run's own data; leave --part or DATA out.")
    for name in ("batch_size", "window", "stride"):
        value = getattr(chosen, name)
        if value is not None and value < 1:
            raise OptionError(f"{name} must be a whole number from 1 on, not {value}.")
    # Before torch is imported, which takes seconds.
    task = _task_of(chosen.run)
    for other, options in _OPTIONS.items():
        if other != task and options & given:
            name = sorted(options & given)[0]
            raise OptionError(f"{name} is of {other} runs, and this is one of task {task}; leave --{name} out.")
    check_found(chosen.data)
    check_device(chosen.device)
    from recur.cli.figures import plain_console

    found = _EVALUATIONS[task](chosen)
    if chosen.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return 0
    console = plain_console()
    _SHOWN[task](found, console)
    for note in found["notes"]:
        console.print(f"note     {note}")
    return 0


def _task_of(run_path: str) -> str:
    """Return the task of a run, one of those that can be judged."""
    try:
        folder = RunFolder.open(run_path)
    except RunError as error:
        with suppress(OSError):
            if Path(run_path).is_file():
                text = shlex.quote(run_path)
                reason = f"{run_path}: is a file, not a run folder; the run comes first: recur evaluate RUN {text}"
                raise RunError(reason) from error
        raise
    task = folder.config().get("task")
    if task not in _EVALUATIONS:
        known = " or ".join(map(repr, _EVALUATIONS))
        raise RunError(f"{folder.path}: is a run of task {task!r}, expected {known}.")
    return str(task)


def _language(chosen: Namespace) -> dict[str, Any]:
    from recur.cli.figures import plain_console
    from recur.tasks.language.judgement import evaluate_run

    with plain_console(stderr=True).status("judging"):
        return evaluate_run(
            chosen.run,
            chosen.data,
            part=chosen.part,
            streams=chosen.batch_size,
            window=chosen.window,
            device=chosen.device,
            encoding=chosen.encoding,
        )


def _forecast(chosen: Namespace) -> dict[str, Any]:
    if len(chosen.data) > 1:
        raise OptionError(f"data: expected one table, or a folder of them, got {len(chosen.data)} names.")
    from recur.cli.figures import plain_console
    from recur.tasks.forecast.backtest import BacktestOptions
    from recur.tasks.forecast.evaluation import evaluate_forecaster

    options = BacktestOptions(stride=chosen.stride, batch_size=chosen.batch_size or BacktestOptions.batch_size)
    with plain_console(stderr=True).status("judging") as status:
        return evaluate_forecaster(
            chosen.run,
            chosen.data[0] if chosen.data else None,
            part=chosen.part,
            options=options,
            device=chosen.device,
            progress=lambda done, total: status.update(f"judging: {done:,} of {total:,} windows"),
        )


def _show_language(found: Mapping[str, Any], console: Any) -> None:
    from recur.cli.figures import show_figures

    show_figures({"model": found["model"], **found["baselines"]}, console)
    console.print(found["verdict"])


def _show_forecast(found: Mapping[str, Any], console: Any) -> None:
    from recur.cli.figures import show_forecast_figures

    console.print(found["verdict"]["text"])
    show_forecast_figures(found, console)


_EVALUATIONS: dict[str, Callable[[Namespace], dict[str, Any]]] = {"language": _language, "forecast": _forecast}
_SHOWN: dict[str, Callable[[Mapping[str, Any], Any], None]] = {"language": _show_language, "forecast": _show_forecast}
