"""`recur predict`, and `recur evaluate` of a forecaster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import recur as recur_python
from recur.cli.console import plain_console
from recur.cli.handling.forecast import show_finished
from recur.data.series.partition import Partition
from recur.run import RunFolder
from recur.tasks.forecast import trained
from recur.tasks.forecast.evaluation import finish_forecaster
from recur.tasks.series_reading import SeriesReading


@pytest.fixture(scope="session")
def forecaster(
    tmp_path_factory: pytest.TempPathFactory, seasonal_table: Callable[..., Any], linear_forecaster: Callable[..., Any]
) -> Path:
    """A folder with meters.csv and the finished run `run`; tests only read it."""
    folder = tmp_path_factory.mktemp("forecaster")
    seasonal_table(300, series=2).write_csv(folder / "meters.csv")
    reading = SeriesReading()
    path = folder / "meters.csv"
    trained, split = linear_forecaster(
        reading.first(path), history=24, horizon=4, reading=reading, path=str(path), partition=Partition(test=60)
    )
    finish_forecaster(trained.save(folder / "run"), trained, split)
    return folder


@pytest.fixture(autouse=True)
def here(forecaster: Path, monkeypatch: pytest.MonkeyPatch, build_linear: Any) -> None:
    monkeypatch.chdir(forecaster)
    monkeypatch.setattr(trained, "build_network", build_linear)


@pytest.fixture
def expected(forecaster: Path, build_linear: Any) -> pl.DataFrame:
    found: pl.DataFrame = trained.TrainedForecaster.load("run", build=build_linear).predict("meters.csv")
    return found


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": pl.read_csv,
    ".tsv": lambda path: pl.read_csv(path, separator="\t"),
    ".parquet": pl.read_parquet,
    ".arrow": pl.read_ipc,
    ".json": pl.read_json,
    ".jsonl": pl.read_ndjson,
}


def test_a_calibration_of_older_weights_is_not_used_and_it_is_said(recur: Any, tmp_path: Path) -> None:
    shutil.copytree("run", tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    folder.save_weights({name: value * 1.5 for name, value in folder.load_weights().items()})
    result = recur("predict", tmp_path / "run", "meters.csv")
    assert result.code == 0
    note = "note     the intervals are the network's own: the run's calibration is of weights before the training"
    assert note in result.err
    assert "network's own" not in recur("predict", tmp_path / "run", "meters.csv", "--uncalibrated").err


@pytest.mark.parametrize("suffix", READERS)
def test_files_of_every_kind(recur: Any, expected: pl.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    result = recur("predict", "run", "meters.csv", "--out", path)
    assert (result.code, result.out) == (0, f"wrote    {path}\n")
    found = READERS[suffix](path)
    assert found.columns == expected.columns
    assert found["mean"].to_list() == pytest.approx(expected["mean"].to_list(), rel=1e-6)
    assert [str(time)[:13].replace("T", " ") for time in found["time"]] == [str(t)[:13] for t in expected["time"]]


def test_a_table_is_printed(recur: Any, expected: pl.DataFrame) -> None:
    result = recur("predict", "run", "meters.csv", "--levels", "0.25,0.75", "--horizon", "2")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["series_id", "time", "target", "mean", "q0.25", "q0.75"]
    assert len(lines) == 1 + 4
    assert lines[1].split()[:4] == ["m0", "2024-01-13", "12:00:00", "load"]
    assert float(lines[1].split()[4]) == pytest.approx(expected["mean"][0], rel=1e-3)


def test_calibration_can_be_left_out(recur: Any, expected: pl.DataFrame, tmp_path: Path) -> None:
    for name, options in (("a.csv", ()), ("b.csv", ("--uncalibrated",))):
        assert recur("predict", "run", "meters.csv", "--out", tmp_path / name, *options).code == 0
    one, other = (pl.read_csv(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert one["q0.9"].to_list() == pytest.approx(expected["q0.9"].to_list(), rel=1e-6)
    assert one["q0.9"].to_list() != other["q0.9"].to_list()


def test_paths_are_drawn(recur: Any, tmp_path: Path) -> None:
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        options = ("--paths", 30, "--seed", seed, "--out", tmp_path / name)
        assert recur("predict", "run", "meters.csv", *options).code == 0
    texts = [(tmp_path / name).read_text() for name in ("a.csv", "b.csv", "c.csv")]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0].splitlines()) == 1 + 2 * 4 * 30
    printed = recur("predict", "run", "meters.csv", "--paths", 30).out
    assert printed.splitlines()[-1] == "and 200 rows more; --out FILE has all of them"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--horizon", "5"), 2, "horizon: the model was trained to tell 4 steps, not 5; train one with horizon 5."),
        (("--levels", "0.9,0.1"), 2, "levels: expected growing numbers between 0 and 1, such as 0.1,0.5,0.9, got '0.9"),
        (("--levels", "high"), 2, "levels: expected growing numbers between 0 and 1, such as 0.1,0.5,0.9, got 'high'"),
        (("--out", "out.xlsx"), 2, "out: out.xlsx must end in one of .csv, .tsv, .parquet, .arrow, .json, .jsonl, to "),
        (
            ("--out", "meters.csv"),
            2,
            "out: meters.csv exists already; give --overwrite to replace it, or another name.",
        ),
        (
            ("--out", "nowhere/out.csv"),
            2,
            "out: nowhere/out.csv cannot be written, as the folder nowhere does not exist; make it first.",
        ),
        (("--seed", "1"), 2, "seed: only paths are drawn; give --paths, too."),
        (("--paths", "3", "--levels", "0.5"), 2, "levels: paths have none; leave --paths out."),
        (("--paths", "0"), 2, "num_paths: expected a number from 1 on, got 0."),
        (("--batch-size", "0"), 2, "batch_size: expected a number from 1 on, got 0."),
    ],
)
def test_options_that_make_no_sense(recur: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = recur("predict", "run", "meters.csv", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.complaint.startswith(f"recur: {said}")


def test_runs_and_data_that_cannot_be_used(recur: Any, tmp_path: Path) -> None:
    assert recur("predict", "nowhere", "meters.csv").complaint.startswith("recur: nowhere: no such run folder; ")
    result = recur("predict", "run", "nowhere.csv")
    assert result.code == 1
    assert result.complaint.startswith("recur: nowhere.csv: ")
    assert recur("predict", "run", "-").complaint == (
        "recur: data: - is of texts, one on each line, and this is a run of task 'forecast'; rows come by --stream, "
        "without DATA."
    )
    (tmp_path / "bad.csv").write_text("meter,hour,load\nm0,2024-01-01 00:00:00,x\n")
    result = recur("predict", "run", tmp_path / "bad.csv")
    assert result.code == 1
    assert "column 'load', row 1" in result.complaint
    other = RunFolder.create(tmp_path / "text")
    other.write_json("config.json", {"format": 1, "task": "language"})
    assert recur("predict", other.path, "meters.csv").complaint == (
        f"recur: {other.path}: is a run of task 'language', whose model does not predict series. To write text: recur "
        "generate."
    )


# --- data that are not written as the run's own ---


@pytest.fixture
def foreign(tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    """Rows as another program would write them, the last one twice, and how to read them; plain.csv has the same."""
    rows = pl.read_csv("meters.csv", try_parse_dates=True).filter(pl.col("meter") == "m0").tail(40)
    rows = rows.with_columns(pl.lit("m\u00fc").alias("meter"))
    plain = rows.with_columns(pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("load").alias("load"))
    plain.write_csv(tmp_path / "plain.csv")
    path = tmp_path / "foreign.csv"
    written = pl.concat([plain, plain.tail(1)]).with_columns(
        pl.col("hour").dt.strftime("%d/%m/%Y %H:%M"), pl.col("load").cast(pl.String).fill_null("fehlt")
    )
    lines = [";".join(cells) for cells in (written.columns, *written.iter_rows())]
    path.write_text("\n".join(line.replace(".", ",") for line in lines), encoding="latin-1")
    options = {
        "--encoding": "latin-1",
        "--missing": "fehlt",
        "--duplicates": "last",
        "--time-format": "%d/%m/%Y %H:%M",
        "--separator": ";",
        "--decimal-comma": "true",
    }
    return path, tuple(part for pair in options.items() for part in pair)


def test_they_are_read_as_is_said(recur: Any, foreign: Any, tmp_path: Path) -> None:
    path, options = foreign
    assert recur("predict", "run", path, *options, "--out", tmp_path / "out.csv").code == 0
    assert recur("predict", "run", tmp_path / "plain.csv", "--out", tmp_path / "expected.csv").code == 0
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "expected.csv").read_text()
    found, expected = (
        json.loads(recur("evaluate", "run", *data, "--json").out)
        for data in ((path, *options), (tmp_path / "plain.csv",))
    )
    assert found["windows"] == 40 - 24 - 4 + 1
    assert found["figures"] == expected["figures"]


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("--encoding", "line 2 has the byte 0xfc; name the encoding, such as --encoding cp1252."),
        ("--missing", "mend the cell, say with --missing how missing values are written, or give the column another"),
        ("--duplicates", "say what becomes of them with --duplicates mean, last or first."),
        ("--time-format", "may begin with the day or the month; say which with --time-format '%d/%m/%Y %H:%M' or"),
    ],
)
def test_a_message_recommends_an_option_that_the_command_has(
    recur: Any, foreign: Any, left_out: str, said: str
) -> None:
    path, options = foreign
    if left_out == "--time-format":
        days = path.read_text("latin-1").replace("13/01", "12/01").replace("12/01", "02/01")
        path.write_text(days, encoding="latin-1")
    place = options.index(left_out)
    result = recur("predict", "run", path, *options[:place], *options[place + 2 :])
    assert result.code == 1
    assert said in result.complaint


# --- evaluate ---


def test_evaluate_agrees_with_the_end_of_the_training(recur: Any) -> None:
    result = recur("evaluate", "run", "--json")
    assert result.code == 0, result.err
    kept = RunFolder.open("run").read_json("forecast_evaluation.json")
    assert json.loads(result.out, parse_constant=pytest.fail) == kept


def test_evaluate_prints_the_verdict_first(recur: Any) -> None:
    result = recur("evaluate", "run", "--stride", "2")
    found = json.loads(recur("evaluate", "run", "--stride", "2", "--json").out)
    lines = result.out.splitlines()
    assert lines[0] == found["verdict"]["text"]
    assert lines[1].split() == ["MAE", "RMSE", "sMAPE", "MASE", "CRPS", *(["in", "50%", "in", "80%", "in", "95%"])]
    assert [line.split()[0] for line in lines[2:7]] == ["model", "naive", "seasonal", "drift", "mean"]
    assert lines[7].startswith("note     one origin in 2 is judged, ")


def test_the_end_of_a_training_is_shown_likewise(capsys: pytest.CaptureFixture[str]) -> None:
    show_finished(Path("run"), plain_console())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == RunFolder.open("run").read_json("forecast_evaluation.json")["verdict"]["text"]
    # A report that was left out is not announced.
    assert [line for line in lines if line.startswith("report")] == []
    assert lines[-2:] == ["forecast recur predict run new.csv", "judge    recur evaluate run"]


def test_the_end_of_a_training_tells_what_new_data_have_to_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree("run", tmp_path / "run")
    content = json.loads((path / "schema.json").read_text(encoding="utf-8"))
    content["schema"] |= {"known_future": ["price"], "known_categorical": ["day"]}
    (path / "schema.json").write_text(json.dumps(content), encoding="utf-8")
    show_finished(path, plain_console())
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "note to forecast, new.csv has to go on with a row for each step to come, in which 'price' and 'day' are "
        "filled in and 'load' left empty" in said
    )


def test_evaluate_other_data(recur: Any, tmp_path: Path) -> None:
    pl.read_csv("meters.csv").head(60).write_csv(tmp_path / "other.csv")
    found = json.loads(recur("evaluate", "run", tmp_path / "other.csv", "--json").out)
    assert (found["part"], found["windows"]) == ("given", 60 - 24 - 4 + 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--window", "9"), 2, "window is of language runs, and this is one of task forecast; leave --window out."),
        (("--encoding", "utf-8"), 2, "encoding is of other data; give DATA, or leave --encoding out."),
        (("--time-format", "%d"), 2, "time_format is of other data; give DATA, or leave --time-format out."),
        (("--stride", "0"), 2, "stride must be a whole number from 1 on, not 0."),
        (("meters.csv", "meters.csv"), 2, "data: expected one table, or a folder of them, got 2 names; put"),
        (("meters.csv", "--part", "test"), 2, "part is of the run's own data; leave --part or DATA out."),
    ],
)
def test_evaluate_options_that_make_no_sense(recur: Any, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = recur("evaluate", "run", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.complaint.startswith(f"recur: {said}")


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", ","), (".csv", "")])
def test_lists_of_classes_are_written_as_the_run_reads_them(
    tmp_path: Path, recur: Any, suffix: str, separator: str
) -> None:
    """Several classes as one text, with the run's separator or as JSON; none of them as []."""
    names = [own for _ in range(20) for own in (["food", "a|b"], ["a|b"], ["food"], [])]
    texts = [f"{number} {' '.join(own) or 'nothing'}" for number, own in enumerate(names)]
    table = pl.DataFrame({"text": texts, "label": names})
    if separator:
        cells = [separator.join(own) or "[]" for own in names]
        table.with_columns(pl.Series("label", cells)).write_csv(tmp_path / "texts.csv")
    else:
        table.write_parquet(tmp_path / "texts.parquet")
    data = next(tmp_path.glob("texts.*"))
    small = ("--hidden-size", 8, "--members", 1, "--max-steps", 60, "--learning-rate", 0.05, "--no-report")
    options = ("--label-separator", separator) if separator else ()
    trained = recur("train", data, "--task", "classify-text", "--out", tmp_path / "several", *small, *options)
    assert trained.code == 0, trained.err
    out = tmp_path / f"told{suffix}"
    result = recur("predict", tmp_path / "several", data, "--out", out)
    assert result.code == 0, result.err
    told = READERS[suffix](out)
    want = recur_python.load(tmp_path / "several").predict(data)["label"].to_list()
    assert len({len(own) for own in want}) > 1
    written = [separator.join(own) if separator and own else json.dumps(own) for own in want]
    assert told["label"].to_list() == written
    assert recur("evaluate", tmp_path / "several", out, "--json").code == 0


# --- what is printed of wide tables ---


def _printed(recur: Any, monkeypatch: pytest.MonkeyPatch, frame: pl.DataFrame) -> list[str]:
    monkeypatch.setattr(trained.TrainedForecaster, "predict", lambda *arguments, **options: frame)
    result = recur("predict", "run", "meters.csv")
    assert result.code == 0, result.err
    lines: list[str] = result.out.splitlines()
    return lines


def test_given_texts_are_cut_where_they_are_printed(recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "a long answer " * 10
    frame = pl.DataFrame({"text": ["x" * 112_000, "two\nlines"], "target": ["short", answer], "score": [0.5, 0.25]})
    lines = _printed(recur, monkeypatch, frame)
    assert lines[1] == f"{'x' * 59}…  short{' ' * 55}    0.5"
    # What was written stands there as a whole.
    assert lines[2] == f"{'two lines':<60}  {answer}   0.25"
    assert lines[3:] == ["and texts as a whole; --out FILE has all of them"]


def test_where_there_is_nothing_nothing_is_printed(recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"text": ["a", "b"], "missing": [None, "JUMP"], "score": [None, 0.25]})
    assert _printed(recur, monkeypatch, frame) == ["text  missing  score", "a", "b     JUMP      0.25"]
    assert _printed(recur, monkeypatch, frame.head(1).with_columns(missing=pl.lit(None)))[1:] == ["a"]


def test_of_many_classes_the_likeliest_are_printed(recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {f"p(c{number})": [number / 45] for number in range(10)}
    frame = pl.DataFrame({"text": ["so good"], "label": [["c9", "c8"]]} | shares)
    assert _printed(recur, monkeypatch, frame) == [
        "text     label         likeliest",
        "so good  ['c9', 'c8']  c9 0.2, c8 0.1778, c7 0.1556",
        "and the probabilities of 10 classes; --out FILE has all of them",
    ]
    few = frame.select("text", *list(shares)[:3])
    assert _printed(recur, monkeypatch, few)[0].split() == ["text", "p(c0)", "p(c1)", "p(c2)"]
