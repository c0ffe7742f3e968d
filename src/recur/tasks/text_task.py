"""What the trained networks of all text tasks have in common: reading them from a run folder and writing them there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import nn

from recur.errors import OptionError, RunError
from recur.run import FORMAT, RunFolder
from recur.tasks.knowledge import check_knows
from recur.tasks.run_weights import with_its_size, with_weights
from recur.tasks.text_setup import TextSetup

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Network = TypeVar("Network", bound=nn.Module)
Setup = TypeVar("Setup", bound=TextSetup[Any])
Options = TypeVar("Options", bound="DataclassInstance")


class TrainedOnTexts(ABC, Generic[Network, Setup, Options]):
    """A network that was trained on texts, with all that it needs to read them.

    Args:
        network: Put in evaluation mode.
        setup: How texts become what it reads.
        options: What it was built with.

    Attributes:
        network: As given.
        setup: As given.
        options: As given.
    """

    task: ClassVar[str]
    setup_type: ClassVar[type[Any]]
    options_type: ClassVar[type[Any]]
    knows: ClassVar[str]
    """What of the data weights are trained with, for messages, such as "vocabulary or classes"."""

    def __init__(self, network: Network, setup: Setup, options: Options) -> None:
        self.network, self.setup, self.options = network.eval(), setup, options

    def __repr__(self) -> str:
        return with_its_size(self, self.network)

    @staticmethod
    @abstractmethod
    def build(options: Any, setup: Any) -> Any:
        """Return the network that recur trains with these options on such texts, its weights freshly drawn.

        Raises:
            OptionError: The options do not go with such texts.
        """

    @classmethod
    def load(cls, run: str | Path | RunFolder, *, device: str | torch.device = "cpu") -> Self:
        """Return what a run trained. Nothing in the folder is executed.

        Args:
            run: The folder.
            device: Where the network shall compute.

        Raises:
            RunError: The folder is missing, damaged, of a newer format, or of another task.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.config()
        if config.get("task") != cls.task:
            raise RunError(f"{folder.path}: is a run of task {config.get('task')!r}, expected {cls.task!r}.")
        setup = cls.setup_type.load(folder)
        check_knows(folder, config, setup.fingerprint, cls.knows)
        try:
            options = cls.options_type(**config["model"])
            network = with_weights(folder, lambda: cls.build(options, setup))
        except (KeyError, TypeError, OptionError) as error:
            raise RunError(f"{folder.path / 'config.json'}: damaged: model: {str(error).rstrip('.')}.") from error
        found = cls(network.to(device), setup, options)
        found._load_more(folder)
        return found

    def save(self, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """Write a run folder that `load` reads, and return it.

        Args:
            path: Where.
            overwrite: Whether a run that stands there may be replaced.

        Raises:
            RunError: The folder exists, or cannot be written.
        """
        folder = RunFolder.create(path, overwrite=overwrite, named="path")
        folder.write_json("schema.json", self.setup.to_json())
        folder.save_weights(self.network.state_dict())
        self._save_more(folder)
        # Last, for it makes the folder a run.
        config = {"format": FORMAT, "task": self.task, "knows": self.setup.fingerprint, "model": asdict(self.options)}
        folder.write_json("config.json", config)
        return folder

    def _load_more(self, folder: RunFolder) -> None:
        """Take what a run holds beside the network.

        Raises:
            RunError: It is damaged.
        """

    def _save_more(self, folder: RunFolder) -> None:
        """Write what a run holds beside the network."""
