"""Texts whose class a word tells, and what was trained on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from recur.data.texts.options import LabelledTextOptions
from recur.models.texts.options import TextClassifierOptions
from recur.train.options import TextTrainingOptions
from recur.train.texts import train_text_classifier

CUES = {"food": ("tasty", "spicy", "stale"), "music": ("loud", "bright", "slow"), "sport": ("fast", "hard", "fair")}
FILLERS = ("the", "day", "was", "a", "so", "very", "one", "of", "my", "and")


def drawn(count: int, *, seed: int = 0, is_multi: bool = False) -> tuple[list[str], list[Any]]:
    """Return texts of eight words, with their class, or the names of several with commas between."""
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for number in range(count):
        words = list(draw.choice(FILLERS, 8))
        # Always one of them: an empty cell is a label that is missing.
        first = list(CUES)[number % 3]
        own = [name for name in CUES if name == first or (is_multi and draw.random() < 0.3)]
        for place, name in enumerate(own):
            words[2 * place + int(draw.integers(2))] = str(draw.choice(CUES[name]))
        texts.append(f"{' '.join(words)} {number}.")
        labels.append(", ".join(own))
    return texts, labels


def written(path: Path, count: int, **options: Any) -> Path:
    """Return a TSV file of such texts."""
    rows = zip(*drawn(count, **options), strict=True)
    path.write_text("review\tkind\n" + "".join(f"{text}\t{label}\n" for text, label in rows), encoding="utf-8")
    return path


SMALL = TextClassifierOptions(hidden_size=16, embedding_size=16, members=2, dropout=0.1, embedding_dropout=0.0)


def trained(folder: Path, *, is_multi: bool) -> None:
    """Train a classifier to `folder`/run, on `folder`/texts.tsv."""
    data = written(folder / "texts.tsv", 400, is_multi=is_multi)
    train_text_classifier(
        data,
        out=folder / "run",
        texts=LabelledTextOptions(test=80),
        model=SMALL,
        training=TextTrainingOptions(max_steps=250, learning_rate=1e-2, no_report=True),
        console=Console(quiet=True),
    )


Made = Callable[[bool], Path]


@pytest.fixture
def made(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Made:
    """Return the folder of a training, of one class a text or of several."""

    def found(is_multi: bool) -> Path:
        name = f"texts_{'several' if is_multi else 'one'}"
        return made_once(name, lambda folder: trained(folder, is_multi=is_multi))

    return found
