"""What comes before training a language model: reading the text, choosing what was left open, the run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from recur.data.corpus import Corpus, Progress, check_long_enough
from recur.data.options import CorpusOptions
from recur.errors import OptionError
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language.run_text import CACHE_NAME
from recur.train import processes
from recur.train.display import Display
from recur.train.language_choice import choose
from recur.train.options import LanguageTrainingOptions
from recur.train.preparation import (
    check_machine,
    check_place,
    default_folder,
    device_kind,
    whole_path,
    write_run,
)
from recur.wording import cell_name, quantity


def prepare(
    sources: list[str],
    out: Path | None,
    corpus_options: CorpusOptions,
    model_options: LanguageModelOptions,
    training: LanguageTrainingOptions,
    overwrite: bool,
    display: Display,
) -> RunFolder:
    """Read the text, choose what was left open, and return a new run folder; arguments and errors as of training.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    out = default_folder(sources, overwrite) if out is None else out
    check_place(out, [*sources, corpus_options.valid, corpus_options.test], what="text", overwrite=overwrite)
    check_machine(training)
    device = device_kind(training)
    with reading(display) as progress:
        text = Corpus.build(sources, corpus_options, out.parent / CACHE_NAME, progress)
    count = processes.count(training.devices)
    # The streams are shared by all processes, which under torchrun are more than `devices` says.
    model_options, chosen = choose(
        model_options,
        replace(training, devices=count),
        num_tokens=len(text.train),
        vocabulary_size=text.tokenizer.vocabulary_size,
        has_gpu=device != "cpu",
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
    run = write_run(
        out,
        overwrite=overwrite,
        config={
            "task": "language",
            "data": asdict(
                replace(corpus_options, valid=whole_path(corpus_options.valid), test=whole_path(corpus_options.test))
            ),
            "sources": [whole_path(source) for source in sources],
            "model": asdict(model_options),
            "training": asdict(training),
        },
        schema={
            "tokenizer": text.tokenizer.to_json(),
            "counts": text.counts,
            "corpus": text.to_json() | {"cache": os.path.relpath(out.parent / CACHE_NAME, out)},
        },
        layers=layers,
        device=device,
        backends=model.to(device).explain(training.batch_size, training.window),
    )
    _describe(text, model_options, training, run, display)
    return run


@contextmanager
def reading(display: Display) -> Iterator[Progress]:
    """Show that a text is read, and give what shows how far that has come."""

    def progress(stage: str, done: int, total: int) -> None:
        display.advance(done / max(total, 1), f"{stage}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB")

    with display.phase("reading the text"):
        yield progress


def _describe(
    text: Corpus, model: LanguageModelOptions, training: LanguageTrainingOptions, run: RunFolder, display: Display
) -> None:
    parameters = run.read_json("model.json")["parameters"]
    assert training.batch_size is not None
    assert training.window is not None
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
        f"learning rate {training.learning_rate:.2g}, at most {' or '.join(training.bounds)}"
    )
