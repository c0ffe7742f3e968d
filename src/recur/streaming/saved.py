"""What a stream remembers, in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recur.errors import RunError
from recur.run import checksum, write_atomic

if TYPE_CHECKING:
    from recur.streaming.live_stream import Stream

FORMAT = 2
"""Version of the file. Others are refused."""


def save(stream: Stream[Any], path: Path) -> None:
    """Write what a stream remembers to one safetensors file, atomically.

    Its metadata has one entry, "stream": JSON with the format, the names of the series, and by what the model and the
    options are recognised.

    Raises:
        RunError: It cannot be written.
    """
    from safetensors.torch import save as packed

    tensors: dict[str, torch.Tensor] = {f"state.{name}": tensor for name, tensor in stream.states.tensors().items()}
    for name, array in _arrays(stream).items():
        plain = array.astype(np.int64) if array.dtype.kind == "M" else array
        tensors[f"series.{name}"] = torch.from_numpy(np.ascontiguousarray(plain))
    content = json.dumps({"format": FORMAT, **_identity(stream), "ids": stream.slots.ids}, ensure_ascii=False)
    data = packed(tensors, metadata={"stream": content})

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomic(path, write)


def restore(stream: Stream[Any], path: Path) -> None:
    """Let a stream that has not begun go on from what `save` wrote.

    Raises:
        RunError: The file is missing, damaged, of another format, or of another model or other options.
    """
    from safetensors import SafetensorError, safe_open

    if len(stream):
        raise RunError("the stream has begun, so it cannot go on from a saved state; open another one.")
    if path.is_dir():
        raise RunError(f"{path}: is a folder; give a file that a stream's state was saved to.")
    if not path.is_file():
        raise RunError(f"{path}: no such file; leave the state out to begin anew.")
    try:
        with safe_open(str(path), framework="pt") as file:
            content = json.loads((file.metadata() or {})["stream"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if content["format"] > FORMAT:
            raise RunError(f"{path}: written by a newer recur; upgrade recur.")
        if content["format"] < FORMAT:
            raise RunError(
                f"{path}: is of an older recur, whose states hold less; begin anew, with the newest rows of each "
                "series."
            )
        for name, wanted in _identity(stream).items():
            if content[name] != wanted:
                raise RunError(
                    f"{path}: is of a stream with another {_NAMES[name]}, so that its states mean something else; "
                    "go on with that one, or begin anew."
                )
        ids = content["ids"]
        if len(set(ids)) < len(ids) or not all(isinstance(name, str) for name in ids):
            raise ValueError("the names of the series are no names")
        arrays = {name.removeprefix("series."): t.numpy() for name, t in tensors.items() if name.startswith("series.")}
        fresh = _arrays(stream)
        for name, array in fresh.items():
            if arrays[name].shape != (len(ids), *array.shape[1:]):
                raise ValueError(f"{name} has the shape {arrays[name].shape}")
        states = {name.removeprefix("state."): t for name, t in tensors.items() if name.startswith("state.")}
        stream.states.load(states, len(ids))
    except (SafetensorError, OSError, UnicodeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: damaged, or no saved stream: {' '.join(str(error).split())}.") from error
    stream.slots.add(ids)
    stream.buffer.grow(len(ids))
    for name, array in _arrays(stream).items():
        array[:] = arrays[name].view(array.dtype) if array.dtype.kind == "M" else arrays[name]


_NAMES = {
    "weights": "model",
    "setup": "setup",
    "longest_gap": "longest gap",
    "buffer": "number of steps that are kept",
}
"""How the entries by which a stream is recognised are called."""


def _identity(stream: Stream[Any]) -> dict[str, Any]:
    network, setup = stream.model.network, stream.model.setup
    numbers = {
        f"{file}.{name}": tensor.clone(memory_format=torch.contiguous_format)
        for file, tensors in setup.tensors().items()
        for name, tensor in tensors.items()
    }
    said = json.dumps(setup.to_json(), sort_keys=True)
    return {
        "weights": checksum(network.state_dict()),
        "setup": checksum(numbers | {said: torch.zeros(0)}),
        "longest_gap": stream.longest_gap,
        "buffer": stream.buffer.size,
    }


def _arrays(stream: Stream[Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return what is known of each series, as views."""
    count = len(stream)
    newest = {f"newest_{name}": getattr(stream.buffer, name)[:count] for name in ("step", "values", "codes")}
    for each in stream.remembered:
        newest |= each.arrays(count)
    return newest
