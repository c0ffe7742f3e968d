"""How a training went of late: the same from single steps as from the rows of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recur.errors import RunError
from recur.gradients import Training
from recur.run import FORMAT, RunFolder
from recur.tasks.inspection.run_training import TrainedSteps, late_training, training_of_run


def made(path: Path, rows: list[dict[str, Any]], **training: Any) -> RunFolder:
    run = RunFolder.create(path)
    run.write_json("config.json", {"format": FORMAT, "task": "language", "training": training})
    for row in rows:
        run.append_metrics({"kind": "train", "skipped": 0} | row)
    return run


def test_means_are_over_steps_and_the_best_loss_is_kept() -> None:
    steps = [TrainedSteps(1, 4.0, 1.0, 0.5), TrainedSteps(3, 2.0, 0.0, 0.1)]
    found = late_training(steps, best_loss=2.0, window=7, update=0.1)
    assert found == Training(window=7, clipped=0.25, removed=pytest.approx(0.2), update=0.1, loss=2.5, best_loss=2.0)
    assert late_training(steps).best_loss == 2.5
    assert late_training([], best_loss=3.0, window=7) == Training(window=7, best_loss=3.0)


def test_the_last_rows_of_a_run_are_taken(tmp_path: Path) -> None:
    rows = [
        {"step": 10, "loss": 2.0, "clipped": 0.0, "removed": 0.0},
        {"step": 20, "loss": 1.0, "clipped": 0.0, "removed": 0.0},
        {"step": 30, "loss": 1.5, "clipped": 0.2, "removed": 0.1},
        # Half of its steps were left out, and all of the next row's.
        {"step": 40, "loss": 3.0, "clipped": 1.0, "removed": 0.4, "skipped": 5},
        {"step": 45, "loss": float("nan"), "clipped": float("nan"), "removed": float("nan"), "skipped": 5},
    ]
    run = made(tmp_path / "run", [{"kind": "event", "step": 0}, *rows], probe_every=20, window=16)
    # The rows that end within the last 20 steps are those at 30, 40 and 45; of the 20 before, those at 10 and 20.
    expected = Training(
        window=16, loss=pytest.approx(2.0), best_loss=1.5, clipped=pytest.approx(7 / 15), removed=pytest.approx(0.2)
    )
    assert training_of_run(run) == expected


@pytest.mark.parametrize(
    ("training", "window"), [({"window": 120}, 120), ({"window": 16, "reach": 110}, 110), ({"window": 0}, None)]
)
def test_how_far_its_gradient_went(tmp_path: Path, training: Any, window: int | None) -> None:
    assert training_of_run(made(tmp_path / "run", [], **training)) == Training(window=window)


def test_rows_that_do_not_say_it_are_passed_over(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"step": 10, "loss": 2.0},
        {"step": "20", "loss": 1.0, "clipped": 0.0, "removed": 0.0},
        {"step": 30, "loss": 1.0, "clipped": True, "removed": 0.0},
        {"step": 40, "loss": 1.0, "clipped": 0.0, "removed": 0.0, "skipped": None},
    ]
    run = made(tmp_path / "run", rows)
    assert training_of_run(run) == Training()
    run.write_json("config.json", {"format": FORMAT, "task": "language", "training": 3})
    assert training_of_run(run) == Training()
    (run.path / "metrics.jsonl").write_text("damaged\n{}\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 1: damaged: "):
        training_of_run(run)
