"""The errors that recur raises on purpose, each with a message of one clear line.

The command line prints the message and exits with the error's `exit_code`; everything else that
escapes is a bug and shows a traceback.
"""

from __future__ import annotations


class RecurError(Exception):
    """Base of every error that is the data's, the run's or the caller's fault, never ours."""

    exit_code = 1


class DataError(RecurError, ValueError):
    """The user's data cannot be used; the message names the file and the place in it."""


class RunError(RecurError):
    """A run folder is missing, of another format, damaged, or cannot be written."""


class OptionError(RecurError, ValueError):
    """An option has a value or a combination that makes no sense; the command line exits with 2."""

    exit_code = 2


class TrainingError(RecurError):
    """Training cannot go on, for instance because the loss is not finite any more."""


class BackendError(RecurError, RuntimeError):
    """No back end, or not the one asked for, can run this call; the message gives each reason."""


class Interrupted(RecurError):  # noqa: N818 - like KeyboardInterrupt, it is no fault
    """The user stopped the work; what was done is saved, and the message says how to go on."""

    exit_code = 130
