"""Validation while training: when it happens, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from recur.run import RunFolder
from recur.train.pace import Pace

pytestmark = pytest.mark.usefixtures("no_report")


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
