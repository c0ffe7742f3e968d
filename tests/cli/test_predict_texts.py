"""`recur predict` of texts that come on standard input."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.tasks.tags.conftest import made as tagger  # noqa: F401
from tests.tasks.texts.conftest import Made
from tests.tasks.texts.conftest import made as classifier  # noqa: F401
from tests.tasks.translate.conftest import made as made_translator

Piped = Callable[[bytes], None]


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with a run of a task that reads texts; tasks differ by parameter."""
    monkeypatch.chdir(tmp_path)
    if request.param == "translate":
        made_translator().save("run")
    elif request.param == "tag":
        shutil.copytree(request.getfixturevalue("tagger") / "run", "run")
    else:
        classified: Made = request.getfixturevalue("classifier")
        shutil.copytree(classified(False) / "run", "run")
    return tmp_path / "run"


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Piped:
    """What puts bytes on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return put


OF_TEXTS = pytest.mark.parametrize("run", ["classify", "tag", "translate"], indirect=True)


@OF_TEXTS
def test_lines_of_standard_input_are_as_those_of_a_file(run: Path, recur: Any, piped: Piped) -> None:
    # The second looks like a file, the third is empty and has an answer too, and the last has no end of line.
    content = "so süß and loud\r\nrun\n\nred, door".encode("latin-1")
    Path("new.txt").write_bytes(content)
    assert recur("predict", "run", "new.txt", "--encoding", "latin-1", "--out", "file.csv").code == 0
    piped(content)
    result = recur("predict", "run", "-", "--encoding", "latin-1", "--out", "piped.csv")
    assert result.code == 0, result.err
    assert Path("piped.csv").read_text() == Path("file.csv").read_text()
    assert "süß" in Path("piped.csv").read_text()
    assert pl.read_csv("piped.csv").height >= 3


@OF_TEXTS
def test_standard_input_that_cannot_be_read(run: Path, recur: Any, piped: Piped) -> None:
    for content, said in ((b"", "is empty"), (b"\n \n", "is empty"), (b"so \xff loud\n", "utf-8")):
        piped(content)
        result = recur("predict", "run", "-")
        assert (result.code, result.out) == (1, "")
        assert result.complaint.startswith("recur: standard input")
        assert said in result.complaint
    piped(b"so loud\n")
    result = recur("predict", "run", "-", "--separator", ";")
    assert (result.code, result.out) == (2, "")
    assert result.complaint == (
        "recur: separator would be ignored, as each line of standard input is a text; leave --separator out."
    )


@OF_TEXTS
def test_a_text_in_place_of_a_file(run: Path, recur: Any) -> None:
    complaint = recur("predict", "run", "it's so loud").complaint
    assert complaint.endswith(
        "Is it a text itself? Give it by: printf '%s\\n' 'it'\"'\"'s so loud' | recur predict run -"
    )
    assert "Is it a text" not in recur("predict", "run", "nowhere.csv").complaint
