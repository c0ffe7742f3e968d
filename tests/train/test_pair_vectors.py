"""Translators whose words begin with vectors of others."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.train.test_translate import QUICK, TINY, train

from recur.data.texts.token_options import PairTokenOptions
from recur.data.texts.vector_options import PairVectorOptions
from recur.errors import DataError, OptionError, RunError
from recur.models.texts.translator_options import TranslatorOptions
from recur.run import RunFolder
from recur.tasks.translate.trained import TrainedTranslator
from recur.train.resumption import resume

SOURCES = [f"the {colour} {thing}" for colour in ("red", "green", "blue") for thing in ("cat", "dog", "house", "door")]
DATA = (SOURCES * 4, [" ".join(reversed(source.upper().split())) for source in SOURCES] * 4)
ANY_SIZE = TranslatorOptions(hidden_size=4)


def vectors(path: Path, rows: dict[str, list[float]]) -> str:
    """Write vectors of some words."""
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> PairVectorOptions:
    """Vectors of words of both sides, and of one on each that no text has."""
    return PairVectorOptions(
        vectors=vectors(tmp_path / "en.txt", {"red": [9, 8, 7], "cat": [1, 2, 3], "never": [4, 5, 6]}),
        target_vectors=vectors(tmp_path / "up.txt", {"RED": [3, 2, 1], "NEVER": [7, 7, 7]}),
    )


def rows_of(trained: TrainedTranslator, side: str, words: list[str]) -> torch.Tensor:
    vocabulary = trained.setup.source_vocabulary if side == "source" else trained.setup.target_vocabulary
    network = trained.networks[-1]
    table = network.source_embedding if side == "source" else network.embedding
    return table.weight[torch.tensor([vocabulary.id_of(word) for word in words])].detach()


@pytest.mark.parametrize(("freeze", "members"), [(False, 1), (True, 2)])
def test_words_of_both_sides_begin_with_vectors(
    files: PairVectorOptions, tmp_path: Path, freeze: bool, members: int
) -> None:
    said = io.StringIO()
    path = tmp_path / "pairs.tsv"
    path.write_text("en\tup\n" + "".join(f"{one}\t{two}\n" for one, two in zip(*DATA, strict=True)))
    model = replace(ANY_SIZE, members=members)
    run = train(path, tmp_path / "run", said=said, model=model, vectors=replace(files, freeze_vectors=freeze))
    for line in ("vectors  of sources: 2 of 8 ", "1 more are known by their vectors alone", "of targets: 1 of 8 "):
        assert line in said.getvalue()
    # The files are not needed any more.
    for name in ("en.txt", "up.txt"):
        (tmp_path / name).unlink()
    trained = TrainedTranslator.load(run)
    assert trained.options.embedding_size == 3
    assert (trained.setup.source_vocabulary.kind, trained.setup.target_vocabulary.kind) == ("word", "word")
    # What no text has can be read, but not written.
    assert trained.setup.source_vocabulary.id_of("never") != 1
    assert trained.setup.target_vocabulary.id_of("NEVER") == 1
    expected = {"source": torch.tensor([[9.0, 8, 7], [1, 2, 3], [4, 5, 6]]), "target": torch.tensor([[3.0, 2, 1]])}
    resumed = TrainedTranslator.load(resume(str(run.path), bounds={"max_steps": 14}, console=Console(quiet=True)))
    for one in (trained, resumed):
        for side, words in (("source", ["red", "cat", "never"]), ("target", ["RED"])):
            found = rows_of(one, side, words)
            torch.testing.assert_close(found, expected[side], rtol=0, atol=0.5)
            assert torch.equal(found, expected[side]) == freeze or side == "source"
    if freeze:
        torch.testing.assert_close(rows_of(resumed, "source", ["cat"]), expected["source"][1:2], rtol=0, atol=0)
    run.delete("vectors.safetensors")
    with pytest.raises(RunError, match=r"vectors\.safetensors"):
        resume(str(run.path), bounds={"max_steps": 16}, console=Console(quiet=True))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": TINY}, None, ""),
        ({"model": replace(TINY, embedding_size=5)}, OptionError, "embedding_size: is that of the vectors, 3, not 5"),
        # What it is without vectors is refused too where it was asked for.
        ({"model": replace(TINY, embedding_size=128)}, OptionError, "is that of the vectors, 3, not 128; leave embedd"),
        (
            {"tokens": PairTokenOptions(source_tokens="bpe")},
            OptionError,
            "vectors: are of words, and tokens of sources are pieces of them; choose source_tokens='word' or space",
        ),
        (
            {"tokens": PairTokenOptions(vocabulary="joint")},
            OptionError,
            "vectors: are of sources, and a joint vocabulary is of both",
        ),
        (
            {"tied": "output", "freeze_vectors": True},
            OptionError,
            "freeze_vectors: the vectors of targets are what the output layer learns with tied output",
        ),
        ({"target": {"RED": [1, 2]}}, OptionError, "target_vectors: have 2 numbers, and vectors of sources 3"),
        ({"target": {"ZEBRA": [1, 2, 3]}}, DataError, "has none of the 8 tokens of the training part"),
    ],
)
def test_what_does_not_go_together(
    files: PairVectorOptions, tmp_path: Path, options: dict[str, Any], kind: Any, message: str
) -> None:
    given: dict[str, Any] = {"model": ANY_SIZE, "training": replace(QUICK, max_steps=1), **options}
    if "tied" in given:
        given["model"] = replace(ANY_SIZE, tied=given.pop("tied"))
    chosen = replace(files, freeze_vectors=given.pop("freeze_vectors", False))
    if "target" in given:
        chosen = replace(chosen, target_vectors=vectors(tmp_path / "other.txt", given.pop("target")))
    if kind is None:
        kind, message = OptionError, "embedding_size: is that of the vectors, 3, not 4"
    with pytest.raises(kind, match=message):
        train(DATA, tmp_path / "run", vectors=chosen, **given)
    assert not (tmp_path / "run").exists()


def test_vectors_of_targets_alone(files: PairVectorOptions, tmp_path: Path) -> None:
    run = train(DATA, tmp_path / "run", model=ANY_SIZE, vectors=replace(files, vectors=None))
    assert RunFolder.open(run.path).read_tensors("vectors.safetensors").keys() == {"target_ids", "target_values"}
    with pytest.raises(OptionError, match="vector_words: would be ignored without vectors"):
        PairVectorOptions(target_vectors="a.txt", vector_words=5)
    with pytest.raises(OptionError, match="target_vectors must name a file, not ''"):
        PairVectorOptions(target_vectors="")


def test_turns_stay_apart_with_vectors_too(files: PairVectorOptions, tmp_path: Path) -> None:
    data = ([f"{one}\n{one}" for one in DATA[0]], DATA[1])
    run = train(data, tmp_path / "run", model=ANY_SIZE, vectors=files)
    vocabulary = TrainedTranslator.load(run).setup.source_vocabulary
    assert vocabulary.has_lines
    assert "\n" in vocabulary.symbols
