from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """A checkout, as far as make looks at it before it installs anything."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "CMakeLists.txt"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "csrc").mkdir()
    (tmp_path / "src" / "recur").mkdir(parents=True)
    (tmp_path / "src" / "recur" / "__init__.py").touch()
    return tmp_path


def make(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    # A make around this test run would hand its flags and its PYTHON down.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS")) and k != "PYTHON"}
    if path is not None:
        environment |= {"PATH": str(path)}
    program = shutil.which("make")
    assert program is not None
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def tools(folder: Path, *names: str) -> Path:
    """Return a folder that holds only these programs, for PATH."""
    path = folder / "tools"
    path.mkdir()
    for name in names:
        program = shutil.which(name)
        assert program is not None
        (path / name).symlink_to(program)
    return path


def test_help_names_every_target(folder: Path) -> None:
    printed = make(folder).stdout
    targets = {line.split()[1] for line in printed.splitlines()}
    assert targets == {"help", "demo", "test", "check", "coverage", "bench", "docs", "clean"}


def test_an_interpreter_that_does_not_fit_is_named(folder: Path) -> None:
    done = make(folder, "check", "PYTHON=/bin/false")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "make: /bin/false cannot be used: recur needs Python 3.11 or later with venv and ensurepip; "
        "choose another one: make PYTHON=/path/to/python3"
    )
    assert not (folder / ".venv").exists()


def test_no_interpreter_at_all(folder: Path) -> None:
    done = make(folder, "check", path=tools(folder, "sh"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "make: no Python 3.11 or later with venv and ensurepip found; install one, "
        "or say which: make PYTHON=/path/to/python3"
    )


def test_no_compiler(folder: Path) -> None:
    done = make(folder, "check", f"PYTHON={sys.executable}", "CXX=nonesuch", path=tools(folder, "sh"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "make: no C++ compiler found (c++, g++, clang++); install one, or name it: make CXX=/path/to/compiler"
    )


def test_an_installed_environment_is_used_at_once(folder: Path) -> None:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / ".installed").touch()
    assert "pip" not in make(folder, "--dry-run", "check").stdout
    (folder / "csrc" / "kernel.cc").touch()
    os.utime(folder / ".venv" / ".installed", (0, 0))
    assert "-m pip install" in make(folder, "--dry-run", "check").stdout


def test_clean_leaves_the_runs(folder: Path) -> None:
    for name in ("runs", "build", "site", ".venv"):
        (folder / name).mkdir()
    make(folder, "clean")
    assert (folder / "runs").is_dir()
    assert not any((folder / name).exists() for name in ("build", "site", ".venv"))
