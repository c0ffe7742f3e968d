"""Options of reading texts: what makes no sense is refused before any data are read."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from recur.data.texts import LabelledTextOptions, PairOptions, TaggedTextOptions, TextOptions
from recur.errors import OptionError


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        (TextOptions, {"encoding": "utf8x"}, "encoding: 'utf8x' is not an encoding of text files; did you mean"),
        (TextOptions, {"separator": "ab"}, "separator: expected one ASCII character, or tab, got 'ab'"),
        (TextOptions, {"valid": 0}, r"valid: expected a share below 1 or a whole number of examples, got 0\."),
        (
            TextOptions,
            {"test": -1},
            "test: expected a share below 1 or a whole number of examples, or 0 for none",
        ),
        (TextOptions, {"test": 1.5}, "test: expected a share below 1 or a whole number of examples, or 0 for none"),
        (TextOptions, {"test": True}, "test: expected a share below 1 or a whole number of examples, or 0 for none"),
        (
            TextOptions,
            {"valid": 0.5, "test": 0.5},
            "valid, test: together they are 1, which leaves nothing",
        ),
        (TextOptions, {"test": 0.2, "test_data": "a.csv"}, "test: says which part of DATA is held out, but test_data"),
        (LabelledTextOptions, {"unit": "word"}, "unit must be file or line, not 'word'"),
        (LabelledTextOptions, {"text": "a", "label": "a"}, "label: 'a' is also text; a column has one role"),
        (LabelledTextOptions, {"text": ""}, "text: is empty; name a column, or leave text= out"),
        (PairOptions, {"history": 0}, "history must be a whole number of turns from 1 on, not 0"),
        (PairOptions, {"source": "en", "target": "en"}, "target: 'en' is also source; a column has one role"),
        (TaggedTextOptions, {"repair": 1}, "repair: expected true or false, got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: type[Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        options(**given)


def test_what_is_not_given_has_its_default() -> None:
    assert TextOptions().codec == "utf-8"
    assert TextOptions(encoding="cp1252").codec == "cp1252"
    assert TextOptions(separator="tab").cell_separator == "\t"
    assert TextOptions(test_data="a.csv", test=0).test == 0


def test_options_load_neither_torch_nor_polars() -> None:
    code = "import sys, recur.data.texts.options; print([n for n in ('torch', 'polars', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
