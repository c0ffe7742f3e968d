"""A trained model in use: reading, judging and writing text."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import recur
from recur.data.tokenizer import CharacterTokenizer, tokenizer_from_json
from recur.decode.sampling import Sampling
from recur.errors import DataError, OptionError, RunError
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language import trained
from recur.tasks.language.trained import TrainedLanguageModel, build_model, load

GREEDY = Sampling(temperature=0)


def assert_same(a: Tensor, b: Tensor) -> None:
    # Float32 logits of order one: some roundings of 6e-8.
    torch.testing.assert_close(a, b, rtol=0, atol=3e-6)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_steps_and_reading_agree(trained: TrainedLanguageModel) -> None:
    text = "the café 猫"
    state = None
    for token in trained.tokenizer.encode(text).tolist():
        log_p, state = trained.step(token, state)
    whole, final = trained.read(text)
    assert log_p.shape == whole.shape == (1, trained.tokenizer.vocabulary_size)
    assert log_p.dtype == torch.float32
    assert_same(log_p, whole)
    assert float(whole.exp().sum()) == pytest.approx(1, abs=1e-5)
    _, state = trained.read(text[:5])
    rest, state = trained.read(text[5:], state)
    if trained.tokenizer.kind != "bpe":
        assert_same(rest, whole)
        for ours, theirs in zip(state, final, strict=True):
            assert_same(torch.cat(list(ours)), torch.cat(list(theirs)))


def test_log_probabilities_are_those_of_the_steps(trained: TrainedLanguageModel) -> None:
    text = "the naïve cat 猫"
    ids = trained.tokenizer.encode(text)
    found = trained.log_probs(text)
    assert found.shape == ids.shape
    assert found.dtype == np.float64
    assert found[0] == -trained.first_token_nats(int(ids[0]))
    state = None
    for before, after, log_p in zip(ids[:-1].tolist(), ids[1:].tolist(), found[1:], strict=True):
        row, state = trained.step(before, state)
        assert float(row[0, after]) == pytest.approx(log_p, abs=3e-6)


def test_log_probabilities_given_a_context(characters: TrainedLanguageModel) -> None:
    whole = characters.log_probs("the cat sat")
    np.testing.assert_allclose(characters.log_probs("cat sat", context="the "), whole[4:], atol=1e-6)
    assert characters.log_probs("t", context="the ca") == pytest.approx(whole[6], abs=3e-6)
    assert characters.log_probs("", context="the").shape == (0,)
    assert characters.log_probs("").shape == (0,)
    assert characters.log_probs("t") == pytest.approx(
        [-characters.first_token_nats(characters.tokenizer.encode("t")[0])]
    )


def test_a_long_text_is_read_in_windows(characters: TrainedLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the cat sat on the mat; " * 3
    whole, _ = characters.read(text)
    judged = characters.log_probs(text)
    monkeypatch.setattr(trained, "_PROMPT_WINDOW", 7)
    longest: list[int] = []
    handle = characters.model.register_forward_pre_hook(lambda module, args: longest.append(args[0].shape[1]))
    cut, _ = characters.read(text)
    cut_judged = characters.log_probs(text)
    handle.remove()
    assert max(longest) == 7
    assert_same(cut, whole)
    np.testing.assert_allclose(cut_judged, judged, atol=3e-6)


def test_several_rows_step_at_once(characters: TrainedLanguageModel) -> None:
    ids = characters.tokenizer.encode("tac").tolist()
    rows, state = characters.step(ids)
    again, _ = characters.step(ids, state)
    for row, token in enumerate(ids):
        alone, own = characters.step(token)
        assert_same(rows[row], alone[0])
        assert_same(again[row], characters.step(token, own)[0][0])


def test_a_step_takes_symbols_and_numbers_of_any_kind(characters: TrainedLanguageModel) -> None:
    number = characters.tokenizer.encode("猫")[0]
    expected, _ = characters.step(int(number))
    for token in ("猫", number, [number], torch.tensor([int(number)]), np.array([number])):
        assert torch.equal(characters.step(token)[0], expected)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", r"step reads one token, but '' is 0; use read\(\) for a longer text\."),
        ("ab", r"the text has 1 character that the model has never seen: 'b' \(U\+0062\); .*"),
        ("at", r"step reads one token, but 'at' is 2; use read\(\) for a longer text\."),
        (-1, r"step: tokens must be numbers from 0 to \d+: \[-1\]\."),
        (10_000, r"step: tokens must be numbers from 0 to \d+: \[10000\]\."),
        ([], r"step: tokens must be numbers from 0 to \d+: \[\]\."),
        ([0, 10_000], r"step: tokens must be numbers from 0 to \d+: \[0, 10000\]\."),
    ],
)
def test_a_step_refuses_what_is_no_token(characters: TrainedLanguageModel, token: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        characters.step(token)


def test_an_unknown_character_is_named_mapped_or_dropped(characters: TrainedLanguageModel) -> None:
    with pytest.raises(DataError, match=r"1 character that the model has never seen: 'Z' \(U\+005A\)"):
        characters.read("cZat")
    for use in (characters.log_probs, characters.read, lambda text: characters.generate(text, 3)):
        with pytest.raises(DataError, match=r"'Z' \(U\+005A\)"):
            use("cZat")
    dropped, _ = characters.read("cZat", unknown="drop")
    assert torch.equal(dropped, characters.read("cat")[0])
    mapped, _ = characters.read("cZat", unknown="map")
    _, state = characters.read("c")
    assert characters.tokenizer.unknown_id is not None
    _, state = characters.step(characters.tokenizer.unknown_id, state)
    assert_same(mapped, characters.read("at", state)[0])
    assert characters.log_probs("cZat", unknown="drop").shape == (3,)
    assert characters.log_probs("cZat", unknown="map").shape == (4,)
    assert characters.generate("ZcaZt", 9, seed=1, unknown="drop") == characters.generate("cat", 9, seed=1)
    assert len(characters.generate("ZZ", 9, seed=1, unknown="map")[0]) == 9


def test_nothing_to_read_is_an_error(trained: TrainedLanguageModel) -> None:
    with pytest.raises(DataError, match=r"^the text has no token that the model knows; give at least one\.$"):
        trained.read("")
    with pytest.raises(DataError, match=r"^the prompt is empty; give at least one character that the model knows\.$"):
        trained.generate("")
    if trained.tokenizer.kind == "character":
        with pytest.raises(DataError, match="no token that the model knows"):
            trained.read("ZZZ", unknown="drop")
        with pytest.raises(DataError, match=r"the prompt 'ZZZ' has no character that the model knows"):
            trained.generate("ZZZ", unknown="drop")


def test_the_first_token_is_never_impossible(characters: TrainedLanguageModel) -> None:
    nats = [characters.first_token_nats(token) for token in range(characters.tokenizer.vocabulary_size)]
    assert math.fsum(math.exp(-n) for n in nats) == pytest.approx(1)
    assert max(nats) == nats[characters.tokenizer.unknown_id or -1]


# --- judging ----------------------------------------------------------------------------------------------------------


def test_a_large_vocabulary_takes_smaller_windows(
    characters: TrainedLanguageModel, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = characters.tokenizer.encode(text)
    whole = characters.evaluate(ids, characters=len(text), streams=2)
    monkeypatch.setattr(trained, "_MOST_LOGITS", 10 * 2 * characters.tokenizer.vocabulary_size)
    shapes: list[tuple[int, ...]] = []
    handle = characters.model.register_forward_hook(lambda module, args, out: shapes.append(tuple(out[0].shape)))
    cut = characters.evaluate(ids, characters=len(text), streams=2)
    handle.remove()
    assert {shape[1] for shape in shapes[:-1]} == {10}
    assert cut.nats == pytest.approx(whole.nats, rel=1e-6)
    monkeypatch.setattr(trained, "_MOST_LOGITS", 1)
    assert characters.evaluate(ids[:30], characters=30).tokens == 30


@pytest.mark.parametrize("options", [{"streams": 0}, {"window": 0}, {"burn_in": -1}])
def test_options_of_judging_out_of_range(characters: TrainedLanguageModel, options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(options))}: expected a number"):
        characters.evaluate(np.zeros(9, dtype=np.int64), characters=9, **options)


def test_too_little_to_judge(characters: TrainedLanguageModel) -> None:
    for count in (0, 1):
        with pytest.raises(DataError, match="too few to judge on; at least 2 are needed"):
            characters.evaluate(np.zeros(count, dtype=np.int64), characters=count)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_greedy_text_is_the_likeliest_token_each_time(trained: TrainedLanguageModel) -> None:
    found = trained.generate("the cat", 20, sampling=GREEDY)[0]
    log_p, state = trained.read("the cat")
    tokens = []
    for _ in range(20):
        if trained.tokenizer.unknown_id is not None:
            log_p = log_p.clone()
            log_p[:, trained.tokenizer.unknown_id] = -torch.inf
        tokens.append(int(log_p.argmax()))
        log_p, state = trained.step(tokens[-1], state)
    assert found == trained.tokenizer.decode(tokens)


def test_seeds(trained: TrainedLanguageModel) -> None:
    first = trained.generate("the", 40, seed=3)
    torch.manual_seed(99)
    assert trained.generate("the", 40, seed=3) == first
    assert trained.generate("the", 40, seed=4) != first
    assert trained.generate("the", 40) != trained.generate("the", 40), "no seed draws one"
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trained.generate("the", 5, seed=1)
    assert torch.equal(torch.rand(1), expected), "the program's own random numbers are left alone"


def test_pieces_join_to_the_text(trained: TrainedLanguageModel) -> None:
    pieces = list(trained.stream("the", 60, samples=3, seed=7))
    assert len(pieces) == 60
    assert ["".join(column) for column in zip(*pieces, strict=True)] == trained.generate("the", 60, samples=3, seed=7)


def test_the_caller_s_own_computation_is_left_alone(trained: TrainedLanguageModel) -> None:
    one, two = trained.stream("the", 3, seed=0), trained.stream("the", 4, seed=1)
    for _ in zip(one, two, strict=False):
        assert not torch.is_inference_mode_enabled()
    del one, two
    assert not torch.is_inference_mode_enabled()


def test_the_default_prompt_is_one_that_the_model_knows(characters: TrainedLanguageModel) -> None:
    assert characters.default_prompt == "\n"
    assert scripted("aab").default_prompt == "a"


def test_several_samples_differ_and_follow_the_prompt(trained: TrainedLanguageModel) -> None:
    found = trained.generate("the", 30, samples=4, seed=0)
    assert len(found) == len(set(found)) == 4
    greedy = trained.generate("the", 30, samples=3, sampling=GREEDY)
    assert greedy == trained.generate("the", 30, sampling=GREEDY) * 3


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_every_cell_writes(make_run: Any, tmp_path: Any, cell: str) -> None:
    model = load(make_run(tmp_path / "run", cell=cell, residual=True, initial_state="learned"))
    assert [len(found) for found in model.generate("the", 12, samples=2, seed=0)] == [12, 12]


def test_the_unknown_id_is_never_written(characters: TrainedLanguageModel) -> None:
    unknown = characters.tokenizer.unknown_id
    assert unknown is not None
    bias = characters.model.output.bias
    with torch.no_grad():
        old = bias[unknown].item()
        bias[unknown] = 50.0
    try:
        for sampling in (Sampling(), GREEDY, Sampling(top_k=1), Sampling(top_p=0.1), Sampling(temperature=5.0)):
            for samples in (1, 3):
                found = characters.generate("the", 50, samples=samples, sampling=sampling, seed=0)
                assert "\N{REPLACEMENT CHARACTER}" not in "".join(found)
    finally:
        with torch.no_grad():
            bias[unknown] = old


def test_text_in_bytes_is_always_text(make_run: Any, tmp_path: Any) -> None:
    model = load(make_run(tmp_path / "run", "byte"))
    ids: list[int] = []
    for piece in model.stream("猫", 200, seed=0, sampling=Sampling(temperature=2.0)):
        piece[0].encode()
        ids += [1]
    assert len(ids) == 200


def test_lengths(trained: TrainedLanguageModel) -> None:
    assert trained.generate("the", 0, samples=2) == ["", ""]
    assert list(trained.stream("the", 0)) == []
    one = trained.generate("the", 1, seed=0)[0]
    assert trained.tokenizer.kind == "byte" or len(one) >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": -1}, r"length must be a whole number from 0 on, not -1\."),
        ({"samples": 0}, r"samples must be a whole number from 1 on, not 0\."),
        ({"stop": ""}, r"stop must be a text of at least one character\."),
        ({"seed": -1}, r"seed must be a whole number from 0 to 9223372036854775807, not -1\."),
        ({"seed": 1 << 63}, r"seed must be a whole number from 0 to 9223372036854775807, not 9223372036854775808\."),
    ],
)
def test_options_out_of_range(characters: TrainedLanguageModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        characters.stream("the", **options)
    with pytest.raises(OptionError, match=f"^{message}$"):
        characters.generate("the", **options)
    assert characters.generate("the", 1, seed=(1 << 63) - 1)


def test_a_prompt_that_is_no_text(characters: TrainedLanguageModel) -> None:
    given: Any = ["the"]
    for use in (characters.generate, characters.stream):
        with pytest.raises(TypeError, match=r"^prompt must be a str, not list; give one text a call\.$"):
            use(given, 5)
    for use in (characters.read, characters.log_probs):
        with pytest.raises(TypeError, match=r"^text must be a str, not list; give one text a call\.$"):
            use(given)
    with pytest.raises(TypeError, match=r"^context must be a str, not list; "):
        characters.log_probs("the", context=given)


def test_arguments_that_belong_to_the_sampling(characters: TrainedLanguageModel) -> None:
    for options, message in (
        (
            {"temperature": 0.5},
            r"temperature is a part of the sampling: give sampling=Sampling\(temperature=0\.5\), of re",
        ),
        (
            {"top_k": 3},
            r"top_k is a part of the sampling: give sampling=Sampling\(top_k=3\), of recur\.decode\.sampling",
        ),
        (
            {"temprature": 0.5},
            r"there is no argument 'temprature'; help\(TrainedLanguageModel\.generate\) lists them\.$",
        ),
    ):
        for use in (characters.generate, characters.stream):
            with pytest.raises(TypeError, match=f"^{message}"):
                use("the", 5, **options)


# --- stop strings -----------------------------------------------------------------------------------------------------


class Scripted(LanguageModel):
    """A model that says, after the n-th token, the n-th character of a script, whatever it reads."""

    def __init__(self, vocabulary_size: int, scripts: list[list[int]]) -> None:
        options = LanguageModelOptions(cell="rnn", num_layers=1, hidden_size=1, embedding_size=1, dropout=0.0)
        super().__init__(vocabulary_size, options)
        self.scripts, self.runs = scripts, 0

    def forward(self, x: Tensor, state: Any = None, **options: Any) -> Any:
        at = 0 if state is None else int(state[0][0, 0, 0]) + 1
        self.runs += 1
        logits = torch.zeros(len(x), x.shape[1], self.vocabulary_size)
        for row in range(len(x)):
            logits[row, -1, self.scripts[row % len(self.scripts)][at]] = 100.0
        return logits, (torch.full((1, len(x), 1), float(at)),)


def scripted(*texts: str) -> TrainedLanguageModel:
    tokenizer = CharacterTokenizer.of("".join(texts) + "ab")
    scripts = [[*tokenizer.encode(text).tolist(), 0] for text in texts]
    model = Scripted(tokenizer.vocabulary_size, scripts)
    return TrainedLanguageModel(model, tokenizer, np.ones(tokenizer.vocabulary_size, dtype=np.int64))


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("aab.b", ".", "aab"),
        ("aaab.", "aab", "a"),
        ("ababac.", "abac", "ab"),
        ("aabaaab.", "aaab", "aab"),
        (".abc", ".", ""),
        ("abcab", "abcabc", "abcab"),
        ("abc", "x", "abc"),
        ("abab", "bab", "a"),
        ("abb", "b" * 50, "abb"),
    ],
)
def test_a_text_ends_before_the_stop_string(text: str, stop: str, expected: str) -> None:
    model = scripted(text)
    pieces = [piece for (piece,) in model.stream("a", len(text), sampling=GREEDY, stop=stop)]
    assert "".join(pieces) == expected
    at = text.find(stop)
    assert len(pieces) == (len(text) if at < 0 else at + len(stop)), "nothing is computed after the stop string"


@given(st.text("ab", min_size=1, max_size=12), st.text("ab", min_size=1, max_size=4))
def test_stop_strings_as_str_split_finds_them(text: str, stop: str) -> None:
    model = scripted(text)
    shown = ""
    for (piece,) in model.stream("a", len(text), sampling=GREEDY, stop=stop):
        shown += piece
        assert stop not in shown
    assert shown == text.split(stop)[0]


def test_a_stop_string_ends_each_sample_for_itself() -> None:
    # All go on from the same prompt, so they begin alike.
    model = scripted("aa.bbbb", "abbba.b", "ababab.")
    pieces = list(model.stream("a", 7, samples=3, sampling=GREEDY, stop="."))
    assert ["".join(column) for column in zip(*pieces, strict=True)] == ["aa", "abbba", "ababab"]
    assert len(pieces) == 7
    early = scripted("ab.bb", "a.bbb")
    assert early.generate("a", 5, samples=2, sampling=GREEDY, stop=".") == ["ab", "a"]
    assert isinstance(early.model, Scripted)
    assert early.model.runs == 3, "both had ended after the third token"


def test_a_stop_string_over_several_tokens_of_bytes(make_run: Any, tmp_path: Any) -> None:
    for kind in ("byte", "bpe"):
        model = load(make_run(tmp_path / kind, kind))
        free = model.generate("the", 80, seed=2)[0]
        for begin in range(5, 40, 7):
            stop = free[begin : begin + 3]
            assert model.generate("the", 80, seed=2, stop=stop)[0] == free.split(stop)[0]


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_run_is_loaded_in_one_line_by_path_name_or_folder(make_run: Any, tmp_path: Any) -> None:
    run = make_run(tmp_path / "run")
    models = [recur.load(run.path), recur.load(str(run.path)), load(run)]
    first = models[0].generate("the", 10, seed=0)
    assert all(model.generate("the", 10, seed=0) == first for model in models)
    assert not any(model.model.training for model in models)
    assert models[0].device == torch.device("cpu")


def test_another_task_is_refused(make_run: Any, tmp_path: Any) -> None:
    run = make_run(tmp_path / "run")
    run.write_json("config.json", run.config() | {"task": "forecast"})
    with pytest.raises(RunError, match=r"run: is a run of task 'forecast', expected 'language'\.$"):
        load(run.path)


def test_missing_files_are_named(make_run: Any, tmp_path: Any) -> None:
    run = make_run(tmp_path / "run")
    (run.path / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: missing; was the training stopped"):
        load(run.path)
    (run.path / "schema.json").unlink()
    with pytest.raises(RunError, match=r"schema\.json: missing; the run is incomplete\.$"):
        load(run.path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 7}, r"safetensors: does not fit config\.json: .* is \(24, 6\), expected \(28, 6\)\.$"),
        ({"num_layers": 3}, r"does not fit config\.json: layers\.2\.weight_ih_l0 is None, expected \(24, 6\)\.$"),
        ({"num_layers": 1}, r"does not fit config\.json: layers\.1\..* is \(.*\), expected None\.$"),
        ({"cell": "gru"}, r"does not fit config\.json: layers\.0\.weight_ih_l0 is \(24, 6\), expected \(18, 6\)\.$"),
        ({"hidden_size": 1 << 20, "num_layers": 9, "embedding_size": 1 << 20}, r"does not fit config\.json: "),
        ({"hidden_size": None}, r"config\.json: damaged: model: values are missing\.$"),
        ({"hidden_size": "6"}, r"config\.json: damaged: model: hidden_size must be a whole number .*, not '6'\.$"),
        ({"colour": "red"}, r"config\.json: damaged: model: .*unexpected keyword argument 'colour'\.$"),
        ({"initial_state": "learned"}, r"does not fit config\.json: layers\.0\.h_0 is None, expected \(1, 6\)\.$"),
    ],
)
def test_a_config_that_does_not_fit_is_named(
    make_run: Any, tmp_path: Any, changes: dict[str, Any], message: str
) -> None:
    run = make_run(tmp_path / "run")
    config = run.config()
    run.write_json("config.json", config | {"model": config["model"] | changes})
    with pytest.raises(RunError, match=message) as error:
        load(run.path)
    assert "\n" not in str(error.value)
    assert ".." not in str(error.value)


@pytest.mark.parametrize("model", [None, [], "lstm", {"cell": "lstm"}])
def test_a_damaged_model_entry_is_named(make_run: Any, tmp_path: Any, model: Any) -> None:
    run = make_run(tmp_path / "run")
    run.write_json("config.json", run.config() | {"model": model})
    with pytest.raises(RunError, match=r"config\.json: damaged: model: "):
        load(run.path)
    run.write_json("config.json", {"format": 1, "task": "language"})
    with pytest.raises(RunError, match=r"config\.json: damaged: model: 'model'\.$"):
        load(run.path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": None}, r"schema\.json: damaged: counts do not match the vocabulary\.$"),
        ({"counts": [1, 2]}, r"schema\.json: damaged: counts do not match"),
        ({"counts": "negative"}, r"schema\.json: damaged: counts do not match"),
        ({"counts": "huge"}, r"schema\.json: damaged: counts do not match"),
        ({"tokenizer": None}, r"schema\.json: the tokeniser is damaged: expected an object, found NoneType"),
        (
            {"tokenizer": {"kind": "word"}},
            r"schema\.json: the tokeniser is damaged: kind is 'word', expected",
        ),
        ({"tokenizer": {"kind": "character", "symbols": ["b", "a"]}}, r"schema\.json: .* sorted by code point"),
        ({"tokenizer": {"kind": "byte"}}, r"does not fit config\.json: embedding\.weight is .*, expected \(256, 6\)"),
    ],
)
def test_a_damaged_schema_is_named(make_run: Any, tmp_path: Any, changes: dict[str, Any], message: str) -> None:
    run = make_run(tmp_path / "run")
    schema = run.read_json("schema.json")
    if changes.get("counts") == "negative":
        changes = {"counts": [-1, *schema["counts"][1:]]}
    elif changes.get("counts") == "huge":
        changes = {"counts": [1 << 61] * len(schema["counts"])}
    run.write_json("schema.json", schema | changes)
    with pytest.raises(RunError, match=message):
        load(run.path)


def test_a_model_as_drawn_is_built_without_weights(make_run: Any, tmp_path: Any) -> None:
    run: RunFolder = make_run(tmp_path / "run", cell="gru")
    size = tokenizer_from_json(run.read_json("schema.json")["tokenizer"]).vocabulary_size
    (run.path / "model.safetensors").unlink()
    torch.manual_seed(4)
    built = build_model(run, size, with_weights=False)
    torch.manual_seed(4)
    drawn = LanguageModel(size, LanguageModelOptions(**run.config()["model"]))
    assert asdict(built.options) == asdict(drawn.options)
    for ours, theirs in zip(built.parameters(), drawn.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_tied_model_comes_back_tied(make_run: Any, tmp_path: Any) -> None:
    model = load(make_run(tmp_path / "run", tied=True)).model
    assert model.output.weight is model.embedding.weight
