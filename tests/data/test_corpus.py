from __future__ import annotations

import copy
import errno
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data import building
from recur.data.corpus import PARTS, Corpus, check_long_enough, encode_text
from recur.data.options import CorpusOptions
from recur.data.spool import SpooledText
from recur.errors import DataError, RecurError, RunError

KINDS = [
    pytest.param({}, id="character"),
    pytest.param({"tokens": "byte"}, id="byte"),
    pytest.param({"tokens": "bpe", "vocabulary_size": 300}, id="bpe"),
]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def refused(message: str, error: type[RecurError] = DataError):
    return pytest.raises(error, match=rf"\A[^\n]*{message}[^\n]*\Z")


def whole_text(corpus: Corpus) -> str:
    return "".join("".join(corpus.text(part)) for part in PARTS)


# --- what is built --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS)
def test_the_parts_together_are_the_text(write, cache, prose, options):
    corpus = Corpus.build([write("a.txt", prose)], CorpusOptions(**options), cache)
    assert whole_text(corpus) == prose
    for part in PARTS:
        ids = corpus.ids(part)
        assert ids is getattr(corpus, part)
        assert ids.max() < corpus.tokenizer.vocabulary_size
        assert corpus.characters(part) == len("".join(corpus.text(part)))
        assert corpus.unknown(part) == 0
        assert corpus.documents(part) is None
    assert corpus.counts == np.bincount(corpus.train, minlength=corpus.tokenizer.vocabulary_size).tolist()
    assert corpus.train.dtype == (np.uint16 if corpus.tokenizer.kind == "bpe" else np.uint8)
    assert not corpus.train.flags.writeable


def test_the_text_is_cut_90_5_5_by_characters(write, cache):
    text = "".join(chr(0x4E00 + number % 50) for number in range(997))
    corpus = Corpus.build([write("a.txt", text)], CorpusOptions(), cache)
    assert [corpus.characters(part) for part in PARTS] == [899, 49, 49]
    assert "".join(corpus.text("test")) == text[948:]


def test_bytes_are_cut_where_a_character_ends(write, cache):
    text = "".join(chr(0x4E00 + number % 50) for number in range(997))
    corpus = Corpus.build([write("a.txt", text)], CorpusOptions(tokens="byte"), cache)
    # 149 of the 2991 bytes would end one byte and two bytes after the beginning of a character.
    assert [len(corpus.ids(part)) for part in PARTS] == [2694, 150, 147]
    assert [corpus.characters(part) for part in PARTS] == [898, 50, 49]


def test_the_fractions_are_options(write, cache):
    options = CorpusOptions(valid_fraction=0.2, test_fraction=0.1)
    corpus = Corpus.build([write("a.txt", "ab" * 50)], options, cache)
    assert [len(corpus.ids(part)) for part in PARTS] == [70, 20, 10]


def test_the_vocabulary_is_of_the_training_part_only(write, cache):
    corpus = Corpus.build([write("a.txt", "ab" * 90 + "abxbababab" + "a€abababxx")], CorpusOptions(), cache)
    assert corpus.tokenizer.to_json()["symbols"] == ["a", "b"]
    assert [corpus.unknown(part) for part in PARTS] == [0, 1, 3]
    assert "".join(corpus.text("valid")) == "ab\ufffdbababab"
    assert corpus.counts == [90, 90, 0]


def test_bpe_is_fitted_to_the_training_part_only(write, cache):
    train = "some words of the training part " * 60
    corpus = Corpus.build(
        [write("train.txt", train)],
        CorpusOptions(tokens="bpe", valid=str(write("v.txt", "zyx " * 400)), test=str(write("t.txt", "zyx " * 400))),
        cache,
    )
    symbols = [corpus.tokenizer.symbol(token) for token in range(corpus.tokenizer.vocabulary_size)]
    assert " training" in symbols
    assert not any("zy" in symbol or "yx" in symbol for symbol in symbols)


def test_given_parts_are_taken_and_the_other_is_cut(write, cache):
    data, other = write("a.txt", "abcde" * 20), str(write("other.txt", "edcba" * 3))
    both = Corpus.build([data], CorpusOptions(valid=other, test=other), cache)
    assert [len(both.ids(part)) for part in PARTS] == [100, 15, 15]
    only_valid = Corpus.build([data], CorpusOptions(valid=other), cache)
    assert [len(only_valid.ids(part)) for part in PARTS] == [95, 15, 5]
    only_test = Corpus.build([data], CorpusOptions(test=other), cache)
    assert [len(only_test.ids(part)) for part in PARTS] == [95, 5, 15]
    assert [(source.part, source.name) for source in only_test.sources] == [("data", str(data)), ("test", other)]
    assert len({both.key, only_valid.key, only_test.key}) == 3


def test_files_folders_and_standard_input_are_one_text(write, cache, tmp_path, monkeypatch):
    write("folder/a.txt", "first file")
    write("folder/b.txt.gz", gzip.compress(b"second file\n"))

    class Stdin:
        buffer = io.BytesIO(b"and more of it " * 10)

    monkeypatch.setattr(sys, "stdin", Stdin)
    corpus = Corpus.build([tmp_path / "folder", "-"], CorpusOptions(), cache)
    assert whole_text(corpus) == "first file\nsecond file\n" + "and more of it " * 10
    assert [Path(source.name).name for source in corpus.sources] == ["a.txt", "b.txt.gz", "standard input"]
    assert corpus.sources[2].path == "standard input"
    assert Path(corpus.sources[0].path).is_absolute()


@pytest.mark.parametrize("options", KINDS)
def test_documents_start_after_the_separator_which_stays_in_the_text(write, cache, prose, options):
    options = CorpusOptions(**options, document_separator=r"\n\n")
    corpus = Corpus.build([write("a.txt", prose)], options, cache)
    assert whole_text(corpus) == prose
    for part in PARTS:
        starts = corpus.documents(part)
        assert starts.dtype == np.int64
        ids = corpus.ids(part)
        texts = [corpus.tokenizer.decode(piece) for piece in np.split(ids, starts)[1:]]
        assert starts[0] == 0
        assert all(text.endswith("\n\n") and text.count("\n\n") == 1 for text in texts[:-1])
        assert len(starts) == "".join(corpus.text(part)).removesuffix("\n\n").count("\n\n") + 1
    assert len(corpus.documents("train")) > 10


def test_a_document_of_many_chunks_is_one_document(write, cache, prose, monkeypatch):
    options = CorpusOptions(tokens="bpe", vocabulary_size=300, document_separator=r"\n\n")
    whole = Corpus.build([write("a.txt", prose)], options, cache / "whole")
    monkeypatch.setattr(SpooledText.word_chunks, "__defaults__", (20,))
    monkeypatch.setattr("recur.data.encoding._GROUP", 50)
    chunked = Corpus.build([write("a.txt", prose)], options, cache / "chunked")
    for part in PARTS:
        np.testing.assert_array_equal(chunked.ids(part), whole.ids(part))
        np.testing.assert_array_equal(chunked.documents(part), whole.documents(part))


def test_to_json_is_json(write, cache):
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(document_separator="bab"), cache)
    content = json.loads(json.dumps(corpus.to_json()))
    assert content["tokens"] == content["characters"] == {"train": 90, "valid": 5, "test": 5}
    assert content["sources"][0].keys() == {"part", "name", "path", "bytes", "sha256"}
    assert content["documents"]["train"] == len(corpus.documents("train"))


def test_progress_goes_up_to_the_whole_of_each_stage(write, cache, prose):
    calls: dict[str, list[tuple[int, int]]] = {}
    Corpus.build(
        [write("a.txt", prose)],
        CorpusOptions(tokens="bpe", vocabulary_size=300),
        cache,
        lambda stage, done, total: calls.setdefault(stage, []).append((done, total)),
    )
    assert list(calls) == ["hashing", "reading", "fitting", "encoding"]
    for of_stage in calls.values():
        done = [amount for amount, _ in of_stage]
        assert done == sorted(done)
        assert done[0] == 0
        assert of_stage[-1][0] == of_stage[-1][1] > 0


def test_memory_does_not_grow_with_the_text(write, cache, prose):
    peaks = []
    for name, times in (("half.txt", 2000), ("whole.txt", 4000)):
        path = write(name, prose * times)
        tracemalloc.start()
        Corpus.build([path], CorpusOptions(), cache)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert path.stat().st_size > 8_000_000
    assert peaks[1] < 1.05 * peaks[0]


@pytest.mark.skipif("RECUR_DATA" not in os.environ, reason="RECUR_DATA, the folder of data for measuring, is not set")
def test_tiny_shakespeare(cache):
    path = Path(os.environ["RECUR_DATA"], "tinyshakespeare", "input.txt.gz")
    corpus = Corpus.build([path], CorpusOptions(), cache)
    assert sum(corpus.characters(part) for part in PARTS) == 1_115_394
    assert corpus.tokenizer.vocabulary_size == 65 + 1
    assert whole_text(corpus) == gzip.decompress(path.read_bytes()).decode()


# --- the cache ------------------------------------------------------------------------------------------------------


def test_the_same_text_is_built_once(write, cache, monkeypatch, prose):
    first = Corpus.build([write("a.txt", prose)], CorpusOptions(), cache)
    monkeypatch.setattr("recur.data.corpus.build_folder", lambda *_: pytest.fail("built again"))
    second = Corpus.build([write("renamed.txt", prose)], CorpusOptions(), cache)
    assert second.key == first.key
    assert Path(second.sources[0].name).name == "renamed.txt"
    assert [path.name for path in cache.iterdir()] == [first.key]


@pytest.mark.parametrize(
    "other",
    [
        {"tokens": "byte"},
        {"tokens": "bpe"},
        {"tokens": "bpe", "vocabulary_size": 300},
        {"document_separator": r"\n"},
        {"valid_fraction": 0.1},
        {"encoding": "cp1252"},
    ],
)
def test_other_options_or_text_are_another_corpus(write, cache, other):
    path = write("a.txt", "one two\n" * 40)
    first = Corpus.build([path], CorpusOptions(), cache)
    assert Corpus.build([path], CorpusOptions(**other), cache).key != first.key
    assert Corpus.build([write("a.txt", "one twx\n" * 40)], CorpusOptions(), cache).key != first.key


def test_options_that_say_the_same_are_the_same_corpus(write, cache):
    path = write("a.txt", "one two\n" * 40)
    assert (
        Corpus.build([path], CorpusOptions(encoding="UTF8"), cache).key
        == Corpus.build([path], CorpusOptions(), cache).key
    )


@pytest.mark.parametrize("options", KINDS)
def test_an_opened_corpus_is_the_one_that_was_built(write, cache, prose, options):
    built = Corpus.build([write("a.txt", prose)], CorpusOptions(**options, document_separator=r"\n\n"), cache)
    opened = Corpus.open(cache, built.key)
    assert opened.to_json() == built.to_json()
    assert opened.tokenizer.to_json() == built.tokenizer.to_json()
    for part in PARTS:
        np.testing.assert_array_equal(opened.ids(part), built.ids(part))
        np.testing.assert_array_equal(opened.documents(part), built.documents(part))


def test_several_builds_at_once_end_well(write, cache, prose):
    path = write("a.txt", prose * 20)
    found: list[Corpus] = []
    threads = [
        threading.Thread(target=lambda: found.append(Corpus.build([path], CorpusOptions(), cache))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert [path.name for path in cache.iterdir()] == [found[0].key]


def test_what_a_killed_build_left_is_cleared_after_a_day(write, cache):
    for name, age in (("old", 2 * 24 * 3600), ("young", 60)):
        (cache / f".building-{name}").mkdir(parents=True)
        os.utime(cache / f".building-{name}", times=(time.time() - age,) * 2)
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)
    assert {path.name for path in cache.iterdir()} == {corpus.key, ".building-young"}


def damage_truncate(path: Path) -> None:
    with (path / "valid.bin").open("r+b") as file:
        file.truncate(3)


def damage_byte(path: Path) -> None:
    content = bytearray((path / "train.bin").read_bytes())
    content[20] ^= 1
    (path / "train.bin").write_bytes(content)


def damage_missing_part(path: Path) -> None:
    (path / "test.bin").unlink()


def damage_json(path: Path) -> None:
    text = (path / "corpus.json").read_text()
    (path / "corpus.json").write_text(text[: len(text) // 2])


def damage_value(path: Path) -> None:
    text = (path / "corpus.json").read_text()
    (path / "corpus.json").write_text(text.replace('"has_documents": true', '"has_documents": false'))


def damage_list(path: Path) -> None:
    (path / "corpus.json").write_text("[1]")


def damage_documents(path: Path) -> None:
    np.save(path / "train_documents.npy", np.array([0, 5, 4]))


def damage_documents_file(path: Path) -> None:
    (path / "train_documents.npy").write_bytes(b"nothing")


def damage_pickle(path: Path) -> None:
    np.save(path / "train_documents.npy", np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_truncate, r"valid\.bin has 3 bytes, expected 5"),
        (damage_byte, r"the checksum of train\.bin is wrong"),
        (damage_missing_part, r"test\.bin is missing"),
        (damage_json, r"corpus\.json is no JSON: "),
        (damage_value, r"the checksum of corpus\.json is wrong"),
        (damage_list, r"corpus\.json is not the description of a corpus"),
        (damage_documents, r"train_documents\.npy does not hold the ascending starts of documents"),
        (damage_documents_file, r"train_documents\.npy cannot be read: "),
        (damage_pickle, r"train_documents\.npy cannot be read: "),
    ],
)
def test_damage_is_named_and_building_again_repairs_it(write, cache, damage, message):
    path, options = write("a.txt", "ab" * 50), CorpusOptions(document_separator="ba")
    corpus = Corpus.build([path], options, cache)
    damage(cache / corpus.key)
    with refused(f"the corpus is damaged: {message}.*; delete the folder and train with the same text", RunError):
        Corpus.open(cache, corpus.key)
    assert whole_text(Corpus.build([path], options, cache)) == "ab" * 50
    assert whole_text(Corpus.open(cache, corpus.key)) == "ab" * 50


def test_a_missing_corpus_is_named(cache):
    with refused("cache/abc: the corpus is missing; train with the same text and options to build it again", RunError):
        Corpus.open(cache, "abc")


def test_a_corpus_of_a_newer_format_is_refused(write, cache):
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)
    path = cache / corpus.key / "corpus.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with refused("is a corpus of format 2, this recur reads 1; train with the same text", RunError):
        Corpus.open(cache, corpus.key)


def test_a_corpus_under_another_name_is_refused(write, cache):
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)
    shutil.copytree(cache / corpus.key, cache / "other")
    with refused("the corpus is damaged: it is of another corpus", RunError):
        Corpus.open(cache, "other")


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a", {}, r"a\.txt: has only one character; there is nothing to predict\. Give a longer text\."),
        ("a", {"tokens": "byte"}, r"a\.txt: has only one byte; there is nothing to predict"),
        ("\ufeff", {}, r"a\.txt: is empty; give a file with text in it"),
        ("a" * 500, {}, r"a\.txt: the text has only one symbol: 'a'; there is nothing to predict"),
        ("\n" * 500, {"tokens": "bpe"}, r"the text has only one symbol: '\\n'"),
        ("a" * 500, {"tokens": "byte"}, r"the text has only one symbol: 'a'"),
        ("a" * 400 + "b" * 20, {}, r"the text has only one symbol: 'a'"),
        ("ab" * 10, {}, r"is too short: of its 20 characters the valid.* part gets 1, .* valid= and test=\."),
        ("ab" * 10, {"tokens": "byte"}, r"is too short: of its 20 bytes the validation part gets 1"),
        ("abc " * 10, {"tokens": "bpe"}, r"the validation part has only 1 token; each part needs at least 2"),
        ("ab" * 50, {"document_separator": r"\r\n"}, r"the document separator '\\r\\n' does not occur in the training"),
        ("a\0b" * 50, {}, r"a\.txt: is binary, not text: byte 1 is 0x00"),
        ("caf\xe9" * 50, {"encoding": "ascii"}, r"a\.txt: is not ascii: byte 3 \(0xc3\)"),
    ],
)
def test_text_that_cannot_be_learnt_from_is_refused_and_leaves_nothing(write, cache, text, options, message):
    with refused(message):
        Corpus.build([write("a.txt", text)], CorpusOptions(**options), cache)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x", r"v\.txt: has only one character; at least 2 are needed to judge"),
        ("", r"v\.txt: is empty"),
        (None, r"v\.txt: no such file"),
    ],
)
def test_a_given_part_that_cannot_be_used_is_named(write, cache, tmp_path, content, message):
    if content is not None:
        write("v.txt", content)
    with refused(message):
        Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(valid=str(tmp_path / "v.txt")), cache)


def test_a_file_that_grows_while_it_is_read_is_refused(write, cache, monkeypatch):
    path = write("a.txt", "ab" * 50)
    original = building.spooled

    def growing(*given):
        with path.open("a") as file:
            file.write("more")
        return original(*given)

    monkeypatch.setattr(building, "spooled", growing)
    with refused(r"a\.txt: has changed while it was read; wait until it is complete"):
        Corpus.build([path], CorpusOptions(), cache)


@pytest.mark.parametrize(
    ("window", "batch_size", "message"),
    [
        (64, 4, r"has 90 tokens, too short for one window: each of 4 streams would have 22 of the 64 steps; give "
                r"window=22 or less, or batch_size=1 or less, or a longer text\."),
        (100, 1, r"the one stream would have 89 of the 100 steps; give window=89 or less, or a longer text\."),
        (5, 200, r"each of 200 streams would have 0 of the 5 steps; give batch_size=17 or less, or a longer text\."),
    ],
)  # fmt: skip
def test_a_text_too_short_for_one_window_is_refused_with_what_fits(write, cache, window, batch_size, message):
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)
    with refused(message):
        check_long_enough(corpus, window, batch_size)
    check_long_enough(corpus, 22, 4)


def test_a_cache_that_cannot_be_written_is_named(write, tmp_path, unprivileged):
    path = write("a.txt", "ab" * 50)
    (tmp_path / "locked").mkdir(mode=0o555)
    with unprivileged(), refused(r"locked/cache: cannot be written \(Permission denied\)", RunError):
        Corpus.build([path], CorpusOptions(), tmp_path / "locked" / "cache")


def test_a_cache_that_is_a_file_is_named(write, cache):
    cache.write_text("in the way")
    with refused("cache: File exists", RunError):
        Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)


@pytest.mark.parametrize("failing", ["text", "train.bin", "train_documents.npy", "corpus.json"])
def test_a_full_disk_is_named_and_nothing_half_built_stays(write, cache, monkeypatch, failing):
    path = write("a.txt", "ab" * 50)
    original = Path.open

    def full(self: Path, mode: str = "r", *rest, **named):
        if failing in self.name and "w" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", full)
    with refused("the disk is full, nothing more can be written; free some space", RunError):
        Corpus.build([path], CorpusOptions(document_separator="ba"), cache)
    monkeypatch.undo()
    assert list(cache.iterdir()) == []


def test_a_file_size_limit_of_the_system_is_named(write, cache, prose):
    path = write("a.txt", prose * 100)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from recur.data.corpus import Corpus; from recur.data.options import CorpusOptions\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: Corpus.build([sys.argv[1]], CorpusOptions(), Path(sys.argv[2]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(cache)],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout.startswith("RunError ")
    assert "the file would be larger than this system allows; the corpus was not built; free some space" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(cache.iterdir()) == []


# --- other text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS)
def test_other_text_is_encoded_as_the_corpus_is(write, cache, prose, options):
    options = CorpusOptions(**options, document_separator=r"\n\n")
    corpus = Corpus.build([write("a.txt", prose)], options, cache)
    train = "".join(corpus.text("train"))
    encoded = encode_text([write("b.txt", train)], corpus.tokenizer, options)
    np.testing.assert_array_equal(encoded.ids, corpus.train)
    np.testing.assert_array_equal(encoded.documents, corpus.documents("train"))
    assert encoded.ids.dtype == corpus.train.dtype
    assert encoded.characters == corpus.characters("train")
    assert encoded.unknown == 0
    assert Path(encoded.sources[0].name).name == "b.txt"


def test_unknown_characters_of_other_text_are_counted(write, cache):
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)
    encoded = encode_text([write("b.txt", "a€b!")], corpus.tokenizer, CorpusOptions())
    assert encoded.ids.tolist() == [0, 2, 1, 2]
    assert encoded.unknown == 2
    assert encoded.documents is None


def test_other_text_that_is_too_short_is_refused(write, cache):
    corpus = Corpus.build([write("a.txt", "ab" * 50)], CorpusOptions(), cache)
    with refused(r"b\.txt: has only 1 token; at least 2 are needed to judge"):
        encode_text([write("b.txt", "a")], corpus.tokenizer, CorpusOptions())


# --- anything at all ------------------------------------------------------------------------------------------------


def check_any_text(folder: Path, content: bytes, options: CorpusOptions) -> None:
    """Only a RecurError may come out, or a corpus that holds the very text, symbols of the training part known."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "a.txt").write_bytes(content)
    try:
        corpus, refusal = Corpus.build([folder / "a.txt"], options, folder / "cache"), ""
    except RecurError as error:
        corpus, refusal = None, str(error)
    assert "\n" not in refusal
    if corpus is None:
        assert list((folder / "cache").iterdir()) == []
        return
    pieces = [corpus.tokenizer.decode(corpus.ids(part)) for part in PARTS]
    if options.tokens == "byte":
        assert b"".join(corpus.ids(part).astype(np.uint8).tobytes() for part in PARTS) == content
        return
    text = content.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    known = "".join(pieces)
    assert len(known) == len(text)
    assert all(a == b or (a == "\ufffd" and b not in pieces[0]) for a, b in zip(known, text, strict=True))


any_text = given(
    content=st.text(min_size=40, max_size=200).map(str.encode) | st.binary(max_size=200),
    options=st.sampled_from(
        [
            CorpusOptions(),
            CorpusOptions(tokens="byte"),
            CorpusOptions(tokens="bpe", vocabulary_size=260),
            CorpusOptions(document_separator="0"),
            CorpusOptions(tokens="byte", document_separator=r"\x00"),
            CorpusOptions(tokens="bpe", vocabulary_size=260, document_separator="0"),
        ]
    ),
)


@settings(deadline=None, max_examples=60)
@any_text
def test_any_text_becomes_a_corpus_or_is_refused_in_one_line(tmp_path_factory, content, options):
    check_any_text(tmp_path_factory.getbasetemp(), content, options)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000)
@any_text
def test_a_thousand_texts_become_corpora_or_are_refused_in_one_line(tmp_path_factory, content, options):
    check_any_text(tmp_path_factory.getbasetemp(), content, options)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Corpus:
    folder = tmp_path_factory.mktemp("built")
    (folder / "a.txt").write_text("the cat sat on the mat. " * 20)
    options = CorpusOptions(tokens="bpe", vocabulary_size=270, document_separator=". ")
    return Corpus.build([folder / "a.txt"], options, folder / "cache")


def check_mutated(built: Corpus, data: st.DataObject, *, is_signed: bool) -> None:
    """Put anything in place of one value of corpus.json, with a checksum that is right or not."""
    original = (built.path / "corpus.json").read_text()
    outer = json.loads(original)
    content = copy.deepcopy(outer["corpus"])
    place = content
    while True:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(json_values)
    checksum = building.checksum(content) if is_signed else outer["sha256"]
    try:
        (built.path / "corpus.json").write_text(json.dumps({"sha256": checksum, "corpus": content}))
        corpus, refusal = Corpus.open(built.path.parent, built.key), ""
    except RecurError as error:
        corpus, refusal = None, str(error)
    finally:
        (built.path / "corpus.json").write_text(original)
    assert "\n" not in refusal
    if corpus is not None:
        assert is_signed or content == outer["corpus"]
        assert len("".join(corpus.text("train"))) > 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("is_signed", [True, False])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_mutated_description_is_refused_in_one_line(built, data, is_signed):
    check_mutated(built, data, is_signed=is_signed)


@pytest.mark.slow
@pytest.mark.parametrize("is_signed", [True, False])
@settings(deadline=None, max_examples=1000)
@given(data=st.data())
def test_thousands_of_mutated_descriptions_are_refused_in_one_line(built, data, is_signed):
    check_mutated(built, data, is_signed=is_signed)
