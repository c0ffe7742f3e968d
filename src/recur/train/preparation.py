"""What comes before training: reading the text, choosing what was left open, making the run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from recur.data.corpus import Corpus, Progress, check_long_enough
from recur.data.options import CorpusOptions
from recur.environment import collect
from recur.errors import OptionError, RunError
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import FORMAT, RunFolder
from recur.tasks.run_text import CACHE_NAME
from recur.train import processes
from recur.train.choice import choose
from recur.train.display import Display
from recur.train.options import BOUNDS, TrainingOptions
from recur.wording import cell_name, quantity


def prepare(
    sources: list[str],
    out: Path | None,
    corpus_options: CorpusOptions,
    model_options: LanguageModelOptions,
    training: TrainingOptions,
    overwrite: bool,
    display: Display,
) -> RunFolder:
    """Read the text, choose what was left open, and return a new run folder; arguments and errors as of training.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    out = default_folder(sources, overwrite) if out is None else out
    RunFolder.check_free(out, overwrite=overwrite)
    _check_holds_no_text(out, [*sources, corpus_options.valid, corpus_options.test])
    _check_devices(training)
    if training.tensorboard:
        _check_tensorboard()
    has_gpu = device_kind(training) != "cpu"
    with reading(display) as progress:
        text = Corpus.build(sources, corpus_options, out.parent / CACHE_NAME, progress)
    count = processes.count(training.devices)
    # The streams are shared by all processes, which under torchrun are more than `devices` says.
    model_options, chosen = choose(
        model_options,
        replace(training, devices=count),
        num_tokens=len(text.train),
        vocabulary_size=text.tokenizer.vocabulary_size,
        has_gpu=has_gpu,
    )
    training = replace(chosen, devices=training.devices)
    assert training.batch_size is not None
    assert training.window is not None
    if training.batch_size % count:
        raise OptionError(
            f"batch_size: {quantity(training.batch_size, 'stream')} cannot be shared equally by {count} processes; "
            f"give a multiple of {count}."
        )
    check_long_enough(text, training.window, training.batch_size)
    torch.manual_seed(training.seed)
    model = LanguageModel(text.tokenizer.vocabulary_size, model_options)
    layers = model.table()
    backends = model.to(device_kind(training)).explain(training.batch_size, training.window)
    environment = collect() | {"device": device_kind(training), "backends": backends}
    run = RunFolder.create(out, overwrite=overwrite)
    run.write_json(
        "schema.json",
        {
            "tokenizer": text.tokenizer.to_json(),
            "counts": text.counts,
            "corpus": text.to_json() | {"cache": os.path.relpath(out.parent / CACHE_NAME, out)},
        },
    )
    run.write_json("model.json", {"layers": layers, "parameters": sum(row["parameters"] for row in layers)})
    run.write_json("env.json", environment)
    # Last, because a folder with a config.json is a run.
    run.write_json(
        "config.json",
        {
            "format": FORMAT,
            "task": "language",
            "data": asdict(
                replace(corpus_options, valid=_whole(corpus_options.valid), test=_whole(corpus_options.test))
            ),
            # Whole paths, so that the run finds its text from any folder, and when it is moved itself.
            "sources": [_whole(source) for source in sources],
            "model": asdict(model_options),
            "training": asdict(training),
        },
    )
    _describe(text, model_options, training, run, display)
    return run


def default_folder(sources: Sequence[str], overwrite: bool) -> Path:
    """Return runs/<name>, or, unless it may be replaced, the first of runs/<name>-2, -3, ... that does not exist.

    Args:
        sources: The text, whose first source gives the name.
        overwrite: Whether a run that stands there may be replaced.
    """
    # Not resolved: a link gives the name that the user knows, and one to itself has no other.
    if not sources:
        # Whoever reads them says so.
        return Path("runs") / "run"
    first = "stdin" if sources[0] == "-" else (Path.cwd() / sources[0]).name or "run"
    if first == "..":
        first = Path(sources[0]).resolve().name or "run"
    name = first.removesuffix(".gz").rsplit(".", 1)[0] or "run"
    folder, number = Path("runs") / name, 2
    while folder.exists() and not overwrite:
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def _whole(source: str | None) -> str | None:
    """Return the whole path of a source, but of standard input and of nothing."""
    return source if source in (None, "-") else os.path.abspath(str(source))  # noqa: PTH100 - a link keeps its name


def _check_holds_no_text(out: Path, sources: list[str | None]) -> None:
    # The other way about, a run in a folder of text, is no harm: whoever reads the folder passes over runs.
    folder = os.path.realpath(out)
    for source in sources:
        if source is None or source == "-":
            continue
        if os.path.commonpath([folder, os.path.realpath(source)]) == folder:
            raise RunError(f"{out}: holds the text {source}, so it is no place for the run; choose another with --out.")


def _check_devices(training: TrainingOptions) -> None:
    kind, wanted = device_kind(training), processes.local_count(training.devices)
    if training.devices not in (1, wanted):
        raise OptionError(f"devices is {training.devices}, but torchrun started {wanted} here; leave --devices out.")
    found = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, wanted)
    if wanted > found:
        raise OptionError(f"devices is {wanted}, but this machine has {found} of {kind}; give at most {found}.")


def _check_tensorboard() -> None:
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        raise OptionError("tensorboard is not installed; install it with: pip install 'recur[tensorboard]'.")


@contextmanager
def reading(display: Display) -> Iterator[Progress]:
    """Show that a text is read, and give what shows how far that has come."""

    def progress(stage: str, done: int, total: int) -> None:
        display.advance(done / max(total, 1), f"{stage}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB")

    display.start("reading the text")
    try:
        yield progress
    finally:
        display.stop()


def _describe(
    text: Corpus, model: LanguageModelOptions, training: TrainingOptions, run: RunFolder, display: Display
) -> None:
    parameters = run.read_json("model.json")["parameters"]
    assert training.batch_size is not None
    assert training.window is not None
    given = {name: getattr(training, name) for name in BOUNDS}
    bounds = [quantity(most, name[len("max_") : -1]) for name, most in given.items() if most is not None]
    characters = quantity(text.characters("train"), "character")
    display.say(
        f"text     {characters} to train on, {text.characters('valid'):,} to validate, "
        f"{text.characters('test'):,} to test; {text.tokenizer.vocabulary_size} tokens ({text.tokenizer.kind})"
    )
    display.say(
        f"model    {cell_name(str(model.cell))} {model.num_layers} x {model.hidden_size}, dropout {model.dropout:g}, "
        f"{parameters:,} parameters"
    )
    reach = "" if training.reach is None else f", the gradient over {quantity(training.reach, 'step')}"
    display.say(
        f"training {quantity(training.batch_size, 'stream')} x {quantity(training.window, 'step')}{reach}, "
        f"learning rate {training.learning_rate:.2g}, at most {' or '.join(bounds)}"
    )


def device_kind(training: TrainingOptions) -> str:
    """Return "cpu", "cuda" or "mps".

    Raises:
        OptionError: The device is not there.
    """
    if training.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    is_there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there[training.device]:
        raise OptionError(f"device {training.device} is not available on this machine; use cpu, or auto.")
    return training.device
