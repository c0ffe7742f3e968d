"""Messages advise options that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import recur
from recur.cli.owners import owner_of

SOURCE = Path(recur.__file__).parent


@pytest.mark.parametrize(
    ("name", "command", "arguments", "owner"),
    [
        ("duplicates", "evaluate", [], "evaluate"),
        ("duplicates", "train", [], "train"),
        ("duplicates", "inspect", [], "inspect"),
        ("targets", "inspect", [], "train"),
        ("ignored", "evaluate", [], "train"),
        ("life_left", "evaluate", [], "evaluate"),
        ("beams", "predict", [], "predict"),
        ("source", "predict", [], "train"),
        ("missing", "predict", [], "predict"),
        ("missing", "predict", ["run", "--stream"], "train"),
        ("time_format", "predict", ["run", "--stream"], "predict"),
        ("sort", "train", [], None),
        ("out", "demo", [], "demo"),
    ],
)
def test_an_option_is_of_a_command_that_takes_it(
    name: str, command: str, arguments: list[str], owner: str | None
) -> None:
    assert owner_of(name, command, arguments) == owner


def test_every_option_that_is_advised_is_taken_by_some_command() -> None:
    advised = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        if "import" in text.partition("from recur.wording")[2].partition("\n")[0]:
            advised |= set(re.findall(r"\boption\(['\"](\w+)['\"]", text))
    assert {"ignored", "missing", "life_left"} < advised
    # Of what one calls in Python: readers and windows; tagged texts; the search for sequences, and judging them.
    alone = {"sort", "which", "unknown", "repair", "diversity", "groups", "length_exponent", "main"}
    assert {name for name in advised if owner_of(name, "predict", []) is None} == alone
