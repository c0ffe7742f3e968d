"""What comes before any training: a free place for the run, devices that are there, the first files of its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from recur.environment import collect
from recur.errors import OptionError, RunError
from recur.run import FORMAT, RunFolder
from recur.train import processes
from recur.train.options import TrainingOptions
from recur.wording import option


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that can be made: its place is free, and the machine has what its training asks for.

    Attributes:
        out: The run folder to be.
        overwrite: Whether a run that stands there is replaced.
        device: Where training computes: "cpu", "cuda" or "mps".
    """

    out: Path
    overwrite: bool
    device: str

    @classmethod
    def at(
        cls,
        out: str | Path | None,
        paths: Sequence[str],
        training: TrainingOptions,
        *,
        what: str,
        others: Sequence[str | None] = (),
        overwrite: bool,
    ) -> Self:
        """Return the new run of a training, after all is checked that can be before its data are read.

        Args:
            out: The run folder to be; None for one that is called as the data are.
            paths: Files and folders of the data; nothing where they are in memory.
            training: How it is trained.
            what: What the data are, such as "texts".
            others: Further files that the options name; None are none.
            overwrite: Whether a run that stands there may be replaced.

        Raises:
            RunError: There is no place for it.
            OptionError: The machine lacks a device or a package.
        """
        out = default_folder(paths or [what], overwrite) if out is None else Path(out)
        check_place(out, [*paths, *others], what=what, overwrite=overwrite)
        check_machine(training)
        return cls(out=out, overwrite=overwrite, device=device_kind(training))

    def write(
        self,
        task: str,
        options: Mapping[str, Any],
        network: nn.Module,
        *,
        schema: Mapping[str, Any],
        backends: Any,
        tensors: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
        knows: str | None = None,
    ) -> RunFolder:
        """Make the run folder with all that is known before the first step.

        Args:
            task: As `config.json` has it.
            options: The dataclasses of options after defaults, by their sections of `config.json`.
            network: Whose layers are listed.
            schema: As of `write_run`, as all others.
            backends: Likewise.
            tensors: Likewise.
            knows: Fingerprint of what its weights are trained with, where these must not be taken for others.

        Raises:
            RunError: The folder cannot be made or written.
        """
        sections = {name: asdict(one) for name, one in options.items()}
        return write_run(
            self.out,
            overwrite=self.overwrite,
            config={"task": task, **({} if knows is None else {"knows": knows}), **sections},
            schema=schema,
            layers=layers_of(network),
            device=self.device,
            backends=backends,
            tensors=tensors,
        )


def check_place(out: Path, sources: Sequence[str | None], *, what: str, overwrite: bool) -> None:
    """Raise unless a run can be made at `out` without harm to the data it is trained on.

    Args:
        out: The run folder to be.
        sources: Files and folders of the data; None and "-" are none.
        what: What the data are, such as "text".
        overwrite: Whether a run that stands there may be replaced.

    Raises:
        RunError: It cannot.
    """
    RunFolder.check_free(out, overwrite=overwrite)
    _check_holds_no_data(out, sources, what)


def check_machine(training: TrainingOptions) -> None:
    """Raise unless this machine has the devices and the packages that a training asks for.

    Raises:
        OptionError: It lacks one.
    """
    _check_devices(training)
    if training.tensorboard:
        _check_tensorboard()


def write_run(
    out: Path,
    *,
    overwrite: bool,
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]],
    device: str,
    backends: Any,
    tensors: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
) -> RunFolder:
    """Make a run folder with all that is known before the first step.

    Args:
        out: Where.
        overwrite: Whether a run that stands there is replaced.
        config: "task" and every option after defaults, as `config.json` holds them beside the format.
        schema: What `schema.json` holds.
        layers: The table of layers, each with its number of "parameters".
        device: Where training computes.
        backends: What runs each layer, and why nothing faster does.
        tensors: What further files hold, by their names.

    Raises:
        RunError: The folder cannot be made or written.
    """
    # An old run is deleted only when nothing is left that could fail for another reason than the disk.
    environment = collect() | {"device": device, "backends": backends}
    run = RunFolder.create(out, overwrite=overwrite)
    run.write_json("schema.json", schema)
    run.write_json("model.json", {"layers": layers, "parameters": sum(row["parameters"] for row in layers)})
    run.write_json("env.json", environment)
    for name, content in (tensors or {}).items():
        run.write_tensors(name, content)
    # Last, because a folder with a config.json is a run.
    run.write_json("config.json", {"format": FORMAT, **config})
    return run


def layers_of(network: nn.Module) -> list[dict[str, Any]]:
    """Return a row for each module that has weights of its own: name, kind, shapes, number of parameters."""
    rows = []
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if own:
            rows.append(
                {
                    "name": name,
                    "kind": type(module).__name__,
                    "weights": {key: list(value.shape) for key, value in own.items()},
                    "parameters": sum(value.numel() for value in own.values()),
                    "output": "",
                }
            )
    return rows


def default_folder(sources: Sequence[str], overwrite: bool) -> Path:
    """Return runs/<name>, or, unless it may be replaced, the first of runs/<name>-2, -3, ... that does not exist.

    Args:
        sources: The data, whose first source gives the name.
        overwrite: Whether a run that stands there may be replaced.
    """
    # Not resolved: a link gives the name that the user knows, and one to itself has no other.
    if not sources:
        # Whoever reads them says so.
        return Path("runs") / "run"
    first = "stdin" if sources[0] == "-" else (Path.cwd() / sources[0]).name or "run"
    if first == "..":
        first = Path(sources[0]).resolve().name or "run"
    name = first.removesuffix(".gz").rsplit(".", 1)[0] or "run"
    folder, number = Path("runs") / name, 2
    while folder.exists() and not overwrite:
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def whole_path(source: str | None) -> str | None:
    """Return the whole path of a source, but of standard input and of nothing.

    So that a run finds its data from any folder, and when it is moved itself.
    """
    return source if source in (None, "-") else os.path.abspath(str(source))  # noqa: PTH100 - a link keeps its name


def _check_holds_no_data(out: Path, sources: Sequence[str | None], what: str) -> None:
    # The other way about, a run in a folder of text, is no harm: whoever reads the folder passes over runs.
    folder = os.path.realpath(out)
    for source in sources:
        if source is None or source == "-":
            continue
        if os.path.commonpath([folder, os.path.realpath(source)]) == folder:
            raise RunError(
                f"{out}: holds the {what} {source}, so it is no place for the run; choose another with {option('out')}."
            )


def _check_devices(training: TrainingOptions) -> None:
    kind, wanted = device_kind(training), processes.local_count(training.devices)
    if training.devices not in (1, wanted):
        raise OptionError(
            f"devices is {training.devices}, but torchrun started {wanted} here; leave {option('devices')} out."
        )
    found = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, wanted)
    if wanted > found:
        raise OptionError(f"devices is {wanted}, but this machine has {found} of {kind}; give at most {found}.")


def _check_tensorboard() -> None:
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        raise OptionError("tensorboard is not installed; install it with: pip install tensorboard.")


def device_kind(training: TrainingOptions) -> str:
    """Return "cpu", "cuda" or "mps".

    Raises:
        OptionError: The device is not there.
    """
    if training.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    is_there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not is_there[training.device]:
        raise OptionError(f"device {training.device} is not available on this machine; use cpu, or auto.")
    return training.device
