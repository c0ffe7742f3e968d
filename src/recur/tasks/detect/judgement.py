"""The last word on a trained detector: its alarms beside the truth, or beside the rate that was stated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recur.data.series import Panel, Part, Split
from recur.data.series.moments import on_the_clock
from recur.data.series.options import OtherTableOptions
from recur.errors import DataError, OptionError, RunError
from recur.models.detector_options import LARGEST_RATE
from recur.run import RunFolder
from recur.tasks.detect.alarms import alarm_begins, highest_lately
from recur.tasks.detect.events_told import EventsTold, events_told, f1_of, p_of_f1, rows_between
from recur.tasks.detect.false_alarms import doubt_of_so_many, false_alarms_note, p_of_so_many
from recur.tasks.detect.marked_steps import left_out_note, panel_before
from recur.tasks.detect.moving_gaussian import NAME as RULE
from recur.tasks.detect.moving_gaussian import moving_gaussian
from recur.tasks.detect.trained import Scored, TrainedDetector
from recur.tasks.detect.truth import check_label, events, judged_by, true_anomalies, unnamed_marks_note
from recur.tasks.noise import SURE, doubt
from recur.wording import enumerated, measured, option, percentage, quantity

EVALUATION = "detect_evaluation.json"
"""File of a run with what `judge_detector` returns."""

_MOST_EXAMPLES = 6
_SHOWN = 400
"""Steps of an example."""
_TAIL_POINTS = 60


def judge_detector(trained: TrainedDetector, part: Part, *, is_own: bool = False) -> dict[str, Any]:
    """Return how good alarms are: what `detect_evaluation.json` holds.

    Where a column says which steps are anomalies, alarms are compared with it, by step and by event: an event is a run
    of anomalous steps, found when a step of it raises an alarm; a run of steps that raise one is right when it touches
    an event. How many alarms begin is counted apart, as `TrainedDetector.predict` tells it: after `quiet` steps or more
    without any. Elsewhere the share of steps that raise an alarm stands beside the stated one. Both beside the moving
    Gaussian, whose threshold was fitted to the same steps of the run's own data for the same rate. The F1 by event of
    the two are compared by exchanges (`recur.tasks.noise.exchange_test`) of stretches of events and alarms; without
    labels the alarms that begin with as many as the stated rate would bring at most (Poisson).

    Args:
        trained: With what is ordinary.
        part: Rows to judge on. Those before it in the same series are read first.
        is_own: Whether it is of the run's own data. Then nothing is taken to be known of what is ordinary before the
            first step of each series, for that was learned from these; and what a label marks in the parts that were
            learned from, other than this one, is missing.

    Raises:
        DataError: No step of the part can be scored, or a label does not say which steps are anomalies.
        RunError: The detector does not know what is ordinary.
    """
    panel = part.panel
    threshold = trained.threshold
    truth = true_anomalies(panel)
    quiet, stated = trained.quiet_of(panel), trained.options.false_alarms
    read = panel_before(trained.setup.partition.of(panel), part) if is_own else panel
    scored = trained.scored(read, is_fresh=is_own)
    own = part.has_row & ~np.isnan(scored.score)
    if not own.any():
        raise DataError(
            f"no step of the part {part.name!r} can be scored: a series that is not known needs more than "
            f"{trained.setup.history} steps, a known one more than 50."
        )
    is_alarm = own & (scored.score > threshold)
    begins = own & alarm_begins(scored.score, scored.highest, threshold)
    rule, limit = moving_gaussian(read), trained.rule_threshold
    rule_highest = highest_lately(rule, panel.series_of_rows, quiet)
    rule_begins = own & alarm_begins(rule, rule_highest, limit)
    examples = _examples(trained, part, scored, own, is_alarm, truth)
    alarms = {"model": is_alarm, RULE: own & (rule > limit)}
    figures = {
        name: _figures(panel, own, alarms[name], starts) for name, starts in (("model", begins), (RULE, rule_begins))
    }
    p, judged = None, own if truth is None else own & truth[1]
    often: list[str] = []
    if not judged.any():
        # No label is on a row that is told of, so that all are as unknown as without labels.
        judged = own
    elif truth is not None:
        told = {name: events_told(panel, each, truth[0], judged) for name, each in alarms.items()}
        for name, each in told.items():
            figures[name] |= _true_figures(each, alarms[name], truth[0], judged)
        p = p_of_f1(panel, quiet, told["model"], told[RULE])
        if figures["model"]["events"]:
            often = false_alarms_note(panel, is_alarm, begins, truth[0], judged, quiet=quiet, stated=stated)
    return {
        "part": part.name,
        "steps": int(own.sum()),
        "series": len(np.unique(panel.series_of_rows[own])),
        "step": None if trained.setup.frequency is None else str(trained.setup.frequency),
        "channels": list(trained.setup.schema.targets),
        "false_alarms": stated,
        "threshold": threshold,
        "has_truth": truth is not None and bool(truth[1][own].any()),
        "figures": figures,
        "verdict": _verdict(trained, figures, int(judged.sum()), p, begun=int((judged & begins).sum())),
        "tail": _tail(trained, scored.score[own]),
        "by_channel": _by_channel(trained, scored, begins),
        "examples": examples,
        "notes": [
            *_notes(trained, part, own, truth, is_own=is_own),
            *often,
            *(f"{note}." for note in unnamed_marks_note(panel)),
            *_hint(trained, scored, own, figures["model"], [one["score"] for one in examples]),
        ],
    }


def finish_detector(folder: RunFolder, trained: TrainedDetector, split: Split) -> dict[str, Any]:
    """Learn what is ordinary, judge a detector on the test part, write both into its run, and return the judgement.

    Where there is no test part the validation part is judged, whose figures flatter: the weights were chosen by it, and
    the threshold was fitted to it.

    Args:
        folder: The run, which has all else.
        trained: The detector with its best weights.
        split: Of the run's own data, as `ForecastSetup.fit` returned it.

    Raises:
        DataError: There are too few steps to fit a threshold to, or to judge.
        RunError: The folder cannot be written.
    """
    trained = trained.fitted(split)
    trained.save_ordinary(folder)
    part = split.test if len(split.test) else split.valid
    found = judge_detector(trained, part, is_own=True)
    found["weights"] = folder.weights_checksum()
    folder.write_json(EVALUATION, found)
    return found


def evaluate_detector(
    run: str | Path,
    data: Any = None,
    *,
    part: str = "test",
    table: OtherTableOptions | None = None,
    label: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return the judgement of a run's detector, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Series to judge on, all of their steps; by default a part of the run's own.
        part: Which part of the run's own: train, valid or test.
        table: How `data` are written, where not as the run's own.
        label: Column of `data` that says which steps are anomalies, whatever the run's own had; see `true_anomalies`.
        device: Where the network computes.

    Raises:
        RunError: The run is missing or damaged, or its data are needed and cannot be found.
        DataError: The data cannot be used.
        OptionError: There is no such part, or the label is a column that the detector reads, or is of no data.
    """
    if part not in ("train", "valid", "test"):
        raise OptionError(f"part: expected 'train', 'valid' or 'test', got {part!r}.")
    trained = TrainedDetector.load(run, device=device)
    if data is not None:
        setup = trained.setup if table is None else trained.setup.for_other(table)
        panel = (setup if label is None else judged_by(setup, label)).read(data)
        if label is not None:
            check_label(panel, label)
        return judge_detector(trained, Part.whole(panel, name="given"))
    if label is not None:
        raise OptionError("label: is of other data, for the run's own have what it was trained with; give data.")
    split = trained.setup.own_data()
    chosen = {"train": split.train, "valid": split.valid, "test": split.test}[part]
    if not len(chosen):
        raise RunError(f"the run's data have no part {part!r}; give another with {option('part')}, or data.")
    return judge_detector(trained, chosen, is_own=True)


# --- figures -----------------------------------------------------------------------------------------------------


def _figures(
    panel: Panel, own: NDArray[np.bool_], is_alarm: NDArray[np.bool_], begins: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what there is of alarms without the truth."""
    days = _days(panel, own)
    return {
        "alarm_steps": int(is_alarm.sum()),
        "alarms": int(begins.sum()),
        "rate": float(is_alarm.sum() / own.sum()),
        "alarms_a_day": None if not days else float(begins.sum() / days),
    }


def _true_figures(
    told: EventsTold, is_alarm: NDArray[np.bool_], is_anomaly: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what there is of alarms beside the truth, of the rows that are judged."""
    hits, ordinary = int((judged & is_alarm & is_anomaly).sum()), judged & ~is_anomaly
    return {
        "rate": float((ordinary & is_alarm).sum() / ordinary.sum()) if ordinary.any() else None,
        "by_step": f1_of(hits, int((judged & is_alarm).sum()), hits, int((judged & is_anomaly).sum())),
        "by_event": told.f1,
        "events": len(told.there),
        "found": int(told.is_found.sum()),
    }


def _days(panel: Panel, own: NDArray[np.bool_]) -> float | None:
    """Return how many days of a series the rows are; None where their times are no dates."""
    if panel.times.dtype.kind != "M":
        return None
    total = 0.0
    for begin, stop in events(rows_between(panel, own), panel.series_of_rows):
        total += float((panel.times[stop - 1] - panel.times[begin]) / np.timedelta64(1, "s")) / 86_400
    return total or None


def _verdict(
    trained: TrainedDetector, figures: dict[str, Any], steps: int, p: float | None, *, begun: int
) -> dict[str, Any]:
    """Return what can be said of alarms: beside the rule's where the truth is known, else beside what was stated.

    Args:
        trained: The detector.
        figures: Of model and rule.
        steps: That are judged: those with a label where there are any.
        p: As of `p_of_f1`.
        begun: Alarms of the model that begin at one of these steps.
    """
    model, rule = figures["model"], figures[RULE]
    if not model.get("events"):
        return _verdict_on_rate(model, trained.options.false_alarms, steps, begun)
    own, other = model["by_event"]["f1"], rule["by_event"]["f1"]
    is_better = own > other and p is not None and p < SURE
    if is_better:
        start = f"Beats the {RULE}"
    else:
        start = "It is NOT shown that the detector beats" if own > other else "Is NO better than"
        start = f"{start} the {RULE}"
    text = (
        f"{start}: it finds {model['found']} of {quantity(model['events'], 'event')}, F1 by event {own:.2f}; the "
        f"{RULE} {rule['found']}, F1 {other:.2f}: {doubt(p, 'events and alarms in which they differ')}."
    )
    assert trained.ordinary is not None
    if left_out := trained.ordinary.left_out:
        text += f" {quantity(left_out, 'marked step')} {'was' if left_out == 1 else 'were'} not learned from."
    return {"is_better": is_better, "p": p, "text": text}


def _verdict_on_rate(model: dict[str, Any], stated: float, steps: int, begun: int) -> dict[str, Any]:
    """Return what can be said of alarms where no event is known: how often they come beside how often was stated."""
    has_labels, rate = "events" in model, model["rate"] or 0.0
    # If each ordinary step raised one by itself; those that hang together begin fewer.
    expected = steps * stated
    p = p_of_so_many(begun, expected)
    text = (
        f"{percentage(rate)} of the {'ordinary ' if has_labels else ''}steps raise an alarm, in "
        f"{quantity(begun, 'alarm')}; stated were {percentage(stated)}{'' if has_labels else ' of ordinary ones'}"
    )
    if rate > stated:
        text += f", {measured(expected)} of {quantity(steps, 'step')}: {doubt_of_so_many(begun, p)}"
        if p < SURE:
            text += "; either much is strange here, or the series are not what they were in training"
    known = "By its labels none of them is right" if has_labels else "Without labels nobody can say which are right"
    return {"is_better": None, "p": p, "text": f"{text}.{f' {known}.' if begun else ''}"}


def _tail(trained: TrainedDetector, scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return the tail, and how often scores of the part were exceeded beside how often they should be."""
    assert trained.ordinary is not None
    tail = trained.ordinary.tail
    level, share = float(tail.level), float(tail.share)
    ordered = np.sort(scores[scores > level])[::-1]
    exceeded = np.arange(1, len(ordered) + 1) / len(scores)
    last = len(ordered)
    chosen = np.unique(np.geomspace(1, last, _TAIL_POINTS).astype(int)) - 1 if last else np.zeros(0, int)
    expected = tail.probability(torch.from_numpy(ordered.copy())).numpy() if len(ordered) else ordered
    return {
        "level": level,
        "share": share,
        "shape": float(tail.shape),
        "scale": float(tail.scale),
        "excesses": int(tail.num_excesses),
        "scores": [float(ordered[place]) for place in chosen],
        "found": [float(exceeded[place]) for place in chosen],
        "expected": [float(expected[place]) for place in chosen],
    }


def _by_channel(trained: TrainedDetector, scored: Scored, begins: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return for each channel of how many alarms it is the one that adds most, the most frequent first."""
    names = trained.setup.schema.targets
    blamed = np.bincount(scored.channels[begins].argmax(1), minlength=len(names)) if begins.any() else [0] * len(names)
    order = sorted(range(len(names)), key=lambda place: -blamed[place])
    return [{"channel": names[place], "alarms": int(blamed[place])} for place in order]


# --- what the report shows ---------------------------------------------------------------------------------------


def _examples(
    trained: TrainedDetector,
    part: Part,
    scored: Scored,
    own: NDArray[np.bool_],
    is_alarm: NDArray[np.bool_],
    truth: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
) -> list[dict[str, Any]]:
    """Return the steps around the highest scores, no two of which overlap."""
    panel, found = part.panel, []
    left = np.where(own, scored.score, -np.inf)
    for _ in range(_MOST_EXAMPLES):
        row = int(left.argmax())
        if np.isinf(left[row]):
            break
        number = int(panel.series_of_rows[row])
        begin = max(int(panel.offsets[number]), row - _SHOWN // 2)
        stop = min(int(panel.offsets[number + 1]), begin + _SHOWN)
        left[begin:stop] = -np.inf
        channel = int(np.nan_to_num(scored.channels[row]).argmax())
        rows = slice(begin, stop)
        found.append(
            {
                "series": panel.ids[number],
                "channel": trained.setup.schema.targets[channel],
                "time": _time(panel, row),
                "score": float(scored.score[row]),
                "times": [_time(panel, one) for one in range(begin, stop)],
                "values": _listed(panel.values[rows, channel]),
                "scores": _listed(scored.score[rows]),
                "alarms": np.flatnonzero(is_alarm[rows]).tolist(),
                "anomalies": [] if truth is None else np.flatnonzero(truth[0][rows]).tolist(),
                "because": {
                    name: float(scored.channels[row, place]) for place, name in enumerate(trained.setup.schema.targets)
                },
            }
        )
    return found


def _notes(
    trained: TrainedDetector,
    part: Part,
    own: NDArray[np.bool_],
    truth: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None,
    *,
    is_own: bool,
) -> list[str]:
    assert trained.ordinary is not None
    panel, found = part.panel, []
    if is_own and part.name != "test":
        how = "its weights were chosen by" if part.name == "valid" else "it was trained on"
        found.append(f"the figures flatter the detector: {how} this part, and its threshold was fitted to it.")
    if trained.ordinary.left_out:
        found.append(left_out_note(trained.ordinary.left_out))
    number, share = int(trained.ordinary.tail.num_excesses), float(trained.ordinary.tail.share)
    steps, rate = number / max(share, 1e-9), trained.options.false_alarms
    if steps * rate < 1:
        # The mean of n excesses is known to a share of 1 / sqrt(n), twice which it seldom misses by.
        factor = math.exp(2 * math.log(max(share / rate, 1)) / math.sqrt(max(number, 1)))
        found.append(
            f"the threshold is extrapolated: {steps:,.0f} steps were seen in training, and the stated rate is one "
            f"alarm in {1 / rate:,.0f}; the true one may well be {max(factor, 2):.0f} times as high."
        )
    missing = np.setdiff1d(np.arange(len(panel)), panel.series_of_rows[own])
    if len(missing):
        found.append(f"nothing to judge in {len(missing):,} series, such as {panel.ids[int(missing[0])]!r}.")
    if truth is None or not truth[1][own].any():
        when = " when the detector is trained" if is_own else ""
        found.append(
            "no column says which steps are anomalies; one called is_anomaly, of 0 and 1, or named with "
            f"{option('label')}{when}, would be judged by."
        )
    return found


def _hint(
    trained: TrainedDetector, scored: Scored, own: NDArray[np.bool_], model: dict[str, Any], highest: list[float]
) -> list[str]:
    """Return what to do where no alarm came, or fewer than half of the events were found; nothing elsewhere."""
    stated = trained.options.false_alarms
    few = "fewer than half of the events were found" if model.get("events") else "no alarm came"
    is_few = 2 * model["found"] < model["events"] if model.get("events") else not model["alarms"]
    if not is_few or stated >= LARGEST_RATE:
        return []
    # Such as 0.001, and not what is left of it by rounding.
    more = min(float(f"{10 * stated:.6g}"), LARGEST_RATE)
    assert trained.ordinary is not None
    threshold = float(trained.ordinary.tail.threshold(more))
    begun = int((own & alarm_begins(scored.score, scored.highest, threshold)).sum())
    return [
        f"{few}: the highest scores are {enumerated([measured(score) for score in highest[:3]])}, the threshold is "
        f"{measured(trained.threshold)}; {option('false_alarms', more)} asks for more: it would put the threshold at "
        f"{measured(threshold)}, with {quantity(begun, 'alarm')} here."
    ]


def _time(panel: Panel, row: int) -> str | float:
    time = panel.times[row]
    if panel.times.dtype.kind != "M":
        return float(time)
    return str(on_the_clock(panel.times[row : row + 1], panel.schema.zone)[0].astype("datetime64[s]"))


def _listed(values: NDArray[Any]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
