"""Going on with a run finds its task; `test_resume.py` and `test_examples_job.py` tell that it goes on as it should."""

from __future__ import annotations

from typing import Any

import pytest

from recur.errors import OptionError, RunError
from recur.train.resumption import resume
from recur.train.table import TASKS

pytestmark = pytest.mark.usefixtures("no_report")


def test_the_task_is_that_of_the_run(train: Any, console: Any, rows: Any) -> None:
    run = train(max_steps=10)
    resume(run.path, bounds={"max_steps": 20}, console=console)
    assert [step for step, _ in rows(run)] == [10, 20]


@pytest.mark.parametrize(
    ("name", "shown"), [("forecats", "'forecats'"), (None, "None"), (["language"], r"\['language'\]")]
)
def test_a_task_that_is_none_is_refused(name: Any, shown: str, train: Any, console: Any) -> None:
    run = train(max_steps=5)
    run.write_json("config.json", {**run.config(), "task": name})
    before = (run.path / "metrics.jsonl").read_bytes()
    known = " or ".join(map(repr, TASKS))
    with pytest.raises(RunError, match=rf"run: is a run of task {shown}, expected {known}\.$"):
        resume(run.path, bounds={"max_steps": 9}, console=console)
    assert run.config()["training"]["max_steps"] == 5
    assert (run.path / "metrics.jsonl").read_bytes() == before


def test_options_that_are_damaged_are_told_before_they_are_changed(train: Any, console: Any) -> None:
    run = train(max_steps=5)
    config = run.config()
    for training, pattern in (
        ({"steps": 3}, r"config\.json: damaged: training: .*unexpected keyword argument 'steps'"),
        (None, r"config\.json: damaged: training: "),
    ):
        run.write_json("config.json", {**config, "training": training})
        with pytest.raises(RunError, match=pattern):
            resume(run.path, bounds={"max_steps": 9}, console=console)
    run.write_json("config.json", config)
    with pytest.raises(OptionError, match=r"^max_epochs must be a whole number from 1 on, not -1\.$"):
        resume(run.path, bounds={"max_epochs": -1}, console=console)
