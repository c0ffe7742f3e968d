"""Unknown words take the word that was looked at most."""

from __future__ import annotations

import pytest
import torch

from recur.decode import replace_unknown
from recur.errors import OptionError

VOCABULARY = ["<unk>", "</s>", "the", "sees", "man"]
LOOKED = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]])
SOURCE = ["der", "Tokio", "Müller"]


def test_each_unknown_word_is_replaced() -> None:
    assert replace_unknown([2, 0, 0], LOOKED, SOURCE, VOCABULARY, unknown=0) == ["the", "Müller", "Tokio"]
    assert replace_unknown((3, 4, 2), LOOKED, SOURCE, VOCABULARY, unknown=0) == ["sees", "man", "the"]


def test_a_lexicon_translates_what_it_has() -> None:
    words = replace_unknown([2, 0, 0], LOOKED, SOURCE, VOCABULARY, unknown=0, lexicon={"Tokio": "Tokyo", "der": "the"})
    assert words == ["the", "Müller", "Tokyo"]


def test_of_equals_the_first_is_taken() -> None:
    assert replace_unknown([0], torch.full((1, 3), 1 / 3), SOURCE, VOCABULARY, unknown=0) == ["der"]


def test_nothing_said() -> None:
    assert replace_unknown([], torch.zeros(0, 3), SOURCE, VOCABULARY, unknown=0) == []


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (3,)])
def test_attention_of_something_else(shape: tuple[int, ...]) -> None:
    message = r"^attention must have a row for each of 3 tokens and a column for each of 3 words of the source, not "
    with pytest.raises(OptionError, match=message):
        replace_unknown([2, 0, 0], torch.zeros(shape), SOURCE, VOCABULARY, unknown=0)
