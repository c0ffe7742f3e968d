"""Several processes that train one model: who prepares, who waits, how many there are.

`devices=2` lets Lightning start the other processes by running the same command again; `torchrun`, on one machine or
many, starts all of them itself. In both cases only the first process reads the text and makes the run folder; the
others find it on the disk that the machines share.

Processes that `devices` starts meet on the loopback interface, and gloo talks on it alone, there and where torchrun
starts all processes on one machine. Else the network is used as torchrun was told.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console

from recur.errors import RecurError
from recur.run import RunFolder
from recur.train.display import Display

Parts = TypeVar("Parts")

_RUN_VARIABLE = "RECUR_RUN"
_LOOPBACK = "127.0.0.1"


def is_torchrun() -> bool:
    """Return whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    """Return this process's number among all that train together."""
    return int(os.environ["RANK"]) if is_torchrun() else int(os.environ.get("LOCAL_RANK", "0"))


def count(devices: int) -> int:
    """Return how many processes train together, when each machine has `devices` of them."""
    return int(os.environ["WORLD_SIZE"]) if is_torchrun() else devices


def local_count(devices: int) -> int:
    """Return how many processes train on this machine: torchrun's number, else `devices`."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if is_torchrun() else devices


def nodes(devices: int) -> int:
    """Return how many machines take part."""
    return max(count(devices) // local_count(devices), 1)


def first_prepares(prepare: Callable[[], RunFolder]) -> RunFolder:
    """Return the run folder that the first process prepares; the others wait for it and open it.

    Raises:
        RecurError: The first process could not prepare it.
        SystemExit: In the other processes when the first one could not; it has told the reason.
    """
    if is_torchrun():
        if os.environ["WORLD_SIZE"] == os.environ["LOCAL_WORLD_SIZE"]:
            _talk_on_loopback()
        return _broadcast(prepare)
    if rank() > 0:
        # Started by Lightning from the first process, which had prepared the folder before.
        return RunFolder.open(os.environ[_RUN_VARIABLE])
    run = prepare()
    os.environ[_RUN_VARIABLE] = str(run.path.resolve())
    return run


def first_reads(
    prepare: Callable[[], tuple[RunFolder, Parts]], read: Callable[[RunFolder], Parts]
) -> tuple[RunFolder, Parts]:
    """Return the run folder that the first process prepares, and the data, which each of the others reads itself.

    Args:
        prepare: Makes the folder, and has the data in hand then.
        read: Reads the data of a folder that another process made.

    Raises:
        RecurError: As of `first_prepares`.
        SystemExit: As of `first_prepares`.
    """
    in_hand: list[Parts] = []

    def prepared() -> RunFolder:
        run, parts = prepare()
        in_hand.append(parts)
        return run

    run = first_prepares(prepared)
    return run, in_hand[0] if in_hand else read(run)


def first_shows(console: Console | None) -> Display:
    """Return where progress is shown, by default on standard error; of several processes only the first shows any."""
    return Display((console or Console(stderr=True)) if is_first() else Console(quiet=True))


def _broadcast(prepare: Callable[[], RunFolder]) -> RunFolder:
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    message: list[str | int] = [""]
    failure: RecurError | None = None
    if rank() == 0:
        try:
            message = [str(prepare().path.resolve())]
        except RecurError as error:
            failure = error
            message = [error.exit_code]
    dist.broadcast_object_list(message, device=torch.device("cpu"))
    if failure is not None:
        raise failure
    if isinstance(message[0], int):
        raise SystemExit(message[0])
    return RunFolder.open(message[0])


def _talk_on_loopback() -> None:
    """Have gloo, which else listens on the interface that the machine's name belongs to, use the loopback one."""
    for _, name in socket.if_nameindex():
        # Linux and macOS.
        if name in ("lo", "lo0"):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


class OneMachine(DDPStrategy):
    """Lightning's data-parallel strategy for processes that it starts itself, all on this machine.

    The store in which they find each other listens on the loopback interface; torch's own listens on all of them.
    """

    def setup_distributed(self) -> None:
        """Join the process group."""
        _talk_on_loopback()
        self.set_world_ranks()
        environment = self.cluster_environment
        assert environment is not None
        is_first, port = self.global_rank == 0, environment.main_port
        listener = socket.create_server((_LOOPBACK, port)).detach() if is_first else None
        store = dist.TCPStore(  # type: ignore[attr-defined]
            _LOOPBACK, port, self.world_size, is_first, master_listen_fd=listener
        )
        backend, device = self._get_process_group_backend(), self.root_device
        dist.init_process_group(
            backend,
            store=store,
            rank=self.global_rank,
            world_size=self.world_size,
            timeout=self._timeout,
            device_id=device if device.type != "cpu" else None,
        )
        if backend == "nccl":
            # torch wants it destroyed before the process ends.
            atexit.register(dist.destroy_process_group)
        super().setup_distributed()


def is_first() -> bool:
    """Return whether this process is the first of those that train together."""
    return rank() == 0


def is_lost_connection(error: RuntimeError) -> bool:
    """Return whether a collective call failed with `error` because another process is gone."""
    text = str(error).lower()
    return "connection" in text and ("closed" in text or "reset" in text)
