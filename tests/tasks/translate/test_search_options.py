"""How a translator is asked on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from recur.decode import DecodingOptions, Sampling
from recur.errors import OptionError
from recur.tasks.translate.search_options import SearchOptions


def test_search_options() -> None:
    assert SearchOptions().decoding() == DecodingOptions(beams=5, length_penalty="mean")
    found = SearchOptions(num_best=9, max_length=4, min_length=2, block_ngrams=3, coverage_penalty=0.2).decoding()
    assert (found.beams, found.num_best, found.max_length, found.min_length) == (9, 9, 4, 2)
    assert (found.block_ngrams, found.coverage_penalty) == (3, 0.2)
    drawn = SearchOptions(temperature=0.7, num_best=3).decoding()
    assert drawn.sampling == Sampling(temperature=0.7)
    assert (drawn.num_best, drawn.beams) == (3, 1)
    assert SearchOptions(top_k=5).decoding().sampling == Sampling(top_k=5)
    assert SearchOptions(top_p=0.5, temperature=0.7).decoding().sampling == Sampling(temperature=0.7, top_p=0.5)
    assert SearchOptions(required="red, door").texts("required") == ["red", " door"]
    assert SearchOptions().texts("forbidden") == []
    with pytest.raises(OptionError, match=r"Leave temperature= and top_p= out, or required=\.$"):
        SearchOptions(required="red", temperature=0.5, top_p=0.5).decoding()
    for given in (",", "red,,door", "red,", " ", ""):
        with pytest.raises(OptionError, match=f"^required: '{given}' has an empty text; give texts with one comma"):
            SearchOptions(required=given).texts("required")
    with pytest.raises(OptionError, match="A comma itself cannot be forbidden here, but in Python"):
        SearchOptions(forbidden=" , ").texts("forbidden")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beams must be a whole number from 1 on, not 0"),
        ({"beams": 2, "num_best": 3}, "num_best is 3, and a search with 2 beams need not find more than 2"),
        ({"num_best": 0}, "num_best must be a whole number from 1 on, not 0"),
        ({"max_length": 0}, "max_length must be a whole number from 1 on, not 0"),
        ({"min_length": 31, "max_length": 30}, "min_length is 31, more than max_length, 30"),
        ({"block_ngrams": 0}, "block_ngrams must be a whole number from 1 on, not 0"),
        ({"coverage_penalty": -1.0}, "coverage_penalty must be a number from 0 on, not -1.0"),
        ({"length_penalty": "long"}, "length_penalty must be none, gnmt or mean, not 'long'"),
        ({"temperature": 0.5, "beams": 3}, "beams is of a beam search, and tokens are drawn"),
        ({"temperature": -1.0}, "temperature"),
    ],
)
def test_search_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SearchOptions(**options).decoding()
