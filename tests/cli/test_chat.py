"""`recur chat`: talking to a model that was trained on conversations."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from recur.cli.console import plain_console
from recur.cli.handling.run_handling import handling_of
from recur.decode import DecodingOptions
from recur.report.contents import read_contents
from recur.run import RunFolder
from recur.tasks.translate.trained import TrainedTranslator
from recur.token_ids import END

TALKS = "".join(
    f"- - {name} said hello\n  - Hello {name}\n  - What is my name?\n  - You are {name}\n"
    for name in ("Ann", "Bob", "Cleo", "Dan", "Eve", "Finn") * 6
)
TINY = ("--max-steps", "400", "--hidden-size", "32", "--embedding-size", "16", "--learning-rate", "0.01")
TINY += ("--dropout", "0", "--embedding-dropout", "0", "--source-tokens", "word", "--target-tokens", "word")


@pytest.fixture(scope="module")
def talker(made_once: Any) -> Path:
    """A run that was trained on conversations, and knows three turns."""

    def made(folder: Path) -> None:
        from recur.cli.main import main

        (folder / "talks.yml").write_text(TALKS, encoding="utf-8")
        command = ["train", str(folder / "talks.yml"), "--out", str(folder / "run"), "--history", "3", "--no-report"]
        assert main([*command, *TINY]) == 0

    return Path(made_once("talker", made)) / "run"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Any:
    def said(text: str, *, is_shown: bool = False) -> None:
        given = io.StringIO(text)
        monkeypatch.setattr(given, "isatty", lambda: is_shown)
        monkeypatch.setattr(sys, "stdin", given)

    return said


def test_each_line_is_answered_with_what_was_said_before(talker: Path, recur: Any, said: Any) -> None:
    said("Bob said  hello\nWhat is my name?\n\nWhat is my name?\n")
    result = recur("chat", talker)
    assert (result.code, result.err) == (0, "")
    answers = result.out.splitlines()
    trained = TrainedTranslator.load(talker)
    greedy = DecodingOptions(length_penalty="mean")
    asked = ["Bob said hello", f"Bob said hello\n{answers[0]}\nWhat is my name?", "What is my name?"]
    assert answers == [found[0].text for found in trained.translate(asked, decoding=greedy)]
    # What was said before makes a difference, an empty line forgets it.
    assert answers[1].startswith("You are")
    assert answers[1] != answers[2]


def test_the_end_of_the_training_says_how_to_talk(
    talker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(talker.parent)
    handling_of("translate").show_finished(Path("run"), plain_console())
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "talk     recur chat run",
        "predict  recur predict run new.txt",
        'explain  recur inspect run --input "a text"',
        "judge    recur evaluate run",
    ]
    # The report says it too.
    lines = [command.line for command in read_contents(RunFolder.open("run")).commands]
    assert lines[:2] == ["recur chat run", "recur predict run new.txt"]


def test_in_a_terminal_it_says_who_speaks(talker: Path, recur: Any, said: Any) -> None:
    said("Ann said hello\n", is_shown=True)
    assert re.fullmatch(r"you   model Hello \w+\nyou   \n", recur("chat", talker).out)


def test_an_empty_answer_is_shown_as_such(talker: Path, recur: Any, said: Any, tmp_path: Path) -> None:
    trained: Any = TrainedTranslator.load(talker)
    trained.trigrams = None
    with torch.no_grad():
        for network in trained.networks:
            network.output.bias[END] = 1e4
    trained.save(tmp_path / "mute")
    said("Ann said hello\n", is_shown=True)
    assert recur("chat", tmp_path / "mute").out == "you   model (nothing)\nyou   \n"
    said("Ann said hello\n")
    assert recur("chat", tmp_path / "mute").out == "\n"


def test_what_comes_to_no_end_is_marked(talker: Path, recur: Any, said: Any, tmp_path: Path) -> None:
    trained: Any = TrainedTranslator.load(talker)
    # Trigrams would end it.
    trained.trigrams = None
    with torch.no_grad():
        for network in trained.networks:
            network.output.bias[0] = -1e4
    trained.save(tmp_path / "endless")
    said("Ann said hello\nWhat is my name?\n")
    answers = recur("chat", tmp_path / "endless").out.splitlines()
    assert [line.count(" [cut off]") for line in answers] == [1, 1]
    greedy = DecodingOptions(length_penalty="mean")
    first = trained.translate(["Ann said hello"], decoding=greedy)[0][0].text
    assert answers[0] == f"{first} [cut off]"
    # What comes next knows what was said, and not the mark.
    asked = f"Ann said hello\n{' '.join(first.split())}\nWhat is my name?"
    assert answers[1] == f"{trained.translate([asked], decoding=greedy)[0][0].text} [cut off]"


def test_drawn_answers_are_repeated_by_their_seed(talker: Path, recur: Any, said: Any) -> None:
    answers = []
    for seed in ("1", "1", "2"):
        said("Eve said hello\n" * 5)
        answers.append(recur("chat", talker, "--temperature", "5", "--seed", seed).out)
    assert answers[0] == answers[1] != answers[2]


def test_of_the_likeliest_alone_nothing_is_drawn(talker: Path, recur: Any, said: Any) -> None:
    answers = []
    for options in ((), ("--top-k", "1"), ("--top-p", "1e-9", "--temperature", "5")):
        said("Eve said hello\n" * 5)
        answers.append(recur("chat", talker, *options).out)
    assert answers[0] == answers[1] == answers[2]


def test_what_does_not_go(talker: Path, finished: Path, recur: Any, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said("")
    assert recur("chat", talker).out == ""
    result = recur("chat", talker, "--seed", "3")
    assert (result.code, result.complaint) == (
        2,
        "recur: seed is of answers that are drawn; give --temperature too, or leave --seed out.",
    )
    result = recur("chat", finished / "run")
    assert result.code == 1
    assert result.complaint.endswith("is a run of task 'language', which does not talk; train one on conversations.")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hi \xff\n"), encoding="utf-8"))
    result = recur("chat", talker)
    assert (result.code, result.complaint) == (
        1,
        "recur: standard input is no utf-8: invalid start byte; give it in UTF-8.",
    )
    monkeypatch.setattr(sys, "stdin", None)
    assert recur("chat", talker).complaint == "recur: standard input is closed, so there is nobody to talk to."
