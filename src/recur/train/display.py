"""What a person sees while training: a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

_PLAIN_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Return a time span for people.

    Example:
        >>> duration(5), duration(187), duration(3 * 3600 + 60)
        ('5 s', '3:07', '3:01:00')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class Display:
    """Shows the progress of one training.

    Args:
        console: Where; a bar when it is a terminal, else a line now and then.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._bar: TaskID | None = None
        self._latest_line = 0.0
        self._valid = ""

    def start(self, what: str, total: float = 1.0) -> None:
        """Begin a phase of the work; `total` is where its progress ends."""
        self.stop()
        self._valid = ""
        self._latest_line = time.monotonic()
        if self._console.is_terminal:
            what_column, text_column = TextColumn("{task.description}"), TextColumn("{task.fields[text]}")
            columns = (SpinnerColumn(), what_column, BarColumn(), text_column)
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._progress.start()
            self._bar = self._progress.add_task(what, total=total, text="")
        else:
            self._bar = None

    @contextmanager
    def phase(self, what: str, total: float = 1.0) -> Iterator[None]:
        """Show a phase of the work while the block runs; `total` is where its progress ends."""
        self.start(what, total)
        try:
            yield
        finally:
            self.stop()

    def advance(self, done: float, text: str) -> None:
        """Show how far the phase has come, with a line of figures."""
        line = f"{text}{self._valid}"
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, completed=done, text=line)
        elif time.monotonic() - self._latest_line >= _PLAIN_SECONDS:
            self._latest_line = time.monotonic()
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def validated(self, loss: float) -> None:
        """Remember the newest validation loss, to be shown beside the figures."""
        self._valid = f" | valid {loss:.3f}"

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """End the phase and take its bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
