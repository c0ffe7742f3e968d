"""The steps of building a corpus: find and hash the files, read, cut, fit the tokeniser, encode, and describe."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recur.data.encoding import EncodedPart, Meter, Progress, counted, write_part
from recur.data.options import CorpusOptions
from recur.data.spool import SpooledText
from recur.data.text import TextFile, bytes_of, find_texts, sha256_of, text_of
from recur.data.tokenizer import TOKENIZER_VERSION, BpeTokenizer, ByteTokenizer, CharacterTokenizer, Tokenizer
from recur.errors import DataError
from recur.run import write_text_atomic
from recur.wording import option, printable, quantity

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
CORPUS_FORMAT = 1

_PART_NAMES = {"train": "training", "valid": "validation", "test": "test"}
_CHECKED_BYTES = 1 << 24
"""How much is checked at either end of a file, a multiple of what is read at once."""


@dataclass(frozen=True)
class Source:
    """A file that a corpus was made from.

    Attributes:
        part: "data" for the text itself, "valid" or "test" for a file given for that part.
        name: What the user called it, on one printable line.
        path: Where it lay, absolute; "standard input" if it was that.
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


def files_of_parts(sources: Sequence[str | Path], options: CorpusOptions, copies: Path) -> dict[str, list[TextFile]]:
    """Return the files of the text ("data") and those given for the validation and the test part."""
    codec = None if options.tokens == "byte" else options.codec
    files = {"data": find_texts(sources, copies, codec=codec)}
    for part, given in (("valid", options.valid), ("test", options.test)):
        if given is not None:
            files[part] = find_texts([given], copies, codec=codec)
    return files


def hashed(files: dict[str, list[TextFile]], progress: Progress | None) -> list[Source]:
    """Return where each of `files` lies, its size and its checksum."""
    advance = Meter("hashing", sum(file.path.stat().st_size for some in files.values() for file in some), progress)
    return [
        Source(
            part=part,
            name=file.name,
            path=file.name if file.is_copy else printable(str(file.path.resolve())),
            bytes=file.path.stat().st_size,
            sha256=sha256_of(file, advance),
        )
        for part, some in files.items()
        for file in some
    ]


def corpus_key(options: CorpusOptions, files: dict[str, list[TextFile]], sources: list[Source]) -> str:
    """Return the name of the corpus that these files and options make."""
    content = {
        "format": CORPUS_FORMAT,
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


def build_folder(
    files: dict[str, list[TextFile]],
    sources: list[Source],
    options: CorpusOptions,
    key: str,
    workshop: Path,
    progress: Progress | None,
) -> None:
    """Write the corpus to the folder `corpus` of `workshop`."""
    is_bytes = options.tokens == "byte"
    texts = {
        name: spooled(some, options.codec, is_bytes, workshop / f"{name}.text", progress)
        for name, some in files.items()
    }
    _check_unchanged(files, sources)
    parts = _cut(texts, options, {name: named(some) for name, some in files.items()})
    tokenizer = _fitted(parts["train"], options, named(files["data"]), progress)
    folder = workshop / "corpus"
    folder.mkdir()
    meter = Meter("encoding", sum(map(len, parts.values())), progress)
    written = {}
    for part in PARTS:
        with (folder / f"{part}.bin").open("wb") as file:
            written[part] = write_part(parts[part], tokenizer, options.separator, file, meter)
            file.flush()
            os.fsync(file.fileno())
        _check_written(part, written[part], options)
        _save_documents(folder / f"{part}_documents.npy", written[part].documents)
    content = {
        "format": CORPUS_FORMAT,
        "key": key,
        "tokenizer": tokenizer.to_json(),
        "sources": [source.to_json() for source in sources],
        "counts": written["train"].counts,
        "tokens": {part: written[part].tokens for part in PARTS},
        "characters": {part: written[part].characters for part in PARTS},
        "unknown": {part: written[part].unknown for part in PARTS},
        "crc32": {part: crc32(folder / f"{part}.bin") for part in PARTS},
        "has_documents": options.separator is not None,
    }
    write_text_atomic(folder / "corpus.json", json.dumps({"sha256": checksum(content), "corpus": content}))


def _save_documents(path: Path, documents: NDArray[np.int64] | None) -> None:
    if documents is not None:
        # numpy's own writing to a file does not say why it failed.
        buffer = io.BytesIO()
        np.save(buffer, documents)
        path.write_bytes(buffer.getbuffer())


def spooled(files: list[TextFile], codec: str, is_bytes: bool, path: Path, progress: Progress | None) -> SpooledText:
    """Read `files` into the new file `path`.

    Raises:
        DataError: There is no text in them, or it cannot be read.
    """
    advance = Meter("reading", sum(file.path.stat().st_size for file in files), progress)
    chunks = bytes_of(files, advance) if is_bytes else text_of(files, codec, advance)
    text = SpooledText.written(path, chunks, is_bytes=is_bytes)
    if not len(text):
        raise DataError(f"{named(files)}: is empty; give a file with text in it.")
    return text


def _check_unchanged(files: dict[str, list[TextFile]], sources: list[Source]) -> None:
    for file, source in zip([file for some in files.values() for file in some], sources, strict=True):
        if file.path.stat().st_size != source.bytes:
            raise DataError(f"{file.name}: has changed while it was read; wait until it is complete, and try again.")


def _cut(texts: dict[str, SpooledText], options: CorpusOptions, names: dict[str, str]) -> dict[Part, SpooledText]:
    whole = texts["data"]
    unit = "byte" if options.tokens == "byte" else "character"
    if len(whole) == 1:
        raise DataError(f"{names['data']}: has only one {unit}; there is nothing to predict. Give a longer text.")
    valid_fraction, test_fraction = options.cut_fractions
    num_valid, num_test = int(len(whole) * valid_fraction), int(len(whole) * test_fraction)
    test_begin = _between_characters(whole, len(whole) - num_test)
    valid_begin = _between_characters(whole, len(whole) - num_test - num_valid)
    parts: dict[Part, SpooledText] = {"train": whole.part(0, valid_begin)}
    parts["valid"] = texts.get("valid") or whole.part(valid_begin, test_begin)
    parts["test"] = texts.get("test") or whole.part(test_begin, len(whole))
    for part, text in parts.items():
        if len(text) >= 2:
            continue
        if part in texts:
            raise DataError(f"{names[part]}: has only one {unit}; at least 2 are needed to judge. Give a longer text.")
        ways = f"a longer text, larger fractions, or files of their own with {option('valid')} and {option('test')}"
        raise DataError(
            f"{names['data']}: is too short: of its {quantity(len(whole), unit)} the {_PART_NAMES[part]} part gets "
            f"{len(text)}, and each part needs at least 2; give {ways if len(whole) >= 6 else 'a longer text'}."
        )
    return parts


def _between_characters(text: SpooledText, place: int) -> int:
    # A byte 10xxxxxx goes on with a character; no character has more than three of them.
    for _ in range(3):
        if not (text.is_bytes and 0 < place < len(text) and text.units[place] & 0xC0 == 0x80):
            break
        place += 1
    return place


def _fitted(train: SpooledText, options: CorpusOptions, name: str, progress: Progress | None) -> Tokenizer:
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
    advance = Meter("fitting", len(train), progress)
    return BpeTokenizer.trained(counted(train.word_chunks(), advance), options.bpe_size)


def _check_written(part: Part, written: EncodedPart, options: CorpusOptions) -> None:
    if written.tokens < 2:
        raise DataError(
            f"the {_PART_NAMES[part]} part has only {quantity(written.tokens, 'token')}; each part needs at least 2. "
            "Give a longer text, or a smaller vocabulary_size."
        )
    if part == "train" and written.documents is not None and len(written.documents) == 1:
        raise DataError(
            f"the document separator {options.separator!r} does not occur in the training text; "
            f"give the text that ends a document (line ends are \\n), or leave {option('document_separator')} out."
        )


def checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a JSON object."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def crc32(path: Path) -> int:
    """Return the CRC-32 of the first and the last 16 MiB of a file."""
    value, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            value = zlib.crc32(data, value)
            if file.tell() == _CHECKED_BYTES:
                file.seek(max(_CHECKED_BYTES, size - _CHECKED_BYTES))
    return value


def named(files: list[TextFile]) -> str:
    """Return the name of the first of `files`, and how many more there are."""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return files[0].name + more
