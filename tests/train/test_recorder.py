"""The rows of a training."""

from __future__ import annotations

import math
import signal
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recur.errors import Interrupted, TrainingError
from recur.run import RunFolder
from recur.tasks.language.task import LanguageTask
from recur.train import recorder
from recur.train.language import resume_language_model

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


# --- steps that are left out ------------------------------------------------------------------------------------------


@pytest.fixture
def spoil_steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the embedding of some steps have a NaN."""

    def arrange(*steps: int) -> None:
        training_step = LanguageTask.training_step

        def spoilt(task: LanguageTask, batch: Any, index: int) -> Any:
            if task.global_step + 1 not in steps:
                return training_step(task, batch, index)

            def spoil(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
                bad = output.clone()
                bad[5, 2, 3] = math.nan
                return bad

            handle = task.model.embedding.register_forward_hook(spoil)
            # The search, which comes after the step, shall see it too.
            step_end = task.configure_gradient_clipping

            def restored(*arguments: Any, **options: Any) -> None:
                del task.configure_gradient_clipping
                try:
                    step_end(*arguments, **options)
                finally:
                    handle.remove()

            task.configure_gradient_clipping = restored  # type: ignore[method-assign]
            return training_step(task, batch, index)

        monkeypatch.setattr(LanguageTask, "training_step", spoilt)

    return arrange


def of_kind(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == kind]


def test_steps_that_are_left_out_are_told_and_do_not_count(train: Any, spoil_steps: Any, console: Any) -> None:
    spoil_steps(13, 14, 27, *range(31, 34))
    run = train(max_steps=40, validate_every=20, probe_every=10)
    rows = of_kind(run, "train")
    assert [row["skipped"] for row in rows] == [0, 2, 1, 3]
    assert all(math.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in rows)
    events = [row for row in of_kind(run, "event") if "nonfinite" in row]
    assert [row["step"] for row in events] == [13, 14, 27, 31, 32, 33]
    for row in events:
        assert row["text"].startswith(f"step {row['step']}: the loss is nan and the gradient's norm nan, not finite; ")
        assert row["text"].endswith(" What went wrong first: embedding: the output is NaN at index (5, 2, 3).")
        assert (row["nonfinite"]["module"], row["nonfinite"]["tensor"]) == ("embedding", "output")
        assert row["nonfinite"]["index"] == [5, 2, 3]
    notes = [line for line in console.file.getvalue().splitlines() if line.startswith("note     step ")]
    assert len(notes) == 1
    assert notes[0].startswith("note     step 13: the loss is nan")
    assert all(bool(torch.isfinite(value).all()) for value in run.load_weights().values())
    assert math.isfinite(run.read_json("evaluation.json")["model"]["nats_per_token"])


def test_a_row_without_a_step_that_was_taken_has_no_figures(train: Any, spoil_steps: Any) -> None:
    spoil_steps(*range(11, 21))
    run = train(max_steps=30, skip_nonfinite=10, probe_every=10)
    rows = of_kind(run, "train")
    assert [row["skipped"] for row in rows] == [0, 10, 0]
    assert [rows[1][name] for name in ("loss", "grad_norm", "clipped", "removed")] == [None] * 4
    assert rows[1]["layer_norms"] == {}
    assert rows[2]["loss"] > 0
    (probe,) = [row for row in of_kind(run, "probe") if row["step"] == 20]
    assert probe["update"] is None


def test_too_many_in_a_row_end_the_training(train: Any, spoil_steps: Any, tmp_path: Any) -> None:
    spoil_steps(*range(11, 21))
    with pytest.raises(
        TrainingError, match=r"^step 13: .*; this step and the 2 steps before it were not taken and the"
    ):
        train(max_steps=30, skip_nonfinite=2)
    events = of_kind(RunFolder.open(tmp_path / "run"), "event")
    assert [row["step"] for row in events] == [11, 12, 12]
    assert events[-1]["nonfinite"]["module"] == "embedding"


def test_left_out_steps_resume_bit_for_bit(
    train: Any, spoil_steps: Any, signals_at: Any, assert_same: Any, tmp_path: Any, console: Any
) -> None:
    changes = {"activation_penalty": 2.0, "temporal_penalty": 1.0, "clip_ratio": 0.05, "max_steps": 40}
    spoil_steps(18, 19, 20, 27)
    whole = train("whole", **changes)
    signals_at(19, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("halves", **changes)
    halves = resume_language_model(tmp_path / "halves", console=console)
    assert_same(whole, halves)
    names = ("step", "loss", "grad_norm", "clipped", "removed", "skipped", "layer_norms")
    kept = [[[row[name] for name in names] for row in of_kind(run, "train")] for run in (whole, halves)]
    assert kept[0] == kept[1]
    assert [row[5] for row in kept[0]] == [0, 3, 1, 0]
