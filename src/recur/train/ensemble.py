"""Several networks trained one after the other from seeds of their own, which become one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recur import report
from recur.errors import Interrupted
from recur.run import RunFolder
from recur.train import checkpoint
from recur.train.display import Display
from recur.train.job import Job
from recur.train.loop import run_job
from recur.wording import quantity

MEMBERS = "members"
"""Folder of a run with those of its members."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """A run whose network is made of others, each with a run folder of its own in `members`.

    Attributes:
        run: The run folder, with its `config.json`.
        members: Return the job of each network; their folders are made when they are asked for.
        finish: Takes the jobs, done: puts their networks together and judges what they say.
        way_on: What to do to go on with it when it is interrupted.
        no_report: Whether the report is left out.
    """

    run: RunFolder
    members: Sequence[Callable[[], Job]]
    finish: Callable[[Sequence[Job], Display], None]
    way_on: str
    no_report: bool = False

    def train(self, display: Display) -> RunFolder:
        """Train the networks that are not trained yet, and return the finished run.

        Raises:
            RunError: A checkpoint is damaged or of another training, or a file cannot be written.
            TrainingError: A loss is not finite any more.
            Interrupted: Ctrl-C; a checkpoint is saved.
        """
        jobs = []
        for number, open_member in enumerate(self.members, 1):
            job = open_member()
            display.say(f"member   {number} of {len(self.members)}, with seed {job.training.seed}")
            run_job(job, display, resume=True)
            jobs.append(job)
        self.run.forget_metrics_after(0)
        for job in jobs:
            self.run.append_metrics(_told(job))
        try:
            self.finish(jobs, display)
            if not self.no_report:
                report.write_report(self.run, say=lambda note: display.say(f"note     {note}"))
        except KeyboardInterrupt as error:
            raise Interrupted(f"interrupted after the training, all is saved; judge it with: {self.way_on}") from error
        finally:
            display.stop()
        return self.run


def train_job(job: Job | Ensemble, display: Display, *, resume: bool) -> RunFolder:
    """Train what a job says, one network or several; arguments and errors as of `run_job`."""
    return job.train(display) if isinstance(job, Ensemble) else run_job(job, display, resume=resume)


def member_folder(run: RunFolder, number: int) -> RunFolder:
    """Return where the network of a number, from 1 on, has its run."""
    return RunFolder(run.path / MEMBERS / str(number))


def _told(job: Job) -> dict[str, object]:
    """Return the row of `metrics.jsonl` that tells how the training of a member ended."""
    state = checkpoint.read(job.run)
    validation, step = state["callbacks"]["Validation"], int(state["global_step"])
    return {
        "kind": "event",
        "step": step,
        "elapsed": checkpoint.elapsed(state),
        "text": f"seed {job.training.seed} was trained for {quantity(step, 'step')}; its best validation loss is "
        f"{validation['best']:.4g}, of step {validation['best_step']}",
    }
