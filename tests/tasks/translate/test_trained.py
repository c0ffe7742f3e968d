"""Translators in use: what they read and write, how they are asked, kept, and what they refuse."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.translate.conftest import GREEDY, WIDE, WORDS, always, made, pairs, rare

import recur
from recur.data.texts import read_pairs
from recur.data.texts.options import PairOptions
from recur.decode import DecodingOptions, Sampling
from recur.errors import DataError, OptionError, RunError
from recur.tasks.translate.evaluation import judge_translator
from recur.tasks.translate.search_options import SearchOptions
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.translation import cut_off, lacking

# --- several that write together ---


def test_joined_translators_write_by_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    data = pairs()
    single, both = made(data=data), made(data=data, members=2)
    joined = TrainedTranslator.joined([single, both])
    assert joined.options.members == 3
    assert joined.networks == (*single.networks, *both.networks)
    (answer,) = joined.translate(data[0][:1], decoding=GREEDY)[0]
    (batch,) = joined.batches(data[0][:1], [answer.text])
    with torch.no_grad():
        said = torch.stack([network(batch).exp() for network in joined.networks]).mean(0).log()
    of_tokens = said[0].gather(1, batch.y[0][:, None]).sum()
    assert answer.log_prob == pytest.approx(of_tokens.item(), abs=1e-4)
    joined.save(tmp_path / "joined")
    again = TrainedTranslator.load(tmp_path / "joined").translate(data[0][:1], decoding=GREEDY)[0][0]
    assert (again.text, again.log_prob) == (answer.text, pytest.approx(answer.log_prob, abs=1e-5))
    assert TrainedTranslator.joined([single]) is single


def test_what_cannot_be_joined() -> None:
    with pytest.raises(OptionError, match="takes one translator or more, and none was given"):
        TrainedTranslator.joined([])
    with pytest.raises(OptionError, match=r"number 1 and number 2 have different options: hidden_size is \d+ and 4\."):
        TrainedTranslator.joined([made(), made(hidden_size=4)])
    with pytest.raises(OptionError, match=r"number 1 and number 3 have different vocabularies\.$"):
        TrainedTranslator.joined([made(), made(), made("character")])


@pytest.mark.parametrize(
    "options", [{"input_feeding": True}, {"attention": "none"}, {"attention": "monotonic"}], ids=str
)
def test_a_translator_writes_in_bfloat16(options: dict[str, Any]) -> None:
    trained = made(**options)
    trained.network.bfloat16()
    together = trained.translate(["red old door", "new"], decoding=WIDE)
    assert [len(found) for found in together] == [3, 3]
    assert (
        "".join(trained.stream("red old door"))
        == trained.translate(["red old door"], decoding=DecodingOptions())[0][0].text
    )


# --- copies, and what is unknown ---


def test_what_targets_do_not_have_is_numbered_by_row() -> None:
    same = pairs()[0]
    setup = made("space", data=(same, same), copying=True).setup
    vocabulary = setup.target_vocabulary
    red, door = vocabulary.id_of("red"), vocabulary.id_of("door")
    size = vocabulary.size
    sources = ["zig red zag zig", "zag door"]
    assert setup.unknown_symbols(sources[0]) == ["zig", "zag"]
    found = setup.batches(sources, ["zag zig red zonk", "zag zig"], batch_size=2, max_tokens=100, copying=True)
    rows = {}
    for batch in found:
        assert batch.copies is not None
        for row, item in enumerate(batch.index.tolist()):
            length, told = int(batch.lengths[row]), int(batch.y_lengths[row])
            rows[item] = (batch.copies[row, :length].tolist(), batch.y[row, :told].tolist())
    # What neither vocabulary nor source has is unknown: 1.
    assert rows[0] == ([size, red, size + 1, size], [size + 1, size, red, 1, 0])
    assert rows[1] == ([size, door], [size, 1, 0])
    plain = next(iter(setup.batches(sources[:1], ["zag red"], batch_size=2, max_tokens=100)))
    assert plain.copies is None
    assert plain.y.tolist() == [[1, red, 0]]


def test_unseen_words_are_copied() -> None:
    trained = made("word", copying=True, members=2)
    for network in trained.network.networks:  # type: ignore[union-attr]
        assert network.gate is not None
        torch.nn.init.constant_(network.gate.bias, -1e4)
    sources = ["zonk", "red Zig-zag, zonk", "old door"]
    for source, (best,) in zip(sources, trained.translate(sources, decoding=GREEDY), strict=True):
        assert set(best.tokens) <= set(best.source_tokens)
        assert len(best.tokens) == 8
        assert best.text == trained.setup.target_vocabulary.join(best.tokens)
        assert "".join(trained.stream(source, decoding=GREEDY)) == best.text
    assert trained.translate(["zonk"], decoding=GREEDY)[0][0].text == " ".join(["zonk"] * 8)


def test_an_unknown_word_is_that_which_was_looked_at() -> None:
    trained = always(made("word", data=rare()), 1)
    source = "red zonk, old zig."
    ((best,),) = trained.translate([source], decoding=GREEDY)
    assert best.attention is not None
    assert best.source_tokens == ("red", "zonk", ",", "old", "zig", ".")
    assert best.tokens == tuple(best.source_tokens[place] for place in best.attention.argmax(1).tolist())
    assert best.text == trained.setup.target_vocabulary.join(best.tokens)
    assert "".join(trained.stream(source, decoding=GREEDY)) == best.text
    blind = always(made("word", data=rare(), attention="none"), 1)
    ((best,),) = blind.translate([source], decoding=GREEDY)
    assert best.tokens == ("<unknown>",) * 8
    assert "".join(blind.stream(source, decoding=GREEDY)) == best.text


@pytest.mark.parametrize(
    ("options", "tokens", "joint", "message"),
    [
        ({"tied": "all"}, "word", False, "tied: all makes one of the vectors of sources and of targets.*tied='output'"),
        ({"copying": True}, "bpe", False, "copying: pieces of a BPE of sources are no pieces of that of targets"),
        ({"copying": True}, ("word", "bpe"), False, "copying: pieces of a BPE"),
        (
            {"copying": True},
            ("word", "character"),
            False,
            "no token of sources, of kind word, is one of targets, of kind",
        ),
        ({"copying": True}, ("character", "space"), False, "is one of targets, of kind space; give tokens of one kind"),
    ],
)
def test_vocabularies_that_do_not_do(options: dict[str, Any], tokens: Any, joint: bool, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        made(tokens, joint=joint, **options)


@pytest.mark.parametrize("tokens", ["word", "bpe"])
def test_one_vocabulary_for_both(tokens: str, tmp_path: Path) -> None:
    trained = made(tokens, joint=True, tied="all", copying=True)
    setup = trained.setup
    assert setup.source_vocabulary is setup.target_vocabulary
    assert setup.source_vocabulary.encode("red RED").tolist().count(1) == 0
    trained.save(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "schema.json").read_text())["target_vocabulary"] is None
    again = recur.load(tmp_path / "run")
    assert again.setup.has_one_vocabulary
    assert again.network.source_embedding is again.network.embedding
    assert again.network.output.weight is again.network.embedding.weight
    assert again.translate(["red door"]) == trained.translate(["red door"])


# --- files ---


@pytest.mark.parametrize("tokens", ["space", "character", "bpe", ("character", "word")])
def test_saved_and_loaded_it_writes_the_same(tokens: Any, tmp_path: Path) -> None:
    trained = made(tokens, members=2, cell="gru", input_feeding=True)
    trained.save(tmp_path / "run")
    again = TrainedTranslator.load(tmp_path / "run")
    assert again.setup.to_json() == trained.setup.to_json()
    assert (again.options, again.decoding) == (trained.options, trained.decoding)
    sources = pairs(5)[0]
    assert again.translate(sources, decoding=WIDE) == trained.translate(sources, decoding=WIDE)
    with pytest.raises(RunError, match="exists"):
        trained.save(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": None}, "schema.json: damaged: "),
        ({"longest_target": -3}, "schema.json: damaged: longest_target is -3, expected a whole number from 1 on"),
        ({"longest_target": "many"}, "schema.json: damaged: longest_target is 'many'"),
        ({"num_pairs": float("inf")}, "schema.json: damaged: "),
        ({"source_vocabulary": {"kind": "word"}}, "schema.json: the vocabulary is damaged"),
        ({"target_vocabulary": ["a"]}, "schema.json: the vocabulary is damaged"),
        ({"reading": {"sauce": "a"}}, "schema.json: damaged: .*sauce"),
        ({"roles": {"columns": {}}}, "schema.json: damaged: it lacks 'ignored'"),
        ({"source": {"paths": []}}, "schema.json: damaged: it lacks 'fingerprint'"),
    ],
)
def test_a_damaged_schema_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    made().save(tmp_path / "run")
    path = tmp_path / "run" / "schema.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=message):
        TrainedTranslator.load(tmp_path / "run")


def test_what_is_of_another_run_does_not_fit(tmp_path: Path) -> None:
    made().save(tmp_path / "one")
    made("character").save(tmp_path / "other")
    (tmp_path / "one" / "schema.json").write_bytes((tmp_path / "other" / "schema.json").read_bytes())
    known = (
        r"one\W+schema\.json: is of another model: its vocabularies are not those that the weights were trained with"
    )
    with pytest.raises(RunError, match=known):
        TrainedTranslator.load(tmp_path / "one")
    config = tmp_path / "one" / "config.json"
    other = json.loads((tmp_path / "other" / "config.json").read_text())
    config.write_text(json.dumps(json.loads(config.read_text()) | {"knows": other["knows"]}))
    with pytest.raises(
        RunError, match=r"does not fit config.json: embedding.weight is \(\d+, 6\), expected \(\d+, 6\)"
    ):
        TrainedTranslator.load(tmp_path / "one")
    config = tmp_path / "other" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model": {"tied": "all"}}))
    with pytest.raises(RunError, match=r"config\.json: damaged: model: tied: all makes one"):
        TrainedTranslator.load(tmp_path / "other")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"task": "forecast"}))
    with pytest.raises(RunError, match="is a run of task 'forecast', expected 'translate'"):
        TrainedTranslator.load(tmp_path / "other")


# --- writing ---


@pytest.mark.parametrize("decoding", [GREEDY, WIDE])
@pytest.mark.parametrize("options", [{"copying": True}, {"members": 2, "attention": "monotonic"}], ids=str)
def test_answers_are_in_order_and_each_for_itself(options: dict[str, Any], decoding: DecodingOptions) -> None:
    trained = made(**options)
    sources = ["red door zonk", "", "old", " \n", *pairs(6)[0], "new " * 40]
    together = trained.translate(sources, decoding=decoding)
    for asked in (
        trained.translate(sources, decoding=decoding, batch_size=2),
        [trained.translate([source], decoding=decoding)[0] for source in sources],
    ):
        for found, expected in zip(asked, together, strict=True):
            assert [one.text for one in found] == [one.text for one in expected]
            assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
    for source, found in zip(sources, together, strict=True):
        if source.strip():
            assert len(found) == decoding.num_best
            assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
            assert found[0].source_tokens == tuple(source.split())
        else:
            assert [(one.text, one.log_prob, one.ended) for one in found] == [("", 0.0, "end")]
    assert trained.translate([]) == []


def test_log_probabilities_are_those_of_the_network() -> None:
    trained = made()
    network: Any = trained.network
    source = "red old door"
    for one in trained.translate([source], decoding=WIDE)[0]:
        (batch,) = trained.batches([source], [one.text])
        total, _ = network.loss_sums(batch)
        assert -float(total.detach()) == pytest.approx(one.log_prob, abs=1e-4)


@pytest.mark.parametrize("tokens", ["word", "bpe"])
def test_words_are_forbidden_and_required(tokens: str) -> None:
    trained = made(tokens)
    sources = ["red old door", "", "green house"]
    if tokens == "word":
        usual = trained.translate(sources[:1], decoding=DecodingOptions(min_length=1))[0][0].text.split()[0]
        assert usual not in trained.translate(sources[:1], forbidden=[usual])[0][0].text.split()
    required = [["NEW"], ["NEW"], []]
    found = trained.translate(sources, required=required, decoding=DecodingOptions(beams=4, max_length=12))
    assert "NEW" in found[0][0].text
    assert found[1][0].text == ""
    with pytest.raises(OptionError, match="required: there are 3 texts, and what 1 of them require"):
        trained.translate(sources, required=[["NEW"]])
    if tokens == "word":
        with pytest.raises(OptionError, match="required: 'zonk' is not made of tokens"):
            trained.translate(sources, required=[["zonk"], [], []])


def test_what_is_required_and_has_no_room_is_told() -> None:
    trained = made()
    sources, short = ["red old door", "", "green"], DecodingOptions(beams=4, max_length=2)
    texts = ["RED", "NEW GREEN"]
    found = trained.translate(sources, required=[texts, texts, ["RED"]], decoding=short)
    assert [one.missing for (one,) in found][1:] == [(), ()]
    assert found[0][0].missing == tuple(text for text in texts if text not in found[0][0].text) != ()
    table = trained.predict(sources, required=texts, decoding=short)
    assert table.columns == ["source", "target", "score", "ended", "missing"]
    assert [told is None for told in table["missing"]] == [False, True, False]
    assert lacking(table["missing"].to_list()) == [
        "2 of 3 answers without some of what is required, which does not fit into the most tokens that they may have, "
        "or with what else is asked, or could but be copied from another text"
    ]
    both = trained.predict(sources, required=texts, decoding=replace(short, max_length=6))
    assert both["missing"].to_list() == [None] * 3
    assert lacking(both["missing"].to_list()) == []


def test_a_word_that_can_but_be_copied_may_be_required() -> None:
    trained = made("word", copying=True)
    wide = DecodingOptions(beams=4, max_length=6)
    found = trained.translate(["zonk red", "red zig zonk"], required=[["zonk"], ["RED zonk", "zig"]], decoding=wide)
    assert "zonk" in found[0][0].tokens
    assert "RED zonk" in found[1][0].text
    assert "zig" in found[1][0].tokens
    assert [one.missing for (one,) in found] == [(), ()]
    with pytest.raises(OptionError, match="'zonk' is not made of tokens that the translator can write, or copy from a"):
        trained.translate(["red zig", "zonk"], required=[["zonk"], []])


def test_a_required_word_that_a_source_lacks_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = made("word", copying=True)
    wide = DecodingOptions(beams=4, max_length=6)
    table = trained.predict(["zonk red", "red", "", "zonk"], required=["zonk", "RED"], decoding=wide, batch_size=1)
    assert table["missing"].to_list() == [None, "zonk", None, None]
    assert all("RED" in text.split() for text in table["target"] if text)
    # What none can hold is said before anything is written.
    monkeypatch.setattr(trained, "members", lambda: pytest.fail("began to write"))
    with pytest.raises(OptionError, match="required: 'zig' is not made of tokens"):
        trained.predict(["zonk red", "red"], required=["zonk", "zig"])


@pytest.mark.parametrize(
    ("required", "message"),
    [
        ("NEW", r"required: takes a list of texts for each source, not one text; give \[\[text\]\]"),
        (3, "required: takes a list of texts for each source, not int"),
        (["NEW"], r"required: takes a list of texts for each source, but number 1 is a text; give \[text\]"),
        ([[3]], "required, number 1: takes a list of texts, but number 1 is int"),
        ([None], "required, number 1: takes a list of texts, not NoneType"),
    ],
)
def test_what_is_required_is_no_text_alone(required: Any, message: str) -> None:
    # Letters of a word would else be taken for texts, which all can be written.
    with pytest.raises(TypeError, match=message):
        made("character").translate(["red old door"], required=required)


def test_what_a_table_requires_is_no_text_alone() -> None:
    for name in ("required", "forbidden"):
        lists: Any = {name: "NEW"}
        with pytest.raises(TypeError, match=rf"{name}: takes a list of texts, not one; give \[text\]"):
            made("character").predict(["red old door"], **lists)


@pytest.mark.parametrize("tokens", ["word", "space", "character", "bpe"])
def test_pieces_of_a_stream_are_the_text(tokens: str) -> None:
    draw = np.random.default_rng(0)
    letters = [["猫", "犬", "ö"], ["é", "€", "\N{GRINNING FACE}"], ["(", ")", ","]]
    rows = [" ".join("".join(draw.choice(letters[draw.integers(3)], 3)) for _ in range(3)) for _ in range(60)]
    trained = made(tokens, data=(rows, rows))
    for source in rows[:4]:
        for decoding in (None, DecodingOptions(beams=3, max_length=25), DecodingOptions(max_length=5)):
            expected = trained.translate([source], decoding=decoding or DecodingOptions())
            pieces = list(trained.stream(source, decoding=decoding))
            assert "".join(pieces) == expected[0][0].text
            assert all(pieces)
    drawn = DecodingOptions(max_length=9, sampling=Sampling(temperature=1.5))
    one = trained.translate(rows[:1], decoding=drawn, seed=5)[0][0].text
    assert "".join(trained.stream(rows[0], decoding=drawn, generator=torch.Generator().manual_seed(5))) == one
    assert list(trained.stream(" ")) == []


def test_between_pieces_of_streams_gradients_are_as_they_were() -> None:
    trained = always(made(), 2)
    first, second = trained.stream("red door"), trained.stream("old house")
    pieces = [next(first), next(second)]
    assert torch.is_grad_enabled()
    pieces += [*first, *second]
    assert torch.is_grad_enabled()
    assert len(pieces) > 4


def test_a_stream_is_of_one_answer_where_the_translator_has_several() -> None:
    trained = made()
    expected = list(trained.stream("red old door"))
    for wide in (
        DecodingOptions(beams=5, num_best=3, length_penalty="gnmt"),
        DecodingOptions(beams=4, num_best=2, groups=2, diversity=0.3, length_penalty="gnmt"),
        DecodingOptions(beams=5, patience=2.0, prune=3.0, length_penalty="gnmt"),
    ):
        trained.decoding = wide
        assert list(trained.stream("red old door")) == expected


def test_half_a_letter_of_a_bpe_is_held_back() -> None:
    trained = made("bpe")
    bpe = trained.setup.target_vocabulary.bpe
    assert bpe is not None
    first = int(bpe.encode("猫")[0]) + 2
    always(trained, first)
    ((best,),) = trained.translate(["red"], decoding=DecodingOptions(max_length=2))
    assert best.text == "\N{REPLACEMENT CHARACTER}" * 2
    assert "".join(trained.stream("red", decoding=DecodingOptions(max_length=2))) == best.text


def test_an_answer_is_about_as_long_as_its_source_lets_expect() -> None:
    draw = np.random.default_rng(1)
    sources = [" ".join(draw.choice(WORDS, draw.integers(1, 9))) for _ in range(300)]
    # One target is very long, which no other answer has to wait for.
    targets = [*(source.upper() for source in sources[:-1]), "RED " * 300]
    trained = always(made("word", data=(sources, targets)), 2)
    setup = trained.setup
    lengths = [1, 8]
    expected = [10 + math.ceil(2 * setup.growth * (length + 10)) for length in lengths]
    assert setup.limits(np.array([*lengths, 10**6])).tolist() == [*expected, 2 * setup.longest_target + 10]
    for length, most in zip(lengths, expected, strict=True):
        assert 2 * length < most < 40
        source = " ".join(["red"] * length)
        for decoding in (None, DecodingOptions(), DecodingOptions(beams=2), DecodingOptions(min_length=most + 7)):
            ((best,),) = trained.translate([source], decoding=decoding)
            least = 0 if decoding is None else decoding.min_length
            assert (len(best.tokens), best.ended) == (max(most, least), "length")
        assert len(trained.translate([source], decoding=DecodingOptions(max_length=50))[0][0].tokens) == 50
        assert len("".join(trained.stream(source)).split()) == most


def test_a_source_of_a_hundred_thousand_tokens() -> None:
    trained = made(("word", "character"))
    trained.setup = replace(trained.setup, longest_target=10**6)
    tokens = (WORDS * 20_000)[:100_000]
    source, other = " ".join(tokens), " ".join([*tokens[:-1], "red"])
    decoding = DecodingOptions(beams=5, max_length=3)
    (best,), (of_other,) = trained.translate([source, other], decoding=decoding)
    assert best.source_tokens == tuple(tokens)
    assert best.attention is not None
    assert best.attention.shape == (len(best.tokens), 100_000)
    np.testing.assert_allclose(best.attention.sum(1), 1, atol=1e-4)
    # It is read to its end.
    assert abs(best.log_prob - of_other.log_prob) > 1e-4
    assert "".join(trained.stream(source, decoding=decoding)) == best.text
    # If nothing is said, an answer is as long as there is room for where each of its tokens looked.
    (batch,) = trained.batches([source])
    asked = trained.asked(batch, DecodingOptions(beams=5), None, torch.Generator(), torch.device("cpu"))
    assert asked["constraints"].max_lengths.tolist() == [134]


def test_answers_to_very_long_sources_are_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recur.tasks.translate.trained.MAX_ATTENTION", 240)
    for options, expected in (({}, [8, 6, 3, 1]), ({"attention": "none"}, [8, 8, 8, 8])):
        trained = always(made("word", **options), 2)
        sources = [" ".join(["red"] * length) for length in (30, 40, 80, 500)]
        found = trained.translate(sources, decoding=GREEDY)
        assert [len(best.tokens) for (best,) in found] == expected
        assert {best.ended for (best,) in found} == {"length"}
    wide = always(made("word"), 2).translate(["red " * 20], decoding=WIDE)[0]
    assert {len(one.tokens) for one in wide} <= {0, 1, 2, 3}
    assert len("".join(always(made("word"), 2).stream("red " * 40)).split()) == 6


def test_pairs_that_are_too_long_are_not_counted_in_the_perplexity(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = made("word")
    long, short = "red " * 9000, "red old"
    pairs_of = read_pairs(([short, long], [short.upper(), long.upper()]))
    monkeypatch.setattr("recur.tasks.translate.trained.MAX_ATTENTION", 9000)
    judged = judge_translator(trained, pairs_of, "given")
    alone = judge_translator(trained, pairs_of.take([0]), "given")
    assert judged["likelihood"] == alone["likelihood"]
    note = "of the perplexity 1 pair left out, whose source tokens times target tokens are above 67,108,864, such as"
    assert f"{note} the data, row 2, with 9,000 and 9,001" in judged["notes"]
    only = judge_translator(trained, pairs_of.take([1]), "given")["likelihood"]
    assert (only["perplexity"], only["tokens"]) == (None, 0)


def test_what_was_never_unknown_is_never_written_as_unknown() -> None:
    draws = DecodingOptions(sampling=Sampling(), num_best=40, max_length=5)
    for data, is_there in ((pairs(), False), (rare(), True)):
        trained = made("word", data=data, attention="none")
        network: Any = trained.network
        with torch.no_grad():
            network.output.bias[1] = 8
        assert bool(trained.setup.num_unknown) is is_there
        for decoding in (draws, GREEDY, WIDE):
            found = trained.translate(["red old door"], decoding=decoding)[0]
            assert any("<unknown>" in one.tokens for one in found) is is_there


def test_what_is_no_text_is_refused() -> None:
    trained = made()
    for given, message in (("red", "not one; give"), (None, "not NoneType"), (["red", 3], "number 2 is int")):
        with pytest.raises(TypeError, match=f"translate: takes a list of texts, .*{message}"):
            trained.translate(given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the data: takes a list of texts, but number 2 is int"):
        trained.predict(["red", 3])
    assert trained.predict([]).schema == trained.predict(["red"]).schema
    with pytest.raises(TypeError, match="stream: takes a text, not list"):
        list(trained.stream(["red"]))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="One hypothesis is streamed, and num_best is 3"):
        list(trained.stream("red", decoding=WIDE))
    assert trained.translate(("red",)) == trained.translate(["red"]) == trained.translate(pl.Series(["red"]))  # type: ignore[arg-type]


def test_where_answers_looked_is_kept_but_of_those_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = made()
    sources, targets = pairs()
    seen = trained.translate(sources[:3], decoding=GREEDY)
    blind = trained.translate(sources[:3], decoding=GREEDY, with_attention=False)
    assert blind == seen
    assert all(one.attention is not None for (one,) in seen)
    assert all(one.attention is None for (one,) in blind)
    asked = []

    def watched(sources: Any, **options: Any) -> Any:
        asked.append((len(sources), options.get("with_attention", True)))
        return TrainedTranslator.translate(trained, sources, **options)

    monkeypatch.setattr(trained, "translate", watched)
    maps = judge_translator(trained, read_pairs((sources, targets)), "given")["attention"]
    assert asked == [(60, False), (10, True)]
    assert {" ".join(one["source"]) for one in maps} <= set(sources)
    assert all(np.shape(one["weights"]) == (len(one["written"]), len(one["source"])) for one in maps)
    trained.predict(sources[:2])
    assert asked[2:] == [(2, False)]


# --- tables ---


def test_a_row_for_each_text(tmp_path: Path) -> None:
    sources, targets = pairs()
    trained = made(data={"english": sources, "shouted": targets})  # type: ignore[arg-type]
    asked = ["red door", "", "old house"]
    texts = [found[0].text for found in trained.translate(asked)]
    expected = {"english": asked, "shouted": texts}
    path = tmp_path / "new.txt"
    path.write_text("\n".join(asked) + "\n")
    table = tmp_path / "new.csv"
    pl.DataFrame({"number": [1, 2, 3], "english": asked}).write_csv(table)
    for given in (asked, tuple(asked), path, table, {"english": asked}, pl.DataFrame({"english": asked})):
        found = trained.predict(given)
        assert found.columns == ["english", "shouted", "score", "ended"]
        assert {name: found[name].fill_null("").to_list() for name in expected} == expected
    several = trained.predict(asked, decoding=WIDE)
    assert several.columns == ["english", "rank", "shouted", "score", "ended"]
    assert several["rank"].to_list() == [1, 2, 3, 1, 1, 2, 3]
    assert several["english"].to_list() == [asked[0]] * 3 + [""] + [asked[2]] * 3


def test_answers_that_are_cut_off_are_told() -> None:
    trained = always(made(), 2)
    found = trained.predict(["red", "", "old"], decoding=GREEDY)
    assert found["ended"].to_list() == ["length", "end", "length"]
    assert cut_off(found["ended"].to_list()) == [
        "2 of 3 answers cut off at the most tokens that they may have; give max_length= for longer ones"
    ]
    assert cut_off(["end", "stuck"]) == ["1 of 2 answers stopped, as nothing that is allowed could follow"]
    assert cut_off(["end"]) == []
    judged = judge_translator(
        trained, read_pairs((["red", "old", "red", "new"], ["RED", "OLD", "RED RED", "NEW"])), "given"
    )
    assert judged["cut_off"] == 3
    # No judgement takes another length.
    assert "3 of 3 answers cut off at the most tokens that they may have" in judged["notes"]


def test_how_the_own_data_were_cut_says_nothing_of_prose(tmp_path: Path) -> None:
    setup = replace(made().setup, reading=PairOptions(separator=","))
    path = tmp_path / "plain.txt"
    path.write_text("red, old\n")
    assert setup.read(path, has_targets=False).sources == ("red, old",)


def test_each_turn_of_a_conversation_is_answered(tmp_path: Path) -> None:
    trained = made()
    trained.setup = replace(trained.setup, reading=PairOptions(history=2))
    path = tmp_path / "talks.jsonl"
    talks = [["red", "old", "new"], ["door"], []]
    path.write_text("".join(json.dumps({"turns": turns}) + "\n" for turns in talks))
    asked = ["red", "red\nold", "old\nnew", "door"]
    read = trained.setup.read(path, has_targets=False)
    assert read.sources == tuple(asked)
    assert "2 conversations; each turn is answered, the last one too, by up to 2 turns, itself the last" in read.notes
    assert trained.predict(path).equals(trained.predict(asked))
    assert trained.predict(read).equals(trained.predict(asked))
    assert trained.setup.read(path).sources == ("red", "red\nold")
    yaml = tmp_path / "talks.yml"
    yaml.write_text("conversations:\n- - red\n  - old\n- - door\n")
    found = trained.setup.read(yaml, has_targets=False)
    assert found.sources == ("red", "red\nold", "door")
    path.write_text('{"turns": []}\n')
    with pytest.raises(DataError, match="no conversation has a turn, so that nothing is answered"):
        trained.predict(path)


def test_columns_that_are_called_as_those_of_figures(tmp_path: Path) -> None:
    sources, targets = pairs()
    trained = made(data={"rank": sources, "score": targets})  # type: ignore[arg-type]
    several = trained.predict(["red door"], decoding=WIDE)
    assert several.columns == ["rank", "rank_", "score", "score_", "ended"]
    assert several["score"].to_list() == [one.text for one in trained.translate(["red door"], decoding=WIDE)[0]]
    assert several["rank_"].to_list() == [1, 2, 3]


def test_new_texts_need_no_options_of_the_old_files(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("".join(f"{source};{target}\n" for source, target in zip(*pairs(), strict=True)))
    reading = PairOptions(separator=";", has_header=False)
    trained = made(data=path, reading=reading)  # type: ignore[arg-type]
    found = trained.predict(["red door", "a; b"])
    assert found.columns == [*trained.setup.names, "score", "ended"]
    assert found.to_series(0).to_list() == ["red door", "a; b"]


# --- how it is asked on the command line ---


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
