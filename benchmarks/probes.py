"""What it costs to look at the gradient through time: while a network trains, and for a page about it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from main_job import options, text, train_stamped
from plain import WARM, Job
from recur.gradients import Training, probe
from recur.measure.timing import seconds, spread
from recur.models.language import LanguageModel
from recur.report import write_inspection
from recur.tasks.inspection.language import inspect_language_model
from recur.tasks.inspection.passage import passage_of_text
from recur.tasks.language.trained import load
from recur.train.language import train_language_model
from recur.train.options import LanguageTrainingOptions
from recur.train.probing import Probing


def while_training(job: Job, *, probes: int, every: int = 100) -> Iterator[dict[str, Any]]:
    """Time what is done for probes in a training of the main job, and its steps.

    Two trainings side by side differ by more on a noisy machine than the few percent that are looked for.
    """
    folder = Path(tempfile.mkdtemp())
    source = folder / "text.txt"
    source.write_text(text(), encoding="utf-8")
    steps = every * probes
    training = LanguageTrainingOptions(
        max_steps=steps,
        batch_size=job.batch_size,
        window=job.window,
        learning_rate=job.learning_rate,
        validate_every=10**9,
        sample_length=0,
        probe_every=every,
    )
    spent: list[float] = []
    looks = {name: getattr(Probing, name) for name in ("on_before_optimizer_step", "on_train_batch_end")}

    def timed(look: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            spent.append(seconds(lambda: look(*arguments)))

        return run

    for name, look in looks.items():
        setattr(Probing, name, timed(look))
    try:
        times = train_stamped(source, folder / "run", job, training)
    finally:
        for name, look in looks.items():
            setattr(Probing, name, look)
    # Two calls a step, of which those of every hundredth do something.
    own = [sum(spent[2 * step - 2 : 2 * step]) for step in range(1, steps + 1)]
    step_seconds = statistics.median(b - a for a, b in pairwise(times[WARM:]))
    total = step_seconds * every
    shares = [100 * sum(own[end - every : end]) / total for end in range(every, steps + 1, every)]
    looked = [1e3 * own[end - 1] for end in range(every, steps + 1, every)]
    yield {
        "what": f"probes every {every} training steps, {job.cell}, of the time without them",
        "job": vars(job),
        "unit": "%",
        "ours": spread(shares),
        "probe_ms": spread(looked),
        "step_ms": 1e3 * step_seconds,
    }


def whole(job: Job, *, repeats: int) -> Iterator[dict[str, Any]]:
    """Time the probe with all that it can find, on four windows of the main job."""
    model = LanguageModel(65, options(job))
    x = torch.randint(0, 65, (4, job.window))
    times = [1e3 * seconds(lambda: probe(model, (x, x.roll(-1, 1)))) for _ in range(repeats + 1)][1:]
    yield {"what": f"probe with all figures, {job.cell}", "job": vars(job), "unit": "ms", "ours": spread(times)}


def inspecting(job: Job, *, steps: int = 100, symbols: tuple[int, ...] = (1000, 5000)) -> Iterator[dict[str, Any]]:
    """Time `recur inspect` on texts of so many symbols, what each part of it takes, and weigh its page."""
    folder = Path(tempfile.mkdtemp())
    source = folder / "text.txt"
    source.write_text(text(), encoding="utf-8")
    training = LanguageTrainingOptions(max_steps=steps, batch_size=job.batch_size, window=job.window, sample_length=0)
    quiet = Console(quiet=True)
    run = train_language_model(
        source, out=folder / "run", model=options(job), training=training, overwrite=True, console=quiet
    )
    for count in symbols:
        trained = load(run)
        passage = passage_of_text(trained.tokenizer, [text()[:count]])
        began: list[tuple[str, float]] = []

        def stage(what: str, began: list[tuple[str, float]] = began) -> None:
            began.append((what, time.perf_counter()))

        stage("preparing")
        found = inspect_language_model(trained, passage, training=Training(window=job.window), stage=stage)
        stage("writing")
        found.write(run)
        stage("drawing the page")
        page = write_inspection(run)
        stage("")
        parts = {what: end - begin for (what, begin), (_, end) in pairwise(began)}
        yield {
            "what": f"inspecting {len(passage.ids)} symbols, {job.cell}",
            "job": vars(job),
            "unit": "s",
            "ours": spread([began[-1][1] - began[0][1]]),
            "parts_s": {what: round(spent, 3) for what, spent in parts.items()},
            "page_mb": page.stat().st_size / 1e6,
        }
