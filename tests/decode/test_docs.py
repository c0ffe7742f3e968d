"""The page on decoding: its example runs, and it names all that is public."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import recur.decode
from recur.decode.phrases import holds


def test_the_example(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(
        r"^```python\n(.*?)^```$", (root / "docs/api/decode.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(snippet, "decode.md", "exec"), names)
    first, second = names["found"]
    assert len(first) == len(second) == 3
    assert names["best"] is first[0]
    assert all(holds(one.tokens, (17, 4)) for one in first)
    assert not {0, 2} & {token for one in (*first, *second) for token in one.tokens}
    assert capsys.readouterr().out.startswith("[")


def test_public_names_are_found_documented_and_on_the_page(root: Path) -> None:
    page = (root / "docs/api/decode.md").read_text(encoding="utf-8")
    assert set(recur.decode.__all__) <= set(dir(recur.decode))
    for name in recur.decode.__all__:
        public = getattr(recur.decode, name)
        assert public.__doc__
        assert public.__module__ in page
    with pytest.raises(AttributeError, match=r"^module 'recur\.decode' has no attribute 'beam'$"):
        _ = recur.decode.beam
