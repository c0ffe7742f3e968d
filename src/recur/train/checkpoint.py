"""Checkpoints for resuming: everything that the next step depends on, saved between two steps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from recur.errors import RunError
from recur.models.language import State
from recur.run import RunFolder, write_atomic
from recur.tasks.language import LanguageTask

_KEY = "recur"


def path_of(run: RunFolder) -> Path:
    """Return where the checkpoint of `run` lies."""
    return run.path / "checkpoints" / "last.ckpt"


def read(run: RunFolder) -> dict[str, Any]:
    """Return the checkpoint of `run`, read without running any code from it.

    Raises:
        RunError: It is missing or damaged.
    """
    import pickle  # only for the name of the error that `weights_only` raises

    path = path_of(run)
    if not path.is_file():
        raise RunError(f"{path}: missing, so there is nothing to resume; train anew with --overwrite.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        step = checkpoint["global_step"]
        if not isinstance(step, int) or not {"carried", "random"} <= set(checkpoint[_KEY]):
            raise KeyError(_KEY)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, pickle.PickleError) as e:
        raise RunError(f"{path}: damaged ({type(e).__name__}), cannot be resumed; train anew with --overwrite.") from e
    return dict(checkpoint)


@dataclass(kw_only=True, eq=False)
class Checkpoints(Callback):
    """Saves and restores what Lightning does not: the carried state and the random states, of every process.

    The carried states are stored as one batch of all streams, so that a run may go on with another number of
    processes; then the random states, which are one a process, start anew.
    """

    run: RunFolder
    _random: list[Tensor] | None = None

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint, atomically. With several processes a collective call."""
        path = path_of(self.run)
        if trainer.world_size == 1:
            write_atomic(path, lambda temporary: trainer.save_checkpoint(temporary))
            return
        # Every process must name the same file, so the name holds no process number here.
        temporary = path.with_suffix(".tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(path)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the carried state (each layer (1, B, H) of all streams) and the random state of each process."""
        assert isinstance(pl_module, LanguageTask)
        carried = None if pl_module.carried is None else [_parts(s) for s in pl_module.carried]
        random = [_random_state()]
        if trainer.world_size > 1:
            random = _gathered(random[0].to(pl_module.device))
            if carried is not None:
                carried = [[torch.cat(_gathered(part), dim=1) for part in layer] for layer in carried]
        checkpoint[_KEY] = {"carried": carried, "random": random}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take this process's rows of the carried state, and remember the random state for the first step."""
        assert isinstance(pl_module, LanguageTask)
        carried = checkpoint[_KEY]["carried"]
        if carried is not None:
            rank, count = trainer.global_rank, trainer.world_size
            pl_module.carried = tuple(_state([part.chunk(count, dim=1)[rank] for part in layer]) for layer in carried)
        random = checkpoint[_KEY]["random"]
        if len(random) == trainer.world_size:
            self._random = random
        else:
            warnings.warn("another number of devices than before: the dropout masks start anew", stacklevel=2)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the restored states to where they are used, after all set-up that might draw random numbers."""
        assert isinstance(pl_module, LanguageTask)
        if pl_module.carried is not None:
            pl_module.carried = tuple(_moved(s, pl_module.device) for s in pl_module.carried)
        if self._random is not None:
            _set_random_state(self._random[trainer.global_rank])
            self._random = None


def _random_state() -> Tensor:
    """Return the generators' states in one tensor: the processor's, then the GPU's of this process."""
    state = torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state = torch.cat([state, torch.cuda.get_rng_state()])
    return state


def _set_random_state(state: Tensor) -> None:
    length = len(torch.get_rng_state())
    torch.set_rng_state(state[:length])
    if len(state) > length and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[length:])


def _parts(state: Tensor | tuple[Tensor, Tensor]) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else list(state)


def _state(parts: list[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
    return parts[0].contiguous() if len(parts) == 1 else (parts[0].contiguous(), parts[1].contiguous())


def _gathered(tensor: Tensor) -> list[Tensor]:
    """Return the tensor of every process, on the processor."""
    tensors = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(tensors, tensor.contiguous())
    return [each.cpu() for each in tensors]


def _moved(state: Tensor | tuple[Tensor, Tensor], device: torch.device) -> Any:
    return state.to(device) if isinstance(state, Tensor) else (state[0].to(device), state[1].to(device))
