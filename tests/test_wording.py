from __future__ import annotations

import ast
import re
from pathlib import Path

import recur
from recur.models.language import CELLS
from recur.wording import as_on_the_command_line, cell_name, option, quantity

SOURCE = Path(recur.__file__).parent


def test_one_is_singular_and_all_else_plural() -> None:
    assert [quantity(number, "step") for number in (0, 1, 2, 12_345)] == [
        "0 steps",
        "1 step",
        "2 steps",
        "12,345 steps",
    ]
    assert [quantity(number, "minute") for number in (1.0, 0.5, 1.5)] == ["1 minute", "0.5 minutes", "1.5 minutes"]


def test_every_cell_is_spelt_as_its_layer() -> None:
    for cell, layer in CELLS.items():
        assert cell_name(cell) == layer.__name__
    assert cell_name("another") == "another"


def test_an_option_is_written_as_who_asks_would_write_it() -> None:
    assert option("split", "time") == "split='time'"
    with as_on_the_command_line():
        assert option("split", "time") == "--split time"
        assert option("time_format", "%d.%m. %H:%M") == "--time-format '%d.%m. %H:%M'"
        assert option("has_header", False) == "--has-header false"
        assert option("has_header", True, is_flag=False) == "--has-header true"
        assert option("overwrite", True) == "--overwrite"
        assert option("calendar", ("hour", "month")) == "--calendar hour,month"
    assert option("calendar", ("hour", "month")) == "calendar=('hour', 'month')"


def test_no_message_of_the_library_writes_an_option_itself() -> None:
    """Errors and notes are read in Python and on the command line, which write an option in two ways."""
    written = re.compile(r"(?:^|[ (])(?:--[a-z][a-z-]+|(?:with|say|give|than|or|such as) (?!sampling=)[a-z_]+=)")
    found = []
    for folder in ("data", "tasks", "train", "streaming"):
        for path in sorted((SOURCE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Raise) and node.exc is not None:
                    literals = (part for part in ast.walk(node.exc) if isinstance(part, ast.Constant))
                    texts = [part.value for part in literals if isinstance(part.value, str)]
                    found += [f"{path.name}:{node.lineno}: {text}" for text in texts if written.search(text)]
    # Commands are written as such.
    assert [line for line in found if "recur " not in line] == []
