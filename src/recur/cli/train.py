"""`recur train`: from text to a run folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recur.cli.parser import CommandParser, Given, config_first, given_options, options_from
from recur.data.options import CorpusOptions
from recur.data.text import check_found
from recur.errors import OptionError
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.train.options import BOUNDS, TrainingOptions

if TYPE_CHECKING:
    from rich.console import Console


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "train",
        "Train a model on DATA and write everything about it to a run folder: best weights, figures, report.",
    )
    parser.add_argument("--config", action="config", help="YAML file of options; those of the command line win")
    parser.add_argument(
        "data", nargs="*", action=Given, default=[], help="text files, also .gz; folders; or - for standard input"
    )
    parser.add_argument("--task", type=str | None, default=None, help="kind of problem; guessed from DATA: language")
    parser.add_argument("--out", type=str | None, default=None, help="run folder; runs/<name of the text> by default")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that stands there")
    parser.add_argument(
        "--resume", type=str | None, default=None, metavar="RUN", help="go on with this run, where it stopped"
    )
    parser.add_options(CorpusOptions, "text")
    parser.add_options(LanguageModelOptions, "model")
    parser.add_options(TrainingOptions, "training")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    # Before torch is imported: remarks of its C++ about itself are not for the user's terminal.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    parser = build_parser()
    chosen = parser.parse_args(config_first(arguments))
    if chosen.resume is not None:
        return _resume(chosen.resume, given_options(arguments), chosen.data, chosen)
    data = _names(chosen.data)
    if not data:
        raise OptionError("train needs DATA: text files, folders, or - for standard input; or --resume RUN.")
    if chosen.task not in (None, "language"):
        raise OptionError(f"there is no task {chosen.task!r}; this version knows: language.")
    corpus = options_from(chosen, CorpusOptions)
    model = options_from(chosen, LanguageModelOptions)
    training = options_from(chosen, TrainingOptions)
    # Before torch is imported, which takes seconds.
    check_found([source for source in (*data, corpus.valid, corpus.test) if source is not None])
    from recur.train.fit import train_language_model

    console = _console()
    if chosen.task is None:
        console.print("task     language")
    folder = train_language_model(
        data,
        out=chosen.out,
        corpus=corpus,
        model=model,
        training=training,
        overwrite=chosen.overwrite,
        console=console,
    )
    _show(folder.path)
    return 0


def _names(data: object) -> list[str]:
    """Return the names in DATA, for which a configuration file may also have a single one."""
    names = [data] if isinstance(data, str) else data
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"data: expected a name or a list of names, got {data!r}; name text files or folders.")
    return names


def _resume(run_path: str, given: set[str], data: object, chosen: object) -> int:
    others = sorted(given - {"resume", *BOUNDS})
    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise OptionError(f"--resume goes on with the run's own options; leave {names} out, or train anew.")
    if data:
        raise OptionError("--resume takes no DATA: the run knows its text.")
    RunFolder.open(run_path)
    from recur.train.fit import resume_language_model

    bounds = {name: getattr(chosen, name) for name in BOUNDS if name in given}
    folder = resume_language_model(run_path, bounds=bounds, console=_console())
    _show(folder.path)
    return 0


def _console() -> Console:
    """Return where progress is shown: standard error, of the first process alone."""
    from recur.cli.figures import plain_console
    from recur.train.processes import is_first

    return plain_console(stderr=True, quiet=not is_first(), soft_wrap=False)


def _show(path: Path) -> None:
    from recur.cli.figures import show_evaluation

    show_evaluation(path)
