from __future__ import annotations

import io
import itertools
import json
import math
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import recur
from recur.data.options import CorpusOptions
from recur.errors import DataError, OptionError, RunError
from recur.tasks.language.task import LanguageTask
from recur.train import language, pace, preparation, processes
from recur.train.language import train_language_model
from recur.train.options import LanguageTrainingOptions

no_report = pytest.mark.usefixtures("no_report")


def test_a_run_holds_what_it_promises(train: Any, rows: Any) -> None:
    run = train(tensorboard=True)
    names = {path.name for path in run.path.iterdir()}
    expected = {"config.json", "env.json", "schema.json", "model.json", "metrics.jsonl", "model.safetensors"}
    assert expected | {"evaluation.json", "checkpoints", "report.html", "loss.png", "tensorboard"} <= names
    config = run.config()
    assert config["task"] == "language"
    assert config["model"] == {
        "cell": "lstm",
        "num_layers": 2,
        "hidden_size": 24,
        "embedding_size": 24,
        "embedding_dropout": 0.0,
        "dropout": 0.2,
        "residual": False,
        "tied": False,
        "initial_state": "learned",
    }
    assert None not in (config["training"]["learning_rate"], config["training"]["clip_norm"])
    assert [step for step, _ in rows(run)] == [10, 20, 30, 40, 50, 60]
    assert [step for step, _ in rows(run, "valid")] == [20, 40, 60]
    losses = [loss for _, loss in rows(run)]
    assert losses[-1] < losses[0]
    row = [row for row in run.metrics() if row["kind"] == "train"][2]
    assert row.keys() == {
        *("kind", "step", "epoch", "progress", "elapsed", "loss", "grad_norm", "learning_rate"),
        *("tokens_per_second", "characters_per_second", "clipped", "removed", "skipped", "layer_norms"),
    }
    assert row["progress"] == 0.5
    assert all(
        value > 0 for key, value in row.items() if isinstance(value, float) and key not in ("clipped", "removed")
    )
    assert 0 <= row["removed"] <= row["clipped"] <= 1
    assert row["skipped"] == 0
    assert list(row["layer_norms"]) == ["embedding", "layers.0", "layers.1", "output"]
    assert sum(layer["parameters"] for layer in run.read_json("model.json")["layers"]) == sum(
        value.numel() for value in run.load_weights().values()
    )
    events = list((run.path / "tensorboard").glob("events.out.tfevents.*"))
    assert events
    assert max(path.stat().st_size for path in events) > 500
    assert not list(run.path.rglob("*.tmp"))


@no_report
def test_the_best_weights_are_kept_not_the_last(train: Any, rows: Any, text: Path, monkeypatch: Any) -> None:
    training_step = LanguageTask.training_step

    def spoilt(task: LanguageTask, *arguments: Any) -> Any:
        if task.global_step == 50:
            with torch.no_grad():
                task.model.output.weight.add_(torch.randn_like(task.model.output.weight))
        return training_step(task, *arguments)

    monkeypatch.setattr(LanguageTask, "training_step", spoilt)
    run = train()
    best_step, best = min(rows(run, "valid"), key=lambda row: row[1])
    assert best_step == 40
    assert [row["is_best"] for row in run.metrics() if row["kind"] == "valid"][-1] is False
    trained = recur.load(run)
    corpus = text.read_text()[9000:9500]
    nats = -float(trained.log_probs(corpus).sum()) / 500
    assert nats == pytest.approx(best, abs=1e-5)


@no_report
def test_the_held_out_figures_are_those_of_the_definition(train: Any, text: Path) -> None:
    run = train()
    found = run.read_json("evaluation.json")
    own = text.read_text()
    for part, passage in (("valid", own[9000:9500]), ("test", own[9500:])):
        figures = found["valid"] if part == "valid" else found["model"]
        assert figures["tokens"] == figures["characters"] == 500
        nats = -float(recur.load(run).log_probs(passage).sum()) / 500
        assert figures["nats_per_character"] == pytest.approx(nats, abs=1e-5)
        assert figures["bits_per_character"] == pytest.approx(nats / math.log(2), abs=1e-5)
        assert figures["perplexity"] == pytest.approx(math.exp(nats), rel=1e-5)
    # By hand: each character's share in the training part, with one added to every count.
    counts = {symbol: own[:9000].count(symbol) + 1 for symbol in set(own[:9000])}
    total = 9000 + len(counts) + 1
    unigram = -sum(math.log(counts[symbol] / total) for symbol in own[9500:]) / 500
    assert found["baselines"]["unigram"]["nats_per_character"] == pytest.approx(unigram, abs=0.01)


@no_report
def test_the_same_seed_gives_the_same_run(train: Any, assert_same: Any) -> None:
    one = train("one", max_steps=20)
    assert_same(one, train("two", max_steps=20))
    other = train("other", max_steps=20, seed=1)
    assert (other.path / "model.safetensors").read_bytes() != (one.path / "model.safetensors").read_bytes()


@no_report
def test_weights_are_updated_by_clipped_adamw(train: Any, monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    """The first three steps are those of a loop written by hand."""
    batches: list[Any] = []
    training_step = LanguageTask.training_step

    def kept(task: LanguageTask, batch: Any, index: int) -> Any:
        batches.append((batch, {name: value.detach().clone() for name, value in task.model.state_dict().items()}))
        return training_step(task, batch, index)

    monkeypatch.setattr(LanguageTask, "training_step", kept)
    plain = replace(model, dropout=0.0)
    options = {"warmup_steps": 2, "learning_rate": 0.01, "clip_norm": 0.05, "weight_decay": 0.1}
    run = train(model=plain, max_steps=3, final_learning_rate=0.0, **options)
    ours = recur.load(run).model
    ours.load_state_dict(batches[0][1])
    ours.train()
    groups = [
        {"params": [p for p in ours.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in ours.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    state, norms = None, []
    for step, (batch, weights) in enumerate(batches):
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(value, weights[name], rtol=0, atol=2e-6, msg=f"{name} before step {step + 1}")
        logits, state = ours(batch.x, state)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch.target.reshape(-1))
        state = tuple((h.detach(), c.detach()) for h, c in state)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(ours.parameters(), 0.05)))
        warm = min(max((step + 1) / 2, step / 3 / 0.05), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * warm * 0.5 * (1 + math.cos(math.pi * step / 3))
        optimizer.step()
    (row,) = [row for row in run.metrics() if row["kind"] == "train"]
    assert min(norms) > 0.05
    assert row["grad_norm"] == pytest.approx(sum(norms) / 3, rel=1e-4)
    assert row["clipped"] == 1.0
    assert row["removed"] == pytest.approx(sum(1 - 0.05 / norm for norm in norms) / 3, rel=1e-4)


@no_report
def test_a_time_budget_ends_on_time_with_the_decay_at_its_end(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that goes on by five milliseconds each time that it is read, however busy the machine is.
    ticks = itertools.count(1)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: next(ticks) * 0.005))
    options = {"validate_every": 1000, "checkpoint_every": None, "learning_rate": 0.01, "final_learning_rate": 0.0}
    run = train(max_minutes=0.04, max_steps=None, **options)
    last = [row for row in run.metrics() if row["kind"] == "train"][-1]
    assert 2.4 <= last["elapsed"] < 2.5
    assert last["progress"] == 1.0
    assert last["learning_rate"] < 0.01 * 0.02
    assert last["step"] > 20


@no_report
def test_the_learning_rate_of_each_step(train: Any) -> None:
    run = train(max_steps=40, warmup_steps=20, learning_rate=0.01, final_learning_rate=0.5)
    rates = {row["step"]: row["learning_rate"] for row in run.metrics() if row["kind"] == "train"}
    for step, rate in rates.items():
        done = (step - 1) / 40
        warm = min(max(step / 20, done / 0.05), 1.0)
        assert rate == pytest.approx(0.01 * warm * (0.5 + 0.5 * 0.5 * (1 + math.cos(math.pi * done))))


@no_report
def test_epochs(train: Any, rows: Any, text: Path) -> None:
    run = train(max_steps=None, max_epochs=2, window=64, validate_every=1000)
    # 9,000 characters in four streams of 2,249 steps: 36 windows.
    assert rows(run)[-1][0] == 72
    assert {row["epoch"] for row in run.metrics() if row["kind"] == "train"} == {0, 1}


@no_report
def test_the_state_is_carried_and_starts_anew_with_each_epoch(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[Any] = []
    forward = recur.LanguageModel.forward

    def seen(model: Any, x: Any, state: Any = None, **options: Any) -> Any:
        logits, after = forward(model, x, state, **options)
        if model.training:
            states.append((state, after))
        return logits, after

    monkeypatch.setattr(recur.LanguageModel, "forward", seen)
    train(max_steps=74, window=64, sample_length=0)
    assert [number for number, (before, _) in enumerate(states) if before is None] == [0, 36, 72]
    for (_, after), (before, _) in itertools.pairwise(states):
        if before is not None:
            assert all(torch.equal(h, k) and not k.requires_grad for (h, _), (k, _) in zip(after, before, strict=True))


@no_report
def test_documents_reset_the_state(
    text: Path, tmp_path: Path, model: Any, training: Any, console: Any, monkeypatch: Any
) -> None:
    resets: list[torch.Tensor] = []
    training_step = LanguageTask.training_step

    def seen(task: LanguageTask, batch: Any, index: int) -> Any:
        resets.append(batch.reset)
        return training_step(task, batch, index)

    monkeypatch.setattr(LanguageTask, "training_step", seen)
    options = CorpusOptions(document_separator=r".\n")
    train_language_model(
        text,
        out=tmp_path / "run",
        corpus=options,
        model=model,
        training=replace(training, max_steps=3),
        console=console,
    )
    own = text.read_text()[:9000]
    stream = (9000 - 1) // 4
    for number, reset in enumerate(resets):
        for row in range(4):
            begin = row * stream + number * 16
            starts = [at == 0 or own[at - 2 : at] == ".\n" for at in range(begin, begin + 16)]
            assert reset[row].tolist() == starts


@no_report
def test_samples_are_drawn_as_asked(train: Any) -> None:
    run = train(sample_prompt="The mill", sample_length=7, max_steps=20)
    (sample,) = [row for row in run.metrics() if row["kind"] == "sample"]
    assert sample["prompt"] == "The mill"
    assert len(sample["text"]) == 7
    assert not [row for row in train("none", sample_length=0, max_steps=20).metrics() if row["kind"] == "sample"]


@no_report
def test_a_sample_does_not_change_the_training(train: Any) -> None:
    with_samples, without = train("with"), train("without", sample_length=0)
    assert with_samples.load_weights().keys() == without.load_weights().keys()
    assert (with_samples.path / "model.safetensors").read_bytes() == (without.path / "model.safetensors").read_bytes()


@no_report
def test_it_runs_in_a_thread(train: Any) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(train(max_steps=5)))
    thread.start()
    thread.join()
    assert found
    assert found[0].has("evaluation.json")


def test_a_terminal_gets_a_bar_and_a_file_gets_lines(
    text: Path, tmp_path: Path, model: Any, training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recur.train import display, recorder

    monkeypatch.setattr(display, "_PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "_BAR_SECONDS", 0.0)
    monkeypatch.setattr("recur.report.write_report", lambda run, say: say("of pictures"))
    shown = {}
    for kind in ("terminal", "file"):
        console = Console(file=io.StringIO(), width=160, force_terminal=kind == "terminal")
        options = replace(training, max_steps=25)
        train_language_model(text, out=tmp_path / kind, model=model, training=options, console=console)
        shown[kind] = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[" in shown["terminal"]
    assert "━" in shown["terminal"]
    assert "\x1b[" not in shown["file"]
    assert all("note     of pictures\n" in text for text in shown.values())
    lines = [line for line in shown["file"].splitlines() if line.startswith("step ")]
    assert len(lines) > 20
    for line in lines[10:]:
        words = line.split(" | ")
        assert words[1] == "epoch 1"
        assert float(words[2].removeprefix("loss ")) > 0
        assert words[3].endswith("characters/s")
        assert words[4].startswith("valid ") or "left" in words[4]
    assert all(re.search(r"left \| valid \d\.\d{3}$", line) for line in lines[21:])


# --- refusals -------------------------------------------------------------------------------------------------------


def test_streams_that_processes_cannot_share(train: Any, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"^batch_size: 3 streams cannot be shared equally by 2 processes; give a mult"
    ):
        train(batch_size=3, devices=2)
    assert not (tmp_path / "run").exists()


def test_devices_that_are_not_there(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match=r"^device cuda is not available on this machine; use cpu, or auto\.$"):
        train(device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(OptionError, match=r"^devices is 2, but this machine has 1 of cuda; give at most 1\.$"):
        train(device="cuda", devices=2)


def test_tensorboard_that_is_not_installed(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"^tensorboard is not installed; install it with: pip install tensorboard\."):
        train(tensorboard=True)


def test_a_text_too_short_for_a_window(tmp_path: Path, training: LanguageTrainingOptions, console: Any) -> None:
    short = tmp_path / "short.txt"
    short.write_text("abcd" * 20)
    with pytest.raises(DataError, match=r"short"):
        train_language_model(short, out=tmp_path / "run", training=replace(training, window=64), console=console)


@no_report
def test_another_task_is_refused(train: Any, console: Any) -> None:
    run = train(max_steps=5)
    run.write_json("config.json", {**run.config(), "task": "forecast"})
    with pytest.raises(RunError, match=r"is a run of task 'forecast', expected 'language'\.$"):
        language.resume_language_model(run.path, console=console)


def test_under_torchrun_each_machine_has_its_own_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (processes.rank(), processes.count(3), processes.local_count(3), processes.nodes(3)) == (0, 3, 3, 1)
    for name, value in {
        "TORCHELASTIC_RUN_ID": "x",
        "WORLD_SIZE": "6",
        "LOCAL_WORLD_SIZE": "2",
        "RANK": "3",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert (processes.rank(), processes.count(1), processes.local_count(1), processes.nodes(1)) == (3, 6, 2, 3)


def test_the_newest_figures_are_json(train: Any) -> None:
    run = train(max_steps=5)
    for name in ("config.json", "env.json", "schema.json", "model.json", "evaluation.json"):
        json.loads((run.path / name).read_text(), parse_constant=pytest.fail)
    assert np.isfinite([row["loss"] for row in run.metrics() if row["kind"] == "valid"]).all()
