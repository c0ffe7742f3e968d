"""What every test starts from: the same seeds and one thread; and what tests of several parts share."""

from __future__ import annotations

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"
# Else gloo listens on the interface that the machine's name belongs to, which may be none.
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")

import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

MEETING = """
import os, sys, torch, torch.distributed as dist
port, rank = sys.argv[1:]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=2)
ones = torch.ones(3)
dist.all_reduce(ones)
assert ones.sum() == 6
"""
"""What two processes of plain torch do to find out whether they can train together here."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Make what a folder of some name holds once for all processes that run tests, and return the folder."""
    base = tmp_path_factory.getbasetemp()
    run_of_tests = os.environ.get("PYTEST_XDIST_TESTRUNUID")

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder = base / name if run_of_tests is None else base.parent / f"{name}_{run_of_tests}"
        done = folder.with_suffix(".done")
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are taken in the same order whatever the machine, and tests side by side do not fight for its cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def gloo() -> None:
    """Skip where the machine does not let two processes of torch talk with each other."""
    port = str(_free_port())
    pair = [subprocess.Popen([sys.executable, "-c", MEETING, port, rank], stderr=subprocess.PIPE) for rank in "01"]
    try:
        told = [process.communicate(timeout=120)[1].decode() for process in pair]
    except subprocess.TimeoutExpired:
        pytest.skip("gloo: two processes on this machine did not meet within 120 s")
    finally:
        for process in pair:
            process.kill()
    if any(process.returncode for process in pair):
        pytest.skip(f"gloo: two processes on this machine cannot meet: {told[0] or told[1]}")


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """A context in which permissions bind, which they do not for the superuser."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return as_nobody
