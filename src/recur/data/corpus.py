"""Text to the token ids of a training, a validation and a test part, on disk and mapped into memory.

A corpus lies in a folder of a cache, named after its content: the same text with the same options is built once.

| file | holds |
| --- | --- |
| `train.bin`, `valid.bin`, `test.bin` | token ids, little-endian, of the smallest of uint8, uint16 and uint32 |
| `train_documents.npy`, … | int64 starts of documents, when a document separator was given |
| `corpus.json` | the tokeniser, sizes, counts, and where the text came from, with a checksum |

Building reads the text once into a temporary file of code points, cuts it by characters, fits the tokeniser to the
training part, and encodes; memory stays small whatever the size of the text, the disk needs 4 bytes per character
while it lasts. A build that stops half-way leaves nothing that would be taken for a corpus.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recur.data.options import CorpusOptions
from recur.data.spool import SpooledText, mapped
from recur.data.text import TextFile, bytes_of, find_texts, sha256_of, text_of
from recur.data.tokenizer import (
    TOKENIZER_VERSION,
    BpeTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    Tokenizer,
    tokenizer_from_json,
)
from recur.errors import DataError, RunError
from recur.run import explained_os_errors, write_text_atomic

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

Progress = Callable[[str, int, int], None]
"""Called with the stage ("hashing", "reading", "fitting" or "encoding"), how much is done, and how much there is."""

_FORMAT = 1
_PART_NAMES = {"train": "training", "valid": "validation", "test": "test"}
_CHECKED_BYTES = 1 << 24
_STALE_SECONDS = 24 * 3600
_ADVICE = "the corpus was not built; free some space, or choose another folder"


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Source:
    """A file that a corpus was made from.

    Attributes:
        part: "data" for the text itself, "valid" or "test" for a file given for that part.
        name: What the user called it, on one printable line.
        path: Where it lay, absolute; "-" for standard input.
        bytes: Its size on disk.
        sha256: SHA-256 of its bytes on disk, in hexadecimal.
    """

    part: str
    name: str
    path: str
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as a JSON object."""
        return dict(vars(self))


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
        dtype = _id_type(self.tokenizer.vocabulary_size)
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
        report = progress or _silent
        with _workshop(Path(cache)) as workshop:
            files = _files_of_parts(sources, options, workshop / "copies")
            found = _hashed(files, report)
            key = _key(options, files, found)
            try:
                return cls.open(cache, key)
            except RunError:
                # Missing, or damaged: built anew.
                _build(files, found, options, key, workshop, report)
            _publish(workshop / "corpus", Path(cache) / key)
        return cls.open(cache, key)

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
        except (OSError, EOFError) as error:
            raise _damaged(path, str(error)) from error

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
            yield "".join(map(pending.push, ids[begin : begin + (1 << 16)].tolist()))
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
    report = progress or _silent
    folder = Path(tempfile.gettempdir())
    with explained_os_errors(folder), tempfile.TemporaryDirectory(prefix="recur-") as name:
        workshop = Path(name)
        is_bytes = tokenizer.kind == "byte"
        files = {"data": find_texts(sources, workshop / "copies", codec=None if is_bytes else options.codec)}
        found = _hashed(files, report)
        text = _spooled(files["data"], options.codec, is_bytes, workshop / "text", report)
        with (workshop / "ids").open("w+b") as file:
            written = _write_part(text, tokenizer, options.separator, file, report)
            file.seek(0)
            ids = np.fromfile(file, dtype=_id_type(tokenizer.vocabulary_size))
    if len(ids) < 2:
        raise DataError(f"{_named(files['data'])}: has only {len(ids)} token; at least 2 are needed to judge.")
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
    ways = [f"--window {length} or less"] if length >= 1 else []
    ways += [f"--batch-size {fitting} or less"] if fitting >= 1 else []
    ways += ["a longer text"]
    raise DataError(
        f"the training part has {len(corpus.train)} tokens, too short for one window: each of {batch_size} streams "
        f"would have {max(length, 0)} of the {window} steps; give {', or '.join(ways)}."
    )


# --- key ------------------------------------------------------------------------------------------------------------


def _files_of_parts(sources: Sequence[str | Path], options: CorpusOptions, copies: Path) -> dict[str, list[TextFile]]:
    codec = None if options.tokens == "byte" else options.codec
    files = {"data": find_texts(sources, copies, codec=codec)}
    for part, given in (("valid", options.valid), ("test", options.test)):
        if given is not None:
            files[part] = find_texts([given], copies, codec=codec)
    return files


def _hashed(files: dict[str, list[TextFile]], report: Progress) -> list[Source]:
    advance = _Meter("hashing", sum(file.path.stat().st_size for some in files.values() for file in some), report)
    return [
        Source(
            part=part,
            name=file.name,
            path=file.name if file.name == "standard input" else _printable(file.path.resolve()),
            bytes=file.path.stat().st_size,
            sha256=sha256_of(file, advance),
        )
        for part, some in files.items()
        for file in some
    ]


def _key(options: CorpusOptions, files: dict[str, list[TextFile]], sources: list[Source]) -> str:
    content = {
        "format": _FORMAT,
        "tokenizer": TOKENIZER_VERSION,
        "tokens": options.tokens,
        "codec": None if options.tokens == "byte" else options.codec,
        "separator": options.separator,
        "fractions": options.cut_fractions,
        "files": [(source.part, source.sha256) for source in sources],
        "packed": [file.is_gzip for some in files.values() for file in some],
    }
    if options.tokens == "bpe":
        from importlib.metadata import version

        content |= {"vocabulary_size": options.bpe_size, "tokenizers": version("tokenizers")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


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


def _build(
    files: dict[str, list[TextFile]],
    sources: list[Source],
    options: CorpusOptions,
    key: str,
    workshop: Path,
    report: Progress,
) -> None:
    """Write the corpus to the folder `corpus` of `workshop`."""
    is_bytes = options.tokens == "byte"
    texts = {
        name: _spooled(some, options.codec, is_bytes, workshop / f"{name}.text", report) for name, some in files.items()
    }
    _check_unchanged(files, sources)
    parts = _cut(texts, options, _named(files["data"]))
    tokenizer = _fitted(parts["train"], options, _named(files["data"]), report)
    folder = workshop / "corpus"
    folder.mkdir()
    meter = _Meter("encoding", sum(map(len, parts.values())), report)
    written = {}
    for part in PARTS:
        with (folder / f"{part}.bin").open("wb") as file:
            written[part] = _write_part(parts[part], tokenizer, options.separator, file, meter=meter)
            file.flush()
            os.fsync(file.fileno())
        _check_written(part, written[part], options)
        _save_documents(folder / f"{part}_documents.npy", written[part].documents)
    content = {
        "format": _FORMAT,
        "key": key,
        "tokenizer": tokenizer.to_json(),
        "sources": [source.to_json() for source in sources],
        "counts": written["train"].counts,
        "tokens": {part: written[part].tokens for part in PARTS},
        "characters": {part: written[part].characters for part in PARTS},
        "unknown": {part: written[part].unknown for part in PARTS},
        "crc32": {part: _crc32(folder / f"{part}.bin") for part in PARTS},
        "has_documents": options.separator is not None,
    }
    write_text_atomic(folder / "corpus.json", json.dumps({"sha256": _checksum(content), "corpus": content}))


def _save_documents(path: Path, documents: NDArray[np.int64] | None) -> None:
    if documents is not None:
        # numpy's own writing to a file does not say why it failed.
        buffer = io.BytesIO()
        np.save(buffer, documents)
        path.write_bytes(buffer.getbuffer())


def _spooled(files: list[TextFile], codec: str, is_bytes: bool, path: Path, report: Progress) -> SpooledText:
    advance = _Meter("reading", sum(file.path.stat().st_size for file in files), report)
    chunks = bytes_of(files, advance) if is_bytes else text_of(files, codec, advance)
    text = SpooledText.written(path, chunks, is_bytes=is_bytes)
    if not len(text):
        raise DataError(f"{_named(files)}: is empty; give a file with text in it.")
    return text


def _check_unchanged(files: dict[str, list[TextFile]], sources: list[Source]) -> None:
    for file, source in zip([file for some in files.values() for file in some], sources, strict=True):
        if file.path.stat().st_size != source.bytes:
            raise DataError(f"{file.name}: has changed while it was read; wait until it is complete, and try again.")


def _cut(texts: dict[str, SpooledText], options: CorpusOptions, name: str) -> dict[Part, SpooledText]:
    whole = texts["data"]
    if len(whole) == 1:
        unit = "byte" if options.tokens == "byte" else "character"
        raise DataError(f"{name}: has only one {unit}; there is nothing to predict. Give a longer text.")
    valid_fraction, test_fraction = options.cut_fractions
    num_valid, num_test = int(len(whole) * valid_fraction), int(len(whole) * test_fraction)
    test_begin = _between_characters(whole, len(whole) - num_test)
    valid_begin = _between_characters(whole, len(whole) - num_test - num_valid)
    parts: dict[Part, SpooledText] = {"train": whole.part(0, valid_begin)}
    parts["valid"] = texts.get("valid") or whole.part(valid_begin, test_begin)
    parts["test"] = texts.get("test") or whole.part(test_begin, len(whole))
    for part in PARTS:
        if len(parts[part]) < 2:
            unit = "bytes" if options.tokens == "byte" else "characters"
            raise DataError(
                f"{name}: is too short: of its {len(whole)} {unit} the {_PART_NAMES[part]} part gets "
                f"{len(parts[part])}, and each part needs at least 2; give a longer text, larger fractions, or files "
                "of their own with --valid and --test."
            )
    return parts


def _between_characters(text: SpooledText, place: int) -> int:
    # A byte 10xxxxxx goes on with a character; no character has more than three of them.
    for _ in range(3):
        if not (text.is_bytes and 0 < place < len(text) and text.units[place] & 0xC0 == 0x80):
            break
        place += 1
    return place


def _fitted(train: SpooledText, options: CorpusOptions, name: str, report: Progress) -> Tokenizer:
    report("fitting", 0, len(train))
    symbols = train.symbols()
    if len(symbols) == 1:
        raise DataError(
            f"{name}: the text has only one symbol: {chr(int(symbols[0]))!r}; there is nothing to predict. "
            "Give a text with at least two symbols."
        )
    if options.tokens == "byte":
        return ByteTokenizer()
    if options.tokens == "character":
        return CharacterTokenizer("".join(map(chr, symbols.tolist())))
    advance = _Meter("fitting", len(train), report)
    return BpeTokenizer.trained(_counted(train.word_chunks(), advance), options.bpe_size)


def _counted(chunks: Iterator[str], advance: Callable[[int], None]) -> Iterator[str]:
    for chunk in chunks:
        advance(len(chunk))
        yield chunk


@dataclass(frozen=True)
class _Written:
    tokens: int
    characters: int
    unknown: int
    counts: list[int]
    documents: NDArray[np.int64] | None


def _write_part(
    text: SpooledText,
    tokenizer: Tokenizer,
    separator: str | None,
    file: IO[bytes],
    report: Progress = _silent,
    meter: Callable[[int], None] | None = None,
) -> _Written:
    """Encode `text` into `file` and return what there was to count."""
    advance = meter or _Meter("encoding", len(text), report)
    documents = None if separator is None else text.document_starts(separator)
    dtype = _id_type(tokenizer.vocabulary_size)
    counts = np.zeros(tokenizer.vocabulary_size, dtype=np.int64)
    starts: list[int] | None = None
    if isinstance(tokenizer, BpeTokenizer):
        starts = []
        blocks = _bpe_blocks(text, tokenizer, documents, starts)
    else:
        blocks = _unit_blocks(text, tokenizer)
    for ids, num_units in blocks:
        counts += np.bincount(ids, minlength=len(counts))
        # Not into a mapped file: a full disk would end the process instead of raising.
        file.write(ids.astype(dtype).tobytes())
        advance(num_units)
    if documents is not None and starts is not None:
        documents = np.array(starts, dtype=np.int64)
    return _Written(
        tokens=int(counts.sum()),
        characters=_num_characters(text),
        unknown=0 if tokenizer.unknown_id is None else int(counts[tokenizer.unknown_id]),
        counts=counts.tolist(),
        documents=documents,
    )


def _unit_blocks(text: SpooledText, tokenizer: Tokenizer) -> Iterator[tuple[NDArray[Any], int]]:
    for block in text.blocks():
        yield tokenizer.ids_of(block) if isinstance(tokenizer, CharacterTokenizer) else block, len(block)


def _bpe_blocks(
    text: SpooledText, tokenizer: BpeTokenizer, documents: NDArray[np.int64] | None, starts: list[int]
) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the ids and the number of characters of many chunks at once; append to `starts` where documents start."""
    num_tokens = 0
    for group in _grouped(_bpe_chunks(text, documents)):
        encoded = tokenizer.encode_all([chunk for chunk, _ in group])
        for (_, is_start), ids in zip(group, encoded, strict=True):
            if is_start:
                starts.append(num_tokens)
            num_tokens += len(ids)
        yield np.concatenate(encoded), sum(len(chunk) for chunk, _ in group)


def _bpe_chunks(text: SpooledText, documents: NDArray[np.int64] | None) -> Iterator[tuple[str, bool]]:
    # Each document is encoded by itself, so that one starts with a token.
    bounds = [0, len(text)] if documents is None else [*documents.tolist(), len(text)]
    for begin, end in itertools.pairwise(bounds):
        for number, chunk in enumerate(text.part(begin, end).word_chunks()):
            yield chunk, number == 0


def _grouped(chunks: Iterator[tuple[str, bool]]) -> Iterator[list[tuple[str, bool]]]:
    group: list[tuple[str, bool]] = []
    size = 0
    for chunk, is_start in chunks:
        group.append((chunk, is_start))
        size += len(chunk)
        if size >= 1 << 20:
            yield group
            group, size = [], 0
    if group:
        yield group


def _num_characters(text: SpooledText) -> int:
    return ByteTokenizer().characters_of(text.units) if text.is_bytes else len(text)


def _check_written(part: Part, written: _Written, options: CorpusOptions) -> None:
    if written.tokens < 2:
        raise DataError(
            f"the {_PART_NAMES[part]} part has only {written.tokens} token; each part needs at least 2. "
            "Give a longer text, or a smaller vocabulary_size."
        )
    if part == "train" and written.documents is not None and len(written.documents) == 1:
        raise DataError(
            f"the document separator {options.separator!r} does not occur in the training text; "
            "give the text that ends a document (line ends are \\n), or leave --document-separator out."
        )


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
    if content.get("format") != _FORMAT:
        raise RunError(
            f"{path}: is a corpus of format {content.get('format')!r}, this recur reads {_FORMAT}; "
            "train with the same text and options to build it again."
        )
    if outer.get("sha256") != _checksum(content):
        raise _damaged(path, "the checksum of corpus.json is wrong")
    return content


def _check_part(path: Path, part: Part, content: dict[str, Any]) -> None:
    file = path / f"{part}.bin"
    itemsize = _id_type(len(content["counts"])).itemsize
    expected = content["tokens"][part] * itemsize
    found = file.stat().st_size if file.is_file() else None
    if found != expected:
        what = "is missing" if found is None else f"has {found} bytes, expected {expected}"
        raise _damaged(path, f"{file.name} {what}")
    if _crc32(file) != content["crc32"][part]:
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


# --- shared ---------------------------------------------------------------------------------------------------------


class _Meter:
    """Adds up what is done of a stage."""

    def __init__(self, stage: str, total: int, report: Progress) -> None:
        self._stage, self._total, self._report, self._done = stage, total, report, 0
        report(stage, 0, total)

    def __call__(self, amount: int) -> None:
        self._done += amount
        self._report(self._stage, self._done, self._total)


def _id_type(vocabulary_size: int) -> np.dtype[Any]:
    for name in ("<u1", "<u2"):
        if vocabulary_size <= np.iinfo(name).max + 1:
            return np.dtype(name)
    return np.dtype("<u4")


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _crc32(path: Path) -> int:
    """Return the CRC-32 of the first and the last 16 MiB of a file."""
    with path.open("rb") as file:
        value = zlib.crc32(file.read(_CHECKED_BYTES))
        size = path.stat().st_size
        file.seek(max(_CHECKED_BYTES, size - _CHECKED_BYTES))
        return zlib.crc32(file.read(), value)


def _named(files: list[TextFile]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return files[0].name + more


def _printable(path: Path) -> str:
    return str(path) if str(path).isprintable() else repr(str(path))
