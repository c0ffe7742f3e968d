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

from recur.data.texts.options import PairOptions
from recur.decode import DecodingOptions, Sampling
from recur.errors import DataError, OptionError, RunError
from recur.tasks.translate.trained import TrainedTranslator


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
        found = network.target_log_probs(batch).detach()
        assert float(found.sum()) == pytest.approx(one.log_prob, abs=1e-4)


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
    with pytest.raises(TypeError, match="the data: takes a list of texts, but number 1 is float"):
        trained.predict(np.array([1.5]))
    assert trained.predict(np.array(["red", ""])).equals(trained.predict(["red", ""]))
    assert trained.predict(pl.Series(["red", ""])).equals(trained.predict(["red", ""]))
    assert trained.predict([]).schema == trained.predict(["red"]).schema
    with pytest.raises(TypeError, match="stream: takes a text, not list"):
        list(trained.stream(["red"]))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="One hypothesis is streamed, and num_best is 3"):
        list(trained.stream("red", decoding=WIDE))
    assert trained.translate(("red",)) == trained.translate(["red"]) == trained.translate(pl.Series(["red"]))  # type: ignore[arg-type]


# --- data ---


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


def test_new_texts_need_no_options_of_the_old_files(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("".join(f"{source};{target}\n" for source, target in zip(*pairs(), strict=True)))
    reading = PairOptions(separator=";", has_header=False)
    trained = made(data=path, reading=reading)  # type: ignore[arg-type]
    found = trained.predict(["red door", "a; b"])
    assert found.columns == [*trained.setup.names, "score", "ended"]
    assert found.to_series(0).to_list() == ["red door", "a; b"]
