"""Defaults of trainings on texts by how many there are: batch, learning rate, how long, how many members."""

from __future__ import annotations

import math
from dataclasses import replace

from recur.models.texts.options import TextClassifierOptions
from recur.train.options import BOUNDS, CLIPPING, TextTrainingOptions

DEFAULT_MINUTES = 12.0
"""At most; small data are done long before."""

_SEEN, _SEEN_OF_CHARACTERS = 200_000, 300_000
"""Texts that are seen in all: fewer are not enough to tell rare classes, after more the training part is learnt by
heart (comments with 28 emotions, surnames of 18 languages)."""

_LEAST_EPOCHS, _MOST_EPOCHS = 4, 30
"""Each text is seen so often at least, and few are not seen more often than this."""

_LEAST_STEPS = 300
"""Steps that a network needs, however few its texts are."""

_BATCH, _LEAST_BATCH = 64, 8
_STEPS_PER_EPOCH = 24
"""A batch is as small as leaves an epoch so many steps."""

_RATE, _RATE_OF_CHARACTERS = 2e-3, 4e-3
"""Of characters there are few, each of which is seen in every batch."""

_VALIDATIONS_PER_EPOCH = 2

_MEMBERS = ((20_000, 5), (100_000, 3))
"""Members of an ensemble by how many texts the training part has at most, so that all of them take minutes."""


def choose_network(
    options: TextClassifierOptions, *, num_texts: int, is_character: bool
) -> tuple[TextClassifierOptions, dict[str, str]]:
    """Return options with every None replaced by a value, and for each of these why, by name.

    Args:
        options: As the user gave them.
        num_texts: Of the training part.
        is_character: Whether tokens are characters.

    Example:
        >>> chosen, why = choose_network(TextClassifierOptions(), num_texts=5_000, is_character=False)
        >>> chosen.members, why["members"]
        (5, 'there are few, 5,000 texts')
    """
    options = options.completed(is_character=is_character)
    if options.members is not None:
        return options, {}
    members = next((members for most, members in _MEMBERS if num_texts <= most), 1)
    amount = "enough to learn from" if members == 1 else "few"
    return replace(options, members=members), {"members": f"there are {amount}, {num_texts:,} texts"}


def choose(
    training: TextTrainingOptions, *, num_texts: int, is_character: bool = False, steps_per_epoch: int | None = None
) -> TextTrainingOptions:
    """Return the options with every None replaced by a value, but for bounds where another one is given.

    Args:
        training: As the user gave them; `devices` is the number of processes.
        num_texts: Of the training part.
        is_character: Whether tokens are characters.
        steps_per_epoch: Where that is known; else it is taken from the number of texts.

    Example:
        >>> chosen = choose(TextTrainingOptions(), num_texts=43_000)
        >>> chosen.batch_size, chosen.max_epochs, chosen.learning_rate, chosen.validate_every
        (64, 5, 0.002, 336)
    """
    batch_size = training.batch_size or _batch_size(num_texts, training.devices)
    steps_per_epoch = steps_per_epoch or max(1, math.ceil(num_texts / batch_size))
    if all(getattr(training, name) is None for name in BOUNDS):
        seen = _SEEN_OF_CHARACTERS if is_character else _SEEN
        epochs = min(max(round(seen / max(1, num_texts)), _LEAST_EPOCHS), _MOST_EPOCHS)
        epochs = max(epochs, math.ceil(_LEAST_STEPS / steps_per_epoch))
        training = replace(training, max_minutes=DEFAULT_MINUTES, max_epochs=epochs)
    return replace(
        training,
        batch_size=batch_size,
        learning_rate=training.learning_rate or (_RATE_OF_CHARACTERS if is_character else _RATE),
        clip_norm=1.0 if all(getattr(training, name) is None for name in CLIPPING) else training.clip_norm,
        validate_every=training.validate_every or max(10, math.ceil(steps_per_epoch / _VALIDATIONS_PER_EPOCH)),
        patience=training.patience or 0,
    )


def _batch_size(num_texts: int, devices: int) -> int:
    size = _BATCH
    while size > _LEAST_BATCH and num_texts // size < _STEPS_PER_EPOCH:
        size //= 2
    return max(size // devices, 1) * devices
