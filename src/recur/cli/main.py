"""`recur`: finds the command and turns errors into one line and an exit code.

Nothing heavy is imported here: `recur --help` answers at once, and each command imports what it needs when it runs.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import recur
from recur.cli.owners import owner_of
from recur.errors import RecurError
from recur.wording import as_on_the_command_line

COMMANDS = {
    "demo": "the whole tour on text that ships with Python, in two minutes",
    "train": "train a model on your data, or go on with a run (--resume)",
    "evaluate": "figures on the held-out part, or on other data, beside the baselines",
    "generate": "write text with a trained model",
    "chat": "talk to a model that was trained on conversations",
    "predict": "say of new data what the model tells: forecasts, anomalies, classes, numbers, tags, texts",
    "inspect": "look inside a trained network: states, gates, units, what predictions rest on",
    "info": "versions, processor, threads, back ends",
    "bench": "the layers against torch.nn on this machine, in half a minute",
}
"""Each command and what it does, in the order of the help."""


def help_text() -> str:
    """Return what `recur --help` prints."""
    rows = "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    return (
        "usage: recur COMMAND ...\n\n"
        "Recurrent neural networks: from a file to a trained, judged and usable model.\n\n"
        f"commands:\n{rows}\n\n"
        "options:\n"
        "  --version    print the version\n"
        "  --traceback  after a command: show where in the code it failed\n\n"
        "`recur COMMAND --help` tells more. Begin with: recur demo\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 data or run at fault, 2 wrong usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(help_text())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        sys.stdout.write(f"recur {recur.__version__}\n")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        _complain(f"there is no command {name!r}; {hint}`recur --help` lists them.")
        return 2
    wants_traceback = "--traceback" in rest
    rest = [argument for argument in rest if argument != "--traceback"]
    try:
        with as_on_the_command_line(lambda option: owner_of(option, name, rest), name):
            return int(importlib.import_module(f"recur.cli.{name}").run(rest))
    except RecurError as error:
        if wants_traceback:
            raise
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted.")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain again when it flushes at exit.
        sys.stdout = None
        return 0
    except (MemoryError, RuntimeError, OSError) as error:
        reason = _cause(error)
        if wants_traceback or not reason:
            raise
        _complain(reason)
        return 1


def _cause(error: Exception) -> str:
    """Return what a machine that is too small or too full made of the work; empty if the error is a bug of ours."""
    if isinstance(error, OSError):
        # Such as standard output on a full disk: files of ours are explained where they are written.
        name = f"{error.filename}: " if error.filename else "the output cannot be written: "
        return f"{name}{error.strerror or error}."
    # torch raises a RuntimeError of its own for the processor's memory, and a subclass of it for the GPU's.
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return "there is not enough memory for this; try a smaller model, batch or window."
    return ""


def _complain(message: str) -> None:
    sys.stderr.write(f"recur: {' '.join(message.split())}\n")


if __name__ == "__main__":
    sys.exit(main())
