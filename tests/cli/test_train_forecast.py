"""From a table to a forecast, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest


@pytest.fixture
def table(folder: Path) -> Path:
    steps = np.arange(300)
    times = np.datetime64("2024-01-01", "ms") + steps * np.timedelta64(1, "h")
    load = 50 + 10 * np.sin(2 * np.pi * steps / 24) + np.random.default_rng(0).normal(size=300)
    pl.DataFrame({"time": times, "load": load, "note": ["x"] * 300}).write_csv(folder / "meter.csv")
    return folder / "meter.csv"


SMALL = ("--max-steps", "20", "--hidden-size", "8", "--horizon", "4", "--out", "run")


def test_from_a_table_to_a_forecast(table: Path, recur: Any) -> None:
    result = recur("train", "meter.csv", *SMALL)
    assert result.code == 0, result.err
    assert result.err.splitlines()[0] == "task     forecast, as meter.csv is a table; --task chooses another"
    lines = result.out.splitlines()
    # The verdict first, then the figures, then what to do next.
    assert "naive" in lines[0]
    assert lines[-3:] == [
        "report   run/report.html",
        "forecast recur predict run new.csv",
        "judge    recur evaluate run",
    ]
    judged = recur("evaluate", "run", "--json")
    assert judged.code == 0, judged.err
    assert json.loads(judged.out)["figures"] == json.loads(Path("run/forecast_evaluation.json").read_text())["figures"]
    told = recur("predict", "run", "meter.csv", "--out", "next.csv")
    assert told.code == 0, told.err
    assert pl.read_csv("next.csv").height == 4


def test_options_of_columns_and_parts(table: Path, recur: Any) -> None:
    result = recur("train", "meter.csv", *SMALL, "--targets", "load", "--ignored", "note", "--test", "2024-01-11")
    assert result.code == 0, result.err
    # A tenth of the 240 before it chooses the weights.
    assert "216 rows to train on, 24 to validate, 60 to test" in result.err
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"]["test"] == "2024-01-11"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--test", "60", "--valid", "20"), "220 rows to train on, 20 to validate, 60 to test"),
        (("--test", "0.1"), "240 rows to train on, 30 to validate, 30 to test"),
        (("--test", "from:2024-01-11", "--valid", "0.2"), "192 rows to train on, 48 to validate, 60 to test"),
    ],
)
def test_ways_to_say_what_is_held_out(table: Path, recur: Any, arguments: tuple[str, ...], parts: str) -> None:
    result = recur("train", "meter.csv", *SMALL, "--max-steps", "1", "--no-report", *arguments)
    assert result.code == 0, result.err
    assert parts in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--targets", "lod"], 1, "meter.csv: has no column 'lod', which targets names; did you mean 'load'?"),
        (["--horizon", "0"], 2, "horizon must be a whole number from 1 on, not 0."),
        (["--head", "gausian"], 2, "Did you mean gaussian?"),
        (["--valid", "0"], 2, "a forecaster needs a validation part"),
        (["--test", "1.0"], 2, "test: expected a number from 0 on, or a share from 0 to below 1, got 1.0."),
        (["--test", "2020"], 1, "series 'series' has 300 rows, too few for 30 of valid, 2020 of test and some to"),
        (["--num-components", "5"], 2, "num_components is 5, but head is gaussian, which has none; leave it out"),
    ],
)
def test_bad_options_are_told_in_one_line(
    table: Path, recur: Any, arguments: list[str], code: int, message: str
) -> None:
    result = recur("train", "meter.csv", "--out", "run", *arguments)
    assert result.code == code
    assert message in result.err.splitlines()[-1]
    assert not Path("run").exists()


def test_help_of_the_task(folder: Path, recur: Any) -> None:
    result = recur("train", "--task", "forecast", "--help")
    assert result.code == 0
    assert "--known-future" in result.out
    assert "--horizon" in result.out
    assert "--tokens" not in result.out
