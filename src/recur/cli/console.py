"""The console that commands print to."""

from __future__ import annotations

from rich.console import Console


def plain_console(*, stderr: bool = False, quiet: bool = False, soft_wrap: bool = True) -> Console:
    """Return a console that prints names and texts as they are: no markup, no emoji.

    Args:
        stderr: Print to standard error.
        quiet: Print nothing.
        soft_wrap: Leave long lines to the terminal; not for a progress bar, which must keep to one line.
    """
    return Console(stderr=stderr, quiet=quiet, soft_wrap=soft_wrap, markup=False, highlight=False, emoji=False)
