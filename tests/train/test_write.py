"""Training of writers: what is said and kept, resumed bit for bit, and what is refused."""

from __future__ import annotations

import io
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from recur.data.texts.options import WrittenTextOptions
from recur.data.texts.token_options import WriterTokenOptions
from recur.errors import DataError, Interrupted, OptionError, RunError
from recur.models.texts.writer_options import WriterOptions
from recur.run import RunFolder
from recur.tasks.examples_task import ExamplesTask
from recur.tasks.write.trained import TrainedWriter
from recur.train.options import TextTrainingOptions
from recur.train.resumption import resume
from recur.train.write import train_writer
from recur.train.writer_choice import choose_writer, choose_written_tokens

TINY = WriterOptions(hidden_size=4, embedding_size=4, context_size=2, dropout=0.2)
QUICK = TextTrainingOptions(max_steps=12, batch_size=16, validate_every=6, checkpoint_every=4, no_report=True)


def names(count: int = 60) -> dict[str, list[Any]]:
    draw = random.Random(0)
    rows = [
        ("".join(draw.choices(letters, k=draw.randint(3, 6))), language)
        for language, letters in (("A", "abc"), ("B", "bcd"))
        for _ in range(count)
    ]
    return {"name": [name for name, _ in rows], "language": [one for _, one in rows], "size": [len(n) for n, _ in rows]}


def written(path: Path) -> Path:
    found = names()
    lines = [f"{a}\t{b}\t{c}" for a, b, c in zip(*found.values(), strict=True)]
    path.write_text("\n".join(["\t".join(found), *lines]) + "\n")
    return path


def train(data: Any, out: Path, *, said: io.StringIO | None = None, **options: Any) -> RunFolder:
    console = Console(quiet=True) if said is None else Console(file=said, width=200)
    chosen: dict[str, Any] = {"model": TINY, "training": QUICK, **options}
    return train_writer(data, out=out, console=console, **chosen)


def test_what_is_said_and_written(tmp_path: Path) -> None:
    said = io.StringIO()
    reading = WrittenTextOptions(columns="size", label="language")
    run = train(written(tmp_path / "names.tsv"), tmp_path / "run", said=said, texts=reading)
    for line in (
        "column   text   name",
        "column   label  language  given",
        "label    language, one of 2 classes: A and B",
        "number   size, 4.",
        "tokens   characters, as texts are short; 4 are known",
        "model    LSTM 1 x 4, its context in the first state and at each step, ",
        "training 16 texts a step, learning rate 0.004, at most 12 steps",
    ):
        assert line in said.getvalue(), line
    rows = run.metrics()
    assert [row["step"] for row in rows if row["kind"] == "valid"] == [6, 12]
    sample = next(row for row in rows if row["kind"] == "sample")
    assert len(sample["text"].splitlines()) == 4
    assert run.config()["task"] == "write"
    best = min(row["loss"] for row in rows if row["kind"] == "valid")
    trained = TrainedWriter.load(run)
    valid = trained.setup.own_examples().of_part("valid")
    tokens = sum(len(text) + 1 for text in valid.texts)
    assert trained.nats(valid).sum() / tokens == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "step"),
    [({"context": "input", "cell": "gru"}, 7), ({"context": "state", "tied": True}, 3)],
    ids=["input", "state"],
)
def test_interrupted_and_resumed_is_as_if_it_was_not(
    options: dict[str, Any], step: int, signals_at: Any, assert_equal: Any, tmp_path: Path
) -> None:
    data = written(tmp_path / "names.tsv")
    model = WriterOptions(hidden_size=4, embedding_size=4, context_size=2, dropout=0.2, **options)
    whole = train(data, tmp_path / "whole", model=model)
    signals_at(step, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=f"^interrupted after step {step}, all is saved; go on with: recur train --"):
        train(data, tmp_path / "halves", model=model)
    halves = resume(tmp_path / "halves", console=Console(quiet=True))
    states = [torch.load(run.path / "checkpoints/last.ckpt", weights_only=True) for run in (whole, halves)]
    for name in ("global_step", "state_dict", "optimizer_states", "recur"):
        assert_equal(states[0][name], states[1][name], name)
    assert (whole.path / "model.safetensors").read_bytes() == (halves.path / "model.safetensors").read_bytes()
    kept = [run.read_json("write_evaluation.json") for run in (whole, halves)]
    assert kept[0] == kept[1]


def test_data_that_have_changed_or_are_gone_are_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "names.tsv")
    run = train(data, tmp_path / "run")
    data.write_text(data.read_text().replace("\tA\t", "\tB\t", 1))
    with pytest.raises(RunError, match="have changed since the training"):
        resume(run.path, bounds={"max_steps": 20}, console=Console(quiet=True))
    in_memory = train(names(), tmp_path / "memory")
    with pytest.raises(RunError, match="were not in a file, so they cannot be read again; give the data"):
        resume(in_memory.path, bounds={"max_steps": 20}, console=Console(quiet=True))
    longer = resume(in_memory.path, data=names(), bounds={"max_steps": 20}, console=Console(quiet=True))
    assert longer.metrics()[-1]["step"] == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"language": ["A"] * 120}, "all 120 texts have the same class, 'A', so that there is nothing to tell apart"),
        ({"name": [""] * 120}, "is empty|no column has texts"),
        ({"language": [None] * 120}, "no column has classes|no text has a class"),
    ],
)
def test_bad_input_is_said(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    reading = WrittenTextOptions(text="name", label="language")
    with pytest.raises(DataError, match=message):
        train(names() | changes, tmp_path / "run", texts=reading)
    assert not (tmp_path / "run").exists()


def test_a_column_that_is_missing_is_said(tmp_path: Path) -> None:
    for reading, message in (
        (WrittenTextOptions(label="langage"), "has no column 'langage', which label names; did you mean 'language'"),
        (WrittenTextOptions(columns="length"), "has no column 'length', which columns names"),
    ):
        with pytest.raises(DataError, match=message):
            train(names(), tmp_path / "run", texts=reading)
    with pytest.raises(TypeError, match="expected WriterOptions, got WriterTokenOptions"):
        train(names(), tmp_path / "run", model=WriterTokenOptions())
    with pytest.raises(OptionError, match="tied needs embedding_size equal to hidden_size"):
        WriterOptions(tied=True, hidden_size=8, embedding_size=4)


def test_tokens_of_other_kinds(tmp_path: Path) -> None:
    texts = [
        f"the {one} {two} of {number % 7}" for one in ("red", "old") for two in ("cat", "Dog") for number in range(20)
    ]
    data = (texts, [text.split()[1] for text in texts])
    for kind in ("word", "space", "bpe"):
        tokens = WriterTokenOptions(tokens=kind, vocabulary_size=270 if kind == "bpe" else None)  # type: ignore[arg-type]
        trained = TrainedWriter.load(train(data, tmp_path / kind, tokens=tokens))
        assert len(trained.generate(label="red", samples=3, seed=0)) == 3


def test_what_is_chosen() -> None:
    tokens, why = choose_written_tokens(WriterTokenOptions(), ["x" * 300, "y" * 200])
    assert (tokens.tokens, tokens.lowercase, tokens.min_count, why["tokens"]) == ("bpe", False, None, "texts are long")
    words, _ = choose_written_tokens(WriterTokenOptions(tokens="word", lowercase=True), ["a b"])
    assert (words.lowercase, words.min_count) == (True, 2)
    few = choose_writer(WriterOptions(), num_tokens=1000, vocabulary_size=30)
    many = choose_writer(WriterOptions(tied=True), num_tokens=10**6, vocabulary_size=2000)
    assert (few.hidden_size, few.embedding_size, few.embedding_dropout, few.context_size) == (128, 64, 0.0, 32)
    assert (many.hidden_size, many.embedding_size, many.embedding_dropout) == (256, 256, 0.3)
    given = WriterOptions(cell="gru", num_layers=2, dropout=0.0, embedding_dropout=0.1, context_size=5)
    kept = choose_writer(given, num_tokens=1000, vocabulary_size=2000)
    assert (kept.cell, kept.num_layers, kept.dropout, kept.embedding_dropout, kept.context_size) == (
        "gru",
        2,
        0.0,
        0.1,
        5,
    )


def test_a_damaged_run_is_said(tmp_path: Path) -> None:
    run = train(names(), tmp_path / "run")
    path = run.path / "config.json"
    config = json.loads(path.read_text())
    config["model"]["context"] = "nowhere"
    path.write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"config.json: damaged: model: context must be one of input, state, both"):
        TrainedWriter.load(run.path)
