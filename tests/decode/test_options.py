"""Options that make no sense, or would be ignored, are errors."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recur.decode import DecodingOptions, Sampling
from recur.errors import OptionError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, r"beams must be a whole number from 1 on, not 0\."),
        ({"max_length": 10**20}, r"max_length must be 1,000,000,000 or less, not 100,000,000,000,000,000,000\."),
        ({"min_length": 10**10}, r"min_length must be 1,000,000,000 or less, not 10,000,000,000\."),
        ({"beams": True}, r"beams must be a whole number from 1 on, not True\."),
        ({"num_best": 1.0}, r"num_best must be a whole number from 1 on, not 1\.0\."),
        ({"groups": -1}, r"groups must be a whole number from 1 on, not -1\."),
        ({"min_length": -1}, r"min_length must be a whole number from 0 on, not -1\."),
        ({"max_length": 0}, r"max_length must be a whole number from 1 on, not 0\."),
        ({"block_ngrams": 0}, r"block_ngrams must be a whole number from 1 on, not 0\."),
        ({"beams": 2, "groups": 2, "num_best": 2, "diversity": -1}, r"diversity must be a number from 0 on, not -1\."),
        ({"length_exponent": math.nan}, r"length_exponent must be a number from 0 on, not nan\."),
        ({"coverage_penalty": None}, r"coverage_penalty must be a number from 0 on, not None\."),
        ({"patience": 0.5}, r"patience must be a number from 1 on, or infinity, not 0\.5\."),
        ({"patience": math.nan}, r"patience must be a number from 1 on, or infinity, not nan\."),
        ({"prune": 0}, r"prune must be a number above 0, not 0\."),
        ({"length_penalty": "long"}, r"length_penalty must be none, gnmt or mean, not 'long'\."),
        ({"sampling": 0.5}, r"sampling must be a Sampling, not 0\.5\."),
        ({"min_length": 5, "max_length": 4}, r"min_length is 5, more than max_length, 4\."),
        (
            {"length_penalty": "mean", "length_exponent": 1.0},
            r"length_exponent belongs to the length penalty gnmt, and length_penalty is mean\. "
            r"Leave length_exponent= out, or give length_penalty='gnmt'\.",
        ),
        (
            {"diversity": 0.5},
            r"diversity keeps groups of beams apart, and there is one\. Leave diversity= out, or give groups=\.",
        ),
        (
            {"beams": 5, "groups": 2, "num_best": 2},
            r"beams and num_best are split evenly among the groups: 5 and 2 are no multiples of 2\.",
        ),
        (
            {"beams": 4, "groups": 2},
            r"beams and num_best are split evenly among the groups: 4 and 1 are no multiples of 2\.",
        ),
        (
            {"beams": 2, "num_best": 3},
            r"num_best is 3, and a search with 2 beams need not find more than 2\. Give beams=3 or more\.",
        ),
        *(
            (
                {"sampling": Sampling(), name: value},
                rf"{name} is of a beam search, and tokens are drawn\. Leave {name}= out\.",
            )
            for name, value in (("beams", 2), ("groups", 2), ("diversity", 0.5), ("patience", 2.0), ("prune", 1.0))
        ),
    ],
)
def test_values_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        DecodingOptions(**options)


def test_what_is_not_given() -> None:
    options = DecodingOptions()
    assert (options.exponent, options.repulsion) == (0.6, 0.5)
    given = DecodingOptions(length_penalty="gnmt", length_exponent=0, beams=2, groups=2, num_best=2, diversity=0)
    assert (given.exponent, given.repulsion) == (0, 0)
