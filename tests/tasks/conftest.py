"""Runs of tiny models: saved as drawn, for every tokeniser, and one that was really trained."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from recur.data.tokenizer import BpeTokenizer, ByteTokenizer, CharacterTokenizer, Tokenizer
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import FORMAT, RunFolder
from recur.tasks.language.trained import TrainedLanguageModel, load

TEXT = "the cat sat on the mat; the dog ate the cat's hat, naïve café 猫!\n" * 8

MakeRun = Callable[..., RunFolder]


@pytest.fixture(scope="session")
def text() -> str:
    """What the vocabularies are made of; it has characters of one, two and three bytes."""
    return TEXT


def _tokenizer(kind: str) -> Tokenizer:
    if kind == "character":
        return CharacterTokenizer.of(TEXT)
    return ByteTokenizer() if kind == "byte" else BpeTokenizer.trained([TEXT], 300)


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    """Return a maker of run folders that hold a tiny model as it was drawn, with weights large enough to matter."""

    def make(path: Path, kind: str = "character", **options: Any) -> RunFolder:
        tokenizer = _tokenizer(kind)
        chosen: dict[str, Any] = {"cell": "lstm", "num_layers": 2, "hidden_size": 6, "embedding_size": 6}
        model_options = LanguageModelOptions(**(chosen | {"dropout": 0.0} | options))
        torch.manual_seed(0)
        model = LanguageModel(tokenizer.vocabulary_size, model_options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 2
        run = RunFolder.create(path)
        counts = np.bincount(tokenizer.encode(TEXT), minlength=tokenizer.vocabulary_size)
        run.write_json("schema.json", {"tokenizer": tokenizer.to_json(), "counts": counts.tolist()})
        run.save_weights(model.state_dict())
        run.write_json("config.json", {"format": FORMAT, "task": "language", "model": asdict(model_options)})
        return run

    return make


@pytest.fixture(scope="session", params=["character", "byte", "bpe"])
def trained(
    request: pytest.FixtureRequest, make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory
) -> TrainedLanguageModel:
    """A model of each tokeniser."""
    return load(make_run(tmp_path_factory.mktemp("run") / request.param, request.param))


@pytest.fixture(scope="session")
def characters(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> TrainedLanguageModel:
    """A model of characters."""
    return load(make_run(tmp_path_factory.mktemp("run") / "characters"))


def counting_text(blocks: int) -> str:
    """Blocks of n times a, then n times b, n from 2 to 7: what comes next needs counting, which no trigram can do."""
    number, parts = 1, []
    for _ in range(blocks):
        number = (number * 1103515245 + 12345) % (1 << 31)
        n = 2 + (number >> 16) % 6
        parts.append("a" * n + "b" * n)
    return "".join(parts)


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of a small GRU that was trained on `counting_text`, its text beside it."""
    from recur.train.language import train_language_model
    from recur.train.options import LanguageTrainingOptions

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("real")
    (folder / "counting.txt").write_text(counting_text(3000))
    return train_language_model(
        folder / "counting.txt",
        out=folder / "run",
        model=LanguageModelOptions(cell="gru", num_layers=1, hidden_size=24, embedding_size=24, dropout=0.0),
        training=LanguageTrainingOptions(
            max_steps=150,
            batch_size=16,
            window=32,
            learning_rate=2e-2,
            final_learning_rate=0.0,
            warmup_steps=10,
            validate_every=75,
            sample_length=0,
            device="cpu",
        ),
        console=Console(file=io.StringIO()),
    )
