"""`recur predict --stream`: lines in, answers out, the state in a file."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from recur.data.series import Columns, read_series
from recur.data.series.delimited import MISSING, Delimited
from recur.models.forecast_network import ForecastNetwork
from recur.models.forecaster_options import ForecasterOptions
from recur.streaming import stream
from recur.streaming.live_stream import Stream
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.series_reading import SeriesReading


@pytest.fixture(scope="session")
def table(seasonal_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return seasonal_table(100, series=2).with_columns(pl.col("load").round(3))


@pytest.fixture(scope="session")
def folder(table: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `run`, of a network as it was drawn."""
    setup, split = ForecastSetup.fit(read_series(table), history=12, horizon=2, reading=SeriesReading())
    torch.manual_seed(0)
    options = {"kind": "encoder-decoder", "history": 12, "hidden_size": 8, "head": "gaussian"}
    options |= {"normalize": "last", "level": True}
    network = ForecastNetwork(ForecasterOptions.from_json(**options), setup.shape)
    made = tmp_path_factory.mktemp("stream")
    TrainedForecaster(network, setup, options=options).calibrated(split.valid).save(made / "run")
    return made


@pytest.fixture
def piped(recur: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs `recur predict RUN --stream` on a text, with more arguments."""
    monkeypatch.chdir(tmp_path)

    def run(text: str | bytes, *arguments: str) -> Any:
        path = tmp_path / "input"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            done = recur("predict", folder / "run", "--stream", *arguments)
            return done.code, done.out, done.err

    return run


def expected(folder: Path, rows: Any) -> Any:
    return stream(folder / "run").push(rows)


def test_csv_in_csv_out(piped: Any, folder: Path, table: pl.DataFrame) -> None:
    code, out, error = piped(table.write_csv())
    assert (code, error) == (0, "")
    found, wanted = pl.read_csv(io.StringIO(out)), expected(folder, table).to_polars()
    assert found.columns == ["series_id", "after", "time", "target", "mean", "q0.1", "q0.5", "q0.9", "drift"]
    assert found["series_id"].to_list() == wanted["series_id"].to_list()
    assert found["mean"].to_list() == pytest.approx(wanted["mean"].to_list(), rel=1e-5)
    assert found["time"][0] == "2024-01-01T01:00:00.000000"


def test_json_in_json_out(piped: Any, folder: Path, table: pl.DataFrame) -> None:
    code, out, error = piped(table.write_ndjson(), "--levels", "0.2,0.8", "--uncalibrated")
    assert (code, error) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    wanted = stream(folder / "run", levels=(0.2, 0.8), use_calibration=False).push(table).rows()
    assert len(found) == len(table)
    assert found[7]["forecast"][0].keys() == {"time", "target", "mean", "q0.2", "q0.8"}
    assert found[7]["forecast"][1]["q0.8"] == pytest.approx(wanted[7]["forecast"][1]["q0.8"], rel=1e-5)


def test_the_state_goes_on(piped: Any, table: pl.DataFrame) -> None:
    whole = piped(table.write_csv())[1].splitlines()
    first = piped(table[:130].write_csv(), "--state", "state", "--save-every", "50")[1].splitlines()
    second = piped(table[129:].write_csv(), "--state", "state")
    assert second[2] == "recur: row 1: repeated, left out.\n"
    again = [*first, *second[1].splitlines()[1:]]
    assert len(again) == len(whole)
    # Read in other pieces, of which the last digit of float32 tells.
    for one, other in zip(again[1:], whole[1:], strict=True):
        cells, others = one.split(","), other.split(",")
        assert cells[:4] == others[:4]
        assert float(cells[4]) == pytest.approx(float(others[4]), rel=1e-5)


def test_series_that_begin_anew_are_named(piped: Any, table: pl.DataFrame) -> None:
    code, out, error = piped(pl.concat([table[:3], table[50:52]]).write_ndjson())
    assert (code, len(out.splitlines())) == (0, 5)
    assert error == "recur: row 4: its series begins anew, so long is the gap before it.\n"


def test_a_bad_line_stops_the_stream_after_those_before_it(piped: Any, table: pl.DataFrame) -> None:
    lines = table[:6].write_csv().splitlines()
    lines[4] = lines[4].rsplit(",", 1)[0] + ",high"
    code, out, error = piped("\n".join(lines))
    assert code == 1
    assert "recur: the rows, column 'load', row 4: 'high' is no number" in error
    assert len(out.splitlines()) == 1 + 3 * 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("m0,2024-01-01 03:00:00.000000,high", "column 'load', row 4: 'high' is no number"),
        ("m0,2024-01-01 03:00:00.000000", "row 4: has 2 cells, but there are 3 columns. Left out."),
        ('m0,"2024', "row 4: is no CSV"),
    ],
)
def test_bad_lines_can_be_left_out(piped: Any, table: pl.DataFrame, bad: str, message: str) -> None:
    lines = table[:6].write_csv().splitlines()
    lines[4] = bad
    code, out, error = piped("\n".join(lines), "--on-error", "skip")
    assert code == 0
    assert message in error
    assert len(out.splitlines()) == 1 + 5 * 2


def test_lines_that_are_no_json(piped: Any, table: pl.DataFrame) -> None:
    good = table[:2].write_ndjson().splitlines()
    code, out, error = piped("\n".join([good[0], "[1]", "{", good[1]]), "--on-error", "skip")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "row 2: is no JSON object, but '[1]'. Left out." in error
    assert "row 3: is no JSON (" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stream", "data.csv"], "unrecognized arguments: data.csv"),
        (["--stream", "--out", "a.csv"], "out: does not go with --stream; leave it out"),
        (["--state", "state", "data.csv"], "state: is of streams; give --stream, too"),
        (["--stream", "--save-every", "5"], "save_every: expected a number of rows from 1 on, with --state, got 5"),
    ],
)
def test_options_that_do_not_go_together(recur: Any, folder: Path, arguments: list[str], message: str) -> None:
    done = recur("predict", folder / "run", *arguments)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_state(folder: Path, table: pl.DataFrame, tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "recur", "predict", str(folder / "run"), "--stream", "--state", "state"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(table[:3].write_ndjson().encode())
        process.stdin.flush()
        # Answered while the input is open.
        answers = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after 3 rows; the state is in state." in error.decode()
    assert answers[2]["series_id"] == "m0"
    assert stream(folder / "run", state=tmp_path / "state").push(table[2:3]).left_out == ((0, "repeated"),)


def test_a_state_that_cannot_be_written_is_told_before_the_first_answer(
    piped: Any, table: pl.DataFrame, tmp_path: Path
) -> None:
    code, out, error = piped(table.write_csv(), "--state", "nowhere/state")
    assert (code, out) == (1, "")
    assert error == "recur: nowhere/state: No such file or directory.\n"
    (tmp_path / "place").mkdir()
    code, out, error = piped(table.write_csv(), "--state", "place")
    assert (code, out) == (1, "")
    assert error == "recur: place: is a folder; give a file that a stream's state was saved to.\n"


def test_a_state_whose_place_is_gone_in_the_end_is_kept_elsewhere(
    piped: Any, folder: Path, table: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    push = Stream.push

    def pushed(self: Stream[Any], *given: Any, **options: Any) -> Any:
        shutil.rmtree(place, ignore_errors=True)
        return push(self, *given, **options)

    monkeypatch.setattr(Stream, "push", pushed)
    code, out, error = piped(table[:30].write_csv(), "--state", "place/state")
    assert (code, len(out.splitlines())) == (1, 1 + 30 * 2)
    (kept,) = tmp_path.glob("state.*")
    assert error == f"recur: place/state: No such file or directory; the state is in {kept}: move it there.\n"
    assert stream(folder / "run", state=kept).report()["steps"].to_list() == [30]


@pytest.mark.parametrize(
    ("ids", "lines", "names"),
    [
        (pl.Series([7, 8]), ["007", "8.0", "1.5", "a", "1e3"], ["7", "8", "1.5", "a", "1000"]),
        (pl.Series(["007", "8"]), ["007", "7", "8.0", "1e3"], ["007", "7", "8.0", "1e3"]),
        (pl.Series([0.5, 2.0]), ["0.50", "2", "a"], ["0.5", "2.0", "a"]),
    ],
)
def test_which_series_a_line_is_of_says_the_line_alone(
    ids: pl.Series,
    lines: list[str],
    names: list[str],
    table: pl.DataFrame,
    recur: Any,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    named = table.with_columns(meter=ids.gather([0] * 100 + [1] * 100))
    reading = SeriesReading(columns=Columns(series_id="meter"))
    setup, _ = ForecastSetup.fit(reading.first(named), history=12, horizon=2, reading=reading)
    options = {"kind": "encoder-decoder", "history": 12, "hidden_size": 4, "head": "gaussian"}
    options |= {"normalize": "last", "level": False}
    network = ForecastNetwork(ForecasterOptions.from_json(**options), setup.shape)
    TrainedForecaster(network, setup, options=options).save(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    rows = [f"{name},2024-01-01 03:00:00,4" for name in lines]
    found = []
    for batch in (rows, *([row] for row in rows)):
        (tmp_path / "input").write_text("\n".join(["meter,hour,load", *batch]) + "\n")
        with (tmp_path / "input").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            done = recur("predict", "run", "--stream")
        assert (done.code, done.err) == (0, "")
        found += [line.split(",")[0] for line in done.out.splitlines()[1::2]]
    assert found == [*names, *names]


def test_lines_that_are_no_rows_leave_the_numbers_of_others_as_they_are(piped: Any, table: pl.DataFrame) -> None:
    good = table[:3].write_ndjson().splitlines()
    lines = [good[0], "{", good[1], good[1].replace("load", "laod"), good[2]]
    code, out, error = piped("\n".join(lines), "--on-error", "skip")
    assert code == 0
    assert [json.loads(line)["row"] for line in out.splitlines()] == [0, 2, 4]
    assert "recur: standard input, row 2: is no JSON (" in error
    assert error.splitlines()[1].startswith("recur: the rows")


def test_what_else_ends_a_line_elsewhere_may_stand_within_one(piped: Any, table: pl.DataFrame) -> None:
    row = {**table[:1].with_columns(pl.col("hour").cast(pl.String)).row(0, named=True), "meter": "a\u2028b\x0b\x85c"}
    code, out, error = piped(json.dumps(row, ensure_ascii=False) + "\r\n")
    assert (code, error) == (0, "")
    assert json.loads(out)["series_id"] == row["meter"]
    rows = table[:2].write_csv().replace("\n", "\r\n")
    code, out, error = piped(rows)
    assert (code, error, len(out.splitlines())) == (0, "", 1 + 2 * 2)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            b'{"meter": "M\xfcnchen"}',
            "standard input, row 2: is no utf-8; name the encoding, such as --encoding cp1252. Left out.",
        ),
        (b'{"meter": ' + b"[" * 200_000, "standard input, row 2: is no JSON ("),
    ],
)
def test_lines_that_no_text_can_be(bad: bytes, message: str, piped: Any, table: pl.DataFrame) -> None:
    good = table[:2].write_ndjson().encode().splitlines()
    code, out, error = piped(b"\n".join([good[0], bad, good[1]]), "--on-error", "skip")
    assert (code, len(out.splitlines())) == (0, 2)
    assert message in error
    code, out, error = piped(b"m\xfcter,hour,load\nm0,2024-01-01,3\n")
    assert (code, out) == (1, "")
    message = "the names of the columns are no utf-8; name the encoding, such as --encoding cp1252."
    assert error == f"recur: standard input: {message}\n"


def test_names_that_come_again_are_no_row(piped: Any, table: pl.DataFrame) -> None:
    header, *lines = table[:6].write_csv().splitlines()
    # As it was, and with the byte order mark that spreadsheets write.
    code, out, error = piped("\n".join([header, *lines[:3], header, *lines[3:], f"\ufeff{header}"]))
    plain = piped("\n".join([header, *lines]))[1]
    assert (code, error) == (0, "")
    found, wanted = (pl.read_csv(io.StringIO(text)) for text in (out, plain))
    assert found.drop("mean", "q0.1", "q0.5", "q0.9").equals(wanted.drop("mean", "q0.1", "q0.5", "q0.9"))
    assert found["mean"].to_list() == pytest.approx(wanted["mean"].to_list(), rel=1e-5)


@pytest.fixture(scope="session")
def german(seasonal_table: Callable[..., pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table as spreadsheets write it in Germany, and a run of it."""
    made = tmp_path_factory.mktemp("german")
    loads = 200 * seasonal_table(80)["load"].round(2)
    times = [f"{1 + hour // 24:02}.01.2024 {hour % 24:02}:00" for hour in range(80)]
    cells = [f"{load:,.2f}".translate(str.maketrans(",.", ".,")) for load in loads]
    lines = [f"{time};{cell};{count}" for count, (time, cell) in enumerate(zip(times, cells, strict=True))]
    (made / "table.csv").write_text("Zeit;Umsatz;Zahl\n" + "\n".join(lines) + "\n")
    text = Delimited(missing=(*MISSING, "fehlt"))
    reading = SeriesReading(columns=Columns(targets="Umsatz", past_only="Zahl"), text=text)
    panel = reading.first(made / "table.csv")
    assert panel.values[:, 0].tolist() == loads.cast(pl.Float32).to_list()
    setup, _ = ForecastSetup.fit(panel, history=12, horizon=2, reading=reading)
    torch.manual_seed(0)
    options = {"kind": "encoder-decoder", "history": 12, "hidden_size": 8, "head": "gaussian"}
    options |= {"normalize": "last", "level": True}
    network = ForecastNetwork(ForecasterOptions.from_json(**options), setup.shape)
    TrainedForecaster(network, setup, options=options).save(made / "run")
    return made


def test_lines_are_written_as_the_table_of_the_run(
    german: Path, recur: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answers(text: str, *arguments: str) -> Any:
        (tmp_path / "input").write_text(text)
        with (tmp_path / "input").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            return recur("predict", german / "run", "--stream", *arguments)

    text = (german / "table.csv").read_text()
    whole = answers(text)
    assert (whole.code, whole.err) == (0, "")
    found = pl.read_csv(io.StringIO(whole.out))
    trained = TrainedForecaster.load(german / "run")
    wanted = trained.predict(german / "table.csv", history="all")
    assert found["mean"].to_list()[-2:] == pytest.approx(wanted["mean"].to_list(), rel=1e-5)
    # Line by line, a cell means what it means beside others.
    header, *lines = text.splitlines()
    state = str(tmp_path / "state")
    singly = "".join(answers(f"{header}\n{line}\n", "--state", state).out.split("\n", 1)[1] for line in lines[:20])
    assert float(singly.splitlines()[-1].split(",")[4]) == pytest.approx(found["mean"][39], rel=1e-5)
    point = "Zeit,Umsatz,Zahl\n01.01.2024 00:00,1288.9,0\n"
    assert "'1288.9' is no number written like those that the model was trained on, as '1234,5'" in answers(point).err
    assert answers(point, "--decimal-comma", "false").code == 0
    rows = [json.dumps({"Zeit": "01.01.2024 00:00", "Umsatz": value, "Zahl": 0}) for value in (1288.9, "1.288,9")]
    assert answers(rows[0]).out == answers(rows[1]).out != ""
    # What is missing is written as in the table of the run, too.
    lacking, usual, empty = (
        answers(text.replace(lines[60], f"03.01.2024 12:00;{cell};{cell}")) for cell in ("fehlt", "k.A.", "")
    )
    assert lacking.err == ""
    assert lacking.out == usual.out == empty.out != whole.out
    other = answers(text.replace(lines[60], "03.01.2024 12:00;offen;60")).err
    assert "'offen' is no number" in other
    assert other.endswith("mend the cell, or leave it empty where there is no value.\n")


@pytest.fixture(scope="session")
def western(german: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a table that was written in Windows-1252, with names that are no ASCII."""
    made = tmp_path_factory.mktemp("western")
    table = (german / "table.csv").read_text().replace("Umsatz", "Umsatz €")
    (made / "table.csv").write_text(table, encoding="cp1252")
    reading = SeriesReading(columns=Columns(targets="Umsatz €", past_only="Zahl"), text=Delimited(encoding="cp1252"))
    setup, _ = ForecastSetup.fit(reading.first(made / "table.csv"), history=12, horizon=2, reading=reading)
    trained = TrainedForecaster.load(german / "run")
    TrainedForecaster(trained.network, setup, options=trained.options).save(made / "run")
    return made


def test_lines_have_the_encoding_of_the_run(
    western: Path, recur: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answers(data: bytes, *arguments: str) -> Any:
        (tmp_path / "input").write_bytes(data)
        with (tmp_path / "input").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            return recur("predict", western / "run", "--stream", *arguments)

    own = (western / "table.csv").read_bytes()
    wanted = answers(own)
    assert (wanted.code, wanted.err) == (0, "")
    assert pl.read_csv(io.StringIO(wanted.out))["target"].unique().to_list() == ["Umsatz €"]
    text = own.decode("cp1252")
    for encoding in ("utf-8", "utf-16-be", "iso-8859-15"):
        assert answers(text.encode(encoding), "--encoding", encoding).out == wanted.out
    # A mark at the beginning says it without being asked.
    for marked in ("utf-8-sig", "utf-16", "utf-32"):
        assert answers(text.encode(marked)).out == wanted.out
    assert f"'Umsatz {'€'.encode().decode('cp1252')}'" in answers(text.encode()).err
    assert answers(own, "--encoding", "utf-8").err.startswith("recur: standard input: the names of the columns are no ")
    assert answers(own[:99], "--encoding", "utf-16-be").err.startswith(
        "recur: standard input: is no utf-16-be; name the encoding, such as --encoding utf-8 (trunc"
    )
    unknown = answers(own, "--encoding", "klingon")
    assert unknown.code == 2
    assert "encoding: 'klingon' is none that Python knows; give one such as 'cp1252'." in unknown.err
    # Without a mark the order of the bytes is found.
    for name in ("utf-16", "utf-32"):
        for order in ("le", "be"):
            assert (
                answers(text.encode(f"{name}-{order}"), "--encoding", name.replace("-", "").upper()).out == wanted.out
            )
    assert answers(own, "--encoding", "utf-32").err.startswith("recur: standard input: is no utf-32-le; name the ")
    for name in ("idna", "punycode", "undefined"):
        odd = answers(own, "--encoding", name)
        assert odd.code == 2
        assert f"encoding: '{name}' is none of lines of text; give one such as 'cp1252'." in odd.err
    # JSON is UTF-8, whatever the run's tables were, unless something else is said.
    row = json.dumps({"Zeit": "01.01.2024 00:00", "Umsatz €": "1.288,9", "Zahl": 0}, ensure_ascii=False)
    plain = answers(row.encode())
    assert (plain.code, len(plain.out.splitlines())) == (0, 1)
    assert answers(row.encode("cp1252"), "--encoding", "cp1252").out == plain.out
    assert answers(row.encode("utf-8-sig")).out == plain.out


def test_letters_may_be_cut_between_two_pieces(
    western: Path, recur: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from recur.cli import standard_input

    lines = (western / "table.csv").read_text(encoding="cp1252").splitlines()
    data = "\n".join(lines[:20]).encode("utf-16")
    (tmp_path / "input").write_bytes(data)
    found = []
    for size in (1 << 18, 1):
        monkeypatch.setattr(standard_input, "_PIECE", size)
        with (tmp_path / "input").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            done = recur("predict", western / "run", "--stream", "--on-error", "skip")
        assert (done.code, done.err) == (0, "")
        found.append(pl.read_csv(io.StringIO(done.out)))
    assert found[0]["mean"].to_list() == pytest.approx(found[1]["mean"].to_list(), rel=1e-5)
