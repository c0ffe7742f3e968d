from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recur.run import RunFolder


@pytest.mark.slow
def test_the_tour(tmp_path: Path, recur_process: Any) -> None:
    arguments = ("demo", "--out", "tour", "--minutes", "0.05")
    result = recur_process(*arguments, cwd=tmp_path)
    assert result.code == 0, result.err
    assert "Warning" not in result.err
    assert result.err.startswith("demo     a language model of the prose in Python's documentation (tour.txt)\n")
    assert "A sample (temperature 0.6, from 'The '):\n\nThe " in result.out
    lines = result.out.splitlines()
    assert any(line.startswith("model ") for line in lines)
    assert any(line.startswith("trigram ") for line in lines)
    assert lines[-3] == "report   tour/report.html"
    run = RunFolder.open(tmp_path / "tour")
    assert run.has("report.html")
    assert len((tmp_path / "tour.txt").read_text()) > 100_000
    # Again: the older demo gives way.
    assert recur_process(*arguments, cwd=tmp_path).code == 0
