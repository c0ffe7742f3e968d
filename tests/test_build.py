"""The wheel that users get: built as pip builds it, installed elsewhere, used from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    environment = os.environ | {
        # Relative to the root: pip splits the value at blanks.
        "PIP_CONSTRAINT": "constraints.txt",
        "PIP_BUILD_CONSTRAINT": "constraints.txt",
    }
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--wheel-dir", str(out)]
    command += ["--config-settings", f"build-dir={tmp_path_factory.mktemp('build')}"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_without_a_compiler_the_build_says_what_is_missing(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--wheel-dir", str(tmp_path)]
    command += ["--config-settings", f"build-dir={tmp_path}"]
    environment = os.environ | {"CXX": str(tmp_path / "none"), "PIP_BUILD_CONSTRAINT": "constraints.txt"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    printed = " ".join((done.stdout + done.stderr).replace("|", " ").split())
    assert "recur: no C++ compiler found. Install one that knows C++17" in printed


def test_the_tag_says_what_it_runs_on(wheel: Path) -> None:
    python = "cp311-cp311" if sys.version_info < (3, 12) else "cp312-abi3"
    assert re.fullmatch(rf"recur-\d+\.\d+\.\d+-{python}-\w+\.whl", wheel.name)


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(root: Path, wheel: Path) -> None:
    package = root / "src"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "recur"],
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    expected = {name for name in listed if name and (package / name).is_file()}
    assert "recur/py.typed" in expected
    assert any(name.startswith("recur/report/templates/") for name in expected)
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    (compiled,) = [name for name in held if name.startswith("recur/_engine.") and not name.endswith(".pyi")]
    assert held - {compiled} == expected


def test_the_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(command, capture_output=True, check=True)
    code = (
        "import recur, recur.engine as engine, recur._engine as module\n"
        "print(recur.__file__); print(module.__file__); print(engine.chosen_isa(), engine.num_threads())\n"
        "import torch; print(tuple(recur.nn.LSTM(3, 4)(torch.zeros(2, 1, 3))[0].shape))\n"
    )
    # The finder of an editable installation would answer before the path does.
    start = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, '__module__', '').startswith('_frozen')]\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RECUR_CPU_ISA")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", start + code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package, module, isa, shape = done.stdout.splitlines()
    assert Path(package).is_relative_to(target)
    assert Path(module).is_relative_to(target)
    assert isa.split()[0] in {"baseline", "avx2", "avx512", "avx512_bf16", "avx512_amx", "neon"}
    assert int(isa.split()[1]) >= 1
    assert shape == "(2, 1, 4)"
