"""Checkpoints for resuming: everything that the next step depends on, saved between two steps."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from recur.errors import RunError
from recur.kinds import is_whole
from recur.run import CHECKPOINT, RunFolder, write_atomic
from recur.wording import option

_KEY = "recur"

_FORMAT = 2
"""Of what lies under the key. 1, which has no number, carried a state where now there is a whole `TruncatedBPTT`."""


Gather = Callable[[Tensor], list[Tensor]]
"""Returns a tensor as every process has it, on the processor."""


class Carried(Protocol):
    """What a task hands from step to step beside weights and optimiser, and what a resumed training must agree on."""

    def saved(self, gather: Gather | None) -> dict[str, Any]:
        """Return all of it, of every process where they are several, then with a collective call of `gather`."""

    def restore(self, saved: Mapping[str, Any], rank: int, count: int) -> None:
        """Take this process's part, the one of number `rank` of `count`."""

    def misfit(self, saved: Mapping[str, Any]) -> str:
        """Return what of `saved` is of another training, such as "its window is 16, expected 8"; else nothing.

        Raises:
            KeyError: Something is missing.
        """

    def to(self, device: torch.device) -> None:
        """Move what was taken to `device`."""


def path_of(run: RunFolder) -> Path:
    """Return where the checkpoint of `run` lies."""
    return run.path / CHECKPOINT


def read(run: RunFolder) -> dict[str, Any]:
    """Return the checkpoint of `run`, read without running any code from it.

    Raises:
        RunError: It is missing, damaged, or of another version of recur.
    """
    import pickle  # only for the name of the error that `weights_only` raises
    import zipfile

    path = path_of(run)
    if not path.is_file():
        raise RunError(f"{path}: missing, so there is nothing to resume; train anew with {option('overwrite', True)}.")
    try:
        # torch does not look at the checksums that it writes.
        with zipfile.ZipFile(path) as file:
            spoilt = file.testzip()
        if spoilt is not None:
            raise ValueError(f"the checksum of {spoilt} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        step = checkpoint["global_step"]
        kept = checkpoint[_KEY]
        _check_format(path, kept.get("format", 1))
        if not isinstance(step, int) or "random" not in kept or not isinstance(kept["carried"], dict):
            raise KeyError(_KEY)
        validations_without_better(checkpoint)
        elapsed(checkpoint)
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        pickle.PickleError,
        zipfile.BadZipFile,
    ) as e:
        raise _damaged(path, e) from e
    return dict(checkpoint)


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path}: damaged ({type(error).__name__}), cannot be resumed; train anew with {option('overwrite', True)}."
    )


def _check_format(path: Path, found: object) -> None:
    if not is_whole(found, 1):
        raise RunError(
            f"{path}: damaged: its format is {found!r}, expected {_FORMAT}, cannot be resumed; train anew with "
            f"{option('overwrite', True)}."
        )
    if found != _FORMAT:
        age = "an older" if found < _FORMAT else "a newer"
        raise RunError(
            f"{path}: written by {age} recur (format {found}, this one reads {_FORMAT}), cannot be resumed; train anew "
            f"with {option('overwrite', True)}."
        )


def exists(run: RunFolder) -> bool:
    """Return whether `run` got as far as its first checkpoint."""
    return path_of(run).is_file()


def step_of(run: RunFolder) -> int:
    """Return how many steps the checkpoint of `run` has behind it; 0 where it got to none.

    Raises:
        RunError: As of `read`.
    """
    return int(read(run)["global_step"]) if exists(run) else 0


def check_fits(state: dict[str, Any], run: RunFolder, task: LightningModule, carried: Carried) -> None:
    """Raise unless a checkpoint is of the model and the data that `config.json` describes.

    Raises:
        RunError: It is not.
    """
    weights = state.get("state_dict")
    found = {name: tuple(value.shape) for name, value in weights.items()} if isinstance(weights, dict) else {}
    wanted = {name: tuple(value.shape) for name, value in task.state_dict().items()}
    name = next((key for key in [*wanted, *found] if wanted.get(key) != found.get(key)), None)
    misfit = f"{name} is {found.get(name)}, expected {wanted.get(name)}" if name is not None else ""
    try:
        misfit = misfit or carried.misfit(state[_KEY]["carried"])
    except (KeyError, TypeError) as error:
        raise _damaged(path_of(run), error) from error
    if misfit:
        raise RunError(f"{path_of(run)}: does not fit config.json: {misfit}.")


def validation(state: dict[str, Any]) -> dict[str, Any]:
    """Return what validation knew when the checkpoint was written."""
    return dict(state["callbacks"]["Validation"])


def save_validation(run: RunFolder, state: dict[str, Any], known: dict[str, Any]) -> None:
    """Write the checkpoint of `run` once more, with what validation knows now.

    Raises:
        RunError: It cannot be written.
    """
    callbacks = {**state["callbacks"], "Validation": known}
    AtomicCheckpointIO().save_checkpoint({**state, "callbacks": callbacks}, path_of(run))


def validations_without_better(state: dict[str, Any]) -> int:
    """Return how many validations in a row had not been better when the checkpoint was written."""
    return int(validation(state)["without_better"])


def elapsed(state: dict[str, Any]) -> float:
    """Return the seconds of training until the checkpoint was written."""
    return float(state["callbacks"]["Pace"]["elapsed"])


def process_count(state: dict[str, Any]) -> int:
    """Return how many processes trained together when the checkpoint was written."""
    return len(state[_KEY]["random"])


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, and explains what stands in the way.

    Lightning's own goes through the system's folder of temporary files, which may be on another disk, or full.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            RunError: It cannot be written.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomic(Path(path), lambda temporary: _write(temporary, buffer))


def _write(path: Path, content: io.BytesIO) -> None:
    path.write_bytes(content.getbuffer())


@dataclass(kw_only=True, eq=False)
class Checkpoints(Callback):
    """Saves and restores what Lightning does not: what is carried and the random states, of every process.

    What is carried is stored as one process would have it, so that a run may go on with another number of them; then
    the random states, which are one a process, start anew.

    Args:
        run: Where the checkpoint lies.
        carried: What the task carries.
    """

    run: RunFolder
    carried: Carried
    _random: list[Tensor] | None = None

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint, atomically. With several processes a collective call."""
        trainer.save_checkpoint(path_of(self.run))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what is carried and the random state of each process."""
        random = [_random_state()]
        if trainer.world_size > 1:
            random = _gathered(random[0].to(pl_module.device))
        carried = self.carried.saved(_gathered if trainer.world_size > 1 else None)
        checkpoint[_KEY] = {"format": _FORMAT, "carried": carried, "random": random}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take this process's part of what is carried, and remember the random state for the first step."""
        self.carried.restore(checkpoint[_KEY]["carried"], trainer.global_rank, trainer.world_size)
        random = checkpoint[_KEY]["random"]
        if len(random) == trainer.world_size:
            self._random = random

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move what was restored to where it is used, after all set-up that might draw random numbers."""
        self.carried.to(pl_module.device)
        if self._random is not None:
            _set_random_state(self._random[trainer.global_rank])
            self._random = None


def _random_state() -> Tensor:
    """Return the generators' states in one tensor: the processor's, then the GPU's of this process."""
    state = torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state = torch.cat([state, torch.cuda.get_rng_state()])
    return state


def _set_random_state(state: Tensor) -> None:
    length = len(torch.get_rng_state())
    torch.set_rng_state(state[:length])
    if len(state) > length and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[length:])


def _gathered(tensor: Tensor) -> list[Tensor]:
    """Return the tensor of every process, on the processor."""
    tensors = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(tensors, tensor.contiguous())
    return [each.cpu() for each in tensors]
