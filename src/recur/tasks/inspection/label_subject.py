"""What a classifier or regressor reads of a series, and what it says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import Part, SeriesBatch
from recur.data.series.batches import SeriesBatches
from recur.data.series.places import place_of
from recur.errors import DataError
from recur.models.series_ensemble import SeriesEnsemble
from recur.models.series_labels import SeriesLabelNetwork
from recur.tasks.inspection.subject import (
    Answer,
    Floats,
    Subject,
    evenly,
    interpolated,
    of_first_member,
    original_values,
    row_at,
    rows_of,
    time_name,
    varied,
)
from recur.tasks.labels.classes import log_odds
from recur.tasks.labels.outcomes import SeriesOutcomes
from recur.tasks.labels.trained import TrainedClassifier, TrainedLabels, TrainedRegressor
from recur.wording import measured, quantity

_MOST_CLASSES = 4
"""Classes that are explained: the one that is told, the true one, and the likeliest others."""

_MOST_BEGINNINGS = 100
"""Beginnings of a series of which is asked what would be told of them."""

_ELSEWHERE = 12
_ROWS_AT_ONCE = 16


def label_subject(trained: TrainedLabels, data: Any = None, *, series: str | None = None, at: object = None) -> Subject:
    """Return a series, or the steps up to one of them, and the label that is told of it.

    Args:
        trained: The classifier or regressor.
        data: Series to tell of; None for the run's own, of which the test part is looked at.
        series: Which of them; None for the one that was told worst, where labels are known, else the first.
        at: Time of the step of which is told, where steps are; None for the one that was told worst, or the last one.

    Raises:
        DataError: The data cannot be read, or have no such series or time; or one label is told of each series.
        RunError: The run's own data cannot be read again.
    """
    setup = trained.setup
    whole = _part(trained, data)
    part = whole if series is None else _of_series(whole, series, is_own=data is None)
    panel = part.panel
    found = trained.outcomes(part)
    item = _chosen(trained, part, found, at)
    number, row = int(found.series[item]), int(found.row[item])
    model = trained.network
    network = model.networks[0] if isinstance(model, SeriesEnsemble) else model
    batches = setup.batches(part, batch_size=1, which="all")
    place = item if setup.way != "steps" else int(np.flatnonzero(part.series == number)[0])
    batch = batches.batch(np.array([place]))
    count = int(batch.lengths)
    # Rows of windows near the beginning are padded.
    batch = _cut(batch, count).to(trained.device)
    end = row + 1 if setup.way == "windows" else int(part.stop[number])
    rows = np.arange(end - count, end)
    told_at = row - (end - count) if setup.way == "steps" else count - 1
    codes = _codes(trained, found, item) if isinstance(trained, TrainedClassifier) else ()

    def outputs(rows_of_window: SeriesBatch) -> Tensor:
        told, _ = model(rows_of_window)
        return _figures(trained, told[:, told_at] if network.per_step else told, codes)

    where = "" if setup.way == "series" else f" of {time_name(panel.clock[row])}"
    notes = []
    if trained.options.bidirectional:
        notes.append(
            "layers whose names end in _reverse read the series from its end; in the drawing they stand above the "
            "others, though both read the same"
        )
    if isinstance(model, SeriesEnsemble):
        notes.append(of_first_member(len(model.members)))
    return Subject(
        title=panel.ids[number] if len(panel) > 1 else "the series",
        cut=f"the {quantity(count, 'step')} up to {time_name(panel.clock[row])}" if setup.way == "windows" else "",
        asked=f"the {'class' if codes else setup.label}{where or ' of the series'}",
        unit="nats of the log-odds" if codes else f"the unit of {setup.label}",
        notes=tuple(notes),
        network=network,
        model=model,
        channels=setup.channels,
        times=[time_name(time) for time in panel.clock[rows]],
        values=original_values(panel, rows, batch),
        read=lambda: network.encoder(batch),
        window=batch,
        begin=0,
        outputs=outputs,
        answers=_answers(trained, found, item, codes),
        elsewhere=None if network.per_step else _elsewhere(trained, whole, batch),
        unchecked="labels of steps rest on all of their series" if network.per_step else Subject.unchecked,
        said=_said(trained, batch, batches, place, codes),
    )


def _part(trained: TrainedLabels, data: Any) -> Part:
    """Return the part that is looked at."""
    if data is not None:
        return Part.whole(trained.setup.read(data), "given")
    parts = trained.setup.own_parts()
    return next(one for one in (parts.test, parts.valid, parts.train) if len(one))


def _of_series(part: Part, series: str, *, is_own: bool) -> Part:
    """Return one series of a part; of the run's own data all of one that is in another part."""
    number = place_of("series", series, part.panel.ids)
    start, stop = part.start.copy(), part.stop.copy()
    if is_own and start[number] == stop[number]:
        start[number], stop[number] = part.panel.offsets[number : number + 2]
    others = np.arange(len(part.panel)) != number
    stop[others] = start[others]
    return Part(panel=part.panel, start=start, stop=stop, name=part.name)


def _chosen(trained: TrainedLabels, part: Part, found: SeriesOutcomes, at: object) -> int:
    """Return the answer that is looked at."""
    panel = part.panel
    if at is not None:
        if trained.setup.way == "series":
            raise DataError(f"at: one {trained.setup.label} is told of a whole series; leave it out.")
        row = row_at(panel, int(found.series[0]), at)
        here = torch.nonzero(found.row == row).squeeze(1)
        if not len(here):
            raise DataError(f"at: the part {part.name!r} has no answer of {time_name(panel.clock[row])}.")
        return int(here[0])
    known = (found.weight > 0) & ~found.is_bound
    if not bool(known.any()):
        # The last step of the first series.
        return int(torch.nonzero(found.series == found.series[0]).squeeze(1)[-1])
    if isinstance(trained, TrainedClassifier):
        logs = trained.temperature(found.output.double()).log_softmax(-1)
        loss = -logs.gather(1, found.target.clamp(min=0)[:, None]).squeeze(1)
    else:
        loss = (found.output.double() - found.target.double()).abs()
    return int(torch.where(known, loss, -torch.inf).argmax())


def _codes(trained: TrainedClassifier, found: SeriesOutcomes, item: int) -> tuple[int, ...]:
    """Return the classes that are explained."""
    order = found.output[item].argsort(descending=True, stable=True).tolist()
    true = int(found.target[item]) if float(found.weight[item]) > 0 else -1
    chosen = dict.fromkeys([order[0], *([true] if true >= 0 else []), *order])
    # Of two classes the log-odds of one are those of the other with the other sign.
    return tuple(chosen)[: 1 if len(order) == 2 else _MOST_CLASSES]


def _figures(trained: TrainedLabels, told: Tensor, codes: tuple[int, ...]) -> Tensor:
    """Return what is explained of answers, (R, A): the log-odds of classes, or the number."""
    if not isinstance(trained, TrainedClassifier):
        return told[:, None]
    return log_odds(trained.temperature(told), torch.tensor(codes, device=told.device).expand(len(told), -1))


def _answers(trained: TrainedLabels, found: SeriesOutcomes, item: int, codes: tuple[int, ...]) -> tuple[Answer, ...]:
    is_known = float(found.weight[item]) > 0
    if isinstance(trained, TrainedClassifier):
        probabilities = trained.probabilities(found.output[item : item + 1])[0].tolist()
        true = int(found.target[item]) if is_known else -1
        return tuple(
            Answer(
                name=f"class {trained.classes[code]}",
                said=f"probability {probabilities[code]:.1%}",
                came="" if true < 0 else "the true class" if code == true else "not the true class",
            )
            for code in codes
        )
    assert isinstance(trained, TrainedRegressor)
    told = float(trained.bounded(found.output[item].double()))
    came = f"{measured(float(found.target[item]))} came" if is_known else ""
    if came and bool(found.is_bound[item]):
        came = f"at least {came}"
    return (Answer(name=trained.setup.label, said=measured(told), came=came),)


def _said(
    trained: TrainedLabels,
    batch: SeriesBatch,
    batches: SeriesBatches,
    place: int,
    codes: tuple[int, ...],
) -> dict[str, Floats]:
    """Return what is said at each step: of the step, or of the series as far as it is read."""
    count, model = int(batch.lengths), trained.network
    with torch.no_grad():
        if model.per_step:
            steps, told = np.arange(count), model(batch)[0][0]
        elif trained.setup.way == "series":
            steps = evenly(count, _MOST_BEGINNINGS)
            told = _of_beginnings(model, batch, steps)
        else:
            # The windows that end with each of the steps, as far as they are in the part.
            items = np.arange(max(0, place - count + 1), place + 1)
            windows = batches.batch(items).to(batch.x.device)
            is_own = (windows.index == batch.index).cpu().numpy()
            steps = (windows.row - batch.row).cpu().numpy()[is_own] + count - 1
            told = model(windows)[0][torch.from_numpy(is_own).to(batch.x.device)]
        own = trained.temperature(told).softmax(-1) if isinstance(trained, TrainedClassifier) else told[:, None]
    values = own.cpu().double().numpy()
    whole = "" if trained.setup.way != "series" else " so far"
    if codes:
        classes = trained.setup.classes
        return {
            f"says{whole}: probability of {classes[code]}": interpolated(steps, values[:, code], count)
            for code in codes
        }
    return {f"says{whole}: {trained.setup.label}": interpolated(steps, values[:, 0], count)}


def _of_beginnings(model: SeriesLabelNetwork | SeriesEnsemble, batch: SeriesBatch, steps: NDArray[np.int64]) -> Tensor:
    """Return what is told of the series up to each of some steps."""
    found = []
    for some in np.array_split(steps, -(-len(steps) // _ROWS_AT_ONCE)):
        several = varied(batch, batch.x.expand(len(some), -1, -1), batch.future)
        lengths = torch.from_numpy(some + 1).to(batch.x.device)
        is_read = torch.arange(batch.x.shape[1], device=lengths.device) < lengths[:, None]
        # What is not read yet must not be seen by what looks to both sides.
        beginnings = {
            "x": torch.where(is_read[..., None], several.x, 0),
            "observed": several.observed & is_read[..., None],
            "lengths": lengths,
        }
        found.append(model(replace(several, **beginnings))[0])
    return torch.cat(found)


def _elsewhere(trained: TrainedLabels, part: Part, batch: SeriesBatch) -> SeriesBatch | None:
    """Return windows, or series, other than that of a batch but as long, evenly spread over a part."""
    count = int(batch.lengths)
    batches = trained.setup.batches(part, batch_size=1, which="all")
    items = evenly(batches.num_items, 4 * _ELSEWHERE)
    found = batches.batch(items)
    is_other = (found.index != int(batch.index)) | (found.row != int(batch.row))
    long = torch.nonzero((found.lengths == count) & is_other).squeeze(1)
    long = long[:: max(1, len(items) // _ELSEWHERE)][:_ELSEWHERE]
    return None if len(long) < 2 else _cut(rows_of(found, long), count).to(trained.device)


def _cut(batch: SeriesBatch, count: int) -> SeriesBatch:
    """Return the first steps of a batch of labels, which has nothing ahead."""
    return replace(
        batch,
        x=batch.x[:, :count],
        observed=batch.observed[:, :count],
        times=batch.times[:, :count],
        codes=None if batch.codes is None else batch.codes[:, :count],
    )
