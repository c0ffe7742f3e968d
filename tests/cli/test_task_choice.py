"""Which task `recur train` takes: said, configured, of the run that goes on, or guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recur.cli import owners
from recur.cli.handling.run_handling import RunHandling
from recur.cli.task_choice import Glance, choose_task, flags_of
from recur.errors import OptionError
from recur.models.options import LanguageModelOptions
from recur.models.series_options import SeriesClassifierOptions
from recur.run import FORMAT, RunFolder
from recur.train.options import LanguageTrainingOptions, SeriesTrainingOptions
from recur.train.table import TASKS, Task, holds_tables, task_of

FLAGS = frozenset({"--overwrite", "--help"})


@dataclass(frozen=True, kw_only=True)
class ToyOptions:
    """Options of a task that is none."""

    reading: int = 24
    """Steps to read."""

    is_wide: bool = False
    """Whether each column is a series."""


CALLS: list[tuple[Any, dict[str, Any]]] = []


def train_toy(data: Any, *, out: str | None, overwrite: bool, console: Any, **options: Any) -> RunFolder:
    CALLS.append((data, {"out": out, "overwrite": overwrite, **options}))
    run = RunFolder.create(Path(out or "toy"), overwrite=overwrite)
    run.write_json("config.json", {"format": FORMAT, "task": "toy", "training": {}})
    return run


def never_inspected(*given: Any) -> Any:
    raise AssertionError("a toy has nothing inside")


def handle_toy() -> RunHandling:
    return RunHandling(
        evaluate=lambda chosen: {},
        show=lambda found, console: None,
        show_finished=lambda path, console: console.print(f"all about {path}"),
        inspect=never_inspected,
        options={},
    )


def check_toy(data: Any, options: Any) -> None:
    if options["model"].reading == 13:
        raise OptionError("reading must not be 13.")


TOY = Task(
    about="a toy that forecasts nothing",
    data="tables of numbers",
    options={"model": ToyOptions, "training": SeriesTrainingOptions},
    recognises=lambda sources, given: f"{sources[0]} is a table" if all(holds_tables(name) for name in sources) else "",
    check=check_toy,
    train=f"{__name__}:train_toy",
    job=f"{__name__}:train_toy",
    handling=f"{__name__}:handle_toy",
)


@pytest.fixture
def alone() -> Iterator[None]:
    """The first task, and no other."""
    every = dict(TASKS)
    for name in list(TASKS)[1:]:
        del TASKS[name]
    yield
    # In their order, which a guess depends on.
    TASKS.clear()
    TASKS.update(every)


@pytest.fixture
def toy(alone: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A task in the place of all but the first."""
    monkeypatch.setitem(TASKS, "toy", TOY)
    CALLS.clear()
    # Messages ask which command has an option, which is found out once.
    owners._options.cache_clear()
    yield
    owners._options.cache_clear()


# --- a glance at the arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("a.txt b.txt", (None, None, ("a.txt", "b.txt"))),
        ("--seed 3 a.txt --overwrite b.txt --dropout=0.5", (None, None, ("a.txt", "b.txt"))),
        ("--task toy --task=language -", ("language", None, ("-",))),
        ("a.txt --task", (None, None, ("a.txt",))),
        ("--resume runs/a --max-steps 3", (None, "runs/a", ())),
        ("--overwrite -- --seed a", (None, None, ("--seed", "a"))),
        ("", (None, None, ())),
    ],
)
def test_what_is_seen_at_a_glance(arguments: str, expected: tuple[Any, ...]) -> None:
    glance = Glance.at(arguments.split(), FLAGS)
    assert (glance.task, glance.resume, glance.data) == expected


def test_configuration_files_are_seen_too(folder: Path) -> None:
    Path("one.yaml").write_text("task: toy\ndata: a.csv\nseed: 3\n")
    Path("two.yaml").write_text("data: [b.csv, c.csv, 3]\n")
    for arguments, expected in (
        ("--config one.yaml", ("toy", ("a.csv",))),
        ("--config=one.yaml --config two.yaml", ("toy", ("b.csv", "c.csv"))),
        ("d.csv --config one.yaml --task language", ("language", ("d.csv",))),
    ):
        glance = Glance.at(arguments.split(), FLAGS)
        assert (glance.task, glance.data) == expected


@pytest.mark.parametrize("content", ["- one\n", "data: [1\n", "task: 3\ndata: 5\n", "", "\x00"])
def test_files_that_are_none_are_left_to_the_parser(content: str, folder: Path) -> None:
    Path("own.yaml").write_text(content)
    assert Glance.at(["--config", "own.yaml"], FLAGS) == Glance(task=None, resume=None, data=())
    assert Glance.at(["--config", "no.yaml"], FLAGS) == Glance(task=None, resume=None, data=())
    (folder / "header.yaml").write_text("has_header: false\noverwrite: false\nlabel: null\n")
    assert Glance.at(["--config", "header.yaml"], frozenset({"--overwrite"})).given == {"has_header": "False"}


def test_flags_are_the_options_without_a_value() -> None:
    found = flags_of([LanguageModelOptions, LanguageTrainingOptions, ToyOptions])
    assert found == {"--residual", "--tied", "--vary-window", "--tensorboard", "--no-report", "--is-wide"}
    # What is on by default is switched off by a value.
    assert "--bidirectional" not in flags_of([SeriesClassifierOptions])


# --- the choice -------------------------------------------------------------------------------------------------------


def chosen(data: tuple[str, ...] = (), task: str | None = None, resume: str | None = None) -> tuple[str, str]:
    return choose_task(Glance(task=task, resume=resume, data=data))


@pytest.mark.usefixtures("toy")
def test_a_task_is_guessed_from_the_data_with_a_reason() -> None:
    assert chosen(("book.txt",)) == ("language", "book.txt is no table")
    assert chosen(("meter.csv", "other.parquet")) == ("toy", "meter.csv is a table")
    assert chosen(("meter.csv", "book.txt")) == ("language", "no other task takes such data")
    assert chosen(("book.txt",), task="toy") == ("toy", "")
    assert chosen() == ("language", "")


def test_a_table_is_forecast_and_several_are_text() -> None:
    assert chosen(("meter.csv",)) == ("forecast", "meter.csv is a table")
    # Never their text: what is wrong with several of them, the task says.
    assert chosen(("a.csv", "b.csv", "c.csv")) == ("forecast", "a.csv and b.csv are tables")


@pytest.mark.usefixtures("toy")
def test_the_task_of_a_run_that_goes_on_is_its_own(folder: Path) -> None:
    train_toy([], out="run", overwrite=False, console=None)
    assert chosen(resume="run") == ("toy", "")
    RunFolder("run").write_json("config.json", {"format": FORMAT, "task": "other"})
    assert chosen(resume="run") == ("language", ""), "resuming says what is wrong"
    assert chosen(resume="nowhere") == ("language", "")


def test_a_task_has_the_names_of_its_uses() -> None:
    assert chosen(("a.txt", "b.txt"), task="summarize") == ("translate", "summaries are written from texts")
    assert chosen(("a.csv",), task="ner") == ("tag", "entities are tags of tokens")
    assert chosen(("a.csv",), task="sentiment") == ("classify-text", "sentiments are classes of texts")
    uses = [use for task in TASKS.values() for use in task.uses]
    assert len(uses) == len(set(uses))
    assert not set(uses) & set(TASKS)


@pytest.mark.usefixtures("toy")
def test_a_task_that_is_none_is_told() -> None:
    with pytest.raises(OptionError, match=r"^there is no task 'toi'; did you mean toy\? This version knows: lang"):
        chosen(("book.txt",), task="toi")
    with pytest.raises(OptionError, match=r"^there is no task 'weaving'; this version knows: language, toy"):
        chosen(("book.txt",), task="weaving")


def test_a_use_that_is_misspelt_is_told() -> None:
    with pytest.raises(
        OptionError, match=r"^there is no task 'summarise'; did you mean summarize\? .*, ner, .*, chat,"
    ):
        task_of("summarise")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
def test_a_table_goes_to_the_task_that_takes_it(folder: Path, recur: Any) -> None:
    result = recur("train", "meter.csv", "--reading", "7", "--is-wide", "--out", "run", "--batch-size", "3")
    assert result.code == 0, result.err
    assert result.err == "task     toy, as meter.csv is a table; --task chooses another\n"
    assert result.out == "all about run\n"
    ((data, given),) = CALLS
    assert data == ["meter.csv"]
    assert given == {
        "out": "run",
        "overwrite": False,
        "model": ToyOptions(reading=7, is_wide=True),
        "training": SeriesTrainingOptions(batch_size=3),
    }


@pytest.mark.usefixtures("toy")
def test_a_task_that_was_said_or_configured_is_not_explained(folder: Path, recur: Any) -> None:
    Path("own.yaml").write_text("task: toy\nreading: 5\ndata: text.txt\n")
    for arguments in (("text.txt", "--task", "toy", "--reading", "5"), ("--config", "own.yaml")):
        result = recur("train", *arguments, "--overwrite")
        assert result.code == 0, result.err
        assert result.err == ""
        assert CALLS[-1][0] == ["text.txt"]
        assert CALLS[-1][1]["model"].reading == 5


@pytest.mark.usefixtures("toy")
def test_complaints_are_those_of_the_task(folder: Path, recur: Any) -> None:
    (folder / "meter.csv").write_text("load\n1\n")
    for arguments, line in (
        (
            ("meter.csv", "--readin", "3"),
            "recur train: unrecognized arguments: --readin 3; did you mean --reading? `recur train --task toy --help` "
            "lists the options of the task toy, as meter.csv is a table.",
        ),
        (
            ("meter.csv", "--vary-window"),
            "recur: vary_window is of language, and this is the task toy, as meter.csv is a table; leave --vary-window "
            "out, or choose another task with --task.",
        ),
        (
            ("text.txt", "--task", "language", "--reading=3"),
            "recur: reading is of toy, and this is the task language; leave --reading out.",
        ),
        (
            ("text.txt", "--task", "toy", "--is-side"),
            "recur train: unrecognized arguments: --is-side; did you mean --is-wide? `recur train --task toy --help` "
            "lists the options.",
        ),
        # It shares letters with an option, by chance.
        (("meter.csv", "--reason", "3"), "recur train: unrecognized arguments: --reason 3. "),
        (("meter.csv", "--reading", "13"), "recur: reading must not be 13."),
        (("--task", "toy"), "recur: train needs DATA: tables of numbers; or --resume RUN."),
    ):
        result = recur("train", *arguments)
        assert result.code == 2
        assert result.complaint.startswith(line)
    assert CALLS == []


@pytest.mark.usefixtures("toy")
def test_help_is_that_of_a_task_and_names_the_others(recur: Any) -> None:
    language = " ".join(recur("train", "--help").out.split())
    assert "--vary-window" in language
    assert "--reading" not in language
    assert "`recur train --task toy --help` shows those of a toy that forecasts nothing." in language
    toy = " ".join(recur("train", "--task", "toy", "--help").out.split())
    assert "--reading READING Steps to read. (default: 24)" in toy
    assert "--vary-window" not in toy
    assert "`recur train --task language --help`" in toy
    assert recur("train", "meter.csv", "--help").out == recur("train", "--task", "toy", "--help").out


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_help_is_shown_whatever_is_wrong_with_the_data(asked: str, folder: Path, recur: Any) -> None:
    Path("empty.csv").touch()
    rows = "".join(f"the boat of day {number} was fast,{'ab'[number % 2]}\n" for number in range(9))
    Path("reviews.csv").write_text(f"review,sentiment\n{rows}")
    for arguments, shown in (
        ("empty.csv", ""),
        ("reviews.csv --label sentimnt", ""),
        ("reviews.csv --label sentimnt --task classify", "--task classify"),
        # Nor is it asked whose options are given.
        ("reviews.csv --vary-window", "--task classify-text"),
    ):
        result = recur("train", *arguments.split(), asked)
        assert result.code == 0, result.err
        assert result.out == recur("train", *shown.split(), "--help").out
    assert recur("train", "empty.csv", "--task", "weaving", asked).complaint.startswith("recur: there is no task 'weav")


@pytest.mark.parametrize("name", ["talks.json", "talks.tab", "talks.csv"])
def test_a_table_of_nothing_but_texts_is_one_whatever_its_name(name: str, folder: Path) -> None:
    texts = ["so good a boat", "the day was fast", "never again"]
    rows = "".join(f"{text}\n" for text in ["review", *texts])
    Path(name).write_text(json.dumps([{"review": text} for text in texts]) if name.endswith("json") else rows)
    found = choose_task(Glance(task=None, resume=None, data=(name,), given={"text": "review"}))
    assert found == ("classify-text", f"{name} has a column of text and none of numbers")


@pytest.mark.usefixtures("alone")
def test_with_one_task_help_names_no_other(recur: Any) -> None:
    assert "--help` shows" not in recur("train", "--help").out


def test_damaged_json_lines_are_no_prose(folder: Path, recur: Any) -> None:
    (folder / "talks.jsonl").write_text('{"text": "so good", "label": "a"}\n{"text": "x"\n')
    result = recur("train", "talks.jsonl")
    assert result.code == 1
    assert "task     classify-text, as talks.jsonl holds JSON lines; --task chooses another" in result.err
    assert """talks.jsonl: line 2 is no JSON object: '{"text": "x"'; each line must be one""" in result.err
