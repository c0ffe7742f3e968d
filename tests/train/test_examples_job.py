"""Training a network on series: as a loop by hand would, the best weights kept, resumed bit for bit."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from recur.data.series import Panel, SeriesBatch, Split, Windows
from recur.errors import Interrupted, OptionError, RunError
from recur.nn import GRU
from recur.run import RunFolder
from recur.tasks.examples_task import ExamplesTask
from recur.train import pace as pace_module
from recur.train import processes, recorder
from recur.train.display import Display
from recur.train.examples_job import ExamplesJob
from recur.train.job import Judged, stored_options
from recur.train.loop import run_job
from recur.train.options import SeriesTrainingOptions
from recur.train.preparation import write_run
from recur.train.resumption import resume
from recur.train.table import TASKS, Task

TRAINING = SeriesTrainingOptions(
    batch_size=8, max_steps=60, validate_every=20, checkpoint_every=5, learning_rate=0.01, warmup_steps=5
)


class Toy(nn.Module):
    """The next steps of a series, from the last state of a GRU."""

    def __init__(self, horizon: int, dropout: float) -> None:
        super().__init__()
        self.layer = GRU(1, 8, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, horizon)

    def forward(self, batch: SeriesBatch) -> Tensor:
        output, _ = self.layer(batch.x)
        return self.head(self.dropout(output[:, -1]))[..., None]  # type: ignore[no-any-return]

    def loss(self, batch: SeriesBatch) -> Tensor:
        return (batch.weight * (self(batch) - batch.target) ** 2).mean()


def windows(part: Any, training: SeriesTrainingOptions | None = None) -> Windows:
    batch_size, seed = (64, None) if training is None else (training.batch_size or 1, training.seed)
    return Windows(part, history=12, horizon=2, batch_size=batch_size, seed=seed)


def split() -> Split:
    """Three noisy sines of 80 steps: 48 of them to train on, 105 windows, so that an epoch has 14 batches."""
    draw = np.random.default_rng(0)
    step = np.arange(80)
    values = [np.sin(step / 3 + phase) + 0.1 * draw.standard_normal(80) for phase in range(3)]
    panel = Panel.of_rows(["a", "b", "c"], [80] * 3, np.concatenate(values)[:, None])
    return Split.by_time(panel, valid=16, test=16)


def judge(network: Toy) -> Judged:
    assert not network.training
    assert not torch.is_grad_enabled()
    batches = list(windows(split().valid))
    error = sum(float((network(batch) - batch.target).abs().sum()) for batch in batches)
    error /= sum(batch.target.numel() for batch in batches)
    return Judged(loss=error, figures={"mae": error, "noise": float(torch.rand(1))})


def open_toy(run: RunFolder, display: Display) -> ExamplesJob:
    training = stored_options(run, "training", SeriesTrainingOptions)
    config = run.config()["model"]

    def judge_best(display: Display) -> None:
        network = Toy(2, config["dropout"]).eval()
        network.load_state_dict(run.load_weights())
        with torch.no_grad():
            run.write_json("evaluation.json", {"mae": judge(network).loss})

    return ExamplesJob(
        run=run,
        training=training,
        build=lambda: Toy(2, config["dropout"]),
        batches=windows(split().train, training),
        judge=judge,
        judge_best=judge_best,
    )


def train_toy(
    data: Sequence[str],
    *,
    out: Path,
    training: SeriesTrainingOptions,
    overwrite: bool = False,
    console: Console | None = None,
    dropout: float = 0.3,
) -> RunFolder:
    display = processes.first_shows(console)
    config = {"task": "toy", "model": {"dropout": dropout}, "training": asdict(training)}
    run = processes.first_prepares(
        lambda: write_run(
            out, overwrite=overwrite, config=config, schema={}, layers=[{"parameters": 1}], device="cpu", backends={}
        )
    )
    return run_job(open_toy(run, display), display, resume=False)


TOY = Task(
    about="a toy",
    data="nothing",
    options={"training": SeriesTrainingOptions},
    recognises=lambda sources, given: "",
    check=lambda sources, options: None,
    train=f"{__name__}:train_toy",
    job=f"{__name__}:open_toy",
    handling="",
)


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "toy", TOY)


@pytest.fixture
def train(tmp_path: Path, console: Console) -> Callable[..., RunFolder]:
    def run(name: str = "run", dropout: float = 0.3, **changes: Any) -> RunFolder:
        options = replace(TRAINING, **changes)
        return train_toy([], out=tmp_path / name, training=options, console=console, dropout=dropout)

    return run


def of_kind(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == kind]


def assert_same(one: RunFolder, two: RunFolder, assert_equal: Any) -> None:
    """Compare all that two runs hold, but for what a clock told."""
    states = [torch.load(run.path / "checkpoints/last.ckpt", weights_only=True) for run in (one, two)]
    for name in ("global_step", "state_dict", "optimizer_states", "recur", "guard"):
        assert_equal(states[0][name], states[1][name], name)
    assert (one.path / "model.safetensors").read_bytes() == (two.path / "model.safetensors").read_bytes()
    assert one.read_json("evaluation.json") == two.read_json("evaluation.json")
    for kind in ("train", "valid"):
        assert without_clock(one, kind) == without_clock(two, kind)


def without_clock(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    clocked = {"elapsed", "windows_per_second"}
    return [{name: value for name, value in row.items() if name not in clocked} for row in of_kind(run, kind)]


def test_a_network_learns_and_its_best_weights_are_kept(train: Any, console: Any) -> None:
    run = train(dropout=0.0, max_steps=300, validate_every=28)
    valid = of_kind(run, "valid")
    assert [row["step"] for row in valid] == [*range(28, 300, 28), 300]
    assert [row["epoch"] for row in valid] == [*range(1, 20, 2), 21]
    assert all(row["loss"] == row["mae"] for row in valid)
    best = min(row["loss"] for row in valid)
    assert run.read_json("evaluation.json")["mae"] == best
    # A sine that is told to be nothing is off by 2 / pi in the mean; the noise alone is 0.1 * sqrt(2 / pi).
    assert 0.1 * math.sqrt(2 / math.pi) < best < 0.5 * 2 / math.pi
    rows = of_kind(run, "train")
    assert rows[0].keys() == {
        *("kind", "step", "epoch", "progress", "elapsed", "loss", "grad_norm", "learning_rate", "windows_per_second"),
        *("clipped", "removed", "skipped", "layer_norms"),
    }
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    assert list(rows[0]["layer_norms"]) == ["layer", "head"]


def test_steps_are_those_of_a_loop_by_hand(train: Any, tmp_path: Path) -> None:
    run = train(dropout=0.0, max_steps=16, warmup_steps=0, final_learning_rate=1.0, clip_norm=0.1, weight_decay=0.2)
    torch.manual_seed(0)
    network = Toy(2, 0.0)
    matrices = [p for p in network.parameters() if p.dim() > 1]
    vectors = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    batches = windows(split().train, TRAINING)
    # Over the end of the epoch, which has 14 batches.
    for batch in [*batches, *batches][:16]:
        loss = network.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
    state = torch.load(run.path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(state[f"model.{name}"], value, rtol=0, atol=2e-6, msg=name)


@pytest.mark.parametrize("step", [6, 14, 15, 33])
def test_interrupted_and_resumed_is_as_if_it_was_not(
    step: int, train: Any, signals_at: Any, assert_equal: Any, tmp_path: Path, console: Any
) -> None:
    """In the middle of an epoch, at its end, at the beginning of the next, and after two."""
    whole = train("whole")
    signals_at(step, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=f"^interrupted after step {step}, all is saved; go on with: recur train --"):
        train("halves")
    assert_same(whole, resume(tmp_path / "halves", console=console), assert_equal)


def test_averaged_weights_survive_an_interruption(
    train: Any, signals_at: Any, assert_equal: Any, tmp_path: Path, console: Any
) -> None:
    whole = train("whole", averaging=0.9)
    signals_at(15, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"^interrupted after step 15"):
        train("halves", averaging=0.9)
    assert_same(whole, resume(tmp_path / "halves", console=console), assert_equal)
    state = torch.load(whole.path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    newest = whole.path.with_name("newest")
    assert train("newest", averaging=0.0).path == newest
    # What is trained is the same; what is judged and saved is the mean.
    plain = torch.load(newest / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert_equal({name: state[name] for name in plain}, dict(plain), "weights")
    assert state["averaged.module.head.bias"].tolist() != state["model.head.bias"].tolist()
    assert of_kind(whole, "valid")[-1]["loss"] != of_kind(RunFolder.open(newest), "valid")[-1]["loss"]


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    train: Any, signals_at: Any, assert_equal: Any, tmp_path: Path, console: Any
) -> None:
    whole = train("whole")
    signals_at(33, signal.SIGINT, signal.SIGINT, task=ExamplesTask)
    with pytest.raises(Interrupted, match=r"^stopped at once; go on from the last checkpoint"):
        train("halves")
    state = torch.load(tmp_path / "halves/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == 30
    assert state["recur"]["carried"] == {"items": 105, "batch_size": 8, "seed": 0}
    assert_same(whole, resume(tmp_path / "halves", console=console), assert_equal)


def test_it_stops_when_it_gets_no_better(train: Any, console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.5, 0.4, 0.6, 0.4, 0.7, 0.1])
    monkeypatch.setitem(globals(), "judge", lambda network: Judged(loss=next(found)))
    run = train(validate_every=5, patience=3)
    assert [row["is_best"] for row in of_kind(run, "valid")] == [True, True, False, False, False]
    assert "stopped at step 25: the validation loss has not fallen for 3 validations." in console.file.getvalue()


def test_what_judging_draws_does_not_change_the_training(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    often, seldom = train("often", validate_every=5), train("seldom", validate_every=60)
    states = [torch.load(run.path / "checkpoints/last.ckpt", weights_only=True) for run in (often, seldom)]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name])
    noise = [row["noise"] for row in of_kind(often, "valid")]
    assert len(set(noise)) == len(noise), "it does draw"


def test_another_seed_is_another_training(train: Any) -> None:
    weights = [train(name, seed=seed).load_weights()["head.weight"] for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_step_that_is_not_finite_is_left_out(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = Toy.loss
    steps = iter(range(1, 1000))

    def spoilt(network: Toy, batch: SeriesBatch) -> Tensor:
        # The search for what went wrong runs the step again.
        return loss(network, batch) * (math.nan if next(steps) in (13, 14) else 1.0)

    monkeypatch.setattr(Toy, "loss", spoilt)
    run = train()
    (event,) = of_kind(run, "event")
    assert event["step"] == 13
    assert event["text"].startswith("step 13: the loss is nan and the gradient's norm nan, not finite; ")
    assert [row["skipped"] for row in of_kind(run, "train")] == [0, 1, 0, 0, 0, 0]
    assert all(bool(torch.isfinite(value).all()) for value in run.load_weights().values())


def test_series_that_have_changed_are_refused(train: Any, console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(max_steps=5)
    whole = split()
    monkeypatch.setitem(globals(), "split", lambda: Split.by_time(whole.train.panel, valid=20, test=16))
    with pytest.raises(RunError, match=r"does not fit config\.json: its number of items is 105, expected 93\.$"):
        resume(run.path, bounds={"max_steps": 10}, console=console)


def test_a_checkpoint_that_lacks_the_order_is_damaged(train: Any, console: Any) -> None:
    run = train(max_steps=5)
    path = run.path / "checkpoints/last.ckpt"
    state = torch.load(path, weights_only=True)
    del state["recur"]["carried"]["items"]
    torch.save(state, path)
    with pytest.raises(RunError, match=r"last\.ckpt: damaged \(KeyError\), cannot be resumed; train anew with over"):
        resume(run.path, bounds={"max_steps": 10}, console=console)


def test_higher_bounds_train_on(train: Any, console: Any) -> None:
    run = train(max_steps=20)
    resume(run.path, console=console)
    assert "is finished after 20 steps: a higher max_minutes=, max_epochs= or" in console.file.getvalue()
    resume(run.path, bounds={"max_steps": 40}, console=console)
    assert [row["step"] for row in of_kind(run, "train")] == [10, 20, 30, 40]
    with pytest.raises(OptionError, match=r"^max_steps must be a whole number from 1 on, not 0\.$"):
        resume(run.path, bounds={"max_steps": 0}, console=console)


def test_what_a_file_of_lines_is_told(train: Any, console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recur.train.display._PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "_BAR_SECONDS", 0.0)
    train(max_steps=25)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("step ")]
    assert len(lines) == 25
    assert all(" windows/s | " in line for line in lines[10:])
    assert lines[19].startswith("step 20 | epoch 2 | loss ")


def test_validations_of_short_trainings_do_not_each_write_a_checkpoint(
    train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = pace_module.Pace.validated
    monkeypatch.setattr(
        pace_module.Pace, "validated", lambda pace: (save(pace), saved.append(pace.checkpoint_wanted))[0]
    )
    run = train(checkpoint_every=None, validate_every=5)
    assert saved == [False] * 12
    assert torch.load(run.path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 60, "the end is saved"


def test_batches_that_processes_cannot_share(train: Any, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"^batch_size: 3 cannot be shared equally by 2 processes; give a multiple of"
    ):
        train(batch_size=3, devices=2)


def options_of(config: Mapping[str, Any]) -> SeriesTrainingOptions:
    return SeriesTrainingOptions(**config["training"])


def test_all_options_stand_in_the_run(train: Any) -> None:
    assert options_of(train(max_steps=5).config()) == replace(TRAINING, max_steps=5)
