"""Files, folders, `.gz` and standard input to chunks of text, with memory that does not grow with their size.

What is changed on the way, and nothing else: a byte order mark at the beginning of a file is left out, and `\\r\\n`
becomes `\\n`. Files that are read as bytes are not changed at all.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os.path import exists
from pathlib import Path
from typing import IO

from recur.data.absent import no_file
from recur.errors import DataError, RunError
from recur.run import RunFolder
from recur.wording import option, printable, quantity

CHUNK_BYTES = 1 << 20
"""Bytes that are read at once."""

_SNIFFED_BYTES = 1 << 13
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Control characters that no text has; tab, line ends, form feed, backspace and escape do occur in text.
_CONTROL = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True)
class TextFile:
    """One file of text.

    Attributes:
        name: What the user called it, for messages; one printable line.
        path: Where its bytes lie.
        is_gzip: Whether they are compressed.
        is_copy: Whether `path` is a copy of what can be read only once.
    """

    name: str
    path: Path
    is_gzip: bool
    is_copy: bool = False

    @classmethod
    def at(cls, path: Path, name: str | None = None) -> TextFile:
        """Return the file at `path`; it is compressed if its name ends in `.gz`."""
        return cls(printable(str(path) if name is None else name), path, path.name.lower().endswith(".gz"))


def find_texts(sources: Sequence[str | Path], spool: Path, *, codec: str | None = "utf-8") -> list[TextFile]:
    """Return the files that `sources` name, in order.

    A folder stands for the files in it and in its folders, sorted by path; hidden ones, empty ones, those that are
    binary and those of a run are passed over. What can be read only once (standard input, a pipe) is copied to a file
    in `spool`.

    Args:
        sources: Files, folders, or `-` for standard input.
        spool: Folder for copies; made when it is needed.
        codec: Encoding of the files, or None if they are read as bytes, so that binary ones count too.

    Raises:
        DataError: A source is missing, unreadable or empty, or a folder has no text or is a run.
        OSError: A copy cannot be written.
    """
    if not sources:
        raise DataError("no text was given; name a file, a folder, or - for standard input.")
    files: list[TextFile] = []
    for source in sources:
        if str(source) == "-":
            files.append(_from_standard_input(spool))
            continue
        path = Path(source)
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            files.extend(_in_folder(path, codec))
        elif stat.S_ISREG(mode):
            files.append(TextFile.at(path))
        elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            files.append(_from_pipe(path, spool))
        else:
            raise DataError(f"{printable(str(path))}: is neither a file nor a folder; give one of these.")
    for file in files:
        with _reading(file.name):
            if file.path.stat().st_size == 0:
                raise DataError(f"{file.name}: is empty; give a file with text in it.")
    return files


def check_found(sources: Sequence[str | Path]) -> None:
    """Raise unless each of `sources` is there; `find_texts` finds out whether it can be used.

    Raises:
        DataError: One is missing or out of reach.
    """
    for source in sources:
        if str(source) == "-":
            continue
        names = [name.strip() for name in str(source).split(",")]
        # Not by pathlib, which stumbles over folders that may not be looked into; these are told of below.
        if len(names) > 1 and all(map(exists, names)) and not exists(source):  # noqa: PTH110
            raise DataError(f"{source}: no such file or folder; give several ones by themselves, without the comma.")
        _mode(Path(source))


def _mode(path: Path) -> int:
    with _reading(printable(str(path))):
        try:
            return path.stat().st_mode
        except FileNotFoundError as error:
            # By the path itself, which is another one than how it is shown where that is in quotes.
            raise no_file(path) from error


def sha256_of(file: TextFile, progress: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of the bytes on disk, in hexadecimal.

    Args:
        file: Which file.
        progress: Called with the number of bytes after each chunk.

    Raises:
        DataError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with _reading(file.name), file.path.open("rb") as stream:
        while data := stream.read(CHUNK_BYTES):
            digest.update(data)
            if progress:
                progress(len(data))
    return digest.hexdigest()


def bytes_of(
    files: Iterable[TextFile], progress: Callable[[int], None] | None = None, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Yield the bytes of `files`, one after the other with nothing between them, unpacked but otherwise unchanged.

    Args:
        files: Which files.
        progress: Called with the number of bytes on disk that a chunk came from.
        chunk_bytes: Bytes that are yielded at once, at most.

    Raises:
        DataError: A file cannot be read or unpacked.
    """
    for file in files:
        yield from _unpacked(file, progress, chunk_bytes)


def text_of(
    files: Iterable[TextFile], codec: str = "utf-8", progress: Callable[[int], None] | None = None
) -> Iterator[str]:
    """Yield the text of `files` in chunks; a file whose text does not end in a newline is given one before the next.

    Args:
        files: Which files.
        codec: Their encoding.
        progress: Called with the number of bytes on disk that a chunk came from.

    Raises:
        DataError: A file cannot be read or unpacked, is binary, or is in another encoding.
    """
    last = ""
    for file in files:
        is_first = True
        for chunk in _without_carriage_returns(_decoded(file, codec, progress)):
            if is_first and last not in ("", "\n"):
                yield "\n"
            is_first = False
            last = chunk[-1]
            yield chunk


# --- finding --------------------------------------------------------------------------------------------------------


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and in all that lie in it, sorted, but hidden ones and what trainings wrote.

    Raises:
        DataError: It is a run itself, or cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[Path] = []
    with _reading(printable(str(folder))):
        for parent, folders, names in os.walk(folder, onerror=refuse):
            if _is_run(Path(parent)):
                # What a training wrote must not be learned by the next one, nor count as a change of the text.
                folders.clear()
                continue
            folders[:] = [name for name in folders if not name.startswith(".")]
            found.extend(Path(parent, name) for name in names if not name.startswith("."))
        files = [path for path in sorted(found, key=lambda path: path.parts) if path.is_file()]
    if _is_run(folder):
        shown = printable(str(folder))
        raise DataError(f"{shown}: is a run folder, not text; to go on with the run: recur train --resume {shown}.")
    return files


def _in_folder(folder: Path, codec: str | None) -> list[TextFile]:
    with _reading(printable(str(folder))):
        files = [TextFile.at(path) for path in files_below(folder)]
    texts = [file for file in files if _has_text(file, codec)]
    if not texts:
        has = f"{quantity(len(files), 'file')} found, empty or binary" if files else "it has no files"
        raise DataError(
            f"{printable(str(folder))}: is a folder without text: {has}; give a folder with text files in it."
        )
    return texts


def _is_run(folder: Path) -> bool:
    try:
        return "task" in RunFolder.open(folder).config()
    except RunError:
        return False


def _has_text(file: TextFile, codec: str | None) -> bool:
    sample = next(_unpacked(file, None, _SNIFFED_BYTES), b"")
    if not sample or codec is None:
        return bool(sample)
    if _is_wide(codec):
        return "\0" not in sample.decode(codec, "replace")
    return b"\0" not in sample and not _is_binary(sample)


def _from_standard_input(spool: Path) -> TextFile:
    if sys.stdin is None:
        raise DataError("standard input: is closed; name a file instead of -.")
    return _spooled(sys.stdin.buffer, "standard input", spool)


def _from_pipe(path: Path, spool: Path) -> TextFile:
    name = printable(str(path))
    with _reading(name):
        stream = path.open("rb")
    with stream:
        return _spooled(stream, name, spool)


def _spooled(stream: IO[bytes], name: str, spool: Path) -> TextFile:
    spool.mkdir(parents=True, exist_ok=True)
    path = spool / f"input-{len(list(spool.iterdir()))}"
    with path.open("wb") as file:
        while True:
            # Only reading is the data's fault; an error of writing the copy is the caller's to explain.
            with _reading(name):
                data = stream.read(CHUNK_BYTES)
            if not data:
                break
            file.write(data)
    with path.open("rb") as file:
        is_gzip = file.read(3) == b"\x1f\x8b\x08"
    return TextFile(name, path, is_gzip, is_copy=True)


# --- reading --------------------------------------------------------------------------------------------------------


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Say in one line what went wrong with reading the file `name`."""
    try:
        yield
    except FileNotFoundError as error:
        raise no_file(name) from error
    except PermissionError as error:
        raise DataError(f"{name}: cannot be read: permission denied; check who may read it.") from error
    except EOFError as error:
        raise DataError(f"{name}: is truncated: the compressed data ends too early; get the file again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name}: is not a sound gzip file ({_one_line(error)}); get it again, or rename it."
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: cannot be read ({_one_line(error)}).") from error


def _unpacked(
    file: TextFile, progress: Callable[[int], None] | None, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    with _reading(file.name), file.path.open("rb") as raw:
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if file.is_gzip else raw  # type: ignore[assignment]
        done = 0
        while data := stream.read(chunk_bytes):
            if progress:
                position = raw.tell()
                progress(position - done)
                done = position
            yield data


def _decoded(file: TextFile, codec: str, progress: Callable[[int], None] | None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)()
    offset, is_first = 0, True
    for data in _with_end(_unpacked(file, progress)):
        # Bytes of a character that the last chunk cut; positions in an error count from them.
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(data or b"", final=data is None)
        except UnicodeDecodeError as error:
            raise _wrongly_encoded(file, codec, error, offset - len(pending)) from error
        except UnicodeError as error:
            raise DataError(f"{file.name}: is not {codec}: {_one_line(error)}; {_hint(data or b'', codec)}") from error
        if "\0" in text:
            raise _binary(file, codec, data or b"", offset, text)
        offset += len(data or b"")
        if is_first and text:
            text = text.removeprefix("\ufeff")
            is_first = False
        if text:
            yield text


def _with_end(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    yield from chunks
    yield None


def _without_carriage_returns(chunks: Iterator[str]) -> Iterator[str]:
    held = ""
    for chunk in chunks:
        text = held + chunk
        # A carriage return at the end of a chunk waits for what follows it.
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n")
        if text:
            yield text
    if held:
        yield held


# --- telling what a file is -----------------------------------------------------------------------------------------


def _is_wide(codec: str) -> bool:
    return codec.replace("_", "-").startswith(("utf-16", "utf-32"))


def _is_binary(sample: bytes) -> bool:
    return len(_CONTROL.findall(sample)) > len(sample) // 100


def _binary(file: TextFile, codec: str, data: bytes, offset: int, text: str = "") -> DataError:
    if _is_wide(codec):
        where = f"it has a NUL character, {text.index(chr(0))} characters after byte {offset}"
    else:
        found = _CONTROL.search(data)
        position = found.start() if found else 0
        where = f"byte {offset + position} is {data[position] if found else 0:#04x}, a control character"
        wide = _likely_wide(data)
        if wide:
            return DataError(
                f"{file.name}: is not {codec} text: {where}; it looks like {wide}: try {option('encoding', wide)}."
            )
    return DataError(f"{file.name}: is binary, not text: {where}; give a text file, or {_by_bytes()}.")


def _by_bytes() -> str:
    return f"train on its bytes, with {option('tokens', 'byte')}"


def _likely_wide(data: bytes) -> str | None:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return name
    sample = data[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    # Most text has code points below 256, whose upper byte is zero.
    if odd > len(sample) // 4 and not even:
        return "utf-16-le"
    if even > len(sample) // 4 and not odd:
        return "utf-16-be"
    return None


def _wrongly_encoded(file: TextFile, codec: str, error: UnicodeDecodeError, offset: int) -> DataError:
    data = error.object
    is_at_start = offset == 0
    if not _is_wide(codec) and not (is_at_start and _likely_wide(data)) and (b"\0" in data or _is_binary(data)):
        return _binary(file, codec, data, offset)
    position = offset + error.start
    byte = f"{data[error.start]:#04x}" if error.start < len(data) else "the end"
    nearby = data if is_at_start else data[max(0, error.start - (1 << 14)) :]
    return DataError(
        f"{file.name}: is not {codec}: byte {position} ({byte}) cannot be decoded ({error.reason}); "
        f"{_hint(nearby[: 1 << 15], codec)}"
    )


def _hint(sample: bytes, codec: str) -> str:
    likely = _likely_wide(sample) or _likely_encoding(sample)
    if likely and codecs.lookup(likely).name != codec:
        return f"it looks like {likely}: try {option('encoding', likely)}."
    if _is_mostly_utf8(sample):
        return f"the text around it is utf-8, so the file seems damaged there: repair it, or {_by_bytes()}."
    return f"name its encoding with {option('encoding')}, or {_by_bytes()}."


def _is_mostly_utf8(sample: bytes) -> bool:
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return sum(character > "\x7f" for character in text) - bad > 5 * bad


def _likely_encoding(sample: bytes) -> str | None:
    if _is_mostly_utf8(sample):
        return "utf-8"
    from charset_normalizer import from_bytes

    matches = list(from_bytes(sample))
    if not matches:
        return None
    # Tables that differ in few characters come out equally likely; among equals the common one is meant.
    best = matches[0]
    equals = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
    alike = {name for match in equals for name in (match.encoding, *match.could_be_from_charset)}
    return "cp1252" if "cp1252" in alike else best.encoding.replace("_", "-")


def _one_line(error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split()) or type(error).__name__
