"""Training classifiers and regressors of series, from a table to a run folder."""

from __future__ import annotations

import io
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import recur
from recur.data.series import Columns, Panel, panel_of_array, read_series
from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.errors import DataError, Interrupted, OptionError, RunError
from recur.models import SeriesClassifierOptions, SeriesRegressorOptions
from recur.run import RunFolder
from recur.tasks.examples_task import ExamplesTask
from recur.train.labels import train_classifier, train_regressor
from recur.train.options import LabelTrainingOptions
from recur.train.resumption import resume

QUIET = Console(file=io.StringIO())
CLASSIFIER = SeriesClassifierOptions(hidden_size=4, filters=4, convolutions=(3,), members=2)
REGRESSOR = SeriesRegressorOptions(hidden_size=4, members=1)


def gestures(num_series: int = 30, *, seed: int = 0) -> pl.DataFrame:
    """Cases of ten steps whose force rises, falls or stays, with a class each."""
    draw = np.random.default_rng(seed)
    slopes = {"rise": 1.0, "fall": -1.0, "stay": 0.0}
    frames = []
    for number in range(num_series):
        name = list(slopes)[number % 3]
        force = slopes[name] * np.linspace(-1, 1, 10) + 0.2 * draw.standard_normal(10)
        frames.append(
            pl.DataFrame({"case": [f"c{number}"] * 10, "step": np.arange(10), "force": force, "label": [name] * 10})
        )
    return pl.concat(frames)


def lives(num_series: int = 10) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    frames = []
    for number in range(num_series):
        length = 15 + number
        wear = np.arange(length) - length + 0.1 * draw.standard_normal(length)
        frames.append(pl.DataFrame({"unit": [number] * length, "cycle": np.arange(length), "wear": wear}))
    return pl.concat(frames)


def training(**options: Any) -> LabelTrainingOptions:
    return LabelTrainingOptions(
        **({"max_steps": 12, "validate_every": 6, "batch_size": 8, "no_report": True} | options)
    )


def classified(data: Any, out: Path, **options: Any) -> RunFolder:
    return train_classifier(data, out=out, model=CLASSIFIER, training=training(**options), console=QUIET)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    gestures().write_csv(tmp_path / "gestures.csv")
    return tmp_path / "gestures.csv"


def test_what_is_learned_beats_the_rule(csv: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    run = train_classifier(
        csv,
        out=tmp_path / "run",
        model=SeriesClassifierOptions(hidden_size=8, filters=8, members=1),
        training=LabelTrainingOptions(max_steps=80, batch_size=16, no_report=True),
        console=console,
    )
    found = run.read_json("label_evaluation.json")
    assert (found["label"], found["classes"]) == ("label", ["fall", "rise", "stay"])
    # Two of each of three classes, drawn from each alike, are judged: too few to be sure.
    assert not found["verdict"]["is_better"]
    assert found["verdict"]["text"].startswith("It is NOT shown that the model beats the rule: accuracy ")
    assert [sum(row) for row in found["figures"]["confusion"]] == [2, 2, 2]
    assert found["figures"]["accuracy"] > 0.8
    config = run.config()
    assert (config["task"], config["training"]["keep"], config["model"]["convolutions"]) == (
        "classify",
        "newest",
        [8, 5, 3],
    )
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "series   30 with a step of 1: 21 to train on, 3 to choose by, 6 to test; drawn from each class alike" in said
    )
    assert "label    label, one of 3 classes of each series: fall, rise and stay" in said
    trained = recur.load(run)
    assert isinstance(trained, recur.TrainedClassifier)
    assert trained.predict(gestures(3, seed=9))["label"].to_list() == ["rise", "fall", "stay"]


def test_rows_that_look_like_series_are_taken_for_such(tmp_path: Path) -> None:
    wide = gestures().pivot("step", index=["case", "label"], values="force").drop("case")
    rows = wide.rename({str(step): f"t{step}" for step in range(10)})
    console = Console(file=io.StringIO(), width=300)
    run = train_classifier(
        rows, out=tmp_path / "run", model=CLASSIFIER, training=training(max_steps=2), console=console
    )
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "note     each row is read as a series of up to 10 steps, for its columns look like steps; form='l" in said
    assert "series   30 with a step of 1: 21 to train on" in said
    assert run.config()["data"]["form"] == "rows"
    told = recur.load(run).predict(rows.head(4).drop("label"))
    assert told["series_id"].to_list() == ["1", "2", "3", "4"]


def test_a_run_has_all_that_its_users_need(csv: Path, tmp_path: Path) -> None:
    run = classified(csv, tmp_path / "run", no_report=False)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in page
    assert (run.path / "label_confusion.png").stat().st_size > 1000
    network = recur.load(run).network
    assert run.read_json("model.json")["parameters"] == sum(value.numel() for value in network.parameters())
    assert [row["loss"] > 0 for row in run.metrics() if row["kind"] == "valid"] == [True, True]
    # An overwritten run leaves nothing of the old one behind.
    assert classified(csv, tmp_path / "other").path != run.path
    RunFolder.create(run.path, overwrite=True)
    assert [path.name for path in run.path.iterdir()] == ["checkpoints"]


def test_interrupted_and_resumed_is_as_if_it_was_not(csv: Path, tmp_path: Path, signals_at: Any) -> None:
    whole = classified(csv, tmp_path / "whole")
    signals_at(7, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"^interrupted after step 7, all is saved; go on with: recur train --resume"):
        classified(csv, tmp_path / "halves")
    halves = resume(tmp_path / "halves", console=QUIET)
    assert (halves.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert halves.read_json("label_evaluation.json") == whole.read_json("label_evaluation.json")


@pytest.mark.parametrize("keep", ["best", "newest"])
def test_which_weights_are_kept(csv: Path, tmp_path: Path, keep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = RunFolder.save_weights

    def noted(run: RunFolder, weights: Any) -> None:
        saved.append(1)
        save(run, weights)

    monkeypatch.setattr(RunFolder, "save_weights", noted)
    # A rate that spoils what was learned: the first validation is the best one.
    run = classified(csv, tmp_path / "run", keep=keep, learning_rate=3.0, warmup_steps=0, averaging=0.0, max_steps=18)
    rows = [row for row in run.metrics() if row["kind"] == "valid"]
    assert len(saved) == (len(rows) if keep == "newest" else sum(row["is_best"] for row in rows))


def test_remaining_lives_with_test_data_of_their_own(tmp_path: Path) -> None:
    lives().write_csv(tmp_path / "train.csv")
    lives(3).write_csv(tmp_path / "test.csv")
    (tmp_path / "left.txt").write_text("4\n5\n6\n")
    run = train_regressor(
        tmp_path / "train.csv",
        out=tmp_path / "run",
        series=NumberOptions(
            series_id="unit",
            remaining_life=True,
            life_cap=10,
            test_data=str(tmp_path / "test.csv"),
            life_left=str(tmp_path / "left.txt"),
        ),
        model=REGRESSOR,
        training=training(),
        console=QUIET,
    )
    found = run.read_json("label_evaluation.json")
    assert (found["part"], found["of"], found["points"]["true"]) == ("test", "last steps", [4.0, 5.0, 6.0])
    assert found["figures"]["nasa"] is not None
    # What becomes of the file does not change what the run is judged by.
    (tmp_path / "left.txt").write_text("40\n50\n60\n")
    again = resume(run.path, bounds={"max_steps": 14}, console=QUIET)
    assert again.read_json("label_evaluation.json")["points"]["true"] == [4.0, 5.0, 6.0]
    trained = recur.load(run)
    assert isinstance(trained, recur.TrainedRegressor)
    assert trained.train_mean == pytest.approx(
        float(trained.network.centre)  # type: ignore[union-attr]
    )
    # Changed test data are told as changed data are.
    lives(4).write_csv(tmp_path / "test.csv")
    with pytest.raises(RunError, match=r"test\.csv: is not what the model was trained on any more"):
        resume(run.path, bounds={"max_steps": 16}, console=QUIET)


def test_numbers_of_series_and_of_windows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(12, 8, 1))
    run = train_regressor(
        panel_of_array(values, values[:, :, 0].sum(1)),
        out=tmp_path / "sums",
        model=REGRESSOR,
        training=training(),
        console=QUIET,
    )
    assert run.read_json("label_evaluation.json")["of"] == "series"
    steps = pl.DataFrame({"step": np.arange(300), "x": draw.normal(size=300)})
    steps = steps.with_columns(label=pl.col("x").cum_sum() / 7)
    run = train_regressor(
        steps,
        out=tmp_path / "steps",
        series=NumberOptions(window=12),
        model=REGRESSOR,
        training=training(),
        test=steps.with_columns(label=pl.col("label") + 1),
        console=QUIET,
    )
    found = run.read_json("label_evaluation.json")
    assert (found["of"], found["figures"]["num_told"]) == ("steps", 300)
    schema = run.read_json("schema.json")
    assert (schema["way"], schema["window"], schema["partition"]["by"]) == ("windows", 12, "time")
    with pytest.raises(RunError, match=r"^the run's own data were not in a file"):
        resume(run.path, bounds={"max_steps": 20}, console=QUIET)


def test_a_class_of_few_series_is_no_reason_to_fail(tmp_path: Path) -> None:
    table = gestures(20).with_columns(
        label=pl.when(pl.col("case") == "c0").then(pl.lit("rare")).otherwise(pl.col("label"))
    )
    run = classified(table, tmp_path / "run")
    assert run.read_json("schema.json")["partition"]["by"] == "series"


def bad(**columns: Any) -> pl.DataFrame:
    return gestures(12).with_columns(**columns)


@pytest.mark.parametrize(
    ("data", "options", "error", "said"),
    [
        (gestures(12).drop("label"), {}, DataError, r"^no column was recognised as the label; name it with label=\.$"),
        (bad(label=pl.lit("one")), {}, DataError, r"^the label 'label' is always 'one', so there is nothing to tell"),
        (bad(), {"label": "lable"}, DataError, r"has no column 'lable', which label names; did you mean 'label'\?"),
        (bad(), {"window": 3}, OptionError, r"^window: is of labels of steps, but 'label' belongs to whole series\.$"),
        (
            panel_of_array(np.ones((4, 3)), np.array([0.5, 1.5, 2.5, 3.5])),
            {},
            DataError,
            "is a number; take the task",
        ),
        (["a.csv", "b.csv"], {}, OptionError, "^data: expected one table, or a folder of them, got 2 names"),
        (
            bad(load=pl.when(pl.col("step") == 0).then(0.0).otherwise(1.0)),
            {"weight": "load"},
            DataError,
            r"^column 'load', the weight, changes within series 'c0', but the label 'label' belongs to the",
        ),
        (
            bad(),
            {"split": "time"},
            OptionError,
            r"^split: the label 'label' belongs to whole series, so that with parts cut in time each series would be",
        ),
        (gestures(2), {}, DataError, "^2 series cannot give 1 to valid, 1 to test and some to train on"),
    ],
)
def test_data_that_cannot_be_used(
    data: Any, options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        train_classifier(data, out=tmp_path / "run", series=LabelOptions(**options), training=training(), console=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_regressor_wants_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 'label', row 1"):
        train_regressor(gestures(12), out=tmp_path / "run", training=training(), console=QUIET)
    panel = panel_of_array(np.ones((4, 3)), ["a", "b", "a", "b"])
    with pytest.raises(DataError, match=r"^the label 'label' is one of 2 classes; take the task classify\.$"):
        train_regressor(panel, out=tmp_path / "run", training=training(), console=QUIET)
    with pytest.raises(DataError, match=r"or tell how long each series will go on with remaining_life=True\.$"):
        train_regressor(gestures(12).drop("label"), out=tmp_path / "run", training=training(), console=QUIET)


def test_whole_numbers_are_classes_or_numbers_as_the_task_says(tmp_path: Path) -> None:
    table = gestures(12).with_columns(label=pl.col("case").str.slice(1).cast(pl.Int64) % 3)
    run = classified(table, tmp_path / "classes")
    assert run.read_json("schema.json")["schema"]["classes"] == ["0", "1", "2"]
    run = train_regressor(table, out=tmp_path / "numbers", model=REGRESSOR, training=training(), console=QUIET)
    assert run.read_json("schema.json")["schema"]["classes"] is None


def test_missing_labels_and_weights_are_not_learned(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(12, 5, 1))
    panel: Panel = panel_of_array(values, [*["a", "b"] * 5, "a", "b"])
    assert panel.labels is not None
    labels = panel.labels.copy()
    labels[:2] = -1
    shown = io.StringIO()
    run = train_classifier(
        type(panel)(**{**vars(panel), "labels": labels}),
        out=tmp_path / "run",
        model=CLASSIFIER,
        training=training(),
        console=Console(file=shown, width=200),
    )
    schema = run.read_json("schema.json")
    # Those that have a class are drawn from each alike all the same: of five one to choose by and one to test.
    assert schema["partition"]["by"] == "label"
    assert schema["counts"] == [3, 3]
    assert "note     2 of 12 series have no label, such as " in shown.getvalue()
    assert math.isfinite(run.metrics()[-1]["loss"])


def test_what_cannot_be_judged_is_told_before_the_training(tmp_path: Path) -> None:
    for column in (pl.lit(0.0), pl.when(pl.col("case") == "c3").then(1.0).otherwise(0.0)):
        weighted = gestures(12).with_columns(weight=column)
        with pytest.raises(DataError, match=r"^no label of the (training part|part 'test') counts"):
            train_classifier(
                weighted,
                out=tmp_path / "run",
                series=LabelOptions(weight="weight", split="label"),
                training=training(),
                console=QUIET,
            )
        assert not (tmp_path / "run").exists()


def test_bounds_alone_to_choose_by_leave_no_intervals(tmp_path: Path) -> None:
    parts = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    table = lives().with_columns(
        runs=pl.col("unit").is_in([6, 7]).cast(pl.Int8), part=pl.col("unit").replace_strict(range(10), parts)
    )
    run = train_regressor(
        table,
        out=tmp_path / "run",
        series=NumberOptions(series_id="unit", remaining_life=True, censored="runs", part="part"),
        model=REGRESSOR,
        training=training(),
        console=QUIET,
    )
    found = run.read_json("label_evaluation.json")
    assert found["figures"]["num_told"] == 23 + 24
    assert "no labels were held out to choose by, so there are no intervals." in found["notes"]


def test_what_is_told_needs_no_labels(csv: Path, tmp_path: Path) -> None:
    run = train_classifier(
        gestures().with_columns(weight=pl.lit(1.0)),
        out=tmp_path / "run",
        model=CLASSIFIER,
        series=LabelOptions(weight="weight", split="label"),
        training=training(),
        console=QUIET,
    )
    trained = recur.load(run)
    assert isinstance(trained, recur.TrainedClassifier)
    wanted = trained.predict(gestures(6))
    table = gestures(6)
    bare = table.drop("label")
    for other in (
        bare,
        table.with_columns(label=pl.lit("?"), weight=pl.lit(-1.0)),
        bare.with_columns(label=pl.int_range(pl.len())),
        read_series(table.with_columns(label=pl.lit("?")), Columns(targets=())),
    ):
        assert trained.predict(other).equals(wanted)
    # One series alone is read as a series too.
    assert trained.predict(bare.head(10))["label"].to_list() == wanted["label"].to_list()[:1]


def test_data_in_memory_are_given_again(csv: Path, tmp_path: Path) -> None:
    whole = classified(csv, tmp_path / "whole")
    run = classified(gestures(), tmp_path / "run", max_steps=7)
    with pytest.raises(RunError, match=r"^the run's own data were not in a file.*; give the data\.$"):
        resume(run.path, console=QUIET)
    with pytest.raises(RunError, match=r"^the data are not what the model was trained on; give the very same\.$"):
        resume(run.path, data=gestures(seed=1), console=QUIET)
    again = resume(run.path, data=gestures(), bounds={"max_steps": 12}, console=QUIET)
    assert max(row["step"] for row in again.metrics()) == max(row["step"] for row in whole.metrics()) == 12
    with pytest.raises(OptionError, match=r"^data: the run reads its own from .*gestures\.csv; leave them out\.$"):
        resume(whole.path, data=gestures(), console=QUIET)
