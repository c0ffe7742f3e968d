"""What tokens of sources and targets are chosen to be, their batches, and texts of tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recur.data.texts.pair_batches import PairBatches
from recur.data.texts.pair_tokens import choose_pair_tokens, fit_pair_vocabularies
from recur.data.texts.token_options import PairTokenOptions, TokenOptions, Tokens
from recur.data.texts.vector_options import PairVectorOptions
from recur.data.texts.vocabulary import TextVocabulary, choose_tokens
from recur.errors import DataError, OptionError, RunError
from recur.token_ids import SPECIAL, Ragged

WORDS = ["katze", "hund", "maus", "haus", "baum"]
SOUNDS = ["k a ts", "h u n t", "m au s", "h au s", "b au m"]
SENTENCES = [f"Number {number} is word w{number}." for number in range(900)]


@pytest.mark.parametrize(
    ("sources", "targets", "options", "kinds"),
    [
        (WORDS, SOUNDS, {}, ("character", "space")),
        (WORDS, WORDS, {}, ("character", "character")),
        # Short, and in the letters of the targets.
        (
            ["10 june 2020", "3 may 1999"] * 30,
            ["2020-june-10", "1999-may-03"] * 30,
            {},
            ("character", "character"),
        ),
        (SENTENCES, SENTENCES, {}, ("bpe", "bpe")),
        (SENTENCES * 20, SENTENCES * 20, {}, ("bpe", "bpe")),
        (SENTENCES, SOUNDS * 180, {}, ("bpe", "space")),
        # Symbols that stand there once are few of all.
        (WORDS * 40, [*SOUNDS * 39, "k a tz", "h u nd", "m aau", "h o s", "b au w"], {}, ("character", "space")),
        # Names of a word or two.
        ([f"ha no{number}" for number in range(900)], SOUNDS * 180, {}, ("character", "space")),
        (WORDS, SOUNDS, {"vocabulary": "joint"}, ("bpe", "bpe")),
        (WORDS, SOUNDS, {"vocabulary": "joint", "target_tokens": "character"}, ("character", "character")),
        (WORDS, SOUNDS, {"source_tokens": "bpe", "vocabulary_size": 300}, ("bpe", "space")),
    ],
)
def test_what_a_token_is_chosen_to_be(sources: Any, targets: Any, options: Any, kinds: Any) -> None:
    asked = PairTokenOptions(**options)
    chosen, why = choose_pair_tokens(asked, sources, targets)
    assert (chosen.source_tokens, chosen.target_tokens) == kinds
    assert chosen.vocabulary_size == asked.vocabulary_size
    for name in ("source_tokens", "target_tokens"):
        assert (name in why) == (getattr(asked, name) is None)
    # What is chosen is chosen for good.
    assert choose_pair_tokens(chosen, sources, targets) == (chosen, {})


@pytest.mark.parametrize(
    ("targets", "options", "vocabulary"),
    [
        (SENTENCES, {}, "joint"),
        (SENTENCES, {"vocabulary": "own"}, "own"),
        (SENTENCES, {"target_tokens": "word"}, "own"),
        ([sentence.swapcase() for sentence in SENTENCES], {}, "joint"),
        ([sentence[::-1] for sentence in SENTENCES], {}, "own"),
    ],
)
def test_texts_of_one_language_have_a_joint_vocabulary(targets: Any, options: Any, vocabulary: str) -> None:
    chosen, why = choose_pair_tokens(PairTokenOptions(**options), SENTENCES, targets)
    assert chosen.vocabulary == vocabulary
    assert why.get("vocabulary") == (
        "100% of the words of targets stand in sources too" if vocabulary == "joint" else None
    )


def test_vocabularies() -> None:
    options = PairTokenOptions(source_tokens="character", target_tokens="character", min_count=1)
    of_sources, of_targets, *_ = fit_pair_vocabularies(options, ["ab"], ["bc"])
    assert (of_sources.symbols, of_targets.symbols) == (("a", "b"), ("b", "c"))
    both, other, *_ = fit_pair_vocabularies(replace(options, vocabulary="joint"), ["ab"], ["bc"])
    assert both is other
    assert both.symbols == ("b", "a", "c")
    with pytest.raises(DataError, match="no token of the targets stands 2 times in the training part"):
        fit_pair_vocabularies(replace(options, min_count=2), ["aa"], ["bc"])
    with pytest.raises(DataError, match="no token of the texts stands 9 times"):
        fit_pair_vocabularies(replace(options, min_count=9, vocabulary="joint"), ["aa"], ["bc"])


@pytest.mark.parametrize(
    ("pairs", "options", "size"),
    [
        (SENTENCES, {}, 1000),
        (SENTENCES * 20, {}, 2000),
        (SENTENCES, {"vocabulary_size": 300}, 300),
        (SENTENCES, {"vocabulary_size": 300, "vocabulary": "own"}, 300),
    ],
)
def test_the_size_of_a_bpe(pairs: Any, options: Any, size: int) -> None:
    chosen, _ = choose_pair_tokens(PairTokenOptions(**options), pairs, pairs)
    of_sources, of_targets, *_ = fit_pair_vocabularies(chosen, pairs, pairs)
    assert (of_sources.kind, of_targets.kind) == ("bpe", "bpe")
    assert (of_sources.size - SPECIAL, of_targets.size - SPECIAL) == (size, size)


@pytest.mark.parametrize("kind", ["word", "space", "character"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_the_size_of_a_bpe_bounds_no_words_or_characters(kind: Tokens, side: str) -> None:
    # 1,200 characters, each of them a word too, stand there three times.
    rows = (range(0x4E00 + first, 0x4E00 + first + 4) for first in range(0, 1200, 4))
    others = [" ".join(map(chr, row)) for row in rows] * 3
    kinds: dict[str, Any] = {"source_tokens": "bpe", "target_tokens": "bpe", f"{side}_tokens": kind}
    texts = (others, SENTENCES) if side == "source" else (SENTENCES, others)
    chosen, _ = choose_pair_tokens(PairTokenOptions(**kinds), *texts)
    found = fit_pair_vocabularies(chosen, *texts)
    other, bpe = (found.sources, found.targets) if side == "source" else (found.targets, found.sources)
    assert bpe.size - SPECIAL == 1000
    assert other.size - SPECIAL == 1200 + (kind == "character")
    # One that is given is of both.
    found = fit_pair_vocabularies(replace(chosen, vocabulary_size=400), *texts)
    assert (found.sources.size - SPECIAL, found.targets.size - SPECIAL) == (400, 400)


def test_the_size_of_a_bpe_bounds_no_vectors(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"known{number} {number} 1\n" for number in range(3000)) + "word 2 3\n")
    options = PairTokenOptions(source_tokens="word", target_tokens="bpe")
    found = fit_pair_vocabularies(options, SENTENCES, SENTENCES, PairVectorOptions(vectors=str(path)))
    assert found.of_sources is not None
    assert len(found.of_sources.ids) == 3001
    assert found.targets.size - SPECIAL == 1000


def fitted(texts: list[str], kind: Any, **options: Any) -> TextVocabulary:
    return TextVocabulary.fit(texts, choose_tokens(TokenOptions(tokens=kind, **options), texts)[0])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("word", "It's late (or \u00bfearly?), I think."),
        ("word", "a [b] {c} d: e; f! 50%"),
        ("space", "K AE1 T , ( x )"),
        ("character", "a  b\n,c"),
        ("bpe", " 猫 is 10 € (cat)  \N{GRINNING FACE}"),
    ],
)
def test_what_is_joined_is_what_was_cut(kind: Any, text: str) -> None:
    options = {} if kind == "bpe" else {"min_count": 1}
    vocabulary = fitted([text], kind, lowercase=False, **options)
    ids = vocabulary.encode(text).tolist()
    assert vocabulary.text_of(ids) == text
    if kind == "bpe":
        return
    assert vocabulary.join([piece.text for piece in vocabulary.cut(text)]) == text
    assert [vocabulary.id_of(piece.text) for piece in vocabulary.cut(text)] == ids


def test_what_is_unknown_or_behind_the_last_id() -> None:
    vocabulary = fitted(["b a b"], "space", min_count=1)
    assert (vocabulary.id_of("b"), vocabulary.id_of("a"), vocabulary.id_of("z"), vocabulary.size) == (2, 3, 1, 4)
    assert vocabulary.text_of([3, 1, 5, 4, 2], more=["zig", "zag"]) == "a <unknown> zag zig b"
    assert vocabulary.text_of([]) == ""
    bpe = fitted(["ab"], "bpe")
    # Padding and unknown are no pieces.
    assert bpe.text_of([0, *bpe.encode("ab").tolist(), 1]) == "ab"


# --- batches ---


def rows() -> tuple[Ragged, Ragged]:
    draw = np.random.default_rng(0)
    made = [draw.integers(2, 50, draw.integers(0, 30)).tolist() for _ in range(80)]
    return Ragged.of(made[:40]), Ragged.of(made[40:])


@pytest.mark.parametrize("kind", ["word", "space", "character", "bpe"])
def test_turns_of_a_conversation_do_not_run_together(kind: Tokens) -> None:
    sources = ["Hi there\nHello", "Hello", "Hi there Hello"] * 3
    options = PairTokenOptions(source_tokens=kind, target_tokens=kind, vocabulary_size=300 if kind == "bpe" else None)
    of_sources, of_targets, *_ = fit_pair_vocabularies(options, sources, ["Hi there"] * 9)
    apart, together = of_sources.encode(sources[0]).tolist(), of_sources.encode(sources[2]).tolist()
    assert apart != together
    if kind in ("word", "space"):
        end = of_sources.id_of("\n")
        assert apart == [together[0], together[1], end, together[2]]
        assert [piece.text for piece in of_sources.cut(sources[0])] == ["Hi", "there", "\n", "Hello"]
        assert of_sources.join(["Hi", "there", "\n", "Hello"]) == sources[0]
        assert of_targets.id_of("\n") == 1
        plain, *_ = fit_pair_vocabularies(options, sources[1:3] * 2, ["Hi there"] * 4)
        assert (plain.has_lines, "has_lines" in plain.to_json()) == (False, False)
    again = TextVocabulary.from_json(of_sources.to_json())
    assert again.encode(sources[0]).tolist() == apart
    assert again.to_json() == of_sources.to_json()
    with pytest.raises(RunError, match="the vocabulary is damaged"):
        TextVocabulary.from_json(of_sources.to_json() | {"has_lines": "yes"})


def test_batches_of_long_pairs_are_small() -> None:
    sources = Ragged.of([[2] * 40] * 6 + [[2] * 4] * 6 + [[2] * 300])
    targets = Ragged.of([[2] * 39] * 6 + [[2] * 3] * 6 + [[2] * 300])
    for most, expected in ((10**6, [6, 6, 1]), (2 * 45**2, [6, 2, 2, 2, 1]), (1, [1] * 13)):
        found = PairBatches(sources, targets, batch_size=6, max_attention=most)
        assert [len(batch.index) for batch in found] == expected


def test_batches_hold_each_pair_once() -> None:
    sources, targets = rows()
    batches = PairBatches(sources, targets, sources, batch_size=7, max_tokens=100, seed=3)
    seen = []
    for batch in batches:
        longest = max(batch.x.shape[1], batch.y.shape[1])
        # A bucket is at most a tenth longer than what is in it.
        assert len(batch.x) <= 7
        assert len(batch.x) == 1 or len(batch.x) * longest <= 100
        assert batch.copies is not None
        for row, item in enumerate(batch.index.tolist()):
            seen.append(item)
            source = sources.ids[sources.offsets[item] : sources.offsets[item + 1]].tolist()
            target = targets.ids[targets.offsets[item] : targets.offsets[item + 1]].tolist()
            padding = batch.x.shape[1] - len(source)
            assert batch.x[row].tolist() == batch.copies[row].tolist() == source + [0] * padding
            assert batch.y[row].tolist() == target + [0] * (batch.y.shape[1] - len(target))
            assert (int(batch.lengths[row]), int(batch.y_lengths[row])) == (len(source), len(target) + 1)
    assert sorted(seen) == list(range(40))
    assert seen != sorted(seen)


def test_batches_without_targets_and_elsewhere() -> None:
    sources, _ = rows()
    for batch in PairBatches(sources, batch_size=64):
        assert batch.copies is None
        assert batch.y.tolist() == [[0]] * len(batch.y)
        assert batch.y_lengths.tolist() == [1] * len(batch.y)
        assert batch.to(batch.x.device) is batch
        moved = batch.to(torch.device("meta"))
        assert moved.x.is_meta
        assert moved.copies is None
    assert list(PairBatches(Ragged.of([]), batch_size=4)) == []
    with pytest.raises(OptionError, match="max_tokens: expected a number from 1 on, got 0"):
        PairBatches(sources, batch_size=4, max_tokens=0)
