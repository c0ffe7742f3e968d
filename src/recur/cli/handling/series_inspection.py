"""What `recur inspect` does with runs of series, of any task: looks inside, says what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from recur.cli.handling.judging import one_table
from recur.cli.parser import options_from
from recur.data.series.options import OtherTableOptions
from recur.errors import OptionError
from recur.inspection_format import MOST_GAP, told_share
from recur.run import RunFolder
from recur.wording import measured, option, quantity

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.tasks.inspection.content import Inspection

_CHANNELS = 4
"""Channels that are printed for an answer."""


def inspect_series_run(
    folder: RunFolder, chosen: Namespace, notes: Console, stage: Callable[[str], None]
) -> tuple[Inspection, Iterator[str]]:
    """Return what is inside a model of series, and what to print of it.

    Args:
        folder: The run.
        chosen: The arguments of `recur inspect`.
        notes: Where to say what a user should know.
        stage: Called with what is being done.
    """
    from recur.tasks.inspection.run_training import training_of_run
    from recur.tasks.inspection.trained_series import inspect_trained
    from recur.tasks.loading import load

    trained = load(folder, device=chosen.device)
    data = one_table(chosen)
    if data is not None:
        trained.setup = trained.setup.for_other(options_from(chosen, OtherTableOptions))
    found = inspect_trained(
        trained,
        data,
        series=chosen.series,
        at=chosen.at,
        training=training_of_run(folder),
        seed=chosen.seed,
        stage=stage,
    )
    for note in found.content["answers"]["notes"]:
        notes.print(f"note     {note}")
    return found, _lines(found.content)


def check_table(chosen: Namespace) -> None:
    """Raise where arguments of `recur inspect` name several tables, or say how other data are written but name none.

    Raises:
        OptionError: They do.
    """
    idle = [] if one_table(chosen) is not None else options_from(chosen, OtherTableOptions).given
    if idle:
        raise OptionError(f"{idle[0]} is of other data; give DATA, or leave {option(idle[0])} out.")


def check_line(answers: Mapping[str, Any], what: str) -> str:
    """Return a line on whether contributions can be believed; `what` contributes, several of them."""
    check = answers["check"]
    if check is None:
        return f"check    not made elsewhere: {answers['unchecked']}"
    place = told_share(check["shares"])
    share, chosen, random = (check[key][place] for key in ("shares", "chosen", "random"))
    doubt = "" if check["is_faithful"] else "; NOT to be believed here"
    return (
        f"check    elsewhere, without the {share:.0%} of {what} that raise it most, the first answer falls by "
        f"{measured(chosen)}, without as many at random by {measured(random)}{doubt}"
    )


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was found, in a few lines."""
    title = f"{content['title']}, {content['cut']}" if content["cut"] else content["title"]
    yield f"series   {title}"
    answers = content["answers"]
    for one in answers["answers"]:
        yield f"says     {one['name']}: {one['said']}" + (f"; {one['came']}" if one["came"] else "")
        shares = sorted(zip(one["by_channel"], answers["channels"], strict=True), key=lambda pair: -abs(pair[0]))
        told = ", ".join(f"{name} {'+' if share > 0 else ''}{measured(share)}" for share, name in shares[:_CHANNELS])
        missed = f"; the sum misses {one['gap']:.1%} of all contributions" if one["gap"] > MOST_GAP else ""
        still = f"from {measured(one['neutral'])} for a series that stands still"
        yield f"because  {told}, {still}; in {answers['unit']}{missed}"
    yield check_line(answers, "steps")
    yield from found_lines(content, "step")


def found_lines(content: Mapping[str, Any], unit: str) -> Iterator[str]:
    """Yield the units that follow a property, how far the states reach and what is wrong; `unit` is what is read."""
    for known in content["properties"]:
        best = next((unit for unit in known["units"] if unit["verdict"] == "holds"), None)
        if best is not None:
            yield (
                f"unit     {known['name']}: layers.{best['layer']} {best['part']} {best['unit']}, "
                f"{best['held_out']:.2f} on held-out {unit}s (by chance {known['chance']:.2f})"
            )
    reach = content["probe"]
    if reach is not None and reach["memory_length"] is not None:
        yield f"memory   nine tenths of a change of its state are gone after {quantity(reach['memory_length'], unit)}"
    for finding in content["diagnosis"]:
        yield f"found    {finding['name']}: {finding['what']} {finding['evidence']} {finding['advice']}"
