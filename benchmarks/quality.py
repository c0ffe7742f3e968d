"""What training reaches on real text; the text comes from the folder that RECUR_DATA names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from main_job import options
from plain import Job
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.train.language import train_language_model
from recur.train.options import LanguageTrainingOptions

SEEDS = (0, 1, 2)


def tinyshakespeare(minutes: float) -> Iterator[dict[str, Any]]:
    """Train for `minutes` and return the held-out figures: with the defaults, and as it was found to be best."""
    # Half as many sums again fit into the time in bfloat16, and more units than the defaults use them better.
    best = LanguageModelOptions(hidden_size=384, dropout=0.3)
    for what, model, training in (
        ("defaults", LanguageModelOptions(), LanguageTrainingOptions(max_minutes=minutes)),
        ("384 units, bfloat16", best, LanguageTrainingOptions(max_minutes=minutes, precision="bfloat16")),
    ):
        run = _trained(model, training)
        yield _row(f"tinyshakespeare, {what}, {minutes:g} minutes", run)


def bfloat16(steps: int) -> Iterator[dict[str, Any]]:
    """Train the main job on tinyshakespeare for so many steps in either precision, from the same seeds."""
    job = Job()
    for seed in SEEDS:
        for precision in ("float32", "bfloat16"):
            training = LanguageTrainingOptions(
                max_steps=steps,
                batch_size=job.batch_size,
                window=job.window,
                learning_rate=job.learning_rate,
                validate_every=steps,
                sample_length=0,
                seed=seed,
                precision=precision,  # type: ignore[arg-type]
            )
            row = _row(f"main job on tinyshakespeare, {precision}, seed {seed}", _trained(options(job), training))
            yield {"precision": precision, "seed": seed, **row}


def _trained(model: LanguageModelOptions, training: LanguageTrainingOptions) -> RunFolder:
    source = Path(os.environ["RECUR_DATA"]) / "tinyshakespeare" / "input.txt.gz"
    out = Path(tempfile.mkdtemp()) / "run"
    return train_language_model(source, out=out, model=model, training=training, console=Console(stderr=True))


def _row(what: str, run: RunFolder) -> dict[str, Any]:
    evaluation, config = run.read_json("evaluation.json"), run.config()
    return {
        "what": what,
        "model": config["model"],
        "training": config["training"],
        "steps": max(row["step"] for row in run.metrics()),
        "test": evaluation["model"],
        "valid": evaluation["valid"],
        "baselines": evaluation["baselines"],
    }
