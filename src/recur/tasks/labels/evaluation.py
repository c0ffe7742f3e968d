"""The last word on trained classifiers and regressors: figures beside a naive rule, and what the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from recur.data.series import Panel, Part
from recur.data.series.moments import on_the_clock
from recur.data.series.options import OtherTableOptions
from recur.errors import DataError, OptionError, RunError
from recur.kinds import json_number
from recur.run import RunFolder
from recur.score import reliability
from recur.tasks.flattery import flattering
from recur.tasks.labels.classes import class_verdict, judge_classes
from recur.tasks.labels.numbers import judge_numbers, number_verdict
from recur.tasks.labels.outcomes import SeriesOutcomes
from recur.tasks.labels.setup import Parts, has_labels, read_lives
from recur.tasks.labels.trained import TrainedClassifier, TrainedLabels, TrainedRegressor
from recur.tasks.noise import short_intervals
from recur.wording import option, quantity

EVALUATION = "label_evaluation.json"
"""File of a run with what `judge_labels` returns."""

LEAST_TO_CALIBRATE = 20
"""Labels that a temperature is fitted to; fewer would say less than the network itself. Labels of steps hang together:
in a series as many as these count as one."""

COVERAGES = (0.5, 0.8, 0.9, 0.95)
"""Shares of true numbers that intervals are judged at."""

_MOST_POINTS, _MOST_WORST, _MOST_RUNS = 1_000, 20, 3
_BINS = 10


def judge_labels(
    trained: TrainedLabels, part: Part, *, only_last: bool = False, is_finished: bool = True
) -> dict[str, Any]:
    """Return how good labels that were told are: what `label_evaluation.json` holds.

    | entry | holds |
    | --- | --- |
    | `verdict` | whether the model beats the naive rule, in words |
    | `figures` | of classes as `ClassifierFigures`, of numbers as `RegressorFigures` |
    | `worst` | the labels that were told worst: those it was surest of, or most off |
    | `notes` | what a reader has to know |
    | `reliability` | of classes: how often they were right, by how sure the model was; calibrated and not |
    | `points`, `by_true` | of numbers: told beside true; errors by the true number |
    | `intervals` | of numbers: how many true ones they hold, and how wide they are |
    | `runs` | of numbers of steps: what was told along some series |

    Args:
        trained: What tells.
        part: What to judge on, of a panel with labels.
        only_last: Only what is told of the last step of each series counts.
        is_finished: Whether the training came to its end, where probabilities are calibrated.

    Raises:
        DataError: No label counts.
    """
    outcomes = trained.outcomes(part, only_last=only_last)
    found: dict[str, Any] = {
        "task": trained.task,
        "part": part.name,
        "label": trained.setup.label,
        "of": "series" if trained.setup.way == "series" else "last steps" if only_last else "steps",
        "series": len(torch.unique(outcomes.series)),
    }
    if isinstance(trained, TrainedClassifier):
        found |= _judged_classes(trained, part, outcomes, is_finished=is_finished)
    else:
        assert isinstance(trained, TrainedRegressor)
        found |= _judged_numbers(trained, part, outcomes)
    found["notes"] = flattering(part.name, ", and how sure it is was fitted to it") + found["notes"]
    return found


def finish_labels(folder: RunFolder, trained: TrainedLabels, parts: Parts) -> dict[str, Any]:
    """Calibrate what was trained, judge it on the test part, write both into its run, and return the judgement.

    Where there is no test part the validation part is judged, and the figures flatter, for it was chosen by that.

    Args:
        folder: The run, which has all else.
        trained: With the weights of the run.
        parts: Of the run's own data.

    Raises:
        DataError: No label counts in the part that is judged.
        RunError: The folder cannot be written.
    """
    if len(parts.valid) and has_labels(parts.valid, with_bounds=False):
        held_out = trained.outcomes(parts.valid)
        if isinstance(trained, TrainedRegressor) or _num_apart(held_out) >= LEAST_TO_CALIBRATE:
            trained.calibrate(held_out)
    trained.save_calibration(folder)
    part = parts.test if len(parts.test) else parts.valid
    found = judge_labels(trained, part, only_last=_judges_last(trained, part))
    found["weights"] = folder.weights_checksum()
    folder.write_json(EVALUATION, found)
    return found


def evaluate_labels(
    run: str | Path,
    data: Any = None,
    *,
    part: str = "test",
    life_left: str | Path | ArrayLike | None = None,
    table: OtherTableOptions | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return the judgement of a run's classifier or regressor, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Series with labels to judge on; by default a part of the run's own.
        part: Which part of the run's own: train, valid or test.
        life_left: Of remaining lives: the life that was left after the last row of each series of `data`, as numbers or
            a file with one a line; the last steps are then judged.
        table: How `data` are written, where not as the run's own.
        device: Where the network computes.

    Raises:
        RunError: The run is missing or damaged, or its data are needed and cannot be found.
        DataError: The data cannot be used, or no label counts.
        OptionError: There is no such part, or `life_left` makes no sense.
    """
    if part not in ("train", "valid", "test"):
        raise OptionError(f"part: expected 'train', 'valid' or 'test', got {part!r}.")
    folder = RunFolder.open(run)
    kinds: dict[Any, type[TrainedLabels]] = {one.task: one for one in (TrainedClassifier, TrainedRegressor)}
    task = folder.config().get("task")
    if task not in kinds:
        raise RunError(f"{folder.path}: is a run of task {task!r}, expected {' or '.join(map(repr, kinds))}.")
    trained = kinds[task].load(folder, device=device)
    if life_left is not None and (data is None or trained.setup.life is None):
        raise OptionError("life_left: is of given data, and of a model that tells remaining lives; leave it out.")
    is_finished = was_judged(folder)
    if data is None:
        parts = trained.setup.own_parts()
        chosen = {"train": parts.train, "valid": parts.valid, "test": parts.test}[part]
        if not len(chosen):
            raise DataError(f"the run has no part {part!r}.")
        only_last = part == "test" and _judges_last(trained, chosen)
        return judge_labels(trained, chosen, only_last=only_last, is_finished=is_finished)
    setup = trained.setup if table is None else trained.setup.for_other(table)
    panel = setup.read(data)
    at_end: ArrayLike = 0.0
    if life_left is not None:
        at_end = read_lives(life_left, len(panel)) if isinstance(life_left, str | Path) else life_left
    given = Part.whole(trained.setup.labelled(panel, at_end=at_end), "given")
    found = judge_labels(trained, given, only_last=life_left is not None, is_finished=is_finished)
    if trained.setup.life is not None and life_left is None:
        found["notes"].append(
            "every series is taken to have ended with its last row, but for those that a column says go on; "
            f"{option('life_left')} says what was left of others."
        )
    return found


def was_judged(folder: RunFolder) -> bool:
    """Return whether the training of a run came to its end, where its classes and numbers are calibrated and judged.

    Of what was saved without its training there is nothing to come.
    """
    found = folder.read_json(EVALUATION) if folder.has(EVALUATION) else {}
    return "training" not in folder.config() or found.get("weights") == folder.weights_checksum()


def uncalibrated(noun: str, *, is_finished: bool) -> str:
    """Return the note that probabilities are not calibrated, and why not.

    Args:
        noun: What would have been held out for it, in the plural.
        is_finished: Whether the training came to its end.
    """
    why = f"too few {noun} were held out to calibrate them"
    if not is_finished:
        why = "they are calibrated at the end of the training; finish that with recur train --resume"
    return f"the probabilities are the network's own: {why}."


def _num_apart(outcomes: SeriesOutcomes) -> int:
    """Return how many labels there are that do not hang together."""
    counts = torch.unique(outcomes.series[outcomes.weight > 0], return_counts=True)[1]
    return int(torch.ceil(counts / LEAST_TO_CALIBRATE).sum())


def _judges_last(trained: TrainedLabels, part: Part) -> bool:
    """Return whether the last steps alone are judged: where the lives that were left after them are known."""
    life = trained.setup.life
    return part.name == "test" and life is not None and life.left_path is not None


# --- classes ---


def _judged_classes(
    trained: TrainedClassifier, part: Part, outcomes: SeriesOutcomes, *, is_finished: bool
) -> dict[str, Any]:
    figures = judge_classes(
        outcomes, trained.classes, trained.setup.counts, temperature=trained.temperature, window=trained.setup.window
    )
    kept = outcomes.of(outcomes.weight > 0)
    told = trained.probabilities(kept.output)
    return {
        "classes": list(trained.classes),
        "verdict": {
            "text": class_verdict(part.name, figures),
            "is_better": figures.is_better,
        },
        "figures": figures.to_json(),
        "reliability": {
            "calibrated": reliability_rows(told, kept.target),
            "raw": reliability_rows(kept.output.double().softmax(-1), kept.target),
        },
        "worst": _worst_classes(trained, part.panel, kept, told),
        "notes": _class_notes(trained, outcomes, is_finished=is_finished),
    }


def reliability_rows(probabilities: Tensor, target: Tensor) -> dict[str, Any]:
    """Return how often classes were right by how sure they were told, as JSON holds it.

    Args:
        probabilities: (N, K) floating.
        target: The number of the true class, (N,) int64.
    """
    table = reliability(probabilities, target, num_bins=_BINS)
    return {
        "confidence": _listed(table.confidence),
        "accuracy": _listed(table.accuracy),
        "weight": _listed(table.weight),
        "expected_error": json_number(float(table.expected_error)),
    }


def _worst_classes(
    trained: TrainedClassifier, panel: Panel, outcomes: SeriesOutcomes, told: Tensor
) -> list[dict[str, Any]]:
    """Return the wrong labels that the model was surest of, the surest first."""
    sure, likeliest = told.max(-1)
    wrong = torch.nonzero(likeliest != outcomes.target).squeeze(1)
    order = wrong[sure[wrong].argsort(descending=True, stable=True)][:_MOST_WORST]
    return [
        _place(trained, panel, outcomes, number)
        | {
            "true": trained.classes[int(outcomes.target[number])],
            "told": trained.classes[int(likeliest[number])],
            "probability": json_number(float(sure[number])),
        }
        for number in order.tolist()
    ]


def _class_notes(trained: TrainedClassifier, outcomes: SeriesOutcomes, *, is_finished: bool) -> list[str]:
    found = _notes(outcomes)
    if not trained.is_calibrated:
        found.append(uncalibrated("labels", is_finished=is_finished))
    absent = [name for name, count in zip(trained.classes, trained.setup.counts, strict=True) if not count]
    if absent:
        found.append(f"the training part has no label of the class {absent[0]!r}, which cannot be told well.")
    return found


# --- numbers ---


def _judged_numbers(trained: TrainedRegressor, part: Part, outcomes: SeriesOutcomes) -> dict[str, Any]:
    life = trained.setup.life
    outcomes = SeriesOutcomes(**{**vars(outcomes), "output": trained.bounded(outcomes.output.double())})
    figures = judge_numbers(outcomes, trained.train_mean, is_life=life is not None, window=trained.setup.window)
    kept = outcomes.of((outcomes.weight > 0) & ~outcomes.is_bound)
    true, told = kept.target.double(), kept.output
    intervals = _intervals(trained, true, told)
    shown = torch.linspace(0, len(kept) - 1, min(len(kept), _MOST_POINTS)).round().long()
    return {
        "is_life": life is not None,
        "cap": None if life is None else life.cap,
        "verdict": {
            "text": number_verdict(part.name, figures),
            "is_better": figures.is_better,
        },
        "figures": figures.to_json(),
        "points": {"true": _listed(true[shown]), "told": _listed(told[shown])},
        "by_true": _by_true(true, told),
        "intervals": intervals,
        "worst": _worst_numbers(trained, part.panel, kept),
        "runs": _runs(trained, part.panel, kept),
        "notes": _number_notes(trained, outcomes, intervals),
    }


def _by_true(true: Tensor, told: Tensor) -> dict[str, Any]:
    """Return errors by the true number, in groups of as many labels each as ties allow."""
    edges = torch.unique(
        torch.quantile(true[:: max(1, len(true) // 100_000)], torch.linspace(0, 1, _BINS + 1).double())
    )
    if len(edges) < 2:
        return {"true": [], "mae": [], "bias": [], "count": []}
    group = torch.bucketize(true, edges[1:-1].contiguous(), right=True)
    rows = []
    for number in torch.unique(group).tolist():
        own = group == number
        error = told[own] - true[own]
        rows.append((float(true[own].mean()), float(error.abs().mean()), float(error.mean()), int(own.sum())))
    middle, mae, bias, count = zip(*rows, strict=True)
    return {
        "true": [json_number(one) for one in middle],
        "mae": [json_number(one) for one in mae],
        "bias": [json_number(one) for one in bias],
        "count": list(count),
    }


def _intervals(trained: TrainedRegressor, true: Tensor, told: Tensor) -> dict[str, Any]:
    coverage, width = [], []
    for share in COVERAGES:
        lower, upper = trained.interval(told, share)
        is_known = bool(lower.isfinite().all())
        coverage.append(json_number(float(((lower <= true) & (true <= upper)).double().mean())) if is_known else None)
        width.append(json_number(float((upper - lower).mean())))
    return {"shares": list(COVERAGES), "coverage": coverage, "width": width}


def _worst_numbers(trained: TrainedRegressor, panel: Panel, outcomes: SeriesOutcomes) -> list[dict[str, Any]]:
    """Return the worst labels, of each series one, the worst first."""
    error = (outcomes.output - outcomes.target).abs()
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    for number in error.argsort(descending=True, stable=True).tolist():
        series = int(outcomes.series[number])
        if series in seen:
            continue
        seen.add(series)
        told, true = (float(values[number]) for values in (outcomes.output, outcomes.target))
        found.append(
            _place(trained, panel, outcomes, number)
            | {"true": json_number(true), "told": json_number(told), "error": json_number(told - true)}
        )
        if len(found) == _MOST_WORST:
            break
    return found


def _runs(trained: TrainedRegressor, panel: Panel, outcomes: SeriesOutcomes) -> list[dict[str, Any]]:
    """Return what was told along some series: that with the largest error, one in the middle, that with the least."""
    series = torch.unique(outcomes.series)
    if trained.setup.way == "series" or len(outcomes) < 2 * len(series):
        return []
    square = (outcomes.output - outcomes.target).square()
    mean = torch.stack([square[outcomes.series == number].mean() for number in series])
    order = mean.argsort(descending=True, stable=True)
    places = dict.fromkeys([0, len(order) // 2, len(order) - 1])
    found = []
    for kind, place in zip(("worst", "ordinary", "best"), places, strict=False):
        own = outcomes.of(outcomes.series == series[order[place]])
        shown = torch.linspace(0, len(own) - 1, min(len(own), _MOST_POINTS)).round().long()
        found.append(
            {
                "kind": kind,
                "series": panel.ids[int(series[order[place]])],
                "rmse": json_number(float(mean[order[place]].sqrt())),
                "times": [_time(panel, int(row)) for row in own.row[shown]],
                "true": _listed(own.target[shown]),
                "told": _listed(own.output[shown]),
            }
        )
    return found[:_MOST_RUNS]


def _number_notes(trained: TrainedRegressor, outcomes: SeriesOutcomes, intervals: Mapping[str, list[Any]]) -> list[str]:
    found = _notes(outcomes)
    if not len(trained.errors):
        found.append("no labels were held out to choose by, so there are no intervals.")
    elif trained.setup.way != "series":
        found.append("intervals are made of errors of all steps; those of the steps of one series hang together.")
    # Of steps the labels of a series say much the same.
    few = "labels" if trained.setup.way == "series" else "series"
    short = short_intervals(dict(zip(intervals["shares"], intervals["coverage"], strict=True)), few)
    return found if short is None else [*found, short]


# --- both ---


def _notes(outcomes: SeriesOutcomes) -> list[str]:
    missing = int((outcomes.weight == 0).sum())
    return [f"{quantity(missing, 'label')} missing, or of no weight, and not judged."] if missing else []


def _place(trained: TrainedLabels, panel: Panel, outcomes: SeriesOutcomes, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"series": panel.ids[int(outcomes.series[number])]}
    if trained.setup.way != "series":
        found["time"] = _time(panel, int(outcomes.row[number]))
    return found


def _time(panel: Panel, row: int) -> str | float:
    """Return a time of the panel as JSON has it: by the clock, or a number."""
    time = panel.times[row]
    if panel.times.dtype.kind != "M":
        return float(time)
    return str(on_the_clock(np.array([time]), panel.schema.zone)[0].astype("datetime64[ms]"))


def _listed(values: Tensor) -> list[float | None]:
    return [json_number(value) for value in values.tolist()]
