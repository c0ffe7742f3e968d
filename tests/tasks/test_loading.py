"""Whatever stands in the files of a run, loading ends in a clear error or in a model that works."""

from __future__ import annotations

import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recur
from recur.errors import RecurError, RunError
from recur.run import FORMAT, RunFolder
from recur.tasks.language.trained import TrainedLanguageModel, load
from recur.tasks.loading import load as load_any

FILES = ("config.json", "schema.json", "model.safetensors")
KINDS = ("character", "byte", "bpe")
TOKENS = [
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"9" * 400,
    b"1048576",
    b"\xff",
    b"\\ud800",
    b"0.5",
]
MOST_MEMORY = 64 << 20
"""Bytes that Python objects may take while a tiny run is loaded; a thousandth of what a believed size would take."""


@pytest.fixture(scope="module")
def runs(make_run: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    folder = tmp_path_factory.mktemp("runs")
    return {kind: make_run(folder / kind, kind, num_layers=1, hidden_size=2, embedding_size=2) for kind in KINDS}


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Return `content` after one to three random changes."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(0, 12))
        match draw(st.sampled_from(["flip", "cut", "drop", "insert", "token", "double", "number"])):
            case "flip" if content:
                changed = bytes([content[place] ^ draw(st.integers(1, 255))])
                content = content[:place] + changed + content[place + 1 :]
            case "cut":
                content = content[:place]
            case "drop":
                content = content[:place] + content[place + length :]
            case "insert":
                content = content[:place] + draw(st.binary(max_size=8)) + content[place:]
            case "token":
                content = content[:place] + draw(st.sampled_from(TOKENS)) + content[place + length :]
            case "double":
                content = content[:place] + content[place : place + 40] + content[place:]
            case "number":
                digits = [n for n, byte in enumerate(content[:5000]) if chr(byte).isdigit()]
                if digits:
                    at = draw(st.sampled_from(digits))
                    content = content[:at] + str(draw(st.integers(0, 1 << 70))).encode() + content[at + 1 :]
    return content


def check(runs: dict[str, RunFolder], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    name = data.draw(st.sampled_from(FILES))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(runs[kind].path, run)
        (run / name).write_bytes(data.draw(damage((run / name).read_bytes())))
        try:
            model = load(run)
        except RecurError as error:
            text = str(error)
            assert text
            assert "\n" not in text
            assert str(run) in text
            return
        model.generate("the", 3, seed=0, unknown="map")
        model.log_probs("the cat", unknown="map")


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_run_is_a_clear_error_or_works(runs: dict[str, RunFolder], data: st.DataObject) -> None:
    check(runs, data)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=2500, deadline=None)
def test_a_damaged_run_is_a_clear_error_or_works_in_many_cases(runs: dict[str, RunFolder], data: st.DataObject) -> None:
    check(runs, data)


SIZES: dict[str, Callable[[bytes], bytes]] = {
    "config.json": lambda content: content.replace(b'_size": 2', b'_size": 1048576').replace(b's": 1', b's": 1000'),
    "schema.json": lambda content: content.replace(b'"counts": [', b'"counts": [' + b"0," * 100_000),
    "model.safetensors": lambda content: content.replace(b"[8,2]", b"[9999999999,2]"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_size_that_is_claimed_is_not_believed(runs: dict[str, RunFolder], tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["character"].path, run)
    before = (run / name).read_bytes()
    after = SIZES[name](before)
    assert after != before
    (run / name).write_bytes(after)
    tracemalloc.start()
    try:
        with pytest.raises(RecurError, match=r"damaged|does not fit"):
            load(run)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_a_run_of_an_unknown_task_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("config.json", {"format": FORMAT, "task": "weather"})
    with pytest.raises(RunError, match=r"run: is a run of task 'weather', which this version does not know\."):
        load_any(folder)


def test_the_task_of_a_run_says_what_loads_it(runs: dict[str, RunFolder]) -> None:
    assert isinstance(load_any(runs["byte"].path), TrainedLanguageModel)


@pytest.mark.parametrize("name", [name for name in recur.__all__ if name.startswith("Trained")])
def test_what_was_trained_is_printed_by_its_size(name: str) -> None:
    trained = object.__new__(getattr(recur, name))
    trained.network = trained.model = torch.nn.Linear(999, 2)
    assert repr(trained) == f"{name}(2,000 weights)"
