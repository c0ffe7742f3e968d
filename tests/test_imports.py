"""The import rule of docs/architecture.md, and what the source may not contain."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "recur"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Every part may import these; of ours they import nothing but each other.
LEAVES = {"errors", "kinds", "wording", "token_ids", "run", "inspection_format", "_lazy", "engine", "environment"}
ALLOWED: dict[str, set[str]] = {
    "cli": {
        "train",
        "report",
        "tasks",
        "models",
        "data",
        "decode",
        "gradients",
        "measure",
        "nn",
        "score",
        "calibration",
        "streaming",
    },
    "streaming": {"tasks", "models", "data", "gradients", "calibration", "nn"},
    "estimators": {"train", "tasks", "models", "data", "report", "plots"},
    "plots": {"tasks", "data", "report"},
    "train": {"tasks", "models", "data", "decode", "gradients", "report", "score", "calibration"},
    "tasks": {"models", "data", "decode", "gradients", "score", "calibration"},
    "models": {"nn", "score"},
    "gradients": {"nn", "ops"},
    "measure": {"nn"},
    "nn": {"ops"},
    "ops": {"_engine"},
    "data": set(),
    "decode": set(),
    "report": {"score"},
    "calibration": {"score"},
    "score": set(),
    "engine": {"_engine"},
    "environment": set(),
    "errors": set(),
    "inspection_format": set(),
    "run": set(),
    "_lazy": set(),
    "kinds": set(),
    "wording": set(),
    "token_ids": set(),
    "__main__": {"cli"},
    # Lazy names of the whole library.
    "__init__": {"nn", "models", "tasks", "train", "estimators", "plots", "streaming"},
}


def part_of(path: Path, package: Path) -> str:
    """Return the package or module right below `recur` that a file belongs to."""
    return path.relative_to(package).with_suffix("").parts[0]


def is_type_checking(node: ast.AST) -> bool:
    test = node.test if isinstance(node, ast.If) else None
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def walk_at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node below, inside functions too, but not what only the type checker sees."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield other
                yield from walk_at_run_time(other)
            continue
        yield child
        yield from walk_at_run_time(child)


def imported_modules(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every module that a file imports when it runs."""
    inside = ("recur", *path.relative_to(package).parts[:-1])
    for node in walk_at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(inside[: len(inside) - node.level + 1]) if node.level else []
            base += (node.module or "").split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])
        elif (
            isinstance(node, ast.Call)
            and (getattr(node.func, "attr", None) or getattr(node.func, "id", None)) in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def violations(package: Path) -> list[str]:
    """Return a line for each import that goes against the rule."""
    found = []
    for path in sorted(package.rglob("*.py")):
        part = part_of(path, package)
        if part not in ALLOWED:
            found.append(f"{path.relative_to(package)}: {part!r} has no place in the import rule")
            continue
        for line, module in imported_modules(path, package):
            names = module.split(".")
            if names[0] != "recur" or len(names) == 1:
                continue
            target = names[1]
            is_name_of_package = target not in ALLOWED and target != "_engine"
            if is_name_of_package or target == part or target in LEAVES | ALLOWED[part]:
                continue
            found.append(f"{path.relative_to(package)}:{line}: {part} imports recur.{target}")
    return found


def test_imports_go_one_way() -> None:
    assert violations(PACKAGE) == []


def plant(tmp_path: Path, name: str, text: str) -> Path:
    package = tmp_path / "recur"
    path = package / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return package


@pytest.mark.parametrize(
    ("name", "text", "target"),
    [
        ("ops/a.py", "import recur.nn", "nn"),
        ("ops/lstm/a.py", "from recur.nn import LSTM", "nn"),
        ("ops/lstm/a.py", "from recur import nn", "nn"),
        ("ops/lstm/a.py", "from ...nn import LSTM", "nn"),
        ("data/a.py", "from ..tasks.language import x", "tasks"),
        ("data/a.py", "from .. import tasks", "tasks"),
        ("data/a.py", "def f():\n    from recur.tasks import x", "tasks"),
        ("data/a.py", "import importlib\nimportlib.import_module('recur.tasks')", "tasks"),
        ("report/a.py", "if True:\n    import recur.data.batch", "data"),
        ("nn/a.py", "from recur import _engine", "_engine"),
        ("tasks/a.py", "from recur.train.language import x", "train"),
        ("errors.py", "import recur.nn", "nn"),
        ("nn/a.py", "if not TYPE_CHECKING:\n    import recur.tasks", "tasks"),
        ("nn/a.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import recur.tasks", "tasks"),
    ],
)
def test_the_checker_sees_a_planted_violation(tmp_path: Path, name: str, text: str, target: str) -> None:
    package = plant(tmp_path, name, text)
    assert violations(package) == [
        f"{name}:{text.count(chr(10)) + 1}: {name.split('/')[0].removesuffix('.py')} imports recur.{target}"
    ]


def test_the_checker_sees_a_package_without_a_place(tmp_path: Path) -> None:
    package = plant(tmp_path, "helpers/a.py", "import os")
    assert violations(package) == ["helpers/a.py: 'helpers' has no place in the import rule"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nn/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from recur.tasks import x"),
        ("nn/a.py", "import typing\nif typing.TYPE_CHECKING:\n    from recur.tasks import x"),
        (
            "nn/a.py",
            "from recur.ops import lstm\nfrom recur.errors import DataError\nfrom .b import c\nimport torch.nn",
        ),
        ("tasks/a.py", "from recur import __version__, data"),
    ],
)
def test_the_checker_lets_pass_what_is_allowed(tmp_path: Path, name: str, text: str) -> None:
    assert violations(plant(tmp_path, name, text)) == []


def loaded_by(statement: str, modules: list[str]) -> list[str]:
    """Return which of `modules` are loaded once a fresh interpreter has run `statement`."""
    code = f"import sys\n{statement}\nprint(*[name for name in {modules} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_check_of_loaded_modules_sees_one() -> None:
    assert loaded_by("import json.tool", ["json", "torch"]) == ["json"]


HEAVY = [
    "torch",
    "lightning",
    "lightning.pytorch",
    "torchmetrics",
    "tokenizers",
    "plotly",
    "matplotlib",
    "numpy",
    "triton",
    "polars",
    "narwhals",
]


@pytest.mark.parametrize("statement", ["import recur", "import recur; dir(recur)", "import recur.errors, recur.run"])
def test_importing_recur_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement, HEAVY) == []


def test_layers_load_torch_and_nothing_heavier() -> None:
    heavier = ["lightning", "torchmetrics", "tokenizers", "plotly", "matplotlib", "triton", "polars", "narwhals"]
    assert loaded_by("import recur.nn", ["torch", *heavier]) == ["torch"]


def test_judging_series_loads_nothing_of_texts() -> None:
    assert loaded_by("import recur.tasks.labels.evaluation", ["recur.data.texts", "recur.tasks.text_setup"]) == []


PACKAGES = sorted(".".join(["recur", *p.parent.relative_to(PACKAGE).parts]) for p in PACKAGE.rglob("__init__.py"))
LIGHT = [
    name
    for name in PACKAGES
    if name.split(".")[1:2] not in (["nn"], ["ops"])  # These two are torch through and through.
]


@pytest.mark.parametrize("name", LIGHT)
def test_package_inits_are_light(name: str) -> None:
    assert loaded_by(f"import {name}", HEAVY) == []


UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def forbidden(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and name of what could run code from a file, and of broad catches."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name in ("eval", "exec", "builtins.eval", "builtins.exec"):
                found.append((node.lineno, name))
            if name == "torch.load" and options.get("weights_only") != "True":
                found.append((node.lineno, "torch.load without weights_only=True"))
            if options.get("weights_only") == "False":
                found.append((node.lineno, "weights_only=False"))
            if options.get("allow_pickle") == "True":
                found.append((node.lineno, "allow_pickle=True"))
        elif isinstance(node, ast.Attribute):
            # The names of pickle's errors are needed: torch.load raises them.
            if ast.unparse(node.value) in UNSAFE_MODULES and not node.attr.endswith("Error"):
                found.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.ImportFrom):
            if node.module in UNSAFE_MODULES:
                found += [(node.lineno, a.name) for a in node.names if not a.name.endswith("Error")]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names if a.name in UNSAFE_MODULES and a.asname]
        elif isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(c is None or ast.unparse(c) == "Exception" for c in caught):
                found.append((node.lineno, "except Exception"))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_can_run_code_from_a_file(path: Path) -> None:
    assert forbidden(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec('1')",
        "import pickle\npickle.load(file)",
        "import pickle\nread = pickle.Unpickler",
        "import pickle as p",
        "from pickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "load_checkpoint(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept (ValueError, Exception):\n    pass",
        "try:\n    f()\nexcept:\n    pass",
    ],
)
def test_the_check_for_forbidden_calls_sees_each(text: str) -> None:
    assert len(forbidden(ast.parse(text))) >= 1


def test_the_check_for_forbidden_calls_lets_harmless_ones_pass() -> None:
    text = (
        "import pickle\ntorch.load(p, weights_only=True)\ntry:\n    model.eval()\nexcept pickle.PickleError:\n    f()"
    )
    assert forbidden(ast.parse(text)) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_nouns_and_short(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "misc", "common")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 700


def test_torch_is_only_reached_through_the_same_interpreter() -> None:
    """The subprocess tests above mean nothing if their interpreter lacks the packages that they look for."""
    assert [name for name in HEAVY if name != "triton" and importlib.util.find_spec(name) is None] == []
