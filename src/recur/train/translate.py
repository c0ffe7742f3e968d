"""Training a translator from start to finish: `train_translator`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from recur.data.texts.examples import TextPairs
from recur.data.texts.options import PairOptions
from recur.data.texts.pair_batches import PairBatches
from recur.data.texts.pair_tokens import choose_pair_tokens, fit_pair_vocabularies, with_words_for_vectors
from recur.data.texts.token_options import PairTokenOptions
from recur.data.texts.vector_options import PairVectorOptions
from recur.decode import DecodingOptions
from recur.errors import DataError, OptionError
from recur.models.texts.translator_options import TranslatorOptions
from recur.run import RunFolder
from recur.tasks.text_source import TextSource
from recur.tasks.translate.evaluation import finish_translator
from recur.tasks.translate.networks import TranslationNetwork
from recur.tasks.translate.setup import TranslationSetup, cut_pairs
from recur.tasks.translate.trained import TrainedTranslator
from recur.train import pair_choice, processes, text_vectors
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import given_or_default, stored_options
from recur.train.loop import run_job
from recur.train.options import PairTrainingOptions
from recur.train.preparation import NewRun
from recur.train.text_preparation import (
    TOKENS_IN_WORDS,
    choose_training,
    paths_of_data,
    say_how_it_is_trained,
    say_how_it_was_read,
    text_job,
    with_whole_paths,
)
from recur.wording import cell_name, option

_SAMPLES = 3
"""Pairs of the validation part that are written at each validation, to be looked at."""


def train_translator(
    data: Any,
    *,
    out: str | Path | None = None,
    texts: PairOptions | None = None,
    tokens: PairTokenOptions | None = None,
    vectors: PairVectorOptions | None = None,
    model: TranslatorOptions | None = None,
    training: PairTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a network that writes a text from a text, and return its run folder, with the weights, figures and report.

    Args:
        data: What `recur.data.texts.read_pairs` takes: two files whose lines belong together, tables, conversations,
            any dataframe, or two lists in a tuple. A training on data that are not in a file is resumed with the same
            data.
        out: The run folder to make; runs/<name of the data> by default, with a number where that exists.
        texts: How the data become pairs, and these parts.
        tokens: How texts become tokens.
        vectors: Vectors that words of sources and of targets begin with, from files. The run keeps those that it needs.
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
    reading = with_whole_paths(given_or_default(texts, PairOptions))
    display = processes.first_shows(console)
    run, examples = processes.first_reads(
        lambda: _prepare(
            data,
            out,
            reading,
            given_or_default(tokens, PairTokenOptions),
            with_whole_paths(given_or_default(vectors, PairVectorOptions)),
            given_or_default(model, TranslatorOptions),
            given_or_default(training, PairTrainingOptions),
            overwrite,
            display,
        ),
        lambda run: cut_pairs(data, reading, seed=TranslationSetup.load(run).seed),
    )
    return run_job(_job(run, TranslationSetup.load(run), examples), display, resume=False)


def open_job(run: RunFolder, display: Display, data: Any = None) -> ExamplesJob:
    """Return the job of a run folder, its pairs read; `recur.train.table.Task.open_job` says more."""
    with display.phase("reading the texts"):
        setup = TranslationSetup.load(run)
        examples = setup.own_examples(data)
    return _job(run, setup, examples)


def _prepare(
    data: Any,
    out: str | Path | None,
    reading: PairOptions,
    tokens: PairTokenOptions,
    vectors: PairVectorOptions,
    options: TranslatorOptions,
    training: PairTrainingOptions,
    overwrite: bool,
    display: Display,
) -> tuple[RunFolder, TextPairs]:
    """Read the pairs, choose what was left open, and return a new run folder and the examples.

    An old run is deleted only when nothing is left that the data or the options could spoil.
    """
    paths = paths_of_data(data)
    new = NewRun.at(out, paths, training, what="texts", others=[*reading.files, *vectors.files], overwrite=overwrite)
    with display.phase("reading the texts"):
        examples = cut_pairs(data, reading, seed=training.seed)
        train = examples.of_part("train")
        tokens = with_words_for_vectors(tokens, vectors)
        tokens, reasons = choose_pair_tokens(tokens, train.sources, train.targets)
        vocabularies = fit_pair_vocabularies(tokens, train.sources, train.targets, vectors)
        setup = TranslationSetup.fit(
            examples,
            tokens,
            vocabularies=vocabularies,
            reading=reading,
            seed=training.seed,
            source=TextSource.of(examples, paths),
        )
    say_how_it_was_read(examples, display)
    options = text_vectors.sized(options, vocabularies.of_sources, vocabularies.of_targets)
    has_sentences = pair_choice.are_sentences(tokens, setup.target_vocabulary.size)
    options = options.completed(
        has_symbols=tokens.source_tokens == "space",
        has_one_vocabulary=setup.has_one_vocabulary,
        is_few=has_sentences and pair_choice.are_few(len(train), training.max_minutes),
    )
    if vectors.freeze_vectors and vectors.target_vectors and options.tied != "none":
        raise OptionError(
            f"freeze_vectors: the vectors of targets are what the output layer learns with tied {options.tied}; leave "
            "one of them out."
        )
    torch.manual_seed(training.seed)
    network = TrainedTranslator.build(options, setup)
    train = _within(setup, train, options, training)
    for note in (*train.notes, *_within(setup, examples.of_part("valid"), options, training).notes):
        if note not in examples.notes:
            display.say(f"note     {note}")
    if not len(train):
        raise DataError(
            f"no pair of the training part is short enough to be learned from; give {option('max_attention')} for "
            "longer ones."
        )
    training = choose_training(
        training,
        _batches(setup, train, options, training),
        partial(pair_choice.choose, num_pairs=len(train), has_sentences=has_sentences),
    )
    longest = int(setup.source_vocabulary.encode_all(train.sources).lengths.max())
    run = new.write(
        TrainedTranslator.task,
        {"data": reading, "tokens": tokens, "vectors": vectors, "model": options, "training": training},
        network,
        schema=setup.to_json(),
        backends=network.to(new.device).explain(training.batch_size or 1, longest),
        tensors=text_vectors.kept(vocabularies.of_sources, vocabularies.of_targets),
        knows=setup.fingerprint,
    )
    _describe(examples, setup, reasons, options, training, run, display)
    text_vectors.say(vocabularies.of_sources, vectors, display, "of sources: ")
    text_vectors.say(vocabularies.of_targets, vectors, display, "of targets: ")
    return run, examples


def _describe(
    examples: TextPairs,
    setup: TranslationSetup,
    reasons: dict[str, str],
    options: TranslatorOptions,
    training: PairTrainingOptions,
    run: RunFolder,
    display: Display,
) -> None:
    sizes = [len(examples.of_part(part)) for part in ("train", "valid", "test")]
    display.say(
        f"texts    {len(examples):,} pairs: {sizes[0]:,} to train on, {sizes[1]:,} to choose by, {sizes[2]:,} to test"
    )
    sides = (("source", setup.source_vocabulary), ("target", setup.target_vocabulary))
    for (side, vocabulary), name in zip(sides, setup.names, strict=True):
        why = f", as {reasons[f'{side}_tokens']}" if f"{side}_tokens" in reasons else ""
        called = "" if name == side else f" {name}:"
        display.say(f"{side:<8}{called} {TOKENS_IN_WORDS[vocabulary.kind]}{why}; {vocabulary.size - 2:,} are known")
    if "vocabulary" in reasons:
        display.say(f"tokens   are the same of sources and of targets, as {reasons['vocabulary']}")
    members = "" if options.members == 1 else f"{options.members} times "
    parameters = run.read_json("model.json")["parameters"]
    looking = "no attention" if options.attention == "none" else f"{options.attention} attention"
    display.say(
        f"model    {members}{cell_name(options.cell)} {options.num_layers} x {options.hidden_size}"
        f"{', sources in both directions' if options.bidirectional else ''}, {looking}, {parameters:,} parameters"
    )
    say_how_it_is_trained(training, "pair", display)


def _job(run: RunFolder, setup: TranslationSetup, examples: TextPairs) -> ExamplesJob:
    training = stored_options(run, "training", PairTrainingOptions)
    options = stored_options(run, "model", TranslatorOptions)
    train, judged = (_within(setup, examples.of_part(part), options, training) for part in ("train", "valid"))
    judged = judged if len(judged) else train

    def sample(network: TranslationNetwork) -> dict[str, Any]:
        trained = TrainedTranslator(network, setup, options)
        sources = judged.sources[:_SAMPLES]
        answers = trained.translate(sources, decoding=DecodingOptions())
        rows = [
            {"source": source, "target": target, "text": found[0].text}
            for source, target, found in zip(sources, judged.targets, answers, strict=False)
        ]
        return {"text": "\n".join(f"{row['source']} -> {row['text']}" for row in rows), "prompt": "", "pairs": rows}

    return text_job(
        run,
        training,
        kind=TrainedTranslator,
        build=lambda: text_vectors.begin_pairs_with(run, TrainedTranslator.build(options, setup)),
        batches=_batches(setup, train, options, training),
        judged=_batches(setup, judged, options, training),
        finish=lambda trained: finish_translator(run, trained, examples),
        source=setup.source,
        sample=sample,
        unit="pairs",
    )


def _within(
    setup: TranslationSetup, pairs: TextPairs, options: TranslatorOptions, training: PairTrainingOptions
) -> TextPairs:
    """Return the pairs whose weights of attention there is room for, with a note of the others."""
    return pairs if options.attention == "none" else setup.within(pairs, training.max_attention)


def _batches(
    setup: TranslationSetup, pairs: TextPairs, options: TranslatorOptions, training: PairTrainingOptions
) -> Callable[..., PairBatches]:
    """Return what makes batches of pairs, by the pairs and the tokens that one has at most, and a seed."""

    def made(batch_size: int, max_tokens: int, seed: int | None = None) -> PairBatches:
        return setup.batches(
            pairs.sources,
            pairs.targets,
            batch_size=batch_size,
            max_tokens=max_tokens,
            max_attention=training.max_attention,
            copying=options.copying,
            seed=seed,
        )

    return made
