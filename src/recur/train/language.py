"""Training a language model from text to run folder, and going on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from recur.data.corpus import Corpus
from recur.data.options import CorpusOptions
from recur.data.streams import TokenStreams
from recur.decode.sampling import Sampling
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language.run_text import corpus_of
from recur.tasks.language.task import LanguageTask
from recur.tasks.language.trained import TrainedLanguageModel, build_model
from recur.train import language_windows, processes, resumption
from recur.train.display import Display
from recur.train.job import Job, Judged, Share, Throughput, given_or_default, gradient_options, stored_options
from recur.train.language_finish import judge_best
from recur.train.language_preparation import prepare, reading
from recur.train.language_streams import CarriedStreams
from recur.train.loop import run_job
from recur.train.options import LanguageTrainingOptions
from recur.train.pace import Pace
from recur.train.preparation import device_kind
from recur.train.probing import Probing

VALIDATION_TOKENS = 100_000
"""Tokens of the validation part that are judged while training; the whole part is judged at the end."""


def train_language_model(
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    corpus: CorpusOptions | None = None,
    model: LanguageModelOptions | None = None,
    training: LanguageTrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a language model on text and return its run folder, with the best weights, figures and report.

    Args:
        sources: Text files (also .gz), folders of them, or "-" for standard input.
        out: The run folder to make; runs/<name of the text> by default, with a number where that exists.
        corpus: How text becomes tokens and parts.
        model: Shape of the network.
        training: How to train it.
        overwrite: Whether a run that stands at `out` is replaced.
        console: Where progress is shown; standard error by default.

    Raises:
        DataError: The text cannot be used.
        RunError: The run folder cannot be made or written.
        OptionError: Options make no sense.
        TrainingError: The loss is not finite any more; the last good weights are kept.
        Interrupted: Ctrl-C; a checkpoint is saved.
        TypeError: Options are of another kind.
    """
    chosen = (
        given_or_default(corpus, CorpusOptions),
        given_or_default(model, LanguageModelOptions),
        given_or_default(training, LanguageTrainingOptions),
    )
    display = processes.first_shows(console)
    names = [sources] if isinstance(sources, str | Path) else list(sources)

    def prepared() -> RunFolder:
        return prepare(
            [str(name) for name in names],
            None if out is None else Path(out),
            *chosen,
            overwrite,
            display,
        )

    run = processes.first_prepares(prepared)
    return run_job(open_job(run, display), display, resume=False)


def resume_language_model(
    run: str | Path, *, bounds: dict[str, Any] | None = None, console: Console | None = None
) -> RunFolder:
    """Go on with the training of a language model; as `recur.train.resumption.resume`, for this task alone.

    Args:
        run: The run folder.
        bounds: New values of max_minutes, max_epochs, max_steps or patience.
        console: Where progress is shown; standard error by default.

    Raises:
        RunError: The run is missing, damaged, or its text has changed; or it is of another task.
        OptionError: A bound is out of range.
        TrainingError: As for `train_language_model`.
        Interrupted: As for `train_language_model`.
    """
    return resumption.resume(run, bounds=bounds, console=console, expected="language")


def open_job(run: RunFolder, display: Display) -> LanguageJob:
    """Return the job of a run folder, its text read.

    Raises:
        RunError: The folder is damaged, or its text has changed.
    """
    training = stored_options(run, "training", LanguageTrainingOptions)
    with reading(display) as progress:
        text = corpus_of(run, progress)
    return LanguageJob(run=run, training=training, text=text)


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageJob(Job):
    """A language model that is to be trained on a text.

    Attributes:
        run: The run folder.
        training: With every value chosen.
        text: What it is trained and judged on.
    """

    training: LanguageTrainingOptions
    text: Corpus

    def network(self) -> LanguageModel:
        """Return the model with freshly drawn weights."""
        return build_model(self.run, self.text.tokenizer.vocabulary_size, with_weights=False)

    def share(self, network: LanguageModel, rank: int, count: int) -> Share:
        """Return what the process of number `rank` of `count` does, on streams of its own."""
        training, text = self.training, self.text
        batch_size = training.batch_size or 1
        streams = TokenStreams(
            text.train,
            batch_size=batch_size,
            window=language_windows.cut_by(training),
            document_starts=text.documents("train"),
            rank=rank,
            world_size=count,
        )
        task = LanguageTask(
            network,
            windows_per_epoch=len(streams),
            activation_penalty=training.activation_penalty,
            temporal_penalty=training.temporal_penalty,
            window=language_windows.lengths_of(training),
            reach=training.reach,
            drop_state=training.drop_state,
            **gradient_options(training),
        )
        trained = TrainedLanguageModel(network, text.tokenizer, np.asarray(text.counts, dtype=np.int64))
        return Share(
            task=task,
            batches=streams,
            carried=CarriedStreams(truncation=task.truncation, batch_size=batch_size),
            judge=lambda: self._judge(trained),
            sample=lambda: self._sample(trained),
            throughput=Throughput(
                unit="tokens",
                count=lambda batch: batch.x.numel(),
                shown_unit="characters",
                shown_per_unit=text.characters("train") / len(text.train),
            ),
            # A learned initial state takes no part in the windows that start from a carried one.
            has_unused_parameters=network.options.initial_state == "learned",
            watchers=lambda pace, display: [self._probing(pace, display)],
        )

    def finish(self, display: Display) -> None:
        """Judge the best weights on the held-out parts."""
        judge_best(self.run, self.text, display, device_kind(self.training))

    def _judge(self, trained: TrainedLanguageModel) -> Judged:
        text = self.text
        valid, documents = text.valid[:VALIDATION_TOKENS], text.documents("valid")
        is_whole = len(valid) == len(text.valid)
        figures = trained.evaluate(
            valid,
            characters=text.characters("valid") if is_whole else text.tokenizer.characters_of(valid),
            document_starts=None if documents is None else documents[documents < len(valid)],
            streams=min(max(len(valid) // 2048, 1), 64),
            window=256,
            burn_in=256,
            # Good enough to tell which weights are better.
            tolerance=None,
        )
        return Judged(loss=figures.nats_per_token, figures={"nats_per_character": figures.nats_per_character})

    def _sample(self, trained: TrainedLanguageModel) -> dict[str, Any] | None:
        training = self.training
        if training.sample_length == 0:
            return None
        prompt = trained.default_prompt if training.sample_prompt is None else training.sample_prompt
        was_training = trained.model.training
        trained.model.eval()
        temperature, seed = 0.8, 0
        written = trained.generate(
            prompt,
            training.sample_length,
            sampling=Sampling(temperature=temperature),
            seed=seed,
            unknown="map",
        )
        trained.model.train(was_training)
        return {"prompt": prompt, "text": written[0], "temperature": temperature, "seed": seed}

    def _probing(self, pace: Pace, display: Display) -> Probing:
        training = self.training
        window = training.window or 1
        return Probing(
            run=self.run,
            pace=pace,
            display=display,
            every=training.probe_every or 0,
            window=window,
            reach=training.reach or window,
        )
