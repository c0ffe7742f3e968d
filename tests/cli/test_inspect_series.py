"""`recur inspect` of a model of series."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recur import report
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.series_reading import SeriesReading

OPTIONS = ForecasterOptions(
    kind="encoder-decoder", history=24, hidden_size=6, head="gaussian", normalize="last", level=False
)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seasonal_table: Any) -> pl.DataFrame:
    """A folder to work in with a table, and the run of a forecaster as it was drawn."""
    monkeypatch.chdir(tmp_path)
    table: pl.DataFrame = seasonal_table(160, series=2)
    table.write_csv("loads.csv")
    reading = SeriesReading()
    setup, _ = ForecastSetup.fit(reading.first("loads.csv"), history=24, horizon=4, reading=reading, path="loads.csv")
    torch.manual_seed(0)
    TrainedForecaster(ForecastNetwork(OPTIONS, setup.shape), setup, options=asdict(OPTIONS)).save("run")
    return table


def test_the_page_shows_what_was_found(made: pl.DataFrame, recur: Any) -> None:
    result = recur("inspect", "run", "loads.csv", "--series", "m1", "--at", "2024-01-05 03:00")
    assert (result.code, result.err) == (0, "")
    content = json.loads(Path("run/inspect.json").read_bytes())
    assert result.out.startswith("series   m1, the 24 steps before 2024-01-05 03:00, from which it forecasts 4 steps\n")
    first = content["answers"]["answers"][0]
    came = float(made.filter(pl.col("meter") == "m1")["load"][4 * 24 + 3])
    assert f"says     load, 1 step ahead: {first['said']}; {first['came']}\n" in result.out
    assert float(first["came"].removesuffix(" came")) == pytest.approx(came, rel=1e-3)
    assert float(first["said"]) == pytest.approx(first["answer"], rel=1e-3)
    told = re.search(r"because  (.*), from (\S+) for a series that stands still", result.out)
    assert told is not None
    assert float(told[2]) == pytest.approx(first["neutral"], rel=1e-3)
    largest = int(np.abs(first["by_channel"]).argmax())
    assert f"from {told[2]} for a series that stands still; in the unit of load\n" in result.out
    check = content["answers"]["check"]
    line = re.search(
        r"check    elsewhere, .* falls by (\S+), without as many at random by (\S+?)(; NOT .*)?\n", result.out
    )
    assert line is not None
    assert float(line[1]) == pytest.approx(check["chosen"][len(check["shares"]) // 2], rel=1e-2)
    assert (line[3] is None) == check["is_faithful"]
    assert told[1].startswith(content["answers"]["channels"][largest])
    assert result.out.endswith(f"page     {Path('run/inspect.html')}\nreport   {Path('run/report.html')}\n")


def test_the_test_part_of_its_own_data_by_default(
    made: pl.DataFrame, recur: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    assert recur("inspect", "run").code == 0
    content = json.loads(Path("run/inspect.json").read_bytes())
    # A tenth of each series, the last, was held out.
    assert content["series"]["times"][-1] >= "2024-01-06"


def test_what_is_told_after_the_last_row(made: pl.DataFrame, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    # Another series that nothing is told of must not be in the way.
    made.with_columns(pl.when(pl.col("meter") == "m0").then(None).otherwise("load").alias("load")).write_csv("one.csv")
    assert "series 'm0' has no target to go on from" in recur("predict", "run", "one.csv").err
    told = {}
    for name, options in {"default": [], "next": ["--at", "2024-01-07 16:00"]}.items():
        result = recur("inspect", "run", "one.csv", "--series", "m1", *options)
        assert result.code == 0, result.err
        content = json.loads(Path("run/inspect.json").read_bytes())
        told[name] = content["answers"]["answers"]
        assert content["series"]["times"][-1] == "2024-01-07 15:00"
        assert content["title"] == "m1"
    assert told["next"] == told["default"]
    made.filter(pl.col("meter") == "m1").write_csv("m1.csv")
    assert recur("predict", "run", "m1.csv", "--levels", "0.5", "--out", "f.csv").code == 0
    assert pl.read_csv("f.csv")["time"][0].startswith("2024-01-07T16:00")
    for late in ("2024-01-07 17:00", "2024-03-01 00:00"):
        result = recur("inspect", "run", "one.csv", "--series", "m1", "--at", late)
        assert (result.code, result.err) == (
            1,
            f"recur: at: series 'm1' has no row at {late}; it goes from 2024-01-01 00:00 to 2024-01-07 15:00.\n",
        )


def test_data_that_are_written_otherwise(made: pl.DataFrame, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    assert recur("inspect", "run", "loads.csv", "--series", "m1").code == 0
    expected = json.loads(Path("run/inspect.json").read_bytes())["answers"]
    twice = pl.concat([made, made.with_columns(load=pl.lit(99.0))])
    text = twice.with_columns(hour=pl.col("hour").dt.strftime("%d/%m/%Y %Hh%M")).write_csv(separator=";")
    Path("other.csv").write_text(text, encoding="utf-16")
    options = ("--separator", ";", "--encoding", "utf-16", "--time-format", "%d/%m/%Y %Hh%M", "--duplicates", "first")
    result = recur("inspect", "run", "other.csv", "--series", "m1", *options)
    assert result.code == 0, result.err
    assert json.loads(Path("run/inspect.json").read_bytes())["answers"] == expected
    assert recur("inspect", "run", "other.csv", "--series", "m1").code == 1


def test_what_does_not_go_together(made: pl.DataFrame, recur: Any) -> None:
    for options, code, message in (
        (["--at", "soon"], 1, "recur: at: 'soon' is no time of these data; give one such as '2024-01-01 00:00'.\n"),
        (["--series", "m7"], 1, "recur: series: there is no 'm7' in the data; there are 'm0', 'm1'.\n"),
        (["loads.csv", "loads.csv"], 2, "recur: data: expected one table, or a folder of them, got 2 names.\n"),
        (["none.csv"], 1, "recur: none.csv: no such file or folder; check the path.\n"),
        (["--encoding", "utf-8"], 2, "recur: encoding is of other data; give DATA, or leave --encoding out.\n"),
        (
            ["--input", "text"],
            2,
            "recur: input is of language, classify-text, tag and translate runs, and this is one of task forec",
        ),
        (["--labels", "text"], 2, "recur: labels is of language runs, and this is one of task forecast; leave"),
    ):
        result = recur("inspect", "run", *options)
        assert result.code == code
        assert result.err.startswith(message)
