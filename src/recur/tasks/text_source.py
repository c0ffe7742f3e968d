"""Where the texts of a run lie, and whether they are still what it was trained on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import narwhals as nw
import numpy as np

from recur.data.missing import without_missing
from recur.data.texts.examples import Examples, PartName
from recur.errors import DataError, OptionError, RunError
from recur.tasks.asked_texts import listed

ExamplesType = TypeVar("ExamplesType", bound=Examples)


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """Where the texts of a run lie.

    Attributes:
        paths: Files or folders; nothing where they were never in one.
        fingerprint: Of the examples as they were read and cut into parts, SHA-256.
    """

    paths: tuple[str, ...]
    fingerprint: str

    @classmethod
    def of(cls, examples: Examples, paths: Sequence[str]) -> TextSource:
        """Return the source of examples that were read."""
        digest = hashlib.sha256()
        for one in examples.rows():
            digest.update(repr(one).encode("utf-8", "surrogatepass"))
        return cls(paths=tuple(str(Path(path).resolve()) for path in paths), fingerprint=digest.hexdigest())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TextSource:
        """Return the source that `schema.json` holds.

        Raises:
            KeyError: Something is missing.
        """
        return cls(paths=tuple(content["paths"]), fingerprint=str(content["fingerprint"]))


def again(source: TextSource | None, data: Any, read: Callable[[Any], ExamplesType]) -> ExamplesType:
    """Return the examples that a run was trained on, read again, with their parts.

    Args:
        source: Where they lie; None where nothing is known of them.
        data: The data once more; None to read them from where they lay.
        read: Reads them and cuts them into parts.

    Raises:
        OptionError: Data are given, but the run knows where they lie.
        RunError: They are needed, as they were not in a file; or they have changed since.
        DataError: They cannot be read any more.
    """
    paths = source.paths if source is not None else ()
    if data is not None and paths:
        raise OptionError(f"data: the run reads its own from {paths[0]}; leave them out.")
    if data is None and not paths:
        raise RunError("the run's own texts were not in a file, so they cannot be read again; give the data.")
    found = read(list(paths) if data is None else data)
    if source is not None and TextSource.of(found, ()).fingerprint != source.fingerprint:
        where = f" in {paths[0]}" if paths else ""
        raise RunError(f"the texts{where} have changed since the training; give the old ones, or train anew.")
    return found


def check_is_no_text(data: Any) -> None:
    """Raise where data are a text that is the name of no file: most likely the text itself was meant.

    Raises:
        DataError: They are.
    """
    if isinstance(data, str) and not os.path.exists(data):  # noqa: PTH110 - a long text is no name of a file either
        name = data if len(data) <= 80 else f"{data[:79]}…"
        raise DataError(f"{name}: no such file or folder; check the path, or give a text itself in a list, [text].")


def entries_of(data: Any) -> Any:
    """Return the entries of an array, or of a column of a dataframe, as a list; other data as they are.

    Example:
        >>> entries_of(np.array(["so good", "so bad"])), entries_of("reviews.csv")
        (['so good', 'so bad'], 'reviews.csv')
    """
    if isinstance(data, np.ndarray):
        return data.tolist() if data.ndim else data
    if nw.dependencies.is_pandas_index(data):
        return data.tolist()
    column = nw.from_native(data, pass_through=True, allow_series=True)
    return column.to_list() if isinstance(column, nw.Series) else data


def texts_among(data: Any) -> Any:
    """Return what `entries_of` returns, of a column or an array with "" where a text is missing, as in a file."""
    entries = entries_of(data)
    return entries if entries is data else ["" if one is None else one for one in without_missing(entries)]


def texts_themselves(data: Any) -> list[str] | None:
    """Return texts that are given as such; None where data are something else.

    Args:
        data: Any; texts stand in a list or a tuple, an array of one dimension, or a column of a dataframe, where those
            that are missing are "".

    Raises:
        DataError: They are a text by itself, which would be the name of a file.
        TypeError: One of a list is no text.
    """
    check_is_no_text(data)
    data = texts_among(data)
    if not isinstance(data, list | tuple):
        return None
    is_text, is_path = [isinstance(one, str) for one in data], [isinstance(one, os.PathLike) for one in data]
    # A tuple may be two lists, texts and their answers, and paths may be written either way.
    if any(is_path) or (isinstance(data, tuple) and data and not any(is_text)):
        return None
    return listed("the data", data)


def parts_of(examples: ExamplesType) -> dict[PartName, ExamplesType]:
    """Return the examples of each part; those of one may be none."""
    return {"train": examples.of_part("train"), "valid": examples.of_part("valid"), "test": examples.of_part("test")}
