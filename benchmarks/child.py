"""Runs a benchmark in a process of its own: for what changes the whole process, such as its allocator."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def rows(module: str, function: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows that a benchmark's function yields there; the arguments and the rows go as JSON."""
    command = [sys.executable, __file__, module, function, json.dumps(arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode != 0:
        raise RuntimeError(f"{module}.{function} ended with {process.returncode} in its own process")


if __name__ == "__main__":
    for row in getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(**json.loads(sys.argv[3])):
        print(json.dumps(row), flush=True)
