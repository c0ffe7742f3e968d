"""A run that was stopped, however, goes on as if it had not been."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recur.cli.main import main
from recur.errors import Interrupted, OptionError
from recur.run import RunFolder
from recur.train.language import resume_language_model

no_report = pytest.mark.usefixtures("no_report")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@no_report
def test_interrupted_and_resumed_is_as_if_it_was_not(
    number: int, train: Any, signals_at: Any, assert_same: Any, tmp_path: Path, console: Any
) -> None:
    whole = train("whole")
    signals_at(33, number)
    with pytest.raises(
        Interrupted, match=r"^interrupted after step 33, all is saved; go on with: recur train --resume /"
    ):
        train("halves")
    halves = RunFolder.open(tmp_path / "halves")
    assert [row["text"] for row in halves.metrics() if row["kind"] == "event"] == ["interrupted, checkpoint saved"]
    assert not halves.has("evaluation.json")
    assert resume_language_model(halves.path, console=console).path == halves.path
    assert_same(whole, halves)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("cell", ["rnn", "gru"])
@no_report
def test_other_cells_resume_across_epochs(
    cell: str, train: Any, model: Any, signals_at: Any, assert_same: Any, tmp_path: Path, console: Any
) -> None:
    changes = {"model": replace(model, cell=cell, num_layers=1), "window": 64, "max_steps": None, "max_epochs": 2}
    whole = train("whole", **changes)
    # The first window of the second epoch, whose state starts anew.
    signals_at(37, signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 37"):
        train("halves", **changes)
    assert_same(whole, resume_language_model(tmp_path / "halves", console=console))


TRUNCATIONS = {
    "reach": {"reach": 40},
    "windows": {"vary_window": True},
    "drop": {"drop_state": 0.3},
    "all": {"reach": 30, "vary_window": True, "drop_state": 0.3},
}


@pytest.mark.parametrize("name", TRUNCATIONS)
@no_report
def test_other_truncations_resume_as_if_they_had_not_stopped(
    name: str, train: Any, signals_at: Any, assert_same: Any, tmp_path: Path, console: Any
) -> None:
    plain = train("plain")
    whole = train("whole", **TRUNCATIONS[name])
    assert whole.path.joinpath("model.safetensors").read_bytes() != (plain.path / "model.safetensors").read_bytes()
    signals_at(33, signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 33"):
        train("halves", **TRUNCATIONS[name])
    assert_same(whole, resume_language_model(tmp_path / "halves", console=console))


@pytest.mark.parametrize("step", [35, 36, 37])
@no_report
def test_all_truncations_resume_across_epochs(
    step: int, train: Any, model: Any, signals_at: Any, assert_same: Any, tmp_path: Path, console: Any
) -> None:
    changes = {"model": replace(model, num_layers=1), "window": 64, "max_steps": 60, **TRUNCATIONS["all"], "reach": 70}
    whole = train("whole", **changes)
    assert {row["epoch"] for row in whole.metrics() if row["kind"] == "train"} == {0, 1}
    signals_at(step, signal.SIGINT)
    with pytest.raises(Interrupted, match=f"after step {step}"):
        train("halves", **changes)
    assert_same(whole, resume_language_model(tmp_path / "halves", console=console))


@no_report
def test_a_second_interrupt_stops_at_once(
    train: Any, signals_at: Any, assert_same: Any, tmp_path: Path, console: Any, rows: Any
) -> None:
    signals_at(33, signal.SIGINT, signal.SIGINT)
    with pytest.raises(
        Interrupted, match=r"^stopped at once; go on from the last checkpoint with: recur train --resume /"
    ):
        train("halves")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    halves = RunFolder.open(tmp_path / "halves")
    assert rows(halves)[-1][0] == 30
    assert_same(train("whole"), resume_language_model(halves.path, console=console))


def test_the_command_line_ends_with_130(
    train: Any, text: Path, signals_at: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signals_at(3, signal.SIGINT)
    out = str(tmp_path / "run")
    arguments = ["--max-steps", "5", "--batch-size", "4", "--window", "16", "--hidden-size", "8"]
    assert main(["train", str(text), "--out", out, *arguments]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"recur: interrupted after step 3, all is saved; go on with: recur train --resume {out}"
    assert main(["train", "--resume", out]) == 0


def test_interrupted_while_judging(train: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, console: Any) -> None:
    from recur.tasks.language import judgement

    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(judgement, "judge", interrupt)
    with pytest.raises(
        Interrupted, match=r"^interrupted after the training, all is saved; judge it with: recur train --res"
    ):
        train("run")
    monkeypatch.undo()
    run = resume_language_model(tmp_path / "run", console=console)
    assert "is finished after 60 steps" in console.file.getvalue()
    assert run.has("evaluation.json")
    assert run.has("report.html")


@no_report
def test_a_finished_run_is_judged_once(train: Any, console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from recur.tasks.language import judgement

    run = train("run", max_steps=20)
    before = run.read_json("evaluation.json")
    judged = []
    judge = judgement.judge
    monkeypatch.setattr(judgement, "judge", lambda *given, **options: judged.append(1) or judge(*given, **options))
    resume_language_model(run.path, console=console)
    assert "is finished after 20 steps" in console.file.getvalue()
    assert judged == []
    # What was said of other weights, or cannot be read, is said anew.
    for spoilt in (json.dumps({**before, "weights": "others"}), "{"):
        (run.path / "evaluation.json").write_text(spoilt)
        resume_language_model(run.path, console=console)
        assert run.read_json("evaluation.json")["verdict"] == before["verdict"]
    assert len(judged) == 4


@no_report
def test_a_finished_run_goes_on_with_higher_bounds(train: Any, console: Any, rows: Any, assert_same: Any) -> None:
    run = train("run", max_steps=20)
    before = (run.path / "model.safetensors").read_bytes()
    resume_language_model(run.path, console=console)
    assert "is finished after 20 steps: a higher max_minutes=, max_epochs= or max_steps= " in console.file.getvalue()
    assert (run.path / "model.safetensors").read_bytes() == before
    resume_language_model(run.path, bounds={"max_steps": 40}, console=console)
    assert [step for step, _ in rows(run)] == [10, 20, 30, 40]
    assert run.config()["training"]["max_steps"] == 40


@no_report
def test_a_time_budget_that_is_spent_stays_spent(
    train: Any, signals_at: Any, console: Any, rows: Any, tmp_path: Path
) -> None:
    """Also when the last row of the metrics does not tell the time, such as the note that it was interrupted."""
    signals_at(22, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("run", max_steps=None, max_minutes=60)
    run = RunFolder.open(tmp_path / "run")
    assert run.metrics()[-1].keys() == {"kind", "step", "text"}
    elapsed = run.metrics()[-2]["elapsed"]
    resume_language_model(run.path, bounds={"max_minutes": elapsed / 60}, console=console)
    assert "is finished after 22 steps" in console.file.getvalue()


@no_report
def test_a_run_that_stopped_early_is_finished(train: Any, console: Any, rows: Any) -> None:
    run = train("run", patience=2, learning_rate=1e-12, max_steps=400)
    last = rows(run, "valid")[-1][0]
    assert last < 400
    assert f"stopped at step {last}: the validation loss has not fallen for 2 validations." in console.file.getvalue()
    before = rows(run, "valid")
    resume_language_model(run.path, console=console)
    said = f"is finished after {last} steps: the validation loss had not fallen for 2 validations; a higher patience="
    assert said in " ".join(console.file.getvalue().split())
    assert rows(run, "valid") == before
    # More patience is what lets it go on.
    resume_language_model(run.path, bounds={"patience": 4}, console=console)
    assert rows(run, "valid")[: len(before)] == before
    assert len(rows(run, "valid")) == len(before) + 2


@no_report
def test_without_a_checkpoint_it_begins_anew(
    train: Any, assert_same: Any, signals_at: Any, tmp_path: Path, console: Any
) -> None:
    whole = train("whole")
    signals_at(12, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("halves")
    halves = RunFolder.open(tmp_path / "halves")
    (halves.path / "checkpoints/last.ckpt").unlink()
    assert_same(whole, resume_language_model(halves.path, console=console))


@no_report
def test_bounds_that_make_no_sense_leave_the_run_as_it_was(train: Any, console: Any) -> None:
    run = train("run", max_steps=20)
    config = (run.path / "config.json").read_bytes()
    with pytest.raises(OptionError, match=r"^max_steps must be a whole number from 1 on, not 0\.$"):
        resume_language_model(run.path, bounds={"max_steps": 0}, console=console)
    said = r"^only max_minutes, max_epochs, max_steps, patience can change .* not \['seed'\]\.$"
    with pytest.raises(OptionError, match=said):
        resume_language_model(run.path, bounds={"seed": 1}, console=console)
    assert (run.path / "config.json").read_bytes() == config


FORKS = """
import os, sys
import recur.train.language, recur.train.loop
from recur.cli.main import main

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        os._exit(main(line.split()))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Starts each command line that it reads as a process of its own, which finds everything imported already."""


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_ten_kills_in_a_row(text: Path, tmp_path: Path, assert_same: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = (
        "--hidden-size",
        "24",
        "--batch-size",
        "4",
        "--window",
        "16",
        "--dropout",
        "0.2",
        "--initial-state",
        "learned",
    )
    options += ("--checkpoint-every", "5", "--validate-every", "50", "--sample-length", "20", "--max-epochs", "20")
    options += ("--no-report",)
    command = [sys.executable, "-m", "recur", "train"]
    done = subprocess.run([*command, text, "--out", "whole", *options], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    draw = random.Random()
    seed = draw.randrange(1 << 30)
    draw.seed(seed)
    checkpoint = Path("killed/checkpoints/last.ckpt")
    arguments = [text.name, "--out", "killed", *options]
    printed = Path("printed.txt")
    forks = [sys.executable, "-c", FORKS]
    with (
        printed.open("w") as errors,
        subprocess.Popen(forks, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        for kill in range(10):
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            print("train", *arguments, file=process.stdin, flush=True)
            child = int(process.stdout.readline())
            # Only from its first new checkpoint on does the clock run, or a slow machine would never see it train.
            started = time.monotonic()
            while is_alive(child) and time.monotonic() - started < 120:
                if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                    break
                time.sleep(0.005)
            time.sleep(draw.uniform(0.0, 0.6))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            status = int(process.stdout.readline())
            assert status == -signal.SIGKILL, f"seed {seed}, kill {kill}: {printed.read_text()}"
            arguments = ["--resume", "killed"]
    # By another process, with other hashes.
    done = subprocess.run([*command, "--resume", "killed"], capture_output=True, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr.decode()}"
    assert_same(RunFolder.open("whole"), RunFolder.open("killed"))


@no_report
def test_a_run_that_was_moved_finds_its_text_from_any_folder(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: Any
) -> None:
    run = train(max_steps=3)
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    run.path.rename(moved)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    again = resume_language_model(moved, bounds={"max_steps": 6}, console=console)
    assert max(row["step"] for row in again.metrics()) == 6
