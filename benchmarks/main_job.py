"""The main job: a language model of 2 x 256 units, 64 streams, windows of 64 steps."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from plain import WARM, Job, PlainLoop, encode
from recur.data.demo import demo_text
from recur.measure.timing import compared, in_turns, seconds, spread
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.tasks.language.trained import load
from recur.train.language import train_language_model
from recur.train.options import LanguageTrainingOptions
from series_step import stamped


def options(job: Job) -> LanguageModelOptions:
    return LanguageModelOptions(
        cell=job.cell,  # type: ignore[arg-type]
        num_layers=job.num_layers,
        hidden_size=job.hidden_size,
        embedding_size=job.hidden_size,
        dropout=0.0,
    )


def text() -> str:
    """Return enough prose for 64 streams."""
    return demo_text() * 2


def verify_step(job: Job) -> dict[str, Any]:
    """Check that both sides have the same loss and gradient from the same weights, and return which back end ran."""
    ids, size = encode(text())
    plain = PlainLoop(ids, size, job)
    ours = LanguageModel(size, options(job))
    with torch.no_grad():
        ours.embedding.weight.copy_(plain.model.embedding.weight)
        ours.output.load_state_dict(plain.model.output.state_dict())
        for number, layer in enumerate(ours.layers):
            for name, weight in layer.named_parameters():
                weight.copy_(getattr(plain.model.layers, name.replace("_l0", f"_l{number}")))
    x, y = plain.x_TB[: job.window], plain.y_TB[: job.window]
    expected = torch.nn.functional.cross_entropy(plain.model(x, None)[0].flatten(0, 1), y.flatten())
    found = torch.nn.functional.cross_entropy(ours(x.t())[0].transpose(0, 1).flatten(0, 1), y.flatten())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    expected.backward()
    found.backward()
    torch.testing.assert_close(ours.embedding.weight.grad, plain.model.embedding.weight.grad, rtol=1e-3, atol=1e-6)
    layer = ours.layers[0]
    return {"loss": float(expected.detach()), "backend": layer.explain(ours.embedding(x)).backend}  # type: ignore[operator]


def training_step(job: Job, *, blocks: int, steps: int) -> Iterator[dict[str, Any]]:
    """Time a step of `recur train`, everything that happens between two windows counted in, against the plain loop.

    Twice: the loop in this process, which keeps freed memory because `recur train` does, and as the program that one
    would write, with the default allocator.
    """
    checked = verify_step(job)
    folder = Path(tempfile.mkdtemp())
    source = folder / "text.txt"
    source.write_text(text(), encoding="utf-8")
    ids, size = encode(text())
    loop = PlainLoop(ids, size, job)

    def ours() -> float:
        training = LanguageTrainingOptions(
            max_steps=WARM + steps,
            batch_size=job.batch_size,
            window=job.window,
            learning_rate=job.learning_rate,
            validate_every=10**9,
            sample_length=0,
        )
        steady = train_stamped(source, folder / "run", job, training)[WARM : WARM + steps]
        return (steady[-1] - steady[0]) / (len(steady) - 1) * 1e3

    def peer() -> float:
        for _ in range(WARM):
            loop.step()
        return seconds(lambda: [loop.step() for _ in range(steps)]) / steps * 1e3

    def program() -> float:
        lines = subprocess.run(
            plain_command(source, WARM + steps, job), check=True, capture_output=True, text=True
        ).stdout
        return float(lines.splitlines()[-1])

    for name, other in (("plain PyTorch in this process", peer), ("plain PyTorch, a program of its own", program)):
        figures = compared(*in_turns(ours, other, repeats=blocks), "ms per step")
        yield {
            "what": f"training step, {job.cell}",
            "job": vars(job),
            "checked": checked,
            "peer_name": name,
            **figures,
        }


def train_stamped(source: Path, out: Path, job: Job, training: LanguageTrainingOptions) -> list[float]:
    """Train, and return the time in seconds at which each window was asked for."""
    times: list[float] = []
    with stamped(times):
        quiet = Console(quiet=True)
        train_language_model(source, out=out, model=options(job), training=training, overwrite=True, console=quiet)
    return times


def plain_command(source: Path, steps: int, job: Job) -> list[str]:
    """Return the command that trains in plain PyTorch; it knows the default shape only."""
    assert job == Job(cell=job.cell)
    return [sys.executable, str(Path(__file__).parent / "plain.py"), str(source), str(steps), job.cell]


def whole_training(job: Job, *, steps: int, repeats: int) -> dict[str, Any]:
    """Time `recur train`, start to finish, judging and report counted in, against the plain program."""
    folder = Path(tempfile.mkdtemp())
    source = folder / "text.txt"
    source.write_text(text(), encoding="utf-8")
    shape = ["--cell", job.cell, "--hidden-size", str(job.hidden_size), "--num-layers", str(job.num_layers)]
    shape += ["--batch-size", str(job.batch_size), "--window", str(job.window), "--dropout", "0"]
    command = [sys.executable, "-m", "recur", "train", str(source), "--out", str(folder / "run"), "--overwrite", *shape]
    command += ["--max-steps", str(steps)]
    plain = plain_command(source, steps, job)

    def timed(arguments: list[str]) -> float:
        return seconds(lambda: subprocess.run(arguments, check=True, capture_output=True))

    figures = compared(
        *in_turns(lambda: timed(command), lambda: timed(plain), repeats=repeats, warmup=0), "s for the whole program"
    )
    return {"what": f"whole training, {job.cell}, {steps} steps", "job": vars(job), **figures}


def generation(*, characters: int, repeats: int) -> dict[str, Any]:
    """Time writing with an LSTM of 2 x 256 units on one thread."""
    folder = Path(tempfile.mkdtemp())
    source = folder / "text.txt"
    source.write_text(text(), encoding="utf-8")
    job = Job()
    training = LanguageTrainingOptions(max_steps=1, batch_size=8, sample_length=0)
    run = train_language_model(
        source, out=folder / "run", model=options(job), training=training, console=Console(quiet=True)
    )
    trained = load(run)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained.generate("The ", 200, seed=0)
        speeds = [characters / seconds(lambda: trained.generate("The ", characters, seed=0)) for _ in range(repeats)]
    finally:
        torch.set_num_threads(threads)
    return {"what": "generation, lstm 2 x 256, one core", "unit": "characters/s", "ours": spread(speeds)}


def startup(*, repeats: int) -> list[dict[str, Any]]:
    """Time `recur --help`, and `import recur` with its layers against `import torch`."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}

    def timed(*arguments: str) -> float:
        run = [sys.executable, *arguments]
        return seconds(lambda: subprocess.run(run, check=True, capture_output=True, env=environment))

    help_seconds = [timed("-m", "recur", "--help") for _ in range(repeats + 1)][1:]
    imports = compared(
        *in_turns(lambda: timed("-c", "import recur, recur.nn"), lambda: timed("-c", "import torch"), repeats=repeats),
        "s",
    )
    return [
        {"what": "recur --help", "unit": "s", "ours": spread(help_seconds)},
        {"what": "import recur and recur.nn, against import torch", **imports},
    ]
