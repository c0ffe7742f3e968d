"""Streams of any task on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recur.run import RunFolder


def answer_stream(folder: RunFolder, chosen: Namespace, **options: Any) -> None:
    """Answer the lines of standard input with the model of a run.

    Args:
        folder: The run.
        chosen: The arguments of `recur predict`.
        options: Of `recur.stream`, those of the task; None for what was not given.
    """
    from recur.cli.lines import answer_lines
    from recur.streaming.opening import stream

    answer_lines(
        stream(
            folder,
            time_format=chosen.time_format,
            decimal_comma=chosen.decimal_comma,
            device=chosen.device,
            **options,
        ),
        state=None if chosen.state is None else Path(chosen.state),
        on_error=chosen.on_error,
        save_every=chosen.save_every,
        encoding=chosen.encoding,
    )
