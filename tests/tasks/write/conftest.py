"""Made-up names of languages whose letters differ, and a writer of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recur.models.texts.writer_options import WriterOptions
from recur.tasks.write.trained import TrainedWriter
from recur.train.options import TextTrainingOptions
from recur.train.write import train_writer

SYLLABLES = {"Ava": "pa ti ka", "Bel": "mo nu ru", "Cor": "se zy fey"}


def made_up(count: int = 100) -> dict[str, list[Any]]:
    """Return a table of names, their languages and their numbers of syllables."""
    draw = random.Random(0)
    rows: list[tuple[str, str, int]] = []
    for language, syllables in SYLLABLES.items():
        for _ in range(count):
            length = draw.choice([2, 3, 4, 5])
            rows.append(("".join(draw.choices(syllables.split(), k=length)).capitalize(), language, length))
    names, languages, lengths = map(list, zip(*rows, strict=True))
    return {"name": names, "language": languages, "length": lengths}


@pytest.fixture(scope="session")
def table() -> dict[str, list[Any]]:
    return made_up()


@pytest.fixture(scope="session")
def folder(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The folder with the run of a writer that has learned, `run`, and its data, `names.csv`."""

    def make(folder: Path) -> None:
        found = made_up()
        lines = ["name,language", *(",".join(row) for row in zip(found["name"], found["language"], strict=True))]
        (folder / "names.csv").write_text("\n".join(lines) + "\n")
        train_writer(
            folder / "names.csv",
            out=folder / "run",
            model=WriterOptions(hidden_size=32, embedding_size=16, context_size=8, dropout=0.1),
            training=TextTrainingOptions(max_steps=300, batch_size=16, no_report=True),
            console=Console(quiet=True),
        )

    return made_once("writer", make)


@pytest.fixture
def writer(folder: Path) -> TrainedWriter:
    return TrainedWriter.load(folder / "run")
