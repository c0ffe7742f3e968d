"""Text to the token ids of a training, a validation and a test part, on disk and mapped into memory.

A corpus lies in a folder of a cache, named after its content: the same text with the same options is built once.

| file | holds |
| --- | --- |
| `train.bin`, `valid.bin`, `test.bin` | token ids, little-endian, of the smallest of uint8, uint16 and uint32 |
| `train_documents.npy`, … | int64 starts of documents, when a document separator was given |
| `corpus.json` | the tokeniser, sizes, counts, and where the text came from, with a checksum |

Building reads the text once into a temporary file of code points, cuts it by characters, fits the tokeniser to the
training part, and encodes; memory stays small whatever the size of the text, the disk needs 1 to 4 bytes per character
more while it lasts. A build that stops half-way leaves nothing that would be taken for a corpus.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recur.data.building import (
    CORPUS_FORMAT,
    PARTS,
    Part,
    Source,
    build_folder,
    checksum,
    corpus_key,
    crc32,
    files_of_parts,
    hashed,
    named,
    spooled,
)
from recur.data.encoding import Meter, Progress, id_type, write_part
from recur.data.options import CorpusOptions
from recur.data.spool import mapped
from recur.data.text import find_texts
from recur.data.tokenizer import Tokenizer, tokenizer_from_json
from recur.errors import DataError, RunError
from recur.kinds import is_whole
from recur.run import explained_os_errors
from recur.wording import option, quantity

__all__ = [
    "PARTS",
    "Corpus",
    "EncodedText",
    "Part",
    "Progress",
    "Source",
    "check_long_enough",
    "encode_text",
]

_STALE_SECONDS = 24 * 3600
_ADVICE = "the corpus was not built; free some space, or choose another folder"


class Corpus:
    """Token ids of three parts, and the tokeniser that was fitted to the first.

    Attributes:
        path: The corpus's folder.
        key: SHA-256, in hexadecimal, of the content, the options and the version of the tokenisers.
        tokenizer: What made the ids.
        train: Token ids (N,) of the training part, memory-mapped, read-only.
        valid: Token ids of the validation part.
        test: Token ids of the test part.
        sources: The files it was made from.
        counts: How often each id occurs in the training part.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "abc.txt").write_text("abcab" * 20)
        >>> corpus = Corpus.build([folder / "abc.txt"], CorpusOptions(), folder / "cache")
        >>> len(corpus.train), len(corpus.valid), len(corpus.test), corpus.counts
        (90, 5, 5, [36, 36, 18, 0])
        >>> "".join(corpus.text("test"))
        'abcab'
    """

    train: NDArray[Any]
    valid: NDArray[Any]
    test: NDArray[Any]

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.key: str = content["key"]
        self.tokenizer: Tokenizer = tokenizer_from_json(content["tokenizer"])
        self.sources = [Source(**source) for source in content["sources"]]
        self.counts: list[int] = content["counts"]
        self._tokens: dict[str, int] = content["tokens"]
        self._characters: dict[str, int] = content["characters"]
        self._unknown: dict[str, int] = content["unknown"]
        self._has_documents: bool = content["has_documents"]
        dtype = id_type(self.tokenizer.vocabulary_size)
        for part in PARTS:
            setattr(self, part, mapped(path / f"{part}.bin", dtype, self._tokens[part]))
        self._documents = {part: np.load(path / f"{part}_documents.npy") for part in PARTS if self._has_documents}

    # --- making and finding -------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls, sources: Sequence[str | Path], options: CorpusOptions, cache: Path, progress: Progress | None = None
    ) -> Corpus:
        """Return the corpus of `sources`, from the cache if it was built before.

        Args:
            sources: Files, folders, or `-` for standard input; see `recur.data.text.find_texts`.
            options: How they become tokens and parts.
            cache: Folder of corpora; made if it is missing.
            progress: Called now and then with a stage, how much of it is done, and how much there is.

        Raises:
            DataError: A file cannot be used, or the text is too short or has a single symbol.
            RunError: The cache cannot be written.
        """
        with _workshop(Path(cache)) as workshop:
            files = files_of_parts(sources, options, workshop / "copies")
            found = hashed(files, progress)
            key = corpus_key(options, files, found)
            try:
                corpus = cls.open(cache, key)
            except RunError:
                # Missing, or damaged: built anew.
                build_folder(files, found, options, key, workshop, progress)
                _publish(workshop / "corpus", Path(cache) / key)
                corpus = cls.open(cache, key)
        # The same text may have been built from files of other names.
        corpus.sources = found
        return corpus

    @classmethod
    def open(cls, cache: Path, key: str) -> Corpus:
        """Return the corpus `key` of a cache, as resuming and judging need it.

        Sizes are checked, the checksum of `corpus.json`, and that of the first and the last 16 MiB of each part.

        Raises:
            RunError: It is missing or damaged.
        """
        path = Path(cache) / key
        if not (path / "corpus.json").is_file():
            raise RunError(f"{path}: the corpus is missing; train with the same text and options to build it again.")
        content = _read_json(path)
        if content["key"] != key:
            raise _damaged(path, f"it is of another corpus, {content['key']!r}")
        try:
            for part in PARTS:
                _check_part(path, part, content)
            return cls(path, content)
        except OSError as error:
            raise RunError(f"{path}: the corpus cannot be read ({error.strerror}).") from error

    # --- what it holds ------------------------------------------------------------------------------------------

    def ids(self, part: Part) -> NDArray[Any]:
        """Return the token ids of a part, (N,), memory-mapped."""
        ids: NDArray[Any] = getattr(self, part)
        return ids

    def documents(self, part: Part) -> NDArray[np.int64] | None:
        """Return the positions of the first tokens of documents, (D,) int64, or None without a document separator."""
        return self._documents.get(part)

    def characters(self, part: Part) -> int:
        """Return the number of characters of a part (of its decoded text, if the tokens are bytes)."""
        return self._characters[part]

    def unknown(self, part: Part) -> int:
        """Return how many tokens of a part are the unknown id; none are in the training part."""
        return self._unknown[part]

    def text(self, part: Part) -> Iterator[str]:
        """Yield the text of a part in chunks, U+FFFD where a character is unknown or the bytes are no valid UTF-8."""
        ids, pending = self.ids(part), self.tokenizer.decoder()
        for begin in range(0, len(ids), 1 << 16):
            block = ids[begin : begin + (1 << 16)]
            # A character is never cut by the end of a block; bytes and pieces of words may be.
            is_whole = self.tokenizer.kind == "character"
            yield self.tokenizer.decode(block) if is_whole else "".join(map(pending.push, block.tolist()))
        yield pending.flush()

    def to_json(self) -> dict[str, Any]:
        """Return the key, sources and sizes, as JSON values, for a run's `schema.json`."""
        return {
            "key": self.key,
            "sources": [source.to_json() for source in self.sources],
            "tokens": dict(self._tokens),
            "characters": dict(self._characters),
            "unknown": dict(self._unknown),
            "documents": {part: len(starts) for part, starts in self._documents.items()},
        }


@dataclass(frozen=True)
class EncodedText:
    """Text as ids of a given tokeniser, for judging and predicting.

    Attributes:
        ids: Token ids (N,), of the smallest unsigned type that holds them.
        characters: Number of characters.
        documents: Positions of the first tokens of documents, (D,) int64, or None without a document separator.
        unknown: How many of the ids are the unknown id.
        sources: The files the text came from.
    """

    ids: NDArray[Any]
    characters: int
    documents: NDArray[np.int64] | None
    unknown: int
    sources: list[Source]


def encode_text(
    sources: Sequence[str | Path],
    tokenizer: Tokenizer,
    options: CorpusOptions,
    progress: Progress | None = None,
) -> EncodedText:
    """Return all of the text in `sources` as ids of `tokenizer`; nothing is cut off or fitted.

    Args:
        sources: Files, folders, or `-` for standard input.
        tokenizer: What the model was trained with.
        options: Of these the encoding and the document separator are used.
        progress: See `Corpus.build`.

    Raises:
        DataError: A file cannot be used, or there are fewer than two tokens.
        RunError: The temporary folder cannot be written.
    """
    folder = Path(tempfile.gettempdir())
    with explained_os_errors(folder), tempfile.TemporaryDirectory(prefix="recur-") as name:
        workshop = Path(name)
        is_bytes = tokenizer.kind == "byte"
        files = {"data": find_texts(sources, workshop / "copies", codec=None if is_bytes else options.codec)}
        found = hashed(files, progress)
        text = spooled(files["data"], options.codec, is_bytes, workshop / "text", progress)
        with (workshop / "ids").open("w+b") as file:
            written = write_part(text, tokenizer, options.separator, file, Meter("encoding", len(text), progress))
            file.seek(0)
            ids = np.fromfile(file, dtype=id_type(tokenizer.vocabulary_size))
    if len(ids) < 2:
        raise DataError(
            f"{named(files['data'])}: has only {quantity(len(ids), 'token')}; at least 2 are needed to judge."
        )
    return EncodedText(ids, written.characters, written.documents, written.unknown, found)


def check_long_enough(corpus: Corpus, window: int, batch_size: int) -> None:
    """Raise unless each of `batch_size` streams of the training part has at least one full window.

    Raises:
        DataError: The text is too short; a window and a batch size that would fit are named.
    """
    length = (len(corpus.train) - 1) // batch_size
    if length >= window:
        return
    fitting = (len(corpus.train) - 1) // window
    ways = [f"{option('window', length)} or less"] if length >= 1 else []
    ways += [f"{option('batch_size', fitting)} or less"] if fitting >= 1 else []
    ways += ["a longer text"]
    streams = "the one stream" if batch_size == 1 else f"each of {batch_size} streams"
    raise DataError(
        f"the training part has {quantity(len(corpus.train), 'token')}, too short for one window: "
        f"{streams} would have {max(length, 0)} of the {window} steps; give {', or '.join(ways)}."
    )


# --- building -------------------------------------------------------------------------------------------------------


@contextmanager
def _workshop(cache: Path) -> Iterator[Path]:
    """Give a new folder beside the corpora to build in, and delete it whatever happens."""
    with explained_os_errors(cache, _ADVICE):
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(".building-*"):
            # Left by a build that was killed; a younger one may still be at work.
            with suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        workshop = Path(tempfile.mkdtemp(prefix=".building-", dir=cache))
        try:
            yield workshop
        finally:
            shutil.rmtree(workshop, ignore_errors=True)


def _publish(built: Path, path: Path) -> None:
    try:
        built.rename(path)
    except OSError:
        # Either another process was faster, or what stands there is damaged.
        try:
            Corpus.open(path.parent, path.name)
        except RunError:
            shutil.rmtree(path)
            built.rename(path)


# --- opening --------------------------------------------------------------------------------------------------------


def _read_json(path: Path) -> dict[str, Any]:
    try:
        outer = json.loads((path / "corpus.json").read_bytes())
    except OSError as error:
        raise RunError(f"{path / 'corpus.json'}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"corpus.json is no JSON: {error}") from error
    content = outer.get("corpus") if isinstance(outer, dict) else None
    if not isinstance(content, dict) or not isinstance(outer, dict):
        raise _damaged(path, "corpus.json is not the description of a corpus")
    if content.get("format") != CORPUS_FORMAT:
        raise RunError(
            f"{path}: is a corpus of format {content.get('format')!r}, this recur reads {CORPUS_FORMAT}; "
            "train with the same text and options to build it again."
        )
    if outer.get("sha256") != checksum(content):
        raise _damaged(path, "the checksum of corpus.json is wrong")
    if not _is_sound(content):
        raise _damaged(path, "entries of corpus.json are missing or of another kind")
    return content


def _is_sound(content: dict[str, Any]) -> bool:
    of_parts = [content.get(name) for name in ("tokens", "characters", "unknown", "crc32")]
    counts, sources = content.get("counts"), content.get("sources")
    kinds = {"part": str, "name": str, "path": str, "bytes": int, "sha256": str}
    return (
        isinstance(content.get("key"), str)
        and isinstance(content.get("has_documents"), bool)
        and all(isinstance(sizes, dict) and all(is_whole(sizes.get(part), 0) for part in PARTS) for sizes in of_parts)
        and isinstance(counts, list)
        and all(is_whole(count, 0) for count in counts)
        and isinstance(sources, list)
        and all(isinstance(source, dict) and source.keys() == kinds.keys() for source in sources)
        and all(isinstance(source[name], kind) for source in sources for name, kind in kinds.items())
        and len(counts) == tokenizer_from_json(content.get("tokenizer")).vocabulary_size
    )


def _check_part(path: Path, part: Part, content: dict[str, Any]) -> None:
    file = path / f"{part}.bin"
    itemsize = id_type(len(content["counts"])).itemsize
    expected = content["tokens"][part] * itemsize
    found = file.stat().st_size if file.is_file() else None
    if found != expected:
        what = "is missing" if found is None else f"has {found} bytes, expected {expected}"
        raise _damaged(path, f"{file.name} {what}")
    if crc32(file) != content["crc32"][part]:
        raise _damaged(path, f"the checksum of {file.name} is wrong")
    if content["has_documents"]:
        _check_documents(path, part, content["tokens"][part])


def _check_documents(path: Path, part: Part, num_tokens: int) -> None:
    name = f"{part}_documents.npy"
    try:
        starts = np.load(path / name, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(path, f"{name} cannot be read: {' '.join(str(error).split())}") from error
    is_sound = isinstance(starts, np.ndarray) and starts.dtype == np.int64 and starts.ndim == 1 and len(starts) > 0
    if not (is_sound and starts[0] == 0 and starts[-1] < num_tokens and (np.diff(starts) > 0).all()):
        raise _damaged(path, f"{name} does not hold the ascending starts of documents")


def _damaged(path: Path, what: str) -> RunError:
    return RunError(
        f"{path}: the corpus is damaged: {what}; delete the folder and train with the same text and options to build "
        "it again."
    )
