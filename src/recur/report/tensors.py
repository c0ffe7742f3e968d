"""The arrays of a safetensors file, each looked at before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from recur.errors import RunError
from recur.report.passage import visible

_KINDS = {"I8": np.int8, "I32": np.int32, "F32": np.float32}


class Tensors:
    """The arrays of the safetensors file `path`, to be used as a context.

    What is not of the kind and shape that was asked for is left out, and named in `left_out`.

    Raises:
        RunError: The file is missing, cannot be read or is no safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.left_out: list[str] = []
        """A phrase for each array that was there and could not be used."""
        if not path.is_file():
            raise RunError(f"{path}: missing; run `recur inspect` on this run again.")
        try:
            self._file: Any = safe_open(str(path), framework="np").__enter__()  # type: ignore[no-untyped-call]
        except (SafetensorError, OSError, ValueError) as error:
            said = " ".join(str(error).split())
            raise RunError(f"{path}: damaged: {said}; run `recur inspect` on this run again.") from error
        self.names: frozenset[str] = frozenset(self._file.keys())
        """The names of all arrays."""

    def __enter__(self) -> Tensors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def take(self, name: str, kind: str, shape: Sequence[int | None]) -> np.ndarray[Any, Any] | None:
        """Return an array, or None where there is none that fits.

        Args:
            name: Its name.
            kind: What its elements are: "I8", "I32" or "F32".
            shape: Its sizes; None stands for any from one up.
        """
        if name not in self.names:
            return None
        stored = self._file.get_slice(name)
        sizes, found = stored.get_shape(), stored.get_dtype()
        fits = len(sizes) == len(shape) and all(
            size > 0 and wanted in (None, size) for size, wanted in zip(sizes, shape, strict=True)
        )
        if found != kind or not fits:
            wanted_shape = ", ".join("any" if size is None else str(size) for size in shape)
            self.left_out.append(
                f"{visible(name)} is {found} of shape ({', '.join(map(str, sizes))}), "
                f"expected {kind} of shape ({wanted_shape})"
            )
            return None
        array: np.ndarray[Any, Any] = self._file.get_tensor(name)
        return array.astype(_KINDS[kind], copy=False)
