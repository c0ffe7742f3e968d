from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recur.data import spool as spool_module
from recur.data.spool import SpooledText, mapped
from recur.data.tokenizer import BpeTokenizer

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
PROSE = "The lowest of the lower, don't:  two  blanks\n\n\n  and\tmore 12345 ... \u3000x\x1c y\r\n" * 6
# Blanks are merged too, so that a cut among them shows.
BPE = BpeTokenizer.trained([PROSE + "x\n \n  \n\t\t \n\n" * 50], vocabulary_size=340)


def spooled(*chunks: str) -> SpooledText:
    with tempfile.TemporaryDirectory() as folder:
        return SpooledText.written(Path(folder) / "text", chunks, is_bytes=False)


@settings(deadline=None)
@given(st.lists(texts, max_size=5))
def test_it_holds_the_text_in_as_few_bytes_as_the_largest_character_needs(chunks):
    whole = "".join(chunks)
    text = spooled(*chunks)
    assert "".join(text.strings()) == whole
    assert len(text) == len(whole)
    largest = max(map(ord, whole), default=0)
    assert text.units.dtype.itemsize == (1 if largest < 256 else 2 if largest < 65536 else 4)
    assert text.symbols().tolist() == sorted({ord(character) for character in whole})


def test_bytes_are_held_as_they_are(tmp_path):
    text = SpooledText.written(tmp_path / "text", [b"\0\xff", b"a"], is_bytes=True)
    assert text.is_bytes
    assert text.units.tolist() == [0, 255, 97]


def test_a_part_is_addressed_by_character():
    part = spooled("aé€😀z").part(1, 4)
    assert "".join(part.strings()) == "é€😀"


@pytest.mark.parametrize("block", [1, 2, 3, 1000])
@settings(deadline=None)
@given(text=st.text(alphabet="ab\n", max_size=40), separator=st.text(alphabet="ab\n", min_size=1, max_size=4))
def test_separators_are_found_wherever_blocks_end(block, text, separator):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "BLOCK", block)
        ends = list(spooled(text).ends_of(separator))
    expected, position = [], 0
    for piece in text.split(separator)[:-1]:
        position += len(piece) + len(separator)
        expected.append(position)
    assert ends == expected


def test_documents_start_after_separators_but_not_at_the_end(tmp_path):
    assert spooled("a--b----c--").document_starts("--").tolist() == [0, 3, 6, 8]
    raw = SpooledText.written(tmp_path / "text", ["a§b".encode()], is_bytes=True)
    assert raw.document_starts("§").tolist() == [0, 3]


@settings(deadline=None, max_examples=200)
@given(
    pieces=st.lists(
        st.sampled_from(["the", "low", " ", "\n", "\t", "1", "'t", "!", "\x1c", "\u3000", "é"]), max_size=60
    ),
    size=st.integers(1, 20),
)
def test_chunks_of_words_have_the_tokens_of_the_whole(pieces, size):
    # A visible place to cut often enough, for a run of 16 sizes without one is cut anywhere.
    text = " x\n".join("".join(pieces[start : start + 4]) for start in range(0, len(pieces), 4))
    chunks = list(spooled(text).word_chunks(size))
    assert "".join(chunks) == text
    if size >= 2:
        tokens = [token for chunk in chunks for token in BPE.encode(chunk).tolist()]
        assert tokens == BPE.encode(text).tolist()


def test_chunks_of_words_are_about_as_long_as_asked():
    lengths = [len(chunk) for chunk in spooled(PROSE * 20).word_chunks(200)]
    assert max(lengths) <= 200
    assert sum(lengths) == len(PROSE) * 20


def test_a_text_without_words_is_cut_anyhow():
    lengths = [len(chunk) for chunk in spooled("x" * 1000).word_chunks(10)]
    assert max(lengths) == 160
    assert sum(lengths) == 1000


def test_an_empty_file_is_an_empty_array(tmp_path):
    assert mapped(tmp_path / "none", np.dtype("<u2"), 0).shape == (0,)
