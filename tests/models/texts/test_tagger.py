"""The network of a tagger: its loss by hand, what it tells alone and among others, and that it learns."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from recur.data.texts.tagged_batches import TaggedBatch, TaggedBatches, Words
from recur.data.texts.token_options import TokenOptions, WordOptions
from recur.data.texts.vocabulary import TextVocabulary
from recur.errors import OptionError
from recur.models.texts.characters import READERS
from recur.models.texts.tagger import TaggerNetwork
from recur.models.texts.tagger_options import TaggerOptions
from recur.token_ids import Ragged

TAGS = ["B-X", "I-X", "O"]
SENTENCES = [["so", "Good", "a"], ["Good"], [], ["a", "so", "x" * 40, "so", "b"]]
NUMBERS = [[0, 1, 2], [2], [], [2, 0, 1, 1, 2]]
SMALL: dict[str, Any] = {"hidden_size": 5, "embedding_size": 4, "character_size": 3, "character_features": 6}


def words(sentences: list[list[str]]) -> tuple[Words, int, int]:
    tokens = ["so", "good", "a", "so"]
    known = TextVocabulary.fit_tokens(tokens, WordOptions(min_count=1))
    letters = TextVocabulary.fit(tokens, TokenOptions(tokens="character", lowercase=False))
    return Words.of(sentences, known, letters), known.size, letters.size


def batch(sentences: list[list[str]] = SENTENCES, tags: list[list[int]] | None = NUMBERS) -> TaggedBatch:
    numbers = None if tags is None else Ragged.of(tags)
    return TaggedBatches(words(sentences)[0], numbers, batch_size=9).batch(torch.arange(len(sentences)).numpy())


def network(**options: Any) -> TaggerNetwork:
    _, num_words, num_characters = words(SENTENCES)
    found = TaggerNetwork(TaggerOptions(**(SMALL | options)), TAGS, num_words, num_characters, scheme="BIO")
    return found.double().eval()


@pytest.mark.parametrize("characters", ["convolution", "recurrent", "none"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_sentence_says_the_same_alone_and_among_longer_ones(characters: str, cell: str) -> None:
    made = network(characters=characters, cell=cell, num_layers=2)
    together = made(batch())
    for row, sentence in enumerate(SENTENCES):
        alone = made(batch([sentence], None))
        count = len(sentence)
        torch.testing.assert_close(together[:count, row], alone[:count, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("characters", ["convolution", "recurrent"])
def test_words_that_are_not_known_are_told_apart_by_their_characters(characters: str) -> None:
    pair = [["sooo"], ["aos"]]
    with_characters = network(characters=characters)(batch(pair, None))
    assert not torch.allclose(with_characters[0, 0], with_characters[0, 1])
    without = network(characters="none")(batch(pair, None))
    torch.testing.assert_close(without[0, 0], without[0, 1])


def test_the_loss_of_a_chain_is_that_of_all_its_tags() -> None:
    made = network()
    given = batch()
    total, counted = made.loss_sums(given)
    likelihood = made.crf.log_likelihood(made(given), given.target.t(), given.lengths)
    torch.testing.assert_close(total, -likelihood.sum())
    assert counted == 9
    torch.testing.assert_close(made.loss(given), -likelihood.sum() / 9)


def test_softmax_is_a_chain_without_transitions() -> None:
    made = network(output="softmax")
    given = batch()
    emissions = made(given)
    wanted = sum(
        cross_entropy(emissions[: len(tags), row], torch.tensor(tags), reduction="sum")
        for row, tags in enumerate(NUMBERS)
        if tags
    )
    total, _ = made.loss_sums(given)
    torch.testing.assert_close(total, torch.as_tensor(wanted))
    torch.testing.assert_close(total, -made.crf.log_likelihood(emissions, given.target.t(), given.lengths).sum())
    total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in made.crf.parameters())


def test_a_sentence_with_a_tag_that_is_not_known_does_not_count() -> None:
    made = network()
    unknown = [[0, -1, 2], *NUMBERS[1:]]
    some, counted = made.loss_sums(batch(tags=unknown))
    rest, others = made.loss_sums(batch(SENTENCES[1:], NUMBERS[1:]))
    torch.testing.assert_close(some, rest)
    assert counted == others == 6
    assert made.loss(batch([["a"]], [[-1]])) == 0


@pytest.mark.parametrize("kind", READERS)
def test_characters_of_a_word_say_the_same_alone_and_among_others(kind: str) -> None:
    reader = READERS[kind](9, character_size=3, num_features=4).double()
    rows = [[2, 3, 4], [], [5], [6, 7, 8, 2, 2, 3, 4, 4, 1], [3, 2]]
    flat, lengths = torch.tensor(list(itertools.chain(*rows))), torch.tensor(list(map(len, rows)))
    together = reader(flat, lengths)
    for number, row in enumerate(rows):
        alone = reader(torch.tensor(row, dtype=torch.int64), torch.tensor([len(row)]))
        torch.testing.assert_close(together[number], alone[0], rtol=0, atol=1e-12)
    assert torch.equal(together[1], torch.zeros(4, dtype=torch.float64))
    (together * torch.randn_like(together)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in reader.parameters())


def test_the_convolution_by_hand() -> None:
    reader = READERS["convolution"](5, character_size=2, num_features=3).double()
    found = reader(torch.tensor([2, 3]), torch.tensor([2]))[0]
    weight, bias = reader.convolution.weight, reader.convolution.bias
    one, two = reader.embedding.weight[2], reader.embedding.weight[3]
    first = bias + weight[:, :, 1] @ one + weight[:, :, 2] @ two
    second = bias + weight[:, :, 0] @ one + weight[:, :, 1] @ two
    torch.testing.assert_close(found, torch.stack([first, second]).amax(0).clamp(min=0))


def test_it_learns_what_follows_what() -> None:
    torch.manual_seed(1)
    made = network(dropout=0.0, embedding_dropout=0.0, token_dropout=0.0).train()
    made.fit_tags(torch.tensor([10, 5, 85]))
    torch.testing.assert_close(made.output.bias[2].exp(), torch.tensor(85.5 / 101, dtype=torch.float64))
    optimizer = torch.optim.Adam(made.parameters(), lr=0.05)
    given = batch()
    for _ in range(60):
        optimizer.zero_grad()
        loss = made.loss(given)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.05
    assert made.crf.decode(made.eval()(given), given.lengths) == NUMBERS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output": "best"}, "output must be one of crf, softmax, not 'best'"),
        ({"characters": "all"}, "characters must be one of convolution, recurrent, none, not 'all'"),
        ({"character_size": 0}, "character_size must be a whole number from 1"),
        ({"characters": "recurrent", "character_features": 7}, "character_features must be even where characters are"),
    ],
)
def test_options_out_of_range(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TaggerOptions(**given)


def test_a_tagger_without_tags() -> None:
    with pytest.raises(OptionError, match="tags: there is none"):
        TaggerNetwork(TaggerOptions(), [], 5, 5)
