"""Numbers and times as people write them, and that other data are read as those of a run were."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recur.data.series import Columns, Delimited, Schema, read_series
from recur.data.series.writing import NumberFormat, Writing, decimal_of, number_format_of, writes_numbers
from recur.errors import DataError
from recur.tasks.series_reading import SeriesReading


@pytest.mark.parametrize(
    ("form", "text", "number"),
    [
        (NumberFormat(), "1288.90", 1288.9),
        (NumberFormat(), "1,288.90", 1288.9),
        (NumberFormat(), "-12,345,678", -12_345_678),
        (NumberFormat(), "1 288", 1288),
        (NumberFormat(), "1\u202f288.5", 1288.5),
        (NumberFormat(), "1'288.5", 1288.5),
        (NumberFormat(), "1e-3", 0.001),
        (NumberFormat(), "12,34", None),
        (NumberFormat(), "1,2345", None),
        (NumberFormat(), "0,123", None),
        (NumberFormat(), "1,288 900", None),
        (NumberFormat(decimal=","), "1.288,90", 1288.9),
        (NumberFormat(decimal=","), "1.288", 1288),
        (NumberFormat(decimal=","), "+1.288.000", 1_288_000),
        (NumberFormat(decimal=","), "1 288,5", 1288.5),
        (NumberFormat(decimal=","), "742,125", 742.125),
        (NumberFormat(decimal=","), "1,5e3", 1500),
        (NumberFormat(decimal=","), "742.12", None),
        (NumberFormat(decimal=","), "1,288,90", None),
        (NumberFormat(sign="€"), "€3.50", 3.5),
        (NumberFormat(sign="€"), "-€ 3.50", -3.5),
        (NumberFormat(sign="€"), "-3.50 €", -3.5),
        (NumberFormat(sign="$"), "$1,288", 1288),
        (NumberFormat(sign="€"), "3.50", None),
        (NumberFormat(sign="%", decimal=","), "3,5 %", 3.5),
        (NumberFormat(), "3 %", None),
    ],
)
def test_a_number_is_read_as_it_is_written(form: NumberFormat, text: str, number: float | None) -> None:
    assert form.read(pl.Series([f" {text} "])).to_list() == [number]


@pytest.mark.parametrize("form", [NumberFormat(), NumberFormat(decimal=","), NumberFormat(decimal=",", sign="€")])
def test_what_is_written_is_read_again(form: NumberFormat) -> None:
    numbers = [0.5, -1288.125, 1e-7, 12.0, 123456.789]
    assert form.read(pl.Series([form.written(number) for number in numbers])).to_list() == numbers


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["1.288,90", "742"], NumberFormat(decimal=",")),
        (["1,288.90", "742"], NumberFormat()),
        # One cell tells of all.
        (["1.288", "742,12"], NumberFormat(decimal=",")),
        (["1,288", "742.12"], NumberFormat()),
        (["€3.50", "€4"], NumberFormat(sign="€")),
        (["3 %", "4,5 %"], NumberFormat(decimal=",", sign="%")),
        # The most cells tell, and the others are wrong.
        (["1,5", "2,25", "2.5"], NumberFormat(decimal=",")),
        (["1,288", "2,500"], None),
        (["x", "y"], NumberFormat()),
    ],
)
def test_the_cells_of_a_column_tell_how_they_are_written(cells: list[str], form: NumberFormat | None) -> None:
    assert number_format_of(pl.Series(cells)) == form


def test_what_is_known_tells_where_the_cells_do_not() -> None:
    comma = NumberFormat(decimal=",")
    assert number_format_of(pl.Series(["1,288", "2,500"]), comma) == comma
    assert number_format_of(pl.Series(["1,288", "2,500"]), NumberFormat()) == NumberFormat()
    assert number_format_of(pl.Series(["742.12"]), comma) == NumberFormat()


@pytest.mark.parametrize("at", [0, 4321, 9999])
def test_a_single_cell_of_a_long_column_tells(at: int) -> None:
    cells = ["1,288"] * 10_000
    assert number_format_of(pl.Series(cells)) is None
    cells[at] = "742.12"
    assert number_format_of(pl.Series(cells)) == NumberFormat()
    cells[at] = "742,1"
    assert number_format_of(pl.Series(cells)) == NumberFormat(decimal=",")
    # Not those at its beginning.
    assert number_format_of(pl.Series(["742.5"] * 4000 + ["3,5 €"] * 6000)) == NumberFormat(decimal=",", sign="€")


def test_a_long_column_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = NumberFormat.read
    lengths: list[int] = []
    monkeypatch.setattr(NumberFormat, "read", lambda own, text: lengths.append(len(text)) or read(own, text))
    cells = [f"{day % 9 + 1}.288,{day % 90 + 10} €" for day in range(30_000)]
    panel = read_series({"step": range(30_000), "y": cells})
    assert panel.values[:2, 0].tolist() == [np.float32(1288.10), np.float32(2288.11)]
    assert panel.schema.writing.numbers == {"y": NumberFormat(decimal=",", sign="€")}
    assert lengths.count(30_000) == 1


def test_numbers_are_told_from_names() -> None:
    assert writes_numbers(pl.Series(["1.288,90", "742,12", "n.v."]))
    assert writes_numbers(pl.Series(["1,288", None, "2,500"]))
    assert writes_numbers(pl.Series(["1.234.567", "987.654", "12"]))
    assert writes_numbers(pl.Series(["1.234.567,5", "2.345.678,5"]))
    assert writes_numbers(pl.Series(["1,234,567", "2,345,678"]))
    assert not writes_numbers(pl.Series(["A1", "A2", "3"]))
    # Part numbers and addresses.
    assert not writes_numbers(pl.Series(["1.234.567", "1.234.568"]))
    assert not writes_numbers(pl.Series(["192.168.100.101", None, "192.168.100.102", "10.0.0.1"]))
    assert [decimal_of(cells) for cells in (["1,5", "x"], ["1.5"], ["1,5", "1.5"], ["1,288", "3"])] == [
        ",",
        ".",
        None,
        None,
    ]


def test_a_column_of_addresses_holds_names() -> None:
    hosts = [f"192.168.100.{100 + day % 3}" for day in range(28)]
    panel = read_series({"t": list(range(28)), "host_ip": hosts, "value": [day * 1.5 for day in range(28)]})
    assert panel.schema.channels == ("value",)
    assert panel.schema.categorical == ("host_ip",)


def read(folder: Path, content: str, **options: object) -> list[float]:
    path = folder / "table.csv"
    path.write_text(content)
    found: list[float] = read_series(path, **options).values[:, 0].tolist()  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("t;y\n1;1.288,5\n2;742,25\n", [1288.5, 742.25]),
        ("t;y\n1;1.288\n2;742,25\n3;3\n", [1288, 742.25, 3]),
        # What another column tells of all.
        ("t;y;z\n1;1.288;0,5\n2;2.500;1,5\n", [1288, 2500]),
        ("t;y;z\n1;1.288;0.5\n2;2.500;1.5\n", [np.float32(1.288), 2.5]),
        ('t,y\n1,"1,288"\n2,"2,500"\n', [1288, 2500]),
        ('t,y\n1,"1,288.5"\n2,3\n', [1288.5, 3]),
        ('t,y\n1,"742,25"\n2,"3"\n', [742.25, 3]),
        ("t\ty\n1\t1,288.5\n2\t1,300\n", [1288.5, 1300]),
        ("t;y\n1;1 288,5\n2;742\n", [1288.5, 742]),
        ("t;y\n1;1,288\n2;742,125\n", [np.float32(1.288), np.float32(742.125)]),
        ("t;y;z\n1;742,25;0.5\n2;1,5;0.25\n", [742.25, 1.5]),
        # A cell in quotes tells what the points of a table cut by commas are.
        ('t,y,z\n1,1.201,"1,5"\n2,1.202,"2,5"\n', [1201, 1202]),
        ('t,y,z\n1,1.25,"1,5"\n2,1.5,"2,5"\n', [1.25, 1.5]),
        ("t,y\n1,€3.50\n2,€4.25\n", [3.5, 4.25]),
        ("t,y\n1,3 %\n2,4.5 %\n", [3, 4.5]),
    ],
)
def test_files_with_marks_of_thousands_and_signs(tmp_path: Path, text: str, numbers: list[float]) -> None:
    assert read(tmp_path, text) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "t;y\n1;742,12\n2;1.288,90\n3;1.5\n",
            "column 'y', row 3: '1.5' is no number written like the others, such as '742,12', but the column is in",
        ),
        ("t,y\n1,3.5\n2,€4\n3,2\n", "column 'y', row 2: '€4' is no number written like the others, such as '3.5',"),
        ("t\ty\n1\t1,288\n2\t2,500\n", "column 'y', row 1: '1,288' may have a mark of decimals or of thousands in it"),
    ],
)
def test_the_cell_that_spoils_a_column_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path, text, columns=Columns(time="t", targets="y"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("t;y\n1;1,5\n2;2,25\n", "t;y\n1;1.101\n2;1.102\n"), ('t,y\n1,"1,5"\n2,"2,25"\n', "t,y\n1,1.101\n2,1.102\n")],
)
def test_one_file_of_a_folder_tells_how_the_others_are_written(tmp_path: Path, one: str, other: str) -> None:
    for names in (("a.csv", "b.csv"), ("d.csv", "c.csv")):
        for name, text in zip(names, (one, other), strict=True):
            (tmp_path / name).write_text(text)
    panel = read_series(tmp_path)
    assert {name: panel.series(name).values[:, 0].tolist() for name in panel.ids} == {
        "a": [1.5, 2.25],
        "b": [1101, 1102],
        "c": [1101, 1102],
        "d": [1.5, 2.25],
    }
    assert panel.schema.writing.decimal == ","


def test_files_that_tell_of_both_marks_are_each_read_by_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t;y\n1;1,5\n2;2,25\n")
    (tmp_path / "b.csv").write_text("t;y\n1;1.5\n2;1.101\n")
    assert read_series(tmp_path).values[:, 0].tolist() == [1.5, 2.25, 1.5, np.float32(1.101)]


def test_what_may_be_two_things_can_be_said(tmp_path: Path) -> None:
    text = "t\ty\n1\t1,288\n2\t2,500\n"
    assert read(tmp_path, text, text=Delimited(decimal_comma=False)) == [1288, 2500]
    assert read(tmp_path, text, text=Delimited(decimal_comma=True)) == [np.float32(1.288), 2.5]


def test_tables_in_memory_and_in_other_forms() -> None:
    assert read_series({"t": [1, 2], "y": ["1.288,5", "3"]}).values[:, 0].tolist() == [1288.5, 3]
    wide = read_series({"t": [1, 2], "a": ["1,5", "2"], "b": [1.0, 2.0]}, form="wide")
    assert wide.series("a").values[:, 0].tolist() == [1.5, 2]
    rows = read_series({"id": ["a", "b"], "s1": ["1,5", "2"], "s2": [1.0, 2.0]}, form="rows")
    assert rows.series("a").values[:, 0].tolist() == [1.5, 1]


def test_others_are_read_as_those_of_a_run_where_they_do_not_tell(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("t;y;z\n13/02/2024;742,12;1\n02/03/2024;1.288,5;2\n")
    reading = SeriesReading()
    panel = reading.first(path)
    schema = Schema.from_json(json.loads(json.dumps(panel.schema.to_json())))
    assert schema.writing == Writing(separator=";", decimal=",", is_day_first=True)

    def again(text: str) -> tuple[list[float], list[str]]:
        path.write_text(text)
        found = reading.again(path, schema, None)
        return found.values[:, 0].tolist(), [str(time)[:10] for time in found.times]

    assert again("t;y;z\n02/03/2024;1.288;1\n") == ([1288], ["2024-03-02"])
    assert again("t,y,z\n02/03/2024,1.288,1\n") == ([1288], ["2024-03-02"])
    # What tells goes before.
    assert again("t,y,z\n12/31/2024,742.25,1\n") == ([742.25], ["2024-12-31"])
    assert reading.again({"t": ["02/03/2024"], "y": ["1.288"], "z": ["1"]}, schema, None).values[0, 0] == 1288


def test_whole_numbers_say_nothing_of_the_mark_of_others(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("t\ty\tz\n1\t742,12\t3\n2\t1.288,5\t4\n")
    writing = read_series(path).schema.writing
    assert (writing.decimal, writing.numbers) == (",", {})
    assert writing.of_column("z").read(pl.Series(["3,5"])).to_list() == [3.5]


def test_a_damaged_writing_is_refused() -> None:
    content = read_series({"t": [1, 2], "y": [1.0, 2.0]}).schema.to_json()
    content["writing"]["decimal"] = ";"
    with pytest.raises(ValueError, match=r"^the mark of decimals must be '\.' or ',', got ';'$"):
        Schema.from_json(content)
