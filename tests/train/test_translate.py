"""Training of translators: what it learns and keeps, resumed bit for bit, and what is refused."""

from __future__ import annotations

import io
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from recur.data.texts import read_pairs
from recur.data.texts.options import PairOptions
from recur.data.texts.token_options import PairTokenOptions
from recur.errors import DataError, Interrupted, OptionError, RunError
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_options import TranslatorOptions
from recur.models.texts.trigrams import ClassTrigrams
from recur.run import RunFolder
from recur.tasks.examples_task import ExamplesTask
from recur.tasks.translate.evaluation import evaluate_translator, judge_translator
from recur.tasks.translate.trained import TrainedTranslator
from recur.train.options import PairTrainingOptions
from recur.train.pair_choice import are_sentences, choose
from recur.train.resumption import resume
from recur.train.translate import train_translator

TINY = TranslatorOptions(hidden_size=4, embedding_size=4)
QUICK = PairTrainingOptions(max_steps=12, batch_size=16, validate_every=6, checkpoint_every=4, no_report=True)


def spelled(count: int) -> tuple[list[str], list[str]]:
    """Return made-up words, and their letters, backwards, in capitals."""
    draw = np.random.default_rng(0)
    words = dict.fromkeys("".join(draw.choice(list("abcd"), draw.integers(3, 6))) for _ in range(2 * count))
    sources = list(words)[:count]
    assert len(sources) == count
    return sources, [" ".join(reversed(source.upper())) for source in sources]


def written(path: Path, count: int = 120) -> Path:
    rows = zip(*spelled(count), strict=True)
    path.write_text("word\tsounds\n" + "".join(f"{source}\t{target}\n" for source, target in rows))
    return path


def train(data: Any, out: Path, *, said: io.StringIO | None = None, **options: Any) -> RunFolder:
    console = Console(quiet=True) if said is None else Console(file=said, width=200)
    chosen: dict[str, Any] = {"model": TINY, "training": QUICK, **options}
    return train_translator(data, out=out, console=console, **chosen)


@pytest.fixture
def made(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The folder of a short training, on `pairs.tsv`, with what it said in `said.txt`."""

    def make(folder: Path) -> None:
        said = io.StringIO()
        train(written(folder / "pairs.tsv"), folder / "run", said=said, texts=PairOptions(has_header=True))
        (folder / "said.txt").write_text(said.getvalue())

    return made_once("translator", make)


def test_what_is_said_and_written(made: Path) -> None:
    said = (made / "said.txt").read_text()
    for line in (
        "column   source  word",
        "column   target  sounds",
        "texts    120 pairs: 96 to train on, 12 to choose by, 12 to test",
        "source   word: characters, as texts are single words; 4 are known",
        "target   sounds: what stands between blanks, as 4 different things stand between blanks; 4 are known",
        "LSTM 1 x 4, sources in both directions, general attention",
        "training 16 pairs a step, learning rate 0.002, at most 12 steps",
    ):
        assert line in said, line
    run = RunFolder.open(made / "run")
    rows = run.metrics()
    assert [row["step"] for row in rows if row["kind"] == "valid"] == [6, 12]
    sample = next(row for row in rows if row["kind"] == "sample")
    assert len(sample["pairs"]) == 3
    assert sample["pairs"][0].keys() == {"source", "target", "text"}
    assert run.config()["task"] == "translate"


def test_validation_is_the_loss_of_the_right_targets(made: Path) -> None:
    run = RunFolder.open(made / "run")
    best = min(row["loss"] for row in run.metrics() if row["kind"] == "valid")
    trained = TrainedTranslator.load(made / "run")
    valid = trained.setup.own_examples().of_part("valid")
    (batch,) = trained.batches(valid.sources, valid.targets)
    with torch.no_grad():
        smoothed, plain = trained.network.loss(batch), -trained.network.target_log_probs(batch).mean()
    assert best == pytest.approx(float(smoothed), rel=1e-5)
    assert float(smoothed) != pytest.approx(float(plain), rel=1e-3)
    found = evaluate_translator(made / "run", part="valid")
    nats = found["likelihood"]["nats_per_token"]
    assert nats == pytest.approx(float(plain), rel=1e-5)
    assert found["likelihood"]["perplexity"] == pytest.approx(math.exp(nats), rel=1e-8)
    letters = sum(map(len, valid.targets)) + len(valid)
    symbols = sum(len(target.split()) for target in valid.targets) + len(valid)
    assert found["likelihood"]["tokens"] == symbols
    assert found["likelihood"]["nats_per_character"] == pytest.approx(nats * symbols / letters, rel=1e-8)


def test_judging_again_says_the_same(made: Path, tmp_path: Path) -> None:
    kept = RunFolder.open(made / "run").read_json("translate_evaluation.json")
    again = evaluate_translator(made / "run")
    for name in ("figures", "likelihood", "verdict", "main"):
        assert again[name] == kept[name]
    for one in again["attention"]:
        assert len(one["weights"]) == len(one["written"])
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in one["weights"])
        assert {len(row) for row in one["weights"]} == {len(one["source"])}
    other = evaluate_translator(made / "run", written(tmp_path / "other.tsv", 20))
    assert (other["part"], other["pairs"]) == ("given", 20)
    with pytest.raises(OptionError, match="part: expected 'train', 'valid' or 'test', got 'dev'"):
        evaluate_translator(made / "run", part="dev")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "averaging", "step"),
    [
        ({"scheduled_sampling": 0.5, "copying": True, "attention": "monotonic", "members": 2}, 0.0, 7),
        ({"tied": "output", "scheduled_sampling": 0.5, "input_feeding": True}, 0.9, 3),
    ],
    ids=["sampling, copies, members", "tied, averaged, fed"],
)
def test_interrupted_and_resumed_is_as_if_it_was_not(
    options: dict[str, Any], averaging: float, step: int, signals_at: Any, assert_equal: Any, tmp_path: Path
) -> None:
    data = written(tmp_path / "pairs.tsv")
    chosen: dict[str, Any] = {
        "model": replace(TINY, **options),
        "training": replace(QUICK, averaging=averaging),
        "tokens": PairTokenOptions(source_tokens="character", target_tokens="character"),
    }
    whole = train(data, tmp_path / "whole", **chosen)
    signals_at(step, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=f"^interrupted after step {step}, all is saved; go on with: recur train --"):
        train(data, tmp_path / "halves", **chosen)
    halves = resume(tmp_path / "halves", console=Console(quiet=True))
    states = [torch.load(run.path / "checkpoints/last.ckpt", weights_only=True) for run in (whole, halves)]
    for name in ("global_step", "state_dict", "optimizer_states", "recur"):
        assert_equal(states[0][name], states[1][name], name)
    assert (whole.path / "model.safetensors").read_bytes() == (halves.path / "model.safetensors").read_bytes()
    kept = [run.read_json("translate_evaluation.json") for run in (whole, halves)]
    assert kept[0] == kept[1]


def test_scheduled_sampling_grows_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(TranslatorNetwork, "progressed", lambda network, share: told.append(share))
    for training in (QUICK, replace(QUICK, max_steps=None, max_epochs=2)):
        told.clear()
        train(written(tmp_path / "pairs.tsv"), tmp_path / "run", training=training, overwrite=True)
        assert told == [step / len(told) for step in range(len(told))]
        assert len(told) >= 12


def test_pairs_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.tsv")
    rows = data.read_text().splitlines()
    # A long source has a short target here, and a long target a short source.
    rows[3:3] = [
        "abcd" * 50 + "\tA",
        "abcd" * 25 + "\t" + "A B " * 50,
        "a\t" + "A B " * 100,
        "ab" * 15 + "\t" + "A " * 15,
    ]
    data.write_text("\n".join(rows) + "\n")
    parts = PairOptions(has_header=True, valid_data=str(written(tmp_path / "valid.tsv", 20)), test=0)
    said = io.StringIO()
    run = train(data, tmp_path / "run", said=said, texts=parts, training=replace(QUICK, max_attention=480))
    note = "1 pair left out, whose source tokens times target tokens are above 480, such as "
    assert f"note     {note}{data}, row 4, with 100 and 101" in said.getvalue()
    steps = [row["step"] for row in run.metrics() if row["kind"] == "valid"]
    assert steps == [6, 12]
    resume(run.path, bounds={"max_steps": 14}, console=Console(quiet=True))
    with pytest.raises(
        DataError, match="no pair of the training part is short enough to be learned from; give max_att"
    ):
        train(data, tmp_path / "none", texts=parts, training=replace(QUICK, max_attention=1))
    assert not (tmp_path / "none").exists()
    blind = train(
        data,
        tmp_path / "blind",
        texts=parts,
        model=replace(TINY, attention="none"),
        training=replace(QUICK, max_attention=1),
    )
    assert blind.has("model.safetensors")


@pytest.mark.parametrize(("tokens", "smoothing"), [("space", 0.0), ("character", 0.1), ("bpe", 0.1)])
def test_targets_of_symbols_leave_no_doubt(tokens: Any, smoothing: float, tmp_path: Path) -> None:
    sources, targets = spelled(120)
    chosen = PairTokenOptions(source_tokens=tokens)
    run = train(([" ".join(source) for source in sources], targets), tmp_path / "run", tokens=chosen)
    assert run.config()["model"]["label_smoothing"] == smoothing
    given = replace(TINY, label_smoothing=0.3)
    asked = train((sources, targets), tmp_path / "asked", tokens=chosen, model=given)
    assert asked.config()["model"]["label_smoothing"] == 0.3


def test_few_sentences_of_one_language_have_networks_of_their_own_size(tmp_path: Path) -> None:
    sources = [f"Where is number {row} of this house?" for row in range(60)]
    targets = [f"This is number {row} of the house." for row in range(60)]
    run = train((sources, targets), tmp_path / "run", model=TranslatorOptions(), training=replace(QUICK, max_steps=1))
    chosen = run.config()["model"]
    assert (chosen["tied"], chosen["members"], chosen["hidden_size"], chosen["dropout"]) == ("all", 3, 512, 0.5)
    assert run.config()["tokens"]["vocabulary"] == "joint"
    hurried = replace(QUICK, max_steps=1, max_minutes=0.1)
    quick = train((sources, targets), tmp_path / "quick", model=TranslatorOptions(), training=hurried).config()["model"]
    assert (quick["members"], quick["hidden_size"], quick["dropout"]) == (1, 256, 0.3)
    single = train((sources, targets), tmp_path / "single", model=replace(TINY, members=1, tied=None))
    assert (single.config()["model"]["members"], single.config()["model"]["tied"]) == (1, "all")
    words = train(spelled(60), tmp_path / "words", model=replace(TINY, members=None))
    assert words.config()["model"]["members"] == 1


def test_the_perplexity_of_members_is_that_of_their_mean(tmp_path: Path) -> None:
    sources, targets = spelled(120)
    # Every fourth target has a word that stands nowhere else.
    targets = [target if row % 4 else f"{target} Z{row}" for row, target in enumerate(targets)]
    tokens = PairTokenOptions(source_tokens="character", target_tokens="word", min_count=None)
    run = train((sources, targets), tmp_path / "run", model=replace(TINY, members=2, coverage=1.0), tokens=tokens)
    trained: Any = TrainedTranslator.load(run)
    pairs = read_pairs((sources[:8], targets[:8]))
    judged = judge_translator(trained, pairs, "given")
    total, count = 0.0, 0
    for source, target in zip(pairs.sources, pairs.targets, strict=True):
        (batch,) = trained.batches([source], [target])
        said = torch.stack([one(batch)[0] for one in trained.networks]).detach().exp().mean(0)
        ids = batch.y[0]
        total, count = total - float(said[torch.arange(len(ids)), ids].log().sum()), count + len(ids)
    likelihood = judged["likelihood"]
    assert likelihood["nats_per_token"] == pytest.approx(total / count, rel=1e-5)
    assert (likelihood["tokens"], likelihood["unknown"]) == (count, 2)
    assert likelihood["trigram_perplexity"] is None
    beside = judge_translator(trained, pairs, "given", train=read_pairs((sources, targets)))["likelihood"]
    vocabulary = trained.setup.target_vocabulary
    rule = ClassTrigrams(vocabulary.size, vocabulary.encode_all(targets))
    nats = rule.nats(vocabulary.encode_all(targets[:8])).sum()
    assert beside["trigram_perplexity"] == pytest.approx(math.exp(nats / count))
    assert (
        f"2 of the {count} tokens of the right targets are unknown, {2 / count:.1%}; the perplexity takes"
        in " ".join(judged["notes"])
    )


@pytest.mark.parametrize("are_named", [True, False])
def test_translators_of_several_seeds_are_joined_where_the_data_name_their_parts(
    are_named: bool, tmp_path: Path
) -> None:
    sources = [f"{colour} {thing}" for colour in ("red", "green", "blue") for thing in ("cat", "dog", "house", "door")]
    parts = ["train"] * 9 + ["valid", "valid", "test"]
    named = {"part": parts} if are_named else {}
    data = {"source": sources, "target": [source.upper() for source in sources], **named}
    tokens = PairTokenOptions(source_tokens="word", target_tokens="word", min_count=1)
    runs = [
        train(data, tmp_path / str(seed), tokens=tokens, training=replace(QUICK, max_steps=2, seed=seed))
        for seed in (0, 1)
    ]
    one, two = map(TrainedTranslator.load, runs)
    if are_named:
        assert TrainedTranslator.joined([one, two]).networks == (*one.networks, *two.networks)
        return
    with pytest.raises(
        OptionError, match=r"different vocabularies; were their parts drawn by different seeds\? Give dat"
    ):
        TrainedTranslator.joined([one, two])


def test_data_that_have_changed_are_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.tsv")
    run = train(data, tmp_path / "run")
    with pytest.raises(OptionError, match=r"data: the run reads its own from .*pairs\.tsv; leave them out"):
        resume(run.path, data=spelled(120), bounds={"max_steps": 14}, console=Console(quiet=True))
    data.write_text(data.read_text().replace("A B", "B A"))
    with pytest.raises(RunError, match=r"the texts in .*pairs\.tsv have changed since the training"):
        resume(run.path, bounds={"max_steps": 14}, console=Console(quiet=True))


def test_data_in_memory_are_resumed_with_the_same_data(tmp_path: Path) -> None:
    run = train(spelled(120), tmp_path / "run")
    with pytest.raises(RunError, match="the run's own texts were not in a file, so they cannot be read again"):
        evaluate_translator(run.path)
    with pytest.raises(RunError, match="the texts have changed since the training"):
        resume(run.path, data=spelled(119), bounds={"max_steps": 14}, console=Console(quiet=True))
    again = resume(run.path, data=spelled(120), bounds={"max_steps": 14}, console=Console(quiet=True))
    assert again.metrics()[-1]["step"] == 14
    assert again.read_json("translate_evaluation.json")["texts"] == 12


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": replace(TINY, tied="all")}, OptionError, "tied: all makes one of the vectors"),
        ({"model": 3}, TypeError, "TranslatorOptions"),
        (
            {"tokens": PairTokenOptions(min_count=10_000)},
            DataError,
            "no token of the sources stands 10000 times .* give min_count=1",
        ),
        ({"texts": PairOptions(source="wort")}, DataError, "wort"),
    ],
)
def test_what_is_refused_leaves_no_folder(tmp_path: Path, options: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        train(written(tmp_path / "pairs.tsv"), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("num_pairs", "batch_size", "epochs"), [(500_000, 128, 3), (100_000, 64, 3), (15_000, 32, 20), (300, 8, 30)]
)
def test_what_is_chosen_grows_with_the_data(num_pairs: int, batch_size: int, epochs: int) -> None:
    chosen = choose(PairTrainingOptions(), num_pairs=num_pairs)
    assert (chosen.batch_size, chosen.max_epochs, chosen.max_minutes) == (batch_size, epochs, 15)
    assert (chosen.learning_rate, chosen.clip_norm, chosen.patience) == (2e-3, 1.0, 0)
    said = choose(PairTrainingOptions(max_steps=7, batch_size=5, learning_rate=0.1), num_pairs=num_pairs)
    assert (said.max_epochs, said.max_minutes, said.batch_size, said.learning_rate) == (None, None, 5, 0.1)


@pytest.mark.parametrize(
    ("num_pairs", "epochs", "of_words"), [(4_000, 16, 30), (4_001, 30, 30), (50_000, 12, 6), (500_000, 3, 3)]
)
def test_sentences_are_seen_more_often_but_few_of_them_less(num_pairs: int, epochs: int, of_words: int) -> None:
    chosen = (choose(PairTrainingOptions(), num_pairs=num_pairs, has_sentences=given) for given in (True, False))
    assert tuple(one.max_epochs for one in chosen) == (epochs, of_words)


@pytest.mark.parametrize(
    ("tokens", "num_known", "is_of_sentences"),
    [
        ("bpe", 1_000, True),
        ("word", 9, True),
        ("character", 499, False),
        ("character", 500, True),
        ("space", 900, False),
    ],
)
def test_which_targets_are_sentences(tokens: Any, num_known: int, is_of_sentences: bool) -> None:
    assert are_sentences(PairTokenOptions(target_tokens=tokens), num_known) == is_of_sentences
