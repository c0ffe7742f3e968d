"""A trained writer: what it writes of a label, how likely texts are to it, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console

import recur
from recur.data.texts.options import WrittenTextOptions
from recur.decode import Sampling
from recur.errors import DataError, OptionError, RunError
from recur.models.texts.options import TextClassifierOptions
from recur.models.texts.writer_options import WriterOptions
from recur.tasks.texts.trained import TrainedTextClassifier
from recur.tasks.write.trained import TrainedWriter
from recur.token_ids import END
from recur.train.options import TextTrainingOptions
from recur.train.texts import train_text_classifier
from recur.train.write import train_writer

SMALL = WriterOptions(hidden_size=8, embedding_size=4, context_size=4)
QUICK = TextTrainingOptions(max_steps=4, batch_size=16, no_report=True)


def quickly(data: Any, out: Path, **options: Any) -> TrainedWriter:
    run = train_writer(data, out=out, model=SMALL, training=QUICK, console=Console(quiet=True), **options)
    return TrainedWriter.load(run)


@pytest.fixture(scope="module")
def two_numbers(table: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> TrainedWriter:
    """A writer of labels and of two columns."""
    options = WrittenTextOptions(columns="length,twice", label="language")
    more = table | {"twice": [2 * length for length in table["length"]]}
    return quickly(more, tmp_path_factory.mktemp("two") / "run", texts=options)


def test_a_classifier_takes_what_it_writes_for_its_language(
    writer: TrainedWriter, folder: Path, tmp_path: Path
) -> None:
    run = train_text_classifier(
        folder / "names.csv",
        out=tmp_path / "told",
        model=TextClassifierOptions(hidden_size=16, embedding_size=8, members=1),
        training=TextTrainingOptions(max_steps=60, no_report=True),
        console=Console(quiet=True),
    )
    classifier = TrainedTextClassifier.load(run)
    for language in writer.classes:
        texts = writer.generate(label=language, samples=50, seed=1)
        told = classifier.predict(texts)["language"].to_list()
        assert told.count(language) >= 45, language
        assert len(set(texts)) > 20


def test_texts_end_by_themselves_and_are_as_likely_as_is_said(writer: TrainedWriter) -> None:
    found = writer.write(label="Bel", samples=20, seed=3)
    assert all(one.is_whole and one.labels == ("Bel",) and one.text for one in found)
    said = writer.log_probs([one.text for one in found], label="Bel")
    np.testing.assert_allclose([one.log_prob for one in found], said, rtol=1e-4)
    assert (writer.log_probs([one.text for one in found], label="Cor") < said).all()
    short = writer.write(label="Bel", length=2, samples=5, seed=3)
    assert all(len(one.text) <= 2 for one in short)
    assert not any(one.is_whole for one in short)


def test_a_seed_a_temperature_and_a_prompt(writer: TrainedWriter) -> None:
    one, same, other = (writer.generate(label="Ava", samples=8, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert len(set(writer.generate(label="Ava", samples=5, sampling=Sampling(temperature=0)))) == 1
    begun = writer.generate("Ka", label="Ava", samples=5, seed=1)
    assert all(text.startswith("Ka") for text in begun)
    # As likely as the same text from the beginning on, given its beginning.
    (rest,) = writer.write("K", label="Ava", seed=1)
    assert rest.log_prob > writer.log_probs([rest.text], label="Ava")[0]
    with pytest.raises(DataError, match="the prompt has 'X', which the model does not know"):
        writer.generate("KaX", label="Ava")


def test_no_text_is_empty_but_a_prompt_may_be_all_of_it(writer: TrainedWriter) -> None:
    with torch.no_grad():
        # It would rather write nothing.
        writer.network.language.output.bias[END] += 100.0
    for sampling in (None, Sampling(temperature=0), Sampling(top_k=1)):
        found = writer.write(label="Ava", samples=20, seed=1, sampling=sampling)
        assert all(len(one.text) == 1 and one.is_whole for one in found)
        assert writer.generate("Ka", label="Ava", samples=3, seed=1, sampling=sampling) == ["Ka"] * 3
    assert all(writer.predict({"language": ["Bel", "Cor"]}, samples=10)["name"].str.len_chars() == 1)


def test_without_a_label_one_is_drawn(writer: TrainedWriter) -> None:
    found = writer.write(samples=60, seed=0)
    assert {one.labels for one in found} == {("Ava",), ("Bel",), ("Cor",)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "ava"}, "label: there is no class 'ava'; did you mean 'Ava'\\?"),
        ({"label": "Balu"}, "label: there is no class 'Balu'; did you mean 'Bel'|there are Ava, Bel and Cor"),
        ({"label": "Quenya"}, "label: there is no class 'Quenya'; there are Ava, Bel and Cor"),
        ({"label": ["Ava", "Bel"]}, "label: a text is of one class, not 2; give one"),
        ({"label": "Ava", "vector": [1.0]}, "vector: no numbers are read, only labels; leave it out"),
        ({"label": "Ava", "samples": 0}, "samples must be a whole number from 1 on, not 0"),
        ({"label": "Ava", "length": 0}, "length must be a whole number from 1 on, not 0"),
        ({"label": "Ava", "seed": -1}, "seed must be a whole number from 0 to"),
    ],
)
def test_what_makes_no_sense_is_refused(writer: TrainedWriter, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        writer.generate(**options)


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1.5])
def test_seeds_out_of_range_are_refused_wherever_texts_are_drawn(writer: TrainedWriter, seed: Any) -> None:
    for write in (
        lambda: writer.write(label="Ava", seed=seed),
        lambda: writer.write_each([("Ava",)], seed=seed),
        lambda: writer.predict(pl.DataFrame({"language": ["Ava"]}), seed=seed),
    ):
        with pytest.raises(OptionError, match="seed must be a whole number from 0 to 9223372036854775807, not "):
            write()


def test_rows_become_texts(writer: TrainedWriter, tmp_path: Path) -> None:
    table = writer.predict({"language": ["Cor", "Ava"]}, samples=2, seed=5)
    assert table.columns == ["language", "name", "log_prob"]
    assert table["language"].to_list() == ["Cor", "Cor", "Ava", "Ava"]
    path = tmp_path / "rows.csv"
    path.write_text("language,other\nCor,1\nAva,2\n")
    assert writer.predict(path, samples=2, seed=5).equals(table)
    with pytest.raises(DataError, match="the class 'Kor' is none of those of the model"):
        writer.predict({"language": ["Kor"]})


def test_numbers_are_written_from(table: dict[str, list[Any]], tmp_path: Path) -> None:
    writer = quickly(table, tmp_path / "run", texts=WrittenTextOptions(columns="length"))
    assert (writer.classes, writer.setup.columns) == ((), ("length",))
    assert writer.setup.means[0] == pytest.approx(np.mean(table["length"]), abs=0.3)
    assert len(writer.generate(vector=[3], samples=2, seed=0)) == 2
    assert writer.log_probs(["Pata"], vector=[2]) != writer.log_probs(["Pata"], vector=[5])
    for given, message in (
        ({}, "vector: expected a number, of length, got none"),
        ({"vector": [1, 2]}, r"vector: expected a number, of length, got \[1, 2\]"),
        ({"vector": [float("nan")]}, "vector: expected a number, of length, got"),
        ({"vector": [1], "label": "Ava"}, "label: texts are written from numbers, of length; leave it out"),
    ):
        with pytest.raises(OptionError, match=message):
            writer.generate(**given)  # type: ignore[arg-type]
    told = writer.predict(pl.DataFrame({"length": [3, 4]}))
    assert told.columns == ["length", "name", "log_prob"]
    assert told["length"].to_list() == [3.0, 4.0]


def test_labels_and_numbers_are_written_from(table: dict[str, list[Any]], tmp_path: Path) -> None:
    options = WrittenTextOptions(columns="length", label="language")
    writer = quickly(table, tmp_path / "run", texts=options)
    assert writer.setup.num_features == 4
    assert len(writer.generate(label="Ava", vector=[3])) == 1
    assert {one.labels for one in writer.write(vector=[3], samples=30, seed=0)} == {("Ava",), ("Bel",), ("Cor",)}
    with pytest.raises(OptionError, match="vector: expected a number, of length, got none"):
        writer.generate(label="Ava")


@pytest.mark.parametrize(
    ("labels", "numbers", "error", "message"),
    [
        (
            [("Ava",)],
            None,
            OptionError,
            r"numbers: expected them in the shape \(1, 2\), of length and twice, got \(1, 0\)",
        ),
        ([("Ava",)], [[1.0]], OptionError, r"expected them in the shape \(1, 2\), of length and twice, got \(1, 1\)"),
        ([("Ava",)], [[1.0, float("nan")]], OptionError, "numbers: expected .*, got nan, which is not finite"),
        ([("Ava",)] * 2, [[1.0], [1.0, 2.0]], OptionError, r"numbers: expected them in the shape \(2, 2\)"),
        ([("Ava", "Bel")], [[1.0, 2.0]], OptionError, "label: a text is of one class, not 2; give one"),
        ([()], [[1.0, 2.0]], OptionError, "label: a text is of one class, not 0; give one"),
        (["Ava"], [[1.0, 2.0]], TypeError, r"labels: takes the classes of each text, not one text; give \['Ava'\]"),
        ("Ava", [[1.0, 2.0]], TypeError, "labels: takes the classes of each text, not one text"),
    ],
)
def test_contexts_of_several_texts_are_checked(
    two_numbers: TrainedWriter, labels: Any, numbers: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        two_numbers.write_each(labels, numbers)


def test_no_texts_are_none(two_numbers: TrainedWriter) -> None:
    assert two_numbers.write_each([]) == []
    assert two_numbers.log_probs([], label="Ava", vector=[1, 2]).shape == (0,)


def test_one_odd_text_does_not_make_all_wait(table: dict[str, list[Any]], tmp_path: Path) -> None:
    names = ["pa" * 500, *table["name"][1:]]
    part = ["train"] * 250 + ["valid"] * 50
    writer = quickly({"name": names, "language": table["language"], "split": part}, tmp_path / "run")
    assert writer.setup.longest == 12
    assert writer.longest == 34


def test_texts_of_several_labels(tmp_path: Path) -> None:
    texts = [f"{one}{other}{number}" for one in "ab" for other in "cd" for number in range(20)]
    writer = quickly({"text": texts, "label": [[text[0], text[1]] for text in texts]}, tmp_path / "run")
    assert writer.setup.is_multi
    assert len(writer.generate(label=["a", "d"], samples=3)) == 3
    assert len(writer.generate(samples=3)) == 3
    assert writer.predict({"label": [["a", "c"], ["b", "d"]]})["label"].to_list() == [["a", "c"], ["b", "d"]]


def test_labels_that_are_given_by_number(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("neg\npos\n")
    texts = [f"{one}{number}" for one in "ab" for number in range(20)]
    data = {"text": texts, "label": [int(text[0] == "b") for text in texts]}
    writer = quickly(data, tmp_path / "run", texts=WrittenTextOptions(label_names=str(names)))
    names.unlink()
    assert writer.classes == ("neg", "pos")
    assert writer.predict({"label": ["1", "0", "pos"]})["label"].to_list() == ["pos", "neg", "pos"]
    assert writer.setup.read(data).labels[-1] == ("pos",)
    assert writer.setup.own_examples(data).classes == ("neg", "pos")


def test_saved_and_loaded_it_writes_the_same(writer: TrainedWriter, tmp_path: Path) -> None:
    again = recur.load(writer.save(tmp_path / "saved"))
    assert isinstance(again, recur.TrainedWriter)
    assert again.generate(label="Cor", samples=4, seed=1) == writer.generate(label="Cor", samples=4, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["Ava", "Bel", "Dor"]}, "is of another model: its vocabulary, classes or columns"),
        ({"longest": 0}, "longest is 0, expected a whole number from 1 on"),
        ({"means": [1.0]}, "there must be a mean and a scale for each column"),
        ({"scales": None}, "schema.json"),
    ],
)
def test_a_damaged_schema_is_said(folder: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    path = tmp_path / "run" / "schema.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=message):
        TrainedWriter.load(tmp_path / "run")
