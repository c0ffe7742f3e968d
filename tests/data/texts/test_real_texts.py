"""Real files, where there are some: the numbers are those of their own descriptions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recur.data.texts import (
    Examples,
    LabelledTextOptions,
    PairOptions,
    glance_at_texts,
    read_labelled_texts,
    read_pairs,
    split_examples,
)


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("RECUR_DATA")
    if not folder:
        pytest.skip("RECUR_DATA names no folder with real texts")
    return Path(folder)


def sizes(examples: Examples) -> list[int]:
    return [examples.part.count(part) for part in ("train", "valid", "test")]


def kind_of(*paths: Path) -> str | None:
    found = glance_at_texts(paths)
    return found and found.kind


def test_comments_with_several_emotions(data: Path) -> None:
    folder = data / "goemotions"
    found = read_labelled_texts(folder, LabelledTextOptions(label_names=str(folder / "labels.txt")))
    assert sizes(found) == [43_410, 5_426, 5_427]
    assert len(found.classes) == 28
    assert found.is_multi
    train = found.of_part("train")
    assert train.texts[0] == "My favourite food is anything I didn't have to cook myself."
    assert train.labels[0] == ("neutral",)
    # Cells in quotes, with quotes in them.
    assert train.texts[1_000].count('"') % 2 == 0
    assert kind_of(folder) == "labelled"


def test_surnames_in_a_file_for_each_language(data: Path) -> None:
    found = read_labelled_texts(data / "names")
    assert len(found) == 20_050
    assert len(found.classes) == 18
    split = split_examples(found)
    assert sum(sizes(split)) == 20_050
    assert {label for labels in split.of_part("train").labels if labels for label in labels} == set(found.classes)
    assert kind_of(data / "names") == "labelled"


def test_pronunciations_of_fifteen_languages(data: Path) -> None:
    folder = data / "sigmorphon2020-g2p"
    languages = [path.name[:3] for path in sorted((folder / "train").iterdir())]
    assert len(languages) == 15
    for language in languages:
        files = [folder / part / f"{language}_{part}.tsv" for part in ("train", "dev", "test")]
        found = split_examples(read_pairs(files))
        assert sizes(found) == [3_600, 450, 450], language
        # No word stands in two parts.
        assert found.notes == (), language
        assert kind_of(*files) == "pairs", language


def test_commands_and_actions(data: Path) -> None:
    found = read_pairs(data / "scan" / "simple_split")
    assert sizes(found) == [16_728, 0, 4_182]
    assert all(target.startswith("I_") for target in found.targets)
    assert kind_of(data / "scan" / "simple_split") == "pairs"


def test_english_and_japanese_sentences(data: Path) -> None:
    found = read_pairs(data / "enja-tanaka", PairOptions(source="en", target="ja"))
    assert sizes(found) == [50_000, 500, 500]
    assert found.of_part("train").sources[0] == "i can 't tell who will arrive first ."
    assert found.of_part("train").targets[0].endswith("ま せ ん 。")
    notes = split_examples(found).notes
    assert any(note.startswith("60 of the 500 pairs of test stand in train too, by their source,") for note in notes)


def test_conversations_on_many_topics(data: Path) -> None:
    found = read_pairs(data / "chatterbot-corpus", PairOptions(history=2))
    assert found.group is not None
    assert len(set(found.group.tolist())) == 2_025
    assert len(found) == 2_306
    assert kind_of(data / "chatterbot-corpus") == "pairs"


@pytest.mark.parametrize("name", ["beijing-pm25", "cmapss", "uea-ucr", "nab", "char-trajectories", "tinyshakespeare"])
def test_series_and_prose_are_left_to_others(data: Path, name: str) -> None:
    for path in [data / name, *sorted((data / name).iterdir())]:
        assert kind_of(path) is None, path
