"""Bad input gets one clear line and an exit code, and nothing is lost."""

from __future__ import annotations

import errno
import functools
import gzip
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import recur.train.language  # noqa: F401 - before permissions are given up
from recur.cli import generate
from recur.nn import LSTM


def check(result: Any, code: int, pattern: str) -> None:
    """The command ended with `code`, one line that matches, no traceback, and nothing on standard output."""
    assert result.code == code, result.err
    assert re.search(pattern, result.complaint), result.complaint
    assert result.complaint.startswith("recur")
    assert "Traceback" not in result.err
    assert not result.out
    assert len([line for line in result.err.splitlines() if line.startswith("recur")]) == 1


# --- the text -------------------------------------------------------------------------------------------------------

TEXTS = {
    "empty": (b"", r"^recur: text: is empty; give a file with text in it\.$"),
    "one character": (b"a", r"^recur: text: has only one character; there is nothing to predict\."),
    "one symbol": (b"a" * 5000, r"^recur: text: the text has only one symbol: 'a'; there is nothing to predict\."),
    "few characters": (
        b"abcdefgh",
        r"^recur: text: is too short: of its 8 characters the validation part gets 0, and ",
    ),
    "less than a window": (b"abcd" * 25, r"^recur: .*90 .*too few|too short.*window"),
    "binary": (bytes(range(256)) * 20, r"^recur: text: is binary, not text: byte 0 is 0x00, a control character; "),
    "cp1252": (
        "Der Müller zählt die Boote am Fluß, und niemand hört es.\n".encode("cp1252") * 50,
        r"^recur: text: is not utf-8: byte 5 \(0xfc\) cannot be decoded .* looks like cp1252: try --encoding cp1252\.$",
    ),
    "utf-16": ("one two three\n".encode("utf-16") * 99, r"^recur: text: is not utf-8.* try --encoding utf-16\.$"),
    "no gzip": (None, r"^recur: text\.gz: is not a sound gzip file "),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_cannot_be_used(kind: str, tmp_path: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, pattern = TEXTS[kind]
    name = "text" if content is not None else "text.gz"
    Path(name).write_bytes(content if content is not None else b"plain text")
    check(recur("train", name, "--out", "run", "--batch-size", "4", "--window", "64"), 1, pattern)
    assert not Path("run").exists()


def test_wrongly_encoded_text_trains_with_the_encoding_it_names(folder: Path, recur: Any, tiny: Any) -> None:
    Path("alt.txt").write_bytes(("Der Müller zählt die Boote am Fluß.\n" * 100).encode("cp1252"))
    found = re.search(r"try (--encoding) (\S+)\.$", recur("train", "alt.txt", "--out", "run").complaint)
    assert found
    assert recur("train", "alt.txt", "--out", "run", *found.groups(), "--max-steps", "2", *tiny).code == 0


def test_truncated_gzip(tmp_path: Path, recur: Any, make_text: Any) -> None:
    packed = gzip.compress(make_text(5000).encode())
    (tmp_path / "text.gz").write_bytes(packed[: len(packed) // 2])
    check(recur("train", tmp_path / "text.gz", "--out", tmp_path / "run"), 1, r"text\.gz: is truncated: ")


def test_missing_text(folder: Path, recur: Any) -> None:
    check(recur("train", "texd.txt"), 1, r"^recur: texd\.txt: no such file or folder; did you mean text\.txt\?$")
    check(recur("train", "book.txt"), 1, r"^recur: book\.txt: no such file or folder; check the path\.$")
    Path("reviews.csv").write_text("review,sentiment\nso good,pos\n")
    # Whatever else is said: what a file that is not there is for cannot be told.
    for more in ((), ("--text", "review"), ("--label", "sentiment")):
        result = recur("train", "revews.csv", *more)
        check(result, 1, r"^recur: revews\.csv: no such file or folder; did you mean reviews\.csv\?$")
        assert "task" not in result.err


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("", r"^recur: a\.csv: is empty; give a file with a table in it\.$"),
        ("\ufeff\n \n,,\n", r"^recur: a\.csv: is empty; give a file with a table in it\.$"),
        ("review,sentiment\n\n", r"^recur: a\.csv: has a header but no rows; give a file with a table in it\.$"),
        ("x1,2nd;2020-01\n", r"^recur: a\.csv: has a header but no rows; give a file with a table in it\.$"),
    ],
)
def test_a_table_that_is_empty_is_of_no_task(content: str, pattern: str, folder: Path, recur: Any) -> None:
    Path("a.csv").write_text(content)
    result = recur("train", "a.csv")
    check(result, 1, pattern)
    assert "task" not in result.err


@pytest.mark.parametrize("content", ["1;a\n", "a\t-2.5e3", '"3","4"', "1 2 3\n", "a:1"])
def test_a_line_with_a_number_is_no_header(content: str, folder: Path, recur: Any) -> None:
    Path("a.csv").write_text(content)
    result = recur("train", "a.csv", "--separator", ":", "--batch-size", "0")
    assert "header" not in result.err
    assert "batch_size must be" in result.complaint


@pytest.mark.parametrize("said", ["", " --encoding cp1251"])
def test_letters_of_another_encoding_are_not_nothing(said: str, folder: Path, recur: Any) -> None:
    Path("a.txt").write_bytes("\n".join(["привет мир", "добрый день"]).encode("cp1251"))
    other = (
        r"a\.txt: is too short: of its 22 characters" if said else r"; it looks like cp1251: try --encoding cp1251\.$"
    )
    check(recur("train", *f"a.txt{said}".split()), 1, other)
    rows = "".join(f"привет мир {'раз' * number},{'данет'[number % 2]}\n" for number in range(8))
    Path("a.csv").write_bytes(f"отзыв,класс\n{rows}".encode("cp1251"))
    result = recur("train", *f"a.csv{said}".split(), "--label", "клас")
    check(result, 1, r"has no column 'клас', .*; did you mean 'класс'\?" if said else r"a\.csv: is not utf-8: ")
    Path("a.csv").write_bytes("отзыв,класс\n".encode("cp1251"))
    check(recur("train", *f"a.csv{said}".split()), 1, r"a\.csv: has a header but no rows; ")


@pytest.mark.parametrize(
    ("content", "said", "pattern"),
    [
        ("\ufeff", "", r"a\.csv: is empty; "),
        ("\ufeff†\n", "", r"a\.csv: has a header but no rows; "),
        ("\ufeffa,b\n", "", r"a\.csv: has a header but no rows; "),
        ("\ufeff1,2\n", "", "batch_size must be"),
        # Without a mark of byte order.
        ("1,2\n", "", "batch_size must be"),
        ("††\n1\n", " --encoding utf-16-le", "batch_size must be"),
    ],
)
def test_tables_in_utf_16(content: str, said: str, pattern: str, folder: Path, recur: Any) -> None:
    Path("a.csv").write_bytes(content.encode("utf-16-le"))
    result = recur("train", *f"a.csv{said} --batch-size 0".split())
    assert re.search(pattern, result.complaint), result.complaint
    assert "header" in pattern or "header" not in result.err


def test_a_line_that_is_said_to_be_a_row_is_no_header(folder: Path, recur: Any) -> None:
    Path("a.csv").write_text("so good,pos\n")
    result = recur("train", "a.csv", "--has-header", "false")
    assert result.code == 1
    assert "header" not in result.err


def test_marks_are_a_text(folder: Path, recur: Any) -> None:
    Path("a.txt").write_text(",;,,;\n")
    check(recur("train", "a.txt"), 1, r"a\.txt: is too short")


def test_a_column_that_is_misspelt_is_of_no_task(folder: Path, recur: Any) -> None:
    rows = "".join(f"the boat of day {number} was fast,{'ab'[number % 2]},{number}.5\n" for number in range(20))
    Path("reviews.csv").write_text("review,sentiment,price\n" + rows)
    pattern = r"^recur: reviews\.csv: has no column 'sentimnt', which label names; did you mean 'sentiment'\? It has "
    for more in ((), ("--text", "review"), ("--task", "classify-text"), ("--task", "classify")):
        result = recur("train", "reviews.csv", "--label", "sentimnt", *more)
        check(result, 1, pattern)
        assert "task" not in result.err
    Path("series.csv").write_text("time,kind,load\n" + "".join(f"{n},{'ab'[n % 2]},{n * n}\n" for n in range(20)))
    check(recur("train", "series.csv", "--label", "kid"), 1, r"has no column 'kid', .*; did you mean 'kind'\?")


def test_texts_with_no_labels_are_not_taken_for_a_series(folder: Path, recur: Any) -> None:
    Path("a.csv").write_text("id,review\n" + "".join(f"{n},the boat of day {n} was fast\n" for n in range(20)))
    result = recur("train", "a.csv")
    assert "task     classify-text, as a.csv has a column of text and none of numbers" in result.err
    check(
        result, 1, r"no column has classes.*'id', 'review'\. Name one with --label, or choose another task: language "
    )


def test_two_files_that_may_belong_together(folder: Path, recur: Any) -> None:
    for name in ("english.txt", "japanese.txt", "other.txt"):
        Path(name).write_text("a boat\n")
    said = "--task chooses another: translate, if the lines of english.txt belong to those of japanese.txt\n"
    assert said in recur("train", "english.txt", "japanese.txt").err
    for more in ([], ["japanese.txt", "--task", "language"], ["japanese.txt", "other.txt"]):
        assert "belong" not in recur("train", "english.txt", *more).err


@pytest.mark.parametrize("option", ["--vectors", "--target-vectors", "--valid-data", "--test-data"])
def test_missing_files_that_options_name(option: str, folder: Path, recur: Any) -> None:
    Path("pairs.tsv").write_text("en\tup\nred door\tRED DOOR\n" * 9)
    result = recur("train", "pairs.tsv", "--task", "translate", option, "gone.txt", "--out", "run")
    check(result, 1, r"^recur: gone\.txt: no such file or folder; check the path\.$")


def test_text_that_may_not_be_read(open_folder: Path, recur: Any, unprivileged: Any) -> None:
    text = open_folder / "text.txt"
    text.write_text("secret")
    text.chmod(0)
    open_folder.chmod(0o777)
    with unprivileged():
        result = recur("train", text, "--out", open_folder / "run")
    check(result, 1, r"text\.txt: cannot be read: permission denied; check who may read it\.$")


def test_text_that_is_its_own_link(folder: Path, recur: Any) -> None:
    Path("loop").symlink_to("loop")
    check(recur("train", "loop"), 1, r"^recur: loop: cannot be read \(Too many levels of symbolic links\)\.$")


def test_folders_without_text(folder: Path, recur: Any) -> None:
    Path("none").mkdir()
    check(
        recur("train", "none"), 1, r"^recur: none: is a folder without text: it has no files; give a folder with text"
    )
    Path("none/data.bin").write_bytes(bytes(1000))
    check(recur("train", "none"), 1, r"^recur: none: is a folder without text: 1 file found, empty or binary; ")


def test_empty_standard_input(folder: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    check(recur("train", "-"), 1, r"^recur: standard input: is empty; ")


# --- the output folder ----------------------------------------------------------------------------------------------


def test_a_run_is_replaced_only_when_asked(copied: Path, recur: Any, tiny: Any) -> None:
    arguments = ("train", "text.txt", "--out", "run", "--max-steps", "2", *tiny)
    before = Path("run/model.safetensors").read_bytes()
    check(
        recur(*arguments),
        1,
        r"^recur: run: exists already; give --overwrite to replace it, go on with it by ",
    )
    assert Path("run/model.safetensors").read_bytes() == before
    assert recur(*arguments, "--overwrite").code == 0
    assert Path("run/model.safetensors").read_bytes() != before


def test_a_folder_that_is_no_run_is_never_deleted(folder: Path, recur: Any) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").write_text("precious")
    for more in ((), ("--overwrite",)):
        check(recur("train", "text.txt", "--out", "thesis", *more), 1, r"^recur: thesis: .*choose another")
    assert Path("thesis/chapter.txt").read_text() == "precious"
    check(recur("train", "text.txt", "--out", "text.txt"), 1, r"^recur: text\.txt: exists and is not a folder; ")


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (b"", ()),
        (b"a", ()),
        (b"\xff\xfe\xfa words words", ()),
        (None, ()),
        (b"abcd" * 2000, ("--batch-size", "3", "--devices", "2")),
        (b"abcd" * 2000, ("--hidden-size", "1000000")),
        (b"abcd" * 2000, ("--seed", str(2**70))),
        (b"abcd" * 2000, ("--tied", "--embedding-size", "7", "--hidden-size", "8")),
    ],
)
def test_an_old_run_survives_when_what_is_new_is_bad(
    data: bytes | None, more: tuple[str, ...], copied: Path, recur: Any
) -> None:
    if data is not None:
        Path("new.txt").write_bytes(data)
    before = {path.name: path.read_bytes() for path in Path("run").iterdir() if path.is_file()}
    result = recur("train", "new.txt", "--out", "run", "--overwrite", *more)
    check(result, 2 if {"--devices", "--seed", "--tied"} & set(more) else 1, "^recur: ")
    assert {path.name: path.read_bytes() for path in Path("run").iterdir() if path.is_file()} == before


def test_the_text_is_not_deleted_with_the_run_it_lies_in(copied: Path, recur: Any) -> None:
    shutil.copy("text.txt", "run/text.txt")
    result = recur("train", "run/text.txt", "--out", "run", "--overwrite")
    check(result, 1, r"^recur: run: holds the text run/text\.txt, so it is no place for the run; ")
    assert Path("run/text.txt").exists()


def test_the_demo_does_not_write_over_a_text(folder: Path, recur: Any) -> None:
    Path("notes.txt").write_text("precious")
    result = recur("demo", "--out", "notes", "--minutes", "0.01")
    check(result, 1, r"^recur: notes\.txt: exists and is not the demo's text; move it away, or choose another folder")
    assert Path("notes.txt").read_text() == "precious"


def test_a_place_that_may_not_be_written(
    open_folder: Path, recur: Any, unprivileged: Any, make_text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = open_folder / "text.txt"
    text.write_text(make_text(5000))
    open_folder.chmod(0o555)
    # The question is about the user who is, not the one who began the process.
    monkeypatch.setattr(os, "access", functools.partial(os.access, effective_ids=True))
    with unprivileged():
        result = recur("train", text, "--out", open_folder / "run")
    open_folder.chmod(0o755)
    check(result, 1, r"run: cannot be made, for .* is not writable; choose another ")
    assert not (open_folder / "run").exists()


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the disk be full when a file of this name is written for the `nth` time."""

    def fill(name: str, nth: int = 1) -> None:
        times = 0
        fsync, open_ = os.fsync, Path.open

        def written(path: str) -> None:
            nonlocal times
            times += name in Path(path).name
            if times == nth:
                raise OSError(errno.ENOSPC, "No space left on device")

        def full_fsync(descriptor: int) -> None:
            written(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            fsync(descriptor)

        def full_open(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
            if "a" in mode:
                written(str(path))
            return open_(path, mode, *more, **options)

        monkeypatch.setattr(os, "fsync", full_fsync)
        monkeypatch.setattr(Path, "open", full_open)

    return fill


@pytest.mark.parametrize(
    ("name", "nth"),
    [("last.ckpt", 2), ("model.safetensors", 1), ("metrics.jsonl", 3), ("evaluation.json", 1), ("last.ckpt", 1)],
)
def test_a_run_goes_on_after_the_disk_was_full(
    name: str, nth: int, folder: Path, recur: Any, tiny: Any, finished: Path, fill_disk: Any, monkeypatch: Any
) -> None:
    fill_disk(name, nth)
    result = recur("train", "text.txt", "--out", "run", "--max-steps", "40", "--checkpoint-every", "5", *tiny)
    check(
        result,
        1,
        rf"^recur: run/.*{re.escape(name)}: the disk is full, nothing more can be written; free some space\.$",
    )
    assert not list(Path("run").rglob("*.tmp"))
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    result = recur("train", "--resume", "run")
    assert result.code == 0, result.err
    assert Path("run/model.safetensors").read_bytes() == (finished / "run/model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["train.bin", "corpus.json", "config.json"])
def test_a_disk_that_is_full_from_the_start(
    name: str, folder: Path, recur: Any, tiny: Any, fill_disk: Any, monkeypatch: Any
) -> None:
    arguments = ("train", "text.txt", "--out", "run", "--max-steps", "2", *tiny)
    fill_disk(name)
    check(recur(*arguments), 1, "^recur: .*: the disk is full, nothing more can be written; free some space")
    assert not [path for path in Path(".corpus").iterdir() if path.name.startswith(".")]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert recur(*arguments, "--overwrite").code == 0


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(folder: Path, recur_process: Any, tiny: Any) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    arguments = ("train", "text.txt", "--out", "run", "--max-steps", "20", "--checkpoint-every", "5", *tiny)
    result = recur_process(*arguments, preexec_fn=limit)
    check(result, 1, r"^recur: run/checkpoints/last\.ckpt: the file would be larger than this system allows\.$")
    assert recur_process("train", "--resume", "run").code == 0


@pytest.mark.slow
def test_output_to_a_full_disk(finished: Path, recur_process: Any) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "recur", "generate", str(finished / "run"), "--length", "5"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("recur: the output cannot be written: No space left on device.")


# --- the run --------------------------------------------------------------------------------------------------------

COMMANDS = [
    ("evaluate", "run"),
    ("generate", "run"),
    ("inspect", "run", "--input", "the mill"),
    ("train", "--resume", "run"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_missing_run(command: tuple[str, ...], folder: Path, recur: Any) -> None:
    check(recur(*command), 1, r"^recur: run: no such run folder; `recur train DATA --out run` would make one\.$")
    Path("run").mkdir()
    check(recur(*command), 1, r"^recur: run: is not a run folder: it has no config\.json\.$")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_file_in_place_of_a_run(command: tuple[str, ...], folder: Path, recur: Any) -> None:
    Path("text.txt").rename("run")
    takes_data = command[0] in ("evaluate", "inspect")
    way_out = f"the run comes first: recur {command[0]} RUN run" if takes_data else "give the folder that `rec"
    check(recur(*command), 1, rf"^recur: run: is a file, not a run folder; {way_out}")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_newer_format(command: tuple[str, ...], copied: Path, recur: Any) -> None:
    change_config(format=2)
    pattern = r"^recur: run: written by a newer recur \(format 2, this one reads up to 1\); upgrade recur\.$"
    check(recur(*command), 1, pattern)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", r"config\.json: damaged: Expecting value"),
        (b'{"format": 1, "task"', r"config\.json: damaged: Expecting"),
        (b"\xff\xfe\x00", r"config\.json: damaged: "),
        (b"[" * 100_000, r"config\.json: damaged: "),
        (b"[]", r"config\.json: damaged: expected a JSON object, found list\.$"),
        (b'{"format": "one"}', r"config\.json: damaged: its format is 'one', expected 1\.$"),
    ],
    ids=["empty", "truncated", "no text", "deep", "list", "format"],
)
def test_damaged_config(command: tuple[str, ...], content: bytes, pattern: str, copied: Path, recur: Any) -> None:
    Path("run/config.json").write_bytes(content)
    check(recur(*command), 1, pattern)


def change_config(section: str | None = None, **changes: Any) -> None:
    path = Path("run/config.json")
    config = json.loads(path.read_text())
    (config if section is None else config[section]).update(changes)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("section", "changes", "pattern"),
    [
        ("training", {"window": 0}, r"config\.json: damaged: training: window must be a whole number from 1 on, not 0"),
        ("training", {"steps": 3}, r"config\.json: damaged: training: .*unexpected keyword argument 'steps'"),
        ("model", {"hidden_size": 25}, r"last\.ckpt: does not fit config\.json: "),
        ("training", {"batch_size": 2}, r"last\.ckpt: does not fit config\.json: it has 4 streams, expected 2\.$"),
        ("model", {"cell": None}, r"config\.json: damaged: model: values are missing"),
        (None, {"task": "juggling"}, r"run: is a run of task 'juggling', expected 'language' or 'classify-text'"),
        (None, {"sources": 3}, r"run: damaged: it does not say which text it was trained on\.$"),
    ],
)
def test_config_that_does_not_fit(
    section: str | None, changes: dict[str, Any], pattern: str, copied: Path, recur: Any
) -> None:
    change_config(section, **changes)
    check(recur("train", "--resume", "run"), 1, pattern)


@pytest.mark.parametrize("command", ["evaluate", "generate"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing", "other"])
def test_damaged_weights(command: str, damage: str, copied: Path, recur: Any) -> None:
    path = Path("run/model.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[-5] ^= 0x40
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        change_config("model", hidden_size=25)
    pattern = {
        "missing": r"model\.safetensors: missing; was the training stopped before its first validation\? "
        r"Then go on with: recur train --resume run$",
        "other": r"model\.safetensors: does not fit config\.json: .* is \(\d+.*\), expected \(\d+.*\)\.$",
        "flipped": r"model\.safetensors: damaged: its checksum is wrong; restore it, or train again\.$",
    }.get(damage, r"model\.safetensors: damaged: .*; restore it, or train again\.$")
    check(recur(command, "run"), 1, "^recur: run/" + pattern)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "pickle", "another"])
def test_damaged_checkpoint(damage: str, copied: Path, recur: Any) -> None:
    path = Path("run/checkpoints/last.ckpt")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        weights = torch.load(path, weights_only=True)["state_dict"]["model.output.weight"]
        content[content.index(weights.numpy().tobytes()) + 7] ^= 0x40
    elif damage == "another":
        torch.save({"global_step": 3}, path)
        content = bytearray(path.read_bytes())
    path.write_bytes(
        {"truncated": content[:5000], "empty": b"", "pickle": b"cos\nsystem\n(S'true'\ntR."}.get(damage, content)
    )
    result = recur("train", "--resume", "run", "--max-steps", "50")
    check(
        result,
        1,
        r"^recur: run/checkpoints/last\.ckpt: damaged \(\w+\), cannot be resumed; train anew with --overwrite",
    )


def test_a_text_that_has_changed(copied: Path, recur: Any) -> None:
    Path("text.txt").write_text(Path("text.txt").read_text().replace("mill", "lake"))
    result = recur("train", "--resume", "run", "--max-steps", "50")
    check(
        result,
        1,
        r"^recur: run: the text has changed since the run was started \(.*text\.txt\); bring the old text back",
    )


def test_a_text_that_is_gone_is_found_in_the_cache(copied: Path, recur: Any) -> None:
    change_config(sources=["gone.txt"])
    assert recur("train", "--resume", "run", "--max-steps", "45").code == 0
    shutil.rmtree(".corpus")
    result = recur("train", "--resume", "run", "--max-steps", "50")
    check(result, 1, r"the corpus is missing; train with the same text and options to build it again\.$")


def test_a_run_of_the_texts_own_options_only(copied: Path, recur: Any) -> None:
    result = recur("train", "--resume", "run", "--hidden-size", "48")
    check(result, 2, r"^recur: --resume goes on with the run's own options; leave --hidden-size out, or train anew\.$")
    check(recur("train", "text.txt", "--resume", "run"), 2, r"^recur: --resume takes no DATA: the run knows its own\.$")
    Path("own.yaml").write_text("data: text.txt\n")
    result = recur("train", "--config", "own.yaml", "--resume", "run")
    check(result, 2, r"^recur: --resume goes on with the run's own options; leave --config out, or train anew\.$")


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (
            ("--hiden-size", "3"),
            r"^recur train: .*--hiden-size.*; did you mean --hidden-size\? `recur train --help` lists",
        ),
        (("--hidden-size", "x"), r"^recur train: --hidden-size: expected a whole number, got x\. `recur"),
        (("--warmup-steps", "1.5"), r"^recur train: --warmup-steps: expected a whole number, got 1\.5\."),
        (("--learning-rate", "fast"), r"^recur train: --learning-rate: expected a number, got fast\."),
        (("--cell", "lstn"), r"^recur train: --cell: expected one of rnn, .*, ligru, got lstn\. Did you mean lstm\?"),
        (
            ("--device", "cudda"),
            r"^recur train: --device: expected one of auto, cpu, cuda, mps, got cudda\. Did you mean cuda",
        ),
        (("--dropout", "1"), r"^recur: dropout must be a number from 0 to below 1, not 1\.0\.$"),
        (("--clip-norm", "1", "--clip-value", "1"), r"^recur: give clip_norm or clip_value, not both\.$"),
        (("--seed", str(2**64)), r"^recur: seed must be at most 9223372036854775807, not 1844"),
        (("--task", "juggling"), r"^recur: there is no task 'juggling'; this version knows: language, class"),
        (("--encoding", "utf8x"), r"^recur: encoding: 'utf8x' is not an encoding of text files; did you mean utf8\?"),
        (("--config", "no.yaml"), r"^recur train: .*config.*does not exist.*no\.yaml"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], pattern: str, folder: Path, recur: Any) -> None:
    check(recur("train", "text.txt", "--out", "run", *arguments), 2, pattern)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("hiden_size: 3\n", r"^recur train: .*'hiden_size'.*; did you mean --hidden-size\?"),
        ("hidden_size: big\n", r"^recur train: --hidden-size: expected a whole number, got big\."),
        ("hidden_size: [1\n", r"^recur train: Problems parsing config: "),
        ("- one\n", r"^recur train: "),
        (
            "training:\n  max_steps: 3\n",
            r"^recur train: Option 'training\.max_steps' is not accepted; a configuration file is flat: write "
            r"max_steps at its left margin, without 'training'\. `recur",
        ),
        ("model:\n  hiden_size: 3\n", r"is flat: write hiden_size at .* 'model'; did you mean --hidden-size\? `recur"),
    ],
)
def test_wrong_config(content: str, pattern: str, folder: Path, recur: Any) -> None:
    Path("own.yaml").write_text(content)
    check(recur("train", "text.txt", "--config", "own.yaml"), 2, pattern)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("seed: 3\n", r"^recur: train needs DATA: "),
        ("data: []\n", r"^recur: train needs DATA: "),
        ("data: 5\n", r"^recur: data: expected a name or a list of names, got 5; name files or folders\.$"),
        ("data:\n- text.txt\n- 5\n", r"^recur: data: expected a name or a list of names, got \['text\.txt', 5\]; "),
    ],
)
def test_config_without_usable_data(content: str, pattern: str, folder: Path, recur: Any) -> None:
    Path("own.yaml").write_text(content)
    check(recur("train", "--config", "own.yaml"), 2, pattern)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ((), ""),
        (("trian",), r"^recur: there is no command 'trian'; did you mean train\? `recur --help` lists them\.$"),
        (("train",), r"^recur: train needs DATA: "),
        (("evaluate",), r"^recur evaluate: .*run"),
        (("evaluate", "run", "--part", "tset"), r"^recur evaluate: --part: .* train, valid, test, got tset\. Did "),
        (("evaluate", "run", "text.txt", "--part", "test"), r"^recur: part is of the run's own data; leave --part or "),
        (
            ("evaluate", "run", "--encoding", "cp1252"),
            r"^recur: encoding is of other data; give DATA, or leave --encoding out\.$",
        ),
        (("evaluate", "run", "text.txt", "--encoding", "utf8x"), r"^recur: encoding: 'utf8x' is not .* mean utf8\?"),
        (("inspect", "run", "--encoding", "cp1252"), r"^recur: encoding is of the file that --input names; leave "),
        (
            ("inspect", "run", "--input", "she", "--encoding", "cp1252"),
            r"^recur: encoding is of the file that --input ",
        ),
        (("inspect", "run", "--input", "text.txt", "--encoding", "utf8x"), r"^recur: encoding: 'utf8x' is not "),
        (("evaluate", "run", "--window", "0"), r"^recur: window must be a whole number from 1 on, not 0\.$"),
        (("evaluate", "run", "--batch-size", "0"), r"^recur: batch_size must be a whole number from 1 on, not 0\.$"),
        (("evaluate", "run", "--device", "gpu"), r"^recur evaluate: --device: .* cpu, cuda, mps, got gpu\."),
        (("generate", "run", "--unknown", "skip"), r"^recur generate: --unknown: .* error, map, drop, got "),
        (("generate", "run", "--threads", "0"), r"^recur: threads must be a whole number from 1 on, not 0\.$"),
        (("generate", "run", "--top-p", "2"), r"^recur: top_p must be a number above 0 and at most 1, not 2\.0\.$"),
        (("generate", "run", "--samples", "0"), r"^recur: samples must be a whole number from 1 on, not 0\.$"),
        (("generate", "run", "--seed", "-1"), r"^recur: seed must be a whole number from 0 to \d+, not -1\.$"),
        (("generate", "run", "--stop", ""), r"^recur: stop must be a text of at least one character\.$"),
    ],
)
def test_wrong_usage_of_other_commands(
    arguments: tuple[str, ...], pattern: str, finished: Path, monkeypatch: pytest.MonkeyPatch, recur: Any
) -> None:
    monkeypatch.chdir(finished)
    result = recur(*arguments)
    assert result.code == 2
    if arguments:
        check(result, 2, pattern)
    else:
        assert result.out.startswith("usage: recur COMMAND")


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_device_that_is_not_there(command: str, finished: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = recur(command, finished / "run", "--device", "cuda")
    check(result, 2, r"^recur: device cuda is not available on this machine; use cpu\.$")


# --- training that cannot go on -------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_before_the_first_validation(folder: Path, recur: Any, tiny: Any) -> None:
    result = recur("train", "text.txt", "--out", "run", "--max-steps", "50", *tiny, "--learning-rate", "1e30")
    check(
        result,
        1,
        r"^recur: step 3: the loss is nan and the gradient's norm nan, not finite; this step was not taken and "
        r"the last good weights are kept\. What went wrong first: embedding: the parameter weight is -?inf at index "
        r"\(0, \d+\)\. Try a lower learning_rate than [0-9.]*e\+29, a smaller clip_norm, or ",
    )
    found = json.loads(recur("evaluate", "run", "--json").out)
    assert 2 < found["model"]["nats_per_character"] < 6
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines() if '"event"' in line]
    assert [event["text"] for event in events] == [result.complaint.removeprefix("recur: ")]


def test_a_loss_that_is_not_finite_later(
    folder: Path, recur: Any, tiny: Any, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = LSTM.forward

    def spoilt(layer: LSTM, *arguments: Any, **options: Any) -> Any:
        if options.get("return_all"):
            # The search for what went wrong looks into the layer, where all is well.
            return forward(layer, *arguments, **options)
        output, state = forward(layer, *arguments, **options)
        # Only the training of the thirtieth step sees it.
        steps = next(counter) if layer.training and layer.input_size == 24 else 0
        return (output * torch.inf if steps >= 2 * 29 else output), state

    counter = iter(range(10_000))
    monkeypatch.setattr(LSTM, "forward", spoilt)
    result = recur("train", "text.txt", "--out", "run", "--max-steps", "40", *tiny)
    check(
        result, 1, r"^recur: step 33: the loss is nan .*this step and the 3 steps before it were not taken and the last"
    )
    assert "layers.0: the output is inf from step 0 of row 0 on" in result.complaint
    assert "note     step 30: the loss is nan" in result.err
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    valid = [row["loss"] for row in rows if row["kind"] == "valid"]
    assert len(valid) == 1
    found = json.loads(recur("evaluate", "run", "--part", "valid", "--json").out)
    assert found["model"]["nats_per_token"] == pytest.approx(valid[0], abs=1e-5)
    # What spoilt it is gone, so it goes on from the checkpoint of the validation, as if nothing had happened.
    assert recur("train", "--resume", "run").code == 0
    assert Path("run/model.safetensors").read_bytes() == (finished / "run/model.safetensors").read_bytes()


def test_weights_too_large_for_a_perplexity(folder: Path, recur: Any, tiny: Any) -> None:
    arguments = ("--learning-rate", "3000", "--warmup-steps", "0", "--max-steps", "1")
    assert recur("train", "text.txt", "--out", "run", *tiny, *arguments).code == 0
    for text in (Path("run/evaluation.json").read_text(), recur("evaluate", "run", "--json").out):
        model = json.loads(text, parse_constant=pytest.fail)["model"]
        assert model["nats_per_token"] > 700
        assert "perplexity" not in model


def test_a_model_larger_than_memory(folder: Path, recur: Any) -> None:
    result = recur("train", "text.txt", "--out", "run", "--hidden-size", "1000000")
    check(result, 1, r"^recur: there is not enough memory for this; try a smaller model, batch or window\.$")


# --- the prompt -----------------------------------------------------------------------------------------------------


def read_from(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_a_prompt_longer_than_memory_allows(finished: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "free_memory", lambda: 24_000)
    read_from(monkeypatch, b"the mill " * 112)
    result = recur("generate", finished / "run", "--prompt", "-")
    check(result, 1, r"^recur: the prompt is longer than memory allows: more than 1,000 bytes; give a shorter one\.$")
    read_from(monkeypatch, b"the mill " * 111)
    assert recur("generate", finished / "run", "--prompt", "-", "--length", "1").code == 0


def test_prompts_that_cannot_be_read(finished: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished / "run"
    read_from(monkeypatch, b"the \xff mill")
    check(recur("generate", run, "--prompt", "-"), 1, r"^recur: the prompt on standard input is no UTF-8: byte 4: ")
    check(recur("generate", run, "--prompt", ""), 1, r"^recur: the prompt is empty; give at least one character")
    check(recur("generate", run, "--prompt", "a\udcff"), 1, r"^recur: the prompt is no valid text in the terminal's ")
    monkeypatch.setattr(sys, "stdin", None)
    check(
        recur("generate", run, "--prompt", "-"), 1, r"^recur: standard input is closed, so there is no prompt to read"
    )


def test_unknown_characters_are_named_mapped_or_dropped(finished: Path, recur: Any) -> None:
    arguments = ("generate", finished / "run", "--length", "300", "--seed", "3", "--prompt")
    check(recur(*arguments, "the mill Q€"), 1, r"^recur: .*'Q'.*'€'")
    mapped = recur(*arguments, "the mill Q€", "--unknown", "map")
    dropped = recur(*arguments, "the mill Q€", "--unknown", "drop")
    assert mapped.code == dropped.code == 0
    assert mapped.out.startswith("the mill Q€")
    without = recur(*arguments, "the mill ").out.removeprefix("the mill ")
    assert dropped.out.removeprefix("the mill Q€") == without
    assert mapped.out.removeprefix("the mill Q€") != without


# --- tracebacks -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_traceback_on_request(folder: Path, recur_process: Any) -> None:
    plain = recur_process("evaluate", "nowhere")
    assert plain.code == 1
    assert "Traceback" not in plain.err
    assert len(plain.err.splitlines()) == 1
    full = recur_process("evaluate", "nowhere", "--traceback")
    assert full.code == 1
    assert full.err.startswith("Traceback")
    assert "recur.errors.RunError: nowhere: no such run folder" in full.complaint


def test_a_bug_shows_its_traceback(folder: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(language_training(), "prepare", broken)
    with pytest.raises(RuntimeError, match=r"^a bug of ours$"):
        recur("train", "text.txt")


def language_training() -> Any:
    return sys.modules["recur.train.language"]
