"""From a table to classes and remaining lives, on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recur import report

SMALL = ("--max-steps", "20", "--hidden-size", "4", "--members", "1", "--out", "run", "--no-report")


@pytest.fixture
def gestures(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    frames = []
    for number in range(30):
        sign = (-1) ** number
        force = sign * np.linspace(-1, 1, 8) + 0.1 * draw.standard_normal(8)
        name = "up" if sign > 0 else "down"
        frames.append(
            pl.DataFrame({"case": [f"c{number}"] * 8, "step": np.arange(8), "force": force, "label": [name] * 8})
        )
    pl.concat(frames).write_csv(folder / "gestures.csv")
    return folder / "gestures.csv"


@pytest.fixture
def engines(folder: Path) -> Path:
    frames = []
    for number in range(8):
        length = 12 + number
        frames.append(
            pl.DataFrame({"unit": [number] * length, "cycle": np.arange(length), "wear": np.arange(length) - length})
        )
    pl.concat(frames).write_csv(folder / "engines.csv")
    pl.concat(frames[:2]).write_csv(folder / "stopped.csv")
    (folder / "left.txt").write_text("3\n4\n")
    return folder / "engines.csv"


def test_from_a_table_to_classes(gestures: Path, recur: Any) -> None:
    result = recur("train", "gestures.csv", *SMALL)
    assert result.code == 0, result.err
    said = "task     classify, as gestures.csv has the column of classes 'label'; --task chooses another"
    assert result.err.splitlines()[0] == said
    columns = [line.split()[1] for line in result.err.splitlines() if line.startswith("column")]
    assert "channel" in columns
    assert not {"targets", "past"} & set(columns)
    lines = result.out.splitlines()
    # The verdict first, then the figures, then what to do next.
    assert "on 6 labels of the test part" in lines[0]
    assert lines[1].split()[0] == "accuracy"
    # There is no report, so none is announced.
    assert lines[-2:] == ["predict  recur predict run new.csv", "judge    recur evaluate run"]
    assert not any(line.startswith("report") for line in lines)
    judged = recur("evaluate", "run", "--json")
    assert judged.code == 0, judged.err
    kept = json.loads(Path("run/label_evaluation.json").read_text())
    assert json.loads(judged.out)["figures"] == kept["figures"]
    assert recur("evaluate", "run", "gestures.csv").out.splitlines()[0].count("30 labels of the data given") == 1
    told = recur("predict", "run", "gestures.csv", "--out", "told.csv")
    assert told.code == 0, told.err
    assert pl.read_csv("told.csv").columns == ["series_id", "label", "probability", "p(down)", "p(up)"]


def test_from_runs_to_failure_to_lives(engines: Path, recur: Any) -> None:
    given = ("--series-id", "unit", "--remaining-life", "--life-cap", "10", "--test-data", "stopped.csv")
    result = recur("train", "engines.csv", *given, "--life-left", "left.txt", *SMALL)
    assert result.code == 0, result.err
    assert result.err.startswith("task     regress, as remaining_life is to be told; ")
    found = json.loads(Path("run/label_evaluation.json").read_text())
    assert found["points"]["true"] == [3.0, 4.0]
    assert [line.split()[0] for line in result.out.splitlines()[1:4]] == ["RMSE", "MAE", "bias"]
    judged = recur("evaluate", "run", "stopped.csv", "--life-left", "left.txt", "--json")
    assert judged.code == 0, judged.err
    assert json.loads(judged.out)["figures"] == found["figures"]
    last = recur("predict", "run", "stopped.csv", "--only-last", "--coverage", "0.5")
    assert last.code == 0, last.err
    lines = last.out.splitlines()
    assert lines[0].split() == ["series_id", "time", "remaining_life", "lower", "upper"]
    assert [line.split()[:2] for line in lines[1:]] == [["0", "11"], ["1", "12"]]


@pytest.mark.parametrize(
    ("arguments", "task"),
    [
        (("--label", "label"), "classify, as gestures.csv has the column of classes 'label'"),
        (("--label", "force"), "regress, as gestures.csv has the column of numbers 'force'"),
        (("--horizon", "2"), "forecast, as gestures.csv is a table"),
        (("--ignored", "label"), "classify, as gestures.csv has the column of classes 'label'"),
    ],
)
def test_which_task_it_is(gestures: Path, recur: Any, arguments: tuple[str, ...], task: str) -> None:
    result = recur("train", "gestures.csv", *arguments, "--max-steps", "1", "--hidden-size", "0")
    assert result.code == 2
    # Said before the options are looked at closely.
    chosen = result.err.splitlines()
    assert len(chosen) == 1
    result = recur("train", "gestures.csv", *arguments, "--test", "999", "--max-steps", "1", "--out", "run")
    assert result.err.splitlines()[0] == f"task     {task}; --task chooses another"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("predict", "run", "gestures.csv", "--horizon", "3"),
            2,
            "horizon is of forecast runs, and this is one of task",
        ),
        (("predict", "run", "gestures.csv", "--coverage", "0.9"), 2, "coverage is of regress runs, and this is one of"),
        (
            ("evaluate", "run", "--life-left", "a.txt"),
            2,
            "life_left is of regress runs, and this is one of task classif",
        ),
        (
            ("evaluate", "run", "--stride", "2"),
            2,
            "stride is of forecast runs, and this is one of task classify; leave ",
        ),
        (("evaluate", "run", "a.csv", "b.csv"), 1, "a.csv: no such file"),
        (
            ("predict", "run", "stray.csv"),
            1,
            "stray.csv: has no column 'force', in past_only when the model was traine",
        ),
    ],
)
def test_what_makes_no_sense(
    gestures: Path, recur: Any, arguments: tuple[str, ...], code: int, said: str, made: Path
) -> None:
    (gestures.parent / "run").symlink_to(made / "run")
    Path("stray.csv").write_text("case,step\na,0\n")
    result = recur(*arguments)
    assert (result.code, result.out) == (code, "")
    assert result.complaint.startswith(f"recur: {said}")


@pytest.fixture
def made(made_once: Any, gestures: Path, recur: Any) -> Path:
    """A folder with the run of a classifier; tests only read it."""

    def make(folder: Path) -> None:
        assert recur("train", "gestures.csv", *SMALL, "--out", folder / "run", "--max-steps", "2").code == 0

    return made_once("classifier", make)  # type: ignore[no-any-return]


def test_inspect_says_what_predict_does(
    made: Path, gestures: Path, recur: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    shutil.copytree(made / "run", "run")
    assert recur("predict", "run", "gestures.csv", "--out", "told.csv").code == 0
    told = pl.read_csv("told.csv").filter(pl.col("series_id") == "c3").row(0, named=True)
    pl.read_csv("gestures.csv").write_csv("other.csv", separator=";")
    # The characters of a table that tells them by itself need not be named.
    for arguments in (["gestures.csv"], ["other.csv", "--separator", ";"]):
        result = recur("inspect", "run", *arguments, "--series", "c3")
        assert result.code == 0, result.err
        said = json.loads(Path("run/inspect.json").read_bytes())["answers"]["answers"][0]
        assert result.out.startswith("series   c3\n")
        assert f"says     {said['name']}: {said['said']}; {said['came']}\n" in result.out
        assert "in nats of the log-odds" in result.out
        name = said["name"].removeprefix("class ")
        assert said["said"] == f"probability {told[f'p({name})']:.1%}"
        assert said["came"] == ("the true class" if name == "down" else "not the true class")
    result = recur("inspect", "run", "gestures.csv", "--at", "3")
    assert (result.code, result.err) == (1, "recur: at: one label is told of a whole series; leave it out.\n")
