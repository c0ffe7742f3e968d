from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recur.data.options import CorpusOptions, decode_escapes, encoding_names
from recur.errors import OptionError


def test_defaults():
    options = CorpusOptions()
    assert (options.tokens, options.codec, options.separator, options.bpe_size) == ("character", "utf-8", None, 2000)
    assert options.cut_fractions == (0.05, 0.05)


def test_every_field_has_its_own_help():
    import ast
    import inspect

    body = ast.parse(inspect.getsource(CorpusOptions)).body[0].body
    documented = {
        first.target.id
        for first, second in itertools.pairwise(body)
        if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr)
    }
    assert documented == {field.name for field in dataclasses.fields(CorpusOptions)}


def test_given_parts_are_not_cut():
    assert CorpusOptions(valid="v.txt").cut_fractions == (0.0, 0.05)
    assert CorpusOptions(valid="v.txt", test="t.txt").cut_fractions == (0.0, 0.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens": "word"}, r"^tokens: 'word' is not known; expected character, byte or bpe\.$"),
        ({"tokens": "charakter"}, r"'charakter' is not known; did you mean character\? expected"),
        ({"vocabulary_size": 500}, r"^vocabulary_size: only a BPE has a size to choose, but tokens is character; give"),
        ({"vocabulary_size": 2000, "tokens": "byte"}, r"but tokens is byte"),
        (
            {"vocabulary_size": 256, "tokens": "bpe"},
            r"at least 257 .*, got 256; for single bytes give tokens='byte'\.$",
        ),
        ({"encoding": "cp1252", "tokens": "byte"}, r"^encoding: 'cp1252' would be ignored, for tokens='byte'"),
        ({"encoding": "utf-88"}, r"^encoding: 'utf-88' is not an encoding .*; did you mean utf-8\? common ones"),
        ({"encoding": "latin_11"}, r"did you mean latin-?1"),
        ({"encoding": "base64"}, r"'base64' is not an encoding of text files"),
        ({"encoding": "utf-7"}, r"'utf-7' is not an encoding of text files"),
        ({"encoding": "unicode_escape"}, r"'unicode_escape' is not an encoding of text files"),
        ({"encoding": "a\0b"}, r"is not an encoding of text files"),
        ({"document_separator": ""}, r"^document_separator: is empty; give the text"),
        ({"document_separator": "\udc80"}, r"^document_separator: '\\udc80' is not valid Unicode"),
        ({"document_separator": r"\q"}, r"is not a known escape; expected \\n"),
        ({"document_separator": r"\x0"}, r"is not a known escape"),
        ({"document_separator": r"\ud800"}, r"\\ud800 is no character"),
        ({"document_separator": "\\"}, r"is not a known escape"),
        ({"valid_fraction": 0}, r"^valid_fraction: expected a number between 0 and 1, got 0; 0\.05 is usual\.$"),
        ({"test_fraction": 1.5}, r"^test_fraction: expected a number between 0 and 1, got 1\.5"),
        ({"test_fraction": float("nan")}, r"got nan"),
        ({"valid_fraction": 0.6, "test_fraction": 0.4}, r"together they are 1, which leaves nothing to train on"),
        ({"valid": "v.txt", "valid_fraction": 0.1}, r"^valid_fraction: would be ignored, for valid names a file"),
        ({"test": "t.txt", "test_fraction": 0.1}, r"^test_fraction: would be ignored, for test names a file"),
    ],
)
def test_nonsense_is_refused_in_one_line(given, message):
    with pytest.raises(OptionError, match=message) as caught:
        CorpusOptions(**given)
    assert "\n" not in str(caught.value)


def test_escapes():
    assert decode_escapes(r"a\n\t\\n\x41\u00e9\U0001F600") == "a\n\t\\nAé😀"
    assert decode_escapes("plain\nnewline") == "plain\nnewline"


@given(st.text(max_size=20))
def test_a_doubled_backslash_is_the_text_itself(text):
    assert decode_escapes(text.replace("\\", "\\\\")) == text


def test_every_encoding_that_is_suggested_is_accepted():
    names = encoding_names()
    assert {"utf-8", "cp1252", "shift-jis", "latin-1"} <= set(names)
    assert not {"base64", "rot13", "utf-7"} & set(names)
    for name in names:
        assert CorpusOptions(encoding=name).codec


def test_importing_the_options_imports_neither_numpy_nor_torch():
    code = "import sys, recur.data.options; print([name for name in ('numpy', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
