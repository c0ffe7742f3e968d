from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from recur.cli import bench
from recur.measure import layers


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program keeps the machine busy."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SHAPES", ((1, 1, 4), (3, 2, 5)))
    monkeypatch.setattr("recur.measure.timing._SAMPLE", 1e-5)


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of recur's that is not what torch's is: its GRU."""
    beside = layers.beside_torch

    def spoiled(work: layers.Work) -> Any:
        layer, ours, peer = beside(work)
        if work.kind == "gru":
            torch.nn.init.zeros_(layer.weight_hh_l0)
        return layer, ours, peer

    monkeypatch.setattr(layers, "beside_torch", spoiled)


def shown(found: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    bench.show(found, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.usefixtures("small")
def test_json_has_a_row_for_each_work(recur: Any) -> None:
    result = recur("bench", "--kinds", "gru", "lstm", "gru", "--seconds", "0.01", "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    works = [layers.Work(**row["work"]) for row in found["results"]]
    assert [(w.kind, w.steps, w.batch_size, w.hidden_size, w.training) for w in works] == [
        (kind, *shape, training)
        for kind in ("gru", "lstm")
        for shape in ((1, 1, 4), (3, 2, 5))
        for training in (True, False)
    ]
    assert {row["backend"] for row in found["results"]} <= {"cpu", "torch", "reference"}
    ratios = [row["ratio"]["median"] for row in found["results"]]
    assert set(found["geometric_mean"]) == {"gru", "lstm", "all"}
    assert math.isclose(found["geometric_mean"]["gru"] ** 4, math.prod(ratios[:4]))
    assert math.isclose(found["geometric_mean"]["all"] ** 8, math.prod(ratios))
    assert found["environment"]["versions"]["torch"] == torch.__version__


@pytest.mark.usefixtures("small")
def test_threads_are_those_asked_for_and_put_back(recur: Any) -> None:
    before = torch.get_num_threads()
    found = json.loads(recur("bench", "--kinds", "rnn", "--threads", "2", "--seconds", "0.01", "--json").out)
    assert {row["threads"] for row in found["results"]} == {found["environment"]["threads"]["torch"]} == {2}
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("small")
def test_the_table_is_printed(recur: Any) -> None:
    result = recur("bench", "--seconds", "0.01")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert sum(" training " in line for line in lines) == 6
    assert [line.split()[0] for line in lines if "geometric mean" in line] == ["RNN", "GRU", "LSTM", "all"]
    assert lines[-1].endswith(f"1 thread, torch {torch.__version__}, float32; medians")


def test_the_table() -> None:
    def figure(value: float) -> dict[str, float]:
        return {"median": value, "lower": value, "upper": value, "repeats": 5}

    work = {"kind": "gru", "steps": 100, "batch_size": 32, "hidden_size": 128, "training": True}
    timed = {"work": work, "backend": "cpu", "ours": figure(5.0), "peer": figure(16.0), "ratio": figure(0.32)}
    apart = {"work": work | {"training": False}, "backend": "torch", "disagrees": "dx is 1.0e-01 apart"}
    environment = {"cpu": {"brand": "Maker X", "isa": "avx2"}, "threads": {"torch": 2}, "versions": {"torch": "2.0"}}
    found = {"environment": environment, "results": [timed, apart], "geometric_mean": {"gru": 0.32, "all": 0.5}}
    assert shown(found) == [
        "layer  T, B, H         work       back end  recur, ms  torch, ms  times as fast",
        "GRU    100, 32, 128    training   cpu               5         16           3.12",
        "GRU    100, 32, 128    inference  torch                               not equal",
        "GRU    geometric mean                                                      3.12",
        "all    geometric mean                                                      2.00",
        "",
        "Maker X (avx2), 2 threads, torch 2.0, float32; medians",
    ]
    environment["cpu"] = {"missing": "no module"}
    assert shown(found)[-1] == "an unknown processor, 2 threads, torch 2.0, float32; medians"


@pytest.mark.usefixtures("small")
def test_a_busy_machine_is_told_of(recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0), raising=False)
    result = recur("bench", "--kinds", "gru", "--seconds", "0.01")
    assert result.code == 0
    assert "other programs keep this machine busy (load 1000.0 on" in result.err


@pytest.mark.usefixtures("small", "wrong")
def test_what_does_not_agree_is_an_error_after_the_rest_was_measured(recur: Any) -> None:
    result = recur("bench", "--kinds", "gru", "rnn", "--seconds", "0.01", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    # A single step from a state of zeros does not see the weights that were spoiled.
    assert ["disagrees" in row for row in found["results"]] == [False, False, True, True] + [False] * 4
    assert "rnn" in found["geometric_mean"]
    assert result.complaint.startswith("recur: recur and torch do not agree, so these were not timed: GRU training, T ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--threads", "0"), "recur: threads must be a whole number from 1 on, not 0."),
        (("--seconds", "0"), "recur: seconds must be above 0 and finite, not 0."),
        (("--seconds", "1e999"), "recur: seconds must be above 0 and finite, not inf."),
    ],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...], line: str, recur: Any) -> None:
    result = recur("bench", *arguments)
    assert (result.code, result.err, result.out) == (2, line + "\n", "")


def test_an_unknown_kind_is_wrong_usage(recur: Any) -> None:
    result = recur("bench", "--kinds", "lsmt")
    assert result.code == 2
    assert "lstm" in result.complaint


@pytest.mark.slow
def test_in_a_process_of_its_own(recur_process: Any, tmp_path: Path) -> None:
    result = recur_process("bench", "--kinds", "rnn", "--seconds", "0.1", cwd=tmp_path)
    assert result.code == 0, result.err
    assert "Warning" not in result.err
    assert result.out.count("\n") == 1 + 2 * len(bench.SHAPES) + 2 + 2
    assert list(tmp_path.iterdir()) == []
