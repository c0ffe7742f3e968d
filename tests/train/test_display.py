"""What a person sees while training."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from recur.train import display as display_module
from recur.train.display import Display, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (360_000, "100:00:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(display_module, "time", clock)
    return clock


def plain() -> tuple[Display, io.StringIO]:
    out = io.StringIO()
    return Display(Console(file=out, width=40)), out


def test_without_a_terminal_there_is_a_line_now_and_then(clock: Clock) -> None:
    display, out = plain()
    display.start("training")
    for _ in range(25):
        clock.now += 1
        display.advance(clock.now / 25, f"step {clock.now:g} | loss 1.234 | " + "x" * 40)
    display.stop()
    lines = out.getvalue().splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["step 10", "step 20"]
    assert all(line.endswith("x" * 40) for line in lines), "a line is one line, however wide"


def test_a_phase_ends_whatever_happens_in_it() -> None:
    display = Display(Console(file=io.StringIO(), force_terminal=True))
    with display.phase("reading the text"):
        assert display._progress is not None
    assert display._progress is None
    with pytest.raises(ValueError, match="odd"), display.phase("reading the text"):
        raise ValueError("odd")
    assert display._progress is None


def test_what_is_quick_shows_nothing(clock: Clock) -> None:
    display, out = plain()
    display.start("reading the text")
    clock.now += 9
    display.advance(1.0, "done")
    display.stop()
    assert out.getvalue() == ""


def test_the_validation_loss_stands_beside_the_figures(clock: Clock) -> None:
    display, out = plain()
    display.start("training")
    display.validated(1.23456)
    clock.now += 11
    display.advance(0.5, "step 1")
    display.start("judging")
    clock.now += 11
    display.advance(0.5, "half")
    assert out.getvalue().splitlines() == ["step 1 | valid 1.235", "half"]


def test_a_line_of_its_own_is_printed_as_it_is() -> None:
    display, out = plain()
    display.say("[bold] 10 [/x] :smile: " + "y" * 50)
    assert out.getvalue() == "[bold] 10 [/x] :smile: " + "y" * 50 + "\n"


def test_in_a_terminal_there_is_a_bar_that_goes_away() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=True, width=100, height=20))
    display.start("training", total=4)
    display.advance(3, "step 3")
    display.validated(1.5)
    display.advance(3, "step 3")
    assert display._progress is not None
    (task,) = display._progress.tasks
    assert (task.description, task.completed, task.total, task.fields["text"]) == (
        "training",
        3,
        4,
        "step 3 | valid 1.500",
    )
    display.start("judging", total=2)
    assert [task.description for task in display._progress.tasks] == ["judging"]
    display.stop()
    display.stop()
    assert display._progress is None
    assert "training" in out.getvalue()
    assert "judging" in out.getvalue()
    display.advance(1, "nothing runs")
