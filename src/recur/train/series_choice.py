"""Defaults of trainings on series by how many windows or series there are: batch, learning rate, how long."""

from __future__ import annotations

import math
from dataclasses import replace

from recur.train.options import BOUNDS, CLIPPING, SeriesTrainingOptions

DEFAULT_MINUTES = 5.0
"""At most; small data are done long before."""

_MOST_STEPS = 5000
"""Steps that a training takes at most, unless its epochs are long."""

_LEAST_SEEN, _TIMES_SEEN = 64_000, 8
"""Windows that are seen in all, or how often each is, where that is more; beyond that the validation loss rises again
(hourly fine dust, a day ahead: best after 14,000 to 20,000 windows, of 2,300 different ones)."""

FEW_PASSES = 32
"""How often a forecaster sees each window at most, where they are few: beyond that it learns them by heart, and the
validation part, as small, tells late (made-up seasons, trends, random walks and levels of 60 to 1,000 steps)."""

_LEAST_STEPS = 500
"""Steps that a network needs, however few its windows are."""

_AVERAGING = 0.98
"""Where windows are few, each step moves the weights far; the mean of some dozen lies nearer to the middle."""

_MOST_EPOCHS, _LEAST_EPOCHS = 1000, 3
"""Even few series need their steps, and take only seconds; of many, windows that overlap need not all be seen often."""

_LEAST_BATCH, _MOST_BATCH, _MOST_BATCH_OF_GPU = 8, 128, 512
_STEPS_PER_EPOCH = 32
"""A batch grows only as long as an epoch keeps so many steps."""

_RATE, _MOST_RATE = 2e-3, 4e-3
"""Of a batch of 32 rows; it grows with the square root of the batch, whose gradient is that much less noisy."""

_LEAST_PATIENCE, _PATIENT_SHARE = 10, 1 / 3
"""What a small validation part tells is noisy, and the learning rate's decay brings much of the gain near the end."""

_BETWEEN_VALIDATIONS = (25, 500)
"""Steps between two validations at least, as each takes as long as some steps, and at most."""


def choose(
    training: SeriesTrainingOptions, *, num_items: int, has_gpu: bool, most_passes: int | None = None
) -> SeriesTrainingOptions:
    """Return the options with every None replaced by a value, but for bounds where another one is given.

    Args:
        training: As the user gave them; `devices` is the number of processes.
        num_items: Windows, or whole series, of the training part.
        has_gpu: Whether training runs on a GPU.
        most_passes: How often each of few windows is seen at most, beyond the steps that a network needs, and their
            weights averaged, such as `FEW_PASSES`; None where a training is to know its few windows well, as that of a
            detector.

    Example:
        >>> chosen = choose(SeriesTrainingOptions(), num_items=35_000, has_gpu=False)
        >>> chosen.batch_size, chosen.max_epochs, chosen.validate_every, chosen.learning_rate
        (128, 8, 274, 0.004)
    """
    batch_size = training.batch_size or _batch_size(num_items, training.devices, has_gpu)
    steps_per_epoch = max(1, math.ceil(num_items / batch_size))
    passes = math.inf if most_passes is None else most_passes
    is_few = passes * num_items < _LEAST_SEEN
    if all(getattr(training, name) is None for name in BOUNDS):
        steps = min(max(_LEAST_SEEN, _TIMES_SEEN * num_items) / batch_size, _MOST_STEPS)
        if is_few:
            steps = min(max(_LEAST_STEPS, passes * num_items / batch_size), _MOST_STEPS)
        epochs = min(max(math.ceil(steps / steps_per_epoch), _LEAST_EPOCHS), _MOST_EPOCHS)
        training = replace(training, max_minutes=DEFAULT_MINUTES, max_epochs=epochs)
    validate_every = training.validate_every or _validate_every(steps_per_epoch)
    return replace(
        training,
        batch_size=batch_size,
        learning_rate=training.learning_rate or min(_RATE * math.sqrt(batch_size / 32), _MOST_RATE),
        clip_norm=1.0 if all(getattr(training, name) is None for name in CLIPPING) else training.clip_norm,
        averaging=(_AVERAGING if is_few else 0.0) if training.averaging is None else training.averaging,
        validate_every=validate_every,
        patience=_patience(training, steps_per_epoch, validate_every)
        if training.patience is None
        else training.patience,
    )


def _batch_size(num_items: int, devices: int, has_gpu: bool) -> int:
    size, most = _LEAST_BATCH, _MOST_BATCH_OF_GPU if has_gpu else _MOST_BATCH
    while size < most and num_items // (2 * size) >= _STEPS_PER_EPOCH:
        size *= 2
    return max(size // devices, 1) * devices


def _patience(training: SeriesTrainingOptions, steps_per_epoch: int, validate_every: int) -> int:
    steps = [] if training.max_steps is None else [training.max_steps]
    steps += [] if training.max_epochs is None else [training.max_epochs * steps_per_epoch]
    return max(_LEAST_PATIENCE, math.ceil(_PATIENT_SHARE * min(steps, default=0) / validate_every))


def _validate_every(steps_per_epoch: int) -> int:
    """Return whole epochs where they are short, and an equal part of an epoch where it is long."""
    least, most = _BETWEEN_VALIDATIONS
    if steps_per_epoch < least:
        return math.ceil(least / steps_per_epoch) * steps_per_epoch
    return math.ceil(steps_per_epoch / math.ceil(steps_per_epoch / most))
