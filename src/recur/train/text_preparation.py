"""What trainings on texts of any kind have in common: where the data lie, what is said of them, their job."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from torch import nn

from recur.data.epochs import EpochBatches
from recur.data.texts.examples import Examples
from recur.data.texts.named_files import NamesFiles
from recur.run import RunFolder
from recur.tasks.summed_losses import summed_losses
from recur.tasks.text_source import TextSource, parts_of
from recur.tasks.text_task import TrainedOnTexts
from recur.tasks.texts.setup import TextLabelSetup
from recur.train import processes
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import Judged
from recur.train.options import PairTrainingOptions, SeriesTrainingOptions, TextTrainingOptions
from recur.train.preparation import device_kind, whole_path
from recur.wording import enumerated, quantity

TOKENS_IN_WORDS = {"word": "words", "space": "what stands between blanks", "character": "characters", "bpe": "a BPE"}
"""What tokens are, by their kind."""

_JUDGED_TOKENS = 4
"""Of a batch that is judged, times as many as of one that is learned from, for it keeps nothing for a gradient."""

Options = TypeVar("Options", bound=NamesFiles)
Training = TypeVar("Training", TextTrainingOptions, PairTrainingOptions)


def paths_of_data(data: Any) -> list[str]:
    """Return the files or folders that data are in; none where they are in memory."""
    several: Sequence[Any] = data if isinstance(data, list | tuple) else [data]
    if not all(isinstance(one, str | os.PathLike) for one in several):
        return []
    return [str(one) for one in several]


def with_whole_paths(options: Options) -> Options:
    """Return the options with paths that hold wherever the run is opened from."""
    given = {name: getattr(options, name) for name in options.file_options}
    changes: dict[str, Any] = {
        name: options.naming([str(whole_path(one)) for one in options.names_in(source)])
        for name, source in given.items()
        if source is not None
    }
    return replace(options, **changes)


def say_how_it_was_read(examples: Examples, display: Display) -> None:
    """Tell what each column is for, and what was done to the data."""
    if examples.roles is not None:
        for line in str(examples.roles).splitlines():
            display.say(f"column   {line}")
    for note in examples.notes:
        display.say(f"note     {note}")


def say_what_was_read(examples: Examples, display: Display) -> None:
    """Tell what `say_how_it_was_read` does, and how many examples there are of each part."""
    say_how_it_was_read(examples, display)
    parts = parts_of(examples)
    display.say(
        f"{examples.noun + 's':<8} {len(examples):,}: {len(parts['train']):,} to train on, {len(parts['valid']):,} to "
        f"choose by, {len(parts['test']):,} to test"
    )


def say_classes(setup: TextLabelSetup, display: Display) -> None:
    """Tell what texts are told apart by."""
    how_many = "any of" if setup.is_multi else "one of"
    classes = quantity(len(setup.classes), "class", "classes")
    display.say(f"label    {setup.label}, {how_many} {classes}: {enumerated(setup.classes, most=8)}")


def say_how_it_is_trained(training: SeriesTrainingOptions, noun: str, display: Display) -> None:
    """Tell the options of a training that matter most."""
    assert training.batch_size is not None
    display.say(
        f"training {quantity(training.batch_size, noun)} a step, learning rate {training.learning_rate:.2g}, at most "
        f"{' or '.join(training.bounds)}"
    )


def choose_training(
    training: Training,
    batches: Callable[[int, int], EpochBatches[Any]],
    choose: Callable[..., Training],
) -> Training:
    """Return the options with every None replaced by a value, by how many batches the texts really make.

    Args:
        training: As the user gave them.
        batches: Returns those of the training part, by the texts and the tokens that one has at most.
        choose: Replaces every None, by the options and, as `steps_per_epoch`, how many batches an epoch has, where that
            is known.
    """
    count = processes.count(training.devices)
    chosen = choose(replace(training, devices=count))
    assert chosen.batch_size is not None
    steps = len(batches(chosen.batch_size, chosen.max_tokens).shared(0, count))
    chosen = choose(replace(training, devices=count, batch_size=chosen.batch_size), steps_per_epoch=steps)
    return replace(chosen, devices=training.devices)


def text_job(
    run: RunFolder,
    training: TextTrainingOptions | PairTrainingOptions,
    *,
    kind: type[TrainedOnTexts[Any, Any, Any]],
    build: Callable[[], nn.Module],
    batches: Callable[[int, int, int | None], EpochBatches[Any]],
    judged: Callable[[int, int], Iterable[Any]],
    finish: Callable[[Any], object],
    source: TextSource | None,
    score: Callable[[Any], float] | None = None,
    sample: Callable[[Any], dict[str, Any] | None] = lambda network: None,
    unit: Literal["texts", "pairs"] = "texts",
) -> ExamplesJob:
    """Return the job of a training on texts.

    Args:
        run: The run folder.
        training: With every value chosen.
        kind: What is trained.
        build: Returns the network, a `recur.tasks.summed_losses.SummedNetwork`, its weights freshly drawn.
        batches: Returns those of the training part, by the texts and the tokens that one has at most, and a seed.
        judged: Returns those that weights are chosen by.
        finish: Judges what is loaded with the best weights, of that kind, and writes that into the run.
        source: Where the data lie.
        score: Returns what the best weights have the most of, by the network; None where they have the least loss.
        sample: As of `ExamplesJob`.
        unit: Likewise.
    """
    batch_size = training.batch_size or 1
    valid = judged(_JUDGED_TOKENS * batch_size, _JUDGED_TOKENS * training.max_tokens)

    def judge(network: Any) -> Judged:
        total, weight = summed_losses(network, valid)
        # Of weights that are spoilt nothing can be told.
        if score is None or not math.isfinite(total):
            return Judged(loss=total / weight)
        found = score(network)
        return Judged(loss=total / weight, figures={"score": found}, score=found)

    def judge_best(display: Display) -> None:
        trained = kind.load(run, device=device_kind(training))
        with display.phase("judging"):
            finish(trained)

    return ExamplesJob(
        run=run,
        training=training,
        build=build,
        batches=batches(batch_size, training.max_tokens, training.seed),
        judge=judge,
        judge_best=judge_best,
        sample=sample,
        unit=unit,
        resumed_by=None
        if source is not None and source.paths
        else f"recur.train.resumption.resume({str(run.path)!r}, data=...), with the same data",
    )
