"""What is inside a trained forecaster, classifier, regressor or detector while it reads one series."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recur.gradients import Training
from recur.gradients.probes.sequence_model import held_still
from recur.inspection_format import FORMAT, MAX_CHANNELS, MAX_SYMBOLS
from recur.models.forecast_ensemble import ForecastEnsemble
from recur.models.layer_recording import LayerRecording
from recur.models.series_ensemble import SeriesEnsemble
from recur.run import checksum
from recur.tasks.detect.trained import TrainedDetector
from recur.tasks.forecast.trained import TrainedForecaster
from recur.tasks.inspection.content import Inspection, Stage, layers_content, properties_content
from recur.tasks.inspection.contributions import Contributions, contributions
from recur.tasks.inspection.detector_subject import detector_subject
from recur.tasks.inspection.forecast_subject import forecast_subject
from recur.tasks.inspection.label_subject import label_subject
from recur.tasks.inspection.recorded_layers import model_content, recorded_layers
from recur.tasks.inspection.state_reach import state_reach
from recur.tasks.inspection.subject import Subject
from recur.tasks.inspection.unit_search import Property
from recur.tasks.labels.trained import TrainedLabels

TrainedSeries = TrainedForecaster | TrainedLabels | TrainedDetector


def inspect_trained(
    trained: TrainedSeries,
    data: Any = None,
    *,
    series: str | None = None,
    at: object = None,
    training: Training | None = None,
    seed: int = 0,
    stage: Stage | None = None,
) -> Inspection:
    """Return what is inside a trained model of series while it reads one of them.

    What it reads; every state and gate of its layers at every step; the units that follow a channel, or what the model
    says; what each step and channel contributes to a forecast, a class, a number, or the error that made a score; how
    far back the states reach; of forecasters the forecast. Of an ensemble all members speak, and what contributes is to
    what they say together; states, gates and units are of the first.

    Args:
        trained: As `recur.load` returns it.
        data: What the model's `predict` takes; None for the run's own data, of whose test part what was told worst, or
            is strangest, is looked at.
        series: Which series; None for the worst, or the first.
        at: Where: of forecasts the time of the first step that is told, of classes and numbers of steps, and of
            anomalies, that of the step; None for the worst, or the last.
        training: What is known of its training, as `recur.tasks.inspection.run_training.training_of_run` finds it.
        seed: Of all that is drawn.
        stage: Called with what is being done.

    Raises:
        TypeError: The model is none of series.
        DataError: The data cannot be read, or have no such series or time; or there is too little to look at.
        OptionError: The network is none that recur trains.
        RunError: The run's own data cannot be read again, or the network's states are not finite.
    """
    say = stage or (lambda what: None)
    say("choosing what to look at")
    subject = _subject(trained, data, series, at)
    with held_still(subject.model):
        say("reading the series")
        layers = recorded_layers(subject.network, subject.read, len(subject.times))
        say("asking what contributes to what it says")
        units = sum(layer.hidden_size for layer in layers) * _num_members(subject)
        found = contributions(subject, units=units, seed=seed)
    say("looking at the Jacobians of its states")
    with held_still(subject.network):
        reach, diagnosis = state_reach(subject.network, subject.read, training or Training(), seed=seed)
    subject, layers, found = _last_steps(subject, layers, found)
    say("searching for units that follow a channel")
    searched, property_tensors = properties_content(layers, _properties(subject), seed)
    described, layer_tensors = layers_content(layers)
    content = {
        "format": FORMAT,
        "kind": "series",
        "title": subject.title,
        "cut": subject.cut,
        "weights": checksum(trained.network.state_dict()),
        "unit": "step",
        "series": {"channels": [*subject.said, *subject.channels], "times": subject.times},
        "losses": [None] * len(subject.times),
        "model": model_content(subject.network, layers),
        "layers": described,
        "properties": searched,
        "answers": _answers(subject, found),
        "probe": reach,
        "diagnosis": diagnosis,
    }
    shares = {"answers.shares": torch.from_numpy(found.shares).float()}
    return Inspection(content=content, tensors=layer_tensors | property_tensors | _seen(subject) | shares)


def _subject(trained: TrainedSeries, data: Any, series: str | None, at: object) -> Subject:
    if isinstance(trained, TrainedForecaster):
        return forecast_subject(trained, data, series=series, at=at)
    if isinstance(trained, TrainedLabels):
        return label_subject(trained, data, series=series, at=at)
    if isinstance(trained, TrainedDetector):
        return detector_subject(trained, data, series=series, at=at)
    raise TypeError(
        f"inspect_trained: trained must be a model of series as recur.load returns it, but is {type(trained).__name__}."
    )


def _num_members(subject: Subject) -> int:
    model = subject.model
    return len(model.members) if isinstance(model, ForecastEnsemble | SeriesEnsemble) else 1


def _last_steps(
    subject: Subject, layers: list[LayerRecording], found: Contributions
) -> tuple[Subject, list[LayerRecording], Contributions]:
    """Return what there is of the last steps that there is room for; all of it where there are no more.

    The sums of contributions stay those of all steps.
    """
    skip = len(subject.times) - MAX_SYMBOLS
    if skip <= 0:
        return subject, layers, found
    cut = f"the last {MAX_SYMBOLS:,} of {len(subject.times):,} steps"
    shorter = replace(
        subject,
        cut=f"{subject.cut}; {cut}" if subject.cut else cut,
        times=subject.times[skip:],
        values=subject.values[skip:],
        said={name: values[skip:] for name, values in subject.said.items()},
        predictions=None if subject.predictions is None else subject.predictions[skip:],
        begin=max(subject.begin - skip, 0),
    )
    recorded = [replace(one, parts={name: part[skip:] for name, part in one.parts.items()}) for one in layers]
    return shorter, recorded, replace(found, shares=found.shares[:, max(skip - subject.begin, 0) :])


def _properties(subject: Subject) -> list[Property]:
    """Return what units are searched for: what is said, and the first channels, where they are known at every step."""
    values = (
        np.concatenate([np.stack(list(subject.said.values()), 1), subject.values], 1)
        if subject.said
        else subject.values
    )
    names = [*subject.said, *(f"value of {name}" for name in subject.channels)]
    return [
        Property(key=f"channel_{place}", name=name, kind="number", values=values[:, place])
        for place, name in enumerate(names[:MAX_CHANNELS])
        if np.isfinite(values[:, place]).all()
    ]


def _seen(subject: Subject) -> dict[str, torch.Tensor]:
    """Return what is drawn at each step: what is said before what is read."""
    nothing = np.full((len(subject.times), len(subject.said)), np.nan)
    said = np.stack(list(subject.said.values()), 1) if subject.said else nothing
    predictions = np.full_like(subject.values, np.nan) if subject.predictions is None else subject.predictions
    return {
        "values": _floats(nothing, subject.values),
        "predictions": _floats(said, predictions),
    }


def _floats(first: NDArray[np.float64], second: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([first, second], 1)).float()


def _answers(subject: Subject, found: Contributions) -> dict[str, Any]:
    """Return what is said and what contributes to it, as it stands in `inspect.json`."""
    told = zip(subject.answers, found.to_json(), strict=True)
    return {
        "asked": subject.asked,
        "unit": subject.unit,
        "notes": list(subject.notes),
        "begin": subject.begin,
        "channels": list(found.channels),
        "answers": [{"name": one.name, "said": one.said, "came": one.came} | figures for one, figures in told],
        "check": None if found.check is None else found.check.to_json(),
        "unchecked": "" if found.check is not None else subject.unchecked,
        "ahead": None if subject.ahead is None else subject.ahead.to_json(),
    }
