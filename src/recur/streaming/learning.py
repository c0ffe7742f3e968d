"""Learning on: a model goes on with the newest rows, and what is gained and forgotten is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import Part, Scaler, SeriesBatch
from recur.data.series.gathering import Gathering
from recur.data.series.windows import gather_windows
from recur.errors import DataError, OptionError
from recur.gradients import clip_gradients
from recur.kinds import is_number, is_whole
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.forecast_network import ForecastNetwork
from recur.run import checksum
from recur.streaming.replay import Replay, chosen
from recur.tasks.forecast.calibration import ForecastCalibration
from recur.tasks.forecast.known_rows import KnownRows
from recur.tasks.forecast.setup import ForecastSetup
from recur.tasks.forecast.trained import TrainedForecaster

Numbers = NDArray[np.int64]

_MOST_JUDGED = 2_000
"""Windows of the newest rows that are judged by."""


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """How a model learns on.

    Raises:
        OptionError: A value is out of range.
    """

    steps: int = 100
    """Optimiser steps."""

    learning_rate: float = 1e-4
    """Of AdamW; small, for what was learnt is to stay."""

    batch_size: int = 64
    """Series, and beside them old windows, that one step learns from."""

    held_back: float = 0.25
    """Share of the newest rows, the last ones of each series, that is not learnt from and says what was gained."""

    seed: int = 0
    """Of the order, and of dropout."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if not is_whole(getattr(self, name), 1):
                raise OptionError(f"{name}: expected a whole number from 1 on, got {getattr(self, name)!r}.")
        for name, most in (("learning_rate", math.inf), ("held_back", 1.0)):
            value = getattr(self, name)
            if not (is_number(value) and 0 < value < most):
                raise OptionError(f"{name}: expected a number above 0 and below {most:g}, got {value!r}.")


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What learning on did, and whether it was kept.

    Attributes:
        time: When, in UTC.
        options: As of `LearningOptions`.
        new_rows: Rows that were new, of series that are long enough to be learnt from.
        new_windows: Windows of them that it was judged by.
        old_windows: Windows of older data that it was judged by; 0 where there were none.
        loss_new: Mean loss of the forecasts on the newest rows that were held back, before and after.
        loss_old: Likewise on older windows that were held back; None where there were none.
        change: How far the weights moved: the norm of the difference, as a share of their norm.
        is_kept: Whether the new weights are used: if the losses together, new and old, did not rise.
        weights: Checksums of the weights, before and after; what is in use is the latter if it was kept.
    """

    time: str
    options: LearningOptions
    new_rows: int
    new_windows: int
    old_windows: int
    loss_new: tuple[float, float]
    loss_old: tuple[float, float] | None
    change: float
    is_kept: bool
    weights: tuple[str, str]

    def __str__(self) -> str:
        new = f"loss on the newest rows {self.loss_new[0]:.4g} to {self.loss_new[1]:.4g}"
        old = (
            "nothing older to compare"
            if self.loss_old is None
            else "on older ones {:.4g} to {:.4g}".format(*self.loss_old)
        )
        return f"{'kept' if self.is_kept else 'not kept, the model stays as it was'}: {new}, {old}"

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON can hold it."""
        return asdict(self)


def adapt(
    forecaster: TrainedForecaster,
    newest: Part,
    replay: Replay,
    options: LearningOptions,
    *,
    scaler: Scaler | None = None,
) -> tuple[TrainedForecaster, Adaptation]:
    """Return a forecaster that has learnt on from the newest rows, and the record; the old one where that was no gain.

    The network reads each series in windows as long as its own, one after the other, its state carried from each to the
    next without a gradient: truncated back-propagation through time (Williams & Peng 1990). Each step learns from such
    a window of some series, and as much from old windows of the replay, so that what they taught is not forgotten
    (Rolnick et al. 2019). The last rows of each series are held back, as are old windows that were never learnt from,
    and the new weights are kept only if the mean losses on both do not rise in sum. Then the replay is shown the new
    windows, intervals are calibrated anew on what was held back, and the last rows of the series become known. Of an
    ensemble each member learns so, with draws of its own; the mean of their losses decides for all.

    Args:
        forecaster: With a `ForecastNetwork`, or an ensemble of them, whose weights are changed in place; they are what
            they were where the new ones are not kept, or an error or an interruption ends it.
        newest: The newest rows, of the setup's schema. Those before them in its panel are read, but not learnt from
            again. Series that are too short to be learnt from are left out.
        replay: Older windows, to which new ones are added.
        options: How.
        scaler: How the series are scaled; None for as other data of the setup are.

    Raises:
        DataError: There are too few rows, or none to judge by.
        OptionError: The network is of another kind.
    """
    network, setup = forecaster.network, forecaster.setup
    if not isinstance(network, ForecastNetwork | ForecastEnsemble):
        raise OptionError(f"learn: the network, {type(network).__name__}, is no ForecastNetwork, nor some of them.")
    if scaler is not None:
        setup = replace(setup, scaler=scaler)
    numbers = learnt_series(newest, setup, options)
    learnt = _counting(_selected(newest, numbers))
    cut = _cut(learnt, options)
    new = Part(panel=learnt.panel, start=learnt.start, stop=cut, name="new")
    held = _held_back(setup, Part(panel=learnt.panel, start=cut, stop=learnt.stop, name="held back"))
    groups = _groups(new, setup, options.batch_size)
    if not groups or held is None:
        raise DataError(f"learn: {_lack(newest, setup, options)}")
    old, old_held = replay.learnt.windows, replay.held.windows
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        losses_before = _losses(network, held, old_held)
        for number, member in enumerate(network.networks if isinstance(network, ForecastEnsemble) else [network]):
            _learn(member, setup, new, groups, old, replace(options, seed=options.seed + number))
        losses_after = _losses(network, held, old_held)
    except BaseException:
        # Also where it is interrupted: states and calibration are of the weights before.
        network.load_state_dict(before)
        network.eval()
        raise
    after = {name: value.clone() for name, value in network.state_dict().items()}
    is_kept = sum(losses_after) <= sum(losses_before) and all(map(math.isfinite, losses_after))
    record = Adaptation(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        options=options,
        new_rows=len(learnt),
        new_windows=sum(len(batch.row) for batch in held),
        old_windows=0 if old_held is None else len(old_held.row),
        loss_new=(losses_before[0], losses_after[0]),
        loss_old=None if old_held is None else (losses_before[1], losses_after[1]),
        change=_norm(after, before) / max(_norm(before), 1e-12),
        is_kept=is_kept,
        weights=(checksum(before), checksum(after)),
    )
    if not is_kept:
        network.load_state_dict(before)
        return forecaster, record
    replay.learnt.add(setup.windows(new, batch_size=512, stride=setup.history))
    learnt_rows = KnownRows.of_panel(learnt.panel, setup)
    made = TrainedForecaster(
        network,
        forecaster.setup,
        options=forecaster.options,
        yardstick=forecaster.yardstick,
        known=learnt_rows if forecaster.known is None else forecaster.known.with_newer(learnt_rows, setup),
    )
    if forecaster.calibration is not None:
        judged = held if old_held is None else [*held, old_held]
        made.calibration = ForecastCalibration.fit(made.scaled, judged)
    replay.held.add(held)
    return made, record


def learnt_series(newest: Part, setup: ForecastSetup, options: LearningOptions) -> Numbers:
    """Return the numbers of the series that `adapt` learns from and judges by, (N,): those with rows for both."""
    cut = _cut(newest, options)
    return np.flatnonzero((_num_windows(newest, cut, setup) > 0) & (newest.stop - cut >= setup.horizon))


def _selected(part: Part, numbers: Numbers) -> Part:
    """Return some of the series of a part."""
    panel, begins = part.panel.select(numbers), part.panel.offsets[numbers]
    start, stop = (panel.offsets[:-1] + rows[numbers] - begins for rows in (part.start, part.stop))
    return Part(panel=panel, start=start, stop=stop, name=part.name)


def _counting(part: Part) -> Part:
    """Return a part before whose rows nothing counts."""
    panel = part.panel
    is_before = np.arange(len(panel.rows)) < np.repeat(part.start, panel.lengths)
    if not is_before.any():
        return part
    weight = np.float32(1) if panel.rows.weight is None else panel.rows.weight
    counts = np.where(is_before, np.float32(0), weight).astype(np.float32)
    return replace(part, panel=replace(panel, rows=replace(panel.rows, weight=counts)))


def _cut(part: Part, options: LearningOptions) -> Numbers:
    """Return the row of each series, (N,), from which on it is held back."""
    return part.start + ((part.stop - part.start) * (1 - options.held_back)).astype(np.int64)


def _num_windows(part: Part, stop: Numbers, setup: ForecastSetup) -> Numbers:
    """Return how many windows, one after the other, tell the rows of each series up to `stop`, (N,)."""
    told = (stop - part.start - setup.horizon) // setup.history + 1
    read = (stop - part.panel.offsets[:-1] - setup.horizon) // setup.history
    count: Numbers = np.maximum(np.minimum(told, read), 0)
    return count


def _lack(newest: Part, setup: ForecastSetup, options: LearningOptions) -> str:
    """Return what is wrong with rows that cannot be learnt from."""
    lengths, before = newest.stop - newest.start, newest.start - newest.panel.offsets[:-1]
    learnt = np.ceil((np.maximum(setup.history - before, 0) + setup.horizon) / (1 - options.held_back))
    need = np.maximum(learnt, math.ceil(setup.horizon / options.held_back)).astype(np.int64)
    if (lengths >= need).any():
        return (
            f"the last {options.held_back:.0%} of the new rows are to say what was gained, but have no target; wait "
            "until some come, or leave out the rows without."
        )
    if not len(lengths):
        return "there are no new rows."
    nearest = int(np.argmin(need - lengths))
    older = f", after {before[nearest]:,} older ones," if before[nearest] else ""
    return (
        f"there are too few new rows: series {newest.panel.ids[nearest]!r} has {lengths[nearest]:,}{older} and needs "
        f"{need[nearest]:,} at least; wait until there are more."
    )


def _held_back(setup: ForecastSetup, part: Part) -> list[SeriesBatch] | None:
    """Return windows that tell the rows of a part, a bounded number; None where none fits."""
    try:
        windows = setup.windows(part, batch_size=256)
    except DataError:
        return None
    stride = -(-windows.num_windows // _MOST_JUDGED)
    return list(windows if stride == 1 else setup.windows(part, batch_size=256, stride=stride))


def _groups(part: Part, setup: ForecastSetup, size: int) -> list[tuple[Numbers, int]]:
    """Return series that have as many windows one after the other, (B,), at most `size` of them, and how many."""
    count = _num_windows(part, part.stop, setup)
    found = []
    for number in sorted(set(count[count > 0].tolist()), reverse=True):
        own = np.flatnonzero(count == number)
        found += [(own[begin : begin + size], int(number)) for begin in range(0, len(own), size)]
    return found


def _learn(
    network: ForecastNetwork,
    setup: ForecastSetup,
    part: Part,
    groups: list[tuple[Numbers, int]],
    old: SeriesBatch | None,
    options: LearningOptions,
) -> None:
    """Take the steps."""
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=0.0)
    random = torch.Generator().manual_seed(options.seed)
    gathering = Gathering(part.panel, setup.scaler, setup.calendar, time_unit=setup.time_unit)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        taken = 0
        while taken < options.steps:
            for batch, state in _pieces(network, setup, gathering, groups, part.stop, random, device):
                loss = network.loss(batch.to(device), state)
                if old is not None:
                    rows = torch.randint(len(old.row), (min(options.batch_size, len(old.row)),), generator=random)
                    loss = loss + network.loss(chosen(old, rows).to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                clip_gradients(network, max_norm=1.0)
                optimizer.step()
                taken += 1
                if taken == options.steps:
                    break
    network.eval()


def _pieces(
    network: ForecastNetwork,
    setup: ForecastSetup,
    gathering: Gathering,
    groups: list[tuple[Numbers, int]],
    end: Numbers,
    random: torch.Generator,
    device: torch.device,
) -> Iterator[tuple[SeriesBatch, Any]]:
    """Yield the windows of each group in the order of time, with the state before each; they end at `end`, (N,)."""
    for number in torch.randperm(len(groups), generator=random).tolist():
        series, count = groups[number]
        state = None
        for piece in range(1, count + 1):
            # The last window ends with the last row; what is too short for one more is left out before the first.
            row = end[series] - setup.horizon - (count - piece) * setup.history
            counts = gathering.panel.rows.weight
            batch = gather_windows(gathering, row, series, setup.history, setup.horizon, counts=counts)
            yield batch, state
            # With the weights of now, and without a gradient: here the truncation is.
            with torch.no_grad():
                state = network.read(batch.to(device), state)


def _losses(
    network: ForecastNetwork | ForecastEnsemble, held: list[SeriesBatch], old: SeriesBatch | None
) -> list[float]:
    """Return the mean loss of forecasts of the newest rows, and of older windows if there are any."""
    device = next(network.parameters()).device
    network.eval()
    found = []
    with torch.no_grad():
        for batches in (held, [] if old is None else [old]):
            total = weight = 0.0
            for batch in batches:
                counted = float(batch.weight.sum())
                if counted:
                    total += counted * float(network.forecast_loss(batch.to(device)))
                    weight += counted
            if weight:
                found.append(total / weight)
    return found


def _norm(weights: dict[str, Tensor], other: dict[str, Tensor] | None = None) -> float:
    """Return the norm of weights, or of their difference from others."""
    squares = [
        float((value - (0 if other is None else other[name])).double().square().sum())
        for name, value in weights.items()
        if value.is_floating_point()
    ]
    return math.sqrt(sum(squares))
