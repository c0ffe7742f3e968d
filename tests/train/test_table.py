"""The table of tasks: each entry is complete, and data are told apart."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recur._lazy import function_of
from recur.cli.handling.run_handling import RunHandling
from recur.errors import DataError
from recur.tasks.loading import LOADERS
from recur.train.options import TrainingOptions
from recur.train.table import TASKS, holds_tables


@pytest.mark.parametrize("name", TASKS)
def test_each_entry_names_functions_that_take_what_they_are_given(name: str) -> None:
    task = TASKS[name]
    assert issubclass(task.options["training"], TrainingOptions)
    taken = set(inspect.signature(function_of(task.train)).parameters)
    assert {"out", "overwrite", "console", *task.options} <= taken
    again = ["data"] if task.takes_data_again else []
    assert list(inspect.signature(function_of(task.job)).parameters) == ["run", "display", *again]
    assert isinstance(function_of(task.handling)(), RunHandling)
    assert callable(function_of(LOADERS[name]))
    assert task.about
    assert task.data


def test_the_table_loads_no_torch() -> None:
    code = "import sys, recur.train.table; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["classify-text", "tag", "translate", "write"])
def test_missing_files_that_options_name_are_found_before_torch_is_loaded(name: str, tmp_path: Path) -> None:
    task, there = TASKS[name], tmp_path / "there.txt"
    there.touch()
    options = {argument: kind() for argument, kind in task.options.items()}
    named = [(argument, one) for argument, kind in options.items() for one in getattr(kind, "file_options", ())]
    assert {one for _, one in named} == {
        "classify-text": {"valid_data", "test_data", "label_names", "vectors"},
        "tag": {"valid_data", "test_data", "vectors"},
        "translate": {"valid_data", "test_data", "vectors", "target_vectors"},
        "write": {"valid_data", "test_data", "label_names"},
    }[name]
    for argument, one in named:
        given = replace(options[argument], **{one: str(there)})
        task.check([str(there)], options | {argument: given})
        given = replace(options[argument], **{one: str(tmp_path / "gone.txt")})
        with pytest.raises(DataError, match=r"gone\.txt: no such file or folder; check the path"):
            task.check([str(there)], options | {argument: given})
    with pytest.raises(DataError, match=r"gone\.txt: no such file or folder; check the path"):
        task.check([str(tmp_path / "gone.txt")], options)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", True),
        ("a.CSV.gz", True),
        ("a.tsv", True),
        ("a.parquet", True),
        ("a.arrow", True),
        ("a_TRAIN.ts", True),
        ("a.npz", True),
        ("a.txt", False),
        ("a.txt.gz", False),
        ("csv", False),
        ("-", False),
    ],
)
def test_tables_are_told_by_their_names(name: str, expected: bool) -> None:
    assert holds_tables(name) is expected


def test_a_folder_holds_tables_if_all_its_files_do(tmp_path: Path) -> None:
    assert not holds_tables(str(tmp_path))
    (tmp_path / ".hidden").touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.csv").touch()
    assert holds_tables(str(tmp_path))
    (tmp_path / "notes.txt").touch()
    assert not holds_tables(str(tmp_path))


def test_language_takes_what_is_no_table() -> None:
    recognises = TASKS["language"].recognises
    assert recognises(["book.txt", "other"], {}) == "book.txt is no table"
    assert recognises(["-"], {}) == "standard input is no table"
    assert recognises(["book.txt", "meter.csv"], {}) == ""
