"""The rows of a training."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from recur.errors import Interrupted
from recur.run import RunFolder
from recur.train import recorder
from recur.train.fit import resume_language_model

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each step take one second, by the recorder's clock."""
    now = [0.0]

    def advance(self: Any, *arguments: Any, **options: Any) -> None:
        now[0] += 1.0
        step_end(self, *arguments, **options)

    step_end = recorder.Recorder.on_train_batch_end
    monkeypatch.setattr(recorder.Recorder, "on_train_batch_end", advance)
    monkeypatch.setattr(recorder, "time", SimpleNamespace(monotonic=lambda: now[0]))


def speeds(run: RunFolder) -> list[float]:
    return [row["tokens_per_second"] for row in run.metrics() if row["kind"] == "train"]


@pytest.mark.usefixtures("seconds")
def test_speed_is_tokens_by_time(train: Any) -> None:
    assert speeds(train(max_steps=40)) == [64.0] * 4
    # An epoch of 2,249 steps: thirty-five windows of 64 and one of nine.
    assert speeds(train("short", max_steps=40, window=64)) == [256.0] * 3 + [(9 * 256 + 4 * 9) / 10]


@pytest.mark.usefixtures("seconds")
def test_steps_before_a_resume_do_not_count_as_fast(train: Any, signals_at: Any, tmp_path: Any, console: Any) -> None:
    signals_at(19, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("halves", max_steps=40)
    assert speeds(resume_language_model(tmp_path / "halves", console=console)) == [64.0] * 4
