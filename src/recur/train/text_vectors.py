"""Vectors of words that others have trained, from the options of a training to its network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from recur.data.texts.vector_options import VectorOptions
from recur.data.texts.vectors import TokenVectors
from recur.errors import OptionError, RunError
from recur.models.texts.options import TextLayerOptions
from recur.run import RunFolder
from recur.train.display import Display
from recur.train.job import stored_options
from recur.train.preparation import whole_path
from recur.wording import option

VECTORS = "vectors.safetensors"
"""File of a run with the vectors that its words began with."""

Options = TypeVar("Options", bound=TextLayerOptions)


class _TakesVectors(Protocol):
    def take_vectors(self, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
        """Let tokens begin with vectors that were trained elsewhere."""


def with_whole_path(vectors: VectorOptions) -> VectorOptions:
    """Return the options with a path that holds wherever the run is opened from."""
    return replace(vectors, vectors=whole_path(vectors.vectors))


def sized(options: Options, begun: TokenVectors | None) -> Options:
    """Return options whose vectors of tokens are as large as those of a file, if there is one.

    Raises:
        OptionError: Another size is asked for.
    """
    if begun is None:
        return options
    size = begun.values.shape[1]
    if options.embedding_size not in (None, size):
        raise OptionError(
            f"embedding_size: is that of the vectors, {size}, not {options.embedding_size}; leave "
            f"{option('embedding_size')} out."
        )
    return replace(options, embedding_size=size)


def keep(run: RunFolder, begun: TokenVectors | None) -> None:
    """Write the vectors to a run, so that it goes on without their file whenever it was interrupted."""
    if begun is not None:
        tensors = {"ids": torch.from_numpy(begun.ids), "values": torch.from_numpy(begun.values)}
        run.write_tensors(VECTORS, tensors)


def say(begun: TokenVectors | None, vectors: VectorOptions, display: Display) -> None:
    """Tell how many words have a vector."""
    if begun is not None:
        display.say(f"vectors  {begun}{'; they stay as they are' if vectors.freeze_vectors else ''}")


def begin_with(run: RunFolder, network: _TakesVectors) -> Any:
    """Return the network of a run with its words at the vectors that the run keeps, if it keeps some.

    Raises:
        RunError: They are damaged.
    """
    # A run of before there were vectors says nothing of them.
    chosen = stored_options(run, "vectors", VectorOptions) if "vectors" in run.config() else VectorOptions()
    if chosen.vectors is not None:
        tensors = run.read_tensors(VECTORS)
        try:
            network.take_vectors(tensors["ids"], tensors["values"], freeze=chosen.freeze_vectors)
        except (KeyError, IndexError, RuntimeError) as error:
            raise RunError(f"{run.path / VECTORS}: damaged: {error}.") from error
    return network
