"""Training of classifiers of texts: folder, resuming, what is said, and what is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.tasks.texts.conftest import drawn, written

from recur.errors import DataError, OptionError
from recur.models.texts.options import TextClassifierOptions
from recur.run import RunFolder
from recur.train.options import TextTrainingOptions
from recur.train.resumption import resume
from recur.train.text_choice import choose
from recur.train.texts import train_text_classifier

TINY = TextClassifierOptions(hidden_size=4, embedding_size=4, members=1)
QUICK = TextTrainingOptions(max_steps=12, batch_size=16, validate_every=6, no_report=True)


def train(data: Any, out: Path, *, said: io.StringIO | None = None, **options: Any) -> RunFolder:
    console = Console(quiet=True) if said is None else Console(file=said, width=200)
    chosen: dict[str, Any] = {"model": TINY, "training": QUICK, **options}
    return train_text_classifier(data, out=out, console=console, **chosen)


def test_what_is_said(tmp_path: Path) -> None:
    said = io.StringIO()
    train(written(tmp_path / "texts.tsv", 90), tmp_path / "run", said=said)
    text = said.getvalue()
    for line in (
        "column   text   review",
        "column   label  kind",
        "texts    90: 72 to train on, 9 to choose by, 9 to test",
        "label    kind, one of 3 classes: food, music and sport",
        "tokens   words, as texts have 9.0 words in the mean, small letters;",
        "GRU 1 x 4 in both directions",
    ):
        assert line in text


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = written(tmp_path / "texts.tsv", 90)
    whole = train(data, tmp_path / "whole")
    part = train(data, tmp_path / "part", training=replace(QUICK, max_steps=5, checkpoint_every=5))
    resumed = resume(str(part.path), data=None, bounds={"max_steps": 12}, console=Console(quiet=True))
    metrics = [(tmp_path / name / "metrics.jsonl").read_text().count('"kind": "train"') for name in ("whole", "part")]
    assert metrics[1] >= metrics[0]
    for name, value in whole.load_weights().items():
        other = resumed.load_weights()[name]
        if name.endswith("output.bias"):
            # The rate's decay fits itself to the bound, so that the first steps were others.
            continue
        assert value.shape == other.shape
    assert not torch.isnan(other).any()


def test_data_in_memory_are_resumed_with_the_same_data(tmp_path: Path) -> None:
    texts = drawn(90)
    run = train((texts[0], texts[1]), tmp_path / "run")
    again = resume(str(run.path), data=(texts[0], texts[1]), bounds={"max_steps": 14}, console=Console(quiet=True))
    assert again.read_json("label_evaluation.json")["figures"]["num_told"] == 9


@pytest.mark.parametrize(
    ("num_texts", "batch_size", "epochs"), [(43_000, 64, 5), (14_000, 64, 14), (1_000, 32, 30), (100, 8, 30)]
)
def test_what_is_chosen_grows_with_the_data(num_texts: int, batch_size: int, epochs: int) -> None:
    chosen = choose(TextTrainingOptions(), num_texts=num_texts)
    assert (chosen.batch_size, chosen.max_epochs, chosen.max_minutes) == (batch_size, epochs, 12)
    said = choose(TextTrainingOptions(max_steps=7), num_texts=num_texts)
    assert (said.max_epochs, said.max_minutes) == (None, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"so good {number}\ta" for number in range(9)], "all 9 texts have the same class, 'a'"),
        ([f"\t{name}" for name in "abababab"], "no text|no column has texts"),
    ],
)
def test_data_that_teach_nothing(tmp_path: Path, rows: list[str], message: str) -> None:
    path = tmp_path / "texts.tsv"
    path.write_text("\n".join(["review\tkind", *rows]) + "\n")
    with pytest.raises(DataError, match=message):
        train(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_options_out_of_range() -> None:
    with pytest.raises(OptionError, match="max_tokens must be a whole number from 1 on, not 0"):
        TextTrainingOptions(max_tokens=0)
