"""The loop: a job trained by Lightning's trainer, from its first step or from a checkpoint, to its finished run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from recur import engine, report
from recur.errors import Interrupted, TrainingError
from recur.run import RunFolder
from recur.train import checkpoint, processes
from recur.train.display import Display
from recur.train.job import EndlessBatches, Job, Share
from recur.train.options import TrainingOptions
from recur.train.pace import Pace
from recur.train.preparation import device_kind
from recur.train.recorder import Recorder, spoilt_by
from recur.train.validation import Validation
from recur.wording import option, quantity


def run_job(job: Job, display: Display, *, resume: bool) -> RunFolder:
    """Train what a job says, and return its run folder with the best weights, figures and report.

    Args:
        job: With its run folder made.
        display: Where progress is shown.
        resume: Whether to go on from the checkpoint of the run, if there is one.

    Raises:
        RunError: The checkpoint is damaged or of another training, or a file cannot be written.
        TrainingError: The loss is not finite any more; the last good weights are kept.
        Interrupted: Ctrl-C; a checkpoint is saved.
    """
    run, training = job.run, job.training
    state = checkpoint.read(run) if resume and checkpoint.exists(run) else None
    start = int(state["global_step"]) if state is not None else 0
    torch.manual_seed(training.seed)
    network = job.network()
    rank, count = processes.rank(), processes.count(training.devices)
    if rank > 0:
        # With the same seed each process would drop the same units.
        torch.manual_seed(training.seed + rank)
    share = job.share(network, rank, count)
    task = share.task
    recorder = _recorder(job, share, display)
    pace = recorder.pace
    if state is not None:
        checkpoint.check_fits(state, run, task, share.carried)
        reason = _reason_to_stop(state, pace)
        if reason:
            display.say(f"{run.path}: is finished after {quantity(start, 'step')}: {reason}.")
            return _finish_alone(
                job, display, catch_up=lambda: _judge_mean_left(job, share, recorder.validation, state)
            )
        if checkpoint.process_count(state) != count:
            display.say("another number of devices than before: the dropout masks start anew.")
    # A checkpoint, which the recorder saves, holds what the watchers found in the step.
    callbacks: list[Callback] = [
        pace,
        recorder.validation,
        recorder.checkpoints,
        *share.watchers(pace, display),
        recorder,
    ]
    trainer = _trainer(run, training, callbacks, has_unused_parameters=share.has_unused_parameters)
    task.train()
    engine.keep_freed_memory()
    display.start("training")
    try:
        with _quiet_lightning():
            trainer.fit(
                task,
                train_dataloaders=EndlessBatches(share.batches, start),
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
            f"another process of this training has ended; go on from the last checkpoint with: {job.way_on}"
        ) from error
    except SystemExit as error:
        # Lightning ends the process when it is interrupted for a second time.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        raise Interrupted(f"stopped at once; go on from the last checkpoint with: {job.way_on}") from error
    finally:
        display.stop()
        pace.release()
    if not trainer.is_global_zero:
        raise SystemExit(0)
    if pace.decision.is_interrupted:
        run.append_metrics({"kind": "event", "step": trainer.global_step, "text": "interrupted, checkpoint saved"})
        raise Interrupted(f"interrupted after step {trainer.global_step}, all is saved; go on with: {job.way_on}")
    if pace.stop_wanted:
        display.say(f"stopped at step {trainer.global_step}: {pace.stop_wanted}.")
    elif out_of_time := pace.out_of_time(trainer.global_step):
        run.append_metrics({"kind": "event", "step": trainer.global_step, "text": f"stopped after {out_of_time}"})
        display.say(f"stopped after {out_of_time}; a higher {option('max_minutes')} trains on.")
    return _finish_alone(job, display)


def _reason_to_stop(state: dict[str, Any], pace: Pace) -> str:
    """Return why a run that is to be resumed has nothing left to do; empty if it has."""
    if pace.progress(int(state["global_step"]), checkpoint.elapsed(state)) >= 1.0:
        return f"a higher {option('max_minutes')}, {option('max_epochs')} or {option('max_steps')} trains on"
    without = checkpoint.validations_without_better(state)
    if pace.options.patience and without >= pace.options.patience:
        return (
            f"the validation loss had not fallen for {quantity(without, 'validation')}; a higher {option('patience')} "
            "trains on, more time alone does not"
        )
    return ""


def _judge_mean_left(job: Job, share: Share, validation: Validation, state: dict[str, Any]) -> None:
    """Judge the mean of the best weights where a finished training was stopped before that, and save what was found."""
    validation.load_state_dict(checkpoint.validation(state))
    if not validation.is_mean_due:
        return
    share.task.to(device_kind(job.training))
    validation.judge_mean(int(state["global_step"]), share.task)
    checkpoint.save_validation(job.run, state, validation.state_dict())


def _finish_alone(job: Job, display: Display, *, catch_up: Callable[[], None] | None = None) -> RunFolder:
    """Judge and report in the first process only; say how to go on when that is interrupted.

    Args:
        job: Whose training is over.
        display: Where progress is shown.
        catch_up: Does before what a training left undone that was over already, whose weights may have been judged;
            None where it has just ended.
    """
    if not processes.is_first():
        raise SystemExit(0)
    try:
        if catch_up is not None:
            catch_up()
        if catch_up is None or not job.run.is_judged():
            job.finish(display)
        if not job.training.no_report:
            report.write_report(job.run, say=lambda note: display.say(f"note     {note}"))
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted after the training, all is saved; judge it with: {job.way_on}") from error
    finally:
        display.stop()
    return job.run


def _recorder(job: Job, share: Share, display: Display) -> Recorder:
    run, training = job.run, job.training
    pace = Pace(
        options=training,
        steps_per_epoch=len(share.batches),
        learning_rate_scale=share.task.learning_rate_scale,
        progressed=share.task.progressed,
    )
    assert training.validate_every is not None
    return Recorder(
        run=run,
        pace=pace,
        validation=Validation(
            run=run,
            pace=pace,
            judge=share.judge,
            sample=share.sample,
            every=training.validate_every,
            patience=training.patience or 0,
            keeps_newest=job.keeps_newest,
            judges_beginning=job.judges_beginning,
            num_averaged=1 if job.keeps_newest else training.averaged_checkpoints,
        ),
        checkpoints=checkpoint.Checkpoints(run=run, carried=share.carried),
        display=display,
        throughput=share.throughput,
    )


def _trainer(
    run: RunFolder, training: TrainingOptions, callbacks: list[Callback], *, has_unused_parameters: bool
) -> Trainer:
    device = device_kind(training)
    strategy: Any = "auto"
    if processes.count(training.devices) > 1:
        strategy_class = DDPStrategy if processes.is_torchrun() else processes.OneMachine
        strategy = strategy_class(
            process_group_backend="gloo" if device == "cpu" else None,
            find_unused_parameters=has_unused_parameters,
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
            callbacks=callbacks,
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
