"""The run folder: what is written is read back, and what is damaged is named."""

from __future__ import annotations

import errno
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.errors import RunError
from recur.run import FORMAT, RunFolder, checksum, explained_os_errors, write_atomic, write_text_atomic

CONFIG = {"format": FORMAT, "task": "language"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run")
    run.write_json("config.json", CONFIG)
    return run


def one_line(error: pytest.ExceptionInfo[RunError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


# --- making -----------------------------------------------------------------------------------------------------------


def test_create_makes_the_parents_and_the_folder_for_checkpoints(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b" / "run")
    assert [path.name for path in run.path.iterdir()] == ["checkpoints"]


def test_create_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert RunFolder.check_free(tmp_path / "run") is False
    RunFolder.create(tmp_path / "run")


def test_an_existing_run_is_refused_with_the_ways_out(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"run: exists already; give overwrite=True .* --resume .* out=") as error:
        RunFolder.create(run.path)
    one_line(error)
    # Who saves a model has no training to go on with.
    with pytest.raises(RunError, match=r"give overwrite=True to replace it or choose another folder with path=\.$"):
        RunFolder.create(run.path, named="path")
    assert RunFolder.open(run.path).config() == CONFIG


def test_overwrite_replaces_a_run(run: RunFolder) -> None:
    run.save_weights({"a": torch.zeros(2)})
    assert RunFolder.check_free(run.path, overwrite=True) is True
    assert run.has("model.safetensors"), "check_free only looks"
    again = RunFolder.create(run.path, overwrite=True)
    assert [path.name for path in again.path.iterdir()] == ["checkpoints"]


def test_overwrite_leaves_what_is_not_the_runs(run: RunFolder) -> None:
    kept = ["notes.md", "holiday.png", "exports/model.onnx", "exports/config.json", "draft.tmp"]
    for name in kept:
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("mine")
    for name in (
        "loss.png",
        "inspect.json",
        "inspect.safetensors",
        "inspect.html",
        "vectors.safetensors",
        "translate_evaluation.json",
        "translate_by_length.png",
        "write_evaluation.json",
        ".model.json.17.tmp",
        "tensorboard/events",
        "checkpoints/last.ckpt",
    ):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("its own")
    again = RunFolder.create(run.path, overwrite=True)
    assert sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()) == sorted(kept)
    assert (again.path / "checkpoints").is_dir()


def test_overwrite_goes_through_a_link_to_the_run(run: RunFolder, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(run.path, target_is_directory=True)
    RunFolder.create(link, overwrite=True)
    assert [path.name for path in run.path.iterdir()] == ["checkpoints"]


def test_overwrite_takes_a_link_away_and_leaves_what_it_leads_to(run: RunFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "fast disk"
    (run.path / "checkpoints").rename(elsewhere)
    (elsewhere / "last.ckpt").write_bytes(b"x")
    (run.path / "checkpoints").symlink_to(elsewhere, target_is_directory=True)
    RunFolder.create(run.path, overwrite=True)
    assert not any((run.path / "checkpoints").iterdir())
    assert (elsewhere / "last.ckpt").exists()


def test_a_kill_while_a_run_is_overwritten_leaves_one_that_can_be(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(path: Path) -> None:
        raise Killed

    (run.path / "notes.md").write_text("mine")
    (run.path / "model.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(Killed):
            RunFolder.create(run.path, overwrite=True)
    assert RunFolder.check_free(run.path, overwrite=True) is True


def test_overwrite_replaces_a_run_killed_before_its_config(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_json("schema.json", {})
    (run.path / ".config.json.1.tmp").write_text("{")
    RunFolder.create(run.path, overwrite=True)


def test_overwrite_replaces_a_run_with_a_damaged_config(run: RunFolder) -> None:
    (run.path / "config.json").write_text("{")
    (run.path / "checkpoints" / "last.ckpt").write_bytes(b"x")
    (run.path / "loss.png").write_bytes(b"x")
    RunFolder.create(run.path, overwrite=True)


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years of work"},
        {"config.json": '{"model_type": "another"}', "model.safetensors": ""},
        {"config.json": "not JSON"},
        {"checkpoints/step_1000.pt": ""},
        {"checkpoints/last.ckpt": "", "train.py": ""},
        {"holiday.png": ""},
    ],
    ids=["text", "config of another program", "broken config", "foreign checkpoint", "checkpoint and code", "picture"],
)
def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=r"exists already; please choose another folder with out=\.$"):
        RunFolder.create(tmp_path)
    with pytest.raises(RunError, match=r"is not a run folder, so it is not overwritten; choose another with out=\.$"):
        RunFolder.create(tmp_path, overwrite=True)
    for name, content in files.items():
        assert (tmp_path / name).read_text() == content


def test_a_file_in_the_way_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match=r"run: exists and is not a folder; choose another one with out=\.$"):
        RunFolder.create(tmp_path / "run", overwrite=True)


def test_a_file_as_parent_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(RunError, match=r"cannot be made, for .*/file is not a folder; choose another one"):
        RunFolder.check_free(tmp_path / "file" / "run")


def test_a_name_that_is_too_long_is_an_error_of_one_line(tmp_path: Path) -> None:
    for call in (RunFolder.check_free, RunFolder.create, RunFolder.open):
        with pytest.raises(RunError, match="File name too long") as error:
            call(tmp_path / ("x" * 300))
        one_line(error)


@pytest.mark.parametrize("exists", [False, True])
def test_an_unwritable_place_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    # The superuser may write anywhere, so the answer of the system is replaced.
    asked: list[tuple[Path, int]] = []

    def access(path: Path, mode: int) -> bool:
        asked.append((Path(path), mode))
        return False

    monkeypatch.setattr(os, "access", access)
    if exists:
        (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match=r"is not writable; choose another (one|folder) with out=\.$"):
        RunFolder.check_free(tmp_path / "run")
    assert asked == [(tmp_path / "run" if exists else tmp_path, os.W_OK | os.X_OK)]


def test_a_refused_mkdir_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(RunError, match=r"run: cannot be written \(Permission denied\); choose another folder"):
        RunFolder.create(tmp_path / "run")


# --- opening ----------------------------------------------------------------------------------------------------------


def test_open_names_a_missing_folder_and_what_would_make_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none: no such run folder; `recur train DATA --out .*none` would make one\.$"):
        RunFolder.open(tmp_path / "none")


def test_open_names_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abc")
    with pytest.raises(
        RunError, match=r"text\.txt: is a file, not a run folder; give the folder that `recur train` made"
    ):
        RunFolder.open(tmp_path / "text.txt")


def test_open_names_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.json\.$"):
        RunFolder.open(tmp_path)


def test_open_names_a_folder_that_cannot_be_entered(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_dir(self: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "is_dir", is_dir)
    with pytest.raises(RunError, match=r"run: cannot be read \(Permission denied\)\.$"):
        RunFolder.open(run.path)


def test_a_newer_format_is_refused_with_the_advice_to_upgrade(run: RunFolder) -> None:
    run.write_json("config.json", CONFIG | {"format": FORMAT + 1})
    with pytest.raises(RunError, match=rf"newer recur \(format {FORMAT + 1}, this one reads up to {FORMAT}\); upgrade"):
        RunFolder.open(run.path)


@pytest.mark.parametrize("written", [None, "1", 1.0, True, 0, -3, [1]])
def test_a_damaged_format_is_named(run: RunFolder, written: object) -> None:
    run.write_json("config.json", CONFIG | {"format": written})
    with pytest.raises(RunError, match=r"config\.json: damaged: its format is .*, expected 1\.$"):
        RunFolder.open(run.path)


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"damaged: Expecting value"),
        (b'{"format": 1', r"damaged: Expecting ',' delimiter"),
        (b"\xff\xfe\x00", r"damaged: .*codec can't decode"),
        (b"[1, 2]", r"damaged: expected a JSON object, found list\.$"),
        (b"3", r"damaged: expected a JSON object, found int\.$"),
        (b"[" * 200_000, r"damaged: maximum recursion depth exceeded"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"damaged: Exceeds the limit"),
    ],
    ids=["empty", "truncated", "no text", "list", "number", "deep", "digits"],
)
def test_damaged_json_is_named(run: RunFolder, content: bytes, message: str) -> None:
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run/config\.json: " + message) as error:
        RunFolder.open(run.path)
    one_line(error)


def test_every_truncation_of_a_config_is_named(run: RunFolder) -> None:
    whole = (run.path / "config.json").read_bytes()
    for size in range(len(whole.rstrip())):
        (run.path / "config.json").write_bytes(whole[:size])
        with pytest.raises(RunError, match=r"config\.json: damaged: "):
            RunFolder.open(run.path)


def test_missing_and_unreadable_json_is_named(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"schema\.json: missing; the run is incomplete\.$"):
        run.read_json("schema.json")
    with pytest.raises(RunError, match=r"checkpoints: cannot be read \(Is a directory\)\.$"):
        run.read_json("checkpoints")


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        max_size=4,
    )
)
def test_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]) -> None:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    run = RunFolder(tmp_path_factory.getbasetemp())
    run.write_json("any.json", content)
    assert run.read_json("any.json") == content


def test_a_number_that_is_not_finite_is_not_written(run: RunFolder) -> None:
    run.write_json("evaluation.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.write_json("evaluation.json", {"a": math.inf})
    assert run.read_json("evaluation.json") == {"a": 1}


# --- atomic writes ----------------------------------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full, nothing more can be written; free some space"),
        (errno.EDQUOT, "the disk is full, nothing more can be written; free some space"),
        (errno.EFBIG, "the file would be larger than this system allows"),
        (errno.EROFS, r"cannot be written \(Read-only file system\); choose another folder with out="),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, number: int, message: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of the ne")
        raise OSError(number, os.strerror(number))

    with pytest.raises(RunError, match=f"file: {message}") as error:
        write_atomic(path, write)
    one_line(error)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"file"}


def test_another_error_while_writing_passes_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", write)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == {"file"}


def test_the_new_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (events.append("fsync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda a, b: (events.append("rename"), replace(a, b)))
    write_text_atomic(tmp_path / "file", "ä\n")
    assert events == ["fsync", "rename"]
    assert (tmp_path / "file").read_bytes() == "ä\n".encode()


def test_advice_of_the_caller_is_added(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"x: the disk is full, .* free some space; delete a run\.$"),
        explained_os_errors(tmp_path / "x", "delete a run"),
    ):
        raise OSError(errno.ENOSPC, "")


def test_a_full_disk_is_reported_by_every_writer(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.save_weights({"a": torch.zeros(2)})
    run.append_metrics({"step": 1})

    def full(*args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writers: dict[str, Callable[[], None]] = {
        "config.json": lambda: run.write_json("config.json", {"format": 1}),
        "model.safetensors": lambda: run.save_weights({"a": torch.ones(2)}),
        "inspect.safetensors": lambda: run.write_tensors("inspect.safetensors", {"a": torch.ones(2)}),
        "metrics.jsonl": lambda: run.forget_metrics_after(0),
    }
    monkeypatch.setattr(os, "fsync", full)
    for name, write in writers.items():
        with pytest.raises(RunError, match=f"{name}: the disk is full"):
            write()
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunError, match=r"metrics\.jsonl: the disk is full"):
        run.append_metrics({"step": 2})
    monkeypatch.undo()
    assert RunFolder.open(run.path).config() == CONFIG
    assert run.load_weights()["a"].tolist() == [0, 0]
    assert run.metrics() == [{"step": 1}]
    assert names(run.path) == {"config.json", "checkpoints", "metrics.jsonl", "model.safetensors"}


LIMITED = """
import resource, sys
import torch
from pathlib import Path
from recur.errors import RunError
from recur.run import RunFolder
run = RunFolder(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for write in (
    lambda: run.save_weights({"a": torch.ones(10_000)}),
    lambda: run.write_json("config.json", {"a": "x" * 10_000}),
    lambda: run.append_metrics({"a": "x" * 10_000}),
):
    try:
        write()
    except RunError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_write_that_the_system_cuts_short_leaves_the_old_files(run: RunFolder) -> None:
    run.save_weights({"a": torch.zeros(2)})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LIMITED, str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = done.stdout.splitlines()
    assert [line.split(": ", 1) for line in lines] == [
        [str(run.path / name), "the file would be larger than this system allows."]
        for name in ("model.safetensors", "config.json", "metrics.jsonl")
    ]
    assert run.load_weights()["a"].tolist() == [0, 0]
    assert RunFolder.open(run.path).config() == CONFIG
    assert run.metrics() == []


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_come_back_in_order(run: RunFolder) -> None:
    assert run.metrics() == []
    rows = [{"step": 1, "loss": 2.5}, {"step": 2, "text": "line\nbreak, “quotes”"}]
    for row in rows:
        run.append_metrics(row)
    assert run.metrics() == rows
    assert len((run.path / "metrics.jsonl").read_bytes().splitlines()) == 2


def test_a_number_that_is_not_finite_becomes_null(run: RunFolder) -> None:
    run.append_metrics({"step": 1, "loss": math.nan, "grad_norm": math.inf, "low": -math.inf, "fine": 1.0})
    assert run.metrics() == [{"step": 1, "loss": None, "grad_norm": None, "low": None, "fine": 1.0}]


def test_a_last_line_that_was_cut_anywhere_is_left_out(run: RunFolder) -> None:
    for step in (1, 2):
        run.append_metrics({"step": step, "text": "é"})
    whole = (run.path / "metrics.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole)):
        (run.path / "metrics.jsonl").write_bytes(whole[:size])
        # The last line is whole once only its line break is missing.
        expected = [1, 2] if size == len(whole) - 1 else [1]
        assert [row["step"] for row in run.metrics()] == expected
        run.forget_metrics_after(2)
        run.append_metrics({"step": 3})
        assert [row["step"] for row in run.metrics()] == [*expected, 3]


@pytest.mark.parametrize("damage", [b'{"step": 1', b"[1]", b"\xff\xff", b"7"])
def test_a_damaged_line_in_the_middle_is_named(run: RunFolder, damage: bytes) -> None:
    (run.path / "metrics.jsonl").write_bytes(b'{"step": 0}\n' + damage + b'\n{"step": 2}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2: damaged: ") as error:
        run.metrics()
    one_line(error)


def test_blank_lines_are_passed_over(run: RunFolder) -> None:
    (run.path / "metrics.jsonl").write_bytes(b'\n{"step": 0}\n  \n{"step": 2}\n\n')
    assert [row["step"] for row in run.metrics()] == [0, 2]


def test_forgetting_keeps_the_rows_up_to_a_step_and_those_without_one(run: RunFolder) -> None:
    rows = [{"step": 1}, {"kind": "event"}, {"step": 2}, {"step": 3}]
    for row in rows:
        run.append_metrics(row)
    run.forget_metrics_after(2)
    assert run.metrics() == rows[:3]
    run.append_metrics({"step": 3})
    assert run.metrics() == rows


def test_metrics_that_cannot_be_read_are_named(run: RunFolder) -> None:
    (run.path / "metrics.jsonl").mkdir()
    with pytest.raises(RunError, match=r"metrics\.jsonl: cannot be read \(Is a directory\)\.$"):
        run.metrics()


def test_a_step_that_is_no_number_is_named(run: RunFolder) -> None:
    run.append_metrics({"step": "three"})
    with pytest.raises(RunError, match=r"metrics\.jsonl: damaged: 'three' is no number of a step\.$"):
        run.forget_metrics_after(1)
    assert run.metrics() == [{"step": "three"}]


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return {
        "matrix": base.clone(),
        "transposed": base.t(),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "double": torch.tensor(math.pi, dtype=torch.float64),
        "whole": torch.tensor([1, -1]),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "shared": base,
    }


def test_weights_come_back_exactly(run: RunFolder, weights: dict[str, torch.Tensor]) -> None:
    weights["tied"] = weights["shared"]
    run.save_weights(weights)
    back = run.load_weights()
    assert back.keys() == weights.keys()
    for name, value in weights.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value), name


def test_saving_does_not_hold_on_to_the_weights(run: RunFolder) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    run.save_weights({"a": parameter})
    with torch.no_grad():
        parameter += 1
    assert run.load_weights()["a"].tolist() == [0, 0]
    assert not run.load_weights()["a"].requires_grad


def test_the_same_weights_give_the_same_file(run: RunFolder, weights: dict[str, torch.Tensor]) -> None:
    path = run.path / "model.safetensors"
    run.save_weights(weights)
    first = path.read_bytes()
    run.save_weights(weights)
    assert path.read_bytes() == first


def test_missing_weights_are_explained(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"model\.safetensors: missing; was the training stopped before its first valid"):
        run.load_weights()


def test_every_kind_of_truncation_is_damage(run: RunFolder, weights: dict[str, torch.Tensor]) -> None:
    run.save_weights(weights)
    path = run.path / "model.safetensors"
    whole = path.read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    # In the length, at both ends of the header and within it, and in the tensors.
    places = {0, 1, 7, 8, 9, 8 + header // 2, 7 + header, 8 + header, 9 + header, len(whole) - 9, len(whole) - 1}
    for size in sorted(places):
        path.write_bytes(whole[:size])
        with pytest.raises(RunError, match=r"model\.safetensors: damaged: .*; restore it, or train again\.$") as error:
            run.load_weights()
        one_line(error)
    path.write_bytes(whole + b"\0")
    with pytest.raises(RunError, match="damaged"):
        run.load_weights()


@settings(max_examples=150)
@given(data=st.data())
def test_every_flipped_byte_is_damage(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    run = RunFolder(tmp_path_factory.getbasetemp())
    expected = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}
    run.save_weights(expected)
    path = run.path / "model.safetensors"
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = run.load_weights()
    except RunError:
        return
    # Only what carries no meaning, such as the padding of the header, may change unseen.
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_header_that_claims_to_be_huge_takes_no_memory(run: RunFolder) -> None:
    path = run.path / "model.safetensors"
    for length in (1 << 40, (1 << 64) - 1):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        with pytest.raises(RunError, match="damaged"):
            run.load_weights()


def test_weights_of_swapped_shape_are_damage(run: RunFolder) -> None:
    run.save_weights({"a": torch.arange(6.0).reshape(2, 3)})
    path = run.path / "model.safetensors"
    content = path.read_bytes()
    assert b"[2,3]" in content
    path.write_bytes(content.replace(b"[2,3]", b"[3,2]"))
    with pytest.raises(RunError, match="damaged: its checksum is wrong"):
        run.load_weights()


def test_the_checksum_of_the_weights_is_that_of_the_tensors_wherever_they_lie(run: RunFolder) -> None:
    weights = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor(1, dtype=torch.int64)}
    assert run.weights_checksum() is None
    run.save_weights(weights)
    strided = {"a": weights["a"], "b": torch.nn.Parameter(weights["b"].T.contiguous()).T}
    assert run.weights_checksum() == checksum(strided)
    assert run.weights_checksum() != checksum(strided | {"b": weights["b"] + 1})
    (run.path / "model.safetensors").write_bytes(b"damaged")
    assert run.weights_checksum() is None


def test_weights_without_a_checksum_are_damage(run: RunFolder) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, run.path / "model.safetensors")
    with pytest.raises(RunError, match="damaged: its checksum is wrong"):
        run.load_weights()


def test_a_pickle_in_place_of_the_weights_is_not_run(run: RunFolder, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "evil"),)

    torch.save({"a": Evil()}, run.path / "model.safetensors")
    with pytest.raises(RunError, match="damaged"):
        run.load_weights()
    assert not (tmp_path / "evil").exists()
