from __future__ import annotations

import random
import zlib

import pytest

from recur.data import building
from recur.data.building import crc32


@pytest.mark.parametrize("size", [0, 5, (1 << 20) - 1, 1 << 20, (1 << 21) + 7, 1 << 22, (1 << 22) + 3, (1 << 23) + 9])
def test_the_checksum_is_of_both_ends(tmp_path, monkeypatch, size):
    monkeypatch.setattr(building, "_CHECKED_BYTES", 1 << 21)
    content = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(content)
    checked = 1 << 21
    expected = content if size <= 2 * checked else content[:checked] + content[-checked:]
    assert crc32(tmp_path / "file") == zlib.crc32(expected)
