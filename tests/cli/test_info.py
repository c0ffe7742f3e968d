from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import sys

import pytest
import torch
from rich.console import Console

import recur
from recur import engine
from recur.cli.info import collect, run, show
from recur.environment import _cuda as cuda_info
from recur.errors import OptionError


def shown(info: dict, width: int = 200) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    show(info, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def row(lines: list[str], name: str) -> str:
    (line,) = [line for line in lines if line.startswith(name + " ")]
    return line.removeprefix(name).strip()


def test_versions_are_those_that_run() -> None:
    versions = collect()["versions"]
    assert versions["recur"] == recur.__version__
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == torch.__version__
    assert versions["numpy"] == importlib.metadata.version("numpy")


def test_processor_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECUR_CPU_ISA", raising=False)
    info = collect()
    features = engine.cpu_features()
    assert info["cpu"]["brand"] == features.brand
    assert info["cpu"]["features"] == list(features.flags)
    assert info["cpu"]["isa"] == info["cpu"]["best_isa"] == features.best_isa
    assert info["threads"] == {
        "hardware": engine.hardware_threads(),
        "usable": engine.num_threads(),
        "torch": torch.get_num_threads(),
    }


def test_it_is_json_and_comes_back_the_same() -> None:
    info = collect()
    assert json.loads(json.dumps(info)) == info


def test_every_layer_names_its_back_end_and_why_not_the_others() -> None:
    on_cpu = [entry for entry in collect()["backends"] if entry["device"] == "cpu"]
    assert [entry["layer"] for entry in on_cpu] == ["RNN", "GRU", "LSTM", "IndRNN", "MGU", "LiGRU"]
    for entry in on_cpu:
        layer = getattr(recur.nn, entry["layer"])(4, 4)
        expected = layer.explain(torch.zeros(3, 2, 4))
        assert entry["backend"] == expected.backend
        assert [(other["backend"], other["reason"]) for other in entry["others"]] == list(expected.others)
        assert all(other["reason"] for other in entry["others"])


def test_a_cap_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECUR_CPU_ISA", "baseline")
    info = collect()
    assert info["cpu"]["isa"] == "baseline"
    best = engine.cpu_features().best_isa
    expected = "baseline" if best == "baseline" else f"baseline (capped by RECUR_CPU_ISA; this processor can do {best})"
    assert row(shown(info), "instruction set") == expected


def test_a_wrong_cap_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECUR_CPU_ISA", "sse17")
    with pytest.raises(OptionError, match=r"^RECUR_CPU_ISA is 'sse17', but on \w+ it must be one of: baseline"):
        collect()


def test_without_the_compiled_module_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(recur, "_engine", raising=False)
    monkeypatch.setitem(sys.modules, "recur._engine", None)
    info = collect()
    assert list(info["cpu"]) == ["missing"]
    assert row(shown(info, 400), "processor").startswith("the compiled module recur._engine cannot be imported (")


def test_cuda_tells_why_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    info = collect()
    assert info["cuda"] == {"missing": f"torch {torch.__version__} is built without CUDA"}
    assert row(shown(info), "CUDA") == f"not available: torch {torch.__version__} is built without CUDA"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert collect()["cuda"] == {"missing": "torch is built for CUDA 13.0, but finds no driver or no GPU"}


def test_cuda_names_its_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    assert cuda_info() == {"version": "13.0", "devices": ["GPU 0", "GPU 1"]}


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    info = collect()
    assert info["versions"]["plotly"] is None
    assert row(shown(info), "plotly") == "not installed"


def test_the_table() -> None:
    info = {
        "versions": {"recur": "1.2.3", "torch": None},
        "platform": "Linux-6",
        "cpu": {
            "brand": "Maker [bold]X[/bold] 9",
            "architecture": "x86_64",
            "features": ["avx", "avx2"],
            "best_isa": "avx2",
            "isa": "avx2",
            "l1d_bytes": 49152,
            "l2_bytes": 1 << 20,
            "l3_bytes": 0,
        },
        "threads": {"hardware": 8, "usable": 4, "torch": 2},
        "cuda": {"version": "13.0", "devices": ["GPU 1", "GPU 2"]},
        "backends": [
            {"layer": "LSTM", "device": "cpu", "backend": "torch", "others": [{"backend": "fused", "reason": "odd"}]}
        ],
    }
    assert shown(info) == [
        "recur            1.2.3",
        "torch            not installed",
        "platform         Linux-6",
        "processor        Maker [bold]X[/bold] 9 (x86_64)",
        "features         avx avx2",
        "instruction set  avx2",
        "caches           L1 data 48 KiB, L2 1,024 KiB",
        "threads          2 used by torch, 4 usable of 8",
        "CUDA             13.0: GPU 1, GPU 2",
        "LSTM on cpu      torch",
        "                 fused: odd",
    ]


def test_it_prints_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    show(collect())
    assert recur.__version__ in capsys.readouterr().out


def test_json_is_what_was_collected(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == collect()


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    printed = capsys.readouterr().out
    show(collect())
    assert printed == capsys.readouterr().out


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(["--jsno"])
    assert raised.value.code == 2
    assert "did you mean --json?" in capsys.readouterr().err
