"""What a detector reads around a step, and how far that step is from what it expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.series import Panel, Part, SeriesBatch, Split
from recur.data.series.places import place_of
from recur.errors import DataError
from recur.models.lead_network import LeadNetwork, LeadState
from recur.models.series_autoencoder import AutoencoderState, SeriesAutoencoder
from recur.models.series_timeline import Timeline
from recur.tasks.detect.marked_steps import panel_before
from recur.tasks.detect.pieces import Pieces
from recur.tasks.detect.trained import Scored, TrainedDetector
from recur.tasks.inspection.subject import Answer, Subject, original_values, row_at, time_name
from recur.wording import enumerated, measured, quantity

_BEFORE, _AFTER = 600, 120
"""Steps around the one that is explained which are shown."""

_UNITS = {
    "standard": "standard deviations of {}",
    "robust": "standard deviations of {}, by its quartiles",
    "mean_abs": "mean sizes of {}",
    "none": "the unit of {}",
}
"""What errors are in, by the method of the scaler."""

Network = LeadNetwork | SeriesAutoencoder
State = LeadState | AutoencoderState | None


def detector_subject(
    trained: TrainedDetector, data: Any = None, *, series: str | None = None, at: object = None
) -> Subject:
    """Return the steps around one of them, and how far it is from what was expected.

    Args:
        trained: The detector.
        data: Series to look at; None for the run's own, of which the test part is looked at.
        series: Which of them; None for the one with the highest score, or with `at` the first. Of the run's own data
            all of one that has no row in the test part.
        at: Time of the step; None for the one with the highest score.

    Raises:
        DataError: The data cannot be read, or have no such series or time; or nothing is said of the step.
        RunError: The run's own data cannot be read again, or the training did not come to its end.
    """
    network = trained.network
    assert isinstance(network, LeadNetwork | SeriesAutoencoder)
    split = trained.setup.own_data() if data is None else None
    panel = trained.setup.read(data) if split is None else split.train.panel
    number = None if series is None else place_of("series", series, panel.ids)
    if number is None and at is not None:
        number = 0
    if split is not None:
        panel = panel_before(split, _part_of(split, number, at))
    chosen = panel if number is None else panel.select([number])
    # As `evaluate` scores: what was learned of the run's own data must not be known before their first step.
    scored = trained.scored(chosen, is_fresh=split is not None)
    row = _row(chosen, scored, None if split is None else _judged(split, number), at)
    own = int(chosen.series_of_rows[row])
    begin, end = chosen.offsets[own : own + 2].tolist()
    first, stop = max(begin, row - _BEFORE), min(end, row + 1 + _AFTER)
    within = max(first, row + 1 - trained.setup.history)
    pieces = Pieces(trained.setup, chosen, np.array([own]), np.array([stop]))
    before, shown = _read_up_to(network, pieces, first - begin, None, trained.device)
    state, window = _read_up_to(network, [shown], within - first, before, trained.device)
    window = window.piece(0, row + 1 - within)
    channel = int(np.nan_to_num(scored.channels[row], nan=-1.0).argmax())
    parts = _parts(trained, chosen, own, row, is_fresh=split is not None)[channel]
    rows = np.arange(first, stop)

    def outputs(rows_of_window: SeriesBatch) -> Tensor:
        errors, _ = network.errors(rows_of_window, _repeated(state, len(rows_of_window.x)))
        own_errors = errors[:, -1, channel].nan_to_num(0.0)
        if own_errors.shape[1] == 1:
            return own_errors
        return torch.cat([own_errors.mean(1, keepdim=True), own_errors], 1)

    with torch.no_grad():
        values = outputs(window)[0].tolist()
    names = trained.setup.schema.targets
    views = network.views if len(network.views) == 1 else ("the mean of all views", *network.views)
    answers = tuple(
        Answer(name=f"error of {names[channel]}, {view}", said=measured(value))
        for view, value in zip(views, values, strict=True)
    )
    time = time_name(chosen.clock[row])
    return Subject(
        title=chosen.ids[own] if len(panel) > 1 else "the series",
        cut=f"the {quantity(len(rows), 'step')} around {time}",
        asked=f"the error of {names[channel]} at {time}",
        unit=_UNITS[trained.setup.scaler.method].format(names[channel]),
        notes=_notes(trained, scored, row, names, channel, parts),
        network=network,
        model=network,
        channels=trained.setup.channels,
        times=[time_name(each) for each in chosen.clock[rows]],
        values=original_values(chosen, rows, shown),
        read=lambda: network.reader(
            Timeline.of(shown, network.shape, next(network.parameters()).dtype),
            None if before is None else before.reader,
        ),
        window=window,
        begin=within - first,
        outputs=outputs,
        answers=answers,
        unchecked="the state of a detector goes back over all of a series",
        said={"score": scored.score[rows]},
    )


def _part_of(split: Split, number: int | None, at: object) -> Part:
    """Return the part that is looked at: that of a step of a series, or the last one that the series has rows in."""
    panel = split.train.panel
    rows = np.ones(len(panel.rows), np.bool_) if number is None else panel.series_of_rows == number
    if at is not None and number is not None:
        rows = np.arange(len(rows)) == row_at(panel, number, at)
    return next((part for part in (split.test, split.valid, split.train) if part.has_row[rows].any()), split.test)


def _judged(split: Split, number: int | None) -> NDArray[np.bool_]:
    """Return of which rows the strangest is looked at, of all series or of one."""
    part = next(one for one in (split.test, split.valid, split.train) if len(one))
    if number is None:
        return part.has_row
    begin, end = part.panel.offsets[number : number + 2].tolist()
    own = part.has_row[begin:end]
    return own if own.any() else np.ones_like(own)


def _row(panel: Panel, scored: Scored, judged: NDArray[np.bool_] | None, at: object) -> int:
    """Return the step that is looked at: that at some time, or the strangest of all, or of those that are judged."""
    if at is not None:
        row = row_at(panel, 0, at)
        if np.isnan(scored.score[row]):
            raise DataError(
                f"at: nothing can be said of {time_name(panel.clock[row])}: a value is missing, or too little was read "
                "before it."
            )
        return row
    score = np.nan_to_num(scored.score, nan=-np.inf)
    if judged is not None:
        score = np.where(judged, score, -np.inf)
    if not np.isfinite(score).any():
        raise DataError("nothing can be said of any step; give longer series.")
    return int(score.argmax())


def _parts(trained: TrainedDetector, panel: Panel, number: int, row: int, *, is_fresh: bool) -> NDArray[np.float64]:
    """Return what of each channel's share of a score is of the network, the seasonal rule and what lasts, (C, 3)."""
    state = trained.begin([panel.ids[number]], frequencies=[panel.frequencies[number]], is_fresh=is_fresh)
    *before, (last, _, _, _) = Pieces(trained.setup, panel, np.array([number]), np.array([row + 1]))
    for batch, _, _, _ in before:
        _, state = trained.advance(batch, state)
    scores, _ = trained.advance(last, state)
    found: NDArray[np.float64] = scores.parts[0, -1].numpy()
    return found


def _notes(
    trained: TrainedDetector,
    scored: Scored,
    row: int,
    names: Sequence[str],
    channel: int,
    parts: NDArray[np.float64],
) -> tuple[str, ...]:
    """Return what the score is made of."""
    threshold, whole = trained.threshold, float(scored.channels[row, channel])
    is_alarm = bool(scored.score[row] > threshold)
    of_channels = ", ".join(
        f"{name} {measured(float(share))}"
        for share, name in sorted(zip(scored.channels[row], names, strict=True), reverse=True)[:5]
    )
    verdict = "an alarm" if is_alarm else "no alarm"
    # A score of 0 has no shares.
    shares = parts / whole if whole > 0 else np.zeros_like(parts)
    kinds = ("the network's error", "the seasonal rule", "what lasts")
    is_told = (True, trained.scoring.has_rules, True)
    of_parts = enumerated(
        [
            f"{kind} {measured(float(part))} ({share:.0%})"
            for kind, part, share, told in zip(kinds, parts, shares, is_told, strict=True)
            if told
        ]
    )
    return (
        f"the score of the step is {measured(float(scored.score[row]))}, the threshold {measured(threshold)}: "
        f"{verdict}; of the score each channel adds {of_channels}",
        f"of what {names[channel]} adds {of_parts}: how rare an error, a distance from what is usual at this place of "
        "the season, and such sums over the last steps are",
        "what contributes is to the network's error of this step alone; what the steps before the window say through "
        "the state stays as it is",
    )


def _read_up_to(
    network: Network, batches: Any, count: int, state: State, device: torch.device
) -> tuple[State, SeriesBatch]:
    """Return the state after the first steps of some batches that follow each other, and the other steps as one."""
    rest: list[SeriesBatch] = []
    for one in batches:
        batch = (one[0] if isinstance(one, tuple) else one).to(device)
        length = batch.x.shape[1]
        own = min(count, length)
        if own:
            with torch.no_grad():
                _, state = network.errors(batch.piece(0, own), state)  # type: ignore[arg-type]
            count -= own
        if own < length:
            rest.append(batch.piece(own, length))
    joined = {
        name: torch.cat([getattr(one, name) for one in rest], 1)
        for name in ("x", "observed", "times", "codes")
        if getattr(rest[0], name) is not None
    }
    lengths = torch.stack([one.lengths for one in rest]).sum(0)
    return state, replace(rest[0], lengths=lengths, **joined)


def _repeated(state: Any, count: int) -> Any:
    """Return the state of one series for several alike."""
    if state is None:
        return None
    name = "told" if isinstance(state, LeadState) else "values"
    other = getattr(state, name)
    return state._replace(reader=state.reader.repeated(count), **{name: other.expand(-1, count, *other.shape[2:])})
