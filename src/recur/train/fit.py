"""Training a language model from text to run folder, and going on with it."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console

from recur.data.batch import Batch
from recur.data.corpus import Corpus, Part, Progress, check_long_enough
from recur.data.options import CorpusOptions
from recur.data.streams import TokenStreams
from recur.decode.sampling import Sampling
from recur.environment import collect
from recur.errors import Interrupted, OptionError, RunError, TrainingError
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import FORMAT, RunFolder
from recur.tasks import judgement
from recur.tasks.language import LanguageTask
from recur.tasks.run_text import corpus_of
from recur.tasks.trained_language import TrainedLanguageModel, build_model, load
from recur.train import checkpoint, processes
from recur.train.choice import choose
from recur.train.display import Display
from recur.train.options import TrainingOptions
from recur.train.pace import Pace
from recur.train.recorder import Recorder
from recur.train.validation import Validation

VALIDATION_TOKENS = 100_000
"""Tokens of the validation part that are judged while training; the whole part is judged at the end."""

EVALUATION_TOKENS = 1_000_000
"""Tokens of a held-out part that are judged at the end of a training; `recur evaluate` judges all."""

_BOUNDS = ("max_minutes", "max_epochs", "max_steps")


def train_language_model(
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    corpus: CorpusOptions | None = None,
    model: LanguageModelOptions | None = None,
    training: TrainingOptions | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> RunFolder:
    """Train a language model on text and return its run folder, with the best weights, figures and report.

    Args:
        sources: Text files (also .gz), folders of them, or "-" for standard input.
        out: The run folder to make.
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
    display = Display(console or Console(stderr=True))
    names = [sources] if isinstance(sources, str | Path) else list(sources)

    def prepare() -> RunFolder:
        return _prepare(
            [str(name) for name in names],
            Path(out),
            corpus or CorpusOptions(),
            model or LanguageModelOptions(),
            training or TrainingOptions(),
            overwrite,
            display,
        )

    run = processes.first_prepares(prepare)
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
    display = Display(console or Console(stderr=True))

    def prepare() -> RunFolder:
        folder = RunFolder.open(run)
        # Without a checkpoint, the run was stopped before its first one: it begins anew, from the same seed.
        step = int(checkpoint.read(folder)["global_step"]) if checkpoint.exists(folder) else 0
        if bounds:
            config = folder.config()
            unknown = set(bounds) - set(_BOUNDS)
            if unknown:
                raise OptionError(f"only {', '.join(_BOUNDS)} can change when a run is resumed, not {sorted(unknown)}.")
            config["training"].update(bounds)
            TrainingOptions(**config["training"])
            folder.write_json("config.json", config)
        folder.forget_metrics_after(step)
        return folder

    return _fit(processes.first_prepares(prepare), display, resume=True)


# --- preparation ----------------------------------------------------------------------------------------------------


def _prepare(
    sources: list[str],
    out: Path,
    corpus_options: CorpusOptions,
    model_options: LanguageModelOptions,
    training: TrainingOptions,
    overwrite: bool,
    display: Display,
) -> RunFolder:
    RunFolder.check_free(out, overwrite=overwrite)
    _check_not_inside(out, [*sources, corpus_options.valid, corpus_options.test])
    _check_devices(training)
    if training.tensorboard:
        _check_tensorboard()
    has_gpu = _accelerator(training) != "cpu"
    text = _build_corpus(sources, corpus_options, out.parent / ".corpus", display)
    model_options, training = choose(model_options, training, num_tokens=len(text.train), has_gpu=has_gpu)
    assert training.batch_size is not None
    assert training.window is not None
    count = processes.count(training.devices)
    if training.batch_size % count:
        raise OptionError(
            f"batch_size: {training.batch_size} streams cannot be shared equally by {count} processes; "
            f"give a multiple of {count}."
        )
    check_long_enough(text, training.window, training.batch_size)
    torch.manual_seed(training.seed)
    model = LanguageModel(text.tokenizer.vocabulary_size, model_options)
    # Only now, with nothing left that the data or the options could spoil, an old run gives way.
    run = RunFolder.create(out, overwrite=overwrite)
    run.write_json(
        "schema.json",
        {
            "tokenizer": text.tokenizer.to_json(),
            "counts": text.counts,
            "corpus": text.to_json() | {"cache": os.path.relpath(out.parent / ".corpus", out)},
        },
    )
    layers = model.table()
    run.write_json("model.json", {"layers": layers, "parameters": sum(row["parameters"] for row in layers)})
    backends = model.to(_accelerator(training)).explain(training.batch_size, training.window)
    run.write_json("env.json", collect() | {"device": _accelerator(training), "backends": backends})
    # Last, because a folder with a config.json is a run.
    run.write_json(
        "config.json",
        {
            "format": FORMAT,
            "task": "language",
            "data": asdict(corpus_options),
            "sources": sources,
            "model": asdict(model_options),
            "training": asdict(training),
        },
    )
    _describe(text, model_options, training, run, display)
    return run


def _check_not_inside(out: Path, sources: list[str | None]) -> None:
    folder = os.path.realpath(out)
    for source in sources:
        if source is None or source == "-":
            continue
        place = os.path.realpath(source)
        if os.path.commonpath([folder, place]) == folder:
            raise RunError(f"{out}: holds the text {source}, so it is no place for the run; choose another with --out.")
        if os.path.isdir(place) and os.path.commonpath([folder, place]) == place:  # noqa: PTH112 - a real path already
            raise RunError(
                f"{out}: lies in {source}, so its own files would be read as text; choose another folder with --out."
            )


def _check_devices(training: TrainingOptions) -> None:
    accelerator, wanted = _accelerator(training), processes.local_count(training.devices)
    found = {"cuda": torch.cuda.device_count(), "mps": 1}.get(accelerator, wanted)
    if wanted > found:
        raise OptionError(f"devices is {wanted}, but this machine has {found} of {accelerator}; give at most {found}.")


def _check_tensorboard() -> None:
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        raise OptionError("tensorboard is not installed; install it with: pip install 'recur[tensorboard]'.")


def _build_corpus(sources: list[str], options: CorpusOptions, cache: Path, display: Display) -> Corpus:
    display.start("reading the text")
    try:
        return Corpus.build(sources, options, cache, _reading(display))
    finally:
        display.stop()


def _reading(display: Display) -> Progress:
    def progress(stage: str, done: int, total: int) -> None:
        display.advance(done / max(total, 1), f"{stage}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB")

    return progress


def _describe(
    text: Corpus, model: LanguageModelOptions, training: TrainingOptions, run: RunFolder, display: Display
) -> None:
    parameters = run.read_json("model.json")["parameters"]
    bounds = [f"{getattr(training, name):g} {name[4:]}" for name in _BOUNDS if getattr(training, name) is not None]
    display.say(
        f"text     {text.characters('train'):,} characters to train on, {text.characters('valid'):,} to validate, "
        f"{text.characters('test'):,} to test; {text.tokenizer.vocabulary_size} tokens ({text.tokenizer.kind})"
    )
    display.say(
        f"model    {str(model.cell).upper()} {model.num_layers} x {model.hidden_size}, dropout {model.dropout:g}, "
        f"{parameters:,} parameters"
    )
    display.say(
        f"training {training.batch_size} streams x {training.window} steps, "
        f"learning rate {training.learning_rate:.2g}, at most {' or '.join(bounds)}"
    )


# --- training -------------------------------------------------------------------------------------------------------


class _EndlessWindows:
    """The windows of all epochs in a row; one endless epoch to Lightning, so that a step is all there is to resume."""

    def __init__(self, streams: TokenStreams, start: int) -> None:
        self._streams = streams
        self._streams.load_state_dict({**streams.state_dict(), "position": start % len(streams)})

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self._streams


def _fit(run: RunFolder, display: Display, *, resume: bool) -> RunFolder:
    config = run.config()
    if config.get("task") != "language":
        raise RunError(f"{run.path}: is a run of task {config.get('task')!r}, expected 'language'.")
    training = _training_options(run, config)
    text = _corpus_of(run, display)
    state = checkpoint.read(run) if resume and checkpoint.exists(run) else None
    start = int(state["global_step"]) if state is not None else 0
    torch.manual_seed(training.seed)
    model = build_model(run, text.tokenizer.vocabulary_size, with_weights=False)
    rank, count = processes.rank(), processes.count(training.devices)
    streams = TokenStreams(
        text.train,
        batch_size=training.batch_size or 1,
        window=training.window or 1,
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
    )
    recorder = _recorder(run, text, model, training, len(streams), display)
    pace = recorder.pace
    if state is not None:
        checkpoint.check_fits(state, run, task, training.batch_size or 1)
        reason = _reason_to_stop(run, state, pace)
        if reason:
            display.say(f"{run.path}: is finished after {start} steps: {reason}.")
            return _finish_alone(run, text, display)
        if checkpoint.process_count(state) != count:
            display.say("another number of devices than before: the dropout masks start anew.")
    trainer = _trainer(run, training, model.options, recorder)
    task.train()
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
        run.append_metrics({"kind": "event", "step": trainer.global_step, "text": str(error)})
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
    return _finish_alone(run, text, display)


def _reason_to_stop(run: RunFolder, state: dict[str, Any], pace: Pace) -> str:
    """Return why a run that is to be resumed has nothing left to do; empty if it has."""
    rows = run.metrics()
    elapsed = float(rows[-1].get("elapsed", 0.0)) if rows else 0.0
    if pace.progress(int(state["global_step"]), elapsed) >= 1.0:
        return "a higher --max-minutes, --max-epochs or --max-steps trains on"
    without = checkpoint.validations_without_better(state)
    if pace.options.patience and without >= pace.options.patience:
        return f"the validation loss had not fallen for {without} validations"
    return ""


def _training_options(run: RunFolder, config: dict[str, Any]) -> TrainingOptions:
    try:
        return TrainingOptions(**config["training"])
    except (KeyError, TypeError, OptionError) as error:
        raise RunError(f"{run.path / 'config.json'}: damaged: training: {error}.") from error


def _corpus_of(run: RunFolder, display: Display) -> Corpus:
    display.start("reading the text")
    try:
        return corpus_of(run, _reading(display))
    finally:
        display.stop()


def _recorder(
    run: RunFolder, text: Corpus, model: LanguageModel, training: TrainingOptions, windows: int, display: Display
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
        )

    def sample() -> dict[str, Any] | None:
        return _sample(trained, text, training)

    pace = Pace(options=training, windows_per_epoch=windows)
    assert training.batch_size is not None
    assert training.window is not None
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
        tokens_per_step=training.batch_size * training.window,
        characters_per_token=text.characters("train") / len(text.train),
    )


def _sample(trained: TrainedLanguageModel, text: Corpus, training: TrainingOptions) -> dict[str, Any] | None:
    if training.sample_length == 0:
        return None
    prompt = training.sample_prompt
    if prompt is None:
        newline_known = "\n" not in trained.tokenizer.unknown_in("\n")
        prompt = "\n" if newline_known else trained.tokenizer.symbol(int(np.argmax(text.counts)))
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


def _accelerator(training: TrainingOptions) -> str:
    if training.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    is_there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there[training.device]:
        raise OptionError(f"device {training.device} is not available on this machine; use cpu, or auto.")
    return training.device


def _trainer(run: RunFolder, training: TrainingOptions, model: LanguageModelOptions, recorder: Recorder) -> Trainer:
    strategy: Any = "auto"
    if processes.count(training.devices) > 1:
        # A learned initial state takes no part in the windows that start from a carried one.
        strategy = DDPStrategy(
            process_group_backend="gloo" if _accelerator(training) == "cpu" else None,
            find_unused_parameters=model.initial_state == "learned",
        )
    logger = training.tensorboard and TensorBoardLogger(save_dir=str(run.path), name="tensorboard", version="")
    with _quiet_lightning():
        return Trainer(
            accelerator={"cuda": "gpu"}.get(_accelerator(training), _accelerator(training)),
            devices=processes.local_count(training.devices),
            num_nodes=processes.nodes(training.devices),
            strategy=strategy,
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
            callbacks=[recorder.pace, recorder.validation, recorder.checkpoints, recorder],
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


# --- the end --------------------------------------------------------------------------------------------------------


def _finish_alone(run: RunFolder, text: Corpus, display: Display) -> RunFolder:
    """As `_finish`, in the first process only, and with advice when it is interrupted."""
    if not processes.is_first():
        raise SystemExit(0)
    try:
        return _finish(run, text, display)
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"interrupted after the training, all is saved; judge it with: recur train --resume {run.path}"
        ) from error
    finally:
        display.stop()


def _finish(run: RunFolder, text: Corpus, display: Display) -> RunFolder:
    """Judge the best weights on the held-out parts, write `evaluation.json` and the report."""
    trained = load(run)
    against = judgement.baselines(text.train, text.tokenizer.vocabulary_size)
    evaluation: dict[str, Any] = {"part": "test"}
    parts: tuple[Part, ...] = ("valid", "test")
    for part in parts:
        ids = text.ids(part)
        is_cut = len(ids) > EVALUATION_TOKENS
        ids = ids[:EVALUATION_TOKENS]
        characters = text.tokenizer.characters_of(ids) if is_cut else text.characters(part)
        starts = text.documents(part)
        display.start(f"judging the {part} part", total=len(ids))
        figures, others, nats = judgement.judge(
            trained,
            ids,
            characters=characters,
            document_starts=None if starts is None else starts[starts < len(ids)],
            against=against if part == "test" else {},
            progress=_judging(display, len(ids)),
        )
        display.stop()
        if part == "valid":
            evaluation["valid"] = figures.to_json()
            continue
        evaluation["model"] = figures.to_json()
        evaluation["baselines"] = {name: other.to_json() for name, other in others.items()}
        evaluation["verdict"] = judgement.verdict(part, figures, others)
        evaluation["surprising"] = judgement.surprising_passages(trained, ids, nats)
    if not math.isfinite(evaluation["model"]["nats_per_character"]):
        raise TrainingError(
            f"{run.path}: the loss on the test text is not finite, for the weights are too large; "
            "train anew with a lower learning_rate."
        )
    run.write_json("evaluation.json", _finite(evaluation))
    from recur.report import write_report

    write_report(run)
    return run


def _judging(display: Display, total: int) -> Callable[[int], None]:
    return lambda done: display.advance(done, f"{done:,} of {total:,} tokens")


def _finite(content: Any) -> Any:
    """Return JSON without the numbers that JSON has no words for, such as a perplexity that overflows."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items() if value not in (math.inf, -math.inf)}
    return content
