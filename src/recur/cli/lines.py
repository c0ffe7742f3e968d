"""Lines of CSV or JSON in, answers of the same kind out, as they come."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recur.cli.standard_input import InputLines
from recur.data.series.delimited import SEPARATORS
from recur.errors import DataError, Interrupted, OptionError, RunError
from recur.kinds import is_whole
from recur.streaming.answers import Answers
from recur.streaming.live_stream import Stream


def answer_lines(
    stream: Stream[Any],
    *,
    state: Path | None,
    on_error: Literal["stop", "skip"],
    save_every: int | None,
    encoding: str | None,
) -> None:
    """Push the lines of standard input into a stream, and write what it says to standard output.

    Lines that are there already are pushed together; each batch is answered before more is read. A first line that
    begins with a brace is JSON, and all are then objects; else it names the columns of CSV, and may come again.

    Args:
        stream: Which has not begun.
        state: A file, from which the stream goes on if it is there; it is written at the beginning and at the end.
        on_error: What becomes of a line that cannot be used.
        save_every: Rows after which the state is written, too.
        encoding: Of the lines; None for that of the run's data, and for JSON UTF-8. A byte order mark goes before it.

    Raises:
        DataError: A line cannot be used.
        OptionError: `save_every` is out of range, or there is nowhere to save; or the encoding is unknown.
        Interrupted: A signal came; the state is written.
        RunError: The state cannot be read or written.
    """
    if save_every is not None and (not is_whole(save_every, 1) or state is None):
        raise OptionError(f"save_every: expected a number of rows from 1 on, with --state, got {save_every!r}.")
    if state is not None:
        if state.exists():
            stream.restore(state)
        # Now, and not when all is read, it shows whether there is a place for it.
        stream.save(state)
    lines = InputLines(sys.stdin.fileno(), encoding or stream.encoding, encoding or "utf-8")
    answering = _Answering(stream, lines, on_error)
    saved = 0
    try:
        for batch in lines:
            answering.take(batch)
            if state is not None and save_every is not None and answering.num_rows - saved >= save_every:
                stream.save(state)
                saved = answering.num_rows
    finally:
        try:
            if state is not None:
                _save(stream, state)
        finally:
            lines.close()
    if lines.signal:
        kept = f"; the state is in {state}" if state is not None else ""
        raise Interrupted(f"interrupted after {answering.num_rows:,} rows{kept}.")


def _save(stream: Stream[Any], state: Path) -> None:
    """Write the state; where that cannot be, into the working folder under another name, and say so.

    Raises:
        RunError: It cannot be written to its place.
    """
    try:
        stream.save(state)
    except RunError as error:
        instead = Path(f"{state.name}.{os.getpid()}")
        try:
            stream.save(instead)
        except RunError:
            raise error from None
        raise RunError(
            f"{str(error).removesuffix('.')}; the state is in {instead.resolve()}: move it there."
        ) from error


class _Answering:
    """Turns batches of lines into rows, and answers into lines."""

    def __init__(self, stream: Stream[Any], source: InputLines, on_error: Literal["stop", "skip"]) -> None:
        self.stream, self.source, self.can_skip = stream, source, on_error == "skip"
        self.num_rows = 0
        self._is_json: bool | None = None
        self._names: list[str] = []
        self._separator = ","
        self._header: str | None = None
        self._has_header = False

    def take(self, lines: list[str]) -> None:
        """Push lines, and write the answers."""
        # A file that is written anew begins with its byte order mark and the names again.
        lines = [bare for line in lines if (bare := line.removeprefix("\ufeff")).strip()]
        if self._is_json is None and lines:
            self._is_json = lines[0].lstrip().startswith("{")
            if not self._is_json:
                self._begin(lines.pop(0))
        lines = [line for line in lines if line.strip() != self._header]
        if not lines:
            return
        first, self.num_rows = self.num_rows, self.num_rows + len(lines)
        rows, wrong = self._rows(lines, first)
        if self.can_skip:
            for number in sorted(wrong):
                self._complain(wrong[number])
            numbers = [number for number in range(first, self.num_rows) if number not in wrong]
            self._write(self.stream.push(rows, first=numbers, on_error="skip"))
            return
        if wrong:
            # Up to the line that is wrong all are answered.
            before = lines[: min(wrong) - first]
            self._answer(self._rows(before, first)[0], before, first)
            self._complain(wrong[min(wrong)])
        self._answer(rows, lines, first)

    def _answer(self, rows: Any, lines: list[str], first: int) -> None:
        """Push lines that are rows, and write the answers; of rows of which one cannot be used, those before it."""
        try:
            self._write(self.stream.push(rows, first=first))
        except DataError:
            if len(lines) == 1:
                raise
            for number, line in enumerate(lines, first):
                one, _ = self._rows([line], number)
                self._write(self.stream.push(one, first=number))

    def _begin(self, header: str) -> None:
        if not _is_text(header):
            raise DataError(f"standard input: the names of the columns are {self.source.no_text}.")
        self._header = header.strip()
        wanted = self.stream.separator
        found = max(reversed(SEPARATORS), key=header.count)
        is_blank = wanted == "whitespace" and found not in header
        self._separator = wanted if wanted is not None and (wanted in header or is_blank) else found
        self._names = [name.strip() for name in self._cells(header)]
        twice = sorted({name for name in self._names if self._names.count(name) > 1})
        if twice:
            raise DataError(f"standard input: two columns are called {twice[0]!r}; rename one of them.")

    def _rows(self, lines: list[str], first: int) -> tuple[Any, dict[int, str]]:
        """Return lines as rows, and what is wrong with those that are none, by their number."""
        wrong = {
            number: f"standard input, row {number + 1}: is {self.source.no_text}."
            for number, line in enumerate(lines, first)
            if not _is_text(line)
        }
        objects: list[Any] = []
        if self._is_json:
            for number, line in enumerate(lines, first):
                if number in wrong:
                    continue
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError) as error:
                    wrong[number] = f"standard input, row {number + 1}: is no JSON ({error})."
                    continue
                if not isinstance(found, dict):
                    wrong[number] = f"standard input, row {number + 1}: is no JSON object, but {line[:40]!r}."
                    continue
                objects.append(found)
            return objects, wrong
        width, missing = len(self._names), self.stream.missing
        for number, line in enumerate(lines, first):
            if number in wrong:
                continue
            try:
                cells = self._cells(line)
            except csv.Error as error:
                wrong[number] = f"standard input, row {number + 1}: is no CSV ({error})."
                continue
            if len(cells) != width:
                wrong[number] = (
                    f"standard input, row {number + 1}: has {len(cells)} cells, but there are {width} columns."
                )
                continue
            objects.append([None if cell.strip() in missing else cell.strip() for cell in cells])
        columns = zip(*objects, strict=True) if objects else [[] for _ in self._names]
        series = (self._column(name, list(cells)) for name, cells in zip(self._names, columns, strict=True))
        return pl.DataFrame(list(series)), wrong

    def _cells(self, line: str) -> list[str]:
        if self._separator == "whitespace":
            return line.split()
        cells: list[str] = next(csv.reader([line.rstrip("\r")], delimiter=self._separator, strict=True))
        return cells

    def _column(self, name: str, cells: list[str | None]) -> pl.Series:
        """Return cells as numbers if all are such and text would not do, else as text."""
        text = pl.Series(name, cells, dtype=pl.String)
        for kind in (pl.Int64, pl.Float64) if name in self.stream.typed else ():
            numbers = text.cast(kind, strict=False)
            if numbers.null_count() == text.null_count():
                return numbers
        return text

    def _write(self, answers: Answers) -> None:
        for number, reason in answers.left_out:
            if reason in ("late", "repeated"):
                self._note(f"row {number + 1}: {reason}, left out.")
            elif reason != "ahead":
                self._complain(reason)
        for number in answers.row[answers.began_anew].tolist():
            self._note(f"row {number + 1}: its series begins anew, so long is the gap before it.")
        if not len(answers):
            return
        if self._is_json:
            text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in answers.rows())
        else:
            text = answers.to_polars().write_csv(include_header=not self._has_header)
            self._has_header = True
        sys.stdout.write(text)
        sys.stdout.flush()

    def _complain(self, reason: str) -> None:
        if not self.can_skip:
            raise DataError(reason)
        self._note(f"{reason} Left out.")

    def _note(self, text: str) -> None:
        sys.stderr.write(f"recur: {text}\n")
        sys.stderr.flush()


def _is_text(line: str) -> bool:
    """Return whether a line was of the encoding that it was read by."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
