"""Training a classifier of texts to a run folder, and going on with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from recur.data.texts.examples import LabelledTexts
from recur.data.texts.options import LabelledTextOptions
from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vector_options import VectorOptions
from recur.data.texts.vectors import TokenVectors, vocabulary_with_vectors
from recur.data.texts.vocabulary import choose_tokens
from recur.errors import OptionError, RunError
from recur.models.texts.options import TextClassifierOptions
from recur.run import RunFolder
from recur.tasks.text_source import TextSource
from recur.tasks.texts.evaluation import finish_texts
from recur.tasks.texts.outcomes import TextNetwork
from recur.tasks.texts.setup import TextLabelSetup, cut_examples, parts_of
from recur.tasks.texts.trained import TrainedTextClassifier, build_network
from recur.train import processes, text_choice
from recur.train.display import Display
from recur.train.job import Judged, given_or_default, stored_options
from recur.train.loop import run_job
from recur.train.options import TextTrainingOptions
from recur.train.preparation import (
    check_machine,
    check_place,
    default_folder,
    device_kind,
    whole_path,
    write_run,
)
from recur.train.series import SeriesJob
from recur.train.series_preparation import layers_of
from recur.wording import cell_name, enumerated, option

VECTORS = "vectors.safetensors"
"""File of a run with the vectors that its words began with."""

_JUDGED_TOKENS = 4
"""Of a batch that is judged, times as many as of one that is learned from, for it keeps nothing for a gradient."""


def train_text_classifier(
    data: Any,
    *,
    out: str | Path | None = None,
    texts: LabelledTextOptions | None = None,
    tokens: TokenOptions | None = None,
    vectors: VectorOptions | None = None,
    model: TextClassifierOptions | None = None,
    training: TextTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a classifier of texts and return its run folder, with the weights, figures and report.

    Args:
        data: What `recur.data.texts.read_labelled_texts` takes: files, folders, any dataframe, or two lists. A training
            on data that are not in a file is resumed with the same data.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        texts: How the data become texts with classes, and these parts.
        tokens: How texts become tokens.
        vectors: Vectors that words begin with, from a file. The run keeps those that it needs.
        model: Form and size of the network.
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
    reading = _with_whole_paths(given_or_default(texts, LabelledTextOptions))
    display = processes.first_shows(console)
    place = None if out is None else Path(out)
    run, examples = processes.first_reads(
        lambda: _prepare(
            data,
            place,
            reading,
            given_or_default(tokens, TokenOptions),
            given_or_default(vectors, VectorOptions),
            given_or_default(model, TextClassifierOptions),
            given_or_default(training, TextTrainingOptions),
            overwrite,
            display,
        ),
        lambda run: cut_examples(data, reading, seed=TextLabelSetup.load(run).seed),
    )
    return run_job(_job(run, TextLabelSetup.load(run), examples), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> SeriesJob:
    """Return the job of a run folder, its texts read.

    Args:
        run: The folder.
        display: Where progress is shown.
        data: What it was trained on, where that was not in a file.

    Raises:
        OptionError: Data are given, but the run reads its own.
        RunError: The folder is damaged, or its data have changed or were not in a file and are not given.
    """
    display.start("reading the texts")
    try:
        setup = TextLabelSetup.load(run)
        examples = setup.own_examples(data)
    finally:
        display.stop()
    return _job(run, setup, examples)


def _prepare(
    data: Any,
    out: Path | None,
    reading: LabelledTextOptions,
    tokens: TokenOptions,
    vectors: VectorOptions,
    options: TextClassifierOptions,
    training: TextTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, LabelledTexts]:
    """Read the texts, choose what was left open, and return a new run folder and the examples.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    paths = paths_of_data(data)
    out = default_folder(paths or ["texts"], overwrite) if out is None else out
    vectors = replace(vectors, vectors=whole_path(vectors.vectors))
    sources = [*paths, reading.valid_data, reading.test_data, vectors.vectors]
    check_place(out, sources, what="texts", overwrite=overwrite)
    check_machine(training)
    device = device_kind(training)
    display.start("reading the texts")
    try:
        examples = cut_examples(data, reading, seed=training.seed)
        train = examples.of_part("train")
        tokens, token_reasons = choose_tokens(tokens, train.texts)
        vocabulary, begun = vocabulary_with_vectors(train.texts, tokens, vectors)
        setup = TextLabelSetup.fit(
            examples,
            tokens,
            vocabulary=vocabulary,
            reading=reading,
            seed=training.seed,
            source=TextSource.of(examples, paths),
        )
    finally:
        display.stop()
    if examples.roles is not None:
        for line in str(examples.roles).splitlines():
            display.say(f"column   {line}")
    for note in examples.notes:
        display.say(f"note     {note}")
    if begun is not None:
        options = _sized(options, begun)
    is_character = tokens.tokens == "character"
    options, reasons = text_choice.choose_network(options, num_texts=len(train), is_character=is_character)
    count = processes.count(training.devices)
    chosen = text_choice.choose(replace(training, devices=count), num_texts=len(train), is_character=is_character)
    assert chosen.batch_size is not None
    batches = setup.batches(train, batch_size=chosen.batch_size, max_tokens=chosen.max_tokens).shared(0, count)
    chosen = text_choice.choose(
        replace(training, devices=count, batch_size=chosen.batch_size),
        num_texts=len(train),
        is_character=is_character,
        steps_per_epoch=len(batches),
    )
    training = replace(chosen, devices=training.devices)
    torch.manual_seed(training.seed)
    network = build_network(options, setup)
    longest = int(setup.encoded(train.texts).lengths.max())
    run = write_run(
        out,
        overwrite=overwrite,
        config={
            "task": TrainedTextClassifier.task,
            "knows": setup.fingerprint,
            "data": asdict(reading),
            "tokens": asdict(tokens),
            "vectors": asdict(vectors),
            "model": asdict(options),
            "training": asdict(training),
        },
        schema=setup.to_json(),
        layers=layers_of(network),
        device=device,
        backends=network.to(device).explain(chosen.batch_size or 1, longest),
    )
    if begun is not None:
        # With the run, so that it goes on without the file whenever it was interrupted.
        tensors = {"ids": torch.from_numpy(begun.ids), "values": torch.from_numpy(begun.values)}
        run.write_tensors(VECTORS, tensors)
    _describe(examples, setup, tokens, token_reasons, options, reasons, training, run, display)
    if begun is not None:
        display.say(f"vectors  {begun}{'; they stay as they are' if vectors.freeze_vectors else ''}")
    return run, examples


def _sized(options: TextClassifierOptions, vectors: TokenVectors) -> TextClassifierOptions:
    """Return options whose vectors of tokens are as large as those of a file.

    Raises:
        OptionError: Another size is asked for.
    """
    size = vectors.values.shape[1]
    if options.embedding_size not in (None, size):
        raise OptionError(
            f"embedding_size: is that of the vectors, {size}, not {options.embedding_size}; leave "
            f"{option('embedding_size')} out."
        )
    return replace(options, embedding_size=size)


def _begun(run: RunFolder, options: TextClassifierOptions, setup: TextLabelSetup) -> TextNetwork:
    """Return the network as a training begins with it, its words at the vectors of a file where there is one."""
    network = build_network(options, setup)
    # A run of before there were vectors says nothing of them.
    chosen = stored_options(run, "vectors", VectorOptions) if "vectors" in run.config() else VectorOptions()
    if chosen.vectors is not None:
        tensors = run.read_tensors(VECTORS)
        try:
            network.take_vectors(tensors["ids"], tensors["values"], freeze=chosen.freeze_vectors)
        except (KeyError, IndexError, RuntimeError) as error:
            raise RunError(f"{run.path / VECTORS}: damaged: {error}.") from error
    return network


def _describe(
    examples: LabelledTexts,
    setup: TextLabelSetup,
    tokens: TokenOptions,
    token_reasons: dict[str, str],
    options: TextClassifierOptions,
    reasons: dict[str, str],
    training: TextTrainingOptions,
    run: RunFolder,
    display: Display,
) -> None:
    parts = parts_of(examples)
    display.say(
        f"texts    {len(examples):,}: {len(parts['train']):,} to train on, {len(parts['valid']):,} to choose by, "
        f"{len(parts['test']):,} to test"
    )
    shown = [*setup.classes[:8], *(["others"] if len(setup.classes) > 8 else [])]
    how_many = "any of" if setup.is_multi else "one of"
    display.say(f"label    {setup.label}, {how_many} {len(setup.classes)} classes: {enumerated(shown)}")
    why = f", as {token_reasons['tokens']}" if "tokens" in token_reasons else ""
    case = ", small letters" if tokens.lowercase else ""
    names = {"word": "words", "space": "what stands between blanks", "character": "characters", "bpe": "a BPE"}
    display.say(f"tokens   {names[str(tokens.tokens)]}{why}{case}; {setup.vocabulary.size - 2:,} are known")
    members = "" if options.members == 1 else f"{options.members} times "
    parameters = run.read_json("model.json")["parameters"]
    because = f" ({reasons['members']})" if "members" in reasons else ""
    display.say(
        f"model    {members}{cell_name(options.cell)} {options.num_layers} x {options.hidden_size}"
        f"{' in both directions' if options.bidirectional else ''}, {parameters:,} parameters{because}"
    )
    display.say(
        f"training {training.batch_size:,} texts a step, learning rate {training.learning_rate:.2g}, at most "
        f"{' or '.join(training.bounds)}"
    )


def _job(run: RunFolder, setup: TextLabelSetup, examples: LabelledTexts) -> SeriesJob:
    training = stored_options(run, "training", TextTrainingOptions)
    options = stored_options(run, "model", TextClassifierOptions)
    parts = parts_of(examples)
    batch_size = training.batch_size or 1
    judged = parts["valid"] if len(parts["valid"]) else parts["train"]
    valid = setup.batches(
        judged, batch_size=_JUDGED_TOKENS * batch_size, max_tokens=_JUDGED_TOKENS * training.max_tokens
    )

    def judge(network: TextNetwork) -> Judged:
        device = next(network.parameters()).device
        total = weight = 0.0
        for batch in valid:
            own, counted = network.loss_sums(batch.to(device))
            total, weight = total + float(own), weight + float(counted)
        return Judged(loss=total / weight)

    def judge_best(display: Display) -> None:
        trained = TrainedTextClassifier.load(run, device=device_kind(training))
        display.start("judging")
        try:
            finish_texts(run, trained, examples)
        finally:
            display.stop()

    is_in_file = setup.source is not None and bool(setup.source.paths)
    return SeriesJob(
        run=run,
        training=training,
        build=lambda: _begun(run, options, setup),
        batches=setup.batches(
            parts["train"], batch_size=batch_size, max_tokens=training.max_tokens, seed=training.seed
        ),
        judge=judge,
        judge_best=judge_best,
        unit="texts",
        resumed_by=None
        if is_in_file
        else f"recur.train.resumption.resume({str(run.path)!r}, data=...), with the same data",
    )


def paths_of_data(data: Any) -> list[str]:
    """Return the files or folders that data are in; none where they are in memory."""
    several: Sequence[Any] = data if isinstance(data, list | tuple) else [data]
    if not all(isinstance(one, str | os.PathLike) for one in several):
        return []
    return [str(one) for one in several]


def _with_whole_paths(reading: LabelledTextOptions) -> LabelledTextOptions:
    """Return the options with paths that hold wherever the run is opened from."""
    return replace(
        reading,
        valid_data=whole_path(reading.valid_data),
        test_data=whole_path(reading.test_data),
        label_names=whole_path(reading.label_names),
    )
