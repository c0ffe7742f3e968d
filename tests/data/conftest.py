"""What the tests of text and corpora share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

PROSE = (
    "The river ran past the mill, and the miller's daughter counted the boats.\n"
    "“How many?” asked the crow. “Seventeen,” she said; “one of them is painted blue.”\n\n"
    "In the évening the wind turned. Nobody spoke.\n\n"
)


@pytest.fixture
def prose() -> str:
    """Some text with quotes, an accent, and empty lines between paragraphs; 2,000 characters or so."""
    return "".join(PROSE.replace("Seventeen", f"{number % 3}") for number in range(10))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file into the test's folder and return its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
