"""The page on tagging: its examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.tags.conftest import written


def test_the_examples(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (root / "docs/tasks/tagging.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "names.conll", 60)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(first, "tagging.md", "exec"), names)
    told = capsys.readouterr().out.splitlines()
    assert "on 6 sentences of the test part" in told[0]
    found = names["sentence"].entities
    assert [line.split()[0] for line in told[1:]] == [entity.kind for entity in found]
    assert (found[0].kind, found[0].text, found[0].place) == ("PER", "Ada Lovelace", (0, 12))
    exec(compile(second, "tagging.md", "exec"), names)
    assert capsys.readouterr().out == "[('B-PER', 'O', 'O', 'B-DATE')] 1.0\n"
