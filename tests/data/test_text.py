from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recur.data import text as text_module
from recur.data.text import TextFile, bytes_of, find_texts, sha256_of, text_of
from recur.errors import DataError, RecurError
from recur.run import RunFolder


def read(path: Path | list[Path], codec: str = "utf-8") -> str:
    sources = path if isinstance(path, list) else [path]
    files = find_texts(sources, Path("/nowhere"), codec=codec)
    return "".join(text_of(files, codec))


def refused(message: str):
    """Expect a DataError of one line that matches."""
    return pytest.raises(DataError, match=rf"\A[^\n]*{message}[^\n]*\Z")


def names(files: list[TextFile], folder: Path) -> list[str]:
    return [str(file.path.relative_to(folder)) for file in files]


# --- what is read ---------------------------------------------------------------------------------------------------


def test_a_file_is_its_text(write, prose):
    assert read(write("a.txt", prose)) == prose


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5, 1 << 20])
@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift-jis", "gb18030"])
def test_the_text_does_not_depend_on_where_chunks_are_cut(write, monkeypatch, chunk_bytes, codec):
    text = {"cp1252": "Größe\r\n“Ja”\n\r", "shift-jis": "これは\r\n日本語\r\r\n"}.get(codec, "é€😀\r\n日本\r\r\nx\r")
    path = write("a.txt", text.encode(codec))
    monkeypatch.setattr(text_module, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(text_module._unpacked, "__defaults__", (chunk_bytes,))
    assert read(path, codec) == text.replace("\r\n", "\n")


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_byte_order_mark_is_left_out_once(write, codec):
    # The encoder of utf-16 writes a mark by itself.
    text = "a\ufeffb" if codec == "utf-16" else "\ufeffa\ufeffb"
    assert read(write("a.txt", text.encode(codec)), codec) == "a\ufeffb"


def test_gzip_is_unpacked(write, prose):
    assert read(write("a.txt.gz", gzip.compress(prose.encode()) + gzip.compress(b"more"))) == prose + "more"


def test_files_are_joined_with_a_newline_where_one_is_missing(write):
    paths = [write("a", "one"), write("b", "two\n"), write("c", "\ufeffthree"), write("d", "four")]
    assert read(paths) == "one\ntwo\nthree\nfour"


def test_bytes_are_not_changed(write):
    paths = [write("a", b"\0\xff\r\n"), write("b.gz", gzip.compress(b"\xef\xbb\xbfx"))]
    files = find_texts(paths, Path("/nowhere"), codec=None)
    assert b"".join(bytes_of(files)) == b"\0\xff\r\n\xef\xbb\xbfx"


def test_a_folder_is_read_in_order_without_hidden_empty_and_binary_files(write, tmp_path):
    for name in ("b/z.txt", "b/a.md", "a.txt", "c.txt.gz", ".hidden", ".git/config", "b/.x/y.txt"):
        write(name, gzip.compress(b"packed") if name.endswith(".gz") else name)
    write("image.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    write("noise", bytes(range(1, 32)) * 40)
    write("empty.txt", "")
    write("empty.gz", gzip.compress(b""))
    found = find_texts([tmp_path], Path("/nowhere"))
    assert names(found, tmp_path) == ["a.txt", "b/a.md", "b/z.txt", "c.txt.gz"]
    as_bytes = find_texts([tmp_path], Path("/nowhere"), codec=None)
    assert names(as_bytes, tmp_path) == ["a.txt", "b/a.md", "b/z.txt", "c.txt.gz", "image.png", "noise"]


def test_a_folder_of_utf16_is_text_when_the_encoding_says_so(write, tmp_path):
    write("a.txt", "some text".encode("utf-16"))
    assert read(tmp_path, "utf-16") == "some text"


class StandardInput:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input_is_copied_so_that_it_can_be_read_twice(monkeypatch, tmp_path, prose, pack):
    monkeypatch.setattr(sys, "stdin", StandardInput(pack(prose.encode())))
    files = find_texts(["-"], tmp_path / "copies")
    assert files[0].name == "standard input"
    assert "".join(text_of(files)) == "".join(text_of(files)) == prose


def test_a_pipe_is_copied_so_that_it_can_be_read_twice(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"through a pipe",))
    writer.start()
    files = find_texts([tmp_path / "pipe"], tmp_path / "copies")
    writer.join()
    assert "".join(text_of(files)) == "".join(text_of(files)) == "through a pipe"


def test_the_checksum_is_of_the_bytes_on_disk(write):
    content = gzip.compress(b"text")
    done: list[int] = []
    assert sha256_of(TextFile.at(write("a.gz", content)), done.append) == hashlib.sha256(content).hexdigest()
    assert sum(done) == len(content)


@pytest.mark.parametrize("name", ["a.txt", "a.gz"])
def test_progress_counts_the_bytes_on_disk(write, prose, name):
    content = prose.encode() if name == "a.txt" else gzip.compress(prose.encode())
    done: list[int] = []
    list(text_of(find_texts([write(name, content)], Path("/nowhere")), "utf-8", done.append))
    assert sum(done) == len(content)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_missing(tmp_path):
    with refused(r"none\.txt: no such file or folder; check the path\."):
        read(tmp_path / "none.txt")


def test_no_source():
    with refused("no text was given; name a file, a folder, or - for standard input"):
        find_texts([], Path("/nowhere"))


def test_empty(write):
    with refused(r"a\.txt: is empty; give a file with text in it\."):
        read(write("a.txt", ""))


def test_empty_standard_input(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", StandardInput(b""))
    with refused("standard input: is empty"):
        find_texts(["-"], tmp_path)


def test_closed_standard_input(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", None)
    with refused("standard input: is closed; name a file instead of -"):
        find_texts(["-"], tmp_path)


def test_runs_in_a_folder_are_passed_over(write, tmp_path):
    write("texts/a.txt", "one")
    write("texts/other/config.json", '{"format": 1}')
    write("texts/other/b.txt", "two")
    run = RunFolder.create(tmp_path / "texts" / "runs" / "first")
    run.write_json("config.json", {"format": 1, "task": "language"})
    run.write_json("schema.json", {"symbols": ["a", "b"]})
    write("texts/runs/first/exports/c.txt", "three")
    write("texts/runs/d.txt", "four")
    found = find_texts([tmp_path / "texts"], tmp_path / "copies")
    assert names(found, tmp_path / "texts") == ["a.txt", "other/b.txt", "other/config.json", "runs/d.txt"]


def test_a_run_is_no_text(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    run.write_json("config.json", {"format": 1, "task": "language"})
    with refused(r"run: is a run folder, not text; to go on with the run: recur train --resume .*run\."):
        find_texts([run.path], tmp_path / "copies")


def test_unreadable(write, unprivileged):
    path = write("a.txt", "secret")
    path.chmod(0)
    with unprivileged(), refused(r"a\.txt: cannot be read: permission denied; check who may read it\."):
        read(path)


def test_unreadable_folder(write, tmp_path, unprivileged):
    write("folder/a.txt", "secret")
    (tmp_path / "folder").chmod(0)
    with unprivileged(), refused(r"folder: cannot be read: permission denied"):
        read(tmp_path / "folder")
    # Its names can be read now, but nothing about the files.
    (tmp_path / "folder").chmod(0o444)
    with unprivileged(), refused(r"folder: cannot be read: permission denied"):
        find_texts([tmp_path / "folder"], tmp_path / "copies")
    (tmp_path / "folder").chmod(0o700)


def test_a_device_is_no_file():
    with refused("/dev/null: is neither a file nor a folder"):
        read(Path("/dev/null"))


def test_a_name_that_cannot_be_is_refused(tmp_path):
    with refused(r"cannot be read \(embedded null byte\)"):
        read(tmp_path / "a\0b")


def test_a_name_with_a_line_end_stays_on_one_line(tmp_path):
    with refused(r"a\\nb': no such file"):
        read(tmp_path / "a\nb")


def test_folder_without_files(tmp_path):
    with refused("is a folder without text: it has no files; give a folder with text files in it"):
        read(tmp_path)


def test_folder_without_text(tmp_path, write):
    write("a.bin", b"\0\1\2")
    write("b.txt", b"")
    with refused("is a folder without text: 2 files found, empty or binary"):
        read(tmp_path)


def test_binary(write):
    content = b"plain at first" + bytes(range(256))
    with refused(r"a\.bin: is binary, not text: byte 14 is 0x00, a control character; .*tokens='byte'\."):
        read(write("a.bin", content))


def test_binary_after_a_chunk_names_the_place_in_the_file(write, monkeypatch):
    monkeypatch.setattr(text_module._unpacked, "__defaults__", (10,))
    with refused("byte 25 is 0x00"):
        read(write("a.bin", b"x" * 25 + b"\0"))


def test_an_image_is_binary(write):
    with refused("is binary, not text"):
        read(write("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(0).randbytes(2000)))


@pytest.mark.parametrize("chunk_bytes", [7, 1 << 20])
def test_wrongly_encoded(write, monkeypatch, chunk_bytes):
    monkeypatch.setattr(text_module._unpacked, "__defaults__", (chunk_bytes,))
    text = "Voilà l'été, où les élèves français étaient très contents. C\u2019est ça!\n" * 20
    with refused(r"a\.txt: is not utf-8: byte 4 \(0xe0\) cannot be decoded \(invalid continuation byte\); .*"):
        read(write("a.txt", text.encode("cp1252")))


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Voilà l'été, où les élèves français étaient très contents. C\u2019est ça!\n" * 20, "cp1252"),
        ("caf\xe9\n", "cp1252"),
        ("Größe, Äpfel und Öl für Jürgen: schön. “Ja”", "cp1252"),
        ("Привет, как дела? Это текст на русском языке.\n" * 5, "cp1251"),
        ("これは日本語のテキストです。よろしくお願いします。\n" * 4, "cp932"),
        ("Some plain text", "utf-16"),
        ("Some plain text", "utf-16-le"),
        ("Some plain text", "utf-16-be"),
    ],
)
def test_the_likely_encoding_is_named(write, text, codec):
    with refused(f"it looks like {codec}: try encoding={codec!r}"):
        read(write("a.txt", text.encode(codec)))


def test_utf8_read_as_another_encoding_is_named(write):
    with refused(r"is not ascii: byte 3 \(0xc3\) .* it looks like utf-8: try encoding='utf-8'"):
        read(write("a.txt", "caf\xe9 " * 10), "ascii")


def test_damaged_utf8_is_not_called_another_encoding(write):
    content = ("Voilà l'été, où les élèves " * 50).encode() + b"\xff" + ("étaient " * 50).encode()
    with refused("the text around it is utf-8, so the file seems damaged there"):
        read(write("a.txt", content))


def test_an_end_within_a_character_is_named(write):
    with refused(r"byte 20 \(0xe2\) cannot be decoded \(unexpected end of data\)"):
        read(write("a.txt", b"plain text and a bit\xe2\x82"))


def test_utf16_without_a_mark(write):
    with refused("is not utf-16: .*; it looks like utf-16-le: try encoding='utf-16-le'"):
        read(write("a.txt", "Some plain text".encode("utf-16-le")), "utf-16")


@pytest.mark.parametrize("kept", [5, 12, 60, -9, -1])
def test_truncated_gzip(write, prose, kept):
    with refused(r"a\.gz: is truncated: the compressed data ends too early; get the file again"):
        read(write("a.gz", gzip.compress(prose.encode())[:kept]))


def test_corrupted_gzip(write, prose):
    content = bytearray(gzip.compress(prose.encode()))
    content[30] ^= 0xFF
    with refused(r"a\.gz: is not a sound gzip file \("):
        read(write("a.gz", bytes(content)))


def test_gzip_only_by_name(write, prose):
    with refused(r"a\.gz: is not a sound gzip file \(Not a gzipped file .*\); get it again, or rename it"):
        read(write("a.gz", prose))


# --- anything at all ------------------------------------------------------------------------------------------------


def check_any_bytes(folder: Path, content: bytes, codec: str, form: str) -> None:
    """Only a RecurError may come out, or the very text."""
    path = folder / ("a.gz" if form != "plain" else "a.txt")
    packed = gzip.compress(content)
    path.write_bytes({"plain": content, "packed": packed, "cut": packed[: len(content) % len(packed)]}[form])
    try:
        text, refusal = "".join(text_of(find_texts([path], folder / "copies", codec=codec), codec)), None
    except RecurError as error:
        text, refusal = None, str(error)
    if text is None:
        assert "\n" not in refusal
        assert path.name in refusal
    else:
        assert form != "cut"
        assert text == content.decode(codec).removeprefix("\ufeff").replace("\r\n", "\n")
        assert "\0" not in text


CODECS = ["utf-8", "cp1252", "utf-16", "utf-32-le", "shift-jis", "gb18030", "iso2022-jp", "hz", "ascii"]
some_text = st.text(max_size=30)
any_file = given(
    content=st.binary(max_size=60) | some_text.map(str.encode) | some_text.map(lambda text: text.encode("utf-16")),
    codec=st.sampled_from(CODECS),
    form=st.sampled_from(["plain", "packed", "cut"]),
)


@settings(deadline=None, max_examples=100)
@any_file
@example(content=b"\xff\xfe", codec="utf-16", form="plain")
@example(content=b"\xff", codec="utf-8", form="packed")
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content, codec, form):
    check_any_bytes(tmp_path_factory.getbasetemp(), content, codec, form)


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@any_file
def test_thousands_of_files_are_read_or_refused_in_one_line(tmp_path_factory, content, codec, form):
    check_any_bytes(tmp_path_factory.getbasetemp(), content, codec, form)
