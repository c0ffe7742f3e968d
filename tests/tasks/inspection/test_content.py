"""What was found inside a network, on the way to its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recur.errors import RunError
from recur.gradients import Training
from recur.run import RunFolder
from recur.tasks.inspection.content import Inspection, probed_places


def test_pieces_that_are_probed() -> None:
    def lengths(num_symbols: int, window: int | None) -> tuple[int, ...] | None:
        places = probed_places(num_symbols, Training(window=window))
        if places is None:
            return None
        assert (places[0, 0], places[-1, -1]) == (1, num_symbols - 2)
        return places.shape

    assert lengths(500, None) == lengths(500, 64) == (4, 96)
    assert lengths(500, 200) == (4, 200)
    assert lengths(500, 300) == (4, 256)
    assert lengths(100, 64) == (3, 96)
    assert lengths(18, None) == (1, 16)
    assert lengths(17, None) is None


def test_a_write_that_fails_leaves_no_words_to_other_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(tmp_path / "run")
    found = Inspection(content={"format": 1}, tensors={"x": torch.zeros(1)})
    found.write(run)
    before = (run.path / "inspect.safetensors").read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(RunError, match=r"inspect\.safetensors: the disk is full"):
        found.write(run)
    assert not run.has("inspect.json")
    assert (run.path / "inspect.safetensors").read_bytes() == before


def test_what_json_does_not_have_leaves_an_older_inspection_as_it_was(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    Inspection(content={"format": 1}, tensors={"x": torch.zeros(1)}).write(run)
    for bad, error in ((np.int64(1), TypeError), (float("nan"), ValueError)):
        with pytest.raises(error, match="JSON"):
            Inspection(content={"format": bad}, tensors={"x": torch.ones(1)}).write(run)
        assert run.read_json("inspect.json") == {"format": 1}
        assert torch.equal(load_file(run.path / "inspect.safetensors")["x"], torch.zeros(1))
