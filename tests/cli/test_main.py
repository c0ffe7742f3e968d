from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import recur as package
from recur.cli import main as cli
from recur.cli.parser import field_documents
from recur.data.options import CorpusOptions
from recur.models.options import LanguageModelOptions
from recur.train.options import LanguageTrainingOptions


def test_help_names_every_command(recur: Any) -> None:
    result = recur("--help")
    assert result.code == 0
    for name, what in cli.COMMANDS.items():
        assert f"  {name:<10} {what}" in result.out.splitlines()
    assert recur("-h").out == result.out


def test_version(recur: Any) -> None:
    assert recur("--version").out == f"recur {package.__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_for_every_option(name: str, recur: Any) -> None:
    result = recur(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"usage: recur {name}")
    for action in importlib.import_module(f"recur.cli.{name}").build_parser()._actions:
        assert action.help, action.option_strings
        for option in action.option_strings:
            assert option in result.out


@pytest.mark.parametrize("options", [CorpusOptions, LanguageModelOptions, LanguageTrainingOptions])
def test_the_help_of_train_is_the_docstrings_of_the_fields(options: Any, recur: Any) -> None:
    shown = " ".join(recur("train", "--help").out.split())
    documents = field_documents(options)
    for field in dataclasses.fields(options):
        assert "--" + field.name.replace("_", "-") in shown
        assert len(documents[field.name]) > 10
        # argparse may break a line after a hyphen.
        assert documents[field.name].replace(" ", "") in shown.replace(" ", "")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("trian",), ()])
def test_simple_answers_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from recur.cli.main import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'lightning', 'numpy', 'rich', 'jsonargparse', 'plotly', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_imports_no_torch(name: str) -> None:
    code = (
        "import sys, contextlib; from recur.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "sys.exit(f'imported: {heavy}' if (heavy := {'torch', 'lightning'} & set(sys.modules)) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, name, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_recur() -> None:
    done = subprocess.run([sys.executable, "-m", "recur", "trian"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "recur: there is no command 'trian'; did you mean train? `recur --help` lists them.\n"


def test_interrupted_before_anything_was_done(recur: Any, monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    def interrupt(arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("recur.cli.info.run", interrupt)
    result = recur("info")
    assert (result.code, result.err) == (130, "recur: interrupted.\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "recur: there is not enough memory for this; try a smaller model, batch or window.\n"),
        (
            RuntimeError("CUDA out of memory. Tried"),
            "recur: there is not enough memory for this; try a ",
        ),
        (OSError(28, "No space left on device", "x/y"), "recur: x/y: No space left on device.\n"),
        (OSError(28, "No space left on device"), "recur: the output cannot be written: No space left on device.\n"),
    ],
)
def test_what_the_machine_lacks_is_one_line(error: Exception, line: str, recur: Any, monkeypatch: Any) -> None:
    def fail(arguments: Any) -> int:
        raise error

    monkeypatch.setattr("recur.cli.info.run", fail)
    result = recur("info")
    assert result.code == 1
    assert result.err.startswith(line)
    with pytest.raises(type(error)):
        cli.main(["info", "--traceback"])


def test_a_reader_that_has_seen_enough(recur: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: Any) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("recur.cli.info.run", fail)
    output = sys.stdout
    assert cli.main(["info"]) == 0
    assert sys.stdout is None
    monkeypatch.setattr(sys, "stdout", output)
