"""A run folder as training leaves it, small and made by hand."""

from __future__ import annotations

import functools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recur.run import FORMAT, RunFolder

TEXT = "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n"


def figures(nats: float, **more: float) -> dict[str, float]:
    """Return the figures of an evaluation for a loss in nats per character."""
    return {
        "nats_per_character": nats,
        "bits_per_character": nats / math.log(2),
        "nats_per_token": nats,
        "perplexity": math.exp(nats),
        "top1": 0.55,
        "top5": 0.84,
        "tokens": 55_770,
        "characters": 55_770,
        **more,
    }


def training_rows(points: int = 200) -> list[dict[str, Any]]:
    """Return the rows of a training that went well."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for i in range(1, points + 1):
        step, progress = 10 * i, i / points
        rows.append(
            {
                "kind": "train",
                "step": step,
                "epoch": 0,
                "progress": progress,
                "elapsed": 0.09 * step,
                "loss": 1.4 + 2.6 * math.exp(-6 * progress) + draw.gauss(0, 0.04),
                "grad_norm": 0.5 + 2 * math.exp(-20 * progress) + draw.random() * 0.2,
                "learning_rate": 0.004 * min(1.0, progress / 0.05) * (0.55 + 0.45 * math.cos(math.pi * progress)),
                "tokens_per_second": 30_000 + draw.gauss(0, 900),
                "characters_per_second": 30_000 + draw.gauss(0, 900),
            }
        )
        if i % max(1, points // 8) == 0:
            loss = 1.45 + 2.4 * math.exp(-6 * progress)
            rows.append(
                {
                    "kind": "valid",
                    "step": step,
                    "epoch": 0,
                    "elapsed": 0.09 * step,
                    "loss": loss,
                    "nats_per_character": loss,
                    "is_best": True,
                }
            )
            rows.append(
                {
                    "kind": "sample",
                    "step": step,
                    "prompt": "ROMEO:",
                    "text": f"\nSample of step {step}.\n" + TEXT * 2,
                    "temperature": 0.8,
                    "seed": 0,
                }
            )
    rows.append({"kind": "event", "step": 10 * points, "text": "stopped: the time is over"})
    return rows


def passage(position: int) -> dict[str, Any]:
    """Return a passage of the evaluation."""
    draw = random.Random(position)
    tokens = list(TEXT * 3)
    return {"position": position, "loss_mean": 3.2, "tokens": tokens, "losses": [draw.expovariate(0.6) for _ in tokens]}


CONFIG: dict[str, Any] = {
    "format": FORMAT,
    "task": "language",
    "name": "romeo",
    "data": {"path": "input.txt", "tokenizer": "character"},
    "model": {"cell": "lstm", "num_layers": 2, "hidden_size": 256, "dropout": 0.1, "is_tied": True},
    "training": {
        "max_minutes": 3.0,
        "clip_norm": 1.0,
        "optimizer": {"name": "AdamW", "betas": [0.9, 0.99]},
        "max_epochs": None,
    },
}
PARTS: dict[str, dict[str, Any]] = {
    "env": {
        "versions": {"recur": "0.1.0", "python": "3.11.4", "torch": "2.13.0"},
        "cpu": {"brand": "AMD EPYC", "features": ["avx2", "fma"]},
        "threads": {"torch": 2},
        "device": "cpu",
        "backends": [
            {
                "layer": "layers.0",
                "device": "cpu",
                "backend": "torch",
                "others": [{"backend": "fused", "reason": "built without it"}],
            }
        ],
    },
    "schema": {
        "tokenizer": {"kind": "character", "symbols": ["a", "b"]},
        "corpus": {
            "sources": [
                {
                    "name": "texts/input.txt",
                    "bytes": 1_115_394,
                    "sha256": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                }
            ],
            "tokens": {"train": 1_003_854, "valid": 55_770, "test": 55_770},
            "characters": {"train": 1_003_854, "valid": 55_770, "test": 55_770},
        },
    },
    "model": {
        "layers": [
            {
                "name": "embedding",
                "kind": "Embedding",
                "parameters": 16_640,
                "weights": {"weight": [65, 256]},
                "output": "(B, T, 256)",
            },
            {
                "name": "recurrent",
                "kind": "LSTM",
                "parameters": 1_052_672,
                "weights": {
                    "weight_ih_l0": [1024, 256],
                    "weight_hh_l0": [1024, 256],
                    "bias_ih_l0": [1024],
                    "bias_hh_l0": [1024],
                },
                "output": "(B, T, 256)",
            },
            {"name": "dropout", "kind": "LockedDropout", "parameters": 0, "weights": {}, "output": "(B, T, 256)"},
            {
                "name": "output",
                "kind": "Linear",
                "parameters": 16_705,
                "weights": {"weight": [65, 256], "bias": [65]},
                "output": "(B, T, 65)",
            },
        ],
        "parameters": 1_086_017,
    },
    "evaluation": {
        "part": "test",
        "model": figures(1.512, seconds=4.2),
        "valid": figures(1.421, seconds=4.1),
        "baselines": {"unigram": figures(3.31), "trigram": figures(2.05)},
        "verdict": "The model needs 0.54 nats per character less than a trigram model does.",
        "surprising": [passage(1_000 * i) for i in range(1, 6)],
    },
}


def write_run(
    path: Path,
    rows: list[dict[str, Any]] | None = None,
    config: dict[str, Any] | None = None,
    **parts: dict[str, Any] | None,
) -> RunFolder:
    """Write a run folder; `parts` replace the files of the same name, and None leaves one out."""
    run = RunFolder.create(path)
    files = {"config": CONFIG if config is None else config, **PARTS, **parts}
    for name, content in files.items():
        if content is not None:
            # Escaped, for a file can hold a lone surrogate only so.
            (run.path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    lines = [json.dumps(row) + "\n" for row in (training_rows() if rows is None else rows)]
    (run.path / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Return `write_run` for a folder of this test."""
    return functools.partial(write_run, tmp_path / "run")


@pytest.fixture
def run(make_run: Callable[..., RunFolder]) -> RunFolder:
    """Return a finished run with every file the report reads."""
    return make_run()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a finished run that the tests share and do not change."""
    return write_run(tmp_path_factory.mktemp("report") / "run")
