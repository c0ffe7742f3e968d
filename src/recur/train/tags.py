"""Training a tagger of sentences to a run folder, and going on with it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from recur.data.texts.examples import TaggedSentences
from recur.data.texts.options import TaggedTextOptions
from recur.data.texts.token_options import WordOptions
from recur.data.texts.vector_options import VectorOptions
from recur.data.texts.vectors import words_with_vectors
from recur.models.texts.tagger import TaggerNetwork
from recur.models.texts.tagger_options import TaggerOptions
from recur.run import RunFolder
from recur.tasks.tags.evaluation import finish_tags
from recur.tasks.tags.figures import count_tags
from recur.tasks.tags.setup import TagSetup, cut_examples
from recur.tasks.tags.telling import tell
from recur.tasks.tags.trained import TrainedTagger
from recur.tasks.text_source import TextSource, parts_of
from recur.train import processes, text_choice, text_vectors
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import given_or_default, stored_options
from recur.train.loop import run_job
from recur.train.options import TextTrainingOptions
from recur.train.preparation import NewRun
from recur.train.text_preparation import (
    choose_training,
    paths_of_data,
    say_how_it_is_trained,
    say_what_was_read,
    text_job,
    with_whole_paths,
)
from recur.wording import cell_name, enumerated

_JUDGED, _JUDGED_TOKENS = 256, 65_536
"""Sentences, and tokens, of a batch by which weights are chosen."""

_RATE = 4e-3
"""Learning rate where none is given."""


def train_tagger(
    data: Any,
    *,
    out: str | Path | None = None,
    sentences: TaggedTextOptions | None = None,
    words: WordOptions | None = None,
    vectors: VectorOptions | None = None,
    model: TaggerOptions | None = None,
    training: TextTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a tagger of sentences and return its run folder, with the weights, figures and report.

    Args:
        data: What `recur.data.texts.read_tagged_sentences` takes: files in columns, tables with lists, any dataframe,
            or two lists. A training on data that are not in a file is resumed with the same data.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        sentences: How the data become sentences with tags, and these parts.
        words: Which words are known.
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
    reading = with_whole_paths(given_or_default(sentences, TaggedTextOptions))
    display = processes.first_shows(console)
    run, examples = processes.first_reads(
        lambda: _prepare(
            data,
            out,
            reading,
            given_or_default(words, WordOptions),
            with_whole_paths(given_or_default(vectors, VectorOptions)),
            given_or_default(model, TaggerOptions),
            given_or_default(training, TextTrainingOptions),
            overwrite,
            display,
        ),
        lambda run: cut_examples(data, reading, seed=TagSetup.load(run).seed),
    )
    return run_job(_job(run, TagSetup.load(run), examples), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob:
    """Return the job of a run folder, its sentences read; `recur.train.table.Task.open_job` says more."""
    with display.phase("reading the sentences"):
        setup = TagSetup.load(run)
        examples = setup.own_examples(data)
    return _job(run, setup, examples)


def _prepare(
    data: Any,
    out: str | Path | None,
    reading: TaggedTextOptions,
    words: WordOptions,
    vectors: VectorOptions,
    options: TaggerOptions,
    training: TextTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, TaggedSentences]:
    """Read the sentences, choose what was left open, and return a new run folder and the examples.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    paths = paths_of_data(data)
    files = [*reading.files, *vectors.files]
    new = NewRun.at(out, paths, training, what="sentences", others=files, overwrite=overwrite)
    with display.phase("reading the sentences"):
        examples = cut_examples(data, reading, seed=training.seed)
        tokens = [token for sentence in examples.of_part("train").tokens for token in sentence]
        vocabulary, begun = words_with_vectors(tokens, words, vectors)
        setup = TagSetup.fit(
            examples,
            words,
            vocabulary=vocabulary,
            reading=reading,
            seed=training.seed,
            source=TextSource.of(examples, paths),
        )
    say_what_was_read(examples, display)
    train = examples.of_part("train")
    options = text_vectors.sized(options, begun).completed()
    training = choose_training(
        replace(training, learning_rate=training.learning_rate or _RATE),
        lambda size, tokens: setup.batches(train.tokens, train.tags, batch_size=size, max_tokens=tokens),
        partial(text_choice.choose, num_texts=len(train)),
    )
    torch.manual_seed(training.seed)
    network = TrainedTagger.build(options, setup)
    run = new.write(
        TrainedTagger.task,
        {"data": reading, "words": words, "vectors": vectors, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=network.to(new.device).explain(training.batch_size or 1, max(map(len, train.tokens))),
        tensors=text_vectors.kept(begun),
        knows=setup.fingerprint,
    )
    _describe(setup, options, training, run, display)
    text_vectors.say(begun, vectors, display)
    return run, examples


def _describe(
    setup: TagSetup, options: TaggerOptions, training: TextTrainingOptions, run: RunFolder, display: Display
) -> None:
    scheme = "" if setup.scheme is None else f", entities by the scheme {setup.scheme}"
    display.say(f"tags     {len(setup.tags)}{scheme}: {enumerated(setup.tags, most=8)}")
    case = ", small letters" if setup.words.lowercase else ""
    display.say(
        f"tokens   {sum(setup.counts):,} to train on{case}; {setup.words.size - 2:,} words are known and "
        f"{setup.characters.size - 2:,} characters"
    )
    characters = {"convolution": "a convolution over characters, ", "recurrent": "characters read one by one, "}
    outputs = {"crf": "a conditional random field", "softmax": "each tag by itself"}
    display.say(
        f"model    {characters.get(options.characters, '')}{cell_name(options.cell)} {options.num_layers} x "
        f"{options.hidden_size}{' in both directions' if options.bidirectional else ''}, {outputs[options.output]}; "
        f"{run.read_json('model.json')['parameters']:,} parameters"
    )
    say_how_it_is_trained(training, "sentence", display)


def _job(run: RunFolder, setup: TagSetup, examples: TaggedSentences) -> ExamplesJob:
    training = stored_options(run, "training", TextTrainingOptions)
    options = stored_options(run, "model", TaggerOptions)
    parts = parts_of(examples)
    train = parts["train"]
    # Of a tag that is not known there is no probability.
    is_known = [set(tags) <= set(setup.tags) for tags in parts["valid"].tags]
    judged = parts["valid"].take(np.flatnonzero(is_known)) if any(is_known) else train

    def score(network: TaggerNetwork) -> float:
        batches = setup.batches(judged.tokens, batch_size=_JUDGED, max_tokens=_JUDGED_TOKENS)
        told = [one.tags for one in tell(network, setup.tags, batches, scheme=setup.scheme)]
        return count_tags(told, judged.tags, has_entities=setup.scheme is not None).micro_f1

    return text_job(
        run,
        training,
        kind=TrainedTagger,
        build=lambda: text_vectors.begin_with(run, TrainedTagger.build(options, setup)),
        batches=lambda size, tokens, seed: setup.batches(
            train.tokens, train.tags, batch_size=size, max_tokens=tokens, seed=seed
        ),
        judged=lambda size, tokens: setup.batches(judged.tokens, judged.tags, batch_size=size, max_tokens=tokens),
        finish=lambda trained: finish_tags(run, trained, examples),
        source=setup.source,
        score=score,
    )
