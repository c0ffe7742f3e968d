"""What the tests of the command line share: a short text, a tiny run, and the command in this process or its own."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from recur.cli.main import main

WORDS = "the river ran past a mill and miller daughter counted boats how many asked crow seven she said one is blue"
TINY = (
    *("--hidden-size", "24", "--embedding-size", "24", "--batch-size", "4", "--window", "16", "--validate-every", "20"),
    *("--sample-length", "20", "--learning-rate", "0.03", "--warmup-steps", "5"),
)


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line of standard error, which says what was wrong."""
        return self.err.strip().splitlines()[-1]


Command = Callable[..., Result]


def sentences(size: int, seed: int = 0) -> str:
    """Return `size` characters of made-up sentences."""
    draw, text = random.Random(seed), ""
    while len(text) < size:
        text += " ".join(draw.choice(WORDS.split()) for _ in range(8)).capitalize() + ".\n"
    return text[:size]


@pytest.fixture
def make_text() -> Callable[..., str]:
    return sentences


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Options of a network that trains in a moment."""
    return TINY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the file text.txt of 10,000 characters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(sentences(10_000))
    return tmp_path


@pytest.fixture
def recur(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def recur_process() -> Command:
    """Run a command in a process of its own."""

    def run(*arguments: object, module: tuple[str, ...] = ("-m", "recur"), **options: object) -> Result:
        done = subprocess.run(
            [sys.executable, *module, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            **options,  # type: ignore[call-overload]
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text.txt and the finished run `run`; tests only read it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "text.txt").write_text(sentences(10_000))
    with chdir(folder):
        assert main(["train", "text.txt", "--out", "run", "--max-steps", "40", *TINY]) == 0
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `finished` to spoil, which is also the working folder."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report.html", "*.png"))
    # The copy's own text, as if it had been trained here.
    config = json.loads((copy / "run" / "config.json").read_text())
    config["sources"] = [str(copy / "text.txt")]
    (copy / "run" / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
