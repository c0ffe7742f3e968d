"""Training of classifiers of texts: folder, resuming, what is said, and what is refused."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.tasks.texts.conftest import drawn, written

from recur.data.texts.options import LabelledTextOptions, PairOptions
from recur.data.texts.token_options import TokenOptions
from recur.data.texts.vector_options import PairVectorOptions, VectorOptions
from recur.data.texts.vectors import read_vectors
from recur.data.texts.vocabulary import TextVocabulary
from recur.errors import DataError, OptionError, RunError
from recur.models.texts.options import TextClassifierOptions
from recur.run import RunFolder
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.train.options import TextTrainingOptions
from recur.train.resumption import resume
from recur.train.text_choice import choose
from recur.train.text_preparation import paths_of_data, with_whole_paths
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


def test_a_training_that_runs_out_of_time_says_so_once(tmp_path: Path) -> None:
    said = io.StringIO()
    short = replace(QUICK, max_steps=100_000, max_minutes=1e-4)
    run = train(written(tmp_path / "texts.tsv", 90), tmp_path / "run", said=said, training=short)
    (line,) = [line for line in said.getvalue().splitlines() if line.startswith("stopped")]
    assert re.fullmatch(
        r"stopped after 0\.0001 minutes, in step \d+ of 100,000; a higher max_minutes= trains on\.", line
    )
    assert any(one.get("text", "") == line.partition(";")[0] for one in run.metrics())


def test_a_resumed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = written(tmp_path / "texts.tsv", 90)
    # The rate's decay fits itself to the bound, so that with one the first steps would be others.
    same = replace(QUICK, final_learning_rate=1.0, warmup_steps=0)
    whole = train(data, tmp_path / "whole", training=same)
    part = train(data, tmp_path / "part", training=replace(same, max_steps=5, checkpoint_every=5))
    resumed = resume(str(part.path), data=None, bounds={"max_steps": 12}, console=Console(quiet=True))
    state = [torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, resumed)]
    assert state[0]["global_step"] == state[1]["global_step"] == 12
    assert state[0]["state_dict"].keys() == state[1]["state_dict"].keys()
    for name, value in state[0]["state_dict"].items():
        torch.testing.assert_close(state[1]["state_dict"][name], value, rtol=0, atol=0)


def test_data_in_memory_are_resumed_with_the_same_data(tmp_path: Path) -> None:
    texts = drawn(90)
    run = train((texts[0], texts[1]), tmp_path / "run")
    again = resume(str(run.path), data=(texts[0], texts[1]), bounds={"max_steps": 14}, console=Console(quiet=True))
    assert again.read_json("label_evaluation.json")["figures"]["num_told"] == 9


def noted(data: Any, out: Path, **options: Any) -> str:
    said = io.StringIO()
    train(data, out, said=said, **options)
    return said.getvalue()


def test_bad_rows_are_told_of(tmp_path: Path) -> None:
    texts, labels = drawn(90)
    parts = ["train"] * 60 + ["valid"] * 15 + ["test"] * 15
    texts[80], texts[3], labels[85], labels[5] = texts[0], " ", "weather", ""
    table = {"text": texts, "kind": labels, "split": parts}
    text = noted(table, tmp_path / "run")
    assert "1 of the 15 texts of test stands in train too" in text
    assert "1 empty text left out" in text
    assert text.count("1 text without a class") == 1
    assert "the class 'weather' does not occur in train, so that it cannot be told" in text
    judged = RunFolder.open(tmp_path / "run").read_json("label_evaluation.json")
    assert any("the training part has no text of the class 'weather'" in note for note in judged["notes"])


@pytest.mark.slow
def test_a_text_of_a_hundred_thousand_words_is_learned_from(tmp_path: Path) -> None:
    texts, labels = drawn(40)
    long = "the day was loud " * 25_000
    table = {"text": [*texts, long], "kind": [*labels, "music"], "split": ["train"] * 30 + ["test"] * 10 + ["train"]}
    # One epoch, in which it comes once.
    quick = replace(QUICK, max_steps=4, batch_size=8)
    small = TextClassifierOptions(hidden_size=4, embedding_size=4, members=1, bidirectional=False)
    run = train(table, tmp_path / "run", model=small, training=quick, texts=LabelledTextOptions(valid=3))
    trained = TrainedTextClassifier.load(run)
    assert trained.setup.num_texts == 28
    batches = trained.setup.batches(trained.setup.read(table), batch_size=8, max_tokens=1000)
    assert max(int(batch.lengths.max()) for batch in batches) == 100_000


def test_numbers_and_many_classes_are_classes(tmp_path: Path) -> None:
    texts, _ = drawn(300)
    stars = [number % 5 + 1 for number in range(300)]
    assert "one of 5 classes: 1, 2, 3, 4 and 5" in noted({"text": texts, "stars": stars}, tmp_path / "stars")
    with pytest.raises(
        DataError, match=r"no column has classes, of which there would be fewer than half as many as rows"
    ):
        train({"text": texts, "score": [number / 7 for number in range(300)]}, tmp_path / "scores")
    # Too many to count which was told for which.
    many = (texts * 2, [f"c{number}" for number in range(600)])
    texts_of_many = [f"{text} {number}" for number, text in enumerate(many[0])]
    assert "one of 600 classes" in noted((texts_of_many, many[1]), tmp_path / "many")
    judged = RunFolder.open(tmp_path / "many").read_json("label_evaluation.json")
    assert judged["figures"]["confusion"] == []
    assert len(judged["figures"]["classes"]) == 600


def vectors(path: Path) -> Path:
    """Write vectors of five numbers for some of the words, and for two that no text has."""
    draw = np.random.default_rng(3)
    words = ["the", "Tasty", "loud", "fair", "never", "ever"]
    path.write_text("6 5\n" + "".join(f"{word} {' '.join(map(str, draw.normal(size=5)))}\n" for word in words))
    return path


BARE = TextClassifierOptions(hidden_size=4, members=2)


@pytest.mark.parametrize("freeze", [True, False])
def test_words_begin_with_vectors_of_a_file(tmp_path: Path, freeze: bool) -> None:
    data, file = written(tmp_path / "texts.tsv", 90), vectors(tmp_path / "vectors.txt")
    said = io.StringIO()
    options = VectorOptions(vectors=str(file), freeze_vectors=freeze)
    run = train(data, tmp_path / "run", said=said, model=BARE, vectors=options)
    for line in ("vectors  4 of ", "of 5 numbers; 2 more are known by their vectors alone"):
        assert line in said.getvalue()
    assert ("they stay as they are" in said.getvalue()) == freeze
    trained = TrainedTextClassifier.load(run)
    vocabulary = trained.setup.vocabulary
    assert {"never", "ever"} <= set(vocabulary.symbols)
    assert run.config()["model"]["embedding_size"] == 5
    network: Any = trained.network
    expected = read_vectors(file, ["loud", "tasty", "never"])
    for member in network.networks:
        for word, values in expected.items():
            own = member.encoder.embedding.weight[int(vocabulary.encode(word)[0])].detach().numpy()
            if freeze:
                np.testing.assert_array_equal(own, values)
            else:
                # Twelve steps do not lead far, and decay makes a word that is never read smaller.
                np.testing.assert_allclose(own, values, atol=0.1)
                assert not np.array_equal(own, values)
    two = [member.encoder.embedding.weight.detach() for member in network.networks]
    assert not torch.equal(*two)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_training_goes_on_without_the_file_of_vectors(tmp_path: Path, freeze: bool) -> None:
    data, file = written(tmp_path / "texts.tsv", 90), vectors(tmp_path / "vectors.txt")
    options = VectorOptions(vectors=str(file), freeze_vectors=freeze)
    run = train(
        data, tmp_path / "run", model=BARE, vectors=options, training=replace(QUICK, max_steps=5, checkpoint_every=5)
    )
    file.unlink()
    before = TrainedTextClassifier.load(run).network.state_dict()
    again = resume(str(run.path), data=None, bounds={"max_steps": 10}, console=Console(quiet=True))
    after = TrainedTextClassifier.load(again).network.state_dict()
    name = "members.0.encoder.embedding.weight"
    assert torch.equal(before[name], after[name]) == freeze
    recurrent = "members.0.encoder.recurrent.weight_ih_l0"
    assert not torch.equal(before[recurrent], after[recurrent])
    RunFolder.open(run.path).delete("vectors.safetensors")
    with pytest.raises(RunError, match=r"vectors\.safetensors"):
        resume(str(run.path), data=None, bounds={"max_steps": 12}, console=Console(quiet=True))


def test_a_run_has_its_vectors_before_it_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any moment there is a run that can be gone on with, or none."""
    data, file = written(tmp_path / "texts.tsv", 90), vectors(tmp_path / "vectors.txt")
    options: dict[str, Any] = {"model": BARE, "vectors": VectorOptions(vectors=str(file))}
    write = RunFolder.write_json

    def killed(run: RunFolder, name: str, content: Any) -> None:
        if name == "config.json":
            raise KeyboardInterrupt
        write(run, name, content)

    monkeypatch.setattr(RunFolder, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", **options)
    assert (tmp_path / "run" / "vectors.safetensors").exists()
    monkeypatch.undo()
    # What is left of it is known as such, and makes way.
    assert train(data, tmp_path / "run", overwrite=True, **options).has("config.json")


def test_vectors_that_do_not_fit(tmp_path: Path) -> None:
    data, file = written(tmp_path / "texts.tsv", 90), vectors(tmp_path / "vectors.txt")
    with pytest.raises(
        OptionError, match=r"embedding_size: is that of the vectors, 5, not 4; leave embedding_size= out"
    ):
        train(data, tmp_path / "run", vectors=VectorOptions(vectors=str(file)))
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="no such file of vectors"):
        train(data, tmp_path / "run", vectors=VectorOptions(vectors=str(tmp_path / "none.txt")))


def test_of_several_classes_none_are_smoothed(tmp_path: Path) -> None:
    texts = drawn(90, is_multi=True)
    smooth = replace(TINY, label_smoothing=0.1)
    with pytest.raises(
        OptionError, match=r"label_smoothing: is of texts of one class each, and these may have several; leave label_sm"
    ):
        train(texts, tmp_path / "run", model=smooth)
    assert not (tmp_path / "run").exists()
    # As much as characters have if not given says the run of texts of one class alone.
    tokens = TokenOptions(tokens="character")
    for data, expected in ((texts, 0.0), (drawn(90), 0.1)):
        run = train(data, tmp_path / f"smoothed {expected}", tokens=tokens)
        assert run.config()["model"]["label_smoothing"] == expected
    assert train(drawn(90), tmp_path / "run", model=smooth).config()["model"]["label_smoothing"] == 0.1


def test_the_training_part_is_tokenised_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To choose by, to learn from, and for the rule."""
    encode, counts = TextVocabulary.encode_all, []

    def counted(vocabulary: TextVocabulary, texts: Any) -> Any:
        counts.append(len(texts))
        return encode(vocabulary, texts)

    monkeypatch.setattr(TextVocabulary, "encode_all", counted)
    train(written(tmp_path / "texts.tsv", 90), tmp_path / "run")
    assert counts.count(72) == 3


def test_a_run_does_not_replace_a_file_that_an_option_names(tmp_path: Path) -> None:
    run = train(written(tmp_path / "texts.tsv", 90), tmp_path / "run")
    names = run.path / "names.txt"
    names.write_text("a\nb\nc\n")
    with pytest.raises(RunError, match=r"run: holds the texts .*names\.txt, so it is no place for the run"):
        train(tmp_path / "texts.tsv", run.path, texts=LabelledTextOptions(label_names=str(names)), overwrite=True)
    file = vectors(run.path / "vectors.txt")
    with pytest.raises(RunError, match=r"run: holds the texts .*vectors\.txt, so it is no place for the run"):
        train(tmp_path / "texts.tsv", run.path, vectors=VectorOptions(vectors=str(file)), overwrite=True)
    assert names.exists()


def test_paths_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_whole_paths(VectorOptions()) == VectorOptions()
    pairs = with_whole_paths(PairOptions(valid_data="a.en, a.ja", test_data="-"))
    assert (pairs.valid_data, pairs.test_data) == (f"{tmp_path / 'a.en'},{tmp_path / 'a.ja'}", "-")
    folder = tmp_path / "runs, old"
    folder.mkdir()
    monkeypatch.chdir(folder)
    pairs = with_whole_paths(PairOptions(valid_data='a.en, "a,b.ja"'))
    assert pairs.files == [str(folder / "a.en"), str(folder / "a,b.ja")]
    assert with_whole_paths(pairs) == pairs
    monkeypatch.chdir(tmp_path)
    texts = with_whole_paths(LabelledTextOptions(test_data="a,b.csv", label_names="names.txt"))
    assert (texts.test_data, texts.label_names) == (str(tmp_path / "a,b.csv"), str(tmp_path / "names.txt"))
    both = with_whole_paths(PairVectorOptions(vectors="en.txt", target_vectors=str(tmp_path / "ja.txt")))
    assert (both.vectors, both.target_vectors) == (str(tmp_path / "en.txt"), str(tmp_path / "ja.txt"))


def test_which_data_lie_in_files() -> None:
    assert paths_of_data(Path("a.tsv")) == ["a.tsv"]
    assert paths_of_data(["a.en", Path("a.ja")]) == paths_of_data(("a.en", "a.ja")) == ["a.en", "a.ja"]
    assert paths_of_data((["a text"], ["another"])) == paths_of_data({"text": ["a"]}) == []


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
