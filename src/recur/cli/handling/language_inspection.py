"""What `recur inspect` does with runs of language models: finds the text, looks inside, says what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.given_text import is_name, note_of, reading
from recur.data.options import CorpusOptions
from recur.errors import OptionError
from recur.inspection_format import told_share
from recur.run import RunFolder
from recur.wording import quantity

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.tasks.inspection.content import Inspection
    from recur.tasks.inspection.passage import Passage
    from recur.tasks.language.trained import TrainedLanguageModel

_PRINTED = 6
"""Properties whose best unit is printed."""


def check_passage(chosen: Namespace) -> None:
    """Raise where options do not go with each other, before torch is loaded.

    Raises:
        OptionError: They do not.
    """
    if chosen.encoding is not None and not is_name(chosen.input or ""):
        raise OptionError("encoding is of the file that --input names; leave --encoding out, or name a file.")
    if chosen.labels is not None and chosen.input is None:
        raise OptionError("labels are of the text that --input gives; give --input, or leave --labels out.")


def inspect_language_run(
    folder: RunFolder, chosen: Namespace, notes: Console, stage: Callable[[str], None]
) -> tuple[Inspection, Iterator[str]]:
    """Return what is inside a language model, and what to print of it.

    Args:
        folder: The run.
        chosen: The arguments of `recur inspect`.
        notes: Where to say what a user should know.
        stage: Called with what is being done.
    """
    from recur.tasks.inspection.language import inspect_language_model
    from recur.tasks.inspection.run_training import training_of_run
    from recur.tasks.inspection.user_labels import read_labels
    from recur.tasks.language.trained import load

    labels = None if chosen.labels is None else read_labels(chosen.labels)
    trained = load(folder, device=chosen.device)
    stage("looking for the text")
    passage, note = _passage(folder, trained, chosen.input, chosen.encoding)
    if note:
        notes.print(f"note     {note}")
    found = inspect_language_model(
        trained, passage, labels=labels, training=training_of_run(folder), seed=chosen.seed, stage=stage
    )
    return found, _lines(passage, found.content)


def _passage(
    folder: RunFolder, trained: TrainedLanguageModel, given: str | None, encoding: str | None
) -> tuple[Passage, str]:
    from recur.tasks.inspection.passage import passage_of_run, passage_of_text
    from recur.tasks.language.run_text import corpus_options

    if given is None:
        return passage_of_run(folder, trained)
    if not is_name(given):
        return passage_of_text(trained.tokenizer, [given]), note_of(given)
    # A model of bytes too is shown characters, so its text is decoded like any other.
    codec = (corpus_options(folder) if encoding is None else CorpusOptions(encoding=encoding)).codec
    with reading(given, codec) as chunks:
        title = "standard input" if given == "-" else (Path.cwd() / given).name or given
        return passage_of_text(trained.tokenizer, chunks, title), ""


def _lines(passage: Passage, content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was found, in a few lines."""
    title = f"{passage.title}, {passage.cut}" if passage.cut else passage.title
    num_characters = max(sum(map(len, passage.pieces)), 1)
    yield f"text     {title}: {sum(content['losses']) / num_characters:.3f} nats per character"
    if passage.unknown:
        shown = ", ".join(f"{symbol!r}" for symbol in list(passage.unknown)[:5])
        more = f" and {len(passage.unknown) - 5} more" if len(passage.unknown) > 5 else ""
        count = quantity(sum(passage.unknown.values()), "character")
        yield f"unknown  {count} that the model does not know: {shown}{more}"
    yield from _units(content["properties"])
    for method in content["attribution"]["methods"]:
        deletion = method.get("deletion")
        if deletion is not None:
            place = told_share(deletion["shares"])
            share, chosen, random = (deletion[key][place] for key in ("shares", "chosen", "random"))
            yield (
                f"rests on {method['name']}: deleting the {share:.0%} that it calls most important costs {chosen:.2f} "
                f"nats, at random {random:.2f}{'' if deletion['is_faithful'] else '; NOT to be believed here'}"
            )
    for finding in content["diagnosis"]:
        yield f"found    {finding['name']}: {finding['what']} {finding['evidence']} {finding['advice']}"


def _units(properties: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the unit that follows each property best, of those that hold; and what became of the user's labels."""
    held = 0
    # The user's own first.
    for each in sorted(properties, key=lambda each: not each["key"].startswith("label")):
        is_own = each["key"].startswith("label")
        units = [unit for unit in each["units"] if unit["verdict"] == "holds"]
        if units:
            held += 1
            if is_own or held <= _PRINTED:
                # The best on the half that was searched; the other half is to judge the choice, not to make it.
                best = units[0]
                yield (
                    f"unit     {each['name']}: layers.{best['layer']} {best['part']} {best['unit']}, "
                    f"{best['held_out']:.2f} on held-out text (by chance {each['chance']:.2f})"
                )
        elif is_own:
            yield f"unit     {each['name']}: {each['note'] or 'none follows it better than chance'}"
    if held > _PRINTED:
        yield "unit     the others are on the page"
    if not held:
        yield "unit     none follows a property better than chance"
