"""How the runs of a task are judged on the command line, and how what came of it is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recur.cli.handling.run_handling import show_next
from recur.cli.parser import options_from
from recur.data.series.options import OtherTableOptions
from recur.errors import OptionError
from recur.run import RunFolder
from recur.wording import measured, shortened

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

_MOST_CLASSES = 12
"""Of more, the worst told are printed."""

_MOST_LETTERS = 100
"""Of a text that is printed."""


def judged(evaluate: Callable[..., dict[str, Any]], chosen: Namespace, data: Any, **options: Any) -> dict[str, Any]:
    """Return the judgement of a run, and show meanwhile that it is being made.

    Args:
        evaluate: Judges a run on data, or on a part of its own.
        chosen: The arguments of `recur evaluate`.
        data: As `evaluate` takes them; None for the run's own.
        options: More of `evaluate`.
    """
    from recur.cli.console import plain_console

    with plain_console(stderr=True).status("judging"):
        return evaluate(
            chosen.run,
            data,
            part=chosen.part,
            device=chosen.device,
            table=options_from(chosen, OtherTableOptions),
            **options,
        )


def one_table(chosen: Namespace) -> str | None:
    """Return the table that the arguments of `recur evaluate` or `recur inspect` name, or None.

    Raises:
        OptionError: They name several.
    """
    if len(chosen.data) > 1:
        raise OptionError(f"data: expected one table, or a folder of them, got {len(chosen.data)} names.")
    return chosen.data[0] if chosen.data else None


def show_judgement(
    found: Mapping[str, Any], show: Callable[[Mapping[str, Any], Console], None], console: Console
) -> None:
    """Print a judgement by `show`, and its notes."""
    show(found, console)
    for note in found["notes"]:
        console.print(f"note     {note}")


def show_trained(
    path: Path, name: str, show: Callable[[Mapping[str, Any], Console], None], console: Console, **commands: str
) -> None:
    """Print the judgement of the run that was just trained, and what to do next.

    Args:
        path: The run.
        name: The file of the judgement.
        show: Prints it, but for the notes.
        console: Where.
        commands: As `show_next` takes them.
    """
    show_judgement(RunFolder.open(path).read_json(name), show, console)
    show_next(path, console, **commands)


def show_classes(
    found: Mapping[str, Any],
    console: Console,
    rows: Mapping[str, str],
    *,
    kind: str,
    counted: str,
    worst: Literal["recall", "f1"],
) -> None:
    """Print the verdict, the figures, and those of each class.

    Args:
        found: What `label_evaluation.json` holds.
        console: Where.
        rows: The figures, in words, by their names.
        kind: What a class is called.
        counted: What there are so many of, of a class.
        worst: The figure that is lowest of the class that is told worst.
    """
    from rich.table import Table

    console.print(found["verdict"]["text"])
    for name, value in rows.items():
        console.print(f"{name:<11} {value}")
    table = Table(box=None, pad_edge=False)
    table.add_column(kind)
    for title in (counted, "recall", "precision", "F1"):
        table.add_column(title, justify="right")
    classes = sorted(found["figures"]["classes"], key=lambda one: 1.0 if one[worst] is None else one[worst])
    for one in classes[:_MOST_CLASSES]:
        shares = ["" if one[key] is None else f"{one[key]:.1%}" for key in ("recall", "precision", "f1")]
        table.add_row(one["name"], f"{one['support']:,}", *shares)
    console.print(table)
    if len(classes) > _MOST_CLASSES:
        console.print(f"and {len(classes) - _MOST_CLASSES} more; the report has them all")


def class_rows(figures: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures of a judgement of one class each, in words, by their names."""
    return {
        "accuracy": f"{figures['accuracy']:.1%}",
        "balanced": f"{figures['balanced_accuracy']:.1%}",
        "macro F1": f"{figures['macro_f1']:.3f}",
        "log loss": f"{measured(figures['log_loss'])} nats, {measured(figures['baseline_log_loss'])} by shares alone",
        "calibration": f"off by {figures['calibration_error']:.1%} in the mean",
    }


def on_one_line(text: str) -> str:
    """Return a text as it is printed beside others: on one line, the beginning of a long one."""
    return shortened(" / ".join(text.splitlines()), _MOST_LETTERS)
