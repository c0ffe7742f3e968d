from __future__ import annotations

import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from recur.data.batch import Batch
from recur.errors import Interrupted
from recur.gradients import probe
from recur.models.language import LanguageModel
from recur.models.options import LanguageModelOptions
from recur.tasks.language.task import LanguageTask
from recur.train.language import resume_language_model
from recur.train.language_choice import choose
from recur.train.options import LanguageTrainingOptions
from recur.train.probing import Probing, probe_step

no_report = pytest.mark.usefixtures("no_report")


def of_kind(run: Any, kind: str) -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == kind]


@no_report
def test_a_look_every_so_many_steps_and_the_same_training(train: Any) -> None:
    seen, blind = train("seen", probe_every=20), train("blind", probe_every=0)
    assert [row["step"] for row in of_kind(seen, "probe")] == [20, 40, 60]
    assert of_kind(blind, "probe") == []
    assert (seen.path / "model.safetensors").read_bytes() == (blind.path / "model.safetensors").read_bytes()
    row = of_kind(seen, "probe")[-1]
    assert row.keys() == {"kind", "step", "update", "lags", "by_lag", "memory_length", "layers"}
    assert row["lags"][:4] == [0, 1, 2, 4]
    assert row["by_lag"][0] > row["by_lag"][-1] > 0
    assert 1e-4 < row["update"] < 0.3
    assert [layer["name"] for layer in row["layers"]] == ["layers.0", "layers.1"]
    assert row["layers"][0]["exponent"] < 0
    assert row["layers"][0]["gates"].keys() == {"i", "f", "o"}


@no_report
def test_what_stays_ill_is_said_once(train: Any, model: Any) -> None:
    run = train("rnn", model=replace(model, cell="rnn"), probe_every=5, window=64)
    said = [row["text"] for row in of_kind(run, "event") if row["text"].startswith("vanishing gradient")]
    assert len(said) == 1
    assert "use an LSTM or a GRU" in said[0]
    # Not before the fifth probe in a row has found it.
    assert next(row["step"] for row in of_kind(run, "event") if row["text"] == said[0]) == 25


@no_report
def test_clipping_that_never_rests_is_said(train: Any) -> None:
    names = [
        {row["text"].split(":")[0] for row in of_kind(train(name, clip_norm=bound, probe_every=5), "event")}
        for name, bound in (("tight", 1e-4), ("wide", 1e4))
    ]
    assert "clipping always active" in names[0]
    assert "clipping always active" not in names[1]


@pytest.mark.parametrize("step", [23, 28])
@no_report
def test_a_resumed_training_looks_and_says_as_one_that_did_not_stop(
    step: int, train: Any, model: Any, signals_at: Any, assert_same: Any, tmp_path: Any, console: Any
) -> None:
    """Stopped between two probes, before and after the fifth of them, which finds the same again and so is said."""
    changes = {"model": replace(model, cell="rnn"), "probe_every": 5, "window": 64, "clip_norm": 0.2, "max_steps": 30}
    whole = train("whole", **changes)
    signals_at(step, signal.SIGINT)
    with pytest.raises(Interrupted):
        train("halves", **changes)
    halves = resume_language_model(tmp_path / "halves", console=console)
    assert_same(whole, halves)
    assert of_kind(whole, "probe") == of_kind(halves, "probe")
    said = [[row for row in of_kind(run, "event") if "interrupted" not in row["text"]] for run in (whole, halves)]
    assert {row["text"].split(":")[0] for row in said[0]} == {"vanishing gradient", "clipping always active"}
    assert said[0] == said[1]
    states = [
        torch.load(run.path / "checkpoints/last.ckpt", weights_only=True)["callbacks"]["Probing"]
        for run in (whole, halves)
    ]
    assert states[0] == states[1]


def looking(**given: Any) -> tuple[Probing, Any]:
    """A callback that has not begun to look, and what it writes to."""
    run = MagicMock()
    return Probing(run=run, pace=MagicMock(), display=MagicMock(), window=64, reach=64, **given), run


@pytest.mark.parametrize(("every", "is_first"), [(0, True), (5, False)])
def test_nothing_is_gathered_where_nobody_looks(every: int, is_first: bool) -> None:
    callback, run = looking(every=every)
    task = MagicMock(spec=LanguageTask, loss=1.0, removed=0.5, guard=SimpleNamespace(reason=""))
    for step in range(1, 21):
        trainer = SimpleNamespace(global_step=step, is_global_zero=is_first)
        callback.on_train_batch_end(trainer, task, None, None, step)  # type: ignore[arg-type]
    saved = callback.state_dict()
    assert (saved["losses"], saved["removed"]) == ([], [])
    run.append_metrics.assert_not_called()


def test_a_window_that_was_cut_short_is_passed_over() -> None:
    callback, run = looking(every=5)
    callback.pace.progress.return_value = 0.0  # type: ignore[attr-defined]
    options = LanguageModelOptions(cell="gru", num_layers=1, hidden_size=6, embedding_size=5, dropout=0.0)
    task = MagicMock(spec=LanguageTask, loss=1.0, removed=0.5, guard=SimpleNamespace(reason=""))
    task.model = LanguageModel(9, options)
    task.parameters = task.model.parameters
    for step, count in ((5, 31), (10, 32)):
        trainer = SimpleNamespace(global_step=step - 1, is_global_zero=True)
        callback.on_before_optimizer_step(trainer, task, None)  # type: ignore[arg-type]
        trainer.global_step = step
        x = torch.randint(0, 9, (2, count))
        batch = Batch(
            x=x, target=x, lengths=torch.full((2,), count), weight=torch.ones(2, count), index=torch.arange(2)
        )
        callback.on_train_batch_end(trainer, task, None, batch, step)  # type: ignore[arg-type]
        assert len(callback.losses) == (1 if count == 31 else 0)
    (written,) = [call.args[0] for call in run.append_metrics.call_args_list]
    assert written["step"] == 10


def test_the_cheap_probe_is_a_part_of_the_whole_one() -> None:
    model = LanguageModel(
        9, LanguageModelOptions(cell="gru", num_layers=1, hidden_size=6, embedding_size=5, dropout=0.5)
    )
    x = torch.randint(0, 9, (6, 37))
    batch = Batch(
        x=x, target=x.roll(-1, 1), lengths=torch.full((6,), 37), weight=torch.ones(6, 37), index=torch.arange(6)
    )
    cheap, whole = probe_step(model, batch), probe(model, batch, rows=16, lags=())
    assert cheap.reach.targets == (36,)
    assert cheap.reach.sources == (0, 4, 20, 28, 32, 34, 35, 36)
    places = [whole.reach.sources.index(source) for source in cheap.reach.sources]
    torch.testing.assert_close(cheap.reach.norms[0], whole.reach.norms[-1, places], rtol=1e-4, atol=1e-12)


def test_probes_take_a_fiftieth_of_the_time_at_most() -> None:
    def chosen(hidden_size: int, **given: Any) -> int | None:
        model = LanguageModelOptions(hidden_size=hidden_size)
        return choose(model, LanguageTrainingOptions(**given), num_tokens=10**7, vocabulary_size=65, has_gpu=False)[
            1
        ].probe_every

    assert chosen(256) == chosen(512) == 100
    assert chosen(128) == 150
    # 8 * 2 * 16^2 weights, 32 streams, windows of 64: 2.52e-4 s a step, and a fiftieth of the time for each 40 ms.
    assert chosen(16) == 7950
    assert chosen(16, probe_every=7) == 7
    assert chosen(512, probe_every=0) == 0
