"""The examples in the pages on gradients run, and say what they print."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
import torch


def test_the_examples(root: Path) -> None:
    path = root / "docs" / "gradients" / "long.md"
    examples = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, path.name, str(path), 0)
    assert len(examples.examples) > 8
    said: list[str] = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_the_snippets_of_the_overview_run_one_after_the_other(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (root / "docs" / "gradients.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == text.count("```python") > 2
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"gradients.md, snippet {number}", "exec"), names)
    # What the page says of it.
    assert names["found"].reach.memory_length() < 150
    assert "vanishing gradient" in capsys.readouterr().out
    assert names["window"].x.shape[0] == names["bptt"].k1
    assert all(parameter.grad is not None for parameter in names["layer"].parameters())
