"""What the defaults reach on real text in a given time; the text comes from the folder that RECUR_DATA names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from recur.train.fit import train_language_model
from recur.train.options import TrainingOptions


def tinyshakespeare(minutes: float) -> dict[str, Any]:
    """Train with the defaults for `minutes` and return the held-out figures."""
    source = Path(os.environ["RECUR_DATA"]) / "tinyshakespeare" / "input.txt.gz"
    out = Path(tempfile.mkdtemp()) / "run"
    run = train_language_model(
        source, out=out, training=TrainingOptions(max_minutes=minutes), console=Console(stderr=True)
    )
    evaluation, config = run.read_json("evaluation.json"), run.config()
    steps = max(row["step"] for row in run.metrics())
    return {
        "what": f"tinyshakespeare, defaults, {minutes:g} minutes",
        "model": config["model"],
        "training": config["training"],
        "steps": steps,
        "test": evaluation["model"],
        "valid": evaluation["valid"],
        "baselines": evaluation["baselines"],
    }
