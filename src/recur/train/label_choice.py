"""Defaults of trainings on labels by how many series or windows there are: batch, learning rate, how long."""

from __future__ import annotations

import math
from dataclasses import replace

from recur.tasks.labels.setup import Way
from recur.train.options import BOUNDS, CLIPPING, LabelTrainingOptions

DEFAULT_MINUTES = 8.0
"""At most; small data are done long before."""

_LEAST_STEPS, _LEAST_EPOCHS = 500, 40
"""Few series need their steps, and each is to be seen, varied, so many times."""

_MOST_STEPS = 5_000
"""Of many windows, which overlap, not all need be seen so often."""

_BATCH, _BATCH_OF_RUNS, _MOST_BATCH = 32, 16, 128
"""Of series; of series each step of which has a label, so that a few say much; and at most."""

_STEPS_PER_EPOCH = 256
"""A batch grows only as long as an epoch keeps so many steps."""

_RATE, _RATE_OF_STEPS = 5e-3, 3e-3
"""For labels of series, of which a step sees few; and of steps, of which it sees many."""

_VALIDATIONS = 25
"""In all."""


def choose(training: LabelTrainingOptions, *, num_items: int, way: Way) -> LabelTrainingOptions:
    """Return the options with every None replaced by a value, but for bounds where another one is given.

    Args:
        training: As the user gave them; `devices` is the number of processes.
        num_items: Series, or windows, of the training part.
        way: What has a label.

    Example:
        >>> chosen = choose(LabelTrainingOptions(), num_items=1000, way="series")
        >>> chosen.batch_size, chosen.max_steps, chosen.learning_rate, chosen.validate_every
        (32, 1280, 0.005, 52)
    """
    batch_size = training.batch_size or _batch_size(num_items, way, training.devices)
    steps_per_epoch = max(1, math.ceil(num_items / batch_size))
    if all(getattr(training, name) is None for name in BOUNDS):
        steps = min(max(_LEAST_STEPS, _LEAST_EPOCHS * steps_per_epoch), _MOST_STEPS)
        training = replace(training, max_minutes=DEFAULT_MINUTES, max_steps=steps)
    ends = [] if training.max_steps is None else [training.max_steps]
    ends += [] if training.max_epochs is None else [training.max_epochs * steps_per_epoch]
    return replace(
        training,
        batch_size=batch_size,
        learning_rate=training.learning_rate or (_RATE if way == "series" else _RATE_OF_STEPS),
        clip_norm=1.0 if all(getattr(training, name) is None for name in CLIPPING) else training.clip_norm,
        validate_every=training.validate_every or math.ceil(min(ends, default=_LEAST_STEPS) / _VALIDATIONS),
    )


def _batch_size(num_items: int, way: Way, devices: int) -> int:
    size = _BATCH_OF_RUNS if way == "steps" else _BATCH
    while size < _MOST_BATCH and num_items // (2 * size) >= _STEPS_PER_EPOCH:
        size *= 2
    return max(size // devices, 1) * devices
