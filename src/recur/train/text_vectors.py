"""Vectors of words that others have trained, from the options of a training to its network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from recur.data.texts.vector_options import PairVectorOptions, VectorOptions
from recur.data.texts.vectors import TokenVectors
from recur.errors import OptionError, RunError
from recur.models.texts.options import TextLayerOptions
from recur.models.texts.translator_options import TranslatorOptions
from recur.run import RunFolder
from recur.train.display import Display
from recur.train.job import stored_options
from recur.wording import option

VECTORS = "vectors.safetensors"
"""File of a run with the vectors that its words began with."""

_TARGET = "target_"
"""What names of arrays of targets begin with."""

Options = TypeVar("Options", bound=TextLayerOptions | TranslatorOptions)


class _TakesVectors(Protocol):
    def take_vectors(self, ids: Tensor, vectors: Tensor, *, freeze: bool = False) -> None:
        """Let tokens begin with vectors that were trained elsewhere."""


def sized(options: Options, begun: TokenVectors | None, of_targets: TokenVectors | None = None) -> Options:
    """Return options whose vectors of tokens are as large as those of a file, or of two, where there are some.

    Raises:
        OptionError: Another size is asked for, or the two differ.
    """
    sizes = [one.values.shape[1] for one in (begun, of_targets) if one is not None]
    if not sizes:
        return options
    if sizes[0] != sizes[-1]:
        raise OptionError(
            f"target_vectors: have {sizes[-1]} numbers, and vectors of sources {sizes[0]}; give files of vectors that "
            "are as large."
        )
    if options.embedding_size not in (None, sizes[0]):
        raise OptionError(
            f"embedding_size: is that of the vectors, {sizes[0]}, not {options.embedding_size}; leave "
            f"{option('embedding_size')} out."
        )
    return replace(options, embedding_size=sizes[0])


def kept(begun: TokenVectors | None, of_targets: TokenVectors | None = None) -> dict[str, dict[str, Tensor]]:
    """Return the file of vectors that a run keeps, by its name, so that it goes on without theirs; none without any."""
    tensors: dict[str, Tensor] = {}
    for side, one in (("", begun), (_TARGET, of_targets)):
        if one is not None:
            tensors |= {f"{side}ids": torch.from_numpy(one.ids), f"{side}values": torch.from_numpy(one.values)}
    return {VECTORS: tensors} if tensors else {}


def say(begun: TokenVectors | None, vectors: VectorOptions, display: Display, of: str = "") -> None:
    """Tell how many words have a vector; `of` names the texts that they stand in, where there are several."""
    if begun is not None:
        display.say(f"vectors  {of}{begun}{'; they stay as they are' if vectors.freeze_vectors else ''}")


def begin_with(run: RunFolder, network: _TakesVectors) -> Any:
    """Return the network of a run with its words at the vectors that the run keeps, if it keeps some.

    Raises:
        RunError: They are damaged.
    """
    chosen = stored_options(run, "vectors", VectorOptions)
    if chosen.vectors is not None:
        with _kept(run, "") as (ids, values):
            network.take_vectors(ids, values, freeze=chosen.freeze_vectors)
    return network


def begin_pairs_with(run: RunFolder, network: Any) -> Any:
    """Return the network of a translator likewise, whose targets may begin with vectors too.

    Raises:
        RunError: They are damaged.
    """
    chosen = stored_options(run, "vectors", PairVectorOptions)
    for side, prefix, path in (("source", "", chosen.vectors), ("target", _TARGET, chosen.target_vectors)):
        if path is not None:
            with _kept(run, prefix) as (ids, values):
                network.take_vectors(ids, values, freeze=chosen.freeze_vectors, side=side)
    return network


@contextmanager
def _kept(run: RunFolder, prefix: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Give the ids and vectors that a run keeps; what goes wrong with them there is damage of its file."""
    try:
        tensors = run.read_tensors(VECTORS)
        yield tensors[f"{prefix}ids"], tensors[f"{prefix}values"]
    except (KeyError, IndexError, RuntimeError) as error:
        raise RunError(f"{run.path / VECTORS}: damaged: {error}.") from error
