"""The decision whether a step is taken."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recur.nn
from recur.errors import TrainingError
from recur.gradients import FiniteGuard, NonFinite, clip_gradients, find_nonfinite

BAD = [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, -math.inf), (math.nan, math.inf)]


def test_finite_steps_are_allowed() -> None:
    guard = FiniteGuard(limit=0)
    assert guard.allows(1.0, 2.0)
    assert guard.allows(torch.tensor(1e38, requires_grad=True), torch.tensor(0.0))
    assert (guard.skipped, guard.in_a_row, guard.reason, guard.found) == (0, 0, "", None)


@pytest.mark.parametrize(("loss", "norm"), BAD)
@pytest.mark.parametrize("as_tensors", [False, True])
def test_a_bad_loss_or_norm_is_left_out(loss: float, norm: float, as_tensors: bool) -> None:
    guard = FiniteGuard(limit=1)
    given: Any = (torch.tensor(loss, requires_grad=True), torch.tensor(norm)) if as_tensors else (loss, norm)
    assert not guard.allows(*given)
    assert guard.reason == (
        f"the loss is {loss:.4g} and the gradient's norm {norm:.4g}, not finite; this step was not taken and the last "
        "good weights are kept."
    )
    assert (guard.skipped, guard.in_a_row) == (1, 1)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_it_raises_after_so_many_in_a_row(limit: int) -> None:
    guard = FiniteGuard(limit=limit)
    for _ in range(limit):
        assert not guard.allows(math.nan, math.nan)
    before = {
        0: "this step was",
        1: "this step and the 1 step before it were",
        3: "this step and the 3 steps before it",
    }
    with pytest.raises(
        TrainingError,
        match=rf"^the loss is nan and the gradient's norm nan, not finite; {before[limit]}.* not taken and",
    ):
        guard.allows(math.nan, math.nan)
    assert guard.skipped == limit + 1


def test_a_good_step_between_begins_the_count_anew() -> None:
    guard = FiniteGuard(limit=2)
    for _ in range(4):
        assert not guard.allows(math.nan, 1.0)
        assert not guard.allows(math.nan, 1.0)
        assert guard.allows(1.0, 1.0)
        assert guard.reason == ""
    assert (guard.skipped, guard.in_a_row) == (8, 0)


def test_the_search_is_made_for_bad_steps_only_and_told() -> None:
    guard, calls = FiniteGuard(limit=5), []
    place = NonFinite(module="layers.1", tensor="output", value="NaN", step=37, row=2, reaches="on")

    def search() -> NonFinite | None:
        calls.append(1)
        return place if len(calls) == 1 else None

    assert guard.allows(1.0, 1.0, search)
    assert not calls
    guard.allows(math.nan, 1.0, search)
    assert guard.found is place
    assert guard.reason.endswith(
        "good weights are kept. What went wrong first: layers.1: the output is NaN from step 37 of row 2 on."
    )
    guard.allows(math.nan, 1.0, search)
    assert guard.found is None
    assert guard.reason.endswith("good weights are kept. When it was run again, everything in it was finite.")
    assert len(calls) == 2


def test_a_spoilt_weight_is_mended_by_no_batch() -> None:
    guard = FiniteGuard(limit=9)
    weight = NonFinite(module="read", tensor="parameter weight", value="inf", index=(0, 1))
    gradient = NonFinite(module="read", tensor="gradient of weight", value="inf", index=(0, 1))
    assert not guard.allows(math.nan, 1.0, lambda: gradient)
    with pytest.raises(
        TrainingError, match=r"What went wrong first: read: the parameter weight is inf at index \(0, 1\)"
    ):
        guard.allows(math.nan, 1.0, lambda: weight)


def test_its_counts_are_resumed() -> None:
    guard = FiniteGuard(limit=2)
    guard.allows(math.nan, 1.0)
    guard.allows(1.0, 1.0)
    guard.allows(math.nan, 1.0)
    guard.allows(math.nan, 1.0)
    assert guard.state_dict() == {"in_a_row": 2, "skipped": 3}
    other = FiniteGuard(limit=2)
    other.load_state_dict(copy.deepcopy(guard.state_dict()))
    assert other.state_dict() == guard.state_dict()
    with pytest.raises(TrainingError, match="this step and the 2 steps before it were not taken"):
        other.allows(math.nan, 1.0)


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"^FiniteGuard: limit must be an int, but is float\.$"):
        FiniteGuard(limit=1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^FiniteGuard: limit is -1, but must be at least 0\.$"):
        FiniteGuard(limit=-1)


# --- in a loop --------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = recur.nn.GRU(2, 4)
        self.write = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.write(self.rnn(x)[0])
        return found


@pytest.mark.parametrize("bad_steps", [[], [2], [2, 3], [0]])
def test_a_step_left_out_changes_nothing(bad_steps: list[int]) -> None:
    """Training with bad batches in between is training without them, bit for bit."""
    batches = [torch.randn(5, 3, 2) for _ in range(6)]

    def trained(is_spoilt: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model, guard = Reader(), FiniteGuard(limit=2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        for step, x in enumerate(batches):
            if step in bad_steps and not is_spoilt:
                continue
            x = x.clone()
            if step in bad_steps:
                x[3, 1] = torch.nan
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            clipping = clip_gradients(model, max_norm=0.1)

            def run(x: Tensor = x, model: nn.Module = model) -> Tensor:
                return model(x).square().mean()

            if guard.allows(loss, clipping.before, lambda run=run: find_nonfinite(model, run)):
                optimizer.step()
            else:
                assert str(guard.found) == "rnn: the input is NaN at step 3 of row 1"
        assert guard.skipped == (len(bad_steps) if is_spoilt else 0)
        state = {
            f"{k}.{name}": value for k, each in optimizer.state_dict()["state"].items() for name, value in each.items()
        }
        return {**model.state_dict(), **state}

    with_bad, without = trained(True), trained(False)
    assert with_bad.keys() == without.keys()
    for name, value in with_bad.items():
        assert torch.equal(value, without[name]), name
        assert bool(torch.isfinite(value).all())


def test_with_a_grad_scaler() -> None:
    torch.manual_seed(0)
    model, guard = Reader(), FiniteGuard(limit=200)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    x = torch.randn(5, 3, 2)
    losses, skipped = [], []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(x) - 100).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = clip_gradients(model, max_norm=10.0).before
        before = [p.detach().clone() for p in model.parameters()]
        if guard.allows(
            loss, norm, lambda: find_nonfinite(model, lambda: scaler.scale((model(x) - 100).square().mean()))
        ):
            scaler.step(optimizer)
        else:
            assert str(guard.found).startswith("the loss is inf")
            assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        skipped.append(guard.in_a_row)
        losses.append(float(loss.detach()))
        scaler.update()
    # Halved with each step that was left out, until the scaled loss of 1e4 fits.
    assert 5 < guard.skipped < 20
    assert skipped == [*range(1, guard.skipped + 1), *[0] * (20 - guard.skipped)]
    assert scaler.get_scale() == 2.0 ** (127 - guard.skipped)
    assert losses[-1] < losses[0]
