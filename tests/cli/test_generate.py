from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recur.cli.generate import free_memory
from recur.run import RunFolder


@pytest.fixture
def generate(finished: Path, recur: Any) -> Any:
    def run(*arguments: object) -> str:
        result = recur("generate", finished / "run", *arguments)
        assert result.code == 0, result.err
        assert not result.err
        return result.out

    return run


def test_the_same_seed_writes_the_same(generate: Any) -> None:
    arguments = ("--prompt", "the mill", "--length", "60", "--seed")
    one = generate(*arguments, "1")
    assert one == generate(*arguments, "1")
    assert one != generate(*arguments, "2")
    assert one.startswith("the mill")
    assert len(one) == len("the mill") + 60 + 1
    assert generate("--length", "40") != generate("--length", "40")


def test_without_a_prompt_it_begins_with_a_line_or_with_what_there_is(
    generate: Any, folder: Path, recur: Any, tiny: Any
) -> None:
    assert generate("--length", "5", "--seed", "1").startswith("\n")
    Path("flat.txt").write_text("one two three four five six " * 200)
    assert recur("train", "flat.txt", "--out", "flat", "--max-steps", "2", *tiny).code == 0
    result = recur("generate", "flat", "--length", "5", "--seed", "1")
    assert result.code == 0, result.err
    assert len(result.out) == 1 + 5 + 1


def test_words_that_yaml_knows_are_text(generate: Any) -> None:
    for word in ("null", "no", "1", "[a"):
        shown = generate("--prompt", word, "--length", "3", "--stop", word, "--unknown", "map")
        assert shown.startswith(word)


def test_prompt_from_standard_input(generate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"the mill")))
    read = generate("--prompt", "-", "--length", "30", "--seed", "1")
    assert read == generate("--prompt", "the mill", "--length", "30", "--seed", "1")


def test_stop(generate: Any) -> None:
    whole = generate("--prompt", "the mill", "--length", "200", "--seed", "1").removesuffix("\n")
    stop = whole[60:63]
    cut = generate("--prompt", "the mill", "--length", "200", "--seed", "1", "--stop", stop).removesuffix("\n")
    assert cut == whole[: whole.index(stop, len("the mill"))]


def test_several_samples(generate: Any) -> None:
    shown = generate("--prompt", "the", "--length", "20", "--seed", "1", "--samples", "3")
    found = json.loads(generate("--prompt", "the", "--length", "20", "--seed", "1", "--samples", "3", "--json"))
    assert found.keys() == {"prompt", "texts"}
    assert found["prompt"] == "the"
    assert [len(text) for text in found["texts"]] == [20, 20, 20]
    assert len(set(found["texts"])) == 3
    assert shown == "".join(f"--- {number} ---\nthe{text}\n" for number, text in enumerate(found["texts"], start=1))


def test_temperature_zero_top_k_one_and_a_small_top_p_take_the_likeliest(generate: Any) -> None:
    likeliest = generate("--prompt", "the", "--length", "50", "--temperature", "0", "--seed", "1")
    assert likeliest == generate("--prompt", "the", "--length", "50", "--top-k", "1", "--seed", "2")
    assert likeliest == generate("--prompt", "the", "--length", "50", "--top-p", "1e-9", "--seed", "3")
    assert likeliest != generate("--prompt", "the", "--length", "50", "--temperature", "5", "--seed", "3")


def test_it_is_shown_as_it_is_made(finished: Path, recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Output(io.StringIO):
        def flush(self) -> None:
            shown.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", Output())
    from recur.cli.main import main

    assert main(["generate", str(finished / "run"), "--prompt", "the", "--length", "25", "--seed", "1"]) == 0
    lengths = [len(text) for text in shown]
    assert lengths[:25] == list(range(4, 29))


@pytest.mark.parametrize("given", [(), ("--label", "a")])
def test_runs_that_write_nothing_are_told_from_others(given: tuple[str, ...], tmp_path: Path, recur: Any) -> None:
    run = RunFolder.create(tmp_path / "run")
    run.write_json("config.json", {"format": 1, "task": "classify-text"})
    result = recur("generate", run.path, *given)
    assert (result.code, result.out) == (1, "")
    assert result.complaint == (
        f"recur: {run.path}: is a run of task 'classify-text', whose model writes no text; expected 'language' or "
        "'write'."
    )


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(finished: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "recur", "generate", str(finished / "run"), "--length", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.read(20)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
    process.stderr.close()


def test_free_memory_is_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory() > 1 << 20
    monkeypatch.delattr(os, "sysconf")
    assert free_memory() == 4 << 30
