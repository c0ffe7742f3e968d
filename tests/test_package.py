from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import recur


def test_version_is_that_of_the_installed_package() -> None:
    try:
        installed = importlib.metadata.version("recur")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("recur runs from its source folder, it is not installed")
    assert recur.__version__ == installed


def test_version_is_a_release() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", recur.__version__)


@pytest.mark.parametrize("name", recur.__all__)
def test_every_public_name_is_found_and_documented(name: str) -> None:
    assert getattr(recur, name).__doc__
    assert name in dir(recur)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'recur' has no attribute 'LSMT'$"):
        _ = recur.LSMT


def test_a_public_name_loads_only_when_used() -> None:
    code = "import sys, recur; before = 'torch' in sys.modules; recur.nn; print(before, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# --- constraints.txt ------------------------------------------------------------------------------------------------


def pins(root: Path) -> dict[str, str]:
    """Return name to version of constraints.txt; a line that is no exact pin is an error."""
    found: dict[str, str] = {}
    for line in (root / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9][a-z0-9._-]*)==([0-9][a-z0-9.]*)", line)
        assert match, f"not an exact pin: {line!r}"
        name = canonicalize_name(match[1])
        assert name not in found, f"pinned twice: {name}"
        found[name] = match[2]
    return found


def requirements(project: dict, group: str) -> list[str]:
    found: list[str] = []
    for entry in project["dependency-groups"][group]:
        found += requirements(project, entry["include-group"]) if isinstance(entry, dict) else [entry]
    return found


def closure(wanted: list[str]) -> set[str]:
    """Return every package that `wanted` needs on this machine, as the installed packages' metadata say."""
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in wanted]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        for active in ["", *requirement.extras]:
            key = (canonicalize_name(requirement.name), active)
            if key in seen:
                continue
            seen.add(key)
            try:
                needed = importlib.metadata.requires(requirement.name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            todo += [(Requirement(text), active) for text in needed]
    return {name for name, _ in seen}


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


def test_constraints_pin_all_that_make_installs(root: Path, project: dict) -> None:
    wanted = [
        "pip",
        *project["project"]["dependencies"],
        *(text for extra in project["project"]["optional-dependencies"].values() for text in extra),
        *project["build-system"]["requires"],
        *requirements(project, "dev"),
        *requirements(project, "build"),
        *requirements(project, "bench"),
    ]
    assert sorted(closure(wanted) - set(pins(root))) == []


def test_pins_satisfy_what_the_package_admits(root: Path, project: dict) -> None:
    pinned = pins(root)
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], *requirements(project, "dev")]
    for text in wanted:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_torch_is_pinned_without_a_local_tag(root: Path) -> None:
    assert pins(root)["torch"] == "2.13.0"


def test_the_pins_are_what_the_tests_ran_with(root: Path) -> None:
    if not Path(sys.prefix).is_relative_to(root):
        pytest.skip("this interpreter is not the environment that make prepares")
    wrong = {}
    for name, version in pins(root).items():
        try:
            installed = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed != version:
            wrong[name] = installed
    assert wrong == {}
