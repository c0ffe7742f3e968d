from __future__ import annotations

import subprocess
import sys

import pytest

from recur.data.series import Assembly, Delimited, Panel
from recur.data.series.options import SeriesOptions
from recur.data.series.partition import Partition
from recur.errors import OptionError


def test_names_have_commas_between_them() -> None:
    options = SeriesOptions(targets="load, price", known_future="holiday", ignored="", part="fold")
    columns = options.columns
    assert columns.targets == ("load", "price")
    assert columns.known_future == ("holiday",)
    assert columns.ignored == ()
    assert columns.part == "fold"
    assert columns.time is None
    assert SeriesOptions(part="").columns.part == ()
    assert SeriesOptions(calendar="hour,weekday").features == ("hour", "weekday")
    assert SeriesOptions(calendar="").features == ()
    assert SeriesOptions().features is None


def test_what_they_say_of_reading() -> None:
    options = SeriesOptions(
        separator=";",
        decimal_comma=True,
        encoding="cp1252",
        duplicates="last",
        frequency="15min",
        gaps="keep",
        zone="Europe/Paris",
        time_format="%d.%m.%Y",
    )
    assert options.text() == Delimited(separator=";", decimal_comma=True, encoding="cp1252")
    assert options.assembly() == Assembly(
        duplicates="last", frequency="15min", gaps="keep", zone="Europe/Paris", time_format="%d.%m.%Y"
    )
    assert SeriesOptions().text() == Delimited()
    assert SeriesOptions().assembly() == Assembly()
    # Of times that are numbers.
    assert SeriesOptions(frequency="2").assembly().frequency == 2.0


def test_a_column_of_parts_is_taken_where_there_is_one() -> None:
    assert SeriesOptions(valid=24, test="2024-01-01").partition(has_parts=False, seed=3) == Partition(
        by="time", valid=24, test="2024-01-01", seed=3
    )
    assert SeriesOptions().partition(has_parts=True, seed=0).by == "column"
    assert SeriesOptions(split="time").partition(has_parts=True, seed=0).by == "time"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"horizon": 0}, r"^horizon must be a whole number from 1 on, not 0\.$"),
        ({"horizon": 2.5}, r"^horizon must be a whole number from 1 on, not 2\.5\.$"),
        ({"split": "time", "part": "fold"}, r"^part: says which part a row is of, but split is time; leave one of"),
        ({"split": "column", "test": 0.3}, r"^test: a column says which rows are judged on; leave one of them out, or"),
        ({"part": "fold", "test": "2024-01-01"}, r"^test: a column says which rows are judged on; leave one of them"),
        ({"targets": "a,b,a"}, r"^targets: a column is named twice in 'a', 'b', 'a'\.$"),
    ],
)
def test_what_makes_no_sense(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SeriesOptions(**given)  # type: ignore[arg-type]


def test_the_command_line_loads_them_without_torch_and_polars() -> None:
    code = "import sys; import recur.train.table; sys.exit(bool({'torch', 'polars', 'lightning'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_panels_have_no_parts_unless_a_column_says_so() -> None:
    panel = Panel.of_rows(["a"], [10], [[float(step)] for step in range(10)])
    assert panel.rows.part is None


def test_names_are_given_in_a_text_or_a_list() -> None:
    by_list = SeriesOptions(targets=["y", "z, too"], known_future=("k",), trusted=["k"], ignored=[])
    assert by_list.columns.targets == ("y", "z, too")
    assert (by_list.columns.known_future, by_list.columns.ignored, by_list.trusted_columns) == (("k",), (), ("k",))
    assert SeriesOptions(trusted="k, l").trusted_columns == ("k", "l")
    with pytest.raises(
        OptionError, match=r"^targets: expected names, with commas between them or in a list, got \['y', 3\]\.$"
    ):
        SeriesOptions(targets=["y", 3])
