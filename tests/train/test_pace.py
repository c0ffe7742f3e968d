"""The learning rate of each step, and the decisions after it."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from recur.gradients import WindowLengths
from recur.tasks.language.task import LanguageTask
from recur.train import pace as pace_module
from recur.train.options import LanguageTrainingOptions
from recur.train.pace import Pace, learning_rate_factor


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    return clock


def trainer(step: int = 0, **more: Any) -> Any:
    optimizer = SimpleNamespace(param_groups=[{"lr": math.nan}, {"lr": math.nan}])
    values = {"global_step": step, "world_size": 1, "should_stop": False, "optimizers": [optimizer]}
    return SimpleNamespace(**(values | more))


def pace_of(windows: int = 10, **options: Any) -> Pace:
    return Pace(
        options=LanguageTrainingOptions(**({"learning_rate": 0.5, "final_learning_rate": 0.0} | options)),
        steps_per_epoch=windows,
    )


# --- schedule ---------------------------------------------------------------------------------------------------------


def test_warm_up_is_linear() -> None:
    factors = [learning_rate_factor(step, 0.0, warmup_steps=4, final=0.0) for step in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert learning_rate_factor(0, 0.0, warmup_steps=0, final=0.0) == 1.0


def test_decay_is_half_a_cosine() -> None:
    for progress, expected in ((0.0, 1.0), (1 / 3, 0.75), (0.5, 0.5), (2 / 3, 0.25), (1.0, 0.0), (1.7, 0.0)):
        assert learning_rate_factor(10**6, progress, warmup_steps=100, final=0.0) == pytest.approx(expected, abs=1e-12)
        with_floor = learning_rate_factor(10**6, progress, warmup_steps=100, final=0.2)
        assert with_floor == pytest.approx(0.2 + 0.8 * expected, abs=1e-12)


def test_a_short_training_does_not_warm_up_for_ever() -> None:
    # Five steps of a hundred-step warm-up: a twentieth of the training ends it.
    factors = [learning_rate_factor(step, step / 5, warmup_steps=100, final=0.0) for step in range(5)]
    cosine = [0.5 * (1 + math.cos(math.pi * step / 5)) for step in range(5)]
    assert factors == pytest.approx([0.01, *cosine[1:]])


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 1000), st.floats(0, 1))
def test_the_factor_is_a_share(step: int, progress: float, warmup: int, final: float) -> None:
    assert 0 <= learning_rate_factor(step, progress, warmup_steps=warmup, final=final) <= 1 + 1e-12


def test_progress_is_that_of_the_nearest_bound() -> None:
    assert pace_of(max_steps=20).progress(5, 1e9) == 0.25
    assert pace_of(max_epochs=4).progress(5, 1e9) == 0.125
    assert pace_of(max_minutes=2).progress(10**9, 30) == 0.25
    every = pace_of(max_steps=100, max_epochs=4, max_minutes=2)
    assert every.progress(10, 0) == 0.25
    assert every.progress(10, 90) == 0.75
    assert every.progress(100, 0) == 1.0
    assert pace_of().progress(10**9, 1e9) == 0.0, "without a bound it never ends"


def test_the_rate_is_set_before_each_step(clock: Clock) -> None:
    pace = pace_of(max_steps=100, warmup_steps=4, final_learning_rate=0.1)
    for step in (0, 3, 50, 99):
        running = trainer(step)
        pace.on_train_batch_start(running, SimpleNamespace(), None, 0)  # type: ignore[arg-type]
        expected = 0.5 * learning_rate_factor(step, step / 100, warmup_steps=4, final=0.1)
        assert [group["lr"] for group in running.optimizers[0].param_groups] == [expected, expected]


def test_the_rate_follows_the_length_of_random_windows(clock: Clock) -> None:
    law = WindowLengths(64)
    task = LanguageTask(nn.Linear(1, 1), windows_per_epoch=10, learning_rate=0.5, window=law)  # type: ignore[arg-type]
    pace = pace_of(max_steps=100, warmup_steps=0)
    pace.learning_rate_scale = task.learning_rate_scale
    for num_steps in (64, 32, 70):
        running = trainer(20)
        batch = SimpleNamespace(x=torch.zeros(4, num_steps))
        pace.on_train_batch_start(running, task, batch, 0)
        expected = 0.5 * learning_rate_factor(20, 0.2, warmup_steps=0, final=0.0) * num_steps / 64
        assert running.optimizers[0].param_groups[0]["lr"] == pytest.approx(expected, rel=1e-15)
    fixed = LanguageTask(nn.Linear(1, 1), windows_per_epoch=10, learning_rate=0.5, window=64)  # type: ignore[arg-type]
    assert fixed.learning_rate_scale(batch) == 1.0, "the last window of an epoch may be short, and is no random one"  # type: ignore[arg-type]


def test_with_several_processes_the_first_one_s_clock_counts(clock: Clock) -> None:
    pace = pace_of(max_minutes=1, warmup_steps=0)
    running = trainer(1, world_size=2, strategy=SimpleNamespace(broadcast=lambda elapsed: 30.0))
    pace.on_train_batch_start(running, SimpleNamespace(), None, 0)  # type: ignore[arg-type]
    assert running.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.25)


# --- clock ------------------------------------------------------------------------------------------------------------


def started(pace: Pace) -> Pace:
    pace.on_train_start(trainer(), SimpleNamespace())  # type: ignore[arg-type]
    return pace


def test_time_that_ends_a_training_before_its_other_bounds_is_told(clock: Clock) -> None:
    def after(seconds: float, **bounds: int) -> Pace:
        pace = started(pace_of(max_minutes=2, **bounds))
        clock.now += seconds
        pace.release()
        return pace

    assert after(119, max_epochs=4).out_of_time(25) == "", "there is time left"
    bounded, epochs, alone = after(120, max_epochs=4, max_steps=100), after(120, max_epochs=4), after(120)
    assert epochs.out_of_time(25) == "2 minutes, in epoch 3 of 4"
    assert bounded.out_of_time(25) == "2 minutes, in step 25 of 100 and epoch 3 of 4"
    assert epochs.out_of_time(40) == "", "it came to its end"
    assert bounded.out_of_time(40) == ""
    assert alone.out_of_time(25) == "", "nothing else was to end it"


def test_the_clock_stands_still_outside_of_training(clock: Clock) -> None:
    pace = pace_of(max_minutes=1)
    clock.now += 50
    assert pace.elapsed == 0
    started(pace)
    clock.now += 20
    assert pace.elapsed == 20
    pace.on_train_end(trainer(), SimpleNamespace())  # type: ignore[arg-type]
    clock.now += 100
    assert pace.elapsed == 20
    pace.release()
    assert pace.elapsed == 20


def test_time_before_a_resume_counts(clock: Clock) -> None:
    first = started(pace_of(max_minutes=1))
    clock.now += 40
    saved = first.state_dict()
    first.release()
    second = pace_of(max_minutes=1)
    second.load_state_dict(saved)
    clock.now += 1000
    started(second)
    clock.now += 19
    assert second.elapsed == 59
    assert not second.is_over(0)
    clock.now += 1
    assert second.is_over(0)
    second.release()


# --- decisions --------------------------------------------------------------------------------------------------------


def test_a_step_within_the_bounds_goes_on(clock: Clock) -> None:
    pace = started(pace_of(max_steps=10))
    running = trainer(9)
    decision = pace.agree(running, 1.5, False)
    assert [decision.is_over, decision.is_finished, decision.is_interrupted, decision.is_checkpoint_due] == [False] * 4
    assert not running.should_stop
    assert decision.loss == 1.5
    assert pace.decision is decision
    pace.release()


def test_the_last_step_ends_with_a_checkpoint(clock: Clock) -> None:
    pace = started(pace_of(max_steps=10, checkpoint_every=1000))
    running = trainer(10)
    decision = pace.agree(running, 1.5, True)
    assert decision.is_over
    assert decision.is_finished
    assert decision.is_checkpoint_due
    assert not decision.is_interrupted
    assert running.should_stop
    pace.release()


def test_the_clock_is_not_asked_again(clock: Clock) -> None:
    pace = started(pace_of(max_minutes=1))
    clock.now += 61
    assert not pace.agree(trainer(3), 1.5, False).is_over, "or training could end without a validation"
    pace.release()


def test_whoever_wants_to_stop_is_heard(clock: Clock) -> None:
    pace = started(pace_of(max_steps=10))
    pace.stop_wanted = "no better"
    decision = pace.agree(trainer(3), 1.5, False)
    assert decision.is_over
    assert decision.is_checkpoint_due
    pace.release()


def test_checkpoints_come_by_time_or_by_steps_or_as_wanted(clock: Clock) -> None:
    by_time = started(pace_of())
    due = []
    for step in range(1, 7):
        clock.now += 25
        due.append(by_time.agree(trainer(step), 0.0, False).is_checkpoint_due)
    assert due == [False, False, True, False, False, True]
    by_time.checkpoint_wanted = True
    assert by_time.agree(trainer(7), 0.0, False).is_checkpoint_due
    assert not by_time.agree(trainer(8), 0.0, False).is_checkpoint_due, "wanted once, saved once"
    by_time.validated()
    assert not by_time.checkpoint_wanted, "the last one is young"
    clock.now += 5
    by_time.validated()
    assert by_time.checkpoint_wanted
    by_time.release()
    by_steps = started(pace_of(checkpoint_every=3))
    clock.now += 1000
    assert [by_steps.agree(trainer(step), 0.0, False).is_checkpoint_due for step in range(1, 7)] == [
        False,
        False,
        True,
    ] * 2
    by_steps.validated()
    assert not by_steps.checkpoint_wanted
    by_steps.release()


@pytest.mark.parametrize("is_first", [True, False])
def test_several_processes_agree_by_the_first_one_s_clock(clock: Clock, is_first: bool) -> None:
    sent: list[list[float]] = []

    class Strategy:
        root_device = "cpu"

        def reduce(self, flags: Any, reduce_op: str) -> Any:
            sent.append(flags.tolist())
            assert reduce_op == "sum"
            other = flags.new_tensor([1.0, 0.0, 1.0, 4.0])
            return flags + other

    pace = started(pace_of(max_steps=10))
    running = trainer(10, world_size=2, is_global_zero=is_first, strategy=Strategy())
    decision = pace.agree(running, 2.0, True)
    # A process that is not the first leaves the clock's answers to it, but not the signal's.
    assert sent == [[1.0, 0.0, 1.0, 2.0] if is_first else [0.0, 0.0, 0.0, 2.0]]
    assert decision.is_over
    assert decision.loss == 3.0
    pace.release()


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_with_a_checkpoint(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    pace = started(pace_of(max_steps=10, checkpoint_every=1000))
    try:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        running = trainer(3)
        decision = pace.agree(running, 0.0, False)
    finally:
        pace.release()
    assert decision.is_over
    assert not decision.is_finished
    assert decision.is_interrupted
    assert decision.is_checkpoint_due
    assert running.should_stop
    assert {n: signal.getsignal(n) for n in before} == before


def test_a_second_ctrl_c_stops_at_once() -> None:
    pace = started(pace_of(max_steps=10))

    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    try:
        with pytest.raises(KeyboardInterrupt):
            twice()
    finally:
        pace.on_exception(trainer(), SimpleNamespace(), KeyboardInterrupt())  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_may_train_without_the_signals() -> None:
    failures: list[BaseException] = []
    before = signal.getsignal(signal.SIGINT)

    def train() -> None:
        pace = pace_of(max_steps=1)
        try:
            started(pace)
            assert signal.getsignal(signal.SIGINT) is before
            assert pace.agree(trainer(1), 0.0, pace.is_over(1)).is_over
            pace.release()
        except (ValueError, AssertionError) as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert failures == []
