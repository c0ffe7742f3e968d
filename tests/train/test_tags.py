"""Training of taggers: what is said, resuming, and what is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.tasks.tags.conftest import conll, drawn, written

from recur.data.texts.options import TaggedTextOptions
from recur.data.texts.token_options import WordOptions
from recur.data.texts.vector_options import VectorOptions
from recur.errors import DataError, OptionError
from recur.models.texts.tagger_options import TaggerOptions
from recur.run import RunFolder
from recur.tasks.tags.evaluation import evaluate_tags
from recur.tasks.tags.figures import count_tags
from recur.tasks.tags.trained import TrainedTagger
from recur.train.options import TextTrainingOptions
from recur.train.resumption import resume
from recur.train.tags import train_tagger

TINY = TaggerOptions(hidden_size=4, embedding_size=4, character_size=4, character_features=4, embedding_dropout=0.0)
QUICK = TextTrainingOptions(max_steps=8, batch_size=16, validate_every=4, no_report=True)


def train(data: Any, out: Path, *, said: io.StringIO | None = None, **options: Any) -> RunFolder:
    console = Console(quiet=True) if said is None else Console(file=said, width=200)
    chosen: dict[str, Any] = {"model": TINY, "training": QUICK, **options}
    return train_tagger(data, out=out, console=console, **chosen)


def test_what_is_said(tmp_path: Path) -> None:
    said = io.StringIO()
    train(written(tmp_path / "names.conll", 60), tmp_path / "run", said=said)
    for line in (
        "note     of 2 columns, tokens are in column 1 and tags in column 2",
        "sentences 60: 48 to train on, 6 to choose by, 6 to test",
        "tags     6, entities by the scheme BIO: B-DATE, B-LOC, B-PER, I-LOC, I-PER and O",
        "model    a convolution over characters, LSTM 1 x 4 in both directions, a conditional random field;",
        "training 16 sentences a step",
    ):
        assert line in said.getvalue()


def test_a_resumed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = written(tmp_path / "names.conll", 60)
    same = replace(QUICK, learning_rate=1e-2, final_learning_rate=1.0, warmup_steps=0)
    whole = train(data, tmp_path / "whole", training=same)
    part = train(data, tmp_path / "part", training=replace(same, max_steps=4, checkpoint_every=4))
    resumed = resume(str(part.path), data=None, bounds={"max_steps": 8}, console=Console(quiet=True))
    state = [torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, resumed)]
    assert state[0]["global_step"] == state[1]["global_step"] == 8
    for name, value in state[0]["state_dict"].items():
        torch.testing.assert_close(state[1]["state_dict"][name], value, rtol=0, atol=0)


def test_the_weights_that_tell_most_are_kept(tmp_path: Path) -> None:
    quick = replace(QUICK, max_steps=60, validate_every=6, learning_rate=0.03)
    run = train(drawn(60), tmp_path / "run", training=quick)
    rows = [row for row in run.metrics() if row["kind"] == "valid"]
    best = [row for row in rows if row["is_best"]]
    scores = [row["score"] for row in rows]
    assert len(set(scores)) > 2
    # Of several that are as good the last.
    assert best[-1]["step"] == max(row["step"] for row in rows if row["score"] == max(scores))
    trained = TrainedTagger.load(run)
    valid = trained.setup.own_examples(drawn(60)).of_part("valid")
    told = [one.tags for one in trained.told(valid.tokens)]
    assert count_tags(told, valid.tags, has_entities=True).micro_f1 == pytest.approx(max(scores))


def test_data_in_memory_are_resumed_with_the_same_data(tmp_path: Path) -> None:
    data = drawn(60)
    run = train(data, tmp_path / "run")
    again = resume(str(run.path), data=data, bounds={"max_steps": 10}, console=Console(quiet=True))
    assert again.read_json("label_evaluation.json")["figures"]["num_sentences"] == 6


def test_parts_of_speech_have_no_scheme(tmp_path: Path) -> None:
    path = tmp_path / "words.conllu"
    rows = ("1\tthe\tthe\tDET\n2\tdog\tdog\tNOUN\n3\truns\trun\tVERB\n", "1\tit\tit\tPRON\n2\tsat\tsit\tVERB\n")
    path.write_text("\n".join(f"# {number}\n{rows[number % 2]}4\t{number}\t_\tNUM\n" for number in range(40)))
    run = train(path, tmp_path / "run", training=replace(QUICK, max_steps=40, learning_rate=0.05))
    found = run.read_json("label_evaluation.json")
    assert found["classes"] == ["DET", "NOUN", "NUM", "PRON", "VERB"]
    assert found["figures"]["micro_f1"] == found["figures"]["token_accuracy"] > 0.9
    assert found["figures"]["has_entities"] is False


def test_a_tag_in_the_test_part_alone_is_noted_and_told_wrong(tmp_path: Path) -> None:
    tokens, tags = drawn(40)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.conll").write_text(conll((tokens[:20], tags[:20])))
    (tmp_path / "data" / "dev.conll").write_text(conll((tokens[20:30], tags[20:30])))
    tags[35][0] = "B-EVENT"
    if tags[35][1] == "I-PER":
        tags[35][1] = "O"
    (tmp_path / "data" / "test.conll").write_text(conll((tokens[30:], tags[30:])))
    said = io.StringIO()
    run = train(tmp_path / "data", tmp_path / "run", said=said)
    assert "the tag 'B-EVENT' does not occur in train, so that it cannot be told" in said.getvalue()
    found = evaluate_tags(run.path)
    assert found["notes"][0].startswith("the tag 'B-EVENT' is not known to the model, so that it is told wrong")
    # Weights are chosen by sentences whose tags are all known, and where there are none by those of the training part.
    (tmp_path / "data" / "dev.conll").write_text("Ada B-EVENT\n\nBo B-EVENT\n")
    assert train(tmp_path / "data", tmp_path / "again").has("model.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\n\nb O\n\nc O\n\nd O\n", "there is nothing to tell apart: all 2 tokens that are learned from have the"),
        ("a O\nb I-PER\n\nc O\n", "line 2: the tag 'I-PER' follows 'O', but an entity begins with B-; mend it, or say"),
        ("a O\n\nb B-X\n", "has 2 sentences to draw from"),
        ("\n\n", "names.conll: is empty; give a file with text in it"),
        ("a O\nb\n\nc O\n", "line 2 has 1 column, but most have 2"),
        (b"a O\nb\xff B-X\n", "utf-8"),
    ],
)
def test_data_that_teach_nothing(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "names.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        train(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tags_that_break_their_scheme_are_mended_if_asked(tmp_path: Path) -> None:
    tokens, tags = drawn(40)
    path = tmp_path / "names.conll"
    path.write_text(conll((tokens, [[tag.replace("B-", "I-") for tag in own] for own in tags])))
    run = train(path, tmp_path / "run", sentences=TaggedTextOptions(repair=True))
    assert run.read_json("schema.json")["scheme"] == "BIO"
    assert "B-PER" in run.read_json("schema.json")["tags"]
    assert evaluate_tags(run.path, path)["figures"]["num_sentences"] == 40


def test_options_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected TaggerOptions, got TaggedTextOptions"):
        train(drawn(20), tmp_path / "run", model=TaggedTextOptions())
    with pytest.raises(OptionError, match="min_count must be a whole number from 1 on, not 0"):
        WordOptions(min_count=0)


def vectors(path: Path) -> Path:
    """Write vectors of three numbers for some of the words, and for one that no sentence has."""
    rows = {"Ada": [9, 8, 7], "left": [1, 2, 3], "never": [4, 5, 6]}
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items()))
    return path


@pytest.mark.parametrize("freeze", [False, True])
def test_words_begin_with_vectors_of_a_file(tmp_path: Path, freeze: bool) -> None:
    data, file = written(tmp_path / "names.conll", 60), vectors(tmp_path / "vectors.txt")
    said = io.StringIO()
    model = replace(TINY, embedding_size=None)
    options = VectorOptions(vectors=str(file), freeze_vectors=freeze)
    run = train(data, tmp_path / "run", said=said, model=model, vectors=options)
    for line in ("vectors  2 of ", "of 3 numbers; 1 more are known by their vectors alone"):
        assert line in said.getvalue()
    # The file is not needed any more.
    file.unlink()
    trained = TrainedTagger.load(run)
    assert trained.options.embedding_size == 3
    ids = trained.setup.words.encode_tokens(["ada", "left", "never"]).tolist()
    assert len(set(ids) - {1}) == 3
    found = trained.network.embedding.weight[torch.tensor(ids)].detach()
    expected = torch.tensor([[9.0, 8, 7], [1, 2, 3], [4, 5, 6]])
    assert torch.equal(found, expected) == freeze
    torch.testing.assert_close(found, expected, rtol=0, atol=0.5)
    resumed = resume(str(run.path), data=None, bounds={"max_steps": 10}, console=Console(quiet=True))
    kept = TrainedTagger.load(resumed).network.embedding.weight[torch.tensor(ids)].detach()
    assert torch.equal(kept, expected) == freeze


def test_vectors_that_do_not_fit(tmp_path: Path) -> None:
    data, file = written(tmp_path / "names.conll", 60), vectors(tmp_path / "vectors.txt")
    with pytest.raises(OptionError, match=r"embedding_size: is that of the vectors, 3, not 4"):
        train(data, tmp_path / "run", vectors=VectorOptions(vectors=str(file)))
    file.write_text("zebra 1 2\n")
    with pytest.raises(
        DataError, match=r"has none of the \d+ tokens of the training part; is it of another language\?"
    ):
        train(data, tmp_path / "run", vectors=VectorOptions(vectors=str(file)))
