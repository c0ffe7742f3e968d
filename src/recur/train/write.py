"""Training a writer of texts from labels or numbers to a run folder, and going on with it: `train_writer`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from recur.data.texts.batches import TextBatches
from recur.data.texts.options import WrittenTextOptions
from recur.data.texts.token_options import WriterTokenOptions
from recur.data.texts.written import WrittenTexts
from recur.decode import Sampling
from recur.models.texts.writer import WriterNetwork
from recur.models.texts.writer_options import WriterOptions
from recur.run import RunFolder
from recur.tasks.text_source import TextSource, parts_of
from recur.tasks.write.evaluation import finish_writer
from recur.tasks.write.setup import WriterSetup, cut_written_texts
from recur.tasks.write.trained import TrainedWriter
from recur.train import processes, text_choice
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import given_or_default, stored_options
from recur.train.loop import run_job
from recur.train.options import TextTrainingOptions
from recur.train.preparation import NewRun
from recur.train.text_preparation import (
    TOKENS_IN_WORDS,
    choose_training,
    paths_of_data,
    say_classes,
    say_how_it_is_trained,
    say_what_was_read,
    text_job,
    with_whole_paths,
)
from recur.train.writer_choice import choose_writer, choose_written_tokens
from recur.wording import cell_name, measured

_SAMPLES, _CAREFUL = 4, 0.8
"""Texts that are written at each validation, to be looked at, and the temperature at which they are drawn."""


def train_writer(
    data: Any,
    *,
    out: str | Path | None = None,
    texts: WrittenTextOptions | None = None,
    tokens: WriterTokenOptions | None = None,
    model: WriterOptions | None = None,
    training: TextTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a language model that writes texts from labels or numbers, and return its run folder.

    Args:
        data: What `recur.data.texts.read_labelled_texts` takes: tables, folders by class, any dataframe, or two lists.
            A training on data that are not in a file is resumed with the same data.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        texts: How the data become texts with classes and numbers, and these parts.
        tokens: How texts become tokens.
        model: Size of the network, and how it comes to know what it is told.
        training: How to train it.
        overwrite: Whether a run that stands at `out` is replaced.
        console: Where progress is shown; standard error by default.

    Raises:
        DataError: The data cannot be used.
        RunError: The run folder cannot be made or written.
        OptionError: Options make no sense.
        TrainingError: The loss is not finite any more; the last good weights are kept.
        Interrupted: Ctrl-C; a checkpoint is saved.
        TypeError: Options are of another kind.
    """
    reading = with_whole_paths(given_or_default(texts, WrittenTextOptions))
    display = processes.first_shows(console)
    run, examples = processes.first_reads(
        lambda: _prepare(
            data,
            out,
            reading,
            given_or_default(tokens, WriterTokenOptions),
            given_or_default(model, WriterOptions),
            given_or_default(training, TextTrainingOptions),
            overwrite,
            display,
        ),
        lambda run: cut_written_texts(data, reading, seed=WriterSetup.load(run).seed),
    )
    return run_job(_job(run, WriterSetup.load(run), examples), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob:
    """Return the job of a run folder, its texts read; `recur.train.table.Task.open_job` says more."""
    with display.phase("reading the texts"):
        setup = WriterSetup.load(run)
        examples = setup.own_examples(data)
    return _job(run, setup, examples)


def _prepare(
    data: Any,
    out: str | Path | None,
    reading: WrittenTextOptions,
    tokens: WriterTokenOptions,
    options: WriterOptions,
    training: TextTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, WrittenTexts]:
    """Read the texts, choose what was left open, and return a new run folder and the examples.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    paths = paths_of_data(data)
    new = NewRun.at(out, paths, training, what="texts", others=reading.files, overwrite=overwrite)
    with display.phase("reading the texts"):
        examples = cut_written_texts(data, reading, seed=training.seed)
        train = examples.of_part("train")
        tokens, reasons = choose_written_tokens(tokens, train.texts)
        setup = WriterSetup.fit(
            examples, tokens, reading=reading, seed=training.seed, source=TextSource.of(examples, paths)
        )
    say_what_was_read(examples, display)
    encoded = setup.encoded(train.texts)
    options = choose_writer(options, num_tokens=len(encoded.ids), vocabulary_size=setup.vocabulary.size)
    training = choose_training(
        training,
        lambda size, tokens: TextBatches(encoded, batch_size=size, max_tokens=tokens),
        partial(text_choice.choose, num_texts=len(train), is_character=setup.vocabulary.kind == "character"),
    )
    torch.manual_seed(training.seed)
    network = TrainedWriter.build(options, setup)
    run = new.write(
        TrainedWriter.task,
        {"data": reading, "tokens": tokens, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=network.to(new.device).explain(training.batch_size or 1, setup.longest + 1),
        knows=setup.fingerprint,
    )
    _describe(setup, reasons, options, training, run, display)
    return run, examples


def _describe(
    setup: WriterSetup,
    reasons: dict[str, str],
    options: WriterOptions,
    training: TextTrainingOptions,
    run: RunFolder,
    display: Display,
) -> None:
    if setup.classes:
        say_classes(setup, display)
    for name, mean, scale in zip(setup.columns, setup.means, setup.scales, strict=True):
        display.say(f"number   {name}, {measured(mean)} in the mean, with a deviation of {measured(scale)}")
    why = f", as {reasons['tokens']}" if "tokens" in reasons else ""
    display.say(f"tokens   {TOKENS_IN_WORDS[setup.vocabulary.kind]}{why}; {setup.vocabulary.size - 2:,} are known")
    where = {"input": "read at each step", "state": "in the first state", "both": "in the first state and at each step"}
    parameters = run.read_json("model.json")["parameters"]
    display.say(
        f"model    {cell_name(str(options.cell))} {options.num_layers} x {options.hidden_size}, its context "
        f"{where[options.context]}, {parameters:,} parameters"
    )
    say_how_it_is_trained(training, "text", display)


def _job(run: RunFolder, setup: WriterSetup, examples: WrittenTexts) -> ExamplesJob:
    training = stored_options(run, "training", TextTrainingOptions)
    options = stored_options(run, "model", WriterOptions)
    parts = parts_of(examples)
    judged = parts["valid"] if len(parts["valid"]) else parts["train"]

    def sample(network: WriterNetwork) -> dict[str, Any]:
        some = judged.take(range(min(_SAMPLES, len(judged))))
        labels = [labels or () for labels in some.labels]
        sampling = Sampling(temperature=_CAREFUL)
        texts = TrainedWriter(network, setup, options).write_each(labels, some.numbers, sampling=sampling, seed=0)
        of = [", ".join([*own, *map(measured, numbers)]) for own, numbers in zip(labels, some.numbers, strict=True)]
        lines = [f"{context}: {one.text}" for context, one in zip(of, texts, strict=True)]
        return {"text": "\n".join(lines), "prompt": "", "temperature": _CAREFUL, "seed": 0}

    return text_job(
        run,
        training,
        kind=TrainedWriter,
        build=lambda: TrainedWriter.build(options, setup),
        batches=lambda size, tokens, seed: setup.batches(parts["train"], batch_size=size, max_tokens=tokens, seed=seed),
        judged=lambda size, tokens: setup.batches(judged, batch_size=size, max_tokens=tokens),
        finish=lambda trained: finish_writer(run, trained, examples),
        source=setup.source,
        sample=sample,
    )
