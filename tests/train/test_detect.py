"""Training a detector from a table: what is read, chosen, refused, and resumed."""

from __future__ import annotations

import io
import re
import signal
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
import torch
from rich.console import Console

from recur.data.series import Columns, Split, panel_of_array, read_series
from recur.data.series.options import DetectionOptions
from recur.errors import DataError, Interrupted, OptionError
from recur.models.detector_options import DetectorOptions
from recur.tasks.detect.judgement import EVALUATION, evaluate_detector
from recur.tasks.detect.trained import ORDINARY
from recur.tasks.examples_task import ExamplesTask
from recur.tasks.loading import load
from recur.train.detect import train_detector
from recur.train.detect_preparation import read_channels
from recur.train.options import SeriesTrainingOptions
from recur.train.resumption import resume
from recur.train.series_preparation import reading_of


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    step = np.arange(700)
    hot = np.sin(2 * np.pi * step / 24) + 0.2 * rng.standard_normal(700)
    cold = np.cos(2 * np.pi * step / 24) + 0.2 * rng.standard_normal(700)
    hot[650] += 8
    frame = pl.DataFrame(
        {
            "time": [datetime(2024, 1, 1) + timedelta(hours=int(one)) for one in step],
            "hot": hot,
            "cold": cold,
            "kind": ["a", "b"] * 350,
            "is_anomaly": (step == 650).astype(int),
        }
    )
    path = tmp_path / "plant.csv"
    frame.write_csv(path)
    return path


def train(
    data: Any, out: Path, model: DetectorOptions | None = None, steps: int = 15, **series: Any
) -> tuple[Any, str]:
    shown = io.StringIO()
    run = train_detector(
        data,
        out=out,
        series=DetectionOptions(**series),
        model=model or DetectorOptions(hidden_size=8),
        training=SeriesTrainingOptions(max_steps=steps, batch_size=32, no_report=True),
        console=Console(file=shown, width=200),
    )
    return run, shown.getvalue()


def test_all_columns_of_numbers_are_looked_at(table: Path, tmp_path: Path) -> None:
    run, said = train(table, tmp_path / "run")
    trained = load(run)
    assert trained.setup.schema.targets == ("hot", "cold")
    # Text may say how the steps are, so none is read unasked; and nobody gave what was found out.
    assert trained.setup.schema.past_categorical == ()
    lines = {line.split()[2]: line for line in said.splitlines() if line.startswith("column")}
    assert lines["kind"].split(maxsplit=3)[1:] == [
        "ignored",
        "kind",
        "text, which may say how the steps are; name it to have it read",
    ]
    assert {lines[name].split(maxsplit=3)[3] for name in ("hot", "cold")} == {"a column of numbers"}
    assert "given" not in said
    assert trained.setup.schema.label == "is_anomaly"
    assert trained.setup.season.steps == 24
    assert trained.begin(["series"]).quiet.tolist() == [12]
    assert "tells values 1 step before" in said
    assert "one ordinary step in 10,000 may raise a false one: one in 416.7 days in each series" in said
    found = run.read_json("detect_evaluation.json")
    assert found["has_truth"]
    # Ten of the 510 steps that were scored are in the tail: exp(2 log(0.02 / 1e-4) / sqrt(10)).
    assert re.search(
        r"extrapolated: 5\d\d steps were seen .* 10,000; the true one may well be 2\d times as", found["notes"][0]
    )
    assert found["figures"]["model"]["found"] == 1
    # The labels are not learned from, and need not be there.
    frame = pl.read_csv(table, try_parse_dates=True).drop("is_anomaly")
    told = trained.predict(frame)
    assert isinstance(told, pl.DataFrame)
    assert told["because hot"].arg_max() == 650
    assert told["alarm"][650]


def test_ordinary_data_to_train_on_and_others_to_judge(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table, try_parse_dates=True)
    ordinary = frame.with_columns(is_anomaly=pl.lit(0)).filter(pl.int_range(700) != 650)
    run, _ = train(ordinary, tmp_path / "run", steps=4)
    trained = load(run)
    assert trained.setup.schema.classes == ("0",)
    numbers = Columns(ignored="kind")
    for judged in (frame, frame.with_columns(pl.col("is_anomaly") == 1), read_series(frame, numbers)):
        found = evaluate_detector(run.path, judged)["figures"]["model"]
        assert (found["events"], found["found"]) == (1, 1)
    # What nothing is judged by may hold anything.
    for other in (frame.with_columns(is_anomaly=pl.lit("?")), read_series(frame, numbers)):
        assert trained.predict(other).height == 700
    with pytest.raises(DataError, match=r"column 'is_anomaly' is taken to say which .* holds '\?'"):
        evaluate_detector(run.path, frame.with_columns(is_anomaly=pl.lit("?")))


def test_what_is_marked_is_neither_learned_from_nor_in_the_threshold(table: Path, tmp_path: Path) -> None:
    row, value = pl.int_range(700), {"hot": 9.0, "cold": -7.0}
    faults = {"train": row.is_between(200, 219), "valid": row.is_between(515, 519)}
    is_fault = faults["train"] | faults["valid"]
    frame = pl.read_csv(table, try_parse_dates=True).with_columns(
        is_anomaly=(is_fault | (row == 650)).cast(pl.Int64),
        **{name: pl.when(is_fault).then(away).otherwise(name) for name, away in value.items()},
    )
    blank = frame.with_columns(pl.when(~is_fault).then(name).alias(name) for name in value)
    (run, said), (other, _) = (train(each, tmp_path / name) for name, each in (("run", frame), ("blank", blank)))
    for name in ("model.safetensors", "scaler.safetensors", ORDINARY):
        assert (run.path / name).read_bytes() == (other.path / name).read_bytes()
    left_out = "25 steps that are marked as anomalies in the training and the validation part were left out: neither "
    assert f"note {left_out}the network nor the threshold learned from them." in " ".join(said.split())
    found, wanted = run.read_json(EVALUATION), other.read_json(EVALUATION)
    assert found["verdict"]["text"].endswith(" 25 marked steps were not learned from.")
    assert any(note.startswith(left_out) for note in found["notes"])
    for key in ("figures", "verdict", "threshold", "tail", "notes"):
        assert found[key] == wanted[key]
    assert found["figures"]["model"]["found"] == 1
    # Without the labels they are taken for what there is.
    ignored, said = train(frame, tmp_path / "ignored", label="")
    assert load(ignored).threshold > load(run).threshold
    assert "left out" not in said
    # In the part that is judged nothing is known beforehand.
    assert load(run).ordinary.left_out == 25
    assert evaluate_detector(run.path, frame)["figures"]["model"]["events"] == 3


@pytest.mark.parametrize("name", ["is_fault", "Failure", "alarm"])
def test_a_column_of_marks_that_is_called_such_is_the_label(name: str, table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table, try_parse_dates=True).rename({"is_anomaly": name})
    reading = reading_of(DetectionOptions(), frame)
    reading = replace(reading, assembly=replace(reading.assembly, labels="mark"))
    _, panel = read_channels(frame, reading)
    assert (panel.schema.targets, panel.schema.label) == (("hot", "cold"), name)
    roles = panel.schema.roles
    assert roles is not None
    assert roles.reasons[name] == "named like what is strange, holds 0 and 1"
    assert roles.reasons["hot"] == "a column of numbers"
    # One that measures something, marks most steps or none, or was given for something else is none.
    for other in (pl.col("hot"), 1 - pl.col(name), 0 * pl.col(name)):
        assert name in read_channels(frame.with_columns(other.alias(name)), reading)[1].schema.targets
    given = replace(reading, columns=Columns(targets=("hot", name)))
    assert read_channels(frame, given)[1].schema.label is None


def test_a_channel_that_may_be_the_label_is_noted(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table, try_parse_dates=True).rename({"is_anomaly": "state"})
    run, said = train(frame, tmp_path / "run", steps=2)
    assert load(run).setup.schema.targets == ("hot", "cold", "state")
    note = (
        "'state' is looked at as a channel, but holds 0 and 1 alone, 1 in 0.1429% of the rows; if it says which steps "
        "are anomalies, name it with label='state'"
    )
    assert f"note {note}" in " ".join(said.split())
    assert f"{note}." in run.read_json(EVALUATION)["notes"]
    # Data to judge on may have it under a name that tells.
    judged = frame.with_columns(is_fault=pl.col("state"))
    assert evaluate_detector(run.path, judged)["has_truth"]
    assert not evaluate_detector(run.path, frame)["has_truth"]


def test_a_training_part_of_nothing_but_anomalies_is_refused(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table, try_parse_dates=True).with_columns(is_anomaly=(pl.int_range(700) < 600).cast(pl.Int64))
    said = "column 'is_anomaly' marks all 490 steps of the train part as anomalies, so that nothing ordinary is left"
    with pytest.raises(DataError, match=said):
        train(frame, tmp_path / "run")


def test_text_that_is_named_is_read(table: Path, tmp_path: Path) -> None:
    run, said = train(table, tmp_path / "run", steps=2, past_only="kind")
    schema = load(run).setup.schema
    assert (schema.targets, schema.past_categorical) == (("hot", "cold"), ("kind",))
    assert re.search(r"past only +kind +given", said)
    # A number that is named helps too, and is not looked at, though it comes first.
    unlabelled = pl.read_csv(table, try_parse_dates=True).drop("is_anomaly")
    run, _ = train(unlabelled, tmp_path / "helped", steps=2, past_only="hot")
    schema = load(run).setup.schema
    assert (schema.targets, schema.past_only, schema.past_categorical) == (("cold",), ("hot",), ())
    run, _ = train(table, tmp_path / "other", steps=2, targets="hot", ignored="cold")
    schema = load(run).setup.schema
    assert (schema.targets, schema.past_categorical, schema.past_only) == (("hot",), (), ())


def test_targets_that_are_named_are_alone(table: Path, tmp_path: Path) -> None:
    run, _ = train(table, tmp_path / "run", targets="cold")
    assert load(run).setup.schema.targets == ("cold",)


def test_interrupted_and_resumed_is_as_if_it_was_not(table: Path, tmp_path: Path, signals_at: Any) -> None:
    whole, _ = train(table, tmp_path / "whole", steps=8)
    signals_at(5, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"^interrupted after step 5, all is saved; go on with: recur train --resume"):
        train(table, tmp_path / "halves", steps=8)
    halves = resume(tmp_path / "halves", console=Console(file=io.StringIO()))
    # The weights, what is ordinary with the thresholds, and the judgement.
    for name in ("model.safetensors", ORDINARY):
        assert (halves.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert halves.read_json(EVALUATION) == whole.read_json(EVALUATION)


def test_nothing_of_the_test_part_goes_into_what_is_ordinary(table: Path, tmp_path: Path) -> None:
    run, _ = train(table, tmp_path / "run", steps=2)
    trained = load(run)
    split = trained.setup.own_data()
    values = split.test.panel.values.copy()
    values[split.test.has_row] = 9.0
    panel = replace(split.test.panel, rows=replace(split.test.panel.rows, values=values))
    changed = Split(**{name: replace(part, panel=panel) for name, part in vars(split).items()})
    one, two = trained.fitted(split), trained.fitted(changed)
    assert one.threshold == two.threshold
    # Its running sums begin from the mean of the series, so that it is the same but for rounding.
    assert one.rule_threshold == pytest.approx(two.rule_threshold, rel=1e-9)
    assert torch.equal(one.ordinary.errors, two.ordinary.errors)


def test_a_value_beyond_all_bounds_is_one_anomaly(table: Path, tmp_path: Path) -> None:
    trained = load(train(table, tmp_path / "run", steps=15)[0])
    frame = pl.read_csv(table, try_parse_dates=True)
    alarms = []
    for size in (1e6, 1e20):
        hot = pl.when(pl.int_range(pl.len()) == 300).then(size).otherwise("hot").alias("hot")
        found = trained.predict(frame.with_columns(hot))
        assert found["alarm"][300]
        alarms.append(int(found["alarm"][300:600].sum()))
    # What is remembered of it is forgotten with the window.
    assert alarms[1] <= max(2 * alarms[0], 10)


def test_a_run_goes_on(table: Path, tmp_path: Path) -> None:
    run, _ = train(table, tmp_path / "run", DetectorOptions(way="autoencoder", hidden_size=8))
    before = load(run).threshold
    again = resume(run.path, bounds={"max_steps": 30}, console=Console(file=io.StringIO()))
    assert max(row["step"] for row in again.metrics()) == 30
    assert load(again).threshold != before
    assert load(again).predict(table).height == 700


@pytest.mark.parametrize("way", ["forecast", "autoencoder"])
@pytest.mark.parametrize("times", ["dates", "numbers", "gaps"])
def test_times_on_no_grid(table: Path, tmp_path: Path, way: Literal["forecast", "autoencoder"], times: str) -> None:
    frame = pl.read_csv(table, try_parse_dates=True)
    rng = np.random.default_rng(1)
    if times == "gaps":
        frame = frame.filter(pl.Series(rng.random(700) > 0.1) | (pl.int_range(700) == 650))
    else:
        since = np.cumsum(rng.uniform(0.2, 2.0, 700))
        dates = [datetime(2024, 1, 1) + timedelta(seconds=round(3600 * one)) for one in since]
        frame = frame.with_columns(time=pl.Series(dates if times == "dates" else since))
    options: dict[str, Any] = {"gaps": "keep"} if times == "gaps" else {}
    run, _ = train(frame, tmp_path / "run", DetectorOptions(way=way, hidden_size=8), steps=4, **options)
    trained = load(run)
    assert "since_last" in trained.setup.channels
    found = trained.predict(frame)
    assert found.height == frame.height
    # The one step that is eight away from all others.
    assert found["because hot"].arg_max() == frame["is_anomaly"].arg_max()


@pytest.mark.parametrize(
    ("series", "error", "message"),
    [
        ({"horizon": 3}, OptionError, "horizon is of forecasts; how far ahead a detector looks, leads says"),
        ({"valid": 0.0}, OptionError, "valid: a detector needs a validation part"),
        (
            {"targets": "", "ignored": "hot,cold"},
            DataError,
            "look for anomalies in; name some with targets=",
        ),
    ],
)
def test_what_is_refused(
    table: Path, tmp_path: Path, series: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(table, tmp_path / "run", **series)
    assert not (tmp_path / "run").exists()


def test_too_few_rows_for_a_threshold_are_told_before_the_training(table: Path, tmp_path: Path) -> None:
    few = pl.read_csv(table, try_parse_dates=True).head(160)
    with pytest.raises(DataError, match=r"have \d+ steps that can be scored, .* a threshold needs 100 at least"):
        train(few, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Steps that are marked are learned from no more than those that are not there.
    frame = pl.read_csv(table, try_parse_dates=True)
    marked = frame.with_columns(is_anomaly=pl.int_range(frame.height) % 10 > 0)
    with pytest.raises(DataError, match=r"have \d+ steps that can be scored, .* a threshold needs 100 at least"):
        train(marked, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_label_that_is_no_anomaly_is_refused(table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table, try_parse_dates=True).with_columns(is_anomaly=pl.Series([0, 1, 7] * 233 + [0]))
    with pytest.raises(DataError, match=r"column 'is_anomaly' is taken to say which steps are anomalies, .* holds '7'"):
        train(frame, tmp_path / "run")


def test_series_that_have_labels_of_their_own_are_not_for_a_detector(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((20, 60, 2))
    with pytest.raises(DataError, match=r"^the series come with labels of their own, as those of a \.ts file do, and "):
        train(panel_of_array(values, ["a", "b"] * 10), tmp_path / "run")
