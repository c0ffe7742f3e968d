"""The examples in the page on long sequences say what they print."""

from __future__ import annotations

import doctest
from pathlib import Path


def test_the_examples(root: Path) -> None:
    path = root / "docs" / "gradients" / "long.md"
    examples = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, path.name, str(path), 0)
    assert len(examples.examples) > 8
    said: list[str] = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)
