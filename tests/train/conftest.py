"""What the tests of training share: a short text and options of a network that trains in a moment."""

from __future__ import annotations

import io
import json
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.gradient_task import GradientTask
from recur.tasks.language.task import LanguageTask
from recur.train.language import train_language_model
from recur.train.options import LanguageTrainingOptions

WORDS = "the river ran past a mill and miller daughter counted boats how many asked crow seven she said one is blue"
MODEL = LanguageModelOptions(hidden_size=24, embedding_size=24, dropout=0.2, initial_state="learned")
TRAINING = LanguageTrainingOptions(
    batch_size=4, window=16, max_steps=60, validate_every=20, checkpoint_every=5, sample_length=20, warmup_steps=10
)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than these trainings and has its own tests."""
    monkeypatch.setattr("recur.report.write_report", lambda run, **options: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file of 10,000 characters; an epoch of four streams by sixteen steps is 141 windows."""
    draw, content = random.Random(0), ""
    while len(content) < 10_000:
        content += " ".join(draw.choice(WORDS.split()) for _ in range(8)).capitalize() + ".\n"
    path = tmp_path / "text.txt"
    path.write_text(content[:10_000])
    return path


@pytest.fixture
def training() -> LanguageTrainingOptions:
    return TRAINING


@pytest.fixture
def model() -> LanguageModelOptions:
    return MODEL


@pytest.fixture
def console() -> Console:
    """A console whose text a test can read: `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def train(text: Path, tmp_path: Path, console: Console) -> Callable[..., RunFolder]:
    """Train a run of the given name; further arguments change the options."""

    def run(name: str = "run", model: LanguageModelOptions = MODEL, **changes: Any) -> RunFolder:
        return train_language_model(
            text, out=tmp_path / name, model=model, training=replace(TRAINING, **changes), console=console
        )

    return run


@pytest.fixture
def signals_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let this process be sent signals in the middle of a step, once."""

    def arrange(step: int, *numbers: int, task: type[GradientTask] = LanguageTask) -> None:
        training_step, left = task.training_step, list(numbers)

        def interrupted(task: GradientTask, *arguments: Any) -> Any:
            while task.global_step + 1 == step and left:
                signal.raise_signal(left.pop(0))
            return training_step(task, *arguments)

        monkeypatch.setattr(task, "training_step", interrupted)

    return arrange


def rows_of(run: RunFolder, kind: str = "train") -> list[tuple[int, float]]:
    """Return step and loss of each row of a kind in `metrics.jsonl`."""
    return [(row["step"], row["loss"]) for row in run.metrics() if row["kind"] == kind]


@pytest.fixture
def rows() -> Callable[..., list[tuple[int, float]]]:
    return rows_of


@pytest.fixture
def assert_same() -> Callable[[RunFolder, RunFolder], None]:
    """Compare two runs bit for bit: weights, best weights, what the optimiser knows, state, random numbers, figures."""

    def compare(one: RunFolder, two: RunFolder) -> None:
        first, second = (torch.load(run.path / "checkpoints/last.ckpt", weights_only=True) for run in (one, two))
        assert first["global_step"] == second["global_step"]
        for name in ("state_dict", "optimizer_states", "recur"):
            _assert_equal(first[name], second[name], name)
        assert (one.path / "model.safetensors").read_bytes() == (two.path / "model.safetensors").read_bytes()
        for kind in ("train", "valid"):
            assert rows_of(one, kind) == rows_of(two, kind)
        samples = [[row["text"] for row in run.metrics() if row["kind"] == "sample"] for run in (one, two)]
        assert samples[0] == samples[1]
        assert _figures(one) == _figures(two)

    return compare


@pytest.fixture
def assert_equal() -> Callable[[Any, Any, str], None]:
    """Compare two structures of tensors bit for bit, and name the place where they differ."""
    return _assert_equal


def _figures(run: RunFolder) -> Any:
    evaluation = run.read_json("evaluation.json")
    return {name: evaluation[name]["nats_per_token"] for name in ("valid", "model")}, evaluation["surprising"]


def _assert_equal(one: Any, two: Any, where: str) -> None:
    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype, where
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            _assert_equal(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for number, pair in enumerate(zip(one, two, strict=True)):
            _assert_equal(*pair, f"{where}[{number}]")
    else:
        assert one == two, where


@pytest.fixture
def read_rows() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]
