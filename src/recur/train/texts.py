"""Training a classifier of texts to a run folder, and going on with it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from recur.data.texts.batches import TextBatches
from recur.data.texts.examples import LabelledTexts
from recur.data.texts.options import LabelledTextOptions
from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vector_options import VectorOptions
from recur.data.texts.vectors import vocabulary_with_vectors
from recur.data.texts.vocabulary import choose_tokens
from recur.errors import OptionError
from recur.models.texts.options import TextClassifierOptions
from recur.run import RunFolder
from recur.tasks.text_source import TextSource, parts_of
from recur.tasks.texts.evaluation import finish_texts
from recur.tasks.texts.setup import TextLabelSetup, cut_examples
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.train import processes, text_choice, text_vectors
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
from recur.wording import cell_name, option


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
    reading = with_whole_paths(given_or_default(texts, LabelledTextOptions))
    display = processes.first_shows(console)
    run, examples = processes.first_reads(
        lambda: _prepare(
            data,
            out,
            reading,
            given_or_default(tokens, TokenOptions),
            with_whole_paths(given_or_default(vectors, VectorOptions)),
            given_or_default(model, TextClassifierOptions),
            given_or_default(training, TextTrainingOptions),
            overwrite,
            display,
        ),
        lambda run: cut_examples(data, reading, seed=TextLabelSetup.load(run).seed),
    )
    return run_job(_job(run, TextLabelSetup.load(run), examples), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob:
    """Return the job of a run folder, its texts read; `recur.train.table.Task.open_job` says more."""
    with display.phase("reading the texts"):
        setup = TextLabelSetup.load(run)
        examples = setup.own_examples(data)
    return _job(run, setup, examples)


def _prepare(
    data: Any,
    out: str | Path | None,
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
    new = NewRun.at(out, paths, training, what="texts", others=[*reading.files, *vectors.files], overwrite=overwrite)
    with display.phase("reading the texts"):
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
    say_what_was_read(examples, display)
    options = text_vectors.sized(_smoothed(options, setup), begun)
    is_character = tokens.tokens == "character"
    options, reasons = text_choice.choose_network(options, num_texts=len(train), is_character=is_character)
    encoded = setup.encoded(train.texts)
    training = choose_training(
        training,
        lambda size, tokens: TextBatches(encoded, batch_size=size, max_tokens=tokens),
        partial(text_choice.choose, num_texts=len(train), is_character=is_character),
    )
    torch.manual_seed(training.seed)
    network = TrainedTextClassifier.build(options, setup)
    run = new.write(
        TrainedTextClassifier.task,
        {"data": reading, "tokens": tokens, "vectors": vectors, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=network.to(new.device).explain(training.batch_size or 1, int(encoded.lengths.max())),
        tensors=text_vectors.kept(begun),
        knows=setup.fingerprint,
    )
    _describe(setup, token_reasons, options, reasons, training, run, display)
    text_vectors.say(begun, vectors, display)
    return run, examples


def _smoothed(options: TextClassifierOptions, setup: TextLabelSetup) -> TextClassifierOptions:
    """Return the options as the loss of texts of several classes has them, without `label_smoothing`.

    Raises:
        OptionError: It is asked for.
    """
    if not setup.is_multi:
        return options
    if options.label_smoothing:
        raise OptionError(
            "label_smoothing: is of texts of one class each, and these may have several; leave "
            f"{option('label_smoothing')} out."
        )
    return replace(options, label_smoothing=0.0)


def _describe(
    setup: TextLabelSetup,
    token_reasons: dict[str, str],
    options: TextClassifierOptions,
    reasons: dict[str, str],
    training: TextTrainingOptions,
    run: RunFolder,
    display: Display,
) -> None:
    say_classes(setup, display)
    what = TOKENS_IN_WORDS[setup.vocabulary.kind]
    why = f", as {token_reasons['tokens']}" if "tokens" in token_reasons else ""
    case = ", small letters" if setup.vocabulary.lowercase else ""
    display.say(f"tokens   {what}{why}{case}; {setup.vocabulary.size - 2:,} are known")
    members = "" if options.members == 1 else f"{options.members} times "
    parameters = run.read_json("model.json")["parameters"]
    because = f" ({reasons['members']})" if "members" in reasons else ""
    display.say(
        f"model    {members}{cell_name(options.cell)} {options.num_layers} x {options.hidden_size}"
        f"{' in both directions' if options.bidirectional else ''}, {parameters:,} parameters{because}"
    )
    say_how_it_is_trained(training, "text", display)


def _job(run: RunFolder, setup: TextLabelSetup, examples: LabelledTexts) -> ExamplesJob:
    training = stored_options(run, "training", TextTrainingOptions)
    options = stored_options(run, "model", TextClassifierOptions)
    parts = parts_of(examples)

    return text_job(
        run,
        training,
        kind=TrainedTextClassifier,
        build=lambda: text_vectors.begin_with(run, TrainedTextClassifier.build(options, setup)),
        batches=lambda size, tokens, seed: setup.batches(parts["train"], batch_size=size, max_tokens=tokens, seed=seed),
        judged=lambda size, tokens: setup.batches(
            parts["valid"] if len(parts["valid"]) else parts["train"], batch_size=size, max_tokens=tokens
        ),
        finish=lambda trained: finish_texts(run, trained, examples),
        source=setup.source,
    )
