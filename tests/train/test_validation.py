"""Validation while training: when it happens, and what is told of it."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recur.errors import Interrupted
from recur.run import RunFolder
from recur.train.language import resume_language_model
from recur.train.pace import Pace
from recur.train.validation import Validation

pytestmark = pytest.mark.usefixtures("no_report")

SWINGING: dict[str, Any] = {"max_steps": 200, "validate_every": 10, "learning_rate": 0.05, "final_learning_rate": 1.0}
"""Of a training whose weights swing about a minimum, with a learning rate that is too high."""


@pytest.mark.parametrize("answer", [7, 8, 9])
def test_training_never_ends_without_a_validation(
    answer: int, train: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever question to the clock is the first that it answers with yes."""
    asked: list[int] = []

    def is_over(pace: Pace, step: int) -> bool:
        asked.append(step)
        return len(asked) >= answer

    monkeypatch.setattr(Pace, "is_over", is_over)
    run = train(max_steps=1000, validate_every=1000)
    last = run.metrics()[-1]["step"]
    assert last < 10
    assert [step for step, _ in rows(run, "valid")] == [last]


def test_a_validation_that_takes_the_last_of_the_time_ends_the_training(
    train: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_validated = False
    append = RunFolder.append_metrics

    def appended(run: RunFolder, row: Any) -> None:
        nonlocal is_validated
        is_validated = is_validated or row["kind"] == "valid"
        append(run, row)

    monkeypatch.setattr(RunFolder, "append_metrics", appended)
    monkeypatch.setattr(Pace, "is_over", lambda pace, step: is_validated)
    run = train(max_steps=1000, validate_every=5)
    assert [step for step, _ in rows(run, "valid")] == [5]
    assert rows(run)[-1][0] == 5


def test_tensorboard_shows_the_validation_loss_too(train: Any, rows: Any) -> None:
    from tensorboard.backend.event_processing import event_accumulator

    run = train(max_steps=40, tensorboard=True)
    events = event_accumulator.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    for name, kind in (("train/loss", "train"), ("valid/loss", "valid")):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in rows(run, kind)]
        assert [value for _, value in found] == pytest.approx([loss for _, loss in rows(run, kind)])


def test_the_best_weights_are_averaged_where_that_is_better(train: Any, rows: Any) -> None:
    single = train("single", **SWINGING)
    mean = train("mean", averaged_checkpoints=4, **SWINGING)
    valid = rows(single, "valid")
    assert rows(mean, "valid") == valid
    best = sorted(step for step, _ in sorted(valid, key=lambda row: row[1])[:4])
    (event,) = [row["text"] for row in mean.metrics() if row["kind"] == "event"]
    found = re.fullmatch(
        r"the mean of the weights of steps (.*) has a validation loss of (.*), and is (kept|no better than the best)",
        event,
    )
    assert found is not None, event
    assert [int(step) for step in re.findall(r"\d+", found[1])] == best
    lowest = min(loss for _, loss in valid)
    assert (found[3] == "kept") == (float(found[2]) < lowest)
    # This one is, so that the other way round is another training.
    assert found[3] == "kept"
    assert mean.read_json("evaluation.json")["valid"] != single.read_json("evaluation.json")["valid"]


def test_a_mean_that_is_worse_is_not_kept(train: Any) -> None:
    """Of weights that still come nearer each time."""
    single = train("single", max_steps=40, validate_every=20)
    mean = train("mean", max_steps=40, validate_every=20, averaged_checkpoints=5)
    (event,) = [row["text"] for row in mean.metrics() if row["kind"] == "event"]
    assert event.startswith("the mean of the weights of steps 20 and 40 has a validation loss of ")
    assert event.endswith("and is no better than the best")
    assert mean.weights_checksum() == single.weights_checksum()


def test_a_resumed_training_averages_the_same_weights(
    train: Any, signals_at: Any, tmp_path: Path, console: Console
) -> None:
    options: Any = {"max_steps": 60, "validate_every": 10, "averaged_checkpoints": 3, "learning_rate": 0.05}
    whole = train("whole", **options)
    signals_at(35, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("cut", **options)
    resumed = resume_language_model(tmp_path / "cut", console=console)
    told = [[row["text"] for row in run.metrics() if "the mean of" in row.get("text", "")] for run in (whole, resumed)]
    assert told[0] == told[1]
    assert len(told[0]) == 1
    assert whole.weights_checksum() == resumed.weights_checksum()


def test_a_longer_training_keeps_only_what_is_better_than_the_mean(
    train: Any, rows: Any, tmp_path: Path, console: Console
) -> None:
    mean = train("mean", averaged_checkpoints=4, **SWINGING)
    (first,) = [row["text"] for row in mean.metrics() if row["kind"] == "event"]
    assert first.endswith("and is kept")
    weights = mean.weights_checksum()
    lowest = float(first.split("validation loss of ")[1].split(",")[0])
    longer = resume_language_model(mean.path, bounds={"max_steps": 240}, console=console)
    told = [row for row in longer.metrics() if row["kind"] == "valid"]
    # Single ones that are better than any before, but not than the mean.
    assert any(row["loss"] < min(one["loss"] for one in told[:-4]) for row in told[-4:])
    assert [row["step"] for row in told][-4:] == [210, 220, 230, 240]
    assert not any(row["is_best"] for row in told[-4:] if row["loss"] >= lowest)
    _, second = [row["text"] for row in longer.metrics() if row["kind"] == "event"]
    is_kept = second.endswith("and is kept")
    assert is_kept == (float(second.split("validation loss of ")[1].split(",")[0]) < lowest)
    assert any(row["is_best"] for row in told[-4:]) or is_kept == (longer.weights_checksum() != weights)


AVERAGED: dict[str, Any] = {
    **SWINGING,
    "max_steps": 65,
    "validate_every": 5,
    "learning_rate": 0.1,
    "averaged_checkpoints": 4,
    "checkpoint_every": 1000,
    "sample_length": 0,
}


@pytest.fixture
def averaged(train: Any) -> RunFolder:
    """A training whose mean of four is better than each of them."""
    run = train("whole", **AVERAGED)
    (event,) = [row["text"] for row in run.metrics() if row["kind"] == "event"]
    assert event.endswith("and is kept")
    return run


class Killed(BaseException):
    """What nobody catches."""


def killed(*arguments: Any) -> None:
    raise Killed


@pytest.mark.parametrize("moment", ["before", "before its event", "after"])
def test_a_training_that_is_killed_while_its_mean_is_judged_ends_as_if_it_was_not(
    moment: str,
    averaged: RunFolder,
    train: Any,
    assert_same: Any,
    tmp_path: Path,
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoint of the last step is there, and all that is left to do is that."""
    judge_mean, append = Validation.judge_mean, RunFolder.append_metrics

    def kept(run: RunFolder, row: Any) -> None:
        if "the mean of" in row.get("text", ""):
            killed()
        append(run, row)

    def judged(*arguments: Any) -> None:
        judge_mean(*arguments)
        killed()

    with monkeypatch.context() as patch:
        if moment == "before its event":
            patch.setattr(RunFolder, "append_metrics", kept)
        else:
            patch.setattr(Validation, "judge_mean", killed if moment == "before" else judged)
        with pytest.raises(Killed):
            train("cut", **AVERAGED)
    cut = resume_language_model(tmp_path / "cut", console=console)
    assert "is finished after 65 steps" in console.file.getvalue()
    told = [[row for row in run.metrics() if row["kind"] == "event"] for run in (averaged, cut)]
    assert told[0] == told[1]
    assert_same(averaged, cut)
    with monkeypatch.context() as patch:
        # Once is enough.
        patch.setattr(Validation, "judge_mean", killed)
        resume_language_model(cut.path, console=console)
    longer = [resume_language_model(run.path, bounds={"max_steps": 70}, console=console) for run in (averaged, cut)]
    assert_same(*longer)


def test_a_training_that_is_interrupted_in_its_last_step_is_averaged_when_it_is_resumed(
    averaged: RunFolder, train: Any, assert_same: Any, signals_at: Any, tmp_path: Path, console: Console
) -> None:
    signals_at(65, signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 65"):
        train("cut", **AVERAGED)
    cut = resume_language_model(tmp_path / "cut", console=console)
    assert cut.metrics()[-1] == averaged.metrics()[-1]
    assert_same(averaged, cut)


def test_an_interrupt_while_the_mean_is_judged_of_a_finished_training_tells_how_to_go_on(
    averaged: RunFolder, train: Any, assert_same: Any, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Validation, "judge_mean", interrupt)
        with pytest.raises(Interrupted, match=r"^stopped at once; go on from the last checkpoint with: recur train --"):
            train("cut", **AVERAGED)
        said = r"^interrupted after the training, all is saved; judge it with: recur train --resume /"
        with pytest.raises(Interrupted, match=said):
            resume_language_model(tmp_path / "cut", console=console)
    assert_same(averaged, resume_language_model(tmp_path / "cut", console=console))


def test_a_training_that_is_to_end_earlier_averages_what_it_has(
    train: Any, signals_at: Any, tmp_path: Path, console: Console
) -> None:
    signals_at(37, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("cut", **AVERAGED)
    run = resume_language_model(tmp_path / "cut", bounds={"max_steps": 30}, console=console)
    assert "is finished after 37 steps" in console.file.getvalue()
    assert run.metrics()[-1]["text"].startswith(
        "the mean of the weights of steps 20, 25, 30 and 35 has a validation loss"
    )
