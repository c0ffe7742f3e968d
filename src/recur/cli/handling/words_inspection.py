"""What `recur inspect` does with runs that read whole texts: finds the text, looks inside, says which words speak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.cli.handling.given_text import is_name, note_of, reading
from recur.cli.handling.run_handling import loaded
from recur.cli.handling.series_inspection import check_line, found_lines
from recur.data.texts.options import CELL_OPTIONS
from recur.errors import OptionError
from recur.inspection_format import MOST_GAP
from recur.run import RunFolder
from recur.wording import measured, option, shortened

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from recur.tasks.inspection.content import Inspection

_WORDS = 5
"""Words that are printed for an answer, and against it."""

_TAGS = 20
"""Tags that are printed."""

_SHOWN = 200
"""Characters of a text that are printed."""


def check_read(chosen: Namespace) -> None:
    """Raise where options do not go with each other, before torch is loaded.

    Raises:
        OptionError: They do not.
    """
    if chosen.input is not None:
        for name in ("data", "number"):
            if getattr(chosen, name) not in (None, []):
                said = "DATA" if name == "data" else option(name)
                raise OptionError(f"{name} would be ignored, for --input is the text; leave {said} out.")
    for name in CELL_OPTIONS:
        if getattr(chosen, name) is not None and not chosen.data:
            raise OptionError(f"{name} is of DATA; give one, or leave {option(name)} out.")
    if chosen.encoding is not None and not chosen.data and not is_name(chosen.input or ""):
        raise OptionError("encoding is of DATA, or of the file that --input names; leave --encoding out, or name one.")


def inspect_classifier_run(
    folder: RunFolder, chosen: Namespace, notes: Console, stage: Callable[[str], None]
) -> tuple[Inspection, Iterator[str]]:
    """Return what is inside a classifier of texts, and what to print of it.

    Args:
        folder: The run.
        chosen: The arguments of `recur inspect`.
        notes: Where to say what a user should know.
        stage: Called with what is being done.
    """
    from recur.tasks.inspection.trained_text import inspect_text_classifier
    from recur.tasks.texts.trained import TrainedTextClassifier

    return _inspected(TrainedTextClassifier.load, inspect_text_classifier, folder, chosen, notes, stage)


def inspect_tagger_run(
    folder: RunFolder, chosen: Namespace, notes: Console, stage: Callable[[str], None]
) -> tuple[Inspection, Iterator[str]]:
    """Return what is inside a tagger, and what to print of it; the arguments are those of `inspect_classifier_run`."""
    from recur.tasks.inspection.trained_tagger import inspect_tagger
    from recur.tasks.tags.trained import TrainedTagger

    return _inspected(TrainedTagger.load, inspect_tagger, folder, chosen, notes, stage)


def inspect_translator_run(
    folder: RunFolder, chosen: Namespace, notes: Console, stage: Callable[[str], None]
) -> tuple[Inspection, Iterator[str]]:
    """Return what is inside a translator, and what to print; the arguments are those of `inspect_classifier_run`."""
    from recur.tasks.inspection.trained_translator import inspect_translator
    from recur.tasks.translate.trained import TrainedTranslator

    return _inspected(TrainedTranslator.load, inspect_translator, folder, chosen, notes, stage)


def _inspected(
    load: Callable[..., Any],
    inspect: Callable[..., Inspection],
    folder: RunFolder,
    chosen: Namespace,
    notes: Console,
    stage: Callable[[str], None],
) -> tuple[Inspection, Iterator[str]]:
    """Return what is inside a model that reads a whole text, found by `inspect`, and what to print of it."""
    from recur.tasks.inspection.run_training import training_of_run

    trained = loaded(load, folder, chosen)
    text, title = chosen.input, "your text"
    if text is not None and is_name(text):
        with reading(text, trained.setup.reading.codec) as chunks:
            title = "standard input" if text == "-" else Path(text).name or text
            text = "".join(chunks)
    elif text is not None and (note := note_of(text)):
        notes.print(f"note     {note}")
    found = inspect(
        trained,
        [Path(path) for path in chosen.data] or None,
        number=chosen.number,
        text=text,
        title=title,
        training=training_of_run(folder),
        seed=chosen.seed,
        stage=stage,
    )
    for note in found.content["answers"]["notes"]:
        notes.print(f"note     {note}")
    return found, _lines(found.content)


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was found, in a few lines."""
    yield f"text     {content['title']}, {content['cut']}" if content["cut"] else f"text     {content['title']}"
    shown = "".join(symbol + after for symbol, after in zip(content["symbols"], content["between"], strict=True))
    shown = " ".join(shown.split())
    yield f"reads    {shortened(shown, _SHOWN)}"
    if content["unknown"]:
        listed = ", ".join(repr(one["symbol"]) for one in content["unknown"][:_WORDS])
        more = "" if len(content["unknown"]) <= _WORDS else f" and {len(content['unknown']) - _WORDS} more"
        says = "what the model does not know speaks for nothing"
        if "tags" in content:
            says = "what the model does not know speaks by its characters alone, where it reads them"
        yield f"unknown  {listed}{more}; {says}"
    if "tags" in content:
        yield from _tags(content["tags"], content["symbols"])
    if "writing" in content:
        yield from _written(content["writing"])
    answers = content["answers"]
    for one in answers["answers"]:
        yield f"says     {one['name']}: {one['said']}" + (f"; {one['came']}" if one["came"] else "")
        yield from _because(one, content["unit"])
    yield check_line(answers, f"{content['unit']}s")
    yield from found_lines(content, content["unit"])


def _tags(tags: Mapping[str, Any], symbols: Sequence[str]) -> Iterator[str]:
    """Yield the tags that were told, but for those of what is outside of all entities, and how many are wrong."""
    pairs = [(symbol, tag) for symbol, tag in zip(symbols, tags["told"], strict=True) if tag != "O"]
    shown = ", ".join(f"{symbol} {tag}" for symbol, tag in pairs[:_TAGS])
    more = f" and {len(pairs) - _TAGS} more" if len(pairs) > _TAGS else ""
    yield f"tells    {shown or 'no entity'}{more}"
    if tags["true"] is not None:
        wrong = sum(told != true for told, true in zip(tags["told"], tags["true"], strict=True))
        yield f"wrong    {wrong} of {len(symbols)} tags"


def _written(writing: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was written, the best first, and what is right."""
    for place, one in enumerate(writing["answers"]):
        text = " ".join(one["text"].split()) or "(nothing)"
        yield f"{'writes' if place == 0 else 'or':<8} {shortened(text, _SHOWN)}; score {one['score']:.3f}"
    if writing["right"] is not None:
        yield f"right    {' '.join(writing['right'].split())}"


def _because(one: Mapping[str, Any], unit: str) -> Iterator[str]:
    """Yield which words speak for an answer, and which against it."""
    lines = {
        how: ", ".join(f"{word.strip()} {'+' if share > 0 else ''}{measured(share)}" for word, share in words)
        for how, words in one["strongest"].items()
    }
    missed = f"; the sum misses {one['gap']:.1%} of all contributions" if one["gap"] > MOST_GAP else ""
    yield f"for      {lines['for'] or 'nothing'}; nats, from {measured(one['neutral'])} for unknown {unit}s{missed}"
    if lines["against"]:
        yield f"against  {lines['against']}"
