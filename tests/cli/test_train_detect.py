"""Detectors on the command line: trained, judged, and looking at other data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur import report
from recur.cli.main import main
from recur.report.detection import detection_of
from recur.tasks.detect.alarms import alarm_begins, highest_lately
from recur.wording import measured


def write(path: Path) -> Path:
    rng = np.random.default_rng(0)
    step = np.arange(600)
    value = np.sin(2 * np.pi * step / 24) + 0.2 * rng.standard_normal(600)
    value[560] += 8
    times = [datetime(2024, 1, 1) + timedelta(hours=int(one)) for one in step]
    pl.DataFrame({"time": times, "value": value, "is_anomaly": step == 560}).write_csv(path)
    return path


@pytest.fixture
def trained(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with a table, and the run of a detector trained on it."""

    def make(folder: Path) -> None:
        table = write(folder / "plant.csv")
        command = ["train", str(table), "--task", "detect", "--out", str(folder / "run"), "--max-steps", "15"]
        assert main([*command, "--hidden-size", "8", "--false-alarms", "0.001"]) == 0

    return made_once("detector_of_the_command_line", make)


def test_a_run_has_its_report(trained: Path) -> None:
    page = (trained / "run" / "report.html").read_text()
    assert "How well it finds anomalies" in page
    assert "finds 1 of 1 event" in page
    assert "steps with a false alarm" in page
    assert "Where the threshold comes from" in page
    assert "Find anomalies in new data" in page
    assert (trained / "run" / "detect_tail.png").stat().st_size > 1000


def test_it_is_judged(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained / "run")]) == 0
    said = capsys.readouterr().out
    assert "finds 1 of 1 event" in said
    assert "moving Gaussian" in said
    assert main(["evaluate", str(trained / "run"), str(trained / "plant.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["part"] == "given"
    assert found["figures"]["model"]["found"] == 1


def test_it_looks_at_other_data(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained / "found.csv"
    assert main(["predict", str(trained / "run"), str(trained / "plant.csv"), "--out", str(out), "--overwrite"]) == 0
    found = pl.read_csv(out)
    assert found.columns == ["series_id", "time", "score", "alarm", "begins", "because value"]
    assert found["alarm"][560]
    assert found["score"].arg_max() == 560
    capsys.readouterr()
    assert main(["predict", str(trained / "run"), str(trained / "plant.csv"), "--horizon", "3"]) == 2
    assert "horizon is of forecast runs, and this is one of task detect" in capsys.readouterr().err
    for command, owners in {
        (
            "predict",
            str(trained / "run"),
            str(trained / "plant.csv"),
        ): "classify-text, tag, translate, classify, regress and forecast",
        ("evaluate", str(trained / "run")): "language and forecast",
    }.items():
        assert main([*command, "--batch-size", "7"]) == 2
        assert f"batch_size is of {owners} runs, and this is one of task detect; leave" in capsys.readouterr().err


def test_without_labels_no_alarm_is_called_false(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.read_csv(trained / "plant.csv").drop("is_anomaly").write_csv(tmp_path / "bare.csv")
    command = ["evaluate", str(trained / "run"), str(tmp_path / "bare.csv")]
    assert main(command) == 0
    header, own = capsys.readouterr().out.splitlines()[1:3]
    assert header.split() == ["alarms", "a", "day", "steps"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rate = found["figures"]["model"]["rate"]
    assert 0 < rate < 0.01
    # In as many digits as tell it from another that is small, too.
    assert own.split()[-1] == f"{100 * rate:.4g}%"
    shown = detection_of(found)
    assert shown is not None
    rows = {row.name: row.values for row in shown.measures}
    assert rows["steps with an alarm"][0] == f"{100 * rate:.4g}%"
    assert "steps with a false alarm" not in rows


def test_other_data_are_judged_by_a_label_of_any_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = str(trained / "run"), str(tmp_path / "fault.csv")
    table = pl.read_csv(trained / "plant.csv").rename({"is_anomaly": "fault"})
    table.with_columns(pl.lit(None).alias("empty")).write_csv(data)
    assert main(["evaluate", run, data, "--label", "fault", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["evaluate", run, str(trained / "plant.csv"), "--json"]) == 0
    assert found == json.loads(capsys.readouterr().out)
    assert found["has_truth"]
    assert main(["evaluate", run, data]) == 0
    said = capsys.readouterr().out
    assert "one called is_anomaly, of 0 and 1, or named with --label, would be judged by." in " ".join(said.split())
    for label, error in {
        "empty": "the data have no column 'empty' with a value in it, which --label names; name the one that says",
        "faults": "the data have no column 'faults' with a value in it, which --label names;",
        "value": "label: the detector reads 'value', in targets when it was trained; name another, or train one with ",
    }.items():
        assert main(["evaluate", run, data, "--label", label]) in (1, 2)
        assert error in capsys.readouterr().err
    assert main(["evaluate", run, "--label", "fault"]) == 2
    assert "label is of other data; give DATA, or leave --label out." in capsys.readouterr().err


def test_the_help_says_when_an_alarm_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    score = np.array([6.0, 9.0, 1.0, 1.0, 7.0])
    highest = highest_lately(score, np.zeros(5, np.int64), quiet=np.array([2]))
    # The second is higher than the first, and is no news.
    assert alarm_begins(score, highest, 5.0).tolist() == [True, False, False, False, True]
    with pytest.raises(SystemExit):
        main(["train", "--task", "detect", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Steps without an alarm before one is taken for new, however high it is" in said


def test_what_is_wrong_with_other_data_is_mended_by_options_that_there_are(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.read_csv(trained / "plant.csv")
    table.with_columns(pl.lit(2).alias("is_anomaly")).write_csv(tmp_path / "levels.csv")
    pl.concat([table, table.tail(1)]).write_csv(tmp_path / "doubled.csv")
    run = str(trained / "run")
    assert main(["evaluate", run, str(tmp_path / "levels.csv")]) == 1
    assert capsys.readouterr().err.endswith(
        "it holds '2'; write it so, or if it says something else, give it another name, or leave it out with --ignored "
        "(of recur train).\n"
    )
    assert main(["evaluate", run, str(tmp_path / "doubled.csv")]) == 1
    assert (
        "name the column that tells series apart with --series-id (of recur train), or say what becomes of them with "
        "--duplicates mean, last or first."
    ) in capsys.readouterr().err
    assert main(["inspect", run, str(tmp_path / "doubled.csv")]) == 1
    assert "say what becomes of them with --duplicates mean, last or first." in capsys.readouterr().err


def test_inspect_looks_at_the_step_that_evaluate_finds_strangest(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in ("write_inspection", "write_report"):
        monkeypatch.setattr(report, page, lambda folder, **options: folder.path / "page.html", raising=False)
    shutil.copytree(trained / "run", tmp_path / "run")
    run, data = str(tmp_path / "run"), str(trained / "plant.csv")
    pl.concat([pl.read_csv(data), pl.read_csv(data).tail(1)]).write_csv(tmp_path / "doubled.csv")
    doubled = [run, str(tmp_path / "doubled.csv"), "--duplicates", "last"]
    for arguments, others in (([run], [run]), ([run, data], doubled)):
        capsys.readouterr()
        assert main(["evaluate", *arguments, "--json"]) == 0
        strangest = json.loads(capsys.readouterr().out)["examples"][0]
        assert main(["inspect", *others]) == 0
        shown = capsys.readouterr()
        said = json.loads((tmp_path / "run" / "inspect.json").read_bytes())["answers"]
        time = strangest["time"].replace("T", " ").removesuffix(":00")
        assert said["asked"] == f"the error of {strangest['channel']} at {time}"
        assert f"the score of the step is {measured(strangest['score'])}, the threshold" in shown.err
        assert "of what" in said["notes"][1]
        assert f"says     {said['answers'][0]['name']}: {said['answers'][0]['said']}" in shown.out
