"""Sentences with names and places that their letters and neighbours tell, and what was trained on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recur.data.texts.options import TaggedTextOptions
from recur.models.texts.tagger_options import TaggerOptions
from recur.train.options import TextTrainingOptions
from recur.train.tags import train_tagger

Sentences = tuple[list[list[str]], list[list[str]]]
"""Tokens, and their tags."""

_ENDS = {"PER": ("sson", "mann", "ova"), "LOC": ("burg", "ton", "ford")}


def _name(draw: np.random.Generator, kind: str) -> str:
    """Return a name that its end tells, whose beginning is drawn of thousands."""
    stem = "".join(str(draw.choice(list(letters))) for letters in ("BDGKLMNPRST", "aeiou", "lmnrst"))
    return stem + str(draw.choice(_ENDS[kind]))


def drawn(count: int, *, seed: int = 0) -> Sentences:
    """Return sentences of names, places of one word or two, and years."""
    draw = np.random.default_rng(seed)
    tokens, tags = [], []
    for _ in range(count):
        person, town = _name(draw, "PER"), _name(draw, "LOC")
        words, own = [person], ["B-PER"]
        if draw.random() < 0.5:
            words, own = ["Ada", person], ["B-PER", "I-PER"]
        middle = str(draw.choice(["left", "saw", "likes", "knows"]))
        words, own = [*words, middle], [*own, "O"]
        if draw.random() < 0.3:
            words, own = [*words, "New", town], [*own, "B-LOC", "I-LOC"]
        else:
            words, own = [*words, town], [*own, "B-LOC"]
        if draw.random() < 0.5:
            words, own = [*words, "in", str(draw.integers(1800, 2020))], [*own, "O", "B-DATE"]
        tokens.append([*words, "."])
        tags.append([*own, "O"])
    return tokens, tags


def conll(sentences: Sentences) -> str:
    """Return sentences in columns."""
    blocks = (
        "".join(f"{token} {tag}\n" for token, tag in zip(tokens, tags, strict=True))
        for tokens, tags in zip(*sentences, strict=True)
    )
    return "\n".join(blocks) + "\n"


def written(path: Path, count: int, *, seed: int = 0) -> Path:
    """Return a file of such sentences."""
    path.write_text(conll(drawn(count, seed=seed)), encoding="utf-8")
    return path


SMALL = TaggerOptions(
    hidden_size=16, embedding_size=8, character_size=8, character_features=16, dropout=0.1, embedding_dropout=0.0
)


def trained(folder: Path) -> None:
    """Train a tagger to `folder`/run, on `folder`/names.conll."""
    train_tagger(
        written(folder / "names.conll", 300),
        out=folder / "run",
        sentences=TaggedTextOptions(test=60),
        model=SMALL,
        training=TextTrainingOptions(max_steps=150, learning_rate=2e-2, batch_size=16, no_report=True),
        console=Console(quiet=True),
    )


@pytest.fixture
def made(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The folder of a training."""
    return made_once("tags", trained)
