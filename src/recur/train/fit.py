"""Training a language model from text to run folder, and going on with it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console

from recur import engine
from recur.data.batch import Batch
from recur.data.corpus import Corpus
from recur.data.options import CorpusOptions
from recur.data.streams import TokenStreams
from recur.decode.sampling import Sampling
from recur.errors import Interrupted, OptionError, RunError, TrainingError
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language import LanguageTask
from recur.tasks.run_text import corpus_of
from recur.tasks.trained_language import TrainedLanguageModel, build_model
from recur.train import checkpoint, processes, windows
from recur.train.display import Display
from recur.train.finish import finish_alone
from recur.train.options import BOUNDS, TrainingOptions
from recur.train.pace import Pace
from recur.train.preparation import device_kind, prepare, reading
from recur.train.probing import Probing
from recur.train.recorder import Recorder, spoilt_by
from recur.train.validation import Validation
from recur.wording import quantity

VALIDATION_TOKENS = 100_000
"""Tokens of the validation part that are judged while training; the whole part is judged at the end."""


def train_language_model(
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    corpus: CorpusOptions | None = None,
    model: LanguageModelOptions | None = None,
    training: TrainingOptions | None = None,
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
    """
    display = _display(console)
    names = [sources] if isinstance(sources, str | Path) else list(sources)

    def prepared() -> RunFolder:
        return prepare(
            [str(name) for name in names],
            None if out is None else Path(out),
            corpus or CorpusOptions(),
            model or LanguageModelOptions(),
            training or TrainingOptions(),
            overwrite,
            display,
        )

    run = processes.first_prepares(prepared)
    return _fit(run, display, resume=False)


def resume_language_model(
    run: str | Path, *, bounds: dict[str, Any] | None = None, console: Console | None = None
) -> RunFolder:
    """Go on with a training that was interrupted, killed, or is to last longer; bit for bit as if it had not stopped.

    Args:
        run: The run folder.
        bounds: New values of max_minutes, max_epochs or max_steps.
        console: Where progress is shown; standard error by default.

    Raises:
        RunError: The run is missing, damaged, or its text has changed.
        OptionError: A bound is out of range.
        TrainingError: As for `train_language_model`.
        Interrupted: As for `train_language_model`.
    """
    display = _display(console)

    def reopened() -> RunFolder:
        folder = RunFolder.open(run)
        # Without a checkpoint, the run was stopped before its first one: it begins anew, from the same seed.
        step = int(checkpoint.read(folder)["global_step"]) if checkpoint.exists(folder) else 0
        if bounds:
            config = folder.config()
            unknown = set(bounds) - set(BOUNDS)
            if unknown:
                raise OptionError(f"only {', '.join(BOUNDS)} can change when a run is resumed, not {sorted(unknown)}.")
            config["training"].update(bounds)
            TrainingOptions(**config["training"])
            folder.write_json("config.json", config)
        folder.forget_metrics_after(step)
        return folder

    return _fit(processes.first_prepares(reopened), display, resume=True)


def _display(console: Console | None) -> Display:
    """Return the display; of several processes only the first shows anything."""
    return Display((console or Console(stderr=True)) if processes.is_first() else Console(quiet=True))


class _EndlessWindows:
    """The windows of all epochs in a row; one endless epoch to Lightning, so that a step is all there is to resume."""

    def __init__(self, streams: TokenStreams, start: int) -> None:
        self._streams = streams
        epoch, position = divmod(start, len(streams))
        self._streams.load_state_dict({**streams.state_dict(), "epoch": epoch, "position": position})

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self._streams


def _fit(run: RunFolder, display: Display, *, resume: bool) -> RunFolder:
    config = run.config()
    if config.get("task") != "language":
        raise RunError(f"{run.path}: is a run of task {config.get('task')!r}, expected 'language'.")
    training = _training_options(run, config)
    with reading(display) as progress:
        text = corpus_of(run, progress)
    state = checkpoint.read(run) if resume and checkpoint.exists(run) else None
    start = int(state["global_step"]) if state is not None else 0
    torch.manual_seed(training.seed)
    model = build_model(run, text.tokenizer.vocabulary_size, with_weights=False)
    rank, count = processes.rank(), processes.count(training.devices)
    if rank > 0:
        # With the same seed each process would drop the same units.
        torch.manual_seed(training.seed + rank)
    streams = TokenStreams(
        text.train,
        batch_size=training.batch_size or 1,
        window=windows.cut_by(training),
        document_starts=text.documents("train"),
        rank=rank,
        world_size=count,
    )
    task = LanguageTask(
        model,
        windows_per_epoch=len(streams),
        learning_rate=training.learning_rate or 1e-3,
        weight_decay=training.weight_decay,
        max_norm=training.clip_norm,
        max_value=training.clip_value,
        max_layer_norm=training.clip_layer_norm,
        max_ratio=training.clip_ratio,
        skip_nonfinite=training.skip_nonfinite,
        activation_penalty=training.activation_penalty,
        temporal_penalty=training.temporal_penalty,
        window=windows.lengths_of(training),
        reach=training.reach,
        drop_state=training.drop_state,
    )
    recorder = _recorder(run, text, model, training, len(streams), display)
    pace = recorder.pace
    if state is not None:
        checkpoint.check_fits(state, run, task, training.batch_size or 1)
        reason = _reason_to_stop(state, pace)
        if reason:
            display.say(f"{run.path}: is finished after {quantity(start, 'step')}: {reason}.")
            return finish_alone(run, text, display, device_kind(training))
        if checkpoint.process_count(state) != count:
            display.say("another number of devices than before: the dropout masks start anew.")
    probing = Probing(
        run=run,
        pace=pace,
        display=display,
        every=training.probe_every or 0,
        window=training.window or 1,
        reach=training.reach or training.window or 1,
    )
    trainer = _trainer(run, training, model.options, recorder, probing)
    task.train()
    engine.keep_freed_memory()
    display.start("training")
    try:
        with _quiet_lightning():
            trainer.fit(
                task,
                train_dataloaders=_EndlessWindows(streams, start),
                ckpt_path=str(checkpoint.path_of(run)) if state is not None else None,
                weights_only=True if state is not None else None,
            )
    except TrainingError as error:
        if not trainer.is_global_zero:
            # Every process raises it, the first one reports. With a code above 0 Lightning would kill that one.
            raise SystemExit(0) from error
        run.append_metrics({"kind": "event", "step": trainer.global_step, "text": str(error), **spoilt_by(task)})
        raise
    except RuntimeError as error:
        if count == 1 or not processes.is_lost_connection(error):
            raise
        if not trainer.is_global_zero:
            # The first process ended, and has told why.
            raise SystemExit(1) from error
        raise TrainingError(
            f"another process of this training has ended; go on from the last checkpoint with: recur train --resume "
            f"{run.path}"
        ) from error
    except SystemExit as error:
        # Lightning ends the process when it is interrupted for a second time.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise Interrupted(
            f"stopped at once; go on from the last checkpoint with: recur train --resume {run.path}"
        ) from error
    finally:
        display.stop()
        pace.release()
    if not trainer.is_global_zero:
        raise SystemExit(0)
    if pace.decision.is_interrupted:
        run.append_metrics({"kind": "event", "step": trainer.global_step, "text": "interrupted, checkpoint saved"})
        raise Interrupted(
            f"interrupted after step {trainer.global_step}, all is saved; go on with: recur train --resume {run.path}"
        )
    if pace.stop_wanted:
        display.say(f"stopped at step {trainer.global_step}: {pace.stop_wanted}.")
    return finish_alone(run, text, display, device_kind(training))


def _reason_to_stop(state: dict[str, Any], pace: Pace) -> str:
    """Return why a run that is to be resumed has nothing left to do; empty if it has."""
    if pace.progress(int(state["global_step"]), checkpoint.elapsed(state)) >= 1.0:
        return "a higher --max-minutes, --max-epochs or --max-steps trains on"
    without = checkpoint.validations_without_better(state)
    if pace.options.patience and without >= pace.options.patience:
        return f"the validation loss had not fallen for {quantity(without, 'validation')}"
    return ""


def _training_options(run: RunFolder, config: dict[str, Any]) -> TrainingOptions:
    try:
        return TrainingOptions(**config["training"])
    except (KeyError, TypeError, OptionError) as error:
        raise RunError(f"{run.path / 'config.json'}: damaged: training: {error}.") from error


def _recorder(
    run: RunFolder, text: Corpus, model: LanguageModel, training: TrainingOptions, num_windows: int, display: Display
) -> Recorder:
    trained = TrainedLanguageModel(model, text.tokenizer, np.asarray(text.counts, dtype=np.int64))
    valid = text.valid[:VALIDATION_TOKENS]
    characters = text.characters("valid")
    if len(valid) < len(text.valid):
        characters = text.tokenizer.characters_of(valid)
    documents = text.documents("valid")

    def judge() -> Any:
        return trained.evaluate(
            valid,
            characters=characters,
            document_starts=None if documents is None else documents[documents < len(valid)],
            streams=min(max(len(valid) // 2048, 1), 64),
            window=256,
            burn_in=256,
            # Good enough to tell which weights are better.
            tolerance=None,
        )

    def sample() -> dict[str, Any] | None:
        return _sample(trained, training)

    pace = Pace(options=training, windows_per_epoch=num_windows)
    assert training.validate_every is not None
    return Recorder(
        run=run,
        pace=pace,
        validation=Validation(
            run=run,
            pace=pace,
            judge=judge,
            sample=sample,
            every=training.validate_every,
            patience=training.patience,
        ),
        checkpoints=checkpoint.Checkpoints(run=run),
        display=display,
        characters_per_token=text.characters("train") / len(text.train),
    )


def _sample(trained: TrainedLanguageModel, training: TrainingOptions) -> dict[str, Any] | None:
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


def _trainer(
    run: RunFolder, training: TrainingOptions, model: LanguageModelOptions, recorder: Recorder, probing: Probing
) -> Trainer:
    device = device_kind(training)
    strategy: Any = "auto"
    if processes.count(training.devices) > 1:
        # A learned initial state takes no part in the windows that start from a carried one.
        strategy_class = DDPStrategy if processes.is_torchrun() else processes.OneMachine
        strategy = strategy_class(
            process_group_backend="gloo" if device == "cpu" else None,
            find_unused_parameters=model.initial_state == "learned",
        )
    logger = training.tensorboard and TensorBoardLogger(save_dir=str(run.path), name="tensorboard", version="")
    with _quiet_lightning():
        return Trainer(
            accelerator={"cuda": "gpu"}.get(device, device),
            devices=processes.local_count(training.devices),
            num_nodes=processes.nodes(training.devices),
            strategy=strategy,
            precision="bf16-mixed" if training.precision == "bfloat16" else "32-true",
            max_epochs=-1,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            logger=logger,
            default_root_dir=str(run.path),
            plugins=[checkpoint.AtomicCheckpointIO()],
            # A checkpoint, which the recorder saves, holds what the probe of the step found.
            callbacks=[recorder.pace, recorder.validation, recorder.checkpoints, probing, recorder],
        )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's remarks about itself out of the user's terminal."""
    logs = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 asks torch's pytrees a question that torch 2.13 wants put in other words.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
