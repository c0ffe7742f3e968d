"""What a forecaster reads before one of its forecasts, and what it says there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recur.data.series import Panel, Part, SeriesBatch
from recur.data.series.places import place_of
from recur.data.series.windows import LastWindows, Windows
from recur.errors import DataError, OptionError
from recur.models.forecast_ensemble import ForecastEnsemble, pooled
from recur.models.forecast_network import ForecastNetwork
from recur.tasks.forecast.calibration import original_scale
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.inspection.subject import (
    Ahead,
    Answer,
    Floats,
    Subject,
    evenly,
    of_first_member,
    one_row,
    original_values,
    row_at,
    rows_of,
    time_name,
    times_and_asked,
)
from recur.wording import measured, quantity

_MOST_SEARCHED = 500
"""Windows among which the worst is looked for."""

_MOST_TARGETS = 3
_ELSEWHERE = 12


def forecast_subject(
    trained: TrainedForecaster, data: Any = None, *, series: str | None = None, at: object = None
) -> Subject:
    """Return a window and the forecast from it.

    Args:
        trained: The forecaster.
        data: Series to forecast; None for the run's own, of which the test part is looked at.
        series: Which of them; None for the first, or of the run's own data the one with the worst forecast.
        at: Time of the first step that is told, up to the first after the last target, which `predict` tells first;
            None for that one, or of the run's own data that of the worst forecast, of some hundreds that are looked at.

    Raises:
        DataError: The data cannot be read; or there is no such series or time in them, or nothing before it to read.
        OptionError: The network is none that recur trains.
        RunError: The run's own data cannot be read again.
    """
    model = trained.network
    network = model.networks[0] if isinstance(model, ForecastEnsemble) else model
    if not (isinstance(model, ForecastNetwork | ForecastEnsemble) and isinstance(network, ForecastNetwork)):
        raise OptionError(
            f"the network is a {type(network).__name__}, which is none of recur's forecasters; look into it with "
            "recur.tasks.inspection.series.inspect_series."
        )
    windows, item, everywhere = _chosen(trained, data, series, at)
    batch = windows.batch(np.array([item]))
    panel = windows.panel if isinstance(windows, LastWindows) else windows.part.panel
    number, row, count = int(batch.index), int(batch.row), int(batch.lengths)
    if not count:
        raise DataError(f"at: there is nothing before {time_name(panel.clock[row])} to read.")
    rows = np.arange(row - count, row)
    # Rows shorter than the history are padded.
    batch = batch.piece(0, count).to(trained.device) if count < batch.x.shape[1] else batch.to(trained.device)
    schema, horizon = trained.setup.schema, trained.setup.horizon
    loc, size = (each.to(trained.device) for each in original_scale(batch))
    is_fed_back = network.options.kind == "autoregressive"
    steps = [0] if is_fed_back else sorted({0, (horizon - 1) // 2, horizon - 1})
    targets = schema.targets[:_MOST_TARGETS]

    def outputs(rows_of_window: SeriesBatch) -> Tensor:
        scaled = _means(model, rows_of_window)
        told = scaled * size.to(scaled) + loc.to(scaled)
        return torch.stack([told[:, step, place] for place in range(len(targets)) for step in steps], 1)

    ahead = _ahead(trained, batch)
    with torch.no_grad():
        values = outputs(batch)[0].tolist()
    said = [(place, name, step) for place, name in enumerate(targets) for step in steps]
    answers = tuple(
        Answer(
            name=f"{name}, {quantity(step + 1, 'step')} ahead",
            said=measured(value),
            came="" if np.isnan(ahead.came[step, place]) else f"{measured(float(ahead.came[step, place]))} came",
        )
        for (place, name, step), value in zip(said, values, strict=True)
    )
    first = time_name(panel.clock[row]) if row < panel.offsets[number + 1] else "the end of the series"
    notes = []
    if isinstance(model, ForecastEnsemble):
        notes.append(of_first_member(len(model.members)))
    if is_fed_back and horizon > 1:
        notes.append("later steps are told from paths that are drawn, so that the first one alone is explained")
    if len(schema.targets) > len(targets):
        notes.append(f"of {len(schema.targets)} targets the first {len(targets)} are explained")
    return Subject(
        title=panel.ids[number] if len(everywhere.panel) > 1 else "the series",
        cut=f"the {quantity(count, 'step')} before {first}, from which it forecasts {quantity(horizon, 'step')}",
        asked=f"the forecast from {first} on",
        unit=f"the unit of {targets[0]}" if len(targets) == 1 else "the unit of the target",
        notes=tuple(notes),
        network=network,
        model=model,
        channels=trained.setup.channels,
        times=[time_name(time) for time in panel.clock[rows]],
        values=original_values(panel, rows, batch),
        read=lambda: network.read(batch),
        window=batch,
        begin=0,
        outputs=outputs,
        answers=answers,
        elsewhere=_elsewhere(trained, everywhere, batch),
        predictions=_predictions(model, batch, loc, size),
        ahead=ahead,
    )


def _chosen(
    trained: TrainedForecaster, data: Any, series: str | None, at: object
) -> tuple[Windows | LastWindows, int, Part]:
    """Return windows, the number of the one that is looked at, and the part that it is one of many in."""
    setup = trained.setup
    if data is None:
        split = setup.own_data()
        part = next(one for one in (split.test, split.valid, split.train) if len(one))
    else:
        part = Part.whole(setup.read(data), "given")
    panel = part.panel
    number = None if series is None else place_of("series", series, panel.ids)
    if at is not None or data is not None:
        last = _last(trained, panel.select([number or 0]), at)
        if last is not None:
            return last, 0, part
        chosen = _from_row(panel, number or 0, row_at(panel, number or 0, at), setup.horizon)
        # As `predict`, which tells of what is begun too.
        return setup.windows(chosen, batch_size=1, least_history=1), 0, part
    judged = part
    if number is not None:
        start, stop = part.start.copy(), part.stop.copy()
        others = np.arange(len(panel)) != number
        stop[others] = start[others]
        judged = Part(panel=panel, start=start, stop=stop, name=part.name)
    windows = setup.windows(judged, batch_size=1)
    return windows, _worst(trained, windows), part


def _last(trained: TrainedForecaster, series: Panel, at: object) -> LastWindows | None:
    """Return the window from which `predict` tells of the only series, or None where it does not tell from `at` on."""
    known = np.flatnonzero(~np.isnan(series.values[:, : len(series.schema.targets)]).all(1))
    told = int(known[-1]) + 1 if len(known) else 0
    if at is not None:
        # The step after the last row is one that may be asked for.
        follows = told == len(series.rows) and series.frequency is not None
        times, asked = times_and_asked(series.extended(1) if follows else series, 0, at)
        if told == len(times) or asked != times[told]:
            return None
    return trained.setup.last_windows(series, batch_size=1)


def _from_row(panel: Panel, number: int, row: int, horizon: int) -> Part:
    """Return the rows of a series that are told from the one before `row`."""
    end = int(panel.offsets[number + 1])
    if row == panel.offsets[number]:
        raise DataError(f"at: there is nothing before {time_name(panel.clock[row])} to read.")
    if row + horizon > end:
        raise DataError(
            f"at: from {time_name(panel.clock[row])} on series {panel.ids[number]!r} has {quantity(end - row, 'row')}, "
            f"fewer than the {horizon} that are told; give an earlier time, or leave it out for what comes after the "
            "last row."
        )
    start = panel.offsets[:-1].copy()
    stop = start.copy()
    start[number], stop[number] = row, row + horizon
    return Part(panel=panel, start=start, stop=stop, name="chosen")


def _worst(trained: TrainedForecaster, windows: Windows) -> int:
    """Return the window whose forecast is most off, in units of the scaling, of those looked at."""
    items = evenly(windows.num_windows, _MOST_SEARCHED)
    errors: list[Tensor] = []
    for some in np.array_split(items, -(-len(items) // 64)):
        batch = windows.batch(some)
        away = (trained.scaled(batch).mean - batch.target).abs() * batch.weight
        errors.append(away.sum((1, 2)) / batch.weight.sum((1, 2)).clamp(min=1e-9))
    return int(items[int(torch.cat(errors).argmax())])


def _means(model: ForecastNetwork | ForecastEnsemble, batch: SeriesBatch) -> Tensor:
    """Return what is told, (R, P, C) of the scaled targets, with a gradient; of networks fed back the first step.

    Args:
        model: A network, or an ensemble of such.
        batch: Rows as long as the batch is.
    """
    networks = model.networks if isinstance(model, ForecastEnsemble) else [model]
    if networks[0].options.kind != "autoregressive":
        forecast, _ = model(batch)
        mean: Tensor = forecast.mean
        return mean
    # What is told of a step does not look at those after it, so that there may be none.
    blind = torch.zeros_like(batch.target)
    unseen = replace(batch, target=blind, weight=blind)
    told = pooled([network.body.told(unseen).forecast for network in networks]).mean
    # The first step is told of or not, so that steps are counted from the end.
    return told[:, -batch.target.shape[1]][:, None]


def _ahead(trained: TrainedForecaster, batch: SeriesBatch) -> Ahead:
    own = batch.to(torch.device("cpu"))
    low, middle, high = (
        trained.said(trained.scaled(own), *original_scale(own), (0.1, 0.5, 0.9), use_calibration=True)[0, ..., 1:]
        .double()
        .unbind(-1)
    )
    came = torch.where(own.weight > 0, own.unscaled(own.target.double()), torch.nan)
    return Ahead(
        targets=trained.setup.schema.targets,
        median=middle.numpy(),
        low=low.numpy(),
        high=high.numpy(),
        came=one_row(came),
    )


def _predictions(
    model: ForecastNetwork | ForecastEnsemble, batch: SeriesBatch, loc: Tensor, size: Tensor
) -> Floats | None:
    """Return what had been told of each step from the one before, (N, F)."""
    if not model.tells_between:
        return None
    count, num_targets = int(batch.lengths), loc.shape[2]
    found = np.full((count, batch.x.shape[2]), np.nan)
    steps = torch.arange(1, count, device=batch.x.device)
    if len(steps):
        with torch.no_grad():
            told, _ = model.told_after(batch, None, torch.zeros_like(steps), steps)
        found[1:, :num_targets] = (told.mean[:, 0].double() * size[0] + loc[0]).cpu().numpy()
    return found


def _elsewhere(trained: TrainedForecaster, part: Part, batch: SeriesBatch) -> SeriesBatch | None:
    """Return windows other than that of a batch but as long, evenly spread over a part; None for none."""
    count = int(batch.lengths)
    try:
        windows = trained.setup.windows(part, batch_size=1)
    except DataError:
        # A series to forecast need not be long enough to judge a forecast by.
        return None
    items = evenly(windows.num_windows, 4 * _ELSEWHERE)
    found = windows.batch(items)
    is_other = (found.index != int(batch.index)) | (found.row != int(batch.row))
    long = torch.nonzero((found.lengths == count) & is_other).squeeze(1)
    long = long[:: max(1, len(items) // _ELSEWHERE)][:_ELSEWHERE]
    if len(long) < 2:
        return None
    chosen = rows_of(found, long)
    return (chosen.piece(0, count) if count < chosen.x.shape[1] else chosen).to(trained.device)
